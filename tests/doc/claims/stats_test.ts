/** What the doc comments of lib/sys/stats.ts say. */
import { assert, assertEquals } from "@std/assert";
import { close, enableStats, progGetInfoByFd, rawTracepointOpen } from "../../../lib/sys/mod.ts";
import { hitTracepoint, load } from "../../fixture/program/sys_objects.ts";
import { claim, exhausted, isCloseOnExec, misuse, refusal, unprivilegedRefusal } from "../../fixture/run/claims.ts";

claim(
  "enableStats: makes the kernel count how often and how long each program runs, as long as the fd is open",
  {},
  (own) => {
    const program = load.tracepoint(own), counts = () => progGetInfoByFd(program);
    own.fd(rawTracepointOpen("oom_score_adj_update", program));
    const counting = enableStats();
    hitTracepoint();
    hitTracepoint();
    const { runCnt, runTimeNs } = counts();
    assert(runCnt >= 2n && runTimeNs > 0n, `${runCnt} runs, ${runTimeNs} ns`);
    close(counting);
  },
);
claim("enableStats: returns an fd that is close-on-exec", {}, (own) => assert(isCloseOnExec(own.fd(enableStats()))));
misuse("enableStats: RangeError, `type` is no unsigned 32-bit number", () => enableStats(-1));
unprivilegedRefusal("enableStats: EPERM, CAP_SYS_ADMIN is missing", "enableStats()", ["sys_admin"]);
refusal("enableStats: EINVAL, `type` is not 0", {}, () => enableStats(1));
claim("enableStats: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted("enableStats()"), "EMFILE");
});
