/** OBJ_GET_INFO_BY_FD of links: the only reader of `struct bpf_link_info`. */
import { checkFd } from "../check.ts";
import type { BpfError } from "../error.ts";
import { native } from "../ffi/library.ts";
import { Request } from "../ffi/request.ts";
import { isOlderThan } from "../os/capabilities.ts";
import { refusal } from "../refusal.ts";
import { Command, LINK_TYPES } from "../uapi/constants.ts";
import { E2BIG, EINVAL } from "../uapi/errno.ts";
import { bpf_link_info, info_by_fd } from "../uapi/layout.ts";
import { type AttachType, attachTypeName, type LinkType } from "../uapi/types.ts";
import { isLink } from "./object_type.ts";

/** What the info of every link has. */
export interface LinkInfoHead<T extends LinkType> {
  /** The type of the link. */
  readonly type: T;
  /** The link's id. */
  readonly id: number;
  /** The program's id; 0 for struct_ops. */
  readonly progId: number;
}

/** One function of a kprobe_multi link. */
export interface ProbedFunction {
  /** Its address; 0n for those who may not read kernel symbols. */
  readonly addr: bigint;
  /** Its cookie; since Linux 6.9. */
  readonly cookie?: bigint;
}

/** One place of an uprobe_multi link. */
export interface ProbedOffset {
  /** Where in the file, in bytes. */
  readonly offset: bigint;
  /** Where in the file its reference counter is, in bytes; 0n if it has none. */
  readonly refCtrOffset: bigint;
  /** Its cookie. */
  readonly cookie: bigint;
}

/** One function of a tracing_multi link. */
export interface TracedFunction {
  /** Its id in the BTF object. */
  readonly id: number;
  /** Its address; 0n for those who may not read kernel symbols. */
  readonly addr: bigint;
  /** Its cookie. */
  readonly cookie: bigint;
}

/** The event behind a perf_event link; `unspec` from kernels before 6.6, which tell nothing. */
export type PerfEventFields =
  | { readonly perfType: "unspec" }
  | {
    readonly perfType: "uprobe" | "uretprobe";
    readonly fileName: string;
    readonly offset: number;
    readonly cookie?: bigint;
    readonly refCtrOffset?: bigint;
  }
  | {
    readonly perfType: "kprobe" | "kretprobe";
    readonly funcName: string;
    readonly offset: number;
    readonly addr: bigint;
    readonly missed?: bigint;
    readonly cookie?: bigint;
  }
  | { readonly perfType: "tracepoint"; readonly tpName: string; readonly cookie?: bigint }
  | { readonly perfType: "event"; readonly config: bigint; readonly eventType: number; readonly cookie?: bigint };

/**
 * What the kernel tells of a link: the fields of `struct bpf_link_info`, named as there.
 *
 * A detached link has 0 in `cgroupId`, `netnsIno`, `ifindex` or `mapId`. Optional fields are absent where this kernel
 * does not tell them; `netnsIno` of interfaces is told to iterator programs only.
 */
export type BpfLinkInfo =
  | LinkInfoHead<"raw_tracepoint"> & { readonly tpName: string; readonly cookie?: bigint }
  | LinkInfoHead<"tracing"> & {
    readonly attachType: AttachType;
    readonly targetObjId?: number;
    readonly targetBtfId?: number;
    readonly cookie?: bigint;
  }
  | LinkInfoHead<"cgroup"> & { readonly cgroupId: bigint; readonly attachType: AttachType }
  | LinkInfoHead<"iter"> & {
    readonly targetName: string;
    readonly mapId: number;
    readonly cgroupId: bigint;
    readonly order: number;
    readonly tid: number;
    readonly pid: number;
  }
  | LinkInfoHead<"netns"> & { readonly netnsIno: number; readonly attachType: AttachType }
  | LinkInfoHead<"xdp"> & { readonly ifindex: number; readonly netnsIno?: number }
  | LinkInfoHead<"struct_ops"> & { readonly mapId: number }
  | LinkInfoHead<"netfilter"> & {
    readonly pf: number;
    readonly hooknum: number;
    readonly priority: number;
    readonly flags?: number;
  }
  | LinkInfoHead<"tcx"> & { readonly ifindex: number; readonly attachType: AttachType; readonly netnsIno?: number }
  | LinkInfoHead<"netkit"> & { readonly ifindex: number; readonly attachType: AttachType; readonly netnsIno?: number }
  | LinkInfoHead<"sockmap"> & { readonly mapId: number; readonly attachType: AttachType }
  | LinkInfoHead<"perf_event"> & PerfEventFields
  | LinkInfoHead<"kprobe_multi"> & {
    readonly count: number;
    readonly flags: number;
    readonly missed?: bigint;
    readonly functions: readonly ProbedFunction[];
  }
  | LinkInfoHead<"uprobe_multi"> & {
    readonly path: string;
    readonly count: number;
    readonly flags: number;
    readonly pid: number;
    readonly places: readonly ProbedOffset[];
  }
  | LinkInfoHead<"tracing_multi"> & {
    readonly attachType: AttachType;
    readonly btfObjId: number;
    readonly functions: readonly TracedFunction[];
  }
  | LinkInfoHead<"unknown"> & { readonly typeNumber: number };

