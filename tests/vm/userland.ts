/** The programs that a machine has besides its kernel. */
import type { Architecture } from "./architecture.ts";
import { capture, run, which } from "./command.ts";
import { CACHE, Debian, exists, filesIn } from "./debian.ts";
import { BUILT_INJECTOR } from "../fixture/run/own.ts";

/** Files by their paths in the machine. */
export type Files = ReadonlyMap<string, string>;

/** The home of who runs tests in a machine. */
export const HOME = "/root";
const BUSYBOX = "/busybox/busybox";
/** What tests call that busybox has not. */
const PROGRAMS = ["unshare", "setpriv", "prlimit"];

/** Deno's newest release that the registry has for arm64. */
const DENO = "2.9.5";
const PACKAGES = ["busybox-static", "libc6", "libgcc-s1", "libcap-ng0", "util-linux"];

/** The packages of npm that tests/property imports, as Deno keeps them here; a machine has no registry. */
export async function npmPackages(): Promise<Files> {
  const { npmCache } = JSON.parse(await capture(Deno.execPath(), ["info", "--json"])) as { npmCache: string };
  const folders = ["fast-check", "pure-rand"].map((name) => `registry.npmjs.org/${name}`);
  const paths = folders.filter((folder) => exists(`${npmCache}/${folder}`))
    .flatMap((folder) => [...filesIn(`${npmCache}/${folder}`)]);
  return new Map(paths.map((path) => [path.replace(npmCache, `${HOME}/.cache/deno/npm`), path]));
}

/** Deno, busybox and what else tests call, with the libraries of all. */
export async function userland({ name }: Architecture): Promise<Files> {
  return name === "amd64" ? await ofThisMachine() : await ofDebian(name);
}

async function ofThisMachine(): Promise<Files> {
  const files = new Map([[BUSYBOX, (await which("busybox"))!]]);
  const programs = await Promise.all(PROGRAMS.map(async (program) => (await which(program))!));
  const injector = await builtInjector();
  if (injector !== undefined) files.set(BUILT_INJECTOR, injector);
  for (const program of [Deno.execPath(), ...programs]) {
    files.set(program, program);
    for (const [library] of (await capture("ldd", [program])).matchAll(/\/\S+/g)) {
      const path = library.replace(/:$/, "");
      files.set(path, path);
    }
  }
  return files;
}

/** What makes system calls fail in tests/fault, if there is a compiler. */
async function builtInjector(): Promise<string | undefined> {
  const compiler = await which("cc");
  if (compiler === undefined) return undefined;
  const file = `${CACHE}/injector`;
  await run(compiler, ["-O2", "-o", file, new URL("../fault/injector.c", import.meta.url).pathname]);
  return file;
}

async function ofDebian(architecture: Architecture["name"]): Promise<Files> {
  const folder = `${CACHE}/userland-${architecture}`;
  if (!exists(folder)) {
    console.log(`Fetching programs for ${architecture}`);
    using debian = await Debian.open(architecture);
    const unpacked = await debian.unpack(PACKAGES);
    const deno = `deno-linux-${architecture}-glibc-${DENO}.tgz`;
    await run("npm", ["pack", "--silent", `@deno/linux-${architecture}-glibc@${DENO}`], debian.work);
    await run("tar", ["-xzf", deno, "-C", unpacked], debian.work);
    Deno.renameSync(unpacked, folder);
  }
  const files = new Map([[Deno.execPath(), `${folder}/package/deno`]]);
  for (const path of filesIn(folder)) {
    const inside = path.slice(folder.length).replace(/^\/usr\/lib\//, "/lib/");
    if (inside === "/bin/busybox") files.set(BUSYBOX, path);
    if (PROGRAMS.some((program) => inside === `/usr/bin/${program}`)) files.set(inside, path);
    if (/^\/lib\/([^/]+-linux-gnu\/)?[^/]+\.so(\.\d+)*$/.test(inside)) files.set(inside, path);
  }
  return files;
}
