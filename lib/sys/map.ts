/** The commands of bpf(2) on maps. */
import { checkBytes, checkFd, checkInteger, checkKeys, checkU32, checkU64 } from "../check.ts";
import { BpfError } from "../error.ts";
import { align, MAX_SIZE, Request } from "../ffi/request.ts";
import { readTextFile } from "../os/files.ts";
import { refusal } from "../refusal.ts";
import { BPF_F_TOKEN_FD, Command, type CommandName } from "../uapi/constants.ts";
import { EINTR, EINVAL, ENOENT } from "../uapi/errno.ts";
import { batch, bpf_map_info, get_id, info_by_fd, map_create, map_elem } from "../uapi/layout.ts";
import { type MapType, mapTypeName, mapTypeNumber } from "../uapi/types.ts";
import { explainMapCreate } from "./diagnose.ts";
import { isMap } from "./object_type.ts";
import { nameBytes } from "./program.ts";

/** Options of {@linkcode mapCreate}, named as in `struct bpf_map_create_opts`. */
export interface MapCreateOpts {
  /** A name for listings; the kernel keeps 15 bytes of letters, digits, `_` and `.`. */
  name?: string | undefined;
  /** BPF_F_NO_PREALLOC (1), BPF_F_RDONLY (8), BPF_F_WRONLY (16), BPF_F_MMAPABLE (1024), BPF_F_LINK (8192) and others. */
  mapFlags?: number | undefined;
  /** Maps of maps: a map of the type and sizes that the inner ones have. */
  innerMapFd?: number | undefined;
  /** The NUMA node to take memory from; needs the flag BPF_F_NUMA_NODE (4). */
  numaNode?: number | undefined;
  /** The interface that the map is offloaded to. */
  mapIfindex?: number | undefined;
  /** BTF that describes keys and values. */
  btfFd?: number | undefined;
  /** The type of keys in it. */
  btfKeyTypeId?: number | undefined;
  /** The type of values in it. */
  btfValueTypeId?: number | undefined;
  /** struct_ops: the struct `bpf_struct_ops_NAME` in the kernel's BTF. */
  btfVmlinuxValueTypeId?: number | undefined;
  /** What some types take besides: the number of hash functions of a bloom filter. Since Linux 5.16. */
  mapExtra?: bigint | undefined;
  /** A BPF token; since Linux 6.9. */
  tokenFd?: number | undefined;
}

const OPTIONS: readonly (keyof MapCreateOpts)[] = [
  "name",
  "mapFlags",
  "innerMapFd",
  "numaNode",
  "mapIfindex",
  "btfFd",
  "btfKeyTypeId",
  "btfValueTypeId",
  "btfVmlinuxValueTypeId",
  "mapExtra",
  "tokenFd",
];

const BPF_OBJ_NAME_LEN = 16;

/**
 * Makes a map.
 *
 * It lives until its last fd, pin, program and link is gone. Wraps `bpf_map_create()`. Since Linux 3.18; ring buffers
 * 5.8, bloom filters 5.16, struct_ops maps for links 6.4. Needs CAP_BPF, and CAP_NET_ADMIN for sockmap, sockhash,
 * devmap, devmap_hash and xskmap; before Linux 5.11 its memory counts against RLIMIT_MEMLOCK.
 *
 * @param type The map's type, as libbpf names it.
 * @param keySize Bytes of a key; 0 for types without keys (queue, stack, ringbuf, bloom_filter).
 * @param valueSize Bytes of a value, per CPU for per-CPU types; 0 for ringbuf.
 * @param maxEntries How many elements; bytes for a ringbuf: a power of two and a multiple of the page size.
 * @param options What the type takes beyond that.
 * @returns An fd of the map, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If a value has the wrong type, an option is unknown, or the name has other characters.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError} since Linux 7.3 often with the kernel's words in `log`
 * - `EINVAL`: sizes, number of elements or flags that the type does not have; a type newer than the kernel
 * - `EPERM`: a capability is missing
 * - `E2BIG`: keys, values or the whole are too large
 * - `ENOMEM`: no memory
 * - `EBADF`: an fd among the options is not open
 * - `ENOTSUPP` (524): maps of maps: an inner map of a type that cannot be one, such as prog_array; struct_ops: no such
 *   struct
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapLookupElem, mapUpdateElem } from "@bpf/link/sys";
 *
 * const map = mapCreate("hash", 4, 8, 1024, { name: "counters" });
 * mapUpdateElem(map, new Uint8Array(4), new Uint8Array(8));
 * console.log(mapLookupElem(map, new Uint8Array(4)));
 * close(map);
 * ```
 */
