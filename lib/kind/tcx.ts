/** Links to the traffic control hooks of a network interface. */
import { checkKeys, checkOneOf, keysOf } from "../check.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { ask, isListed, lookAtInterface, ordered } from "./hook.ts";
import { always, type Attachment, type Kind, type LinkInfoBase, type LinkKind, type Look } from "./kind.ts";
import { encodePosition, type Position } from "./position.ts";
import { create, NO_TARGET } from "./probe.ts";
import { describeInterface, type Device, deviceFrom, interfaceTarget, type Netns, whereInterface } from "./target.ts";

/**
 * Programs of type sched_cls see the packets that an interface receives or sends, one after the other, as long as they
 * return TCX_NEXT (-1).
 *
 * Since Linux 6.6. Such links can be updated and detached; attaching and detaching wait milliseconds for the kernel, so
 * prefer the async forms. A hook takes 63 programs, each once. When the interface is deleted they are detached at once.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
 * using program = Program.load({ type: "sched_cls", instructions: next });
 * await using link = await Link.attachAsync(program, {
 *   type: "tcx",
 *   device: "lo",
 *   direction: "ingress",
 *   position: "first",
 * });
 * console.log(link.info().attachType); // tcx_ingress
 * ```
 */
export interface TcxTarget {
  /** The kind of target. */
  type: "tcx";
  /** The interface, by name (also a second one, `altname`) or number. */
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
  /** The inode number of that namespace, where the source of the listing reports it. */
  netnsIno?: number;
  /** Which packets it sees. */
  attachType: "tcx_ingress" | "tcx_egress";
}

const KEYS = keysOf<TcxTarget>({
  type: true,
  device: true,
  netns: true,
  direction: true,
  position: true,
  expectedRevision: true,
});

function prepare(_program: Program, target: TcxTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const direction = checkOneOf(target.direction, "target.direction", ["ingress", "egress"]);
  const { flags, relative } = encodePosition(target.position, target.expectedRevision, "links and programs");
  return { attachType: `tcx_${direction}`, ...interfaceTarget(target, { flags, tcx: relative }) };
}

const record = TYPES.tcx.record!;

function read(
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

/** The kind of target that is an interface's traffic control hook, and its links. */
export const tcx: Kind<TcxTarget, "tcx", Program> & LinkKind<"tcx", TcxInfo> = {
  linkType: "tcx",
  keys: KEYS,
  programs: ["sched_cls"],
  prepare,
  describe: describeInterface,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: whereInterface,
  isAt: isListed,
  probe: () => ({
    examples: [{ program: { type: "sched_cls" } }],
    attach: {
      since: TYPES.tcx.since,
      config: "CONFIG_NET_XGRESS",
      proofs: [{ call: create(NO_TARGET, "tcx_ingress"), errno: "ENODEV" }],
    },
    update: always(TYPES.tcx),
    detach: always(TYPES.tcx),
    position: always(TYPES.tcx),
  }),
  hook: {
    at: "interface",
    attachTypes: TYPES.tcx.attachTypes,
    ask,
    look(target): Look {
      checkKeys(target, "target", ["type", "device", "netns", "direction"]);
      const attachType = `tcx_${checkOneOf(target.direction, "target.direction", ["ingress", "egress"])}` as const;
      return lookAtInterface(target, (ifindex, options) => ordered(ask(ifindex, attachType, options)));
    },
    words: "DEVICE ingress|egress",
    fromWords: (where, which, { netns }) => ({ type: "tcx", device: deviceFrom(where), netns, direction: which }),
  },
};
