/** Maps, as far as links and their programs need them. */
import {
  checkFd,
  checkFlag,
  checkInteger,
  checkKeys,
  checkPath,
  checkSignal,
  checkString,
  checkU32,
  keysOf,
} from "./check.ts";
import { BpfError } from "./error.ts";
import { btfFind, btfStructSize } from "./ffi/btf.ts";
import { type HandleClass, OwnedFd, type PinOptions } from "./handle/owned.ts";
import { checkClaim, PinPlace } from "./handle/pin_place.ts";

import { brand, checkHandle } from "./handle/brand.ts";
import { toJson } from "./json.ts";
import { listObjects, type ObjectListOptions } from "./listing/objects.ts";
import { closeIfOpen, duplicateFd, readTextFile } from "./os/files.ts";
import { visibly } from "./refusal.ts";
import { ringsOfCpus } from "./perf_buffer.ts";
import { type RecordOptions, Records, type RecordStream } from "./records.ts";
import { ringOfMap, RingReader } from "./ring.ts";
import { btfLoad } from "./sys/btf.ts";
import { Elements, type MapBatch } from "./sys/elements.ts";
import {
  mapCreate,
  type MapCreateOpts,
  mapFreeze,
  mapGetFdById,
  mapGetInfoByFd,
  mapGetNextId,
  type MapInfo as KernelMapInfo,
  mapTypeFacts,
} from "./sys/map.ts";
import { isMap, keptIf, objGet } from "./sys/object.ts";
import {
  BPF_EXIST,
  BPF_F_LINK,
  BPF_F_NO_PREALLOC,
  BPF_F_RDONLY_PROG,
  BPF_F_TOKEN_FD,
  BPF_NOEXIST,
  type MapType,
  type MapTypeName,
  mapTypeNumber,
} from "./uapi/constants.ts";
import { EEXIST, EINVAL, ENOENT } from "./uapi/errno.ts";

/** What {@linkcode BpfMap.create} makes. */
export interface MapCreateOptions {
  /** The map's type, as libbpf names it: `hash`, `array`, `percpu_array`, `ringbuf`, `sockmap`, `struct_ops`, ... */
  type: MapTypeName;
  /** Bytes of a key; may be absent where the type leaves no choice: 4 for arrays, none for queues and ring buffers. */
  keySize?: number | undefined;
  /** Bytes of a value, for one CPU; may be absent where the type leaves no choice, and for sockets (8) and struct_ops. */
  valueSize?: number | undefined;
  /** How many elements; bytes for a ring buffer: a power of two and a multiple of the page size. */
  maxEntries: number;
  /** A name for listings: letters, digits, `_` and `.`, of which the kernel keeps 15. */
  name?: string | undefined;
  /** The kernel's flags (`BPF_F_*`); BPF_F_NO_PREALLOC is set where the type demands it. */
  flags?: number | undefined;
  /** struct_ops: the struct of functions that the map implements, such as `tcp_congestion_ops`. */
  struct?: string | undefined;
  /** struct_ops: whether it is registered by a link, not by writing its value. Since Linux 6.4. */
  link?: boolean | undefined;
  /** Maps of maps: a map like those that it will hold. */
  inner?: BpfMap | undefined;
  /** An fd of a BPF token, which stands in for capabilities; since Linux 6.9. */
  token?: number | undefined;
}

/** What {@linkcode BpfMap.info} returns. */
export interface MapInfo {
  /** Its id. */
  id: number;
  /** Its name; may be empty. */
  name: string;
  /** Its type, as libbpf names it. */
  type: MapType;
  /** Bytes of a key. */
  keySize: number;
  /** Bytes of a value, for one CPU. */
  valueSize: number;
  /** How many elements it may have; bytes for a ring buffer. */
  maxEntries: number;
  /** The kernel's flags that it was made with (`BPF_F_*`). */
  flags: number;
  /** What some types have besides, such as the number of hash functions of a bloom filter. */
  extra?: bigint;
  /** The interface that it is offloaded to. */
  ifindex?: number;
  /** The id of the BTF that describes keys and values. */
  btfId?: number;
  /** The type of keys in it. */
  btfKeyTypeId?: number;
  /** The type of values in it. */
  btfValueTypeId?: number;
  /** struct_ops: the type of its value in the kernel's BTF. */
  btfVmlinuxValueTypeId?: number;
  /** Whether processes may write to it no more; absent if `/proc` does not say. */
  frozen?: boolean;
  /** About how many bytes of memory it takes; absent if `/proc` does not say. */
  memory?: number;
}

