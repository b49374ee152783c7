/**
 * Compiles the C programs of the tests (`tests/object/c`, `tests/examples`, `tests/demo`) with clang, into `.cache`.
 *
 * What is at hand decides: clang 15 or newer under any name, and libbpf's headers from the crate that `ffi/object` is
 * built from. Where one is missing, tests that want objects are skipped and say so. A virtual machine gets what was
 * compiled outside. An object is compiled again when its source, a header, the compiler or its options changed.
 */

const ROOT = new URL("../..", import.meta.url).pathname;
const OUT = `${ROOT}.cache/objects`;
const SOURCES = ["tests/object/c", "tests/examples", "tests/demo"];
const HEADERS = `${ROOT}tests/object/c`;

/** The processors that objects are compiled for: what differs are the registers in which functions get arguments. */
export const PROCESSORS = { x86_64: "x86", aarch64: "arm64" } as const;
type Processor = keyof typeof PROCESSORS;

/** The oldest clang whose BTF has what the programs use. */
const OLDEST = 15;
const NEWEST = 30;

/** A compiler, and what goes with it. */
interface Clang {
  readonly command: string;
  readonly version: number;
  /** Removes what debuggers alone read; without it objects are larger and the same. */
  readonly strip: string | undefined;
}

/** The objects for this processor by name, such as `maps` for `maps.bpf.c`; none where there was no compiler. */
export function objects(processor: Processor = Deno.build.arch): ReadonlyMap<string, string> | undefined {
  const folder = `${OUT}/${processor}`;
  const files = namesIn(folder).filter((name) => name.endsWith(".bpf.o"));
  return files.length === 0 ? undefined : new Map(files.map((name) => [name.slice(0, -6), `${folder}/${name}`]));
}

/** The path of an object. */
export function objectPath(name: string): string {
  const path = objects()?.get(name);
  if (path === undefined) {
    throw new Error(`${name}.bpf.c was not compiled: ${whyNoObjects() ?? "its clang is too old"}`);
  }
  return path;
}

/** Why there are no objects; `undefined` if there are. */
export function whyNoObjects(): string | undefined {
  if (objects() !== undefined) return undefined;
  return findClang() === undefined ? `needs clang ${OLDEST} or newer` : "needs compiled objects: run `deno task test`";
}

/** What was made for a processor, for a machine of tests/vm: paths there and here. */
export function builtFiles(processor: Processor): [string, string][] {
  const files = namesIn(`${OUT}/${processor}`).filter((name) => !name.endsWith(".digest"));
  return files.map((name) => [`${OUT}/${processor}/${name}`, `${OUT}/${processor}/${name}`]);
}

/** The path of a program that was compiled beside the objects; `undefined` if it was not. */
export function programPath(name: "reference" | "mutate" | "probed"): string | undefined {
  const folder = `${OUT}/${Deno.build.arch}`;
  return namesIn(folder).includes(name) ? `${folder}/${name}` : undefined;
}

