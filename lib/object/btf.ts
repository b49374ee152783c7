/** Reads BTF, which says what the bytes of a compiled object's keys, values, variables and records mean. */
import { kindOf, printable } from "../check.ts";
import {
  BTF_EXTRA,
  BTF_INT_BOOL,
  BTF_INT_CHAR,
  BTF_INT_SIGNED,
  BTF_KINDS,
  BTF_MAGIC,
  BTF_MAX_DEPTH,
  BTF_TYPE_SIZE,
  BTF_VAR_GLOBAL_EXTERN,
  BTF_VAR_STATIC,
  type BtfKind,
} from "../uapi/btf.ts";
import { type Codec, Compiler, invalid } from "./codec.ts";

export type { BtfKind } from "../uapi/btf.ts";

/** A type as BTF has it. */
export interface BtfType {
  /** Its number; 0 is `void`. */
  readonly id: number;
  /** What it is. */
  readonly kind: BtfKind;
  /** Its name; empty if it has none. */
  readonly name: string;
  /** How many members, values, parameters or variables it has. */
  readonly count: number;
  /** Bit fields in a struct or union; signed values in an enum; a union if it is a forward declaration. */
  readonly flag: boolean;
  /** Bytes, or the id of the type that it refers to. */
  readonly sizeOrType: number;
}

/** A member of a struct or union. */
export interface BtfMember {
  /** Its name; empty for an anonymous struct or union, whose members are reached as the outer one's own. */
  readonly name: string;
  /** The id of its type. */
  readonly type: number;
  /** Bits from the start. */
  readonly offset: number;
  /** Bits, if it is a bit field; else 0. */
  readonly bits: number;
}

/** A variable of a section. */
export interface BtfVariable {
  /** Its name. */
  readonly name: string;
  /** The id of its type. */
  readonly type: number;
  /** Bytes from the start of the section. */
  readonly offset: number;
  /** Bytes; more than its type has if it ends in a flexible array. */
  readonly size: number;
  /** Only its source file sees it, so that its name need not be unique. */
  readonly isStatic: boolean;
  /** It is only declared here, as those of `.kconfig` and `.ksyms` are. */
  readonly isExtern: boolean;
}

/**
 * What the values of a type are made of, without the names and qualifiers on the way to it: what codecs read and write,
 * and what generated TypeScript says.
 */
export type Shape =
  | {
    readonly kind: "integer" | "boolean";
    readonly size: number;
    readonly signed: boolean;
    /** Where its bits lie in its bytes: all of them but in BTF that describes bit fields by their types. */
    readonly shift: number;
    readonly bits: number;
  }
  | { readonly kind: "float"; readonly size: number }
  | {
    readonly kind: "enum";
    readonly size: number;
    readonly signed: boolean;
    readonly values: readonly (readonly [name: string, value: bigint])[];
  }
  | { readonly kind: "text" | "bytes"; readonly size: number }
  | { readonly kind: "array"; readonly element: number; readonly length: number }
  | {
    readonly kind: "struct" | "union";
    readonly id: number;
    readonly name: string;
    readonly size: number;
    readonly members: readonly BtfMember[];
  };

/** Kinds that can be asked for by name, in the order in which they are searched. */
const NAMED = ["struct", "union", "enum", "enum64", "typedef", "int", "float"] as const;
const ALIASES: readonly BtfKind[] = ["typedef", "volatile", "const", "restrict", "type_tag"];

/**
 * The types of a compiled object.
 *
 * Names and types are decoded when they are asked for. Bytes that are no BTF are a `Deno.errors.InvalidData`, whatever
 * they are; a type without values (a function, a struct that is only declared) is a TypeError.
 *
 * @example A struct as bytes, and back
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.open("typed.bpf.o");
 * const btf = object.btf!, codec = btf.codec(btf.find("flow")!.id);
 * const bytes = codec.encode({ address: 0x0100007f, port: 53, protocol: 17, unused: 0 });
 * console.log(codec.size, codec.decode(bytes));
 * ```
 */
export class Btf {
  /** How many types there are, `void` among them: ids are less. */
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Where each type begins. */
  readonly #starts: Uint32Array;
  readonly #strings: number;
  readonly #end: number;
  readonly #types: BtfType[] = [];
  readonly #compiler = new Compiler(this);

