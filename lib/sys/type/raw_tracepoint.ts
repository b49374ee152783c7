/** Links to raw tracepoints, which RAW_TRACEPOINT_OPEN makes. */
import { bpf_link_info } from "../../uapi/layout.ts";
import { C, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a raw tracepoint. */
export interface RawTracepointLinkInfo extends LinkInfoHead<"raw_tracepoint"> {
  /** The tracepoint's name. */
  readonly tpName: string;
  /** The cookie; since Linux 6.17. */
  readonly cookie?: bigint;
}

const at = bpf_link_info.raw_tracepoint;

export const raw_tracepoint: LinkTypeRow<RawTracepointLinkInfo, object> = {
  since: "5.7",
  attachTypes: [],
  hasUpdate: false,
  refusals: () => ({}),
  asksAgain: true,
  info(answer, id, progId, asker): RawTracepointLinkInfo {
    const tpName = asker.text(at.tp_name, at.tp_name_len, answer.u32(at.tp_name_len));
    const cookie = asker.known("raw_tracepoint", at.cookie, answer.u64(at.cookie));
    return { type: "raw_tracepoint", id, progId, tpName, ...cookie === undefined ? {} : { cookie } };
  },
  fdinfo: (lines, id, progId) => ({
    type: "raw_tracepoint",
    id,
    progId,
    tpName: lines.string("tp_name"),
    ...lines.optional("cookie", "cookie"),
  }),
  record: {
    struct: "bpf_raw_tp_link",
    fields: [],
    more: [[C, "cookie"]],
    name: "btp.tp.name",
    read(words, longs, at, filled, tpName): RawTracepointLinkInfo {
      const id = words[at + 1]!, progId = words[at + 2]!;
      return filled.has(C)
        ? { type: "raw_tracepoint", id, progId, tpName, cookie: longs[(at + C) >> 1]! }
        : { type: "raw_tracepoint", id, progId, tpName };
    },
  },
};
