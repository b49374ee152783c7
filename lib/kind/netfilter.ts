/** Links to the netfilter hooks of a network namespace. */
import { checkFlag, checkInteger, checkKeys, checkOneOf, keysOf } from "../check.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { BPF_F_NETFILTER_IP_DEFRAG } from "../uapi/constants.ts";
import { always, type Attachment, type Kind, type LinkInfoBase, type LinkKind } from "./kind.ts";
import { create } from "./probe.ts";
import { type Netns, openNetns } from "./target.ts";

/**
 * The program judges the packets of a network namespace beside nftables and iptables: it returns NF_ACCEPT (1) or
 * NF_DROP (0).
 *
 * Since Linux 6.4; `defragment` 6.6. Such links can be detached, but not updated. A hook of a family takes one program
 * a priority. A link keeps its network namespace alive until it is detached or closed, and the kernel does not report
 * whether it still is attached.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return NF_ACCEPT
 * using program = Program.load({ type: "netfilter", instructions: accept, expectedAttachType: "netfilter" });
 * using link = Link.attach(program, { type: "netfilter", family: "ipv4", hook: "local_in", priority: -10 });
 * console.log(link.info().hook, link.info().priority); // local_in -10
 * ```
 */
export interface NetfilterTarget {
  /** The kind of target. */
  type: "netfilter";
  /** The network namespace; the caller's own if absent. */
  netns?: Netns | undefined;
  /** Which packets: those of IPv4 or IPv6. */
  family: "ipv4" | "ipv6";
  /** Where on the way of a packet. */
  hook: "prerouting" | "local_in" | "forward" | "local_out" | "postrouting";
  /** The order among all that is at the hook, lowest first: -2147483647 to 2147483646; iptables' filter is at 0. */
  priority: number;
  /** Whether fragments are put together first; the priority must be above -400 then. */
  defragment?: boolean | undefined;
}

/** Info of a link to a netfilter hook. */
export interface NetfilterInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "netfilter";
  /** Which packets it sees. */
  family: "ipv4" | "ipv6";
  /** Where on the way of a packet. */
  hook: NetfilterTarget["hook"];
  /** The order among all that is at the hook. */
  priority: number;
  /** Whether fragments are put together first; absent before Linux 6.13, which reports it only in some updates. */
  defragment?: boolean;
}

const FAMILIES = { ipv4: 2, ipv6: 10 } as const;
const HOOKS = ["prerouting", "local_in", "forward", "local_out", "postrouting"] as const;

const KEYS = keysOf<NetfilterTarget>({
  type: true,
  netns: true,
  family: true,
  hook: true,
  priority: true,
  defragment: true,
});

function prepare(_program: Program, target: NetfilterTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { netns, family, hook, priority } = target;
  const defragment = checkFlag(target.defragment, "target.defragment");
  const netfilter = {
    pf: FAMILIES[checkOneOf(family, "target.family", ["ipv4", "ipv6"])],
    hooknum: HOOKS.indexOf(checkOneOf(hook, "target.hook", HOOKS)),
    priority: checkInteger(priority, "target.priority", -0x80000000, 0x7fffffff),
    flags: defragment ? BPF_F_NETFILTER_IP_DEFRAG : 0,
  };
  const made = { attachType: "netfilter", targetFd: 0 } as const;
  if (netns === undefined) return { ...made, options: { netfilter } };
  const { fd, temporary } = openNetns(netns, "target.netns");
  return { ...made, options: { netfilter, netns: fd }, temporary };
}

function describe({ family, hook, priority, netns }: NetfilterTarget): string {
  const place = `netfilter hook ${hook} (${family}, priority ${priority})`;
  return netns === undefined ? place : `${place} in network namespace ${netns}`;
}

const record = TYPES.netfilter.record!;

function read(
  { id, progId, pf, hooknum, priority, flags }: Extract<BpfLinkInfo, { type: "netfilter" }>,
): NetfilterInfo {
  const family = pf === FAMILIES.ipv6 ? "ipv6" : "ipv4";
  const info: NetfilterInfo = { type: "netfilter", id, programId: progId, family, hook: HOOKS[hooknum]!, priority };
  if (flags !== undefined) info.defragment = (flags & BPF_F_NETFILTER_IP_DEFRAG) !== 0;
  return info;
}

/** The kind of target that is a netfilter hook, and its links. */
export const netfilter: Kind<NetfilterTarget, "netfilter", Program> & LinkKind<"netfilter", NetfilterInfo> = {
  linkType: "netfilter",
  keys: KEYS,
  programs: ["netfilter"],
  prepare,
  describe,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ family, hook, priority }) => `${family} ${hook} ${priority}`,
  shares: ({ family, hook, priority }) => ({ place: `${family} ${hook}`, order: priority }),
  // the kernel does not report the network namespace
  isAt(info, { options }): boolean {
    const { pf, hooknum, priority } = options!.netfilter!;
    return info.pf === pf && info.hooknum === hooknum && info.priority === priority;
  },
  probe: () => ({
    examples: [{ program: { type: "netfilter", expectedAttachType: "netfilter" } }],
    attach: {
      since: TYPES.netfilter.since,
      config: "CONFIG_NETFILTER_BPF_LINK",
      proofs: [{
        call: create(0, "netfilter", { netfilter: { pf: 0, hooknum: 0, priority: 0 } }),
        errno: "EAFNOSUPPORT",
      }],
    },
    detach: always(TYPES.netfilter),
  }),
};