const SIZE = bpf_link_info.sizeof; // since 6.8; a longer one is cut, a shorter one padded
const PATH_MAX = 4096;

/** The struct as the kernel filled it. */
export interface Answer {
  u32(at: number): number;
  u64(at: number): bigint;
}

/** A question to one link: the zeroed struct, and room for the answers that lie outside of it. */
class Question implements Answer {
  readonly #request = new Request(info_by_fd.sizeof, 32 + SIZE);
  readonly #at = this.#request.u32(info_by_fd.info_len, SIZE).room(info_by_fd.info, SIZE);

  /** A u64 that the kernel overwrites if it knows the field. Never for pointers or lengths. */
  sentinel(at: number): this {
    this.#request.u64(this.#at + at, SENTINEL);
    return this;
  }
  /** Points the u64 at `at` to room of `size` bytes and returns where that is. */
  room(at: number, size: number): number {
    return this.#request.room(this.#at + at, size) - this.#at;
  }
  set(at: number, value: number): this {
    this.#request.u32(this.#at + at, value);
    return this;
  }
  ask(fd: number): number {
    this.#request.u32(info_by_fd.bpf_fd, fd).u32(info_by_fd.info_len, SIZE);
    return this.#request.bpf(Command.OBJ_GET_INFO_BY_FD);
  }
  askAsync(fd: number): Promise<number> {
    this.#request.u32(info_by_fd.bpf_fd, fd).u32(info_by_fd.info_len, SIZE);
    return this.#request.bpfAsync(Command.OBJ_GET_INFO_BY_FD);
  }
  clear(): this {
    this.#request.clear(this.#at, SIZE);
    return this;
  }
  u32(at: number): number {
    return this.#request.getU32(this.#at + at);
  }
  u64(at: number): bigint {
    return this.#request.getU64(this.#at + at);
  }
  string(at: number, size: number): string {
    return this.#request.getString(this.#at + at, size);
  }
}

const SENTINEL = 0xa5a5a5a5a5a5a5a5n;
const plain = new Question();

/**
 * Reads what the kernel tells of a link.
 *
 * It can be read from detached links too. Names and arrays are asked for as often as needed to have them whole. Wraps
 * `bpf_link_get_info_by_fd()`. Since Linux 5.8; names, arrays and cookies came with the kernels that each field's type
 * names. Needs no capability, only the fd; addresses are 0n for those who may not read kernel symbols.
 *
 * @param linkFd An fd of the link.
 * @returns Its info.
 * @throws {RangeError} If `linkFd` is no fd.
 * @throws {BpfError}
 * - `EBADFD`: `linkFd` is not open
 * - `EINVAL`: `linkFd` is no object of bpf; or a program or map whose type has the number of a link type with names or
 *   arrays (others are misread)
 *
 * @example
 * ```ts
 * import { close, linkGetInfoByFd, progLoad, rawTracepointOpen } from "@bpf/link/sys";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * const program = progLoad("raw_tracepoint", nothing);
 * const link = rawTracepointOpen("sched_process_exit", program);
 * console.log(linkGetInfoByFd(link));
 * close(link);
 * close(program);
 * ```
 */
