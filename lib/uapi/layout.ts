/**
 * Where the members of the kernel's structs lie: offsets in bytes, under the kernel's own names, from `linux/bpf.h` and
 * its neighbours. Those of nested structs count from the start of the outermost one too. `sizeof` is where the last
 * member named here ends: kernels take a shorter struct than their own, and a longer one whose rest is zero.
 *
 * The parts of `union bpf_attr` have the names of its members; those that have none there, that of their command.
 */

/** MAP_CREATE */
export const map_create = {
  map_type: 0,
  key_size: 4,
  value_size: 8,
  max_entries: 12,
  map_flags: 16,
  inner_map_fd: 20,
  numa_node: 24,
  map_name: 28,
  map_ifindex: 44,
  btf_fd: 48,
  btf_key_type_id: 52,
  btf_value_type_id: 56,
  btf_vmlinux_value_type_id: 60,
  map_extra: 64,
  map_token_fd: 76,
  sizeof: 80,
} as const;

/** MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, MAP_GET_NEXT_KEY */
export const map_elem = { map_fd: 0, key: 8, value: 16, next_key: 16, flags: 24, sizeof: 32 } as const;

/** MAP_LOOKUP_BATCH */
export const batch = {
  in_batch: 0,
  out_batch: 8,
  keys: 16,
  values: 24,
  count: 32,
  map_fd: 36,
  elem_flags: 40,
  flags: 48,
  sizeof: 56,
} as const;

/** PROG_LOAD */
export const prog_load = {
  prog_type: 0,
  insn_cnt: 4,
  insns: 8,
  license: 16,
  log_level: 24,
  log_size: 28,
  log_buf: 32,
  prog_flags: 44,
  prog_name: 48,
  prog_ifindex: 64,
  expected_attach_type: 68,
  prog_btf_fd: 72,
  func_info_rec_size: 76,
  func_info: 80,
  func_info_cnt: 88,
  line_info_rec_size: 92,
  line_info: 96,
  line_info_cnt: 104,
  attach_btf_id: 108,
  attach_prog_fd: 112,
  attach_btf_obj_fd: 112,
  prog_token_fd: 144,
  sizeof: 148,
} as const;

/** PROG_TEST_RUN */
export const test = {
  prog_fd: 0,
  retval: 4,
  data_size_in: 8,
  data_size_out: 12,
  data_in: 16,
  data_out: 24,
  repeat: 32,
  duration: 36,
  ctx_size_in: 40,
  ctx_size_out: 44,
  ctx_in: 48,
  ctx_out: 56,
  flags: 64,
  cpu: 68,
  batch_size: 72,
  sizeof: 76,
} as const;

/** OBJ_PIN, OBJ_GET */
export const obj_pin = { pathname: 0, bpf_fd: 8, file_flags: 12, sizeof: 16 } as const;

/** All of *_GET_FD_BY_ID and *_GET_NEXT_ID */
export const get_id = {
  start_id: 0,
  prog_id: 0,
  map_id: 0,
  btf_id: 0,
  link_id: 0,
  next_id: 4,
  open_flags: 8,
  fd_by_id_token_fd: 12,
  sizeof: 16,
} as const;

/** OBJ_GET_INFO_BY_FD, called `info` there */
export const info_by_fd = { bpf_fd: 0, info_len: 4, info: 8, sizeof: 16 } as const;

/** PROG_QUERY */
export const query = {
  target_fd: 0,
  target_ifindex: 0,
  attach_type: 4,
  query_flags: 8,
  attach_flags: 12,
  prog_ids: 16,
  count: 24,
  prog_attach_flags: 32,
  link_ids: 40,
  link_attach_flags: 48,
  revision: 56,
  sizeof: 64,
} as const;

/** RAW_TRACEPOINT_OPEN */
export const raw_tracepoint = { name: 0, prog_fd: 8, cookie: 16, sizeof: 24 } as const;

/** BTF_LOAD */
export const btf_load = {
  btf: 0,
  btf_log_buf: 8,
  btf_size: 16,
  btf_log_size: 20,
  btf_log_level: 24,
  btf_log_true_size: 28,
  btf_flags: 32,
  btf_token_fd: 36,
  sizeof: 40,
} as const;

/** LINK_CREATE */
export const link_create = {
  prog_fd: 0,
  target_fd: 4,
  target_ifindex: 4,
  attach_type: 8,
  flags: 12,
  target_btf_id: 16,
  iter_info: 16,
  iter_info_len: 24,
  perf_event: { bpf_cookie: 16, sizeof: 24 },
  kprobe_multi: { flags: 16, cnt: 20, syms: 24, addrs: 32, cookies: 40, sizeof: 48 },
  tracing: { target_btf_id: 16, cookie: 24, sizeof: 32 },
  netfilter: { pf: 16, hooknum: 20, priority: 24, flags: 28, sizeof: 32 },
  tcx: { relative_fd: 16, relative_id: 16, expected_revision: 24, sizeof: 32 },
  uprobe_multi: {
    path: 16,
    offsets: 24,
    ref_ctr_offsets: 32,
    cookies: 40,
    cnt: 48,
    flags: 52,
    pid: 56,
    sizeof: 60,
  },
  netkit: { relative_fd: 16, relative_id: 16, expected_revision: 24, sizeof: 32 },
  cgroup: { relative_fd: 16, relative_id: 16, expected_revision: 24, sizeof: 32 },
  tracing_multi: { ids: 16, cookies: 24, cnt: 32, sizeof: 36 },
} as const;

