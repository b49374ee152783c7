/** Links to a network interface, before the kernel's network stack. */
import { BpfError, type Explanation } from "../error.ts";
import { checkKeys, checkOneOf, keysOf } from "../check.ts";
import { isOlderThan } from "../os/capabilities.ts";
import { type Interface, interfaces, type QueriedXdp, xdpQuery } from "../os/interfaces.ts";
import { deviceOf, expectedAttachTypeOf, type Program } from "../program.ts";
import type { ProgQuery } from "../sys/prog_query.ts";
import { progTestRun } from "../sys/prog_test_run.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { type AttachTypeName, XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import { lookAtInterface, ordered } from "./hook.ts";
import {
  always,
  type Attachment,
  type Kind,
  type LinkCreation,
  type LinkInfoBase,
  type LinkKind,
  type Look,
} from "./kind.ts";
import { create, NO_TARGET } from "./probe.ts";
import { describeInterface, type Device, deviceFrom, interfaceTarget, type Netns, whereInterface } from "./target.ts";

/**
 * The program sees each packet that an interface receives, before anything else does.
 *
 * Since Linux 5.9. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. There is one program for each interface and mode. When the interface is deleted they are
 * detached at once; when it moves to another network namespace they stay attached, and the number in their info is the
 * one it has there.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * using program = Program.load({ type: "xdp", instructions: pass });
 * using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
 * console.log(link.info().ifindex); // 1
 * ```
 */
export interface XdpTarget {
  /** The kind of target. */
  type: "xdp";
  /** The interface, by name (also a second one, `altname`) or number. */
  device: Device;
  /** The network namespace of the interface; the caller's own if absent. */
  netns?: Netns | undefined;
  /** Who runs the program: the kernel (`generic`), the driver (`native`) or the device; the best that there is if absent. */
  mode?: "generic" | "native" | "offload" | undefined;
}

/**
 * Info of a link to a network interface. The kernel does not report the mode of a link; `Hook.query` of the interface
 * asks rtnetlink for it: `attachFlags` of the entry is 2 for `generic`, 4 for `native`, 8 for `offload`.
 */
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

/** What is in the way, which the kernel says in one errno for many things. */
function whyRefused(
  { code }: BpfError,
  { mode }: XdpTarget,
  attachment: Attachment,
  program: Program,
): Explanation | undefined {
  const { targetFd, options } = attachment as LinkCreation;
  const all = interfaces(options?.netns), own = all.find(({ ifindex }) => ifindex === targetFd);
  if (own === undefined) return { reason: "gone", meaning: NO_INTERFACE, hint: "check the device and the netns" };
  const [first] = own.xdp, generic = 'use mode "generic"';
  switch (code) {
    case "EBUSY": {
      const there = own.xdp.find((xdp) => mode === undefined || xdp.mode === MODES[mode]);
      return there && {
        reason: "busy",
        meaning: `program ${there.progId}, of another link or without one, holds the interface in ${
          modeName(there)
        } mode`,
        hint: 'find it with Link.infos({ types: ["xdp"] }) or `ip link`, and detach it',
      };
    }
    case "EEXIST": {
      if (first !== undefined) {
        return {
          reason: "busy",
          meaning: `program ${first.progId} is attached in ${modeName(first)} mode`,
          hint: "detach it, or use the same mode: generic and native exclude each other",
        };
      }
      const other = all.find((it) => it.xdp.length > 0 && (isAbove(it, own) || isAbove(own, it)));
      return other && {
        reason: "busy",
        meaning: `"${other.name}" ${isAbove(other, own) ? "above" : "below"} the interface has an XDP program`,
        hint: `detach program ${other.xdp[0]!.progId} from it, or attach there instead`,
      };
    }
    case "ERANGE":
      return {
        reason: "limit",
        meaning: `the driver has one page for a packet, too little for an MTU such as ${own.mtu}`,
        hint: `load the program with fragments: true, lower the MTU (of a veth, that of its peer), or ${generic}`,
      };
    case "ENOSPC": {
      const peer = all.find(({ ifindex }) => ifindex === own.link);
      return {
        reason: "limit",
        meaning: `the interface receives on ${queues(own.rxQueues)}, fewer than ${
          peer === undefined ? "its peer sends on" : `the ${queues(peer.txQueues)} that its peer sends on`
        }`,
        hint: `make more with ethtool -L, or where the interface is made (numrxqueues), or ${generic}`,
      };
    }
    case "EINVAL": {
      const loadedFor = expectedAttachTypeOf(program);
      if (loadedFor !== undefined && loadedFor !== "xdp") {
        const hint = 'load it with expectedAttachType "xdp"';
        return { reason: "invalid", meaning: `the program was loaded for ${loadedFor}`, hint };
      }
      const bound = whyBound(program, loadedFor === undefined, own, all, mode);
      if (bound !== undefined) return bound;
      if (mode === "offload") {
        return {
          reason: "invalid",
          meaning: "the program was not loaded for the device, or the device runs no programs itself",
          hint: 'load it with progIfindex of progLoad in "@bpf/link/sys" and no flag, or use another mode',
        };
      }
      if (mode === undefined && own.xdp.length > 1) {
        return {
          reason: "invalid",
          meaning: "programs are attached in several modes",
          hint: "say which mode is meant",
        };
      }
      const hint = `the kernel's log may say why (dmesg): often the MTU or the queues; ${generic}`;
      return { reason: "invalid", meaning: "the driver refuses the program, which fits the interface otherwise", hint };
    }
    default:
      return undefined;
  }
}

