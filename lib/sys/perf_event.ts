/** The call that opens perf events, to which perf_event links attach. */
import { checkFd, checkFlag, checkInteger, checkKeys, checkString, checkU32, checkU64, keysOf } from "../check.ts";
import { BpfError } from "../error.ts";
import { Call } from "../ffi/symbols.ts";
import { ARGS, Request } from "../ffi/request.ts";
import { readTextFile } from "../os/files.ts";
import { checked, type Refusals } from "../refusal.ts";
import { perf_event_attr } from "../uapi/layout.ts";
import { EXCLUDE_KERNEL, EXCLUDE_USER, FREQ, PERF_EVENT_IOC_ENABLE, PERF_FLAG_FD_CLOEXEC } from "../uapi/linux.ts";

/** What {@linkcode perfEventOpen} opens: fields of `struct perf_event_attr`, named as there. */
export interface PerfEventAttr {
  /**
   * The kind of event (`PERF_TYPE_*`): 0 hardware, 1 software, 2 tracepoint, 3 cache, 4 raw, 5 breakpoint, or one of
   * /sys/bus/event_source/devices.
   */
  type: number;
  /** Which event of that kind. */
  config: bigint;
  /** Its extension; of a breakpoint the address; of a probe the function or path, as a string. */
  config1?: bigint | string | undefined;
  /** Its extension; of a breakpoint the length in bytes; of a probe the offset in bytes, or the address. */
  config2?: bigint | undefined;
  /** A sample every so many events. */
  samplePeriod?: bigint | undefined;
  /** So many samples a second instead. */
  sampleFreq?: bigint | undefined;
  /** What a sample has (`PERF_SAMPLE_*`), for who maps the event and reads its ring. */
  sampleType?: bigint | undefined;
  /** Who waits for the event is woken every so many samples. */
  wakeupEvents?: number | undefined;
  /** What a breakpoint waits for: 1 read, 2 write, 3 both, 4 execution. */
  bpType?: number | undefined;
  /** Whether not to count in user mode. */
  excludeUser?: boolean | undefined;
  /** Whether not to count in the kernel. */
  excludeKernel?: boolean | undefined;
}

// bits from `disabled` on

/** What errnos of {@linkcode perfEventOpen} mean. */
export const PERF_EVENT_OPEN: Refusals = {
  command: "perf_event_open",
  rows: () => ({
    EACCES: [
      "capability",
      "it needs CAP_PERFMON",
      "run as root, give the process CAP_PERFMON, or lower kernel.perf_event_paranoid",
    ],
    EPERM: ["policy", "the event is not permitted", "check CAP_PERFMON, seccomp and security modules"],
    EINVAL: [
      "invalid",
      "the kernel refuses the event",
      "check config and cpu; a frequency may not exceed kernel.perf_event_max_sample_rate, an address must suit its length",
    ],
    ENOENT: [
      "unsupported",
      "this kernel or machine has no such event",
      "virtual machines often lack hardware events; software events such as cpu_clock are everywhere",
    ],
    ESRCH: ["gone", "there is no such process"],
    ENODEV: ["invalid", "the CPU is offline", "see /sys/devices/system/cpu/online"],
    EOPNOTSUPP: ["unsupported", "this machine cannot count it so", "leave out excludeUser, excludeKernel or sampling"],
    ENOSPC: ["limit", "all breakpoints of the hardware are in use", "detach one of them first"],
    EBUSY: ["busy", "somebody else has the counters for themselves"],
  }),
};

/**
 * Opens a perf event, to attach a program to it with {@linkcode linkCreate} as `perf_event`. It counts at once.
 *
 * The link keeps the event, so the fd may be closed as soon as the link is made. A process and a CPU together count
 * that process on that CPU. A tracepoint or kprobe runs its program for every process and CPU whatever is given here.
 *
 * Wraps `perf_event_open(2)`, since Linux 2.6; links to its events since 5.15. Needs CAP_PERFMON, except for the
 * caller's own processes as far as `kernel.perf_event_paranoid` allows.
 *
 * @param attr The event.
 * @param pid The process to count, by the id of a thread; 0 is the calling thread, -1 every process.
 * @param cpu The CPU to count on; -1 is each that the process runs on.
 * @returns An fd of the event, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If a field is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError}
 * - `EINVAL`: `pid` and `cpu` are both -1; or there is no such CPU; or the attributes contradict each other; or a
 *   frequency above `kernel.perf_event_max_sample_rate`; kprobe: a function that may not be probed; uprobe: the offset
 *   lies outside of the file, or the file is no regular one
 * - `ENOENT`: there is no such event, or the hardware lacks it; kprobe: no such function; uprobe: no such file
 * - `ESRCH`: there is no such process
 * - `ENODEV`: the CPU is offline
 * - `EILSEQ`: kprobe: no instruction begins there (`EINVAL` on aarch64)
 * - `EADDRNOTAVAIL`: kprobe: several functions have this name
 * - `E2BIG`: kprobe: a name longer than that of any function; uprobe: a path of 4,096 bytes
 * - `EOPNOTSUPP`: the hardware has no interrupt with which to sample the event
 * - `ENOSPC`: all breakpoints of the hardware are in use
 * - `EACCES`: CAP_PERFMON is missing
 * - `ENOTSUPP`: uprobe: no instruction that can be probed begins at the offset. It is noticed only if a process has the
 *   file mapped; else, or in the middle of an instruction, the process that comes there later crashes or goes astray
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, perfEventOpen } from "@bpf/link/sys";
 *
 * const SOFTWARE = 1, CPU_CLOCK = 0n;
 * const event = perfEventOpen({ type: SOFTWARE, config: CPU_CLOCK, samplePeriod: 1_000_000n }, 0, -1);
 * close(event);
 * ```
 */