/** LINK_UPDATE */
export const link_update = {
  link_fd: 0,
  new_prog_fd: 4,
  new_map_fd: 4,
  flags: 8,
  old_prog_fd: 12,
  old_map_fd: 12,
  sizeof: 16,
} as const;

/** LINK_DETACH */
export const link_detach = { link_fd: 0, sizeof: 4 } as const;

/** ENABLE_STATS */
export const enable_stats = { type: 0, sizeof: 4 } as const;

/** ITER_CREATE */
export const iter_create = { link_fd: 0, flags: 4, sizeof: 8 } as const;

/** PROG_BIND_MAP */
export const prog_bind_map = { prog_fd: 0, map_fd: 4, flags: 8, sizeof: 12 } as const;

/** TOKEN_CREATE */
export const token_create = { flags: 0, bpffs_fd: 4, sizeof: 8 } as const;

/** What `iter_info` of LINK_CREATE points to. */
export const bpf_iter_link_info = {
  map: { map_fd: 0, sizeof: 4 },
  cgroup: { order: 0, cgroup_fd: 4, cgroup_id: 8, sizeof: 16 },
  task: { tid: 0, pid: 4, pid_fd: 8, sizeof: 12 },
  sizeof: 16,
} as const;

/** The info of a link. */
export const bpf_link_info = {
  type: 0,
  id: 4,
  prog_id: 8,
  raw_tracepoint: { tp_name: 16, tp_name_len: 24, cookie: 32 },
  tracing: { attach_type: 16, target_obj_id: 20, target_btf_id: 24, cookie: 32 },
  cgroup: { cgroup_id: 16, attach_type: 24 },
  iter: {
    target_name: 16,
    target_name_len: 24,
    map: { map_id: 28 },
    cgroup: { cgroup_id: 32, order: 40 },
    task: { tid: 32, pid: 36 },
  },
  netns: { netns_ino: 16, attach_type: 20 },
  xdp: { ifindex: 16 },
  struct_ops: { map_id: 16 },
  netfilter: { pf: 16, hooknum: 20, priority: 24, flags: 28 },
  kprobe_multi: { addrs: 16, count: 24, flags: 28, missed: 32, cookies: 40 },
  uprobe_multi: {
    path: 16,
    offsets: 24,
    ref_ctr_offsets: 32,
    cookies: 40,
    path_size: 48,
    count: 52,
    flags: 56,
    pid: 60,
  },
  perf_event: {
    type: 16,
    uprobe: { file_name: 24, name_len: 32, offset: 36, cookie: 40, ref_ctr_offset: 48 },
    kprobe: { func_name: 24, name_len: 32, offset: 36, addr: 40, missed: 48, cookie: 56 },
    tracepoint: { tp_name: 24, name_len: 32, cookie: 40 },
    event: { config: 24, type: 32, cookie: 40 },
  },
  tcx: { ifindex: 16, attach_type: 20 },
  netkit: { ifindex: 16, attach_type: 20 },
  sockmap: { map_id: 16, attach_type: 20 },
  tracing_multi: { attach_type: 16, count: 20, btf_obj_id: 24, ids: 32, addrs: 40, cookies: 48 },
  sizeof: 64,
} as const;

/** The info of a program, up to what links need. */
export const bpf_prog_info = {
  type: 0,
  id: 4,
  tag: 8,
  load_time: 40,
  created_by_uid: 48,
  nr_map_ids: 52,
  map_ids: 56,
  name: 64,
  btf_id: 128,
  run_time_ns: 192,
  run_cnt: 200,
  sizeof: 208,
} as const;

/** The info of a map. */
export const bpf_map_info = {
  type: 0,
  id: 4,
  key_size: 8,
  value_size: 12,
  max_entries: 16,
  map_flags: 20,
  name: 24,
  ifindex: 40,
  btf_vmlinux_value_type_id: 44,
  btf_id: 64,
  btf_key_type_id: 68,
  btf_value_type_id: 72,
  map_extra: 80,
  sizeof: 88,
} as const;

/** The info of a BTF object. */
export const bpf_btf_info = {
  btf: 0,
  btf_size: 8,
  id: 12,
  name: 16,
  name_len: 24,
  kernel_btf: 28,
  sizeof: 32,
} as const;

/** What perf_event_open(2) opens; up to PERF_ATTR_SIZE_VER1, which every kernel knows. */
export const perf_event_attr = {
  type: 0,
  size: 4,
  config: 8,
  sample_period: 16,
  sample_freq: 16,
  sample_type: 24,
  /** The bit fields that begin with `disabled`. */
  disabled: 40,
  wakeup_events: 48,
  bp_type: 52,
  config1: 56,
  config2: 64,
  sizeof: 72,
} as const;

/** How a message of netlink begins. */
export const nlmsghdr = {
  nlmsg_len: 0,
  nlmsg_type: 4,
  nlmsg_flags: 6,
  nlmsg_seq: 8,
  nlmsg_pid: 12,
  sizeof: 16,
} as const;

/** What follows in an error. */
export const nlmsgerr = { error: 0, sizeof: 4 } as const;

/** What follows in RTM_GETLINK and its answer. */
export const ifinfomsg = {
  ifi_family: 0,
  ifi_type: 2,
  ifi_index: 4,
  ifi_flags: 8,
  ifi_change: 12,
  sizeof: 16,
} as const;

/** How each attribute begins. */
export const nlattr = { nla_len: 0, nla_type: 2, sizeof: 4 } as const;
