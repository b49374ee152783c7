/** LINK_CREATE: every type of link, with libbpf's options. */
import { checkFd, checkInteger, checkKeys, checkString, checkU32, checkU64 } from "../check.ts";
import { BpfError } from "../error.ts";
import { Request } from "../ffi/request.ts";
import { Command } from "../uapi/constants.ts";
import { EINVAL } from "../uapi/errno.ts";
import { bpf_iter_link_info, link_create } from "../uapi/layout.ts";
import { type AttachType, attachTypeNumber } from "../uapi/types.ts";
import { explainLinkCreate, linkTypeOf } from "./diagnose.ts";

/** Where among the programs of a hook a link goes; see the flags of {@linkcode LinkCreateOptions}. */
export interface RelativeOptions {
  /** An fd of the program or link to stand beside. */
  relativeFd?: number | undefined;
  /** Its id instead, with BPF_F_ID (32) among the flags. */
  relativeId?: number | undefined;
  /** The revision that the hook must have, else `ESTALE`; 0n is unchecked. */
  expectedRevision?: bigint | undefined;
}

/** Options of {@linkcode linkCreate}, named as in `struct bpf_link_create_opts`; at most one of the objects. */
export interface LinkCreateOptions {
  /**
   * xdp: XDP_FLAGS_SKB_MODE (2), DRV_MODE (4) or HW_MODE (8). tcx, netkit, cgroup: BPF_F_BEFORE (8), AFTER (16),
   * ID (32), LINK (8192), and for cgroup PREORDER (64). All others: 0.
   */
  flags?: number | undefined;
  /** freplace: the function to replace in the program whose fd is `targetFd`. */
  targetBtfId?: number | undefined;
  /** iter: what to walk. A map's fd; a cgroup by fd or id, in an order (1 self, 2 pre, 3 post, 4 up); a task by tid, pid or pidfd. */
  iterInfo?:
    | { map: { mapFd: number } }
    | { cgroup: { order: number; cgroupFd?: number | undefined; cgroupId?: bigint | undefined } }
    | { task: { tid?: number | undefined; pid?: number | undefined; pidFd?: number | undefined } }
    | undefined;
  /** perf_event: what the program reads with `bpf_get_attach_cookie`. */
  perfEvent?: { bpfCookie: bigint } | undefined;
  /** kprobe_multi: functions by name or by address, with a cookie each; flag 1 is "at return". */
  kprobeMulti?:
    | {
      flags?: number | undefined;
      syms?: readonly string[] | undefined;
      addrs?: readonly bigint[] | undefined;
      cookies?: readonly bigint[] | undefined;
    }
    | undefined;
  /** uprobe_multi: places in a file, with a cookie and a reference counter each; flag 1 is "at return"; pid 0 is every process. */
  uprobeMulti?:
    | {
      path: string;
      offsets: readonly bigint[];
      refCtrOffsets?: readonly bigint[] | undefined;
      cookies?: readonly bigint[] | undefined;
      flags?: number | undefined;
      pid?: number | undefined;
    }
    | undefined;
  /** fentry, fexit, fmod_ret, lsm, tp_btf, freplace: the cookie. */
  tracing?: { cookie: bigint } | undefined;
  /** tracing_multi: functions by their ids in the kernel's BTF, with a cookie each. */
  tracingMulti?: { ids: readonly number[]; cookies?: readonly bigint[] | undefined } | undefined;
  /** netfilter: protocol family (2 IPv4, 10 IPv6), hook, priority; flag 1 defragments first. */
  netfilter?: { pf: number; hooknum: number; priority: number; flags?: number | undefined } | undefined;
  /** Position in a tcx hook. */
  tcx?: RelativeOptions | undefined;
  /** Position in a netkit hook. */
  netkit?: RelativeOptions | undefined;
  /** Position in a cgroup's hook; since Linux 6.17. */
  cgroup?: RelativeOptions | undefined;
  /**
   * An fd of the network namespace to make the call in, for types that attach in the caller's: xdp, tcx, netkit and
   * netfilter. Not part of libbpf: the calling thread goes there and comes back within the call.
   */
  netns?: number | undefined;
}

