/**
 * Measures what the design promises: `deno task bench [NAME]…`, as root. A NAME picks the rows whose names begin with it;
 * without one it is all, and what was found is kept in `bench/results.json`, from which README has its table and picture.
 *
 * The rows run in a network namespace, a bpf file system and a cgroup made here, which are gone with the run, however it
 * ends. What is out of bounds is said and is no failure, for a busy machine does that too.
 */
import { Cgroup } from "../tests/fixture/place/cgroup.ts";
import { missingCapabilities } from "../tests/fixture/process/privileges.ts";
import { inNamespaces, netns, OWN } from "../tests/fixture/run/own.ts";
import { compileObjects } from "../tests/object/build.ts";
import { buildPeers } from "./peers/build.ts";
import { keep } from "./report.ts";
import { compared, pinned, ROWS, urgent } from "./rows.ts";
import { printHeading } from "./table.ts";
import { stage } from "../tests/package/stage.ts";
import { compileTwin } from "./twin.ts";

const PATIENCE_MS = 20 * 60_000; // many times what a run takes

const unknown = Deno.args.find((arg) => !Object.keys(ROWS).some((name) => name.startsWith(arg)));
if (unknown !== undefined) {
  console.error(`There is no row ${unknown}; there are ${Object.keys(ROWS).join(", ")}`);
  Deno.exit(2);
}
const names = Object.keys(ROWS).filter((name) =>
  Deno.args.length === 0 || Deno.args.some((arg) => name.startsWith(arg))
);

const missing = missingCapabilities();
if (missing.length > 0) {
  console.error(`The rows need ${missing.join(", ")}: run as root`);
  Deno.exit(1);
}

// Ends the children, and leaves this process to clean up.
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => stop.abort());
const patience = AbortSignal.any([stop.signal, AbortSignal.timeout(PATIENCE_MS)]);

const scratch = Deno.makeTempDirSync({ prefix: "bpf-link-bench-" });
try {
  using cgroup = new Cgroup();
  if (names.some((name) => name.startsWith("object"))) compileObjects();
  const twin = compileTwin(`${scratch}/twin`);
  const others = names.filter((name) => compared.has(name) && twin !== undefined);
  if (others.length > 0) buildPeers(`${scratch}/peers`);
  if (names.includes("start") || names.includes("list_start")) await stage(`${scratch}/staged`);
  printHeading();
  const first = ["chrt", "-r", "1"], alone = ["taskset", "-c", lastProcessor(), ...first];
  const ways: [rows: string[], prefix: string[]][] = [
    [names.filter((name) => pinned.has(name) && twin !== undefined), alone],
    [names.filter((name) => urgent.has(name)), first],
    [names.filter((name) => ![pinned, urgent, compared].some((set) => set.has(name))), []],
    [others, alone],
  ];
  for (const [rows, prefix] of ways) {
    if (rows.length > 0) await measure(rows, cgroup.path, twin ?? "", works(prefix) ? prefix : []);
  }
  if (Deno.args.length === 0) {
    keep(Deno.readTextFileSync(`${scratch}/rows`).trim().split("\n").map((row) => JSON.parse(row)));
  }
} finally {
  Deno.removeSync(scratch, { recursive: true });
}

/** Runs rows in namespaces of their own; `prefix` is the beginning of a command that runs another. */
async function measure(rows: string[], cgroup: string, twin: string, prefix: string[]): Promise<void> {
  patience.throwIfAborted();
  const bpffs = `${scratch}/bpffs`;
  Deno.mkdirSync(bpffs, { recursive: true });
  const [command = "", ...enter] = inNamespaces(bpffs);
  const child = new Deno.Command(command, {
    args: [
      ...enter,
      ...prefix,
      ...[Deno.execPath(), "run", "--no-check", "-A", new URL("rows.ts", import.meta.url).pathname],
      ...[cgroup, twin, scratch, ...rows],
    ],
    env: { [OWN.bpffs]: bpffs, [OWN.hostNetns]: netns() },
    signal: patience,
  }).spawn();
  const { success, code } = await child.status;
  if (!success) Deno.exitCode = code;
}

/** A processor for the twins: they take turns on the same, so each disturbance hits both alike. */
function lastProcessor(): string {
  return Deno.readTextFileSync("/proc/self/status").match(/^Cpus_allowed_list:.*?(\d+)$/m)![1]!;
}

function works(prefix: string[]): boolean {
  try {
    const [command = "", ...args] = [...prefix, "true"];
    return new Deno.Command(command, { args }).outputSync().success;
  } catch {
    return false; // not installed
  }
}
