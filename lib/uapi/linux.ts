/** Numbers of Linux beside `linux/bpf.h`: what `fcntl.h`, `socket.h` and others of the kernel's headers name. */

/** Files: the own directory, flags of openat(2), bytes of a path, types in a directory. */
export const AT_FDCWD = -100,
  O_NONBLOCK = 0o4000,
  O_CLOEXEC = 0o2000000,
  O_NOFOLLOW: number = globalThis.Deno?.build.arch === "aarch64" ? 0o100000 : 0o400000, // others import this too
  O_PATH = 0o10000000,
  O_WRONLY = 1,
  AT_REMOVEDIR = 0x200,
  PATH_MAX = 4096,
  DT_DIR = 4,
  DT_REG = 8;
/** `struct stat`, in bytes, and the magic numbers of file systems. */
/** The kind of handle by which files of kernfs are opened: their number alone. */
export const FILEID_KERNFS = 0xfe;

export const STAT_SIZE = 144, BPF_FS_MAGIC = 0xcafe4a11, CGROUP2_SUPER_MAGIC = 0x63677270, PROC_SUPER_MAGIC = 0x9fa0;
/** statx(2): a flag, what it is asked for, its answer in bytes and where what is in it; bits of a mode. */
export const AT_EMPTY_PATH = 0x1000,
  STATX_BASIC_STATS = 0x7ff,
  STATX_SIZE = 256,
  STATX = { nlink: 16, uid: 20, mode: 28, ino: 32, ctime: 96, mtime: 112, dev_major: 136, dev_minor: 140 },
  S_IFMT = 0o170000,
  S_IFLNK = 0o120000,
  S_IFDIR = 0o040000;
/** Commands of fcntl(2), with the seals of a memory file; of flock(2) and kcmp(2). */
export const F_DUPFD_CLOEXEC = 1030,
  F_ADD_SEALS = 1033,
  F_SEAL_SEAL = 1,
  F_SEAL_SHRINK = 2,
  F_SEAL_GROW = 4,
  F_SEAL_WRITE = 8,
  LOCK_EX = 2,
  LOCK_NB = 4,
  KCMP_FILE = 0;
/** Flags of memfd_create(2). */
export const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2;
/** Flags of dlopen(3): bind late; take only what is loaded already. */
export const RTLD_LAZY = 1, RTLD_NOLOAD = 4;
/** Mounts: fsopen(2), fsmount(2), fsconfig(2). */
export const FSOPEN_CLOEXEC = 1, FSMOUNT_CLOEXEC = 1, FSCONFIG_CMD_CREATE = 6;
/** Events: epoll(7). */
export const EPOLL_CLOEXEC = 0o2000000,
  EPOLL_CTL_ADD = 1,
  EPOLL_CTL_DEL = 2,
  EPOLL_CTL_MOD = 3,
  EPOLLIN = 1,
  EPOLLOUT = 4,
  EPOLLET = 0x80000000;
/** Namespaces: what ioctl(2) asks of one, and its answers; the inode number of the first of process ids. */
export const NS_GET_NSTYPE = 0xb703, CLONE_NEWNET = 0x40000000, INITIAL_PID_NAMESPACE = 0xefff_fffcn;
/** Sockets, and what ioctl(2) asks of interfaces through them. */
export const AF_UNIX = 1,
  AF_NETLINK = 16,
  SOCK_DGRAM = 2,
  SOCK_RAW = 3,
  SIOCGIFNAME = 0x8910,
  SIOCGIFINDEX = 0x8933,
  IFNAMSIZ = 16,
  ALTIFNAMSIZ = 128,
  IFREQ_SIZE = 40;
/** Messages of rtnetlink(7). */
export const NLMSG_ERROR = 2,
  NLMSG_DONE = 3,
  RTM_GETLINK = 18,
  NLM_F_REQUEST = 1,
  NLM_F_DUMP = 0x300,
  NLA_TYPE_MASK = 0x3fff;
/** Attributes of an interface in those. */
export const IFLA_IFNAME = 3,
  IFLA_MTU = 4,
  IFLA_LINK = 5,
  IFLA_MASTER = 10,
  IFLA_LINKINFO = 18,
  IFLA_INFO_KIND = 1,
  IFLA_NUM_TX_QUEUES = 31,
  IFLA_NUM_RX_QUEUES = 32,
  IFLA_LINK_NETNSID = 37,
  IFLA_XDP = 43,
  IFLA_ALT_IFNAME = 53;
/** perf_event_open(2): bits from `disabled` on, a flag, an ioctl(2), what a sample has, types of records. */
export const EXCLUDE_USER = 0x10,
  EXCLUDE_KERNEL = 0x20,
  FREQ = 0x400,
  PERF_FLAG_FD_CLOEXEC = 8,
  PERF_EVENT_IOC_ENABLE = 0x2400,
  PERF_SAMPLE_RAW = 0x400n,
  PERF_RECORD_LOST = 2,
  PERF_RECORD_SAMPLE = 9;

// Names of the events of `linux/perf_event.h`, whose number is their index.

/** Kinds of events (`PERF_TYPE_*`). */
export const PERF_TYPES = { hardware: 0, software: 1, tracepoint: 2, cache: 3, raw: 4, breakpoint: 5 } as const;

/** `PERF_COUNT_HW_*` */
export const HARDWARE_EVENTS: readonly string[] = [
  "cpu_cycles",
  "instructions",
  "cache_references",
  "cache_misses",
  "branch_instructions",
  "branch_misses",
  "bus_cycles",
  "stalled_cycles_frontend",
  "stalled_cycles_backend",
  "ref_cpu_cycles",
];

/** `PERF_COUNT_SW_*` */
export const SOFTWARE_EVENTS: readonly string[] = [
  "cpu_clock",
  "task_clock",
  "page_faults",
  "context_switches",
  "cpu_migrations",
  "page_faults_min",
  "page_faults_maj",
  "alignment_faults",
  "emulation_faults",
  "dummy",
  "bpf_output",
  "cgroup_switches",
];

// PERF_COUNT_HW_CACHE_*, as perf names them
const CACHES = ["l1_dcache", "l1_icache", "llc", "dtlb", "itlb", "branch", "node"];
const OPERATIONS = ["load", "store", "prefetch"];

/** The number of a cache event such as `l1_dcache_loads` or `llc_store_misses`. */
export function cacheEvent(name: string): bigint | undefined {
  const [, cache = "", operation = "", ending = ""] = /^(.+)_(load|store|prefetch)(s|es|_misses)$/.exec(name) ?? [];
  const number = CACHES.indexOf(cache);
  if (number < 0) return undefined;
  return BigInt(number | OPERATIONS.indexOf(operation) << 8 | (ending === "_misses" ? 1 : 0) << 16);
}

/** How an ELF file begins. */
export const ELF_MAGIC: readonly number[] = [0x7f, 0x45, 0x4c, 0x46];
