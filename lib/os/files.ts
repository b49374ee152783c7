/** Files, directories and fds. */
import { checkFd, checkString, checkU32 } from "../check.ts";
import { Call } from "../ffi/symbols.ts";
import { fast, native } from "../ffi/library.ts";
import { giveBack, readWhole } from "../ffi/read.ts";
import { ARGS, duplicate, PATH_SIZE, Request, system, withPath } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { checked, plain, type Refusals, refused } from "../refusal.ts";
import { EAGAIN, EEXIST } from "../uapi/errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  DT_DIR,
  DT_REG,
  FILEID_KERNFS,
  KCMP_FILE,
  LOCK_EX,
  LOCK_NB,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  PATH_MAX,
  S_IFMT,
  STAT_SIZE,
  STATX,
  STATX_BASIC_STATS,
  STATX_SIZE,
} from "../uapi/linux.ts";

/** What errnos of {@linkcode open} mean. */
export const OPENAT: Refusals = {
  command: "openat",
  rows: () => ({
    ENOENT: ["gone", "there is no such file or directory"],
    EACCES: ["policy", "the file may not be opened"],
    EPERM: ["policy", "the file may not be opened", "a security module or the kernel's lockdown forbids it"],
    ENOTDIR: ["invalid", "a part of the path is no directory"],
  }),
};

/**
 * Opens a file for what other calls want an fd for: the directory of a cgroup, a network namespace.
 *
 * (Deno's own files do not report their fds.) Needs no capability, only permission on the file.
 *
 * @param path The file or directory.
 * @param flags Flags of open(2); O_RDONLY by default, O_CLOEXEC always.
 * @returns An fd; close it with {@linkcode close}.
 * @throws {TypeError} If `path` is empty or has a NUL.
 * @throws {RangeError} If `flags` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: there is no such file
 * - `EACCES`: it may not be read
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, open } from "@bpf/link/sys";
 *
 * const netns = open("/proc/self/ns/net");
 * close(netns);
 * ```
 */
export function open(path: string, flags = 0): number {
  checkString(path, "path");
  return checked(openAt(AT_FDCWD, path, checkU32(flags, "flags")), OPENAT, () => `Cannot open "${path}"`);
}

const opening = lazy(() => withPath(ARGS, 8)); // kept, for making it takes a microsecond

/** The same of a path that begins at a directory; an fd or -errno. */
export function openAt(directory: number, path: string, flags: number): number {
  const { request, at } = opening();
  return request.u32(0, directory).text(at, PATH_SIZE, path).u32(16, flags | O_CLOEXEC).system(Call.openat);
}

/**
 * Opens what a name in a directory stands for, be it a symbolic link, to look at it and to hold on to it: nothing can be
 * read through it, and no right on it is needed. An fd or -errno.
 */
export function openEntry(directory: number, name: string): number {
  return openAt(directory, name, O_PATH | O_NOFOLLOW);
}

const PIECE = 64 * 1024;

const reader = lazy(reading); // kept, for making it takes longer than most reads

/**
 * How often in a row an iterator may say EAGAIN, which means "go on reading": it does after a million objects of which
 * its program wrote nothing, so this is enough for hours; and each time that its program asks to be run again.
 */
const MAX_SILENT = 10_000;

/** What errnos of a read mean. */
const READ: Refusals = {
  command: "read",
  rows: () => ({
    EAGAIN: [
      "unsettled",
      "the iterator's program asks without end to be run again for the same object",
      "a program that returns 1 asks for that; return 0 to go on to the next object",
    ],
    E2BIG: [
      "limit",
      "the iterator's program writes more for one object than the kernel's buffer holds",
      "write less than 32 KiB for each object",
    ],
  }),
};

/** Reads up to 64 KiB; an empty array is the end. The result is the caller's. */
export function read(fd: number): Uint8Array<ArrayBuffer> {
  const request = reader().u64(0, BigInt(fd));
  let count, silent = 0;
  do count = request.system(Call.read); while (count === -EAGAIN && ++silent < MAX_SILENT);
  return piece(request, count);
}

