/** The commands of bpf(2) on links that exist. */
import { checkFd, checkKeys, checkU32, keysOf } from "../check.ts";
import type { BpfError } from "../error.ts";
import { Request, words } from "../ffi/request.ts";
import { ADMIN, checked, CLOSED, NOT_A_LINK, type Refusals, refused, unlessRefused } from "../refusal.ts";
import { BPF_F_REPLACE, Command } from "../uapi/constants.ts";
import { EINVAL, ENOENT, EPERM } from "../uapi/errno.ts";
import { get_id, link_detach } from "../uapi/layout.ts";
import { linkGetInfoByFd } from "./link_info.ts";
import { mapGetInfoByFd } from "./map.ts";
import { isLink } from "./object.ts";
import { progGetInfoByFd } from "./program.ts";
import { rowOf } from "./type/mod.ts";

/** What errnos of {@linkcode linkDetach} mean. */
export const LINK_DETACH: Refusals = {
  command: "LINK_DETACH",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: NOT_A_LINK,
    EOPNOTSUPP: [
      "unsupported",
      "this type of link cannot be detached by force",
      "close every fd and remove every pin of it",
    ],
  }),
};

/**
 * Detaches a link from what it is attached to, by force.
 *
 * The program no longer runs there, whoever else refers to the link by an fd or a pin. The link itself lives on, and its
 * info can be read, until its last fd is closed and its last pin is gone. Detaching again succeeds and does nothing, and
 * so does detaching after the target went away. Wraps `bpf_link_detach()`.
 *
 * Since Linux 5.9: cgroup, netns, xdp, tcx, netkit, netfilter and sockmap links; struct_ops since 6.11. Links of other
 * types cannot be detached but by closing every fd and removing every pin. Needs no capability, only the fd. An update
 * under way in another thread either comes first or finds the link detached (`ENOLINK`).
 *
 * @param linkFd An fd of the link.
 * @throws {RangeError} If `linkFd` is no fd.
 * @throws {BpfError}
 * - `EBADF`: `linkFd` is not open
 * - `EINVAL`: `linkFd` is no link
 * - `EOPNOTSUPP`: links of this type have no detach
 *
 * @example Twice, and still readable
 * ```ts
 * import { close, linkCreate, linkDetach, linkGetInfoByFd, open, progLoad } from "@bpf/link/sys";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
 * const program = progLoad("sk_lookup", accept, { expectedAttachType: "sk_lookup" });
 * const netns = open("/proc/self/ns/net");
 * const link = linkCreate(program, netns, "sk_lookup");
 * linkDetach(link);
 * linkDetach(link);
 * const info = linkGetInfoByFd(link);
 * if (info.type === "netns") console.log(info.netnsIno); // 0
 * for (const fd of [link, netns, program]) close(fd);
 * ```
 */
export function linkDetach(linkFd: number): void {
  settleDetach(linkFd, tryDetach(checkFd(linkFd, "linkFd")));
}

/**
 * {@linkcode linkDetach} on another thread: xdp, tcx and netkit links wait milliseconds for the kernel.
 *
 * It works on a duplicate of `linkFd`, so that fd may be closed meanwhile.
 *
 * @param linkFd An fd of the link.
 * @returns A promise that is settled when the link is detached.
 * @throws {RangeError} If `linkFd` is no fd.
 * @throws {BpfError} As {@linkcode linkDetach}.
 *
 * @example
 * ```ts
 * import { close, linkCreate, linkDetachAsync, open, progLoad } from "@bpf/link/sys";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
 * const program = progLoad("sk_lookup", accept, { expectedAttachType: "sk_lookup" });
 * const netns = open("/proc/self/ns/net");
 * const link = linkCreate(program, netns, "sk_lookup");
 * await linkDetachAsync(link);
 * for (const fd of [link, netns, program]) close(fd);
 * ```
 */
export async function linkDetachAsync(linkFd: number): Promise<void> {
  const request = new Request(link_detach.sizeof).fd(link_detach.link_fd, checkFd(linkFd, "linkFd"));
  settleDetach(linkFd, await request.bpfAsync(Command.LINK_DETACH));
}

/** {@linkcode linkDetach} without an error: 0 or -errno. */
export function tryDetach(linkFd: number): number {
  return words(Command.LINK_DETACH, linkFd);
}

/** Detaches a link and closes `linkFd`: 0 or -errno, with which the fd is still open. */
export function tryDetachAndClose(linkFd: number): number {
  return words(Command.LINK_DETACH, linkFd, 0, 0, 0, linkFd);
}

