/** The command that makes the kernel count what programs do. */
import { checkU32 } from "../check.ts";
import { Request } from "../ffi/request.ts";
import { ADMIN, checked, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { enable_stats } from "../uapi/layout.ts";

/** What errnos of {@linkcode enableStats} mean. */
export const ENABLE_STATS: Refusals = {
  command: "ENABLE_STATS",
  rows: () => ({
    EPERM: ADMIN,
    EINVAL: ["invalid", "there are no such statistics", "0 is the runs of programs"],
  }),
};

/**
 * Makes the kernel count how often and how long each program runs, as long as the fd is open.
 *
 * The counts are in {@linkcode progGetInfoByFd}: `runCnt` and `runTimeNs`. They cost each run of each program some tens
 * of nanoseconds. Wraps `bpf_enable_stats()`. Since Linux 5.8. Needs CAP_SYS_ADMIN.
 *
 * @param type What to count; 0, the only one that there is, is the runs.
 * @returns An fd that holds the counting, close-on-exec; end it with {@linkcode close}.
 * @throws {RangeError} If `type` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EINVAL`: `type` is not 0
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, enableStats } from "@bpf/link/sys";
 *
 * const counting = enableStats();
 * close(counting);
 * ```
 */
export function enableStats(type = 0): number {
  const result = new Request(enable_stats.sizeof).u32(enable_stats.type, checkU32(type, "type")).bpf(
    Command.ENABLE_STATS,
  );
  return checked(result, ENABLE_STATS, () => "Cannot count the runs of programs");
}
