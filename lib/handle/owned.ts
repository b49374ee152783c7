/** An fd with a scope: what links, programs and maps do alike. */
import { checkPath } from "../check.ts";
import { BpfError } from "../error.ts";
import { close, directoryOf, isOnBpffs, unlink } from "../os/files.ts";
import { objGet, objPin } from "../sys/object.ts";
import { EEXIST, EPERM } from "../uapi/errno.ts";
import type { HandleKind } from "./brand.ts";
import { closeForgotten, remembered, reportForgotten, track, untrack } from "./open_handles.ts";

/** What happens to an fd whose handle is forgotten. */
export type Forgotten = "closed" | "reported" | "left open";

/** The fd of a handle, with the pins that the handle knows. */
export class OwnedFd {
  #fd: number;
  #openedPath: string | undefined; // the pin that it was opened from
  readonly #pins: string[] = []; // made by this handle
  readonly #isRegistered: boolean; // with the garbage collector
  readonly #name: () => string;
  readonly #isSame: (fd: number) => boolean;

  /**
   * @param name The object in an error's words; it may not ask the kernel.
   * @param isSame Whether another fd is of the same object.
   */
  constructor(
    kind: HandleKind,
    fd: number,
    forgotten: Forgotten,
    name: () => string,
    isSame: (fd: number) => boolean,
  ) {
    this.#fd = fd;
    this.#name = name;
    this.#isSame = isSame;
    this.#isRegistered = forgotten !== "left open";
    track(kind, fd);
    if (forgotten === "closed") closeForgotten(this, kind, fd);
    else if (forgotten === "reported") reportForgotten(this, kind, fd);
  }

  /** The fd, if the handle is not closed. */
  get fd(): number {
    if (this.#fd < 0) throw new Deno.errors.BadResource(`Cannot use ${this.#name()}: it is closed`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** The pin that the handle made last, or was opened from. */
  get pinnedPath(): string | undefined {
    return this.#pins.at(-1) ?? this.#openedPath;
  }

  /** Whether the handle made pins that are still there, as far as it knows. */
  get hasPins(): boolean {
    return this.#pins.length > 0;
  }

  /** Remembers the pin that it was opened from. */
  openedAt(path: string): void {
    this.#openedPath = path;
  }

  pin(path: string | URL): void {
    const fd = this.fd, file = checkPath(path, "path");
    pin(fd, file);
    this.#pins.push(file);
  }

  /** Removes the pin that {@linkcode pinnedPath} names, if it still holds the object. */
  unpin(): void {
    void this.fd; // throws if it is closed
    const path = this.pinnedPath;
    if (path === undefined) {
      throw new Deno.errors.BadResource(`Cannot unpin ${this.#name()}: this handle knows no pin of it`);
    }
    this.#remove(path);
    if (this.#pins.pop() === undefined) this.#openedPath = undefined;
  }

  /** Removes all pins that the handle made and that still hold the object. */
  removePins(): void {
    for (let path; (path = this.#pins.pop()) !== undefined;) {
      try {
        this.#remove(path);
      } catch (error) {
        if (!(error instanceof BpfError && (error.reason === "gone" || error.reason === "mismatch"))) throw error;
      }
    }
  }

  #remove(path: string): void {
    const fd = objGet(path);
    try {
      if (!this.#isSame(fd)) {
        throw new BpfError(EEXIST, {
          action: `Cannot unpin ${this.#name()}`,
          command: "unlinkat",
          reason: "mismatch",
          meaning: `"${path}" holds another object now`,
          hint: "somebody replaced the pin; remove it by its path if that is meant",
        });
      }
      unlink(path);
    } finally {
      close(fd);
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
    if (this.#fd >= 0) close(this.release());
  }
}

function pin(fd: number, file: string): void {
  try {
    objPin(fd, file);
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "EPERM") || error.reason === "capability") throw error;
    checkPinnable(file, error); // EPERM of OBJ_PIN means one of three things
    throw new BpfError(error.errno, {
      action: `Cannot pin to "${file}"`,
      command: error.command,
      reason: "policy",
      meaning: "a security module or the mount refuses it",
      cause: error,
    });
  }
}

/** Refuses a path where nothing can be pinned. */
export function checkPinnable(path: string, cause?: BpfError): void {
  const directory = directoryOf(path);
  const init = { action: `Cannot pin to "${path}"`, command: "OBJ_PIN", reason: "invalid", cause } as const;
  if (!isOnBpffs(directory)) {
    throw new BpfError(EPERM, {
      ...init,
      meaning: `"${directory}" lies on no bpf file system`,
      hint: "choose a path below a bpf mount, such as /sys/fs/bpf",
    });
  }
  if (path.includes(".", path.lastIndexOf("/") + 1)) {
    throw new BpfError(EPERM, {
      ...init,
      meaning: "the name of a pin may have no dot",
      hint: "choose a name without a dot",
    });
  }
}
