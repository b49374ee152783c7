/** What the doc comments of lib/sys/perf_event.ts say. */
import { assert, assertEquals } from "@std/assert";
import { readTracefs } from "../../../lib/os/tracefs.ts";
import {
  close,
  enableStats,
  linkCreate,
  type PerfEventAttr,
  perfEventEnable,
  perfEventOpen,
  progGetInfoByFd,
} from "../../../lib/sys/mod.ts";
import { probeType } from "../../../lib/sys/perf_event.ts";
import { atUnprobeable, clock, load, program } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  isCloseOnExec,
  misuse,
  NO_FD,
  NO_ID,
  outcomeSync,
  type Own,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
} from "../../fixture/run/claims.ts";
import { until } from "../../fixture/run/wait.ts";

const SOFTWARE = 1, TRACEPOINT = 2, BREAKPOINT = 5;
const CLOCK: PerfEventAttr = { type: SOFTWARE, config: 0n, samplePeriod: 1_000_000n };
const EVERY = -1, OWN_THREAD = 0, EACH = -1;
const NO_CPU = 1_000_000;

const kprobe = (config1: string, config2 = 0n) =>
  perfEventOpen({ type: probeType("kprobe").type, config: 0n, config1, config2 }, EVERY, 0);
const uprobe = (config1: string, config2: bigint) =>
  perfEventOpen({ type: probeType("uprobe").type, config: 0n, config1, config2 }, EVERY, 0);
/** How often a program ran while statistics are on. */
const runs = (fd: number) => progGetInfoByFd(fd).runCnt;
const spin = () => {
  for (const end = performance.now() + 20; performance.now() < end;);
};

