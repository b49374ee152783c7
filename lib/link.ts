/** The class that this package is about. */
import { BpfError } from "./error.ts";
import { closeForgotten, remembered, reportForgotten, track, untrack } from "./handles.ts";
import { showAs } from "./inspect.ts";
import type { Attachment } from "./kind/attachment.ts";
import {
  type AttachTargets,
  kindFor,
  type LinkInfo,
  type LinkTypeOf,
  readInfo,
  type SourceOf,
  type TargetType,
  toJson,
} from "./kind/mod.ts";
import { checkListOptions, checkSignal, type LinkListing, type ListOptions, SyscallListing } from "./links.ts";
import { pin, unpin } from "./pin.ts";
import { Program } from "./program.ts";
import { checkFd, checkKeys, checkOneOf, checkPath, checkU32, kindOf } from "./sys/check.ts";
import { iterCreate } from "./sys/iter.ts";
import {
  detachError,
  isLink,
  linkGetFdById,
  linkGetNextId,
  linkUpdate,
  tryDetach,
  tryDetachAndCloseAsync,
} from "./sys/link.ts";
import { linkCreate, linkCreateAsync, programFits } from "./sys/link_create.ts";
import { linkGetId, linkGetInfoByFd } from "./sys/link_info.ts";
import { objGet } from "./sys/object.ts";
import { rawTracepointOpen, rawTracepointOpenAsync } from "./sys/raw_tracepoint.ts";
import { close, closeAsync, closeIfOpen, duplicateFd, interfaceName, read, readAsync } from "./sys/system.ts";
import type { LinkType } from "./uapi/types.ts";

/** A link of some type: `switch (link.type)` narrows it. */
export type AnyLink = { [K in LinkType]: Link<K> }[LinkType];

/** What the end of a link's scope does, and what ends it early. */
export interface AttachOptions {
  /** Ends the link when it is aborted: detaches and closes it, whatever `onClose` says. */
  signal?: AbortSignal | undefined;
  /** What {@linkcode Link.close} does; `"detach"` if absent. If given, it wins over what {@linkcode Link.pin} would choose. */
  onClose?: "detach" | "keep" | undefined;
}

const ON_CLOSE = ["detach", "keep"] as const;
const EOPNOTSUPP = 95;

/** Types whose LINK_DETACH gave EOPNOTSUPP: it would give it again. */
const undetachable = new Set<LinkType>();

