/** Which fds this package holds, what happens to those that are forgotten, and to all of them when the isolate ends. */
import { HELD_DETACH } from "../ffi/ring.ts";
import { closeIfOpen } from "../os/files.ts";
import { tryDetach } from "../sys/link.ts";
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

const NUMBERS = { link: 1, program: 2, map: 3, ring: 4 } as const;
const KINDS = ["none", "link", "program", "map", "ring"] as const;
let kinds = new Uint8Array(256); // by fd: 0, or one of NUMBERS, and perhaps HELD_DETACH
const origins = new Map<number, string>();
let isTraced = () => false;
const forgotten = new FinalizationRegistry<OpenHandle>(({ kind, fd, origin }) => {
  if (origin === undefined) return release(fd);
  console.warn(
    `A ${kind} (fd ${fd}) was forgotten without being closed; it was made${origin.slice(origin.indexOf("\n"))}`,
  );
});

/** Remembers an fd, in an array: inserting into a Map takes about as long as most link calls. */
export function track(kind: HandleKind | "ring", fd: number): void {
  if (fd >= kinds.length) grow(fd * 2);
  kinds[fd] = NUMBERS[kind];
  if (isTraced()) origins.set(fd, originOf(new Error().stack ?? "\n    somewhere"));
}

function grow(length: number): void {
  const larger = new Uint8Array(length);
  larger.set(kinds);
  kinds.fill(0); // a thread may look at it when this isolate is gone
  kinds = larger;
}

/** Says what decides whether it is remembered where handles are made: `Link.traceLeaks`, of a class that imports this. */
export function traceIf(ask: () => boolean): void {
  isTraced = ask;
}

/** Forgets an fd that was closed or given away. */
export function untrack(fd: number): void {
  kinds[fd] = 0;
  if (origins.size > 0) origins.delete(fd);
}

/** Whether the end of the isolate has closed the fd, without its handle. */
export function isEnded(fd: number): boolean {
  return hasEnded && kinds[fd] === 0;
}
let hasEnded = false;

/** Says whether the link of `fd`, which is tracked, is to be detached by force when the isolate ends. */
export function detachAtEnd(fd: number, detaches: boolean): void {
  if (!detaches) {
    kinds[fd]! &= ~HELD_DETACH;
    return;
  }
  kinds[fd]! |= HELD_DETACH;
  if (!endsLinks) atUnload(endLinks);
  endsLinks = true;
}
let endsLinks = false;

/** What {@linkcode track} remembers, a byte for each fd, for the native side. */
export function heldFds(): Uint8Array<ArrayBuffer> {
  return kinds;
}

/**
 * Does something when the isolate ends and may still do something: at the end of the main program, in `Deno.exit()`, and
 * before `deno run --watch` starts the next one in the same process.
 */
export function atUnload(action: () => void): void {
  addEventListener("unload", action);
}

/** Ends the links whose scopes did not end. A failure is nobody's to handle any more. */
function endLinks(): void {
  hasEnded = true;
  kinds.forEach((kind, fd) => {
    if ((kind & HELD_DETACH) === 0) return;
    tryDetach(fd);
    untrack(fd);
    closeIfOpen(fd);
  });
}

/** Closes `fd` when `handle` is collected: for handles whose end changes nothing but the fd. */
export function closeForgotten(handle: object, kind: HandleKind, fd: number): void {
  forgotten.register(handle, { kind, fd }, handle);
}

/** Reports `handle`, which is traced, when it is collected, and leaves `fd` open: that must never detach a link. */
export function reportForgotten(handle: object, kind: HandleKind, fd: number): void {
  const origin = origins.get(fd)!;
  forgotten.register(handle, { kind, fd, origin }, handle);
}

/** A stack without the frames of this package that it begins with: the first is the caller's. */
function originOf(stack: string): string {
  const [message, ...frames] = stack.split("\n"), ours = new URL("..", import.meta.url).href;
  const first = frames.findIndex((frame) => !frame.includes(ours));
  return [message, ...first < 0 ? frames : frames.slice(first)].join("\n");
}

/** Takes back {@linkcode closeForgotten} and {@linkcode reportForgotten}. */
export function remembered(handle: object): void {
  forgotten.unregister(handle);
}

function release(fd: number): void {
  untrack(fd);
  closeIfOpen(fd);
}

/**
 * The fds that links, programs and maps of this package hold now: for leak checks in tests.
 *
 * A made link whose variable was collected is among them, since it stays attached until the process ends; set
 * `Link.traceLeaks` to learn where each was made. What objects of `@bpf/link/object` hold is among them, fds of
 * `@bpf/link/sys` are not.
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
    const origin = origins.get(fd), name = KINDS[kind & ~HELD_DETACH]!;
    if (name !== "none" && name !== "ring") {
      handles.push({ kind: name, fd, ...origin === undefined ? {} : { origin } });
    }
  });
  return handles;
}
