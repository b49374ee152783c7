/** What is special about links to raw tracepoints. */
import { rawTracepointOpen } from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { rawTracepoint, xdp } from "../../fixture/program/programs.ts";
import { NO_FD, rows } from "../refusal/rows.ts";

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
    /no raw_tracepoint program/,
  ],
  [
    "a tracepoint without a name",
    (own) => rawTracepointOpen(undefined, own.use(rawTracepoint()).fd),
    "RAW_TRACEPOINT_OPEN EFAULT invalid",
    /raw_tracepoint/,
  ],
  ["no program", () => rawTracepointOpen("sched_switch", NO_FD), "RAW_TRACEPOINT_OPEN EBADF invalid", /not open/],
);
