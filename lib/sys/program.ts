/** The commands of bpf(2) on programs that links need. */
import { bytesOf, checkFd, checkInteger, checkKeys, checkString, checkU32, keysOf, printable } from "../check.ts";
import { complaintOf, suggestionOf } from "../complaint.ts";
import { BpfError, type Explanation } from "../error.ts";
import { btfFind } from "../ffi/btf.ts";
import { insisting, Request } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { type CAPABILITIES, isOlderThan, lockedDown, missingCapabilities } from "../os/capabilities.ts";
import { closeIfOpen } from "../os/files.ts";
import { ADMIN, checked, CLOSED, explanation, type Refusals } from "../refusal.ts";
import {
  type AttachTypeName,
  attachTypeNumber,
  BPF_F_TOKEN_FD,
  BPF_OBJ_NAME_LEN,
  Command,
  LOG_SIZE,
  PROBE_READ,
  PROBE_READ_KERNEL,
  PROBE_READ_KERNEL_STR,
  PROBE_READ_STR,
  type ProgramType,
  type ProgramTypeName,
  programTypeName,
  programTypeNumber,
} from "../uapi/constants.ts";
import { EACCES, EAGAIN, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EPERM } from "../uapi/errno.ts";
import { ELF_MAGIC } from "../uapi/linux.ts";
import { bpf_prog_info, get_id, info_by_fd, prog_load } from "../uapi/layout.ts";
import { OBJ_GET_INFO_BY_FD } from "./object.ts";
import { tooOld } from "./type/mod.ts";

/** Options of {@linkcode progLoad}, named as in `struct bpf_prog_load_opts`. */
export interface ProgLoadOptions {
  /** A name for listings; the kernel keeps 15 bytes of letters, digits, `_` and `.`. */
  name?: string | undefined;
  /** The licence; helpers marked so want one that is compatible with the GPL. "GPL" by default. */
  license?: string | undefined;
  /** What the program is to be attached as, where its type has several. */
  expectedAttachType?: AttachTypeName | undefined;
  /** The function, tracepoint or struct in kernel BTF that the program is for. */
  attachBtfId?: number | undefined;
  /** freplace: the program whose function is replaced. */
  attachProgFd?: number | undefined;
  /** The BTF object that `attachBtfId` counts in; the kernel's own if absent. */
  attachBtfObjFd?: number | undefined;
  /** BPF_F_SLEEPABLE (16), BPF_F_XDP_HAS_FRAGS (32), BPF_F_XDP_DEV_BOUND_ONLY (64) and others. */
  progFlags?: number | undefined;
  /** The interface that the program is bound or offloaded to. */
  progIfindex?: number | undefined;
  /** The program's BTF. */
  progBtfFd?: number | undefined;
  /** Records of `struct bpf_func_info`, 8 bytes each. */
  funcInfo?: ArrayBufferView | undefined;
  /** Records of `struct bpf_line_info`, 16 bytes each. */
  lineInfo?: ArrayBufferView | undefined;
  /** A BPF token. */
  tokenFd?: number | undefined;
  /** 1 or 2 for more of the verifier's words in a refusal's log, 4 for statistics only. 1 by default. */
  logLevel?: number | undefined;
  /** Bytes of log to keep. 64 KiB by default; the end of a longer log is kept since Linux 6.4. */
  logSize?: number | undefined;
}

const OPTIONS = keysOf<ProgLoadOptions>({
  name: true,
  license: true,
  expectedAttachType: true,
  attachBtfId: true,
  attachProgFd: true,
  attachBtfObjFd: true,
  progFlags: true,
  progIfindex: true,
  progBtfFd: true,
  funcInfo: true,
  lineInfo: true,
  tokenFd: true,
  logLevel: true,
  logSize: true,
});

const SEE_LOG = "the error's log has the verifier's way there";