export function mapCreate(
  type: MapType,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  options: MapCreateOpts = {},
): number {
  checkKeys(options, "options", OPTIONS);
  const { name, innerMapFd, btfFd, mapExtra, tokenFd } = options;
  const u32 = (key: keyof MapCreateOpts) => checkU32(options[key] ?? 0, `options.${key}`);
  const request = new Request(map_create.sizeof).u32(map_create.map_type, mapTypeNumber(type, "type"))
    .u32(map_create.key_size, checkU32(keySize, "keySize"))
    .u32(map_create.value_size, checkU32(valueSize, "valueSize"))
    .u32(map_create.max_entries, checkU32(maxEntries, "maxEntries"))
    .u32(map_create.map_flags, (u32("mapFlags") | (tokenFd === undefined ? 0 : BPF_F_TOKEN_FD)) >>> 0)
    .u32(map_create.numa_node, u32("numaNode"))
    .u32(map_create.map_ifindex, u32("mapIfindex"))
    .u32(map_create.btf_key_type_id, u32("btfKeyTypeId"))
    .u32(map_create.btf_value_type_id, u32("btfValueTypeId"))
    .u32(map_create.btf_vmlinux_value_type_id, u32("btfVmlinuxValueTypeId"));
  if (innerMapFd !== undefined) request.u32(map_create.inner_map_fd, checkFd(innerMapFd, "options.innerMapFd"));
  if (name !== undefined) request.bytes(map_create.map_name, BPF_OBJ_NAME_LEN).set(nameBytes(name));
  if (btfFd !== undefined) request.u32(map_create.btf_fd, checkFd(btfFd, "options.btfFd"));
  if (mapExtra !== undefined) request.u64(map_create.map_extra, checkU64(mapExtra, "options.mapExtra"));
  if (tokenFd !== undefined) request.u32(map_create.map_token_fd, checkFd(tokenFd, "options.tokenFd"));
  const result = request.bpf(Command.MAP_CREATE);
  if (result >= 0) return result;
  const { result: again, log } = request.bpfWithLog(Command.MAP_CREATE);
  if (again >= 0) return again;
  throw new BpfError(-result, {
    action: `Cannot create ${type} map${name === undefined ? "" : ` "${name}"`}`,
    command: "MAP_CREATE",
    log,
    ...explainMapCreate(-result, type, log),
  });
}

/** What the kernel tells of a map: `struct bpf_map_info`. */
export interface MapInfo {
  /** Its type, as libbpf names it. */
  readonly type: MapType;
  /** Its id. */
  readonly id: number;
  /** Its name, of at most 15 bytes; may be empty. */
  readonly name: string;
  /** Bytes of a key. */
  readonly keySize: number;
  /** Bytes of a value, per CPU for per-CPU types. */
  readonly valueSize: number;
  /** How many elements it may have; bytes for a ringbuf. */
  readonly maxEntries: number;
  /** The flags that it was made with. */
  readonly mapFlags: number;
  /** The interface that it is offloaded to, or 0. */
  readonly ifindex: number;
  /** struct_ops: the type of its value in the kernel's BTF. */
  readonly btfVmlinuxValueTypeId: number;
  /** The id of the BTF that describes keys and values, or 0. */
  readonly btfId: number;
  /** The type of keys in it. */
  readonly btfKeyTypeId: number;
  /** The type of values in it. */
  readonly btfValueTypeId: number;
  /** What some types have besides; 0n before Linux 5.16. */
  readonly mapExtra: bigint;
}

/**
 * Reads what the kernel tells of a map.
 *
 * Wraps `bpf_map_get_info_by_fd()`. Since Linux 4.13. Needs no capability, only the fd. The kernel answers for programs
 * and links too, and their answers look like a map's: be sure that the fd is a map's.
 *
 * @param mapFd An fd of the map.
 * @returns Its info.
 * @throws {RangeError} If `mapFd` is no fd.
 * @throws {BpfError}
 * - `EBADFD`: `mapFd` is not open
 * - `EINVAL`: `mapFd` is no object of bpf
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapGetInfoByFd } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 16);
 * console.log(mapGetInfoByFd(map).maxEntries);
 * close(map);
 * ```
 */