  /**
   * Finds where each type begins.
   *
   * @param bytes The BTF: the section `.BTF` of an object, little-endian. Not copied.
   * @throws {Deno.errors.InvalidData} if it is no BTF, of the other byte order, cut off, or has types of an unknown kind.
   */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`bytes must be a Uint8Array, not ${kindOf(bytes)}`);
    this.#bytes = bytes;
    const view = this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < 24) throw invalid(`${bytes.length} bytes are too few`);
    const magic = view.getUint16(0, true);
    if (magic === (BTF_MAGIC >>> 8 | (BTF_MAGIC & 0xff) << 8)) throw invalid("it is big-endian");
    if (magic !== BTF_MAGIC) throw invalid(`it begins with 0x${magic.toString(16)}, not 0x${BTF_MAGIC.toString(16)}`);
    if (bytes[2] !== 1) throw invalid(`its version is ${bytes[2]}, not 1`);
    const [header, typesAt, typesSize, stringsAt, stringsSize] = Array.from(
      { length: 5 },
      (_, i) => view.getUint32(4 + 4 * i, true),
    ) as [number, number, number, number, number];
    const types = header + typesAt, end = types + typesSize;
    this.#strings = header + stringsAt;
    this.#end = this.#strings + stringsSize;
    if (header < 24 || end > bytes.length || this.#end > bytes.length) throw invalid("it is cut off");
    if (stringsSize === 0 || bytes[this.#strings] !== 0 || bytes[this.#end - 1] !== 0) {
      throw invalid("its strings do not begin and end with NUL");
    }
    const starts = new Uint32Array(Math.floor(typesSize / BTF_TYPE_SIZE) + 1);
    let count = 1, at = types;
    while (at + BTF_TYPE_SIZE <= end) {
      const info = view.getUint32(at + 4, true), kind = BTF_KINDS[info >>> 24 & 0x1f];
      if (kind === undefined || kind === "void") throw invalid(`type ${count} is of kind ${info >>> 24 & 0x1f}`);
      const extra = BTF_EXTRA[kind];
      starts[count++] = at;
      at += BTF_TYPE_SIZE + (extra === undefined ? 0 : extra[0] + extra[1] * (info & 0xffff));
    }
    if (at !== end) throw invalid("its last type is cut off");
    this.#starts = starts;
    this.count = count;
    this.#types[0] = { id: 0, kind: "void", name: "void", count: 0, flag: false, sizeOrType: 0 };
  }

  /**
   * The type of an id.
   *
   * @param id The id; 0 is `void`.
   * @returns The type.
   * @throws {Deno.errors.InvalidData} if there is none.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * console.log(btf.get(0).kind, btf.get(btf.find("event")!.id).name); // void event
   * ```
   */
  get(id: number): BtfType {
    return this.#types[id] ??= this.#read(id);
  }

  /**
   * The type of a name: the first struct, union or enum, else the first typedef, int or float that has it. C's tags may
   * be given, `struct event`, and choose among them.
   *
   * @param name The name as in C.
   * @param kinds Other kinds to look for, as `["datasec"]`; in the order in which they are preferred.
   * @returns The type; undefined if there is none. Forward declarations are not found.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * console.log(btf.find("struct event")?.kind, btf.find("evnt")); // struct undefined
   * ```
   */
  find(name: string, kinds?: readonly BtfKind[]): BtfType | undefined {
    if (typeof name !== "string") throw new TypeError(`name must be a string, not ${kindOf(name)}`);
    const [, tag, tagged] = kinds === undefined ? /^(struct|union|enum)\s+(\S+)$/.exec(name) ?? [] : [];
    if (tag !== undefined) return this.find(tagged!, tag === "enum" ? ["enum", "enum64"] : [tag as BtfKind]);
    if (name === "" || name.includes("\0")) return undefined;
    const wanted = new TextEncoder().encode(`${name}\0`), ranks = kinds ?? NAMED;
    let found: number | undefined, best = ranks.length;
    for (let id = 1; id < this.count; id++) {
      const at = this.#starts[id]!;
      if (!this.#isNamed(this.#u32(at), wanted)) continue;
      const rank = (ranks as readonly BtfKind[]).indexOf(BTF_KINDS[this.#u32(at + 4) >>> 24 & 0x1f]!);
      if (rank < 0 || rank >= best) continue;
      [found, best] = [id, rank];
      if (best === 0) break;
    }
    return found === undefined ? undefined : this.get(found);
  }

  /**
   * The type behind typedefs, `const`, `volatile`, `restrict` and type tags.
   *
   * @param id The id of a type.
   * @returns The type.
   * @throws {Deno.errors.InvalidData} if they end nowhere.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * const [, length] = btf.members(btf.find("event")!.id);
   * console.log(btf.describe(length!.type), "is", btf.resolve(length!.type).name); // __u32 is unsigned int
   * ```
   */
  resolve(id: number): BtfType {
    let type = this.get(id);
    for (let depth = 0; ALIASES.includes(type.kind); depth++) {
      if (depth === BTF_MAX_DEPTH) throw invalid(`type ${id} is behind more than ${BTF_MAX_DEPTH} others`);
      type = this.get(type.sizeOrType);
    }
    return type;
  }

  /**
   * The members of a struct or union.
   *
   * @param id Its id.
   * @returns Its members in their order.
   * @throws {TypeError} if it is neither.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * const members = btf.members(btf.find("event")!.id);
   * console.log(members.map(({ name }) => name)); // [ "kind", "length", "at", "text" ]
   * ```
   */
  members(id: number): BtfMember[] {
    const type = this.#expect(id, ["struct", "union"]);
    return this.#entries(id, type.count, 12, (at) => {
      const offset = this.#u32(at + 8);
      return {
        name: this.#string(this.#u32(at)),
        type: this.#u32(at + 4),
        offset: type.flag ? offset & 0xffffff : offset,
        bits: type.flag ? offset >>> 24 : 0,
      };
    });
  }

  /**
   * The variables of a section.
   *
   * @param id The id of the section, as `btf.find(".data", ["datasec"])` gives it, or as the value type of a map of globals.
   * @returns Its variables in their order; functions, which `.ksyms` has too, are left out.
   * @throws {TypeError} if it is no section.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("globals.bpf.o");
   * const btf = object.btf!, section = btf.find(".bss", ["datasec"])!;
   * console.log(btf.variables(section.id).some(({ name }) => name === "packets")); // true
   * ```
   */
  variables(id: number): BtfVariable[] {
    const section = this.#expect(id, ["datasec"]);
    return this.#entries(id, section.count, 12, (at) => {
      const variable = this.get(this.#u32(at));
      if (variable.kind === "func") return [];
      if (variable.kind !== "var") {
        throw invalid(`section "${section.name}" has a ${variable.kind} among its variables`);
      }
      const linkage = this.#u32(this.#starts[variable.id]! + BTF_TYPE_SIZE);
      return [{
        name: variable.name,
        type: variable.sizeOrType,
        offset: this.#u32(at + 4),
        size: this.#u32(at + 8),
        isStatic: linkage === BTF_VAR_STATIC,
        isExtern: linkage === BTF_VAR_GLOBAL_EXTERN,
      }];
    }).flat();
  }

  /**
   * What the values of a type are made of.
   *
   * @param id The id of a type.
   * @returns Its shape.
   * @throws {TypeError} if it has no values: `void`, a function, a struct that is only declared.
   * @throws {Deno.errors.InvalidData} if BTF may not have such a type.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * const shape = btf.shape(btf.find("event")!.id);
   * if (shape.kind === "struct") console.log(shape.size, shape.members.length); // 24 4
   * ```
   */
  shape(id: number): Shape {
    const type = this.resolve(id), { kind, name, sizeOrType: size } = type, data = this.#data(type.id);
    switch (kind) {
      case "int": {
        const info = this.#u32(data), encoding = info >>> 24, shift = info >>> 16 & 0xff, bits = info & 0xff;
        if (![1, 2, 4, 8, 16].includes(size)) throw invalid(`${this.#told(type)} has ${size} bytes`);
        if (bits === 0 || shift + bits > 8 * size) {
          throw invalid(`${this.#told(type)} has bits ${shift} to ${shift + bits}`);
        }
        const isBool = (encoding & BTF_INT_BOOL) !== 0, signed = (encoding & BTF_INT_SIGNED) !== 0;
        return { kind: isBool ? "boolean" : "integer", size, signed: signed && !isBool, shift, bits };
      }
      case "ptr":
        return { kind: "integer", size: 8, signed: false, shift: 0, bits: 64 };
      case "float":
        return size === 4 || size === 8 ? { kind, size } : { kind: "bytes", size };
      case "enum":
      case "enum64":
        if (![1, 2, 4, 8].includes(size)) throw invalid(`${this.#told(type)} has ${size} bytes`);
        return { kind: "enum", size, signed: type.flag, values: this.#values(type) };
      case "array":
        return this.#array(this.#u32(data), this.#u32(data + 8));
      case "struct":
      case "union":
        return { kind, id: type.id, name, size, members: this.members(type.id) };
      case "fwd":
        throw new TypeError(`${this.#told(type)} is only declared in this object: its members are unknown`);
      default:
        throw new TypeError(`${this.#told(type)} has no values`);
    }
  }

  /**
   * How values of a type are read and written.
   *
   * @param id The id of a type.
   * @returns Its codec, made once.
   * @throws {TypeError} if it has no values: `void`, a function, a struct that is only declared.
   * @throws {Deno.errors.InvalidData} if BTF may not have such a type.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * const codec = btf.codec(btf.find("message")!.id);
   * console.log(codec.decode(new Uint8Array([2, 0, 0, 0, 7, 0, 8, 0]))); // { length: 2, words: [ 7, 8 ] }
   * ```
   */
  codec(id: number): Codec {
    return this.#compiler.codec(id);
  }

  /**
   * A type as C calls it, for messages.
   *
   * @param id The id of a type.
   * @returns Such as `struct event`; of one without a name its kind and id.
   * @throws {Deno.errors.InvalidData} if there is none.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * const btf = object.btf!;
   * console.log(btf.describe(btf.find("event")!.id)); // struct event
   * ```
   */
  describe(id: number): string {
    return this.#told(this.get(id));
  }

  #told({ id, kind, name, flag }: BtfType): string {
    if (kind === "void") return "void";
    const tag = kind === "fwd" ? flag ? "union" : "struct" : kind === "enum64" ? "enum" : kind;
    const isPlain = kind === "int" || kind === "float" || kind === "typedef";
    return name === "" ? `${tag} (BTF type ${id})` : isPlain ? printable(name) : `${tag} ${printable(name)}`;
  }

  /** Text and bytes have arrays of their own: the rule is on {@linkcode Codec}. */
  #array(element: number, length: number): Shape {
    const type = this.resolve(element);
    if (type.kind === "int" && type.sizeOrType === 1) {
      const encoding = this.#u32(this.#data(type.id)) >>> 24;
      if (type.name === "char" || encoding & BTF_INT_CHAR) return { kind: "text", size: length };
      if (!(encoding & (BTF_INT_BOOL | BTF_INT_SIGNED))) return { kind: "bytes", size: length };
    }
    return { kind: "array", element, length };
  }

  #values(type: BtfType): [string, bigint][] {
    const isWide = type.kind === "enum64", asInt = type.flag ? BigInt.asIntN : BigInt.asUintN;
    return this.#entries(type.id, type.count, isWide ? 12 : 8, (at) => {
      const low = this.#u32(at + 4), signed = BigInt(type.flag ? low | 0 : low);
      const value = isWide ? BigInt(low) | BigInt(this.#u32(at + 8)) << 32n : signed;
      return [this.#string(this.#u32(at)), asInt(8 * type.sizeOrType, value)];
    });
  }

  #expect(id: number, kinds: readonly BtfKind[]): BtfType {
    const type = this.get(id);
    if (!kinds.includes(type.kind)) throw new TypeError(`${this.#told(type)} is no ${kinds.join(" or ")}`);
    return type;
  }

  #read(id: number): BtfType {
    const at = Number.isInteger(id) && id > 0 && id < this.count ? this.#starts[id]! : undefined;
    if (at === undefined) throw invalid(`it has no type ${id}; there are ${this.count}`);
    const info = this.#u32(at + 4);
    return {
      id,
      kind: BTF_KINDS[info >>> 24 & 0x1f]!,
      name: this.#string(this.#u32(at)),
      count: info & 0xffff,
      flag: info >>> 31 === 1,
      sizeOrType: this.#u32(at + 8),
    };
  }

  #entries<T>(id: number, count: number, size: number, read: (at: number) => T): T[] {
    const start = this.#data(id);
    return Array.from({ length: count }, (_, i) => read(start + i * size));
  }

  #data(id: number): number {
    return this.#starts[id]! + BTF_TYPE_SIZE;
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #string(offset: number): string {
    const start = this.#strings + offset;
    if (start >= this.#end) throw invalid(`a name is at ${offset}, behind the strings`);
    return new TextDecoder().decode(this.#bytes.subarray(start, this.#bytes.indexOf(0, start)));
  }

  /** Whether the name at `offset` is `wanted`, NUL included; nothing is decoded. */
  #isNamed(offset: number, wanted: Uint8Array): boolean {
    const start = this.#strings + offset;
    if (start + wanted.length > this.#end) return false;
    for (let i = 0; i < wanted.length; i++) if (this.#bytes[start + i] !== wanted[i]) return false;
    return true;
  }
}
