/** Names for the numbers in infos: programs, interfaces, cgroups. */
import type { PlaceNames } from "./kind/kind.ts";
import { hookKinds, type LinkInfo, linkKindOf, readInfo } from "./kind/mod.ts";
import { cgroupDirectory } from "./kind/target.ts";
import { lazy } from "./lazy.ts";
import { programNames } from "./listing/program_names.ts";
import { allLinks } from "./listing/walk.ts";
import { closeIfOpen, statPath } from "./os/files.ts";
import { interfaceName, ownNetns } from "./os/interfaces.ts";
import { cgroupById, cgroups, mounts } from "./os/proc.ts";
import { unlessGone, unlessRefused, visibly } from "./refusal.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import { progGetFdById, progGetInfoByFd } from "./sys/program.ts";

/** The number of an interface, by its name. */
export { deviceIndex } from "./os/interfaces.ts";

/**
 * Names for the numbers in infos: of programs, interfaces and cgroups.
 *
 * What does not change is asked for once, so keep one for a whole listing. A name is given only if it is surely the
 * right one; the number stays what identifies the thing.
 *
 * @example What is attached where
 * ```ts
 * import { Link, Names } from "@bpf/link";
 *
 * const names = new Names();
 * for await (const info of Link.infos()) {
 *   // such as: 12 count at eth1 ingress
 *   console.log(info.id, names.program(info.programId), "at", names.place(info));
 * }
 * ```
 */
export class Names {
  readonly #programs = new Map<number, string | undefined>();
  readonly #areHere = new Map<string, boolean>();
  readonly #cgroups = new Map<bigint, string | undefined>();
  readonly #cgroupMounts = lazy(() => mounts("self", "cgroup2"));
  readonly #ownNetns = ownNetns();
  #maySeeNames = true;

  /**
   * The name of a program.
   *
   * @param id Its id; none for a struct_ops link.
   * @returns The name; empty if it has none or is gone, `undefined` if it may not be seen: that takes CAP_SYS_ADMIN, or
   * CAP_BPF and CAP_PERFMON.
   *
   * @example
   * ```ts
   * import { Names, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next, name: "guard" });
   * console.log(new Names().program(program.id)); // guard
   * ```
   */
  program(id: number | undefined): string | undefined {
    if (id === undefined) return "";
    return remembered(
      this.#programs,
      id,
      () => visibly(() => unlessGone(() => nameOf(id)) ?? "") ?? this.#programOfAll(id),
    );
  }

  /** From the names of all programs, which are read again for one that was loaded since. */
  #programOfAll(id: number): string | undefined {
    const names = this.#maySeeNames ? programNames() : undefined;
    this.#maySeeNames = names !== undefined;
    for (const [other, name] of names ?? []) this.#programs.set(other, name);
    return names && (names.get(id) ?? "");
  }

  /**
   * The name of the interface that a link is attached to.
   *
   * @param info The link's info.
   * @returns The name, if the interface is surely in our network namespace, for every other has the same numbers.
   *
   * @example
   * ```ts
   * import { Link, Names, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next, name: "guard" });
   * using link = Link.attach(program, { type: "tcx", device: "lo", direction: "ingress" });
   * console.log(new Names().device(link.info())); // lo
   * ```
   */
  device(info: LinkInfo): string | undefined {
    if (!("ifindex" in info) || info.ifindex === 0) return undefined;
    const { id, ifindex, netnsIno } = info;
    const isOurs = netnsIno === undefined
      ? remembered(this.#areHere, `${id} ${ifindex}`, () => isHere(info))
      : netnsIno === this.#ownNetns;
    return isOurs ? interfaceName(ifindex) : undefined; // it may be renamed meanwhile
  }

  /**
   * The directory of the cgroup that a link is attached to, or an iterator begins at.
   *
   * @param info The link's info.
   * @returns Its path, if it lies below a cgroup2 file system that is mounted here.
   *
   * @example
   * ```ts
   * import { Link, makeCgroup, Names, Program } from "@bpf/link";
   *
   * const allow = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
   * using program = Program.load({ type: "cgroup_skb", instructions: allow });
   * using web = makeCgroup("/sys/fs/cgroup/web");
   * using link = Link.attach(program, { type: "cgroup", cgroup: web.path, attachType: "cgroup_inet_egress" });
   * console.log(new Names().cgroup(link.info())); // /sys/fs/cgroup/web
   * ```
   */
  cgroup(info: LinkInfo): string | undefined {
    const id = "cgroupId" in info ? info.cgroupId : undefined;
    if (id === undefined || id === 0n) return undefined;
    return remembered(this.#cgroups, id, () => {
      const path = cgroupById(id, this.#cgroupMounts());
      if (path !== undefined) return path;
      for (const { path, id } of cgroups()) this.#cgroups.set(id, path);
      return this.#cgroups.get(id);
    });
  }

  /**
   * What a link is attached to, in a few words, with names where they are known.
   *
   * @param info The link's info.
   * @returns Such as `eth1 ingress`, or `detached`. The maker of a cgroup or an interface chooses its name, control
   * characters included.
   *
   * @example
   * ```ts
   * import { Link, Names, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next, name: "guard" });
   * using link = Link.attach(program, { type: "tcx", device: "lo", direction: "ingress" });
   * console.log(new Names().place(link.info())); // lo ingress
   * ```
   */
  place(info: LinkInfo): string {
    return whereOf(info, { device: this.device(info), cgroup: this.cgroup(info) });
  }
}