/** Compiles what changed, for all processors; says why not where that cannot be done. */
export function compileObjects(): void {
  const clang = findClang();
  if (clang === undefined) return console.log(`No objects are compiled: there is no clang ${OLDEST} or newer`);
  const libbpf = findLibbpf();
  if (libbpf === undefined) return console.log("No objects are compiled: cargo cannot fetch libbpf's headers");
  const include = includeFolder(libbpf);
  const headers = ["kernel.h", "linux/types.h", "linux/errno.h"].map((name) => `${HEADERS}/${name}`);
  const common = [clang.version, libbpf.replace(/.*\//, ""), ...headers.map((path) => Deno.readTextFileSync(path))];
  const wanted = new Set<string>();
  compilePrograms(libbpf, include);
  for (const processor of Object.keys(PROCESSORS) as Processor[]) compileProbed(clang, processor);
  for (const source of SOURCES.flatMap((folder) => namesIn(ROOT + folder).map((name) => `${ROOT}${folder}/${name}`))) {
    if (!source.endsWith(".bpf.c")) continue;
    const name = source.replace(/.*\//, "").replace(/\.c$/, "");
    const text = Deno.readTextFileSync(source);
    const [, oldest = OLDEST, options = ""] = /^\/\/ clang(?: (\d+))?((?: -\S+)*)$/m.exec(text) ?? [];
    if (clang.version < Number(oldest)) continue;
    if (wanted.has(name)) throw new Error(`Two sources are called ${name}.c: one object would replace the other`);
    wanted.add(name);
    for (const [processor, target] of Object.entries(PROCESSORS)) {
      const object = `${OUT}/${processor}/${name}.o`;
      const args = [
        ...["-target", "bpf", "-g", "-O2", "-Wall", "-Wno-unknown-attributes", "-Werror", "-mcpu=v3"],
        ...[`-D__TARGET_ARCH_${target}`, `-I${include}`, `-I${HEADERS}`],
        // Line info names the source as it is found from the root, whatever the folder of this checkout.
        ...[`-ffile-prefix-map=${ROOT}=`, `-fdebug-compilation-dir=.`, ...options.split(" ").filter(Boolean)],
      ];
      const digest = hash([...common, text, ...args.map((arg) => arg.replaceAll(ROOT, ""))].join("\0"));
      if (readIfThere(`${object}.digest`) === digest && namesIn(`${OUT}/${processor}`).includes(`${name}.o`)) continue;
      // Two runs at once each write a file of their own and rename it.
      const own = `${object}.${Deno.pid}`;
      run(clang.command, [...args, "-c", source, "-o", own]);
      if (clang.strip !== undefined) run(clang.strip, ["-g", own]);
      Deno.renameSync(own, object);
      Deno.writeTextFileSync(`${object}.digest`, digest);
    }
  }
  for (const processor of Object.keys(PROCESSORS) as Processor[]) {
    for (const [name, path] of objects(processor) ?? []) {
      if (!wanted.has(`${name}.bpf`)) { for (const file of [path, `${path}.digest`]) Deno.removeSync(file); }
    }
  }
}

/**
 * Compiles what is compared with, and what mutates objects, for this processor: linked with nothing that a virtual
 * machine might lack. Where it cannot be done, their tests are skipped.
 */
function compilePrograms(libbpf: string, include: string): void {
  const compiler = outputOf("cc", ["--version"]);
  if (compiler === undefined) return;
  const folder = `${OUT}/${Deno.build.arch}`,
    libraries = namesIn(`${libbpf}/src`).filter((name) => name.endsWith(".c"));
  const includes = [`${libbpf}/include`, `${libbpf}/include/uapi`, include, `${libbpf}/src`].map((path) => `-I${path}`);
  const programs: Record<string, string[]> = {
    // as a distribution builds libbpf: it is measured too
    reference: [
      ...["-static", "-w", "-D_LARGEFILE64_SOURCE", "-D_FILE_OFFSET_BITS=64", ...includes],
      ...[...libraries.map((name) => `${libbpf}/src/${name}`), "-lelf", "-lz"],
    ],
    mutate: ["-Wall", "-Wextra", "-ldl"],
  };
  for (const [name, args] of Object.entries(programs)) {
    const source = `${ROOT}tests/object/${name}.c`, program = `${folder}/${name}`;
    const digest = hash([compiler, libbpf.replace(/.*\//, ""), Deno.readTextFileSync(source), args.length].join("\0"));
    if (readIfThere(`${program}.digest`) === digest) continue;
    const own = `${program}.${Deno.pid}`;
    if (outputOf("cc", ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-o", own, source, ...args]) === undefined) {
      console.log(`Without ${name}.c, which cc does not compile: install gcc and libelf-dev`);
      continue;
    }
    Deno.renameSync(own, program);
    Deno.writeTextFileSync(`${program}.digest`, digest);
  }
}

/** Compiles the program that is watched, which needs no library and no compiler of the other processor's. */
function compileProbed({ command, version }: Clang, processor: Processor): void {
  const source = `${ROOT}tests/examples/probed.c`, program = `${OUT}/${processor}/probed`;
  const digest = hash([version, Deno.readTextFileSync(source)].join("\0"));
  if (readIfThere(`${program}.digest`) === digest) return;
  const own = `${program}.${Deno.pid}`;
  const target = [`--target=${processor}-linux-gnu`, "-fuse-ld=lld", "-nostdlib", "-static", "-ffreestanding"];
  if (outputOf(command, [...target, "-O2", "-fno-stack-protector", "-o", own, source]) === undefined) {
    return console.log("Without probed.c, which clang does not link: install lld");
  }
  Deno.renameSync(own, program);
  Deno.writeTextFileSync(`${program}.digest`, digest);
}

/** The newest clang at hand. */
export function findClang(): Clang | undefined {
  const suffixes = ["", ...Array.from({ length: NEWEST - OLDEST + 1 }, (_, i) => `-${NEWEST - i}`)];
  for (const suffix of suffixes) {
    const version = Number(/version (\d+)/.exec(outputOf(`clang${suffix}`, ["--version"]) ?? "")?.[1] ?? 0);
    if (version < OLDEST) continue;
    const strips = [`llvm-strip${suffix}`, `llvm-strip-${version}`, "llvm-strip"];
    const strip = strips.find((command) => outputOf(command, ["--version"]) !== undefined);
    return { command: `clang${suffix}`, version, strip };
  }
  return undefined;
}

/** The folder `libbpf` of the crate that `ffi/object` depends on, fetched if it must be. */
export function findLibbpf(): string | undefined {
  const args = ["metadata", "--format-version=1", "--locked", `--manifest-path=${ROOT}ffi/object/Cargo.toml`];
  const metadata = outputOf("cargo", args);
  if (metadata === undefined) return undefined;
  const { packages } = JSON.parse(metadata) as { packages: { name: string; manifest_path: string }[] };
  return packages.find(({ name }) => name === "libbpf-sys")?.manifest_path.replace(/Cargo\.toml$/, "libbpf");
}

/** A folder in which `<bpf/…>` and `<linux/bpf.h>` are found, and nothing else of libbpf's. */
function includeFolder(libbpf: string): string {
  const include = `${OUT}/include`;
  for (const folder of [`${include}/linux`, ...Object.keys(PROCESSORS).map((processor) => `${OUT}/${processor}`)]) {
    Deno.mkdirSync(folder, { recursive: true });
  }
  const links = {
    bpf: `${libbpf}/src`,
    "linux/bpf.h": `${libbpf}/include/uapi/linux/bpf.h`,
    "linux/bpf_common.h": `${libbpf}/include/uapi/linux/bpf_common.h`,
  };
  for (const [name, to] of Object.entries(links)) {
    const link = `${include}/${name}`, own = `${link}.${Deno.pid}`;
    Deno.symlinkSync(to, own);
    Deno.renameSync(own, link);
  }
  return include;
}

function hash(text: string): string {
  let value = 0xcbf29ce484222325n; // FNV-1a: it tells changes, nobody attacks it
  for (const byte of new TextEncoder().encode(text)) {
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  }
  return value.toString(16);
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What a command writes; `undefined` if it is not installed or fails. */
function outputOf(command: string, args: string[]): string | undefined {
  try {
    const { success, stdout } = new Deno.Command(command, { args, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function run(command: string, args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  if (!success) throw new Error(`${command} ${args.at(-3)}\n${new TextDecoder().decode(stderr)}`);
}

if (import.meta.main) {
  compileObjects();
  console.log([...objects()?.keys() ?? []].join("\n"));
}
