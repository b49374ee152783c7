/** What the same work takes with other libraries, with C as the measure: programs of `peers/`, in rounds by turns. */
import { objPin } from "../lib/sys/mod.ts";
import { Link } from "../mod.ts";
import { PinDirectory } from "../tests/fixture/place/bpffs.ts";
import { Cgroup } from "../tests/fixture/place/cgroup.ts";
import { cgroupEgress } from "../tests/fixture/program/programs.ts";
import { median, type Row, type Rows } from "./table.ts";
import { Twin } from "./twin.ts";

const LINKS = 10_000, LINKS_OF_CGROUP = 64; // the kernel allows no more of one attach type
const ROUND_NS = 1e6;
const WARM_UP_MS = 200; // until our compiler has done with the loop

/** Here Link does more than others: it proves that what it removes is its own, with nine calls of the kernel for one. */
const MORE = "pin + unlink";

/** The operations of `twin.c` that take about a microsecond. */
const CALLS: Record<string, string> = {
  "create + close": "create_close",
  "create + detach + close": "create",
  "update": "update",
  "update with expected old": "update_expected",
  "info": "info",
  "next id": "next_id",
  "fd by id + close": "fd_by_id",
  [MORE]: "pin",
  "open pinned + close": "open_pinned",
};
const CALL_ROUNDS = 151, WALK_ROUNDS = 15, FIRST_ROUNDS = 31;

/** Its column is what the others are measured by. */
const C = "C libbpf";
/** Deno without a script to speak of; has no column. */
const EMPTY = "empty";

/** Nanoseconds of each round by name; whoever does not have the operation is missing. */
type Times = ReadonlyMap<string, readonly number[]>;

/** A line for each operation, and one with what they say about us and cilium/ebpf. */
export const peers: Record<string, Rows> = {
  async *peers({ cgroup, twin, scratch }): AsyncGenerator<Row> {
    Deno.env.set("DENO_DIR", `${scratch}/deno`); // a cache that no other Deno writes to
    const commands = available(twin, scratch), rows: Row[] = [];
    const row = (what: string, times: Times): Row => {
      rows.push(compare(what, times));
      return rows.at(-1)!;
    };
    using pins = new PinDirectory();
    using program = cgroupEgress();
    using held = Link.attach(program, { type: "cgroup", cgroup }); // as in calls.ts
    await using stack = new AsyncDisposableStack();
    const twins = new Map<string, Twin>(), object = `${scratch}/peers/program.o`;
    for (const [name, [binary, ...before]] of commands) {
      twins.set(name, stack.use(new Twin(binary, ...before, cgroup, pins.pin(name), object)));
    }
    for (const [what, operation] of Object.entries(CALLS)) {
      const opened = operation === "open_pinned" ? Array.from(twins.keys(), (name) => pins.pin(name)) : [];
      for (const pin of opened) objPin(held.fd, pin);
      yield row(what, await measure(twins, operation, CALL_ROUNDS));
      for (const pin of opened) Deno.removeSync(pin);
    }
    const first = await measureProcesses(commands, scratch, "first", FIRST_ROUNDS);
    using _links = manyLinks(cgroup);
    yield row(`${LINKS} links with info`, await measure(twins, "walk", WALK_ROUNDS));
    const walk = await measureProcesses(commands, scratch, "walk", WALK_ROUNDS);
    for (const [what, times] of [["  as a process", walk], ["process to one link", first]] as const) {
      yield row(what, times);
      yield row("    without Deno's own start", withoutDeno(times));
    }
    if (commands.has("cilium")) yield verdict(rows, "Link", "cilium");
  },
};

/** The beginnings of the commands that can be run. */
function available(twin: string, scratch: string): Map<string, [string, ...string[]]> {
  const built = [...Deno.readDirSync(`${scratch}/peers`)].map(({ name }) => name);
  return new Map([
    [C, [twin]],
    ["Link", ours("link")],
    ["sys", ours("sys")],
    ...["cilium", "aya", "libbpf-rs"].filter((name) => built.includes(name))
      .map((name): [string, [string]] => [name, [`${scratch}/peers/${name}`]]),
  ]);
}

