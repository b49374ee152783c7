/** What is special about links of programs for typed tracepoints. */
import { assertEquals, assertThrows } from "@std/assert";
import { BpfError, Link, Program } from "../../../mod.ts";
import { tracer } from "../../fixture/program/functions.ts";
import { answering, rawTracepoint } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";

const TRACEPOINT = "oom_score_adj_update";

kernelTest("tp_btf: a cookie is taken where a program can read it, and refused elsewhere", {}, () => {
  using program = tracer("trace_raw_tp", TRACEPOINT);
  const attach = () => Link.attach(program, { type: "tp_btf", cookie: 0xfedcba9876543210n });
  const [major = 0, minor = 0] = Deno.osRelease().split(".").map(Number);
  if (major < 6 || major === 6 && minor < 10) {
    const error = assertThrows(attach, BpfError);
    assertEquals([error.reason, error.code], ["unsupported", "EINVAL"]);
    return;
  }
  using link = attach();
  const { cookie = 0xfedcba9876543210n } = link.info(); // told since 6.17
  assertEquals(cookie, 0xfedcba9876543210n);
});

kernelTest("tp_btf: programs for other places are refused", {}, () => {
  using iterator = tracer("trace_iter", "task");
  using raw = rawTracepoint();
  using xdp = answering(2, { type: "xdp" });
  for (const program of [iterator, raw, xdp]) {
    assertEquals(assertThrows(() => Link.attach(program, { type: "tp_btf" }), BpfError).reason, "invalid");
  }
});

kernelTest("tp_btf: a program that was opened attaches too", {}, () => {
  using loaded = tracer("trace_raw_tp", TRACEPOINT);
  using program = Program.fromFd(loaded.fd);
  {
    using link = Link.attach(program, { type: "tp_btf" });
    assertEquals([link.type, link.info().name], ["raw_tracepoint", TRACEPOINT]);
  }
  const error = assertThrows(() => Link.attach(program, { type: "tracing" }), BpfError);
  assertEquals([error.reason, error.hint], ["invalid", 'use the target { type: "tp_btf" }']);
});
