/** The consumer's side of rings: one of a ring buffer map, or one a CPU of perf events. */
import { RECORD_HEADER, RECORD_LENGTH, ringMap, ringRead, ringUnmap } from "./ffi/ring.ts";
import { duplicateFd } from "./os/files.ts";
import { ACTION, hold, type Polled, Poller, release } from "./poller.ts";
import type { EventRecord } from "./records.ts";
import { type Refusals, refused } from "./refusal.ts";
import { E2BIG } from "./uapi/errno.ts";
import { PERF_RECORD_LOST, PERF_RECORD_SAMPLE } from "./uapi/linux.ts";

/** Between two pieces the event loop has its turn: a thousand small records take less than a millisecond. */
const PIECE = 16 * 1024;
/** How long the event loop stands still at most while records are looked for. */
const STANDSTILL_MS = 1;
/** A bit of a record's header: the program took it back. */
const DISCARDED = 0x40000000;

/** What errnos of reading a ring buffer map mean. */
const RING: Refusals = {
  command: "ring",
  rows: () => ({
    EINVAL: [
      "invalid",
      "the fd is no ring buffer, or somebody else moved its position",
      "a ring buffer has one reader",
    ],
    EPERM: ["policy", "the ring buffer may not be written, which a reader must", "open it for reading and writing"],
    EACCES: ["policy", "a security module lets its pages not be mapped"],
    EAGAIN: ["limit", "its pages cannot be locked into memory", "raise RLIMIT_MEMLOCK"],
  }),
};

/** Where the kernel writes records. */
export interface Ring {
  /** What it belongs to, open as long as it is read. */
  readonly fd: number;
  /** Bytes of data. */
  readonly size: number;
  /** The CPU of a perf event. */
  readonly cpu?: number;
}

/** What is read. */
export interface Source {
  readonly rings: readonly Ring[];
  /** What errnos of reading them mean. */
  readonly refusals: Refusals;
  /** Closes them. */
  close(): void;
}

/** The ring of a ring buffer map. */
export function ringOfMap(mapFd: number, size: number): Source {
  const fd = hold(duplicateFd(mapFd));
  return { rings: [{ fd, size }], refusals: RING, close: () => release(fd) };
}

let copies = new Uint8Array(PIECE); // of records as they lie in a ring; used from one call to the next only

/**
 * Reads the records of rings, those of each in order.
 *
 * A record of a map goes back to the kernel after it was handed out: what nobody took stays in the ring.
 */
export class RingReader implements Polled {
  readonly #source: Source;
  readonly #busyPollMs: number;
  readonly #poller: Poller | undefined;
  readonly #ready: Ring[]; // that may have records; the next is the first
  #ring: Ring | undefined; // of the piece
  #piece: Uint32Array<ArrayBuffer> = new Uint32Array(); // records with their headers
  #at = 0; // of the next record in the piece, in bytes
  #end = 0;
  #lost = 0;
  #settle: ((record: EventRecord | undefined) => void) | undefined; // of who asks for a record
  #isAsleep = false; // until it is called
  #failure: { readonly error: unknown } | undefined;
  #sinceTurn = 0; // bytes that were read since the event loop had its turn
  #busyUntil = 0; // when to leave the wait to another thread
  #ended = false;

