/** Where a pin is: the directory, open and locked, and the name in it. */
import { checkFlag, checkInteger } from "../check.ts";
import { BpfError, type Reason } from "../error.ts";
import { lazy } from "../lazy.ts";
import {
  closeIfOpen,
  type DirectoryEntry,
  directoryOf,
  entriesOf,
  type FileStatus,
  fileStatus,
  fileSystemOf,
  makeDirectoryAt,
  open,
  OPENAT,
  openAt,
  openEntry,
  readLink,
  readTextFile,
  renameAt,
  tryLock,
  unlinkAt,
  userId,
} from "../os/files.ts";
import { checked, refused, unlessRefused } from "../refusal.ts";
import { getAs, pinAs } from "../sys/object.ts";
import { EAGAIN, EEXIST, EISDIR, ELOOP, ENOENT, ENOTDIR, EPERM } from "../uapi/errno.ts";
import { AT_FDCWD, BPF_FS_MAGIC, O_PATH, PROC_SUPER_MAGIC, S_IFDIR, S_IFLNK } from "../uapi/linux.ts";
import { pause } from "../wait.ts";

/** How long a lock is waited for, in milliseconds, where nobody says otherwise. */
export const LOCK_WAIT_MS = 5000;

/** What is pinned under a name: both fds are the caller's. */
export interface Found {
  /** The file itself. */
  readonly entry: number;
  /** The link, program or map. */
  readonly object: number;
}

/** A pin that may be taken over. */
export interface OwnPin {
  /** An fd of the link, program or map, which is the caller's. */
  readonly object: number;
  readonly status: FileStatus;
  /** Whether it is this user's or root's. */
  readonly isOwn: boolean;
}

/**
 * A pin's directory and its name there. While it is open, nobody who uses this package changes a pin in the directory:
 * it holds the lock (flock) of the directory. Whatever the name leads to is opened without following a symbolic link, so
 * what was looked at is what is opened. It works on names in the open directory, which may be moved meanwhile.
 */
export class PinPlace implements Disposable {
  readonly path: string;
  readonly name: string;
  readonly #directory: number;

  private constructor(path: string, directory: number) {
    this.path = path;
    this.name = nameIn(path);
    this.#directory = directory;
  }

  /** The place of a pin that is there: wherever its directory is, what is looked for is known. */
  static enter(path: string, waitMs: number): PinPlace {
    return PinPlace.#locked(path, open(directoryOf(path)), waitMs);
  }

  /** The same without blocking the event loop. */
  static enterAsync(path: string, waitMs: number): Promise<PinPlace> {
    return PinPlace.#lockedAsync(path, open(directoryOf(path)), waitMs, undefined);
  }

  /** The place of a pin that is to be, or to be taken over: nobody else may have led us there. */
  static claim(path: string, waitMs: number, makesDirectories: boolean): PinPlace {
    return PinPlace.#locked(path, openDirectoryOf(path, makesDirectories), waitMs);
  }

  /** The same without blocking the event loop; the signal ends the wait. */
  static claimAsync(
    path: string,
    waitMs: number,
    makesDirectories: boolean,
    signal: AbortSignal | undefined,
  ): Promise<PinPlace> {
    return PinPlace.#lockedAsync(path, openDirectoryOf(path, makesDirectories), waitMs, signal);
  }