/** Whether the program is bound to a device, of which the kernel says in one errno that it is another, or the mode wrong. */
function whyBound(
  program: Program,
  isOpened: boolean,
  own: Interface,
  all: readonly Interface[],
  mode: XdpTarget["mode"],
): Explanation | undefined {
  const device = deviceOf(program), other = all.find(({ ifindex }) => ifindex === device);
  if (device !== undefined && device !== own.ifindex) {
    return {
      reason: "invalid",
      meaning: `the program is bound to another device: ${
        other === undefined ? "" : `"${other.name}", `
      }interface ${device}`,
      hint: `attach it there, or load it with device: "${own.name}"`,
    };
  }
  if (device !== undefined && mode !== "native" && mode !== undefined) {
    const hint = `use mode "native", or load it without device`;
    return {
      reason: "invalid",
      meaning: `a program that is bound to a device cannot be attached in ${mode} mode`,
      hint,
    };
  }
  if (device !== undefined || !isOpened || canRun(program)) return undefined;
  return {
    reason: "invalid",
    meaning: "the program is bound to a device, perhaps another one, or was loaded for xdp_devmap or xdp_cpumap",
    hint: "no kernel reports which: load it again, for this device or for all",
  };
}

/**
 * Whether the kernel would run a program by hand: none that is bound (since Linux 6.3) or for other places. What is asked is
 * refused after that.
 */
function canRun(program: Program): boolean {
  if (isOlderThan("6.3")) return true;
  try {
    progTestRun(program.fd, { dataIn: new Uint8Array(64), ctxIn: new Uint8Array(256).fill(1) });
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return error.code !== "EINVAL";
  }
  return true;
}

const NO_INTERFACE = "the interface does not exist in this network namespace";

/** Whether an interface is made of another: a bridge of its ports, a VLAN of the one below. The ends of pairs are beside each other. */
function isAbove(upper: Interface, lower: Interface): boolean {
  return lower.master === upper.ifindex ||
    (upper.link === lower.ifindex && upper.kind !== "veth" && upper.kind !== "netkit" && upper.kind !== "vxcan");
}

function modeName({ mode }: QueriedXdp): string {
  return Object.entries(MODES).find(([, flag]) => flag === mode)?.[0] ?? "another";
}

function queues(count: number): string {
  return count === 1 ? "1 queue" : `${count} queues`;
}

const record = TYPES.xdp.record!;

function read({ id, progId, ifindex, netnsIno }: Extract<BpfLinkInfo, { type: "xdp" }>): XdpInfo {
  const info: XdpInfo = { type: "xdp", id, programId: progId, attached: ifindex !== 0, ifindex };
  if (netnsIno !== undefined) info.netnsIno = netnsIno;
  return info;
}

/** The kind of target that is an interface, before the network stack, and its links. */
export const xdp: Kind<XdpTarget, "xdp", Program> & LinkKind<"xdp", XdpInfo> = {
  linkType: "xdp",
  keys: KEYS,
  programs: ["xdp"],
  prepare,
  describe: describeInterface,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: whereInterface,
  // every namespace has the same numbers
  isAt: ({ ifindex, progId }, { targetFd, options }) =>
    ifindex === targetFd && xdpQuery(targetFd, options?.netns).some((xdp) => xdp.progId === progId),
  probe: () => ({
    examples: [{ program: { type: "xdp" } }],
    // the kernel says the same of a link type that it lacks; but none from 5.10 on has such programs and no such links
    attach: { since: TYPES.xdp.since, proofs: [{ call: create(NO_TARGET, "xdp"), errno: "EINVAL" }] },
    update: always(TYPES.xdp),
    detach: always(TYPES.xdp),
  }),
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