/** Detaches a link on another thread and closes `linkFd` there in any case: 0 or -errno of the detachment. */
export function tryDetachAndCloseAsync(linkFd: number): Promise<number> {
  return new Request(link_detach.sizeof).own(linkFd).u32(link_detach.link_fd, linkFd).bpfAsync(Command.LINK_DETACH);
}

function settleDetach(linkFd: number, result: number): void {
  checked(result, LINK_DETACH, () => `Cannot detach link (fd ${linkFd})`);
}

/** What an update expects; see {@linkcode linkUpdate}. */
export interface LinkUpdateOptions {
  /** 0, or BPF_F_REPLACE (4), which `oldProgFd` and `oldMapFd` imply. */
  flags?: number | undefined;
  /** An fd of the program that the link must hold, else nothing happens and the call fails with `EPERM`. */
  oldProgFd?: number | undefined;
  /** The same for a struct_ops link: an fd of its map. */
  oldMapFd?: number | undefined;
}

const UPDATE_OPTIONS = keysOf<LinkUpdateOptions>({ flags: true, oldProgFd: true, oldMapFd: true });

/** What errnos of {@linkcode linkUpdate} mean. */
export const LINK_UPDATE: Refusals = {
  command: "LINK_UPDATE",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: [
      "unsupported",
      "this type of link cannot be updated, or the program does not fit it",
      "tracing, perf_event, raw_tracepoint and multi links have no update: attach a new link, then end the old",
    ],
    EPERM: ["policy", "a security module, seccomp or the hook refuses the program"],
    ENOLINK: ["gone", "the link is detached, or what it was attached to is gone", "attach a new link"],
    EOPNOTSUPP: [
      "unsupported",
      "this link cannot be updated",
      "attach a new link, then end the old; netfilter needs another priority for it",
    ],
    EEXIST: [
      "exists",
      "the new program is attached to this hook already",
      "a hook of an interface takes a program once; load it a second time",
    ],
  }),
};

/** The same with an expected program. */
const UPDATE_EXPECTED: Refusals = {
  command: "LINK_UPDATE",
  rows: () => ({
    ...LINK_UPDATE.rows(),
    EPERM: [
      "mismatch",
      "the link holds another program than expected",
      "somebody else updated it first; read info().programId and decide again",
    ],
  }),
};

/** The same with unknown flags. */
const UPDATE_FLAGS: Refusals = {
  command: "LINK_UPDATE",
  rows: () => ({
    ...LINK_UPDATE.rows(),
    EINVAL: ["invalid", "no kernel has these flags", "give 0 or BPF_F_REPLACE (4)"],
  }),
};

/** The same where links of the type have an update. */
const UPDATE_UPDATABLE: Refusals = {
  command: "LINK_UPDATE",
  rows: () => ({
    ...LINK_UPDATE.rows(),
    EINVAL: [
      "mismatch",
      "it is no program, or not of the type and attach type that the link was made with",
      "load it for the same type and expectedAttachType",
    ],
  }),
};

/** The same where the fd is no link. */
const UPDATE_NO_LINK: Refusals = {
  command: "LINK_UPDATE",
  rows: () => ({ ...LINK_UPDATE.rows(), EINVAL: NOT_A_LINK }),
};

/**
 * Puts another program (another map for struct_ops) into a link, without a moment in which nothing is attached.
 *
 * Events see the old program or the new one. Id, pins and the position among other links stay. With `oldProgFd` it is
 * a compare-and-swap: of several writers that expect the same program exactly one succeeds, except at netns links,
 * where the kernel compares before it takes its lock and two may succeed. The comparison is by identity, so
 * an A-B-A change in between goes unnoticed. Wraps `bpf_link_update()`.
 *
 * Since Linux 5.7 for cgroup links, 5.8 netns and iter, 5.9 xdp, 6.4 struct_ops, 6.6 tcx, 6.7 netkit, 6.10 sockmap.
 * Needs no capability, only the fds. The kernel does not compare the attach types of programs for cgroup links: a
 * connect6 program goes into a connect4 link. {@linkcode "@bpf/link".Link.update} checks that.
 *
 * @param linkFd An fd of the link.
 * @param newProgFd An fd of the new program; of the new map for a struct_ops link. **Never the map that a struct_ops
 * link holds already: kernels up to 7.3 crash.** `Link.update` refuses that.
 * @param options What the link must hold.
 * @throws {TypeError} If an option is unknown or both old fds are given.
 * @throws {RangeError} If a number is no fd.
 * @throws {BpfError}
 * - `EBADF`: an fd is not open
 * - `EINVAL`: `linkFd` is no link; or its type has no update (tracing, raw_tracepoint, perf_event, multi links); or
 *   `newProgFd` is no program, or one of another type or attach type; or `flags` has other bits than 4
 * - `EPERM`: the link does not hold `oldProgFd`. This is no lack of privilege
 * - `ENOLINK`: the link is detached, or its target is gone
 * - `EOPNOTSUPP`: a netfilter link, or a struct_ops whose operations have no update
 * - `EEXIST`: a tcx or netkit hook has the new program already
 *
 * @example Compare and swap
 * ```ts
 * import { close, linkCreate, linkUpdate, open, progLoad } from "@bpf/link/sys";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
 * const [first, second] = [1, 2].map(() => progLoad("sk_lookup", accept, { expectedAttachType: "sk_lookup" }));
 * const netns = open("/proc/self/ns/net");
 * const link = linkCreate(first!, netns, "sk_lookup");
 * linkUpdate(link, second!, { oldProgFd: first! });
 * for (const fd of [link, netns, first!, second!]) close(fd);
 * ```
 */
