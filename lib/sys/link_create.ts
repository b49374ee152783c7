/** LINK_CREATE: every type of link, with libbpf's options. */
import { checkFd, checkInteger, checkKeys, checkU32 } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { Request, words } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { missingCapabilities } from "../os/capabilities.ts";
import { CLOSED, explanation, type Refusals } from "../refusal.ts";
import { type AttachTypeName, attachTypeNumber, Command } from "../uapi/constants.ts";
import { EINVAL } from "../uapi/errno.ts";
import { link_create } from "../uapi/layout.ts";
import { type AnyLinkTypeRow, type LinkCreateOptions, rowOfAttachType, tooOld, TYPES } from "./type/mod.ts";

const largest = (): number =>
  Math.max(...Object.values(link_create).map((part) => typeof part === "number" ? 0 : part.sizeof));
const create = lazy(() => new Request(largest(), 1024));

/** What errnos mean to every type; the rows of a type come before them. */
const LINK_CREATE: Refusals = {
  command: "LINK_CREATE",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: [
      "invalid",
      "the kernel refuses the arguments",
      "check that the program was loaded for this attach type, and every option of the target",
    ],
    EPERM: ["policy", "attaching is not permitted", "check CAP_NET_ADMIN and security modules"],
    EBUSY: ["busy", "the place is taken", "detach the link or program that is there; Link.infos() lists links"],
    EEXIST: ["exists", "the program is attached there already"],
    EOPNOTSUPP: ["unsupported", "this kernel or device does not support it"],
    ENOTSUPP: ["unsupported", "this kernel does not support it"],
    ESTALE: [
      "stale",
      "the hook has changed since its revision was read",
      "query the hook again and repeat with the new revision",
    ],
    E2BIG: ["limit", "there are too many already", "detach one of them first"],
  }),
};

