/**
 * Runs all tests: `deno task test [--no-check] [FILE | NAME]…`.
 *
 * An argument that is part of the path of a tested file picks that file, any other picks tests by name. As root, tests
 * run in a network namespace and with a bpffs of their own, made here and gone with the run.
 *
 * What is where:
 *
 * | what is tested | where |
 * | --- | --- |
 * | what asks no kernel: arguments, encoders and decoders (of any bytes: unit/decoders_test), ELF, layout of output, the contract | unit/ |
 * | the laws of `lib` (imports, where types are named) · that nothing of a type is forgotten | unit/layers_test · unit/types_test |
 * | the native library: found, refused · what it exports · its files and numbers beside those of `lib/ffi` | unit/library_test · unit/symbols_test · unit/border_test |
 * | what every kind of link does, by letters: attach, scope, pin, open, update, detach, info, listing | kernel/conformance_test, a row each in conformance.ts |
 * | what is special about target X, and what errnos mean there | kernel/kind/X_test |
 * | what else errnos are said to mean, by command | kernel/refusal/ |
 * | since when a kernel can do what (fixture/run/expectations.ts) · layouts and numbers | kernel/expectations_test · kernel/layout_test |
 * | `lib/x.ts`: ensure_pinned, group, holders, hook, links, map, probe, watch, wait … | kernel/x_test |
 * | `lib/link.ts`: when a link ends · pins · updates | kernel/link_life_test · pin_test · link_update_test |
 * | `lib/handle/`: forgotten handles, openHandles() | kernel/open_handles_test |
 * | `lib/kind/position.ts`: order among links · targets that die or move | kernel/position_test · target_gone_test |
 * | `lib/btf/` and the BTF commands · PROG_QUERY · ENABLE_STATS | kernel/btf_test · prog_query_test · stats_test |
 * | each sentence and errno of `@bpf/link/sys` | doc/claims/, compared by doc/errnos_test |
 * | each operation with each of its system calls failing (needs gcc) · with full fd tables · with 0 to 2 free | fault/ |
 * | random sequences over several handles against a model of the kernel's rules · random types of C, and values of them | property/ |
 * | what is left after 100,000 links a type, and after minutes of mixed work: only by `deno task soak` | soak/ |
 * | the package as it is published: built, served by a registry here, used | package/ |
 * | compiled objects (`lib/object/`): what the C programs of object/c become, beside libbpf's own loader (build.ts compiles, needs clang) | object/ |
 * | links for a fleet (`lib/otel/`, `bpflink agent`), beside a collector of OpenTelemetry on loopback | kernel/otel_test |
 * | the files with which a fleet begins, read by the parsers of those who read them | fleet/ |
 * | programs as users write them, each with its C | examples/ |
 * | the examples in comments and the README · that nothing lacks one | run here, from where they stand; doc/lint_test · doc/coverage_test |
 * | what is shown of an error that nobody catches · handles and infos as JSON · what users write compiles | kernel/uncaught_test · kernel/json_test · unit/typing_test |
 * | the guides in the comments of entry points: capabilities and commands · messages · `bpflink` · names of other libraries | doc/privileges_test · messages_test · commands_test · names_test |
 * | all of it on other kernels | vm/ |
 *
 * To add a test: `kernelTest(name, { needs, since }, fn)` of fixture/run/kernel.ts where a kernel must take part; it
 * skips with the reason in the name, and fails if anything is left behind. What a kernel was built for or lets be done is
 * a `Need`, found out in fixture/run/abilities.ts, never concluded from a version. To add a target: a row in
 * kernel/conformance.ts and in fixture/run/expectations.ts, a file in kernel/kind, a line in unit/targets.ts.
 *
 * Fixtures are in drawers: place (what links are attached to), program (what is attached), process (other processes and
 * what they may do), run (what runs a test and looks after it). They import nothing from the tests.
 */
import { Cgroup } from "./fixture/place/cgroup.ts";
import { missingCapabilities } from "./fixture/process/privileges.ts";
import { inNamespaces, inOwnVm, mountPoints, netns, OWN } from "./fixture/run/own.ts";
import { isOlder } from "./fixture/run/release.ts";
import { compileObjects, whyNoObjects } from "./object/build.ts";
import { buildStaged } from "./package/staged.ts";

Deno.chdir(new URL("..", import.meta.url));

const config = await chooseConfig();
if (Deno.args.includes("--print-config")) {
  console.log(config);
  Deno.exit();
}
console.log(config === "deno.json" ? "@std from JSR" : "@std from the linked stand-ins");

const tests = filesIn("tests", "_test.ts").filter((file) =>
  /^tests\/(unit|kernel|object|examples|doc|package|fleet|property|fault)\//.test(file)
);
if (Deno.args.some((arg) => arg.startsWith("tests/soak"))) tests.push(...filesIn("tests/soak", "_test.ts"));
const documents = ["mod.ts", "README.md", ...filesIn("lib", ".ts")];
const flags: string[] = Deno.args.filter((arg) => arg === "--no-check");
const args = Deno.args.filter((arg) => !flags.includes(arg));
const picks = args.map((arg) => ({ arg, files: [...tests, ...documents].filter((file) => file.includes(arg)) }));
const picked = picks.flatMap(({ files }) => files);
const names = picks.filter(({ files }) => files.length === 0).map(({ arg }) => RegExp.escape(arg));
const isPicked = (file: string) => picked.length === 0 || picked.includes(file);
const temporary = Deno.makeTempDirSync({ prefix: "bpf-link-test-" });
const total = { passed: 0, failed: 0, skipped: 0 };

