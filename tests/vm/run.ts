/**
 * Runs the tests on other kernels: `deno task test:vm [KERNEL | arm64]… [FILE | NAME]…`.
 *
 * Whatever is not the number of a kernel picks tests, as for `deno task test`. A machine that hangs, panics or loses
 * its console is a failure, with what its kernel said. Ends with a line for each kernel, and one for all.
 */
import { buildStaged } from "../package/staged.ts";
import { keepClaims, MACHINES } from "./claims.ts";
import { filesIn } from "./debian.ts";
import { npmPackages } from "./userland.ts";
import { runOn } from "./machine.ts";

Deno.chdir(new URL("../..", import.meta.url));

const TIMEOUT_SECONDS = 2700;
/** Machines that run at the same time; each keeps one processor busy. */
const LANES = Math.min(2, navigator.hardwareConcurrency);
/** An emulated processor is slow: the races, lives and sequences that make a run on the host long are fewer here. */
const SETTINGS = ["BPF_LINK_TEST_RACES=20", "BPF_LINK_TEST_LIVES=100", "BPF_LINK_TEST_SEQUENCES=100"];
/** Which operations of tests/fault, if they are picked: all would take hours. */
const FAULTS = Deno.env.get("BPF_LINK_TEST_FAULTS");
if (FAULTS !== undefined) SETTINGS.push(`BPF_LINK_TEST_FAULTS=${FAULTS}`);

/**
 * What is tested there: what depends on the kernel or the processor. Of tests/unit that is how the library is loaded;
 * comments and claims are compared on the host, once.
 */
const SUITES = ["tests/unit/library_test.ts", "tests/kernel/", "tests/object/", "tests/examples/", "tests/doc/claims/"];
/** Files in which Deno or the package alone decides: they run on the host and on the other processor. */
const SAME_ON_ALL = [
  "tests/unit/library_test.ts",
  ...["endings", "handle", "hostile_names", "json", "names", "open_handles", "sanitizers", "uncaught"]
    .map((name) => `tests/kernel/${name}_test.ts`),
];
/** Those that use what the tests of its parts try on every kernel: they run on the oldest and the newest too. */
const ON_ENDS = [
  ...["cli", "otel"].map((name) => `tests/kernel/${name}_test.ts`),
  "tests/object/cli_test.ts",
  "tests/examples/operating_test.ts",
];
/** Those in which the compiler decides, or C that is compiled for the host alone. */
const ON_HOST = ["build", "mutated", "sections", "types"].map((name) => `tests/object/${name}_test.ts`);
/** Random sequences, on the newest alone: there are netkit devices. */
const PROPERTY = "tests/property/links_test.ts";
/** The published package in use: it runs on the host and on the other processor. */
const PACKAGE = "tests/package/consumer_test.ts";

interface Result {
  readonly series: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

const isKernel = (arg: string) => arg === "arm64" || /^\d+\.\d+$/.test(arg);
const kernels = Deno.args.filter(isKernel);
const picks = Deno.args.filter((arg) => !isKernel(arg));
// the types were checked outside, where that is faster
const command = ["env", ...SETTINGS, "deno", "run", "-A", "--no-check", "tests/run.ts", "--no-check", ...picks];
const files = [...filesIn("tests")].filter((file) => file.endsWith("_test.ts"));
const isWhole = !picks.some((pick) => files.some((file) => file.includes(pick)));

console.log("QEMU emulates the machines; KVM is not used");
const waiting = kernels.length > 0 ? kernels : [...MACHINES].reverse();
const results: Result[] = [];
const [OLDEST, NEWEST] = [MACHINES[0], MACHINES[MACHINES.length - 2]];
const hasNpm = (await npmPackages()).size > 0; // `deno task test` fetches them
if (waiting.includes("arm64") && (isWhole || picks.some((pick) => PACKAGE.includes(pick)))) buildStaged();
await Promise.all(Array.from({ length: LANES }, async () => {
  for (let series; (series = waiting.shift()) !== undefined;) results.push(await testOn(series));
}));

const number = new Intl.Collator("en", { numeric: true });
results.sort((a, b) => number.compare(a.series, b.series));
console.log("\nkernel  passed  failed  skipped  seconds");
for (const { series, passed, failed, skipped, seconds } of results) {
  const columns = [[passed, 8], [failed, 8], [skipped, 9], [seconds, 9]] as const;
  console.log(series.padEnd(6) + columns.map(([value, width]) => String(value).padStart(width)).join(""));
}
const sum = (column: "passed" | "failed" | "skipped") => results.reduce((total, result) => total + result[column], 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped`);
Deno.exit(sum("failed") > 0 ? 1 : 0);

async function testOn(series: string): Promise<Result> {
  console.log(`${series}: starts`);
  const start = performance.now();
  const print = linePrinter(`${series}: `);
  const suites = isWhole ? suitesFor(series) : [];
  const { status, output, console: log } = await runOn(series, [...command, ...suites], TIMEOUT_SECONDS, print)
    .catch((error) => ({ status: undefined, output: "", console: String(error) }));
  const seconds = Math.round((performance.now() - start) / 1000);
  if (status === 0 && picks.length === 0) keepClaims(series, output);
  if (status === undefined) console.log(`Linux ${series} failed at "${output.split("\n").at(-1)}":\n${log}`);
  const counts = [...output.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped/gm)].at(-1);
  const [passed = 0, failed = 0, skipped = 0] = counts?.slice(1).map(Number) ?? [];
  // a run that broke off has counted no failure
  return { series, passed, failed: status === 0 && counts ? failed : Math.max(failed, 1), skipped, seconds };
}

function suitesFor(series: string): string[] {
  const isNewest = series === NEWEST, left = new Set(ON_HOST);
  if (series !== "arm64") {
    const isEnd = isNewest || series === OLDEST;
    for (const file of isEnd ? SAME_ON_ALL : [...SAME_ON_ALL, ...ON_ENDS]) left.add(file);
  }
  const chosen = files.filter((file) => SUITES.some((suite) => file.startsWith(suite)) && !left.has(file));
  if (series === "arm64") chosen.push(PACKAGE);
  if (isNewest && hasNpm) chosen.push(PROPERTY);
  return chosen;
}

/** Prints what comes in pieces line by line, so that machines do not mix their lines. */
function linePrinter(prefix: string): (piece: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (piece) => {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(prefix + line);
  };
}
