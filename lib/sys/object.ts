/** What links, programs and maps have in common: pins, their names on a bpf file system; and which of them an fd is. */
import { checkFd, checkString, checkU32 } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { PATH_SIZE, Request, withPath, words } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { isOlderThan, missingCapabilities } from "../os/capabilities.ts";
import { closeIfOpen, directoryOf, fileSystemOf, open, readTextFile } from "../os/files.ts";
import { CLOSED, explanation, plain, type Refusals, refused, unlessRefused } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { EBADF, EINVAL, ENOTSUPP, EPERM } from "../uapi/errno.ts";
import { BPF_FS_MAGIC, O_PATH } from "../uapi/linux.ts";
import { batch, obj_pin, prog_bind_map } from "../uapi/layout.ts";

const pinning = lazy(() => withPath(obj_pin.sizeof, obj_pin.pathname));

/** What errnos of {@linkcode objPin} mean. */
export const OBJ_PIN: Refusals = {
  command: "OBJ_PIN",
  rows: () => ({
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
  }),
};

/**
 * Pins a link, program or map: gives it a path on a bpf file system, which keeps it alive without any process.
 *
 * Removing the file drops that reference; if it was the last, the kernel detaches a link some milliseconds later, not
 * at once. Wraps `bpf_obj_pin()`. Since Linux 4.4, links since 5.7. Needs no capability, only write permission in the
 * directory.
 *
 * @param fd An fd of the object.
 * @param path The new file. Its name may have no dot.
 * @throws {TypeError} If `path` is empty or has a NUL.
 * @throws {RangeError} If `fd` is no fd.
 * @throws {BpfError}
 * - `EINVAL`: `fd` is not open, or no link, program or map
 * - `EEXIST`: `path` exists
 * - `EPERM`: `path` lies on no bpf file system, or its name has a dot
 * - `EACCES`: the directory may not be written
 * - `ENOENT`: the directory does not exist
 * - `ENOTDIR`: a part of the path is no directory
 * - `ENAMETOOLONG`: a name has more than 255 bytes
 * - `EROFS`: the file system is mounted read-only
 *
 * @example
 * ```ts ignore
 * import { objGet, objPin } from "@bpf/link/sys";
 *
 * objPin(objGet("/sys/fs/bpf/my_link"), "/sys/fs/bpf/its_second_name");
 * ```
 */
export function objPin(fd: number, path: string): void {
  try {
    pinAs(checkFd(fd, "fd"), checkString(path, "path"), path);
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "EPERM" && error.reason !== "capability")) throw error;
    const why = unlessRefused(() => whyNotAt(path));
    if (why === undefined) throw error;
    throw new BpfError(error.errno, { action: `Cannot pin to "${path}"`, command: OBJ_PIN.command, ...why });
  }
}

/** What an EPERM of OBJ_PIN means, which the kernel says of three things. */
function whyNotAt(path: string): Explanation {
  if (path.slice(path.lastIndexOf("/") + 1).includes(".")) {
    const meaning = "the name of a pin may have no dot on a bpf file system";
    return { reason: "invalid", meaning, hint: "choose a name without a dot" };
  }
  const directory = directoryOf(path), fd = open(directory, O_PATH);
  try {
    if (fileSystemOf(fd) === BPF_FS_MAGIC) {
      return { reason: "policy", meaning: "a security module or the mount refuses it" };
    }
  } finally {
    closeIfOpen(fd);
  }
  const hint = "choose a path below a bpf mount; `mount -t bpf bpf /sys/fs/bpf` makes one";
  return { reason: "invalid", meaning: `"${directory}" lies on no bpf file system`, hint };
}

/** The same, where the path of an error's words is another: one that begins at an open directory. */
export function pinAs(fd: number, path: string, shown: string): void {
  const { request, at } = pinning();
  request.u32(obj_pin.bpf_fd, fd).u32(obj_pin.file_flags, 0);
  const result = request.text(at, PATH_SIZE, path).bpf(Command.OBJ_PIN);
  if (result < 0) throw pinRefused(result, OBJ_PIN, `Cannot pin to "${shown}"`);
}

/** What errnos of {@linkcode objGet} mean. */
export const OBJ_GET: Refusals = {
  command: "OBJ_GET",
  rows: () => ({
    ENOENT: ["gone", "nothing is pinned there", "check the path; another bpf mount over it hides pins"],
    EACCES: [
      "invalid",
      "the path is no pin, or it may not be read and written",
      "opening a pin needs both permissions on its file",
    ],
    ENOTDIR: ["invalid", "a part of the path is no directory"],
    EINVAL: ["invalid", "a link cannot be opened read-only or write-only"],
    EPERM: ["policy", "opening the pin is not permitted"],
  }),
};

