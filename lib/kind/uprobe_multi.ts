/** Links to many places in an executable or a library. */
import { checkInteger, checkKeys, checkOnlyOne, checkString, checkU64, keysOf } from "../check.ts";
import type { BpfError, Explanation } from "../error.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { BPF_F_UPROBE_MULTI_RETURN } from "../uapi/constants.ts";
import type { Attachment, Kind, LinkCreation, LinkInfoBase, LinkKind } from "./kind.ts";
import { create, NO_FILE } from "./probe.ts";
import {
  checkArray,
  checkPerPlace,
  checkRun,
  countOf,
  fileOf,
  fileWords,
  functionOffsets,
  functionsWords,
  MOST_NAMED,
  whyLoadedFor,
  whyNoPlace,
} from "./target.ts";

/**
 * A program of type kprobe runs whenever a process comes to one of many instructions of a file, or returns from one of
 * many functions. It is loaded with `expectedAttachType: "trace_uprobe_multi"`, or `"trace_uprobe_session"` for
 * `session`.
 *
 * Since Linux 6.6. Such links can neither be updated nor detached by force: they end when the last fd and pin are gone.
 * Takes permission to read the file. The link holds the file itself: when it is deleted or replaced, processes that
 * still run the old one are probed, others are not. The file of a process in a container is below `/proc/PID/root`.
 *
 * An offset must be that of an instruction. The kernel cannot tell: in the middle of one, processes that come there
 * crash or go astray.
 *
 * @example Calls of a library by one process
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "kprobe", instructions: nothing, expectedAttachType: "trace_uprobe_multi" });
 * using link = Link.attach(program, {
 *   type: "uprobe_multi",
 *   path: "libc.so.6",
 *   symbols: ["getpid", "getppid"],
 *   pid: Deno.pid,
 * });
 * console.log(link.info().count); // 2
 * ```
 */
export type UprobeMultiTarget =
  & {
    /** The kind of target. */
    type: "uprobe_multi";
    /**
     * The executable or library. A name without a slash that has `.so` in it, as `libc.so.6`, is looked up as loaders do:
     * with `pid` among what that process has loaded, else in /etc/ld.so.cache and the standard directories.
     */
    path: string | URL;
    /** The process; every process, also those yet to come, if absent. */
    pid?: number | undefined;
    /** Where in the file the semaphores of USDT probes lie, one for each place, 0 is none; not with `pattern`. */
    referenceCounterOffsets?: readonly number[] | undefined;
    /** What the program reads with `bpf_get_attach_cookie`, one for each place; not with `pattern`. */
    cookies?: readonly bigint[] | undefined;
    /** Whether to run when the functions return, not when they are entered. */
    retprobe?: boolean | undefined;
    /** Whether to run both times, the second only if the first returned 0. Since Linux 6.13. */
    session?: boolean | undefined;
  }
  & ({
    /**
     * The functions' names in the file's symbol tables, or in those of its debug file if that is installed; the compressed
     * ones of `.gnu_debugdata` are not read. Of several versions the default one is meant, others by name and version:
     * `memcpy@GLIBC_2.2.5`. A function that the C library chooses when a process starts (IFUNC, such as its `strlen`) is
     * refused: name the code that is chosen.
     */
    symbols: readonly string[];
  } | {
    /**
     * All functions of those tables whose name fits: `*` is any characters, `?` one. Default versions are meant, all if
     * the pattern has an `@`.
     */
    pattern: string;
  } | {
    /** Where in the file the instructions are, in bytes (not their addresses in memory). */
    offsets: readonly number[];
  });

/** Info of a link to many places in a file. The number, the places and the rest are there since Linux 6.8. */
export interface UprobeMultiInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "uprobe_multi";
  /** The file, as the asking process sees it; ends in ` (deleted)` if it was deleted. */
  path: string;
  /** The one process; absent if it is every process, or one that is no more. */
  pid?: number;
  /** How many places. */
  count: number;
  /** Whether the program runs when functions return. */
  retprobe: boolean;
  /** The places, in the order in which they were given. */
  offsets: {
    /** Where in the file, in bytes. */
    offset: number;
    /** Where in the file its reference counter is, in bytes; absent if it has none. */
    referenceCounterOffset?: number;
    /** The cookie; 0n if none was given. */
    cookie?: bigint;
  }[];
}

/** A target whose alternatives can be looked at one by one. */
interface Places {
  readonly symbols?: readonly string[] | undefined;
  readonly pattern?: string | undefined;
  readonly offsets?: readonly number[] | undefined;
}

const KEYS = keysOf<UprobeMultiTarget>({
  type: true,
  path: true,
  pid: true,
  symbols: true,
  pattern: true,
  offsets: true,
  referenceCounterOffsets: true,
  cookies: true,
  retprobe: true,
  session: true,
});

