/** Numbers and names of `linux/btf.h`. */

/** The first two bytes of BTF. */
export const BTF_MAGIC = 0xeb9f;

/** Kinds of types by their numbers; names as `btf_kind_str` of libbpf has them. */
export const BTF_KINDS = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
] as const;

/** A kind of types. */
export type BtfKind = (typeof BTF_KINDS)[number];

/** Bytes of a type's head: name, info, size or type. */
export const BTF_TYPE_SIZE = 12;

/** Bytes behind the head of a type, and for each of its members. */
export const BTF_EXTRA: { readonly [kind in BtfKind]?: readonly [fixed: number, each: number] } = {
  int: [4, 0],
  array: [12, 0],
  struct: [0, 12],
  union: [0, 12],
  enum: [0, 8],
  func_proto: [0, 8],
  var: [4, 0],
  datasec: [0, 12],
  decl_tag: [4, 0],
  enum64: [0, 12],
};

/** Bits of what is said of an int. */
export const BTF_INT_SIGNED = 1, BTF_INT_CHAR = 2, BTF_INT_BOOL = 4;

/** Linkages of a variable. */
export const BTF_VAR_STATIC = 0, BTF_VAR_GLOBAL_EXTERN = 2;

/** How long a chain of types may be (the kernel's MAX_RESOLVE_DEPTH). */
export const BTF_MAX_DEPTH = 32;
