/** What the types of an object say, for `deno check`. */

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
