/** Virtual machines that run one command on another kernel. */
import { builtFiles, compileObjects } from "../object/build.ts";
import { STAGED, stagedFiles } from "../package/staged.ts";
import { AMD64, ARM64 } from "./architecture.ts";
import { Archive } from "./archive.ts";
import { capture, install } from "./command.ts";
import { kernel } from "./kernel.ts";
import { type Files, HOME, npmPackages, userland } from "./userland.ts";

/** What became of a command. `status` is undefined if the machine ended before it, or was stopped. */
export interface Ending {
  readonly status: number | undefined;
  /** The command's output, both streams. */
  readonly output: string;
  /** What the kernel said; why there is no status, if there is none. */
  readonly console: string;
}

const PACKAGES = {
  busybox: "busybox-static",
  unshare: "util-linux",
  xz: "xz-utils",
};

/** The kernel of the machine `arm64`. */
const SERIES_OF_ARM64 = "6.12";

/** Ends all machines, so that their files are removed. */
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => interrupted.abort(new Error(`the machine was stopped by ${signal}`)));
}

let installing: Promise<void> = Promise.resolve();

/**
 * Runs a command as root on a machine, in the folder of this repository.
 *
 * The machine has a copy of what git does not ignore, compiled objects, the staged package, deno and busybox. Nothing
 * written in it is kept.
 * The command's output goes to `show` as it comes.
 *
 * @param machine Its kernel, such as `6.12`, on x86_64; or `arm64`.
 * @param command The command and its arguments.
 * @param timeoutSeconds When to stop the machine.
 * @param show By default to the standard output.
 * @param hasNetwork Whether it has a network, in which this machine's loopback is 10.0.2.2; since 6.12.
 */
export async function runOn(
  machine: string,
  command: readonly string[],
  timeoutSeconds: number,
  show: (piece: Uint8Array) => void | Promise<void> = print,
  hasNetwork: boolean = false,
): Promise<Ending> {
  const [architecture, series] = machine === "arm64" ? [ARM64, SERIES_OF_ARM64] : [AMD64, machine];
  await (installing = installing.then(() => install({ ...PACKAGES, [architecture.qemu]: architecture.package })));
  const { image, modules } = await kernel(series, architecture, hasNetwork);
  const programs = [...await userland(architecture), ...await npmPackages()];
  const work = Deno.makeTempDirSync({ prefix: "bpf-link-vm-" });
  try {
    const initramfs = `${work}/initramfs`, log = `${work}/console`;
    compileObjects();
    const staged = stagedFiles().map((name) => `${STAGED}/${name}`);
    const built = [...builtFiles(architecture.processor), ...staged.map((path) => [path, path] as const)];
    await pack(initramfs, modules, new Map([...programs, ...built]), command);
    interrupted.signal.throwIfAborted();
    const late = AbortSignal.timeout(timeoutSeconds * 1000);
    // whatever ends this process ends the machine
    const child = new Deno.Command("setpriv", {
      args: [
        ...["--pdeathsig", "KILL", architecture.qemu, ...architecture.machine, "-smp", "2", "-m", "2G"],
        ...["-nodefaults", "-display", "none", "-no-reboot"],
        ...["-kernel", image, "-initrd", initramfs],
        // `port` goes to /init
        ...["-append", `${architecture.console} ${PARAMETERS} port=${architecture.portName}`],
        ...["-serial", `file:${log}`, ...architecture.port, ...hasNetwork ? NETWORK : []],
      ],
      stdin: "null",
      stdout: "piped",
      signal: AbortSignal.any([late, interrupted.signal]),
    }).spawn();
    const decoder = new TextDecoder();
    let output = "";
    for await (const piece of child.stdout) {
      output += decoder.decode(piece, { stream: true });
      await show(piece);
    }
    await child.status;
    const console = Deno.readTextFileSync(log);
    const status = /exit status of the command: (\d+)/.exec(console)?.[1];
    if (status !== undefined) return { status: Number(status), output, console };
    interrupted.signal.throwIfAborted();
    const why = late.aborted
      ? `the machine was stopped after ${timeoutSeconds} s`
      : "the machine ended before the command";
    return { status: undefined, output, console: `${console}\n${why}` };
  } finally {
    Deno.removeSync(work, { recursive: true });
  }
}

const NETWORK = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="];

/**
 * Translated code is found again by its address: were addresses random, each process's would be translated anew, which
 * takes three times as long as to run it. Without a random address, arm64's kernel also keeps one set of page tables.
 */
const FIXED_ADDRESSES = "nokaslr norandmaps";
const PARAMETERS = `quiet oops=panic panic=-1 lsm=bpf rcupdate.rcu_expedited=1 ${FIXED_ADDRESSES} rdinit=/init`;

function print(piece: Uint8Array): void {
  for (let done = 0; done < piece.length;) done += Deno.stdout.writeSync(piece.subarray(done));
}

async function pack(
  path: string,
  modules: readonly string[],
  programs: Files,
  command: readonly string[],
): Promise<void> {
  using archive = new Archive(path);
  archive.add("/init", "tests/vm/init");
  for (const module of modules) archive.add(module.replace(/.*\//, "/modules/"), module);
  for (const [inside, source] of programs) archive.add(inside, source);
  const root = Deno.cwd();
  const files = await capture("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
  for (const file of files.split("\0").filter(Boolean)) addIfThere(archive, `${root}/${file}`);
  archive.addText(
    "/command",
    `export BPF_LINK_TEST_VM=1 HOME=${HOME} NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 PATH=${
      quote(Deno.execPath().replace(/\/[^/]*$/, ""))
    }:$PATH
cd ${quote(root)}
exec ${command.map(quote).join(" ")}
`,
  );
}

/** A file that git knows may be deleted. */
function addIfThere(archive: Archive, path: string): void {
  try {
    archive.add(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** For a shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
