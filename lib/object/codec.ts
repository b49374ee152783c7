/** Values by type: bytes of the kernel to values of JavaScript and back. A type is compiled to closures once. */
import { kindOf, printable } from "../check.ts";
import { BTF_MAX_DEPTH } from "../uapi/btf.ts";
import type { Btf, BtfMember, Shape } from "./btf.ts";

/**
 * Reads and writes the values of a type of C.
 *
 * | in C | in JavaScript |
 * | --- | --- |
 * | integers to 32 bits | number |
 * | integers of 64 and 128 bits, pointers | bigint |
 * | `bool` | boolean |
 * | `float`, `double` | number |
 * | an enum | the name of the value, the first if several have it; a number (of 8 bytes a bigint) if none has |
 * | `char[N]` | string: UTF-8 up to the first NUL, or all of it without one |
 * | `unsigned char[N]`, `__u8[N]` | Uint8Array, a copy |
 * | other arrays, `signed char[N]` too | frozen array |
 * | a struct | frozen object with all members in their order |
 * | a union | frozen object with all members, each read from the same bytes |
 * | a bit field | as its declared type |
 * | a flexible array (`T items[]` at the end) | what is left of the bytes that are decoded as a whole; else empty |
 *
 * Typedefs and qualifiers change nothing. Members of an anonymous struct or union are members of the outer one. Floats of
 * other sizes are Uint8Arrays.
 *
 * **Text keeps what is no UTF-8**: such a byte becomes the lone surrogate U+DC80 to U+DCFF of its value (Python's
 * `surrogateescape`), and that the byte again. So no two texts read the same, and what is read can be written. What lies
 * behind the first NUL is not read, and is zero after writing; data that may have NULs belongs in `__u8[N]`. Text of N
 * bytes fits into `char[N]`, then without NUL.
 *
 * **Writing takes what reading gives**, whole: each member of a struct, no other, and as many elements as the array has. Of
 * a union one member, or several that say the same. An enum takes a name, or a number also if that has a name.
 * Everything else is a TypeError or a RangeError that names the place, as `value.limits.port`: a fraction, NaN or -0 for an
 * integer, a number for a bigint, a finite number that a float cannot hold. Bytes between members become zero, as keys of a hash need.
 *
 * @example
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.open("records.bpf.o");
 * const btf = object.btf!;
 * const codec = btf.codec(btf.find("event")!.id);
 * const bytes = codec.encode({ kind: "FIRST", length: 64, at: 0n, text: "hi" });
 * console.log(codec.decode(bytes)); // { kind: "FIRST", length: 64, at: 0n, text: "hi" }
 * const two = new DataView(new ArrayBuffer(2 * codec.size));
 * codec.write(two, codec.size, { kind: "SECOND", length: 1, at: 2n, text: "" });
 * console.log(codec.read(two, codec.size)); // { kind: "SECOND", length: 1, at: 2n, text: "" }
 * ```
 */
export interface Codec<T = unknown> {
  /** Bytes of a value, without a flexible array at its end. */
  readonly size: number;
  /**
   * Reads a value.
   *
   * @param view Where.
   * @param offset Bytes from the start of the view.
   * @returns The value, which keeps nothing of the view.
   * @throws {RangeError} if the view has too few bytes.
   */
  read(view: DataView, offset: number): T;
  /**
   * Writes a value. If it throws, some of the bytes may have been written.
   *
   * @param view Where.
   * @param offset Bytes from the start of the view.
   * @param value The value.
   * @param name What errors call it; `value` if absent.
   * @throws {TypeError} if it is of another kind, or lacks a member, or has one more.
   * @throws {RangeError} if a number, a text or an array does not fit, or the view has too few bytes.
   */
  write(view: DataView, offset: number, value: T, name?: string): void;
  /**
   * Reads a record: bytes that are one value, and the elements of its flexible array if it ends in one.
   *
   * @param bytes The record; what it has more than the type is not looked at.
   * @returns The value, which keeps nothing of the bytes.
   * @throws {RangeError} if there are too few.
   */
  decode(bytes: Uint8Array): T;
  /**
   * Makes the bytes of a value.
   *
   * @param value The value.
   * @param name What errors call it; `value` if absent.
   * @param size How many bytes, if more than the type has: for the elements of a flexible array.
   * @returns The bytes.
   * @throws {TypeError} if it is of another kind, or lacks a member, or has one more.
   * @throws {RangeError} if a number, a text or an array does not fit.
   */
  encode(value: T, name?: string, size?: number): Uint8Array<ArrayBuffer>;
}

