/** One look at a ring buffer. The layout is that of `ffi/core/src/ring.rs`. */
import { native } from "./library.ts";
import { Request } from "./request.ts";

const FD = 0, SIZE = 8, CONSUMED = 16, OUT = 24, ROOM = 32, EPOLL = 40, ARGUMENTS = 48;
const NO_EPOLL = 0xffffffff;

/** A request that reads up to `room` bytes of records from a ring of `size` bytes. */
export class RingRequest {
  readonly #request: Request;
  readonly #room: number;
  readonly #records: number; // where copies of them are

  constructor(mapFd: number, size: number, room: number) {
    this.#request = new Request(ARGUMENTS, ARGUMENTS + room + 8).u64(FD, BigInt(mapFd)).u64(SIZE, BigInt(size));
    this.#room = room;
    this.#records = this.#request.room(OUT, room);
  }

  /**
   * Gives `consumed` bytes back to the kernel and copies the records behind them, on another thread: waits on the epoll
   * instance if there are none. Returns how many bytes, or -errno.
   */
  read(consumed: number, epoll: number): Promise<number> {
    return this.#arguments(consumed, this.#room, epoll).submit((bytes, length) =>
      native().bpf_link_ring_async(bytes, length)
    );
  }

  /** Gives `consumed` bytes back, and reads nothing. */
  giveBack(consumed: number): void {
    this.#arguments(consumed, 0, NO_EPOLL).submit((bytes, length) => native().bpf_link_ring(bytes, length));
  }

  /** The word at byte `at` of the records. */
  getU32(at: number): number {
    return this.#request.getU32(this.#records + at);
  }

  /** Bytes of the records, not copied. */
  bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#request.bytes(this.#records + at, length);
  }

  #arguments(consumed: number, room: number, epoll: number): Request {
    return this.#request.u64(CONSUMED, BigInt(consumed)).u64(ROOM, BigInt(room)).u64(EPOLL, BigInt(epoll));
  }
}
