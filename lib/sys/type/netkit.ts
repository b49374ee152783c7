/** Links to the hooks of a netkit pair. */
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import type { AttachType } from "../../uapi/constants.ts";
import {
  encodeRelative,
  HOOK_RECORD,
  hookFdinfo,
  hookInfo,
  hookRefusals,
  readHookRecord,
  type RelativeOptions,
} from "./mprog.ts";
import type { LinkInfoHead, LinkTypeRow } from "./row.ts";

/** Info of a link to a netkit pair. */
export interface NetkitLinkInfo extends LinkInfoHead<"netkit"> {
  /** The interface's number in its network namespace; 0 if detached. */
  readonly ifindex: number;
  /** Which packets the program sees. */
  readonly attachType: AttachType;
  /** The inode number of that namespace; iterator programs alone see it. */
  readonly netnsIno?: number;
}

/** What LINK_CREATE takes for a netkit pair. */
export interface NetkitCreateOptions {
  /** Position in a netkit hook. */
  netkit?: RelativeOptions | undefined;
}

export const netkit: LinkTypeRow<NetkitLinkInfo, NetkitCreateOptions> = {
  since: "6.7",
  attachTypes: ["netkit_primary", "netkit_peer"],
  target: "ifindex",
  query: "links",
  hasUpdate: true,
  place: "ifindex",
  refusals: () => ({
    ...hookRefusals("netkit"),
    ENODEV: [
      "gone",
      "there is no such interface in this network namespace, or its peer is gone",
      "check the device and the netns",
    ],
    EINVAL: [
      "unsupported",
      "this kernel was built without netkit devices, or the program is not of type sched_cls",
      "the kernel needs CONFIG_NETKIT",
    ],
    ENXIO: ["invalid", "the interface is no netkit device", "name a device made with `ip link add type netkit`"],
    EACCES: [
      "invalid",
      "the interface is the peer of a netkit pair",
      "name the primary device, and say peer: true for the peer's side",
    ],
  }),
  options: {
    fields: ["netkit"],
    size: () => link_create.netkit.sizeof,
    encode: (request, { netkit }) => encodeRelative(request, link_create.netkit, netkit!, "options.netkit"),
  },
  info: (answer, id, progId) => ({ type: "netkit", id, progId, ...hookInfo(answer, bpf_link_info.netkit) }),
  fdinfo: (lines, id, progId) => ({ type: "netkit", id, progId, ...hookFdinfo(lines) }),
  record: {
    struct: "netkit_link",
    ...HOOK_RECORD,
    read: (words, _longs, at) => readHookRecord("netkit", words, at),
  },
};
