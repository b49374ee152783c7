/** A request to the kernel, encoded. The layout is that of `ffi/core/src/request.rs`. */
import { decoder, encoder, lazy } from "../lazy.ts";
import { EAGAIN, EINTR } from "../uapi/errno.ts";
import { F_DUPFD_CLOEXEC } from "../uapi/linux.ts";
import { Call, numbers } from "./symbols.ts";
import { fast, native, onAnotherThread } from "./library.ts";

/** Room for a path that is too long, which the kernel is to refuse. */
export const PATH_SIZE = 4104;

/** Bytes of a request at most: far more than a call needs, and offsets fit 32 bits. */
export const MAX_SIZE: number = 1024 * 1024 * 1024;

const { HEADER, NO_NETNS } = numbers.request;
/** Words of the header. */
const ARGUMENTS = numbers.request.ARGUMENTS / 4,
  COMMON_SIZE = numbers.request.COMMON / 4,
  SLOTS = numbers.request.SLOTS / 4,
  OWNED = numbers.request.OWNED / 4,
  NETNS = numbers.request.NETNS / 4;

/** Bytes of the fixed block of every call but bpf(2): six u64. */
export const ARGS: number = numbers.syscall.ARGUMENTS;

const { COMMON_ATTRS } = numbers.syscall;

/** `struct bpf_common_attr`, which COMMON_ATTRS beside a command says to be there. */
const COMMON = { log_buf: 0, log_size: 8, log_level: 12, sizeof: 24 } as const;
const COMMON_LOG_SIZE = 4096;

/**
 * The arguments of one system call in one buffer: a fixed block (`bpf_attr`, or six u64 of another call), the data that
 * pointers of the block refer to, and the fds to be closed once the call has returned.
 *
 * Offsets of the setters count from the start of the fixed block, as in `linux/bpf.h`. A request may be submitted again
 * after fields were set anew; {@linkcode reset} empties it.
 */
export class Request {
  #bytes: Uint8Array<ArrayBuffer>;
  #words: Uint32Array;
  #longs: BigUint64Array;
  #blockSize: number;
  #end: number;
  #slots: number[] = [];
  #owned: number[] = [];
  #fds = 0; // a bit for each word of the block that holds an fd
  #length = 0; // of the whole, if slots are written and no fd is owned; else 0

  /** @param blockSize Bytes of the fixed block. */
  constructor(blockSize: number, capacity: number = blockSize) {
    this.#bytes = new Uint8Array(HEADER + checkSize(align(capacity)));
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#longs = new BigUint64Array(this.#bytes.buffer);
    this.#blockSize = blockSize;
    this.#end = HEADER + align(blockSize);
    this.#words[ARGUMENTS] = blockSize;
    this.#words[NETNS] = NO_NETNS;
  }

  /** Zeroes the block and forgets data, fds and network namespace. */
  reset(blockSize: number = this.#blockSize): this {
    this.#blockSize = blockSize;
    this.#bytes.fill(0, 0, HEADER + align(blockSize));
    this.#words[ARGUMENTS] = blockSize;
    this.#words[NETNS] = NO_NETNS;
    this.#end = HEADER + align(blockSize);
    this.#slots.length =
      this.#owned.length =
      this.#fds =
      this.#length =
        0;
    return this;
  }

  u32(at: number, value: number): this {
    this.#words[(HEADER + at) >> 2] = value;
    return this;
  }

  u64(at: number, value: bigint): this {
    this.#longs[(HEADER + at) >> 3] = value;
    return this;
  }

  /** A word that names an fd; an asynchronous call works on a duplicate. */
  fd(at: number, fd: number): this {
    this.#fds |= 1 << (at >> 2);
    return this.u32(at, fd);
  }

  /** Hands over an fd, one of eight at most: it is closed once the call has returned, or by {@linkcode release}. */
  own(fd: number): this {
    this.#owned.push(fd);
    this.#length = 0;
    return this;
  }

  /** Makes the call in another network namespace. */
  netns(fd: number): this {
    this.#words[NETNS] = fd;
    return this;
  }

