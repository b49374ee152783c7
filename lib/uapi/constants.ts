/** Numbers, names and types of `linux/bpf.h`. Names are libbpf's (`libbpf_bpf_link_type_str` and its sisters). */
import { lazy } from "../lazy.ts";

/** Commands of bpf(2). */
export const Command = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  PROG_GET_NEXT_ID: 11,
  MAP_GET_NEXT_ID: 12,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  RAW_TRACEPOINT_OPEN: 17,
  BTF_LOAD: 18,
  BTF_GET_FD_BY_ID: 19,
  MAP_LOOKUP_AND_DELETE_ELEM: 21,
  MAP_FREEZE: 22,
  BTF_GET_NEXT_ID: 23,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  LINK_GET_NEXT_ID: 31,
  ENABLE_STATS: 32,
  ITER_CREATE: 33,
  LINK_DETACH: 34,
  PROG_BIND_MAP: 35,
  TOKEN_CREATE: 36,
} as const;

/** Flags of LINK_CREATE and LINK_UPDATE. */
export const BPF_F_REPLACE = 4,
  BPF_F_BEFORE = 8,
  BPF_F_AFTER = 16,
  BPF_F_ID = 32,
  BPF_F_PREORDER = 64,
  BPF_F_LINK = 8192;

/** A flag of MAP_CREATE, PROG_LOAD and BTF_LOAD: a BPF token's fd is among the arguments. */
export const BPF_F_TOKEN_FD = 65536;
/** Flag of map creation: programs may only read it. */
export const BPF_F_RDONLY_PROG = 128;

/** A flag of PROG_QUERY: what runs, with the programs of a cgroup's ancestors. */
export const BPF_F_QUERY_EFFECTIVE = 1;

/** Flags of LINK_CREATE for one type: of netfilter, kprobe_multi and uprobe_multi links. */
export const BPF_F_NETFILTER_IP_DEFRAG = 1, BPF_F_KPROBE_MULTI_RETURN = 1, BPF_F_UPROBE_MULTI_RETURN = 1;

/** Flags of PROG_LOAD. */
export const BPF_F_SLEEPABLE = 16, BPF_F_XDP_HAS_FRAGS = 32, BPF_F_XDP_DEV_BOUND_ONLY = 64;

/** A flag of PROG_TEST_RUN. */
export const BPF_F_TEST_RUN_ON_CPU = 1;

/** A flag of MAP_CREATE, and those of MAP_UPDATE_ELEM. */
export const BPF_F_NO_PREALLOC = 1, BPF_NOEXIST = 1, BPF_EXIST = 2;

/** Bytes of a name with its NUL, and of a log that holds most of what the verifier says. */
export const BPF_OBJ_NAME_LEN = 16, LOG_SIZE = 65536;

/** Helpers that programs call, by number. */
export const PROBE_READ = 4, PROBE_READ_STR = 45, PROBE_READ_KERNEL = 113, PROBE_READ_KERNEL_STR = 115, SEQ_WRITE = 127;

/** Which tasks an iterator walks (`BPF_TASK_ITER_*`). */
export const TASK_TID = 1, TASK_TGID = 2;

/** Modes of an XDP link (`XDP_FLAGS_*`). */
export const XDP_FLAGS_SKB_MODE = 2, XDP_FLAGS_DRV_MODE = 4, XDP_FLAGS_HW_MODE = 8;

/** The types of links, as libbpf names them, in the kernel's order; the kernel's "unspecified" is `unknown` here. */
export const LINK_TYPES = [
  "unknown",
  "raw_tracepoint",
  "tracing",
  "cgroup",
  "iter",
  "netns",
  "xdp",
  "perf_event",
  "kprobe_multi",
  "struct_ops",
  "netfilter",
  "tcx",
  "uprobe_multi",
  "netkit",
  "sockmap",
  "tracing_multi",
] as const;