/** Types larger than the kernel takes, or of more members than a compiler makes, are refused. */
const LARGEST = 0xffffffff, MOST_MEMBERS = 1 << 16;
/** So are types of more values than these, and so many a byte: members that share bytes, arrays of what has none. */
const MOST_VALUES = 1 << 16, MOST_VALUES_PER_BYTE = 64;
/** Longer texts are decoded faster by the runtime. */
const SHORT_TEXT = 48;
/** So many names are listed in a message. */
const MOST_CHOICES = 24;

/** A compiled type. `end` is where the bytes end that a flexible array may take, undefined if none. */
interface Node {
  readonly size: number;
  /** How many types deep it is. */
  readonly depth: number;
  /** How many values reading makes at most: structs that share their members could make endless many. */
  readonly values: number;
  /** It is a flexible array, or a struct that ends in one. */
  readonly isOpen: boolean;
  read(view: DataView, at: number, end: number | undefined): unknown;
  /** Over zeros, or over what another member of a union wrote: what already reads as the value is left as it is. */
  write(view: DataView, at: number, value: unknown, end: number | undefined): void;
}

/** What does not fit, on its way to where the whole value is known. */
class Misfit extends Error {
  readonly kind: typeof TypeError | typeof RangeError;
  readonly path: string[] = [];

  constructor(kind: typeof TypeError | typeof RangeError, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Compiles the types of one BTF, each once. */
export class Compiler {
  readonly #btf: Btf;
  readonly #codecs = new Map<number, Codec>();
  readonly #nodes = new Map<number, Node>();
  /** How many members may still be compiled for the type that is asked for. */
  #budget = 0;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  codec(id: number): Codec {
    let codec = this.#codecs.get(id);
    if (codec === undefined) {
      this.#budget = MOST_MEMBERS;
      this.#codecs.set(id, codec = outer(this.#node(id, 0), () => this.#btf.describe(id)));
    }
    return codec;
  }

  /** The node of a type that is `above` types deep in another. */
  #node(id: number, above: number): Node {
    const { id: own } = this.#btf.resolve(id);
    let node = this.#nodes.get(own);
    if (node === undefined) {
      if (above > BTF_MAX_DEPTH) throw this.#tooDeep(id);
      node = this.#compile(this.#btf.shape(own), above);
      if (node.depth > BTF_MAX_DEPTH) throw this.#tooDeep(id);
      if (node.size > LARGEST) throw invalid(`${this.#btf.describe(id)} has more than ${LARGEST} bytes`);
      if (node.values > MOST_VALUES + MOST_VALUES_PER_BYTE * node.size) {
        throw new RangeError(`${this.#btf.describe(id)} has too many values: ${node.values} in ${node.size} bytes`);
      }
      this.#nodes.set(own, node);
    }
    return node;
  }

