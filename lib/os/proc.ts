/** What `/proc` reports of processes and mounts. */
import { visibly } from "../refusal.ts";
import { pathOfInode, readDirectory, readTextFile, statPath } from "./files.ts";

/** A mounted file system. */
export interface Mount {
  /** Where it is mounted. */
  readonly path: string;
  /** Which of its directories is mounted there. */
  readonly root: string;
  /** Its number, as `stat` gives it. */
  readonly device: bigint;
}

/** The file systems of a type in the mount namespace of a process. */
export function mounts(pid: number | "self", type: "bpf" | "cgroup2"): Mount[] {
  // 31 23 0:28 / /sys/fs/bpf rw,relatime shared:9 - bpf bpf rw,mode=700
  return readTextFile(`/proc/${pid}/mountinfo`).split("\n").flatMap((line) => {
    const [mount, system] = line.split(" - ");
    if (!system?.startsWith(`${type} `)) return [];
    const [, , numbers, root, path] = mount!.split(" ");
    const [major, minor] = numbers!.split(":").map(BigInt) as [bigint, bigint];
    const device = minor & 0xffn | major << 8n | (minor & ~0xffn) << 12n;
    return [{ path: unescape(path!), root: unescape(root!), device }];
  });
}

function unescape(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/** The number of this process in the `/proc` that it sees. */
export function ownPid(): number {
  return parseInt(readTextFile("/proc/self/stat"));
}

/**
 * The directory of a cgroup, by its id, below one of these mounts; undefined if it is not there, or if that cannot be told at
 * once: it takes CAP_DAC_READ_SEARCH. {@linkcode cgroups} takes a look at each of them.
 */
export function cgroupById(id: bigint, mounts: readonly Mount[]): string | undefined {
  for (const { path: mount, device } of mounts) {
    const path = visibly(() => pathOfInode(mount, id)), found = path && visibly(() => statPath(path));
    if (found && found.device === device && found.inode === id) return path;
  }
  return undefined;
}

/** The directories of all cgroups that can be seen, each with its id, from the top down. */
export function cgroups(): { path: string; id: bigint }[] {
  const found: { path: string; id: bigint }[] = [];
  const visit = (path: string, id: bigint): void => {
    found.push({ path, id });
    for (const { name, isDirectory, inode } of visibly(() => readDirectory(path)) ?? []) {
      if (isDirectory) visit(`${path === "/" ? "" : path}/${name}`, inode);
    }
  };
  for (const { path } of mounts("self", "cgroup2")) {
    const id = visibly(() => statPath(path).inode);
    if (id !== undefined && found.every((other) => other.id !== id)) visit(path, id);
  }
  return found;
}

/** What a process says of itself and what the machine put it in; each part is absent where it may not be seen. */
export interface ProcessWords {
  /** Its command line, which it may change. */
  readonly args: readonly string[];
  /** Its cgroup, from the root of what this process sees; empty if it has none. */
  readonly cgroup: string;
}

/** How a process was started. */
export function processWords(pid: number): ProcessWords {
  const text = (file: string) => visibly(() => readTextFile(`/proc/${pid}/${file}`)) ?? "";
  return {
    args: text("cmdline").split("\0").slice(0, -1),
    cgroup: /^0::(.*)$/m.exec(text("cgroup"))?.[1] ?? "", // 0::/system.slice/agent.service
  };
}

/** A variable of the environment that this process was started with; to read it takes no permission of Deno's. */
export function startVariable(name: string): string | undefined {
  const all = visibly(() => readTextFile("/proc/self/environ"))?.split("\0") ?? [];
  return all.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** A network namespace in words, and a file that it can be entered by. */
export interface NamedNetns {
  readonly words: string;
  readonly path: string;
}

/** The network namespaces that have a name below /run/netns or a process that can be seen, by their numbers. */
export function networkNamespaces(): ReadonlyMap<number, NamedNetns> {
  const found = new Map<number, NamedNetns>();
  const add = (path: string, words: string) => {
    const inode = visibly(() => statPath(path).inode);
    if (inode !== undefined && !found.has(Number(inode))) found.set(Number(inode), { words, path });
  };
  const names = (path: string) => visibly(() => readDirectory(path)) ?? [];
  for (const { name } of names("/run/netns")) add(`/run/netns/${name}`, `netns ${name}`);
  const pids = names("/proc").flatMap(({ name }) => /^\d+$/.test(name) ? [Number(name)] : []);
  for (const pid of pids.sort((a, b) => a - b)) add(`/proc/${pid}/ns/net`, `netns of ${pid}`);
  return found;
}
