/** Links to functions: of the kernel, of its security hooks, of other programs. */
import { checkKeys, checkU32, checkU64 } from "../../check.ts";
import type { Explanation } from "../../error.ts";
import { isOlderThan, kernelRelease } from "../../os/capabilities.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { type AttachType, attachTypeName } from "../../uapi/constants.ts";
import { A, B, C, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a function. */
export interface TracingLinkInfo extends LinkInfoHead<"tracing"> {
  /** As what the program is attached; for an extension 0, `cgroup_inet_ingress`. */
  readonly attachType: AttachType;
  /** The id of the program or BTF object that has the function; since Linux 5.13. */
  readonly targetObjId?: number;
  /** The function's id in the BTF of that; since Linux 5.13. */
  readonly targetBtfId?: number;
  /** The cookie; since Linux 6.17. */
  readonly cookie?: bigint;
}

/** What LINK_CREATE takes for a function. */
export interface TracingCreateOptions {
  /** freplace: the function to replace in the program whose fd is `targetFd`. */
  targetBtfId?: number | undefined;
  /** fentry, fexit, fmod_ret, lsm, tp_btf, freplace: the cookie. */
  tracing?: { cookie: bigint } | undefined;
}

const at = bpf_link_info.tracing, createAt = link_create.tracing;

export const tracing: LinkTypeRow<TracingLinkInfo, TracingCreateOptions> = {
  since: "5.7",
  attachTypes: ["trace_raw_tp", "trace_fentry", "trace_fexit", "trace_fsession", "modify_return", "lsm_mac"],
  attachTypesSince: { trace_fsession: "7.0" },
  hasUpdate: false,
  place: "targetBtfId",
  refusals: () => ({
    EBUSY: ["busy", "the program is attached to this target already, or an extension is in the way"],
    E2BIG: ["limit", "the function has its 38 programs already", "detach one of them first"],
    EINVAL: [
      "invalid",
      "the program does not fit the target, or the kernel does not know the cookie",
      "only a program of type ext replaces a function, and one that is like its own; cookies came with Linux 5.19",
    ],
  }),
  tooOld(options): Explanation | undefined {
    if (options?.targetBtfId !== undefined || !isOlderThan("5.19")) return undefined;
    return {
      reason: "unsupported",
      meaning: "LINK_CREATE of this kernel takes no tracing programs, and cookies go with it alone",
      hint: `it does since Linux 5.19, this is ${kernelRelease()}; without a cookie RAW_TRACEPOINT_OPEN attaches them`,
    };
  },
  options: {
    fields: ["targetBtfId", "tracing"],
    size: ({ tracing }) => tracing === undefined ? createAt.cookie : createAt.sizeof,
    encode(request, { targetBtfId = 0, tracing }): void {
      request.u32(createAt.target_btf_id, checkU32(targetBtfId, "options.targetBtfId"));
      if (tracing === undefined) return;
      checkKeys(tracing, "options.tracing", ["cookie"]);
      request.u64(createAt.cookie, checkU64(tracing.cookie, "options.tracing.cookie"));
    },
  },
  asksAgain: true,
  info(answer, id, progId, asker): TracingLinkInfo {
    const attachType = attachTypeName(answer.u32(at.attach_type));
    const targetObjId = answer.u32(at.target_obj_id), targetBtfId = answer.u32(at.target_btf_id);
    const cookie = asker.known("tracing", at.cookie, answer.u64(at.cookie));
    return {
      type: "tracing",
      id,
      progId,
      attachType,
      ...targetBtfId === 0 ? {} : { targetObjId, targetBtfId }, // before 5.13 the kernel reports neither
      ...cookie === undefined ? {} : { cookie },
    };
  },
  fdinfo(lines, id, progId): TracingLinkInfo {
    const attachType = attachTypeName(lines.u32("attach_type"));
    const targetObjId = lines.u32("target_obj_id"), targetBtfId = lines.u32("target_btf_id");
    const target = targetBtfId === 0 ? {} : { targetObjId, targetBtfId };
    return { type: "tracing", id, progId, attachType, ...target, ...lines.optional("cookie", "cookie") };
  },
  record: {
    struct: "bpf_tracing_link",
    fields: [[A, "link.link.attach_type", "link.attach_type", "attach_type"], [B, "trampoline.key"]],
    more: [[C, "link.node.cookie", "link.cookie"]],
    read(words, longs, at, filled): TracingLinkInfo {
      const id = words[at + 1]!, progId = words[at + 2]!, attachType = attachTypeName(words[at + A]!);
      // its highest bit distinguishes programs from the kernel
      const targetBtfId = words[at + B]! & 0x7fffffff, targetObjId = words[at + B + 1]!;
      return filled.has(C)
        ? { type: "tracing", id, progId, attachType, targetObjId, targetBtfId, cookie: longs[(at + C) >> 1]! }
        : { type: "tracing", id, progId, attachType, targetObjId, targetBtfId };
    },
  },
};
