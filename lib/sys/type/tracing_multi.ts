/** Links to many functions of the kernel at once. */
import { checkKeys, checkU32 } from "../../check.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { type AttachType, attachTypeName } from "../../uapi/constants.ts";
import { encodeLongs, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** One function of a tracing_multi link. */
export interface TracedFunction {
  /** Its id in the BTF object. */
  readonly id: number;
  /** Its address; 0n for callers that may not read kernel symbols. */
  readonly addr: bigint;
  /** Its cookie. */
  readonly cookie: bigint;
}

/** Info of a link to many functions of the kernel. */
export interface TracingMultiLinkInfo extends LinkInfoHead<"tracing_multi"> {
  /** As what the program is attached. */
  readonly attachType: AttachType;
  /** The id of the BTF object that has the functions. */
  readonly btfObjId: number;
  /** The functions. */
  readonly functions: readonly TracedFunction[];
}

/** What LINK_CREATE takes for many functions. */
export interface TracingMultiCreateOptions {
  /** tracing_multi: functions by their ids in the kernel's BTF, with a cookie each. */
  tracingMulti?: { ids: readonly number[]; cookies?: readonly bigint[] | undefined } | undefined;
}

const at = bpf_link_info.tracing_multi, createAt = link_create.tracing_multi;

export const tracing_multi: LinkTypeRow<TracingMultiLinkInfo, TracingMultiCreateOptions> = {
  since: "7.2",
  attachTypes: ["trace_fentry_multi", "trace_fexit_multi", "trace_fsession_multi"],
  hasUpdate: false,
  refusals: () => ({
    EBUSY: ["busy", "the program is attached to one of the functions already"],
    E2BIG: ["limit", "there are more functions than one link takes (2 ** 20)"],
    EINVAL: [
      "invalid",
      "an id is no function's that can be traced, one comes twice, there is none, or the program was not loaded for this",
      'load it with expectedAttachType "trace_fentry_multi", "trace_fexit_multi" or "trace_fsession_multi"',
    ],
  }),
  options: {
    fields: ["tracingMulti"],
    size: () => createAt.sizeof,
    encode(request, { tracingMulti }): void {
      const name = "options.tracingMulti";
      checkKeys(tracingMulti, name, ["ids", "cookies"]);
      const { ids, cookies } = tracingMulti!;
      const words = Uint32Array.from(ids, (id, i) => checkU32(id, `${name}.ids[${i}]`));
      request.u32(createAt.cnt, ids.length).data(createAt.ids, new Uint8Array(words.buffer));
      encodeLongs(request, createAt.cookies, cookies, `${name}.cookies`, ids.length);
    },
  },
  asksAgain: true,
  info(answer, id, progId, asker): TracingMultiLinkInfo {
    const count = answer.u32(at.count);
    const [again, rooms] = asker.ask((question) => {
      question.set(at.count, count);
      return {
        ids: question.room(at.ids, count * 4),
        addrs: question.room(at.addrs, count * 8),
        cookies: question.room(at.cookies, count * 8),
      };
    });
    const functions = Array.from({ length: count }, (_, i): TracedFunction => ({
      id: again.u32(rooms.ids + i * 4),
      addr: again.u64(rooms.addrs + i * 8),
      cookie: again.u64(rooms.cookies + i * 8),
    }));
    const attachType = attachTypeName(answer.u32(at.attach_type)), btfObjId = answer.u32(at.btf_obj_id);
    return { type: "tracing_multi", id, progId, attachType, btfObjId, functions };
  },
  fdinfo(lines, id, progId): TracingMultiLinkInfo {
    const rows = Array.from(lines.text.matchAll(/^(\d+)\t (\d+)\t (\d+)\t /gm), (row) => row.slice(1));
    const functions = rows.map(([, id, cookie]) => ({ id: Number(id), addr: 0n, cookie: BigInt(cookie!) }));
    const attachType = attachTypeName(lines.u32("attach_type")), btfObjId = Number(rows[0]?.[0] ?? 0);
    return { type: "tracing_multi", id, progId, attachType, btfObjId, functions };
  },
};
