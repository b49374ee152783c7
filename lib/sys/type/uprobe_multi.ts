/** Links to many places in a file. */
import { checkKeys, checkString, checkU32 } from "../../check.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { PATH_MAX } from "../../uapi/linux.ts";
import { A, B, C, encodeLongs, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** One place of an uprobe_multi link. */
export interface ProbedOffset {
  /** Where in the file, in bytes. */
  readonly offset: bigint;
  /** Where in the file its reference counter is, in bytes; 0n if it has none. */
  readonly refCtrOffset: bigint;
  /** Its cookie. */
  readonly cookie: bigint;
}

/** Info of a link to many places in a file; all but the head since Linux 6.8. */
export interface UprobeMultiLinkInfo extends LinkInfoHead<"uprobe_multi"> {
  /** The file, as the asking process sees it. */
  readonly path: string;
  /** How many places. */
  readonly count: number;
  /** 1 if the program runs when functions return. */
  readonly flags: number;
  /** The one process; 0 if it is every process. */
  readonly pid: number;
  /** The places, in the order in which they were given. */
  readonly places: readonly ProbedOffset[];
}

/** What LINK_CREATE takes for many places in a file. */
export interface UprobeMultiCreateOptions {
  /** uprobe_multi: places in a file, with a cookie and a reference counter each; flag 1 is "at return"; pid 0 is every process. */
  uprobeMulti?:
    | {
      path: string;
      offsets: readonly bigint[];
      refCtrOffsets?: readonly bigint[] | undefined;
      cookies?: readonly bigint[] | undefined;
      flags?: number | undefined;
      pid?: number | undefined;
    }
    | undefined;
}

const at = bpf_link_info.uprobe_multi, createAt = link_create.uprobe_multi;

export const uprobe_multi: LinkTypeRow<UprobeMultiLinkInfo, UprobeMultiCreateOptions> = {
  since: "6.6",
  attachTypes: ["trace_uprobe_multi", "trace_uprobe_session"],
  attachTypesSince: { trace_uprobe_session: "6.13" },
  hasUpdate: false,
  refusals: () => ({
    ENOENT: ["gone", "there is no such file"],
    EBADF: ["invalid", "the path is no regular file"],
    ESRCH: ["gone", "there is no such process"],
    E2BIG: ["limit", "there are more offsets than one link takes (2 ** 20)"],
    ENOTSUPP: [
      "invalid",
      "an offset does not begin an instruction that can be probed",
      "take offsets from the symbol table",
    ],
    EINVAL: [
      "invalid",
      "an offset lies outside of the file, there is none, or the program was not loaded for this",
      'load it with expectedAttachType "trace_uprobe_multi", or "trace_uprobe_session" for session',
    ],
  }),
  options: {
    fields: ["uprobeMulti"],
    size: () => createAt.sizeof,
    encode(request, { uprobeMulti }): void {
      const name = "options.uprobeMulti";
      checkKeys(uprobeMulti, name, ["path", "offsets", "refCtrOffsets", "cookies", "flags", "pid"]);
      const { path, offsets, refCtrOffsets, cookies, flags = 0, pid = 0 } = uprobeMulti!;
      const count = offsets.length;
      request.u32(createAt.cnt, count)
        .u32(createAt.flags, checkU32(flags, `${name}.flags`))
        .u32(createAt.pid, checkU32(pid, `${name}.pid`))
        .string(createAt.path, checkString(path, `${name}.path`));
      encodeLongs(request, createAt.offsets, offsets, `${name}.offsets`, count);
      encodeLongs(request, createAt.ref_ctr_offsets, refCtrOffsets, `${name}.refCtrOffsets`, count);
      encodeLongs(request, createAt.cookies, cookies, `${name}.cookies`, count);
    },
  },
  asksAgain: true,
  info(answer, id, progId, asker): UprobeMultiLinkInfo {
    const count = answer.u32(at.count), flags = answer.u32(at.flags), pid = answer.u32(at.pid);
    // before Linux 6.8, whose struct has no room for a question
    if (count === 0) return { type: "uprobe_multi", id, progId, path: "", count, flags, pid, places: [] };
    const [again, rooms] = asker.ask((question) => {
      question.set(at.path_size, PATH_MAX).set(at.count, count);
      return {
        path: question.room(at.path, PATH_MAX),
        offsets: question.room(at.offsets, count * 8),
        counters: question.room(at.ref_ctr_offsets, count * 8),
        cookies: question.room(at.cookies, count * 8),
      };
    });
    const places = Array.from({ length: count }, (_, i): ProbedOffset => ({
      offset: again.u64(rooms.offsets + i * 8),
      refCtrOffset: again.u64(rooms.counters + i * 8),
      cookie: again.u64(rooms.cookies + i * 8),
    }));
    const path = again.string(rooms.path, PATH_MAX);
    return { type: "uprobe_multi", id, progId, path, count, flags, pid, places };
  },
  fdinfoTypes: ["uprobe_multi", "uretprobe_multi"],
  fdinfo(lines, id, progId): UprobeMultiLinkInfo | undefined {
    if (!lines.has("uprobe_cnt")) return undefined; // before Linux 6.17
    const rows = lines.text.matchAll(/^(\d+)\t (0x\w+)\t (0x\w+)$/gm);
    return {
      type: "uprobe_multi",
      id,
      progId,
      path: lines.string("path"),
      count: lines.u32("uprobe_cnt"),
      flags: Number(lines.type !== "uprobe_multi"),
      pid: lines.u32("pid"),
      places: Array.from(rows, ([, cookie, offset, counter]) => ({
        offset: BigInt(offset!),
        refCtrOffset: BigInt(counter!),
        cookie: BigInt(cookie!),
      })),
    };
  },
  record: {
    struct: "bpf_uprobe_multi_link",
    fields: [[A, "cnt"], [B, "flags", "link.flags"]],
    more: [[C, "task.tgid"]],
    isIncomplete: true,
    read: (words, _longs, at) => ({
      type: "uprobe_multi",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      path: "",
      count: words[at + A]!,
      flags: words[at + B]!,
      pid: words[at + C]!,
      places: [],
    }),
  },
};