  #tooDeep(id: number): Error {
    return invalid(`${this.#btf.describe(id)} is more than ${BTF_MAX_DEPTH} types deep`);
  }

  #compile(shape: Shape, above: number): Node {
    switch (shape.kind) {
      case "array":
        return array(this.#node(shape.element, above + 1), shape.length);
      case "struct":
      case "union": {
        const { fields, entries, values, depth } = this.#members(shape, 0, shape.size, above, new Set());
        return struct(shape.kind, shape.size, fields, entries, values, depth);
      }
      default:
        return scalar(shape);
    }
  }

  /** The members of a struct or union, and those of anonymous ones in it. */
  #members({ id, members }: Aggregate, base: number, size: number, above: number, names: Set<string>): Members {
    if (above > BTF_MAX_DEPTH) throw this.#tooDeep(id);
    if ((this.#budget -= members.length) < 0) throw new RangeError(`${this.#btf.describe(id)} has too many members`);
    const fields: Field[] = [], entries: Entry[] = [];
    let values = 1, depth = 1;
    for (const member of members) {
      const bits = base + member.offset;
      const refuse = (how: string) => invalid(`${this.#btf.describe(id)}: member "${printable(member.name)}" ${how}`);
      if (member.name === "") {
        const inner = this.#btf.resolve(member.type);
        if (inner.kind !== "struct" && inner.kind !== "union") continue; // bits that only fill
        const shape = this.#btf.shape(inner.id) as Aggregate;
        if (member.bits !== 0 || bits % 8 !== 0 || bits / 8 + shape.size > size) throw refuse("does not lie within it");
        const group = this.#members(shape, bits, size, above + 1, names);
        fields.push(...group.fields);
        entries.push({ kind: shape.kind, entries: group.entries, names: group.fields.map(({ name }) => name) });
        values += group.values;
        depth = Math.max(depth, group.depth + 1);
      } else {
        if (names.has(member.name)) throw refuse("is there twice");
        names.add(member.name);
        const { node, at } = this.#place(member, bits, size, above, refuse);
        const field = { name: member.name, at, node, key: keyOf(member.name) };
        fields.push(field);
        entries.push(field);
        values += node.values;
        depth = Math.max(depth, node.depth + 1);
      }
    }
    return { fields, entries, values, depth };
  }

  /** Where a member lies, in bytes, and how it is read there. */
  #place(
    member: BtfMember,
    bits: number,
    size: number,
    above: number,
    refuse: (how: string) => Error,
  ): { node: Node; at: number } {
    const { kind, id } = this.#btf.resolve(member.type);
    const shape = kind === "int" || kind === "enum" || kind === "enum64" ? this.#btf.shape(id) as Scalar : undefined;
    const described = shape?.kind === "enum" || shape === undefined ? undefined : shape; // an int may say its bits itself
    const isField = member.bits !== 0 || described !== undefined && described.bits < 8 * described.size;
    if (isField) {
      if (shape === undefined) throw refuse(`is a bit field of a ${kind}`);
      const width = member.bits || described!.bits, from = bits + (member.bits === 0 ? described!.shift : 0);
      if (width > 8 * shape.size || from + width > 8 * size) throw refuse("does not lie within it");
      return { node: bitField(shape, from & 7, width), at: Math.floor(from / 8) };
    }
    const node = this.#node(member.type, above + 1);
    if (bits % 8 !== 0 || bits / 8 + node.size > size) throw refuse("does not lie within it");
    return { node, at: bits / 8 };
  }
}

/** What users get: checks that the bytes are there, and that errors name the place. */
function outer(node: Node, describe: () => string): Codec {
  const { size } = node;
  const check = (view: DataView, offset: number, room: number) => {
    if (!Number.isInteger(offset) || offset < 0 || offset + room > view.byteLength) {
      const name = describe();
      throw new RangeError(
        `${name} has ${room} bytes; at ${offset} there are ${Math.max(0, view.byteLength - offset)}`,
      );
    }
  };
  const write = (view: DataView, offset: number, value: unknown, name: string, end: number | undefined) => {
    try {
      node.write(view, offset, value, end);
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      throw new error.kind(`${name}${error.path.reverse().join("")} ${error.message}`);
    }
  };
  return {
    size,
    read(view, offset): unknown {
      check(view, offset, size);
      return node.read(view, offset, undefined);
    },
    write(view, offset, value, name = "value"): void {
      check(view, offset, size);
      bytesIn(view).fill(0, offset, offset + size);
      write(view, offset, value, name, undefined);
    },
    decode(bytes): unknown {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      check(view, 0, size);
      return node.read(view, 0, bytes.length);
    },
    encode(value, name = "value", room = size): Uint8Array<ArrayBuffer> {
      if (!Number.isInteger(room) || room < size) {
        throw new RangeError(`size must be an integer from ${size}, not ${room}`);
      }
      const bytes = new Uint8Array(room);
      write(new DataView(bytes.buffer), 0, value, name, room);
      return bytes;
    },
  };
}