/** What errnos of {@linkcode progLoad} mean. */
export const PROG_LOAD: Refusals = {
  command: "PROG_LOAD",
  rows: () => ({
    EPERM: [
      "policy",
      "loading this kind of program is not permitted",
      "privileges suffice, so the kernel or a security module refuses the kind itself",
    ],
    EACCES: ["invalid", "the verifier refuses the program", SEE_LOG],
    EAGAIN: [
      "unsettled",
      "signals interrupted the verifier, five times in a row",
      "load when fewer come: stop profilers and timers that send them to this process",
    ],
    EINVAL: [
      "invalid",
      "the kernel refuses the program or its options",
      `${SEE_LOG}; if there is none, check type, expectedAttachType and attachTo`,
    ],
    E2BIG: [
      "limit",
      "the program is too long or too complex, or an option is newer than the kernel",
      SEE_LOG,
    ],
    EBADF: CLOSED,
    ENOENT: ["invalid", "the function to attach to does not exist"],
    ENOTSUPP: ["invalid", "this type and attach type do not go together, or attachTo is missing"],
  }),
};

/**
 * Loads a program.
 *
 * The kernel's verifier proves it safe first; if it refuses, the program is verified a second time to get its log. The
 * program lives until its last fd, pin and link is gone. Wraps `bpf_prog_load()`.
 *
 * Since Linux 3.18; `attachBtfId` 5.5, `tokenFd` 6.9. Needs CAP_BPF, and CAP_NET_ADMIN for programs of the network or
 * CAP_PERFMON for tracing ones; CAP_SYS_ADMIN stands in for all.
 *
 * @param type The program's type, as libbpf names it.
 * @param instructions The program: 8 bytes an instruction, in the machine's byte order.
 * @param options What the type takes beyond that.
 * @returns An fd of the program, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If a value has the wrong type, an option is unknown, or `instructions` is a whole object file.
 * @throws {RangeError} If a number is out of range, or `instructions` is no multiple of 8 bytes.
 * @throws {BpfError} with the verifier's words in `log`, if it ran
 * - `EACCES`, `EINVAL`: the verifier refuses the program, or the kernel the options
 * - `EINVAL`: `attachProgFd` or `attachBtfObjFd` is not open
 * - `EPERM`: capabilities are missing, or the kernel refuses this kind of program by policy; `reason` says which
 * - `ENOTSUPP` (524): type, attach type and BTF id do not go together
 * - `E2BIG`: more than a million instructions, or too complex; an option that an older kernel has no room for
 * - `EBADF`: another fd is not open, also one of a map among the instructions
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, progLoad } from "@bpf/link/sys";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * close(progLoad("xdp", pass, { name: "pass", expectedAttachType: "xdp" }));
 * ```
 */
export function progLoad(type: ProgramTypeName, instructions: ArrayBufferView, options: ProgLoadOptions = {}): number {
  return loadProgram(type, instructions, options, false).fd;
}

/** {@linkcode progLoad}, with the log of a program that loads too, if `isLogged`. */
export function loadProgram(
  type: ProgramTypeName,
  instructions: ArrayBufferView,
  options: ProgLoadOptions,
  isLogged: boolean,
): { fd: number; log?: string } {
  checkKeys(options, "options", OPTIONS);
  const { logLevel = 1, logSize = LOG_SIZE } = options;
  checkInteger(logLevel, "options.logLevel", 0, 15);
  checkInteger(logSize, "options.logSize", 128, 0x1fffffff);
  const loadSilently = () => load(encode(type, instructions, options));
  if (logLevel === 0) isLogged = false;
  let log = "", result = isLogged ? -ENOSPC : loadSilently();
  if (result < 0 && logLevel > 0) {
    const request = encode(type, instructions, options).u32(prog_load.log_level, logLevel)
      .u32(prog_load.log_size, logSize);
    const at = request.room(prog_load.log_buf, logSize), again = load(request);
    log = request.getString(at, logSize).trimEnd();
    // a log that is cut refuses the program, whatever the verifier found
    if (isLogged) result = again === -ENOSPC ? loadSilently() : again;
    else if (again >= 0) return { fd: again };
  }
  if (result >= 0) return isLogged ? { fd: result, log } : { fd: result };
  if (result === -EAGAIN || complaintOf(log) === undefined) log = ""; // it reports only how far the verifier came
  const name = options.name === undefined ? "" : ` "${options.name}"`;
  throw new BpfError(-result, {
    action: `Cannot load ${type} program${name}`,
    command: "PROG_LOAD",
    log,
    ...explainProgLoad(-result, log, type, options.expectedAttachType, logLevel === 0 && readsMemory(instructions)),
  });
}

