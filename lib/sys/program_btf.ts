/** Functions by name, in the BTF of a program. */
import { BpfError } from "../error.ts";
import { btfFindIn } from "./btf.ts";
import { btfGetData, btfGetFdById } from "./btf_object.ts";
import { checkString } from "./check.ts";
import { progGetInfoByFd } from "./program.ts";
import { close } from "./system.ts";
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
    close(fd);
  }
}
