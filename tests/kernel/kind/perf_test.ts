/** What is special about links to perf events and probes. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Call } from "../../../lib/ffi/calls.ts";
import { Request } from "../../../lib/ffi/request.ts";
import { close, enableStats, linkCreate, open, perfEventEnable, perfEventOpen } from "../../../lib/sys/mod.ts";
import { type AttachTarget, BpfError, Link, type Program } from "../../../mod.ts";
import { CODE_OF } from "../../fixture/place/elf.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { AT_EXEC, kernelAddress } from "../../fixture/program/kernel_functions.ts";
import { answering, xdp } from "../../fixture/program/programs.ts";
import { kernelTest, type Requirements } from "../../fixture/run/kernel.ts";
import { mountPoints } from "../../fixture/run/own.ts";
import { countRuns, runsWhileBusy, spin } from "../../fixture/run/runs.ts";
import { CookieReader } from "../cookies.ts";

const COOKIE = 0xfedcba9876543210n;
const SOFTWARE = 1, CPU_CLOCK = 0n, OWN_THREAD = 0;
const CLOCK = { type: "software", config: "cpu_clock", pid: OWN_THREAD, samplePeriod: 100_000n } as const;
const MULTI = { type: "kprobe", expectedAttachType: "trace_uprobe_multi" } as const;
const KERNEL_MULTI = { type: "kprobe", expectedAttachType: "trace_kprobe_multi" } as const;

const probe = (): Program => answering(0, { type: "kprobe" });
const uprobeMulti = (): Program => answering(0, MULTI);

function refusal(program: Program, target: AttachTarget): [reason: string, code: string] {
  const { reason, code } = assertThrows(() => Link.attach(program, target), BpfError);
  return [reason, code];
}

/** How often a program runs while a process of `victim` does. */
function runs(program: Program, victim: Victim): number {
  return countRuns(program.id, () => victim.run());
}

/** {@linkcode runs} where every process of the machine counts: others only add, so the least of some counts is exact. */
function leastRuns(program: Program, victim: Victim): number {
  return Math.min(...Array.from({ length: 5 }, () => runs(program, victim)));
}

/** The number of a process that is no more. */
async function deadPid(): Promise<number> {
  const child = new Deno.Command("true").spawn();
  await child.status;
  return child.pid;
}

// Cookies

const WITH_COOKIE: [name: string, Requirements, (victim: Victim) => [Parameters<typeof answering>[1], AttachTarget]][] =
  [
    ["perf_event", { since: "5.15" }, () => [
      { type: "perf_event" },
      { type: "perf_event", event: CLOCK, cookie: COOKIE },
    ]],
    ["tracepoint", { since: "5.15" }, () => [
      { type: "tracepoint" },
      { type: "tracepoint", category: "sched", name: "sched_process_exec", cookie: COOKIE },
    ]],
    ["kprobe", { since: "5.15", needs: ["kprobe"] }, () => [
      { type: "kprobe" },
      { type: "kprobe", symbol: AT_EXEC, cookie: COOKIE },
    ]],
    ["kretprobe", { since: "5.15", needs: ["kprobe"] }, () => [
      { type: "kprobe" },
      { type: "kprobe", symbol: AT_EXEC, retprobe: true, cookie: COOKIE },
    ]],
    ["uprobe", { since: "5.15" }, ({ path }) => [
      { type: "kprobe" },
      { type: "uprobe", path, symbol: "work", cookie: COOKIE },
    ]],
    ["uretprobe", { since: "5.15" }, ({ path }) => [
      { type: "kprobe" },
      { type: "uprobe", path, symbol: "work", retprobe: true, cookie: COOKIE },
    ]],
  ];
for (const [name, requirements, make] of WITH_COOKIE) {
  kernelTest(`${name}: the program and the info see the cookie`, requirements, () => {
    using victim = new Victim();
    const [options, target] = make(victim);
    using reader = new CookieReader(options);
    using link = Link.attach(reader.program, target) as Link<"perf_event">;
    victim.run();
    for (let i = 0; i < 200 && reader.seen().length === 0; i++) spin(5);
    assertEquals(reader.seen(), [COOKIE]);
    const info = link.info();
    if ("cookie" in info) assertEquals(info.cookie, COOKIE); // told since 6.9
  });
}

