/** The table of link types. What is known of a type from the kernel's side stands in the file of its name. */
import type { Explanation } from "../../error.ts";
import { lazy } from "../../lazy.ts";
import { isOlderThan, kernelRelease } from "../../os/capabilities.ts";
import { type AttachTypeName, attachTypeNumber, type LinkType } from "../../uapi/constants.ts";
import { cgroup, type CgroupCreateOptions, type CgroupLinkInfo } from "./cgroup.ts";
import { iter, type IterCreateOptions, type IterLinkInfo } from "./iter.ts";
import { kprobe_multi, type KprobeMultiCreateOptions, type KprobeMultiLinkInfo } from "./kprobe_multi.ts";
import { netfilter, type NetfilterCreateOptions, type NetfilterLinkInfo } from "./netfilter.ts";
import { netkit, type NetkitCreateOptions, type NetkitLinkInfo } from "./netkit.ts";
import { netns, type NetnsLinkInfo } from "./netns.ts";
import { perf_event, type PerfEventCreateOptions, type PerfEventLinkInfo } from "./perf_event.ts";
import { raw_tracepoint, type RawTracepointLinkInfo } from "./raw_tracepoint.ts";
import type { LinkInfoHead, LinkTypeRow } from "./row.ts";
import { sockmap, type SockmapLinkInfo } from "./sockmap.ts";
import { struct_ops, type StructOpsLinkInfo } from "./struct_ops.ts";
import { tcx, type TcxCreateOptions, type TcxLinkInfo } from "./tcx.ts";
import { tracing, type TracingCreateOptions, type TracingLinkInfo } from "./tracing.ts";
import { tracing_multi, type TracingMultiCreateOptions, type TracingMultiLinkInfo } from "./tracing_multi.ts";
import { uprobe_multi, type UprobeMultiCreateOptions, type UprobeMultiLinkInfo } from "./uprobe_multi.ts";
import { xdp, type XdpLinkInfo } from "./xdp.ts";

/** Info of a link whose type is newer than this package. */
export interface UnknownLinkInfo extends LinkInfoHead<"unknown"> {
  /** The kernel's number of the type. */
  readonly typeNumber: number;
}

/** The info of each {@linkcode LinkType}. */
export interface BpfLinkInfos {
  /** A link to a raw tracepoint. */
  raw_tracepoint: RawTracepointLinkInfo;
  /** A link to a function. */
  tracing: TracingLinkInfo;
  /** A link to a cgroup. */
  cgroup: CgroupLinkInfo;
  /** An iterator's link. */
  iter: IterLinkInfo;
  /** A link to a network namespace. */
  netns: NetnsLinkInfo;
  /** A link to an interface, before the network stack. */
  xdp: XdpLinkInfo;
  /** A link of a struct_ops map. */
  struct_ops: StructOpsLinkInfo;
  /** A link to a netfilter hook. */
  netfilter: NetfilterLinkInfo;
  /** A link to an interface's traffic control hook. */
  tcx: TcxLinkInfo;
  /** A link to a netkit pair. */
  netkit: NetkitLinkInfo;
  /** A link to a map of sockets. */
  sockmap: SockmapLinkInfo;
  /** A link to a perf event, a probe among them. */
  perf_event: PerfEventLinkInfo;
  /** A link to many functions of the kernel, by probes. */
  kprobe_multi: KprobeMultiLinkInfo;
  /** A link to many places in a file. */
  uprobe_multi: UprobeMultiLinkInfo;
  /** A link to many functions of the kernel. */
  tracing_multi: TracingMultiLinkInfo;
  /** A link of a type that is newer than this package. */
  unknown: UnknownLinkInfo;
}

/**
 * What the kernel reports of a link: the fields of `struct bpf_link_info`, named as there.
 *
 * A detached link has 0 in `cgroupId`, `netnsIno`, `ifindex` or `mapId`. Optional fields are absent where this kernel
 * does not report them; `netnsIno` of interfaces is reported to iterator programs only.
 */
export type BpfLinkInfo = BpfLinkInfos[LinkType];

/** Options of {@linkcode linkCreate}, named as in `struct bpf_link_create_opts`; at most one of the objects. */
export interface LinkCreateOptions
  extends
    CgroupCreateOptions,
    IterCreateOptions,
    KprobeMultiCreateOptions,
    NetfilterCreateOptions,
    NetkitCreateOptions,
    PerfEventCreateOptions,
    TcxCreateOptions,
    TracingCreateOptions,
    TracingMultiCreateOptions,
    UprobeMultiCreateOptions {
  /**
   * xdp: XDP_FLAGS_SKB_MODE (2), DRV_MODE (4) or HW_MODE (8). tcx, netkit, cgroup: BPF_F_BEFORE (8), AFTER (16),
   * ID (32), LINK (8192), and for cgroup PREORDER (64). All others: 0.
   */
  flags?: number | undefined;
  /**
   * An fd of the network namespace to make the call in, for types that attach in the caller's: xdp, tcx, netkit and
   * netfilter. Not part of libbpf: the calling thread goes there and comes back within the call.
   */
  netns?: number | undefined;
}

/** The types that this package knows. */
export type KnownLinkType = Exclude<LinkType, "unknown">;

/** A row of the table, of whichever type. */
export type AnyLinkTypeRow = LinkTypeRow<BpfLinkInfo, LinkCreateOptions>;

/** Each link type. */
export const TYPES: { readonly [T in KnownLinkType]: LinkTypeRow<BpfLinkInfos[T], LinkCreateOptions> } = {
  raw_tracepoint,
  tracing,
  cgroup,
  iter,
  netns,
  xdp,
  perf_event,
  kprobe_multi,
  struct_ops,
  netfilter,
  tcx,
  uprobe_multi,
  netkit,
  sockmap,
  tracing_multi,
};

// a listing asks for each link, and a Map answers sooner than the table
const rows = lazy(() => new Map(Object.entries<AnyLinkTypeRow>(TYPES) as [LinkType, AnyLinkTypeRow][]));

/** The row of a type; none of one that is newer than this package. */
export function rowOf(type: LinkType): AnyLinkTypeRow | undefined {
  return rows().get(type);
}

const typesOfAttachTypes = lazy(() => {
  const types: KnownLinkType[] = [];
  for (const type of Object.keys(TYPES) as KnownLinkType[]) {
    for (const name of TYPES[type].attachTypes) types[attachTypeNumber(name, "attachType")] = type;
  }
  return types;
});

/** The type of link that LINK_CREATE makes for an attach type. */
export function typeOfAttachType(attachType: number): KnownLinkType | undefined {
  return typesOfAttachTypes()[attachType];
}

/** The row of that type. */
export function rowOfAttachType(attachType: number): AnyLinkTypeRow | undefined {
  const type = typeOfAttachType(attachType);
  return type && TYPES[type];
}

/** The explanation, if links of an attach type came later than this kernel. */
export function tooOld(attachType: AttachTypeName): Explanation | undefined {
  const number = attachTypeNumber(attachType, "attachType"), row = rowOfAttachType(number);
  const ownSince = row?.attachTypesSince?.[attachType], since = ownSince ?? row?.since;
  if (since === undefined || !isOlderThan(since)) return undefined;
  return {
    reason: "unsupported",
    meaning: `this kernel has no ${ownSince === undefined ? typesOfAttachTypes()[number] : attachType} links`,
    hint: `they came with Linux ${since}; this is ${kernelRelease()}`,
  };
}
