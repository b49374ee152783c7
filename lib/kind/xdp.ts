/** Links to a network interface, before the kernel's network stack. */
import { checkKeys, checkOneOf, keysOf } from "../check.ts";
import { xdpQuery } from "../os/interfaces.ts";
import type { Program } from "../program.ts";
import type { ProgQuery } from "../sys/prog_query.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { type AttachTypeName, XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import { lookAtInterface, ordered } from "./hook.ts";
import { always, type Attachment, type Kind, type LinkInfoBase, type LinkKind, type Look } from "./kind.ts";
import { create, NO_TARGET } from "./probe.ts";
import { describeInterface, type Device, deviceFrom, interfaceTarget, type Netns, whereInterface } from "./target.ts";

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
  /** The inode number of that namespace, where the source of the listing reports it. */
  netnsIno?: number;
}

const MODES = { generic: XDP_FLAGS_SKB_MODE, native: XDP_FLAGS_DRV_MODE, offload: XDP_FLAGS_HW_MODE } as const;

const KEYS = keysOf<XdpTarget>({ type: true, device: true, netns: true, mode: true });

function prepare(_program: Program, target: XdpTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { mode } = target;
  const flags = mode === undefined ? 0 : MODES[checkOneOf(mode, "target.mode", ["generic", "native", "offload"])];
  return { attachType: "xdp", ...interfaceTarget(target, { flags }) };
}

function read({ id, progId, ifindex, netnsIno }: Extract<BpfLinkInfo, { type: "xdp" }>): XdpInfo {
  const info: XdpInfo = { type: "xdp", id, programId: progId, attached: ifindex !== 0, ifindex };
  if (netnsIno !== undefined) info.netnsIno = netnsIno;
  return info;
}

/** The kind of target that is an interface, before the network stack, and its links. */
export const xdp: Kind<XdpTarget, "xdp", Program> & LinkKind<"xdp", XdpInfo> = {
  linkType: "xdp",
  programs: ["xdp"],
  prepare,
  describe: describeInterface,
  read,
  where: whereInterface,
  // every namespace has the same numbers
  isAt: ({ ifindex, progId }, { targetFd, options }) =>
    ifindex === targetFd && xdpQuery(targetFd, options?.netns).some((xdp) => xdp.progId === progId),
  probe: {
    examples: [{ program: { type: "xdp" } }],
    // the kernel says the same of a link type that it lacks; but none from 5.10 on has such programs and no such links
    attach: { since: TYPES.xdp.since, proofs: [{ call: create(NO_TARGET, "xdp"), errno: "EINVAL" }] },
    update: always(TYPES.xdp),
    detach: always(TYPES.xdp),
  },
  hook: {
    at: "interface",
    attachTypes: [],
    ask,
    look(target): Look {
      checkKeys(target, "target", ["type", "device", "netns"]);
      return lookAtInterface(target, (ifindex, options) => ({
        ...ordered(ask(ifindex, undefined, options)),
        isLink: (info) => info.type === "xdp" && info.ifindex === ifindex,
      }));
    },
    words: "DEVICE",
    fromWords: (where, _which, { netns }) => ({ type: "xdp", device: deviceFrom(where), netns }),
  },
};

/** By rtnetlink, which reports a program for each mode; PROG_QUERY knows no XDP. */
function ask(
  ifindex: number,
  _attachType: AttachTypeName | undefined,
  { netns }: { netns?: number | undefined },
): ProgQuery {
  const progs = xdpQuery(ifindex, netns).map(({ progId, mode }) => ({ progId, progAttachFlags: mode }));
  return { attachFlags: 0, progs };
}
