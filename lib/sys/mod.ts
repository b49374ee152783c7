/**
 * libbpf's low-level calls on links and their neighbours, under libbpf's names in camel case: plain fds in, fds out, a
 * {@linkcode BpfError} on failure.
 *
 * Nothing here is closed by itself: each fd that a call returns is closed with {@linkcode close}, or lives until the
 * process ends. The classes of `@bpf/link` are built on these calls and on nothing else; use them unless you need what
 * only the kernel's own terms can say.
 *
 * The doc comments say what the kernels 5.10 to 7.3 do, which differs from libbpf's documentation in places; a test
 * provokes every sentence. Lists of errnos leave out what any call may answer when the machine is out of memory
 * (ENOMEM) or of open files (ENFILE). What needs no capability needs CAP_BPF before Linux 5.19 all the same, if
 * `kernel.unprivileged_bpf_disabled` is set.
 *
 * ```ts
 * import { close, linkGetFdById, linkGetInfoByFd, linkGetNextId } from "@bpf/link/sys";
 *
 * const id = linkGetNextId(0);
 * if (id !== undefined) {
 *   const fd = linkGetFdById(id);
 *   console.log(linkGetInfoByFd(fd));
 *   close(fd);
 * }
 * ```
 *
 * ## Guide: coming from libbpf, cilium/ebpf or bpftool
 *
 * For those who know what they look for under another name. The calls of this entry point have the names of libbpf in
 * camel case, without `bpf_`: `linkCreate` is `bpf_link_create`, `progQuery` is `bpf_prog_query_opts`. The rest:
 *
 * | here | libbpf | cilium/ebpf | bpftool |
 * | --- | --- | --- | --- |
 * | `BpfObject.load` | `bpf_object__open_file`, `bpf_object__load` | `ebpf.LoadCollection` | `prog loadall` |
 * | `object.program` | `bpf_object__find_program_by_name` | `Collection.Programs` | |
 * | `object.map` | `bpf_object__find_map_by_name` | `Collection.Maps` | |
 * | `object.globals` | the skeleton's `data`, `bss`, `rodata` | `Collection.Variables` | |
 * | `object.attach` | `bpf_program__attach` | | | |
 * | `object.attachAll` | `bpf_object__attach_skeleton` | | | |
 * | `map.get`, `map.set` | `bpf_map__lookup_elem`, `bpf_map__update_elem` | `Map.Lookup`, `Map.Put` | `map lookup` |
 * | `map.events` | `ring_buffer__new`, `perf_buffer__new` | `ringbuf.NewReader` | `map event_pipe` |
 * | `BpfMap.create` | `bpf_map_create` | `ebpf.NewMap` | `map create` |
 * | `Program.load` | `bpf_prog_load` | `ebpf.NewProgram` | `prog load` |
 * | `Program.openPinned` | `bpf_obj_get` | `ebpf.LoadPinnedProgram` | `prog show pinned` |
 * | `program.pin` | `bpf_program__pin` | `Program.Pin` | `prog pin` |
 * | `program.run` | `bpf_prog_test_run_opts` | `Program.Run` | `prog run` |
 * | `CgroupTarget` | `bpf_program__attach_cgroup` | `link.AttachCgroup` | |
 * | `XdpTarget` | `bpf_program__attach_xdp` | `link.AttachXDP` | `net attach` (no link) |
 * | `TcxTarget` | `bpf_program__attach_tcx` | `link.AttachTCX` | |
 * | `NetkitTarget` | `bpf_program__attach_netkit` | `link.AttachNetkit` | |
 * | `NetnsTarget` | `bpf_program__attach_netns` | `link.AttachNetNs` | |
 * | `SockmapTarget` | `bpf_program__attach_sockmap` | `link.AttachRawLink` | |
 * | `NetfilterTarget` | `bpf_program__attach_netfilter` | `link.AttachNetfilter` | |
 * | `KprobeTarget` | `bpf_program__attach_kprobe_opts` | `link.Kprobe` | |
 * | `KprobeMultiTarget` | `bpf_program__attach_kprobe_multi_opts` | `link.KprobeMulti` | |
 * | `UprobeTarget` | `bpf_program__attach_uprobe_opts` | `Executable.Uprobe` | |
 * | `UprobeMultiTarget` | `bpf_program__attach_uprobe_multi` | `Executable.UprobeMulti` | |
 * | `TracepointTarget` | `bpf_program__attach_tracepoint` | `link.Tracepoint` | |
 * | `RawTracepointTarget` | `bpf_program__attach_raw_tracepoint` | `link.AttachRawTracepoint` | |
 * | `TracingTarget`, `TpBtfTarget` | `bpf_program__attach_trace` | `link.AttachTracing` | |
 * | `PerfEventTarget` | `bpf_program__attach_perf_event_opts` | `link.AttachRawLink` | |
 * | `IterTarget` | `bpf_program__attach_iter` | `link.AttachIter` | `iter pin` |
 * | `link.lines` | `bpf_iter_create` | `Iter.Open` | `cat` of the pin |
 * | `StructOpsTarget` | `bpf_map__attach_struct_ops` | `link.AttachRawLink` | `struct_ops register` |
 * | `Position` | `relative_fd`, `BPF_F_BEFORE` | `link.Head`, `link.BeforeLink` | |
 * | `link.update` | `bpf_link__update_program` | `Link.Update` | |
 * | the option `expected` | `old_prog_fd` of `bpf_link_update` | `RawLink.UpdateArgs` | |
 * | `link.detach` | `bpf_link__detach` | `Link.Detach` | `link detach` |
 * | `link.close` | `bpf_link__destroy` | `Link.Close` | |
 * | `link.onClose` set to `"keep"` | `bpf_link__disconnect` | | | |
 * | `link.pin`, `link.unpin` | `bpf_link__pin`, `bpf_link__unpin` | `Link.Pin`, `Link.Unpin` | `link pin` |
 * | `Link.ensurePinned` | | | | |
 * | `Link.openPinned` | `bpf_link__open` | `link.LoadPinnedLink` | `link show pinned` |
 * | `Link.open`, `Link.fromFd` | `bpf_link_get_fd_by_id` | `link.NewFromID`, `link.NewFromFD` | `link show id` |
 * | `link.info` | `bpf_link_get_info_by_fd` | `Link.Info` | `link show id` |
 * | `Link.list`, `Link.infos` | a loop over `bpf_link_get_next_id` | `link.Iterator` | `link show` |
 * | `link.holders` | | | the pids in `link show` | |
 * | `Hook.query` | `bpf_prog_query_opts` | `link.QueryPrograms` | `net show`, `cgroup show` |
 * | `probe` | `libbpf_probe_bpf_prog_type` | `features.HaveProgramType` | `feature probe` |
 * | `bpflink gen` | | `bpf2go` | `gen skeleton` | |
 * | `bpflink tree`, `bpflink hook` | | | `cgroup tree`, `net show` | |
 * | `tokenCreate`, the option `token` | `bpf_token_create` | | | |
 *
 * What is different:
 *
 * - The end of a scope detaches by force what this process attached. libbpf's `bpf_link__destroy` and cilium's
 *   `Link.Close` close only. Garbage collection detaches nothing.
 * - There is no fallback to attaching without a link. Where a kernel has no link of a type, the error says which has.
 * - Errnos are explained where they come from: `error.reason` is the same word for one meaning, whatever its errno is.
 * - `object.attach` goes by the names of sections, as libbpf does, and takes over what a target of yours says.
 *
 * ```ts
 * import { close, linkGetFdById, linkGetInfoByFd, linkGetNextId } from "@bpf/link/sys";
 *
 * // what `bpftool link show` does
 * for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) {
 *   try {
 *     const fd = linkGetFdById(id);
 *     const { type, progId } = linkGetInfoByFd(fd);
 *     console.log(id, type, progId);
 *     close(fd);
 *   } catch (error) {
 *     console.log(id, error instanceof Error ? error.message : error); // it has ended meanwhile
 *   }
 * }
 * ```
 *
 * @module
 */