/**
 * What a refused PROG_LOAD means. `log` is the verifier's; empty if it has no complaint. `mayReadMemory`: nobody asked for a
 * log, which would say whether a helper that reads the kernel's memory is what is refused.
 */
function explainProgLoad(
  errno: number,
  log: string,
  type: ProgramTypeName,
  attachType: AttachTypeName | undefined,
  mayReadMemory: boolean,
): Explanation {
  const known = explanation(-errno, PROG_LOAD);
  // the helper is there, but not for now
  const isRefusedHelper = mayReadMemory ? errno === EINVAL : /(helper|func) bpf_probe_read/.test(log);
  const locked = isRefusedHelper ? lockedDown("programs that read its memory") : undefined;
  if (locked !== undefined) return locked;
  if (log !== "") {
    // with a complaint of the verifier these mean something else
    const explained = [EPERM, ENOENT, ENOTSUPP].includes(errno) ? explanation(-EACCES, PROG_LOAD) : known;
    return { ...explained, hint: suggestionOf(log) ?? explained.hint };
  }
  if (known.reason === "policy") {
    return missingCapabilities(capabilitiesFor(type)) ?? refusedKind(type, attachType) ?? known;
  }
  return known.reason === "invalid" && attachType !== undefined ? tooOld(attachType) ?? known : known;
}

const TRACING_PROGRAMS: readonly ProgramTypeName[] = [
  "kprobe",
  "tracepoint",
  "perf_event",
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "tracing",
  "lsm",
  "struct_ops",
];
const OTHER_PROGRAMS: readonly ProgramTypeName[] = ["socket_filter", "sk_reuseport", "sk_lookup", "syscall"];

/** What loading a program of this type takes. */
function capabilitiesFor(type: ProgramTypeName): (keyof typeof CAPABILITIES)[] {
  if (TRACING_PROGRAMS.includes(type)) return ["CAP_BPF", "CAP_PERFMON"];
  if (OTHER_PROGRAMS.includes(type)) return ["CAP_BPF"];
  return type === "ext" ? ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"] : ["CAP_BPF", "CAP_NET_ADMIN"];
}

/** Why a program is refused to a caller that has all capabilities for it; undefined if unknown. */
function refusedKind(type: ProgramTypeName, attachType: AttachTypeName | undefined): Explanation | undefined {
  if (capabilitiesFor(type).includes("CAP_PERFMON") && iteratorLoads()) {
    const kind = attachType === undefined ? `program type ${type}` : `attach type ${attachType}`;
    return {
      reason: "policy",
      meaning: `kernel refuses ${kind} by policy; privileges are sufficient`,
      hint: "hardened kernels refuse programs that patch code, and iterators that can write; kprobe, tp_btf and " +
        "raw_tracepoint programs do neither",
    };
  }
  if (!isOlderThan("5.11")) return undefined;
  return {
    reason: "limit",
    meaning: "the process may not lock more memory",
    hint: "before Linux 5.11 programs and maps count against RLIMIT_MEMLOCK: raise it",
  };
}

/** A program that does nothing: r0 = 0; exit. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** The same, after a call of bpf_get_attach_cookie. */
export const COOKIE_READER: Uint8Array<ArrayBuffer> = new Uint8Array([0x85, 0, 0, 0, 174, 0, 0, 0, ...NOTHING]);

