/** Reading to the end by `ffi/core/src/read.rs`. */
import { native } from "./library.ts";

const FIRST = 64 * 1024, KEPT = 4 * 1024 * 1024;

let spare: Uint8Array<ArrayBuffer> | undefined;

/**
 * What is left to be read of an fd, or -errno; in memory that is fresh unless some was given back with
 * {@linkcode giveBack}.
 *
 * @param most Of more bytes than that, some more are read and not all.
 */
export function readWhole(fd: number, most: number): Uint8Array<ArrayBuffer> | number {
  let room = spare ?? new Uint8Array(FIRST), size = 0;
  spare = undefined;
  for (;;) {
    const count = native().bpf_link_read(fd, room.subarray(size), room.length - size);
    if (count < 0) {
      giveBack(room);
      return count;
    }
    size += count;
    if (size < room.length || size > most) return room.subarray(0, size);
    const larger = new Uint8Array(room.length * 2);
    larger.set(room);
    room = larger;
  }
}

/** Has the next reading use the memory of this one, which nothing may refer to any more. */
export function giveBack(bytes: Uint8Array<ArrayBuffer>): void {
  const size = bytes.buffer.byteLength;
  if (size <= KEPT && size > (spare?.length ?? 0)) spare = new Uint8Array(bytes.buffer);
}
