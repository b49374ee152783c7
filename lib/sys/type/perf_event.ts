/** Links to perf events, probes among them. */
import { checkKeys, checkU64 } from "../../check.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { PATH_MAX } from "../../uapi/linux.ts";
import type { Answer, Asker, Fdinfo, LinkInfoHead, LinkTypeRow } from "./row.ts";

/** The event behind a perf_event link; `unspec` from kernels before 6.6, which report nothing. */
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

/** Info of a link to a perf event. */
export type PerfEventLinkInfo = LinkInfoHead<"perf_event"> & PerfEventFields;

/** What LINK_CREATE takes for a perf event. */
export interface PerfEventCreateOptions {
  /** perf_event: what the program reads with `bpf_get_attach_cookie`. */
  perfEvent?: { bpfCookie: bigint } | undefined;
}

const PERF_TYPES = ["unspec", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event"] as const;
const at = bpf_link_info.perf_event, createAt = link_create.perf_event;

export const perf_event: LinkTypeRow<PerfEventLinkInfo, PerfEventCreateOptions> = {
  since: "5.15",
  attachTypes: ["perf_event"],
  hasUpdate: false,
  refusals: () => ({
    EBADF: ["invalid", "the target is no perf event"],
    EEXIST: ["exists", "another program is attached to this event", "open an event of your own"],
    EINVAL: ["invalid", "the program's type does not fit the event"],
    EACCES: ["invalid", "the program reads beyond the tracepoint's record", "check the format file of the tracepoint"],
    EPROTO: [
      "invalid",
      "the program asks for stacks, but the event samples none",
      "set PERF_SAMPLE_CALLCHAIN on the event",
    ],
  }),
  options: {
    fields: ["perfEvent"],
    size: () => createAt.sizeof,
    encode(request, { perfEvent }): void {
      checkKeys(perfEvent, "options.perfEvent", ["bpfCookie"]);
      request.u64(createAt.bpf_cookie, checkU64(perfEvent!.bpfCookie, "options.perfEvent.bpfCookie"));
    },
  },
  asksAgain: true,
  info: (answer, id, progId, asker) => ({ type: "perf_event", id, progId, ...event(answer, asker) }),
  fdinfoTypes: ["perf", "perf_event"],
  fdinfo: (lines, id, progId) => ({ type: "perf_event", id, progId, ...eventFromFdinfo(lines) }),
  bare: (id, progId) => ({ type: "perf_event", id, progId, perfType: "unspec" }),
};

function event(answer: Answer, asker: Asker): PerfEventFields {
  const { uprobe, kprobe, tracepoint, event } = at;
  const perfType = PERF_TYPES[answer.u32(at.type)] ?? "unspec";
  if (perfType === "unspec") return { perfType };
  const cookieOf = (of: Answer, key: string, at: number) => optional("cookie", asker.known(key, at, of.u64(at)));
  if (perfType === "event") {
    const config = answer.u64(event.config), eventType = answer.u32(event.type);
    return { perfType, config, eventType, ...cookieOf(answer, "event", event.cookie) };
  }
  // names lie at the same place; some kernels answer 0 if asked for the length
  const [again, nameAt] = asker.ask((question) =>
    question.set(tracepoint.name_len, PATH_MAX).room(tracepoint.tp_name, PATH_MAX)
  );
  const name = again.string(nameAt, PATH_MAX);
  switch (perfType) {
    case "tracepoint":
      return { perfType, tpName: name, ...cookieOf(again, "tracepoint", tracepoint.cookie) };
    case "kprobe":
    case "kretprobe":
      return {
        perfType,
        funcName: name,
        offset: again.u32(kprobe.offset),
        addr: again.u64(kprobe.addr),
        ...optional("missed", asker.known("kprobe missed", kprobe.missed, again.u64(kprobe.missed))),
        ...cookieOf(again, "kprobe", kprobe.cookie),
      };
    default: {
      const counterAt = uprobe.ref_ctr_offset;
      return {
        perfType,
        fileName: name,
        offset: again.u32(uprobe.offset),
        ...cookieOf(again, "uprobe", uprobe.cookie),
        ...optional("refCtrOffset", asker.known("uprobe reference counter", counterAt, again.u64(counterAt))),
      };
    }
  }
}

function optional<K extends string>(key: K, value: bigint | undefined): { [P in K]?: bigint } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: bigint };
}

/** Nothing before 6.18. */
function eventFromFdinfo(lines: Fdinfo): PerfEventFields {
  const perfType = PERF_TYPES.find((type) => type === lines.string("event_type")) ?? "unspec";
  const name = lines.string("name"), offset = lines.u32("offset"), cookie = lines.optional("cookie", "cookie");
  switch (perfType) {
    case "uprobe":
    case "uretprobe":
      return { perfType, fileName: name, offset, ...cookie, ...lines.optional("ref_ctr_offset", "refCtrOffset") };
    case "kprobe":
    case "kretprobe": {
      const missed = lines.optional("missed", "missed");
      return { perfType, funcName: name, offset, addr: lines.u64("addr"), ...missed, ...cookie };
    }
    case "tracepoint":
      return { perfType, tpName: lines.string("tp_name"), ...cookie };
    case "event":
      return { perfType, config: lines.u64("config"), eventType: lines.u32("type"), ...cookie };
    case "unspec":
      return { perfType };
  }
}
