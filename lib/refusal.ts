/** What an errno means at one place, and the one way to refuse: tables of errnos stand beside the calls that give them. */
import { BpfError, type Explanation, type Reason } from "./error.ts";
import { ERRNO } from "./uapi/errno.ts";

/** What an errno means: the reason for programs, a clause for the message, and what to do about it. */
export type Row = readonly [reason: Reason, meaning: string, hint?: string];

/** Rows by the code of an errno, as `EPERM`. */
export type Rows = Readonly<Record<string, Row>>;

/** What the errnos of a call mean. */
export interface Refusals {
  /** The command of bpf(2), without `BPF_`, or the name of another system call. */
  readonly command: string;
  readonly rows: Rows;
}

/** The errno of a result as an explanation; rows of the call come before those that any call may need. */
export function explanation(result: number, { command, rows }: Refusals): Explanation {
  const [code, text] = ERRNO[-result] ?? ["", "unknown error"];
  const row = rows[code] ?? (code === "ENOSYS" && command === command.toUpperCase() ? NO_BPF : ANY[code]);
  return row === undefined ? { reason: "other", meaning: text } : { reason: row[0], meaning: row[1], hint: row[2] };
}

/** The error for a negative result. */
export function refused(result: number, refusals: Refusals, action: string): BpfError {
  return new BpfError(-result, { action, command: refusals.command, ...explanation(result, refusals) });
}

/** A result that is no refusal; `action` begins the error's message. */
export function checked(result: number, refusals: Refusals, action: () => string): number {
  if (result >= 0) return result;
  throw refused(result, refusals, action());
}

type Table = Rows;

/** An fd that is no link. */
export const NOT_A_LINK: Row = [
  "invalid",
  "the fd is no link",
  "pass an fd that LINK_CREATE, RAW_TRACEPOINT_OPEN, LINK_GET_FD_BY_ID or OBJ_GET returned",
];
/** An fd that is not open. */
export const CLOSED: Row = ["invalid", "an fd is not open", "keep the handle open until the call has returned"];
const TOO_MANY_FILES: Row = [
  "limit",
  "the process has too many open files",
  "close handles that are no longer needed, or raise RLIMIT_NOFILE",
];
const SYSTEM_FILES: Row = [
  "limit",
  "the system has too many open files",
  "close handles that are no longer needed, or raise fs.file-max",
];
const MEMORY: Row = [
  "limit",
  "the kernel has no memory for it",
  "before Linux 5.11 raise RLIMIT_MEMLOCK; else free memory, also of the memory cgroup",
];
const NO_BPF: Row = [
  "unsupported",
  "this kernel has no bpf(2)",
  "Linux 5.10 or newer with CONFIG_BPF_SYSCALL is needed; seccomp may hide it",
];

/** What any call may answer; doc comments do not list them. */
const ANY: Rows = { EMFILE: TOO_MANY_FILES, ENFILE: SYSTEM_FILES, ENOMEM: MEMORY };

/** What is for CAP_SYS_ADMIN alone. */
export const ADMIN: Row = [
  "capability",
  "it needs CAP_SYS_ADMIN in the initial user namespace",
  "run as root, or give the process CAP_SYS_ADMIN; CAP_BPF is not enough",
];
const NO_LINK: Row = ["gone", "there is no such link", "it has ended; list the links again"];

/** What all commands on elements of a map may say. */
const MAP_ACCESS: Table = {
  EBADF: CLOSED,
  EPERM: ["policy", "the fd of the map is read-only or write-only, or the map is frozen", "open the map once more"],
  EOPNOTSUPP: ["unsupported", "maps of this type cannot do that"],
  ENOTSUPP: ["unsupported", "maps of this type cannot do that"],
};

