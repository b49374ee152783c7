/** The commands of bpf(2) on elements of maps. */
import { checkBytes, checkInteger, checkU32 } from "../check.ts";
import { align, insisting, MAX_SIZE, Request } from "../ffi/request.ts";
import { readTextFile } from "../os/files.ts";
import { checked, CLOSED, type Refusals, refused, type Rows } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { EFAULT, EINTR, EINVAL, ENOENT, ENOTSUPP } from "../uapi/errno.ts";
import { batch, map_elem } from "../uapi/layout.ts";
import { mapGetInfoByFd, type MapInfo, mapTypeFacts } from "./map.ts";
import { isMap } from "./object.ts";

/** What all commands on elements of a map may say. */
const MAP_ACCESS: Rows = {
  EBADF: CLOSED,
  EFAULT: [
    "mismatch",
    "the fd is of another map than it was, or values have parts for more CPUs than were made room for",
    "look for who closed the fd behind the handle's back; or for what is mounted over /sys/devices/system/cpu/possible",
  ],
  EPERM: ["policy", "the fd of the map is read-only or write-only, or the map is frozen", "open the map once more"],
  EOPNOTSUPP: ["unsupported", "maps of this type cannot do that"],
  ENOTSUPP: ["unsupported", "maps of this type cannot do that"],
};

/** What errnos of {@linkcode mapLookupElem} mean. */
export const MAP_LOOKUP_ELEM: Refusals = {
  command: "MAP_LOOKUP_ELEM",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: ["invalid", "the fd is no map, or elements of this type cannot be read", "pass an fd of a map"],
    ENOSPC: [
      "invalid",
      "the map's values are too small for what the kernel reports",
      "make the sockmap with values of 8 bytes",
    ],
  }),
};

/**
 * Reads an element.
 *
 * Wraps `bpf_map_lookup_elem_flags()`. Since Linux 3.18. Needs no capability, only the fd. The sizes of the map are asked
 * for first, since the kernel trusts those of the caller's buffers; {@linkcode "@bpf/link".BpfMap} asks once.
 *
 * @param mapFd An fd of the map.
 * @param key The key, as long as the map's keys; empty for a queue or stack, whose next value is read.
 * @param flags 0, or BPF_F_LOCK (4).
 * @returns A copy of the value, or `undefined` if there is no such element. Of a per-CPU map the values of all possible
 * CPUs in a row, each rounded up to a multiple of 8 bytes. Of a map of maps, programs or the like the id (4 bytes).
 * @throws {TypeError} If `key` is no view of bytes, or the map is a bloom filter, which only programs can ask.
 * @throws {RangeError} If `key` has another length than the map's keys, or a number is out of range.
 * @throws {BpfError}
 * - `EBADFD`, `EINVAL`: `mapFd` is not open, or no map; unknown flags
 * - `EOPNOTSUPP`, `ENOTSUPP` (524): elements of this type cannot be read
 * - `EPERM`: the fd is write-only
 * - `ENOSPC`: a sockmap whose values have 4 bytes: 8 are needed to read the socket's cookie
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapLookupElem } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 16);
 * console.log(mapLookupElem(map, new Uint8Array(4)));
 * close(map);
 * ```
 */
export function mapLookupElem(mapFd: number, key: ArrayBufferView, flags = 0): Uint8Array<ArrayBuffer> | undefined {
  return elementsOf(mapFd).lookup(key, flags);
}

/** What errnos of {@linkcode mapUpdateElem} mean. */
export const MAP_UPDATE_ELEM: Refusals = {
  command: "MAP_UPDATE_ELEM",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: [
      "invalid",
      "maps of this type do not take this value",
      "maps of maps, programs and sockets take an fd of the right kind",
    ],
    EBADF: ["invalid", "an fd is not open, also the one that is the value", "keep it open until the call has returned"],
    ENOTSOCK: ["invalid", "the fd that is the value is no socket"],
    EEXIST: ["exists", "the element is there already", "every element of an array always is"],
    ENOENT: ["gone", "there is no such element"],
    E2BIG: ["limit", "the map is full, or the index is beyond its end"],
    EBUSY: ["busy", "the element is being changed, or the struct_ops map has its value already"],
    EAGAIN: ["unsettled", "the element is being changed", "ask again"],
  }),
};