export function linkGetInfoByFd(linkFd: number): BpfLinkInfo {
  checkFd(linkFd, "linkFd");
  ask(plain.clear(), linkFd);
  // taken for the lengths and addresses of a link's names, a program's or map's info would make the kernel write anywhere
  if ((NEEDS_FD >>> plain.u32(bpf_link_info.type) & 1) !== 0 && !isLink(linkFd)) throw refused(linkFd, -EINVAL);
  return decode(plain, linkFd);
}

const RECORD_SIZE = 80, RECORD_INFO = 16, BATCH = 64;
/** Types with names or arrays outside of the struct, for which the walk leaves the link open. */
const NEEDS_FD = ["raw_tracepoint", "tracing", "iter", "perf_event", "kprobe_multi", "uprobe_multi", "tracing_multi"]
  .reduce((bits, type) => bits | 1 << (LINK_TYPES as readonly string[]).indexOf(type), 0);

/**
 * The infos of the links with an id above `startId`, at most 64, in the order of their ids; none at the end. Links that
 * end on the way are left out; none is left open.
 */
export function linkWalk(startId: number): BpfLinkInfo[] {
  const records = new DataView(new ArrayBuffer(BATCH * RECORD_SIZE));
  const count = native().bpf_link_walk(startId, NEEDS_FD, records, records.byteLength);
  if (count < 0) throw refusal(count, "LINK_GET_NEXT_ID", "Cannot list links");
  const infos: BpfLinkInfo[] = [];
  let at = 0;
  const record: Answer = {
    u32: (offset) => records.getUint32(at + RECORD_INFO + offset, true),
    u64: (offset) => records.getBigUint64(at + RECORD_INFO + offset, true),
  };
  const fdAt = (i: number) => records.getInt32(i * RECORD_SIZE + 4, true);
  let next = 0;
  try {
    for (; next < count; next++) {
      at = next * RECORD_SIZE;
      const fd = fdAt(next);
      infos.push(decode(record, fd));
      if (fd >= 0) native().bpf_link_close(fd);
    }
  } finally {
    for (; next < count; next++) if (fdAt(next) >= 0) native().bpf_link_close(fdAt(next));
  }
  return infos;
}

/** The id of a link alone; undefined if the fd is none (any more). */
export function linkGetId(linkFd: number): number | undefined {
  return plain.clear().ask(linkFd) < 0 ? undefined : plain.u32(bpf_link_info.id);
}

/**
 * The same on another thread: the info of a tcx or netkit link waits for whoever changes interfaces just then. The fd
 * must stay open until the promise is settled.
 */
export async function linkGetIdAsync(linkFd: number): Promise<number | undefined> {
  const question = new Question();
  return await question.askAsync(linkFd) < 0 ? undefined : question.u32(bpf_link_info.id);
}

function ask(question: Question, fd: number): Question {
  const result = question.ask(fd);
  if (result < 0) throw refused(fd, result);
  return question;
}

function refused(fd: number, result: number): BpfError {
  return refusal(result, "OBJ_GET_INFO_BY_FD", `Cannot read info of link (fd ${fd})`);
}

/** Kernels before 6.13 answer 0, except those that have the fix as an update: found when a flag is seen. */
let tellsNetfilterFlags: boolean | undefined;