/** The same on another thread. The fd must stay open until the promise is settled. */
async function readAsync(fd: number, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
  const request = reading().u64(0, BigInt(fd));
  let count, silent = 0;
  do {
    count = await request.systemAsync(Call.read);
    signal?.throwIfAborted();
  } while (count === -EAGAIN && ++silent < MAX_SILENT);
  return piece(request, count);
}

/** The lines that are left to be read, without their line feeds; read on another thread. */
export async function* readLines(fd: number, signal?: AbortSignal): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for (let piece; (piece = await readAsync(fd, signal)).length > 0;) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

/** All that is left to be read; of more than `most` bytes some more. */
export function readToEnd(fd: number, most: number = Infinity): Uint8Array<ArrayBuffer> {
  const lent = readLent(fd, most), bytes = lent.slice();
  giveBack(lent);
  return bytes;
}

/** The same in memory that is to be given back with {@linkcode giveBack}: to make it takes as long as to read. */
export function readLent(fd: number, most: number = Infinity): Uint8Array<ArrayBuffer> {
  const bytes = readWhole(fd, most);
  if (typeof bytes === "number") throw refused(bytes, READ, "Cannot read");
  return bytes;
}

function reading(): Request {
  const request = new Request(ARGS, ARGS + PIECE + 8).u64(16, BigInt(PIECE));
  request.room(8, PIECE);
  return request;
}

function piece(request: Request, count: number): Uint8Array<ArrayBuffer> {
  if (count < 0) throw refused(count, READ, "Cannot read");
  return request.bytes(ARGS, count).slice();
}

/** What errnos of a read at an offset mean. */
const PREAD64: Refusals = {
  command: "pread64",
  rows: () => ({
    ESPIPE: ["invalid", "it is no regular file"],
    EISDIR: ["invalid", "it is a directory"],
  }),
};

/** Reads up to `length` bytes of the file `path`, open as `fd`, from `offset`; fewer where it ends. */
export function readAt(fd: number, path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const request = new Request(ARGS, 56 + length).u64(0, BigInt(fd)).u64(16, BigInt(length)).u64(24, BigInt(offset));
  const at = request.room(8, length);
  const count = request.system(Call.pread64);
  if (count < 0) throw refused(count, PREAD64, `Cannot read "${path}"`);
  return request.bytes(at, count);
}

const WRITE = plain("write");

/** Writes all of `bytes` in one call; what errnos mean, and what could not be done, as the caller knows it. */
export function write(fd: number, bytes: Uint8Array, refusals: Refusals = WRITE, action = "Cannot write"): void {
  const request = new Request(ARGS, ARGS + bytes.length).u64(0, BigInt(fd)).u64(16, BigInt(bytes.length));
  request.data(8, bytes);
  const result = request.system(Call.write);
  checked(result, refusals, () => action);
}

/** The number of an open file: for the directory of a cgroup its id, for a network namespace what infos call `netnsIno`. */
export function inode(fd: number): bigint {
  return stat(fd).inode;
}

/** The number of an open file, and that of the file system it is on. */
export function stat(fd: number): { device: bigint; inode: bigint } {
  const request = new Request(ARGS, ARGS + STAT_SIZE).u64(0, BigInt(fd));
  const at = request.room(8, STAT_SIZE);
  const result = request.system(Call.fstat);
  if (result < 0) throw refused(result, plain("fstat"), `Cannot look at fd ${fd}`);
  return { device: request.getU64(at), inode: request.getU64(at + 8) };
}

/** {@linkcode stat} of a path. */
export function statPath(path: string): { device: bigint; inode: bigint } {
  const fd = open(path);
  try {
    return stat(fd);
  } finally {
    closeIfOpen(fd);
  }
}

/** What a file is, and whose. */
export interface FileStatus {
  /** `S_IFLNK`, `S_IFDIR`, ... */
  readonly type: number;
  /** The user who owns it. */
  readonly uid: number;
  /** How many names (hard links) it has. */
  readonly links: number;
  readonly inode: bigint;
  /** Its file system, as /proc/locks has it. */
  readonly device: { readonly major: number; readonly minor: number };
  /** When its contents or attributes were changed last, in nanoseconds since 1970. */
  readonly changedNs: bigint;
  /** When its contents were changed last; of a pin: when it was made. */
  readonly modifiedNs: bigint;
}

