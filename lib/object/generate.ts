/** Writes what an object has as TypeScript: the type parameter of `BpfObject`. */
import { checkPath, checkString, kindOf, printable } from "../check.ts";
import type { MapType } from "../uapi/constants.ts";
import { Btf, type BtfMember, type Shape } from "./btf.ts";
import { ObjectHandle } from "./handle.ts";
import { noSuchName } from "./names.ts";
import { toBytes } from "./file.ts";

/** A map, as far as its types go. */
interface MapTypeIds {
  readonly type: MapType;
  /** Types in the object's BTF; 0 if there is none. */
  readonly keyType: number;
  readonly valueType: number;
}

/** What an object has. */
export interface ObjectContents {
  /** The file's name, without directories. */
  readonly file: string;
  /** The object's name. */
  readonly name: string;
  readonly programs: readonly { readonly name: string }[];
  readonly maps: readonly (MapTypeIds & {
    readonly name: string;
    /** It is a section of global variables; if so, whether they cannot be written once it is loaded. */
    readonly isSection: boolean;
    readonly isConstant: boolean;
    readonly isKconfig: boolean;
    /** Bytes of the section; without any its variables are nowhere. */
    readonly memory: number;
    readonly inner: MapTypeIds | undefined;
  })[];
  readonly btf: Btf | undefined;
}

/** A member of a declared type. */
interface Member {
  readonly name: string;
  /** The name as TypeScript has it. */
  readonly key: string;
  readonly type: string;
  /** Others have the same bytes. */
  readonly isShared: boolean;
}

const BYTES = "Uint8Array<ArrayBuffer>";
const OBJECT = "@bpf/link/object";
const NOTHING = "Record<never, never>";
/** Names that generated text means something else by. */
const RESERVED = ["ArrayBuffer", "BpfMap", "OneOf", "Program", "Record", "TypedMap", "Uint8Array", "Writable"];

/**
 * The TypeScript types of an object: a module with an interface that is the type parameter of {@linkcode BpfObject}, and
 * a type of each struct, union and enum that its maps and variables are made of. It is what `bpflink gen` prints. Nothing
 * is made in the kernel.
 *
 * The same object gives the same text, which is as `deno fmt` leaves it. What BTF has not is not in it: comments of the
 * source, and structs that no map, variable or pointer has, as those of records may be. What cannot be read has the type
 * `never`.
 *
 * @param source The path of the file, or its bytes.
 * @param types Names in C of more types, of which the object's BTF has to know.
 * @returns The text of the module.
 * @throws {TypeError} If an argument is of the wrong type, or the object has no such type.
 * @throws {Deno.errors.NotFound} If there is no such file.
 * @throws {BpfError} `invalid` if the file is no object of BPF programs, or is broken.
 *
 * @example Whether the types that a project keeps are those of its object, as `tests/object/types_test` asks
 * ```ts ignore
 * import { generateTypes } from "@bpf/link/object";
 *
 * const kept = Deno.readTextFileSync("egress.ts");
 * if (kept !== generateTypes("egress.bpf.o")) throw new Error("run bpflink gen egress.bpf.o >egress.ts");
 * ```
 */
export function generateTypes(source: string | URL | ArrayBufferView, types: readonly string[] = []): string {
  if (!Array.isArray(types)) throw new TypeError(`types must be an array of names, not ${kindOf(types)}`);
  types.forEach((name, i) => checkString(name, `types[${i}]`));
  const { name, bytes } = toBytes(source), handle = ObjectHandle.open(bytes, { name });
  try {
    const btf = handle.btf(), path = ArrayBuffer.isView(source) ? name : checkPath(source, "source");
    const file = path.slice(path.lastIndexOf("/") + 1);
    const contents = { file, name, programs: handle.programs(), maps: handle.maps() };
    return objectTypes({ ...contents, btf: btf === undefined ? undefined : new Btf(btf) }, types);
  } finally {
    handle.close();
  }
}