/** Reads the answer to a question without room, and asks again for what lies outside of the struct. */
export function decode(q: Answer, fd: number): BpfLinkInfo {
  const typeNumber = q.u32(bpf_link_info.type), id = q.u32(bpf_link_info.id), progId = q.u32(bpf_link_info.prog_id);
  const type: LinkType = LINK_TYPES[typeNumber] ?? "unknown";
  switch (type) {
    case "cgroup": {
      const at = bpf_link_info.cgroup;
      return { type, id, progId, cgroupId: q.u64(at.cgroup_id), attachType: attachTypeName(q.u32(at.attach_type)) };
    }
    case "xdp":
      return { type, id, progId, ifindex: q.u32(bpf_link_info.xdp.ifindex) };
    case "tcx":
    case "netkit": {
      const at = bpf_link_info[type];
      return { type, id, progId, ifindex: q.u32(at.ifindex), attachType: attachTypeName(q.u32(at.attach_type)) };
    }
    case "netns": {
      const at = bpf_link_info.netns;
      return { type, id, progId, netnsIno: q.u32(at.netns_ino), attachType: attachTypeName(q.u32(at.attach_type)) };
    }
    case "sockmap": {
      const at = bpf_link_info.sockmap;
      return { type, id, progId, mapId: q.u32(at.map_id), attachType: attachTypeName(q.u32(at.attach_type)) };
    }
    case "struct_ops":
      return { type, id, progId, mapId: q.u32(bpf_link_info.struct_ops.map_id) };
    case "netfilter": {
      const at = bpf_link_info.netfilter;
      const pf = q.u32(at.pf), hooknum = q.u32(at.hooknum), priority = q.u32(at.priority) | 0, flags = q.u32(at.flags);
      tellsNetfilterFlags = flags !== 0 || (tellsNetfilterFlags ?? !isOlderThan("6.13"));
      return { type, id, progId, pf, hooknum, priority, ...tellsNetfilterFlags ? { flags } : {} };
    }
    case "raw_tracepoint": {
      const at = bpf_link_info.raw_tracepoint;
      const tpName = named(fd, at.tp_name, at.tp_name_len, q.u32(at.tp_name_len));
      return { type, id, progId, tpName, ...cookie(fd, type, at.cookie, q.u64(at.cookie)) };
    }
    case "tracing": {
      const at = bpf_link_info.tracing;
      const targetObjId = q.u32(at.target_obj_id), targetBtfId = q.u32(at.target_btf_id);
      return {
        type,
        id,
        progId,
        attachType: attachTypeName(q.u32(at.attach_type)),
        ...targetBtfId === 0 ? {} : { targetObjId, targetBtfId }, // before 5.13 the kernel tells neither
        ...cookie(fd, type, at.cookie, q.u64(at.cookie)),
      };
    }
    case "iter": {
      const at = bpf_link_info.iter;
      const mapId = q.u32(at.map.map_id), tid = q.u32(at.task.tid), pid = q.u32(at.task.pid);
      const cgroupId = q.u64(at.cgroup.cgroup_id), order = q.u32(at.cgroup.order);
      const targetName = named(fd, at.target_name, at.target_name_len, q.u32(at.target_name_len));
      // the members share their bytes; the name tells whose they are
      if (targetName === "cgroup") return { type, id, progId, targetName, mapId: 0, cgroupId, order, tid: 0, pid: 0 };
      const ofTask = targetName.startsWith("task");
      return {
        type,
        id,
        progId,
        targetName,
        mapId,
        cgroupId: 0n,
        order: 0,
        tid: ofTask ? tid : 0,
        pid: ofTask ? pid : 0,
      };
    }
    case "perf_event":
      return { type, id, progId, ...perfEvent(q, fd) };
    case "kprobe_multi":
      return { type, id, progId, ...kprobeMulti(q, fd) };
    case "uprobe_multi":
      return { type, id, progId, ...uprobeMulti(q, fd) };
    case "tracing_multi":
      return { type, id, progId, ...tracingMulti(q, fd) };
    default:
      return { type: "unknown", id, progId, typeNumber };
  }
}

function named(fd: number, at: number, lengthAt: number, length: number): string {
  if (length === 0) return "";
  const q = new Question().set(lengthAt, length);
  const name = q.room(at, length);
  return ask(q, fd).string(name, length);
}

/** Which kernels write a cookie cannot be told from sizes or versions: each type is asked once, with a sentinel. */
const cookieKnown = new Map<string, boolean>();

function cookie(fd: number, key: string, at: number, value: bigint): { cookie?: bigint } {
  let known = cookieKnown.get(key);
  if (known === undefined) {
    const q = new Question().sentinel(at);
    const result = q.ask(fd);
    if (result < 0 && result !== -E2BIG) return {};
    known = result === 0 && q.u64(at) !== SENTINEL;
    cookieKnown.set(key, known);
  }
  return known ? { cookie: value } : {};
}

