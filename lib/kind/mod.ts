/** The table of all kinds: what can be attached to, what it makes, and how its info is read. */
import type { Program } from "../program.ts";
import { kindOf } from "../sys/check.ts";
import type { BpfLinkInfo } from "../sys/mod.ts";
import { LINK_TYPES } from "../uapi/constants.ts";
import type { LinkType } from "../uapi/types.ts";
import type { Attachment } from "./attachment.ts";
import { type CgroupInfo, type CgroupTarget, describeCgroup, prepareCgroup, readCgroup } from "./cgroup.ts";
import { describeInterface } from "./device.ts";
import type { LinkInfoBase } from "./info.ts";
import { describeIter, type IterInfo, type IterTarget, prepareIter, readIter } from "./iter.ts";
import { describeNetns, type NetnsInfo, type NetnsTarget, prepareNetns, readNetns } from "./netns.ts";
import {
  describeRawTracepoint,
  prepareRawTracepoint,
  type RawTracepointInfo,
  type RawTracepointTarget,
  readRawTracepoint,
} from "./raw_tracepoint.ts";
import { prepareTcx, readTcx, type TcxInfo, type TcxTarget } from "./tcx.ts";
import { prepareXdp, readXdp, type XdpInfo, type XdpTarget } from "./xdp.ts";

/** The target of each {@linkcode TargetType}. */
export interface AttachTargets {
  /** A cgroup. */
  cgroup: CgroupTarget;
  /** An interface, before the network stack. */
  xdp: XdpTarget;
  /** An interface's traffic control hooks. */
  tcx: TcxTarget;
  /** A network namespace. */
  netns: NetnsTarget;
  /** An iterator. */
  iter: IterTarget;
  /** A raw tracepoint. */
  raw_tracepoint: RawTracepointTarget;
}

/** What a link can be attached to, as the `type` of a target says. */
export type TargetType = keyof AttachTargets;

/** Any target; its `type` tells which. */
export type AttachTarget = AttachTargets[TargetType];

/** The type of the link that a target makes. */
export type LinkTypeOf<K extends TargetType> = Extract<K, LinkType>;

/** What is attached to a target. */
export type SourceOf<K extends TargetType> = K extends TargetType ? Program : never;

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
  /** A link to a cgroup. */
  cgroup: CgroupInfo;
  /** An iterator's link. */
  iter: IterInfo;
  /** A link to a network namespace. */
  netns: NetnsInfo;
  /** A link to an interface, before the network stack. */
  xdp: XdpInfo;
  /** A link to an interface's traffic control hooks. */
  tcx: TcxInfo;
  /** A link of a type that is newer than this package. */
  unknown: UnknownInfo;
}

/** What the kernel tells of a link; its `type` says which fields there are. */
export type LinkInfo<T extends LinkType = LinkType> = T extends keyof LinkInfos ? LinkInfos[T] : never;

interface Kind<K extends TargetType> {
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
  netns: { linkType: "netns", prepare: prepareNetns, describe: describeNetns },
  iter: { linkType: "iter", prepare: prepareIter, describe: describeIter },
  raw_tracepoint: { linkType: "raw_tracepoint", prepare: prepareRawTracepoint, describe: describeRawTracepoint },
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
    case "unknown":
      return { type: "unknown", id: info.id, programId: info.progId, typeNumber: info.typeNumber };
    default:
      return { type: "unknown", id: info.id, programId: info.progId, typeNumber: LINK_TYPES.indexOf(info.type) };
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