export function linkUpdate(linkFd: number, newProgFd: number, options?: LinkUpdateOptions): void {
  let flags = 0, expectedFd: number | undefined;
  if (options !== undefined) {
    checkKeys(options, "options", UPDATE_OPTIONS);
    const { oldProgFd, oldMapFd } = options;
    if (oldProgFd !== undefined && oldMapFd !== undefined) {
      throw new TypeError("options may have oldProgFd or oldMapFd, not both");
    }
    if (options.flags !== undefined) flags = checkU32(options.flags, "options.flags");
    if (oldProgFd !== undefined) expectedFd = checkFd(oldProgFd, "options.oldProgFd");
    else if (oldMapFd !== undefined) expectedFd = checkFd(oldMapFd, "options.oldMapFd");
  }
  updateLink(checkFd(linkFd, "linkFd"), checkFd(newProgFd, "newProgFd"), expectedFd, undefined, flags);
}

/** {@linkcode linkUpdate} whose arguments are right, and whose error begins with `action`. */
export function updateLink(
  linkFd: number,
  newFd: number,
  expectedFd: number | undefined,
  action?: () => string,
  flags = 0,
): void {
  if (expectedFd !== undefined) flags |= BPF_F_REPLACE;
  const result = words(Command.LINK_UPDATE, linkFd, newFd, flags, expectedFd);
  if (result < 0) throw updateRefused(result, linkFd, expectedFd, flags, action);
}

function updateRefused(
  result: number,
  linkFd: number,
  expectedFd: number | undefined,
  flags: number,
  action: (() => string) | undefined,
): BpfError {
  const refusals = result === -EINVAL
    ? explainInvalid(linkFd, flags)
    : expectedFd !== undefined && !(result === -EPERM && holds(linkFd, expectedFd))
    ? UPDATE_EXPECTED
    : LINK_UPDATE;
  return refused(result, refusals, action?.() ?? `Cannot update link (fd ${linkFd})`);
}

/** What errnos of {@linkcode linkGetNextId} mean. */
export const LINK_GET_NEXT_ID: Refusals = {
  command: "LINK_GET_NEXT_ID",
  rows: () => ({
    EPERM: ADMIN,
    EINVAL: ["invalid", "the id is out of range"],
  }),
};

/**
 * The smallest id above `startId` that a link has.
 *
 * Ids are counted up for the whole machine, starting anew after 2 ** 31 - 2, and failed attempts use up ids too, so
 * there are gaps. A walk is no snapshot: an id may belong to a link that is still being made, and a link may have ended
 * before its id is opened, for which {@linkcode linkGetFdById} fails with `EAGAIN` or `ENOENT`; go on from the id. Wraps
 * `bpf_link_get_next_id()`.
 *
 * Since Linux 5.8. Needs CAP_SYS_ADMIN in the initial user namespace; CAP_BPF is not enough.
 *
 * @param startId An id, existing or not; 0 to begin.
 * @returns The id, or `undefined` if no link has a larger one.
 * @throws {RangeError} If `startId` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EINVAL`: `startId` is 2 ** 31 - 1 or more (found before a missing capability is)
 *
 * @example All ids
 * ```ts
 * import { linkGetNextId } from "@bpf/link/sys";
 *
 * for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) console.log(id);
 * ```
 */
export function linkGetNextId(startId: number): number | undefined {
  const result = words(Command.LINK_GET_NEXT_ID, checkU32(startId, "startId"));
  if (result > 0) return result;
  if (result === -ENOENT) return undefined;
  throw refused(result, LINK_GET_NEXT_ID, "Cannot list links");
}

