/**
 * The public contract of the entry point `.`, stated a second time and on its own: whoever changes the API has to say so here.
 *
 * Plain types are written out; classes appear as the shape of their instances (`LinkShape`) and of themselves
 * (`LinkClass`). What is not built yet is not listed yet.
 */
import type { ATTACH_TYPES, BpfError, BpfMap, Hook, Link, MAP_TYPES, Program, PROGRAM_TYPES } from "../../mod.ts";

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
/** Arguments are closed: a typing error is one. Each known name is compared with the tables in types_test.ts. */
export type AttachTypeName = (typeof ATTACH_TYPES)[number] | `attach_type_${number}`;
export type CgroupAttachTypeName = Extract<AttachTypeName, `cgroup_${string}` | "lsm_cgroup">;
export type ProgramTypeName = (typeof PROGRAM_TYPES)[number] | `program_type_${number}`;
export type MapTypeName = (typeof MAP_TYPES)[number] | `map_type_${number}`;

// Targets
export type Device = string | number;
export type Netns = string | URL | number;
export type LinkAnchor = AnyLink | Link | { linkId: number };
export type Anchor = LinkAnchor | Program | { programId: number };
export type Position<A = Anchor> = "first" | "last" | { before: A } | { after: A };
export interface CgroupTarget {
  type: "cgroup";
  cgroup: string | URL | number;
  attachType?: CgroupAttachTypeName | undefined;
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
export interface NetkitTarget {
  type: "netkit";
  device: Device;
  netns?: Netns | undefined;
  peer?: boolean | undefined;
  position?: Position | undefined;
  expectedRevision?: bigint | undefined;
}
export interface NetfilterTarget {
  type: "netfilter";
  netns?: Netns | undefined;
  family: "ipv4" | "ipv6";
  hook: "prerouting" | "local_in" | "forward" | "local_out" | "postrouting";
  priority: number;
  defragment?: boolean | undefined;
}
export interface NetnsTarget {
  type: "netns";
  netns?: Netns | undefined;
  attachType?: "sk_lookup" | "flow_dissector" | undefined;
}
export type CgroupOrder = "self_only" | "descendants_pre" | "descendants_post" | "ancestors_up";
export interface SockmapTarget {
  type: "sockmap";
  map: BpfMap;
  attachType?: "sk_msg_verdict" | "sk_skb_stream_parser" | "sk_skb_stream_verdict" | "sk_skb_verdict" | undefined;
}
export interface StructOpsTarget {
  type: "struct_ops";
}
export interface IterTarget {
  type: "iter";
  map?: BpfMap | undefined;
  cgroup?: { cgroup: string | URL | number | { id: bigint }; order?: CgroupOrder | undefined } | undefined;
  task?: { tid: number } | { pid: number } | { pidfd: number } | undefined;
}
export interface RawTracepointTarget {
  type: "raw_tracepoint";
  name: string;
  cookie?: bigint | undefined;
}
export interface TpBtfTarget {
  type: "tp_btf";
  cookie?: bigint | undefined;
}
export interface TracingTarget {
  type: "tracing";
  cookie?: bigint | undefined;
  replace?: { program: Program; symbol: string } | { program: Program; btfId: number } | undefined;
}
export interface PerfEvent {
  type: "hardware" | "software" | "cache" | "raw" | "breakpoint" | number;
  config: bigint | string;
  config1?: bigint | undefined;
  config2?: bigint | undefined;
  breakpoint?:
    | { address: bigint; length: 1 | 2 | 4 | 8; access: "read" | "write" | "readwrite" | "execute" }
    | undefined;
  cpu?: number | undefined;
  pid?: number | undefined;
  samplePeriod?: bigint | undefined;
  sampleFrequency?: bigint | undefined;
  excludeUser?: boolean | undefined;
  excludeKernel?: boolean | undefined;
}
export interface PerfEventTarget {
  type: "perf_event";
  event: number | PerfEvent;
  cookie?: bigint | undefined;
}
export interface TracepointTarget {
  type: "tracepoint";
  category: string;
  name: string;
  cookie?: bigint | undefined;
}
export type KprobeTarget =
  & {
    type: "kprobe";
    offset?: number | undefined;
    retprobe?: boolean | undefined;
    cookie?: bigint | undefined;
  }
  & ({ symbol: string; address?: undefined } | { address: bigint; symbol?: undefined });
export type UprobeTarget =
  & {
    type: "uprobe";
    path: string | URL;
    pid?: number | undefined;
    retprobe?: boolean | undefined;
    referenceCounterOffset?: number | undefined;
    cookie?: bigint | undefined;
  }
  & ({ symbol: string; offset?: number | undefined } | { offset: number; symbol?: undefined });
export type KprobeMultiTarget =
  & {
    type: "kprobe_multi";
    cookies?: readonly bigint[] | undefined;
    retprobe?: boolean | undefined;
    session?: boolean | undefined;
  }
  & ({ symbols: readonly string[] } | { pattern: string } | { addresses: readonly bigint[] });
export type UprobeMultiTarget =
  & {
    type: "uprobe_multi";
    path: string | URL;
    pid?: number | undefined;
    referenceCounterOffsets?: readonly number[] | undefined;
    cookies?: readonly bigint[] | undefined;
    retprobe?: boolean | undefined;
    session?: boolean | undefined;
  }
  & ({ symbols: readonly string[] } | { pattern: string } | { offsets: readonly number[] });
export interface AttachTargets {
  perf_event: PerfEventTarget;
  tracepoint: TracepointTarget;
  kprobe: KprobeTarget;
  uprobe: UprobeTarget;
  kprobe_multi: KprobeMultiTarget;
  uprobe_multi: UprobeMultiTarget;
  cgroup: CgroupTarget;
  xdp: XdpTarget;
  tcx: TcxTarget;
  netns: NetnsTarget;
  iter: IterTarget;
  raw_tracepoint: RawTracepointTarget;
  netkit: NetkitTarget;
  netfilter: NetfilterTarget;
  tp_btf: TpBtfTarget;
  tracing: TracingTarget;
  sockmap: SockmapTarget;
  struct_ops: StructOpsTarget;
}
export type TargetType = keyof AttachTargets;
export type AttachTarget = AttachTargets[TargetType];
export type LinkTypeOf<K extends TargetType> = K extends "kprobe" | "uprobe" | "tracepoint" ? "perf_event"
  : K extends "tp_btf" ? "raw_tracepoint"
  : Extract<K, LinkType>;
export type SourceOf<K extends TargetType> = K extends "struct_ops" ? BpfMap : Program;

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
export interface KprobeInfo extends LinkInfoBase {
  type: "perf_event";
  event: "kprobe" | "kretprobe";
  symbol?: string;
  offset: number;
  address?: bigint;
  missed?: number;
  cookie?: bigint;
}
export interface UprobeInfo extends LinkInfoBase {
  type: "perf_event";
  event: "uprobe" | "uretprobe";
  path: string;
  offset: number;
  referenceCounterOffset?: number;
  cookie?: bigint;
}
export interface TracepointInfo extends LinkInfoBase {
  type: "perf_event";
  event: "tracepoint";
  name: string;
  cookie?: bigint;
}
export interface EventInfo extends LinkInfoBase {
  type: "perf_event";
  event: "event";
  eventType: number;
  config: bigint;
  cookie?: bigint;
}
export interface UnknownEventInfo extends LinkInfoBase {
  type: "perf_event";
  event: "unknown";
}
export interface KprobeMultiInfo extends LinkInfoBase {
  type: "kprobe_multi";
  count: number;
  retprobe: boolean;
  missed?: number;
  addresses: { address?: bigint; cookie?: bigint }[];
}
export interface UprobeMultiInfo extends LinkInfoBase {
  type: "uprobe_multi";
  path: string;
  pid?: number;
  count: number;
  retprobe: boolean;
  offsets: { offset: number; referenceCounterOffset?: number; cookie?: bigint }[];
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
export interface NetkitInfo extends LinkInfoBase {
  type: "netkit";
  ifindex: number;
  netnsIno?: number;
  attachType: "netkit_primary" | "netkit_peer";
}
export interface NetfilterInfo extends LinkInfoBase {
  type: "netfilter";
  family: "ipv4" | "ipv6";
  hook: NetfilterTarget["hook"];
  priority: number;
  defragment?: boolean;
}
export interface TracingInfo extends LinkInfoBase {
  type: "tracing";
  attachType: AttachType;
  targetObjectId?: number;
  targetBtfId?: number;
  cookie?: bigint;
}
export interface TracingMultiInfo extends LinkInfoBase {
  type: "tracing_multi";
  attachType: AttachType;
  count: number;
  btfObjectId: number;
  functions: { btfId: number; address?: bigint; cookie?: bigint }[];
}
export interface UnknownInfo extends LinkInfoBase {
  type: "unknown";
  typeNumber: number;
}
export interface SockmapInfo extends LinkInfoBase {
  type: "sockmap";
  mapId: number;
  attachType: AttachType;
}
export interface StructOpsInfo extends LinkInfoBase {
  type: "struct_ops";
  mapId: number;
}
export interface LinkInfos {
  sockmap: SockmapInfo;
  struct_ops: StructOpsInfo;
  raw_tracepoint: RawTracepointInfo;
  netkit: NetkitInfo;
  netfilter: NetfilterInfo;
  tracing: TracingInfo;
  tracing_multi: TracingMultiInfo;
  cgroup: CgroupInfo;
  iter: IterInfo;
  netns: NetnsInfo;
  xdp: XdpInfo;
  tcx: TcxInfo;
  perf_event: KprobeInfo | UprobeInfo | TracepointInfo | EventInfo | UnknownEventInfo;
  kprobe_multi: KprobeMultiInfo;
  uprobe_multi: UprobeMultiInfo;
  unknown: UnknownInfo;
}

// Options and results
export interface AttachOptions {
  signal?: AbortSignal | undefined;
  onClose?: "detach" | "keep" | undefined;
}
export type Source = "iterator" | "syscall" | "proc";
export interface ListOptions {
  source?: Source | undefined;
  types?: readonly LinkType[] | undefined;
  signal?: AbortSignal | undefined;
}
export interface LinkListing extends AsyncIterableIterator<LinkInfos[keyof LinkInfos], void, void>, AsyncDisposable {
  readonly source: Source;
  readonly partial: boolean;
}
export type LinkEvent =
  | { kind: "present" | "added" | "removed"; info: LinkInfos[keyof LinkInfos] }
  | {
    kind: "changed";
    before: LinkInfos[keyof LinkInfos];
    after: LinkInfos[keyof LinkInfos];
    what: readonly ("program" | "attached" | "target")[];
  };
export interface LinkWatcher extends AsyncIterableIterator<LinkEvent, void, void>, Disposable, AsyncDisposable {
  close(): void;
  readonly source: Source;
  readonly partial: boolean;
  readonly settled: Promise<void>;
}
export interface WaitOptions {
  signal?: AbortSignal | undefined;
  intervalMs?: number | undefined;
}
export type LinkHolder = { kind: "process"; pid: number; command: string; fd: number } | { kind: "pin"; path: string };
export interface HoldersOptions {
  signal?: AbortSignal | undefined;
}
export interface LinkHolders {
  readonly holders: readonly LinkHolder[];
  readonly partial: boolean;
}
export interface LinkGroup extends Iterable<AnyLink>, Disposable, AsyncDisposable {
  readonly links: readonly AnyLink[];
}
export interface EnsuredLink<T extends LinkType = LinkType> extends Disposable, AsyncDisposable {
  readonly link: Link<T>;
  readonly outcome: "created" | "updated" | "replaced";
}
export type AttachEntry<K extends TargetType = TargetType> = {
  [P in K]: readonly [source: SourceOf<P>, target: AttachTargets[P]];
}[K];

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
  update: (source: Program | BpfMap, options?: { expected?: Program | BpfMap | undefined }) => void;
  attached: () => boolean | undefined;
  untilDetached: (options?: WaitOptions) => Promise<void>;
  holders: () => LinkHolders;
  holdersAsync: (options?: HoldersOptions) => Promise<LinkHolders>;
  toJSON: () => Record<string, unknown>;
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
  lines(
    this: Link<"iter">,
    options?: { signal?: AbortSignal | undefined },
  ): AsyncIterableIterator<string, void, void>;
}
export interface LinkClass {
  traceLeaks: boolean;
  open: (id: number) => AnyLink;
  openPinned: (path: string | URL) => AnyLink;
  fromFd: (fd: number) => AnyLink;
  all: (options?: ListOptions) => AsyncGenerator<AnyLink, void, void>;
  infos: (options?: ListOptions) => LinkListing;
  list: (options?: ListOptions) => LinkInfos[keyof LinkInfos][];
  watch: (options?: ListOptions & { intervalMs?: number | undefined }) => LinkWatcher;
  attachAll: (entries: readonly AttachEntry[], options?: AttachOptions) => LinkGroup;
  attachAllAsync: (entries: readonly AttachEntry[], options?: AttachOptions) => Promise<LinkGroup>;
  untilGone: (id: number, options?: WaitOptions) => Promise<void>;
  holdersOf: (ids: readonly number[]) => Map<number, LinkHolders>;
  holdersOfAsync: (ids: readonly number[], options?: HoldersOptions) => Promise<Map<number, LinkHolders>>;
}
/** `Link.attach` for one kind of target, and its twin. */
export type Attach<K extends TargetType> = (
  source: SourceOf<K>,
  target: AttachTargets[K],
  options?: AttachOptions,
) => Link<LinkTypeOf<K>>;
export type AttachAsync<K extends TargetType> = (
  source: SourceOf<K>,
  target: AttachTargets[K],
  options?: AttachOptions,
) => Promise<Link<LinkTypeOf<K>>>;
/** `Link.ensurePinned` for one kind of target. */
export type EnsurePinned<K extends TargetType> = (
  path: string | URL,
  source: SourceOf<K>,
  target: AttachTargets[K],
  options?: { replace?: boolean | undefined },
) => EnsuredLink<LinkTypeOf<K>>;

// Program
export interface ProgramLoadOptions {
  type: ProgramTypeName;
  instructions: ArrayBufferView;
  license?: string | undefined;
  name?: string | undefined;
  expectedAttachType?: AttachTypeName | undefined;
  attachTo?:
    | string
    | { btfId: number; module?: string | undefined }
    | { program: Program; symbol: string }
    | { struct: string; member: string }
    | undefined;
  btf?: number | undefined;
  functionInfo?: ArrayBufferView | undefined;
  lineInfo?: ArrayBufferView | undefined;
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
  btfId?: number;
}
export interface ProgramRunOptions {
  data?: ArrayBufferView | undefined;
  context?: ArrayBufferView | undefined;
  repeat?: number | undefined;
  cpu?: number | undefined;
  dataSize?: number | undefined;
}
export interface ProgramRun {
  returnValue: number;
  durationNs: number;
  data: Uint8Array<ArrayBuffer>;
  context: Uint8Array<ArrayBuffer>;
}
export interface ProgramShape extends Disposable {
  readonly id: number;
  readonly name: string;
  readonly type: ProgramType;
  readonly tag: string;
  readonly fd: number;
  readonly closed: boolean;
  readonly log: string | undefined;
  info: () => ProgramInfo;
  run: (options?: ProgramRunOptions) => ProgramRun;
  toJSON: () => Record<string, unknown>;
  pin: (path: string | URL) => void;
  unpin: () => void;
  release: () => number;
  close: () => void;
}
export interface ProgramClass {
  load: (options: ProgramLoadOptions) => Program;
  infos: (options?: {
    types?: readonly ProgramTypeName[] | undefined;
    signal?: AbortSignal | undefined;
  }) => AsyncGenerator<ProgramInfo, void, void>;
  open: (id: number) => Program;
  openPinned: (path: string | URL) => Program;
  fromFd: (fd: number) => Program;
}

// BpfMap
export interface MapCreateOptions {
  type: MapTypeName;
  keySize?: number | undefined;
  valueSize?: number | undefined;
  maxEntries: number;
  name?: string | undefined;
  flags?: number | undefined;
  struct?: string | undefined;
  link?: boolean | undefined;
  inner?: BpfMap | undefined;
  token?: number | undefined;
}
export interface MapInfo {
  id: number;
  name: string;
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  extra?: bigint;
  ifindex?: number;
  btfId?: number;
  btfKeyTypeId?: number;
  btfValueTypeId?: number;
  btfVmlinuxValueTypeId?: number;
  frozen?: boolean;
  memory?: number;
}
export interface BpfMapShape extends Disposable {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly fd: number;
  readonly closed: boolean;
  info: () => MapInfo;
  freeze: () => void;
  toJSON: () => Record<string, unknown>;
  lookup: (key: ArrayBufferView) => Uint8Array | undefined;
  update: (key: ArrayBufferView, value: ArrayBufferView, options?: { create?: boolean | undefined }) => void;
  delete: (key: ArrayBufferView) => boolean;
  updateAll: (
    entries: Iterable<readonly [ArrayBufferView, ArrayBufferView]>,
    options?: { create?: boolean | undefined },
  ) => void;
  deleteAll: (keys: Iterable<ArrayBufferView>) => number;
  keys: () => IterableIterator<Uint8Array, void, void>;
  entries: () => IterableIterator<[Uint8Array, Uint8Array], void, void>;
  records: (options?: { signal?: AbortSignal | undefined }) => AsyncIterableIterator<Uint8Array, void, void>;
  pin: (path: string | URL) => void;
  unpin: () => void;
  release: () => number;
  close: () => void;
}
export interface BpfMapClass {
  create: (options: MapCreateOptions) => BpfMap;
  infos: (options?: {
    types?: readonly MapTypeName[] | undefined;
    signal?: AbortSignal | undefined;
  }) => AsyncGenerator<MapInfo, void, void>;
  open: (id: number) => BpfMap;
  openPinned: (path: string | URL) => BpfMap;
  fromFd: (fd: number) => BpfMap;
}

// What there is
export interface ProbeAnswer {
  answer: "yes" | "no" | "unknown";
  reason?: string;
}
export interface TargetProbe {
  attach: ProbeAnswer;
  update: ProbeAnswer;
  detach: ProbeAnswer;
  cookie: ProbeAnswer;
  position: ProbeAnswer;
}

// Hook
export type HookTarget =
  | Omit<TcxTarget, "position" | "expectedRevision">
  | Omit<NetkitTarget, "position" | "expectedRevision">
  | Omit<CgroupTarget, "position" | "expectedRevision">
  | NetnsTarget
  | SockmapTarget
  | Omit<XdpTarget, "mode">;
export interface HookEntry {
  programId: number;
  programName?: string;
  linkId?: number;
  attachFlags: number;
}
export interface HookShape {
  refresh: () => Hook;
  toJSON: () => Record<string, unknown>;
  readonly revision: bigint | undefined;
  readonly entries: readonly HookEntry[];
  readonly effective: readonly HookEntry[];
  attach: (
    program: Program,
    place: (entries: readonly HookEntry[]) => Position,
    options?: AttachOptions,
  ) => AnyLink;
}
export interface HookClass {
  query: (target: HookTarget) => Hook;
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
  toJSON: () => Record<string, unknown>;
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
  BpfMap: BpfMapClass;
  Hook: HookClass;
  Names: new () => {
    program: (id: number | undefined) => string | undefined;
    device: (info: LinkInfos[keyof LinkInfos]) => string | undefined;
    cgroup: (info: LinkInfos[keyof LinkInfos]) => string | undefined;
    place: (info: LinkInfos[keyof LinkInfos]) => string;
  };
  BpfError: abstract new (...args: never) => BpfError;
  setLibraryPath: (path: string | URL) => void;
  libraryBytes: () => Uint8Array;
  openHandles: () => readonly Handle[];
  probe: () => Record<TargetType, TargetProbe>;
  toJson: (info: LinkInfos[keyof LinkInfos] | ProgramInfo | MapInfo | LinkEvent) => Record<string, unknown>;
}