claim("perfEventOpen: it counts at once", { since: "5.15" }, async (own) => {
  own.fd(enableStats());
  const counter = load.event(own);
  own.fd(linkCreate(counter, own.fd(perfEventOpen(CLOCK, OWN_THREAD, EACH)), "perf_event"));
  await until(() => (spin(), runs(counter) > 0n), "the event is counted");
});
claim("perfEventOpen: the link keeps the event, so the fd may be closed as soon as the link is made", {
  since: "5.15",
}, async (own) => {
  own.fd(enableStats());
  const counter = load.event(own), event = perfEventOpen(CLOCK, OWN_THREAD, EACH);
  own.fd(linkCreate(counter, event, "perf_event"));
  close(event);
  const before = runs(counter);
  await until(() => (spin(), runs(counter) > before), "the event is counted");
});
claim("perfEventOpen: a process and a CPU together count that process on that CPU", {}, (own) => {
  own.fd(perfEventOpen(CLOCK, OWN_THREAD, 0));
  own.fd(perfEventOpen(CLOCK, Deno.pid, 0));
});
claim("perfEventOpen: a tracepoint runs its program for every process whatever is given here", {
  since: "5.15",
}, async (own) => {
  own.fd(enableStats());
  const counter = program(own, "tracepoint", 0), child = new Deno.Command("sleep", { args: ["600"] }).spawn();
  try {
    const config = BigInt(readTracefs("events/oom/oom_score_adj_update/id")!);
    own.fd(linkCreate(counter, own.fd(perfEventOpen({ type: TRACEPOINT, config }, child.pid, 0)), "perf_event"));
    Deno.writeTextFileSync("/proc/self/oom_score_adj", Deno.readTextFileSync("/proc/self/oom_score_adj"));
    assert(runs(counter) > 0n);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});
claim("perfEventOpen: returns an fd that is close-on-exec", {}, (own) => assert(isCloseOnExec(clock(own))));
unprivilegedRefusal(
  "perfEventOpen: EACCES, CAP_PERFMON is missing",
  "perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000n }, -1, 0)",
);
claim("perfEventOpen: also: CAP_PERFMON is enough", { needs: ["setpriv"] }, async () => {
  const call = "perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000n }, -1, 0)";
  assertEquals(await unprivileged(call, "", withOnly("perfmon")), "ok");
});
claim(
  "perfEventOpen: also: not needed for own processes as far as perf_event_paranoid allows",
  { needs: ["setpriv"] },
  async () => {
    const paranoid = Number(Deno.readTextFileSync("/proc/sys/kernel/perf_event_paranoid"));
    const call = "perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000n, excludeKernel: true }, 0, -1)";
    assertEquals(await unprivileged(call), paranoid <= 2 ? "ok" : "EACCES");
  },
);
misuse(
  "perfEventOpen: TypeError, a field is unknown or of the wrong type",
  () => perfEventOpen({ ...CLOCK, period: 1 } as never, 0, -1),
  () => perfEventOpen({ type: 1, config: 0 as never }, 0, -1),
  () => perfEventOpen({ ...CLOCK, sampleFreq: 1n }, 0, -1),
  () => perfEventOpen({ ...CLOCK, excludeUser: 1 as never }, 0, -1),
);
misuse(
  "perfEventOpen: RangeError, a number is out of range",
  () => perfEventOpen({ ...CLOCK, type: -1 }, 0, -1),
  () => perfEventOpen({ ...CLOCK, config: 2n ** 64n }, 0, -1),
  () => perfEventOpen(CLOCK, -2, -1),
  () => perfEventOpen(CLOCK, 0, -2),
);
refusal("perfEventOpen: EINVAL, `pid` and `cpu` are both -1", {}, () => perfEventOpen(CLOCK, EVERY, EACH));
refusal("perfEventOpen: EINVAL, there is no such CPU", {}, () => perfEventOpen(CLOCK, EVERY, NO_CPU));
refusal(
  "perfEventOpen: EINVAL, the attributes contradict each other",
  {},
  () => perfEventOpen({ type: BREAKPOINT, config: 0n, bpType: 4, config1: 0x1000n, config2: 9n }, OWN_THREAD, EACH),
);
refusal(
  "perfEventOpen: EINVAL, a frequency above kernel.perf_event_max_sample_rate",
  {},
  () => perfEventOpen({ type: SOFTWARE, config: 0n, sampleFreq: 1_000_000_000n }, OWN_THREAD, EACH),
);
refusal(
  "perfEventOpen: EINVAL, kprobe: a function that may not be probed",
  { needs: ["kprobe"] },
  () => kprobe("get_kprobe"),
);
refusal(
  "perfEventOpen: EINVAL, uprobe: the offset lies outside of the file",
  {},
  (own) => uprobe(ownFile(own), 2n ** 40n),
);
refusal("perfEventOpen: EINVAL, uprobe: the file is no regular one", {}, () => uprobe("/dev/null", 0n));
refusal(
  "perfEventOpen: ENOENT, there is no such event",
  {},
  () => perfEventOpen({ ...CLOCK, config: 9999n }, OWN_THREAD, EACH),
);
refusal(
  "perfEventOpen: ENOENT, there is no such kind of event",
  {},
  () => perfEventOpen({ type: 9999, config: 0n }, OWN_THREAD, EACH),
);
refusal("perfEventOpen: ENOENT, kprobe: no such function", { needs: ["kprobe"] }, () => kprobe("no_such_function"));
refusal("perfEventOpen: ENOENT, uprobe: no such file", {}, () => uprobe("/none", 0n));
refusal("perfEventOpen: ESRCH, there is no such process", {}, () => perfEventOpen(CLOCK, NO_ID, EACH));
refusal("perfEventOpen: ENODEV, the CPU is offline", { needs: ["vm", "cpus"] }, (own) => {
  const online = "/sys/devices/system/cpu/cpu1/online";
  Deno.writeTextFileSync(online, "0");
  own.defer(() => Deno.writeTextFileSync(online, "1"));
  return perfEventOpen(CLOCK, EVERY, 1);
});
refusal(
  "perfEventOpen: also: EILSEQ, kprobe: no instruction begins there, on x86_64",
  { needs: ["kprobe"], since: "5.15", missing: Deno.build.arch === "x86_64" ? undefined : "needs x86_64" },
  () => kprobe("vfs_read", 1n),
);
refusal(
  "perfEventOpen: EINVAL, kprobe: no instruction begins there, on aarch64",
  { needs: ["kprobe"], since: "5.15", missing: Deno.build.arch === "aarch64" ? undefined : "needs aarch64" },
  () => kprobe("vfs_read", 1n),
);
refusal(
  "perfEventOpen: EADDRNOTAVAIL, kprobe: several functions have this name",
  { needs: ["kprobe"], since: "6.7" },
  () => kprobe(ambiguous()),
);
refusal("perfEventOpen: E2BIG, uprobe: a path of 4,096 bytes", {}, () => {
  const { type } = probeType("uprobe");
  return perfEventOpen({ type, config: 0n, config1: `/${"x".repeat(4095)}` }, -1, 0);
});
refusal("perfEventOpen: ENOSPC, all breakpoints of the hardware are in use", {}, (own) => {
  for (let i = 0; i < 16; i++) own.fd(breakpoint(i));
  return breakpoint(16);
});
refusal(
  "perfEventOpen: EOPNOTSUPP, the hardware cannot sample the event",
  { missing: whyNoUnsampled() },
  () => perfEventOpen({ type: unsampled()!, config: 0n, samplePeriod: 1_000_000n }, EVERY, 0),
);
claim("perfEventOpen: ENOTSUPP, uprobe: no instruction that can be probed begins at the offset", {}, async () => {
  const code = await atUnprobeable((path, offset) => outcomeSync(() => close(uprobe(path, offset))));
  assertEquals(code, "ENOTSUPP");
});
claim("perfEventOpen: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted("perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000n }, 0, -1)"), "EMFILE");
});

