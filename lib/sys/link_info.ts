/** OBJ_GET_INFO_BY_FD of links: the only reader of `struct bpf_link_info`. */
import { BpfError } from "../error.ts";
import { native } from "../ffi/library.ts";
import { explain } from "../hint.ts";
import { Command, LINK_TYPES } from "../uapi/constants.ts";
import { type AttachType, attachTypeName, type LinkType } from "../uapi/types.ts";
import { checkFd } from "./check.ts";
import { Request } from "./request.ts";

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
 * does not tell them.
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
  | LinkInfoHead<"xdp"> & { readonly ifindex: number }
  | LinkInfoHead<"struct_ops"> & { readonly mapId: number }
  | LinkInfoHead<"netfilter"> & {
    readonly pf: number;
    readonly hooknum: number;
    readonly priority: number;
    readonly flags: number;
  }
  | LinkInfoHead<"tcx"> & { readonly ifindex: number; readonly attachType: AttachType }
  | LinkInfoHead<"netkit"> & { readonly ifindex: number; readonly attachType: AttachType }
  | LinkInfoHead<"sockmap"> & { readonly mapId: number; readonly attachType: AttachType }
  | LinkInfoHead<"perf_event"> & PerfEventFields
  | LinkInfoHead<"kprobe_multi"> & {
    readonly flags: number;
    readonly missed?: bigint;
    readonly functions: readonly ProbedFunction[];
  }
  | LinkInfoHead<"uprobe_multi"> & {
    readonly path: string;
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

const SIZE = 64; // of the struct in kernels 6.8 to 7.3; a longer one is cut, a shorter one padded
const PATH_MAX = 4096;
const E2BIG = 7;

/** The struct as the kernel filled it. */
interface Answer {
  u32(at: number): number;
  u64(at: number): bigint;
}

/** A question to one link: the zeroed struct, and room for the answers that lie outside of it. */
class Question implements Answer {
  readonly #request = new Request(16, 32 + SIZE);
  readonly #at = this.#request.u32(4, SIZE).room(8, SIZE);

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
    this.#request.u32(0, fd).u32(4, SIZE);
    return this.#request.bpf(Command.OBJ_GET_INFO_BY_FD);
  }
  clear(): this {
    this.#request.bytes(this.#at, SIZE).fill(0);
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
 * - `EINVAL`: `linkFd` is no object of bpf
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
  if (count < 0) {
    throw new BpfError(-count, {
      action: "Cannot list links",
      command: "LINK_GET_NEXT_ID",
      ...explain("LINK_GET_NEXT_ID", -count),
    });
  }
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
  return plain.clear().ask(linkFd) < 0 ? undefined : plain.u32(4);
}

function ask(question: Question, fd: number): Question {
  const result = question.ask(fd);
  if (result < 0) {
    throw new BpfError(-result, {
      action: `Cannot read info of link (fd ${fd})`,
      command: "OBJ_GET_INFO_BY_FD",
      ...explain("OBJ_GET_INFO_BY_FD", -result),
    });
  }
  return question;
}

/** Reads the answer to a question without room, and asks again for what lies outside of the struct. */
function decode(q: Answer, fd: number): BpfLinkInfo {
  const typeNumber = q.u32(0), id = q.u32(4), progId = q.u32(8);
  const type: LinkType = LINK_TYPES[typeNumber] ?? "unknown";
  switch (type) {
    case "cgroup":
      return { type, id, progId, cgroupId: q.u64(16), attachType: attachTypeName(q.u32(24)) };
    case "xdp":
      return { type, id, progId, ifindex: q.u32(16) };
    case "tcx":
    case "netkit":
      return { type, id, progId, ifindex: q.u32(16), attachType: attachTypeName(q.u32(20)) };
    case "netns":
      return { type, id, progId, netnsIno: q.u32(16), attachType: attachTypeName(q.u32(20)) };
    case "sockmap":
      return { type, id, progId, mapId: q.u32(16), attachType: attachTypeName(q.u32(20)) };
    case "struct_ops":
      return { type, id, progId, mapId: q.u32(16) };
    case "netfilter":
      return { type, id, progId, pf: q.u32(16), hooknum: q.u32(20), priority: q.u32(24) | 0, flags: q.u32(28) };
    case "raw_tracepoint":
      return { type, id, progId, tpName: named(fd, 16, 24, q.u32(24)), ...cookie(fd, type, 32, q.u64(32)) };
    case "tracing": {
      const targetObjId = q.u32(20), targetBtfId = q.u32(24);
      return {
        type,
        id,
        progId,
        attachType: attachTypeName(q.u32(16)),
        ...targetBtfId === 0 ? {} : { targetObjId, targetBtfId }, // before 5.13 the kernel tells neither
        ...cookie(fd, type, 32, q.u64(32)),
      };
    }
    case "iter": {
      const mapId = q.u32(28), cgroupId = q.u64(32), order = q.u32(40), tid = q.u32(32), pid = q.u32(36);
      const targetName = named(fd, 16, 24, q.u32(24));
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
  const perfType = PERF_TYPES[plain.u32(16)] ?? "unspec";
  if (perfType === "unspec") return { perfType };
  if (perfType === "event") {
    return { perfType, config: plain.u64(24), eventType: plain.u32(32), ...cookie(fd, "event", 40, plain.u64(40)) };
  }
  const q = new Question().set(32, PATH_MAX); // some kernels answer 0 if asked for the length
  const nameAt = q.room(24, PATH_MAX);
  const name = ask(q, fd).string(nameAt, PATH_MAX);
  switch (perfType) {
    case "tracepoint":
      return { perfType, tpName: name, ...cookie(fd, perfType, 40, q.u64(40)) };
    case "kprobe":
    case "kretprobe": {
      const missed = cookie(fd, "kprobe missed", 48, q.u64(48)).cookie;
      return {
        perfType,
        funcName: name,
        offset: q.u32(36),
        addr: q.u64(40),
        ...missed === undefined ? {} : { missed },
        ...cookie(fd, "kprobe", 56, q.u64(56)),
      };
    }
    default: {
      const refCtrOffset = cookie(fd, "uprobe reference counter", 48, q.u64(48)).cookie;
      return {
        perfType,
        fileName: name,
        offset: q.u32(36),
        ...cookie(fd, "uprobe", 40, q.u64(40)),
        ...refCtrOffset === undefined ? {} : { refCtrOffset },
      };
    }
  }
}

function kprobeMulti(plain: Answer, fd: number): { flags: number; missed?: bigint; functions: ProbedFunction[] } {
  const count = plain.u32(24), flags = plain.u32(28);
  const missed = cookie(fd, "kprobe_multi missed", 32, plain.u64(32)).cookie;
  const q = new Question().set(24, count);
  const addrs = q.room(16, count * 8), cookies = q.room(40, count * 8);
  for (let i = 0; i < count; i++) q.sentinel(cookies + i * 8);
  ask(q, fd);
  const functions = Array.from({ length: count }, (_, i) => {
    const value = q.u64(cookies + i * 8);
    return { addr: q.u64(addrs + i * 8), ...value === SENTINEL ? {} : { cookie: value } };
  });
  return { flags, ...missed === undefined ? {} : { missed }, functions };
}

function uprobeMulti(plain: Answer, fd: number): { path: string; flags: number; pid: number; places: ProbedOffset[] } {
  const count = plain.u32(52), flags = plain.u32(56), pid = plain.u32(60);
  const q = new Question().set(48, PATH_MAX).set(52, count);
  const path = q.room(16, PATH_MAX),
    offsets = q.room(24, count * 8),
    counters = q.room(32, count * 8),
    cookies = q.room(40, count * 8);
  ask(q, fd);
  const places = Array.from({ length: count }, (_, i) => ({
    offset: q.u64(offsets + i * 8),
    refCtrOffset: q.u64(counters + i * 8),
    cookie: q.u64(cookies + i * 8),
  }));
  return { path: q.string(path, PATH_MAX), flags, pid, places };
}

function tracingMulti(
  plain: Answer,
  fd: number,
): { attachType: AttachType; btfObjId: number; functions: TracedFunction[] } {
  const count = plain.u32(20);
  const q = new Question().set(20, count);
  const ids = q.room(32, count * 4), addrs = q.room(40, count * 8), cookies = q.room(48, count * 8);
  ask(q, fd);
  const functions = Array.from(
    { length: count },
    (_, i) => ({ id: q.u32(ids + i * 4), addr: q.u64(addrs + i * 8), cookie: q.u64(cookies + i * 8) }),
  );
  return { attachType: attachTypeName(plain.u32(16)), btfObjId: plain.u32(24), functions };
}
