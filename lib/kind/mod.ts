/** The table of all kinds: what can be attached to, what it makes, and how its info is read. */
import { kindOf } from "../check.ts";
import { lazy } from "../lazy.ts";
import type { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { LinkType } from "../uapi/constants.ts";
import { cgroup, type CgroupInfo, type CgroupTarget } from "./cgroup.ts";
import { iter, type IterInfo, type IterTarget } from "./iter.ts";
import type { HookKind, Kind, LinkInfoBase, LinkKind } from "./kind.ts";
import { kprobe, type KprobeInfo, type KprobeTarget } from "./kprobe.ts";
import { kprobe_multi, type KprobeMultiInfo, type KprobeMultiTarget } from "./kprobe_multi.ts";
import { netfilter, type NetfilterInfo, type NetfilterTarget } from "./netfilter.ts";
import { netkit, type NetkitInfo, type NetkitTarget } from "./netkit.ts";
import { netns, type NetnsInfo, type NetnsTarget } from "./netns.ts";
import { type EventInfo, perf_event, type PerfEventTarget, type UnknownEventInfo } from "./perf_event.ts";
import { raw_tracepoint, type RawTracepointInfo, type RawTracepointTarget } from "./raw_tracepoint.ts";
import { sockmap, type SockmapInfo, type SockmapTarget } from "./sockmap.ts";
import { struct_ops, type StructOpsInfo, type StructOpsTarget } from "./struct_ops.ts";
import { tcx, type TcxInfo, type TcxTarget } from "./tcx.ts";
import { tp_btf, type TpBtfTarget } from "./tp_btf.ts";
import { tracepoint, type TracepointInfo, type TracepointTarget } from "./tracepoint.ts";
import { tracing, type TracingInfo, type TracingTarget } from "./tracing.ts";
import { tracing_multi, type TracingMultiInfo } from "./tracing_multi.ts";
import { uprobe, type UprobeInfo, type UprobeTarget } from "./uprobe.ts";
import { uprobe_multi, type UprobeMultiInfo, type UprobeMultiTarget } from "./uprobe_multi.ts";
import { xdp, type XdpInfo, type XdpTarget } from "./xdp.ts";

/** The target of each {@linkcode TargetType}. */
export interface AttachTargets {
  /** A cgroup. */
  cgroup: CgroupTarget;
  /** An interface, before the network stack. */
  xdp: XdpTarget;
  /** An interface's traffic control hooks. */
  tcx: TcxTarget;
  /** A netkit pair's hooks. */
  netkit: NetkitTarget;
  /** A network namespace. */
  netns: NetnsTarget;
  /** A network namespace's netfilter hooks. */
  netfilter: NetfilterTarget;
  /** A map of sockets. */
  sockmap: SockmapTarget;
  /** An iterator. */
  iter: IterTarget;
  /** A raw tracepoint. */
  raw_tracepoint: RawTracepointTarget;
  /** A tracepoint with typed arguments, which the program was loaded for. */
  tp_btf: TpBtfTarget;
  /** A function, which the program was loaded for or replaces. */
  tracing: TracingTarget;
  /** An event that the kernel or the hardware counts. */
  perf_event: PerfEventTarget;
  /** A tracepoint, with its record. */
  tracepoint: TracepointTarget;
  /** A place in the kernel's code. */
  kprobe: KprobeTarget;
  /** A place in an executable or a library. */
  uprobe: UprobeTarget;
  /** Many functions of the kernel. */
  kprobe_multi: KprobeMultiTarget;
  /** Many places in an executable or a library. */
  uprobe_multi: UprobeMultiTarget;
  /** Something that a struct of functions implements; what is attached is a map. */
  struct_ops: StructOpsTarget;
}

/** What a link can be attached to, as the `type` of a target says. */
export type TargetType = keyof AttachTargets;

/** Any target; its `type` tells which. */
export type AttachTarget = AttachTargets[TargetType];

/** The type of the link that a target makes. */
export type LinkTypeOf<K extends TargetType> = K extends "kprobe" | "uprobe" | "tracepoint" ? "perf_event"
  : K extends "tp_btf" ? "raw_tracepoint"
  : Extract<K, LinkType>;

/** What is attached to a target: a program, or for struct_ops a map. */
export type SourceOf<K extends TargetType> = K extends "struct_ops" ? BpfMap : Program;

/** Info of a link of a type that is newer than this package. */
export interface UnknownInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "unknown";
  /** The kernel's number of the type. */
  typeNumber: number;
}

