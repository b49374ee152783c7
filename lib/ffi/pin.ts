/** The removal of a link's pin in one go, by `ffi/core/src/pin.rs`. */
import { fast, native } from "./library.ts";
import { PATH_SIZE, writeText } from "./request.ts";
import { EINVAL } from "../uapi/errno.ts";

const room = new Uint8Array(PATH_SIZE);
let isKnown = true; // how to open a name in a directory, to the kernel: since Linux 6.6

/**
 * Removes the pin at a path if the link of this id is pinned there: under the lock of the directory, and through no
 * symbolic link. False if it cannot be done so, whyever: then nothing has changed.
 */
export function tryUnpin(linkId: number, path: string): boolean {
  if (!isKnown || path.length * 3 >= PATH_SIZE) return false; // it might be cut
  writeText(room, 0, PATH_SIZE, path);
  const result = fast()?.bpf_link_unpin(linkId, room, PATH_SIZE) ?? native().bpf_link_unpin(linkId, room, PATH_SIZE);
  if (result === -EINVAL) isKnown = false;
  return result === 0;
}
