/** The command that reports what is attached at one place. */
import { checkFd, checkInteger, checkKeys, checkU32 } from "../check.ts";
import { Request } from "../ffi/request.ts";
import { checked, type Refusals } from "../refusal.ts";
import { type AttachTypeName, attachTypeNumber, BPF_F_QUERY_EFFECTIVE, Command } from "../uapi/constants.ts";
import { EINVAL, ENOSPC } from "../uapi/errno.ts";
import { query } from "../uapi/layout.ts";
import { rowOfAttachType } from "./type/mod.ts";

/** Options of {@linkcode progQuery}. */
export interface ProgQueryOptions {
  /** BPF_F_QUERY_EFFECTIVE (1), for a cgroup: what runs there, with the programs of its ancestors. */
  queryFlags?: number | undefined;
  /** An fd of the network namespace to make the call in, for tcx and netkit. Not part of libbpf. */
  netns?: number | undefined;
}

/** One program of a hook. */
export interface QueriedProgram {
  /** Its id. */
  readonly progId: number;
  /** The flags it was attached with; of a cgroup since Linux 6.1, and not with BPF_F_QUERY_EFFECTIVE. */
  readonly progAttachFlags?: number;
  /** The id of its link, 0 if it was attached without one; of tcx and netkit only. */
  readonly linkId?: number;
  /** The flags that its link was attached with; of tcx and netkit only. */
  readonly linkAttachFlags?: number;
}

/** What {@linkcode progQuery} returns. */
export interface ProgQuery {
  /** The flags of the hook as a whole: for a cgroup 0, BPF_F_ALLOW_OVERRIDE (1) or BPF_F_ALLOW_MULTI (2). */
  readonly attachFlags: number;
  /** Counts the changes of the hook, from 1; absent where the kernel keeps none. */
  readonly revision?: bigint;
  /** The programs, as the kernel lists them. */
  readonly progs: readonly QueriedProgram[];
}

const CAPACITY = 64; // what a hook takes, so one call is enough but for the effective programs of a cgroup

/** What errnos of {@linkcode progQuery} mean. */
export const PROG_QUERY: Refusals = {
  command: "PROG_QUERY",
  rows: () => ({
    EPERM: [
      "capability",
      "it needs CAP_NET_ADMIN",
      "run as root, or give the process CAP_NET_ADMIN",
    ],
    EINVAL: [
      "invalid",
      "the target is no place of this attach type, or places of this type cannot be queried",
      "cgroups, network namespaces, sockmaps, tcx (Linux 6.6) and netkit (6.7) can",
    ],
    EBADF: [
      "invalid",
      "the target is no directory of a cgroup2 file system, or the fd is closed",
      "name a directory below a cgroup2 mount, not a file and not cgroup v1; /proc/mounts says where it is",
    ],
    ENODEV: ["gone", "there is no such interface in this network namespace", "check the device and the netns"],
    ENXIO: ["invalid", "the interface is no netkit device", "name a device made with `ip link add type netkit`"],
    ENOENT: ["gone", "the cgroup is being removed"],
    EOPNOTSUPP: ["invalid", "the target is a map of another type", "name a sockmap or sockhash"],
  }),
};

/**
 * Reads what is attached to a cgroup, a network namespace, a sockmap, or the tcx or netkit hook of an interface.
 *
 * The programs come in the order in which they run, but for a cgroup's own list, in which those with BPF_F_PREORDER do
 * not come first; BPF_F_QUERY_EFFECTIVE gives the order in which they run. A hook may change before the call has
 * returned: hand the revision to {@linkcode linkCreate}, which fails with `ESTALE` then. Wraps `bpf_prog_query_opts()`.
 *
 * Since Linux 4.15 for cgroups, 5.7 flow_dissector, 5.9 sk_lookup, 5.16 sockmap, 6.6 tcx, 6.7 netkit. There are
 * revisions of tcx and netkit hooks, and since Linux 6.17 of cgroups; that of a tcx hook begins anew when its last
 * program leaves. Needs CAP_NET_ADMIN; since Linux 6.9 CAP_SYS_ADMIN will do.
 *
 * @param target An fd of a cgroup's directory, a network namespace or a sockmap; the number of an interface for tcx and
 * netkit.
 * @param attachType The hook's attach type, as libbpf names it.
 * @param options What to ask for, and where.
 * @returns The programs, their flags and links as far as the kernel reports them, and the revision.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError}
 * - `EPERM`: CAP_NET_ADMIN is missing
 * - `EINVAL`: places of this attach type cannot be queried; flags that it does not know; `target` is no network
 *   namespace, no map
 * - `EOPNOTSUPP`: `target` is a map, but no sockmap
 * - `ENOENT`: the cgroup was removed
 * - `ENXIO`: netkit: the interface is none
 * - `EBADF`: `target` is no directory of a cgroup2 file system, or not open
 * - `ENODEV`: there is no such interface in this network namespace
 *
 * @example
 * ```ts
 * import { close, open, progQuery } from "@bpf/link/sys";
 *
 * const netns = open("/proc/self/ns/net");
 * console.log(progQuery(netns, "sk_lookup").progs);
 * close(netns);
 * ```
 */
export function progQuery(target: number, attachType: AttachTypeName, options: ProgQueryOptions = {}): ProgQuery {
  checkKeys(options, "options", ["queryFlags", "netns"]);
  const number = attachTypeNumber(attachType, "attachType");
  const reports = rowOfAttachType(number)?.query;
  const queryFlags = checkU32(options.queryFlags ?? 0, "options.queryFlags");
  const hasLinks = reports === "links";
  let hasFlags = hasLinks || reports === "flags" && (queryFlags & BPF_F_QUERY_EFFECTIVE) === 0;
  for (let capacity = CAPACITY;;) {
    const request = new Request(query.sizeof, query.sizeof + capacity * 16)
      .u32(query.attach_type, number)
      .u32(query.query_flags, queryFlags)
      .u32(query.count, capacity);
    if (hasLinks) request.u32(query.target_ifindex, checkInteger(target, "target", 1, 0x7fffffff));
    else request.fd(query.target_fd, checkFd(target, "target"));
    if (options.netns !== undefined) request.netns(checkFd(options.netns, "options.netns"));
    const ids = request.room(query.prog_ids, capacity * 4);
    const flags = hasFlags ? request.room(query.prog_attach_flags, capacity * 4) : 0;
    const links = hasLinks ? request.room(query.link_ids, capacity * 4) : 0;
    const linkFlags = hasLinks ? request.room(query.link_attach_flags, capacity * 4) : 0;
    const result = request.bpf(Command.PROG_QUERY), count = request.getU32(query.count);
    if (result === -ENOSPC && count > capacity) {
      capacity = count + 8; // it may go on growing
      continue;
    }
    if (result === -EINVAL && hasFlags && !hasLinks) {
      hasFlags = false; // before Linux 6.1
      continue;
    }
    checked(
      result,
      PROG_QUERY,
      () => `Cannot query ${attachType} of ${hasLinks ? `interface ${target}` : `fd ${target}`}`,
    );
    const revision = request.getU64(query.revision);
    return {
      attachFlags: request.getU32(query.attach_flags),
      ...revision === 0n ? {} : { revision },
      progs: Array.from({ length: count }, (_, i) => ({
        progId: request.getU32(ids + i * 4),
        ...hasFlags ? { progAttachFlags: request.getU32(flags + i * 4) } : {},
        ...hasLinks
          ? { linkId: request.getU32(links + i * 4), linkAttachFlags: request.getU32(linkFlags + i * 4) }
          : {},
      })),
    };
  }
}