/** The info of each {@linkcode LinkType}. */
export interface LinkInfos {
  /** A link to a raw tracepoint. */
  raw_tracepoint: RawTracepointInfo;
  /** A link to a function. */
  tracing: TracingInfo;
  /** A link to a cgroup. */
  cgroup: CgroupInfo;
  /** An iterator's link. */
  iter: IterInfo;
  /** A link to a network namespace. */
  netns: NetnsInfo;
  /** A link to an interface, before the network stack. */
  xdp: XdpInfo;
  /** A link to a netfilter hook. */
  netfilter: NetfilterInfo;
  /** A link to an interface's traffic control hooks. */
  tcx: TcxInfo;
  /** A link to a netkit pair. */
  netkit: NetkitInfo;
  /** A link to many functions. */
  tracing_multi: TracingMultiInfo;
  /** A link to a perf event, a probe among them. */
  perf_event: KprobeInfo | UprobeInfo | TracepointInfo | EventInfo | UnknownEventInfo;
  /** A link to many functions of the kernel. */
  kprobe_multi: KprobeMultiInfo;
  /** A link to many places in a file. */
  uprobe_multi: UprobeMultiInfo;
  /** A link to a map of sockets. */
  sockmap: SockmapInfo;
  /** A link of a struct_ops map. */
  struct_ops: StructOpsInfo;
  /** A link of a type that is newer than this package. */
  unknown: UnknownInfo;
}

/** What the kernel reports of a link; its `type` says which fields there are. */
export type LinkInfo<T extends LinkType = LinkType> = LinkInfos[T];

/** A kind by the type of its targets. */
export type KindOf<K extends TargetType> = Kind<AttachTargets[K], LinkTypeOf<K>, SourceOf<K>>;

/** Each kind of target. */
export const KINDS: { readonly [K in TargetType]: KindOf<K> } = {
  cgroup,
  xdp,
  tcx,
  netkit,
  netns,
  netfilter,
  sockmap,
  iter,
  raw_tracepoint,
  tp_btf,
  tracing,
  perf_event,
  tracepoint,
  kprobe,
  uprobe,
  kprobe_multi,
  uprobe_multi,
  struct_ops,
};

/** Links of a type that is newer than this package. */
const unknown: LinkKind<"unknown", UnknownInfo> = {
  read: ({ id, progId, typeNumber }) => ({ type: "unknown", id, programId: progId, typeNumber }),
  where: ({ typeNumber }) => `type number ${typeNumber}`,
};

/** Each type of links. */
const LINK_KINDS: { readonly [T in LinkType]: LinkKind<T, LinkInfos[T]> } = {
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
  unknown,
};

/** The kind of links of a type, whichever it is. */
export function linkKindOf(type: LinkType): LinkKind<LinkType, LinkInfo> {
  return LINK_KINDS[type] as LinkKind<LinkType, LinkInfo>;
}

/** The places that the kernel can be asked about, by the type of their links. */
export const hookKinds: () => ReadonlyMap<LinkType, HookKind<never>> = lazy(() =>
  new Map(
    Object.values(KINDS).flatMap(({ linkType, hook }) =>
      hook === undefined ? [] : [[linkType, hook as HookKind<never>]]
    ),
  )
);

const kinds = lazy(() => new Map<string, KindOf<TargetType>>(Object.entries(KINDS)));

/** The kind of a target. */
export function kindFor<K extends TargetType>(target: { type: K }): KindOf<K> {
  if (typeof target !== "object" || target === null) {
    throw new TypeError(`target must be an object, not ${kindOf(target)}`);
  }
  return kinds().get(target.type) as KindOf<K> | undefined ?? throwNoKind(target.type);
}

function throwNoKind(type: unknown): never {
  throw new TypeError(
    `target.type must be one of ${Object.keys(KINDS).map((type) => `"${type}"`).join(", ")}, not ${
      typeof type === "string" ? `"${type}"` : kindOf(type)
    }`,
  );
}

/** What the kernel reported of a link, in the terms of this package. */
export function readInfo(info: BpfLinkInfo): LinkInfo {
  return linkKindOf(info.type).read(info);
}
