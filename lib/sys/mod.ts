/**
 * libbpf's low-level calls on links and their neighbours, under libbpf's names in camel case: plain fds in, fds out, a
 * {@linkcode BpfError} on failure.
 *
 * Nothing here is closed by itself: each fd that a call returns is closed with {@linkcode close}, or lives until the
 * process ends. The classes of `@bpf/link` are built on these calls and on nothing else; use them unless you need what
 * only the kernel's own terms can say.
 *
 * The doc comments say what the kernels 5.10 to 7.3 do, which differs from libbpf's documentation in places; a test
 * provokes every sentence. Lists of errnos leave out what any call may answer when the machine is out of memory (ENOMEM)
 * or of open files (ENFILE). What needs no capability needs CAP_BPF before Linux 5.19 all the same, if
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