/** What an open file is; one that {@linkcode openEntry} opened, too. */
export function fileStatus(fd: number): FileStatus {
  const request = new Request(ARGS, ARGS + 8 + STATX_SIZE).u32(0, fd).u32(16, AT_EMPTY_PATH).u32(24, STATX_BASIC_STATS);
  request.data(8, new Uint8Array(1));
  const at = request.room(32, STATX_SIZE);
  checked(request.system(Call.statx), plain("statx"), () => `Cannot look at fd ${fd}`);
  const word = (offset: number) => request.getU32(at + offset);
  const time = (offset: number) => request.getU64(at + offset) * 1_000_000_000n + BigInt(word(offset + 8));
  return {
    type: word(STATX.mode) & S_IFMT,
    uid: word(STATX.uid),
    links: word(STATX.nlink),
    inode: request.getU64(at + STATX.ino),
    device: { major: word(STATX.dev_major), minor: word(STATX.dev_minor) },
    changedNs: time(STATX.ctime),
    modifiedNs: time(STATX.mtime),
  };
}

/** Where a symbolic link leads that {@linkcode openEntry} opened. */
export function readLink(fd: number): string {
  const request = new Request(ARGS, ARGS + 8 + PATH_MAX).u32(0, fd).u32(24, PATH_MAX);
  request.data(8, new Uint8Array(1));
  const at = request.room(16, PATH_MAX);
  const size = checked(
    request.system(Call.readlinkat),
    plain("readlinkat"),
    () => `Cannot read the symbolic link ${fd}`,
  );
  return request.getString(at, size);
}

/** A path that stays the same when the process changes its directory; unchanged where `/proc` does not report that. */
export function absolutePath(path: string): string {
  if (path.startsWith("/")) return path;
  const here = linkedPath("/proc/self/cwd");
  return here === undefined ? path : `${here}/${path}`;
}

/** Where a symbolic link of `/proc` leads; undefined where that is not reported. */
function linkedPath(link: string): string | undefined {
  const fd = openEntry(AT_FDCWD, link);
  if (fd < 0) return undefined;
  try {
    return readLink(fd);
  } finally {
    closeIfOpen(fd);
  }
}

/**
 * The path of a directory of kernfs, as cgroups are, by its number, on the file system that is mounted at `mount`; undefined
 * if there is none, or if opening files by number is refused: that takes CAP_DAC_READ_SEARCH. Of what does not lie below
 * the mount it may be another's.
 */
export function pathOfInode(mount: string, inode: bigint): string | undefined {
  const at = open(mount);
  try {
    const request = new Request(ARGS, ARGS + HANDLE_SIZE).u32(0, at).u32(16, O_PATH | O_CLOEXEC);
    const handle = request.room(8, HANDLE_SIZE); // struct file_handle: how long the number is, its kind, and it
    request.u32(handle, 8).u32(handle + 4, FILEID_KERNFS).u64(handle + 8, inode);
    const fd = request.system(Call.open_by_handle_at);
    if (fd < 0) return undefined;
    try {
      return linkedPath(`/proc/thread-self/fd/${fd}`);
    } finally {
      closeIfOpen(fd);
    }
  } finally {
    closeIfOpen(at);
  }
}

const HANDLE_SIZE = 16;

/** The user as whom this thread makes and opens files. */
export function userId(): number {
  return new Request(ARGS).system(Call.geteuid) >>> 0;
}

/** The whole of a small file as text, as those of /proc and /sys are. */
export function readTextFile(path: string): string {
  return readText(open(path));
}

/** The text of an open file, which is closed. */
export function readText(fd: number): string {
  try {
    const decoder = new TextDecoder();
    let text = "";
    for (let bytes; (bytes = read(fd)).length > 0;) text += decoder.decode(bytes, { stream: true });
    return text + decoder.decode();
  } finally {
    closeIfOpen(fd);
  }
}

/** What errnos of a duplication mean. */
const FCNTL: Refusals = { command: "fcntl", rows: () => ({ EBADF: ["invalid", "the fd is not open"] }) };

