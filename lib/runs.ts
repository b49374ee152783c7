/** How often programs ran and for how long, which the kernel counts while somebody wants it to. */
import { closeIfOpen, readTextFile } from "./os/files.ts";
import { unlessGone, visibly } from "./refusal.ts";
import { progGetFdById, progGetInfoByFd } from "./sys/program.ts";
import { enableStats } from "./sys/stats.ts";

/** What the kernel has counted of a program. */
export interface Runs {
  readonly count: bigint;
  readonly timeNs: bigint;
}

/** The runs of a program, and its name; undefined if it is gone or may not be seen. */
export function runsAndName(programId: number): Runs & { readonly name: string } | undefined {
  const fd = visibly(() => unlessGone(() => progGetFdById(programId)));
  if (fd === undefined) return undefined;
  try {
    const { runCnt, runTimeNs, name } = progGetInfoByFd(fd);
    return { count: runCnt, timeNs: runTimeNs, name };
  } finally {
    closeIfOpen(fd);
  }
}

/** The runs alone. */
export function runsOf(programId: number): Runs | undefined {
  return runsAndName(programId);
}

/** Whether the whole machine counts: the switch kernel.bpf_stats_enabled. */
export function countsRuns(): boolean {
  return visibly(() => readTextFile("/proc/sys/kernel/bpf_stats_enabled").trim()) === "1";
}

/** Makes the kernel count until the end of the scope. Needs CAP_SYS_ADMIN. */
export function countRuns(): Disposable {
  const fd = enableStats();
  return { [Symbol.dispose]: () => closeIfOpen(fd) };
}
