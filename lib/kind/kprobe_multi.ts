/** Links to many functions of the kernel. */
import { checkKeys, checkOnlyOne, checkString, checkU64, keysOf, printable } from "../check.ts";
import { BpfError } from "../error.ts";
import { globMatches } from "../os/elf.ts";
import { readTracefs } from "../os/tracefs.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { BPF_F_KPROBE_MULTI_RETURN } from "../uapi/constants.ts";
import { ENOENT } from "../uapi/errno.ts";
import type { Attachment, Kind, LinkInfoBase, LinkKind } from "./kind.ts";
import { create, NO_NAME } from "./probe.ts";
import { checkArray, checkPerPlace, checkRun } from "./target.ts";

/**
 * A program of type kprobe runs whenever the kernel enters one of many functions, or returns from one; on every CPU and
 * for every process. It is loaded with `expectedAttachType: "trace_kprobe_multi"`, or `"trace_kprobe_session"` for
 * `session`.
 *
 * Since Linux 5.18, where the kernel was built with CONFIG_FPROBE. Such links can neither be updated nor detached by
 * force: they end when the last fd and pin are gone.
 */
export type KprobeMultiTarget =
  & {
    /** The kind of target. */
    type: "kprobe_multi";
    /** What the program reads with `bpf_get_attach_cookie`, one for each function; not with `pattern`. */
    cookies?: readonly bigint[] | undefined;
    /** Whether to run when the functions return, not when they are entered. */
    retprobe?: boolean | undefined;
    /** Whether to run both times, the second only if the first returned 0. Since Linux 6.10. */
    session?: boolean | undefined;
  }
  & ({
    /** The functions' names, each once. */
    symbols: readonly string[];
  } | {
    /**
     * All functions whose name fits, of those that can be traced (`available_filter_functions` in tracefs): `*` is any
     * characters, `?` one. Since Linux 6.5 all of one name too.
     */
    pattern: string;
  } | {
    /** The functions' addresses. */
    addresses: readonly bigint[];
  });

/** Info of a link to many functions of the kernel. The number and the functions are there since Linux 6.6. */
export interface KprobeMultiInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "kprobe_multi";
  /** How many functions. */
  count: number;
  /** Whether the program runs when they return. */
  retprobe: boolean;
  /** How often the program could not run. Since Linux 6.7. */
  missed?: number;
  /** The functions, in the order of their addresses. */
  addresses: {
    /** The address; absent for callers that may not read kernel symbols. */
    address?: bigint;
    /** The cookie; 0n if none was given. Since Linux 6.9. */
    cookie?: bigint;
  }[];
}

/** A target whose alternatives can be looked at one by one. */
interface Places {
  readonly symbols?: readonly string[] | undefined;
  readonly pattern?: string | undefined;
  readonly addresses?: readonly bigint[] | undefined;
}

const utf8 = new TextEncoder();

const KEYS = keysOf<KprobeMultiTarget>({
  type: true,
  symbols: true,
  pattern: true,
  addresses: true,
  cookies: true,
  retprobe: true,
  session: true,
});

function prepare(_program: Program, target: KprobeMultiTarget): Attachment {
  checkKeys(target, "target", KEYS);
  checkOnlyOne(target, "target", ["symbols", "pattern", "addresses"]);
  const { symbols, pattern, addresses }: Places = target;
  const { retprobe, session } = checkRun(target);
  const syms = symbols === undefined ? undefined : checkSymbols(symbols);
  const addrs = addresses === undefined ? undefined : checkArray(addresses, "target.addresses", checkU64);
  const cookies = checkPerPlace(target, "cookies", checkU64, (syms ?? addrs)?.length);
  const functions = pattern === undefined ? { syms, addrs } : findFunctions(checkString(pattern, "target.pattern"));
  return {
    attachType: session ? "trace_kprobe_session" : "trace_kprobe_multi",
    targetFd: 0,
    options: { kprobeMulti: { flags: retprobe ? BPF_F_KPROBE_MULTI_RETURN : 0, ...functions, cookies } },
  };
}

/** The kernel would look for a name that is given twice in vain. */
function checkSymbols(value: unknown): readonly string[] {
  const symbols = checkArray(value, "target.symbols", checkString), seen = new Set<string>();
  for (const symbol of symbols) {
    if (seen.has(symbol)) {
      throw new TypeError(`target.symbols must have each name once, but has "${printable(symbol)}" twice`);
    }
    seen.add(symbol);
  }
  return symbols;
}

/** The functions that fit, by address where the kernel reports it (6.5): several may have one name. */
function findFunctions(pattern: string): { syms: readonly string[] } | { addrs: readonly bigint[] } {
  const withAddresses = readTracefs("available_filter_functions_addrs");
  const glob = utf8.encode(pattern);
  const list = withAddresses ?? readTracefs("available_filter_functions") ?? "";
  const found = new Set<string>();
  // ffffffff81000000 do_unlinkat [module]
  for (const [, address, name] of list.matchAll(/^(?:([0-9a-f]{16}) )?([^\s]+)/gm)) {
    if (globMatches(glob, utf8.encode(name!)) && !name!.startsWith("__ftrace_invalid_address__")) {
      found.add(address ?? name!);
    }
  }
  if (found.size > 0) {
    return withAddresses === undefined
      ? { syms: [...found] }
      : { addrs: Array.from(found, (hex) => BigInt(`0x${hex}`)) };
  }
  throw new BpfError(ENOENT, {
    action: `Cannot attach to kernel functions "${pattern}"`,
    command: "tracefs",
    reason: "invalid",
    meaning: "no function that can be traced matches",
    hint: "available_filter_functions in tracefs lists them",
  });
}

function describe({ symbols, pattern, addresses, retprobe }: KprobeMultiTarget & Places): string {
  const which = pattern === undefined
    ? `${(symbols ?? addresses)?.length} kernel functions`
    : `kernel functions "${pattern}"`;
  return `${retprobe ? "the return of " : ""}${which}`;
}

function read(
  { id, progId, count, flags, missed, functions }: Extract<BpfLinkInfo, { type: "kprobe_multi" }>,
): KprobeMultiInfo {
  const info: KprobeMultiInfo = {
    type: "kprobe_multi",
    id,
    programId: progId,
    count,
    retprobe: (flags & BPF_F_KPROBE_MULTI_RETURN) !== 0,
    addresses: functions.map(({ addr, cookie }) => ({
      ...addr === 0n ? {} : { address: addr },
      ...cookie === undefined ? {} : { cookie },
    })),
  };
  if (missed !== undefined) info.missed = Number(missed);
  return info;
}

/** The kind of target that is many functions of the kernel, and its links. */
export const kprobe_multi:
  & Kind<KprobeMultiTarget, "kprobe_multi", Program>
  & LinkKind<"kprobe_multi", KprobeMultiInfo> = {
    linkType: "kprobe_multi",
    programs: ["kprobe"],
    prepare,
    describe,
    read,
    where: ({ count, retprobe }) => `${count} functions${retprobe ? " on return" : ""}`,
    probe: {
      examples: [{ program: { type: "kprobe", expectedAttachType: "trace_kprobe_multi" } }],
      attach: {
        since: TYPES.kprobe_multi.since,
        config: "CONFIG_FPROBE",
        proofs: [{ call: create(0, "trace_kprobe_multi", { kprobeMulti: { syms: [NO_NAME] } }), errno: "ESRCH" }],
      },
      cookie: TYPES.kprobe_multi.since,
    },
  };
