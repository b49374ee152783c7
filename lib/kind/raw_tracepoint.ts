/** Links to a raw tracepoint. */
import { checkKeys, checkString } from "../check.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { LinkInfoBase } from "./kind.ts";
import type { Attachment } from "./target.ts";

/**
 * The program runs at a tracepoint and sees the arguments as the kernel's code passes them.
 *
 * Since Linux 5.7 as a link; `cookie` 6.10. Such links can neither be updated nor detached by force: they end when the
 * last fd and pin are gone.
 */
export interface RawTracepointTarget {
  /** The kind of target. */
  type: "raw_tracepoint";
  /** The tracepoint's name without its category, as `sched_switch`. */
  name: string;
  /** What the program reads with `bpf_get_attach_cookie`. */
  cookie?: bigint | undefined;
}

/** Info of a link to a raw tracepoint, and of one to a BTF-typed tracepoint (`tp_btf`). */
export interface RawTracepointInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "raw_tracepoint";
  /** The tracepoint's name. */
  name: string;
  /** The cookie; 0n if none was given. Since Linux 6.17. */
  cookie?: bigint;
}

export function prepareRawTracepoint(_program: Program, target: RawTracepointTarget): Attachment {
  checkKeys(target, "target", ["type", "name", "cookie"]);
  return { rawTracepoint: checkString(target.name, "target.name"), cookie: target.cookie };
}

export function describeRawTracepoint(target: RawTracepointTarget): string {
  return `raw tracepoint "${target.name}"`;
}

export function readRawTracepoint(
  { id, progId, tpName, cookie }: Extract<BpfLinkInfo, { type: "raw_tracepoint" }>,
): RawTracepointInfo {
  const info: RawTracepointInfo = { type: "raw_tracepoint", id, programId: progId, name: tpName };
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}