function prepare(_program: Program, target: UprobeMultiTarget): Attachment {
  checkKeys(target, "target", KEYS);
  checkOnlyOne(target, "target", ["symbols", "pattern", "offsets"]);
  const { symbols, pattern, offsets }: Places = target;
  const pid = target.pid === undefined ? 0 : checkInteger(target.pid, "target.pid", 1, 0x7fffffff);
  const { retprobe, session } = checkRun(target);
  const names = symbols === undefined ? undefined : checkArray(symbols, "target.symbols", checkString);
  const places = offsets === undefined ? undefined : checkArray(offsets, "target.offsets", checkOffset);
  const count = (names ?? places)?.length;
  const cookies = checkPerPlace(target, "cookies", checkU64, count);
  const counters = checkPerPlace(target, "referenceCounterOffsets", checkOffset, count);
  const wanted = names === undefined ? places ?? { pattern: checkString(pattern, "target.pattern") } : { names };
  const path = fileOf(target.path, target.pid);
  const found = "length" in wanted ? wanted : functionOffsets(path, wanted);
  return {
    attachType: session ? "trace_uprobe_session" : "trace_uprobe_multi",
    targetFd: 0,
    options: {
      uprobeMulti: {
        path,
        pid,
        offsets: found.map(BigInt),
        refCtrOffsets: counters?.map(BigInt),
        cookies,
        flags: retprobe ? BPF_F_UPROBE_MULTI_RETURN : 0,
      },
    },
  };
}

/** Which of all that one errno may mean. */
function whyRefused(
  refusal: BpfError,
  { path, session }: UprobeMultiTarget,
  attachment: Attachment,
  program: Program,
): Explanation | undefined {
  if (refusal.reason === "unsupported") return undefined; // the kernel has no such links
  const wanted = session ? "trace_uprobe_session" : "trace_uprobe_multi";
  const places = (attachment as LinkCreation).options?.uprobeMulti;
  const why = whyLoadedFor(refusal, program, wanted) ??
    whyNoPlace(refusal, places?.path ?? `${path}`, places?.offsets.map(Number) ?? []);
  if (why !== undefined || refusal.code !== "EINVAL") return why;
  const hint = `load it with expectedAttachType "${wanted}"`;
  return { reason: "invalid", meaning: `the program was not loaded for ${wanted}`, hint };
}

function checkOffset(value: unknown, name: string): number {
  return checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER);
}

function describe(
  { path, pid, symbols, pattern, offsets, retprobe }: UprobeMultiTarget & Places,
): string {
  const which = pattern === undefined ? countOf((symbols ?? offsets)!.length, "place") : `functions "${pattern}"`;
  const process = pid === undefined ? "" : ` in process ${pid}`;
  return `${retprobe ? "the return of " : ""}${which} of "${path}"${process}`;
}

function read(
  { id, progId, path, pid, count, flags, places }: Extract<BpfLinkInfo, { type: "uprobe_multi" }>,
): UprobeMultiInfo {
  const info: UprobeMultiInfo = {
    type: "uprobe_multi",
    id,
    programId: progId,
    path,
    count,
    retprobe: (flags & BPF_F_UPROBE_MULTI_RETURN) !== 0,
    offsets: places.map(({ offset, refCtrOffset, cookie }) => ({
      offset: Number(offset),
      ...refCtrOffset === 0n ? {} : { referenceCounterOffset: Number(refCtrOffset) },
      cookie,
    })),
  };
  if (pid !== 0) info.pid = pid;
  return info;
}

/** The kind of target that is many places in a file, and its links. */
export const uprobe_multi:
  & Kind<UprobeMultiTarget, "uprobe_multi", Program>
  & LinkKind<"uprobe_multi", UprobeMultiInfo> = {
    linkType: "uprobe_multi",
    keys: KEYS,
    programs: ["kprobe"],
    prepare,
    describe,
    whyRefused,
    read,
    where: ({ path, count, retprobe, offsets }, { functions }) => {
      const suffix = retprobe ? " on return" : "";
      if (functions === undefined || offsets.length === 0) return `${path} ${count} places${suffix}`;
      if (count === 1) return `${fileWords(path, offsets[0]!.offset, functions)}${suffix}`;
      const names = offsets.slice(0, MOST_NAMED).map(({ offset }) => functions.inFile(path, offset));
      return `${path.slice(path.lastIndexOf("/") + 1)}: ${functionsWords(count, names)}${suffix}`;
    },
    probe: () => ({
      examples: [{ program: { type: "kprobe", expectedAttachType: "trace_uprobe_multi" } }],
      attach: {
        since: TYPES.uprobe_multi.since,
        config: "CONFIG_UPROBES",
        proofs: [{
          call: create(0, "trace_uprobe_multi", { uprobeMulti: { path: NO_FILE, offsets: [0n] } }),
          errno: "ENOENT",
        }],
      },
      cookie: TYPES.uprobe_multi.since,
    }),
  };
