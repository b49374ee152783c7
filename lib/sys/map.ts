/** The commands of bpf(2) on maps, and what is special about types of maps. */
import { checkFd, checkKeys, checkU32, checkU64, keysOf } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { Request } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { missingCapabilities } from "../os/capabilities.ts";
import { ADMIN, checked, CLOSED, explanation, type Refusals } from "../refusal.ts";
import {
  BPF_F_TOKEN_FD,
  BPF_OBJ_NAME_LEN,
  Command,
  type MapType,
  type MapTypeName,
  mapTypeName,
  mapTypeNumber,
} from "../uapi/constants.ts";
import { ENOENT } from "../uapi/errno.ts";
import { bpf_map_info, get_id, info_by_fd, map_create, map_elem } from "../uapi/layout.ts";
import { OBJ_GET_INFO_BY_FD } from "./object.ts";
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

const OPTIONS = keysOf<MapCreateOpts>({
  name: true,
  mapFlags: true,
  innerMapFd: true,
  numaNode: true,
  mapIfindex: true,
  btfFd: true,
  btfKeyTypeId: true,
  btfValueTypeId: true,
  btfVmlinuxValueTypeId: true,
  mapExtra: true,
  tokenFd: true,
});

/** What errnos of {@linkcode mapCreate} mean. */
export const MAP_CREATE: Refusals = {
  command: "MAP_CREATE",
  rows: () => ({
    EINVAL: [
      "invalid",
      "the kernel refuses sizes, number of elements or flags, or does not know the type",
      "arrays have keys of 4 bytes; queues, stacks and ring buffers have none; a ring buffer's maxEntries is its size " +
      "in bytes, a power of two and a multiple of the page size",
    ],
    EPERM: ["policy", "making maps of this type is not permitted", "check security modules and the token"],
    E2BIG: ["limit", "keys, values or the whole map are too large", "use smaller values or fewer elements"],
    EBADF: CLOSED,
    ENOENT: ["invalid", "there is no such type in the kernel's BTF"],
    EOPNOTSUPP: ["unsupported", "this kernel was built without maps of this type"],
    ENOTSUPP: ["unsupported", "this kernel has no such struct_ops, or no map of this kind"],
  }),
};

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
  type: MapTypeName,
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

/** What a refused MAP_CREATE means. */
function explainMapCreate(errno: number, type: string, log: string): Explanation {
  const known = explanation(-errno, MAP_CREATE);
  if (log !== "") return { ...known, meaning: "the kernel refuses it", hint: undefined }; // the log says why
  if (known.reason !== "policy") return known;
  return missingCapabilities(mapTypeFacts(type).isNetwork ? ["CAP_BPF", "CAP_NET_ADMIN"] : ["CAP_BPF"]) ?? known;
}

/** What the kernel reports of a map: `struct bpf_map_info`. */
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
 * Reads what the kernel reports of a map.
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
  checked(request.bpf(Command.OBJ_GET_INFO_BY_FD), OBJ_GET_INFO_BY_FD, () => `Cannot read info of map (fd ${mapFd})`);
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

/** What errnos of {@linkcode mapFreeze} mean. */
export const MAP_FREEZE: Refusals = {
  command: "MAP_FREEZE",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no map", "pass an fd of a map"],
    EPERM: [
      "policy",
      "the map is frozen already, or the fd is read-only",
      "freezing takes an fd that may write, and before Linux 6.5 CAP_BPF",
    ],
    EBUSY: ["busy", "the map is frozen already, or a process writes to it or has it mapped to write"],
    ENOTSUPP: ["unsupported", "maps of this type, or with such values, cannot be frozen"],
  }),
};

/**
 * Makes a map read-only for processes, for good; programs may write to it as before.
 *
 * The verifier takes the values of a frozen map that programs may not write (BPF_F_RDONLY_PROG) for constants. Wraps
 * `bpf_map_freeze()`. Since Linux 5.2. Needs an fd that may write; before Linux 6.5 CAP_BPF.
 *
 * @param mapFd An fd of the map.
 * @throws {RangeError} If `mapFd` is no fd.
 * @throws {BpfError}
 * - `EBADF`: `mapFd` is not open
 * - `EINVAL`: `mapFd` is no map
 * - `EPERM`: since Linux 6.5 the map is frozen already, or the fd is read-only; before, CAP_BPF is missing
 * - `EBUSY`: before Linux 6.5 the map is frozen already
 * - `ENOTSUPP` (524): struct_ops maps
 *
 * @example
 * ```ts
 * import { close, mapCreate, mapFreeze } from "@bpf/link/sys";
 *
 * const map = mapCreate("array", 4, 8, 16);
 * mapFreeze(map);
 * close(map);
 * ```
 */
