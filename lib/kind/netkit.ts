/** Links to the hooks of a netkit pair, the interfaces of containers. */
import { checkFlag, checkKeys } from "../check.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { LinkInfoBase } from "./kind.ts";
import { encodePosition, type Position } from "./position.ts";
import { type Attachment, type Device, interfaceTarget, type Netns } from "./target.ts";

/**
 * Programs of type sched_cls see the packets that leave one side of a netkit pair, one after the other, as long as they
 * return NETKIT_NEXT (-1).
 *
 * Since Linux 6.7. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. A hook takes 63 programs, each once. When the pair is deleted they are detached at once.
 */
export interface NetkitTarget {
  /** The kind of target. */
  type: "netkit";
  /** The primary interface of the pair, by name or number: it stands for both sides. */
  device: Device;
  /** The network namespace of the primary interface; the caller's own if absent. */
  netns?: Netns | undefined;
  /** Whether it sees what leaves the peer, which is usually inside a container; else what leaves the primary. */
  peer?: boolean | undefined;
  /** The place among the programs of the hook; last if absent. */
  position?: Position | undefined;
  /** The revision that the hook must have, else the error's reason is `stale`. Not 0n. */
  expectedRevision?: bigint | undefined;
}

/** Info of a link to a netkit pair. */
export interface NetkitInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "netkit";
  /**
   * The number of the interface whose packets it sees, the primary's or the peer's, in the network namespace of that
   * interface, which need not be the caller's; 0 if detached.
   */
  ifindex: number;
  /** The inode number of that namespace, where the source of the listing tells it. */
  netnsIno?: number;
  /** Which side's packets it sees. */
  attachType: "netkit_primary" | "netkit_peer";
}

export function prepareNetkit(_program: Program, target: NetkitTarget): Attachment {
  checkKeys(target, "target", ["type", "device", "netns", "peer", "position", "expectedRevision"]);
  const { position, expectedRevision } = target;
  const peer = checkFlag(target.peer, "target.peer");
  const { flags, relative } = encodePosition(position, expectedRevision, "links and programs");
  return {
    attachType: peer ? "netkit_peer" : "netkit_primary",
    ...interfaceTarget(target, { flags, netkit: relative }),
  };
}

export function readNetkit(
  { id, progId, ifindex, attachType, netnsIno }: Extract<BpfLinkInfo, { type: "netkit" }>,
): NetkitInfo {
  const info: NetkitInfo = {
    type: "netkit",
    id,
    programId: progId,
    attached: ifindex !== 0,
    ifindex,
    attachType: attachType as NetkitInfo["attachType"],
  };
  if (netnsIno !== undefined) info.netnsIno = netnsIno;
  return info;
}
