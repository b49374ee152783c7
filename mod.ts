/**
 * eBPF links for Deno: what ties a program to a place in the kernel, as a value with a scope.
 *
 * `using _link = Link.attach(...)` holds it, the end of the scope takes it away, and every link of the machine can be
 * read. Linux 5.10 and newer on x86_64 and aarch64; the only permission is `--allow-ffi`, which amounts to full trust.
 *
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * using _link = Link.attach(program, { type: "netns" });
 * for await (const info of Link.infos()) console.log(info);
 * ```
 *
 * Below this entry point lies `@bpf/link/sys`: libbpf's calls on plain fds.
 *
 * @module
 */
export type { EnsureAsyncOptions, EnsuredLink, EnsureOptions } from "./lib/ensure_pinned.ts";
export { BpfError, type BpfErrorInit, type Explanation, type Reason } from "./lib/error.ts";
export { libraryBytes, setLibraryPath } from "./lib/ffi/library.ts";
export type { AttachEntry, LinkGroup } from "./lib/group.ts";
export { type HandleKind } from "./lib/handle/brand.ts";
export type { PinOptions } from "./lib/handle/owned.ts";
export { type OpenHandle, openHandles } from "./lib/handle/open_handles.ts";
export { Hook, type HookEntry, type HookTarget } from "./lib/hook.ts";
export type { HoldersOptions, LinkHolder, LinkHolders } from "./lib/holders.ts";
export type { Netns } from "./lib/kind/target.ts";
export type { CgroupInfo, CgroupTarget } from "./lib/kind/cgroup.ts";
export type { Device } from "./lib/kind/target.ts";
export type { LinkInfoBase } from "./lib/kind/kind.ts";
export type { CgroupOrder, IterInfo, IterTarget } from "./lib/kind/iter.ts";
export type { KprobeInfo, KprobeTarget } from "./lib/kind/kprobe.ts";
export type { KprobeMultiInfo, KprobeMultiTarget } from "./lib/kind/kprobe_multi.ts";
export {
  type AttachTarget,
  type AttachTargets,
  type LinkInfo,
  type LinkInfos,
  type LinkTypeOf,
  type SourceOf,
  type TargetType,
  type UnknownInfo,
} from "./lib/kind/mod.ts";
export type { NetfilterInfo, NetfilterTarget } from "./lib/kind/netfilter.ts";
export type { NetkitInfo, NetkitTarget } from "./lib/kind/netkit.ts";
export type { NetnsInfo, NetnsTarget } from "./lib/kind/netns.ts";
export type { EventInfo, PerfEvent, PerfEventTarget, UnknownEventInfo } from "./lib/kind/perf_event.ts";
export type { Anchor, LinkAnchor, Position } from "./lib/kind/position.ts";
export type { RawTracepointInfo, RawTracepointTarget } from "./lib/kind/raw_tracepoint.ts";
export type { SockmapInfo, SockmapTarget } from "./lib/kind/sockmap.ts";
export type { StructOpsInfo, StructOpsTarget } from "./lib/kind/struct_ops.ts";
export type { TcxInfo, TcxTarget } from "./lib/kind/tcx.ts";
export type { TracepointInfo, TracepointTarget } from "./lib/kind/tracepoint.ts";
export type { TpBtfTarget } from "./lib/kind/tp_btf.ts";
export type { TracingInfo, TracingTarget } from "./lib/kind/tracing.ts";
export type { TracingMultiInfo } from "./lib/kind/tracing_multi.ts";
export type { UprobeInfo, UprobeTarget } from "./lib/kind/uprobe.ts";
export type { UprobeMultiInfo, UprobeMultiTarget } from "./lib/kind/uprobe_multi.ts";
export type { XdpInfo, XdpTarget } from "./lib/kind/xdp.ts";
export { toJson } from "./lib/json.ts";
export { type AnyLink, Link, type LinkOf } from "./lib/link.ts";
export { type MadeCgroup, makeCgroup } from "./lib/cgroup.ts";
export { type AttachOptions } from "./lib/kind/attach.ts";
export type { LinkList, LinkListing, ListOptions, Source } from "./lib/links.ts";
export type { ObjectListOptions } from "./lib/listing/objects.ts";
export { Names } from "./lib/names.ts";
export { BpfMap, type EnsureMapOptions, type MapCreateOptions, type MapInfo } from "./lib/map.ts";
export type { EventRecord, RecordOptions, RecordStream } from "./lib/records.ts";
export { probe, type ProbeAnswer, type TargetProbe } from "./lib/probe.ts";
export type { AttachTo } from "./lib/btf/load_target.ts";
export {
  Program,
  type ProgramInfo,
  type ProgramLoadOptions,
  type ProgramRun,
  type ProgramRunOptions,
} from "./lib/program.ts";
export {
  ATTACH_TYPES,
  type AttachType,
  type AttachTypeName,
  type CgroupAttachType,
  type CgroupAttachTypeName,
  LINK_TYPES,
  type LinkType,
  MAP_TYPES,
  type MapType,
  type MapTypeName,
  PROGRAM_TYPES,
  type ProgramType,
  type ProgramTypeName,
} from "./lib/uapi/constants.ts";
export type { WaitOptions } from "./lib/wait.ts";
export type { LinkEvent, LinkWatcher, WatchOptions } from "./lib/watch.ts";