/**
 * Opens the link, program or map that is pinned at a path.
 *
 * Wraps `bpf_obj_get()`. Since Linux 4.4, links since 5.7. Needs no capability, only read and write permission on the
 * file.
 *
 * @param path The pin.
 * @param fileFlags 0; for maps also BPF_F_RDONLY (8) or BPF_F_WRONLY (16).
 * @returns An fd of the object, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If `path` is empty or has a NUL.
 * @throws {RangeError} If `fileFlags` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: there is no such file
 * - `EACCES`: it is no pin, or may not be read and written
 * - `ENOTDIR`: a part of the path is no directory
 * - `EINVAL`: flags on a link, or unknown flags
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts ignore
 * import { close, linkGetInfoByFd, objGet } from "@bpf/link/sys";
 *
 * const link = objGet("/sys/fs/bpf/my_link");
 * console.log(linkGetInfoByFd(link));
 * close(link);
 * ```
 */
export function objGet(path: string, fileFlags = 0): number {
  return getAs(checkString(path, "path"), path, checkU32(fileFlags, "fileFlags"));
}

/** The same, where the path of an error's words is another. */
export function getAs(path: string, shown: string, fileFlags = 0): number {
  const { request, at } = pinning();
  request.u32(obj_pin.bpf_fd, 0).u32(obj_pin.file_flags, fileFlags);
  const result = request.text(at, PATH_SIZE, path).bpf(Command.OBJ_GET);
  if (result >= 0) return result;
  throw pinRefused(result, OBJ_GET, `Cannot open pin "${shown}"`);
}

/** Pins need no capability; but before Linux 5.19 every command could need CAP_BPF. */
function pinRefused(result: number, refusals: Refusals, action: string): BpfError {
  const lacking = result === -EPERM && isOlderThan("5.19") ? missingCapabilities(["CAP_BPF"]) : undefined;
  const why = lacking ?? explanation(result, refusals);
  return new BpfError(-result, { action, command: refusals.command, ...why });
}

/** What errnos of a question about an object mean. */
export const OBJ_GET_INFO_BY_FD: Refusals = {
  command: "OBJ_GET_INFO_BY_FD",
  rows: () => ({
    EBADFD: CLOSED,
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no object of bpf, or of another kind"],
  }),
};

const NO_PROGRAM = -1 >>> 0;

/**
 * Whether an open fd is a link: LINK_UPDATE looks at it before it finds that the new program is none. Changes nothing.
 * These three throw if neither the kernel nor `/proc` says what the fd is.
 */
export function isLink(fd: number): boolean {
  const result = words(Command.LINK_UPDATE, fd, NO_PROGRAM);
  return result === -EBADF || result !== -EINVAL && isShownAs("link", fd, result, "LINK_UPDATE");
}

/** Whether an open fd is a program: PROG_BIND_MAP looks at it before it finds that the map is none. Changes nothing. */
export function isProgram(fd: number): boolean {
  const result = new Request(prog_bind_map.sizeof).u32(prog_bind_map.prog_fd, fd).u32(prog_bind_map.map_fd, -1)
    .bpf(Command.PROG_BIND_MAP);
  return result === -EBADF || result !== -EINVAL && isShownAs("prog", fd, result, "PROG_BIND_MAP");
}

/** Whether an open fd is a map: a batch of no elements finds that out and nothing else. */
export function isMap(fd: number): boolean {
  const result = new Request(batch.sizeof).u32(batch.map_fd, fd).bpf(Command.MAP_LOOKUP_BATCH);
  if (result === 0 || result === -ENOTSUPP) return true; // ENOTSUPP: of a type without batches
  return result !== -EINVAL && result !== -EBADF && isShownAs("map", fd, result, "MAP_LOOKUP_BATCH");
}

/** Whether an fd is what it is asked for; if not, or if nobody says, it is closed. */
export function keptIf(fd: number, is: (fd: number) => boolean): boolean {
  let isKept = false;
  try {
    return isKept = is(fd);
  } finally {
    if (!isKept) closeIfOpen(fd);
  }
}

/** The second question, where a policy refuses the first: what `/proc` says of the fd. */
function isShownAs(kind: "link" | "prog" | "map", fd: number, result: number, command: string): boolean {
  const text = unlessRefused(() => readTextFile(`/proc/thread-self/fdinfo/${fd}`));
  if (text === undefined) throw refused(result, plain(command), `Cannot find out what fd ${fd} is`);
  return new RegExp(`^${kind}_type:`, "m").test(text);
}