/**
 * Writes an element.
 *
 * Programs see the old value or the new one, except in arrays, whose values are overwritten in place. Wraps
 * `bpf_map_update_elem()`. Since Linux 3.18. Needs no capability, only the fd. The sizes of the map are asked for first.
 *
 * @param mapFd An fd of the map.
 * @param key The key, as long as the map's keys; empty for a queue or stack, to which the value is added.
 * @param value The value, as {@linkcode mapLookupElem} returns it; for a map of maps, programs, sockets or the like an fd
 * (4 bytes).
 * @param flags 0, BPF_NOEXIST (1), BPF_EXIST (2), BPF_F_LOCK (4).
 * @throws {TypeError} If `key` or `value` is no view of bytes.
 * @throws {RangeError} If one has another length than the map's, or a number is out of range.
 * @throws {BpfError}
 * - `EEXIST`: BPF_NOEXIST, and the element is there; every element of an array is
 * - `ENOENT`: BPF_EXIST, and it is not there
 * - `E2BIG`: the map is full, or the index is beyond the array
 * - `EBADFD`, `EBADF`, `EINVAL`: an fd is not open or of something else; a value that the type refuses; unknown flags
 * - `EPERM`: the fd is read-only, or the map is frozen
 * - `EBUSY`: a struct_ops map that has its value
 * - `ENOTSOCK`: the fd that is to be put into a map of sockets is none
 * - `EOPNOTSUPP`, `ENOTSUPP` (524): elements of this type cannot be written; a socket whose state does not suit
 * - `ENOMEM`: no memory
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapUpdateElem } from "@bpf/link/sys";
 *
 * const map = mapCreate("hash", 4, 8, 16);
 * mapUpdateElem(map, new Uint8Array(4), new Uint8Array(8), 1);
 * close(map);
 * ```
 */
export function mapUpdateElem(mapFd: number, key: ArrayBufferView, value: ArrayBufferView, flags = 0): void {
  elementsOf(mapFd).update(key, value, flags);
}

/** What errnos of {@linkcode mapDeleteElem} mean. */
export const MAP_DELETE_ELEM: Refusals = {
  command: "MAP_DELETE_ELEM",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: [
      "unsupported",
      "elements of this type cannot be removed",
      "those of arrays are always there; write zeroes",
    ],
    EBUSY: ["busy", "the element is being changed"],
    EINPROGRESS: ["unsettled", "the struct_ops is still being removed", "ask again"],
  }),
};

/**
 * Removes an element.
 *
 * Wraps `bpf_map_delete_elem()`. Since Linux 3.18. Needs no capability, only the fd. The sizes of the map are asked for
 * first.
 *
 * @param mapFd An fd of the map.
 * @param key The key, as long as the map's keys; empty for a queue or stack, whose next value is removed.
 * @returns Whether it was there.
 * @throws {TypeError} If `key` is no view of bytes.
 * @throws {RangeError} If `key` has another length than the map's keys.
 * @throws {BpfError}
 * - `EBADFD`, `EINVAL`: `mapFd` is not open, or no map; elements of an array cannot be removed
 * - `EPERM`: the fd is read-only, or the map is frozen
 * - `EOPNOTSUPP`, `ENOTSUPP` (524): elements of this type cannot be removed
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapDeleteElem } from "@bpf/link/sys";
 *
 * const map = mapCreate("hash", 4, 8, 16);
 * console.log(mapDeleteElem(map, new Uint8Array(4))); // false
 * close(map);
 * ```
 */
export function mapDeleteElem(mapFd: number, key: ArrayBufferView): boolean {
  return elementsOf(mapFd).delete(key);
}

/** What errnos of {@linkcode mapGetNextKey} mean. */
export const MAP_GET_NEXT_KEY: Refusals = {
  command: "MAP_GET_NEXT_KEY",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: ["unsupported", "maps of this type have no keys", "read them with lookup() or records()"],
  }),
};

/**
 * The key after `key`, in an order that only the kernel knows.
 *
 * If `key` is not there (any more) it is the first one, so a walk while elements are removed may begin anew:
 * {@linkcode mapLookupBatch} does not. Wraps `bpf_map_get_next_key()`. Since Linux 3.18. Needs no capability, only the
 * fd. The sizes of the map are asked for first.
 *
 * @param mapFd An fd of the map.
 * @param key A key; `undefined` for the first.
 * @returns The next key, or `undefined` after the last.
 * @throws {TypeError} If `key` is no view of bytes.
 * @throws {RangeError} If `key` has another length than the map's keys.
 * @throws {BpfError}
 * - `EBADFD`, `EINVAL`: `mapFd` is not open, or no map; the type has no keys
 * - `EOPNOTSUPP`, `ENOTSUPP` (524): the type has no keys
 * - `EPERM`: the fd is write-only
 *
 * @example All keys
 * ```ts
 * import { close, mapCreate, mapGetNextKey } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 3);
 * for (let key = mapGetNextKey(map); key !== undefined; key = mapGetNextKey(map, key)) console.log(key);
 * close(map);
 * ```
 */