export function perfEventOpen(attr: PerfEventAttr, pid: number, cpu: number): number {
  return openEvent(attr, pid, cpu, "Cannot open perf event");
}

/** The same where the event is a kprobe. */
export const KPROBE_OPEN: Refusals = {
  command: "perf_event_open",
  rows: () => ({
    ...PERF_EVENT_OPEN.rows(),
    ENOENT: [
      "invalid",
      "the kernel has no such function",
      "/proc/kallsyms lists them; the compiler may have inlined it, or its module is not loaded",
    ],
    EINVAL: [
      "invalid",
      "the kernel does not let this place be probed",
      "some functions are closed to probes, and only the begin of a function has a return",
    ],
    EILSEQ: ["invalid", "no instruction begins there"],
    E2BIG: ["invalid", "the name is longer than that of any function"],
    EADDRNOTAVAIL: ["invalid", "several functions have this name", "give the address of the one that is meant"],
  }),
};

/** The same where the event is a uprobe. */
export const UPROBE_OPEN: Refusals = {
  command: "perf_event_open",
  rows: () => ({
    ...PERF_EVENT_OPEN.rows(),
    ENOENT: ["gone", "there is no such file"],
    EINVAL: ["invalid", "the file is no regular file, or the offset lies outside of it"],
    E2BIG: ["invalid", "the path is too long"],
    EISDIR: ["invalid", "the path is a directory"],
    EACCES: [
      "capability",
      "uprobe events need CAP_SYS_ADMIN, or the file may not be opened",
      "run as root, or give the process CAP_SYS_ADMIN; for uprobe_multi links CAP_PERFMON is enough",
    ],
    ENOTSUPP: [
      "invalid",
      "no instruction that can be probed begins at the offset",
      "take offsets from the symbol table",
    ],
  }),
};

/** {@linkcode perfEventOpen}, with a better beginning of an error and what errnos mean to a kind of event. */
export function openEvent(
  attr: PerfEventAttr,
  pid: number,
  cpu: number,
  action: string,
  refusals: Refusals = PERF_EVENT_OPEN,
): number {
  return checked(encode(attr, pid, cpu).system(Call.perf_event_open), refusals, () => action);
}

let anyCpu = 0;

/**
 * {@linkcode openEvent} for an event that sees every process on every CPU: the kernel wants one named all the same, which
 * must be online. CPU 0 nearly always is, so others are looked for after a refusal only.
 */
export function openEventAnywhere(attr: PerfEventAttr, action: string, refusals?: Refusals): number {
  try {
    return openEvent(attr, -1, anyCpu, action, refusals);
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "ENODEV")) throw error;
    anyCpu = onlineCpus()[0]!;
    return openEvent(attr, -1, anyCpu, action, refusals);
  }
}

