/** Links to a network namespace. */
import { checkKeys } from "../check.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { AttachType } from "../uapi/types.ts";
import type { LinkInfoBase } from "./kind.ts";
import { type Attachment, attachTypeOf, type Netns, openNetns } from "./target.ts";

/**
 * The programs of a network namespace choose the socket for a new connection (`sk_lookup`) or take packets apart
 * (`flow_dissector`).
 *
 * Since Linux 5.8; `sk_lookup` 5.9. Such links can be updated and detached. A namespace has one flow dissector and up to
 * 64 sk_lookup programs. When its last process and fd are gone they are detached some milliseconds later.
 */
export interface NetnsTarget {
  /** The kind of target. */
  type: "netns";
  /** The network namespace; the caller's own if absent. */
  netns?: Netns | undefined;
  /** What the program does. May be absent if the program was loaded here for it. */
  attachType?: "sk_lookup" | "flow_dissector" | undefined;
}

/** Info of a link to a network namespace. */
export interface NetnsInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "netns";
  /** The inode number of the namespace; 0 if detached. */
  netnsIno: number;
  /** What the program does. */
  attachType: AttachType;
}

const ATTACH_TYPES: readonly string[] = ["sk_lookup", "flow_dissector"];

export function prepareNetns(program: Program, target: NetnsTarget): Attachment {
  checkKeys(target, "target", ["type", "netns", "attachType"]);
  const attachType = attachTypeOf(
    target.attachType,
    program,
    (name) => ATTACH_TYPES.includes(name),
    '"sk_lookup" or "flow_dissector"',
  );
  const { fd, temporary } = openNetns(target.netns ?? "/proc/thread-self/ns/net", "target.netns");
  return { attachType, targetFd: fd, temporary };
}

export function describeNetns(target: NetnsTarget): string {
  return target.netns === undefined ? "this network namespace" : `network namespace ${target.netns}`;
}

export function readNetns({ id, progId, netnsIno, attachType }: Extract<BpfLinkInfo, { type: "netns" }>): NetnsInfo {
  return { type: "netns", id, programId: progId, attached: netnsIno !== 0, netnsIno, attachType };
}