/** The control experiment: a tracing program that patches no code, and takes the same capabilities as those that do. */
function iteratorLoads(): boolean {
  let attachBtfId: number | undefined;
  try {
    attachBtfId = btfFind("function", "bpf_iter_task");
  } catch {
    return false; // a kernel without BTF has none of these programs
  }
  const request = new Request(prog_load.attach_prog_fd, 192) // all before
    .u32(prog_load.prog_type, programTypeNumber("tracing", "type"))
    .u32(prog_load.insn_cnt, NOTHING.length / 8)
    .u32(prog_load.expected_attach_type, attachTypeNumber("trace_iter", "attachType"))
    .u32(prog_load.attach_btf_id, attachBtfId ?? 0);
  request.data(prog_load.insns, NOTHING);
  request.string(prog_load.license, "GPL");
  const fd = load(request);
  if (fd >= 0) closeIfOpen(fd);
  return fd >= 0;
}

const MEMORY_READERS: readonly number[] = [PROBE_READ, PROBE_READ_STR, PROBE_READ_KERNEL, PROBE_READ_KERNEL_STR];

/** Whether a program calls one of the helpers that a lockdown forbids. */
function readsMemory(instructions: ArrayBufferView): boolean {
  const { byteLength, buffer, byteOffset } = instructions, view = new DataView(buffer, byteOffset, byteLength);
  for (let at = 0; at + 8 <= byteLength; at += 8) {
    const isHelperCall = view.getUint8(at) === 0x85 && view.getUint8(at + 1) >> 4 === 0;
    if (isHelperCall && MEMORY_READERS.includes(view.getInt32(at + 4, true))) return true;
    if (view.getUint8(at) === 0x18) at += 8; // it has a second half
  }
  return false;
}

/** A signal makes the verifier give up with EAGAIN. */
function load(request: Request): number {
  return insisting(() => request.bpf(Command.PROG_LOAD));
}

function encode(type: ProgramTypeName, code: ArrayBufferView, options: ProgLoadOptions): Request {
  const instructions = bytesOf(code, "instructions");
  if (ELF_MAGIC.every((byte, i) => instructions[i] === byte)) {
    throw new TypeError(
      "instructions is a whole ELF file, as a compiler writes it: pass the bytes of one program, without relocations " +
        "(the section that `llvm-objcopy -O binary --only-section=NAME` writes out)",
    );
  }
  if (instructions.length === 0 || instructions.length % 8 !== 0) {
    throw new RangeError(`instructions must be a multiple of 8 bytes, not ${instructions.length}`);
  }
  const { name, license = "GPL", expectedAttachType, attachBtfId, attachProgFd, attachBtfObjFd, funcInfo, lineInfo } =
    options;
  if (attachProgFd !== undefined && attachBtfObjFd !== undefined) {
    throw new TypeError("options may have attachProgFd or attachBtfObjFd, not both");
  }
  const request = new Request(prog_load.sizeof, prog_load.sizeof + instructions.length + 256);
  request.u32(prog_load.prog_type, programTypeNumber(type, "type")).u32(prog_load.insn_cnt, instructions.length / 8);
  request.data(prog_load.insns, instructions);
  request.string(prog_load.license, checkString(license, "options.license"));
  request.u32(prog_load.prog_flags, checkU32(options.progFlags ?? 0, "options.progFlags"));
  if (name !== undefined) request.bytes(prog_load.prog_name, BPF_OBJ_NAME_LEN).set(nameBytes(name));
  request.u32(prog_load.prog_ifindex, checkU32(options.progIfindex ?? 0, "options.progIfindex"));
  if (expectedAttachType !== undefined) {
    request.u32(prog_load.expected_attach_type, attachTypeNumber(expectedAttachType, "options.expectedAttachType"));
  }
  if (options.progBtfFd !== undefined) {
    request.u32(prog_load.prog_btf_fd, checkFd(options.progBtfFd, "options.progBtfFd"));
  }
  const { func_info_rec_size, func_info, func_info_cnt, line_info_rec_size, line_info, line_info_cnt } = prog_load;
  if (funcInfo !== undefined) {
    encodeRecords(request, funcInfo, "options.funcInfo", 8, func_info_rec_size, func_info, func_info_cnt);
  }
  if (lineInfo !== undefined) {
    encodeRecords(request, lineInfo, "options.lineInfo", 16, line_info_rec_size, line_info, line_info_cnt);
  }
  request.u32(prog_load.attach_btf_id, checkU32(attachBtfId ?? 0, "options.attachBtfId"));
  if (attachProgFd !== undefined) {
    request.u32(prog_load.attach_prog_fd, checkFd(attachProgFd, "options.attachProgFd"));
  }
  if (attachBtfObjFd !== undefined) {
    request.u32(prog_load.attach_btf_obj_fd, checkFd(attachBtfObjFd, "options.attachBtfObjFd"));
  }
  if (options.tokenFd !== undefined) {
    request.u32(prog_load.prog_flags, request.getU32(prog_load.prog_flags) | BPF_F_TOKEN_FD)
      .u32(prog_load.prog_token_fd, checkFd(options.tokenFd, "options.tokenFd"));
  }
  return request;
}

