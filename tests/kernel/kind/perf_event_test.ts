/** What is special about links to perf events, and the call that opens them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Call } from "../../../lib/ffi/symbols.ts";
import { Request } from "../../../lib/ffi/request.ts";
import { close, linkCreate, open, perfEventEnable, perfEventOpen } from "../../../lib/sys/mod.ts";
import { BpfError, Link } from "../../../mod.ts";
import { deadPid } from "../../fixture/process/pids.ts";
import { answering, xdp } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { runsWhileBusy } from "../../fixture/run/runs.ts";
import { testCookie } from "../cookies.ts";
import { clock, DEV_NULL, eventProgram, file, rows } from "../refusal/rows.ts";

const SOFTWARE = 1, CPU_CLOCK = 0n, OWN_THREAD = 0;
const CLOCK = { type: "software", config: "cpu_clock", pid: OWN_THREAD, samplePeriod: 100_000n } as const;

testCookie("perf_event", { since: "5.15" }, (_, cookie) => [
  { type: "perf_event" },
  { type: "perf_event", event: CLOCK, cookie },
]);

const PERF_EVENT_IOC_DISABLE = 0x2401n;

kernelTest("perf_event: an event of one's own is enabled, takes one program and stays open", { since: "5.15" }, () => {
  using program = answering(0, { type: "perf_event" });
  using second = answering(0, { type: "perf_event" });
  const event = perfEventOpen({ type: SOFTWARE, config: CPU_CLOCK, samplePeriod: 100_000n }, OWN_THREAD, -1);
  try {
    assertEquals(new Request(48).u64(0, BigInt(event)).u64(8, PERF_EVENT_IOC_DISABLE).system(Call.ioctl), 0);
    using link = Link.attach(program, { type: "perf_event", event });
    assert(runsWhileBusy(program.id));
    assertEquals(attachRefusal(second, { type: "perf_event", event }), ["EEXIST", "exists"]);
    perfEventEnable(event); // still open
    assertEquals(link.attached(), undefined);
  } finally {
    close(event);
  }
});

kernelTest("perf_event: the link keeps an event whose fd is closed", { since: "5.15" }, () => {
  using program = answering(0, { type: "perf_event" });
  using _ = Link.attach(program, { type: "perf_event", event: { ...CLOCK, config: 0n } });
  assert(runsWhileBusy(program.id));
});

kernelTest("perf_event: names, a frequency, a breakpoint, a CPU", { since: "5.15" }, () => {
  using program = answering(0, { type: "perf_event" });
  const access = { address: 0x10000n, length: 8, access: "write" } as const;
  for (
    const event of [
      { type: "software", config: "cpu-clock", pid: OWN_THREAD, sampleFrequency: 5000n, excludeKernel: true },
      { type: "software", config: "minor-faults", cpu: 0 },
      { type: "breakpoint", config: 0n, breakpoint: access, pid: OWN_THREAD, samplePeriod: 1n },
    ] as const
  ) Link.attach(program, { type: "perf_event", event }).close();
});

kernelTest("perf_event: what is no event", { since: "5.15" }, () => {
  using program = answering(0, { type: "perf_event" });
  using misfit = xdp();
  const opened = (event: Partial<typeof CLOCK> | object) =>
    attachRefusal(program, { type: "perf_event", event: { ...CLOCK, ...event } });
  assertEquals(opened({ type: 0x7fffffff, config: 0n }), ["ENOENT", "unsupported"]);
  assertEquals(opened({ cpu: 0x7fffffff }), ["EINVAL", "invalid"]);
  assertEquals(opened({ samplePeriod: undefined, sampleFrequency: 2n ** 40n }), ["EINVAL", "invalid"]);
  assertEquals(attachRefusal(misfit, { type: "perf_event", event: CLOCK }), ["EINVAL", "invalid"]);
  const other = open("/dev/null");
  try {
    assertEquals(attachRefusal(program, { type: "perf_event", event: other }), ["ENOTTY", "invalid"]);
  } finally {
    close(other);
  }
  assertEquals(attachRefusal(program, { type: "perf_event", event: 0x7fffffff }), ["EBADF", "invalid"]);
});

kernelTest("perf_event: a process that is no more", { since: "5.15" }, async () => {
  using program = answering(0, { type: "perf_event" });
  const event = { ...CLOCK, pid: await deadPid() };
  assertEquals(attachRefusal(program, { type: "perf_event", event }), ["ESRCH", "gone"]);
});

kernelTest("perfEventOpen: every process on every CPU is no event", {}, () => {
  const error = assertThrows(() => perfEventOpen({ type: SOFTWARE, config: CPU_CLOCK }, -1, -1), BpfError);
  assertEquals([error.code, error.command], ["EINVAL", "perf_event_open"]);
});

kernelTest("perfEventOpen: the hardware has few breakpoints", {}, () => {
  const events: number[] = [];
  const attr = { type: 5, config: 0n, config1: 0x10000n, config2: 8n, bpType: 2 };
  try {
    const error = assertThrows(() => {
      for (let i = 0; i < 32; i++) events.push(perfEventOpen(attr, OWN_THREAD, -1));
    }, BpfError);
    assertEquals([error.code, error.reason], ["ENOSPC", "limit"]);
    assert(events.length > 0);
  } finally {
    events.forEach(close);
  }
});

rows(
  { since: "5.15" },
  [
    "a file that is no event",
    (own) => linkCreate(own.use(eventProgram()).fd, file(own, DEV_NULL), "perf_event"),
    "LINK_CREATE EBADF invalid",
    /no perf event/,
  ],
  [
    "a file that is no event",
    (own) => Link.attach(own.use(eventProgram()), { type: "perf_event", event: file(own, DEV_NULL) }),
    "ioctl ENOTTY invalid",
    /pass what perf_event_open returned/,
  ],
  [
    "a second program",
    (own) => {
      const event = clock(own), program = own.use(eventProgram());
      own.use(Link.attach(program, { type: "perf_event", event }));
      return Link.attach(program, { type: "perf_event", event });
    },
    "LINK_CREATE EEXIST exists",
    /an event of your own/,
  ],
  [
    "a program for another kind of event",
    (own) => Link.attach(own.use(answering(0, { type: "kprobe" })), { type: "perf_event", event: clock(own) }),
    "LINK_CREATE EINVAL invalid",
    /program is of type kprobe.*other events of type perf_event/,
  ],
);
