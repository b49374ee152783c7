/** Records of a ring buffer map, copied out of its pages by `ffi/core/src/ring.rs`. */
import { native } from "./library.ts";
import { numbers } from "./symbols.ts";

const { NO_EPOLL } = numbers.ring;
const NO_ROOM = new Uint8Array();

/** Bytes of the header that a copied record has, and its first word's bits that say how long the record is. */
export const RECORD_HEADER: number = numbers.ring.HEADER, RECORD_LENGTH: number = numbers.ring.LENGTH;

/**
 * Gives `consumed` bytes of records back and copies those that follow into `records`, on another thread that sleeps in
 * `epoll` once if there are none. Resolves to how many bytes there are now, or to -errno. The fds must stay open, and
 * `records` untouched, until then.
 *
 * @param size Bytes of the ring: the map's maxEntries.
 */
export function ringRead(
  map: number,
  size: number,
  consumed: number,
  epoll: number,
  records: Uint8Array<ArrayBuffer>,
): Promise<number> {
  return native().bpf_link_ring_async(map, size, consumed, epoll, records, records.length);
}

/** Gives `consumed` bytes of records back. Returns 0 or -errno. */
export function ringConsume(map: number, size: number, consumed: number): number {
  return native().bpf_link_ring(map, size, consumed, NO_EPOLL, NO_ROOM, NO_ROOM.length);
}