try {
  if (!inOwnVm()) await prepare(); // a machine of tests/vm has what was built outside, and no network
  const enter = await ownNamespaces();
  const chosen = tests.filter(isPicked);
  await run(enter, inOwnVm() ? [together(chosen)] : chosen);
  // examples with objects attach to tcx
  const lacksObjects = whyNoObjects() !== undefined || isOlder(Deno.osRelease(), "6.6");
  const examples = documents.filter(isPicked).filter((file) => !lacksObjects || !file.startsWith("lib/object/"));
  if (enter.length > 0 && mountPoints("cgroup2").length > 0) await runExamples(enter, examples);
  else await check(examples);
} finally {
  Deno.removeSync(temporary, { recursive: true });
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed > 0 || total.passed + total.skipped === 0 ? 1 : 0);

/** The real @std if it is at hand or can be fetched within seconds, else our stand-ins for it. */
async function chooseConfig(): Promise<string> {
  if (inOwnVm()) return ".deno.offline.json";
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--config=deno.json", "jsr:@std/assert@^1", "jsr:@std/testing@^1/types"],
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(10_000),
  }).output();
  return success ? "deno.json" : ".deno.offline.json";
}

/** Makes and fetches what the tests that were picked take: their namespace has no way out. */
async function prepare(): Promise<void> {
  const chosen = tests.filter(isPicked);
  compileObjects();
  if (chosen.some((file) => file.startsWith("tests/package/"))) buildStaged();
  await succeeds(Deno.execPath(), "cache", `--config=${config}`, ...chosen);
}

function filesIn(directory: string, ending: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? filesIn(path, ending) : path.endsWith(ending) ? [path] : [];
  }).sort();
}

/** The command that runs another one in namespaces of its own; none where that is not possible. */
async function ownNamespaces(): Promise<string[]> {
  const bpffs = `${temporary}/bpffs`;
  Deno.mkdirSync(bpffs);
  const enter = inNamespaces(bpffs);
  if (await succeeds(...enter, "true")) {
    Deno.env.set(OWN.bpffs, bpffs);
    Deno.env.set(OWN.hostNetns, netns());
    return enter;
  }
  const missing = missingCapabilities();
  const why = missing.length > 0 ? `${missing.join(", ")} missing` : "unshare or mount fails";
  console.log(`Cannot make a network namespace and a bpffs for the tests: ${why}`);
  return [];
}

/** One file for all: an emulated processor takes seconds to load the package, which every file would do anew. */
function together(files: readonly string[]): string {
  const all = `${temporary}/all_test.ts`;
  const imports = files.map((file) => `import "${new URL(`../${file}`, import.meta.url)}";\n`);
  Deno.writeTextFileSync(all, imports.join(""));
  return all;
}

/** Runs the tests of `files` and adds to the total. */
async function run(enter: string[], files: string[], ...options: string[]): Promise<void> {
  if (files.length === 0) return;
  const report = `${temporary}/report.xml`;
  const filter = names.length > 0 ? [`--filter=/${names.join("|")}/`] : [];
  const ran = await call("inherit", [
    ...enter,
    Deno.execPath(),
    "test",
    "-A",
    `--config=${config}`,
    `--junit-path=${report}`,
    ...flags,
    ...filter,
    ...options,
    ...files,
  ]);
  // The report has the tests that the filter leaves out too, without a time.
  const cases = existing(report).split("<testcase ").slice(1).filter((text) => text.includes(' time="'));
  const skipped = cases.filter((text) => text.includes("<skipped")).length;
  const failed = cases.filter((text) => text.includes("<failure")).length;
  total.skipped += skipped;
  total.passed += cases.length - skipped - failed;
  // A module that does not compile or throws fails the run without failing a test.
  total.failed += ran ? failed : Math.max(failed, 1);
}

/** Runs the examples of `files`. They name the paths that users have, where a bpffs and a cgroup of the run are here. */
async function runExamples(enter: string[], files: string[]): Promise<void> {
  using cgroup = new Cgroup();
  const mounts = "umount -lR /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf";
  const script = `echo 0 >"$0/cgroup.procs"; exec unshare --cgroup sh -ec '${mounts}; exec "$@"' sh "$@"`;
  await run([...enter, "sh", "-ec", script, cgroup.path], files, "--doc", "--preload=tests/doc/examples.ts");
}

/** Examples attach to what they find: where that is not ours, they are only compiled. */
async function check(files: string[]): Promise<void> {
  if (files.length === 0) return;
  console.log("Examples in the documentation are compiled, not run");
  if (!await call("inherit", [Deno.execPath(), "check", `--config=${config}`, "--doc", ...files])) total.failed++;
}

/** The text of a file, which is removed; nothing if there is none. */
function existing(path: string): string {
  try {
    const text = Deno.readTextFileSync(path);
    Deno.removeSync(path);
    return text;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

function succeeds(...command: string[]): Promise<boolean> {
  return call("null", command);
}

async function call(output: "inherit" | "null", [command = "", ...args]: string[]): Promise<boolean> {
  try {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: output, stderr: output }).spawn();
    return (await child.status).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
