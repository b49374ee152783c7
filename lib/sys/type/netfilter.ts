/** Links to netfilter hooks. */
import { checkInteger, checkKeys, checkU32 } from "../../check.ts";
import { isOlderThan } from "../../os/capabilities.ts";
import { bpf_link_info, link_create } from "../../uapi/layout.ts";
import { A, B, C, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a netfilter hook. */
export interface NetfilterLinkInfo extends LinkInfoHead<"netfilter"> {
  /** The protocol family: 2 IPv4, 10 IPv6. */
  readonly pf: number;
  /** The hook's number. */
  readonly hooknum: number;
  /** The order among all that is at the hook. */
  readonly priority: number;
  /** 1 if fragments are put together first. */
  readonly flags?: number;
}

/** What LINK_CREATE takes for a netfilter hook. */
export interface NetfilterCreateOptions {
  /** netfilter: protocol family (2 IPv4, 10 IPv6), hook, priority; flag 1 defragments first. */
  netfilter?: { pf: number; hooknum: number; priority: number; flags?: number | undefined } | undefined;
}

const at = bpf_link_info.netfilter, createAt = link_create.netfilter;

/** Kernels before 6.13 answer 0, except those that have the fix as an update: found when a flag is seen. */
let reportsFlags: boolean | undefined;

export const netfilter: LinkTypeRow<NetfilterLinkInfo, NetfilterCreateOptions> = {
  since: "6.4",
  attachTypes: ["netfilter"],
  hasUpdate: false,
  refusals: () => ({
    EAFNOSUPPORT: ["invalid", "the protocol family is neither IPv4 nor IPv6"],
    EPROTO: ["invalid", "there is no such netfilter hook"],
    ERANGE: [
      "invalid",
      "the priority cannot be used",
      "use a priority between the extremes of 32 bits; defragment needs one above -400",
    ],
    EBUSY: ["busy", "another program has this family, hook and priority", "use another priority"],
    EOPNOTSUPP: ["unsupported", "this kernel does not know the netfilter flags"],
  }),
  options: {
    fields: ["netfilter"],
    size: () => createAt.sizeof,
    encode(request, { netfilter }): void {
      const name = "options.netfilter";
      checkKeys(netfilter, name, ["pf", "hooknum", "priority", "flags"]);
      const { pf, hooknum, priority, flags = 0 } = netfilter!;
      request.u32(createAt.pf, checkU32(pf, `${name}.pf`))
        .u32(createAt.hooknum, checkU32(hooknum, `${name}.hooknum`))
        .u32(createAt.priority, checkInteger(priority, `${name}.priority`, -0x80000000, 0x7fffffff))
        .u32(createAt.flags, checkU32(flags, `${name}.flags`));
    },
  },
  info(answer, id, progId): NetfilterLinkInfo {
    const pf = answer.u32(at.pf), hooknum = answer.u32(at.hooknum), priority = answer.u32(at.priority) | 0;
    const flags = answer.u32(at.flags);
    if (flags !== 0) reportsFlags = true;
    else if (reportsFlags === undefined) {
      const isOlder = isOlderThan("6.13");
      if (isOlder !== undefined) reportsFlags = !isOlder;
    }
    return { type: "netfilter", id, progId, pf, hooknum, priority, ...reportsFlags ? { flags } : {} };
  },
  fdinfo: (lines, id, progId) => ({
    type: "netfilter",
    id,
    progId,
    pf: lines.u32("pf"),
    hooknum: lines.u32("hooknum"),
    priority: lines.u32("prio"),
  }),
  record: {
    struct: "bpf_nf_link",
    fields: [[A, "hook_ops.pf"], [B, "hook_ops.hooknum"], [B + 1, "hook_ops.priority"], [C, "defrag_hook"]],
    read: (words, longs, at) => ({
      type: "netfilter",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      pf: words[at + A]!,
      hooknum: words[at + B]!,
      priority: words[at + B + 1]! | 0,
      flags: longs[(at + C) >> 1]! === 0n ? 0 : 1, // whether there is a hook that puts fragments together
    }),
  },
};
