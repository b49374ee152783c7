/** The consumer's side of a ring buffer map. */
import { Call } from "./ffi/symbols.ts";
import { align, ARGS, Request } from "./ffi/request.ts";
import { RECORD_HEADER, RECORD_LENGTH, ringConsume, ringRead } from "./ffi/ring.ts";
import { close, duplicateFd } from "./os/files.ts";
import { plain, type Refusals, refused } from "./refusal.ts";
import { E2BIG } from "./uapi/errno.ts";
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLET, EPOLLIN } from "./uapi/linux.ts";
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
  },
};

/**
 * Reads the records of a ring buffer in order, on a thread of Deno's pool that sleeps while there are none.
 *
 * The thread sleeps in epoll on the map and on an eventfd, which {@linkcode RingReader.end} makes readable, so that none
 * outlives the reader. The map is watched edge-triggered: a record that was begun but not committed would else count as
 * readable all the time. A record goes back to the kernel after it was handed out: what nobody took stays in the ring.
 */
export class RingReader {
  readonly #size: number;
  readonly #fds: number[] = []; // the map, the eventfd, the epoll instance
  readonly #finished: PromiseWithResolvers<void> = Promise.withResolvers();
  #piece: Uint8Array<ArrayBuffer>; // copies of records
  #words: Uint32Array<ArrayBuffer>; // of the piece
  #at = 0; // of the next record in the piece
  #end = 0;
  #waiting = false;
  #ended = false;

  /** @param size Bytes of the ring: the map's maxEntries. */
  constructor(mapFd: number, size: number) {
    this.#size = size;
    this.#piece = new Uint8Array(Math.min(size, PIECE));
    this.#words = new Uint32Array(this.#piece.buffer);
    try {
      const map = this.#keep(duplicateFd(mapFd));
      const wake = this.#keep(call("eventfd2", [1, EPOLL_CLOEXEC]));
      const epoll = this.#keep(call("epoll_create1", [EPOLL_CLOEXEC]));
      control(epoll, EPOLL_CTL_ADD, map, (EPOLLIN | EPOLLET) >>> 0);
      control(epoll, EPOLL_CTL_ADD, wake, 0);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Whether {@linkcode RingReader.end} was called. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Settled when everything is closed. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** The next record, as soon as there is one; undefined once the reader is ended. */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    while (!this.#ended) {
      while (this.#at < this.#end) {
        const header = this.#words[this.#at >> 2]!, length = header & RECORD_LENGTH, start = this.#at + RECORD_HEADER;
        this.#at += align(RECORD_HEADER + length);
        if ((header & DISCARDED) === 0) return this.#piece.slice(start, start + length);
      }
      await this.#refill();
    }
    return undefined;
  }

  /** Ends a wait and closes everything; twice does nothing. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const [, wake, epoll] = this.#fds;
    if (this.#waiting) control(epoll!, EPOLL_CTL_MOD, wake!, EPOLLIN);
    else this.#finish();
  }

  #finish(): void {
    if (this.#at > 0) ringConsume(this.#fds[0]!, this.#size, this.#at);
    this.#fds.splice(0).forEach(close);
    this.#finished.resolve();
  }

  async #refill(): Promise<void> {
    let result;
    do {
      const [map, , epoll] = this.#fds, consumed = this.#at;
      this.#at = this.#end = 0;
      this.#waiting = true;
      result = await ringRead(map!, this.#size, consumed, epoll!, this.#piece);
      this.#waiting = false;
      if (this.#ended) return this.#finish();
      if (result === -E2BIG) {
        this.#piece = new Uint8Array(Math.min(this.#size, 4 * this.#piece.length));
        this.#words = new Uint32Array(this.#piece.buffer);
      }
    } while (result === -E2BIG); // the record is larger than a piece
    if (result < 0) throw refused(result, RING, ACTION);
    this.#end = result;
  }

  #keep(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }
}

function control(epoll: number, operation: number, fd: number, events: number): void {
  const request = new Request(ARGS, 72).u64(0, BigInt(epoll)).u64(8, BigInt(operation)).u64(16, BigInt(fd));
  const result = request.u32(request.room(24, 16), events).system(Call.epoll_ctl);
  if (result < 0) throw refused(result, plain("epoll_ctl"), ACTION);
}

function call(name: "eventfd2" | "epoll_create1", args: readonly number[]): number {
  const request = new Request(ARGS);
  args.forEach((value, i) => request.u64(i * 8, BigInt(value)));
  const result = request.system(Call[name]);
  if (result < 0) throw refused(result, plain(name), ACTION);
  return result;
}

/** Who reads which ring buffer, by the map's id: a ring has one position for all its readers. */
const readers = new Map<number, RingReader>();

/** The records of a ring buffer, to be iterated once with `for await`; see `BpfMap.records`. */
export interface RecordStream extends AsyncIterableIterator<Uint8Array<ArrayBuffer>, void, void>, AsyncDisposable {
  /** Ends the iteration, and at once a step that is waiting. */
  close(): void;
  /** The same; settled when the ring is free for the next reader. */
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

  protected async step(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>> {
    const [signal] = this.#signals;
    signal?.throwIfAborted();
    const reader = this.#reader ??= await this.#begin();
    const value = await reader?.next();
    if (value !== undefined) return { done: false, value };
    await reader?.finished;
    signal?.throwIfAborted();
    return { done: true, value };
  }

  async #begin(): Promise<RingReader | undefined> {
    for (let other; (other = readers.get(this.#mapId)) !== undefined; await other.finished) {
      if (!other.ended) {
        throw new Deno.errors.Busy(`Cannot read ring buffer ${this.#mapId}: it is being read already`);
      }
    }
    this.#signals[0]?.throwIfAborted(); // while it waited
    if (this.#isClosed) return undefined;
    const reader = this.#open();
    readers.set(this.#mapId, reader);
    reader.finished.then(() => readers.delete(this.#mapId)); // before those who wait for it look again
    for (const signal of this.#signals) this.#listeners.use(onAbort(signal, () => reader.end()));
    return reader;
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.dispose();
    this.#reader?.end();
  }

  override async return(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, void>> {
    const step = await super.return();
    await this.#reader?.finished;
    return step;
  }
}
