/** What is attached at one place, in order. */
import { kindOf } from "./check.ts";
import { BpfError } from "./error.ts";
import { checkHandle } from "./handle/brand.ts";
import { toJson } from "./json.ts";
import type { AttachOptions } from "./kind/attach.ts";
import type { CgroupTarget } from "./kind/cgroup.ts";
import type { HookKind, Look } from "./kind/kind.ts";
import { type AttachTarget, hookKinds, kindFor, KINDS } from "./kind/mod.ts";
import type { NetkitTarget } from "./kind/netkit.ts";
import type { NetnsTarget } from "./kind/netns.ts";
import type { Position } from "./kind/position.ts";
import type { SockmapTarget } from "./kind/sockmap.ts";
import type { TcxTarget } from "./kind/tcx.ts";
import type { XdpTarget } from "./kind/xdp.ts";
import { type AnyLink, Link } from "./link.ts";
import { linksOf } from "./links.ts";
import { programName } from "./names.ts";
import { close } from "./os/files.ts";
import type { Program } from "./program.ts";
import { linkGetFdById, linkGetNextId } from "./sys/link.ts";
import type { BpfLinkInfo } from "./sys/type/mod.ts";
import { EAGAIN, EOPNOTSUPP } from "./uapi/errno.ts";

/** A place that can be asked what is attached to it: the target of a link, without a position. */
export type HookTarget =
  | Omit<TcxTarget, "position" | "expectedRevision">
  | Omit<NetkitTarget, "position" | "expectedRevision">
  | Omit<CgroupTarget, "position" | "expectedRevision">
  | NetnsTarget
  | SockmapTarget
  | Omit<XdpTarget, "mode">;

/** A program that is attached to a hook. */
export interface HookEntry {
  /** The id of the program. */
  programId: number;
  /** The name of the program; absent if it has none, or without CAP_SYS_ADMIN. */
  programName?: string;
  /**
   * The id of the link; absent if the program was attached without one. The kernel reports it of tcx and netkit. For the
   * others it is found among the links of the machine, which takes CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON, and absent
   * if several could be meant: a program twice in a cgroup, or one xdp program on interfaces of the same number in
   * several network namespaces.
   */
  linkId?: number;
  /**
   * The kernel's flags: in a cgroup 0, 1 (override) or 2 (multi, as all links have); for xdp the mode: 2 generic, 4
   * native, 8 offload.
   */
  attachFlags: number;
}

/** What a look at a place shows. */
interface View {
  readonly revision: bigint | undefined;
  readonly entries: readonly HookEntry[];
  readonly effective: readonly HookEntry[];
}

/**
 * A place where programs are attached, as it was when it was looked at: which programs, in which order, and the
 * revision that counts its changes.
 *
 * Cgroups, network namespaces, sockmaps (Linux 5.16), xdp, tcx (6.6) and netkit (6.7) can be asked; other places
 * (tracepoints, functions, ...) have no query in the kernel. Needs CAP_NET_ADMIN, except for xdp.
 *
 * @example What sees the packets that lo receives
 * ```ts
 * import { Hook, Link, Program } from "@bpf/link";
 *
 * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
 * using program = Program.load({ type: "sched_cls", instructions: next });
 * using link = Link.attach(program, { type: "tcx", device: "lo", direction: "ingress" });
 * const hook = Hook.query({ type: "tcx", device: "lo", direction: "ingress" });
 * console.log(hook.revision, hook.entries, hook.entries[0]?.linkId === link.id);
 * ```
 */
export class Hook {
  readonly #target: HookTarget;
  /**
   * Counts the changes of the hook; `undefined` where the kernel keeps none: netns, sockmap, xdp, and cgroups before
   * Linux 6.17.
   */
  readonly revision: bigint | undefined;
  /**
   * What is attached here. It is in the order in which it runs, but for links of a cgroup with `preorder`, which run
   * first wherever they are listed.
   */
  readonly entries: readonly HookEntry[];
  /**
   * What runs here, in order: for a cgroup with the programs of its ancestors, those with `preorder` first. Whether a
   * program is reached depends on what those before it return. The same as {@linkcode entries} for other places.
   */
  readonly effective: readonly HookEntry[];

  private constructor(target: HookTarget) {
    this.#target = target;
    const { revision, entries, effective } = view(target);
    this.revision = revision;
    this.entries = entries;
    this.effective = effective;
  }