/** How {@linkcode BpfMap.ensurePinned} pins. */
export interface EnsureMapOptions extends PinOptions {
  /** How long to wait for the lock of the directory, in milliseconds; 5000 if absent, 0 is not at all. */
  waitMs?: number | undefined;
}

const OPTIONS = keysOf<MapCreateOptions>({
  type: true,
  keySize: true,
  valueSize: true,
  maxEntries: true,
  name: true,
  flags: true,
  struct: true,
  link: true,
  inner: true,
  token: true,
});

const RECORD_OPTIONS = keysOf<RecordOptions>({ signal: true, busyPollMs: true, bytesPerCpu: true });
/** What a ring of a perf_event_array has unless it is said. */
const BYTES_PER_CPU = 64 * 1024;

/** About how many bytes of elements are read at once. */
const PART = 64 * 1024;
const MOST = 256 * 1024; // elements

/**
 * A map in the kernel: what programs and processes share.
 *
 * It is made by {@linkcode BpfMap.create}, or opened by id, from a pin or from an fd. The end of a `using` scope closes
 * the fd; the map itself lives on while a program, a link, a pin or another fd refers to it. A handle that is forgotten
 * is closed when it is collected.
 *
 * Keys and values are bytes as the kernel has them, in the machine's byte order; each that is returned is a copy.
 *
 * - A value of a **per-CPU** type is the values of all possible CPUs in a row, each rounded up to a multiple of 8 bytes.
 * - **queue** and **stack** have no keys: with an empty key {@linkcode update} adds a value, {@linkcode lookup} reads
 *   the next one and {@linkcode delete} takes it out.
 * - To a **bloom_filter** values are added in the same way; only programs can ask it for one.
 * - Maps of **maps, programs, sockets** and the like take an fd (4 bytes; sockmaps 8) and give back an id or a cookie.
 * - A **ringbuf** has {@linkcode records} only; those of a **perf_event_array** are read so, too.
 * - A **struct_ops** map with `link: true` is attached by {@linkcode "@bpf/link".Link.attach}, once its value is written.
 *
 * Making maps needs CAP_BPF (CAP_NET_ADMIN too for sockets and devices); using one only its fd.
 *
 * @example
 * ```ts
 * import { BpfMap } from "@bpf/link";
 *
 * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 1024, name: "counters" });
 * map.update(new Uint8Array([1, 0, 0, 0]), new Uint8Array(8));
 * for (const [key, value] of map.entries()) console.log(key, value);
 * ```
 */