// ---- structs, unions, arrays

interface Members {
  /** All, in order; those of anonymous ones too. */
  readonly fields: Field[];
  /** As they are nested. */
  readonly entries: Entry[];
  readonly values: number;
  readonly depth: number;
}

interface Field {
  readonly name: string;
  readonly at: number;
  readonly node: Node;
  /** How a path names it. */
  readonly key: string;
}

/** Members of an anonymous struct or union. */
interface Group {
  readonly kind: "struct" | "union";
  readonly entries: readonly Entry[];
  readonly names: readonly string[];
}

type Entry = Field | Group;
type Fields = Readonly<Record<string, unknown>>;

function struct(
  kind: "struct" | "union",
  size: number,
  fields: readonly Field[],
  entries: readonly Entry[],
  values: number,
  depth: number,
): Node {
  const names = fields.map(({ name }) => name), known = new Set(names);
  const offsets = fields.map(({ at }) => at), nodes = fields.map(({ node }) => node);
  const lastEntry = entries.at(-1);
  const isOpen = kind === "struct" && lastEntry !== undefined && "node" in lastEntry && lastEntry.node.isOpen;
  const open = isOpen ? nodes.length - 1 : -1;
  const proto = names.indexOf("__proto__"); // assigning it would set the prototype
  return {
    size,
    depth,
    values,
    isOpen,
    read(view, at, end): unknown {
      const value: Record<string, unknown> = {};
      for (let i = 0; i < names.length; i++) {
        const item = nodes[i]!.read(view, at + offsets[i]!, i === open ? end : undefined);
        if (i === proto) Object.defineProperty(value, "__proto__", { value: item, enumerable: true });
        else value[names[i]!] = item;
      }
      return Object.freeze(value);
    },
    write(view, at, value, end): void {
      if (typeof value !== "object" || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
        throw new Misfit(TypeError, `must be an object with ${choices(names)}, not ${kindOf(value)}`);
      }
      for (const name of Object.keys(value)) {
        if (known.has(name)) continue;
        throw new Misfit(TypeError, `has no member "${printable(name)}"; its members are ${choices(names)}`);
      }
      writeEntries(kind, entries, view, at, value as Fields, end);
    },
  };
}

function writeEntries(
  kind: "struct" | "union",
  entries: readonly Entry[],
  view: DataView,
  at: number,
  value: Fields,
  end: number | undefined,
): void {
  if (kind === "struct") {
    for (let i = 0; i < entries.length; i++) {
      writeEntry(entries[i]!, view, at, value, i === entries.length - 1 ? end : undefined);
    }
    return;
  }
  if (entries.length === 0) return;
  const given = entries.filter((entry) => isGiven(entry, value));
  if (given.length === 0) throw new Misfit(TypeError, `lacks one of ${choices(entries.flatMap(namesOf))}`);
  for (const entry of given) writeEntry(entry, view, at, value, undefined);
  if (given.length === 1 || given.every((entry) => reads(entry, view, at, value))) return;
  const several = given.flatMap(namesOf).filter((name) => Object.hasOwn(value, name));
  throw new Misfit(
    TypeError,
    `has ${several.join(" and ")}, which share their bytes but say different things: leave out all but one`,
  );
}

