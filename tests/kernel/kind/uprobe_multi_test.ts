/** What is special about links to many places in a file; what holds for one place too is in places_in_files.ts. */
import { assertEquals, assertThrows } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfError, Link, type Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { runsOf } from "../../fixture/run/runs.ts";
import { CookieReader } from "../cookies.ts";
import { DEV_NULL, rows, uprobes } from "../refusal/rows.ts";
import { testPlacesInFiles } from "./places_in_files.ts";

const MULTI = { type: "kprobe", expectedAttachType: "trace_uprobe_multi" } as const;

const uprobeMulti = (): Program => answering(0, MULTI);

testPlacesInFiles("uprobe_multi", "6.6", uprobeMulti);

kernelTest("uprobe_multi: the program and the info see the cookie of each place", { since: "6.6" }, () => {
  using victim = new Victim();
  using reader = new CookieReader(MULTI);
  const symbols = ["work", "_start"], cookies = [2n, 1n];
  using link = Link.attach(reader.program, { type: "uprobe_multi", path: victim.path, symbols, cookies });
  victim.run();
  assertEquals(reader.seen(), [1n, 2n]);
  assertEquals(link.info().offsets, [{ offset: victim.work, cookie: 2n }, { offset: victim.start, cookie: 1n }]);
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
    assertEquals(runsOf(program, victim), offsets.length);
    assertEquals([link.info().offsets as unknown, link.info().count], [offsets, offsets.length]);
  }
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
  using program = answering(0, { type: "kprobe" });
  assertEquals(attachRefusal(program, { type: "uprobe_multi", path: victim.path, symbols: ["work"] }), [
    "EINVAL",
    "invalid",
  ]);
});

kernelTest("uprobe_multi: more places than a link takes", { since: "6.6" }, () => {
  using victim = new Victim();
  using program = uprobeMulti();
  const offsets = new Array<bigint>(2 ** 20 + 1).fill(BigInt(victim.work));
  const error = assertThrows(
    () => linkCreate(program.fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: victim.path, offsets } }),
    BpfError,
  );
  assertEquals([error.code, error.reason], ["E2BIG", "limit"]);
});

for (const [returns, times] of [[0, 2], [1, 1]] as const) {
  kernelTest(`uprobe_multi: a session that answers ${returns} at entry runs ${times}x`, { since: "6.13" }, () => {
    using victim = new Victim();
    using program = answering(returns, { type: "kprobe", expectedAttachType: "trace_uprobe_session" });
    using _ = Link.attach(program, { type: "uprobe_multi", path: victim.path, symbols: ["work"], session: true });
    assertEquals(runsOf(program, victim), times);
  });
}

rows(
  { since: "6.6" },
  [
    "no such file",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: "/none", offsets: [0n] } }),
    "LINK_CREATE ENOENT gone",
    /no such file/,
  ],
  [
    "a device",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: DEV_NULL, offsets: [0n] } }),
    "LINK_CREATE EBADF invalid",
    /no regular file/,
  ],
  [
    "no such process",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [0n], pid: 0x7ffffff0 },
      }),
    "LINK_CREATE ESRCH gone",
    /no such process/,
  ],
  [
    "beyond the end of the file",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [1n << 50n] },
      }),
    "LINK_CREATE EINVAL invalid",
    /outside of the file/,
  ],
  [
    "no place",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [] },
      }),
    "LINK_CREATE EINVAL invalid",
    /there is none/,
  ],
  [
    "more places than one link takes",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: new Array<bigint>((1 << 20) + 1).fill(0n) },
      }),
    "LINK_CREATE E2BIG limit",
    /2 \*\* 20/,
  ],
);
