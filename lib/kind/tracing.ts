/** Links to functions: of the kernel, of its security hooks, of other programs. */
import { btfFindInProgram } from "../btf/lookup.ts";
import { checkKeys, checkOnlyOne, checkU32, checkU64, keysOf } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { btfFind } from "../ffi/btf.ts";
import { checkHandle } from "../handle/brand.ts";
import { allLinks } from "../listing/walk.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { EINVAL } from "../uapi/errno.ts";
import type { AttachType, AttachTypeName } from "../uapi/constants.ts";
import type { Ability, Attachment, Kind, LinkInfoBase, LinkKind } from "./kind.ts";

/**
 * The program runs when a function is entered or left (`trace_fentry`, `trace_fexit`, `trace_fsession`), may change
 * what it returns (`modify_return`), decides at a security hook (`lsm_mac`), or replaces a function of another program
 * (type `ext`). Which function, and as what, it was loaded for: see `attachTo` of `ProgramLoadOptions`.
 *
 * Since Linux 5.7; `ext` 5.10, `cookie` 5.19, `trace_fsession` 7.0. Such links can neither be updated nor detached by
 * force: they end when the last fd and pin are gone. A function takes 38 programs, 40 before Linux 5.12; a program can
 * be attached to its function once.
 *
 * @example Some hosts refuse it by policy; `tests/kernel/kind/tracing_test` of the repository does it
 * ```ts ignore
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({
 *   type: "tracing",
 *   instructions: nothing,
 *   expectedAttachType: "trace_fentry",
 *   attachTo: "do_unlinkat",
 * });
 * using link = Link.attach(program, { type: "tracing", cookie: 7n });
 * console.log(link.info().attachType); // trace_fentry
 * ```
 */
export interface TracingTarget {
  /** The kind of target. */
  type: "tracing";
  /** What the program reads with `bpf_get_attach_cookie`; only for a program that was loaded here. */
  cookie?: bigint | undefined;
  /**
   * For `ext` programs: which function to replace. Absent: the function given at load time; that works for the first link
   * only.
   */
  replace?: {
    /** The program. */
    program: Program;
    /** The function's name in the program's BTF; finding it takes CAP_SYS_ADMIN. */
    symbol: string;
  } | {
    /** The program. */
    program: Program;
    /** The function's id in the program's BTF. */
    btfId: number;
  } | undefined;
}

/** Info of a link to a function. */
export interface TracingInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "tracing";
  /** As what the program is attached; for a program of type ext the kernel's 0, `cgroup_inet_ingress`. */
  attachType: AttachType;
  /** The id of the program that has the function, or of the BTF object of the kernel or module. Since Linux 5.13. */
  targetObjectId?: number;
  /** The function's id in the BTF of that. Since Linux 5.13. */
  targetBtfId?: number;
  /** The cookie; 0n if none was given. Since Linux 6.17. */
  cookie?: bigint;
}

const KEYS = keysOf<TracingTarget>({ type: true, cookie: true, replace: true });

function prepare(program: Program, target: TracingTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { cookie, replace } = target;
  if (cookie !== undefined) checkU64(cookie, "target.cookie");
  if (replace !== undefined) {
    if (cookie !== undefined) refuseLostCookie(program);
    return prepareReplacement(replace, cookie);
  }
  refuseTracepoint(program);
  // it is the only way before 5.19, and has no cookie
  if (cookie === undefined) return { rawTracepoint: undefined };
  return { attachType: loadedFor(program), targetFd: 0, options: { tracing: { cookie } } };
}

function prepareReplacement(replace: NonNullable<TracingTarget["replace"]>, cookie: bigint | undefined): Attachment {
  checkKeys(replace, "target.replace", ["program", "symbol", "btfId"]);
  const { program, symbol, btfId } = replace as { program: Program; symbol?: string; btfId?: number };
  checkHandle(program, "program", "target.replace.program");
  checkOnlyOne(replace, "target.replace", ["symbol", "btfId"]);
  const targetBtfId = symbol === undefined
    ? checkU32(btfId, "target.replace.btfId")
    : btfFindInProgram(program.fd, symbol, "target.replace.symbol");
  const tracing = cookie === undefined ? undefined : { cookie };
  return { attachType: EXTENSION, targetFd: program.fd, options: { targetBtfId, tracing } };
}

/** Extensions have no attach type: the kernel wants 0, and calls it by this name elsewhere. */
const EXTENSION = "cgroup_inet_ingress";