/** A second fd for the same object. */
export function duplicateFd(fd: number): number {
  const copy = duplicate(fd);
  if (copy < 0) throw refused(copy, FCNTL, `Cannot duplicate fd ${fd}`);
  return copy;
}

const removal = lazy(() => withPath(ARGS, 8));

/** What errnos of a removal mean. */
const UNLINKAT: Refusals = {
  command: "unlinkat",
  rows: () => ({
    ENOENT: ["gone", "the file does not exist"],
    EACCES: ["policy", "the directory may not be written"],
    EPERM: ["policy", "it may not be removed"],
    EBUSY: ["busy", "it is in use", "a cgroup is removed after all processes and cgroups in it"],
  }),
};

/** Removes a file, such as a pin. */
export function unlink(path: string): void {
  unlinkAt(AT_FDCWD, path, path);
}

/** The same of a name in a directory; `path` is for an error's words. Closes the fds `closed` as well. */
export function unlinkAt(directory: number, name: string, path: string, closed: readonly number[] = []): void {
  const { request, at } = removal();
  request.u32(0, directory).text(at, PATH_SIZE, name);
  for (const fd of closed) request.own(fd);
  checked(request.system(Call.unlinkat), UNLINKAT, () => `Cannot remove "${path}"`);
}

/** Makes a directory for this user alone; what is there already stays. */
export function makeDirectoryAt(directory: number, name: string, path: string): void {
  const result = system(Call.mkdirat, [directory, 0, 0o700], (r) => r.string(8, name));
  if (result !== -EEXIST) checked(result, MKDIRAT, () => `Cannot make directory "${path}"`);
}

/** Makes a directory that is not there yet. */
export function makeDirectory(path: string): void {
  const result = system(Call.mkdirat, [AT_FDCWD, 0, 0o755], (r) => r.string(8, path));
  checked(result, MKDIRAT, () => `Cannot make directory "${path}"`);
}

/** Removes an empty directory. */
export function removeDirectory(path: string): void {
  const result = system(Call.unlinkat, [AT_FDCWD, 0, AT_REMOVEDIR], (r) => r.string(8, path));
  checked(result, UNLINKAT, () => `Cannot remove "${path}"`);
}

/** What errnos of a new directory mean. */
const MKDIRAT: Refusals = {
  command: "mkdirat",
  rows: () => ({
    EACCES: ["policy", "the directory above it may not be written"],
    EEXIST: ["exists", "it is there already"],
    ENOENT: ["gone", "the directory above it does not exist"],
    EPERM: ["policy", "a security module or the file system refuses it; one of bpf has no names with a dot"],
    EROFS: ["policy", "the file system is mounted read-only"],
    ENOSPC: ["limit", "the file system has no room for it"],
  }),
};

/** What errnos of a new name mean. */
const RENAMEAT2: Refusals = {
  command: "renameat2",
  rows: () => ({
    EACCES: ["policy", "the directory may not be written"],
    EPERM: ["policy", "the file that is there may not be replaced"],
    EISDIR: ["invalid", "a directory is there"],
  }),
};

/**
 * Gives a file another name in its directory, in place of what is there: an open of that name finds the one or the other.
 */
export function renameAt(directory: number, from: string, to: string): void {
  const result = system(Call.renameat2, [directory, 0, directory, 0, 0], (r) => {
    r.string(8, from);
    r.string(24, to);
  });
  checked(result, RENAMEAT2, () => `Cannot rename "${from}" to "${to}"`);
}

const locking = lazy(() => new Request(ARGS).u32(8, LOCK_EX | LOCK_NB));

/**
 * Takes the lock of an open file or directory; false if another open file holds it. Closing the fd, or the end of the
 * process, gives it back.
 */
export function tryLock(fd: number): boolean {
  const result = locking().u32(0, fd).system(Call.flock);
  if (result === -EAGAIN) return false;
  checked(result, plain("flock"), () => `Cannot lock fd ${fd}`);
  return true;
}

/**
 * Compares what two fds are of, in an order that the kernel chooses: 0 if they are of the same open file, duplicated or
 * inherited. Negative if that cannot be seen.
 */