function encodeRecords(
  request: Request,
  view: ArrayBufferView,
  name: string,
  size: number,
  sizeAt: number,
  pointerAt: number,
  countAt: number,
): void {
  const records = bytesOf(view, name);
  if (records.length % size !== 0) {
    throw new RangeError(`${name} must be a multiple of ${size} bytes, not ${records.length}`);
  }
  request.u32(sizeAt, size).u32(countAt, records.length / size);
  request.data(pointerAt, records);
}

/** The kernel refuses other characters with a bare EINVAL. */
export function nameBytes(name: unknown): Uint8Array {
  if (!/^[A-Za-z0-9_.]*$/.test(checkString(name, "name"))) {
    throw new TypeError(`name may have letters, digits, "_" and "." only, not "${printable(`${name}`)}"`);
  }
  return new TextEncoder().encode(name as string).subarray(0, 15);
}

const nextId = lazy(() => new Request(get_id.sizeof));

/** What errnos of {@linkcode progGetNextId} mean. */
export const PROG_GET_NEXT_ID: Refusals = {
  command: "PROG_GET_NEXT_ID",
  rows: () => ({ EPERM: ADMIN, EINVAL: ["invalid", "the id is out of range"] }),
};

/**
 * The smallest id above `startId` that a program has.
 *
 * A walk is no snapshot: a program may be gone before {@linkcode progGetFdById} opens it; go on from the id. Wraps
 * `bpf_prog_get_next_id()`.
 *
 * Since Linux 4.13. Needs CAP_SYS_ADMIN in the initial user namespace; CAP_BPF is not enough.
 *
 * @param startId An id, existing or not; 0 to begin.
 * @returns The id, or `undefined` if no program has a larger one.
 * @throws {RangeError} If `startId` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EINVAL`: `startId` is 2 ** 31 - 1 or more (found before a missing capability is)
 *
 * @example All ids
 * ```ts
 * import { progGetNextId } from "@bpf/link/sys";
 *
 * for (let id = progGetNextId(0); id !== undefined; id = progGetNextId(id)) console.log(id);
 * ```
 */
export function progGetNextId(startId: number): number | undefined {
  const request = nextId();
  const result = request.u32(get_id.start_id, checkU32(startId, "startId")).bpf(Command.PROG_GET_NEXT_ID);
  if (result === -ENOENT) return undefined;
  checked(result, PROG_GET_NEXT_ID, () => "Cannot list programs");
  return request.getU32(get_id.next_id);
}

/** What errnos of {@linkcode progGetFdById} mean. */
export const PROG_GET_FD_BY_ID: Refusals = {
  command: "PROG_GET_FD_BY_ID",
  rows: () => ({
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such program", "it was unloaded when its last user ended"],
  }),
};

