/** Links to a cgroup. */
import { checkFlag, checkKeys, keysOf } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { closeIfOpen, inode, open } from "../os/files.ts";
import { unlessRefused } from "../refusal.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { updateLink } from "../sys/link.ts";
import { programFits } from "../sys/link_create.ts";
import { type ProgQuery, progQuery } from "../sys/prog_query.ts";
import { type BpfLinkInfo, typeOfAttachType, TYPES } from "../sys/type/mod.ts";
import {
  type AttachTypeName,
  attachTypeNumber,
  BPF_F_BEFORE,
  BPF_F_PREORDER,
  BPF_F_QUERY_EFFECTIVE,
  type CgroupAttachType,
  type CgroupAttachTypeName,
} from "../uapi/constants.ts";
import { EBADF, EINVAL, EOPNOTSUPP } from "../uapi/errno.ts";
import { ask, ordered, within } from "./hook.ts";
import {
  always,
  type Attachment,
  type Held,
  type Kind,
  type LinkCreation,
  type LinkInfoBase,
  type LinkKind,
  type Look,
} from "./kind.ts";
import { encodePosition, type LinkAnchor, type Position } from "./position.ts";
import { create, NO_TARGET } from "./probe.ts";
import { attachTypeOf, cgroupDirectory, CGROUPS, openTarget, whyMisfit } from "./target.ts";

/**
 * The programs of a cgroup run for its processes and sockets, and those of its descendants.
 *
 * Since Linux 5.7; `lsm_cgroup` 6.0, `position` and `expectedRevision` 6.17 (some older kernels have them backported).
 * Such links can be updated and detached. When the cgroup is removed they are detached some milliseconds later.
 *
 * Kernels from 6.0 on without the fix of CVE-2026-23319 (of March 2026) may crash if an `lsm_cgroup` link is attached
 * within moments after the last one at its hook, in any cgroup, has ended. One that stays attached prevents it.
 *
 * @example
 * ```ts
 * import { Link, makeCgroup, Program } from "@bpf/link";
 *
 * const deny = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0: no new sockets
 * using program = Program.load({
 *   type: "cgroup_sock",
 *   instructions: deny,
 *   expectedAttachType: "cgroup_inet_sock_create",
 * });
 * using cgroup = makeCgroup("/sys/fs/cgroup/web");
 * using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
 * console.log(link.info().attachType, link.info().cgroupId === cgroup.id); // cgroup_inet_sock_create true
 * ```
 */