  /** Waits with the thread: a process that holds the lock is in the middle of a few calls, or means harm. */
  static #locked(path: string, directory: number, waitMs: number): PinPlace {
    const place = new PinPlace(path, directory);
    try {
      if (tryLock(directory)) return place;
      for (const ms of pauses(waitMs)) {
        Atomics.wait(unchanged(), 0, 0, ms);
        if (tryLock(directory)) return place;
      }
      throw place.#isLocked();
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  static async #lockedAsync(
    path: string,
    directory: number,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<PinPlace> {
    const place = new PinPlace(path, directory);
    try {
      signal?.throwIfAborted();
      if (tryLock(directory)) return place;
      for (const ms of pauses(waitMs)) {
        await pause(ms, signal);
        if (tryLock(directory)) return place;
      }
      throw place.#isLocked();
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  #isLocked(): BpfError {
    const directory = directoryOf(this.path);
    return new BpfError(EAGAIN, {
      action: `Cannot change pin "${this.path}"`,
      command: "flock",
      reason: "busy",
      meaning: `${holderOfLock(this.#directory)} holds the lock of directory "${directory}"`,
      hint:
        "it may be changing pins, or be stopped; whoever may read a directory can hold its lock: end that process, " +
        "or pin in a directory that only this user may read (mode 700)",
    });
  }

  /** Opens what is pinned under a name; undefined if nothing is. */
  find(name: string = this.name): Found | undefined {
    const entry = openEntry(this.#directory, name);
    if (entry === -ENOENT) return undefined;
    if (entry < 0) throw refused(entry, OPENAT, `Cannot open pin "${this.path}"`);
    try {
      return { entry, object: this.#open(entry) };
    } catch (error) {
      closeIfOpen(entry);
      throw error;
    }
  }

  #open(entry: number): number {
    try {
      return getAs(`/proc/self/fd/${entry}`, this.path); // not by name, which may lead elsewhere by now
    } catch (error) {
      const { type } = fileStatus(entry), init = { action: `Cannot open pin "${this.path}"`, command: "OBJ_GET" };
      if (type === S_IFLNK) {
        throw new BpfError(ELOOP, {
          ...init,
          reason: "mismatch",
          meaning: "a symbolic link is there, which may lead to a pin of somebody else",
          hint: "remove it, or name the pin that it leads to",
        });
      }
      if (type === S_IFDIR) throw new BpfError(EISDIR, { ...init, reason: "invalid", meaning: "a directory is there" });
      if (error instanceof BpfError && error.errno === ENOENT) { // the file is there, for it is open
        throw new BpfError(ENOENT, { ...init, reason: "unsupported", meaning: "/proc is not mounted here" });
      }
      throw error;
    }
  }

  /**
   * The same of what this user may take over: a pin of the user's own or of root's, which has no other name. Nobody
   * without rights on it can have put that here: a hard link is a second name, a symbolic link is none. With `ofAnyone`
   * also pins of other users, for which `isOwn` is false.
   */
  findOwn(name: string = this.name, ofAnyone = false): OwnPin | undefined {
    const found = this.find(name);
    if (found === undefined) return undefined;
    try {
      const status = fileStatus(found.entry);
      if (status.links !== 1) {
        throw this.#isNotOurs(
          `the pin there has ${status.links} names (hard links), and may be somebody else's`,
          "remove the name that is too many, or choose another path",
        );
      }
      const isOwn = status.uid === 0 || status.uid === userId();
      if (!isOwn && !ofAnyone) {
        throw this.#isNotOurs(
          `the pin there belongs to user ${status.uid}, who could change what is pinned at any time`,
          "remove it, or choose a directory that only this user may write",
        );
      }
      return { object: found.object, status, isOwn };
    } catch (error) {
      closeIfOpen(found.object);
      throw error;
    } finally {
      closeIfOpen(found.entry);
    }
  }

  #isNotOurs(meaning: string, hint: string): BpfError {
    return new BpfError(EEXIST, {
      action: `Cannot take over pin "${this.path}"`,
      command: "OBJ_GET",
      reason: "mismatch",
      meaning,
      hint,
    });
  }