/** The CPUs that are online, in order. */
export function onlineCpus(): number[] {
  return readTextFile("/sys/devices/system/cpu/online").trim().split(",").flatMap((range) => { // 1-3,5
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function encode(attr: PerfEventAttr, pid: number, cpu: number): Request {
  checkKeys(attr, "attr", FIELDS);
  const { type, config, config1 = 0n, config2 = 0n, samplePeriod, sampleFreq, sampleType = 0n } = attr;
  const { wakeupEvents = 0, bpType = 0 } = attr;
  if (samplePeriod !== undefined && sampleFreq !== undefined) {
    throw new TypeError("attr may have samplePeriod or sampleFreq, not both");
  }
  const flags = bit(attr, "excludeUser", EXCLUDE_USER) | bit(attr, "excludeKernel", EXCLUDE_KERNEL) |
    (sampleFreq === undefined ? 0 : FREQ);
  const request = new Request(ARGS, 256)
    .u64(8, BigInt.asUintN(64, BigInt(checkInteger(pid, "pid", -1, 0x7fffffff))))
    .u64(16, BigInt.asUintN(64, BigInt(checkInteger(cpu, "cpu", -1, 0x7fffffff))))
    .u64(24, 0xffffffffffffffffn) // no group
    .u64(32, BigInt(PERF_FLAG_FD_CLOEXEC));
  const at = request.room(0, perf_event_attr.sizeof);
  request.u32(at + perf_event_attr.type, checkU32(type, "attr.type"))
    .u32(at + perf_event_attr.size, perf_event_attr.sizeof)
    .u64(at + perf_event_attr.config, checkU64(config, "attr.config"))
    .u64(
      at + perf_event_attr.sample_period,
      checkU64(samplePeriod ?? sampleFreq ?? 0n, "attr.samplePeriod or sampleFreq"),
    )
    .u64(at + perf_event_attr.sample_type, checkU64(sampleType, "attr.sampleType"))
    .u64(at + perf_event_attr.disabled, BigInt(flags))
    .u32(at + perf_event_attr.wakeup_events, checkU32(wakeupEvents, "attr.wakeupEvents"))
    .u32(at + perf_event_attr.bp_type, checkU32(bpType, "attr.bpType"))
    .u64(at + perf_event_attr.config2, checkU64(config2, "attr.config2"));
  if (typeof config1 === "string") request.string(at + perf_event_attr.config1, checkString(config1, "attr.config1"));
  else request.u64(at + perf_event_attr.config1, checkU64(config1, "attr.config1"));
  return request;
}

const FIELDS = keysOf<PerfEventAttr>({
  type: true,
  config: true,
  config1: true,
  config2: true,
  samplePeriod: true,
  sampleFreq: true,
  sampleType: true,
  wakeupEvents: true,
  bpType: true,
  excludeUser: true,
  excludeKernel: true,
});

function bit(attr: PerfEventAttr, name: "excludeUser" | "excludeKernel", value: number): number {
  return checkFlag(attr[name], `attr.${name}`) ? value : 0;
}

/** What errnos of {@linkcode perfEventEnable} mean. */
export const PERF_EVENT_ENABLE: Refusals = {
  command: "ioctl",
  rows: () => ({
    EBADF: ["invalid", "the fd is not open"],
    ENOTTY: ["invalid", "the fd is no perf event", "pass what perf_event_open returned"],
  }),
};

/**
 * Lets an event count that was opened disabled.
 *
 * Wraps the ioctl `PERF_EVENT_IOC_ENABLE`. Needs only the fd.
 *
 * @param fd An fd of a perf event.
 * @throws {RangeError} If `fd` is no fd.
 * @throws {BpfError}
 * - `EBADF`: `fd` is not open
 * - `ENOTTY`: `fd` is no perf event
 *
 * @example
 * ```ts
 * import { close, perfEventEnable, perfEventOpen } from "@bpf/link/sys";
 *
 * const event = perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000n }, 0, -1);
 * perfEventEnable(event); // does nothing here, for it counts already
 * close(event);
 * ```
 */
export function perfEventEnable(fd: number): void {
  const request = new Request(ARGS).u64(0, BigInt(checkFd(fd, "fd"))).u64(8, BigInt(PERF_EVENT_IOC_ENABLE));
  checked(request.system(Call.ioctl), PERF_EVENT_ENABLE, () => `Cannot enable perf event (fd ${fd})`);
}

/** What the kernel calls its probes: their event type, and the bit of `config` for "at return". */
export function probeType(probe: "kprobe" | "uprobe"): { type: number; retprobe: bigint } {
  const known = probeTypes.get(probe);
  if (known !== undefined) return known;
  const unit = `/sys/bus/event_source/devices/${probe}`;
  try {
    const [, bit] = /^config:(\d+)/.exec(readTextFile(`${unit}/format/retprobe`)) ?? [];
    const found = { type: Number(readTextFile(`${unit}/type`)), retprobe: 1n << BigInt(bit ?? 0) };
    probeTypes.set(probe, found);
    return found;
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "ENOENT")) throw error;
    throw new BpfError(error.errno, {
      action: `Cannot attach ${probe}`,
      command: error.command,
      reason: "unsupported",
      meaning: `this kernel has no ${probe} events`,
      hint: `it was built without CONFIG_${probe.toUpperCase()}_EVENTS, or /sys is not mounted`,
      cause: error,
    });
  }
}

const probeTypes = new Map<string, { type: number; retprobe: bigint }>();
