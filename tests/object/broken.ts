/** Objects with a few bytes changed: where an ELF file and its BTF have what. */

const SECTION = 64, EHDR = { machine: 18, sections: 40, count: 60, names: 62 } as const;
const INT = 1, STRUCT = 4, TYPEDEF = 8, VOLATILE = 9, CONST = 10, FUNC_PROTO = 13;

interface Section {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** The sections of an object. */
function sectionsOf(bytes: Uint8Array<ArrayBuffer>): Section[] {
  const view = new DataView(bytes.buffer), start = Number(view.getBigUint64(EHDR.sections, true));
  const at = (i: number) => start + i * SECTION;
  const count = view.getUint16(EHDR.count, true), names = view.getUint16(EHDR.names, true);
  const offset = (i: number) => Number(view.getBigUint64(at(i) + 24, true));
  return Array.from({ length: count }, (_, i) => ({
    name: textAt(bytes, offset(names) + view.getUint32(at(i), true)),
    offset: offset(i),
    size: Number(view.getBigUint64(at(i) + 32, true)),
  }));
}

/** Where an object may be cut: the beginning and the end of each section and of what says where they are, and beside it. */
export function boundaries(bytes: Uint8Array<ArrayBuffer>): number[] {
  const headers = Number(new DataView(bytes.buffer).getBigUint64(EHDR.sections, true));
  const edges = [SECTION, headers, ...sectionsOf(bytes).flatMap(({ offset, size }) => [offset, offset + size])];
  const all = edges.flatMap((edge) => [edge - 1, edge, edge + 1]);
  return [...new Set([...all, bytes.length - 1])].filter((edge) => edge >= 0 && edge <= bytes.length);
}

/** A section begins where the file has long ended. */
export function withSectionBeyond(bytes: Uint8Array<ArrayBuffer>, name: string): Uint8Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer), start = Number(view.getBigUint64(EHDR.sections, true));
  const index = sectionsOf(bytes).findIndex((section) => section.name === name);
  view.setBigUint64(start + index * SECTION + 24, 1n << 40n, true);
  return bytes;
}

/** The same object, said to be for another processor. */
export function withMachine(bytes: Uint8Array<ArrayBuffer>, machine: number): Uint8Array<ArrayBuffer> {
  new DataView(bytes.buffer).setUint16(EHDR.machine, machine, true);
  return bytes;
}

/** The offset of a struct of functions in its section is so large that, with its size, it wraps around in 32 bits. */
export function offsetThatWraps(bytes: Uint8Array<ArrayBuffer>, variable: string): Uint8Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer), { offset, size } = sectionsOf(bytes).find(({ name }) => name === ".symtab")!;
  const strings = sectionsOf(bytes).find(({ name }) => name === ".strtab")!.offset;
  // a symbol: name, kind, section, value, size
  for (let at = offset; at < offset + size; at += 24) {
    const name = textAt(bytes, strings + view.getUint32(at, true));
    if (name === variable) view.setBigUint64(at + 8, 0xffff_fff0n, true);
  }
  return bytes;
}

/** The type of a bit field has no size. */
export function bitFieldOfNothing(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer), types = typesOf(bytes);
  const skb = types.find(({ kind, name }) => kind === STRUCT && name === "sk_buff")!;
  const member = Array.from({ length: (skb.end - skb.at - 12) / 12 }, (_, i) => skb.at + 12 + i * 12)
    .find((at) => view.getUint32(at + 8, true) >>> 24 !== 0)!; // the size of a bit field, in bits
  let type = types[view.getUint32(member + 4, true) - 1]!;
  while (type.kind !== INT) type = types[view.getUint32(type.at + 8, true) - 1]!;
  view.setUint32(type.at + 8, 0, true);
  return bytes;
}

/** What functions return is a type that is not there. */
export function functionsThatReturnNothingKnown(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return withReferences(bytes, [FUNC_PROTO], () => 0xffff);
}

/** Each type that is a name or a variant of another is that of itself. */
export function namesOfThemselves(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return withReferences(bytes, [TYPEDEF, VOLATILE, CONST], (id) => id);
}

/** Types of these kinds refer to another type. */
function withReferences(
  bytes: Uint8Array<ArrayBuffer>,
  kinds: readonly number[],
  toWhat: (id: number) => number,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer);
  for (const [i, { kind, at }] of typesOf(bytes).entries()) {
    if (kinds.includes(kind)) view.setUint32(at + 8, toWhat(i + 1), true);
  }
  return bytes;
}

/** The types of an object's BTF, in their order, with where they begin and end. */
function typesOf(bytes: Uint8Array<ArrayBuffer>): { kind: number; name: string; at: number; end: number }[] {
  const view = new DataView(bytes.buffer), { offset } = sectionsOf(bytes).find(({ name }) => name === ".BTF")!;
  const [, length, types, typesLength, strings] = Array.from(
    { length: 5 },
    (_, i) => view.getUint32(offset + i * 4, true),
  );
  const start = offset + length! + types!, found = [];
  for (let at = start; at < start + typesLength!;) {
    const info = view.getUint32(at + 4, true), kind = info >>> 24 & 0x1f, count = info & 0xffff;
    // what follows the 12 bytes of a type: INT, ARRAY, STRUCT, UNION, ENUM, FUNC_PROTO, VAR, DATASEC, DECL_TAG, ENUM64
    const more: Record<number, number> = { 1: 4, 3: 12, 4: 12 * count, 5: 12 * count, 6: 8 * count, 13: 8 * count };
    const rest: Record<number, number> = { 14: 4, 15: 12 * count, 17: 4, 19: 12 * count };
    const end = at + 12 + (more[kind] ?? rest[kind] ?? 0);
    found.push({ kind, name: textAt(bytes, offset + length! + strings! + view.getUint32(at, true)), at, end });
    at = end;
  }
  return found;
}

function textAt(bytes: Uint8Array, at: number): string {
  return new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
}