/** {@linkcode generateTypes} of what an object has. */
export function objectTypes(contents: ObjectContents, wanted: readonly string[] = []): string {
  return new Writer(contents).module(wanted);
}

class Writer {
  readonly #contents: ObjectContents;
  readonly #btf: Btf | undefined;
  readonly #root: string;
  readonly #taken = new Set<string>(RESERVED);
  /** Names of declared types by their ids. */
  readonly #names = new Map<number, string>();
  readonly #declarations: string[][] = [];
  /** Declared structs and unions by their names in C, or their typedefs'. */
  readonly #structs = new Map<string, string>();
  readonly #imports = new Map<string, Set<string>>();
  /** Types that are written otherwise than they are read. */
  readonly #withUnions = new Set<string>();

  constructor(contents: ObjectContents) {
    this.#contents = contents;
    this.#btf = contents.btf;
    this.#root = this.#unique(contents.name);
  }

  module(wanted: readonly string[]): string {
    const { programs, maps, file } = this.#contents;
    const names = [...new Set(programs.map(({ name }) => name))].map((name) => JSON.stringify(name));
    const declared = maps.filter(({ isSection }) => !isSection).map((map) =>
      [keyOf(map.name), this.#map(map)] as const
    );
    const globals = this.#globals();
    const records = this.#records(wanted);
    const body = [
      ...union("programs:", names, "  "),
      ...property("maps", declared),
      ...property("globals", globals),
      ...property("types", records),
    ];
    const command = ["bpflink gen", file, ...wanted].map(printable).join(" ");
    const imports = [...this.#imports].sort().map(([from, names]) =>
      `import type { ${[...names].sort().join(", ")} } from "${from}";`
    );
    return [
      [
        `// Generated by \`${command}\`. Do not edit.`,
        "// BTF keeps no comments: what the source in C says of these types is not here.",
        ...imports.length === 0 ? [] : ["", ...imports],
      ],
      [
        `/** What ${comment(file)} has: \`BpfObject.load<${this.#root}>(…)\`. */`,
        `export interface ${this.#root} {`,
        ...body,
        "}",
      ],
      ...this.#declarations,
    ].map((lines) => `${lines.join("\n")}\n`).join("\n");
  }

  // ---- the object

  #map(map: ObjectContents["maps"][number]): string[] {
    const { key, value } = this.#element(map, map.name, map.inner);
    return ["{", `  key: ${key};`, `  value: ${value};`, "}"];
  }

  /** What keys and values of a map are; see `TypedMap`. */
  #element(map: MapTypeIds, name: string, inner?: MapTypeIds): { key: string; value: string } {
    const { type } = map;
    if (/^(ringbuf|user_ringbuf)$/.test(type)) return { key: "never", value: "never" };
    const key = /^(queue|stack|bloom_filter)$/.test(type) ? "never" : this.#typed(map.keyType, `${name}_key`);
    if (type === "prog_array") return { key, value: this.#imported("Program", "@bpf/link") };
    if (type === "array_of_maps" || type === "hash_of_maps") {
      if (inner === undefined) return { key, value: this.#imported("BpfMap", "@bpf/link") };
      const held = this.#element(inner, `${name}_inner`);
      return { key, value: `${this.#imported("TypedMap", OBJECT)}<${held.key}, ${held.value}>` };
    }
    const value = type === "struct_ops" ? BYTES : this.#typed(map.valueType, `${name}_value`); // the kernel's own struct
    return { key, value: type.includes("percpu") ? listOf(value) : value };
  }

  #imported(name: string, from: string): string {
    this.#imports.set(from, (this.#imports.get(from) ?? new Set()).add(name));
    return name;
  }