function writeEntry(entry: Entry, view: DataView, at: number, value: Fields, end: number | undefined): void {
  if ("entries" in entry) return writeEntries(entry.kind, entry.entries, view, at, value, undefined);
  const item = Object.hasOwn(value, entry.name) ? value[entry.name] : undefined;
  if (item === undefined) throw new Misfit(TypeError, `lacks member "${printable(entry.name)}"`);
  try {
    entry.node.write(view, at + entry.at, item, entry.node.isOpen ? end : undefined);
  } catch (error) {
    if (error instanceof Misfit) error.path.push(entry.key);
    throw error;
  }
}

function isGiven(entry: Entry, value: Fields): boolean {
  return namesOf(entry).some((name) => Object.hasOwn(value, name) && value[name] !== undefined);
}

/** Whether the bytes say what `value` says of these members. */
function reads(entry: Entry, view: DataView, at: number, value: Fields): boolean {
  if (!("entries" in entry)) return isSame(entry.node.read(view, at + entry.at, undefined), value[entry.name]);
  return entry.entries.every((inner) => !isGiven(inner, value) || reads(inner, view, at, value));
}

function namesOf(entry: Entry): readonly string[] {
  return "entries" in entry ? entry.names : [entry.name];
}

/** `read` is a value that was read: its kinds are known. */
function isSame(read: unknown, given: unknown): boolean {
  if (Object.is(read, given)) return true;
  if (typeof read !== "object" || read === null || typeof given !== "object" || given === null) return false;
  if (ArrayBuffer.isView(read)) {
    const one = bytesIn(read), other = ArrayBuffer.isView(given) ? bytesIn(given) : undefined;
    return other?.length === one.length && one.every((byte, i) => byte === other[i]);
  }
  return Object.entries(given).every(([key, item]) => item === undefined || isSame((read as Fields)[key], item));
}

function array(element: Node, length: number): Node {
  const { size, read, write } = element;
  const count = (at: number, end: number | undefined) => {
    return length > 0 ? length : end === undefined || size === 0 ? 0 : Math.max(0, Math.floor((end - at) / size));
  };
  return {
    size: size * length,
    depth: element.depth + 1,
    values: 1 + element.values * length,
    isOpen: length === 0,
    read(view, at, end): unknown {
      const items: unknown[] = [];
      for (let i = count(at, end); i > 0; i--, at += size) items.push(read(view, at, undefined));
      return Object.freeze(items);
    },
    write(view, at, value, end): void {
      const length = count(at, end);
      if (!Array.isArray(value)) throw new Misfit(TypeError, `must be an array of ${length}, not ${kindOf(value)}`);
      if (value.length !== length) throw new Misfit(RangeError, `must have ${length} elements, not ${value.length}`);
      for (let i = 0; i < length; i++, at += size) {
        try {
          write(view, at, value[i], undefined);
        } catch (error) {
          if (error instanceof Misfit) error.path.push(`[${i}]`);
          throw error;
        }
      }
    },
  };
}

// ---- scalars, text, bytes

type Scalar = Extract<Shape, { kind: "integer" | "boolean" | "enum" }>;
type Aggregate = Extract<Shape, { kind: "struct" | "union" }>;
type Leaf = Exclude<Shape, { kind: "array" | "struct" | "union" }>;

/** How a value that is no struct and no array is read and written. */
type Access = Pick<Node, "read" | "write">;

function scalar(shape: Leaf): Node {
  const isOpen = (shape.kind === "text" || shape.kind === "bytes") && shape.size === 0;
  return { size: shape.size, depth: 1, values: 1, isOpen, ...accessOf(shape) };
}

