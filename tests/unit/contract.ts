/**
 * The public contract of the entry point `.`, stated a second time and on its own: whoever changes the API has to say so here.
 *
 * Plain types are written out; classes appear as the shape of their instances (`LinkShape`) and of themselves
 * (`LinkClass`). What is not built yet is not listed yet.
 */
import type { BpfError, Link, Program } from "../../mod.ts";

export type LinkType =
  | "raw_tracepoint"
  | "tracing"
  | "cgroup"
  | "iter"
  | "netns"
  | "xdp"
  | "perf_event"
  | "kprobe_multi"
  | "struct_ops"
  | "netfilter"
  | "tcx"
  | "uprobe_multi"
  | "netkit"
  | "sockmap"
  | "tracing_multi"
  | "unknown";
export type CgroupAttachType = `cgroup_${string}` | "lsm_cgroup";
export type AttachType = string;
export type ProgramType = string;

// Targets
export type Device = string | number;
export type Netns = string | URL | number;
export type LinkAnchor = AnyLink | Link | { linkId: number };
export type Anchor = LinkAnchor | Program | { programId: number };
export type Position<A = Anchor> = "first" | "last" | { before: A } | { after: A };
export interface CgroupTarget {
  type: "cgroup";
  cgroup: string | URL | number;
  attachType?: CgroupAttachType | undefined;
  position?: Position<LinkAnchor> | undefined;
  preorder?: boolean | undefined;
  expectedRevision?: bigint | undefined;
}
export interface XdpTarget {
  type: "xdp";
  device: Device;
  netns?: Netns | undefined;
  mode?: "generic" | "native" | "offload" | undefined;
}
export interface TcxTarget {
  type: "tcx";
  device: Device;
  netns?: Netns | undefined;
  direction: "ingress" | "egress";
  position?: Position | undefined;
  expectedRevision?: bigint | undefined;
}
export interface NetnsTarget {
  type: "netns";
  netns?: Netns | undefined;
  attachType?: "sk_lookup" | "flow_dissector" | undefined;
}
export type CgroupOrder = "self_only" | "descendants_pre" | "descendants_post" | "ancestors_up";
export interface IterTarget {
  type: "iter";
  cgroup?: { cgroup: string | URL | number | { id: bigint }; order?: CgroupOrder | undefined } | undefined;
  task?: { tid: number } | { pid: number } | { pidfd: number } | undefined;
}
export interface RawTracepointTarget {
  type: "raw_tracepoint";
  name: string;
  cookie?: bigint | undefined;
}
export interface AttachTargets {
  cgroup: CgroupTarget;
  xdp: XdpTarget;
  tcx: TcxTarget;
  netns: NetnsTarget;
  iter: IterTarget;
  raw_tracepoint: RawTracepointTarget;
}
export type TargetType = keyof AttachTargets;
export type AttachTarget = AttachTargets[TargetType];
export type LinkTypeOf<K extends TargetType> = Extract<K, LinkType>;

// Infos
export interface LinkInfoBase {
  id: number;
  programId?: number;
  attached?: boolean;
}
export interface RawTracepointInfo extends LinkInfoBase {
  type: "raw_tracepoint";
  name: string;
  cookie?: bigint;
}
export interface CgroupInfo extends LinkInfoBase {
  type: "cgroup";
  cgroupId: bigint;
  attachType: CgroupAttachType;
}
export interface IterInfo extends LinkInfoBase {
  type: "iter";
  targetName: string;
  mapId?: number;
  cgroupId?: bigint;
  order?: CgroupOrder;
  tid?: number;
  pid?: number;
}
export interface NetnsInfo extends LinkInfoBase {
  type: "netns";
  netnsIno: number;
  attachType: AttachType;
}
export interface XdpInfo extends LinkInfoBase {
  type: "xdp";
  ifindex: number;
  netnsIno?: number;
}
export interface TcxInfo extends LinkInfoBase {
  type: "tcx";
  ifindex: number;
  netnsIno?: number;
  attachType: "tcx_ingress" | "tcx_egress";
}
export interface UnknownInfo extends LinkInfoBase {
  type: "unknown";
  typeNumber: number;
}
export interface LinkInfos {
  raw_tracepoint: RawTracepointInfo;
  cgroup: CgroupInfo;
  iter: IterInfo;
  netns: NetnsInfo;
  xdp: XdpInfo;
  tcx: TcxInfo;
  unknown: UnknownInfo;
}

