/** Links to a cgroup. */
import { checkFlag, checkKeys } from "../check.ts";
import { BpfError } from "../error.ts";
import { close } from "../os/files.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { updateLink } from "../sys/link.ts";
import { programFits } from "../sys/link_create.ts";
import { progQuery } from "../sys/prog_query.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import { BPF_F_PREORDER } from "../uapi/constants.ts";
import { EINVAL, EOPNOTSUPP } from "../uapi/errno.ts";
import type { AttachType, CgroupAttachType } from "../uapi/types.ts";
import type { LinkInfoBase, UpdatedLink } from "./kind.ts";
import { encodePosition, type LinkAnchor, type Position } from "./position.ts";
import { type Attachment, attachTypeOf, openTarget } from "./target.ts";

/**
 * The programs of a cgroup run for its processes and sockets, and those of its descendants.
 *
 * Since Linux 5.7; `lsm_cgroup` 6.0, `position` and `expectedRevision` 6.17 (some older kernels have them backported).
 * Such links can be updated and detached. When the cgroup is removed they are detached some milliseconds later.
 *
 * Kernels from 6.0 on without the fix of CVE-2026-23319 (of March 2026) may crash if an `lsm_cgroup` link is attached
 * within moments after the last one at its hook, in any cgroup, has ended. One that stays attached prevents it.
 */
export interface CgroupTarget {
  /** The kind of target. */
  type: "cgroup";
  /** A directory of a cgroup2 file system, or an fd of it. */
  cgroup: string | URL | number;
  /** What the programs decide about. May be absent if the program was loaded here for one. */
  attachType?: CgroupAttachType | undefined;
  /** The place among the links of the cgroup; last if absent. */
  position?: Position<LinkAnchor> | undefined;
  /** Whether to run before the programs of descendants; since Linux 6.15. */
  preorder?: boolean | undefined;
  /** The revision that the hook must have, else the reason is `stale`; `unsupported` if there are none. Not 0n. */
  expectedRevision?: bigint | undefined;
}

/** Info of a link to a cgroup. */
export interface CgroupInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "cgroup";
  /** The cgroup's id, which is the inode number of its directory; 0n if detached. */
  cgroupId: bigint;
  /** What the program decides about. */
  attachType: CgroupAttachType;
}

const KEYS = ["type", "cgroup", "attachType", "position", "preorder", "expectedRevision"];

export function prepareCgroup(program: Program, target: CgroupTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { cgroup, position, expectedRevision } = target;
  const attachType = attachTypeOf(
    target.attachType,
    program,
    isCgroupAttachType,
    "an attach type that begins with cgroup_, or lsm_cgroup",
  );
  const preorder = checkFlag(target.preorder, "target.preorder");
  const { flags, relative } = encodePosition(position, expectedRevision, "links");
  const options = flags === 0 && relative === undefined && !preorder
    ? undefined
    : { flags: flags | (preorder ? BPF_F_PREORDER : 0), cgroup: relative };
  const { fd, temporary } = openTarget(cgroup, "target.cgroup");
  if (expectedRevision !== undefined) {
    try {
      requireRevision(fd, attachType);
    } catch (error) {
      temporary.forEach(close);
      throw error;
    }
  }
  return { attachType, targetFd: fd, options, temporary };
}

/** A kernel that keeps no revision of the hook ignores the expected one, so it must not be asked. */
function requireRevision(fd: number, attachType: AttachType): void {
  if (progQuery(fd, attachType).revision !== undefined) return;
  throw new BpfError(EOPNOTSUPP, {
    action: `Cannot expect a revision of ${attachType}`,
    command: "PROG_QUERY",
    reason: "unsupported",
    meaning: "this kernel keeps none of a cgroup's hooks",
    hint: "they came with Linux 6.17; leave expectedRevision out, and have one writer only",
  });
}

/** The kernel would run a program in a place that it was not verified for. */
export function updateCgroup(
  { fd, attachType }: UpdatedLink,
  program: Program,
  expected: Program | undefined,
  action: () => string,
): void {
  if (
    attachType !== undefined && expectedAttachTypeOf(program) !== attachType && !programFits(program.fd, attachType)
  ) {
    throw new BpfError(EINVAL, {
      action: action(),
      command: "LINK_UPDATE",
      reason: "mismatch",
      meaning: `program ${program.id} (${program.type}) does not fit the attach type ${attachType}`,
      hint: "load it for this attach type; the kernel would run it all the same",
    });
  }
  updateLink(fd, program.fd, expected && { oldProgFd: expected.fd }, action);
}

export function describeCgroup(target: CgroupTarget): string {
  return typeof target.cgroup === "number" ? `cgroup (fd ${target.cgroup})` : `cgroup "${target.cgroup}"`;
}

export function readCgroup({ id, progId, cgroupId, attachType }: Extract<BpfLinkInfo, { type: "cgroup" }>): CgroupInfo {
  return {
    type: "cgroup",
    id,
    programId: progId,
    attached: cgroupId !== 0n,
    cgroupId,
    attachType: attachType as CgroupAttachType,
  };
}

/** Whether programs of this attach type are attached to cgroups. */
export function isCgroupAttachType(attachType: string): boolean {
  return attachType.startsWith("cgroup_") || attachType === "lsm_cgroup";
}
