/** What the types of an object say, for `deno check`. */
import type { BpfMap } from "../map.ts";
import type { TypedMap } from "./typed_map.ts";

/**
 * What a compiled object has: the parameter of `BpfObject`, as `bpflink gen FILE.bpf.o` writes it.
 *
 * Types are for `deno check` alone. At run time the object's own BTF decides: what is not in the object, or does not fit its
 * types, is an error.
 *
 * @example Say by hand what an object has
 * ```ts no-run
 * import type { ObjectTypes } from "@bpf/link/object";
 *
 * interface Egress extends ObjectTypes {
 *   programs: "count_egress";
 *   maps: { flows: { key: number; value: { readonly packets: bigint } } };
 *   globals: { readonly port: number; dropped: bigint };
 * }
 * ```
 */
export interface ObjectTypes {
  /** The names of its programs. */
  programs?: string;
  /** Its maps by name, and what their keys and values are; `Uint8Array<ArrayBuffer>` where BTF does not say. */
  maps?: Record<string, MapTypes>;
  /** Its global variables by name; those of `.rodata` and `.kconfig` are `readonly`, since they are set before it is loaded. */
  globals?: object;
  /** Other types by their names in C: those of records of a ring buffer. */
  types?: object;
}

/** What the keys and values of a map are. */
export interface MapTypes {
  /** A key. */
  key: unknown;
  /** A value; of a map that has one for each CPU an array of them. */
  value: unknown;
}

/** The key of {@linkcode OneOf}: a type alone. */
export declare const oneOf: unique symbol;

/**
 * Says of a type that some of its members share their bytes, as those of a union do: all of them can be read, and one is
 * enough to write the whole. `bpflink gen` writes it; at run time there is nothing of it.
 *
 * @typeParam Names The names of these members.
 */
export interface OneOf<Names extends string> {
  /** Never there. */
  readonly [oneOf]?: Names;
}

/**
 * What may be written where values of a type are read: the same, but of a union one member is enough, and where maps are
 * held also a plain {@linkcode BpfMap}.
 *
 * @typeParam T What is read.
 */
export type Writable<T> = 0 extends 1 & T ? T // any
  : T extends string | number | bigint | boolean | undefined | ArrayBufferView ? T
  : T extends TypedMap ? T | BpfMap
  : T extends Disposable ? T
  : T extends readonly (infer E)[] ? readonly Writable<E>[]
  : T extends object
    ? typeof oneOf extends keyof T
      ? Extract<NonNullable<T[typeof oneOf]>, keyof T> extends infer Names extends keyof T ?
          & { [K in Exclude<keyof T, Names | typeof oneOf>]: Writable<T[K]> }
          & { [K in Names]: OneMember<T, K, Names> }[Names]
      : never
    : { [K in keyof T]: Writable<T[K]> }
  : T;

/**
 * A member of a union, and maybe others that say the same.
 *
 * @typeParam T What is read.
 * @typeParam K The member.
 * @typeParam Names All members that share their bytes.
 */
export type OneMember<T, K extends keyof T, Names extends keyof T> =
  & { readonly [P in K]: Writable<T[P]> }
  & { readonly [P in Exclude<Names, K>]?: Writable<T[P]> };
