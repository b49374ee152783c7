/** The changes of the machine's links, as a stream: looks that are compared. */
import { checkInteger } from "./check.ts";
import { type LinkInfo, linkKindOf } from "./kind/mod.ts";
import { checkListOptions, chooseSource, type ListOptions, readAll, type Source } from "./links.ts";
import type { LinkRecords } from "./listing/records.ts";
import { holdIterator, useIterator } from "./listing/iterator.ts";
import { rowOf } from "./sys/type/mod.ts";
import { pause, Waiting } from "./wait.ts";

/**
 * What happened to a link: it was there at the first look (`present`), was made (`added`), is gone (`removed`, with
 * what was last known), or `changed`.
 *
 * `what` has changed: the `program` was replaced; the link is `attached` no longer, by force or because its target is
 * gone; the `target` is another, such as an interface that has another number since it was moved to another network
 * namespace. Counters are no change.
 */
export type LinkEvent =
  | {
    /** What happened. */
    kind: "present" | "added" | "removed";
    /** The link. */
    info: LinkInfo;
  }
  | {
    /** What happened. */
    kind: "changed";
    /** The link as it was at the last look. */
    before: LinkInfo;
    /** The link now. */
    after: LinkInfo;
    /** What of it changed. */
    what: readonly ("program" | "attached" | "target")[];
  };

/**
 * A watch over links, to be iterated once with `for await`; see `Link.watch`.
 *
 * @example
 * ```ts
 * import { Link } from "@bpf/link";
 *
 * using watcher = Link.watch({ types: ["xdp", "tcx"], intervalMs: 10 });
 * watcher.settled.then(() => watcher.close()); // once those that are there have come
 * for await (const event of watcher) console.log(event.kind);
 * console.log(watcher.source, watcher.partial);
 * ```
 */
export interface LinkWatcher extends AsyncIterableIterator<LinkEvent, void, void>, Disposable, AsyncDisposable {
  /** Ends the watch, and at once a step that is waiting. */
  close(): void;
  /** Where the watch looks. */
  readonly source: Source;
  /** Whether some links may be missing. */
  readonly partial: boolean;
  /**
   * Fulfilled once everything that the first look found has been taken, as events of the kind `present`, and the next
   * step is asked for, also if that is nothing; and when the watch ends before. It looks only when a step is asked for.
   */
  readonly settled: Promise<void>;
}

/** How to watch. */
export interface WatchOptions extends ListOptions {
  /** Milliseconds between two looks; 100 if absent. */
  intervalMs?: number | undefined;
}

/** Checks the options and makes a watcher. */
export function watchLinks(options: WatchOptions): LinkWatcher {
  checkListOptions(options, ["intervalMs"]);
  const { intervalMs = 100 } = options;
  return new Watcher(options, checkInteger(intervalMs, "options.intervalMs", 1, 0x7fffffff));
}

type What = "program" | "attached" | "target";
type Step = IteratorResult<LinkEvent, void>;

/** A look at all links, in the order of their ids. They are named by where they come in it. */
interface Look extends Disposable {
  /** Behind the last one. */
  readonly end: number;
  /** How much of both looks is the same, where that can be told at once: what is new comes last. */
  sameUntil(other: this): number;
  /** The first link from there on. */
  from(at: number): number;
  next(at: number): number;
  id(at: number): number;
  /** Whether a link is surely as it was at another look. */
  isSame(at: number, other: this, otherAt: number): boolean;
  /** Its info; undefined if it was gone before it could be read. */
  info(at: number): LinkInfo | undefined;
}

class Watcher extends Waiting<LinkEvent> implements LinkWatcher {
  readonly source: Source;
  readonly #look: () => Look;
  readonly #intervalMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #closing = new AbortController();
  readonly #release: () => void;
  readonly #settling = Promise.withResolvers<void>();
  #last: Look | undefined;
  #infos = new Map<number, LinkInfo>(); // as reported
  #events: LinkEvent[] = []; // in reverse
  #due = 0;

  constructor({ source, types, signal }: WatchOptions, intervalMs: number) {
    super();
    this.source = chooseSource(source, true);
    this.#release = this.source === "iterator" ? holdIterator() : () => {};
    this.#look = this.source === "iterator"
      ? () => new RecordLook(useIterator().run(types))
      : () => new InfoLook(readAll(this.source, types));
    this.#intervalMs = intervalMs;
    this.#signal = signal;
  }

  get partial(): boolean {
    return this.source === "proc";
  }

  get settled(): Promise<void> {
    return this.#settling.promise;
  }

