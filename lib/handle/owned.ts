/** An fd with a scope: what links, programs and maps do alike. */
import { checkFlag, checkKeys, checkPath } from "../check.ts";
import { BpfError } from "../error.ts";
import { tryUnpin } from "../ffi/pin.ts";
import { absolutePath, close, closeIfOpen } from "../os/files.ts";
import { EEXIST, ENOENT } from "../uapi/errno.ts";
import type { HandleKind } from "./brand.ts";
import { closeForgotten, detachAtEnd, isEnded, remembered, reportForgotten, track, untrack } from "./open_handles.ts";
import { LOCK_WAIT_MS, pinAt, PinPlace } from "./pin_place.ts";

/** What happens to an fd whose handle is forgotten. */
export type Forgotten = "closed" | "reported" | "left open";

/** How to pin. */
export interface PinOptions {
  /** Whether directories of the path that are missing on the bpf file system are made, for this user alone (mode 700). */
  makeDirectories?: boolean | undefined;
}

/** What a class of handles says of them. */
export interface HandleClass<T> {
  readonly kind: HandleKind;
  /** The object in an error's words; it may not ask the kernel. */
  name(handle: T): string;
  /** Whether another fd is of the same object. */
  isSame(handle: T, fd: number): boolean;
}

/** The fd of a handle, with the pins that the handle knows. */
export class OwnedFd<T> {
  #fd: number;
  #openedPath: string | undefined; // the pin that it was opened from
  #pins: string[] | undefined; // made by this handle, and not removed by it
  readonly #isRegistered: boolean; // with the garbage collector
  readonly #class: HandleClass<T>;
  readonly #handle: T;

  constructor(kind: HandleClass<T>, handle: T, fd: number, forgotten: Forgotten) {
    this.#fd = fd;
    this.#class = kind;
    this.#handle = handle;
    this.#isRegistered = forgotten !== "left open";
    track(kind.kind, fd);
    if (forgotten !== "left open") (forgotten === "closed" ? closeForgotten : reportForgotten)(this, kind.kind, fd);
  }

  get #name(): string {
    return this.#class.name(this.#handle);
  }

  /** The fd, if the handle is not closed. */
  get fd(): number {
    if (this.closed) this.#throwClosed();
    return this.#fd;
  }

  #throwClosed(): never {
    throw new Deno.errors.BadResource(`Cannot use ${this.#name}: it is closed`);
  }

  get closed(): boolean {
    return this.#fd < 0 || isEnded(this.#fd);
  }

  /** Says whether the end of the isolate is to detach it by force; see {@linkcode detachAtEnd}. */
  detachAtEnd(detaches: boolean): void {
    if (!this.closed) detachAtEnd(this.#fd, detaches);
  }

  /** The pin that the handle made last, or was opened from. */
  get pinnedPath(): string | undefined {
    return this.#pins?.at(-1) ?? this.#openedPath;
  }

  /** Whether the handle made pins that are still there, as far as it knows. */
  get hasPins(): boolean {
    return this.#pins !== undefined && this.#pins.length > 0;
  }

  /** Remembers the pin that it was opened from. */
  openedAt(path: string): void {
    this.#openedPath = absolutePath(path);
  }

  pin(path: string | URL, options?: PinOptions): void {
    const fd = this.fd, file = absolutePath(checkPath(path, "path"));
    if (options !== undefined) checkKeys(options, "options", ["makeDirectories"]);
    pinAt(fd, file, checkFlag(options?.makeDirectories, "options.makeDirectories"));
    (this.#pins ??= []).push(file);
  }

  /** Removes the pin that {@linkcode pinnedPath} names, if it still holds the object; `linkId` is the id of a link. */
  unpin(linkId?: number): void {
    void this.fd; // throws if it is closed
    const path = this.pinnedPath;
    if (path === undefined) {
      throw new Deno.errors.BadResource(`Cannot unpin ${this.#name}: this handle knows no pin of it`);
    }
    this.#removeAt(path, linkId, LOCK_WAIT_MS);
    if (this.#pins?.pop() === undefined) this.#openedPath = undefined;
  }

  #removeAt(path: string, linkId: number | undefined, waitMs: number): void {
    if (linkId !== undefined && tryUnpin(linkId, path)) return;
    using place = PinPlace.enter(path, waitMs);
    this.#remove(place);
  }

  /**
   * Removes all pins that the handle made and that still hold the object, whose id is `linkId` if it is a link. It
   * remembers those that it could not remove, and throws why.
   */
  removePins(linkId?: number): void {
    if (this.#pins === undefined) return;
    const failures: unknown[] = [], waitMs = waitFor(LOCK_WAIT_MS);
    for (const path of this.#pins.splice(0)) {
      try {
        this.#removeAt(path, linkId, waitMs());
      } catch (error) {
        this.#notRemoved(path, error, failures);
      }
    }
    throwAll(failures);
  }

  /** The same without blocking the event loop. */
  async removePinsAsync(linkId?: number): Promise<void> {
    if (this.#pins === undefined) return;
    const failures: unknown[] = [], waitMs = waitFor(LOCK_WAIT_MS);
    for (const path of this.#pins.splice(0)) {
      try {
        if (linkId !== undefined && tryUnpin(linkId, path)) continue;
        using place = await PinPlace.enterAsync(path, waitMs());
        this.#remove(place);
      } catch (error) {
        this.#notRemoved(path, error, failures);
      }
    }
    throwAll(failures);
  }

  /** A pin that is gone, or somebody else's by now, is none of ours. */
  #notRemoved(path: string, error: unknown, failures: unknown[]): void {
    if (error instanceof BpfError && (GONE.includes(error.reason) || error.code === "EISDIR")) return;
    this.#pins!.push(path);
    failures.push(error);
  }

  #remove(place: PinPlace): void {
    const found = place.find(), action = `Cannot unpin ${this.#name}`;
    if (found === undefined) {
      const meaning = `nothing is pinned at "${place.path}" any more`;
      throw new BpfError(ENOENT, { action, command: "OBJ_GET", reason: "gone", meaning });
    }
    let isRemoved = false;
    try {
      if (!this.#class.isSame(this.#handle, found.object)) {
        throw new BpfError(EEXIST, {
          action,
          command: "unlinkat",
          reason: "mismatch",
          meaning: `"${place.path}" holds another object now`,
          hint: "somebody replaced the pin; remove it by its path if that is meant",
        });
      }
      isRemoved = true; // or not, but the call closes both
      place.remove(place.name, found);
    } finally {
      if (!isRemoved) { for (const fd of [found.object, found.entry]) closeIfOpen(fd); }
    }
  }

  /** Marks the handle closed and returns the fd, which is the caller's now. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    if (this.#isRegistered) remembered(this);
    untrack(fd);
    return fd;
  }

  close(): void {
    if (!this.closed) close(this.release());
  }
}

/** What is left of a time for several waits. */
function waitFor(ms: number): () => number {
  const end = performance.now() + ms;
  return () => Math.max(end - performance.now(), 0);
}

const GONE: readonly string[] = ["gone", "mismatch"];

function throwAll(failures: readonly unknown[]): void {
  if (failures.length === 1) throw failures[0];
  if (failures.length === 0) return;
  const [first] = failures;
  const why = first instanceof Error ? first.message : String(first);
  throw new AggregateError(failures, `Cannot remove ${failures.length} pins: ${why}`);
}
