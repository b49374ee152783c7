/** Types by name, in the BTF of the kernel: looked up inside the library, by `ffi/core/src/btf.rs`. */
import { checked, type Refusals, refused } from "../refusal.ts";
import { ENODEV, ENOENT } from "../uapi/errno.ts";
import { native } from "./library.ts";
import { numbers } from "./symbols.ts";

const KERNEL = "/sys/kernel/btf/vmlinux";
const { ANSWER, STRUCT, TYPEDEF, FUNCTION } = numbers.btf; // ANSWER: words for each string of a layout

/** What can be looked up. */
export type BtfKind = "struct" | "typedef" | "function";

const KINDS: Readonly<Record<BtfKind, number>> = { struct: STRUCT, typedef: TYPEDEF, function: FUNCTION };

/** The id of a type in the BTF of the kernel or of a module; undefined if it has none of this name and kind. */
export function btfFind(kind: BtfKind, name: string, module?: string): number | undefined {
  return ask(kind, name, "", module);
}

/** The index of a member in a struct of the kernel or of a module; undefined if there is none. */
export function btfFindMember(struct: string, member: string, module?: string): number | undefined {
  return ask("struct", struct, member, module);
}

/** Bytes of a struct of the kernel; undefined if there is none of this name. */
export function btfStructSize(name: string): number | undefined {
  return ask("struct", name, "=", undefined);
}

/** Where a member lies: the offset of each pointer on the way and its own, in bytes, and its size. */
export interface Member {
  readonly offsets: readonly number[];
  readonly size: number;
}

/** A struct of the kernel: its id, and those of the wanted members that it has. */
export interface StructLayout {
  readonly id: number;
  readonly members: ReadonlyMap<string, Member>;
}

/**
 * Where members of the kernel's structs lie, by the names of the structs; what this kernel does not have is absent. A
 * member is a path with dots, which goes on behind pointers: `cgroup.kn.id`. A name that ends in `()` is a function's.
 */
export function btfLayout(wanted: Readonly<Record<string, readonly string[]>>): Map<string, StructLayout> {
  const groups = Object.entries(wanted);
  const query = new TextEncoder().encode(
    groups.map(([name, paths]) => [name, ...paths].map((string) => `${string}\0`).join("") + "\0").join(""),
  );
  const count = groups.reduce((sum, [, paths]) => sum + paths.length + 2, 1);
  const answers = new Uint32Array(count * ANSWER);
  const result = native().bpf_link_btf_layout(query, query.length, new Uint8Array(answers.buffer), answers.byteLength);
  checked(result, BTF, () => `Cannot look up structs in ${KERNEL}`);
  const layout = new Map<string, StructLayout>();
  let at = 0;
  for (const [name, paths] of groups) {
    const id = answers[at]!;
    const members = new Map<string, Member>();
    for (const path of paths) {
      const [loads = 0, size = 0, ...offsets] = answers.subarray(at += ANSWER, at + ANSWER);
      if (loads > 0) members.set(path, { offsets: offsets.slice(0, loads), size });
    }
    at += ANSWER * 2; // the empty string
    if (id > 0) layout.set(name, { id, members });
  }
  return layout;
}

function ask(kind: BtfKind, name: string, member: string, module: string | undefined): number | undefined {
  const file = module === undefined ? KERNEL : `/sys/kernel/btf/${module}`;
  const result = find(kind, `${file}\0${module === undefined ? "" : KERNEL}\0${name}\0${member}\0`);
  if (result >= 0) return result;
  if (result === -ENOENT) return undefined;
  if (result === -ENODEV && module !== undefined) return undefined; // it has none, or is unloaded meanwhile
  throw refused(result, BTF, `Cannot look up ${kind} "${name}" in ${file}`);
}

/** What errnos of a look-up mean. */
const BTF: Refusals = {
  command: "btf",
  rows: () => ({
    ENODEV: [
      "unsupported",
      "there is no such file",
      "the kernel needs CONFIG_DEBUG_INFO_BTF, and /sys must be mounted",
    ],
    EINVAL: ["unsupported", "it is no BTF, or has kinds of types that are newer than this package"],
  }),
};

/** The id of a type in BTF that the caller has; undefined if it has none of this name and kind. */
export function btfFindIn(data: Uint8Array, kind: BtfKind, name: string): number | undefined {
  const result = find(kind, `\0\0${name}\0\0`, data);
  if (result === -ENOENT) return undefined;
  return checked(result, BTF, () => `Cannot look up ${kind} "${name}" in a program's BTF`);
}

/** `names`: a file, the file that it extends, a type and its member, each with its NUL. */
function find(kind: BtfKind, names: string, data: Uint8Array = new Uint8Array()): number {
  const encoded = new TextEncoder().encode(names);
  const query = new Uint8Array(encoded.length + data.length);
  query.set(encoded);
  query.set(data, encoded.length);
  return native().bpf_link_btf_find(KINDS[kind], query, query.length);
}
