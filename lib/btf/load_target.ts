/** What a program is loaded for, beside its attach type: a function, a tracepoint, a member of a struct. */
import { checkKeys, checkString, checkU32, kindOf } from "../check.ts";
import { BpfError } from "../error.ts";
import { btfFind, btfFindMember, type BtfKind } from "../ffi/btf.ts";
import { checkHandle } from "../handle/brand.ts";
import { close, closeIfOpen } from "../os/files.ts";
import { splitName, variantsOf } from "../os/kallsyms.ts";
import type { ProgLoadOptions } from "../sys/program.ts";
import { ENOENT } from "../uapi/errno.ts";
import type { AttachTypeName, ProgramTypeName } from "../uapi/constants.ts";
import { btfFindInModules, btfFindInProgram, openModuleBtf } from "./lookup.ts";

/**
 * What a program is loaded for; see `attachTo` of {@linkcode ProgramLoadOptions}.
 *
 * @typeParam P The class of programs.
 */
export type AttachTo<P = { readonly fd: number }> = string | {
  /** The id of the type. */
  btfId: number;
  /** The module that has it; the kernel itself if absent. Since Linux 5.11; takes CAP_SYS_ADMIN. */
  module?: string | undefined;
} | {
  /** The program that has the function; it was loaded with `btf` and `functionInfo`. */
  program: P;
  /** The function's name in that program's BTF. */
  symbol: string;
} | {
  /** The struct, such as `tcp_congestion_ops`. */
  struct: string;
  /** Its member, such as `cong_avoid`. */
  member: string;
};

/** Options of PROG_LOAD. The fd `attachBtfObjFd` is to be closed after the call. */
type Place = Pick<ProgLoadOptions, "attachBtfId" | "attachProgFd" | "attachBtfObjFd" | "expectedAttachType">;

/** What the kernel calls the functions and types behind the names that users know. */
const BTF_NAMES: Readonly<Record<string, readonly [kind: BtfKind, prefix: string]>> = {
  trace_iter: ["function", "bpf_iter_"],
  trace_raw_tp: ["typedef", "btf_trace_"],
  lsm_mac: ["function", "bpf_lsm_"],
  lsm_cgroup: ["function", "bpf_lsm_"],
};

const NAME = "options.attachTo";
const FORMS = "a name, { btfId, module }, { program, symbol } or { struct, member }";

/** Looks up what `attachTo` names. */
export function findPlace(attachTo: AttachTo, type: ProgramTypeName, attachType: AttachTypeName | undefined): Place {
  if (typeof attachTo === "string") {
    const [kind, prefix] = BTF_NAMES[attachType ?? ""] ?? ["function", type === "lsm" ? "bpf_lsm_" : ""];
    const { name, module } = splitName(checkString(attachTo, NAME)), what = `${type} program for "${attachTo}"`;
    return module === undefined
      ? findType(kind, prefix + name, what).place
      : placeInModule(kind, prefix + name, module, what);
  }
  if (typeof attachTo !== "object" || attachTo === null) {
    throw new TypeError(`${NAME} must be ${FORMS}, not ${kindOf(attachTo)}`);
  }
  if ("btfId" in attachTo) return placeById(attachTo);
  if ("program" in attachTo) return placeInProgram(attachTo);
  checkKeys(attachTo, NAME, ["struct", "member"]);
  const { struct, member } = attachTo;
  checkString(struct, `${NAME}.struct`);
  checkString(member, `${NAME}.member`);
  if (attachType !== undefined) {
    throw new TypeError("options.expectedAttachType cannot be given with a member, which takes its place");
  }
  return placeInStruct(struct, member);
}

function placeInModule(kind: BtfKind, name: string, module: string, what: string): Place {
  const attachBtfObjFd = openModuleBtf(module);
  if (attachBtfObjFd === undefined) throw nothing(what, `no module ${module} is loaded, or it has no BTF`);
  const attachBtfId = btfFind(kind, name, module);
  if (attachBtfId !== undefined) return { attachBtfId, attachBtfObjFd };
  close(attachBtfObjFd);
  throw nothing(what, `module ${module} has no ${kind} ${name}`, kind === "function" ? variantsOf([name]) : []);
}

function placeById(attachTo: { btfId: number; module?: string | undefined }): Place {
  checkKeys(attachTo, NAME, ["btfId", "module"]);
  const { btfId, module } = attachTo;
  const attachBtfId = checkU32(btfId, `${NAME}.btfId`);
  if (module === undefined) return { attachBtfId };
  const attachBtfObjFd = openModuleBtf(checkString(module, `${NAME}.module`));
  if (attachBtfObjFd !== undefined) return { attachBtfId, attachBtfObjFd };
  throw nothing(`program for module "${module}"`, "no such module is loaded, or it has no BTF");
}

function placeInProgram(attachTo: { program: { readonly fd: number }; symbol: string }): Place {
  checkKeys(attachTo, NAME, ["program", "symbol"]);
  checkHandle(attachTo.program, "program", `${NAME}.program`);
  const attachProgFd = attachTo.program.fd;
  return { attachProgFd, attachBtfId: btfFindInProgram(attachProgFd, attachTo.symbol, `${NAME}.symbol`) };
}

/** For struct_ops the kernel takes the struct's id, and the member's index for an attach type. */
function placeInStruct(struct: string, member: string): Place {
  const what = `struct_ops program for "${struct}.${member}"`;
  const { place, module } = findType("struct", struct, what);
  const index = btfFindMember(struct, member, module);
  if (index !== undefined) return { ...place, expectedAttachType: `attach_type_${index}` };
  if (place.attachBtfObjFd !== undefined) closeIfOpen(place.attachBtfObjFd);
  throw nothing(what, `struct ${struct} has no such member here`);
}

/** In the kernel, or else in one of its modules. */
function findType(kind: BtfKind, name: string, what: string): { place: Place; module?: string } {
  const attachBtfId = btfFind(kind, name);
  if (attachBtfId !== undefined) return { place: { attachBtfId } };
  const found = findInModules(kind, name);
  if (found !== undefined) {
    return { place: { attachBtfId: found.id, attachBtfObjFd: found.btfFd }, module: found.module };
  }
  throw nothing(what, `this kernel has no ${kind} ${name}`, kind === "function" ? variantsOf([name]) : []);
}

function findInModules(kind: BtfKind, name: string): ReturnType<typeof btfFindInModules> {
  try {
    return btfFindInModules(kind, name);
  } catch (error) {
    if (error instanceof BpfError && error.reason === "capability") return undefined;
    throw error;
  }
}

function nothing(what: string, meaning: string, variants: readonly string[] = []): BpfError {
  return new BpfError(ENOENT, {
    action: `Cannot load ${what}`,
    command: "btf",
    reason: "unsupported",
    meaning,
    hint: variants.length > 0
      ? `the compiler made ${variants.join(", ")} of it, which kprobe targets can name`
      : "check the name, and that the kernel was built with what it belongs to; modules are searched with CAP_SYS_ADMIN",
  });
}