export function mapGetInfoByFd(mapFd: number): MapInfo {
  const { sizeof } = bpf_map_info;
  const request = new Request(info_by_fd.sizeof, info_by_fd.sizeof + sizeof)
    .u32(info_by_fd.bpf_fd, checkFd(mapFd, "mapFd"))
    .u32(info_by_fd.info_len, sizeof);
  const at = request.room(info_by_fd.info, sizeof);
  settle(request.bpf(Command.OBJ_GET_INFO_BY_FD), "OBJ_GET_INFO_BY_FD", `Cannot read info of map (fd ${mapFd})`);
  return {
    type: mapTypeName(request.getU32(at + bpf_map_info.type)),
    id: request.getU32(at + bpf_map_info.id),
    keySize: request.getU32(at + bpf_map_info.key_size),
    valueSize: request.getU32(at + bpf_map_info.value_size),
    maxEntries: request.getU32(at + bpf_map_info.max_entries),
    mapFlags: request.getU32(at + bpf_map_info.map_flags),
    name: request.getString(at + bpf_map_info.name, BPF_OBJ_NAME_LEN),
    ifindex: request.getU32(at + bpf_map_info.ifindex),
    btfVmlinuxValueTypeId: request.getU32(at + bpf_map_info.btf_vmlinux_value_type_id),
    btfId: request.getU32(at + bpf_map_info.btf_id),
    btfKeyTypeId: request.getU32(at + bpf_map_info.btf_key_type_id),
    btfValueTypeId: request.getU32(at + bpf_map_info.btf_value_type_id),
    mapExtra: request.getU64(at + bpf_map_info.map_extra),
  };
}

/**
 * Opens a map by its id.
 *
 * Wraps `bpf_map_get_fd_by_id()`. Since Linux 4.13. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @param id The id of the map.
 * @returns An fd of the map, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `id` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: no map has this id
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapGetFdById, mapGetInfoByFd } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 16);
 * const again = mapGetFdById(mapGetInfoByFd(map).id);
 * close(again);
 * close(map);
 * ```
 */
