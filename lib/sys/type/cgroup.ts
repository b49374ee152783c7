/** Links to a cgroup. */
import { ATTACH_TYPES, type AttachType, attachTypeName } from "../../uapi/constants.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { encodeRelative, type RelativeOptions } from "./mprog.ts";
import { A, B, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a cgroup. */
export interface CgroupLinkInfo extends LinkInfoHead<"cgroup"> {
  /** The cgroup's id; 0n if detached. */
  readonly cgroupId: bigint;
  /** What the program decides about. */
  readonly attachType: AttachType;
}

/** What LINK_CREATE takes for a cgroup. */
export interface CgroupCreateOptions {
  /** Position in a cgroup's hook; since Linux 6.17. */
  cgroup?: RelativeOptions | undefined;
}

const at = bpf_link_info.cgroup;

export const cgroup: LinkTypeRow<CgroupLinkInfo, CgroupCreateOptions> = {
  since: "5.7",
  attachTypes: ATTACH_TYPES.filter((name) => name.startsWith("cgroup_") || name === "lsm_cgroup"),
  attachTypesSince: {
    lsm_cgroup: "6.0",
    cgroup_unix_connect: "6.7",
    cgroup_unix_sendmsg: "6.7",
    cgroup_unix_recvmsg: "6.7",
    cgroup_unix_getpeername: "6.7",
    cgroup_unix_getsockname: "6.7",
  },
  query: "flags",
  hasUpdate: true,
  place: "cgroupId",
  refusals: () => ({
    EBADF: [
      "invalid",
      "the target is no directory of a cgroup2 file system, or an fd is closed",
      "name a directory below a cgroup2 mount, not a file and not cgroup v1; /proc/mounts says where it is",
    ],
    ENOENT: [
      "gone",
      "the cgroup is being removed, or the anchor is not attached there",
      "make the cgroup anew, or query the hook again",
    ],
    EPERM: [
      "policy",
      "the hook, here or in an ancestor, holds a program that allows no other beside it",
      "detach the program that was attached without BPF_F_ALLOW_MULTI",
    ],
    E2BIG: ["limit", "the hook has its 64 programs already", "detach one of them first"],
    EINVAL: [
      "invalid",
      "the program does not fit the attach type, or the position cannot be had",
      "load the program for this attach type; anchors of a cgroup are links of the same hook and the same preorder",
    ],
  }),
  options: {
    fields: ["cgroup"],
    size: () => link_create.cgroup.sizeof,
    encode: (request, { cgroup }) => encodeRelative(request, link_create.cgroup, cgroup!, "options.cgroup"),
  },
  info: (answer, id, progId) => ({
    type: "cgroup",
    id,
    progId,
    cgroupId: answer.u64(at.cgroup_id),
    attachType: attachTypeName(answer.u32(at.attach_type)),
  }),
  fdinfo: (lines, id, progId) => ({
    type: "cgroup",
    id,
    progId,
    cgroupId: lines.u64("cgroup_id"),
    attachType: attachTypeName(lines.u32("attach_type")),
  }),
  record: {
    struct: "bpf_cgroup_link",
    fields: [[A, "link.attach_type", "type"], [B, "cgroup.kn.id"]],
    read: (words, longs, at) => ({
      type: "cgroup",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      cgroupId: longs[(at + B) >> 1]!,
      attachType: attachTypeName(words[at + A]!),
    }),
  },
};