kernelTest("uprobe_multi: the program and the info see the cookie of each place", { since: "6.6" }, () => {
  using victim = new Victim();
  using reader = new CookieReader(MULTI);
  const symbols = ["work", "_start"], cookies = [2n, 1n];
  using link = Link.attach(reader.program, { type: "uprobe_multi", path: victim.path, symbols, cookies });
  victim.run();
  assertEquals(reader.seen(), [1n, 2n]);
  assertEquals(link.info().offsets, [{ offset: victim.work, cookie: 2n }, { offset: victim.start, cookie: 1n }]);
});

kernelTest("kprobe_multi: cookies stay with their functions in the order of addresses", {
  since: "5.18",
  needs: ["fprobe"],
}, () => {
  using victim = new Victim();
  using reader = new CookieReader(KERNEL_MULTI);
  const functions = new Map([["vfs_read", 1n], [AT_EXEC, 2n]]);
  using link = Link.attach(reader.program, {
    type: "kprobe_multi",
    symbols: [...functions.keys()],
    cookies: [...functions.values()],
  });
  victim.run();
  assertEquals(reader.seen(), [1n, 2n]);
  const expected = [...functions].map(([symbol, cookie]) => ({ address: kernelAddress(symbol), cookie }))
    .sort((a, b) => a.address < b.address ? -1 : 1);
  assertEquals(link.info().addresses, expected);
});

// Places of the kernel

/** An instruction for branches to land on, behind which the kernel puts the probe. */
const ENDBR_SIZE = 4n;

kernelTest("kprobe: an address is as good as a name", { since: "5.15", needs: ["kprobe"] }, () => {
  using victim = new Victim();
  using program = probe();
  const address = kernelAddress(AT_EXEC);
  using link = Link.attach(program, { type: "kprobe", address });
  assert(runs(program, victim) > 0);
  const info = link.info();
  if (info.event === "unknown") return;
  assert(info.event === "kprobe" && !("symbol" in info));
  assert([address, address + ENDBR_SIZE].includes(info.address!), `${info.address} for ${address}`);
});

kernelTest("kprobe: places that cannot be probed", { since: "5.15", needs: ["kprobe"] }, () => {
  using program = probe();
  const at = (rest: { symbol: string; offset?: number; retprobe?: boolean }) =>
    refusal(program, { type: "kprobe", ...rest });
  assertEquals(at({ symbol: "no_such_function" }), ["invalid", "ENOENT"]);
  assertEquals(at({ symbol: "get_kprobe" }), ["invalid", "EINVAL"]); // probes need it themselves
  assertEquals(at({ symbol: AT_EXEC, offset: 2 })[0], "invalid"); // inside of the first instruction
});

kernelTest("kprobe: what the kernel was built without is said", { since: "5.15" }, () => {
  using program = probe();
  try {
    Link.attach(program, { type: "kprobe", symbol: AT_EXEC }).close();
    Deno.statSync("/sys/bus/event_source/devices/kprobe");
  } catch (error) {
    assert(error instanceof BpfError, String(error));
    assertEquals(error.reason, "unsupported");
    assertThrows(() => Deno.statSync("/sys/bus/event_source/devices/kprobe"), Deno.errors.NotFound);
  }
});

kernelTest("kprobe_multi: names, a pattern and addresses", { since: "5.18", needs: ["fprobe"] }, () => {
  using victim = new Victim();
  using program = answering(0, KERNEL_MULTI);
  for (
    const places of [{ symbols: [AT_EXEC] }, { pattern: "begin_new_ex*" }, { addresses: [kernelAddress(AT_EXEC)] }]
  ) {
    for (const retprobe of [false, true]) {
      using link = Link.attach(program, { type: "kprobe_multi", ...places, retprobe });
      const { count, retprobe: told } = link.info();
      assertEquals([count, told, leastRuns(program, victim)], [1, retprobe, 1]);
    }
  }
});