function accessOf(shape: Leaf): Access {
  switch (shape.kind) {
    case "float":
      return float(shape.size);
    case "text":
      return text(shape.size);
    case "bytes":
      return bytes(shape.size);
    default: {
      const isWhole = shape.kind === "enum" || shape.bits === 8 * shape.size;
      return isWhole ? meaning(shape, wholeNumber(shape), 8 * shape.size) : bitField(shape, shape.shift, shape.bits);
    }
  }
}

/** What a number means: itself, a boolean, or the name of a value. */
function meaning(shape: Scalar, number: Access, bits: number): Access {
  if (shape.kind === "integer") return checkedNumber(shape, number, bits);
  if (shape.kind === "enum") return enumeration(shape, checkedNumber(shape, number, bits));
  const { read, write } = number, isWide = shape.size > 4, zero = isWide ? 0n : 0, one = isWide ? 1n : 1;
  return {
    read: (view, at) => read(view, at, undefined) !== zero,
    write(view, at, value): void {
      if (typeof value !== "boolean") throw new Misfit(TypeError, `must be a boolean, not ${kindOf(value)}`);
      if (value !== (read(view, at, undefined) !== zero)) write(view, at, value ? one : zero, undefined);
    },
  };
}

/** A number, or a bigint if the type has more than 32 bits, that is checked before it is written. */
function checkedNumber({ size, signed }: Scalar, { read, write }: Access, bits: number): Access {
  if (size > 4) {
    const least = signed ? -(1n << BigInt(bits - 1)) : 0n, most = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
    return {
      read,
      write(view, at, value): void {
        if (typeof value !== "bigint") {
          const advice = Number.isSafeInteger(value) ? `: ${value}n` : "";
          throw new Misfit(TypeError, `must be a bigint, not ${kindOf(value)}${advice}`);
        }
        if (value < least || value > most) {
          throw new Misfit(RangeError, `must be a bigint from ${least}n to ${most}n, not ${value}n`);
        }
        write(view, at, value, undefined);
      },
    };
  }
  const least = signed ? -(2 ** (bits - 1)) : 0, most = 2 ** (signed ? bits - 1 : bits) - 1;
  return {
    read,
    write(view, at, value): void {
      if (typeof value !== "number") throw new Misfit(TypeError, `must be a number, not ${kindOf(value)}`);
      if (!Number.isInteger(value) || value < least || value > most || Object.is(value, -0)) {
        const given = Object.is(value, -0) ? "-0" : value;
        throw new Misfit(RangeError, `must be an integer from ${least} to ${most}, not ${given}`);
      }
      write(view, at, value, undefined);
    },
  };
}

function enumeration({ size, values }: Extract<Shape, { kind: "enum" }>, { read, write }: Access): Access {
  const names = new Map<unknown, string>(), numbers = new Map<string, number | bigint>();
  for (const [name, value] of values) {
    const number = size === 8 ? value : Number(value);
    if (!names.has(number)) names.set(number, name);
    if (!numbers.has(name)) numbers.set(name, number);
  }
  return {
    read(view, at): unknown {
      const number = read(view, at, undefined);
      return names.get(number) ?? number;
    },
    write(view, at, value): void {
      const number = typeof value === "string" ? numbers.get(value) : value;
      if (number === undefined || typeof number !== (size === 8 ? "bigint" : "number")) {
        const given = typeof value === "string" ? `"${printable(value)}"` : kindOf(value);
        const listed = choices([...numbers.keys()].map((name) => `"${name}"`));
        throw new Misfit(TypeError, `must be ${listed} or a ${size === 8 ? "bigint" : "number"}, not ${given}`);
      }
      write(view, at, number, undefined);
    },
  };
}