  protected async step(): Promise<Step> {
    while (!this.#isClosed) {
      this.#signal?.throwIfAborted();
      if (this.#last !== undefined && this.#events.length === 0) this.#settling.resolve();
      const value = this.#events.pop();
      if (value !== undefined) return { done: false, value };
      const ms = this.#due - performance.now();
      if (ms > 0) await this.#pause(ms);
      if (!this.#isClosed) this.#compare();
    }
    return { done: true, value: undefined };
  }

  async #pause(ms: number): Promise<void> {
    try {
      await pause(ms, this.#signal, this.#closing.signal);
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Looks, and keeps what is different from the last look. */
  #compare(): void {
    const before = this.#last, now = this.#look();
    this.#due = performance.now() + this.#intervalMs;
    const events: LinkEvent[] = [];
    const same = before === undefined ? 0 : now.sameUntil(before);
    let i = before?.from(same) ?? 0, j = now.from(same);
    const end = before?.end ?? 0;
    while (i < end || j < now.end) {
      const was = i < end ? before!.id(i) : Infinity, is = j < now.end ? now.id(j) : Infinity;
      if (was < is) this.#removed(was, events);
      else if (is < was) this.#added(now, j, before === undefined, events);
      else if (!now.isSame(j, before!, i)) this.#changed(now, j, events);
      if (was <= is) i = before!.next(i);
      if (is <= was) j = now.next(j);
    }
    before?.[Symbol.dispose]();
    this.#last = now;
    this.#events = events.reverse();
  }

  #added(now: Look, j: number, isFirst: boolean, events: LinkEvent[]): void {
    const info = now.info(j);
    if (info === undefined) return;
    this.#infos.set(info.id, info);
    events.push({ kind: isFirst ? "present" : "added", info });
  }

  #removed(id: number, events: LinkEvent[]): void {
    const info = this.#infos.get(id);
    if (info === undefined) return; // it ended before it could be reported
    this.#infos.delete(id);
    events.push({ kind: "removed", info });
  }

  #changed(now: Look, j: number, events: LinkEvent[]): void {
    const before = this.#infos.get(now.id(j));
    if (before === undefined) return this.#added(now, j, false, events);
    const after = now.info(j);
    if (after === undefined) return; // the next look will not find it
    if (before.type !== after.type) { // ids are counted anew some day: another link has this one
      this.#removed(before.id, events);
      return this.#added(now, j, false, events);
    }
    const what = difference(before, after);
    if (what.length === 0) return;
    this.#infos.set(after.id, after);
    events.push({ kind: "changed", before, after, what });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#closing.abort();
    this.#settling.resolve();
    this.#last?.[Symbol.dispose]();
    this.#last = undefined;
    this.#infos.clear();
    this.#events = [];
    this.#release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** By records of the iterator, of which only those that differ become infos. */
class RecordLook implements Look {
  readonly #records: LinkRecords;
  readonly end: number;

  constructor(records: LinkRecords) {
    this.#records = records;
    this.end = records.end;
  }

  sameUntil(other: this): number {
    return this.#records.sameUntil(other.#records);
  }

  from(at: number): number {
    return this.#records.from(at);
  }

  next(at: number): number {
    return this.#records.next(at);
  }

  id(at: number): number {
    return this.#records.id(at);
  }

  isSame(at: number, other: this, otherAt: number): boolean {
    return this.#records.isSame(at, other.#records, otherAt);
  }

  info(at: number): LinkInfo | undefined {
    return this.#records.decode(at, linkKindOf);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }
}

/** By infos. */
class InfoLook implements Look {
  readonly #infos: readonly LinkInfo[];
  readonly end: number;

  constructor(infos: readonly LinkInfo[]) {
    this.#infos = infos;
    this.end = infos.length;
  }

  sameUntil(): number {
    return 0;
  }

  from(at: number): number {
    return at;
  }

  next(at: number): number {
    return at + 1;
  }

  id(at: number): number {
    return this.#infos[at]!.id;
  }

  isSame(at: number, other: this, otherAt: number): boolean {
    return difference(other.#infos[otherAt]!, this.#infos[at]!).length === 0;
  }

  info(at: number): LinkInfo {
    return this.#infos[at]!;
  }

  [Symbol.dispose](): void {}
}

/** What is no target: the fields that are compared by themselves, and counters. */
const OTHERS = ["programId", "attached", "missed"];
/** What is different of a link, counters apart. */
function difference(before: LinkInfo, after: LinkInfo): What[] {
  const a = before as unknown as Record<string, unknown>, b = after as unknown as Record<string, unknown>;
  const what: What[] = [];
  if (before.programId !== after.programId) what.push("program");
  const isDetached = before.attached !== after.attached;
  if (isDetached) what.push("attached");
  const place = rowOf(after.type)?.place; // of a detached link 0: that is the detachment, and no target of its own
  // a field that one of them lacks was not reported, as when a kernel is found to report it
  const isElsewhere = Object.keys(a).some((key) =>
    key in b && !OTHERS.includes(key) && !(isDetached && key === place) && !isEqual(a[key], b[key])
  );
  if (isElsewhere) what.push("target");
  return what;
}

/** Whether two fields are the same; some are lists of places. */
function isEqual(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length &&
    a.every((place, i) => Object.entries(place).every(([key, value]) => b[i][key] === value));
}
