/** Rings of records, mapped and copied from by `ffi/core/src/ring.rs`, and the wait for more. */
import { nativeRings, type Threads } from "./library.ts";
import { numbers } from "./symbols.ts";

/** Bytes of the header of a record, and its first word's bits that say how long one of a ring buffer map is. */
export const RECORD_HEADER: number = numbers.ring.HEADER, RECORD_LENGTH: number = numbers.ring.LENGTH;

/** In the byte of an fd that is held: it is a link, to be detached by force at the end. */
export const HELD_DETACH: number = numbers.ring.DETACH;

const NOTHING = new Uint8Array();

/**
 * Maps the ring of a ring buffer map or, with `perf`, of a perf event, whose data has `size` bytes. Returns 0 or -errno.
 */
export function ringMap(fd: number, size: number, perf: boolean): number {
  return nativeRings().bpf_link_ring_map(fd, size, Number(perf));
}

/** The opposite, before `fd` is closed; there may be nothing to unmap. */
export function ringUnmap(fd: number): void {
  nativeRings().bpf_link_ring_map(fd, 0, 0);
}

/**
 * Gives `consumed` bytes of records back to the kernel and copies those that follow into `records`. Returns how many bytes
 * there are now, or -errno.
 */
export function ringRead(fd: number, consumed: number, records: Uint8Array<ArrayBuffer> = NOTHING): number {
  return nativeRings().bpf_link_ring(fd, consumed, records, records.length);
}

/** How long a thread waits before it looks whether anybody still waits for it. */
const LOOK_MS = 1000;

/**
 * Waits a second at most, on another thread, until something that `epoll` watches is ready. Resolves to how many words of
 * data were written to `ready`, or to -errno. `epoll` must stay open until then, and the arrays be used for nothing else.
 *
 * @param thread The thread of this isolate: if it is gone by then, the fds whose byte in `held` is not 0 are closed.
 */
export function ringWait(
  threads: Threads,
  epoll: number,
  thread: number,
  ready: Uint32Array<ArrayBuffer>,
  held: Uint8Array<ArrayBuffer>,
): Promise<number> {
  return threads.call("bpf_link_ring_wait", [epoll, LOOK_MS, thread, ready, ready.byteLength, held, held.length]);
}

/** The same on this thread, without a wait. */
export function ringLook(epoll: number, ready: Uint32Array<ArrayBuffer>): number {
  return nativeRings().bpf_link_ring_wait(epoll, 0, 0, ready, ready.byteLength, NOTHING, 0);
}
