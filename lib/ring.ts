/** The consumer's side of ring buffer maps. */
import { keepThreads } from "./ffi/library.ts";
import { align, ARGS, Request, system } from "./ffi/request.ts";
import { RECORD_HEADER, RECORD_LENGTH, ringRead, ringWait } from "./ffi/ring.ts";
import { Call } from "./ffi/symbols.ts";
import { atUnload, heldFds, track, untrack } from "./handle/open_handles.ts";
import { closeIfOpen, duplicateFd } from "./os/files.ts";
import { plain, type Refusals, refused } from "./refusal.ts";
import { E2BIG } from "./uapi/errno.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
} from "./uapi/linux.ts";
import { onAbort, Waiting } from "./wait.ts";

/** Between two pieces the event loop has its turn: a thousand small records take about a millisecond. */
const PIECE = 16 * 1024;
/** A bit of a record's header: the program took it back. */
const DISCARDED = 0x40000000;
/** What an error says. */
const ACTION = "Cannot read ring buffer";

/** What errnos of reading a ring mean. */
const RING: Refusals = {
  command: "ring",
  rows: {
    EINVAL: [
      "invalid",
      "the fd is no ring buffer, or somebody else moved its position",
      "a ring buffer has one reader",
    ],
    EPERM: ["policy", "the ring buffer may not be written, which a reader must", "open it for reading and writing"],
    EACCES: ["policy", "a security module lets its pages not be mapped"],
    EAGAIN: ["limit", "its pages cannot be locked into memory", "raise RLIMIT_MEMLOCK"],
  },
};

/** Events of one wait. */
const EVENTS = 64;

/**
 * The one wait for all rings of an isolate: as libbpf's ring manager does, they share an epoll instance, in which one
 * thread of Deno's pool sleeps while any reader waits. Deno has 32 of them for everything that a process does.
 *
 * Maps are watched edge-triggered: a record that was begun but not committed would else count as readable all the time.
 */
class Poller {
  readonly #epoll: number;
  readonly #wake: number; // an eventfd, which ends a wait
  readonly #thread = system(Call.gettid, []);
  readonly #threads = keepThreads();
  readonly #ready = new Uint32Array(EVENTS);
  readonly #readers = new Map<number, RingReader>(); // by the fd of their map
  #isPolling = false;
  #polled = Promise.resolve(); // settled when the thread is back

