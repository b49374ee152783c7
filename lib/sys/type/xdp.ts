/** Links to a network interface, before the network stack. */
import { bpf_link_info } from "../../uapi/layout.ts";
import { B, C, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to an interface, before the network stack. */
export interface XdpLinkInfo extends LinkInfoHead<"xdp"> {
  /** The interface's number in its network namespace; 0 if detached. */
  readonly ifindex: number;
  /** The inode number of that namespace; iterator programs alone see it. */
  readonly netnsIno?: number;
}

export const xdp: LinkTypeRow<XdpLinkInfo, object> = {
  since: "5.9",
  attachTypes: ["xdp"],
  target: "ifindex",
  hasUpdate: true,
  place: "ifindex",
  refusals: () => ({
    EINVAL: [
      "invalid",
      "the interface does not exist in this network namespace, or the program is no XDP program",
      'check the device; load the program with expectedAttachType "xdp"',
    ],
    EBUSY: [
      "busy",
      "another link or program holds the interface in this mode",
      'find it with Link.infos({ types: ["xdp"] }) or `ip link`, and detach it',
    ],
    EEXIST: [
      "busy",
      "a program is attached in the other mode, or to an interface above or below this one",
      "detach it: generic and native exclude each other, as do a bridge or VLAN and what it is made of",
    ],
    ERANGE: [
      "limit",
      "the driver has one page for a packet, too little for the MTU",
      "lower it, or load for fragments",
    ],
    ENOSPC: ["limit", "the interface has fewer queues to receive than its peer has to send", "give it more"],
    EOPNOTSUPP: ["unsupported", "the driver cannot run XDP in this mode", 'use mode "generic"'],
    ENODEV: ["gone", "there is no such interface in this network namespace", "check the device and the netns"],
  }),
  info: (answer, id, progId) => ({ type: "xdp", id, progId, ifindex: answer.u32(bpf_link_info.xdp.ifindex) }),
  fdinfo: (lines, id, progId) => ({ type: "xdp", id, progId, ifindex: lines.u32("ifindex") }),
  record: {
    struct: "bpf_xdp_link",
    fields: [[B, "dev.ifindex"]],
    more: [[C, "dev.nd_net.net.ns.inum"]],
    read(words, _longs, at): XdpLinkInfo {
      const id = words[at + 1]!, progId = words[at + 2]!, ifindex = words[at + B]!, netnsIno = words[at + C]!;
      return netnsIno === 0 ? { type: "xdp", id, progId, ifindex } : { type: "xdp", id, progId, ifindex, netnsIno };
    },
  },
};
