/** Links to perf events. */
import {
  checkFd,
  checkFlag,
  checkInteger,
  checkKeys,
  checkOneOf,
  checkU32,
  checkU64,
  keysOf,
  kindOf,
  printable,
} from "../check.ts";
import type { BpfError, Explanation } from "../error.ts";
import { close } from "../os/files.ts";
import type { Program } from "../program.ts";
import { openEvent, type PerfEventAttr, perfEventEnable, perfEventOpen } from "../sys/perf_event.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import { cacheEvent, HARDWARE_EVENTS, PERF_TYPES, SOFTWARE_EVENTS } from "../uapi/linux.ts";
import type { Attachment, Kind, LinkInfoBase, LinkKind, PlaceNames } from "./kind.ts";
import { kprobe, type KprobeInfo } from "./kprobe.ts";
import { eventProbe } from "./probe.ts";
import { fileWords, offsetWords, toEvent } from "./target.ts";
import { tracepoint, type TracepointInfo } from "./tracepoint.ts";
import { uprobe, type UprobeInfo } from "./uprobe.ts";

/** An event that the kernel or the hardware counts. */
export interface PerfEvent {
  /** The kind of event; a number is the `type` of one of /sys/bus/event_source/devices. */
  type: "hardware" | "software" | "cache" | "raw" | "breakpoint" | number;
  /**
   * Which event of that kind: the kernel's number, or a name as `perf list` or the kernel's headers have it:
   * `cpu_clock` or `page-faults` (software), `cpu_cycles` (hardware), `L1-dcache-load-misses` (cache). 0n for a
   * breakpoint.
   */
  config: bigint | string;
  /** The kernel's `config1`, where the kind has one. */
  config1?: bigint | undefined;
  /** The kernel's `config2`, where the kind has one. */
  config2?: bigint | undefined;
  /** What a breakpoint of the hardware waits for. */
  breakpoint?: {
    /** The first byte: in the kernel, or with `pid` in that process. */
    address: bigint;
    /** How many bytes; for `execute` 8. */
    length: 1 | 2 | 4 | 8;
    /** What is done there. */
    access: "read" | "write" | "readwrite" | "execute";
  } | undefined;
  /** The CPU to count on; each that the process runs on if absent. */
  cpu?: number | undefined;
  /** The process to count, by the id of a thread, 0 being the caller's; every process if absent. */
  pid?: number | undefined;
  /**
   * Run the program once per this many events (nanoseconds for clocks). With neither this nor `sampleFrequency` it never
   * runs.
   */
  samplePeriod?: bigint | undefined;
  /** The program runs about so many times a second instead. */
  sampleFrequency?: bigint | undefined;
  /** Whether not to count in user mode. */
  excludeUser?: boolean | undefined;
  /** Whether not to count in the kernel. */
  excludeKernel?: boolean | undefined;
}

/**
 * A program of type perf_event runs at each sample of an event. It takes one CPU or one process, or both: an event for
 * every process on every CPU is as many links as there are CPUs.
 *
 * Since Linux 5.15. Such links can neither be updated nor detached by force: they end when the last fd and pin are
 * gone. An event that is opened here lives as long as the link and takes CAP_PERFMON; one that is given by its fd is
 * enabled, takes one program only, and its fd may be closed afterwards.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "perf_event", instructions: nothing });
 * using link = Link.attach(program, {
 *   type: "perf_event",
 *   event: { type: "software", config: "cpu_clock", pid: 0, samplePeriod: 1_000_000n }, // each ms of this thread
 * });
 * console.log(link.type, link.attached()); // perf_event undefined
 * ```
 */
export interface PerfEventTarget {
  /** The kind of target. */
  type: "perf_event";
  /** An fd of a perf event, or what to open. */
  event: number | PerfEvent;
  /** What the program reads with `bpf_get_attach_cookie`. */
  cookie?: bigint | undefined;
}

/** Info of a link to a perf event that is neither a probe nor a tracepoint. Since Linux 6.6. */
export interface EventInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "perf_event";
  /** What kind of event it is. */
  event: "event";
  /**
   * The event's `type` number. The kernel may report the unit that really counts, which can differ from the number it was
   * opened with.
   */
  eventType: number;
  /** The event's number among those of the kind. */
  config: bigint;
  /** The cookie; 0n if none was given. Since Linux 6.9. */
  cookie?: bigint;
}

/** Info of a link to a perf event from kernels before 6.6, which report nothing. */
export interface UnknownEventInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "perf_event";
  /** What kind of event it is. */
  event: "unknown";
}