function ours(script: string): [string, ...string[]] {
  const path = new URL(script === EMPTY ? "start/empty.ts" : `peers/ours/${script}.ts`, import.meta.url).pathname;
  return [Deno.execPath(), "run", "--no-check", "--allow-ffi", path];
}

/** Times whole processes, each from its start to its end. */
async function measureProcesses(
  commands: ReadonlyMap<string, readonly string[]>,
  scratch: string,
  operation: string,
  rounds: number,
): Promise<Times> {
  const timed = new Map([...commands].map(([name, command]) => [name, [...command, operation]]));
  timed.set(EMPTY, ours(EMPTY));
  if (hasBpftool()) timed.set("bpftool", ["bpftool", "-j", "link", "show"]);
  await using stack = new AsyncDisposableStack();
  const twins = [...timed].map(([name, command]): [string, Twin] => [
    name,
    stack.use(new Twin(`${scratch}/peers/start`, ...command)),
  ]);
  return await measure(new Map(twins), "start", rounds);
}

function hasBpftool(): boolean {
  try {
    return new Deno.Command("bpftool", { args: ["version"] }).outputSync().success;
  } catch {
    return false;
  }
}

/** Rounds of all in turn; the next one begins with another. */
async function measure(twins: ReadonlyMap<string, Twin>, operation: string, rounds: number): Promise<Times> {
  const contestants: { name: string; twin: Twin; count: number; times: number[] }[] = [];
  for (const [name, twin] of twins) {
    if (Number.isNaN(await twin.round(operation, 1))) continue;
    let count = 1, least = Infinity;
    for (const end = performance.now() + WARM_UP_MS; performance.now() < end;) {
      least = Math.min(least, await twin.round(operation, count));
      count = Math.ceil(ROUND_NS / least);
    }
    contestants.push({ name, twin, count, times: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contestants.length; i++) {
      const { twin, count, times } = contestants[(round + i) % contestants.length]!;
      times.push(await twin.round(operation, count));
    }
  }
  return new Map(contestants.map(({ name, times }) => [name, times]));
}

/** Our own times, less what Deno takes at least, beside C's. */
function withoutDeno(times: Times): Times {
  const deno = Math.min(...times.get(EMPTY)!), less = (name: string) => times.get(name)!.map((ns) => ns - deno);
  return new Map([[C, times.get(C)!], ["Link", less("Link")], ["sys", less("sys")]]);
}

/** Links of cgroups below one, until the end of the scope. */
function manyLinks(parent: string): Disposable {
  const stack = new DisposableStack(), program = stack.use(cgroupEgress());
  let cgroup = parent;
  for (let i = 0; i < LINKS; i++) {
    if (i % LINKS_OF_CGROUP === 0) cgroup = stack.use(new Cgroup(parent)).path;
    stack.use(Link.attach(program, { type: "cgroup", cgroup }));
  }
  return stack;
}

/** C's time, and the medians of the rounds' ratios to it. */
function compare(what: string, times: Times): Row {
  const inC = times.get(C)!, ratios: Record<string, number> = {};
  for (const [name, ns] of times) {
    if (name !== C && name !== EMPTY) ratios[name] = median(ns.map((ns, i) => ns / inC[i]!));
  }
  return { what, against: `C ${time(median(inC))}`, figure: ratios["Link"] ?? ratios["sys"]!, unit: "x", ratios };
}

/** In which of the rows that both have one is not ahead of another, where the work is the same. */
function verdict(rows: readonly Row[], one: string, other: string): Row {
  const behind = rows.filter(({ what, ratios }) => what !== MORE && ratios![one]! >= ratios![other]!)
    .map(({ what }) => what.trim());
  return {
    what: `rows in which ${other} is ahead of ${one}`,
    figure: behind.length,
    unit: "",
    bound: 0,
    note: behind.join(", "),
  };
}

function time(ns: number): string {
  const round = (value: number) => Number(value.toPrecision(2));
  return ns < 1e6 ? `${round(ns / 1e3)} us` : `${round(ns / 1e6)} ms`;
}