export function mapFreeze(mapFd: number): void {
  const result = new Request(map_elem.sizeof).u32(map_elem.map_fd, checkFd(mapFd, "mapFd")).bpf(Command.MAP_FREEZE);
  checked(result, MAP_FREEZE, () => `Cannot freeze map (fd ${mapFd})`);
}

const nextId = lazy(() => new Request(get_id.sizeof));

/** What errnos of {@linkcode mapGetNextId} mean. */
export const MAP_GET_NEXT_ID: Refusals = {
  command: "MAP_GET_NEXT_ID",
  rows: () => ({ EPERM: ADMIN, EINVAL: ["invalid", "the id is out of range"] }),
};

/**
 * The smallest id above `startId` that a map has.
 *
 * A walk is no snapshot: a map may be gone before {@linkcode mapGetFdById} opens it; go on from the id. Wraps
 * `bpf_map_get_next_id()`.
 *
 * Since Linux 4.13. Needs CAP_SYS_ADMIN in the initial user namespace; CAP_BPF is not enough.
 *
 * @param startId An id, existing or not; 0 to begin.
 * @returns The id, or `undefined` if no map has a larger one.
 * @throws {RangeError} If `startId` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EINVAL`: `startId` is 2 ** 31 - 1 or more (found before a missing capability is)
 *
 * @example All ids
 * ```ts
 * import { mapGetNextId } from "@bpf/link/sys";
 *
 * for (let id = mapGetNextId(0); id !== undefined; id = mapGetNextId(id)) console.log(id);
 * ```
 */
export function mapGetNextId(startId: number): number | undefined {
  const request = nextId();
  const result = request.u32(get_id.start_id, checkU32(startId, "startId")).bpf(Command.MAP_GET_NEXT_ID);
  if (result === -ENOENT) return undefined;
  checked(result, MAP_GET_NEXT_ID, () => "Cannot list maps");
  return request.getU32(get_id.next_id);
}

/** What errnos of {@linkcode mapGetFdById} mean. */
export const MAP_GET_FD_BY_ID: Refusals = {
  command: "MAP_GET_FD_BY_ID",
  rows: () => ({
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such map", "it was freed when its last user ended"],
  }),
};

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
  return checked(result, MAP_GET_FD_BY_ID, () => `Cannot open map ${id}`);
}

/** Sizes that the type leaves no choice about (or none that is useful), and what else it demands. */
export interface MapTypeFacts {
  /** Bytes of a key. */
  readonly keySize?: number;
  /** Bytes of a value. */
  readonly valueSize?: number;
  /** A value has a part for each CPU. */
  readonly isPerCpu?: true;
  /** Elements are added and taken out, without a key. */
  readonly isQueue?: true;
  /** The kernel wants BPF_F_NO_PREALLOC. */
  readonly isNeverPreallocated?: true;
  /** Making one takes CAP_NET_ADMIN too. */
  readonly isNetwork?: true;
}

const INDEX = 4, FD = 4, SOCKET = 8; // bytes

const FACTS: { readonly [T in MapType]?: MapTypeFacts } = {
  array: { keySize: INDEX },
  array_of_maps: { keySize: INDEX, valueSize: FD },
  arena: { keySize: 0, valueSize: 0 },
  bloom_filter: { keySize: 0 },
  cgroup_array: { keySize: INDEX, valueSize: FD },
  cgrp_storage: { isNeverPreallocated: true },
  cpumap: { keySize: INDEX },
  devmap: { keySize: INDEX, isNetwork: true },
  devmap_hash: { isNetwork: true },
  hash_of_maps: { valueSize: FD },
  inode_storage: { isNeverPreallocated: true },
  lpm_trie: { isNeverPreallocated: true },
  lru_percpu_hash: { isPerCpu: true },
  percpu_array: { keySize: INDEX, isPerCpu: true },
  percpu_cgroup_storage: { isPerCpu: true },
  percpu_hash: { isPerCpu: true },
  perf_event_array: { keySize: INDEX, valueSize: FD },
  prog_array: { keySize: INDEX, valueSize: FD },
  queue: { keySize: 0, isQueue: true },
  reuseport_sockarray: { keySize: INDEX, valueSize: SOCKET },
  ringbuf: { keySize: 0, valueSize: 0 },
  sk_storage: { isNeverPreallocated: true },
  sockhash: { valueSize: SOCKET, isNetwork: true },
  sockmap: { keySize: INDEX, valueSize: SOCKET, isNetwork: true },
  stack: { keySize: 0, isQueue: true },
  struct_ops: { keySize: INDEX },
  task_storage: { isNeverPreallocated: true },
  user_ringbuf: { keySize: 0, valueSize: 0 },
  xskmap: { keySize: INDEX, valueSize: FD, isNetwork: true },
};

/** What is known of a type; nothing of one that is like a hash, or newer than this package. */
export function mapTypeFacts(type: MapType): MapTypeFacts {
  return FACTS[type] ?? {};
}
