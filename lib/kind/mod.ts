/** The table of all kinds: what can be attached to, what it makes, and how its info is read. */
import { kindOf } from "../check.ts";
import type { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { LinkType } from "../uapi/types.ts";
import { type CgroupInfo, type CgroupTarget, describeCgroup, prepareCgroup, readCgroup, updateCgroup } from "./cgroup.ts";
import { describeIter, type IterInfo, type IterTarget, prepareIter, readIter } from "./iter.ts";
import type { LinkInfoBase, UpdatedLink } from "./kind.ts";
import { describeKprobe, type KprobeInfo, type KprobeTarget, prepareKprobe } from "./kprobe.ts";
import { describeKprobeMulti, type KprobeMultiInfo, type KprobeMultiTarget, prepareKprobeMulti, readKprobeMulti } from "./kprobe_multi.ts";
import { describeNetfilter, type NetfilterInfo, type NetfilterTarget, prepareNetfilter, readNetfilter } from "./netfilter.ts";
import { type NetkitInfo, type NetkitTarget, prepareNetkit, readNetkit } from "./netkit.ts";
import { describeNetns, type NetnsInfo, type NetnsTarget, prepareNetns, readNetns } from "./netns.ts";
import { describePerfEvent, type EventInfo, type PerfEventTarget, preparePerfEvent, readPerfEvent, type UnknownEventInfo } from "./perf_event.ts";
import { describeRawTracepoint, prepareRawTracepoint, type RawTracepointInfo, type RawTracepointTarget, readRawTracepoint } from "./raw_tracepoint.ts";
import { describeSockmap, prepareSockmap, readSockmap, type SockmapInfo, type SockmapTarget } from "./sockmap.ts";
import { describeStructOps, prepareStructOps, readStructOps, type StructOpsInfo, type StructOpsTarget, updateStructOps } from "./struct_ops.ts";
import { type Attachment, describeInterface } from "./target.ts";
import { prepareTcx, readTcx, type TcxInfo, type TcxTarget } from "./tcx.ts";
import { describeTpBtf, prepareTpBtf, type TpBtfTarget } from "./tp_btf.ts";
import { describeTracepoint, prepareTracepoint, type TracepointInfo, type TracepointTarget } from "./tracepoint.ts";
import { describeTracing, prepareTracing, readTracing, type TracingInfo, type TracingTarget } from "./tracing.ts";
import { readTracingMulti, type TracingMultiInfo } from "./tracing_multi.ts";
import { describeUprobe, prepareUprobe, type UprobeInfo, type UprobeTarget } from "./uprobe.ts";
import { describeUprobeMulti, prepareUprobeMulti, readUprobeMulti, type UprobeMultiInfo, type UprobeMultiTarget } from "./uprobe_multi.ts";
import { prepareXdp, readXdp, type XdpInfo, type XdpTarget } from "./xdp.ts";

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

/** What the kernel tells of a link; its `type` says which fields there are. */
export type LinkInfo<T extends LinkType = LinkType> = LinkInfos[T];

/** What is special about a kind. */
export interface Kind<K extends TargetType> {
  /** The type of the link. */
  readonly linkType: LinkTypeOf<K>;
  /** Checks a target and turns it into the arguments of one call. */
  prepare(source: SourceOf<K>, target: AttachTargets[K]): Attachment;
  /** The target in an error's words. */
  describe(target: AttachTargets[K]): string;
}

const KINDS: { readonly [K in TargetType]: Kind<K> } = {
  cgroup: { linkType: "cgroup", prepare: prepareCgroup, describe: describeCgroup },
  xdp: { linkType: "xdp", prepare: prepareXdp, describe: describeInterface },
  tcx: { linkType: "tcx", prepare: prepareTcx, describe: describeInterface },
  netkit: { linkType: "netkit", prepare: prepareNetkit, describe: describeInterface },
  netns: { linkType: "netns", prepare: prepareNetns, describe: describeNetns },
  netfilter: { linkType: "netfilter", prepare: prepareNetfilter, describe: describeNetfilter },
  sockmap: { linkType: "sockmap", prepare: prepareSockmap, describe: describeSockmap },
  iter: { linkType: "iter", prepare: prepareIter, describe: describeIter },
  raw_tracepoint: { linkType: "raw_tracepoint", prepare: prepareRawTracepoint, describe: describeRawTracepoint },
  tp_btf: { linkType: "raw_tracepoint", prepare: prepareTpBtf, describe: describeTpBtf },
  tracing: { linkType: "tracing", prepare: prepareTracing, describe: describeTracing },
  perf_event: { linkType: "perf_event", prepare: preparePerfEvent, describe: describePerfEvent },
  tracepoint: { linkType: "perf_event", prepare: prepareTracepoint, describe: describeTracepoint },
  kprobe: { linkType: "perf_event", prepare: prepareKprobe, describe: describeKprobe },
  uprobe: { linkType: "perf_event", prepare: prepareUprobe, describe: describeUprobe },
  kprobe_multi: { linkType: "kprobe_multi", prepare: prepareKprobeMulti, describe: describeKprobeMulti },
  uprobe_multi: { linkType: "uprobe_multi", prepare: prepareUprobeMulti, describe: describeUprobeMulti },
  struct_ops: { linkType: "struct_ops", prepare: prepareStructOps, describe: describeStructOps },
};

/** The kind of a target. */
export function kindFor<K extends TargetType>(target: { type: K }): Kind<K> {
  if (typeof target !== "object" || target === null) {
    throw new TypeError(`target must be an object, not ${kindOf(target)}`);
  }
  if (Object.hasOwn(KINDS, target.type)) return KINDS[target.type];
  throw new TypeError(
    `target.type must be one of ${Object.keys(KINDS).map((type) => `"${type}"`).join(", ")}, not ${
      typeof target.type === "string" ? `"${target.type}"` : kindOf(target.type)
    }`,
  );
}

/** What the kernel told of a link, in the terms of this package. */
export function readInfo(info: BpfLinkInfo): LinkInfo {
  switch (info.type) {
    case "cgroup":
      return readCgroup(info);
    case "xdp":
      return readXdp(info);
    case "tcx":
      return readTcx(info);
    case "netns":
      return readNetns(info);
    case "iter":
      return readIter(info);
    case "raw_tracepoint":
      return readRawTracepoint(info);
    case "netkit":
      return readNetkit(info);
    case "netfilter":
      return readNetfilter(info);
    case "tracing":
      return readTracing(info);
    case "tracing_multi":
      return readTracingMulti(info);
    case "perf_event":
      return readPerfEvent(info);
    case "kprobe_multi":
      return readKprobeMulti(info);
    case "uprobe_multi":
      return readUprobeMulti(info);
    case "sockmap":
      return readSockmap(info);
    case "struct_ops":
      return readStructOps(info);
    case "unknown":
      return { type: "unknown", id: info.id, programId: info.progId, typeNumber: info.typeNumber };
  }
}

/**
 * A link's info as plain JSON: 64-bit values as strings, as protobuf's JSON has them, for they do not fit a number.
 *
 * @param info The info.
 * @returns The same fields, with a string for each bigint.
 *
 * @example
 * ```ts
 * import { Link, toJson } from "@bpf/link";
 *
 * for await (const info of Link.infos()) console.log(JSON.stringify(toJson(info)));
 * ```
 */
export function toJson(info: LinkInfo): Record<string, unknown> {
  return plain(info) as Record<string, unknown>;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

/** How links are updated of the types whose update the kernel does not make safe. */
export const UPDATES: { readonly [T in LinkType]?: Update } = {
  cgroup: updateCgroup as Update,
  struct_ops: updateStructOps as Update,
};

type Update = (
  link: UpdatedLink,
  source: Program | BpfMap,
  expected: Program | BpfMap | undefined,
  action: () => string,
) => void;