kernelTest("kprobe_multi: what is no traceable function", { since: "5.18", needs: ["fprobe"] }, () => {
  using program = answering(0, KERNEL_MULTI);
  using misfit = probe();
  assertEquals(refusal(program, { type: "kprobe_multi", symbols: ["no_such_function"] }), ["invalid", "ESRCH"]);
  assertEquals(refusal(program, { type: "kprobe_multi", pattern: "no_such_func*" }), ["invalid", "ENOENT"]);
  assertEquals(refusal(program, { type: "kprobe_multi", addresses: [5n] })[0], "invalid");
  assertEquals(refusal(misfit, { type: "kprobe_multi", symbols: [AT_EXEC] }), ["invalid", "EINVAL"]);
});

// Places in files

kernelTest("uprobe: by name, by name and offset, by offset, by URL", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = probe();
  const url = new URL(`file://${victim.path}`);
  for (
    const place of [
      { path: victim.path, symbol: "work" },
      { path: victim.path, symbol: "_start", offset: victim.work - victim.start },
      { path: url, offset: victim.work },
    ]
  ) {
    using link = Link.attach(program, { type: "uprobe", ...place });
    assertEquals(runs(program, victim), 1);
    const info = link.info();
    if (info.event === "uprobe") assertEquals([info.path, info.offset], [victim.path, victim.work]);
  }
  assertEquals(runs(program, victim), 0);
});

kernelTest("uprobe_multi: by name, by pattern, by offset", { since: "6.6" }, () => {
  using victim = new Victim();
  using program = uprobeMulti();
  const both = [victim.start, victim.work].map((offset) => ({ offset, cookie: 0n }));
  for (
    const [places, offsets] of [
      [{ symbols: ["work", "_start"] }, both.toReversed()],
      [{ pattern: "*" }, both],
      [{ pattern: "w?rk" }, both.slice(1)],
      [{ offsets: [victim.start, victim.work] }, both],
    ] as const
  ) {
    using link = Link.attach(program, { type: "uprobe_multi", path: victim.path, ...places });
    assertEquals(runs(program, victim), offsets.length);
    assertEquals([link.info().offsets as unknown, link.info().count], [offsets, offsets.length]);
  }
});

