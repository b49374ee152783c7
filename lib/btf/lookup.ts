/** Types by name in the BTF of modules, functions in that of programs. */
import { checkString } from "../check.ts";
import { BpfError } from "../error.ts";
import { btfFind, btfFindIn, type BtfKind } from "../ffi/btf.ts";
import { closeIfOpen } from "../os/files.ts";
import { btfGetData, btfGetFdById, btfGetInfoByFd, btfGetNextId } from "../sys/btf.ts";
import { progGetInfoByFd } from "../sys/program.ts";
import { ENOENT } from "../uapi/errno.ts";

/** The id of a function in a program's own BTF. `field` is what the caller calls it. Needs CAP_SYS_ADMIN. */
export function btfFindInProgram(progFd: number, symbol: string, field: string): number {
  checkString(symbol, field);
  const { id, btfId } = progGetInfoByFd(progFd);
  const refused = (meaning: string, hint: string) =>
    new BpfError(ENOENT, {
      action: `Cannot find function "${symbol}" in program ${id}`,
      command: "btf",
      reason: "invalid",
      meaning,
      hint,
    });
  if (btfId === 0) throw refused("the program has no BTF", "load it with btf and functionInfo");
  const fd = btfGetFdById(btfId);
  try {
    const found = btfFindIn(btfGetData(fd), "function", symbol);
    if (found === undefined) throw refused("its BTF has no function of this name", "check the name");
    return found;
  } finally {
    closeIfOpen(fd);
  }
}

/** A module that has a type: an fd of its BTF, to be closed, and the type's id. */
export function btfFindInModules(
  kind: BtfKind,
  name: string,
): { btfFd: number; id: number; module: string } | undefined {
  let id: number | undefined, module = "";
  const btfFd = openModule((each) => (id = btfFind(kind, name, module = each)) !== undefined);
  return btfFd === undefined ? undefined : { btfFd, id: id!, module };
}

/** An fd of the BTF of a module, to be closed; undefined if no such module is loaded, or it has none. */
export function openModuleBtf(module: string): number | undefined {
  return openModule((each) => each === module);
}

function openModule(isWanted: (name: string) => boolean): number | undefined {
  for (let id = btfGetNextId(0); id !== undefined; id = btfGetNextId(id)) {
    const fd = openIfThere(id);
    if (fd === undefined) continue;
    let keep = false;
    try {
      const { kernelBtf, name } = btfGetInfoByFd(fd);
      keep = kernelBtf && name !== "vmlinux" && isWanted(name);
    } finally {
      if (!keep) closeIfOpen(fd);
    }
    if (keep) return fd;
  }
  return undefined;
}

function openIfThere(id: number): number | undefined {
  try {
    return btfGetFdById(id);
  } catch (error) {
    if (error instanceof BpfError && error.reason === "gone") return undefined; // unloaded meanwhile
    throw error;
  }
}
