/** Links to a place in the kernel's code. */
import { BpfError, type Explanation } from "../error.ts";
import { lockedDown } from "../os/capabilities.ts";
import { functionsNamed, splitName, variantsOf } from "../os/kallsyms.ts";
import { checkFlag, checkInteger, checkKeys, checkOnlyOne, checkString, checkU64, keysOf } from "../check.ts";
import type { Program } from "../program.ts";
import { KPROBE_OPEN, openEventAnywhere, probeType } from "../sys/perf_event.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { Attachment, Kind, LinkInfoBase } from "./kind.ts";
import { eventProbe, NO_NAME, openNothing, unlessLockedDown } from "./probe.ts";
import { offsetWords, severalFunctions, toEvent, whyLoadedFor } from "./target.ts";

/**
 * A program of type kprobe runs whenever the kernel comes to an instruction, or returns from a function; on every CPU
 * and for every process.
 *
 * Since Linux 5.15. Such links can neither be updated nor detached by force: they end when the last fd and pin are
 * gone. Takes CAP_PERFMON. For many functions `kprobe_multi` is faster, to attach and to run. Functions that the
 * compiler inlined cannot be probed, and the kernel refuses those that probes themselves need.
 *
 * @example Some kernels have no kprobes; `tests/kernel/kind/kprobe_test` of the repository does it
 * ```ts ignore
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "kprobe", instructions: nothing });
 * using link = Link.attach(program, { type: "kprobe", symbol: "do_unlinkat", retprobe: true });
 * console.log(link.info().event); // kretprobe
 * ```
 */
export type KprobeTarget =
  & {
    /** The kind of target. */
    type: "kprobe";
    /** Bytes from the symbol or address to the instruction. */
    offset?: number | undefined;
    /** Whether to run when the function returns, not when it is entered. */
    retprobe?: boolean | undefined;
    /** What the program reads with `bpf_get_attach_cookie`. */
    cookie?: bigint | undefined;
  }
  & ({
    /** The function's name, as `do_unlinkat`; `module:function` for one of a module. One that several have is refused. */
    symbol: string;
    /** Only without `symbol`. */
    address?: undefined;
  } | {
    /** The instruction's address. */
    address: bigint;
    /** Only without `address`. */
    symbol?: undefined;
  });

/** Info of a link to a place in the kernel's code. Since Linux 6.6. */
export interface KprobeInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "perf_event";
  /** Whether the program runs before the instruction or when its function returns. */
  event: "kprobe" | "kretprobe";
  /** The function's name; absent if it was given by its address. */
  symbol?: string;
  /** Bytes from the symbol to the instruction. */
  offset: number;
  /** The instruction's address, without an ENDBR before it; absent for callers that may not read kernel symbols. */
  address?: bigint;
  /** How often the program could not run. Since Linux 6.7. */
  missed?: number;
  /** The cookie; 0n if none was given. Since Linux 6.9. */
  cookie?: bigint;
}

const KEYS = keysOf<KprobeTarget>({
  type: true,
  symbol: true,
  address: true,
  offset: true,
  retprobe: true,
  cookie: true,
});

function prepare(_program: Program, target: KprobeTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { symbol, address, offset = 0, cookie } = target;
  checkOnlyOne(target, "target", ["symbol", "address"]);
  checkInteger(offset, "target.offset", 0, 0xffffffff);
  const retprobe = checkFlag(target.retprobe, "target.retprobe");
  if (cookie !== undefined) checkU64(cookie, "target.cookie");
  const place = symbol === undefined
    ? { config2: checkU64(checkU64(address, "target.address") + BigInt(offset), "target.address plus offset") }
    : { config1: checkSymbol(symbol), config2: BigInt(offset) };
  const probe = probeType("kprobe");
  const event = { type: probe.type, config: retprobe ? probe.retprobe : 0n, ...place };
  const action = `Cannot attach to ${describe(target)}`;
  try {
    return toEvent(openEventAnywhere(event, action, KPROBE_OPEN), cookie);
  } catch (error) {
    const why = error instanceof BpfError ? whyNoEvent(error, symbol) : undefined;
    throw why === undefined
      ? error
      : new BpfError((error as BpfError).errno, { action, command: KPROBE_OPEN.command, ...why });
  }
}

/** A function's name; the kernel would take what users write behind it for a part of it. */
function checkSymbol(value: unknown): string {
  const symbol = checkString(value, "target.symbol");
  if (!symbol.includes("+")) return symbol;
  throw new TypeError(`target.symbol must be a function's name, without the bytes behind it, which are target.offset`);
}

/** What a refusal means, where the kernel's functions say more about it than the errno. */
function whyNoEvent({ code }: BpfError, symbol: string | undefined): Explanation | undefined {
  if (code === "EPERM") return lockedDown("kprobes");
  if (symbol === undefined) return undefined;
  const { name } = splitName(symbol);
  if (code === "EADDRNOTAVAIL") {
    return severalFunctions(symbol, functionsNamed(new Set([name]))?.get(name) ?? [], "its address");
  }
  const variants = code === "ENOENT" ? variantsOf([name]) : [];
  return variants.length === 0 ? undefined : {
    reason: "invalid",
    meaning: `the kernel has no function ${symbol}`,
    hint: `the compiler made ${variants.join(", ")} of it`,
  };
}

function describe({ symbol, address, offset = 0, retprobe }: KprobeTarget): string {
  const place = symbol ?? `0x${address?.toString(16)}`;
  return `${retprobe ? "the return of " : ""}kernel function ${place}${offsetWords(offset)}`;
}

function read(
  { id, progId, perfType, funcName, offset, addr, missed, cookie }: Extract<
    BpfLinkInfo,
    { type: "perf_event"; perfType: "kprobe" | "kretprobe" }
  >,
): KprobeInfo {
  const info: KprobeInfo = { type: "perf_event", id, programId: progId, event: perfType, offset };
  if (funcName !== "") info.symbol = funcName;
  if (addr !== 0n) info.address = addr;
  if (missed !== undefined) info.missed = Number(missed);
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}

/** The kind of target that is a place in the kernel's code. The kernel makes a perf event of it. */
export const kprobe: Kind<KprobeTarget, "perf_event", Program> & {
  read(info: Extract<BpfLinkInfo, { type: "perf_event"; perfType: "kprobe" | "kretprobe" }>): KprobeInfo;
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
      "CONFIG_KPROBE_EVENTS",
      unlessLockedDown("kprobes"),
      { call: () => probeType("kprobe") },
      { call: () => openNothing("kprobe", NO_NAME, KPROBE_OPEN), errno: "ENOENT" },
    ),
};