export function mapGetNextKey(mapFd: number, key?: ArrayBufferView): Uint8Array<ArrayBuffer> | undefined {
  return elementsOf(mapFd).nextKey(key);
}

/** A part of a map; see {@linkcode mapLookupBatch}. */
export interface MapBatch {
  /** Keys and values, each a copy. */
  readonly entries: [key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>][];
  /** Where the next part begins; `undefined` if this one is the last. */
  readonly next: Uint8Array<ArrayBuffer> | undefined;
}

/** What errnos of {@linkcode mapLookupBatch} mean. */
export const MAP_LOOKUP_BATCH: Refusals = {
  command: "MAP_LOOKUP_BATCH",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: ["invalid", "the fd is no map, or the beginning of the part is none"],
    ENOSPC: ["limit", "a bucket of the hash has more elements than were asked for", "ask for more at once"],
    EINTR: ["unsettled", "the elements were changed too quickly", "ask again"],
  }),
};

/**
 * Reads many elements at once.
 *
 * Elements that are there all the time come exactly once; those that are made or removed meanwhile may be in it or not.
 * (For other types than hashes and arrays `next` is a key: if that is removed meanwhile, the next part is the first.)
 * Wraps `bpf_map_lookup_batch()`. Since Linux 5.6: hash, lru_hash, array; 5.13: lpm_trie, per-CPU arrays; 5.19: the maps
 * of maps. Needs no capability, only the fd. The sizes of the map are asked for first.
 *
 * @param mapFd An fd of the map.
 * @param from What the part before gave as `next`; `undefined` for the first part.
 * @param count How many elements at most.
 * @returns The part; it may have no entries and still not be the last.
 * @throws {TypeError} If `from` is no view of bytes.
 * @throws {RangeError} If `from` has another length than the last `next`, `count` elements are more than 1 GiB, or a
 * number is out of range.
 * @throws {BpfError}
 * - `ENOTSUPP` (524): the type has no batches; use {@linkcode mapGetNextKey}
 * - `ENOSPC`: a bucket of the hash has more than `count` elements; ask for more at once
 * - `EBADFD`, `EINVAL`: `mapFd` is not open, or no map
 * - `EPERM`: the fd is write-only
 *
 * @example All entries
 * ```ts
 * import { close, mapCreate, mapLookupBatch } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 100);
 * for (let part = mapLookupBatch(map, undefined, 64);; part = mapLookupBatch(map, part.next, 64)) {
 *   for (const [key, value] of part.entries) console.log(key, value);
 *   if (part.next === undefined) break;
 * }
 * close(map);
 * ```
 */
export function mapLookupBatch(mapFd: number, from: ArrayBufferView | undefined, count: number): MapBatch {
  return elementsOf(mapFd).batch(from, count);
}

function elementsOf(mapFd: number): Elements {
  const info = mapGetInfoByFd(mapFd);
  if (!isMap(mapFd)) throw refused(-EINVAL, MAP_LOOKUP_ELEM, `Cannot use fd ${mapFd} as a map`);
  return new Elements(mapFd, info, `map (fd ${mapFd})`);
}

/** What errnos of taking an element out of a queue mean. */
const MAP_LOOKUP_AND_DELETE_ELEM: Refusals = {
  command: "MAP_LOOKUP_AND_DELETE_ELEM",
  rows: () => ({
    ...MAP_ACCESS,
    EINVAL: ["invalid", "elements of this type cannot be taken out"],
  }),
};

/**
 * The elements of a map of known sizes. The kernel reads and writes as many bytes as the map says, whatever the caller's
 * buffers hold: this class alone hands it buffers for elements. If the fd has become another map's meanwhile, the native
 * side keeps what does not fit from being written (`ffi/core/src/request.rs`), which is EFAULT.
 */
export class Elements {
  readonly #fd: number;
  readonly #info: MapInfo;
  readonly #what: string;
  readonly #valueSize: number; // of all CPUs
  readonly #request: Request;
  readonly #key: number;
  readonly #value: number;