/** Reads and writes all bytes of a number. */
function wholeNumber({ size, signed }: Scalar): Access {
  switch (size) {
    case 1:
      return {
        read: signed ? (view, at) => view.getInt8(at) : (view, at) => view.getUint8(at),
        write: (view, at, value) => view.setUint8(at, value as number),
      };
    case 2:
      return {
        read: signed ? (view, at) => view.getInt16(at, true) : (view, at) => view.getUint16(at, true),
        write: (view, at, value) => view.setUint16(at, value as number, true),
      };
    case 4:
      return {
        read: signed ? (view, at) => view.getInt32(at, true) : (view, at) => view.getUint32(at, true),
        write: (view, at, value) => view.setUint32(at, value as number, true),
      };
    case 8:
      return {
        read: signed ? (view, at) => view.getBigInt64(at, true) : (view, at) => view.getBigUint64(at, true),
        write: (view, at, value) => view.setBigUint64(at, value as bigint, true), // takes the low 64 bits
      };
    default:
      return {
        read(view, at): bigint {
          const high = signed ? view.getBigInt64(at + 8, true) : view.getBigUint64(at + 8, true);
          return high << 64n | view.getBigUint64(at, true);
        },
        write(view, at, value): void {
          view.setBigUint64(at, value as bigint, true);
          view.setBigUint64(at + 8, value as bigint >> 64n, true);
        },
      };
  }
}

/** Some bits, from bit `shift` of the first byte; little-endian. */
function bitField(shape: Scalar, shift: number, bits: number): Node {
  const size = Math.ceil((shift + bits) / 8), asInt = shape.signed ? BigInt.asIntN : BigInt.asUintN;
  const isWide = shape.size > 4, mask = (1n << BigInt(bits)) - 1n << BigInt(shift);
  const bytesAt = (view: DataView, at: number) => {
    let all = 0n;
    for (let i = size - 1; i >= 0; i--) all = all << 8n | BigInt(view.getUint8(at + i));
    return all;
  };
  const few: Access["read"] = shape.signed && bits < 32
    ? (view, at) => lowBits(view, at, size, shift, bits) << 32 - bits >> 32 - bits
    : (view, at) => lowBits(view, at, size, shift, bits);
  const many: Access["read"] = (view, at) => {
    const value = asInt(bits, bytesAt(view, at) >> BigInt(shift));
    return isWide ? value : Number(value);
  };
  const number: Access = {
    read: !isWide && shift + bits <= 31 ? few : many,
    write(view, at, value): void {
      let all = bytesAt(view, at) & ~mask | BigInt(value as number | bigint) << BigInt(shift) & mask;
      for (let i = 0; i < size; i++, all >>= 8n) view.setUint8(at + i, Number(all & 0xffn));
    },
  };
  return { size: shape.size, depth: 1, values: 1, isOpen: false, ...meaning(shape, number, bits) };
}

function lowBits(view: DataView, at: number, size: number, shift: number, bits: number): number {
  let all = 0;
  for (let i = size - 1; i >= 0; i--) all = all << 8 | view.getUint8(at + i);
  return all >>> shift & 2 ** bits - 1;
}

function float(size: number): Access {
  const read: Access["read"] = size === 4
    ? (view, at) => view.getFloat32(at, true)
    : (view, at) => view.getFloat64(at, true);
  return {
    read,
    write(view, at, value): void {
      if (typeof value !== "number") throw new Misfit(TypeError, `must be a number, not ${kindOf(value)}`);
      if (size === 4 && Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
        throw new Misfit(RangeError, `must fit into a float, not ${value}`);
      }
      if (Object.is(read(view, at, undefined), value)) return; // of the many NaNs, the one that is there
      if (size === 4) view.setFloat32(at, value, true);
      else view.setFloat64(at, value, true);
    },
  };
}

function bytes(size: number): Access {
  const count = (at: number, end: number | undefined) =>
    size > 0 ? size : end === undefined ? 0 : Math.max(0, end - at);
  return {
    read: (view, at, end) => bytesIn(view).slice(at, at + count(at, end)),
    write(view, at, value, end): void {
      const size = count(at, end);
      if (!ArrayBuffer.isView(value)) {
        throw new Misfit(TypeError, `must be a Uint8Array of ${size} bytes, not ${kindOf(value)}`);
      }
      if (value.byteLength !== size) throw new Misfit(RangeError, `must have ${size} bytes, not ${value.byteLength}`);
      bytesIn(view).set(bytesIn(value), at);
    },
  };
}

