/** The consumer's side of a ring buffer map; `ffi/core/src/ring.rs` touches its memory. */
import { Call } from "./ffi/calls.ts";
import { align, Request } from "./ffi/request.ts";
import { close, duplicateFd } from "./os/files.ts";
import { refusal } from "./refusal.ts";
import { E2BIG } from "./uapi/errno.ts";

/** Between two pieces the event loop has its turn: a thousand small records take about a millisecond. */
const PIECE = 16 * 1024;
const HEADER = 8, DISCARDED = 0x40000000, LENGTH = 0x3fffffff;
const EPOLL_CLOEXEC = 0o2000000, EPOLL_CTL_ADD = 1, EPOLL_CTL_MOD = 3;
const EPOLLIN = 1, EPOLLET = 0x80000000;
const NO_EPOLL = 0xffffffff;
/** What an error says. */
const ACTION = "Cannot read ring buffer";

/**
 * Reads the records of a ring buffer in order, on a thread of Deno's pool that sleeps while there are none.
 *
 * The thread sleeps in epoll on the map and on an eventfd, which {@linkcode RingReader.end} makes readable, so that none
 * outlives the reader. The map is watched edge-triggered: a record that was begun but not committed would else count as
 * readable all the time. A record goes back to the kernel after it was handed out: what nobody took stays in the ring.
 */
export class RingReader {
  readonly #size: number;
  #room: number; // of the piece
  readonly #fds: number[] = []; // the map, the eventfd, the epoll instance
  readonly #finished: PromiseWithResolvers<void> = Promise.withResolvers();
  #request: Request;
  #piece: number; // where copies of records are in the request
  #at = 0; // of the next record in the piece
  #end = 0;
  #waiting = false;
  #ended = false;

  /** @param size Bytes of the ring: the map's maxEntries. */
  constructor(mapFd: number, size: number) {
    this.#size = size;
    this.#room = Math.min(size, PIECE);
    [this.#request, this.#piece] = requestFor(size, this.#room);
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
        const at = this.#piece + this.#at, header = this.#request.getU32(at), length = header & LENGTH;
        this.#at += align(HEADER + length);
        if ((header & DISCARDED) === 0) return this.#request.bytes(at + HEADER, length).slice();
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
    if (this.#at > 0) this.#read(0, NO_EPOLL).system(Call.ring);
    this.#fds.splice(0).forEach(close);
    this.#finished.resolve();
  }

  async #refill(): Promise<void> {
    let result;
    do {
      const request = this.#read(this.#room, this.#fds[2]!);
      this.#at = this.#end = 0;
      this.#waiting = true;
      result = await request.systemAsync(Call.ring);
      this.#waiting = false;
      if (this.#ended) return this.#finish();
      if (result === -E2BIG) {
        this.#room = Math.min(this.#size, 4 * this.#room);
        [this.#request, this.#piece] = requestFor(this.#size, this.#room);
      }
    } while (result === -E2BIG); // the record is larger than a piece
    if (result < 0) throw refusal(result, "ring", ACTION);
    this.#end = result;
  }

  /** Gives the kernel back what was handed out, and reads up to `room` bytes of what follows. */
  #read(room: number, epoll: number): Request {
    return this.#request.u64(0, BigInt(this.#fds[0]!)).u64(16, BigInt(this.#at)).u64(32, BigInt(room))
      .u64(40, BigInt(epoll));
  }

  #keep(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }
}

function requestFor(size: number, room: number): [request: Request, piece: number] {
  const request = new Request(48, 48 + room + 8).u64(8, BigInt(size));
  return [request, request.room(24, room)];
}

function control(epoll: number, operation: number, fd: number, events: number): void {
  const request = new Request(48, 72).u64(0, BigInt(epoll)).u64(8, BigInt(operation)).u64(16, BigInt(fd));
  const result = request.u32(request.room(24, 16), events).system(Call.epoll_ctl);
  if (result < 0) throw refusal(result, "epoll_ctl", ACTION);
}

function call(name: "eventfd2" | "epoll_create1", args: readonly number[]): number {
  const request = new Request(48);
  args.forEach((value, i) => request.u64(i * 8, BigInt(value)));
  const result = request.system(Call[name]);
  if (result < 0) throw refusal(result, name, ACTION);
  return result;
}
