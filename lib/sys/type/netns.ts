/** Links to a network namespace. */
import { bpf_link_info } from "../../uapi/layout.ts";
import { type AttachType, attachTypeName } from "../../uapi/constants.ts";
import { A, B, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a network namespace. */
export interface NetnsLinkInfo extends LinkInfoHead<"netns"> {
  /** The inode number of the namespace; 0 if detached. */
  readonly netnsIno: number;
  /** What the program does. */
  readonly attachType: AttachType;
}

const at = bpf_link_info.netns;

export const netns: LinkTypeRow<NetnsLinkInfo, object> = {
  since: "5.8",
  attachTypes: ["flow_dissector", "sk_lookup"],
  attachTypesSince: { sk_lookup: "5.9" },
  hasUpdate: true,
  place: "netnsIno",
  refusals: () => ({
    EINVAL: [
      "invalid",
      "the target is no network namespace, or the program does not fit",
      "name a file such as /proc/PID/ns/net or /run/netns/NAME",
    ],
    E2BIG: [
      "limit",
      "the namespace has a flow dissector, or its 64 sk_lookup programs, already",
      "detach one of them first",
    ],
    EEXIST: ["busy", "a program is attached there without a link", "detach that program first"],
  }),
  info: (answer, id, progId) => ({
    type: "netns",
    id,
    progId,
    netnsIno: answer.u32(at.netns_ino),
    attachType: attachTypeName(answer.u32(at.attach_type)),
  }),
  fdinfo: (lines, id, progId) => ({
    type: "netns",
    id,
    progId,
    netnsIno: lines.u32("netns_ino"),
    attachType: attachTypeName(lines.u32("attach_type")),
  }),
  record: {
    struct: "bpf_netns_link",
    fields: [[A, "link.attach_type", "type"], [B, "net.ns.inum"]],
    read: (words, _longs, at) => ({
      type: "netns",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      netnsIno: words[at + B]!,
      attachType: attachTypeName(words[at + A]!),
    }),
  },
};
