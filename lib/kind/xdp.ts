/** Links to a network interface, before the kernel's network stack. */
import { checkKeys, checkOneOf } from "../check.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import { XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import type { LinkInfoBase } from "./kind.ts";
import { type Attachment, type Device, interfaceTarget, type Netns } from "./target.ts";

/**
 * The program sees each packet that an interface receives, before anything else does.
 *
 * Since Linux 5.9. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. There is one program for each interface and mode. When the interface is deleted they are
 * detached at once; when it moves to another network namespace they stay attached, and the number in their info is the
 * one it has there.
 */
export interface XdpTarget {
  /** The kind of target. */
  type: "xdp";
  /** The interface, by name or number. */
  device: Device;
  /** The network namespace of the interface; the caller's own if absent. */
  netns?: Netns | undefined;
  /** Who runs the program: the kernel (`generic`), the driver (`native`) or the device; the best that there is if absent. */
  mode?: "generic" | "native" | "offload" | undefined;
}

/** Info of a link to a network interface. */
export interface XdpInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "xdp";
  /** The interface's number in its network namespace, which need not be the caller's; 0 if detached. */
  ifindex: number;
  /** The inode number of that namespace, where the source of the listing tells it. */
  netnsIno?: number;
}

const MODES = { generic: XDP_FLAGS_SKB_MODE, native: XDP_FLAGS_DRV_MODE, offload: XDP_FLAGS_HW_MODE } as const;

export function prepareXdp(_program: Program, target: XdpTarget): Attachment {
  checkKeys(target, "target", ["type", "device", "netns", "mode"]);
  const { mode } = target;
  const flags = mode === undefined ? 0 : MODES[checkOneOf(mode, "target.mode", ["generic", "native", "offload"])];
  return { attachType: "xdp", ...interfaceTarget(target, { flags }) };
}

export function readXdp({ id, progId, ifindex, netnsIno }: Extract<BpfLinkInfo, { type: "xdp" }>): XdpInfo {
  const info: XdpInfo = { type: "xdp", id, programId: progId, attached: ifindex !== 0, ifindex };
  if (netnsIno !== undefined) info.netnsIno = netnsIno;
  return info;
}