/** The attach types, as libbpf names them, in the kernel's order. */
export const ATTACH_TYPES = [
  "cgroup_inet_ingress",
  "cgroup_inet_egress",
  "cgroup_inet_sock_create",
  "cgroup_sock_ops",
  "sk_skb_stream_parser",
  "sk_skb_stream_verdict",
  "cgroup_device",
  "sk_msg_verdict",
  "cgroup_inet4_bind",
  "cgroup_inet6_bind",
  "cgroup_inet4_connect",
  "cgroup_inet6_connect",
  "cgroup_inet4_post_bind",
  "cgroup_inet6_post_bind",
  "cgroup_udp4_sendmsg",
  "cgroup_udp6_sendmsg",
  "lirc_mode2",
  "flow_dissector",
  "cgroup_sysctl",
  "cgroup_udp4_recvmsg",
  "cgroup_udp6_recvmsg",
  "cgroup_getsockopt",
  "cgroup_setsockopt",
  "trace_raw_tp",
  "trace_fentry",
  "trace_fexit",
  "modify_return",
  "lsm_mac",
  "trace_iter",
  "cgroup_inet4_getpeername",
  "cgroup_inet6_getpeername",
  "cgroup_inet4_getsockname",
  "cgroup_inet6_getsockname",
  "xdp_devmap",
  "cgroup_inet_sock_release",
  "xdp_cpumap",
  "sk_lookup",
  "xdp",
  "sk_skb_verdict",
  "sk_reuseport_select",
  "sk_reuseport_select_or_migrate",
  "perf_event",
  "trace_kprobe_multi",
  "lsm_cgroup",
  "struct_ops",
  "netfilter",
  "tcx_ingress",
  "tcx_egress",
  "trace_uprobe_multi",
  "cgroup_unix_connect",
  "cgroup_unix_sendmsg",
  "cgroup_unix_recvmsg",
  "cgroup_unix_getpeername",
  "cgroup_unix_getsockname",
  "netkit_primary",
  "netkit_peer",
  "trace_kprobe_session",
  "trace_uprobe_session",
  "trace_fsession",
  "trace_fentry_multi",
  "trace_fexit_multi",
  "trace_fsession_multi",
] as const;

/** The types of programs, as libbpf names them, in the kernel's order. */
export const PROGRAM_TYPES = [
  "unspec",
  "socket_filter",
  "kprobe",
  "sched_cls",
  "sched_act",
  "tracepoint",
  "xdp",
  "perf_event",
  "cgroup_skb",
  "cgroup_sock",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "sock_ops",
  "sk_skb",
  "cgroup_device",
  "sk_msg",
  "raw_tracepoint",
  "cgroup_sock_addr",
  "lwt_seg6local",
  "lirc_mode2",
  "sk_reuseport",
  "flow_dissector",
  "cgroup_sysctl",
  "raw_tracepoint_writable",
  "cgroup_sockopt",
  "tracing",
  "struct_ops",
  "ext",
  "lsm",
  "sk_lookup",
  "syscall",
  "netfilter",
] as const;

/** The types of maps, as libbpf names them, in the kernel's order. */
export const MAP_TYPES = [
  "unspec",
  "hash",
  "array",
  "prog_array",
  "perf_event_array",
  "percpu_hash",
  "percpu_array",
  "stack_trace",
  "cgroup_array",
  "lru_hash",
  "lru_percpu_hash",
  "lpm_trie",
  "array_of_maps",
  "hash_of_maps",
  "devmap",
  "sockmap",
  "cpumap",
  "xskmap",
  "sockhash",
  "cgroup_storage",
  "reuseport_sockarray",
  "percpu_cgroup_storage",
  "queue",
  "stack",
  "sk_storage",
  "devmap_hash",
  "struct_ops",
  "ringbuf",
  "inode_storage",
  "task_storage",
  "bloom_filter",
  "user_ringbuf",
  "cgrp_storage",
  "arena",
  "insn_array",
] as const;