const PERF_TYPES = ["unspec", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event"] as const;

function perfEvent(plain: Answer, fd: number): PerfEventFields {
  const { type, uprobe, kprobe, tracepoint, event } = bpf_link_info.perf_event;
  const perfType = PERF_TYPES[plain.u32(type)] ?? "unspec";
  if (perfType === "unspec") return { perfType };
  if (perfType === "event") {
    const config = plain.u64(event.config), eventType = plain.u32(event.type);
    return { perfType, config, eventType, ...cookie(fd, "event", event.cookie, plain.u64(event.cookie)) };
  }
  // names lie at the same place; some kernels answer 0 if asked for the length
  const q = new Question().set(tracepoint.name_len, PATH_MAX);
  const nameAt = q.room(tracepoint.tp_name, PATH_MAX);
  const name = ask(q, fd).string(nameAt, PATH_MAX);
  switch (perfType) {
    case "tracepoint":
      return { perfType, tpName: name, ...cookie(fd, perfType, tracepoint.cookie, q.u64(tracepoint.cookie)) };
    case "kprobe":
    case "kretprobe": {
      const missed = cookie(fd, "kprobe missed", kprobe.missed, q.u64(kprobe.missed)).cookie;
      return {
        perfType,
        funcName: name,
        offset: q.u32(kprobe.offset),
        addr: q.u64(kprobe.addr),
        ...missed === undefined ? {} : { missed },
        ...cookie(fd, "kprobe", kprobe.cookie, q.u64(kprobe.cookie)),
      };
    }
    default: {
      const at = uprobe.ref_ctr_offset;
      const refCtrOffset = cookie(fd, "uprobe reference counter", at, q.u64(at)).cookie;
      return {
        perfType,
        fileName: name,
        offset: q.u32(uprobe.offset),
        ...cookie(fd, "uprobe", uprobe.cookie, q.u64(uprobe.cookie)),
        ...refCtrOffset === undefined ? {} : { refCtrOffset },
      };
    }
  }
}

function kprobeMulti(
  plain: Answer,
  fd: number,
): { count: number; flags: number; missed?: bigint; functions: ProbedFunction[] } {
  const at = bpf_link_info.kprobe_multi;
  const count = plain.u32(at.count), flags = plain.u32(at.flags);
  if (count === 0) return { count, flags, functions: [] }; // before Linux 6.6, whose struct has no room for a question
  const missed = cookie(fd, "kprobe_multi missed", at.missed, plain.u64(at.missed)).cookie;
  const q = new Question().set(at.count, count);
  const addrs = q.room(at.addrs, count * 8), cookies = q.room(at.cookies, count * 8);
  for (let i = 0; i < count; i++) q.sentinel(cookies + i * 8);
  ask(q, fd);
  const functions = Array.from({ length: count }, (_, i) => {
    const value = q.u64(cookies + i * 8);
    return { addr: q.u64(addrs + i * 8), ...value === SENTINEL ? {} : { cookie: value } };
  });
  return { count, flags, ...missed === undefined ? {} : { missed }, functions };
}

function uprobeMulti(
  plain: Answer,
  fd: number,
): { path: string; count: number; flags: number; pid: number; places: ProbedOffset[] } {
  const at = bpf_link_info.uprobe_multi;
  const count = plain.u32(at.count), flags = plain.u32(at.flags), pid = plain.u32(at.pid);
  if (count === 0) return { path: "", count, flags, pid, places: [] }; // before Linux 6.8, as above
  const q = new Question().set(at.path_size, PATH_MAX).set(at.count, count);
  const path = q.room(at.path, PATH_MAX),
    offsets = q.room(at.offsets, count * 8),
    counters = q.room(at.ref_ctr_offsets, count * 8),
    cookies = q.room(at.cookies, count * 8);
  ask(q, fd);
  const places = Array.from({ length: count }, (_, i) => ({
    offset: q.u64(offsets + i * 8),
    refCtrOffset: q.u64(counters + i * 8),
    cookie: q.u64(cookies + i * 8),
  }));
  return { path: q.string(path, PATH_MAX), count, flags, pid, places };
}

function tracingMulti(
  plain: Answer,
  fd: number,
): { attachType: AttachType; btfObjId: number; functions: TracedFunction[] } {
  const at = bpf_link_info.tracing_multi;
  const count = plain.u32(at.count);
  const q = new Question().set(at.count, count);
  const ids = q.room(at.ids, count * 4), addrs = q.room(at.addrs, count * 8), cookies = q.room(at.cookies, count * 8);
  ask(q, fd);
  const functions = Array.from(
    { length: count },
    (_, i) => ({ id: q.u32(ids + i * 4), addr: q.u64(addrs + i * 8), cookie: q.u64(cookies + i * 8) }),
  );
  return { attachType: attachTypeName(plain.u32(at.attach_type)), btfObjId: plain.u32(at.btf_obj_id), functions };
}
