/** What kind of object an fd is. */
import { Request } from "../ffi/request.ts";
import { CLOSED, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { EBADF, EINVAL, EPERM } from "../uapi/errno.ts";
import { batch, link_update, prog_bind_map } from "../uapi/layout.ts";

/** What errnos of a question about an object mean. */
export const OBJ_GET_INFO_BY_FD: Refusals = {
  command: "OBJ_GET_INFO_BY_FD",
  rows: {
    EBADFD: CLOSED,
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is no object of bpf, or of another kind"],
  },
};

const update = new Request(link_update.sizeof).u32(link_update.new_prog_fd, -1);

/**
 * Whether an open fd is a link: LINK_UPDATE looks at it before it finds that the new program is none. Changes nothing.
 * True as well for a caller that may call nothing at all: its next call fails with that.
 */
export function isLink(fd: number): boolean {
  const result = update.u32(link_update.link_fd, fd).bpf(Command.LINK_UPDATE);
  return result === -EBADF || result === -EPERM;
}

/**
 * Whether an open fd is a program: PROG_BIND_MAP looks at it before it finds that the map is none. Changes nothing.
 * True as well for a caller that may call nothing at all: its next call fails with that.
 */
export function isProgram(fd: number): boolean {
  const result = new Request(prog_bind_map.sizeof).u32(prog_bind_map.prog_fd, fd).u32(prog_bind_map.map_fd, -1)
    .bpf(Command.PROG_BIND_MAP);
  return result === -EBADF || result === -EPERM;
}

/** Whether an open fd is a map: a batch of no elements finds that out and nothing else. */
export function isMap(fd: number): boolean {
  const result = new Request(batch.sizeof).u32(batch.map_fd, fd).bpf(Command.MAP_LOOKUP_BATCH);
  return result !== -EINVAL && result !== -EBADF;
}
