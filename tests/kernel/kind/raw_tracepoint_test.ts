/** What is special about links to raw tracepoints. */
import { assert, assertEquals } from "@std/assert";
import { rawTracepointOpen } from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { rawTracepoint, xdp } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { runsOf } from "../../fixture/run/runs.ts";
import { CookieReader } from "../cookies.ts";
import { NO_FD, rows } from "../refusal/rows.ts";

kernelTest("raw_tracepoint: one program at several tracepoints, each told by its name", {}, () => {
  using program = rawTracepoint();
  using own = new DisposableStack();
  const names = ["sys_enter", "oom_score_adj_update", "sched_process_exec"];
  const links = names.map((name) => own.use(Link.attach(program, { type: "raw_tracepoint", name })));
  assertEquals(links.map((link) => link.info().name), names);
});

kernelTest("raw_tracepoint: it runs for every process of the machine", {}, () => {
  using victim = new Victim();
  using program = rawTracepoint();
  assertEquals(runsOf(program, victim), 0);
  using _link = Link.attach(program, { type: "raw_tracepoint", name: "sched_process_exec" });
  assert(runsOf(program, victim) > 0);
});

kernelTest("raw_tracepoint: the program reads the link's cookie", { since: "6.10" }, () => {
  using victim = new Victim();
  using reader = new CookieReader({ type: "raw_tracepoint" });
  using link = Link.attach(reader.program, { type: "raw_tracepoint", name: "sched_process_exec", cookie: 2n ** 63n });
  victim.run();
  assertEquals(reader.seen(), [2n ** 63n]);
  const { cookie = 2n ** 63n } = link.info(); // told since 6.17
  assertEquals(cookie, 2n ** 63n);
});

rows(
  {},
  [
    "no such tracepoint",
    (own) => Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "none" }),
    "RAW_TRACEPOINT_OPEN ENOENT invalid",
    /tracefs, without the category/,
  ],
  [
    "a name that looks like a part of the message",
    (own) => Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "a: b (c" }),
    "RAW_TRACEPOINT_OPEN ENOENT invalid",
    /^Cannot attach program \d+ to raw tracepoint "a: b \(c": the kernel has no /,
  ],
  [
    "another type of program",
    (own) => Link.attach(own.use(xdp()), { type: "raw_tracepoint", name: "sched_switch" }),
    "RAW_TRACEPOINT_OPEN EINVAL invalid",
    /program is of type xdp.*take programs of type raw_tracepoint/,
  ],
  [
    "a tracepoint without a name",
    (own) => rawTracepointOpen(undefined, own.use(rawTracepoint()).fd),
    "RAW_TRACEPOINT_OPEN EFAULT invalid",
    /raw_tracepoint/,
  ],
  ["no program", () => rawTracepointOpen("sched_switch", NO_FD), "RAW_TRACEPOINT_OPEN EBADF invalid", /not open/],
);