// Options and results
export interface AttachOptions {
  signal?: AbortSignal | undefined;
  onClose?: "detach" | "keep" | undefined;
}
export interface ListOptions {
  types?: readonly LinkType[] | undefined;
  signal?: AbortSignal | undefined;
}
export interface LinkListing extends AsyncIterableIterator<LinkInfos[keyof LinkInfos], void, void>, AsyncDisposable {
  readonly source: "iterator" | "syscall" | "proc";
  readonly partial: boolean;
}

// Link
export type AnyLink = { [K in LinkType]: Link<K> }[LinkType];
export interface LinkShape<T extends LinkType> extends Disposable, AsyncDisposable {
  readonly id: number;
  readonly type: T;
  readonly fd: number;
  readonly closed: boolean;
  readonly pinnedPath: string | undefined;
  onClose: "detach" | "keep";
  is<U extends LinkType>(type: U): boolean;
  update: (source: Program, options?: { expected?: Program | undefined }) => void;
  attached: () => boolean | undefined;
  detach: () => void;
  detachAsync: () => Promise<void>;
  pin: (path: string | URL) => void;
  unpin: () => void;
  release: () => number;
  close: () => void;
  closeAsync: () => Promise<void>;
}
/** What iter links have besides. */
export interface IterLinkShape extends LinkShape<"iter"> {
  read(this: Link<"iter">): Uint8Array;
  lines(this: Link<"iter">): AsyncIterableIterator<string, void, void>;
}
export interface LinkClass {
  traceLeaks: boolean;
  open: (id: number) => AnyLink;
  openPinned: (path: string | URL) => AnyLink;
  fromFd: (fd: number) => AnyLink;
  all: (options?: ListOptions) => AsyncGenerator<AnyLink, void, void>;
  infos: (options?: ListOptions) => LinkListing;
}
/** `Link.attach` for one kind of target, and its twin. */
export type Attach<K extends TargetType> = (
  source: Program,
  target: AttachTargets[K],
  options?: AttachOptions,
) => Link<LinkTypeOf<K>>;
export type AttachAsync<K extends TargetType> = (
  source: Program,
  target: AttachTargets[K],
  options?: AttachOptions,
) => Promise<Link<LinkTypeOf<K>>>;

// Program
export interface ProgramLoadOptions {
  type: ProgramType;
  instructions: Uint8Array;
  license?: string | undefined;
  name?: string | undefined;
  expectedAttachType?: AttachType | undefined;
  attachTo?: string | { btfId: number } | undefined;
  btf?: number | undefined;
  functionInfo?: Uint8Array | undefined;
  lineInfo?: Uint8Array | undefined;
  sleepable?: boolean | undefined;
  fragments?: boolean | undefined;
  device?: Device | undefined;
  token?: number | undefined;
  log?: { level?: number | undefined; size?: number | undefined } | undefined;
}
export interface ProgramInfo {
  id: number;
  name: string;
  type: ProgramType;
  tag: string;
  mapIds: readonly number[];
  loadedAt?: bigint;
  uid?: number;
  runTimeNs?: bigint;
  runCount?: bigint;
}
export interface ProgramShape extends Disposable {
  readonly id: number;
  readonly name: string;
  readonly type: ProgramType;
  readonly tag: string;
  readonly fd: number;
  readonly closed: boolean;
  info: () => ProgramInfo;
  pin: (path: string | URL) => void;
  unpin: () => void;
  release: () => number;
  close: () => void;
}
export interface ProgramClass {
  load: (options: ProgramLoadOptions) => Program;
  open: (id: number) => Program;
  openPinned: (path: string | URL) => Program;
  fromFd: (fd: number) => Program;
}

// Errors, the library, tests of users
export interface BpfErrorShape extends Error {
  readonly code: string;
  readonly errno: number;
  readonly command: string;
  readonly hint: string | undefined;
  readonly reason:
    | "mismatch"
    | "stale"
    | "policy"
    | "capability"
    | "gone"
    | "exists"
    | "busy"
    | "limit"
    | "unsupported"
    | "invalid"
    | "unsettled"
    | "other";
  readonly log?: string;
}
export interface Handle {
  kind: "link" | "program" | "map";
  fd: number;
  origin?: string;
}

/** The values that the module exports. */
export interface Module {
  Link: LinkClass;
  Program: ProgramClass;
  BpfError: abstract new (...args: never) => BpfError;
  setLibraryPath: (path: string | URL) => void;
  libraryBytes: () => Uint8Array;
  openHandles: () => readonly Handle[];
  toJson: (info: LinkInfos[keyof LinkInfos]) => Record<string, unknown>;
}
