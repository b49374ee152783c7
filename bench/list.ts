/** Listing and watching many links. */
import { useIterator } from "../lib/listing/iterator.ts";
import { linkGetFdById, objPin } from "../lib/sys/mod.ts";
import { Link, type LinkInfo, type Program } from "../mod.ts";
import { PinDirectory } from "../tests/fixture/place/bpffs.ts";
import { taskIterator } from "../tests/fixture/program/programs.ts";
import { delay } from "../tests/fixture/run/wait.ts";
import { time } from "./start.ts";
import { median, type Row, type Rows, type Surroundings } from "./table.ts";
import { Twin } from "./twin.ts";

const LINKS = 10_000, ROUNDS = 31;
const WATCHED = 1_000, TICKS = 301;

/** Rows for a listing in a process that goes on, one in a process of its own, and a look of a watcher. */
export const list: Record<string, Rows> = {
  async *list({ cgroup, twin }): AsyncGenerator<Row> {
    using program = taskIterator("t");
    using _links = manyLinks(program, LINKS);
    await using inC = new TwinOf(twin, cgroup);
    const rounds: { infos: number; list: number; floor: number; walk: number; iterate: number }[] = [];
    for (let round = -3; round < ROUNDS; round++) {
      Link.list({ source: "iterator" }); // the caches were the twin's; the first of its own two walks is for them too
      const start = performance.now();
      const count = await countOf(Link.infos({ source: "iterator" }));
      const between = performance.now();
      const infos = Link.list({ source: "iterator" });
      const end = performance.now();
      if (count < LINKS || infos.length < LINKS) throw new Error(`${count} and ${infos.length} links`);
      await countOf(resolved(infos));
      const times = {
        infos: between - start,
        list: end - between,
        floor: performance.now() - between, // the same, and as many promises
        walk: await inC.walk(),
        iterate: await inC.iterate(),
      };
      if (round >= 0) rounds.push(times);
    }
    const row = (what: string, ours: "infos" | "list" | "floor", theirs: keyof typeof rounds[0], bound: number) =>
      compare(what, rounds.map((times) => ({ ours: times[ours], theirs: times[theirs] })), bound);
    yield row(`Link.list(), ${LINKS} links, by ids in C`, "list", "walk", 1 / 12);
    yield row("  by the same iterator read in C", "list", "iterate", 1.15);
    yield row("Link.infos(), by Link.list()", "infos", "list", 1.2);
    yield row("  for await over what that returned, with it", "floor", "list", 1.2);
  },
  async *list_start({ cgroup, twin, scratch }): AsyncGenerator<Row> {
    using program = taskIterator("t");
    using _links = manyLinks(program, LINKS);
    await using inC = new TwinOf(twin, cgroup);
    const inDeno = (script: string) =>
      time([new URL(`start/${script}.ts`, import.meta.url).href], { DENO_DIR: `${scratch}/deno` });
    const times: { ours: number; theirs: number }[] = [];
    for (let round = -2; round < ROUNDS; round++) {
      const empty = await inDeno("empty"), whole = await inDeno("list");
      const theirs = await inC.walk();
      if (round >= 0) times.push({ ours: whole - empty, theirs });
    }
    yield compare("  as a process, without Deno's own start", times, 1 / 3);
  },
  async *watch({ cgroup, twin }): AsyncGenerator<Row> {
    using program = taskIterator("t");
    using _links = manyLinks(program, WATCHED);
    await using inC = new TwinOf(twin, cgroup);
    using watcher = Link.watch({ source: "iterator", intervalMs: 1 });
    for (let told = 0; told < WATCHED; told++) await watcher.next();
    const told = async (id: number) => {
      for (;;) { // others make links too
        const { value } = await watcher.next();
        if (value && value.kind !== "changed" && value.info.id === id) return;
      }
    };
    const times: { ours: number; theirs: number }[] = [];
    for (let tick = 0; tick < TICKS; tick++) {
      using change = Link.attach(program, { type: "iter" });
      const made = performance.now();
      while (performance.now() < made + 2); // the next look is due; a sleep would make the start of it slow
      const start = performance.now();
      await told(change.id);
      const ours = performance.now() - start;
      times.push({ ours, theirs: await inC.iterate() });
      change.close();
      await delay(2);
      await told(change.id);
    }
    const look = `a look of Link.watch(), ${WATCHED} links`;
    yield { what: look, figure: median(times.map(({ ours }) => ours * 1000)), unit: "us", bound: 300 };
    yield compare("  by the same iterator read in C", times, 1.3);
  },
};

/** In a function of its own, which V8 compiles: the rows' own loop runs once. */
async function countOf(infos: AsyncIterable<LinkInfo>): Promise<number> {
  let count = 0;
  for await (const _ of infos) count++;
  return count;
}

/** Promises that are resolved already, as few as can be. */
function resolved(infos: readonly LinkInfo[]): AsyncIterable<LinkInfo> {
  let next = 0;
  const iterator = {
    next: () => Promise.resolve({ done: next === infos.length, value: infos[next++]! }),
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

function compare(what: string, times: { ours: number; theirs: number }[], bound: number): Row {
  const ratio = median(times.map(({ ours, theirs }) => ours / theirs));
  return {
    what,
    against: `C ${median(times.map(({ theirs }) => theirs)).toFixed(2)} ms`,
    ours: `${median(times.map(({ ours }) => ours)).toFixed(2)} ms`,
    figure: ratio,
    unit: "x",
    bound,
    note: `${(1 / ratio).toFixed(1)} times as fast, at least ${(1 / bound).toFixed(0)} wanted`,
  };
}

/** Links that wait for nothing, until the end of the scope. */
function manyLinks(program: Program, count: number): Disposable {
  const stack = new DisposableStack();
  for (let i = 0; i < count; i++) stack.use(Link.attach(program, { type: "iter" }));
  return stack;
}

/** The same in C. */
class TwinOf implements AsyncDisposable {
  readonly #pins = new PinDirectory();
  readonly #path = this.#pins.pin("iterator");
  readonly #twin: Twin;
  #isPinned = false;

  constructor(binary: Surroundings["twin"], cgroup: string) {
    this.#twin = new Twin(binary, cgroup, this.#path);
  }

  /** Milliseconds for a walk over all links. */
  async walk(): Promise<number> {
    return await this.#twin.round("walk", 1) / 1e6;
  }

  /** Milliseconds for what our iterator writes, read to its end. */
  async iterate(): Promise<number> {
    if (!this.#isPinned) objPin(linkGetFdById(useIterator().linkId), this.#path);
    this.#isPinned = true;
    return await this.#twin.round("iterate", 1) / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#twin[Symbol.asyncDispose]();
    this.#pins[Symbol.dispose]();
  }
}
