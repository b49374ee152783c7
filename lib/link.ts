/** The class that this package is about. */
import { checkFd, checkKeys, checkOneOf, checkPath, checkSignal, checkU32, kindOf } from "./check.ts";
import {
  type EnsureAsyncOptions,
  type EnsuredLink,
  type EnsureOptions,
  ensurePinned,
  ensurePinnedAsync,
  type LinkMaker,
} from "./ensure_pinned.ts";
import { BpfError } from "./error.ts";
import { attachAll, attachAllAsync, type AttachEntry, checkEntries, type LinkGroup } from "./group.ts";
import { findHolders, findHoldersAsync, type HoldersOptions, type LinkHolders } from "./holders.ts";
import { placeOf } from "./names.ts";

import { brand, checkHandle } from "./handle/brand.ts";
import { traceIf } from "./handle/open_handles.ts";
import { type HandleClass, OwnedFd, type PinOptions } from "./handle/owned.ts";
import { attachLater, attachNow, type AttachOptions, fdOf, type MadeLink, type Origin } from "./kind/attach.ts";
import {
  type AttachTargets,
  kindFor,
  type LinkInfo,
  linkKindOf,
  type LinkTypeOf,
  readInfo,
  type SourceOf,
  type TargetType,
} from "./kind/mod.ts";
import { checkListOptions, type LinkList, type LinkListing, Listing, listLinks, type ListOptions } from "./links.ts";
import { loadedIterator } from "./listing/iterator.ts";
import { toJson } from "./json.ts";
import type { BpfMap } from "./map.ts";
import { close, closeAsync, closeIfOpen, duplicateFd, readLines } from "./os/files.ts";
import type { Program } from "./program.ts";
import { refused, unlessRefused } from "./refusal.ts";
import { iterCreate, iterRead } from "./sys/iter.ts";
import {
  LINK_DETACH,
  linkGetFdById,
  linkGetNextId,
  tryDetach,
  tryDetachAndClose,
  tryDetachAndCloseAsync,
  updateLink,
} from "./sys/link.ts";
import { linkGetId, linkGetInfoByFd } from "./sys/link_info.ts";
import { isLink, keptIf, objGet } from "./sys/object.ts";
import { EINVAL, EOPNOTSUPP } from "./uapi/errno.ts";
import type { AttachTypeName, LinkType } from "./uapi/constants.ts";
import { onAbort, poll, type WaitOptions } from "./wait.ts";
import { type LinkWatcher, watchLinks, type WatchOptions } from "./watch.ts";

/** A link of some type: `switch (link.type)` narrows it. */
export type AnyLink = { [K in LinkType]: Link<K> }[LinkType];

/** The link that a target makes; of one of several targets, that of one of them. */
export type LinkOf<K extends TargetType> = { [P in K]: Link<LinkTypeOf<P>> }[K];

const UPDATE_KEYS = ["expected"];
const ON_CLOSE = ["detach", "keep"] as const;
const MAX_ID = 0x7fffffff;

/** Makes a handle of the fd of a link that libbpf made, which the handle then owns as one that {@linkcode Link.attach} made. */
export let adoptLink: <T extends LinkType>(fd: number, type: T, options: AttachOptions) => Link<T>;

/** Types whose LINK_DETACH gave EOPNOTSUPP: it would give it again, and a short scope feels each call. */
const undetachable: { [T in LinkType]?: true } = {};

/**
 * A tie between a program and a place in the kernel, as a value with a scope.
 *
 * **What the end of a scope does.** `close()`, `using` and `await using` do the same, and follow {@linkcode onClose}:
 *
 * - A link that this handle made ({@linkcode attach}) is detached by force, then closed: it is gone even if a child
 *   process, a duplicate or somebody's pin still refers to it. Types without forced detachment (iter, tracing,
 *   raw_tracepoint, perf_event, kprobe_multi, uprobe_multi) are closed, which ends them if nobody else refers to them.
 * - A link that it opened ({@linkcode open}, {@linkcode openPinned}, {@linkcode fromFd}, {@linkcode all}) is only closed:
 *   looking at somebody's link never ends it. But while it is open it stays attached, even if its owner closes it.
 * - {@linkcode pin} means "outlive me": from then on the link is only closed, unless `onClose` was chosen by hand.
 *
 * If detaching at the end fails, the fd is closed all the same and the error is thrown (within a SuppressedError if the
 * body of the scope threw too). Closing twice does nothing. On a closed handle `type`, `closed`, `pinnedPath`, `onClose`
 * and an `id` that was read before stay readable; everything else throws `Deno.errors.BadResource`.
 *
 * **What it cannot guarantee.** A made link whose variable is lost without being closed stays attached until the process
 * ends: garbage collection must never detach it. {@linkcode traceLeaks} finds such places. At the end of the main
 * program, in `Deno.exit()` and before `deno run --watch` starts again, links that are still to be detached are, by
 * force. An uncaught error, a signal and `worker.terminate()` leave no time for that: the kernel closes the fds of a
 * process that is gone, so links that nobody else holds are detached then. The guide of the module has every way to end.
 *
 * **Synchronous by default.** A link call takes microseconds, and `using` wants it so; this is the reverse of Deno's
 * `x` and `xSync`. Only xdp, tcx and netkit wait milliseconds for the kernel: for them there are {@linkcode attachAsync},
 * {@linkcode detachAsync} and {@linkcode closeAsync}, and `await using`.
 *
 * Making links takes the capabilities that loading the program took; opening one by id and listing them take
 * CAP_SYS_ADMIN.
 *
 * @typeParam T The type of the link.
 *
 * @example A scope that holds a link
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * {
 *   using link = Link.attach(program, { type: "netns" });
 *   console.log(link.info());
 * } // detached here, also after an error
 * ```
 */
export class Link<T extends LinkType = LinkType> implements Disposable, AsyncDisposable {
  /**
   * Whether links that are made from now on are watched: if one is forgotten, a warning on the console says where it was
   * made. {@linkcode openHandles} says so too, also of programs, maps and what objects hold. Costs some microseconds each.
   */
  static traceLeaks = false;