  #globals(): (readonly [string, string[]])[] {
    const btf = this.#btf;
    if (btf === undefined) return [];
    const seen = new Set<string>();
    return this.#sections.flatMap(({ valueType, isConstant, isKconfig }) =>
      btf.variables(valueType).flatMap(({ name, type, isStatic }) => {
        if (isStatic || seen.has(name)) return [];
        seen.add(name);
        const written = this.#typed(type, name), key = keyOf(name);
        if (isConstant || isKconfig) return [[`readonly ${key}`, [written]] as const];
        if (!this.#isWrittenOtherwise(written)) return [[key, [written]] as const];
        const value = `${this.#imported("Writable", OBJECT)}<${written}>`;
        return [[`get ${key}()`, [written]] as const, [`set ${key}(value`, [`${value})`]] as const];
      })
    );
  }

  get #sections(): ObjectContents["maps"] {
    return this.#contents.maps.filter(({ isSection, valueType, memory }) => isSection && valueType !== 0 && memory > 0);
  }

  /** Structs by their names in C: those that are declared, those that globals point to, and what else is wanted. */
  #records(wanted: readonly string[]): (readonly [string, string[]])[] {
    const btf = this.#btf, records = new Map<string, string>();
    if (btf !== undefined) {
      for (const { type, isStatic } of this.#sections.flatMap(({ valueType }) => btf.variables(valueType))) {
        const pointer = btf.resolve(type);
        if (isStatic || pointer.kind !== "ptr") continue;
        const { kind, name } = btf.resolve(pointer.sizeOrType);
        if ((kind === "struct" || kind === "union") && name !== "") this.#typed(pointer.sizeOrType, name);
      }
    }
    for (const name of wanted) {
      const found = btf?.find(name);
      if (found === undefined) throw noSuchName(printable(this.#contents.file), "type", name, this.#structsOfBtf());
      records.set(name, this.#typed(found.id, name));
    }
    for (const [name, type] of this.#structs) if (!records.has(name)) records.set(name, type);
    return [...records].map(([name, type]) => [keyOf(name), [type]] as const);
  }

  *#structsOfBtf(): Generator<string, void, void> {
    for (let id = 1; id < (this.#btf?.count ?? 0); id++) {
      const { kind, name } = this.#btf!.get(id);
      if (name !== "" && (kind === "struct" || kind === "union")) yield name;
    }
  }

  // ---- types

  /** The type of a key, a value or a variable; what the object's own BTF cannot decide is never. */
  #typed(id: number, hint: string): string {
    if (id === 0 || this.#btf === undefined) return BYTES;
    try {
      this.#btf.codec(id);
    } catch {
      return "never"; // reading it is an error too
    }
    return this.#type(id, hint);
  }

  #type(id: number, hint: string): string {
    const shape = this.#btf!.shape(id);
    switch (shape.kind) {
      case "boolean":
        return "boolean";
      case "integer":
        return shape.size > 4 ? "bigint" : "number";
      case "float":
        return "number";
      case "text":
        return "string";
      case "bytes":
        return BYTES;
      case "array":
        return listOf(this.#type(shape.element, hint));
      default:
        return this.#declared(id, shape, hint);
    }
  }

  #declared(id: number, shape: Extract<Shape, { kind: "enum" | "struct" | "union" }>, hint: string): string {
    const type = this.#btf!.resolve(id), known = this.#names.get(type.id);
    if (known !== undefined) return known;
    const typedef = this.#typedefOf(id), inC = type.name || typedef, name = this.#unique(inC ?? hint);
    this.#names.set(type.id, name);
    const lines: string[] = [];
    this.#declarations.push(lines); // before those of its members
    const anonymous = `${shape.kind === "struct" ? "A" : "An"} ${shape.kind} without a name`;
    const tagged = type.name === "" ? typedef : this.#btf!.describe(type.id);
    const called = tagged === undefined ? anonymous : `\`${comment(tagged)}\``;
    if (shape.kind === "enum") {
      const values = [...new Set(shape.values.map(([value]) => JSON.stringify(value)))];
      lines.push(`/** ${called}; a number where no value has a name. */`);
      lines.push(...union(`export type ${name} =`, [...values, shape.size === 8 ? "bigint" : "number"], ""));
      return name;
    }
    if (inC !== undefined && !this.#structs.has(inC)) this.#structs.set(inC, name);
    const members: Member[] = [];
    this.#collect(shape, name, members);
    const shared = members.filter(({ isShared }) => isShared);
    if (shared.length > 0) this.#imported("OneOf", OBJECT);
    if (shared.length > 0 || members.some(({ type }) => this.#isWrittenOtherwise(type))) this.#withUnions.add(name);
    lines.push(`/** ${called}, ${shape.size} bytes. */`, ...declaration(name, members, shared));
    return name;
  }

  /** All members, those of anonymous structs and unions too. */
  #collect(shape: { kind: string; members: readonly BtfMember[] }, parent: string, members: Member[]): void {
    const first = members.length, isUnion = shape.kind === "union";
    for (const { name, type } of shape.members) {
      if (name !== "") {
        members.push({ key: keyOf(name), name, type: this.#type(type, `${parent}_${name}`), isShared: false });
        continue;
      }
      const inner = this.#btf!.shape(type);
      if (inner.kind === "struct" || inner.kind === "union") this.#collect(inner, parent, members);
    }
    if (!isUnion || members.length - first < 2) return;
    for (const [i, member] of members.entries()) if (i >= first) members[i] = { ...member, isShared: true };
  }

  /** Whether a type is, or is made of, one that has a union. */
  #isWrittenOtherwise(type: string): boolean {
    return this.#withUnions.has(type.replaceAll(/readonly |[()[\]]/g, ""));
  }

  /** The name of an anonymous type is the innermost typedef's. */
  #typedefOf(id: number): string | undefined {
    let name: string | undefined, type = this.#btf!.get(id);
    const last = this.#btf!.resolve(id).id;
    while (type.id !== last) {
      if (type.kind === "typedef") name = type.name;
      type = this.#btf!.get(type.sizeOrType);
    }
    return name;
  }

  /** A name in the style of TypeScript that nothing else has. */
  #unique(name: string): string {
    const words = name.split(/[^\p{ID_Continue}$]+|_+/u).filter((word) => word !== "");
    const joined = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("") || "Type";
    const plain = /^[\p{ID_Start}$]/u.test(joined) ? joined : `_${joined}`;
    let unique = plain;
    for (let n = 2; this.#taken.has(unique); n++) unique = `${plain}${n}`;
    this.#taken.add(unique);
    return unique;
  }
}

function declaration(name: string, members: readonly Member[], shared: readonly Member[]): string[] {
  const fields = members.map(({ key, type }) => `  readonly ${key}: ${type};`);
  if (members.length === 0) return [`export type ${name} = ${NOTHING};`];
  if (shared.length === 0) return [`export interface ${name} {`, ...fields, "}"];
  return [
    `export type ${name} =`,
    "  & OneOf<",
    ...shared.map(({ name }) => `    | ${JSON.stringify(name)}`),
    "  >",
    "  & {",
    ...fields.map((line) => `  ${line}`),
    "  };",
  ];
}

/** `head "a" | "b";`, a line each if there are several. */
function union(head: string, types: readonly string[], indent: string): string[] {
  if (types.length <= 1) return [`${indent}${head} ${types[0] ?? "never"};`];
  const lines = types.map((type) => `${indent}  | ${type}`);
  return [`${indent}${head}`, ...lines.slice(0, -1), `${lines.at(-1)};`];
}

/** A property of the object's interface whose type is an object. */
function property(name: string, members: readonly (readonly [key: string, type: readonly string[]])[]): string[] {
  if (members.length === 0) return [`  ${name}: ${NOTHING};`];
  const lines = members.flatMap(([key, [first, ...rest]]) => {
    const all = [`${key}: ${first}`, ...rest];
    return [...all.slice(0, -1), `${all.at(-1)};`];
  });
  return [`  ${name}: {`, ...lines.map((line) => `    ${line}`), "  };"];
}

function listOf(type: string): string {
  return type.startsWith("readonly ") ? `readonly (${type})[]` : `readonly ${type}[]`;
}

function keyOf(name: string): string {
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? name : JSON.stringify(name);
}

/** A text that does not end the comment that it is in. */
function comment(text: string): string {
  return printable(text).replaceAll("*/", "* /");
}