  /** @param what The map in an error's words. */
  constructor(fd: number, info: MapInfo, what: string) {
    this.#fd = fd;
    this.#info = info;
    this.#what = what;
    this.#valueSize = mapTypeFacts(info.type).isPerCpu ? align(info.valueSize) * possibleCpus() : info.valueSize;
    this.#request = new Request(map_elem.sizeof, map_elem.sizeof + align(info.keySize) + this.#valueSize);
    this.#key = this.#room(map_elem.key, info.keySize);
    this.#value = this.#room(map_elem.value, this.#valueSize);
  }

  lookup(key: ArrayBufferView, flags = 0): Uint8Array<ArrayBuffer> | undefined {
    if (this.#info.type === "bloom_filter") { // the kernel would look for what is in the buffer of the answer
      throw new TypeError(
        "A bloom filter has no elements to be read: a program asks whether it has a value, by bpf_map_peek_elem()",
      );
    }
    const result = this.#element(key, flags).bpf(Command.MAP_LOOKUP_ELEM);
    if (result === -ENOENT) return undefined;
    checked(result, MAP_LOOKUP_ELEM, () => `Cannot read from ${this.#what}`);
    return this.#request.bytes(this.#value, this.#valueSize).slice();
  }

  update(key: ArrayBufferView, value: ArrayBufferView, flags = 0): void {
    const request = this.#element(key, flags);
    request.bytes(this.#value, this.#valueSize).set(checkBytes(value, "value", this.#valueSize));
    checked(request.bpf(Command.MAP_UPDATE_ELEM), MAP_UPDATE_ELEM, () => `Cannot write to ${this.#what}`);
  }

  delete(key: ArrayBufferView): boolean {
    const isKeyless = mapTypeFacts(this.#info.type).isQueue === true;
    // no room for a value: EINVAL else
    const request = isKeyless ? this.#element(key, 0) : this.#keyed(map_elem.value, key);
    const result = request.bpf(isKeyless ? Command.MAP_LOOKUP_AND_DELETE_ELEM : Command.MAP_DELETE_ELEM);
    if (result === -ENOENT) return false;
    const refusals = isKeyless ? MAP_LOOKUP_AND_DELETE_ELEM : MAP_DELETE_ELEM;
    checked(result, refusals, () => `Cannot delete from ${this.#what}`);
    return true;
  }

  nextKey(key: ArrayBufferView | undefined): Uint8Array<ArrayBuffer> | undefined {
    const { keySize } = this.#info;
    const request = this.#keyed(map_elem.flags, key);
    const at = request.room(map_elem.next_key, keySize);
    const result = request.bpf(Command.MAP_GET_NEXT_KEY);
    if (result === -ENOENT) return undefined;
    checked(result, MAP_GET_NEXT_KEY, () => `Cannot list keys of ${this.#what}`);
    return request.bytes(at, keySize).slice();
  }

  batch(from: ArrayBufferView | undefined, count: number): MapBatch {
    const { keySize } = this.#info, tokenSize = Math.max(keySize, 4); // a key, or the number of a bucket
    checkInteger(count, "count", 1, 1 << 20);
    const element = align(keySize) + align(this.#valueSize);
    const rest = batch.sizeof + 2 * align(tokenSize) + 4 * 8; // with four pointers
    const most = Math.floor((MAX_SIZE - rest) / element);
    if (count > most) {
      throw new RangeError(`count must be at most ${most} for elements of ${element} bytes: read smaller parts`);
    }
    if (mapGetInfoByFd(this.#fd).id !== this.#info.id) { // larger elements could fit, but not be read right
      throw refused(-EFAULT, MAP_LOOKUP_BATCH, `Cannot read from ${this.#what}`);
    }
    const request = new Request(batch.sizeof, rest + element * count);
    request.u32(batch.map_fd, this.#fd);
    if (from !== undefined) request.data(batch.in_batch, checkBytes(from, "from", tokenSize));
    const next = request.room(batch.out_batch, tokenSize);
    const keys = request.room(batch.keys, keySize * count);
    const values = request.room(batch.values, this.#valueSize * count);
    let found = 0;
    const result = insisting(() => {
      const result = request.u32(batch.count, count).bpf(Command.MAP_LOOKUP_BATCH);
      found = request.getU32(batch.count);
      // cut short by changes: what came until then is valid; a call that did not begin leaves the count as it was
      return result === -EINTR && found > 0 && found < count ? 0 : result;
    });
    if (result !== -ENOENT) checked(result, MAP_LOOKUP_BATCH, () => `Cannot read from ${this.#what}`);
    const entries: MapBatch["entries"] = [];
    for (let i = 0; i < found; i++) {
      entries.push([
        request.bytes(keys + i * keySize, keySize).slice(),
        request.bytes(values + i * this.#valueSize, this.#valueSize).slice(),
      ]);
    }
    return { entries, next: result === -ENOENT ? undefined : request.bytes(next, tokenSize).slice() };
  }

  /** Writes elements in one call; how many, or `undefined` if the type has no batches. */
  updateBatch(entries: readonly Entry[]): number | undefined {
    const { result, done } = this.#writeBatch(Command.MAP_UPDATE_BATCH, entries.map(([key]) => key), entries);
    if (result === -ENOTSUPP) return undefined;
    checked(result, { ...MAP_UPDATE_ELEM, command: "MAP_UPDATE_BATCH" }, () => `Cannot write to ${this.#what}`);
    return done;
  }

  /** Removes elements in one call, up to the first that is not there; how many, or `undefined` if the type has no batches. */
  deleteBatch(keys: readonly ArrayBufferView[]): number | undefined {
    const { result, done } = this.#writeBatch(Command.MAP_DELETE_BATCH, keys, undefined);
    if (result === -ENOTSUPP) return undefined;
    if (result === -ENOENT) return done;
    checked(result, { ...MAP_DELETE_ELEM, command: "MAP_DELETE_BATCH" }, () => `Cannot delete from ${this.#what}`);
    return done;
  }

  #writeBatch(
    command: number,
    keys: readonly ArrayBufferView[],
    entries: readonly Entry[] | undefined,
  ): { result: number; done: number } {
    const { keySize } = this.#info, valueSize = entries === undefined ? 0 : this.#valueSize, { length } = keys;
    if (keySize === 0) return { result: -ENOTSUPP, done: 0 }; // queues and their like
    const request = new Request(batch.sizeof, batch.sizeof + 64 + (align(keySize) + align(valueSize)) * length)
      .u32(batch.map_fd, this.#fd).u32(batch.count, length);
    const bytes = request.bytes(request.room(batch.keys, keySize * length), keySize * length);
    keys.forEach((key, i) => bytes.set(checkBytes(key, "key", keySize), i * keySize));
    if (entries !== undefined) {
      const bytes = request.bytes(request.room(batch.values, valueSize * length), valueSize * length);
      entries.forEach(([, value], i) => bytes.set(checkBytes(value, "value", valueSize), i * valueSize));
    }
    if (mapGetInfoByFd(this.#fd).id !== this.#info.id) return { result: -EFAULT, done: 0 }; // it would read beyond
    const result = request.bpf(command);
    return { result, done: request.getU32(batch.count) };
  }

  /** A request with a key and nothing else. */
  #keyed(blockSize: number, key: ArrayBufferView | undefined): Request {
    const { keySize } = this.#info, request = new Request(blockSize, blockSize + 2 * align(keySize));
    const bytes = key && checkBytes(key, "key", keySize);
    if (bytes !== undefined && bytes.length > 0) request.data(map_elem.key, bytes);
    return request.u32(map_elem.map_fd, this.#fd);
  }

  /** The request for one element. */
  #element(key: ArrayBufferView, flags: number): Request {
    const { keySize } = this.#info;
    const bytes = checkBytes(key, "key", keySize);
    this.#request.u32(map_elem.map_fd, this.#fd).u64(map_elem.flags, BigInt(checkU32(flags, "flags")));
    if (keySize > 0) this.#request.bytes(this.#key, keySize).set(bytes);
    return this.#request;
  }

  /** The kernel wants no pointer where there are no bytes. */
  #room(at: number, size: number): number {
    return size === 0 ? 0 : this.#request.room(at, size);
  }
}

/** An element to be written. */
export type Entry = readonly [key: ArrayBufferView, value: ArrayBufferView];

let cpus: number | undefined;

/** How many CPUs the kernel has made room for in per-CPU values. */
export function possibleCpus(): number {
  return cpus ??= readTextFile("/sys/devices/system/cpu/possible").trim().split(",")
    .map((range) => range.split("-").map(Number))
    .reduce((sum, [first, last]) => sum + (last ?? first!) - first! + 1, 0);
}