const LARGEST = link_create.uprobe_multi.sizeof;
const create = new Request(LARGEST, 1024);
const createPlain = new Request(link_create.target_btf_id); // without options: nothing to reset between two calls

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
 *   the other mode; netns: a flow dissector attached without a link; struct_ops: the name is taken
 * - `ENODEV`: tcx, netkit: no such interface
 * - `ENOENT`: the cgroup was removed; the anchor is not in the hook; iter: no such cgroup; kprobe_multi: an address that
 *   is no function's (EINVAL before Linux 6.14); uprobe_multi: no such file
 * - `ESTALE`: the hook has another revision than expected
 * - `E2BIG`: a cgroup's hook has 64 programs, or a network namespace 64 of sk_lookup; a second flow dissector;
 *   fentry, fexit, fmod_ret, lsm: the function has 38 programs; uprobe_multi: more than 2 ** 20 offsets; tracing_multi:
 *   as many functions
 * - `ERANGE`: a tcx hook has 63 programs, or before and after at once; a netfilter priority that cannot be used
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
  attachType: AttachType,
  options?: LinkCreateOptions,
): number {
  const number = attachTypeNumber(attachType, "attachType");
  const request = options === undefined
    ? encodePlain(progFd, targetFd, number)
    : encode(create, progFd, targetFd, number, options);
  return settle(attachType, number, options, request.bpf(Command.LINK_CREATE));
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
  attachType: AttachType,
  options?: LinkCreateOptions,
): Promise<number> {
  const number = attachTypeNumber(attachType, "attachType");
  const request = encode(new Request(LARGEST, 256), progFd, targetFd, number, options);
  return settle(attachType, number, options, await request.bpfAsync(Command.LINK_CREATE));
}

/**
 * Whether a program may be attached as `attachType`: the kernel says EINVAL if not, before it finds that -1 is no target
 * (EBADF) or that a capability is missing (EPERM). Attaches nothing.
 */
export function programFits(progFd: number, attachType: AttachType): boolean {
  const number = attachTypeNumber(attachType, "attachType");
  return encode(create, progFd, -1, number, undefined).bpf(Command.LINK_CREATE) !== -EINVAL;
}

function settle(
  attachType: AttachType,
  number: number,
  options: LinkCreateOptions | undefined,
  result: number,
): number {
  if (result >= 0) return result;
  throw new BpfError(-result, {
    action: `Cannot create link (${attachType})`,
    command: "LINK_CREATE",
    ...explainLinkCreate(-result, number, options?.targetBtfId !== undefined, options?.netns !== undefined),
  });
}

const INTERFACE_TARGETS = ["xdp", "tcx", "netkit"];

/** The most frequent request, which an asynchronous call never makes. */
function encodePlain(progFd: number, targetFd: number, attachType: number): Request {
  return createPlain
    .u32(link_create.prog_fd, checkFd(progFd, "progFd"))
    .u32(link_create.target_fd, checkTarget(targetFd))
    .u32(link_create.attach_type, attachType);
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
  options: LinkCreateOptions | undefined,
): Request {
  request.reset(link_create.target_btf_id) // all before, which every type has
    .fd(link_create.prog_fd, checkFd(progFd, "progFd"))
    .u32(link_create.attach_type, attachType);
  const target = checkTarget(targetFd);
  if (target <= 0 || INTERFACE_TARGETS.includes(linkTypeOf(attachType))) {
    request.u32(link_create.target_ifindex, target);
  } else {
    request.fd(link_create.target_fd, target);
  }
  if (options !== undefined) encodeOptions(request, progFd, target, attachType, options);
  return request;
}

const OPTIONS = [
  "flags",
  "targetBtfId",
  "iterInfo",
  "perfEvent",
  "kprobeMulti",
  "uprobeMulti",
  "tracing",
  "tracingMulti",
  "netfilter",
  "tcx",
  "netkit",
  "cgroup",
  "netns",
];

