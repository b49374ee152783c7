/** Links to many functions of the kernel. */
import { checkKeys, checkOnlyOne, checkString, checkU64, keysOf, printable } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { encoder } from "../lazy.ts";
import { globMatches } from "../os/elf_functions.ts";
import { ambiguousNames, functionsNamed, splitName, variantsOf } from "../os/kallsyms.ts";
import { readTracefs } from "../os/tracefs.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { BPF_F_KPROBE_MULTI_RETURN } from "../uapi/constants.ts";
import { EADDRNOTAVAIL, ENOENT, EPERM, ESRCH } from "../uapi/errno.ts";
import type { Attachment, Kind, LinkInfoBase, LinkKind } from "./kind.ts";
import { create, NO_NAME } from "./probe.ts";
import {
  checkArray,
  checkPerPlace,
  checkRun,
  countOf,
  functionsWords,
  MOST_NAMED,
  severalFunctions,
  whyLoadedFor,
} from "./target.ts";

/**
 * A program of type kprobe runs whenever the kernel enters one of many functions, or returns from one; on every CPU and
 * for every process. It is loaded with `expectedAttachType: "trace_kprobe_multi"`, or `"trace_kprobe_session"` for
 * `session`.
 *
 * Since Linux 5.18, where the kernel was built with CONFIG_FPROBE. Such links can neither be updated nor detached by
 * force: they end when the last fd and pin are gone.
 *
 * @example Some kernels have no fprobes; `tests/kernel/kind/kprobe_multi_test` of the repository does it
 * ```ts ignore
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "kprobe", instructions: nothing, expectedAttachType: "trace_kprobe_multi" });
 * using link = Link.attach(program, { type: "kprobe_multi", symbols: ["do_unlinkat", "do_rmdir"] });
 * console.log(link.info().count); // 2
 * ```
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
    /**
     * The functions' names, each once; `module:function` for one of a module, which takes CAP_SYSLOG. A name that several
     * functions have is refused: which one would the kernel take?
     */
    symbols: readonly string[];
  } | {
    /**
     * All functions whose name fits, of those that can be traced (`available_filter_functions` in tracefs): `*` is any
     * characters, `?` one. Since Linux 6.5 all of one name too. `module:pattern` means those of modules.
     */
    pattern: string;
  } | {
    /** Where the functions begin, as /proc/kallsyms has it. */
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

const WITHOUT_TRACEFS = "give the functions' names, which need no tracefs";

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
  if (pattern !== undefined) checkString(pattern, "target.pattern");
  const functions = pattern !== undefined ? matching(pattern) : syms !== undefined ? named(syms) : { addrs };
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

type Functions = { syms: readonly string[] } | { addrs: readonly bigint[] };

/**
 * Functions by their names, of which the kernel would take any one if several have it. It knows no names with a module in
 * front, so then all are given by their addresses.
 */
function named(symbols: readonly string[]): Functions {
  const hasModule = symbols.some((symbol) => symbol.includes(":"));
  const wanted = symbols.map(splitName), names = new Set(wanted.map(({ name }) => name));
  const unclear = ambiguousNames(names);
  if (!hasModule && !symbols.some((symbol) => unclear.has(symbol))) return { syms: symbols };
  const all = functionsNamed(names);
  if (all === undefined) return { syms: symbols };
  const addrs = wanted.map(({ name, module }, i) => {
    const found = (all.get(name) ?? []).filter((each) => module === undefined || each.module === module);
    if (found.length === 1) return found[0]!.address;
    if (found.length === 0) throw refused(ESRCH, missing([symbols[i]!]));
    throw refused(EADDRNOTAVAIL, severalFunctions(symbols[i]!, found, "addresses, or as a pattern, which takes all"));
  });
  if (addrs.every((address) => address !== 0n)) return { addrs };
  const hint = "run with CAP_SYSLOG, or see kernel.kptr_restrict";
  throw refused(EPERM, { reason: "capability", meaning: "the kernel hides the addresses of its functions", hint });
}

function refused(errno: number, why: Explanation): BpfError {
  return new BpfError(errno, { action: "Cannot attach to kernel functions", command: "kallsyms", ...why });
}

/** Names that no function has which can be traced. */
function missing(symbols: readonly string[]): Explanation {
  const variants = variantsOf(symbols.map((symbol) => splitName(symbol).name));
  return {
    reason: "invalid",
    meaning: `no function that can be traced is called ${symbols.slice(0, 5).join(", ")}`,
    hint: variants.length > 0
      ? `the compiler made ${variants.join(", ")} of it`
      : "available_filter_functions in tracefs lists them; the compiler may have inlined it, or its module is not loaded",
  };
}

/** The functions that fit, by address where the kernel reports it (6.5): several may have one name. */
function matching(pattern: string): Functions {
  const glob = encoder().encode(pattern), hasModule = pattern.includes(":");
  const withAddresses = readTracefs("available_filter_functions_addrs", WITHOUT_TRACEFS);
  const list = withAddresses ?? readTracefs("available_filter_functions", WITHOUT_TRACEFS) ?? "";
  const found: TraceableFunction[] = [];
  for (const each of traceable(list)) {
    if (globMatches(glob, encoder().encode(hasModule ? `${each.module ?? ""}:${each.name}` : each.name))) {
      found.push(each);
    }
  }
  if (found.length === 0) {
    throw new BpfError(ENOENT, {
      action: `Cannot attach to kernel functions "${pattern}"`,
      command: "tracefs",
      reason: "invalid",
      meaning: "no function that can be traced matches",
      hint: "available_filter_functions in tracefs lists them",
    });
  }
  return withAddresses === undefined ? { syms: [...new Set(found.map(({ name }) => name))] } : { addrs: begins(found) };
}

interface TraceableFunction {
  readonly name: string;
  readonly module: string | undefined;
  /** Where it is traced, which is behind an ENDBR; absent before Linux 6.5. */
  readonly place: bigint | undefined;
}

/** The functions of tracefs' list. */
function* traceable(list: string): Generator<TraceableFunction> {
  // ffffffff81000004 do_unlinkat [module]
  for (const [, hex, name, module] of list.matchAll(/^(?:([0-9a-f]{16}) )?(\S+)(?: \[(\S+)\])?/gm)) {
    if (name!.startsWith("__ftrace_invalid_address__")) continue;
    yield { name: name!, module, place: hex === undefined ? undefined : BigInt(`0x${hex}`) };
  }
}

/**
 * Where functions begin: the same addresses that the kernel finds by their names, so infos agree, and cookies are found.
 */
function begins(functions: readonly TraceableFunction[]): bigint[] {
  const all = functionsNamed(new Set(functions.map(({ name }) => name)));
  return functions.map(({ name, module, place }) => {
    const before = (all?.get(name) ?? [])
      .filter((each) => each.module === module && each.address <= place! && place! - each.address <= LONGEST_ENTRY)
      .map(({ address }) => address);
    return before.length === 0 ? place! : before.reduce((a, b) => a > b ? a : b);
  });
}

/** Bytes before the place where a function is traced, at most. */
const LONGEST_ENTRY = 16n;

/** The errno is the same for a wrong program and for a wrong function: a call without functions says which it is. */
function whyRefusedAll(program: Program, wanted: "trace_kprobe_session" | "trace_kprobe_multi"): Explanation {
  try {
    NOTHING_THERE(wanted)(program.fd);
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    if (error.code === "EINVAL") {
      const hint = `load it with expectedAttachType "${wanted}"`;
      return { reason: "invalid", meaning: `the program was not loaded for ${wanted}`, hint };
    }
  }
  const hint = "available_filter_functions in tracefs lists those that can be traced; each may be given once";
  return { reason: "invalid", meaning: "the kernel refuses one of the functions", hint };
}

/** A call that fails at its function, if not before. */
const NOTHING_THERE = (attachType: "trace_kprobe_session" | "trace_kprobe_multi"): (program: number) => void =>
  create(0, attachType, { kprobeMulti: { syms: [NO_NAME] } });

/** Which of many places the kernel means, where it says of one that there is no such. */
function whyRefused(
  refusal: BpfError,
  { symbols, session }: KprobeMultiTarget & Places,
  _attachment: Attachment,
  program: Program,
): Explanation | undefined {
  const { code } = refusal, wanted = session ? "trace_kprobe_session" : "trace_kprobe_multi";
  if (code === "EINVAL" && refusal.reason === "invalid") {
    return whyLoadedFor(refusal, program, wanted) ?? whyRefusedAll(program, wanted);
  }
  if (code === "E2BIG" && symbols !== undefined) {
    const [longest] = symbols.toSorted((a, b) => b.length - a.length);
    return { reason: "invalid", meaning: "a name is longer than that of any function", hint: `"${longest}"` };
  }
  if (code !== "ESRCH" || symbols === undefined) return undefined;
  const list = readTracefs("available_filter_functions", WITHOUT_TRACEFS) ?? "";
  const names = new Set(Array.from(traceable(list), ({ name }) => name));
  const absent = symbols.filter((symbol) => !names.has(symbol));
  return absent.length === 0 ? undefined : missing(absent);
}

function describe({ symbols, pattern, addresses, retprobe }: KprobeMultiTarget & Places): string {
  const which = pattern === undefined
    ? countOf((symbols ?? addresses)!.length, "kernel function")
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
    keys: KEYS,
    programs: ["kprobe"],
    prepare,
    describe,
    whyRefused,
    read,
    where: ({ count, retprobe, addresses }, { functions }) => {
      const names = functions &&
        addresses.slice(0, MOST_NAMED).map(({ address }) =>
          address === undefined ? undefined : functions.inKernel(address)
        );
      return `${functionsWords(count, names ?? [])}${retprobe ? " on return" : ""}`;
    },
    probe: () => ({
      examples: [{ program: { type: "kprobe", expectedAttachType: "trace_kprobe_multi" } }],
      attach: {
        since: TYPES.kprobe_multi.since,
        config: "CONFIG_FPROBE",
        proofs: [{ call: NOTHING_THERE("trace_kprobe_multi"), errno: "ESRCH" }],
      },
      cookie: TYPES.kprobe_multi.since,
    }),
  };