/**
 * Attaches a program and returns the link that holds the attachment.
 *
 * The attachment lives as long as the link: until its last fd is closed, if it is not pinned. Closing the program's fd
 * changes nothing. Wraps `bpf_link_create()`.
 *
 * Since Linux 5.7: cgroup; 5.8 iter, netns (flow_dissector; sk_lookup 5.9); 5.9 xdp; 5.10 freplace; 5.15 perf_event;
 * 5.18 kprobe_multi; 5.19 fentry, fexit, fmod_ret, lsm, tp_btf (before: {@linkcode rawTracepointOpen}); 6.0 lsm_cgroup;
 * 6.4 netfilter, struct_ops; 6.6 tcx, uprobe_multi; 6.7 netkit; 6.10 sockmap, kprobe sessions; 6.13 uprobe sessions;
 * 7.2 tracing_multi (fentry, fexit and fsession of many functions).
 * Only cgroup_skb programs need a capability here, CAP_NET_ADMIN, and `netns` CAP_SYS_ADMIN; all others took theirs when
 * they were loaded.
 *
 * @param progFd An fd of the program; of the map for struct_ops.
 * @param targetFd What to attach to: a directory of a cgroup2 file system, a network namespace, a perf event, a sockmap,
 * a program (freplace); for xdp, tcx and netkit the number of the interface; 0 where the type has no target.
 * @param attachType The attach type, as libbpf names it.
 * @param options What the type takes beyond that.
 * @returns An fd of the link, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If an option is unknown, of the wrong type, or belongs to another link type.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError}
 * - `EBADF`: an fd is not open; cgroup: no directory of a cgroup2 file system; uprobe_multi: no regular file
 * - `EINVAL`: the program does not fit the attach type; flags or options that the type does not have; xdp: no such
 *   interface; netns, sockmap: `targetFd` is something else; uprobe_multi: no offsets, or one outside of the file;
 *   tracing_multi: no functions, or one twice; a link type that this kernel lacks
 * - `EPERM`: CAP_NET_ADMIN is missing for a cgroup_skb program, CAP_SYS_ADMIN for `netns`; or a program attached
 *   without ALLOW_MULTI holds the hook of the cgroup or of one above it
 * - `EBUSY`: xdp: another link or program is there; netfilter: the priority is taken; sockmap: another link is there,
 *   or the other kind of verdict; fentry, fexit, fmod_ret, lsm, tracing_multi: the program is attached already; a
 *   function of a program: another program replaces it; freplace: one is attached to it
 * - `EEXIST`: tcx, netkit: the program is in the hook already; perf_event: the event has a program; xdp: a program in
 *   the other mode, or at an interface above or below; netns: a flow dissector attached without a link; struct_ops: the name is taken
 * - `ENODEV`: tcx, netkit: no such interface
 * - `ENOENT`: the cgroup was removed; the anchor is not in the hook; iter: no such cgroup; kprobe_multi: an address that
 *   is no function's (EINVAL before Linux 6.14); uprobe_multi: no such file
 * - `ESTALE`: the hook has another revision than expected
 * - `E2BIG`: a cgroup's hook has 64 programs, or a network namespace 64 of sk_lookup; a second flow dissector;
 *   fentry, fexit, fmod_ret, lsm: the function has 38 programs; uprobe_multi: more than 2 ** 20 offsets; tracing_multi:
 *   as many functions
 * - `ERANGE`: a tcx hook has 63 programs, or before and after at once; a netfilter priority that cannot be used; xdp: a
 *   driver that has one page for a packet, and an MTU above that
 * - `ENOSPC`: xdp: an interface with fewer queues to receive than its peer has to send
 * - `EPROTO`: netfilter: no such hook
 * - `EAFNOSUPPORT`: netfilter: another protocol family
 * - `EOPNOTSUPP`: the driver has no XDP; the kernel has no fprobe; netfilter: unknown flags
 * - `ENXIO`, `EACCES`: netkit: the interface is none, or the peer of one
 * - `EACCES`: perf_event: the program reads beyond the tracepoint's record
 * - `ESRCH`: uprobe_multi: no such process; kprobe_multi: no such function
 * - `ENOTSUPP` (524): uprobe_multi: no instruction that can be probed begins at an offset; it is noticed only if a
 *   process has the file mapped
 * - `EMFILE`: the process has too many open files
 *
 * A revision closes the race between looking at a hook and attaching to it, while something stays attached: that of a
 * tcx hook begins anew when its last program leaves.
 *
 * @example
 * ```ts
 * import { close, linkCreate, open, progLoad } from "@bpf/link/sys";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
 * const program = progLoad("sk_lookup", accept, { expectedAttachType: "sk_lookup" });
 * const netns = open("/proc/self/ns/net");
 * const link = linkCreate(program, netns, "sk_lookup");
 * for (const fd of [link, netns, program]) close(fd);
 * ```
 */
export function linkCreate(
  progFd: number,
  targetFd: number,
  attachType: AttachTypeName,
  options?: LinkCreateOptions,
): number {
  const number = attachTypeNumber(attachType, "attachType");
  const result = options === undefined
    ? words(Command.LINK_CREATE, checkFd(progFd, "progFd"), checkTarget(targetFd) >>> 0, number)
    : encode(create(), progFd, targetFd, number, options).bpf(Command.LINK_CREATE);
  return settle(result, attachType, number, options);
}

/**
 * {@linkcode linkCreate} on another thread: xdp, tcx and netkit wait milliseconds for the kernel.
 *
 * It works on duplicates of all fds, so they may be closed meanwhile.
 *
 * @param progFd As {@linkcode linkCreate}.
 * @param targetFd As {@linkcode linkCreate}.
 * @param attachType As {@linkcode linkCreate}.
 * @param options As {@linkcode linkCreate}.
 * @returns A promise of the link's fd.
 * @throws {BpfError} As {@linkcode linkCreate}.
 *
 * @example
 * ```ts
 * import { close, linkCreateAsync, open, progLoad } from "@bpf/link/sys";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
 * const program = progLoad("sk_lookup", accept, { expectedAttachType: "sk_lookup" });
 * const netns = open("/proc/self/ns/net");
 * const link = await linkCreateAsync(program, netns, "sk_lookup");
 * for (const fd of [link, netns, program]) close(fd);
 * ```
 */
