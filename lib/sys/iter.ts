/** The command that starts an iterator. */
import { checkFd } from "../check.ts";
import { words } from "../ffi/request.ts";
import { closeIfOpen, readLent, readToEnd } from "../os/files.ts";
import { checked, CLOSED, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";

/** What errnos of {@linkcode iterCreate} mean. */
export const ITER_CREATE: Refusals = {
  command: "ITER_CREATE",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no iter link"],
  }),
};

/**
 * Starts a run of an iterator: reading the fd makes the program walk its objects and returns what it writes.
 *
 * Each fd is a run of its own, from the first object. A run keeps the program that the link had when it was started,
 * also after an update and after the link ended. Wraps `bpf_iter_create()`. Since Linux 5.8. Needs no capability, only
 * the link's fd.
 *
 * @param linkFd An fd of an iter link.
 * @returns An fd to be read to its end, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `linkFd` is no fd.
 * @throws {BpfError}
 * - `EBADF`: `linkFd` is not open
 * - `EINVAL`: `linkFd` is no link, or a link of another type
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts ignore
 * import { close, iterCreate, objGet } from "@bpf/link/sys";
 *
 * const link = objGet("/sys/fs/bpf/my_iterator");
 * const run = iterCreate(link);
 * close(run);
 * close(link);
 * ```
 */
export function iterCreate(linkFd: number): number {
  const result = words(Command.ITER_CREATE, checkFd(linkFd, "linkFd"));
  return checked(result, ITER_CREATE, () => `Cannot run iterator (fd ${linkFd})`);
}

/** Runs an iterator once: all that its program writes. */
export function iterRead(linkFd: number): Uint8Array<ArrayBuffer> {
  return withRun(linkFd, readToEnd);
}

/** The same in memory that is to be given back. */
export function iterReadLent(linkFd: number): Uint8Array<ArrayBuffer> {
  return withRun(linkFd, readLent);
}

function withRun<T>(linkFd: number, use: (fd: number) => T): T {
  const fd = iterCreate(linkFd);
  try {
    return use(fd);
  } finally {
    closeIfOpen(fd);
  }
}