/** What a link is attached to, in a few words, from the names that are known. */
export function whereOf(info: LinkInfo, names: PlaceNames): string {
  if (info.attached !== false) return linkKindOf(info.type).where(info, names);
  return "attachType" in info ? `detached from ${info.attachType}` : "detached";
}

/** The same of a link's fd, for a message about another error; `isHere` if it was made in this network namespace. */
export function placeOf(fd: number, madeHere: boolean): string {
  const info = unlessRefused(() => readInfo(linkGetInfoByFd(fd)));
  if (info === undefined) return "";
  if (!("ifindex" in info)) return "attachType" in info ? `, ${info.attachType}` : "";
  if (info.attached === false) return ", detached";
  const name = isHere(info, madeHere) ? interfaceName(info.ifindex) : undefined;
  return name === undefined ? ` on interface ${info.ifindex}` : ` on "${name}"`;
}

/**
 * The id of the cgroup of a directory, also as `/proc` names it; `undefined` if it is none: a directory elsewhere may have
 * the same number.
 */
export function cgroupNumber(path: string): bigint | undefined {
  const { device, inode } = statPath(cgroupDirectory(path));
  return mounts("self", "cgroup2").some((mount) => mount.device === device) ? inode : undefined;
}

/** The name of a program; empty if it has none, or is gone, or may not be seen. */
export function programName(id: number): string {
  return visibly(() => nameOf(id)) ?? "";
}

function nameOf(programId: number): string {
  const fd = progGetFdById(programId);
  try {
    return progGetInfoByFd(fd).name;
  } finally {
    closeIfOpen(fd);
  }
}

type InterfaceInfo = Extract<LinkInfo, { ifindex: number }>;

/**
 * Whether a link is surely attached to the interface that has the info's number in our network namespace: every other
 * namespace has the same numbers, and an interface may move.
 */
function isHere(info: InterfaceInfo, madeHere = false): boolean {
  const { id, type, ifindex, programId } = info, attachType = "attachType" in info ? info.attachType : undefined;
  const progs = unlessRefused(() => hookKinds().get(type)?.ask(ifindex, attachType, {}).progs) ?? [];
  if (progs.some(({ linkId }) => linkId !== undefined)) return progs.some(({ linkId }) => linkId === id);
  // the kernel reports programs without links: another link may be meant
  return progs.some(({ progId }) => progId === programId) && (madeHere || isAlone(info));
}

/** Whether no other link has the same program at an interface of the same number. */
function isAlone({ id, type, ifindex, programId }: InterfaceInfo): boolean {
  const isAnother = (other: LinkInfo) =>
    other.type === type && other.id !== id && "ifindex" in other && other.ifindex === ifindex &&
    other.programId === programId;
  return unlessRefused(() => !allLinks().map(readInfo).some(isAnother)) ?? false;
}

function remembered<K, V>(known: Map<K, V>, key: K, find: () => V): V {
  if (!known.has(key)) known.set(key, find());
  return known.get(key)!;
}
