/** Reading to the end by `ffi/core/src/read.rs`. */
import { native } from "./library.ts";

const FIRST = 64 * 1024, KEPT = 4 * 1024 * 1024;

let kept: Uint8Array<ArrayBuffer> | undefined;

/**
 * What is left to be read of an fd, or -errno. The next call uses the bytes again.
 *
 * @param most Of more bytes than that, some more are read and not all.
 */
export function readKept(fd: number, most: number): Uint8Array<ArrayBuffer> | number {
  let room = kept ?? new Uint8Array(FIRST), size = 0;
  for (;;) {
    const count = native().bpf_link_read(fd, room.subarray(size), room.length - size);
    if (count < 0) return count;
    size += count;
    if (room.length <= KEPT) kept = room;
    if (size < room.length || size > most) return room.subarray(0, size);
    const larger = new Uint8Array(room.length * 2);
    larger.set(room);
    room = larger;
  }
}