  static {
    traceIf(() => Link.traceLeaks);
  }

  /** What {@linkcode ensurePinned} needs of the class. */
  static readonly #MAKER: LinkMaker = { attach: Link.attach, opened: (fd, path) => Link.#openedAt(fd, path) };

  static readonly #CLASS: HandleClass<Link> = {
    kind: "link",
    name: (link) => `link ${link.#numbered("")}`,
    isSame: (link, fd) => isLink(fd) && linkGetId(fd) === link.id,
  };

  readonly #owned: OwnedFd<Link>;
  #id: number; // 0: not asked for yet
  readonly #origin: Origin;
  #chosen: "detach" | "keep" | undefined; // onClose was given, or set by hand
  #abort: Abort | undefined;
  #waiting: Waiting | undefined; // in untilDetached()
  /** The type of the link. It stays readable after {@linkcode close}. */
  readonly type: T;

  private constructor(fd: number, type: T, id: number, origin: Origin, onClose?: "detach" | "keep") {
    this.#id = id;
    this.type = type;
    this.#origin = origin;
    this.#chosen = onClose;
    const forgotten = !origin.isMade ? "closed" : Link.traceLeaks ? "reported" : "left open";
    this.#owned = new OwnedFd(Link.#CLASS, this, fd, forgotten);
    if (origin.isMade) this.#followOnClose();
  }

  /**
   * Attaches a program.
   *
   * @typeParam K The kind of target.
   * @param source The program; for struct_ops the map.
   * @param target Where to; its `type` says which fields it has.
   * @param options What the end of the scope does, and a signal that ends the link early.
   * @returns The link, to be held with `using`.
   * @throws {TypeError} If a field is unknown, missing or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the program's handle is closed.
   * @throws {BpfError} If the kernel refuses; `reason`, `code` and `hint` say why.
   * @throws The reason of `options.signal` if it is aborted already; nothing is attached then.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
   * console.log(link.type, link.onClose, link.attached()); // xdp detach true
   * ```
   */
  static attach<K extends TargetType>(
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: AttachOptions,
  ): LinkOf<K> {
    const { signal, onClose } = checkOptions(options);
    return Link.#attached(attachNow<K>(source, target, signal), signal, onClose);
  }

  /**
   * {@linkcode attach} without blocking the event loop: for xdp, tcx and netkit, which wait milliseconds for the kernel.
   *
   * The program's handle may be closed before the promise is settled.
   *
   * @typeParam K The kind of target.
   * @param source As {@linkcode attach}.
   * @param target As {@linkcode attach}.
   * @param options As {@linkcode attach}. If the signal is aborted meanwhile, the promise rejects with its reason and
   * nothing is left.
   * @returns The link, to be held with `await using`.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * await using link = await Link.attachAsync(program, { type: "xdp", device: "lo", mode: "generic" });
   * console.log(link.attached()); // true
   * ```
   */
  static async attachAsync<K extends TargetType>(
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: AttachOptions,
  ): Promise<LinkOf<K>> {
    const { signal, onClose } = checkOptions(options);
    const made = await attachLater<K>(source, target, signal);
    if (!signal?.aborted) return Link.#attached(made, signal, onClose);
    await tryDetachAndCloseAsync(made.fd);
    throw signal.reason;
  }

  /**
   * Attaches several programs as one: all or none.
   *
   * If one cannot be attached, those before it are detached in reverse order. The group ends as a whole, in reverse
   * order too, at the end of its scope; a signal ends it so early.
   *
   * @param entries Pairs of a program and a target, in the order in which they are attached.
   * @param options As {@linkcode attach}; they apply to every link.
   * @returns The group, to be held with `using`.
   * @throws {TypeError} If `entries` is no array of pairs.
   * @throws {AggregateError} If one cannot be attached: why, and what failed when the others were detached. The end of
   * the group throws one too if links cannot be detached.
   * @throws The reason of `options.signal` if it is aborted already.
   *
   * @example Both directions, or none
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0x18, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
   * using program = Program.load({ type: "sched_cls", instructions: next }); // return TCX_NEXT
   * using group = Link.attachAll([
   *   [program, { type: "tcx", device: "lo", direction: "ingress" }],
   *   [program, { type: "tcx", device: "lo", direction: "egress" }],
   * ]);
   * for (const link of group) console.log(link.info());
   * ```
   */
  static attachAll(entries: readonly AttachEntry[], options?: AttachOptions): LinkGroup {
    checkEntries(entries);
    return attachAll(
      ([source, target], each) => Link.attach(source, target, each) as AnyLink,
      entries,
      checkOptions(options),
    );
  }

  /**
   * {@linkcode attachAll} without blocking the event loop.
   *
   * @param entries As {@linkcode attachAll}.
   * @param options As {@linkcode attachAll}. If the signal is aborted meanwhile, the promise rejects with its reason and
   * nothing is left.
   * @returns The group, to be held with `await using`.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
   * using program = Program.load({ type: "sched_cls", instructions: next });
   * await using group = await Link.attachAllAsync([
   *   [program, { type: "tcx", device: "lo", direction: "ingress" }],
   *   [program, { type: "tcx", device: "lo", direction: "egress" }],
   * ]);
   * console.log(group.links.length); // 2
   * ```
   */
  static async attachAllAsync(entries: readonly AttachEntry[], options?: AttachOptions): Promise<LinkGroup> {
    checkEntries(entries);
    const attach = async ([source, target]: AttachEntry, each: AttachOptions) =>
      await Link.attachAsync(source, target, each) as AnyLink;
    return await attachAllAsync(attach, entries, checkOptions(options));
  }

  /**
   * Makes sure that a program is attached and pinned: for what outlives the process, and is deployed again and again.
   *
   * If nothing is pinned at `path`, a link is attached and pinned. Otherwise the pin is taken over:
   *
   * - If its link is attached to the same target, the program is put into it. Where links of its type have no update, a
   *   new link is attached, pinned under a name of its own beside it, and renamed over the old one, which is then detached.
   * - If its link has been detached, or its target is gone, a new one takes its place.
   * - If its link is attached to something else, that is an error, unless `options.replace` is true.
   *
   * So the target is never without a program, except where it takes one link and that has no update, such as a priority
   * of a netfilter hook: there the old one is detached first. Of several processes that do this at once for pins in one
   * directory, one makes the link and the others take it over: they wait for the lock (flock) of the directory, at most
   * `options.waitMs`. Every user who may read the directory can hold that lock; the error then names the process.
   *
   * **What it ends, and what proves that it may.** Neighbours who may write into the directory, or above it, lead it
   * nowhere: what is pinned is opened without following a symbolic link, and is taken over only if the pin belongs to
   * this user or to root and has no second name (hard link). Symbolic links in the directory part of `path` are followed
   * if they are this user's or root's. `options.replace` is permission to end another user's link too, never one that
   * has a second name. The temporary name is `path`, `~`, the link's id, `-` and 16 random hexadecimal digits: what a
   * run left under such a name that was killed is ended if the pin is this user's, has no second name and holds the link
   * of that id. Everything else stays as it is.
   *
   * Two targets count as the same if everything that the kernel reports about the link matches. It does not report the
   * network namespace of a netfilter link, nor the CPU, process or category of an event. Position and cookie of a target,
   * and the mode of an xdp link, count when a link is attached, not when it is taken over by an update. Where a file was
   * changed or replaced since the pin was made, or a symbolic link leads to another, as their times of change say (a mount
   * over a file has none), the places in it count as the same, wherever they are now: the link is to a file that is no
   * more. Perf events before Linux 6.6 report nothing, so taking them over needs `replace`. A cgroup that was removed counts as something
   * else until the kernel has detached its links, some milliseconds later.
   *
   * @typeParam K The kind of target.
   * @param path The pin, on a bpf file system. Its name may have no dot.
   * @param source The program.
   * @param target Where to.
   * @param options Whether a link that is attached to something else is ended, how long to wait for the lock, and whether
   * to make directories that are missing.
   * @returns The link, opened from its pin, and what was done.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If `options.waitMs` is out of range.
   * @throws {BpfError} `mismatch` if a link to something else, a link that may be somebody else's, or no link is pinned at
   * `path`; `invalid` if `path` lies on no bpf file system or has a dot; `gone` if its directory does not exist; `busy` if
   * the lock is held for too long, `policy` if a stranger's symbolic link is on the way; otherwise as {@linkcode attach},
   * {@linkcode update} and {@linkcode pin}. A link that was there stays, unless it had to be detached first.
   *
   * @example Deploying a new version
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using first = Link.ensurePinned("/sys/fs/bpf/lookup", program, { type: "netns" });
   * using again = Link.ensurePinned("/sys/fs/bpf/lookup", program, { type: "netns" });
   * console.log(first.outcome, again.outcome); // created updated
   * again.link.unpin();
   * ```
   */
  static ensurePinned<K extends TargetType>(
    path: string | URL,
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: EnsureOptions,
  ): EnsuredLink<LinkTypeOf<K>> {
    fdOf(source, kindFor<K>(target).linkType); // throws before anything is done
    return ensurePinned<K>(Link.#MAKER, path, source, target, options);
  }

  /**
   * {@linkcode ensurePinned} that waits for the lock without blocking the event loop. What it does then it does at once,
   * which takes milliseconds for xdp, tcx and netkit.
   *
   * @typeParam K The kind of target.
   * @param path As {@linkcode ensurePinned}.
   * @param source As {@linkcode ensurePinned}; its handle must stay open until the promise is settled.
   * @param target As {@linkcode ensurePinned}.
   * @param options As {@linkcode ensurePinned}, and a signal that ends the wait: nothing is changed then.
   * @returns The link, opened from its pin, and what was done; to be held with `using`.
   * @throws The reason of `options.signal` if it is aborted before the lock is taken.
   *
   * @example
   * ```ts
   * import { Link, makeCgroup, Program } from "@bpf/link";
   *
   * const allow = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1
   * using program = Program.load({ type: "cgroup_skb", instructions: allow });
   * using cgroup = makeCgroup("/sys/fs/cgroup/web");
   * const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
   * using ensured = await Link.ensurePinnedAsync("/sys/fs/bpf/web", program, target, {
   *   signal: AbortSignal.timeout(500),
   * });
   * console.log(ensured.outcome); // created
   * ensured.link.unpin();
   * ```
   */
  static async ensurePinnedAsync<K extends TargetType>(
    path: string | URL,
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: EnsureAsyncOptions,
  ): Promise<EnsuredLink<LinkTypeOf<K>>> {
    fdOf(source, kindFor<K>(target).linkType);
    return await ensurePinnedAsync<K>(Link.#MAKER, path, source, target, options);
  }

  /**
   * Opens a link by its id, to look at it: closing the handle does not end the link. Needs CAP_SYS_ADMIN.
   *
   * @param id The id.
   * @returns A handle of it.
   * @throws {RangeError} If `id` is no unsigned 32-bit number.
   * @throws {BpfError} `gone` if there is no such link, `unsettled` if it is just being made, `capability` without
   * CAP_SYS_ADMIN.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using made = Link.attach(program, { type: "netns" });
   * using link = Link.open(made.id); // as another process would
   * console.log(link.type, link.onClose); // netns keep
   * ```
   */
  static open(id: number): AnyLink {
    return Link.#opened(linkGetFdById(checkU32(id, "id")));
  }

  /**
   * Opens the link that is pinned at `path`. Needs no capability, only permission on the file.
   *
   * Symbolic links are followed, so somebody who may write into a directory of the path chooses what is opened;
   * {@linkcode unpin} follows none.
   *
   * @param path The pin, on a bpf file system.
   * @returns A handle of it, which {@linkcode unpin} can take away.
   * @throws {TypeError} If `path` is no path.
   * @throws {BpfError} `gone` if nothing is there, `mismatch` if something else than a link is pinned there.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * link.pin("/sys/fs/bpf/lookup");
   * using again = Link.openPinned("/sys/fs/bpf/lookup");
   * console.log(again.id === link.id, again.pinnedPath); // true /sys/fs/bpf/lookup
   * again.unpin();
   * ```
   */
  static openPinned(path: string | URL): AnyLink {
    const file = checkPath(path, "path");
    return Link.#openedAt(objGet(file), file);
  }

  /**
   * Makes a handle for an fd that somebody else owns. It is duplicated, so the caller keeps and closes their own.
   *
   * @param fd An fd of a link.
   * @returns A handle of it.
   * @throws {RangeError} If `fd` is no fd.
   * @throws {BpfError} `invalid` if `fd` is not open, `mismatch` if it is no link.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   * import { close } from "@bpf/link/sys";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * const fd = Link.attach(program, { type: "netns" }).release(); // or one that was inherited
   * using link = Link.fromFd(fd);
   * console.log(link.type, link.fd === fd); // netns false
   * link.detach();
   * close(fd);
   * ```
   */
  static fromFd(fd: number): AnyLink {
    return Link.#adopted(duplicateFd(checkFd(fd, "fd")), `Cannot take fd ${fd} for a link`);
  }

  /**
   * Opens every link of the machine, one after the other. Needs CAP_SYS_ADMIN.
   *
   * Links that end on the way, or are just being made, are left out. The handles are the caller's: `for await (using
   * link of Link.all())` closes each at the end of its turn, and leaving the loop early leaves nothing open.
   *
   * @param options Which types, and a signal that ends the walk; `source` does not matter here.
   * @returns The links in the order of their ids.
   * @throws {BpfError} `capability` without CAP_SYS_ADMIN, `limit` if the process has too many open files.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using made = Link.attach(program, { type: "netns" });
   * for await (using link of Link.all({ types: ["netns"] })) {
   *   if (link.id === made.id) console.log(link.attached()); // true
   * }
   * ```
   */
  static async *all(options: ListOptions = {}): AsyncGenerator<AnyLink, void, void> {
    checkListOptions(options);
    const { types, signal } = options;
    for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) {
      signal?.throwIfAborted();
      if (id === loadedIterator()?.linkId) continue; // ours, and nobody's business
      const link = Link.#openIfThere(id);
      if (link === undefined) continue;
      if (types === undefined || types.includes(link.type)) yield link;
      else link.close();
    }
  }

  /**
   * The infos of every link of the machine, from the best {@linkcode Source} that there is: from all links with
   * CAP_SYS_ADMIN, or with CAP_BPF and CAP_PERFMON; without them from those that can be seen, and the listing says
   * `partial`.
   *
   * It is no snapshot: links that are made or end meanwhile may be in it or not. No link is held between two steps.
   *
   * @param options Which types, from where, and a signal that ends the listing.
   * @returns The infos in the order of their ids, to be iterated once.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {BpfError} If `source` is `"iterator"`: `capability` without CAP_BPF and CAP_PERFMON, `unsupported` before
   * Linux 5.19. With `"syscall"` the first step rejects without CAP_SYS_ADMIN.
   *
   * @example
   * ```ts
   * import { Link } from "@bpf/link";
   *
   * const listing = Link.infos({ types: ["xdp", "tcx"] });
   * for await (const info of listing) console.log(info);
   * console.log(listing.source, listing.partial);
   * ```
   */
  static infos(options: ListOptions = {}): LinkListing {
    checkListOptions(options);
    return new Listing(options);
  }

  /**
   * {@linkcode infos} at once, as an array: for callers that want no event loop between. It takes as long as the machine
   * has links, some milliseconds for ten thousand.
   *
   * @param options Which types, and from where; with a signal that is aborted already nothing is listed.
   * @returns The infos in the order of their ids; `source` and `partial` of the array are those of {@linkcode infos}.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {BpfError} As {@linkcode infos}.
   * @throws The reason of `options.signal` if it is aborted already.
   *
   * @example
   * ```ts
   * import { Link } from "@bpf/link";
   *
   * const links = Link.list({ types: ["cgroup", "iter"] });
   * console.log(links.length, links.source, links.partial);
   * ```
   */
  static list(options: ListOptions = {}): LinkList {
    checkListOptions(options);
    return listLinks(options);
  }

  /**
   * Watches the links of the machine: first reports those that are there, then what changes. The kernel announces
   * nothing, so it looks again and again and compares: a change that lasts longer than the interval is reported, once.
   *
   * It looks only when a step is asked for. If handling an event takes longer than the interval, changes in between are
   * reported as one, and links that appeared and vanished in between are not reported. Privileges are those of
   * {@linkcode infos}; the iterator's program stays loaded until the watcher is closed, which leaving a `for await` loop
   * does.
   *
   * @param options Which links, from where, how often to look, and a signal that ends the watch.
   * @returns The events, to be iterated once. `close()` ends them; so does an abort, with the signal's reason as error.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {BpfError} As {@linkcode infos}.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * for await (const event of Link.watch({ types: ["netns"], intervalMs: 10 })) {
   *   console.log(event);
   *   if (event.kind === "present" && event.info.id === link.id) link.detach();
   *   if (event.kind === "changed" && event.after.id === link.id) break; // ["attached"]
   * }
   * ```
   */
  static watch(options: WatchOptions = {}): LinkWatcher {
    return watchLinks(options);
  }

  /**
   * Waits until no link has this id any more. Nothing is held between two looks, nor while looking, so this does not
   * prolong the life of the link; an open handle does. Needs CAP_SYS_ADMIN.
   *
   * The kernel takes the id away just before it detaches the link.
   *
   * @param id The id.
   * @param options How often to look, and a signal that ends the wait.
   * @returns A promise that is fulfilled at the first look that does not find the link.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {BpfError} `capability` without CAP_SYS_ADMIN.
   * @throws The reason of `options.signal` if it is aborted.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * const link = Link.attach(program, { type: "netns" });
   * setTimeout(() => link.close(), 10);
   * await Link.untilGone(link.id, { intervalMs: 10 });
   * ```
   */
  static async untilGone(id: number, options?: WaitOptions): Promise<void> {
    checkU32(id, "id");
    await poll(() => id === 0 || id > MAX_ID || linkGetNextId(id - 1) !== id, options);
  }

  /**
   * Who holds these links: what {@linkcode holders} reports, for many at once.
   *
   * @param ids The ids.
   * @returns Each id with its holders; those of a link that does not exist are none.
   * @throws {TypeError} If `ids` is no array of numbers.
   * @throws {RangeError} If a number is no unsigned 32-bit number.
   *
   * @example Pins without a process
   * ```ts
   * import { Link } from "@bpf/link";
   *
   * const ids: number[] = [];
   * for await (const { id } of Link.infos()) ids.push(id);
   * for (const [id, { holders, partial }] of Link.holdersOf(ids)) {
   *   if (!partial && holders.every(({ kind }) => kind === "pin")) console.log(`nobody has link ${id} open`);
   * }
   * ```
   */
  static holdersOf(ids: readonly number[]): Map<number, LinkHolders> {
    return findHolders(checkIds(ids));
  }

  /**
   * {@linkcode holdersOf} in small pieces, between which the event loop has its turns.
   *
   * @param ids The ids.
   * @param options A signal that ends the search.
   * @returns As {@linkcode holdersOf}.
   * @throws {TypeError} If `ids` is no array of numbers, or an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is no unsigned 32-bit number.
   * @throws The reason of `options.signal` if it is aborted.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * const holders = await Link.holdersOfAsync([link.id], { signal: AbortSignal.timeout(10_000) });
   * console.log(holders.get(link.id)?.holders.length); // 1
   * ```
   */
  static async holdersOfAsync(ids: readonly number[], options?: HoldersOptions): Promise<Map<number, LinkHolders>> {
    return await findHoldersAsync(checkIds(ids), undefined, options);
  }

  static #attached<K extends TargetType>(
    made: MadeLink<K>,
    signal: AbortSignal | undefined,
    onClose: "detach" | "keep" | undefined,
  ): LinkOf<K> {
    const link = new Link(made.fd, made.type, 0, made, onClose);
    if (signal !== undefined) link.#abort = { listener: onAbort(signal, () => link.#endOnAbort()), failure: undefined };
    return link as LinkOf<K>;
  }

  static #openIfThere(id: number): AnyLink | undefined {
    try {
      return Link.#opened(linkGetFdById(id));
    } catch (error) {
      if (error instanceof BpfError && (error.reason === "gone" || error.reason === "unsettled")) return undefined;
      throw error;
    }
  }

  /** A handle for an fd that is surely a link's, and ours. */
  static #opened(fd: number): AnyLink {
    try {
      const info = linkGetInfoByFd(fd), { type, id } = info;
      const attachType = "attachType" in info ? info.attachType as AttachTypeName : undefined;
      return new Link(fd, type, id, { isMade: false, isHere: false, attachType }) as AnyLink;
    } catch (error) {
      closeIfOpen(fd);
      throw error;
    }
  }

  /** The same for the fd of a pin. */
  static #openedAt(fd: number, path: string): AnyLink {
    const link = Link.#adopted(fd, `Cannot open pinned link "${path}"`);
    link.#owned.openedAt(path);
    return link;
  }

  /** The same for an fd that may be something else: info alone would take a map for a link. */
  static #adopted(fd: number, action: string): AnyLink {
    if (keptIf(fd, isLink)) return Link.#opened(fd);
    const hint = "programs and maps have classes of their own";
    throw new BpfError(EINVAL, { action, command: "LINK_UPDATE", reason: "mismatch", meaning: "it is no link", hint });
  }

  /**
   * The id, which the kernel gives once, and never 0. It is asked for when it is first read, and stays readable after
   * {@linkcode close} from then on; read for the first time after it, it throws `Deno.errors.BadResource`. If the kernel
   * refuses to tell, it throws a `BpfError`.
   */
  get id(): number {
    return this.#id ||= linkGetId(this.fd);
  }

  /** The fd, for calls of `@bpf/link/sys`. It is closed with the handle, so keep the handle. */
  get fd(): number {
    return this.#owned.fd;
  }

  /** Whether the handle is closed. */
  get closed(): boolean {
    return this.#owned.closed;
  }

  /** The pin that {@linkcode pin} made last, or {@linkcode openPinned} opened. */
  get pinnedPath(): string | undefined {
    return this.#owned.pinnedPath;
  }

  /** What {@linkcode close} does: detach the link by force before closing it, or only close it. Setting it wins over {@linkcode pin}. */
  get onClose(): "detach" | "keep" {
    return this.#chosen ?? (this.#origin.isMade && !this.#owned.hasPins ? "detach" : "keep");
  }

  set onClose(value: "detach" | "keep") {
    this.#chosen = checkOneOf(value, "onClose", ON_CLOSE);
    this.#followOnClose();
  }

  /** The end of the isolate does what {@linkcode close} would. */
  #followOnClose(): void {
    this.#owned.detachAtEnd(this.onClose === "detach");
  }

  /**
   * Reads what the kernel reports of the link.
   *
   * @typeParam S The type of this handle, which says what the info has.
   * @returns Its info; that of a detached link says so where the kernel can tell.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * const { attachType, programId, attached } = link.info();
   * console.log(attachType, programId === program.id, attached); // sk_lookup true true
   * ```
   */
  info<S extends Link>(this: S): LinkInfo<S["type"]> {
    return readInfo(linkGetInfoByFd(this.fd)) as LinkInfo<S["type"]>;
  }

  /**
   * Narrows the type.
   *
   * @typeParam U The type to ask for.
   * @param type The type to ask for.
   * @returns Whether the link is of this type.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using made = Link.attach(program, { type: "netns" });
   * using link = Link.open(made.id); // of whatever type
   * if (link.is("netns")) console.log(link.info().netnsIno);
   * ```
   */
  is<U extends LinkType>(type: U): this is Link<U> {
    return (this.type as LinkType) === type;
  }

  /**
   * Puts another program into the link, without a moment in which nothing is attached. Id, pins and position stay.
   *
   * Cgroup, netns, xdp, tcx, netkit, sockmap, iter and struct_ops links have it. With `expected` it is a
   * compare-and-swap: of several writers that expect the same program exactly one succeeds (at a netns link two may:
   * the kernel compares before it takes its lock). For a cgroup link the kernel is asked first whether the program
   * fits the attach type, which its update does not look at. A struct_ops link takes another map, never the one that
   * it holds, on which the kernel would crash; without `expected` that takes CAP_SYS_ADMIN.
   *
   * @param source The new program; the new map for struct_ops.
   * @param options `expected`: the program or map that the link must hold.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {Deno.errors.BadResource} If a handle is closed.
   * @throws {BpfError} `mismatch` if the link holds another program than expected, or the new one does not fit; `gone` if
   * the link is detached; `unsupported` if links of this type have no update; `exists` if a tcx hook has the program
   * already.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * using another = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * link.update(another, { expected: program });
   * console.log(link.info().programId === another.id); // true
   * ```
   */
  update(source: Program | BpfMap, options?: { expected?: Program | BpfMap | undefined }): void {
    if (options !== undefined) checkKeys(options, "options", UPDATE_KEYS);
    const { fd, type } = this, { update, holds = "program" } = linkKindOf(type), expected = options?.expected;
    checkHandle(source, holds, "source");
    if (expected !== undefined) checkHandle(expected, holds, "options.expected");
    const action = () => `Cannot update ${this.#describe()}`;
    if (update !== undefined) update(fd, source, expected, action, this.#origin.attachType);
    else updateLink(fd, source.fd, expected?.fd, action);
  }

  /**
   * Whether the link is attached.
   *
   * @returns `undefined` where the kernel cannot tell: netfilter, and every type that cannot be detached by force.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * link.detach();
   * console.log(link.attached(), link.closed); // false false
   * ```
   */
  attached(): boolean | undefined {
    return this.info().attached;
  }

  /**
   * Waits until the link is detached: by force, or because its target is gone. While this handle is open the
   * link cannot end in any other way; to wait without holding the link, use {@linkcode untilGone}.
   *
   * @param options How often to look, and a signal that ends the wait.
   * @returns A promise that is fulfilled at the first look that finds the link detached, and at once when this handle
   * detaches it: by {@linkcode detach}, {@linkcode close} or `AttachOptions.signal`.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the handle is closed, also meanwhile, without having detached the link.
   * @throws {BpfError} `unsupported`, at once, where the kernel cannot tell; see {@linkcode attached}. Or why an earlier
   * detachment by `AttachOptions.signal` failed, once.
   * @throws The reason of `options.signal` if it is aborted.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * setTimeout(() => link.detach(), 10); // or somebody else, by `bpftool link detach`
   * await link.untilDetached({ intervalMs: 10 });
   * console.log(link.attached()); // false
   * ```
   */
  async untilDetached(options?: WaitOptions): Promise<void> {
    this.#throwFailure();
    if (this.attached() === undefined) {
      throw new BpfError(EOPNOTSUPP, {
        action: `Cannot wait for ${this.#describe()}`,
        command: "OBJ_GET_INFO_BY_FD",
        reason: "unsupported",
        meaning: "the kernel does not report whether links of this type are attached",
        hint: "Link.untilGone() waits for the end of a link",
      });
    }
    const waiting = this.#waiting ??= { looks: new Set(), end: undefined };
    await poll(
      () => {
        if (this.closed) this.#throwFailure();
        return waiting.end === undefined ? !this.attached() : waiting.end === "detached";
      },
      options,
      waiting.looks,
    );
  }

  /**
   * Detaches the link by force, whoever else refers to it, and removes the pins that this handle made, as
   * {@linkcode unpin} does. The handle stays open, so the info can still be read. Detaching twice does nothing, except that
   * pins which could not be removed are tried again.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` if links of this type cannot be detached by force; close every fd and remove every
   * pin of them instead.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * link.pin("/sys/fs/bpf/lookup");
   * link.detach(); // and the pin is removed
   * console.log(link.attached(), link.pinnedPath); // false undefined
   * ```
   */
  detach(): void {
    this.#checkDetached(tryDetach(this.fd));
    this.#owned.removePins(this.#id); // a pin that outlives its attachment only misleads
  }

  /**
   * {@linkcode detach} without blocking the event loop. The handle may be closed before the promise is settled.
   *
   * @returns A promise that is settled when the link is detached.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * await using link = await Link.attachAsync(program, { type: "xdp", device: "lo", mode: "generic" });
   * await link.detachAsync();
   * console.log(link.info().ifindex); // 0
   * ```
   */
  async detachAsync(): Promise<void> {
    this.#checkDetached(await tryDetachAndCloseAsync(duplicateFd(this.fd)));
    await this.#owned.removePinsAsync(this.#id);
  }

  #checkDetached(result: number, fd?: number): void {
    this.#look();
    if (result < 0) throw refused(result, LINK_DETACH, `Cannot detach ${this.#describe(fd)}`);
  }

  /**
   * Gives the link a path on a bpf file system, which keeps it attached without any process: "outlive me". From then on
   * {@linkcode close} only closes, unless `onClose` was chosen by hand.
   *
   * Removing the file drops that reference; the kernel detaches the link some milliseconds after the last one is gone.
   *
   * @param path The new file. Its name may have no dot.
   * @param options Whether to make directories that are missing.
   * @throws {TypeError} If `path` is no path, or an option is unknown.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` if the path exists, `invalid` if it lies on no bpf file system or has a dot, `gone` if the
   * directory does not exist.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * {
   *   using link = Link.attach(program, { type: "netns" });
   *   link.pin("/sys/fs/bpf/agent/lookup", { makeDirectories: true });
   * } // closed, not detached
   * using link = Link.openPinned("/sys/fs/bpf/agent/lookup");
   * console.log(link.attached()); // true
   * link.unpin();
   * ```
   */
  pin(path: string | URL, options?: PinOptions): void {
    void this.id; // the pin is removed only while it holds the link of this id, also after close()
    this.#owned.pin(path, options);
    this.#followOnClose();
  }

  /**
   * Removes the pin that {@linkcode pinnedPath} names, if it still holds this link: neither the pin of a successor nor a
   * symbolic link that is there now. Between the look and the removal it holds the lock of the directory, as
   * {@linkcode ensurePinned} does, for which it waits 5 seconds at most. When the last pin made by this handle is removed,
   * {@linkcode onClose} is again what it was before pinning.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed, or knows no pin.
   * @throws {BpfError} `gone` if nothing is there any more, `mismatch` if something else is, `busy` if the lock is held for
   * too long.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * link.pin("/sys/fs/bpf/lookup");
   * console.log(link.onClose); // keep
   * link.unpin();
   * console.log(link.onClose); // detach
   * ```
   */
  unpin(): void {
    this.#owned.unpin(this.id);
    this.#followOnClose();
  }

  /**
   * What keeps the link attached besides this handle: fds of processes, and pins on the bpf file systems that are
   * mounted here. It can be seen by looking at every process, so it is no snapshot and takes milliseconds.
   *
   * Needs no capability, but without CAP_SYS_PTRACE only own processes can be seen, and only pins that may be read and
   * written. Not seen are fds on their way through a socket, and pins in other mount namespaces. `partial` says whether
   * something may be missing: the link's reference count proves that nothing is, if the caller may load an iterator
   * program (CAP_BPF and CAP_PERFMON, Linux 5.19). A call that uses the link at this moment counts as well.
   *
   * @returns The holders, and whether there may be more.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * using second = Link.open(link.id);
   * for (const holder of link.holders().holders) {
   *   if (holder.kind === "process") console.log(holder.pid === Deno.pid, holder.fd === second.fd); // true true
   * }
   * ```
   */
  holders(): LinkHolders {
    const fd = this.fd, id = this.id;
    return findHolders([id], fd).get(id)!;
  }

  /**
   * {@linkcode holders} without blocking the event loop, as {@linkcode holdersOfAsync}. The handle must stay open until
   * the promise is settled.
   *
   * @param options A signal that ends the search.
   * @returns As {@linkcode holders}.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws The reason of `options.signal` if it is aborted.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * using link = Link.attach(program, { type: "netns" });
   * console.log(await link.holdersAsync({ signal: AbortSignal.timeout(10_000) }));
   * ```
   */
  async holdersAsync(options?: HoldersOptions): Promise<LinkHolders> {
    const fd = this.fd, id = this.id;
    return (await findHoldersAsync([id], fd, options)).get(id)!;
  }

  /**
   * Runs the iterator and returns all that its program writes.
   *
   * @returns The output; empty if the program writes nothing.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `invalid` if the link is no iter link; `unsettled` if its program returns 1 without end, which asks
   * to be run again for the same object; `limit` if it writes more than 32 KiB for one object.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * // if (ctx->task) bpf_seq_write(ctx->meta->seq, "one\n", 4)
   * const hex = "79120800000000001502070000000000791100000000000079110000000000007a0af8ff6f6e650a" +
   *   "bfa200000000000007020000f8ffffffb703000004000000850000007f000000b7000000000000009500000000000000";
   * using program = Program.load({
   *   type: "tracing",
   *   instructions: Uint8Array.fromHex(hex),
   *   expectedAttachType: "trace_iter",
   *   attachTo: "task",
   * });
   * using link = Link.attach(program, { type: "iter", task: { tid: Deno.pid } });
   * console.log(new TextDecoder().decode(link.read()).trimEnd()); // one
   * ```
   */
  read(this: Link<"iter">): Uint8Array {
    return iterRead(this.fd);
  }

  /**
   * Runs the iterator and yields what its program writes line by line, without blocking the event loop. The run goes on
   * with the program it was started with, also if the link is updated or closed meanwhile.
   *
   * @param options A signal that ends the run, at the latest when the kernel has filled 64 KiB or walked a million objects.
   * @returns The lines, without their line feeds; the run is started when the first is asked for.
   * @throws {Deno.errors.BadResource} If the handle is closed when the first line is asked for.
   * @throws {TypeError} If an option is unknown or of the wrong type, when the first line is asked for.
   * @throws {BpfError} As {@linkcode read}.
   * @throws The signal's reason, once it is aborted.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * // if (ctx->task) bpf_seq_write(ctx->meta->seq, "one\n", 4)
   * const hex = "79120800000000001502070000000000791100000000000079110000000000007a0af8ff6f6e650a" +
   *   "bfa200000000000007020000f8ffffffb703000004000000850000007f000000b7000000000000009500000000000000";
   * using program = Program.load({
   *   type: "tracing",
   *   instructions: Uint8Array.fromHex(hex),
   *   expectedAttachType: "trace_iter",
   *   attachTo: "task",
   * });
   * using link = Link.attach(program, { type: "iter", task: { tid: Deno.pid } });
   * for await (const line of link.lines()) console.log(line); // one
   * ```
   */
  async *lines(
    this: Link<"iter">,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<string, void, void> {
    checkKeys(options, "options", ["signal"]);
    const { signal } = options;
    checkSignal(signal, "options.signal");
    signal?.throwIfAborted();
    const fd = iterCreate(this.fd);
    try {
      for await (const line of readLines(fd, signal)) {
        signal?.throwIfAborted();
        yield line;
      }
    } finally {
      closeIfOpen(fd);
    }
  }

  /**
   * Gives the fd away: the handle is closed without ending the link, and the caller must close the fd.
   *
   * @returns The fd.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   * import { close, linkGetInfoByFd } from "@bpf/link/sys";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * const fd = Link.attach(program, { type: "netns" }).release();
   * console.log(linkGetInfoByFd(fd).type); // netns
   * close(fd); // the only fd of it: it is detached
   * ```
   */
  release(): number {
    return this.#leave();
  }

  /**
   * Ends the handle as {@linkcode onClose} says; twice does nothing.
   *
   * @throws {BpfError} If detaching fails; the fd is closed all the same. So does a failure of an earlier detachment by
   * `AttachOptions.signal`, once.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
   * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
   * const link = Link.attach(program, { type: "netns" });
   * try {
   *   console.log(link.closed); // false
   * } finally {
   *   link.close(); // what `using` does
   * }
   * console.log(link.closed); // true
   * ```
   */
  close(): void {
    if (this.closed) return this.#throwFailure();
    const keeps = this.onClose === "keep", fd = this.#leave();
    if (keeps) return close(fd);
    if (undetachable[this.type]) closeIfOpen(fd);
    else this.#detachAndClose(fd);
    if (this.#owned.hasPins) this.#owned.removePins(this.#id);
  }

  /**
   * {@linkcode close} without blocking the event loop. The handle counts as closed at once.
   *
   * @returns A promise that is settled when the link is detached and the fd closed.
   *
   * @example
   * ```ts
   * import { Link, Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * const link = await Link.attachAsync(program, { type: "xdp", device: "lo", mode: "generic" });
   * await link.closeAsync();
   * console.log(link.closed); // true
   * ```
   */
  async closeAsync(): Promise<void> {
    if (this.closed) return this.#throwFailure();
    const keeps = this.onClose === "keep", fd = this.#leave();
    if (keeps) return await closeAsync(fd);
    if (this.#waiting !== undefined) this.#waiting.end = "detaching"; // before the first await, and so the next look
    this.#settleEnd(await tryDetachAndCloseAsync(fd));
    await this.#owned.removePinsAsync(this.#id);
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@linkcode closeAsync}, at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.closeAsync();
  }

  #detachAndClose(fd: number): void {
    const result = tryDetachAndClose(fd);
    try {
      this.#settleEnd(result, fd);
    } finally {
      if (result < 0) closeIfOpen(fd);
    }
  }

  /** What a detachment at the end gave, `fd` if it is open. That a type has none is no failure: closing is all there is. */
  #settleEnd(result: number, fd?: number): void {
    if (this.#waiting !== undefined) this.#waiting.end = result < 0 ? undefined : "detached";
    if (result === -EOPNOTSUPP) {
      undetachable[this.type] = true;
      result = 0;
    }
    this.#checkDetached(result, fd);
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns The info as {@linkcode toJson} has it; of a closed handle what it still knows, with `closed: true`.
   * @throws {BpfError} If the kernel refuses to tell.
   */
  toJSON(): Record<string, unknown> {
    if (!this.closed) return toJson(readInfo(linkGetInfoByFd(this.fd)));
    return { type: this.type, ...this.#id === 0 ? {} : { id: this.#id }, closed: true };
  }

  /** Marks the handle closed and returns the fd. */
  #leave(): number {
    const fd = this.#owned.release();
    this.#abort?.listener?.[Symbol.dispose]();
    this.#look();
    return fd;
  }

  /** Lets those who wait in {@linkcode untilDetached} look now. */
  #look(): void {
    this.#waiting?.looks.forEach((look) => look());
  }

  #endOnAbort(): void {
    try {
      this.onClose = "detach";
      this.close();
    } catch (error) {
      this.#abort!.failure = { error };
    }
  }

  #throwFailure(): void {
    const abort = this.#abort, failure = abort?.failure;
    if (abort === undefined || failure === undefined) return;
    abort.failure = undefined;
    throw failure.error;
  }

  /** The link in an error's words: `link 7 (xdp on "eth0")`. Asks the kernel if its fd is open. */
  #describe(fd = this.closed ? undefined : this.fd): string {
    const where = fd === undefined ? "" : placeOf(fd, this.#origin.isHere);
    if (fd !== undefined) this.#id ||= unlessRefused(() => linkGetId(fd)) ?? 0;
    return `link ${this.#numbered(where)}`;
  }

  /** Id, if it is known, and type. */
  #numbered(more: string): string {
    return `${this.#id === 0 ? "" : `${this.#id} `}(${this.type}${more})`;
  }

  static {
    brand("link", Link, (value) => #owned in value, (link) => {
      const shown = link.closed
        ? link.#numbered(", closed")
        : Deno.inspect(link.toJSON(), { breakLength: Infinity, compact: true });
      return `Link ${shown}`;
    });
    adoptLink = (fd, type, { signal, onClose }) => {
      const made = { fd, type, isMade: true, isHere: true, attachType: undefined };
      return Link.#attached(made as MadeLink<TargetType>, signal, onClose) as Link<typeof type>;
    };
  }
}

/** A signal that ends a link. */
interface Abort {
  readonly listener: Disposable | undefined;
  /** Why the link could not be detached, for the next close. */
  failure: { readonly error: unknown } | undefined;
}

/** Those who wait until a link is detached. */
interface Waiting {
  /** Their looks, to be taken at once. */
  readonly looks: Set<() => void>;
  /** What closing has done. */
  end: "detaching" | "detached" | undefined;
}

function checkIds(ids: readonly number[]): number[] {
  if (!Array.isArray(ids)) throw new TypeError(`ids must be an array, not ${kindOf(ids)}`);
  return ids.map((id, i) => checkU32(id, `ids[${i}]`));
}

/** Options of the right types. */
export const NO_OPTIONS: AttachOptions = {};

export function checkOptions(options: AttachOptions | undefined): AttachOptions {
  if (options === undefined) return NO_OPTIONS;
  checkKeys(options, "options", ["signal", "onClose"]);
  checkSignal(options.signal, "options.signal");
  if (options.onClose !== undefined) checkOneOf(options.onClose, "options.onClose", ON_CLOSE);
  return options;
}
