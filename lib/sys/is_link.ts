/** What kind of object an fd is. */
import { Command } from "../uapi/constants.ts";
import { EBADF, EPERM } from "../uapi/errno.ts";
import { link_update } from "../uapi/layout.ts";
import { Request } from "./request.ts";

const update = new Request(link_update.sizeof).u32(link_update.new_prog_fd, -1);

/**
 * Whether an open fd is a link: LINK_UPDATE looks at it before it finds that the new program is none. Changes nothing.
 * True as well for who may call nothing at all: the next call tells them so.
 */
export function isLink(fd: number): boolean {
  const result = update.u32(link_update.link_fd, fd).bpf(Command.LINK_UPDATE);
  return result === -EBADF || result === -EPERM;
}