  /** Whether the name stands for this file. */
  holds({ inode }: FileStatus): boolean {
    const entry = openEntry(this.#directory, this.name);
    if (entry === -ENOENT) return false;
    if (entry < 0) throw refused(entry, OPENAT, `Cannot open pin "${this.path}"`);
    try {
      return fileStatus(entry).inode === inode;
    } finally {
      closeIfOpen(entry);
    }
  }

  /** Pins an object under a name that is free. */
  pin(fd: number, name: string = this.name): void {
    pinIn(this.#directory, name, fd, this.path);
  }

  /** Puts the file of one name into the place of the other. */
  replace(name: string): void {
    renameAt(this.#directory, name, this.name);
  }

  /** Removes a name; closes the fds of what was found there. */
  remove(name: string = this.name, found?: Found): void {
    unlinkAt(this.#directory, name, this.path, found && [found.object, found.entry]);
  }

  /** What is in the directory; may be asked for once. */
  entries(): DirectoryEntry[] {
    return entriesOf(this.#directory, directoryOf(this.path));
  }

  /** Gives the lock back. */
  [Symbol.dispose](): void {
    closeIfOpen(this.#directory);
  }
}

const unchanged = lazy(() => new Int32Array(new SharedArrayBuffer(4))); // to wait at

/** How long to wait before each further look, so that they end in time. */
function* pauses(waitMs: number): Generator<number> {
  const end = performance.now() + waitMs;
  for (let ms = 1, left; (left = end - performance.now()) > 0; ms = Math.min(ms * 2, 10)) yield Math.min(ms, left);
}

/** Who holds the lock of a directory, in words. */
function holderOfLock(directory: number): string {
  // 1: FLOCK  ADVISORY  WRITE 1993 00:1f:7 0 EOF
  const { device: { major, minor }, inode } = fileStatus(directory);
  const file = [major, minor].map((number) => number.toString(16).padStart(2, "0")).join(":") + `:${inode}`;
  const line = unlessRefused(() => readTextFile("/proc/locks"))?.split("\n").map((line) => line.split(/\s+/))
    .find((words) => words[1] === "FLOCK" && words[5] === file);
  const pid = Number(line?.[4]);
  if (!(pid > 0)) return "another process"; // of a namespace that cannot be seen
  const command = unlessRefused(() => readTextFile(`/proc/${pid}/comm`).trimEnd());
  return `process ${pid}${command === undefined ? "" : ` (${command})`}`;
}

/** How a pin is claimed, as options say; `name` is theirs. */
export function checkClaim(
  { waitMs, makeDirectories }: { readonly waitMs?: unknown; readonly makeDirectories?: unknown },
  name: string,
): { waitMs: number; makesDirectories: boolean } {
  return {
    waitMs: waitMs === undefined ? LOCK_WAIT_MS : checkInteger(waitMs, `${name}.waitMs`, 0, 0x7fffffff),
    makesDirectories: checkFlag(makeDirectories, `${name}.makeDirectories`),
  };
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Pins an object to a path, and says of a refusal what is wrong with it. */
export function pinAt(fd: number, path: string, makesDirectories: boolean): void {
  if (makesDirectories) {
    const directory = openDirectoryOf(path, true);
    try {
      return pinIn(directory, nameIn(path), fd, path);
    } finally {
      closeIfOpen(directory);
    }
  }
  try {
    pinAs(fd, path, path);
  } catch (error) {
    throw whyNotPinned(error, path);
  }
}

function pinIn(directory: number, name: string, fd: number, path: string): void {
  try {
    pinAs(fd, `/proc/self/fd/${directory}/${name}`, path);
  } catch (error) {
    throw whyNotPinned(error, path);
  }
}

/** What an EPERM, ENOENT or ENOTDIR of OBJ_PIN means is found by a look at the path. */
function whyNotPinned(error: unknown, path: string): unknown {
  if (!(error instanceof BpfError) || error.reason === "capability") return error;
  if (!["EPERM", "ENOENT", "ENOTDIR"].includes(error.code)) return error;
  try {
    closeIfOpen(openDirectoryOf(path, false));
  } catch (reason) {
    return reason;
  }
  if (error.code !== "EPERM") return error;
  return new BpfError(error.errno, {
    action: `Cannot pin to "${path}"`,
    command: error.command,
    reason: "policy",
    meaning: "a security module or the mount refuses it",
    cause: error,
  });
}

const MAX_LINKS = 40; // as the kernel follows

/**
 * Opens the directory of a pin, which must lie on a bpf file system. Symbolic links on the way are followed if they are
 * root's or the user's own: another user who may write into a directory could lead us elsewhere. Makes directories that are
 * missing, if `makesDirectories`.
 */
function openDirectoryOf(path: string, makesDirectories: boolean): number {
  if (nameIn(path) === "") throw cannotPin(path, EISDIR, "invalid", "path names a directory, not a pin");
  const parts = partsOf(directoryOf(path));
  let at = startOf(path), links = 0;
  try {
    for (let part; (part = parts.pop()) !== undefined;) {
      if (links > MAX_LINKS) throw cannotPin(path, ELOOP, "invalid", "path has too many symbolic links");
      const entry = openPart(at, part, path, makesDirectories), target = targetOf(entry, at, part, path);
      if (target === undefined) {
        closeIfOpen(at);
        at = entry;
        continue;
      }
      closeIfOpen(entry);
      links++;
      if (typeof target === "number") {
        closeIfOpen(at);
        at = target;
        continue;
      }
      parts.push(...partsOf(target));
      if (target.startsWith("/")) {
        closeIfOpen(at);
        at = startOf(target);
      }
    }
    checkPlace(at, path);
    const directory = openAt(at, ".", 0);
    if (directory < 0) throw refused(directory, OPENAT, `Cannot open the directory of "${path}"`);
    return directory;
  } finally {
    closeIfOpen(at);
  }
}

/** Opens the next directory, or symbolic link, of a path. */
function openPart(at: number, part: string, path: string, makesDirectories: boolean): number {
  let entry = openEntry(at, part);
  if (entry === -ENOENT && makesDirectories && fileSystemOf(at) === BPF_FS_MAGIC) {
    makeDirectoryAt(at, part, part);
    entry = openEntry(at, part);
  }
  if (entry >= 0) return entry;
  if (entry === -ENOENT) {
    const hint = makesDirectories
      ? "makeDirectories makes it below a bpf mount only; `mount -t bpf bpf /sys/fs/bpf` makes one"
      : "make it first, or pass makeDirectories: true, which makes it below a bpf file system";
    throw cannotPin(path, ENOENT, "gone", `the directory does not exist: "${part}" of path`, hint);
  }
  if (entry === -EPERM && part.includes(".")) throw hasDot(path, `directory "${part}"`);
  throw refused(entry, OPENAT, `Cannot open directory "${part}" of "${path}"`);
}

/** Where an entry leads if it is a symbolic link: a path, or the open directory where no path leads; else undefined. */
function targetOf(entry: number, at: number, part: string, path: string): string | number | undefined {
  try {
    const { type, uid } = fileStatus(entry);
    if (type !== S_IFLNK) return undefined;
    if (fileSystemOf(entry) === PROC_SUPER_MAGIC) { // such as /proc/PID/root, which leads into another mount namespace
      return checked(openAt(at, part, O_PATH), OPENAT, () => `Cannot open "${part}" of "${path}"`);
    }
    if (uid === 0 || uid === userId()) return readLink(entry);
    const meaning = `"${part}" of path is a symbolic link of user ${uid}, and may lead anywhere`;
    throw cannotPin(path, ELOOP, "policy", meaning, "name the directory that it leads to");
  } catch (error) {
    closeIfOpen(entry);
    throw error;
  }
}

function checkPlace(directory: number, path: string): void {
  if (fileStatus(directory).type !== S_IFDIR) {
    throw cannotPin(path, ENOTDIR, "invalid", `"${directoryOf(path)}" is no directory`);
  }
  if (fileSystemOf(directory) !== BPF_FS_MAGIC) {
    const hint = "choose a path below a bpf mount; `mount -t bpf bpf /sys/fs/bpf` makes one";
    throw cannotPin(path, EPERM, "invalid", `"${directoryOf(path)}" lies on no bpf file system`, hint);
  }
  if (nameIn(path).includes(".")) throw hasDot(path, "pin");
}

function hasDot(path: string, what: string): BpfError {
  const meaning = `the name of a ${what} may have no dot on a bpf file system`;
  return cannotPin(path, EPERM, "invalid", meaning, "choose a name without a dot");
}

function cannotPin(path: string, errno: number, reason: Reason, meaning: string, hint?: string): BpfError {
  return new BpfError(errno, { action: `Cannot pin to "${path}"`, command: "OBJ_PIN", reason, meaning, hint });
}

function startOf(path: string): number {
  const start = path.startsWith("/") ? "/" : ".";
  return checked(openAt(AT_FDCWD, start, O_PATH), OPENAT, () => `Cannot open "${start}" to pin to "${path}"`);
}

/** The parts of a path, the first last. */
function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".").reverse();
}
