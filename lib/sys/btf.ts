/** Types of the kernel's BTF by name, looked up inside the library. */
import { BpfError } from "../error.ts";
import { native } from "../ffi/library.ts";
import { ERRNO } from "../uapi/errno.ts";

const KERNEL = "/sys/kernel/btf/vmlinux";
const KINDS = { struct: 4, typedef: 8, function: 12 } as const;

/** The id of a type in the BTF of the kernel or of a module; undefined if it has none of this name and kind. */
export function btfFind(kind: keyof typeof KINDS, name: string, module?: string): number | undefined {
  const file = module === undefined ? KERNEL : `/sys/kernel/btf/${module}`;
  const names = new TextEncoder().encode(`${file}\0${module === undefined ? "" : KERNEL}\0${name}\0`);
  const result = native().bpf_link_btf_find(KINDS[kind], names, names.length);
  if (result > 0) return result;
  if (result === -2 && module === undefined) return undefined;
  throw new BpfError(-result, {
    action: `Cannot look up ${kind} "${name}" in ${file}`,
    command: "btf",
    reason: "unsupported",
    meaning: ERRNO[-result]?.[1] ?? "unknown error",
    hint: "the kernel needs CONFIG_DEBUG_INFO_BTF, and the module must be loaded",
  });
}
