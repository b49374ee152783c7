/** Links to the traffic control hooks of a network interface. */
import { checkKeys, checkOneOf } from "../check.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { LinkInfoBase } from "./kind.ts";
import { encodePosition, type Position } from "./position.ts";
import { type Attachment, type Device, interfaceTarget, type Netns } from "./target.ts";

/**
 * Programs of type sched_cls see the packets that an interface receives or sends, one after the other, as long as they
 * return TCX_NEXT (-1).
 *
 * Since Linux 6.6. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. A hook takes 63 programs, each once. When the interface is deleted they are detached at once.
 */
export interface TcxTarget {
  /** The kind of target. */
  type: "tcx";
  /** The interface, by name or number. */
  device: Device;
  /** The network namespace of the interface; the caller's own if absent. */
  netns?: Netns | undefined;
  /** Which packets: those that are received (`ingress`) or sent (`egress`). */
  direction: "ingress" | "egress";
  /** The place among the programs of the hook; last if absent. */
  position?: Position | undefined;
  /** The revision that the hook must have, else the error's reason is `stale`. Not 0n. It begins anew when the hook gets empty. */
  expectedRevision?: bigint | undefined;
}

/** Info of a link to a traffic control hook. */
export interface TcxInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "tcx";
  /** The interface's number in its network namespace, which need not be the caller's; 0 if detached. */
  ifindex: number;
  /** The inode number of that namespace, where the source of the listing tells it. */
  netnsIno?: number;
  /** Which packets it sees. */
  attachType: "tcx_ingress" | "tcx_egress";
}

export function prepareTcx(_program: Program, target: TcxTarget): Attachment {
  checkKeys(target, "target", ["type", "device", "netns", "direction", "position", "expectedRevision"]);
  const direction = checkOneOf(target.direction, "target.direction", ["ingress", "egress"]);
  const { flags, relative } = encodePosition(target.position, target.expectedRevision, "links and programs");
  return { attachType: `tcx_${direction}`, ...interfaceTarget(target, { flags, tcx: relative }) };
}

export function readTcx(
  { id, progId, ifindex, attachType, netnsIno }: Extract<BpfLinkInfo, { type: "tcx" }>,
): TcxInfo {
  const info: TcxInfo = {
    type: "tcx",
    id,
    programId: progId,
    attached: ifindex !== 0,
    ifindex,
    attachType: attachType as TcxInfo["attachType"],
  };
  if (netnsIno !== undefined) info.netnsIno = netnsIno;
  return info;
}
