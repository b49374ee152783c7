/** Links to many functions of the kernel, by probes. */
import { checkKeys, checkU32 } from "../../check.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { A, B, encodeLongs, encodeStrings, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** One function of a kprobe_multi link. */
export interface ProbedFunction {
  /** Its address; 0n for callers that may not read kernel symbols. */
  readonly addr: bigint;
  /** Its cookie; since Linux 6.9. */
  readonly cookie?: bigint;
}

/** Info of a link to many functions of the kernel; all but the head since Linux 6.6. */
export interface KprobeMultiLinkInfo extends LinkInfoHead<"kprobe_multi"> {
  /** How many functions. */
  readonly count: number;
  /** 1 if the program runs when they return. */
  readonly flags: number;
  /** How often the program could not run; since Linux 6.7. */
  readonly missed?: bigint;
  /** The functions, in the order of their addresses. */
  readonly functions: readonly ProbedFunction[];
}

/** What LINK_CREATE takes for many functions. */
export interface KprobeMultiCreateOptions {
  /** kprobe_multi: functions by name or by address, with a cookie each; flag 1 is "at return". */
  kprobeMulti?:
    | {
      flags?: number | undefined;
      syms?: readonly string[] | undefined;
      addrs?: readonly bigint[] | undefined;
      cookies?: readonly bigint[] | undefined;
    }
    | undefined;
}

const at = bpf_link_info.kprobe_multi, createAt = link_create.kprobe_multi;

export const kprobe_multi: LinkTypeRow<KprobeMultiLinkInfo, KprobeMultiCreateOptions> = {
  since: "5.18",
  attachTypes: ["trace_kprobe_multi", "trace_kprobe_session"],
  attachTypesSince: { trace_kprobe_session: "6.10" },
  hasUpdate: false,
  refusals: () => ({
    EINVAL: [
      "invalid",
      "the program was not loaded for this, or the kernel refuses a function",
      'load it with expectedAttachType "trace_kprobe_multi", or "trace_kprobe_session" for session',
    ],
    EOPNOTSUPP: ["unsupported", "this kernel was built without fprobe (CONFIG_FPROBE)", "use kprobe links"],
    ESRCH: [
      "invalid",
      "a symbol is not among the kernel's traceable functions",
      "see available_filter_functions in tracefs",
    ],
    ENOENT: ["invalid", "an address or symbol is no traceable function", "see available_filter_functions in tracefs"],
    E2BIG: ["limit", "there are more functions than one link takes"],
  }),
  options: {
    fields: ["kprobeMulti"],
    size: () => createAt.sizeof,
    encode(request, { kprobeMulti }): void {
      const name = "options.kprobeMulti";
      checkKeys(kprobeMulti, name, ["flags", "syms", "addrs", "cookies"]);
      const { flags = 0, syms, addrs, cookies } = kprobeMulti!;
      const count = (syms ?? addrs)?.length;
      if (count === undefined || (syms !== undefined && addrs !== undefined)) {
        throw new TypeError(`${name} must have syms or addrs, and not both`);
      }
      request.u32(createAt.flags, checkU32(flags, `${name}.flags`)).u32(createAt.cnt, count);
      encodeStrings(request, createAt.syms, syms, `${name}.syms`);
      encodeLongs(request, createAt.addrs, addrs, `${name}.addrs`, count);
      encodeLongs(request, createAt.cookies, cookies, `${name}.cookies`, count);
    },
  },
  asksAgain: true,
  info(answer, id, progId, asker): KprobeMultiLinkInfo {
    const count = answer.u32(at.count), flags = answer.u32(at.flags);
    // before Linux 6.6, whose struct has no room for a question
    if (count === 0) return { type: "kprobe_multi", id, progId, count, flags, functions: [] };
    const missed = asker.known("kprobe_multi missed", at.missed, answer.u64(at.missed));
    const [again, rooms] = asker.ask((question) => {
      question.set(at.count, count);
      const rooms = { addrs: question.room(at.addrs, count * 8), cookies: question.room(at.cookies, count * 8) };
      for (let i = 0; i < count; i++) question.sentinel(rooms.cookies + i * 8);
      return rooms;
    });
    const functions = Array.from({ length: count }, (_, i): ProbedFunction => {
      const addr = again.u64(rooms.addrs + i * 8), cookie = again.written(rooms.cookies + i * 8);
      return cookie === undefined ? { addr } : { addr, cookie };
    });
    const base = { type: "kprobe_multi", id, progId, count, flags, functions } as const;
    return missed === undefined ? base : { ...base, missed };
  },
  fdinfoTypes: ["kprobe_multi", "kretprobe_multi"],
  fdinfo(lines, id, progId): KprobeMultiLinkInfo | undefined {
    if (!lines.has("kprobe_cnt")) return undefined; // before Linux 6.17
    return {
      type: "kprobe_multi",
      id,
      progId,
      count: lines.u32("kprobe_cnt"),
      flags: Number(lines.type !== "kprobe_multi"),
      ...lines.optional("missed", "missed"),
      functions: [],
    };
  },
  record: {
    struct: "bpf_kprobe_multi_link",
    fields: [[A, "cnt"], [B, "flags", "link.flags"]],
    isIncomplete: true,
    read: (words, _longs, at) => ({
      type: "kprobe_multi",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      count: words[at + A]!,
      flags: words[at + B]!,
      functions: [],
    }),
  },
};
