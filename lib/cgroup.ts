/** Cgroups of one's own. */
import { checkInteger, checkPath } from "./check.ts";
import { BpfError } from "./error.ts";
import {
  closeIfOpen,
  directoryOf,
  fileStatus,
  fileSystemOf,
  makeDirectory,
  open,
  readTextFile,
  removeDirectory,
  write,
} from "./os/files.ts";
import { mounts, ownPid, processWords } from "./os/proc.ts";
import type { Refusals } from "./refusal.ts";
import { EINVAL } from "./uapi/errno.ts";
import { CGROUP2_SUPER_MAGIC, O_WRONLY } from "./uapi/linux.ts";

/**
 * A cgroup that {@linkcode makeCgroup} made.
 *
 * @example
 * ```ts
 * import { makeCgroup } from "@bpf/link";
 *
 * using cgroup = makeCgroup("/sys/fs/cgroup/web");
 * cgroup.add(Deno.pid);
 * console.log(cgroup.path); // /sys/fs/cgroup/web
 * cgroup.remove(); // this process goes back to where it was
 * ```
 */
export interface MadeCgroup extends Disposable {
  /** Its directory, as a target's `cgroup`. */
  readonly path: string;
  /** Its number, as infos have it (`cgroupId`). */
  readonly id: bigint;
  /**
   * Moves a process into it, with all its threads. The calling one goes back to where it was before {@linkcode remove},
   * or to the cgroup above if that is gone or out of sight.
   *
   * @param pid The process; 0 is the calling one.
   * @throws {RangeError} If `pid` is no number of a process.
   * @throws {BpfError} `gone` if there is no such process, `policy` if it may not be moved.
   */
  add(pid: number): void;
  /**
   * Removes it; the kernel detaches its links. Twice does nothing.
   *
   * @throws {BpfError} `busy` if other processes, or cgroups, are still in it.
   */
  remove(): void;
  /** {@linkcode remove}, at the end of a `using` scope. */
  [Symbol.dispose](): void;
}

/**
 * Makes a cgroup, to attach programs to: `--allow-ffi` is enough, and no other permission.
 *
 * Takes a cgroup2 file system, and permission to write in the directory above.
 *
 * @param path The new directory, on a cgroup2 file system.
 * @returns The cgroup, to be held with `using`.
 * @throws {TypeError} If `path` is no path.
 * @throws {BpfError} `exists` if it is there already, `gone` if the directory above does not exist, `invalid` if that is on
 * no cgroup2 file system, `policy` if it may not be written.
 *
 * @example
 * ```ts
 * import { Link, makeCgroup, Program } from "@bpf/link";
 *
 * const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1: pass
 * using program = Program.load({ type: "cgroup_skb", instructions });
 * using cgroup = makeCgroup("/sys/fs/cgroup/web");
 * using _link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
 * cgroup.add(Deno.pid);
 * ```
 */
export function makeCgroup(path: string | URL): MadeCgroup {
  const file = checkPath(path, "path").replace(/(?<=.)\/+$/, ""), above = open(directoryOf(file));
  try {
    if (fileSystemOf(above) !== CGROUP2_SUPER_MAGIC) {
      throw new BpfError(EINVAL, {
        action: `Cannot make cgroup "${file}"`,
        command: "mkdirat",
        reason: "invalid",
        meaning: `"${directoryOf(file)}" is on no cgroup2 file system`,
        hint: "/proc/mounts says where one is mounted, often at /sys/fs/cgroup",
      });
    }
  } finally {
    closeIfOpen(above);
  }
  makeDirectory(file);
  try {
    return new Made(file);
  } catch (error) {
    removeDirectory(file);
    throw error;
  }
}

/** What errnos of a process's move mean. */
const MOVE: Refusals = {
  command: "write",
  rows: () => ({
    ESRCH: ["gone", "there is no such process"],
    EACCES: ["policy", "the process may not be moved", "it takes permission on the cgroup that holds both"],
    EPERM: ["policy", "the process may not be moved"],
    EBUSY: ["busy", "the cgroup hands its controllers down, so its processes must be in cgroups below it"],
    EOPNOTSUPP: ["invalid", "the cgroup is threaded, or below one that is"],
  }),
};

class Made implements MadeCgroup {
  readonly path: string;
  readonly id: bigint;
  #before: string | undefined; // where the calling process was
  #isRemoved = false;

  constructor(path: string) {
    this.path = path;
    const fd = open(path);
    try {
      this.id = fileStatus(fd).inode;
    } finally {
      closeIfOpen(fd);
    }
  }

  add(pid: number): void {
    const number = checkInteger(pid, "pid", 0, 0x7fffffff), isOwn = number === 0 || number === ownPid();
    const before = isOwn && !this.#holdsUs() ? ownCgroup() ?? directoryOf(this.path) : undefined;
    move(number, this.path);
    this.#before = before ?? this.#before;
  }

  remove(): void {
    if (this.#isRemoved) return;
    if (this.#before !== undefined && this.#holdsUs()) this.#leave(this.#before);
    removeDirectory(this.path);
    this.#isRemoved = true;
  }

  /** A container may not see where it was started, and that may be gone: then to the cgroup above. */
  #leave(before: string): void {
    try {
      move(0, before);
    } catch (error) {
      if (!(error instanceof BpfError && error.reason === "gone")) throw error;
      move(0, directoryOf(this.path));
    }
  }

  /** Whether the calling process is in it. */
  #holdsUs(): boolean {
    return readTextFile(`${this.path}/cgroup.procs`).split("\n").includes(`${ownPid()}`);
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

/** The directory of the calling process's cgroup, as far as it can be seen. */
function ownCgroup(): string | undefined {
  const [mount] = mounts("self", "cgroup2"), { cgroup } = processWords(ownPid());
  return mount === undefined || cgroup === "" ? undefined : `${mount.path}${cgroup}`;
}

function move(pid: number, cgroup: string): void {
  const fd = open(`${cgroup}/cgroup.procs`, O_WRONLY);
  try {
    write(fd, new TextEncoder().encode(`${pid}`), MOVE, `Cannot move process ${pid} into cgroup "${cgroup}"`);
  } finally {
    closeIfOpen(fd);
  }
}
