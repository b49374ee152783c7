/** Links to a place in an executable or a library. */
import { checkFlag, checkInteger, checkKeys, checkString, checkU32, checkU64, keysOf } from "../check.ts";
import { BpfError } from "../error.ts";
import { unlessRefused } from "../refusal.ts";
import type { Program } from "../program.ts";
import { openEvent, openEventAnywhere, probeType, UPROBE_OPEN } from "../sys/perf_event.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { Attachment, Kind, LinkInfoBase } from "./kind.ts";
import { eventProbe, NO_FILE, openNothing } from "./probe.ts";
import { fileOf, functionOffsets, offsetWords, toEvent, whyLoadedFor, whyNoPlace } from "./target.ts";

/**
 * A program of type kprobe runs whenever a process comes to an instruction of a file, or returns from a function.
 *
 * Since Linux 5.15. Such links can neither be updated nor detached by force: they end when the last fd and pin are
 * gone. Takes CAP_SYS_ADMIN, and permission to read the file. For many places `uprobe_multi` is faster, above all to
 * detach, and makes do with CAP_PERFMON. The link holds the file itself: when it is deleted or replaced, processes that
 * still run the old one are probed, others are not. The file of a process in a container is below `/proc/PID/root`.
 *
 * An offset must be that of an instruction. The kernel cannot tell: in the middle of one, processes that come there
 * crash or go astray.
 *
 * The kernel waits for each such link that is closed: for many places, one `uprobe_multi` link ends hundreds of times
 * faster.
 *
 * @example Calls of a library by one process
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "kprobe", instructions: nothing });
 * using link = Link.attach(program, { type: "uprobe", path: "libc.so.6", symbol: "getpid", pid: Deno.pid });
 * console.log(link.info().event); // uprobe
 * ```
 */
export type UprobeTarget =
  & {
    /** The kind of target. */
    type: "uprobe";
    /**
     * The executable or library. A name without a slash that has `.so` in it, as `libc.so.6`, is looked up as loaders do:
     * with `pid` among what that process has loaded, else in /etc/ld.so.cache and the standard directories.
     */
    path: string | URL;
    /** The process; every process, also those yet to come, if absent. */
    pid?: number | undefined;
    /** Whether to run when the function returns, not when it is entered. */
    retprobe?: boolean | undefined;
    /** Where in the file the semaphore of a USDT probe lies, in bytes: a counter above 0 while somebody probes. */
    referenceCounterOffset?: number | undefined;
    /** What the program reads with `bpf_get_attach_cookie`. */
    cookie?: bigint | undefined;
  }
  & ({
    /**
     * The function's name in the file's symbol tables, or in those of its debug file if that is installed; the compressed
     * ones of `.gnu_debugdata` are not read. Of several versions the default one is meant, others by name and version:
     * `memcpy@GLIBC_2.2.5`. A function that the C library chooses when a process starts (IFUNC, such as its `strlen`) is
     * refused: name the code that is chosen.
     */
    symbol: string;
    /** Bytes from the function to the instruction. */
    offset?: number | undefined;
  } | {
    /** Where in the file the instruction is, in bytes (not its address in memory). */
    offset: number;
    /** Only where `offset` counts from it. */
    symbol?: undefined;
  });

/** Info of a link to a place in a file. Since Linux 6.6. */
export interface UprobeInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "perf_event";
  /** Whether the program runs before the instruction or when its function returns. */
  event: "uprobe" | "uretprobe";
  /** The file, as it was named when the link was made, also if it is not there any more. */
  path: string;
  /** Where in the file, in bytes. */
  offset: number;
  /** Where in the file its reference counter is, in bytes; absent if it has none. Since Linux 6.16. */
  referenceCounterOffset?: number;
  /** The cookie; 0n if none was given. Since Linux 6.9. */
  cookie?: bigint;
}

const REFERENCE_COUNTER = 32n; // its first bit in config

const KEYS = keysOf<UprobeTarget>({
  type: true,
  path: true,
  pid: true,
  symbol: true,
  offset: true,
  retprobe: true,
  referenceCounterOffset: true,
  cookie: true,
});

function prepare(_program: Program, target: UprobeTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { pid, symbol, referenceCounterOffset = 0, cookie } = target;
  if (pid !== undefined) checkInteger(pid, "target.pid", 1, 0x7fffffff);
  if (symbol !== undefined) checkString(symbol, "target.symbol");
  const offset = checkInteger(
    symbol === undefined ? target.offset : target.offset ?? 0,
    symbol === undefined ? "target.offset (or symbol)" : "target.offset",
    0,
    Number.MAX_SAFE_INTEGER,
  );
  const retprobe = checkFlag(target.retprobe, "target.retprobe");
  const counter = BigInt(checkU32(referenceCounterOffset, "target.referenceCounterOffset"));
  if (cookie !== undefined) checkU64(cookie, "target.cookie");

  const path = fileOf(target.path, pid);
  const [start] = symbol === undefined ? [0] : functionOffsets(path, { names: [symbol] });
  const probe = probeType("uprobe");
  const event = {
    type: probe.type,
    config: counter << REFERENCE_COUNTER | (retprobe ? probe.retprobe : 0n),
    config1: path,
    config2: BigInt(start! + offset),
  };
  const action = `Cannot attach to ${describe(target)}`;
  try {
    const fd = pid === undefined
      ? openEventAnywhere(event, action, UPROBE_OPEN)
      : openEvent(event, pid, -1, action, UPROBE_OPEN);
    return toEvent(fd, cookie);
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    const why = unlessRefused(() => whyNoPlace(error, path, [start! + offset]));
    throw why === undefined ? error : new BpfError(error.errno, { action, command: error.command, ...why });
  }
}

function describe({ path, symbol, offset = 0, pid, retprobe }: UprobeTarget): string {
  const place = symbol === undefined ? `offset 0x${offset.toString(16)}` : `function ${symbol}${offsetWords(offset)}`;
  const process = pid === undefined ? "" : ` in process ${pid}`;
  return `${retprobe ? "the return of " : ""}${place} of "${path}"${process}`;
}

function read(
  { id, progId, perfType, fileName, offset, refCtrOffset, cookie }: Extract<
    BpfLinkInfo,
    { type: "perf_event"; perfType: "uprobe" | "uretprobe" }
  >,
): UprobeInfo {
  const info: UprobeInfo = { type: "perf_event", id, programId: progId, event: perfType, path: fileName, offset };
  if (refCtrOffset) info.referenceCounterOffset = Number(refCtrOffset);
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}

/** The kind of target that is a place in a file. The kernel makes a perf event of it. */
export const uprobe: Kind<UprobeTarget, "perf_event", Program> & {
  read(info: Extract<BpfLinkInfo, { type: "perf_event"; perfType: "uprobe" | "uretprobe" }>): UprobeInfo;
} = {
  linkType: "perf_event",
  keys: KEYS,
  programs: ["kprobe"],
  prepare,
  describe,
  whyRefused: (refusal, _target, _attachment, program) => whyLoadedFor(refusal, program, "perf_event"),
  read,
  probe: () =>
    eventProbe(
      "kprobe",
      "CONFIG_UPROBE_EVENTS",
      { call: () => probeType("uprobe") },
      { call: () => openNothing("uprobe", NO_FILE, UPROBE_OPEN), errno: "ENOENT" },
    ),
};
