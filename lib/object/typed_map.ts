/** Maps of an object, whose keys and values are what their BTF says. */
import { checkFlag, checkKeys, checkString, kindOf } from "../check.ts";
import { isHandle, showAs } from "../handle/brand.ts";
import { BpfMap } from "../map.ts";
import { Program } from "../program.ts";
import type { EventRecord } from "../records.ts";
import { possibleCpus } from "../sys/elements.ts";
import type { MapType } from "../uapi/constants.ts";
import type { Btf } from "./btf.ts";
import type { Codec } from "./codec.ts";
import { EVENT_OPTIONS, type EventOptions, Events, type EventStream } from "./events.ts";
import type { MapDefinition } from "./handle.ts";
import { noSuchName } from "./names.ts";
import type { Writable } from "./types.ts";
import { bytesCodec, codecOf, isOpenEnded } from "./values.ts";

/** How {@linkcode TypedMap.set} writes. */
export interface SetOptions {
  /** Whether the element must be new (`true`) or must be there already (`false`); absent, it may be either. */
  create?: boolean | undefined;
}

/** What {@linkcode TypedMap} is made of besides a map. */
export interface TypedMapInit {
  /** Its name in the object. */
  readonly name: string;
  /** The object's name. */
  readonly object: string;
  /** How it is declared there. */
  readonly definition: MapDefinition;
  /** How the maps are declared that it holds. */
  readonly inner?: MapDefinition | undefined;
  /** Whether it is a section of global variables. */
  readonly isSection: boolean;
  /** The object's BTF. */
  readonly btf: Btf | undefined;
}

/** How a value of JavaScript becomes what {@linkcode BpfMap.update} takes, and comes back. */
interface ValueForm {
  write(value: unknown, path: string): Uint8Array<ArrayBuffer>;
  read(bytes: Uint8Array<ArrayBuffer>): unknown;
}

/**
 * A map of an object, with keys and values as JavaScript has them; see {@linkcode BpfObject.map}.
 *
 * What a key or a value is, the object's BTF says: integers of up to 32 bits are numbers, longer ones bigints, enums the
 * names of their values, structs objects; what has no BTF is bytes. In detail:
 *
 * - A value of a **per-CPU** map is an array with one of each possible CPU.
 * - A value of a map of **maps** is a map: what is read is opened by its id, which takes CAP_SYS_ADMIN, and is the
 *   caller's to close, a TypedMap if the object declares what it holds. So is a Program in a **prog_array**.
 * - **queue**, **stack** and **bloom_filter** have no keys, but {@linkcode push}; the first two {@linkcode peek} and
 *   {@linkcode pop}.
 * - A **sockmap** and a **sockhash** are written with the fd of a socket, as an integer. Deno does not tell those of its
 *   sockets: let a program of `SEC("sockops")` put them in, with `bpf_sock_map_update`, when they listen or connect.
 * - A **cgroup_array** is written with an fd, as a number: that of `open()` of `./sys`, which may be closed then.
 * - A **ringbuf** and a **perf_event_array** have {@linkcode events}.
 *
 * A value that does not fit its type is a TypeError or RangeError that names the field, before anything is written.
 *
 * @example
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("maps.bpf.o");
 * const flows = object.map("hash");
 * const flow = { address: 0x0a000001, port: 53, protocol: 17, unused: 0 };
 * flows.set(flow, { packets: 1n, bytes: 64n });
 * for (const [{ port }, { packets, bytes }] of flows) console.log(port, packets, bytes);
 * ```
 *
 * @typeParam K What its keys are.
 * @typeParam V What its values are.
 * @typeParam Types The structs of the object by name, for records of ring buffers.
 */
// deno-lint-ignore no-explicit-any -- a map of whatever keys and values, which any is
export class TypedMap<K = any, V = any, Types = any> implements Iterable<[K, V]>, Disposable {
  /** The map itself, with keys and values as bytes; it ends with the object. */
  readonly map: BpfMap;
  /** The name that it has in the object; the kernel keeps 15 bytes of it. */
  readonly name: string;
  readonly #object: string;
  readonly #btf: Btf | undefined;
  readonly #key: Codec | undefined; // none: a queue
  readonly #value: ValueForm;

