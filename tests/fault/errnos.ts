/** Which errnos each system call of the native library can give, and what they may be told as. */
import type { BpfError } from "../../mod.ts";
import { Command } from "../../lib/uapi/constants.ts";
import { ERRNO } from "../../lib/uapi/errno.ts";

/** The numbers of errnos by their codes. */
export const NUMBER: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(ERRNO).map(([number, [code]]) => [code, Number(number)]),
);

const FD = ["EMFILE", "ENFILE", "ENOMEM"];

/** By the name of the call, as in `ffi/core/src/syscall.rs`. Not here: calls that cannot fail for reasons of their own. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  CLOSE: ["EINTR", "EIO"],
  EPOLL_CREATE1: FD,
  EPOLL_CTL: ["ENOMEM", "ENOSPC"],
  EPOLL_PWAIT: ["EINTR"],
  EVENTFD2: FD,
  FCNTL: ["EMFILE", "EACCES", "EPERM"],
  FLOCK: ["EINTR", "ENOLCK", "EAGAIN", "EACCES"],
  FSCONFIG: ["EPERM", "ENOMEM", "EBUSY"],
  FSMOUNT: ["EPERM", ...FD],
  FSOPEN: ["EPERM", "ENODEV", ...FD],
  FSTAT: ["EACCES", "EIO", "ENOMEM"],
  FSTATFS: ["EACCES", "EINTR", "EIO", "ENOMEM", "ENOSYS"],
  GETDENTS64: ["EACCES", "EIO", "ENOENT"],
  IOCTL: ["EPERM", "ENOMEM", "ENOTTY"],
  KCMP: ["EPERM", "ESRCH", "ENOSYS"],
  LSEEK: ["EINVAL"],
  MKDIRAT: ["EACCES", "ENOENT", "ENOMEM", "ENOSPC", "EPERM", "EROFS"],
  MMAP: ["EACCES", "EAGAIN", "ENOMEM", "EPERM"],
  OPENAT: ["EACCES", "EINTR", "ELOOP", "ENOENT", "EPERM", ...FD],
  OPEN_BY_HANDLE_AT: ["EINVAL", "EOPNOTSUPP", "EPERM", "ESTALE", ...FD],
  PERF_EVENT_OPEN: [
    ...["EACCES", "EBUSY", "EINTR", "EINVAL", "ENODEV", "ENOENT", "ENOSPC", "EOPNOTSUPP", "EPERM", "ESRCH"],
    ...FD,
  ],
  PREAD64: ["EINTR", "EIO", "ENOMEM", "EPERM"],
  READ: ["EAGAIN", "EINTR", "EIO", "ENOMEM", "EPERM"],
  READLINKAT: ["EACCES", "EIO", "ENOENT", "ENOMEM"],
  RENAMEAT2: ["EACCES", "EBUSY", "EEXIST", "ENOENT", "ENOMEM", "ENOSPC", "EPERM"],
  SETNS: ["EINVAL", "ENOMEM", "EPERM"],
  SOCKET: ["EACCES", "EAFNOSUPPORT", "ENOBUFS", "EPERM", ...FD],
  STATX: ["EACCES", "EIO", "ENOENT", "ENOMEM", "EPERM"],
  TGKILL: ["EPERM", "ESRCH"],
  UNLINKAT: ["EACCES", "EBUSY", "EIO", "ENOENT", "ENOMEM", "EPERM", "EROFS"],
  WRITE: ["EINTR", "EIO", "ENOBUFS", "ENOMEM", "EPERM"],
};

/** Cannot fail: a whole mapping of the library's own is unmapped or protected, and who one is can be asked always. */
export const INFALLIBLE: readonly string[] = ["MPROTECT", "MUNMAP", "GETEUID", "GETPID", "GETTID"];