const breakpoint = (i: number) =>
  perfEventOpen({ type: BREAKPOINT, config: 0n, bpType: 2, config1: 0x10_000n + BigInt(i) * 8n, config2: 8n }, 0, -1);

/** The number of a unit that counts without interrupts. */
function unsampled(): number | undefined {
  const units = "/sys/bus/event_source/devices";
  return Array.from(Deno.readDirSync(units), ({ name }) => Number(Deno.readTextFileSync(`${units}/${name}/type`)))
    .find((type) =>
      outcomeSync(() => close(perfEventOpen({ type, config: 0n, samplePeriod: 1_000_000n }, EVERY, 0))) === "EOPNOTSUPP"
    );
}

/** Why there is no such unit, if there is none. */
function whyNoUnsampled(): string | undefined {
  try {
    return unsampled() === undefined ? "needs a performance counter without interrupts" : undefined;
  } catch {
    return "needs the performance counters of the machine";
  }
}

/** A name that several functions of the kernel have. */
function ambiguous(): string {
  const seen = new Set<string>();
  for (const [, name] of Deno.readTextFileSync("/proc/kallsyms").matchAll(/^\w+ t (\w+)$/gm)) {
    if (seen.has(name!)) return name!;
    seen.add(name!);
  }
  throw new Error("no name is there twice");
}

/** An empty file of the test's own. */
function ownFile(own: Own): string {
  const path = Deno.makeTempFileSync();
  own.defer(() => Deno.removeSync(path));
  return path;
}

// ---- perfEventEnable

claim("perfEventEnable: needs only the fd", {}, (own) => perfEventEnable(clock(own)));
misuse("perfEventEnable: RangeError, `fd` is no fd", () => perfEventEnable(-1));
refusal("perfEventEnable: EBADF, `fd` is not open", {}, () => perfEventEnable(NO_FD));
refusal("perfEventEnable: ENOTTY, `fd` is no perf event", {}, (own) => perfEventEnable(own.file()));