/** What a cookie needs to be told: no kernel says for what an opened program was loaded. */
function loadedFor(program: Program): AttachTypeName {
  const attachType = program.type === "ext" ? EXTENSION : expectedAttachTypeOf(program);
  if (attachType !== undefined) return attachType;
  if (program.type === "lsm") return "lsm_mac";
  throw new TypeError(
    `target.cookie needs a program that was loaded here: no kernel reports for which attach type program ${program.id} was`,
  );
}

/** Before the kernel had cookies for functions, it ignored those of replacements. */
function refuseLostCookie(program: Program): void {
  if (btfFind("function", "bpf_get_attach_cookie_tracing") !== undefined) return;
  throw new BpfError(EINVAL, {
    action: `Cannot attach program ${program.id} to a function`,
    command: "LINK_CREATE",
    reason: "unsupported",
    meaning: "no program could read the cookie here",
    hint: "cookies came with Linux 5.19",
  });
}

/** The kernel would make a link of another type. */
function refuseTracepoint(program: Program): void {
  if (expectedAttachTypeOf(program) !== "trace_raw_tp") return;
  throw new BpfError(EINVAL, {
    action: `Cannot attach program ${program.id} to a function`,
    command: "RAW_TRACEPOINT_OPEN",
    reason: "invalid",
    meaning: "it was loaded for a tracepoint",
    hint: 'use the target { type: "tp_btf" }',
  });
}

/** What is in the way, which the kernel says in one errno: a link of the same program, or one that excludes it. */
function whyRefused(
  { code }: BpfError,
  { replace }: TracingTarget,
  _attachment: Attachment,
  program: Program,
): Explanation | undefined {
  if (code !== "EBUSY") return undefined;
  const links = [...allLinks()].filter((info) => info.type === "tracing");
  const own = links.find(({ progId }) => progId === program.id);
  if (own !== undefined && replace === undefined) {
    return {
      reason: "busy",
      meaning: `link ${own.id} attaches this program to its function already`,
      hint: "use that link, or load the program a second time",
    };
  }
  const there = links.find(({ targetObjId }) => replace !== undefined && targetObjId === replace.program.id);
  return there && {
    reason: "busy",
    meaning: `link ${there.id} attaches program ${there.progId} to a function of program ${there.targetObjId}`,
    hint: "a function that is replaced can be neither traced nor replaced again: end that link first",
  };
}

function describe({ replace }: TracingTarget): string {
  if (replace === undefined) return "its function";
  const what = "symbol" in replace ? `"${replace.symbol}"` : `${replace.btfId}`;
  return `function ${what} of program ${replace.program.id}`;
}

const record = TYPES.tracing.record!;

function read(
  { id, progId, attachType, targetObjId, targetBtfId, cookie }: Extract<BpfLinkInfo, { type: "tracing" }>,
): TracingInfo {
  const info: TracingInfo = { type: "tracing", id, programId: progId, attachType };
  if (targetObjId !== undefined) info.targetObjectId = targetObjId;
  if (targetBtfId !== undefined) info.targetBtfId = targetBtfId;
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}

/** The kind of target that is a function, and its links. */
export const tracing: Kind<TracingTarget, "tracing", Program> & LinkKind<"tracing", TracingInfo> = {
  linkType: "tracing",
  keys: KEYS,
  programs: ["tracing", "lsm", "ext"],
  prepare,
  describe,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ attachType, targetBtfId, targetObjectId }, { functions }) => {
    if (targetBtfId === undefined) return attachType;
    const name = functions?.inBtf(targetBtfId, targetObjectId);
    return name === undefined ? `${attachType} BTF id ${targetBtfId}` : `${attachType.replace(/^trace_/, "")} ${name}`;
  },
  probe: () => ({
    examples: [
      { program: { type: "tracing", expectedAttachType: "trace_fentry", attachTo: "vfs_read" } },
      { program: { type: "tracing", expectedAttachType: "trace_fexit", attachTo: "vfs_read" } },
    ],
    get attach(): Ability { // not before it is asked for: other runtimes may import the package
      const isArm64 = Deno.build.arch === "aarch64";
      return {
        since: isArm64 ? "6.4" : TYPES.tracing.since,
        config: "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
        // x86_64 patches functions wherever it loads such programs; arm64 loads them before it can
        proofs: isArm64 ? [{ kernelFunction: "register_ftrace_direct" }] : [],
      };
    },
    cookie: "5.19",
  }),
};
