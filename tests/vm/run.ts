/**
 * Runs the tests on other kernels: `deno task test:vm [KERNEL | arm64]… [FILE | NAME]…`.
 *
 * Whatever is not the number of a kernel picks tests, as for `deno task test`. A machine that hangs, panics or loses
 * its console is a failure, with what its kernel said. Ends with a line for each kernel, and one for all.
 */
import { buildStaged } from "../package/staged.ts";
import { keepClaims, MACHINES } from "./claims.ts";
import { filesIn } from "./debian.ts";
import { runOn } from "./machine.ts";

Deno.chdir(new URL("../..", import.meta.url));

const TIMEOUT_SECONDS = 2700;
/** Machines that run at the same time; each keeps one processor busy. */
const LANES = Math.min(2, navigator.hardwareConcurrency);
/** An emulated processor is slow: the races and lives that make a run on the host long are fewer here. */
const SETTINGS = ["BPF_LINK_TEST_RACES=20", "BPF_LINK_TEST_LIVES=100"];
/** Which operations of tests/fault, if they are picked: all would take hours. */
const FAULTS = Deno.env.get("BPF_LINK_TEST_FAULTS");
if (FAULTS !== undefined) SETTINGS.push(`BPF_LINK_TEST_FAULTS=${FAULTS}`);

/**
 * What is tested there: what depends on the kernel or the processor. Of tests/unit that is how the library is loaded;
 * comments and claims are compared on the host, once.
 */
const SUITES = ["tests/unit/library_test.ts", "tests/kernel/", "tests/object/", "tests/examples/", "tests/doc/claims/"];
/** Files of tests/kernel in which Deno or the package alone decides: they run on the host and on the other processor. */
const SAME_ON_ALL = ["endings", "handle", "hostile_names", "json", "names", "open_handles", "sanitizers", "uncaught"];
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
const files = filesIn("tests").filter((file) => file.endsWith("_test.ts"));
const isWhole = !picks.some((pick) => files.some((file) => file.includes(pick)));

console.log("QEMU emulates the machines; KVM is not used");
const waiting = kernels.length > 0 ? kernels : [...MACHINES].reverse();
const results: Result[] = [];
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
  if (series === "arm64") return [...SUITES, PACKAGE];
  const left = SAME_ON_ALL.map((name) => `${name}_test.ts`);
  const kernel = [...Deno.readDirSync("tests/kernel")]
    .filter(({ name, isDirectory }) => isDirectory || name.endsWith("_test.ts") && !left.includes(name))
    .map(({ name }) => `tests/kernel/${name}`);
  return [...SUITES.filter((suite) => suite !== "tests/kernel/"), ...kernel];
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