/**
 * Opens a program by its id.
 *
 * Wraps `bpf_prog_get_fd_by_id()`. Since Linux 4.13. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @param id The id of the program.
 * @returns An fd of the program, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `id` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: no program has this id
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, progGetFdById, progGetInfoByFd, progLoad } from "@bpf/link/sys";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * const program = progLoad("xdp", pass);
 * const again = progGetFdById(progGetInfoByFd(program).id);
 * close(again);
 * close(program);
 * ```
 */
export function progGetFdById(id: number): number {
  const result = new Request(get_id.sizeof).u32(get_id.prog_id, checkU32(id, "id"))
    .bpf(Command.PROG_GET_FD_BY_ID);
  return checked(result, PROG_GET_FD_BY_ID, () => `Cannot open program ${id}`);
}

/** What the kernel reports of a program: the part of `struct bpf_prog_info` that links need. */
export interface ProgInfo {
  /** Its type, as libbpf names it. */
  readonly type: ProgramType;
  /** Its id. */
  readonly id: number;
  /** Its name, of at most 15 bytes; may be empty. */
  readonly name: string;
  /** A digest of its instructions, 16 hexadecimal digits. */
  readonly tag: string;
  /** When it was loaded, in nanoseconds since boot. */
  readonly loadTime: bigint;
  /** The user who loaded it. */
  readonly createdByUid: number;
  /** The ids of its maps. */
  readonly mapIds: readonly number[];
  /** How long it ran, in nanoseconds; 0n unless statistics are enabled. */
  readonly runTimeNs: bigint;
  /** How often it ran; 0n unless statistics are enabled. */
  readonly runCnt: bigint;
  /** The id of its BTF; 0 if it has none. */
  readonly btfId: number;
}

const MAPS = 256;

/**
 * Reads what the kernel reports of a program.
 *
 * Wraps `bpf_prog_get_info_by_fd()`. Since Linux 4.13. Needs no capability, only the fd.
 *
 * @param progFd An fd of the program.
 * @returns Its info.
 * @throws {RangeError} If `progFd` is no fd.
 * @throws {BpfError}
 * - `EBADFD`: `progFd` is not open
 * - `EINVAL`: `progFd` is no object of bpf
 *
 * @example
 * ```ts
 * import { close, progGetInfoByFd, progLoad } from "@bpf/link/sys";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * const program = progLoad("xdp", pass, { name: "pass" });
 * console.log(progGetInfoByFd(program).name);
 * close(program);
 * ```
 */
export function progGetInfoByFd(progFd: number): ProgInfo {
  const at = bpf_prog_info;
  for (let maps = MAPS;;) {
    const request = new Request(info_by_fd.sizeof, 32 + at.sizeof + maps * 4)
      .u32(info_by_fd.bpf_fd, checkFd(progFd, "progFd"))
      .u32(info_by_fd.info_len, at.sizeof);
    const info = request.room(info_by_fd.info, at.sizeof);
    const ids = request.u32(info + at.nr_map_ids, maps).room(info + at.map_ids, maps * 4);
    const result = request.bpf(Command.OBJ_GET_INFO_BY_FD);
    checked(result, OBJ_GET_INFO_BY_FD, () => `Cannot read info of program (fd ${progFd})`);
    const count = request.getU32(info + at.nr_map_ids);
    if (count > maps) {
      maps = count;
      continue;
    }
    return {
      type: programTypeName(request.getU32(info + at.type)),
      id: request.getU32(info + at.id),
      tag: request.bytes(info + at.tag, 8).toHex(),
      loadTime: request.getU64(info + at.load_time),
      createdByUid: request.getU32(info + at.created_by_uid),
      mapIds: Array.from({ length: count }, (_, i) => request.getU32(ids + i * 4)),
      name: request.getString(info + at.name, BPF_OBJ_NAME_LEN),
      runTimeNs: request.getU64(info + at.run_time_ns),
      runCnt: request.getU64(info + at.run_cnt),
      btfId: request.getU32(info + at.btf_id),
    };
  }
}