  static {
    showAs(TypedMap.prototype, ({ name, type, map }) => `TypedMap "${name}" (${type}${map.closed ? ", closed" : ""})`);
  }

  /** Called by {@linkcode BpfObject.map}. */
  constructor(map: BpfMap, { name, object, definition, inner, isSection, btf }: TypedMapInit) {
    this.map = map;
    this.name = name;
    this.#object = object;
    this.#btf = btf;
    const { keySize, valueSize, type } = map.info(), { keyType, valueType } = definition;
    this.#key = keySize === 0 ? undefined : this.#codec(keyType, keySize, "keys");
    // a section of variables is bytes here: they have types each, and `globals` has them; a struct of functions is one
    // of the kernel's own, around the object's
    const isTyped = !isSection && type !== "struct_ops";
    this.#value = this.#form(this.#codec(isTyped ? valueType : 0, valueSize, "values"), inner);
  }

  #codec(type: number, size: number, what: string): Codec {
    if (type === 0 || this.#btf === undefined) return bytesCodec(size);
    const codec = codecOf(this.#btf, type, `${what} of ${this.#told}`);
    if (codec.size === size) return codec;
    throw new RangeError(
      `${this.#told} has ${what} of ${size} bytes, not of ${codec.size} as their type in the object: it is another map, ` +
        "or was made with other sizes",
    );
  }

  get #told(): string {
    return `map "${this.name}" of object "${this.#object}"`;
  }

  #form(codec: Codec, inner: MapDefinition | undefined): ValueForm {
    const { type } = this;
    if (/percpu/.test(type)) return perCpu(codec);
    if (type === "array_of_maps" || type === "hash_of_maps") return holding("map", (id) => this.#openInner(id, inner));
    if (type === "prog_array") return holding("program", Program.open);
    return {
      write: (value, path) => codec.encode(value, path),
      read: (bytes) => codec.decode(bytes),
    };
  }