export { btfGetFdById, btfGetInfoByFd, btfGetNextId, type BtfInfo, btfLoad, type BtfLoadOptions } from "./btf.ts";
export { iterCreate } from "./iter.ts";
export {
  type GetFdByIdOptions,
  linkDetach,
  linkDetachAsync,
  linkGetFdById,
  linkGetFdByIdOpts,
  linkGetNextId,
  linkUpdate,
  type LinkUpdateOptions,
} from "./link.ts";
export { linkCreate, linkCreateAsync } from "./link_create.ts";
export { linkGetInfoByFd } from "./link_info.ts";
export {
  type MapBatch,
  mapDeleteElem,
  mapGetNextKey,
  mapLookupBatch,
  mapLookupElem,
  mapUpdateElem,
} from "./elements.ts";
export {
  mapCreate,
  type MapCreateOpts,
  mapFreeze,
  mapGetFdById,
  mapGetInfoByFd,
  mapGetNextId,
  type MapInfo,
} from "./map.ts";
export { objGet, objPin } from "./object.ts";
export { type PerfEventAttr, perfEventEnable, perfEventOpen } from "./perf_event.ts";
export {
  progGetFdById,
  progGetInfoByFd,
  progGetNextId,
  type ProgInfo,
  progLoad,
  type ProgLoadOptions,
} from "./program.ts";
export { type ProgQuery, progQuery, type ProgQueryOptions, type QueriedProgram } from "./prog_query.ts";
export { type ProgTestRun, progTestRun, type ProgTestRunOptions } from "./prog_test_run.ts";
export { rawTracepointOpen, rawTracepointOpenAsync } from "./raw_tracepoint.ts";
export { enableStats } from "./stats.ts";
export { close, closeAsync, open } from "../os/files.ts";
export { tokenCreate } from "./token.ts";
export type { CgroupCreateOptions, CgroupLinkInfo } from "./type/cgroup.ts";
export type { IterCreateOptions, IterLinkInfo } from "./type/iter.ts";
export type { KprobeMultiCreateOptions, KprobeMultiLinkInfo, ProbedFunction } from "./type/kprobe_multi.ts";
export type { BpfLinkInfo, BpfLinkInfos, LinkCreateOptions, UnknownLinkInfo } from "./type/mod.ts";
export type { RelativeOptions } from "./type/mprog.ts";
export type { NetfilterCreateOptions, NetfilterLinkInfo } from "./type/netfilter.ts";
export type { NetkitCreateOptions, NetkitLinkInfo } from "./type/netkit.ts";
export type { NetnsLinkInfo } from "./type/netns.ts";
export type { PerfEventCreateOptions, PerfEventFields, PerfEventLinkInfo } from "./type/perf_event.ts";
export type { RawTracepointLinkInfo } from "./type/raw_tracepoint.ts";
export type { LinkInfoHead } from "./type/row.ts";
export type { SockmapLinkInfo } from "./type/sockmap.ts";
export type { StructOpsLinkInfo } from "./type/struct_ops.ts";
export type { TcxCreateOptions, TcxLinkInfo } from "./type/tcx.ts";
export type { TracingCreateOptions, TracingLinkInfo } from "./type/tracing.ts";
export type { TracedFunction, TracingMultiCreateOptions, TracingMultiLinkInfo } from "./type/tracing_multi.ts";
export type { ProbedOffset, UprobeMultiCreateOptions, UprobeMultiLinkInfo } from "./type/uprobe_multi.ts";
export type { XdpLinkInfo } from "./type/xdp.ts";
export { BpfError, type BpfErrorInit, type Explanation, type Reason } from "../error.ts";
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
} from "../uapi/constants.ts";
