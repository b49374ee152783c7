/** Records of ring buffer maps, copied out of their pages by `ffi/core/src/ring.rs`, and the wait for them. */
import { native, onAnotherThread } from "./library.ts";
import { numbers } from "./symbols.ts";

/** Bytes of the header that a copied record has, and its first word's bits that say how long the record is. */
export const RECORD_HEADER: number = numbers.ring.HEADER, RECORD_LENGTH: number = numbers.ring.LENGTH;

/** In the byte of an fd that is held: it is a link, to be detached by force at the end. */
export const HELD_DETACH: number = numbers.ring.DETACH;

const NO_ROOM = new Uint8Array();

/**
 * Gives `consumed` bytes of records back and copies those that follow into `records`. Returns how many bytes there are
 * now, or -errno.
 *
 * @param size Bytes of the ring: the map's maxEntries.
 */
export function ringRead(
  map: number,
  size: number,
  consumed: number,
  records: Uint8Array<ArrayBuffer> = NO_ROOM,
): number {
  return native().bpf_link_ring(map, size, consumed, records, records.length);
}

/**
 * Waits a second at most, on another thread, until something that `epoll` watches is ready. Resolves to how many words of
 * data were written to `ready`, or to -errno. `epoll` must stay open until then, and the arrays be used for nothing else.
 *
 * @param thread The thread of this isolate: if it is gone by then, the fds whose byte in `held` is not 0 are closed.
 */
export function ringWait(
  epoll: number,
  thread: number,
  ready: Uint32Array<ArrayBuffer>,
  held: Uint8Array<ArrayBuffer>,
): Promise<number> {
  return onAnotherThread("bpf_link_ring_wait", epoll, thread, ready, ready.byteLength, held, held.length);
}
