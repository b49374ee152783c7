/** What is special about links to tracepoints with their record. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BpfError, Link, Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { assemble, exit, load, set } from "../../fixture/program/assembler.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { mountPoints } from "../../fixture/run/own.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { runsOf } from "../../fixture/run/runs.ts";
import { testCookie } from "../cookies.ts";
import { rows } from "../refusal/rows.ts";

testCookie("tracepoint", { since: "5.15" }, (_, cookie) => [
  { type: "tracepoint" },
  { type: "tracepoint", category: "sched", name: "sched_process_exec", cookie },
]);

kernelTest("tracepoint: tracefs may be mounted or not", { since: "5.15", needs: ["netns", "bpffs"] }, () => {
  using victim = new Victim();
  using program = answering(0, { type: "tracepoint" });
  const ran = () => {
    using _ = Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_process_exec" });
    return runsOf(program, victim);
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
  assertEquals(attachRefusal(program, target), ["ENOENT", "invalid"]);
  assertStringIncludes(assertThrows(() => Link.attach(program, target), BpfError).message, "sched/no_such_tracepoint");
});

rows(
  { since: "5.15" },
  [
    "a program that reads beyond the record",
    (own) => {
      const instructions = assemble(load(0, 1, 2000), set(0, 0), exit);
      const program = own.use(Program.load({ type: "tracepoint", instructions }));
      return Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_switch" });
    },
    "LINK_CREATE EACCES invalid",
    /format file/,
  ],
);