function text(size: number): Access {
  const room = (at: number, end: number | undefined) => size > 0 ? size : end === undefined ? 0 : Math.max(0, end - at);
  return {
    read: (view, at, end) => decodeText(view, at, room(at, end)),
    write(view, at, value, end): void {
      if (typeof value !== "string") throw new Misfit(TypeError, `must be a string, not ${kindOf(value)}`);
      const encoded = encodeText(value), most = room(at, end);
      if (encoded.length > most) {
        throw new Misfit(RangeError, `must take at most ${most} bytes as UTF-8, not ${encoded.length}`);
      }
      if (decodeText(view, at, most) === value) return;
      bytesIn(view).set(encoded, at);
      if (encoded.length < most) view.setUint8(at + encoded.length, 0);
    },
  };
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const TEXT_ESCAPE = 0xdc00;

/** UTF-8 up to the first NUL; bytes that are none become lone surrogates. */
function decodeText(view: DataView, at: number, size: number): string {
  let short = "";
  for (let i = 0;; i++) {
    const byte = i < size ? view.getUint8(at + i) : 0;
    if (byte === 0) return short;
    if (byte > 0x7f || i === SHORT_TEXT) break;
    short += String.fromCharCode(byte);
  }
  const all = bytesIn(view).subarray(at, at + size), end = all.indexOf(0), bytes = end < 0 ? all : all.subarray(0, end);
  try {
    return decoder.decode(bytes);
  } catch {
    return decodeEscaped(bytes);
  }
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const length = sequenceAt(bytes, i);
    if (length > 1) text += decoder.decode(bytes.subarray(i, i + length));
    else text += String.fromCharCode(length === 1 ? bytes[i]! : TEXT_ESCAPE + bytes[i]!);
    i += length || 1;
  }
  return text;
}

/** Bytes of the character at `at`; 0 if none is there. */
function sequenceAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!, second = bytes[at + 1] ?? 0;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (let i = 1; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  const isOverlong = first === 0xe0 && second < 0xa0 || first === 0xf0 && second < 0x90;
  const isNone = first === 0xed && second > 0x9f || first === 0xf4 && second > 0x8f; // a surrogate; above U+10FFFF
  return isOverlong || isNone ? 0 : length;
}

function encodeText(value: string): Uint8Array {
  if (value.includes("\0")) throw new Misfit(RangeError, "must be text without NUL, which ends it in C");
  if (value.isWellFormed()) return encoder.encode(value);
  const parts = [...value].map((character) => {
    const byte = character.charCodeAt(0) - TEXT_ESCAPE;
    if (character.isWellFormed()) return encoder.encode(character);
    if (byte < 0x80 || byte > 0xff) throw new Misfit(RangeError, "must be well-formed: it has a lone surrogate");
    return [byte];
  });
  const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
  if (decodeEscaped(bytes) === value) return bytes;
  throw new Misfit(RangeError, "must be well-formed: its lone surrogates stand for bytes that are UTF-8");
}

function bytesIn(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function keyOf(name: string): string {
  return /^[\w$]+$/.test(name) ? `.${name}` : `[${JSON.stringify(printable(name))}]`;
}

/** Names for a message; not all of very many. */
function choices(names: readonly string[]): string {
  const more = names.length - MOST_CHOICES;
  return names.slice(0, MOST_CHOICES).map(printable).join(", ") + (more > 0 ? ` and ${more} more` : "") || "no members";
}

/** The bytes are not what BTF may be. */
export function invalid(message: string): Error {
  return new Deno.errors.InvalidData(`Cannot read BTF: ${message}`);
}