for (const type of ["uprobe", "uprobe_multi"] as const) {
  const since = type === "uprobe" ? "5.15" : "6.6";
  const load = type === "uprobe" ? probe : uprobeMulti;
  const at = (path: string, offset: number, pid?: number): AttachTarget =>
    type === "uprobe" ? { type, path, offset, pid } : { type, path, offsets: [offset], pid };

  kernelTest(`${type}: with a pid the program runs in that process alone`, { since }, async () => {
    using victim = new Victim();
    using program = load();
    const script = 'read line; exec "$0"';
    const child = new Deno.Command("sh", { args: ["-c", script, victim.path], stdin: "piped" }).spawn();
    using link = Link.attach(program, at(victim.path, victim.work, child.pid)) as Link;
    if (link.is("uprobe_multi")) assertEquals(link.info().pid, child.pid);
    assertEquals(runs(program, victim), 0);
    const counting = enableStats();
    try {
      const stdin = child.stdin.getWriter();
      await stdin.write(new TextEncoder().encode("\n"));
      await stdin.close();
      assertEquals((await child.status).code, 0);
      assertEquals(program.info().runCount, 1n);
    } finally {
      close(counting);
    }
    if (link.is("uprobe_multi")) assertEquals(link.info().pid, undefined); // it is no more
  });

  kernelTest(`${type}: a process that is no more`, { since }, async () => {
    using victim = new Victim();
    using program = load();
    assertEquals(refusal(program, at(victim.path, victim.work, await deadPid())), ["gone", "ESRCH"]);
  });

  kernelTest(`${type}: the link outlives the name of its file`, { since }, () => {
    using program = load();
    using victim = new Victim();
    using link = Link.attach(program, at(victim.path, victim.work)) as Link;
    const elsewhere = `${victim.path}_elsewhere`;
    Deno.renameSync(victim.path, elsewhere);
    Deno.copyFileSync(elsewhere, victim.path);
    assertEquals(runs(program, victim), 0); // another file in its place is not probed
    Deno.renameSync(elsewhere, victim.path);
    assertEquals(runs(program, victim), 1);
    Deno.removeSync(victim.path);
    const info = link.info();
    if (info.type === "uprobe_multi") assertEquals(info.path, `${victim.path} (deleted)`);
    else {assert(
        info.type === "perf_event" && (info.event === "unknown" || "path" in info && info.path === victim.path),
      );}
  });

  kernelTest(`${type}: what is no place in a file`, { since }, () => {
    using victim = new Victim();
    using program = load();
    assertEquals(refusal(program, at(`${victim.path}_not`, 0)), ["gone", "ENOENT"]);
    assertEquals(refusal(program, at("/dev/null", 0))[0], "invalid");
    assertEquals(refusal(program, at("/", 0))[0], "invalid");
    assertEquals(refusal(program, at(victim.path, 2 ** 40)), ["invalid", "EINVAL"]);
  });

  kernelTest(`${type}: an instruction that cannot be probed, in a process that has it`, { since }, async () => {
    using victim = new Victim([{ name: "_start", code: CODE_OF.wait }, { name: "work", code: CODE_OF.trap }]);
    using program = load();
    const child = new Deno.Command(victim.path).spawn();
    try {
      await victim.isRunning(child.pid);
      assertEquals(refusal(program, at(victim.path, victim.work)), ["invalid", "ENOTSUPP"]);
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
  });

  kernelTest(`${type}: a name that the file has not, or twice`, { since }, () => {
    using victim = new Victim([
      { name: "_start", code: CODE_OF.start },
      { name: "work", code: CODE_OF.work },
      { name: "work", code: CODE_OF.work },
    ]);
    using program = load();
    const named = (symbol: string, path = victim.path): AttachTarget =>
      type === "uprobe" ? { type, path, symbol } : { type, path, symbols: [symbol] };
    assertEquals(refusal(program, named("nothing")), ["invalid", "ENOENT"]);
    assertEquals(refusal(program, named("work")), ["invalid", "EINVAL"]);
    assertEquals(refusal(program, named("work", `${victim.path}_not`)), ["gone", "ENOENT"]);
    assertEquals(refusal(program, named("work", "/")), ["invalid", "EISDIR"]);
    assertEquals(refusal(program, named("work", "/proc/version"))[0], "invalid");
  });
}

kernelTest("uprobe: a reference counter is told again", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = probe();
  using link = Link.attach(program, { type: "uprobe", path: victim.path, symbol: "work", referenceCounterOffset: 64 });
  const info = link.info();
  if ("referenceCounterOffset" in info) assertEquals(info.referenceCounterOffset, 64); // since 6.16
});

kernelTest("uprobe_multi: reference counters go with the places", { since: "6.6" }, () => {
  using victim = new Victim();
  using program = uprobeMulti();
  using link = Link.attach(program, {
    type: "uprobe_multi",
    path: victim.path,
    symbols: ["_start", "work"],
    referenceCounterOffsets: [64, 0],
  });
  assertEquals(link.info().offsets, [
    { offset: victim.start, referenceCounterOffset: 64, cookie: 0n },
    { offset: victim.work, cookie: 0n },
  ]);
});

kernelTest("uprobe_multi: a program that was not loaded for it", { since: "6.6" }, () => {
  using victim = new Victim();
  using program = probe();
  assertEquals(refusal(program, { type: "uprobe_multi", path: victim.path, symbols: ["work"] }), ["invalid", "EINVAL"]);
});

kernelTest("uprobe_multi: more places than a link takes", { since: "6.6" }, () => {
  using victim = new Victim();
  using program = uprobeMulti();
  const offsets = new Array<bigint>(2 ** 20 + 1).fill(BigInt(victim.work));
  const error = assertThrows(
    () => linkCreate(program.fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: victim.path, offsets } }),
    BpfError,
  );
  assertEquals([error.reason, error.code], ["limit", "E2BIG"]);
});

for (const [returns, times] of [[0, 2], [1, 1]] as const) {
  kernelTest(`uprobe_multi: a session that answers ${returns} at entry runs ${times}x`, { since: "6.13" }, () => {
    using victim = new Victim();
    using program = answering(returns, { type: "kprobe", expectedAttachType: "trace_uprobe_session" });
    using _ = Link.attach(program, { type: "uprobe_multi", path: victim.path, symbols: ["work"], session: true });
    assertEquals(runs(program, victim), times);
  });
  kernelTest(`kprobe_multi: a session that answers ${returns} at entry runs ${times}x`, {
    since: "6.10",
    needs: ["fprobe"],
  }, () => {
    using victim = new Victim();
    using program = answering(returns, { type: "kprobe", expectedAttachType: "trace_kprobe_session" });
    using _ = Link.attach(program, { type: "kprobe_multi", symbols: [AT_EXEC], session: true });
    assertEquals(leastRuns(program, victim), times);
  });
}