/** What errnos of {@linkcode linkGetFdById} mean. */
export const LINK_GET_FD_BY_ID: Refusals = {
  command: "LINK_GET_FD_BY_ID",
  rows: () => ({
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such link", "it has ended; list the links again"],
    EAGAIN: ["unsettled", "the link is just being made", "ask again"],
    EINVAL: ["invalid", "links take neither open flags nor a token", "leave both out"],
  }),
};

/**
 * Opens a link by its id.
 *
 * The fd keeps the link, and with it the attachment, alive after its owner has closed it. Wraps
 * `bpf_link_get_fd_by_id()`.
 *
 * Since Linux 5.8. Needs CAP_SYS_ADMIN in the initial user namespace; without it even an id that does not exist gives
 * `EPERM`. A link may end between finding its id and this call (`ENOENT`), or not be ready yet (`EAGAIN`).
 *
 * @param id The id of the link.
 * @returns An fd of the link, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `id` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: no link has this id; 0 never is one
 * - `EAGAIN`: the link is just being made; ask again
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, linkGetFdById, linkGetInfoByFd, linkGetNextId } from "@bpf/link/sys";
 *
 * const id = linkGetNextId(0);
 * if (id !== undefined) {
 *   const fd = linkGetFdById(id);
 *   console.log(linkGetInfoByFd(fd));
 *   close(fd);
 * }
 * ```
 */
export function linkGetFdById(id: number): number {
  return settleOpen(id, words(Command.LINK_GET_FD_BY_ID, checkU32(id, "id")));
}

/** Options of {@linkcode linkGetFdByIdOpts}. */
export interface GetFdByIdOptions {
  /** Open flags. No kernel knows any for links: a value other than 0 gives `EINVAL`. */
  openFlags?: number | undefined;
  /** A BPF token. No kernel takes one for links: a value other than 0 gives `EINVAL`. */
  tokenFd?: number | undefined;
}

/**
 * {@linkcode linkGetFdById} with options, of which kernels up to 7.3 accept only zeroes for links.
 *
 * It is here because libbpf has it, so that a program can find out what its kernel says. Wraps
 * `bpf_link_get_fd_by_id_opts()`. Since Linux 5.8; privileges and races as {@linkcode linkGetFdById}.
 *
 * @param id The id of the link.
 * @param options Passed to the kernel as they are.
 * @returns An fd of the link, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If an option is unknown.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError} As {@linkcode linkGetFdById}, and
 * - `EINVAL`: `openFlags` or `tokenFd` is not 0 (found before a missing capability is)
 *
 * @example
 * ```ts
 * import { close, linkGetFdByIdOpts, linkGetNextId } from "@bpf/link/sys";
 *
 * const id = linkGetNextId(0);
 * if (id !== undefined) close(linkGetFdByIdOpts(id, { openFlags: 0 }));
 * ```
 */
export function linkGetFdByIdOpts(id: number, options?: GetFdByIdOptions): number {
  const request = new Request(get_id.sizeof).u32(get_id.link_id, checkU32(id, "id"));
  if (options !== undefined) {
    checkKeys(options, "options", ["openFlags", "tokenFd"]);
    request.u32(get_id.open_flags, checkU32(options.openFlags ?? 0, "options.openFlags"))
      .u32(get_id.fd_by_id_token_fd, checkFd(options.tokenFd ?? 0, "options.tokenFd"));
  }
  return settleOpen(id, request.bpf(Command.LINK_GET_FD_BY_ID));
}

function settleOpen(id: number, result: number): number {
  return checked(result, LINK_GET_FD_BY_ID, () => `Cannot open link ${id}`);
}

/** The kernel says EINVAL of flags, of what is no link, of types without an update and of a program that does not fit. */
function explainInvalid(linkFd: number, flags: number): Refusals {
  if (flags !== 0 && flags !== BPF_F_REPLACE) return UPDATE_FLAGS;
  if (unlessRefused(() => isLink(linkFd)) === false) return UPDATE_NO_LINK;
  return rowOf(linkGetInfoByFd(linkFd).type)?.hasUpdate ? UPDATE_UPDATABLE : LINK_UPDATE;
}

/** Whether a link holds a program or map: then EPERM is no lost race, but a policy (a security module, seccomp). */
function holds(linkFd: number, heldFd: number): boolean {
  const info = linkGetInfoByFd(linkFd);
  return info.progId === 0
    ? "mapId" in info && info.mapId === mapGetInfoByFd(heldFd).id
    : info.progId === progGetInfoByFd(heldFd).id;
}