  #openInner(id: number, definition: MapDefinition | undefined): BpfMap | TypedMap {
    const map = BpfMap.open(id);
    if (definition === undefined) return map;
    try {
      return new TypedMap(map, { name: map.name, object: this.#object, definition, isSection: false, btf: this.#btf });
    } catch (error) {
      map.close();
      throw error;
    }
  }

  /**
   * Its type, as libbpf names it.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * console.log(object.map("queue").type); // queue
   * ```
   */
  get type(): MapType {
    return this.map.type;
  }

  /**
   * Reads an element.
   *
   * @param key Its key.
   * @returns Its value, or `undefined` if there is no such element.
   * @throws {TypeError} If `key` is not of the map's type of keys, or the map has none.
   * @throws {RangeError} If a number in it is out of range.
   * @throws {Deno.errors.BadResource} If the map, or its object, is closed.
   * @throws {BpfError} `unsupported` if elements of this type cannot be read.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * const flows = object.map("hash"), dns = { address: 0x0a000001, port: 53, protocol: 17, unused: 0 };
   * flows.set(dns, { packets: 1n, bytes: 64n });
   * console.log(flows.get(dns), flows.get({ ...dns, port: 54 })); // { packets: 1n, bytes: 64n } undefined
   * ```
   */
  get(key: Writable<K>): V | undefined {
    const bytes = this.#open.lookup(this.#keyOf(key));
    return bytes === undefined ? undefined : this.#value.read(bytes) as V;
  }

  /**
   * Whether there is an element. In arrays there are all.
   *
   * @param key Its key.
   * @returns Whether it is there.
   * @throws As {@linkcode get}.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").set(7, 1n);
   * console.log(object.map("lru").has(7), object.map("lru").has(8)); // true false
   * ```
   */
  has(key: Writable<K>): boolean {
    return this.#open.lookup(this.#keyOf(key)) !== undefined;
  }

  /**
   * Writes an element. Programs see the old value or the new one, except in arrays, which are overwritten in place.
   *
   * @param key Its key.
   * @param value Its value: what {@linkcode get} gives may be written again. Into a map of maps a {@linkcode BpfMap} or
   * a {@linkcode TypedMap}, into a prog_array a {@linkcode Program}.
   * @param options Whether the element must be new.
   * @throws {TypeError} If key or value is not of the map's type, or the map has no keys.
   * @throws {RangeError} If a number in them is out of range.
   * @throws {Deno.errors.BadResource} If the map, its object, or the map or program that is written is closed.
   * @throws {BpfError} As {@linkcode BpfMap.update}.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * const flows = object.map("hash"), dns = { address: 0x0a000001, port: 53, protocol: 17, unused: 0 };
   * flows.set(dns, { packets: 1n, bytes: 64n }, { create: true });
   * flows.set(dns, { packets: 2n, bytes: 128n });
   * console.log(flows.get(dns)?.packets); // 2n
   * ```
   */
  set(key: Writable<K>, value: Writable<V>, options?: SetOptions): void {
    this.#open.update(this.#keyOf(key), this.#value.write(value, "value"), options);
  }

  /**
   * Removes an element.
   *
   * @param key Its key.
   * @returns Whether it was there.
   * @throws As {@linkcode get}; {@linkcode BpfError} `unsupported` if elements of this type cannot be removed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").set(7, 1n);
   * console.log(object.map("lru").delete(7), object.map("lru").delete(7)); // true false
   * ```
   */
  delete(key: Writable<K>): boolean {
    return this.#open.delete(this.#keyOf(key));
  }

  /**
   * Writes many elements, with one system call for hundreds of them where the type has batches.
   *
   * @param entries Keys with their values.
   * @param options As {@linkcode set}, for each of them.
   * @throws As {@linkcode set}; the elements before may be written.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").setAll([[1, 10n], [2, 20n]]);
   * console.log(object.map("lru").get(2)); // 20n
   * ```
   */
  setAll(entries: Iterable<readonly [Writable<K>, Writable<V>]>, options?: SetOptions): void {
    const write = (key: Writable<K>, value: Writable<V>) =>
      [this.#keyOf(key), this.#value.write(value, "value")] as const;
    this.#open.updateAll(each(entries, ([key, value]) => write(key, value)), options);
  }

  /**
   * Removes many elements, as {@linkcode setAll} writes them.
   *
   * @param keys Their keys; those that are not there are left out.
   * @returns How many were there.
   * @throws As {@linkcode delete}; the elements before may be removed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").setAll([[1, 10n], [2, 20n]]);
   * console.log(object.map("lru").deleteAll([1, 2, 3])); // 2
   * ```
   */
  deleteAll(keys: Iterable<Writable<K>>): number {
    return this.#open.deleteAll(each(keys, (key) => this.#keyOf(key)));
  }

  /**
   * The keys with their values, in an order that only the kernel knows; see {@linkcode BpfMap.entries}.
   *
   * @returns An iterator, to be used once.
   * @throws {TypeError} If the map has no keys, when an entry is asked for.
   * @throws {Deno.errors.BadResource} If the map is closed then.
   * @throws {BpfError} `unsupported` if elements of this type cannot be read.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").set(7, 42n);
   * for (const [key, value] of object.map("lru").entries()) console.log(key, value); // 7 42n
   * ```
   */
  *entries(): Generator<[K, V], void, void> {
    for (const [key, value] of this.#keyed.entries()) yield [this.#readKey(key), this.#value.read(value) as V];
  }

  /**
   * The keys, as {@linkcode entries}.
   *
   * @returns An iterator, to be used once.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").set(7, 42n);
   * console.log([...object.map("lru").keys()]); // [ 7 ]
   * ```
   */
  *keys(): Generator<K, void, void> {
    for (const key of this.#keyed.keys()) yield this.#readKey(key);
  }

  /**
   * The values, as {@linkcode entries}.
   *
   * @returns An iterator, to be used once.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("lru").set(7, 42n);
   * console.log([...object.map("lru").values()]); // [ 42n ]
   * ```
   */
  *values(): Generator<V, void, void> {
    for (const [, value] of this.#keyed.entries()) yield this.#value.read(value) as V;
  }

  /** {@linkcode entries}. */
  [Symbol.iterator](): Generator<[K, V], void, void> {
    return this.entries();
  }

  /**
   * Adds a value to a queue, a stack or a bloom filter.
   *
   * @param value The value.
   * @throws {TypeError} If the map has keys, or the value is not of the map's type.
   * @throws {RangeError} If a number in it is out of range.
   * @throws {Deno.errors.BadResource} If the map, or its object, is closed.
   * @throws {BpfError} `limit` if it is full.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("queue").push(1n);
   * object.map("queue").push(2n);
   * console.log(object.map("queue").pop()); // 1n
   * ```
   */
  push(value: Writable<V>): void {
    this.#open.update(this.#noKey("push"), this.#value.write(value, "value"));
  }

  /**
   * Reads the next value of a queue or stack, and leaves it there.
   *
   * @returns The value; `undefined` if it is empty.
   * @throws {TypeError} If the map has keys.
   * @throws {Deno.errors.BadResource} If the map, or its object, is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("stack").push(1n);
   * console.log(object.map("stack").peek(), object.map("stack").peek()); // 1n 1n
   * ```
   */
  peek(): V | undefined {
    const bytes = this.#open.lookup(this.#noKey("peek"));
    return bytes === undefined ? undefined : this.#value.read(bytes) as V;
  }

  /**
   * Takes the next value out of a queue or stack. A program, or another process, that takes one out at the same time may
   * make that two.
   *
   * @returns The value; `undefined` if it is empty.
   * @throws As {@linkcode peek}.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * object.map("stack").push(1n);
   * console.log(object.map("stack").pop(), object.map("stack").pop()); // 1n undefined
   * ```
   */
  pop(): V | undefined {
    const value = this.peek();
    return value !== undefined && this.#open.delete(NO_KEY) ? value : undefined;
  }

  /**
   * The records that programs write into a ring buffer or a perf buffer, as bytes; see {@linkcode BpfMap.records}.
   *
   * @param type Nothing: the other form takes the name of a type.
   * @param options A signal, and how to wait.
   * @returns An iterator, to be used once with `for await`.
   */
  events(type?: undefined, options?: EventOptions): EventStream<EventRecord>;
  /**
   * The records that programs write into a ring buffer (`ringbuf`) or a perf buffer (`perf_event_array`), as they come:
   * of the latter those of each CPU in order. See {@linkcode BpfMap.records}.
   *
   * BTF does not say what a ring holds, so the caller does. A record whose length is not that of the type ends the
   * iteration with a RangeError that names both lengths: half a struct is never shown as a whole one. A struct that ends
   * in a flexible array takes all that the record has; in a perf buffer that is up to 7 bytes more than the program wrote.
   *
   * @param type The struct that the records are, by its name in C. The object has it in its BTF if the source has a global
   * variable of it or a pointer to it: `struct event *unused __attribute__((unused));`.
   * @param options A signal, how to wait, whether records may be shorter.
   * @returns An iterator, to be used once with `for await`.
   * @throws {TypeError} If the map has no records, the object has no such type or no BTF, or an option has the wrong
   * type.
   * @throws {Deno.errors.BadResource} If the map, or its object, is closed.
   * @throws {Deno.errors.Busy} If the map is being read, when the first record is asked for.
   * @throws {BpfError} As {@linkcode BpfMap.records}, when a record is asked for.
   * @throws The signal's reason, once it is aborted.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("records.bpf.o");
   * const events = object.map("events").events("event");
   * object.program("write_event").run({ data: new Uint8Array(64) });
   * for await (const { kind, length, text } of events) {
   *   console.log(kind, length, text);
   *   break;
   * }
   * ```
   */
  events<N extends keyof Types & string>(type: N, options?: EventOptions): EventStream<Types[N]>;
  events(type?: string, options: EventOptions = {}): EventStream<unknown> {
    if (type !== undefined) checkString(type, "type");
    checkKeys(options, "options", EVENT_OPTIONS);
    const isRounded = this.type === "perf_event_array";
    if (this.type !== "ringbuf" && !isRounded) {
      throw new TypeError(`events() is for ring buffers and perf buffers; ${this.#told} is a ${this.type}`);
    }
    const { partial, ...others } = options, isPartial = checkFlag(partial, "options.partial");
    const eventType = type === undefined ? undefined : { ...this.#typeOf(type), name: type, isPartial, isRounded };
    return new Events(this.#open.records(others), eventType);
  }

  #typeOf(name: string): { codec: Codec; isOpenEnded: boolean } {
    const whose = `object "${this.#object}"`;
    if (this.#btf === undefined) {
      throw new TypeError(`${whose} has no BTF, so no type "${name}": compile it with -g, or read bytes`);
    }
    const found = this.#btf.find(name);
    if (found === undefined) {
      const error = noSuchName(whose, "type", name, this.#structs());
      error.message += "; clang keeps a type that a global variable refers to: struct event *unused;";
      throw error;
    }
    return { codec: this.#btf.codec(found.id), isOpenEnded: isOpenEnded(this.#btf, found.id) };
  }

  *#structs(): Generator<string, void, void> {
    const btf = this.#btf!;
    for (let id = 1; id < btf.count; id++) {
      const { kind, name } = btf.get(id);
      if (name !== "" && (kind === "struct" || kind === "union")) yield name;
    }
  }

  /** The map, if it is open. */
  get #open(): BpfMap {
    if (this.map.closed) throw new Deno.errors.BadResource(`Cannot use ${this.#told}: it is closed`);
    return this.map;
  }

  /** The map, if it is open and has keys. */
  get #keyed(): BpfMap {
    if (this.#key === undefined) throw this.#keyless();
    return this.#open;
  }

  #keyOf(key: Writable<K>): Uint8Array<ArrayBuffer> {
    if (this.#key === undefined) throw this.#keyless();
    return this.#key.encode(key, "key");
  }

  #keyless(): TypeError {
    const advice = this.type === "ringbuf" ? "; its records come by events()" : "";
    return new TypeError(`${this.#told} is a ${this.type}: it has no keys${advice}`);
  }

  #readKey(bytes: Uint8Array<ArrayBuffer>): K {
    return this.#key!.decode(bytes) as K;
  }

  #noKey(method: string): Uint8Array<ArrayBuffer> {
    if (this.#key === undefined && this.type !== "ringbuf") return NO_KEY;
    throw new TypeError(`${method}() is for queues, stacks and bloom filters; ${this.#told} is a ${this.type}`);
  }

  /**
   * Closes the map, if not its object: {@linkcode BpfObject.map} opens it again. Twice does nothing.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * const flows = object.map("hash");
   * flows.close(); // one fd less, while the object goes on
   * console.log(flows.map.closed, object.map("hash").map.closed); // true false
   * ```
   */
  close(): void {
    this.map.close();
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns As {@linkcode BpfMap.toJSON}.
   */
  toJSON(): Record<string, unknown> {
    return this.map.toJSON();
  }
}

const NO_KEY = new Uint8Array(0);

function* each<T, U>(all: Iterable<T>, form: (item: T) => U): Generator<U, void, void> {
  for (const item of all) yield form(item);
}

/** Values of all possible CPUs in a row, each rounded up to a multiple of 8 bytes. */
function perCpu(codec: Codec): ValueForm {
  const step = Math.ceil(codec.size / 8) * 8;
  return {
    write(value, path): Uint8Array<ArrayBuffer> {
      const count = possibleCpus();
      if (!Array.isArray(value) || value.length !== count) {
        const given = Array.isArray(value) ? `${value.length}` : kindOf(value);
        throw new TypeError(`${path} must be an array of ${count} values, one for each possible CPU, not ${given}`);
      }
      const bytes = new Uint8Array(step * count), view = new DataView(bytes.buffer);
      value.forEach((item, cpu) => codec.write(view, cpu * step, item, `${path}[${cpu}]`));
      return bytes;
    },
    read(bytes): readonly unknown[] {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      return Object.freeze(Array.from({ length: bytes.length / step }, (_, cpu) => codec.read(view, cpu * step)));
    },
  };
}

/** Values that are maps or programs: written as fds, read as ids. */
function holding(kind: "map" | "program", open: (id: number) => BpfMap | TypedMap | Program): ValueForm {
  return {
    write(value, path): Uint8Array<ArrayBuffer> {
      const handle = value instanceof TypedMap ? value.map : value;
      if (!isHandle(handle, kind)) {
        throw new TypeError(
          `${path} must be a ${kind === "map" ? "BpfMap or TypedMap" : "Program"}, not ${kindOf(value)}`,
        );
      }
      return new Uint8Array(new Uint32Array([(handle as BpfMap | Program).fd]).buffer);
    },
    read: (bytes) => open(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)),
  };
}