  /** Copies `data` behind the block, points the u64 at `at` to it and returns its offset. */
  data(at: number, data: Uint8Array): number {
    const to = this.room(at, data.byteLength);
    this.#bytes.set(data, HEADER + to);
    return to;
  }

  /** A string with its NUL, as {@linkcode data}. */
  string(at: number, value: string): number {
    return this.data(at, encoder().encode(value + "\0"));
  }

  /** Writes a string with its NUL into room of `size` bytes that was made before. */
  text(at: number, size: number, value: string): this {
    writeText(this.#bytes, HEADER + at, size, value);
    return this;
  }

  /** Makes zeroed room behind the block, for an answer, points the u64 at `at` to it and returns its offset. */
  room(at: number, size: number): number {
    const to = this.#end;
    this.#grow(to + align(size));
    this.#bytes.fill(0, to, this.#end);
    this.#slots.push(HEADER + at, to);
    this.#length = 0;
    return to - HEADER;
  }

  /** The word at `at`, after the call. */
  getU32(at: number): number {
    return this.#words[(HEADER + at) >> 2]!;
  }

  /** The u64 at `at`, after the call. */
  getU64(at: number): bigint {
    return this.#longs[(HEADER + at) >> 3]!;
  }

  /** The bytes from `at`, not copied. */
  bytes(at: number, size: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(HEADER + at, HEADER + at + size);
  }

  /** The string at `at`, up to its NUL or `size` bytes. */
  getString(at: number, size: number): string {
    const bytes = this.bytes(at, size);
    const end = bytes.indexOf(0);
    return decoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** Makes the call: bpf(2) with `command`. Returns its result or -errno. */
  bpf(command: number): number {
    const length = this.#seal(); // first, for it may move the bytes
    return fast()?.bpf_link_bpf(command, this.#bytes, length) ?? native().bpf_link_bpf(command, this.#bytes, length);
  }

  /**
   * Makes a call again that was refused, now with a log: since Linux 7.3 the kernel explains some refusals there, older
   * ones know no such call. The request must have no data.
   */
  bpfWithLog(command: number): { readonly result: number; readonly log: string } {
    const common = this.#blockSize;
    this.#words[COMMON_SIZE] = COMMON.sizeof;
    this.#grow(this.#end + COMMON.sizeof);
    const log = this.u32(common + COMMON.log_size, COMMON_LOG_SIZE).u32(common + COMMON.log_level, 1)
      .room(common + COMMON.log_buf, COMMON_LOG_SIZE);
    const result = this.bpf(command | COMMON_ATTRS);
    return { result, log: this.getString(log, COMMON_LOG_SIZE).trimEnd() };
  }

  /**
   * The same on another thread, with duplicates of all fds, so that they may be closed meanwhile. The request must be used
   * for nothing else until then.
   */
  bpfAsync(command: number): Promise<number> {
    const words = this.#words[NETNS] === NO_NETNS ? [] : [NETNS];
    for (let fds = this.#fds, word = HEADER / 4; fds !== 0; fds >>>= 1, word++) if ((fds & 1) !== 0) words.push(word);
    for (const word of words) {
      const fd = this.#words[word]!;
      if (this.#owned.includes(fd)) continue;
      const copy = duplicate(fd);
      if (copy < 0) {
        this.release();
        return Promise.resolve(copy);
      }
      this.own(copy).#words[word] = copy;
    }
    const length = this.#seal();
    return onAnotherThread("bpf_link_bpf", command, this.#bytes, length);
  }

  /** Makes another call of `ffi/core`'s list. Returns its result or -errno. */
  system(call: number): number {
    const length = this.#seal();
    return fast()?.bpf_link_system(call, this.#bytes, length) ?? native().bpf_link_system(call, this.#bytes, length);
  }

  /** The same on another thread. Nothing is duplicated: fds must stay open until the promise is settled. */
  async systemAsync(call: number): Promise<number> {
    const length = this.#seal();
    return await onAnotherThread("bpf_link_system", call, this.#bytes, length);
  }

  /** Closes the fds handed over, where no call is made. */
  release(): void {
    for (const fd of this.#owned.splice(0)) native().bpf_link_close(fd);
  }

  /** Writes slots and owned fds behind the data and returns the length of the whole. */
  #seal(): number {
    return this.#length !== 0 ? this.#length : this.#writeTail();
  }

  #writeTail(): number {
    const slots = this.#slots, owned = this.#owned, end = this.#end;
    this.#grow(end + (slots.length + owned.length) * 4);
    const length = this.#end;
    this.#end = end;
    this.#words[SLOTS] = slots.length / 2;
    this.#words[OWNED] = owned.length;
    let word = end >> 2;
    for (let i = 0; i < slots.length; i++) this.#words[word++] = slots[i]!;
    for (let i = 0; i < owned.length; i++) this.#words[word++] = owned[i]!;
    if (owned.length === 0) this.#length = length;
    owned.length = 0; // the call closes them
    return length;
  }

  #grow(end: number): void {
    if (end > this.#bytes.length) {
      const bytes = new Uint8Array(Math.min(align(checkSize(end) * 2), MAX_SIZE));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#words = new Uint32Array(bytes.buffer);
      this.#longs = new BigUint64Array(bytes.buffer);
    }
    this.#end = end;
  }
}

/** A request with room for a path, which `field` of its block points to, and where that room is. */
export function withPath(blockSize: number, field: number): { request: Request; at: number } {
  const request = new Request(blockSize, blockSize + 8 + PATH_SIZE);
  return { request, at: request.room(field, PATH_SIZE) };
}

/** Writes a string with its NUL to where there is room for `size` bytes. */
export function writeText(bytes: Uint8Array<ArrayBuffer>, start: number, size: number, value: string): void {
  const length = Math.min(value.length, size - 1);
  let i = 0, code;
  // by hand, as long as it is ASCII: the encoder takes half a microsecond
  for (; i < length && (code = value.charCodeAt(i)) < 128; i++) bytes[start + i] = code;
  if (i < length) i = encoder().encodeInto(value, bytes.subarray(start, start + size - 1)).written;
  bytes[start + i] = 0;
}
const duplication = lazy(() => new Request(ARGS).u64(8, BigInt(F_DUPFD_CLOEXEC)).u64(16, 3n));

/** A second fd for the same object, or -errno. */
export function duplicate(fd: number): number {
  return duplication().u64(0, BigInt(fd)).system(Call.fcntl);
}

const NO_FD = -1;

/**
 * bpf(2) with a command that `ffi/core/src/syscall.rs` knows to take four words at most and no address: without a request,
 * which costs as much as the border. Returns its result, the id of LINK_GET_NEXT_ID, or -errno.
 *
 * @param owned An fd that is closed once the call has succeeded.
 */
export function words(command: number, a: number, b = 0, c = 0, d = 0, owned: number = NO_FD): number {
  return fast()?.bpf_link_words(command, a, b, c, d, owned) ?? native().bpf_link_words(command, a, b, c, d, owned);
}

/** Makes a call that a signal, or somebody else's changes, may cut short: five times at most, as libbpf does. */
export function insisting(call: () => number): number {
  for (let tries = 1;; tries++) {
    const result = call();
    if (tries === 5 || (result !== -EINTR && result !== -EAGAIN)) return result;
  }
}

/** Rounded up to a multiple of eight; beyond 32 bits too, where bit operations would wrap. */
export function align(size: number): number {
  return Math.ceil(size / 8) * 8;
}

function checkSize(size: number): number {
  if (size <= MAX_SIZE) return size;
  throw new RangeError(
    `A system call can have at most ${MAX_SIZE} bytes of arguments and room for answers, not ${size}`,
  );
}

/** Makes `call` with up to six numbers as arguments; `prepare` adds those that are addresses. */
export function system(call: number, args: readonly (number | bigint)[], prepare?: (request: Request) => void): number {
  const request = new Request(ARGS, 512);
  args.forEach((value, i) => request.u64(i * 8, BigInt(value) & 0xffffffffffffffffn));
  prepare?.(request);
  return request.system(call);
}
