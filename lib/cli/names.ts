/** Names for the numbers in infos: programs, interfaces, cgroups. */
import { BpfError } from "../error.ts";
import { Hook } from "../hook.ts";
import { isCgroupAttachType } from "../kind/cgroup.ts";
import type { LinkInfo } from "../kind/mod.ts";
import { unlessGone, visibly } from "../listing/pins.ts";
import { readDirectory, readTextFile, statPath } from "../os/files.ts";
import { interfaceName } from "../os/interfaces.ts";
import { mounts } from "../os/proc.ts";
import { Program } from "../program.ts";
import { ATTACH_TYPES } from "../uapi/constants.ts";
import type { AttachType } from "../uapi/types.ts";

export const CGROUP_ATTACH_TYPES: readonly AttachType[] = ATTACH_TYPES.filter(isCgroupAttachType);

/** The network namespace of this process. */
export function ownNetns(): number {
  return Number(statPath("/proc/thread-self/ns/net").inode);
}

/** The names of its interfaces. */
export function interfaces(): string[] {
  // two lines of headings, then: "  eth0: 1 2 3"
  return readTextFile("/proc/thread-self/net/dev").split("\n").slice(2).filter(Boolean)
    .map((line) => line.slice(0, line.indexOf(":")).trim());
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

/** What is known by name; what does not change is asked for once. */
export class Names {
  readonly #programs = new Map<number, string | undefined>();
  readonly #areHere = new Map<string, boolean>();
  readonly #cgroups = new Map<bigint, string | undefined>();
  readonly #ownNetns = ownNetns();

  /** The name of a program; empty if it has none or is gone, undefined if it may not be seen. */
  program(id: number | undefined): string | undefined {
    if (id === undefined) return "";
    return remembered(this.#programs, id, () => unlessRefused(() => unlessGone(() => nameOf(id)) ?? ""));
  }

  /** The name of a link's interface, if that is surely in our network namespace: all of them have the same numbers. */
  device(info: LinkInfo): string | undefined {
    if (!("ifindex" in info) || info.ifindex === 0) return undefined;
    const { id, ifindex, netnsIno } = info;
    const isOurs = netnsIno === undefined
      ? remembered(this.#areHere, `${id} ${ifindex}`, () => isLinkedHere(info))
      : netnsIno === this.#ownNetns;
    return isOurs ? interfaceName(ifindex) : undefined; // it may be renamed meanwhile
  }

  /** The directory of a cgroup. */
  cgroup(info: LinkInfo): string | undefined {
    const id = "cgroupId" in info ? info.cgroupId : undefined;
    if (id === undefined || id === 0n) return undefined;
    return remembered(this.#cgroups, id, () => {
      for (const { path, id } of cgroups()) this.#cgroups.set(id, path);
      return this.#cgroups.get(id);
    });
  }
}

function nameOf(programId: number): string {
  using program = Program.open(programId);
  return program.name;
}

/** Whether the kernel finds the link at the interface that has its number here. */
function isLinkedHere(info: Extract<LinkInfo, { ifindex: number }>): boolean {
  const { type, ifindex: device } = info;
  const hook = unlessRefused(() =>
    type === "xdp"
      ? Hook.query({ type, device })
      : type === "tcx"
      ? Hook.query({ type, device, direction: info.attachType === "tcx_ingress" ? "ingress" : "egress" })
      : Hook.query({ type, device, peer: info.attachType === "netkit_peer" })
  );
  return hook?.entries.some(({ linkId }) => linkId === info.id) ?? false;
}

/** What `ask` gives; undefined if the kernel refuses. */
export function unlessRefused<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

function remembered<K, V>(known: Map<K, V>, key: K, find: () => V): V {
  if (!known.has(key)) known.set(key, find());
  return known.get(key)!;
}