export interface CgroupTarget {
  /** The kind of target. */
  type: "cgroup";
  /** A directory of a cgroup2 file system, or an fd of it. */
  cgroup: string | URL | number;
  /** What the programs decide about. May be absent if the program was loaded here for one. */
  attachType?: CgroupAttachTypeName | undefined;
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

const KEYS = keysOf<CgroupTarget>({
  type: true,
  cgroup: true,
  attachType: true,
  position: true,
  preorder: true,
  expectedRevision: true,
});

function prepare(program: Program, target: CgroupTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { cgroup, position, expectedRevision } = target;
  const attachType = attachTypeOf(
    target.attachType,
    program,
    "cgroup",
    "an attach type that begins with cgroup_, or lsm_cgroup",
  );
  const preorder = checkFlag(target.preorder, "target.preorder");
  const { flags, relative } = encodePosition(position, expectedRevision, "links");
  const options = flags === 0 && relative === undefined && !preorder
    ? undefined
    : { flags: flags | (preorder ? BPF_F_PREORDER : 0), cgroup: relative };
  const { fd, temporary } = openTarget(cgroup, "target.cgroup", CGROUPS);
  if (expectedRevision !== undefined) {
    try {
      requireRevision(fd, attachType);
    } catch (error) {
      temporary.forEach(closeIfOpen);
      throw error;
    }
  }
  return { attachType, targetFd: fd, options, temporary };
}

/** Which of two things an errno means. */
function whyRefused(
  refusal: BpfError,
  { position }: CgroupTarget,
  attachment: Attachment,
  program: Program,
): Explanation | undefined {
  const { targetFd } = attachment as LinkCreation;
  if (refusal.code === "EBADF" && unlessRefused(() => inode(targetFd)) !== undefined) {
    return {
      reason: "invalid",
      meaning: "target.cgroup is no directory of a cgroup2 file system",
      hint: "name a directory below a cgroup2 mount, not a file and not cgroup v1; /proc/mounts says where it is",
    };
  }
  if (refusal.code === "ENOENT" && position === undefined) {
    return { reason: "gone", meaning: "the cgroup is being removed", hint: "make the cgroup anew" };
  }
  return whyMisfit(refusal, attachment, program);
}

/** A kernel that keeps no revision of the hook ignores the expected one, so it must not be asked. */
function requireRevision(fd: number, attachType: AttachTypeName): void {
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
function update(
  linkFd: number,
  program: Program,
  expected: Held | undefined,
  action: () => string,
  attachType: AttachTypeName | undefined,
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
  updateLink(linkFd, program.fd, expected?.fd, action);
}

function describe(target: CgroupTarget): string {
  return typeof target.cgroup === "number" ? `cgroup (fd ${target.cgroup})` : `cgroup "${target.cgroup}"`;
}

const record = TYPES.cgroup.record!;

function read({ id, progId, cgroupId, attachType }: Extract<BpfLinkInfo, { type: "cgroup" }>): CgroupInfo {
  return {
    type: "cgroup",
    id,
    programId: progId,
    attached: cgroupId !== 0n,
    cgroupId,
    attachType: attachType as CgroupAttachType,
  };
}

/** The kind of target that is a cgroup, and its links. */
export const cgroup: Kind<CgroupTarget, "cgroup", Program> & LinkKind<"cgroup", CgroupInfo> = {
  linkType: "cgroup",
  keys: KEYS,
  prepare,
  describe,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ cgroupId, attachType }, { cgroup }) => `${cgroup ?? `cgroup ${cgroupId}`} ${attachType}`,
  update: (fd, source, expected, action, attachType) => update(fd, source as Program, expected, action, attachType),
  isAt: (info, { attachType, targetFd }) => info.attachType === attachType && info.cgroupId === inode(targetFd),
  probe: () => ({
    examples: [{ program: { type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress" } }],
    attach: {
      since: TYPES.cgroup.since,
      config: "CONFIG_CGROUP_BPF",
      proofs: [{ call: create(NO_TARGET, "cgroup_inet_egress"), errno: "EBADF" }],
    },
    update: always(TYPES.cgroup),
    detach: always(TYPES.cgroup),
    position: {
      since: "6.17",
      proofs: [{ call: create(NO_TARGET, "cgroup_inet_egress", { flags: BPF_F_BEFORE }), errno: "EBADF" }],
    },
  }),
  hook: {
    at: "cgroup",
    attachTypes: TYPES.cgroup.attachTypes,
    ask,
    look,
    words: "PATH ATTACH_TYPE",
    fromWords: (path, attachType) => ({ type: "cgroup", cgroup: cgroupDirectory(path), attachType }),
  },
};

function look(target: Omit<CgroupTarget, "position" | "expectedRevision">): Look {
  checkKeys(target, "target", ["type", "cgroup", "attachType", "preorder"]);
  const attachType = target.attachType!;
  if (typeOfAttachType(attachTypeNumber(attachType, "target.attachType")) !== "cgroup") {
    throw new TypeError(`target.attachType must begin with cgroup_, or be lsm_cgroup, not "${attachType}"`);
  }
  return within(openTarget(target.cgroup, "target.cgroup", CGROUPS), (fd) => {
    const here = progQuery(fd, attachType);
    const { progs } = progQuery(fd, attachType, { queryFlags: BPF_F_QUERY_EFFECTIVE });
    const id = inode(fd);
    const above = progs.length > here.progs.length ? ancestors(fd, id, attachType) : [];
    const levels = [{ id, query: here }, ...above];
    const ids = levels.map((level) => level.id);
    // the flags of a program are those of the nearest level that has it
    const flagsOf = (programId: number) =>
      levels.flatMap(({ query }) => ordered(query).entries).find((entry) => entry.programId === programId)
        ?.attachFlags ?? 0;
    return {
      ...ordered(here),
      effective: progs.map(({ progId }) => ({ programId: progId, attachFlags: flagsOf(progId) })),
      isLink: (info, of) =>
        info.type === "cgroup" && info.attachType === attachType &&
        (info.cgroupId === id || of === "effective" && ids.includes(info.cgroupId)),
    };
  });
}

/** The cgroups above one, as far as they can be seen from here, the nearest first. */
function ancestors(fd: number, ownId: bigint, attachType: AttachTypeName): { id: bigint; query: ProgQuery }[] {
  const levels: { id: bigint; query: ProgQuery }[] = [];
  let below = ownId;
  for (let path = `/proc/thread-self/fd/${fd}/..`;; path += "/..") {
    const parent = open(path);
    try {
      const id = inode(parent);
      if (id === below) return levels; // "/" is its own parent
      levels.push({ id, query: progQuery(parent, attachType) });
      below = id;
    } catch (error) {
      if (error instanceof BpfError && error.errno === EBADF) return levels; // the mount ends here
      throw error;
    } finally {
      closeIfOpen(parent);
    }
  }
}