// Tracepoints

kernelTest("tracepoint: tracefs may be mounted or not", { since: "5.15", needs: ["netns", "bpffs"] }, () => {
  using victim = new Victim();
  using program = answering(0, { type: "tracepoint" });
  const ran = () => {
    using _ = Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_process_exec" });
    return runs(program, victim);
  };
  const mountPoint = "/sys/kernel/tracing"; // in the mount namespace of the tests
  const mount = () => call("mount", "-t", "tracefs", "tracefs", mountPoint), unmount = () => call("umount", mountPoint);
  const isMounted = mountPoints("tracefs").includes(mountPoint);
  assert(ran() > 0);
  (isMounted ? unmount : mount)();
  try {
    assert(ran() > 0);
  } finally {
    (isMounted ? mount : unmount)();
  }
});

function call(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

kernelTest("tracepoint: one that the kernel has not", { since: "5.15" }, () => {
  using program = answering(0, { type: "tracepoint" });
  const target = { type: "tracepoint", category: "sched", name: "no_such_tracepoint" } as const;
  assertEquals(refusal(program, target), ["invalid", "ENOENT"]);
  assertStringIncludes(assertThrows(() => Link.attach(program, target), BpfError).message, "sched/no_such_tracepoint");
});

// Perf events

const PERF_EVENT_IOC_DISABLE = 0x2401n;

kernelTest("perf_event: an event of one's own is enabled, takes one program and stays open", { since: "5.15" }, () => {
  using program = answering(0, { type: "perf_event" });
  using second = answering(0, { type: "perf_event" });
  const event = perfEventOpen({ type: SOFTWARE, config: CPU_CLOCK, samplePeriod: 100_000n }, OWN_THREAD, -1);
  try {
    assertEquals(new Request(48).u64(0, BigInt(event)).u64(8, PERF_EVENT_IOC_DISABLE).system(Call.ioctl), 0);
    using link = Link.attach(program, { type: "perf_event", event });
    assert(runsWhileBusy(program.id));
    assertEquals(refusal(second, { type: "perf_event", event }), ["exists", "EEXIST"]);
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
    refusal(program, { type: "perf_event", event: { ...CLOCK, ...event } });
  assertEquals(opened({ type: 0x7fffffff, config: 0n }), ["unsupported", "ENOENT"]);
  assertEquals(opened({ cpu: 0x7fffffff }), ["invalid", "EINVAL"]);
  assertEquals(opened({ samplePeriod: undefined, sampleFrequency: 2n ** 40n }), ["invalid", "EINVAL"]);
  assertEquals(refusal(misfit, { type: "perf_event", event: CLOCK }), ["invalid", "EINVAL"]);
  const other = open("/dev/null");
  try {
    assertEquals(refusal(program, { type: "perf_event", event: other }), ["invalid", "ENOTTY"]);
  } finally {
    close(other);
  }
  assertEquals(refusal(program, { type: "perf_event", event: 0x7fffffff }), ["invalid", "EBADF"]);
});

kernelTest("perf_event: a process that is no more", { since: "5.15" }, async () => {
  using program = answering(0, { type: "perf_event" });
  const event = { ...CLOCK, pid: await deadPid() };
  assertEquals(refusal(program, { type: "perf_event", event }), ["gone", "ESRCH"]);
});

// The calls below

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
    assertEquals([error.reason, error.code], ["limit", "ENOSPC"]);
    assert(events.length > 0);
  } finally {
    events.forEach(close);
  }
});

kernelTest("enableStats: runs are counted while it is open", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = probe();
  using _ = Link.attach(program, { type: "uprobe", path: victim.path, symbol: "work" });
  const counting = enableStats();
  victim.run();
  close(counting);
  assert(program.info().runCount! >= 1n);
  assertEquals(assertThrows(() => enableStats(1), BpfError).code, "EINVAL");
});
