/** Links of programs that know a tracepoint's arguments by their types. */
import { checkKeys, checkU64, keysOf } from "../check.ts";
import { BpfError } from "../error.ts";
import { btfFind } from "../ffi/btf.ts";
import { close } from "../os/files.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { isNoAnswer } from "../refusal.ts";
import { COOKIE_READER, progLoad } from "../sys/program.ts";
import { TYPES } from "../sys/type/mod.ts";
import { EINVAL } from "../uapi/errno.ts";
import type { Attachment, Kind } from "./kind.ts";

/**
 * The program runs at the tracepoint that it was loaded for (`attachTo: "sched_switch"` with the attach type
 * `trace_raw_tp`).
 *
 * Since Linux 5.7. The kernel makes a link of type raw_tracepoint of it, which can neither be updated nor detached by
 * force: it ends when the last fd and pin are gone.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({
 *   type: "tracing",
 *   instructions: nothing,
 *   expectedAttachType: "trace_raw_tp",
 *   attachTo: "sched_process_exec",
 * });
 * using link = Link.attach(program, { type: "tp_btf" });
 * console.log(link.type, link.info().name); // raw_tracepoint sched_process_exec
 * ```
 */
export interface TpBtfTarget {
  /** The kind of target. */
  type: "tp_btf";
  /** What the program reads with `bpf_get_attach_cookie`; since Linux 6.10. */
  cookie?: bigint | undefined;
}

const KEYS = keysOf<TpBtfTarget>({ type: true, cookie: true });

function prepare(program: Program, target: TpBtfTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { cookie } = target;
  if (cookie !== undefined) checkU64(cookie, "target.cookie");
  const attachType = expectedAttachTypeOf(program);
  if (attachType !== undefined && attachType !== "trace_raw_tp") {
    throw refusedFor(
      program,
      "invalid",
      `it was loaded for ${attachType}`,
      "load it with the attach type trace_raw_tp",
    );
  }
  if (cookie !== undefined && !canReadCookie()) {
    throw refusedFor(program, "unsupported", "no program could read the cookie here", "cookies came with Linux 6.10");
  }
  return { rawTracepoint: undefined, cookie };
}

function refusedFor(program: Program, reason: "invalid" | "unsupported", meaning: string, hint: string): BpfError {
  const action = `Cannot attach program ${program.id} to its tracepoint`;
  return new BpfError(EINVAL, { action, command: "RAW_TRACEPOINT_OPEN", reason, meaning, hint });
}

let cookieReadable: boolean | undefined;

/** Some kernels take a cookie that no program can read. Asked once, by loading one that would. */
function canReadCookie(): boolean {
  return cookieReadable ??= loadsReader();
}

function loadsReader(): boolean {
  const attachBtfId = btfFind("typedef", "btf_trace_sys_enter");
  try {
    close(progLoad("tracing", COOKIE_READER, { expectedAttachType: "trace_raw_tp", attachBtfId, logLevel: 0 }));
    return true;
  } catch (error) {
    // a caller that may not load programs cannot ask, and has one that somebody else loaded
    if (error instanceof BpfError && !isNoAnswer(error)) return error.code === "EPERM";
    throw error;
  }
}

function describe(): string {
  return "its tracepoint";
}

/** The kind of target that is a tracepoint, by a program that was loaded for it. */
export const tp_btf: Kind<TpBtfTarget, "raw_tracepoint", Program> = {
  linkType: "raw_tracepoint",
  keys: KEYS,
  programs: ["tracing"],
  prepare,
  describe,
  probe: () => ({
    examples: [{ program: { type: "tracing", expectedAttachType: "trace_raw_tp", attachTo: "sched_switch" } }],
    attach: { since: TYPES.raw_tracepoint.since, config: "CONFIG_BPF_EVENTS", proofs: [] },
    cookie: "6.10",
  }),
};