  constructor() {
    using made = new DisposableStack();
    made.use(this.#threads);
    this.#epoll = made.adopt(hold(call("epoll_create1", [EPOLL_CLOEXEC])), release);
    this.#wake = made.adopt(hold(call("eventfd2", [0, EPOLL_CLOEXEC])), release);
    control(this.#epoll, EPOLL_CTL_ADD, this.#wake);
    made.move(); // made whole
  }

  add(fd: number, reader: RingReader): void {
    try {
      control(this.#epoll, EPOLL_CTL_ADD, fd);
      this.#readers.set(fd, reader);
    } finally {
      this.#closeIfIdle();
    }
  }

  /** Takes a reader out; without readers nothing is kept open. */
  remove(fd: number): void {
    if (this.#readers.delete(fd)) epollControl(this.#epoll, EPOLL_CTL_DEL, fd);
    if (this.#isPolling && !this.#hasWaiting()) this.#ring();
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    if (this.#readers.size > 0) return;
    poller = undefined;
    if (!this.#isPolling) this.#close();
  }

  /** Sees to it that readers which wait are called. */
  start(): void {
    if (!this.#isPolling) void this.#poll();
  }

  /** Settled when no thread waits that nobody needs any more. */
  get settled(): Promise<void> {
    return this.#hasWaiting() ? Promise.resolve() : this.#polled;
  }

  /** Ends all readers at once, before the isolate is gone. */
  end(): void {
    for (const reader of [...this.#readers.values()]) reader.end();
    if (this.#isPolling) this.#close(); // the thread notices that it was woken, and nobody else will close
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    try {
      while (this.#hasWaiting()) {
        const waiting = ringWait(this.#epoll, this.#thread, this.#ready, heldFds());
        this.#polled = waiting.then(() => {}, () => {});
        const count = await waiting;
        if (count < 0) throw refused(count, plain("epoll_pwait"), ACTION);
        for (const fd of this.#ready.subarray(0, count)) this.#readers.get(fd)?.call();
      }
    } catch (error) {
      for (const reader of this.#readers.values()) reader.call(error);
    } finally {
      this.#isPolling = false;
      if (this.#readers.size === 0) this.#close();
    }
  }

  #hasWaiting(): boolean {
    return this.#readers.values().some((reader) => reader.isWaiting);
  }

  #ring(): void {
    const request = new Request(ARGS, 72).u64(0, BigInt(this.#wake)).u64(16, 8n);
    const result = request.u32(request.room(8, 8), 1).system(Call.write);
    // that it may be written is an event too; without any the thread would sleep for good
    if (result < 0) epollControl(this.#epoll, EPOLL_CTL_MOD, this.#wake, EPOLLOUT);
  }

  #close(): void {
    release(this.#epoll);
    release(this.#wake);
    this.#threads[Symbol.dispose]();
  }
}

let poller: Poller | undefined, isEndedAtUnload = false;

function ownPoller(): Poller {
  if (!isEndedAtUnload) atUnload(() => poller?.end());
  isEndedAtUnload = true;
  return poller ??= new Poller();
}

/**
 * Reads the records of a ring buffer in order.
 *
 * A record goes back to the kernel after it was handed out: what nobody took stays in the ring.
 */
export class RingReader {
  readonly #fd: number;
  readonly #size: number;
  readonly #poller: Poller;
  #piece: Uint8Array<ArrayBuffer>; // copies of records
  #words: Uint32Array<ArrayBuffer>; // of the piece
  #at = 0; // of the next record in the piece
  #end = 0;
  #called: PromiseWithResolvers<void> | undefined; // while it waits
  #isReady = false; // called while it did not wait
  #hasTurned = true; // the event loop had its turn since the last piece
  #ended = false;

  /** @param size Bytes of the ring: the map's maxEntries. */
  constructor(mapFd: number, size: number) {
    this.#size = size;
    this.#piece = new Uint8Array(Math.min(size, PIECE));
    this.#words = new Uint32Array(this.#piece.buffer);
    this.#fd = hold(duplicateFd(mapFd));
    try {
      this.#poller = ownPoller();
      this.#poller.add(this.#fd, this);
    } catch (error) {
      release(this.#fd);
      throw error;
    }
  }

  /** Whether {@linkcode RingReader.end} was called. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Settled when it has ended and left no thread that waits. */
  get finished(): Promise<void> {
    return this.#poller.settled;
  }

  /** Whether it sleeps until it is called. */
  get isWaiting(): boolean {
    return this.#called !== undefined;
  }

  /** The next record that is here already. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    while (this.#at < this.#end && !this.#ended) {
      const header = this.#words[this.#at >> 2]!, length = header & RECORD_LENGTH, start = this.#at + RECORD_HEADER;
      this.#at += align(RECORD_HEADER + length);
      if ((header & DISCARDED) === 0) return this.#piece.slice(start, start + length);
    }
    return undefined;
  }

  /** The next record, as soon as there is one; undefined once the reader is ended. */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const record = this.take();
      if (record !== undefined || this.#ended) return record;
      await this.#refill();
    }
  }

  /** There may be records, or the wait for them failed. */
  call(...failure: [] | [error: unknown]): void {
    this.#isReady = true;
    if (failure.length > 0) this.#called?.reject(failure[0]);
    else this.#called?.resolve();
    this.#called = undefined;
  }

  /** Ends a wait and closes everything; twice does nothing. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.call();
    if (this.#at > 0) ringRead(this.#fd, this.#size, this.#at); // if somebody else moved the position, it is theirs
    this.#poller.remove(this.#fd);
    release(this.#fd);
  }

  /** Gives back what was handed out, and fetches a piece or waits once. */
  async #refill(): Promise<void> {
    if (!this.#hasTurned) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#ended) return;
    }
    const consumed = this.#at;
    this.#at = this.#end = 0;
    this.#isReady = this.#hasTurned = false;
    const result = ringRead(this.#fd, this.#size, consumed, this.#piece);
    if (result > 0) this.#end = result;
    else if (result === -E2BIG) {
      this.#piece = new Uint8Array(Math.min(this.#size, 4 * this.#piece.length));
      this.#words = new Uint32Array(this.#piece.buffer);
    } else if (result < 0) throw refused(result, RING, ACTION);
    else await this.#wait();
  }

  async #wait(): Promise<void> {
    this.#hasTurned = true;
    if (this.#isReady) return;
    this.#called = Promise.withResolvers();
    this.#poller.start();
    await this.#called.promise;
  }
}

/** Remembers an fd for the end of a worker that is terminated; see {@linkcode ringWait}. */
function hold(fd: number): number {
  track("ring", fd);
  return fd;
}

function release(fd: number): void {
  untrack(fd);
  closeIfOpen(fd);
}

function control(epoll: number, operation: number, fd: number): void {
  const result = epollControl(epoll, operation, fd);
  if (result < 0) throw refused(result, plain("epoll_ctl"), ACTION);
}

/** The data of the event is the fd: a 64-bit number that begins at 4 or, where it is aligned, at 8. */
function epollControl(epoll: number, operation: number, fd: number, more = 0): number {
  const request = new Request(ARGS, 72).u64(0, BigInt(epoll)).u64(8, BigInt(operation)).u64(16, BigInt(fd));
  const event = request.room(24, 16);
  return request.u32(event, (EPOLLIN | EPOLLET | more) >>> 0).u32(event + 4, fd).u32(event + 8, fd).system(
    Call.epoll_ctl,
  );
}

function call(name: "eventfd2" | "epoll_create1", args: readonly number[]): number {
  const result = system(Call[name], args);
  if (result < 0) throw refused(result, plain(name), ACTION);
  return result;
}

/** Who reads which ring buffer, by the map's id: a ring has one position for all its readers. */
const readers = new Map<number, RingReader>();

/** The records of a ring buffer, to be iterated once with `for await`; see `BpfMap.records`. */
export interface RecordStream extends AsyncIterableIterator<Uint8Array<ArrayBuffer>, void, void>, AsyncDisposable {
  /** Ends the iteration, and at once a step that is waiting. */
  close(): void;
  /** The same; settled when no thread waits for it any more. */
  return(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>>;
}

/** The records of a ring buffer, as they come. The ring is opened at the first step. */
export class RingRecords extends Waiting<Uint8Array<ArrayBuffer>> implements RecordStream {
  readonly #open: () => RingReader;
  readonly #mapId: number;
  readonly #signals: readonly (AbortSignal | undefined)[];
  readonly #listeners = new DisposableStack();
  #reader: RingReader | undefined;
  #isClosed = false;
  #steps = 0; // that are not settled

  /**
   * @param open Opens the ring.
   * @param signal Ends the iteration with its reason.
   * @param closing Ends it without one: the map's handle is closed.
   */
  constructor(open: () => RingReader, mapId: number, signal: AbortSignal | undefined, closing: AbortSignal) {
    super();
    this.#open = open;
    this.#mapId = mapId;
    this.#signals = [signal, closing];
  }

  /** Most records are here already: taking one as a step would take twice as long. */
  override next(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>> {
    const value = this.#steps === 0 ? this.#reader?.take() : undefined;
    if (value !== undefined) return Promise.resolve({ done: false, value });
    this.#steps++;
    return super.next().finally(() => this.#steps--);
  }

  protected async step(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>> {
    const [signal] = this.#signals;
    signal?.throwIfAborted();
    this.#reader ??= this.#begin();
    const value = await this.#reader?.next();
    if (value !== undefined) return { done: false, value };
    await this.#reader?.finished;
    signal?.throwIfAborted();
    return { done: true, value };
  }

  #begin(): RingReader | undefined {
    if (this.#isClosed) return undefined;
    if (readers.has(this.#mapId)) {
      throw new Deno.errors.Busy(`Cannot read ring buffer ${this.#mapId}: it is being read already`);
    }
    const reader = this.#open();
    readers.set(this.#mapId, reader);
    for (const signal of this.#signals) this.#listeners.use(onAbort(signal, () => this.#endReader(reader)));
    return reader;
  }

  #endReader(reader: RingReader): void {
    reader.end();
    if (readers.get(this.#mapId) === reader) readers.delete(this.#mapId);
  }

  override async return(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>> {
    const step = await super.return();
    await this.#reader?.finished;
    return step;
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.dispose();
    if (this.#reader !== undefined) this.#endReader(this.#reader);
  }
}