export function mapGetFdById(id: number): number {
  const result = new Request(get_id.sizeof).u32(get_id.map_id, checkU32(id, "id"))
    .bpf(Command.MAP_GET_FD_BY_ID);
  return settle(result, "MAP_GET_FD_BY_ID", `Cannot open map ${id}`);
}

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
 * @throws {TypeError} If `key` is no Uint8Array, or the map is a bloom filter, which only programs can ask.
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
export function mapLookupElem(mapFd: number, key: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> | undefined {
  return elementsOf(mapFd).lookup(key, flags);
}

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
 * @throws {TypeError} If `key` or `value` is no Uint8Array.
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
export function mapUpdateElem(mapFd: number, key: Uint8Array, value: Uint8Array, flags = 0): void {
  elementsOf(mapFd).update(key, value, flags);
}

/**
 * Removes an element.
 *
 * Wraps `bpf_map_delete_elem()`. Since Linux 3.18. Needs no capability, only the fd. The sizes of the map are asked for
 * first.
 *
 * @param mapFd An fd of the map.
 * @param key The key, as long as the map's keys; empty for a queue or stack, whose next value is removed.
 * @returns Whether it was there.
 * @throws {TypeError} If `key` is no Uint8Array.
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
export function mapDeleteElem(mapFd: number, key: Uint8Array): boolean {
  return elementsOf(mapFd).delete(key);
}

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
 * @throws {TypeError} If `key` is no Uint8Array.
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
export function mapGetNextKey(mapFd: number, key?: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  return elementsOf(mapFd).nextKey(key);
}

/** A part of a map; see {@linkcode mapLookupBatch}. */
export interface MapBatch {
  /** Keys and values, each a copy. */
  readonly entries: [key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>][];
  /** Where the next part begins; `undefined` if this one is the last. */
  readonly next: Uint8Array<ArrayBuffer> | undefined;
}

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
 * @throws {TypeError} If `from` is no Uint8Array.
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
 * for (let from; ;) {
 *   const { entries, next } = mapLookupBatch(map, from, 64);
 *   for (const [key, value] of entries) console.log(key, value);
 *   if (next === undefined) break;
 *   from = next;
 * }
 * close(map);
 * ```
 */
export function mapLookupBatch(mapFd: number, from: Uint8Array | undefined, count: number): MapBatch {
  return elementsOf(mapFd).batch(from, count);
}

function elementsOf(mapFd: number): Elements {
  const info = mapGetInfoByFd(mapFd);
  if (!isMap(mapFd)) settle(-EINVAL, "MAP_LOOKUP_ELEM", `Cannot use fd ${mapFd} as a map`);
  return new Elements(mapFd, info, `map (fd ${mapFd})`);
}

const PER_CPU: readonly MapType[] = [
  "percpu_hash",
  "percpu_array",
  "lru_percpu_hash",
  "percpu_cgroup_storage",
];
const WITHOUT_KEYS: readonly MapType[] = ["queue", "stack"];

/**
 * The elements of a map of known sizes. The kernel reads and writes as many bytes as the map says, whatever the caller's
 * buffers hold: this class alone hands it buffers for elements.
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
    this.#valueSize = PER_CPU.includes(info.type) ? align(info.valueSize) * possibleCpus() : info.valueSize;
    this.#request = new Request(map_elem.sizeof, map_elem.sizeof + align(info.keySize) + this.#valueSize);
    this.#key = this.#room(map_elem.key, info.keySize);
    this.#value = this.#room(map_elem.value, this.#valueSize);
  }

  lookup(key: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> | undefined {
    if (this.#info.type === "bloom_filter") { // the kernel would look for what is in the buffer of the answer
      throw new TypeError(
        "A bloom filter has no elements to be read: a program asks whether it has a value, by bpf_map_peek_elem()",
      );
    }
    const result = this.#element(key, flags).bpf(Command.MAP_LOOKUP_ELEM);
    if (result === -ENOENT) return undefined;
    settle(result, "MAP_LOOKUP_ELEM", `Cannot read from ${this.#what}`);
    return this.#request.bytes(this.#value, this.#valueSize).slice();
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    const request = this.#element(key, flags);
    request.bytes(this.#value, this.#valueSize).set(checkBytes(value, "value", this.#valueSize));
    settle(request.bpf(Command.MAP_UPDATE_ELEM), "MAP_UPDATE_ELEM", `Cannot write to ${this.#what}`);
  }

  delete(key: Uint8Array): boolean {
    const isKeyless = WITHOUT_KEYS.includes(this.#info.type);
    const command = isKeyless ? "MAP_LOOKUP_AND_DELETE_ELEM" : "MAP_DELETE_ELEM";
    // no room for a value: EINVAL else
    const request = isKeyless ? this.#element(key, 0) : this.#keyed(map_elem.value, key);
    const result = request.bpf(Command[command]);
    if (result === -ENOENT) return false;
    settle(result, command, `Cannot delete from ${this.#what}`);
    return true;
  }

  nextKey(key: Uint8Array | undefined): Uint8Array<ArrayBuffer> | undefined {
    const { keySize } = this.#info;
    const request = this.#keyed(map_elem.flags, key);
    const at = request.room(map_elem.next_key, keySize);
    const result = request.bpf(Command.MAP_GET_NEXT_KEY);
    if (result === -ENOENT) return undefined;
    settle(result, "MAP_GET_NEXT_KEY", `Cannot list keys of ${this.#what}`);
    return request.bytes(at, keySize).slice();
  }

  batch(from: Uint8Array | undefined, count: number): MapBatch {
    const { keySize } = this.#info, tokenSize = Math.max(keySize, 4); // a key, or the number of a bucket
    checkInteger(count, "count", 1, 1 << 20);
    const element = align(keySize) + align(this.#valueSize);
    const rest = batch.sizeof + 2 * align(tokenSize) + 4 * 8; // with four pointers
    const most = Math.floor((MAX_SIZE - rest) / element);
    if (count > most) {
      throw new RangeError(`count must be at most ${most} for elements of ${element} bytes: read smaller parts`);
    }
    const request = new Request(batch.sizeof, rest + element * count);
    request.u32(batch.count, count).u32(batch.map_fd, this.#fd);
    if (from !== undefined) request.data(batch.in_batch, checkBytes(from, "from", tokenSize));
    const next = request.room(batch.out_batch, tokenSize);
    const keys = request.room(batch.keys, keySize * count);
    const values = request.room(batch.values, this.#valueSize * count);
    const result = request.bpf(Command.MAP_LOOKUP_BATCH), found = request.getU32(batch.count);
    // cut short by changes: what came until then is valid
    if (result !== -ENOENT && !(result === -EINTR && found > 0)) {
      settle(result, "MAP_LOOKUP_BATCH", `Cannot read from ${this.#what}`);
    }
    const entries: MapBatch["entries"] = [];
    for (let i = 0; i < found; i++) {
      entries.push([
        request.bytes(keys + i * keySize, keySize).slice(),
        request.bytes(values + i * this.#valueSize, this.#valueSize).slice(),
      ]);
    }
    return { entries, next: result === -ENOENT ? undefined : request.bytes(next, tokenSize).slice() };
  }

  /** A request with a key and nothing else. */
  #keyed(blockSize: number, key: Uint8Array | undefined): Request {
    const { keySize } = this.#info, request = new Request(blockSize, blockSize + 2 * align(keySize));
    if (key !== undefined && checkBytes(key, "key", keySize).length > 0) request.data(map_elem.key, key);
    return request.u32(map_elem.map_fd, this.#fd);
  }

  /** The request for one element. */
  #element(key: Uint8Array, flags: number): Request {
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

let cpus: number | undefined;

/** How many CPUs the kernel has made room for in per-CPU values. */
function possibleCpus(): number {
  return cpus ??= readTextFile("/sys/devices/system/cpu/possible").trim().split(",")
    .map((range) => range.split("-").map(Number))
    .reduce((sum, [first, last]) => sum + (last ?? first!) - first! + 1, 0);
}

function settle(result: number, command: CommandName, action: string): number {
  if (result >= 0) return result;
  throw refusal(result, command, action);
}