/** Not here: what is an answer and no failure, as the ENOENT of a key or of the next id, the EINVAL of a question. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  MAP_CREATE: ["EINVAL", "E2BIG"],
  MAP_UPDATE_ELEM: ["E2BIG", "EBUSY", "EEXIST"],
  MAP_DELETE_ELEM: ["EBUSY"],
  MAP_LOOKUP_BATCH: ["EINTR", "ENOSPC"],
  PROG_LOAD: ["EACCES", "EAGAIN", "EINVAL", "E2BIG"],
  MAP_FREEZE: ["EBUSY", "EOPNOTSUPP"],
  PROG_TEST_RUN: ["EINTR", "EINVAL", "EOPNOTSUPP"],
  OBJ_PIN: ["EACCES", "EEXIST", "EINVAL", "ENOENT", "ENOSPC"],
  OBJ_GET: ["EACCES", "ENOENT", "ELOOP"],
  PROG_GET_FD_BY_ID: ["ENOENT", "EAGAIN"],
  MAP_GET_FD_BY_ID: ["ENOENT"],
  OBJ_GET_INFO_BY_FD: ["EINVAL"],
  PROG_QUERY: ["EINVAL", "ENODEV", "ENOENT", "ENOSPC"],
  RAW_TRACEPOINT_OPEN: ["EINVAL", "ENOENT", "EBUSY"],
  BTF_LOAD: ["EINVAL", "E2BIG"],
  BTF_GET_FD_BY_ID: ["ENOENT"],
  LINK_CREATE: ["EAGAIN", "EBUSY", "EEXIST", "EINTR", "EINVAL", "ENODEV", "ENOENT", "EOPNOTSUPP", "ERANGE", "ESTALE"],
  LINK_UPDATE: ["ENOLINK", "EOPNOTSUPP", "ESTALE"],
  LINK_GET_FD_BY_ID: ["EAGAIN", "ENOENT"],
  LINK_DETACH: ["EINVAL", "EOPNOTSUPP"],
  ITER_CREATE: ["EINVAL"],
};

/** Commands that give no fd. */
const WITHOUT_FD =
  /^(MAP_(?!CREATE|GET_FD)\w+|OBJ_PIN|OBJ_GET_INFO\w+|PROG_(QUERY|TEST_RUN)|LINK_(UPDATE|DETACH|GET_NEXT_ID)|\w+_NEXT_ID)$/;

const COMMAND_NAME: ReadonlyMap<number, string> = new Map(
  Object.entries(Command).map(([name, number]) => [number, name]),
);

/** A call in words, as `bpf LINK_CREATE` or `openat`. */
export function nameOf(call: string, command: number): string {
  if (call === "BPF") return COMMAND_NAME.get(command) ?? `bpf ${command}`;
  return call.toLowerCase() + (command < 0 ? "" : ` ${command}`);
}

/** The errnos that a call can give; undefined for a call that nobody has thought about. */
export function errnosOf(call: string, command: number): readonly string[] | undefined {
  if (call !== "BPF") return INFALLIBLE.includes(call) ? [] : CALLS[call];
  const name = COMMAND_NAME.get(command) ?? "";
  return [...new Set(["EPERM", "ENOMEM", ...WITHOUT_FD.test(name) ? [] : FD, ...COMMANDS[name] ?? []])];
}

type Reason = BpfError["reason"];

/**
 * What an errno may be told as, whatever the call; absent are those that mean nothing by themselves. Where a call gives an
 * errno that no kernel gives there, `other` is right, but never for those that any call may give.
 */
const REASONS: Readonly<Record<string, readonly Reason[]>> = {
  EMFILE: ["limit"],
  ENFILE: ["limit"],
  ENOMEM: ["limit"],
  ENOBUFS: ["limit"],
  ENOSPC: ["limit"],
  EPERM: ["policy", "capability", "mismatch", "limit"], // the last: locked memory of perf events
  EACCES: ["policy", "capability", "invalid"],
  ENOENT: ["gone", "invalid", "unsupported"],
  ESRCH: ["gone", "invalid"],
  ENODEV: ["gone", "unsupported", "invalid"],
  ENOLINK: ["gone"],
  EEXIST: ["exists", "busy"],
  EBUSY: ["busy", "exists"],
  EINVAL: ["invalid", "unsupported", "mismatch"],
  EOPNOTSUPP: ["unsupported", "invalid"],
  ENOSYS: ["unsupported"],
  EAFNOSUPPORT: ["unsupported"],
  ESTALE: ["stale", "gone"],
  EAGAIN: ["unsettled", "busy", "limit"],
  ERANGE: ["limit", "invalid"],
  E2BIG: ["limit", "invalid"],
};

const ANYWHERE = ["EMFILE", "ENFILE", "ENOMEM", "EPERM", "EACCES", "EINVAL"];

/** What is wrong with an error for a call that failed with `code`, if something is. */
export function wrongWith(error: Pick<BpfError, "code" | "reason">, code: string): string | undefined {
  if (code === "ENOTTY" && error.code === "EINVAL") return undefined; // it says what the file is not
  if (code === "ENOENT" && error.code === "ESRCH") return undefined; // a process without files in /proc is gone
  if (code === "ENOENT" && error.code === "ENODEV") return undefined; // without its file the kernel has no BTF
  if (error.code !== code) return `${code} became ${error.code} ${error.reason}`;
  const reasons = REASONS[code];
  if (reasons === undefined || reasons.includes(error.reason)) return undefined;
  return error.reason === "other" && !ANYWHERE.includes(code) ? undefined : `${code} became ${error.reason}`;
}