  /**
   * Looks at a place.
   *
   * @param target The place: what a link's target says, without a position. `attachType` is required for cgroup,
   * netns and sockmap. An fd in it must stay open for {@linkcode refresh} and {@linkcode attach}.
   * @returns What is there now.
   * @throws {TypeError} If a field is unknown, missing or of the wrong type, or if places of this type cannot be asked.
   * @throws {RangeError} If a number is out of range.
   * @throws {BpfError} `gone` if there is no such place, `capability` without CAP_NET_ADMIN, `unsupported` or `invalid`
   * if this kernel has no such places, `unsettled` if others change it again and again for half a second.
   *
   * @example
   * ```ts
   * import { Hook, Link, Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
   * for (const { programId, linkId } of Hook.query({ type: "xdp", device: "lo" }).entries) {
   *   console.log(programId === program.id, linkId === link.id); // true true
   * }
   * ```
   */
  static query(target: HookTarget): Hook {
    kindFor(target); // throws if it is no target at all
    if (!hookKinds().has(target.type)) {
      const types = Array.from(hookKinds().keys(), (type) => `"${type}"`).join(", ");
      throw new TypeError(`target.type must be one of ${types}, not "${target.type}"`);
    }
    return new Hook({ ...target });
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns The place and what is there, as {@linkcode toJson} has it.
   */
  toJSON(): Record<string, unknown> {
    const { revision, entries, effective } = this;
    return toJson({ target: this.#target, revision, entries, effective });
  }

  /**
   * Looks at the same place again.
   *
   * @returns What is there now; this object stays as it is.
   * @throws {BpfError} As {@linkcode Hook.query}.
   *
   * @example
   * ```ts
   * import { Hook, Link, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next });
   * const before = Hook.query({ type: "tcx", device: "lo", direction: "egress" });
   * using _link = Link.attach(program, { type: "tcx", device: "lo", direction: "egress" });
   * console.log(before.entries.length, before.refresh().entries.length); // 0 1
   * ```
   */
  refresh(): Hook {
    return new Hook(this.#target);
  }

  /**
   * Attaches a program at a position that depends on what is there, such as "after X if X is there, else first": if the
   * hook has changed since it was looked at, it is looked at again and `place` is asked again. Every retry means
   * that another writer changed the hook in between: after half a second of that, and four rounds, it is an error. No
   * timer runs meanwhile, so `options.signal` ends it early only if it is aborted in `place`.
   *
   * A fixed position needs none of that: {@linkcode Link.attach} inserts atomically. The revision of a tcx hook begins
   * anew when its last program leaves, so it may be the same after other programs came: look shortly before, or keep
   * one program attached for good.
   *
   * @param program The program.
   * @param place Chooses the position from {@linkcode entries}; those of a cgroup are named by their link ids.
   * @param options As {@linkcode Link.attach}.
   * @returns The link, to be held with `using`.
   * @throws {TypeError} If the programs of this hook have no order (netns, sockmap, xdp), or the position is none.
   * @throws {BpfError} `unsupported` if the kernel keeps no revision of the hook; `unsettled` if others change it again
   * and again; and as {@linkcode Link.attach}.
   * @throws Whatever `place` throws, and the reason of `options.signal` if it is aborted; nothing is attached then.
   *
   * @example Directly after a program that may be there or not
   * ```ts
   * import { Hook, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next });
   * using _link = Hook.query({ type: "tcx", device: "lo", direction: "ingress" }).attach(program, (entries) => {
   *   const guard = entries.find((entry) => entry.programName === "guard");
   *   return guard === undefined ? "first" : { after: { programId: guard.programId } };
   * });
   * ```
   */
  attach(
    program: Program,
    place: (entries: readonly HookEntry[]) => Position,
    options?: AttachOptions,
  ): AnyLink {
    const target = this.#target, { type } = target;
    checkHandle(program, "program", "program");
    if (typeof place !== "function") throw new TypeError(`place must be a function, not ${kindOf(place)}`);
    if (KINDS[type].probe().position === undefined) {
      throw new TypeError(`programs of ${type} hooks have no position: use Link.attach`);
    }
    let { revision, entries }: View = this;
    const since = performance.now();
    for (let round = 1;; round++) {
      if (revision === undefined) throw withoutRevision(type);
      const position = place(entries);
      try {
        // the position is checked with the rest of the target: a cgroup takes links only
        const placed = { ...target, position, expectedRevision: revision } as AttachTarget;
        return Link.attach(program, placed, options) as AnyLink;
      } catch (error) {
        if (!(error instanceof BpfError && error.reason === "stale")) throw error;
      }
      options?.signal?.throwIfAborted();
      if (isEnough(round, since)) throw unsettled(`Cannot attach to ${type} hook by its entries`);
      ({ revision, entries } = this.refresh());
    }
  }
}

function withoutRevision(type: string): BpfError {
  return new BpfError(EOPNOTSUPP, {
    action: `Cannot attach to ${type} hook by its entries`,
    command: "PROG_QUERY",
    reason: "unsupported",
    meaning: "this kernel keeps no revision of it",
    hint: "cgroups have revisions since Linux 6.17; use Link.attach, and have one writer only",
  });
}

/** Whether to give up on what keeps changing: after half a second, but not before the fourth round. */
function isEnough(rounds: number, since: number): boolean {
  return rounds >= 4 && performance.now() - since > 500;
}

function unsettled(action: string): BpfError {
  return new BpfError(EAGAIN, {
    action,
    command: "PROG_QUERY",
    reason: "unsettled",
    meaning: "others change it again and again",
    hint: "try again in a moment, or find out who attaches and detaches there: Link.watch() shows it",
  });
}

/** Looks at a place until its programs and their links belong together. */
function view(target: HookTarget): View {
  const kind = hookKinds().get(target.type)!, since = performance.now();
  const look = () => lookAt(kind, target);
  let found = look(), before: View | undefined;
  for (let round = 1;; round++) {
    const { isLink } = found, isThere = found.entries.length + found.effective.length > 0;
    const now = isLink === undefined || !isThere ? found : withLinks(found, linksOf(KINDS[target.type].linkType));
    const isLinked = [...now.entries, ...now.effective].every(({ linkId }) => linkId !== undefined);
    if (!isThere || isLink === undefined && isLinked) return named(now); // by the kernel, in one answer
    const after = look(), isSame = print(found) === print(after);
    if (isSame && (isLinked || before !== undefined && print(before) === print(now))) return named(now);
    if (isEnough(round, since)) {
      if (isSame) return named(now);
      throw unsettled(`Cannot look at ${target.type} hook`);
    }
    // a program is there a moment before its link has the id
    before = isSame && !isAnyUnsettled() ? now : undefined;
    found = after;
  }
}

/** Looks at a place; a refusal names it in the words of the target. */
function lookAt(kind: HookKind<never>, target: HookTarget): Look {
  try {
    return kind.look(target as never);
  } catch (error) {
    if (!(error instanceof BpfError && error.command === "PROG_QUERY")) throw error;
    const { errno, command, reason, meaning, hint } = error;
    const action = `Cannot query the programs of ${KINDS[target.type].describe(target as never)}`;
    throw new BpfError(errno, { action, command, reason, meaning, hint });
  }
}

/** What two looks at an unchanged place have in common. */
function print({ revision, entries, effective }: View): string {
  const line = ({ programId, linkId }: HookEntry) => `${programId} ${linkId}`;
  return [revision, ...entries.map(line), "effective", ...effective.map(line)].join();
}

/** Whether some link of the machine is just being made. */
function isAnyUnsettled(): boolean {
  try {
    for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) {
      try {
        close(linkGetFdById(id));
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        if (error.reason === "unsettled") return true;
        if (error.reason !== "gone") throw error;
      }
    }
  } catch (error) {
    if (!(error instanceof BpfError && error.reason === "capability")) throw error;
  }
  return false;
}

/** The same with the ids of the links among `links`. */
function withLinks({ revision, entries, effective, isLink }: Look, links: readonly BpfLinkInfo[]): View {
  const join = (entries: readonly HookEntry[], of: "entries" | "effective") =>
    joined(entries, links.filter((info) => isLink!(info, of)));
  return { revision, entries: join(entries, "entries"), effective: join(effective, "effective") };
}

/** Entries with the id of the one link that can be meant: one entry and one link for the program. */
function joined(entries: readonly HookEntry[], links: readonly BpfLinkInfo[]): HookEntry[] {
  const candidates = Map.groupBy(links, ({ progId }) => progId), alike = Map.groupBy(entries, (it) => it.programId);
  return entries.map((entry) => {
    const [link, another] = candidates.get(entry.programId) ?? [];
    const isOne = link !== undefined && another === undefined && alike.get(entry.programId)!.length === 1;
    return isOne ? { ...entry, linkId: link.id } : entry;
  });
}

/** The same with the names of the programs. */
function named({ revision, entries, effective }: View): View {
  const names = new Map<number, string>();
  for (const { programId } of [...entries, ...effective]) {
    if (!names.has(programId)) names.set(programId, programName(programId));
  }
  const withName = ({ programId, ...rest }: HookEntry): HookEntry => {
    const programName = names.get(programId);
    return { programId, ...programName ? { programName } : {}, ...rest };
  };
  return { revision, entries: entries.map(withName), effective: effective.map(withName) };
}
