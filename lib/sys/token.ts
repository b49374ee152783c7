/** The command that makes BPF tokens. */
import { checkFd } from "../check.ts";
import { Request } from "../ffi/request.ts";
import { checked, CLOSED, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { token_create } from "../uapi/layout.ts";

/** What errnos of {@linkcode tokenCreate} mean. */
export const TOKEN_CREATE: Refusals = {
  command: "TOKEN_CREATE",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: ["invalid", "the fd is not the root of a bpf file system", "tokens came with Linux 6.9"],
    EPERM: [
      "capability",
      "it needs CAP_BPF in the user namespace of the bpf file system, and a caller inside it",
      "CAP_SYS_ADMIN does not stand in for it",
    ],
    EOPNOTSUPP: [
      "unsupported",
      "the bpf file system belongs to the initial user namespace",
      "capabilities count there; tokens are for other user namespaces",
    ],
    ENOENT: ["invalid", "the mount delegates nothing", "mount it with delegate_cmds and its sisters"],
  }),
};

/**
 * Makes a token: an fd that stands in for capabilities when programs, maps and BTF are loaded.
 *
 * What it stands in for was delegated when the bpf file system was mounted for a user namespace (`delegate_cmds` and
 * its sisters among the mount options). Links take no token: they inherit that of their program. Wraps
 * `bpf_token_create()`. Since Linux 6.9. Needs CAP_BPF in the user namespace of the bpf file system; CAP_SYS_ADMIN does
 * not stand in for it.
 *
 * @param bpffsFd An fd of the root directory of a bpf file system.
 * @returns An fd of the token, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `bpffsFd` is no fd.
 * @throws {BpfError}
 * - `EBADF`: `bpffsFd` is not open
 * - `EINVAL`: it is not the root of a bpf file system, or the kernel is older
 * - `EPERM`: the caller is in another user namespace than the file system, or CAP_BPF is missing
 * - `EOPNOTSUPP`: the file system belongs to the initial user namespace, where capabilities do
 * - `ENOENT`: the mount delegates nothing
 *
 * @example
 * ```ts ignore
 * import { close, mapCreate, open, tokenCreate } from "@bpf/link/sys";
 *
 * const bpffs = open("/sys/fs/bpf");
 * const token = tokenCreate(bpffs);
 * const map = mapCreate("hash", 4, 8, 16, { tokenFd: token });
 * for (const fd of [map, token, bpffs]) close(fd);
 * ```
 */
export function tokenCreate(bpffsFd: number): number {
  const result = new Request(token_create.sizeof).u32(token_create.bpffs_fd, checkFd(bpffsFd, "bpffsFd"))
    .bpf(Command.TOKEN_CREATE);
  return checked(result, TOKEN_CREATE, () => `Cannot create token (bpf file system fd ${bpffsFd})`);
}
