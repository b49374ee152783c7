/** The fd behind a program's or a map's handle. */
import { close } from "../os/files.ts";
import { closeForgotten, type HandleKind, remembered, track, untrack } from "./open_handles.ts";
import { pin, unpin } from "./pin.ts";

/** An fd with its pin. It is closed when it is forgotten: what it is of lives on as long as something needs it. */
export class OwnedFd {
  #fd: number;
  #pinnedPath: string | undefined;
  readonly #what: string;

  /** @param what What the fd is of, in an error's words. */
  constructor(kind: HandleKind, fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
    track(kind, fd);
    closeForgotten(this, kind, fd);
  }

  get fd(): number {
    if (this.#fd < 0) throw new Deno.errors.BadResource(`Cannot use ${this.#what}: it is closed`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Remembers the pin that it was opened from. */
  openedAt(path: string): void {
    this.#pinnedPath = path;
  }

  pin(path: string | URL): void {
    this.#pinnedPath = pin(this.fd, path);
  }

  /** Removes the pin, if it holds what `isSame` knows. */
  unpin(isSame: (fd: number) => boolean): void {
    void this.fd; // throws if it is closed
    if (this.#pinnedPath === undefined) {
      throw new Deno.errors.BadResource(`Cannot unpin ${this.#what}: this handle knows no pin of it`);
    }
    unpin(this.#pinnedPath, this.#what, isSame);
    this.#pinnedPath = undefined;
  }

  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    remembered(this);
    untrack(fd);
    return fd;
  }

  close(): void {
    if (this.#fd >= 0) close(this.release());
  }
}