  /** @param busyPollMs How long to look for records on this thread after one, before another thread waits. */
  constructor(source: Source, busyPollMs: number) {
    this.#source = source;
    this.#busyPollMs = busyPollMs;
    this.#ready = [...source.rings];
    try {
      for (const { fd, size, cpu } of source.rings) {
        const result = ringMap(fd, size, cpu !== undefined);
        if (result < 0) throw refused(result, source.refusals, ACTION);
      }
      this.#poller = Poller.own;
      for (const { fd } of source.rings) this.#poller.add(fd, this);
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** Whether {@linkcode RingReader.end} was called. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Settled when it has ended and left no thread that waits. */
  get finished(): Promise<void> {
    return this.#poller!.settled;
  }

  /** How many records the kernel says that it had no room for. */
  get lost(): number {
    return this.#lost;
  }

  /** What reading failed with. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  get isWaiting(): boolean {
    return this.#isAsleep;
  }

  /** The next record that is here already: a view of the piece, which costs a tenth of a copy. */
  take(): EventRecord | undefined {
    while (this.#at < this.#end && !this.#ended) {
      const cpu = this.#ring!.cpu, start = this.#at, word = start >> 2, first = this.#piece[word]!;
      if (cpu === undefined) {
        const length = first & RECORD_LENGTH;
        this.#at += (RECORD_HEADER + length + 7) & ~7;
        if ((first & DISCARDED) === 0) return new Uint8Array(this.#piece.buffer, start + RECORD_HEADER, length);
      } else {
        const size = this.#piece[word + 1]! >>> 16; // behind 16 other bits
        this.#at += size;
        if (first === PERF_RECORD_SAMPLE) {
          const length = Math.min(this.#piece[word + 2]!, size - RECORD_HEADER - 4);
          const record: EventRecord = new Uint8Array(this.#piece.buffer, start + RECORD_HEADER + 4, length);
          return Object.assign(record, { cpu });
        }
        if (first === PERF_RECORD_LOST) this.#lost += this.#piece[word + 4]! + this.#piece[word + 5]! * 2 ** 32;
      }
    }
    return undefined;
  }

  /**
   * Calls `settle` with the next record as soon as there is one, or with undefined once the reader is ended or has failed.
   * One record is asked for at a time. (With promises in between, a record would come 20 us later.)
   */
  pull(settle: (record: EventRecord | undefined) => void): void {
    this.#settle = settle;
    this.#pump();
  }

  #pump(): void {
    try {
      for (;;) {
        const record = this.take();
        if (record !== undefined || this.#ended || this.#failure !== undefined) return this.#give(record);
        if (this.#sinceTurn >= PIECE) return this.#turn(false);
        if (this.#ready.length === 0 && this.#at === 0) return this.#wait();
        this.#refill();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #give(record: EventRecord | undefined): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(record);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#give(undefined);
  }

  call(fd: number): void {
    const ring = this.#source.rings.find((ring) => ring.fd === fd);
    if (ring !== undefined && !this.#ready.includes(ring)) this.#ready.push(ring);
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    this.#pump();
  }

  fail(error: unknown): void {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    this.#fail(error);
  }

  /** Ends a wait and closes everything; twice does nothing. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#isAsleep = false;
    if (this.#ring !== undefined) ringRead(this.#ring.fd, this.#owed); // if somebody else moved the position, it is theirs
    this.#close();
    this.#give(undefined);
  }

  #close(): void {
    for (const { fd } of this.#source.rings) {
      this.#poller?.remove(fd);
      ringUnmap(fd);
    }
    this.#source.close();
  }

  /** Bytes of the piece that are not given back yet. */
  get #owed(): number {
    return this.#ring?.cpu === undefined ? this.#at : 0;
  }

  /** Gives back what was handed out, and fetches a piece of the next ring that may have one. */
  #refill(): void {
    const last = this.#ring, consumed = this.#owed, ring = this.#ready[0];
    this.#ring = undefined;
    this.#at = this.#end = 0;
    if (last !== undefined && last !== ring && consumed > 0) this.#checked(ringRead(last.fd, consumed));
    if (ring === undefined) return;
    const result = ringRead(ring.fd, ring === last ? consumed : 0, copies);
    if (result === -E2BIG) {
      copies = new Uint8Array(Math.min(Math.max(ring.size, PIECE), 4 * copies.length));
      return;
    }
    this.#ready.shift();
    if (this.#checked(result) === 0) return;
    if (ring.cpu !== undefined) this.#checked(ringRead(ring.fd, result)); // the next reader has a ring of its own
    this.#ready.push(ring);
    this.#ring = ring;
    this.#piece = new Uint32Array(copies.buffer.slice(0, result));
    this.#end = result;
    this.#sinceTurn += result;
    if (this.#busyPollMs > 0) this.#busyUntil = performance.now() + this.#busyPollMs;
  }

  #checked(result: number): number {
    if (result < 0) throw refused(result, this.#source.refusals, ACTION);
    return result;
  }

  #wait(): void {
    if (this.#busyPollMs > 0 && performance.now() < this.#busyUntil) return this.#turn(true);
    this.#sinceTurn = 0;
    this.#isAsleep = true;
    this.#poller!.start();
  }

  /** Goes on after the event loop had its turn, and, if there is nothing to be read then, after a time of looking for it. */
  #turn(isBusy: boolean): void {
    this.#sinceTurn = 0;
    setImmediate(() => {
      try {
        const until = Math.min(this.#busyUntil, performance.now() + STANDSTILL_MS);
        while (isBusy && this.#ready.length === 0 && !this.#ended && performance.now() < until) this.#poller!.look();
      } catch (error) {
        return this.#fail(error);
      }
      this.#pump();
    });
  }
}
