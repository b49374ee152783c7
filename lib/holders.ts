/** What keeps links attached: fds of processes, and pins. */
import { checkKeys, checkSignal } from "./check.ts";
import { type LinkFd, linkFds } from "./ffi/holders.ts";
import { pinSteps, visitPins, withPinnedLink } from "./listing/pins.ts";
import { linkReferences } from "./listing/references.ts";
import { BpfMap } from "./map.ts";
import { compareFiles, readDirectory, readTextFile, statPath } from "./os/files.ts";
import { mounts, ownPid } from "./os/proc.ts";
import { Program } from "./program.ts";
import { unlessGone, visibly } from "./refusal.ts";
import { linkGetId } from "./sys/link_info.ts";
import { INITIAL_PID_NAMESPACE } from "./uapi/linux.ts";
import { runInTurns, runToEnd } from "./wait.ts";

/** How a process was started, for those who name it. */
export { processWords, startVariable } from "./os/proc.ts";

/**
 * One thing that keeps a link attached; see {@linkcode Link.holders}. `holderName` of `@bpf/link/cli` names it as people
 * do: by unit, container and script.
 */
export type LinkHolder = {
  /** An fd of a process. */
  kind: "process";
  /** The process, numbered as in the `/proc` that this one sees. */
  pid: number;
  /** The name of its program, which it may change; 15 bytes of it. */
  command: string;
  /** The fd. A process that forks or duplicates an fd leaves several for one and the same reference. */
  fd: number;
} | {
  /** A pin. */
  kind: "pin";
  /** Its path. */
  path: string;
};