/** Orders in which a cgroup iterator walks, in the kernel's order; index 0 is the kernel's "unspecified". */
export const CGROUP_ITER_ORDERS = [
  "unspecified",
  "self_only",
  "descendants_pre",
  "descendants_post",
  "ancestors_up",
] as const;

/** The type of a link, as libbpf's `libbpf_bpf_link_type_str` names it; `unknown` is one newer than this package. */
export type LinkType = (typeof LINK_TYPES)[number];

/** What an argument may name as an attach type: one that this package knows, or a newer one by its number. */
export type AttachTypeName = (typeof ATTACH_TYPES)[number] | `attach_type_${number}`;

/** What an argument may name as a place in a cgroup. */
export type CgroupAttachTypeName = Extract<(typeof ATTACH_TYPES)[number], `cgroup_${string}` | "lsm_cgroup">;

/** What an argument may name as a program type: one that this package knows, or a newer one by its number. */
export type ProgramTypeName = (typeof PROGRAM_TYPES)[number] | `program_type_${number}`;

/** What an argument may name as a map type: one that this package knows, or a newer one by its number. */
export type MapTypeName = (typeof MAP_TYPES)[number] | `map_type_${number}`;

/** Where in a cgroup a program runs, as libbpf's `libbpf_bpf_attach_type_str` names it. */
export type CgroupAttachType = CgroupAttachTypeName | (`cgroup_${string}` & Record<never, never>);

/**
 * An attach type in an answer, as libbpf's `libbpf_bpf_attach_type_str` names it; `attach_type_N` is one newer than this
 * package, and later versions know more. Arguments take {@linkcode AttachTypeName}, so that a typing error is one.
 */
export type AttachType = AttachTypeName | (string & Record<never, never>);

/**
 * A program type in an answer, as libbpf's `libbpf_bpf_prog_type_str` names it; `program_type_N` is one newer than this
 * package. Arguments take {@linkcode ProgramTypeName}.
 */
export type ProgramType = ProgramTypeName | (string & Record<never, never>);

/**
 * A map type in an answer, as libbpf's `libbpf_bpf_map_type_str` names it; `map_type_N` is one newer than this package.
 * Arguments take {@linkcode MapTypeName}.
 */
export type MapType = MapTypeName | (string & Record<never, never>);

const attachTypes = lazy(() => numbersOf(ATTACH_TYPES));
const programTypes = lazy(() => numbersOf(PROGRAM_TYPES));
const mapTypes = lazy(() => numbersOf(MAP_TYPES));

/** The kernel's number of an attach type. */
export function attachTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, attachTypes(), "attach_type_");
}

/** The name of the kernel's attach type `number`. */
export function attachTypeName(number: number): AttachTypeName {
  return ATTACH_TYPES[number] ?? `attach_type_${number}`;
}

/** The kernel's number of a program type. */
export function programTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, programTypes(), "program_type_");
}

/** The name of the kernel's program type `number`. */
export function programTypeName(number: number): ProgramTypeName {
  return PROGRAM_TYPES[number] ?? `program_type_${number}`;
}

/** The kernel's number of a map type. */
export function mapTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, mapTypes(), "map_type_");
}

/** The name of the kernel's map type `number`. */
export function mapTypeName(number: number): MapTypeName {
  return MAP_TYPES[number] ?? `map_type_${number}`;
}

function numbersOf(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, number) => [name, number]));
}

function numberOf(value: unknown, name: string, known: ReadonlyMap<string, number>, prefix: string): number {
  const number = known.get(value as string);
  if (number !== undefined) return number;
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, not ${value === null ? "null" : typeof value}`);
  }
  if (value.startsWith(prefix) && /^\d{1,9}$/.test(value.slice(prefix.length))) {
    return Number(value.slice(prefix.length));
  }
  throw new TypeError(`${name} "${value}" is not known; it may be one of ${[...known.keys()].join(", ")}`);
}