export async function linkCreateAsync(
  progFd: number,
  targetFd: number,
  attachType: AttachTypeName,
  options?: LinkCreateOptions,
): Promise<number> {
  const number = attachTypeNumber(attachType, "attachType");
  const request = encode(new Request(largest(), 256), progFd, targetFd, number, options);
  return settle(await request.bpfAsync(Command.LINK_CREATE), attachType, number, options);
}

/**
 * Whether a program may be attached as `attachType`: the kernel says EINVAL if not, before it finds that -1 is no target
 * (EBADF) or that a capability is missing (EPERM). Attaches nothing.
 */
export function programFits(progFd: number, attachType: AttachTypeName): boolean {
  const number = attachTypeNumber(attachType, "attachType");
  return encode(create(), progFd, -1, number, undefined).bpf(Command.LINK_CREATE) !== -EINVAL;
}

function settle(
  result: number,
  attachType: AttachTypeName,
  number: number,
  options: LinkCreateOptions | undefined,
): number {
  if (result >= 0) return result;
  throw new BpfError(-result, {
    action: `Cannot create link (${attachType})`,
    command: LINK_CREATE.command,
    ...explain(result, attachType, rowFor(number, options), options),
  });
}

/** The type that the link would have: that of the options, or else of the attach type. Extensions have none of their own. */
function rowFor(attachType: number, options: LinkCreateOptions | undefined): AnyLinkTypeRow | undefined {
  return (options && ownerOf(options)) ?? rowOfAttachType(attachType);
}

function explain(
  result: number,
  attachType: AttachTypeName,
  row: AnyLinkTypeRow | undefined,
  options: LinkCreateOptions | undefined,
): Explanation {
  const known = explanation(result, { ...LINK_CREATE, rows: () => ({ ...LINK_CREATE.rows(), ...row?.refusals() }) });
  if (known.reason === "policy") {
    return missingCapabilities([options?.netns === undefined ? "CAP_NET_ADMIN" : "CAP_SYS_ADMIN"]) ?? known;
  }
  if (known.reason !== "invalid" && known.reason !== "unsupported") return known;
  return row?.tooOld?.(options) ?? tooOld(attachType) ?? known;
}

/** The types that have options, by the names of those. */
const owners = lazy(() => {
  const owners = new Map<string, AnyLinkTypeRow>();
  for (const row of Object.values<AnyLinkTypeRow>(TYPES)) {
    for (const field of row.options?.fields ?? []) owners.set(field, row);
  }
  return owners;
});
const optionNames = lazy(() => ["flags", "netns", ...owners().keys()]);

/** The type whose options are given. */
function ownerOf(options: LinkCreateOptions): AnyLinkTypeRow | undefined {
  let owner: AnyLinkTypeRow | undefined, ownersField = "";
  for (const key in options) {
    const row = options[key as keyof LinkCreateOptions] === undefined ? undefined : owners().get(key);
    if (row === undefined) continue;
    if (owner !== undefined && row !== owner) {
      throw new TypeError(`options may have ${ownersField} or ${key}, not both`);
    }
    owner = row;
    ownersField = key;
  }
  return owner;
}

/** -1 asks whether program and attach type fit: EBADF says yes. */
function checkTarget(targetFd: unknown): number {
  return checkInteger(targetFd, "targetFd", -1, 0x7fffffff);
}

/** Passes only as many bytes of the attr as are used: an older kernel refuses what it does not know. */
function encode(
  request: Request,
  progFd: number,
  targetFd: number,
  attachType: number,
  options: LinkCreateOptions = {},
): Request {
  checkFd(progFd, "progFd");
  const target = checkTarget(targetFd);
  checkKeys(options, "options", optionNames());
  const { flags = 0, netns } = options, codec = ownerOf(options)?.options;
  request.reset(codec?.size(options) ?? link_create.target_btf_id) // all before it, which every type has
    .fd(link_create.prog_fd, progFd)
    .u32(link_create.attach_type, attachType)
    .u32(link_create.flags, checkU32(flags, "options.flags"));
  if (target <= 0 || rowOfAttachType(attachType)?.target === "ifindex") {
    request.u32(link_create.target_ifindex, target);
  } else {
    request.fd(link_create.target_fd, target);
  }
  codec?.encode(request, options);
  if (netns !== undefined) request.netns(checkFd(netns, "options.netns"));
  return request;
}