/** Commands by name; LINK_CREATE also by the link type, which is looked up first. */
const HINTS: Readonly<Record<string, Table>> = {
  perf_event_open: {
    EACCES: [
      "capability",
      "it needs CAP_PERFMON",
      "run as root, give the process CAP_PERFMON, or lower kernel.perf_event_paranoid",
    ],
    EPERM: ["policy", "the event is not permitted", "check CAP_PERFMON, seccomp and security modules"],
    EINVAL: [
      "invalid",
      "the kernel refuses the event",
      "check config and cpu; a frequency may not exceed kernel.perf_event_max_sample_rate, an address must suit its length",
    ],
    ENOENT: [
      "unsupported",
      "this kernel or machine has no such event",
      "virtual machines often lack hardware events; software events such as cpu_clock are everywhere",
    ],
    ESRCH: ["gone", "there is no such process"],
    ENODEV: ["invalid", "the CPU is offline", "see /sys/devices/system/cpu/online"],
    EOPNOTSUPP: ["unsupported", "this machine cannot count it so", "leave out excludeUser, excludeKernel or sampling"],
    ENOSPC: ["limit", "all breakpoints of the hardware are in use", "detach one of them first"],
    EBUSY: ["busy", "somebody else has the counters for themselves"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
    ENOMEM: MEMORY,
  },
  "perf_event_open kprobe": {
    ENOENT: [
      "invalid",
      "the kernel has no such function",
      "/proc/kallsyms lists them; the compiler may have inlined it, or its module is not loaded",
    ],
    EINVAL: [
      "invalid",
      "the kernel does not let this place be probed",
      "some functions are closed to probes, and only the begin of a function has a return",
    ],
    EILSEQ: ["invalid", "no instruction begins there"],
    EADDRNOTAVAIL: ["invalid", "several functions have this name", "give the address of the one that is meant"],
  },
  "perf_event_open uprobe": {
    ENOENT: ["gone", "there is no such file"],
    EINVAL: ["invalid", "the file is no regular file, or the offset lies outside of it"],
    EISDIR: ["invalid", "the path is a directory"],
    EACCES: [
      "capability",
      "uprobe events need CAP_SYS_ADMIN, or the file may not be opened",
      "run as root, or give the process CAP_SYS_ADMIN; for uprobe_multi links CAP_PERFMON is enough",
    ],
    ENOTSUPP: [
      "invalid",
      "no instruction that can be probed begins at the offset",
      "take offsets from the symbol table",
    ],
  },
  PERF_EVENT_IOC_ENABLE: {
    EBADF: ["invalid", "the fd is not open"],
    ENOTTY: ["invalid", "the fd is no perf event", "pass what perf_event_open returned"],
  },
  ENABLE_STATS: {
    EPERM: ADMIN,
    EINVAL: ["invalid", "there are no such statistics", "0 is the runs of programs"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  fsopen: {
    EPERM: [
      "capability",
      "tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN",
      "mount it at /sys/kernel/tracing, or give the process CAP_SYS_ADMIN",
    ],
    ENODEV: ["unsupported", "this kernel has no tracefs", "it was built without CONFIG_TRACING"],
  },
  pread64: {
    ESPIPE: ["invalid", "it is no regular file"],
    EISDIR: ["invalid", "it is a directory"],
  },
  RAW_TRACEPOINT_OPEN: {
    ENOENT: [
      "invalid",
      "the kernel has no raw tracepoint of this name",
      "names are those of events in tracefs, without the category",
    ],
    EINVAL: [
      "invalid",
      "the program is no raw_tracepoint program, or the kernel does not know the cookie",
      "cookies came with Linux 6.10",
    ],
    EEXIST: [
      "exists",
      "the program is attached to this tracepoint already",
      "older kernels take a program once there: load it a second time",
    ],
    EBADF: CLOSED,
    EFAULT: ["invalid", "a raw_tracepoint program needs a name"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
    ENOMEM: MEMORY,
    EPERM: ["policy", "attaching is not permitted"],
  },
  "RAW_TRACEPOINT_OPEN function": {
    EINVAL: [
      "invalid",
      "the program was loaded for no function, or its function is unknown by now",
      "load it as trace_fentry, trace_fexit, modify_return or lsm_mac; attach an ext program again with replace",
    ],
    EBUSY: ["busy", "the program is attached to its function already, or an extension is in the way"],
    ENOENT: [
      "unsupported",
      "the program was attached to its function before",
      "load it again, or name the place with replace: before Linux 5.13 a program is attached to its function once",
    ],
    E2BIG: [
      "limit",
      "the function has all programs that it can take (38; 40 before Linux 5.12)",
      "detach one of them first",
    ],
    EFAULT: ["invalid", "the program is for a raw tracepoint by name", 'use the target { type: "raw_tracepoint" }'],
  },
  LINK_UPDATE: {
    EBADF: CLOSED,
    EINVAL: [
      "unsupported",
      "this type of link cannot be updated, or the program does not fit it",
      "tracing, perf_event, raw_tracepoint and multi links have no update: attach a new link, then end the old",
    ],
    EPERM: ["policy", "a security module or the hook refuses the program"],
    ENOLINK: ["gone", "the link is detached, or what it was attached to is gone", "attach a new link"],
    EOPNOTSUPP: [
      "unsupported",
      "this link cannot be updated",
      "attach a new link, then end the old; netfilter needs another priority for it",
    ],
    EEXIST: [
      "exists",
      "the new program is attached to this hook already",
      "a program can be in a tcx or netkit hook once; load it a second time",
    ],
    ENOMEM: MEMORY,
  },
  "LINK_UPDATE expected": {
    EPERM: [
      "mismatch",
      "the link holds another program than expected",
      "somebody else updated it first; read info().programId and decide again",
    ],
  },
  "LINK_UPDATE flags": { EINVAL: ["invalid", "no kernel has these flags", "give 0 or BPF_F_REPLACE (4)"] },
  "LINK_UPDATE updatable": {
    EINVAL: [
      "mismatch",
      "it is no program, or not of the type and attach type that the link was made with",
      "load it for the same type and expectedAttachType",
    ],
  },
  LINK_DETACH: {
    EBADF: CLOSED,
    EINVAL: NOT_A_LINK,
    EOPNOTSUPP: [
      "unsupported",
      "this type of link cannot be detached by force",
      "close every fd and remove every pin of it",
    ],
  },
  LINK_GET_NEXT_ID: {
    EPERM: ADMIN,
    EINVAL: ["invalid", "the id is out of range"],
  },
  LINK_GET_FD_BY_ID: {
    EPERM: ADMIN,
    ENOENT: NO_LINK,
    EAGAIN: ["unsettled", "the link is just being made", "ask again"],
    EINVAL: ["invalid", "links take neither open flags nor a token", "leave both out"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  BTF_LOAD: {
    EINVAL: [
      "invalid",
      "the kernel refuses the data",
      "the error's log says why; newer kinds of types need newer kernels",
    ],
    E2BIG: ["limit", "it has more than 16 MiB"],
    EPERM: ["capability", "it needs CAP_BPF", "run as root, or give the process CAP_BPF"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
    ENOMEM: MEMORY,
  },
  BTF_GET_NEXT_ID: {
    EPERM: ADMIN,
    EINVAL: ["invalid", "the id is out of range"],
  },
  BTF_GET_FD_BY_ID: {
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such BTF object", "it is gone with the module or the last program that used it"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  PROG_GET_FD_BY_ID: {
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such program", "it was unloaded when its last user ended"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  OBJ_GET_INFO_BY_FD: {
    EBADFD: CLOSED,
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no object of bpf, or of another kind"],
  },
  OBJ_PIN: {
    EINVAL: ["invalid", "the fd is no object of bpf, or it is closed"],
    EEXIST: ["exists", "the path exists already", "choose another path, or remove that pin first"],
    EPERM: [
      "invalid",
      "the path lies on no bpf file system, its name has a dot, or the directory may not be written",
      "choose a path below a bpf mount, such as /sys/fs/bpf, and a name without a dot",
    ],
    EACCES: ["policy", "the directory may not be written", "check the permissions of the directory"],
    ENOENT: ["gone", "the directory does not exist", "make it first: bpf file systems have mkdir"],
    ENOTDIR: ["invalid", "a part of the path is no directory"],
    EROFS: ["policy", "the file system is mounted read-only"],
    ENAMETOOLONG: ["invalid", "the path or a name in it is too long"],
  },
  OBJ_GET: {
    ENOENT: ["gone", "nothing is pinned there", "check the path; another bpf mount over it hides pins"],
    EACCES: [
      "invalid",
      "the path is no pin, or it may not be read and written",
      "opening a pin needs both permissions on its file",
    ],
    ENOTDIR: ["invalid", "a part of the path is no directory"],
    EINVAL: ["invalid", "a link cannot be opened read-only or write-only"],
    EPERM: ["policy", "opening the pin is not permitted"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  ITER_CREATE: {
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no iter link"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
    ENOMEM: MEMORY,
  },
  PROG_LOAD: {
    EPERM: [
      "policy",
      "loading this kind of program is not permitted",
      "privileges suffice, so the kernel or a security module refuses the kind itself",
    ],
    EACCES: ["invalid", "the verifier refuses the program", "the error's log says why"],
    EINVAL: [
      "invalid",
      "the kernel refuses the program or its options",
      "the error's log says why, if the verifier ran; check type, expectedAttachType and attachTo",
    ],
    E2BIG: [
      "limit",
      "the program is too long or too complex, or an option is newer than the kernel",
      "the error's log says why, if the verifier ran",
    ],
    EBADF: CLOSED,
    ENOENT: ["invalid", "the function to attach to does not exist"],
    ENOTSUPP: ["invalid", "this type and attach type do not go together, or attachTo is missing"],
    ENOMEM: MEMORY,
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  PROG_QUERY: {
    EPERM: [
      "capability",
      "it needs CAP_NET_ADMIN",
      "run as root, or give the process CAP_NET_ADMIN",
    ],
    EINVAL: [
      "invalid",
      "the target is no place of this attach type, or places of this type cannot be queried",
      "cgroups, network namespaces, sockmaps, tcx (Linux 6.6) and netkit (6.7) can",
    ],
    EBADF: [
      "invalid",
      "the target is no directory of a cgroup2 file system, or the fd is closed",
      "name a directory below a cgroup2 mount, not a file and not cgroup v1",
    ],
    ENODEV: ["gone", "there is no such interface in this network namespace", "check the device and the netns"],
    ENXIO: ["invalid", "the interface is no netkit device", "name a device made with `ip link add type netkit`"],
    ENOENT: ["gone", "the cgroup is being removed"],
    EOPNOTSUPP: ["invalid", "the target is a map of another type", "name a sockmap or sockhash"],
  },
  MAP_CREATE: {
    EINVAL: [
      "invalid",
      "the kernel refuses sizes, number of elements or flags, or does not know the type",
      "arrays have keys of 4 bytes; queues, stacks and ring buffers have none; a ring buffer's maxEntries is its size " +
      "in bytes, a power of two and a multiple of the page size",
    ],
    EPERM: ["policy", "making maps of this type is not permitted", "check security modules and the token"],
    E2BIG: ["limit", "keys, values or the whole map are too large", "use smaller values or fewer elements"],
    ENOMEM: MEMORY,
    EBADF: CLOSED,
    ENOENT: ["invalid", "there is no such type in the kernel's BTF"],
    EOPNOTSUPP: ["unsupported", "this kernel was built without maps of this type"],
    ENOTSUPP: ["unsupported", "this kernel has no such struct_ops, or no map of this kind"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  MAP_GET_FD_BY_ID: {
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such map", "it was freed when its last user ended"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  MAP_LOOKUP_ELEM: {
    ...MAP_ACCESS,
    EINVAL: ["invalid", "the fd is no map, or elements of this type cannot be read", "pass an fd of a map"],
    ENOSPC: [
      "invalid",
      "the map's values are too small for what the kernel tells",
      "make the sockmap with values of 8 bytes",
    ],
  },
  MAP_UPDATE_ELEM: {
    ...MAP_ACCESS,
    EINVAL: [
      "invalid",
      "maps of this type do not take this value",
      "maps of maps, programs and sockets take an fd of the right kind",
    ],
    EBADF: ["invalid", "an fd is not open, also the one that is the value", "keep it open until the call has returned"],
    ENOTSOCK: ["invalid", "the fd that is the value is no socket"],
    EEXIST: ["exists", "the element is there already", "every element of an array always is"],
    ENOENT: ["gone", "there is no such element"],
    E2BIG: ["limit", "the map is full, or the index is beyond its end"],
    EBUSY: ["busy", "the element is being changed, or the struct_ops map has its value already"],
    EAGAIN: ["unsettled", "the element is being changed", "ask again"],
    ENOMEM: MEMORY,
  },
  MAP_DELETE_ELEM: {
    ...MAP_ACCESS,
    EINVAL: [
      "unsupported",
      "elements of this type cannot be removed",
      "those of arrays are always there; write zeroes",
    ],
    EBUSY: ["busy", "the element is being changed"],
    EINPROGRESS: ["unsettled", "the struct_ops is still being removed", "ask again"],
  },
  MAP_LOOKUP_AND_DELETE_ELEM: {
    ...MAP_ACCESS,
    EINVAL: ["invalid", "elements of this type cannot be taken out"],
  },
  MAP_GET_NEXT_KEY: {
    ...MAP_ACCESS,
    EINVAL: ["unsupported", "maps of this type have no keys", "read them with lookup() or records()"],
  },
  MAP_LOOKUP_BATCH: {
    ...MAP_ACCESS,
    EINVAL: ["invalid", "the fd is no map, or the beginning of the part is none"],
    ENOSPC: ["limit", "a bucket of the hash has more elements than were asked for", "ask for more at once"],
    EINTR: ["unsettled", "the elements were changed too quickly", "ask again"],
  },
  ring: {
    EINVAL: [
      "invalid",
      "the fd is no ring buffer, or somebody else moved its position",
      "a ring buffer has one reader",
    ],
    EPERM: ["policy", "the ring buffer may not be written, which a reader must", "open it for reading and writing"],
    ENOMEM: MEMORY,
  },
  TOKEN_CREATE: {
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is not the root of a bpf file system", "tokens came with Linux 6.9"],
    EPERM: [
      "capability",
      "it needs CAP_BPF in the user namespace of the bpf file system, and a caller inside it",
      "CAP_SYS_ADMIN does not stand in for it",
    ],
    EOPNOTSUPP: [
      "unsupported",
      "the bpf file system belongs to the initial user namespace",
      "capabilities count there; tokens are for other user namespaces",
    ],
    ENOENT: ["invalid", "the mount delegates nothing", "mount it with delegate_cmds and its sisters"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  openat: {
    ENOENT: ["gone", "there is no such file or directory"],
    EACCES: ["policy", "the file may not be opened"],
    EPERM: ["policy", "the file may not be opened", "a security module or the kernel's lockdown forbids it"],
    ENOTDIR: ["invalid", "a part of the path is no directory"],
    EMFILE: TOO_MANY_FILES,
    ENFILE: SYSTEM_FILES,
  },
  unlinkat: {
    ENOENT: ["gone", "the file does not exist"],
    EACCES: ["policy", "the directory may not be written"],
    EPERM: ["policy", "it may not be removed"],
  },
  renameat2: {
    EACCES: ["policy", "the directory may not be written"],
    EPERM: ["policy", "the file that is there may not be replaced"],
    EISDIR: ["invalid", "a directory is there"],
  },
  RTM_GETLINK: { ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] },
  SIOCGIFINDEX: { ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] },
  fcntl: { EBADF: ["invalid", "the fd is not open"], EMFILE: TOO_MANY_FILES },
  close: { EBADF: ["invalid", "the fd is not open"] },
  setns: {
    EINVAL: ["invalid", "the file is no network namespace", "name a file such as /proc/PID/ns/net or /run/netns/NAME"],
    EPERM: [
      "capability",
      "entering another network namespace needs CAP_SYS_ADMIN",
      "run as root, or give the process it",
    ],
  },
};

/** The error for a negative result of `command`; `place` as for {@linkcode explain}. */
export function refusal(result: number, command: string, action: string, place?: string): BpfError {
  return new BpfError(-result, { action, command, ...explain(command, -result, place) });
}

/** What `errno` of `command` means; `place` is a link type, or "expected" for an update that names the old program. */
export function explain(command: string, errno: number, place?: string): Explanation {
  const [code, text] = ERRNO[errno] ?? ["", "unknown error"];
  const row = (place === undefined ? undefined : HINTS[`${command} ${place}`]?.[code]) ?? HINTS[command]?.[code];
  if (row !== undefined) return { reason: row[0], meaning: row[1], hint: row[2] };
  if (code === "ENOSYS" && command === command.toUpperCase()) {
    return {
      reason: "unsupported",
      meaning: "this kernel has no bpf(2)",
      hint: "Linux 5.10 or newer with CONFIG_BPF_SYSCALL is needed; seccomp may hide it",
    };
  }
  return { reason: "other", meaning: text };
}