/** How to look for holders. */
export interface HoldersOptions {
  /** Ends the search: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Who holds a link, as far as that can be seen. */
export interface LinkHolders {
  /** Processes in the order of their numbers, then pins. */
  readonly holders: readonly LinkHolder[];
  /**
   * Whether there may be more. With CAP_BPF and CAP_PERFMON (Linux 5.19) the link's reference count says, so false is
   * a proof. Without them: true if there are processes or pins that the caller may not look at, or other namespaces.
   */
  readonly partial: boolean;
}

/** What was found of one link. */
interface Found {
  readonly holders: LinkHolder[];
  /** All its fds, that of the asking handle too. */
  readonly fds: LinkFd[];
  /** Its pins, each once, whatever names it has. */
  readonly pins: Set<string>;
}

type FoundOf = ReadonlyMap<number, Found>;

/** Finds the holders of links, without the fd `asking` of this process. */
export function findHolders(ids: Iterable<number>, asking?: number): Map<number, LinkHolders> {
  return runToEnd(search(ids, asking));
}

/** The same in turns with the event loop. */
export async function findHoldersAsync(
  ids: Iterable<number>,
  asking: number | undefined,
  options: HoldersOptions | undefined,
): Promise<Map<number, LinkHolders>> {
  if (options !== undefined) checkKeys(options, "options", ["signal"]);
  const signal = options?.signal;
  checkSignal(signal, "options.signal");
  signal?.throwIfAborted();
  return await runInTurns(search(ids, asking), signal);
}

function* search(
  ids: Iterable<number>,
  asking: number | undefined,
): Generator<void, Map<number, LinkHolders>, void> {
  const found: FoundOf = new Map(Array.from(ids, (id) => [id, { holders: [], fds: [], pins: new Set() }]));
  if (found.size === 0) return new Map();
  const self = ownPid();
  let isWhole = yield* addProcesses(found, self, asking);
  isWhole = (yield* addPins(found)) && isWhole;
  // kcmp(2) counts processes as this process does, which need not be how /proc does
  const references = self === Deno.pid ? linkReferences() : undefined;
  if (references === undefined) isWhole = isWhole && seesAllNamespaces();
  return new Map(Array.from(found, ([id, { holders, fds, pins }]) => {
    const partial = references === undefined ? !isWhole : (references.get(id) ?? 0) !== countFiles(fds) + pins.size;
    return [id, { holders, partial }];
  }));
}

/** How many open files a link's fds are of; NaN if that cannot be seen. */
function countFiles(fds: readonly LinkFd[]): number {
  let unseen = 0;
  const compare = (a: LinkFd, b: LinkFd) => {
    const order = compareFiles(a.pid, a.fd, b.pid, b.fd);
    if (order < 0 || order > 2) unseen = NaN;
    return order === 1 ? -1 : order;
  };
  const files = fds.toSorted(compare);
  return files.filter((file, i) => i === 0 || compare(files[i - 1]!, file) !== 0).length + unseen;
}

/** Adds the fds of processes; false if some could not be seen. */
function* addProcesses(
  found: FoundOf,
  self: number,
  asking: number | undefined,
): Generator<void, boolean, void> {
  const commands = new Map<number, string | undefined>();
  let isWhole = true;
  for (const linkFd of yield* linkFds()) {
    const { pid, fd, id } = linkFd, of = fd < 0 ? undefined : found.get(id);
    if (fd < 0) isWhole = false;
    if (of === undefined) continue;
    of.fds.push(linkFd);
    if (pid === self && fd === asking) continue;
    if (!commands.has(pid)) commands.set(pid, unlessGone(() => readTextFile(`/proc/${pid}/comm`).trimEnd()));
    const command = commands.get(pid);
    if (command !== undefined) of.holders.push({ kind: "process", pid, command, fd });
    yield;
  }
  return isWhole;
}

/** Adds the pins on all bpf file systems of this mount namespace; false if some could not be seen. */
function addPins(found: FoundOf): Generator<void, boolean, void> {
  return pinSteps((path, file) => {
    const id = visibly(() => pinnedLink(path));
    const of = id ? found.get(id) : undefined;
    of?.holders.push({ kind: "pin", path });
    of?.pins.add(file);
    return id !== undefined;
  });
}

/** The id of the link that is pinned at a path; 0 if something else is. */
function pinnedLink(path: string): number {
  return withPinnedLink(path, linkGetId) ?? 0;
}

/** Whether `/proc` shows all processes, and none has a bpf file system that is not mounted here. */
function seesAllNamespaces(): boolean {
  if (visibly(() => statPath("/proc/1/ns/pid").inode) !== INITIAL_PID_NAMESPACE) return false;
  const here = mounts("self", "bpf").map(({ device }) => device), known = [statPath("/proc/self/ns/mnt").inode];
  return readDirectory("/proc").filter(({ name }) => /^\d+$/.test(name)).every(({ name: pid }) =>
    visibly(() =>
      unlessGone(() => {
        const namespace = statPath(`/proc/${pid}/ns/mnt`).inode;
        if (known.includes(namespace)) return true;
        known.push(namespace);
        return mounts(Number(pid), "bpf").every(({ device }) => here.includes(device));
      }) ?? true
    ) ?? false
  );
}

/** Whether all fds of a process can be seen; throws if there is no such process. */
export function isVisible(pid: number): boolean {
  statPath(`/proc/${pid}`);
  return runToEnd(linkFds()).every((it) => it.pid !== pid || it.fd >= 0);
}

/** A program or map that is pinned. */
export interface PinnedObject {
  readonly path: string;
  readonly kind: "program" | "map";
  readonly id: number;
  readonly name: string;
}

/** The pins of programs and maps, and whether none may be missing. */
export function otherPins(): { pins: PinnedObject[]; isWhole: boolean } {
  const pins: PinnedObject[] = [];
  const isWhole = visitPins((path) => {
    for (const [kind, open] of [["program", Program.openPinned], ["map", BpfMap.openPinned]] as const) {
      using object = visibly((): Program | BpfMap => open(path));
      if (object === undefined) continue;
      pins.push({ path, kind, id: object.id, name: object.name });
      break;
    }
    return true;
  });
  return { pins, isWhole };
}