/** Info of a link to a perf event, whatever it is. */
export type AnyEventInfo = KprobeInfo | UprobeInfo | TracepointInfo | EventInfo | UnknownEventInfo;

/** Tracepoints are a kind of target of their own. */
const TYPE_NAMES = ["hardware", "software", "cache", "raw", "breakpoint"] as const;
const ACCESS = { read: 1, write: 2, readwrite: 3, execute: 4 } as const;
const ACCESS_NAMES = Object.keys(ACCESS) as (keyof typeof ACCESS)[];
const ANY = -1;

const KEYS = keysOf<PerfEventTarget>({ type: true, event: true, cookie: true });

function prepare(_program: Program, target: PerfEventTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { event, cookie } = target;
  if (cookie !== undefined) checkU64(cookie, "target.cookie");
  if (typeof event !== "number") {
    return toEvent(openEvent(...encodeEvent(event), `Cannot open ${describe(target)}`), cookie);
  }
  perfEventEnable(checkFd(event, "target.event"));
  return { ...toEvent(event, cookie), temporary: [] };
}

function encodeEvent(event: PerfEvent): [attr: PerfEventAttr, pid: number, cpu: number] {
  const name = "target.event";
  if (typeof event !== "object" || event === null) {
    throw new TypeError(`${name} must be an fd or an object, not ${kindOf(event)}`);
  }
  checkKeys(event, name, FIELDS);
  const { cpu, pid, samplePeriod, sampleFrequency, excludeUser, excludeKernel } = event;
  if (cpu === undefined && pid === undefined) throw new TypeError(`${name} must have cpu or pid, or both`);
  if (samplePeriod !== undefined && sampleFrequency !== undefined) {
    throw new TypeError(`${name} may have samplePeriod or sampleFrequency, not both`);
  }
  if (samplePeriod !== undefined) checkU64(samplePeriod, `${name}.samplePeriod`);
  if (sampleFrequency !== undefined) checkU64(sampleFrequency, `${name}.sampleFrequency`);
  checkFlag(excludeUser, `${name}.excludeUser`);
  checkFlag(excludeKernel, `${name}.excludeKernel`);
  return [
    {
      type: typeof event.type === "number"
        ? checkU32(event.type, `${name}.type`)
        : PERF_TYPES[checkOneOf(event.type, `${name}.type`, TYPE_NAMES)],
      config: encodeConfig(event),
      ...encodeExtension(event),
      samplePeriod,
      sampleFreq: sampleFrequency,
      excludeUser,
      excludeKernel,
    },
    pid === undefined ? ANY : checkInteger(pid, `${name}.pid`, 0, 0x7fffffff),
    cpu === undefined ? ANY : checkInteger(cpu, `${name}.cpu`, 0, 0x7fffffff),
  ];
}

const FIELDS = keysOf<PerfEvent>({
  type: true,
  config: true,
  config1: true,
  config2: true,
  breakpoint: true,
  cpu: true,
  pid: true,
  samplePeriod: true,
  sampleFrequency: true,
  excludeUser: true,
  excludeKernel: true,
});

function encodeConfig({ type, config }: PerfEvent): bigint {
  if (typeof config !== "string") return checkU64(config, "target.event.config");
  const name = config.toLowerCase().replaceAll("-", "_");
  if (type === "cache") {
    const number = cacheEvent(name);
    if (number !== undefined) return number;
    throw new TypeError(
      `target.event.config must be a bigint or a name such as "L1-dcache-load-misses", not "${printable(config)}"`,
    );
  }
  const names = type === "hardware" ? HARDWARE_EVENTS : type === "software" ? SOFTWARE_EVENTS : undefined;
  if (names === undefined) {
    throw new TypeError(`target.event.config must be a bigint: events of type ${type} have no names`);
  }
  const number = names.indexOf(ALIASES[name] ?? name);
  if (number >= 0) return BigInt(number);
  throw new TypeError(`target.event.config must be a bigint or one of ${names.join(", ")}, not "${printable(config)}"`);
}

/** Names of perf that differ from the kernel's. */
const ALIASES: Readonly<Record<string, string>> = {
  cycles: "cpu_cycles",
  branches: "branch_instructions",
  ref_cycles: "ref_cpu_cycles",
  faults: "page_faults",
  minor_faults: "page_faults_min",
  major_faults: "page_faults_maj",
};