function encodeOptions(
  request: Request,
  progFd: number,
  target: number,
  attachType: number,
  options: LinkCreateOptions,
): void {
  checkKeys(options, "options", OPTIONS);
  const {
    flags = 0,
    targetBtfId,
    iterInfo,
    perfEvent,
    kprobeMulti,
    uprobeMulti,
    tracing,
    tracingMulti,
    netfilter,
    tcx,
    netkit,
    cgroup,
    netns,
  } = options;
  const objects = { iterInfo, perfEvent, kprobeMulti, uprobeMulti, tracingMulti, netfilter, tcx, netkit, cgroup };
  const given = Object.entries(objects).filter(([, value]) => value !== undefined);
  if (tracing !== undefined || targetBtfId !== undefined) given.push(["tracing and targetBtfId", undefined]);
  if (given.length > 1) {
    throw new TypeError(`options may have one of ${given.map(([name]) => name).join(", ")}, not several`);
  }
  checkU32(flags, "options.flags");

  /** Grows the attr to `size` bytes, before anything is put behind it. */
  const sized = (size: number) => {
    const isFd = target > 0 && !INTERFACE_TARGETS.includes(linkTypeOf(attachType));
    request.reset(size).fd(link_create.prog_fd, progFd).u32(link_create.attach_type, attachType);
    return isFd ? request.fd(link_create.target_fd, target) : request.u32(link_create.target_ifindex, target);
  };
  if (iterInfo !== undefined) {
    encodeIterInfo(sized(link_create.iter_info_len + 4), iterInfo);
  } else if (perfEvent !== undefined) {
    checkKeys(perfEvent, "options.perfEvent", ["bpfCookie"]);
    const { bpf_cookie, sizeof } = link_create.perf_event;
    sized(sizeof).u64(bpf_cookie, checkU64(perfEvent.bpfCookie, "options.perfEvent.bpfCookie"));
  } else if (kprobeMulti !== undefined) {
    encodeKprobeMulti(sized(link_create.kprobe_multi.sizeof), kprobeMulti);
  } else if (uprobeMulti !== undefined) {
    encodeUprobeMulti(sized(link_create.uprobe_multi.sizeof), uprobeMulti);
  } else if (tracingMulti !== undefined) {
    encodeTracingMulti(sized(link_create.tracing_multi.sizeof), tracingMulti);
  } else if (netfilter !== undefined) {
    checkKeys(netfilter, "options.netfilter", ["pf", "hooknum", "priority", "flags"]);
    const at = link_create.netfilter;
    sized(at.sizeof)
      .u32(at.pf, checkU32(netfilter.pf, "options.netfilter.pf"))
      .u32(at.hooknum, checkU32(netfilter.hooknum, "options.netfilter.hooknum"))
      .u32(at.priority, checkInteger(netfilter.priority, "options.netfilter.priority", -0x80000000, 0x7fffffff))
      .u32(at.flags, checkU32(netfilter.flags ?? 0, "options.netfilter.flags"));
  } else if (tracing !== undefined || targetBtfId !== undefined) {
    if (tracing !== undefined) checkKeys(tracing, "options.tracing", ["cookie"]);
    const at = link_create.tracing;
    const size = tracing === undefined ? at.cookie : at.sizeof;
    sized(size).u32(at.target_btf_id, checkU32(targetBtfId ?? 0, "options.targetBtfId"));
    if (tracing !== undefined) request.u64(at.cookie, checkU64(tracing.cookie, "options.tracing.cookie"));
  } else {
    for (const name of ["tcx", "netkit", "cgroup"] as const) {
      const relative = options[name];
      if (relative !== undefined) encodeRelative(sized(link_create[name].sizeof), relative, name);
    }
  }
  request.u32(link_create.flags, flags);
  if (netns !== undefined) request.netns(checkFd(netns, "options.netns"));
}

function encodeRelative(request: Request, relative: RelativeOptions, name: "tcx" | "netkit" | "cgroup"): void {
  checkKeys(relative, `options.${name}`, ["relativeFd", "relativeId", "expectedRevision"]);
  const { relativeFd, relativeId, expectedRevision } = relative;
  if (relativeFd !== undefined && relativeId !== undefined) {
    throw new TypeError(`options.${name} may have relativeFd or relativeId, not both`);
  }
  const at = link_create[name];
  if (relativeFd !== undefined) request.fd(at.relative_fd, checkFd(relativeFd, `options.${name}.relativeFd`));
  if (relativeId !== undefined) request.u32(at.relative_id, checkU32(relativeId, `options.${name}.relativeId`));
  if (expectedRevision !== undefined) {
    request.u64(at.expected_revision, checkU64(expectedRevision, `options.${name}.expectedRevision`));
  }
}