/**
 * A tie between a program and a place in the kernel, as a value with a scope.
 *
 * **What the end of a scope does.** `close()`, `using` and `await using` do the same, and follow {@linkcode onClose}:
 *
 * - A link that this handle made ({@linkcode attach}) is detached by force, then closed: it is gone even if a child
 *   process, a duplicate or somebody's pin still refers to it. Types without forced detachment (iter, raw_tracepoint)
 *   are closed, which ends them if nobody else refers to them.
 * - A link that it opened ({@linkcode open}, {@linkcode openPinned}, {@linkcode fromFd}, {@linkcode all}) is only closed:
 *   looking at somebody's link never ends it. But while it is open it stays attached, even if its owner closes it.
 * - {@linkcode pin} means "outlive me": from then on the link is only closed, unless `onClose` was chosen by hand.
 *
 * If detaching at the end fails, the fd is closed all the same and the error is thrown (within a SuppressedError if the
 * body of the scope threw too). Closing twice does nothing. On a closed handle `id`, `type`, `closed`, `pinnedPath` and
 * `onClose` stay readable; everything else throws `Deno.errors.BadResource`.
 *
 * **What it cannot guarantee.** A made link whose variable is lost without being closed stays attached until the process
 * ends: it must not come loose by garbage collection. {@linkcode traceLeaks} finds such places. `Deno.exit()`, an
 * unhandled rejection and a signal end the process without ending scopes; the kernel then closes its fds, so links that
 * are not pinned are detached too.
 *
 * **Synchronous by default.** A link call takes microseconds, and `using` wants it so; this is the reverse of Deno's
 * `x` and `xSync`. Only xdp and tcx wait milliseconds for the kernel: for them there are {@linkcode attachAsync},
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
   * made, and {@linkcode openHandles} tells it too. Costs some microseconds a link.
   */
  static traceLeaks = false;

  #fd: number;
  #id: number; // 0: not asked for yet
  #onClose: "detach" | "keep";
  readonly #made: boolean;
  #chosen: boolean; // onClose was given, or set by hand
  #registered = false; // with the garbage collector
  #pinnedPath: string | undefined;
  #pinnedHere = false;
  #stopListening: (() => void) | undefined;
  #failure: { error: unknown } | undefined; // of a detachment on abort, for the next close
  /** The type of the link. It stays readable after {@linkcode close}. */
  readonly type: T;

  private constructor(fd: number, type: T, id: number, made: boolean, onClose: "detach" | "keep" | undefined) {
    this.#fd = fd;
    this.#id = id;
    this.type = type;
    this.#made = made;
    this.#chosen = onClose !== undefined;
    this.#onClose = onClose ?? (made ? "detach" : "keep");
    track("link", fd);
    if (made && !Link.traceLeaks) return;
    this.#registered = true;
    if (made) reportForgotten(this, "link", fd);
    else closeForgotten(this, "link", fd);
  }

  /**
   * Attaches a program.
   *
   * @typeParam K The kind of target.
   * @param source The program.
   * @param target Where to; its `type` says which fields it has.
   * @param options What the end of the scope does, and a signal that ends the link early.
   * @returns The link, to be held with `using`.
   * @throws {TypeError} If a field is unknown, missing or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the program's handle is closed.
   * @throws {BpfError} If the kernel refuses; `reason`, `code` and `hint` say why.
   * @throws The reason of `options.signal` if it is aborted already; nothing is attached then.
   */
  static attach<K extends TargetType>(
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: AttachOptions,
  ): Link<LinkTypeOf<K>> {
    const kind = kindFor<K>(target), sourceFd = fdOf(source), { signal, onClose } = checkOptions(options);
    signal?.throwIfAborted();
    const attachment = kind.prepare(source, target);
    let fd: number;
    try {
      fd = "rawTracepoint" in attachment
        ? rawTracepointOpen(attachment.rawTracepoint, sourceFd, attachment.cookie)
        : linkCreate(sourceFd, attachment.targetFd, attachment.attachType, attachment.options);
    } catch (error) {
      throw rename(error, `Cannot attach program ${source.id} to ${kind.describe(target)}`);
    } finally {
      closeTemporary(attachment);
    }
    const link = new Link(fd, kind.linkType, 0, true, onClose);
    if (signal !== undefined) link.#endOn(signal);
    return link;
  }

  /**
   * {@linkcode attach} without blocking the event loop: for xdp and tcx, which wait milliseconds for the kernel.
   *
   * The program's handle may be closed before the promise is settled.
   *
   * @typeParam K The kind of target.
   * @param source As {@linkcode attach}.
   * @param target As {@linkcode attach}.
   * @param options As {@linkcode attach}. If the signal is aborted meanwhile, the promise rejects with its reason and
   * nothing is left.
   * @returns The link, to be held with `await using`.
   */
  static async attachAsync<K extends TargetType>(
    source: SourceOf<K>,
    target: AttachTargets[K] & { type: K },
    options?: AttachOptions,
  ): Promise<Link<LinkTypeOf<K>>> {
    const kind = kindFor<K>(target), sourceFd = fdOf(source), { signal, onClose } = checkOptions(options);
    signal?.throwIfAborted();
    const attachment = kind.prepare(source, target);
    let fd: number;
    try {
      fd = "rawTracepoint" in attachment
        ? await rawTracepointOpenAsync(attachment.rawTracepoint, sourceFd, attachment.cookie)
        : await linkCreateAsync(sourceFd, attachment.targetFd, attachment.attachType, attachment.options);
    } catch (error) {
      throw rename(error, `Cannot attach program ${source.id} to ${kind.describe(target)}`);
    } finally {
      closeTemporary(attachment);
    }
    if (signal?.aborted) {
      await tryDetachAndCloseAsync(fd);
      throw signal.reason;
    }
    const link = new Link(fd, kind.linkType, 0, true, onClose);
    if (signal !== undefined) link.#endOn(signal);
    return link;
  }

  /**
   * Opens a link by its id, to look at it: closing the handle does not end the link. Needs CAP_SYS_ADMIN.
   *
   * @param id The id.
   * @returns A handle of it.
   * @throws {RangeError} If `id` is no unsigned 32-bit number.
   * @throws {BpfError} `gone` if there is no such link, `unsettled` if it is just being made, `capability` without
   * CAP_SYS_ADMIN.
   */
  static open(id: number): AnyLink {
    return Link.#opened(linkGetFdById(checkU32(id, "id")));
  }

  /**
   * Opens the link that is pinned at `path`. Needs no capability, only permission on the file.
   *
   * @param path The pin, on a bpf file system.
   * @returns A handle of it, which {@linkcode unpin} can take away.
   * @throws {TypeError} If `path` is no path.
   * @throws {BpfError} `gone` if nothing is there, `mismatch` if something else than a link is pinned there.
   */
  static openPinned(path: string | URL): AnyLink {
    const file = checkPath(path, "path");
    const link = Link.#adopted(objGet(file), `Cannot open pinned link "${file}"`);
    link.#pinnedPath = file;
    return link;
  }

  /**
   * Makes a handle for an fd that somebody else owns. It is duplicated, so the caller keeps and closes their own.
   *
   * @param fd An fd of a link.
   * @returns A handle of it.
   * @throws {RangeError} If `fd` is no fd.
   * @throws {BpfError} `invalid` if `fd` is not open, `mismatch` if it is no link.
   */
  static fromFd(fd: number): AnyLink {
    return Link.#adopted(duplicateFd(checkFd(fd, "fd")), `Cannot take fd ${fd} for a link`);
  }

  /**
   * Opens every link of the machine, one after the other. Needs CAP_SYS_ADMIN.
   *
   * Links that end on the way are left out. The handles are the caller's: `for await (using link of Link.all())` closes
   * each at the end of its turn, and leaving the loop early leaves nothing open.
   *
   * @param options Which types, and a signal that ends the walk.
   * @returns The links in the order of their ids.
   * @throws {BpfError} `capability` without CAP_SYS_ADMIN, `limit` if the process has too many open files.
   */
  static async *all(options: ListOptions = {}): AsyncGenerator<AnyLink, void, void> {
    checkListOptions(options);
    const { types, signal } = options;
    for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) {
      signal?.throwIfAborted();
      const link = Link.#openIfThere(id);
      if (link === undefined) continue;
      if (types === undefined || types.includes(link.type)) yield link;
      else link.close();
    }
  }

  /**
   * The infos of every link of the machine. Needs CAP_SYS_ADMIN.
   *
   * It is no snapshot: links that are made or end meanwhile may be in it or not. Nothing is held between two steps.
   *
   * @param options Which types, and a signal that ends the listing.
   * @returns The infos in the order of their ids, to be iterated once.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   */
  static infos(options: ListOptions = {}): LinkListing {
    checkListOptions(options);
    return new SyscallListing(options);
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
      const { type, id } = linkGetInfoByFd(fd);
      return new Link(fd, type, id, false, undefined) as AnyLink;
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** The same for an fd that may be something else: info alone would take a map for a link. */
  static #adopted(fd: number, action: string): AnyLink {
    if (isLink(fd)) return Link.#opened(fd);
    close(fd);
    const hint = "programs and maps have classes of their own";
    throw new BpfError(22, { action, command: "LINK_UPDATE", reason: "mismatch", meaning: "it is no link", hint });
  }

  /** The id, which the kernel gives once. It stays readable after {@linkcode close}. */
  get id(): number {
    if (this.#id === 0) this.#id = linkGetId(this.#fd) ?? 0;
    return this.#id;
  }

  /** The fd, for calls of `@bpf/link/sys`. It is closed with the handle, so keep the handle. */
  get fd(): number {
    if (this.#fd < 0) throw new Deno.errors.BadResource(`Cannot use link ${this.#id} (${this.type}): it is closed`);
    return this.#fd;
  }

  /** Whether the handle is closed. */
  get closed(): boolean {
    return this.#fd < 0;
  }

  /** The pin that {@linkcode pin} made or {@linkcode openPinned} opened. */
  get pinnedPath(): string | undefined {
    return this.#pinnedPath;
  }

  /** What {@linkcode close} does: detach the link by force before closing it, or only close it. Setting it wins over {@linkcode pin}. */
  get onClose(): "detach" | "keep" {
    return this.#onClose;
  }

  set onClose(value: "detach" | "keep") {
    this.#onClose = checkOneOf(value, "onClose", ON_CLOSE);
    this.#chosen = true;
  }

  /**
   * Reads what the kernel tells of the link.
   *
   * @returns Its info; that of a detached link says so where the kernel can tell.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   */
  info(): LinkInfo<T> {
    return readInfo(linkGetInfoByFd(this.fd)) as LinkInfo<T>;
  }

  /**
   * Narrows the type.
   *
   * @typeParam U The type to ask for.
   * @param type The type to ask for.
   * @returns Whether the link is of this type.
   */
  is<U extends LinkType>(type: U): this is Link<U> {
    return (this.type as LinkType) === type;
  }

  /**
   * Puts another program into the link, without a moment in which nothing is attached. Id, pins and position stay.
   *
   * Cgroup, netns, xdp, tcx and iter links have it. With `expected` it is a compare-and-swap: of several writers that
   * expect the same program exactly one succeeds. For a cgroup link the kernel is asked first whether the program fits
   * the attach type, which its update does not look at.
   *
   * @param source The new program.
   * @param options `expected`: the program that the link must hold.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {Deno.errors.BadResource} If a handle is closed.
   * @throws {BpfError} `mismatch` if the link holds another program than expected, or the new one does not fit; `gone` if
   * the link is detached; `unsupported` if links of this type have no update; `exists` if a tcx hook has the program
   * already.
   */
  update(source: Program, options?: { expected?: Program | undefined }): void {
    const fd = this.fd, newProgFd = fdOf(source);
    let expected: Program | undefined;
    if (options !== undefined) {
      checkKeys(options, "options", ["expected"]);
      expected = options.expected;
    }
    if (this.type === "cgroup") this.#checkFit(source);
    try {
      linkUpdate(fd, newProgFd, expected === undefined ? undefined : { oldProgFd: fdOf(expected, "options.expected") });
    } catch (error) {
      throw rename(
        expected === undefined ? error : this.#raceOrPolicy(error, expected),
        `Cannot update ${this.#describe()}`,
      );
    }
  }

  #checkFit(source: Program): void {
    const info = linkGetInfoByFd(this.#fd);
    if (info.type !== "cgroup" || info.cgroupId === 0n || programFits(source.fd, info.attachType)) return;
    throw new BpfError(22, {
      action: `Cannot update ${this.#describe()}`,
      command: "LINK_UPDATE",
      reason: "mismatch",
      meaning: `program ${source.id} (${source.type}) does not fit the attach type ${info.attachType}`,
      hint: "load it for this attach type; the kernel would run it all the same",
    });
  }

  /** EPERM is a lost race, unless the link still holds what was expected. */
  #raceOrPolicy(error: unknown, expected: Program): unknown {
    if (
      !(error instanceof BpfError && error.reason === "mismatch") || linkGetInfoByFd(this.#fd).progId !== expected.id
    ) return error;
    const meaning = "a security module or seccomp refuses it, for the link holds the expected program";
    return new BpfError(error.errno, { action: "", command: error.command, reason: "policy", meaning, cause: error });
  }

  /**
   * Whether the link is attached.
   *
   * @returns `undefined` where the kernel cannot tell: iter, raw_tracepoint.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   */
  attached(): boolean | undefined {
    return this.info().attached;
  }

  /**
   * Detaches the link by force, whoever else refers to it, and removes the pin that this handle made. The handle stays
   * open, so the info can still be read. Detaching twice does nothing.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` if links of this type cannot be detached by force; close every fd and remove every
   * pin of them instead.
   */
  detach(): void {
    this.#settleDetach(tryDetach(this.fd));
  }

  /**
   * {@linkcode detach} without blocking the event loop. The handle may be closed before the promise is settled.
   *
   * @returns A promise that is settled when the link is detached.
   */
  async detachAsync(): Promise<void> {
    this.#settleDetach(await tryDetachAndCloseAsync(duplicateFd(this.fd)));
  }

  #settleDetach(result: number): void {
    if (result < 0) throw rename(detachError(this.#fd, -result), `Cannot detach ${this.#describe()}`);
    this.#removeOwnPin();
  }

  /** A pin that outlives its attachment only misleads. */
  #removeOwnPin(): void {
    if (!this.#pinnedHere) return;
    this.#pinnedHere = false;
    const path = this.#pinnedPath!;
    this.#pinnedPath = undefined;
    try {
      unpin(path, `link ${this.id}`, (fd) => this.#isSame(fd));
    } catch (error) {
      if (!(error instanceof BpfError && (error.reason === "gone" || error.reason === "mismatch"))) throw error;
    }
  }

  #isSame(fd: number): boolean {
    return isLink(fd) && linkGetId(fd) === this.id;
  }

  /**
   * Gives the link a path on a bpf file system, which keeps it attached without any process: "outlive me". From then on
   * {@linkcode close} only closes, unless `onClose` was chosen by hand.
   *
   * Removing the file drops that reference; the kernel detaches the link some milliseconds after the last one is gone.
   *
   * @param path The new file. Its name may have no dot.
   * @throws {TypeError} If `path` is no path.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` if the path exists, `invalid` if it lies on no bpf file system or has a dot, `gone` if the
   * directory does not exist.
   */
  pin(path: string | URL): void {
    this.#pinnedPath = pin(this.fd, path);
    this.#pinnedHere = true;
    if (!this.#chosen) this.#onClose = "keep";
  }

  /**
   * Removes the pin that {@linkcode pin} made or {@linkcode openPinned} opened, if it still holds this link, and takes
   * back what pinning chose for {@linkcode onClose}.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed, or knows no pin.
   * @throws {BpfError} `gone` if nothing is there any more, `mismatch` if something else is.
   */
  unpin(): void {
    void this.fd; // throws if the handle is closed
    const path = this.#pinnedPath;
    if (path === undefined) {
      throw new Deno.errors.BadResource(`Cannot unpin ${this.#describe()}: this handle knows no pin of it`);
    }
    unpin(path, `link ${this.id}`, (fd) => this.#isSame(fd));
    this.#pinnedPath = undefined;
    this.#pinnedHere = false;
    if (this.#made && !this.#chosen) this.#onClose = "detach";
  }

  /**
   * Runs the iterator and returns all that its program writes.
   *
   * @returns The output; empty if the program writes nothing.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `invalid` if the link is no iter link; whatever reading gives if the program fails.
   */
  read(this: Link<"iter">): Uint8Array {
    const fd = iterCreate(this.fd);
    try {
      const pieces: Uint8Array[] = [];
      for (let piece; (piece = read(fd)).length > 0;) pieces.push(piece);
      const output = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let at = 0;
      for (const piece of pieces) {
        output.set(piece, at);
        at += piece.length;
      }
      return output;
    } finally {
      close(fd);
    }
  }

  /**
   * Runs the iterator and yields what its program writes line by line, without blocking the event loop. The run goes on
   * with the program it was started with, also if the link is updated or closed meanwhile.
   *
   * @returns The lines, without their line feeds; the run is started when the first is asked for.
   * @throws {Deno.errors.BadResource} If the handle is closed when the first line is asked for.
   * @throws {BpfError} As {@linkcode read}.
   */
  async *lines(this: Link<"iter">): AsyncGenerator<string, void, void> {
    const fd = iterCreate(this.fd);
    try {
      const decoder = new TextDecoder();
      let rest = "";
      for (let piece; (piece = await readAsync(fd)).length > 0;) {
        const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
        rest = lines.pop()!;
        yield* lines;
      }
      rest += decoder.decode();
      if (rest !== "") yield rest;
    } finally {
      close(fd);
    }
  }

  /**
   * Gives the fd away: the handle is closed without ending the link, and the caller must close the fd.
   *
   * @returns The fd.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   */
  release(): number {
    void this.fd; // throws if the handle is closed
    return this.#leave();
  }

  /**
   * Ends the handle as {@linkcode onClose} says; twice does nothing.
   *
   * @throws {BpfError} If detaching fails; the fd is closed all the same. So does a failure of an earlier detachment by
   * `AttachOptions.signal`, once.
   */
  close(): void {
    if (this.#fd < 0) return this.#throwFailure();
    const fd = this.#leave();
    if (this.#onClose === "keep") return close(fd);
    try {
      this.#settleEnd(undetachable.has(this.type) ? 0 : tryDetach(fd));
    } finally {
      closeIfOpen(fd);
    }
  }

  /**
   * {@linkcode close} without blocking the event loop. The handle counts as closed at once.
   *
   * @returns A promise that is settled when the link is detached and the fd closed.
   */
  async closeAsync(): Promise<void> {
    if (this.#fd < 0) return this.#throwFailure();
    const fd = this.#leave();
    if (this.#onClose === "keep") return await closeAsync(fd);
    this.#settleEnd(await tryDetachAndCloseAsync(fd));
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@linkcode closeAsync}, at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.closeAsync();
  }

  /** What a detachment at the end gave. That a type has none is no failure: closing is all there is then. */
  #settleEnd(result: number): void {
    if (result === -EOPNOTSUPP) undetachable.add(this.type);
    else if (result < 0) throw rename(detachError(-1, -result), `Cannot detach ${this.#describe()}`);
    this.#removeOwnPin();
  }

  /** Marks the handle closed and returns the fd. */
  #leave(): number {
    const fd = this.#fd;
    if (this.#id === 0) this.#id = linkGetId(fd) ?? 0; // it stays readable
    this.#fd = -1;
    untrack(fd);
    if (this.#registered) remembered(this);
    this.#stopListening?.();
    return fd;
  }

  #endOn(signal: AbortSignal): void {
    const end = () => {
      try {
        this.#onClose = "detach";
        this.close();
      } catch (error) {
        this.#failure = { error };
      }
    };
    signal.addEventListener("abort", end, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", end);
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  /** The link in an error's words: `link 7 (xdp on "eth0")`. */
  #describe(): string {
    const where = this.#fd < 0 ? "" : place(this.#fd);
    return `link ${this.id} (${this.type}${where})`;
  }

  static {
    showAs(
      Link,
      (link) =>
        `Link ${
          link.#fd < 0
            ? `${link.#id} (${link.type}, closed)`
            : Deno.inspect(toJson(link.info()), { breakLength: Infinity, compact: true })
        }`,
    );
  }
}

/** Where a link is attached, if that has a name. */
function place(fd: number): string {
  try {
    const info = linkGetInfoByFd(fd);
    if (info.type === "xdp" || info.type === "tcx") {
      return info.ifindex === 0 ? ", detached" : ` on "${interfaceName(info.ifindex) ?? info.ifindex}"`;
    }
    return "attachType" in info ? `, ${info.attachType}` : "";
  } catch {
    return ""; // it is only for a message about another error
  }
}

/** The same error, with a better beginning. */
function rename(error: unknown, action: string): unknown {
  if (!(error instanceof BpfError)) return error;
  const { errno, command, reason, hint, log } = error;
  const meaning = error.message.slice(error.message.indexOf(": ") + 2, error.message.lastIndexOf(" ("));
  return new BpfError(errno, { action, command, reason, meaning, hint, log, cause: error.cause });
}

function fdOf(source: unknown, name = "source"): number {
  if (source instanceof Program) return source.fd;
  throw new TypeError(`${name} must be a Program, not ${kindOf(source)}`);
}

function checkOptions(options: AttachOptions | undefined): AttachOptions {
  if (options === undefined) return {};
  checkKeys(options, "options", ["signal", "onClose"]);
  checkSignal(options.signal, "options.signal");
  if (options.onClose !== undefined) checkOneOf(options.onClose, "options.onClose", ON_CLOSE);
  return options;
}

function closeTemporary({ temporary }: Attachment): void {
  if (temporary !== undefined) { for (const fd of temporary) close(fd); }
}