export class BpfMap implements Disposable {
  static readonly #CLASS: HandleClass<BpfMap> = {
    kind: "map",
    name: ({ id }) => `map ${id}`,
    isSame: ({ id }, fd) => isMap(fd) && mapGetInfoByFd(fd).id === id,
  };

  readonly #owned: OwnedFd<BpfMap>;
  readonly #info: KernelMapInfo;
  #elements: Elements | undefined;
  readonly #closing = new AbortController();

  private constructor(fd: number) {
    try {
      this.#info = mapGetInfoByFd(fd);
    } catch (error) {
      closeIfOpen(fd);
      throw error;
    }
    this.#owned = new OwnedFd(BpfMap.#CLASS, this, fd, "closed");
  }

  static {
    brand("map", BpfMap, (value) => #owned in value, (map) => {
      const name = map.name === "" ? "" : ` "${map.name}"`;
      return `BpfMap ${map.id} (${map.type}${name}${map.closed ? ", closed" : ""})`;
    });
  }

  /**
   * Makes a map.
   *
   * @param options Its type, sizes and name.
   * @returns A handle of it.
   * @throws {TypeError} If an option is unknown, missing or of the wrong type, or the name has other characters.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the handle `inner` is closed.
   * @throws {BpfError} `invalid` if the type does not have these sizes or flags, `capability` if the process lacks one,
   * `limit` if it is too large, `unsupported` if the kernel has no such type or struct.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 4, name: "counters" });
   * console.log(map.name, map.type, map.closed, map.fd > 2); // counters array false true
   * ```
   */
  static create(options: MapCreateOptions): BpfMap {
    return BpfMap.#create(toPlan(options));
  }

  static #create({ type, keySize, valueSize, maxEntries, opts }: Plan): BpfMap {
    if (opts.btfVmlinuxValueTypeId === undefined) {
      return new BpfMap(mapCreate(type, keySize, valueSize, maxEntries, opts));
    }
    const btfFd = btfLoad(someBtf(), { tokenFd: opts.tokenFd });
    try {
      return new BpfMap(mapCreate(type, keySize, valueSize, maxEntries, { ...opts, btfFd }));
    } finally {
      closeIfOpen(btfFd);
    }
  }

  /**
   * Opens the map that is pinned at `path`, or makes one and pins it there: for state that outlives the process.
   *
   * What is pinned is opened without following a symbolic link, and must belong to this user or to root and have no second
   * name (hard link), so that it is nobody else's. Its elements stay. Of several processes that do this at once one makes
   * the map: they wait for the lock (flock) of the directory, at most `pinning.waitMs`.
   *
   * @param path The pin, on a bpf file system. Its name may have no dot.
   * @param options The map, as for {@linkcode create}. Type, sizes, number of elements and flags of one that is there must
   * be the same; its name, `inner` and `struct` are not compared.
   * @param pinning How long to wait for the lock, and whether to make directories that are missing.
   * @returns A handle of it; {@linkcode unpin} removes the pin.
   * @throws {TypeError} As {@linkcode create}, or if `path` is no path.
   * @throws {RangeError} As {@linkcode create}, or if `pinning.waitMs` is out of range.
   * @throws {BpfError} `mismatch` if another map is pinned there, one that may be somebody else's, or no map; `busy` if the
   * lock is held for too long; otherwise as {@linkcode create} and {@linkcode pin}.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * const options = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1024 } as const;
   * using counters = BpfMap.ensurePinned("/sys/fs/bpf/agent/counters", options, { makeDirectories: true });
   * using again = BpfMap.ensurePinned("/sys/fs/bpf/agent/counters", options);
   * console.log(again.id === counters.id); // true
   * again.unpin();
   * ```
   */
  static ensurePinned(path: string | URL, options: MapCreateOptions, pinning: EnsureMapOptions = {}): BpfMap {
    const file = checkPath(path, "path"), plan = toPlan(options);
    checkKeys(pinning, "pinning", ["waitMs", "makeDirectories"]);
    const { waitMs, makesDirectories } = checkClaim(pinning, "pinning");
    using pin = PinPlace.claim(file, waitMs, makesDirectories);
    const found = pin.findOwn();
    const map = found === undefined
      ? BpfMap.#create(plan)
      : BpfMap.#adopt(found.object, `Cannot take over pinned map "${file}"`);
    try {
      if (found === undefined) pin.pin(map.fd);
      else checkFits(map.#info, plan, file);
      map.#owned.openedAt(file);
      return map;
    } catch (error) {
      map.close();
      throw error;
    }
  }

  /**
   * Opens a map by its id. Needs CAP_SYS_ADMIN.
   *
   * @param id The id.
   * @returns A handle of it.
   * @throws {RangeError} If `id` is no unsigned 32-bit number.
   * @throws {BpfError} `gone` if there is no such map, `capability` without CAP_SYS_ADMIN.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * using again = BpfMap.open(map.id); // as another process would
   * console.log(again.type); // hash
   * ```
   */
  static open(id: number): BpfMap {
    return new BpfMap(mapGetFdById(checkU32(id, "id")));
  }

  /**
   * Opens the map that is pinned at `path`.
   *
   * Symbolic links are followed, so somebody who may write into a directory of the path chooses what is opened;
   * {@linkcode unpin} follows none.
   *
   * @param path The pin, on a bpf file system.
   * @returns A handle of it.
   * @throws {TypeError} If `path` is no path.
   * @throws {BpfError} `gone` if nothing is there, `mismatch` if something else than a map is pinned there.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.pin("/sys/fs/bpf/counters");
   * using again = BpfMap.openPinned("/sys/fs/bpf/counters");
   * console.log(again.id === map.id); // true
   * again.unpin();
   * ```
   */
  static openPinned(path: string | URL): BpfMap {
    const file = checkPath(path, "path");
    const map = BpfMap.#adopt(objGet(file), `Cannot open pinned map "${file}"`);
    map.#owned.openedAt(file);
    return map;
  }

  /**
   * Makes a handle for an fd that somebody else owns. It is duplicated, so the caller keeps and closes their own.
   *
   * @param fd An fd of a map.
   * @returns A handle of it.
   * @throws {RangeError} If `fd` is no fd.
   * @throws {BpfError} `invalid` if `fd` is not open, `mismatch` if it is no map.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * using again = BpfMap.fromFd(map.fd); // or one that was inherited
   * console.log(again.id === map.id, again.fd === map.fd); // true false
   * ```
   */
  static fromFd(fd: number): BpfMap {
    return BpfMap.#adopt(duplicateFd(checkFd(fd, "fd")), `Cannot take fd ${fd} for a map`);
  }

  /**
   * The infos of every map of the machine. Needs CAP_SYS_ADMIN.
   *
   * It is no snapshot: maps that are made or freed meanwhile may be in it or not. None is held between two steps.
   *
   * @param options Which types, and a signal that ends the listing.
   * @returns The infos in the order of their ids, to be iterated once.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {BpfError} When the first is asked for: `capability` without CAP_SYS_ADMIN, `limit` if the process has too
   * many open files.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * for await (const { id, type, name, memory } of BpfMap.infos()) console.log(id, type, name, memory);
   * ```
   */
  static infos(options: ObjectListOptions<MapTypeName> = {}): AsyncGenerator<MapInfo, void, void> {
    return listObjects(options, mapTypeNumber, { nextId: mapGetNextId, open: mapGetFdById, read: readInfo });
  }

  static #adopt(fd: number, action: string): BpfMap {
    if (keptIf(fd, isMap)) return new BpfMap(fd);
    throw new BpfError(EINVAL, {
      action,
      command: "MAP_LOOKUP_BATCH",
      reason: "mismatch",
      meaning: "it is no map",
      hint: "links and programs have classes of their own",
    });
  }

  /** The id, which the kernel gives once. It stays readable after {@linkcode close}. */
  get id(): number {
    return this.#info.id;
  }

  /** The name; may be empty. It stays readable after {@linkcode close}. */
  get name(): string {
    return this.#info.name;
  }

  /** The type, as libbpf names it. It stays readable after {@linkcode close}. */
  get type(): MapType {
    return this.#info.type;
  }

  /** The fd, for calls of `@bpf/link/sys`. It is closed with the handle, so keep the handle. */
  get fd(): number {
    return this.#owned.fd;
  }

  /** Whether the handle is closed. */
  get closed(): boolean {
    return this.#owned.closed;
  }

  /**
   * Reads what the kernel reports of the map.
   *
   * @returns Its info.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * const { keySize, valueSize, maxEntries, memory } = map.info();
   * console.log(keySize, valueSize, maxEntries); // 4 8 16
   * console.log(memory, "bytes");
   * ```
   */
  info(): MapInfo {
    return readInfo(this.fd);
  }

  /**
   * Makes the map read-only for processes, for good; programs may write to it as before. The verifier takes the values of
   * such a map for constants if programs may not write to it either (BPF_F_RDONLY_PROG). Before Linux 6.5 it needs
   * CAP_BPF. Freezing twice does nothing.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` for struct_ops maps, `busy` while a process has it mapped to write, `policy` if this
   * fd may not write.
   *
   * @example Constants
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
   * map.update(new Uint32Array([0]), new Uint32Array([42]));
   * map.freeze();
   * console.log(map.info().frozen); // true
   * ```
   */
  freeze(): void {
    try {
      mapFreeze(this.fd);
    } catch (error) {
      if (!(error instanceof BpfError && this.info().frozen)) throw error;
    }
  }

  /**
   * Reads an element.
   *
   * @param key Its key; empty for a queue or stack.
   * @returns A copy of the value, or `undefined` if there is no such element.
   * @throws {TypeError} If `key` is no view of bytes, or the map is a bloom filter.
   * @throws {RangeError} If `key` has another length than the map's keys.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` if elements of this type cannot be read.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.update(new Uint32Array([7]), new BigUint64Array([42n]));
   * const value = map.lookup(new Uint32Array([7]));
   * console.log(value && new BigUint64Array(value.buffer)[0]); // 42n
   * console.log(map.lookup(new Uint32Array([8]))); // undefined
   * ```
   */
  lookup(key: ArrayBufferView): Uint8Array<ArrayBuffer> | undefined {
    return this.#open.lookup(key);
  }

  /**
   * Writes an element. Programs see the old value or the new one, except in arrays, which are overwritten in place.
   *
   * @param key Its key; empty for a queue or stack, to which the value is added.
   * @param value Its value.
   * @param options `create`: whether the element must be new (`true`) or must be there already (`false`); absent, it may
   * be either.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If key or value has another length than the map's.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` or `gone` if `create` says otherwise, `limit` if the map is full or the index beyond its
   * end, `invalid` if the type does not take this value, `unsupported` if elements of this type cannot be written.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * const key = new Uint32Array([7]);
   * map.update(key, new BigUint64Array([1n]), { create: true });
   * map.update(key, new BigUint64Array([2n])); // whether it is there or not
   * console.log(map.lookup(key)?.[0]); // 2
   * ```
   */
  update(key: ArrayBufferView, value: ArrayBufferView, options?: { create?: boolean | undefined }): void {
    this.#open.update(key, value, updateFlags(options));
  }

  /**
   * Removes an element.
   *
   * @param key Its key; empty for a queue or stack, whose next value is taken out.
   * @returns Whether it was there.
   * @throws {TypeError} If `key` is no view of bytes.
   * @throws {RangeError} If `key` has another length than the map's keys.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` if elements of this type cannot be removed, as those of arrays.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.update(new Uint32Array([7]), new BigUint64Array([1n]));
   * console.log(map.delete(new Uint32Array([7]))); // true
   * console.log(map.delete(new Uint32Array([7]))); // false
   * ```
   */
  delete(key: ArrayBufferView): boolean {
    return this.#open.delete(key);
  }

  /**
   * Writes many elements, with one system call for hundreds of them where the type has batches: hashes and arrays; else
   * one by one.
   *
   * @param entries Keys with their values.
   * @param options As {@linkcode update}, for each of them.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If a key or a value has another length than the map's.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} As {@linkcode update}; the elements before are written.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 1000 });
   * map.updateAll(Array.from({ length: 1000 }, (_, i) => [new Uint32Array([i]), new BigUint64Array([BigInt(i)])]));
   * map.deleteAll([new Uint32Array([7]), new Uint32Array([8])]);
   * ```
   */
  updateAll(
    entries: Iterable<readonly [key: ArrayBufferView, value: ArrayBufferView]>,
    options?: { create?: boolean | undefined },
  ): void {
    const flags = updateFlags(options), elements = this.#open, { keySize, valueSize } = this.#info;
    for (const part of parts(entries, keySize + valueSize)) {
      // batches take no flags
      if (flags === 0 && elements.updateBatch(part) !== undefined) continue;
      for (const [key, value] of part) elements.update(key, value, flags);
    }
  }

  /**
   * Removes many elements, as {@linkcode updateAll} writes them.
   *
   * @param keys Their keys; those that are not there are left out.
   * @returns How many were there.
   * @throws {TypeError} If a key is no view of bytes.
   * @throws {RangeError} If a key has another length than the map's keys.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} As {@linkcode delete}; the elements before are removed.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * for (const id of [1, 2, 3]) map.update(new Uint32Array([id]), new BigUint64Array([0n]));
   * console.log(map.deleteAll(map.keys())); // 3
   * ```
   */
  deleteAll(keys: Iterable<ArrayBufferView>): number {
    const elements = this.#open;
    let removed = 0;
    for (const part of parts(keys, this.#info.keySize)) {
      for (let at = 0; at < part.length;) {
        const done = elements.deleteBatch(part.slice(at));
        if (done === undefined) {
          for (; at < part.length; at++) if (elements.delete(part[at]!)) removed++;
        } else {
          removed += done;
          at += done + 1; // the one behind is not there
        }
      }
    }
    return removed;
  }

  /**
   * The keys, in an order that only the kernel knows.
   *
   * Elements may be made and removed meanwhile; what is there all the time comes exactly once. Except that for types
   * other than hashes and arrays the walk may begin anew if somebody else removes elements.
   *
   * @returns An iterator of copies.
   * @throws {Deno.errors.BadResource} If the handle is closed when a key is asked for.
   * @throws {BpfError} `unsupported` if maps of this type have no keys.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.update(new Uint32Array([7]), new BigUint64Array([1n]));
   * for (const key of map.keys()) console.log(new Uint32Array(key.buffer)[0]); // 7
   * ```
   */
  keys(): Generator<Uint8Array<ArrayBuffer>, void, void> {
    return this.#each((key) => key, (key) => key);
  }

  /**
   * The keys with their values, as {@linkcode keys}.
   *
   * @returns An iterator of copies.
   * @throws {Deno.errors.BadResource} If the handle is closed when an entry is asked for.
   * @throws {BpfError} `unsupported` if maps of this type have no keys, or their elements cannot be read.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.update(new Uint32Array([7]), new BigUint64Array([1n]));
   * for (const [key, value] of map.entries()) console.log(key[0], value[0]); // 7 1
   * ```
   */
  entries(): Generator<[Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>], void, void> {
    return this.#each((key, value) => [key, value], (key) => {
      const value = this.lookup(key);
      return value === undefined ? undefined : [key, value];
    });
  }

  /**
   * Elements in large parts, or one by one where the type has no batches. Either is read one ahead: the successor of a
   * key that the caller has removed would be the first one.
   */
  *#each<T>(
    pick: (key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>) => T,
    read: (key: Uint8Array<ArrayBuffer>) => T | undefined,
  ): Generator<T, void, void> {
    let part = this.#part(undefined);
    if (part === undefined) {
      for (let key = this.#open.nextKey(undefined); key !== undefined;) {
        const next: typeof key | undefined = this.#open.nextKey(key), element = read(key);
        if (element !== undefined) yield element;
        key = next;
      }
    }
    while (part !== undefined) {
      const next: MapBatch | undefined = part.next && this.#part(part.next);
      for (const [key, value] of part.entries) yield pick(key, value);
      part = next;
    }
  }

  /** A part of the elements; undefined if the type has no batches. */
  #part(from: Uint8Array | undefined): MapBatch | undefined {
    const { keySize, valueSize } = this.#info;
    for (let count = Math.ceil(PART / (keySize + valueSize + 1));; count *= 4) {
      try {
        return this.#open.batch(from, count);
      } catch (error) {
        if (error instanceof BpfError && error.reason === "unsupported") return undefined;
        // ENOSPC: a bucket of the hash has more
        if (!(error instanceof BpfError && error.code === "ENOSPC" && count < MOST)) throw error;
      }
    }
  }

  /**
   * The records that programs write for processes, as they come: of a `ringbuf` in order, of a `perf_event_array` those of
   * each CPU in order.
   *
   * Waiting blocks neither the event loop nor the end of the iteration: {@linkcode close}, the signal and `return()` end
   * it at once. Any number of maps can be read: they share one thread that waits. A worker that is terminated while it
   * waits is missed within a second, and everything that it held is let go.
   *
   * - A record leaves the **ringbuf** some time after it was handed out, at the latest when the iteration ends; those that
   *   were not are there for the next reader. If it is full, programs are told that there is no room.
   * - A **perf_event_array** is filled when the first record is asked for, and emptied when the iteration ends: each CPU
   *   that is online then gets a perf event with a ring of its own, of `bytesPerCpu`. Programs find none before that and
   *   after it, nor on CPUs beyond the map's maxEntries or that come online later. If a ring is full, the record is lost,
   *   which {@linkcode RecordStream.lost} counts. The kernel rounds records up: up to seven bytes after the program's own
   *   are undefined. It needs CAP_PERFMON.
   *
   * A map has one reader. A second one in the same isolate is refused; processes that read the same one at once take each
   * other's records away.
   *
   * @param options A signal that ends the iteration, how to wait, and the size of the rings of a perf_event_array.
   * @returns An iterator of views, to be read with `for await`; see {@linkcode EventRecord}. Nothing is opened before the
   * first is asked for.
   * @throws {TypeError} If the map has no records, or an option is unknown, not for this map or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {Deno.errors.Busy} If the map is being read, when the first record is asked for.
   * @throws {BpfError} When a record is asked for: `capability` without CAP_PERFMON, `limit` if the memory of the rings
   * cannot be locked, `policy` if the map may not be written.
   * @throws The signal's reason, once it is aborted.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using events = BpfMap.create({ type: "ringbuf", maxEntries: 64 * 1024 });
   * const signal = AbortSignal.timeout(10);
   * try {
   *   for await (const record of events.records({ signal })) {
   *     const pid = new DataView(record.buffer, record.byteOffset, record.length).getUint32(0, true);
   *     console.log(pid, record.subarray(4));
   *   }
   * } catch (error) {
   *   if (error !== signal.reason) throw error;
   * }
   * ```
   */
  records(options: RecordOptions = {}): RecordStream {
    checkKeys(options, "options", RECORD_OPTIONS);
    const { signal, busyPollMs = 0, bytesPerCpu = BYTES_PER_CPU } = options;
    checkSignal(signal, "options.signal");
    checkInteger(busyPollMs, "options.busyPollMs", 0, 0x7fffffff);
    checkInteger(bytesPerCpu, "options.bytesPerCpu", 4096, 0x40000000);
    if (!Number.isInteger(Math.log2(bytesPerCpu))) {
      throw new RangeError(`options.bytesPerCpu must be a power of two, not ${bytesPerCpu}`);
    }
    void this.fd; // throws if it is closed
    const info = this.#info, { type, id, maxEntries } = info, isOfCpus = type === "perf_event_array";
    if (type !== "ringbuf" && !isOfCpus) {
      throw new TypeError(`records() is for maps of type "ringbuf" or "perf_event_array", not "${type}"`);
    }
    if (!isOfCpus && options.bytesPerCpu !== undefined) {
      throw new TypeError(`options.bytesPerCpu is for maps of type "perf_event_array", not "${type}"`);
    }
    const open = () => isOfCpus ? ringsOfCpus(this.fd, info, bytesPerCpu) : ringOfMap(this.fd, maxEntries);
    return new Records(() => new RingReader(open(), busyPollMs), id, signal, this.#closing.signal);
  }

  /**
   * Gives the map a path on a bpf file system, which keeps it without any process.
   *
   * @param path The new file. Its name may have no dot.
   * @param options Whether to make directories that are missing.
   * @throws {TypeError} If `path` is no path, or an option is unknown.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` if the path exists, `invalid` if it lies on no bpf file system or has a dot.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
   * map.pin("/sys/fs/bpf/agent/counters", { makeDirectories: true }); // it outlives the process
   * map.unpin(); // until here
   * ```
   */
  pin(path: string | URL, options?: PinOptions): void {
    this.#owned.pin(path, options);
  }

  /**
   * Removes the pin that {@linkcode pin} made or {@linkcode openPinned} opened, if it still holds this map, holding the
   * lock of the directory meanwhile.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed, or knows no pin.
   * @throws {BpfError} `gone` if nothing is there any more, `mismatch` if something else is, `busy` if the lock is held
   * for more than 5 seconds.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * const counters = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 } as const;
   * using map = BpfMap.ensurePinned("/sys/fs/bpf/counters", counters);
   * map.unpin(); // it ends with this handle
   * ```
   */
  unpin(): void {
    this.#owned.unpin();
  }

  /**
   * Gives the fd away: the handle is closed, and the caller must close the fd.
   *
   * @returns The fd.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   * import { close, mapGetInfoByFd } from "@bpf/link/sys";
   *
   * const fd = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 4 }).release();
   * console.log(mapGetInfoByFd(fd).maxEntries); // 4
   * close(fd);
   * ```
   */
  release(): number {
    const fd = this.#owned.release();
    this.#closing.abort();
    return fd;
  }

  /**
   * Closes the handle, and ends {@linkcode records} of it; twice does nothing. The map lives on while a program, a link, a
   * pin or another fd refers to it.
   *
   * @example
   * ```ts
   * import { BpfMap } from "@bpf/link";
   *
   * const map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 4 });
   * map.close(); // what `using` does
   * console.log(map.closed, map.type); // true array
   * ```
   */
  close(): void {
    try {
      this.#owned.close();
    } finally {
      this.#closing.abort();
    }
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns The info as {@linkcode toJson} has it; of a closed handle id, name and type, with `closed: true`.
   */
  toJSON(): Record<string, unknown> {
    return this.closed ? { id: this.id, name: this.name, type: this.type, closed: true } : toJson(this.info());
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  get #open(): Elements {
    const { fd } = this; // throws if it is closed
    return this.#elements ??= new Elements(fd, this.#info, `map ${this.id}`);
  }
}

function updateFlags(options: { create?: boolean | undefined } | undefined): number {
  if (options === undefined) return 0;
  checkKeys(options, "options", ["create"]);
  const create = checkFlag(options.create, "options.create");
  return options.create === undefined ? 0 : create ? BPF_NOEXIST : BPF_EXIST;
}

/** The kernel holds a copy of a batch, and takes no more than a buffer of this size at once. */
function* parts<T>(all: Iterable<T>, bytes: number): Generator<T[], void, void> {
  const most = Math.max(1, Math.floor(PART / Math.max(1, bytes)));
  let part: T[] = [];
  for (const each of all) {
    if (part.push(each) < most) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

function readInfo(fd: number): MapInfo {
  const { id, name, type, keySize, valueSize, maxEntries, mapFlags, mapExtra, ...numbers } = mapGetInfoByFd(fd);
  const info: MapInfo = { id, name, type, keySize, valueSize, maxEntries, flags: mapFlags };
  if (mapExtra !== 0n) info.extra = mapExtra;
  for (const [key, number] of Object.entries(numbers)) if (number !== 0) Object.assign(info, { [key]: number });
  const text = visibly(() => readTextFile(`/proc/self/fdinfo/${fd}`)) ?? "";
  const frozen = /^frozen:\s*(\d)/m.exec(text)?.[1], memory = /^memlock:\s*(\d+)/m.exec(text)?.[1];
  if (frozen !== undefined) info.frozen = frozen !== "0";
  if (memory !== undefined) info.memory = Number(memory);
  return info;
}

/** The arguments of MAP_CREATE. */
interface Plan {
  readonly type: MapTypeName;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly opts: MapCreateOpts & { readonly mapFlags: number };
}

/** Checks options before anything is asked of the kernel, but for a struct by its name. */
function toPlan(options: MapCreateOptions): Plan {
  checkKeys(options, "options", OPTIONS);
  const { type, inner, name, flags = 0, token } = options;
  checkString(type, "options.type");
  const maxEntries = checkU32(options.maxEntries, "options.maxEntries");
  if (type === "ringbuf" && (maxEntries < 4096 || !Number.isInteger(Math.log2(maxEntries)))) {
    throw new RangeError(
      `options.maxEntries of a ringbuf must be a power of two and a multiple of the page size, not ${maxEntries}`,
    );
  }
  if (inner !== undefined) checkHandle(inner, "map", "options.inner");
  const structOps = structOptions(options);
  const facts = mapTypeFacts(type);
  const keySize = options.keySize ?? facts.keySize,
    valueSize = options.valueSize ?? structOps?.size ?? facts.valueSize;
  if (keySize === undefined) throw new TypeError(`options.keySize is required for type "${type}"`);
  if (valueSize === undefined) throw new TypeError(`options.valueSize is required for type "${type}"`);
  checkU32(keySize, "options.keySize");
  checkU32(valueSize, "options.valueSize");
  const opts = {
    name,
    mapFlags: (checkU32(flags, "options.flags") | (structOps?.flags ?? 0) |
      (facts.isNeverPreallocated ? BPF_F_NO_PREALLOC : 0)) >>> 0,
    btfVmlinuxValueTypeId: structOps?.typeId,
    innerMapFd: inner?.fd,
    tokenFd: token,
  };
  return { type, keySize, valueSize, maxEntries, opts };
}

/** Refuses a map that is there, but is another than asked for. */
function checkFits(info: KernelMapInfo, { type, keySize, valueSize, maxEntries, opts }: Plan, file: string): void {
  // the kernel sets one by itself, and takes away another
  const others = ~(BPF_F_TOKEN_FD | (type.startsWith("devmap") ? BPF_F_RDONLY_PROG : 0));
  const flags = (bits: number) => (bits & others) >>> 0;
  const differences = ([
    ["type", info.type, type],
    ["keySize", info.keySize, keySize],
    ["valueSize", info.valueSize, valueSize],
    ["maxEntries", info.maxEntries, maxEntries],
    ["flags", flags(info.mapFlags), flags(opts.mapFlags)],
  ] as const).filter(([, there, wanted]) => there !== wanted);
  if (differences.length === 0) return;
  const words = differences.map(([field, there, wanted]) => `${field} ${there}, not ${wanted}`);
  throw new BpfError(EEXIST, {
    action: `Cannot take over pinned map "${file}"`,
    command: "OBJ_GET_INFO_BY_FD",
    reason: "mismatch",
    meaning: `map ${info.id} is pinned there, with ${words.join(", ")}`,
    hint: "choose another path, or remove the pin and the map's elements with it",
  });
}

/** What makes a map a struct_ops map: the type of its value, as the kernel's BTF has it. */
function structOptions({ type, struct, link }: MapCreateOptions): StructOps | undefined {
  checkFlag(link, "options.link");
  if (type !== "struct_ops") {
    if (struct === undefined && link === undefined) return undefined;
    throw new TypeError(`options.${struct === undefined ? "link" : "struct"} is for type "struct_ops", not "${type}"`);
  }
  const name = `bpf_struct_ops_${checkString(struct, "options.struct")}`;
  const typeId = btfFind("struct", name), size = btfStructSize(name);
  if (typeId === undefined || size === undefined) {
    throw new BpfError(ENOENT, {
      action: `Cannot create struct_ops map for "${struct}"`,
      command: "btf",
      reason: "unsupported",
      meaning: `this kernel has no struct ${name}`,
      hint: "check the name; tcp_congestion_ops is one, sched_ext_ops came with Linux 6.12",
    });
  }
  return { typeId, size, flags: link ? BPF_F_LINK : 0 };
}

/** The kernel wants BTF beside that of its own, and does not look at it: a header, the type `int`, its name. */
const someBtf = (): Uint8Array<ArrayBuffer> =>
  new Uint8Array([
    ...new Uint8Array(new Uint32Array([0x1eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, 1 << 24 | 32]).buffer),
    ...new TextEncoder().encode("\0int\0"),
  ]);

interface StructOps {
  readonly typeId: number;
  readonly size: number;
  readonly flags: number;
}