export function compareFiles(pid: number, fd: number, otherPid: number, otherFd: number): number {
  return system(Call.kcmp, [pid, otherPid, KCMP_FILE, fd, otherFd]);
}

/** The names in a directory, without `.` and `..`, and what they are of. */
export function readDirectory(path: string): DirectoryEntry[] {
  const fd = open(path);
  try {
    return entriesOf(fd, path);
  } finally {
    closeIfOpen(fd);
  }
}

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly inode: bigint;
}

/** The same of a directory that is open and was not read yet. */
export function entriesOf(fd: number, path: string): DirectoryEntry[] {
  const request = reader().u64(0, BigInt(fd)); // the arguments are those of a read
  const entries = [];
  for (let size; (size = request.system(Call.getdents64)) !== 0;) {
    checked(size, plain("getdents64"), () => `Cannot read directory "${path}"`);
    // struct linux_dirent64: inode and offset, 8 bytes each, length 2, type 1, name with its NUL
    const view = new DataView(request.bytes(ARGS, size).slice().buffer);
    for (let at = 0; at < size;) {
      const length = view.getUint16(at + 16, true);
      const name = request.getString(ARGS + at + 19, length - 19);
      const type = view.getUint8(at + 18);
      if (name !== "." && name !== "..") {
        const inode = view.getBigUint64(at, true);
        entries.push({ name, isDirectory: type === DT_DIR, isFile: type === DT_REG, inode });
      }
      at += length;
    }
  }
  return entries;
}

/** The directory that a path lies in. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, slash) || "/";
}

/** The magic number of the file system that an open file is on. */
export function fileSystemOf(fd: number): number {
  const request = new Request(ARGS, 256).u64(0, BigInt(fd));
  const at = request.room(8, 120);
  checked(request.system(Call.fstatfs), plain("fstatfs"), () => `Cannot look at the file system of fd ${fd}`);
  return request.getU32(at);
}

/** What errnos of {@linkcode close} mean. */
const CLOSE: Refusals = { command: "close", rows: () => ({ EBADF: ["invalid", "the fd is not open"] }) };

/**
 * Closes an fd of the kernel.
 *
 * Closing the last reference to a link that is not pinned detaches it before the call returns; duplicates, forks, pins
 * and calls still under way each hold a reference. Since Linux 2.6 and before; needs no privilege.
 *
 * @param fd The fd. It must not be used again, for the number is given to the next that is opened.
 * @throws {RangeError} If `fd` is no fd.
 * @throws {BpfError} `EBADF`: `fd` is not open.
 *
 * @example
 * ```ts ignore
 * import { close, linkGetFdById } from "@bpf/link/sys";
 *
 * const fd = linkGetFdById(7);
 * close(fd);
 * ```
 */
export function close(fd: number): void {
  settleClose(fd, tryClose(checkFd(fd, "fd")));
}

/**
 * {@linkcode close} on another thread: closing the last reference to an xdp, tcx or netkit link waits milliseconds for
 * the kernel.
 *
 * @param fd The fd. It must not be used again, not even before the promise is settled.
 * @returns A promise that is settled when the fd is closed.
 * @throws {BpfError} As {@linkcode close}.
 *
 * @example
 * ```ts ignore
 * import { closeAsync, linkGetFdById } from "@bpf/link/sys";
 *
 * await closeAsync(linkGetFdById(7));
 * ```
 */
export async function closeAsync(fd: number): Promise<void> {
  settleClose(fd, await new Request(ARGS).u64(0, BigInt(checkFd(fd, "fd"))).systemAsync(Call.close));
}

/**
 * Closes an fd that was needed for something else, whose result or error counts more than what close(2) says: the fd is
 * gone whatever it says, or was closed behind our back.
 */
export function closeIfOpen(fd: number): void {
  tryClose(fd);
}

function tryClose(fd: number): number {
  return fast()?.bpf_link_close(fd) ?? native().bpf_link_close(fd);
}

function settleClose(fd: number, result: number): void {
  if (result < 0) throw refused(result, CLOSE, `Cannot close fd ${fd}`);
}
