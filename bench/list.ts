/** Listing and watching many links. */
import { giveBack } from "../lib/ffi/read.ts";
import { useIterator } from "../lib/listing/iterator.ts";
import { iterReadLent } from "../lib/sys/iter.ts";
import { close, linkGetFdById, objPin } from "../lib/sys/mod.ts";
import { Link, type Program } from "../mod.ts";
import { PinDirectory } from "../tests/fixture/place/bpffs.ts";
import { Registry } from "../tests/package/registry.ts";
import { taskIterator } from "../tests/fixture/program/programs.ts";
import { delay } from "../tests/fixture/run/wait.ts";
import { FIRST_CALL, time } from "./start.ts";
import { median, type Row, type Rows, type Surroundings } from "./table.ts";
import { Twin } from "./twin.ts";

const LINKS = 10_000, ROUNDS = 31;
const WATCHED = 1_000, TICKS = 301;

/** Rows for a listing in a process that goes on, and for a look of a watcher. */
export const list: Record<string, Rows> = {
  async *list({ cgroup, twin }): AsyncGenerator<Row> {
    using program = taskIterator("t");
    using _links = manyLinks(program, LINKS);
    using floor = new Floor();
    await using inC = new TwinOf(twin, cgroup);
    const rounds: { list: number; bare: number; infos: number; bareInfos: number; walk: number; iterate: number }[] =
      [];
    for (let round = -3; round < ROUNDS; round++) {
      Link.list({ source: "iterator" }); // the caches were the twin's; the first of its own two walks is for them too
      const times = {
        list: await timeOf(() => Link.list({ source: "iterator" }).length),
        infos: await timeOf(() => countOf(Link.infos({ source: "iterator" }))),
        bare: await timeOf(() => floor.list().length),
        bareInfos: await timeOf(() => countOf(floor.infos())),
        walk: await inC.walk(),
        iterate: await inC.iterate(),
      };
      if (round >= 0) rounds.push(times);
    }
    type Times = keyof typeof rounds[0];
    const row = (what: string, ours: Times, theirs: Times, bound: number) =>
      compare(what, rounds.map((times) => ({ ours: times[ours], theirs: times[theirs] })), bound);
    yield row(`Link.list(), ${LINKS} links, by ids in C`, "list", "walk", 1 / 12);
    yield row("  by the same iterator read in C", "list", "iterate", 1.15);
    yield row("  nothing but an object for each record", "bare", "iterate", 1.15);
    yield row("Link.infos(), by Link.list()", "infos", "list", 1.2);
    yield row("  for await over nothing but those objects", "bareInfos", "list", 1.2);
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
    using floor = new Floor();
    // what was walked lately is in the caches; after a sleep all is slow
    const pauseBusily = () => {
      for (const since = performance.now(); performance.now() < since + 2;);
    };
    const times: { ours: number; bare: number; theirs: number }[] = [];
    for (let tick = 0; tick < TICKS; tick++) {
      using change = Link.attach(program, { type: "iter" });
      pauseBusily(); // the next look is due
      const start = performance.now();
      await told(change.id);
      const ours = performance.now() - start;
      change.close();
      await delay(2);
      await told(change.id);
      pauseBusily();
      const between = performance.now();
      floor.look();
      const bare = performance.now() - between;
      pauseBusily();
      times.push({ ours, bare, theirs: await inC.iterate() });
    }
    const look = `a look of Link.watch(), ${WATCHED} links`;
    yield { what: look, figure: median(times.map(({ ours }) => ours * 1000)), unit: "us", bound: 300 };
    yield compare("  by the same iterator read in C", times, 1.3);
    yield compare(
      "  nothing but a comparison with the last",
      times.map(({ bare, theirs }) => ({ ours: bare, theirs })),
      1.3,
    );
  },
};

/** Rows for a listing in a process of its own, with the package from a registry here. */
export const listStart: Record<string, Rows> = {
  async *list_start({ cgroup, twin, scratch }): AsyncGenerator<Row> {
    using program = taskIterator("t");
    using _links = manyLinks(program, LINKS);
    await using inC = new TwinOf(twin, cgroup);
    await using registry = await Registry.serve(`${scratch}/staged`);
    const env = { DENO_DIR: `${scratch}/list`, JSR_URL: registry.url };
    const run = (name: string, text: string) => {
      const path = `${scratch}/${name}.ts`;
      Deno.writeTextFileSync(path, text);
      return time([path], env);
    };
    const rounds: { list: number; first: number; walk: number }[] = [];
    for (let round = -2; round < ROUNDS; round++) {
      const empty = await run("list_empty", "");
      const times = {
        first: await run("list_first", FIRST_CALL) - empty,
        list: await run("list_all", LIST_ALL) - empty,
        walk: await inC.walk(),
      };
      if (round >= 0) rounds.push(times);
    }
    const by = (ours: "list" | "first") => rounds.map((times) => ({ ours: times[ours], theirs: times.walk }));
    yield compare("a script with Link.list(), over Deno's start", by("list"), 1 / 3);
    yield compare("  nothing but the package's first call", by("first"), 1 / 3);
  },
};

const LIST_ALL = `import { Link } from "jsr:@bpf/link"; if (Link.list().length < ${LINKS}) Deno.exit(1);`;

/** Milliseconds that it takes to come to all links. */
async function timeOf(list: () => number | Promise<number>): Promise<number> {
  const start = performance.now(), count = await list(), ms = performance.now() - start;
  if (count < LINKS) throw new Error(`${count} links`);
  return ms;
}

/** In a function of its own, which V8 compiles: the rows' own loop runs once. */
async function countOf(infos: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of infos) count++;
  return count;
}

/** What no listing through the iterator can do without: its bytes, and objects of as few fields as infos have. */
class Floor implements Disposable {
  readonly #link = linkGetFdById(useIterator().linkId);
  #last: Uint32Array<ArrayBuffer> = new Uint32Array();

  list(): unknown[] {
    const { words, bytes } = this.#read(), infos: unknown[] = [];
    for (let at = 0; at < words.length; at += words[at]! >>> 18) infos.push(new Bare(words, at));
    giveBack(bytes);
    return infos;
  }

  infos(): AsyncIterable<unknown> {
    const { words, bytes } = this.#read();
    let at = 0;
    const next = () => {
      if (at === words.length) {
        giveBack(bytes);
        return Promise.resolve({ done: true, value: undefined });
      }
      const value = new Bare(words, at);
      at += words[at]! >>> 18;
      return Promise.resolve({ done: false, value });
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Whether what is read now is what was read last. */
  look(): boolean {
    const { words } = this.#read(), last = this.#last;
    let differing = 0;
    for (let i = 0; i < words.length; i++) differing |= words[i]! ^ last[i]!;
    if (last.length > 0) giveBack(new Uint8Array(last.buffer));
    this.#last = words;
    return differing === 0;
  }

  #read(): { words: Uint32Array<ArrayBuffer>; bytes: Uint8Array<ArrayBuffer> } {
    const bytes = iterReadLent(this.#link);
    return { words: new Uint32Array(bytes.buffer, 0, bytes.length / 4), bytes };
  }

  [Symbol.dispose](): void {
    close(this.#link);
  }
}

/** As large as an info. (Of a literal V8 may find that what it makes stays, and then makes it slowly.) */
class Bare {
  readonly type = "iter";
  readonly id: number;
  readonly programId: number;
  readonly targetName = "task";

  constructor(words: Uint32Array, at: number) {
    this.id = words[at + 1]!;
    this.programId = words[at + 2]!;
  }
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
