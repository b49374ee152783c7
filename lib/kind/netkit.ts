/** Links to the hooks of a netkit pair, the interfaces of containers. */
import { checkFlag, checkKeys, checkOneOf, keysOf } from "../check.ts";
import type { BpfError, Explanation } from "../error.ts";
import { btfFind } from "../ffi/btf.ts";
import { interfaces } from "../os/interfaces.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { ask, isListed, lookAtInterface, ordered } from "./hook.ts";
import {
  always,
  type Attachment,
  type Kind,
  type LinkCreation,
  type LinkInfoBase,
  type LinkKind,
  type Look,
} from "./kind.ts";
import { encodePosition, type Position } from "./position.ts";
import { create, NO_TARGET } from "./probe.ts";
import { describeInterface, type Device, deviceFrom, interfaceTarget, type Netns, whereInterface } from "./target.ts";

/**
 * Programs of type sched_cls see the packets that leave one side of a netkit pair, one after the other, as long as they
 * return NETKIT_NEXT (-1).
 *
 * Since Linux 6.7. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. A hook takes 63 programs, each once. When the pair is deleted they are detached at once.
 *
 * @example What leaves a container; `tests/kernel/kind/netkit_test` of the repository does it where there is netkit
 * ```ts ignore
 * import { Link, Program } from "@bpf/link";
 *
 * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return NETKIT_NEXT
 * using program = Program.load({ type: "sched_cls", instructions: next, expectedAttachType: "netkit_peer" });
 * await using link = await Link.attachAsync(program, { type: "netkit", device: "nk0", peer: true });
 * console.log(link.info().attachType); // netkit_peer
 * ```
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
   * The interface whose packets the program sees (primary or peer), as a number of that interface's own network
   * namespace. 0 once detached.
   */
  ifindex: number;
  /** The inode number of that namespace, where the source of the listing reports it. */
  netnsIno?: number;
  /** Which side's packets it sees. */
  attachType: "netkit_primary" | "netkit_peer";
}

const KEYS = keysOf<NetkitTarget>({
  type: true,
  device: true,
  netns: true,
  peer: true,
  position: true,
  expectedRevision: true,
});

function prepare(_program: Program, target: NetkitTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { position, expectedRevision } = target;
  const peer = checkFlag(target.peer, "target.peer");
  const { flags, relative } = encodePosition(position, expectedRevision, "links and programs");
  return {
    attachType: peer ? "netkit_peer" : "netkit_primary",
    ...interfaceTarget(target, { flags, netkit: relative }),
  };
}

/** What the kernel says in one errno of several things. */
function whyRefused(
  { code }: BpfError,
  _target: NetkitTarget,
  attachment: Attachment,
): Explanation | undefined {
  if (code === "EINVAL") {
    return btfFind("function", "netkit_link_attach") === undefined ? undefined : {
      reason: "invalid",
      meaning: "the anchor is no link or program of a netkit hook",
      hint: "query the hook, and name one of its entries",
    };
  }
  if (code !== "ENODEV") return undefined;
  const { targetFd, options } = attachment as LinkCreation;
  const isThere = interfaces(options?.netns).some(({ ifindex }) => ifindex === targetFd);
  return isThere
    ? { reason: "gone", meaning: "the interface has no peer any more", hint: "make a new pair" }
    : { reason: "gone", meaning: "there is no such interface in this network namespace", hint: "see `ip link`" };
}

const record = TYPES.netkit.record!;

function read(
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

/** The kind of target that is a hook of a netkit pair, and its links. */
export const netkit: Kind<NetkitTarget, "netkit", Program> & LinkKind<"netkit", NetkitInfo> = {
  linkType: "netkit",
  keys: KEYS,
  programs: ["sched_cls"],
  prepare,
  describe: describeInterface,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: whereInterface,
  isAt: isListed,
  probe: () => ({
    examples: [{ program: { type: "sched_cls" } }],
    attach: {
      since: TYPES.netkit.since,
      config: "CONFIG_NETKIT",
      proofs: [{ call: create(NO_TARGET, "netkit_primary"), errno: "ENODEV" }],
    },
    update: always(TYPES.netkit),
    detach: always(TYPES.netkit),
    position: always(TYPES.netkit),
  }),
  hook: {
    at: "interface",
    attachTypes: TYPES.netkit.attachTypes,
    ask,
    look(target): Look {
      checkKeys(target, "target", ["type", "device", "netns", "peer"]);
      const attachType = checkFlag(target.peer, "target.peer") ? "netkit_peer" : "netkit_primary";
      return lookAtInterface(target, (ifindex, options) => ordered(ask(ifindex, attachType, options)));
    },
    words: "DEVICE primary|peer",
    fromWords: (where, which, { netns }) => ({ type: "netkit", device: deviceFrom(where), netns, peer: isPeer(which) }),
  },
};

function isPeer(which: string | undefined): boolean {
  return checkOneOf(which, "the side", ["primary", "peer"]) === "peer";
}