function encodeExtension(
  { type, config1, config2, breakpoint }: PerfEvent,
): Pick<PerfEventAttr, "config1" | "config2" | "bpType"> {
  const name = "target.event.breakpoint";
  if ((type === "breakpoint") !== (breakpoint !== undefined)) {
    throw new TypeError(`${name} and the type "breakpoint" go together`);
  }
  if (breakpoint === undefined) {
    if (config1 !== undefined) checkU64(config1, "target.event.config1");
    if (config2 !== undefined) checkU64(config2, "target.event.config2");
    return { config1, config2 };
  }
  if (config1 !== undefined || config2 !== undefined) {
    throw new TypeError("target.event may have breakpoint, or config1 and config2, not both");
  }
  checkKeys(breakpoint, name, ["address", "length", "access"]);
  const { address, length, access } = breakpoint;
  if (![1, 2, 4, 8].includes(checkInteger(length, `${name}.length`, 1, 8))) {
    throw new RangeError(`${name}.length must be 1, 2, 4 or 8, not ${length}`);
  }
  return {
    config1: checkU64(address, `${name}.address`),
    config2: BigInt(length),
    bpType: ACCESS[checkOneOf(access, `${name}.access`, ACCESS_NAMES)],
  };
}

function describe({ event }: PerfEventTarget): string {
  if (typeof event === "number") return `perf event (fd ${event})`;
  return `perf event ${typeof event.type === "number" ? `of type ${event.type}` : event.type} ${event.config}`;
}

/** An event that was opened here is neither a probe nor a tracepoint, so one type of program fits. */
function whyRefused(
  { code }: BpfError,
  { event }: PerfEventTarget,
  _attachment: Attachment,
  program: Program,
): Explanation | undefined {
  if (code !== "EINVAL" || program.type === "perf_event") return undefined;
  return {
    reason: "invalid",
    meaning: `the program is of type ${program.type}`,
    hint: typeof event === "number"
      ? "probes take programs of type kprobe, tracepoints of type tracepoint, other events of type perf_event"
      : "events take programs of type perf_event",
  };
}

function read(
  info: Extract<BpfLinkInfo, { type: "perf_event" }>,
): AnyEventInfo {
  const { id, progId } = info;
  switch (info.perfType) {
    case "kprobe":
    case "kretprobe":
      return kprobe.read(info);
    case "uprobe":
    case "uretprobe":
      return uprobe.read(info);
    case "tracepoint":
      return tracepoint.read(info);
    case "event": {
      const { eventType, config, cookie } = info;
      const event: EventInfo = { type: "perf_event", id, programId: progId, event: "event", eventType, config };
      if (cookie !== undefined) event.cookie = cookie;
      return event;
    }
    case "unspec":
      return { type: "perf_event", id, programId: progId, event: "unknown" };
  }
}

/** The kind of target that is a perf event, and the links of all that the kernel makes a perf event of. */
export const perf_event: Kind<PerfEventTarget, "perf_event", Program> & LinkKind<"perf_event", AnyEventInfo> = {
  linkType: "perf_event",
  keys: KEYS,
  prepare,
  describe,
  whyRefused,
  read,
  where,
  whereSaysWhat: true,
  probe: () =>
    eventProbe(
      "perf_event",
      "CONFIG_BPF_EVENTS",
      { call: () => close(perfEventOpen({ type: PERF_TYPES.software, config: 0n }, -1, -1)), errno: "EINVAL" },
    ),
};

function where(info: AnyEventInfo, { functions }: PlaceNames): string {
  switch (info.event) {
    case "kprobe":
    case "kretprobe":
      return `${info.event} ${kernelWords(info, functions)}${offsetWords(info.offset)}`;
    case "uprobe":
    case "uretprobe":
      return functions === undefined
        ? `${info.event} ${info.path}${offsetWords(info.offset)}`
        : `${info.event} ${fileWords(info.path, info.offset, functions)}`;
    case "tracepoint":
      return `tracepoint ${info.name}`;
    case "event":
      return `event type ${info.eventType} config ${info.config}`;
    case "unknown":
      return "an event";
  }
}

function kernelWords(
  { symbol, address }: { readonly symbol?: string; readonly address?: bigint },
  functions: PlaceNames["functions"],
): string {
  const there = address === undefined ? undefined : functions?.inKernel(address);
  if (symbol !== undefined && !there?.endsWith(`:${symbol}`)) return symbol; // else with its module
  return there ?? `0x${address?.toString(16) ?? "?"}`;
}
