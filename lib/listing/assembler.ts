/** A tiny assembler: what small programs need of BPF's instructions, as the kernel's `instruction-set.rst` has them. */

/** Opcode, destination and source register, offset, immediate value. */
export type Instruction = readonly [
  opcode: number,
  destination: number,
  source: number,
  offset: number,
  immediate: number,
];

/** The bytes of a program. */
export function assemble(...instructions: Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([opcode, destination, source, offset, immediate], i) => {
    view.setUint8(i * 8, opcode);
    view.setUint8(i * 8 + 1, destination | source << 4);
    view.setInt16(i * 8 + 2, offset, true);
    view.setInt32(i * 8 + 4, immediate, true);
  });
  return bytes;
}

/** What can be loaded and stored at once. */
export type Bytes = 1 | 2 | 4 | 8;

const SIZES: Readonly<Record<Bytes, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };

/** `register = value` */
export const set = (register: number, value: number): Instruction => [0xb7, register, 0, 0, value];
/** `register = other` */
export const copy = (register: number, other: number): Instruction => [0xbf, register, other, 0, 0];
/** `register += value` */
export const add = (register: number, value: number): Instruction => [0x07, register, 0, 0, value];
/** `register &= value` */
export const and = (register: number, value: number): Instruction => [0x57, register, 0, 0, value];
/** `register = *(base + offset)`, a number of so many bytes */
export const load = (register: number, base: number, offset: number, size: Bytes = 8): Instruction => [
  0x61 | SIZES[size],
  register,
  base,
  offset,
  0,
];
/** `*(base + offset) = register`, so many bytes of it */
export const store = (base: number, offset: number, register: number, size: Bytes = 8): Instruction => [
  0x63 | SIZES[size],
  base,
  register,
  offset,
  0,
];
/** `*(base + offset) = value`, a number of so many bytes */
export const storeValue = (base: number, offset: number, value: number, size: Bytes = 8): Instruction => [
  0x62 | SIZES[size],
  base,
  0,
  offset,
  value,
];
/** Goes over so many instructions if `register == value`. */
export const skipIf = (register: number, value: number, count: number): Instruction => [
  0x15,
  register,
  0,
  count,
  value,
];
/** Goes over so many instructions unless `register == value`. */
export const skipUnless = (register: number, value: number, count: number): Instruction => [
  0x55,
  register,
  0,
  count,
  value,
];
/** Calls the kernel's helper of this number. */
export const call = (helper: number): Instruction => [0x85, 0, 0, 0, helper];
/** Calls the kernel's function of this BTF id. */
export const callKernel = (btfId: number): Instruction => [0x85, 0, 2, 0, btfId];
/** Returns r0. */
export const exit: Instruction = [0x95, 0, 0, 0, 0];
