/** Which fds the classes of this package hold, and what happens to those that are forgotten. */
import { close } from "../os/files.ts";
import type { HandleKind } from "./brand.ts";

/** An fd that is open; see {@linkcode openHandles}. */
export interface OpenHandle {
  /** What it is of. */
  readonly kind: HandleKind;
  /** The fd. */
  readonly fd: number;
  /** Where it was made, as a stack trace, if `Link.traceLeaks` was set then. */
  readonly origin?: string;
}

const KINDS: readonly HandleKind[] = ["link", "program", "map"];
let kinds = new Uint8Array(256); // by fd: 0, or index in KINDS plus 1
const origins = new Map<number, string>();
const forgotten = new FinalizationRegistry<OpenHandle>(({ kind, fd, origin }) => {
  if (origin === undefined) return release(fd);
  console.warn(
    `A ${kind} (fd ${fd}) was forgotten without being closed; it was made${origin.slice(origin.indexOf("\n"))}`,
  );
});

/** Remembers an fd, in an array: inserting into a Map takes about as long as most link calls. */
export function track(kind: HandleKind, fd: number): void {
  if (fd >= kinds.length) {
    const larger = new Uint8Array(fd * 2);
    larger.set(kinds);
    kinds = larger;
  }
  kinds[fd] = KINDS.indexOf(kind) + 1;
}

/** Forgets an fd that was closed or given away. */
export function untrack(fd: number): void {
  kinds[fd] = 0;
  if (origins.size > 0) origins.delete(fd);
}

/** Closes `fd` when `handle` is collected: for handles whose end changes nothing but the fd. */
export function closeForgotten(handle: object, kind: HandleKind, fd: number): void {
  forgotten.register(handle, { kind, fd }, handle);
}

/** Reports `handle` when it is collected, and leaves `fd` open: garbage collection must never detach it. */
export function reportForgotten(handle: object, kind: HandleKind, fd: number): void {
  const origin = new Error().stack ?? "\n    somewhere";
  origins.set(fd, origin);
  forgotten.register(handle, { kind, fd, origin }, handle);
}

/** Takes back {@linkcode closeForgotten} and {@linkcode reportForgotten}. */
export function remembered(handle: object): void {
  forgotten.unregister(handle);
}

function release(fd: number): void {
  untrack(fd);
  close(fd);
}

/**
 * The fds that links, programs and maps of this package hold now: for leak checks in tests.
 *
 * A made link whose variable was collected is among them, since it stays attached until the process ends; set
 * `Link.traceLeaks` to learn where it was made. fds of `@bpf/link/sys` are not.
 *
 * @returns A list in the order of the fds.
 *
 * @example Nothing is left
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openHandles, Program } from "@bpf/link";
 *
 * const before = openHandles();
 * {
 *   const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 *   using _program = Program.load({ type: "xdp", instructions: pass });
 *   assertEquals(openHandles().length, before.length + 1);
 * }
 * assertEquals(openHandles(), before);
 * ```
 */
export function openHandles(): readonly OpenHandle[] {
  const handles: OpenHandle[] = [];
  kinds.forEach((kind, fd) => {
    const origin = origins.get(fd);
    if (kind > 0) handles.push({ kind: KINDS[kind - 1]!, fd, ...origin === undefined ? {} : { origin } });
  });
  return handles;
}
