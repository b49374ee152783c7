/**
 * Compiled objects: what clang makes of BPF programs in C (`.bpf.o`), loaded by libbpf, the field's own loader, with maps,
 * events and global variables as values of JavaScript.
 *
 * - {@linkcode BpfObject}: programs, maps and global variables by name; links to what the names of sections say
 * - {@linkcode TypedMap}: a map whose keys and values are what their BTF says; events of ring buffers
 * - {@linkcode Btf}: the types themselves
 * - {@linkcode generateTypes}: what an object has, as types of TypeScript
 *
 * What an object may do is what its programs may do, so it needs the trust that they need. libbpf is a native library of its
 * own, which is opened when the first object is.
 *
 * @example
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("records.bpf.o");
 * object.program("write_event").run({ data: new Uint8Array(64) });
 * for await (const event of object.map("events").events("event")) {
 *   console.log(event.kind, event.text);
 *   break;
 * }
 * ```
 *
 * @module
 */
export { UsdtProbe } from "./attach.ts";
export { Btf, type BtfKind, type BtfMember, type BtfType, type BtfVariable, type Shape } from "./btf.ts";
export type { Codec } from "./codec.ts";
export { BTF_KINDS } from "../uapi/btf.ts";
export { objectLibraryBytes, setObjectLibraryPath } from "../ffi/object/library.ts";
export { generateTypes } from "./generate.ts";
export type { EventOptions, EventStream } from "./events.ts";
export {
  BpfObject,
  type FunctionOf,
  type Globals,
  type MapName,
  type MapOf,
  type MapOptions,
  type ObjectMap,
  type ObjectProgram,
  type OpenOptions,
  type ProgramName,
  type UnknownTypes,
} from "./object.ts";
export {
  type AttachOverrides,
  LeftOpenError,
  overridesFromWords,
  type OverridesOf,
  type SectionProgram,
  type UsdtOverrides,
  type UsdtTarget,
} from "./sections.ts";
export { type SetOptions, TypedMap } from "./typed_map.ts";
export type { MapTypes, ObjectTypes, OneMember, OneOf, oneOf, Writable } from "./types.ts";