function encodeIterInfo(request: Request, info: NonNullable<LinkCreateOptions["iterInfo"]>): void {
  checkKeys(info, "options.iterInfo", ["map", "cgroup", "task"]);
  if (Object.keys(info).length !== 1) throw new TypeError("options.iterInfo must have one of map, cgroup, task");
  const at = request.room(link_create.iter_info, bpf_iter_link_info.sizeof);
  let size: number;
  if ("map" in info) {
    const { map_fd, sizeof } = bpf_iter_link_info.map;
    checkKeys(info.map, "options.iterInfo.map", ["mapFd"]);
    request.fd(at + map_fd, checkFd(info.map.mapFd, "options.iterInfo.map.mapFd"));
    size = sizeof;
  } else if ("cgroup" in info) {
    checkKeys(info.cgroup, "options.iterInfo.cgroup", ["order", "cgroupFd", "cgroupId"]);
    const { order, cgroupFd, cgroupId } = info.cgroup;
    const { order: orderAt, cgroup_fd, cgroup_id, sizeof } = bpf_iter_link_info.cgroup;
    request.u32(at + orderAt, checkU32(order, "options.iterInfo.cgroup.order"));
    if (cgroupFd !== undefined) request.fd(at + cgroup_fd, checkFd(cgroupFd, "options.iterInfo.cgroup.cgroupFd"));
    if (cgroupId !== undefined) request.u64(at + cgroup_id, checkU64(cgroupId, "options.iterInfo.cgroup.cgroupId"));
    size = sizeof;
  } else {
    checkKeys(info.task, "options.iterInfo.task", ["tid", "pid", "pidFd"]);
    const { tid, pid, pidFd } = info.task;
    const task = bpf_iter_link_info.task;
    if (tid !== undefined) request.u32(at + task.tid, checkU32(tid, "options.iterInfo.task.tid"));
    if (pid !== undefined) request.u32(at + task.pid, checkU32(pid, "options.iterInfo.task.pid"));
    if (pidFd !== undefined) request.fd(at + task.pid_fd, checkFd(pidFd, "options.iterInfo.task.pidFd"));
    size = task.sizeof;
  }
  request.u32(link_create.iter_info_len, size);
}

function encodeKprobeMulti(request: Request, multi: NonNullable<LinkCreateOptions["kprobeMulti"]>): void {
  const name = "options.kprobeMulti";
  checkKeys(multi, name, ["flags", "syms", "addrs", "cookies"]);
  const { flags = 0, syms, addrs, cookies } = multi;
  const count = (syms ?? addrs)?.length;
  if (count === undefined || (syms !== undefined && addrs !== undefined)) {
    throw new TypeError(`${name} must have syms or addrs, and not both`);
  }
  const at = link_create.kprobe_multi;
  request.u32(at.flags, checkU32(flags, `${name}.flags`)).u32(at.cnt, count);
  if (syms !== undefined) encodeStrings(request, at.syms, syms, `${name}.syms`);
  if (addrs !== undefined) encodeLongs(request, at.addrs, addrs, `${name}.addrs`, count);
  if (cookies !== undefined) encodeLongs(request, at.cookies, cookies, `${name}.cookies`, count);
}

function encodeUprobeMulti(request: Request, multi: NonNullable<LinkCreateOptions["uprobeMulti"]>): void {
  const name = "options.uprobeMulti";
  checkKeys(multi, name, ["path", "offsets", "refCtrOffsets", "cookies", "flags", "pid"]);
  const { path, offsets, refCtrOffsets, cookies, flags = 0, pid = 0 } = multi;
  const at = link_create.uprobe_multi, count = offsets.length;
  request.u32(at.cnt, count).u32(at.flags, checkU32(flags, `${name}.flags`)).u32(at.pid, checkU32(pid, `${name}.pid`));
  request.string(at.path, checkString(path, `${name}.path`));
  encodeLongs(request, at.offsets, offsets, `${name}.offsets`, count);
  if (refCtrOffsets !== undefined) {
    encodeLongs(request, at.ref_ctr_offsets, refCtrOffsets, `${name}.refCtrOffsets`, count);
  }
  if (cookies !== undefined) encodeLongs(request, at.cookies, cookies, `${name}.cookies`, count);
}

function encodeTracingMulti(request: Request, multi: NonNullable<LinkCreateOptions["tracingMulti"]>): void {
  const name = "options.tracingMulti";
  checkKeys(multi, name, ["ids", "cookies"]);
  const { ids, cookies } = multi;
  const at = link_create.tracing_multi;
  request.u32(at.cnt, ids.length);
  request.data(at.ids, new Uint8Array(Uint32Array.from(ids, (id, i) => checkU32(id, `${name}.ids[${i}]`)).buffer));
  if (cookies !== undefined) encodeLongs(request, at.cookies, cookies, `${name}.cookies`, ids.length);
}

function encodeLongs(request: Request, at: number, values: readonly bigint[], name: string, count: number): void {
  if (values.length !== count) {
    throw new TypeError(`${name} must have ${count} values, one for each place, not ${values.length}`);
  }
  if (count > 0) {
    request.data(
      at,
      new Uint8Array(BigUint64Array.from(values, (value, i) => checkU64(value, `${name}[${i}]`)).buffer),
    );
  }
}

function encodeStrings(request: Request, at: number, values: readonly string[], name: string): void {
  if (values.length === 0) return;
  const array = request.room(at, values.length * 8);
  values.forEach((value, i) => request.string(array + i * 8, checkString(value, `${name}[${i}]`)));
}
