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
  readonly rows: () => Rows;
}

/** A call whose errnos mean nothing special. */
export function plain(command: string): Refusals {
  return { command, rows: () => ({}) };
}

/** The errno of a result as an explanation; rows of the call come before those that any call may need. */
export function explanation(result: number, { command, rows }: Refusals): Explanation {
  const [code, text] = ERRNO[-result] ?? ["", "unknown error"];
  const row = rows()[code] ?? (code === "ENOSYS" && command === command.toUpperCase() ? NO_BPF : ANY[code]);
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

const POLICY: Row = [
  "policy",
  "a policy refuses it",
  "look for a security module, a seccomp filter or a container that forbids the call",
];

/** What any call may answer; doc comments do not list them. */
const ANY: Rows = {
  EOPNOTSUPP: ["unsupported", "it has no such operation"],
  ENOTSUPP: ["unsupported", "it has no such operation"],
  EMFILE: TOO_MANY_FILES,
  ENFILE: SYSTEM_FILES,
  ENOMEM: MEMORY,
  ENOBUFS: MEMORY,
  EINTR: ["unsettled", "a signal interrupts it", "ask again"],
  EAGAIN: ["unsettled", "the kernel cannot do it at this moment", "ask again"],
  EPERM: POLICY,
  EACCES: POLICY,
};

/** What is for CAP_SYS_ADMIN alone. */
export const ADMIN: Row = [
  "capability",
  "it needs CAP_SYS_ADMIN in the initial user namespace",
  "run as root, or give the process CAP_SYS_ADMIN; CAP_BPF is not enough",
];

/** Whether an error says nothing about what was asked: it may be otherwise in a moment. */
export function isNoAnswer({ reason }: BpfError): boolean {
  return reason === "limit" || reason === "unsettled";
}

/** Whether an error says that there is no such file. */
export function isAbsent({ code }: BpfError): boolean {
  return code === "ENOENT" || code === "ENOTDIR";
}

/** What `look` sees; `undefined` if what it looks at is gone meanwhile. */
export function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof BpfError && ["ENOENT", "ESRCH"].includes(error.code)) return undefined;
    throw error;
  }
}

/**
 * What `look` sees of one thing among many; `undefined` if it cannot be seen, whyever: not permitted, gone, its path too
 * long. One that cannot must not cost the others. That the process or the system is out of something is thrown.
 */
export function visibly<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof BpfError && error.reason !== "limit") return undefined;
    throw error;
  }
}

/** What `ask` gives; `undefined` if the kernel refuses. */
export function unlessRefused<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
