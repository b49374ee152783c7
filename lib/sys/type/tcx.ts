/** Links to the traffic control hooks of an interface. */
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

/** Info of a link to a traffic control hook. */
export interface TcxLinkInfo extends LinkInfoHead<"tcx"> {
  /** The interface's number in its network namespace; 0 if detached. */
  readonly ifindex: number;
  /** Which packets the program sees. */
  readonly attachType: AttachType;
  /** The inode number of that namespace; iterator programs alone see it. */
  readonly netnsIno?: number;
}

/** What LINK_CREATE takes for an interface's traffic control hook. */
export interface TcxCreateOptions {
  /** Position in a tcx hook. */
  tcx?: RelativeOptions | undefined;
}

export const tcx: LinkTypeRow<TcxLinkInfo, TcxCreateOptions> = {
  since: "6.6",
  attachTypes: ["tcx_ingress", "tcx_egress"],
  target: "ifindex",
  query: "links",
  hasUpdate: true,
  place: "ifindex",
  refusals: () => ({
    ...hookRefusals("tcx"),
    ENODEV: ["gone", "there is no such interface in this network namespace", "check the device and the netns"],
  }),
  options: {
    fields: ["tcx"],
    size: () => link_create.tcx.sizeof,
    encode: (request, { tcx }) => encodeRelative(request, link_create.tcx, tcx!, "options.tcx"),
  },
  info: (answer, id, progId) => ({ type: "tcx", id, progId, ...hookInfo(answer, bpf_link_info.tcx) }),
  fdinfo: (lines, id, progId) => ({ type: "tcx", id, progId, ...hookFdinfo(lines) }),
  record: {
    struct: "tcx_link",
    ...HOOK_RECORD,
    read: (words, _longs, at) => readHookRecord("tcx", words, at),
  },
};
