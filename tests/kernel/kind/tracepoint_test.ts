/** What is special about links to tracepoints with their record. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { BpfError, Link, probe, Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { assemble, exit, load, set } from "../../fixture/program/assembler.ts";
import { ShownLockdown } from "../../fixture/place/shown.ts";
import { answering } from "../../fixture/program/programs.ts";
import { without } from "../../fixture/process/privileges.ts";
import { runScript } from "../../fixture/process/script.ts";
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

kernelTest("tracepoint: a process that may not read tracefs", {
  since: "5.15",
  needs: ["netns", "bpffs", "setpriv"],
}, async () => {
  const script = `
    import { Link, probe, Program } from "${new URL("../../../mod.ts", import.meta.url)}";
    using program = Program.load({
      type: "tracepoint",
      instructions: new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]),
    });
    try {
      Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_switch" });
    } catch ({ code, reason, message, hint }) {
      console.log(code, reason, message, hint);
    }
    console.log(probe().tracepoint.attach.answer);`;
  const mountPoint = "/sys/kernel/tracing", through = without("dac_override", "dac_read_search");
  call("mount", "-t", "tmpfs", "-o", "mode=700,uid=65534", "tmpfs", mountPoint); // somebody else's, as root's is to others
  try {
    const { output, errors } = await runScript(script, ["--allow-ffi"], { through });
    assertEquals(errors, "");
    const [refusal = "", answer] = output.trimEnd().split("\n");
    assertMatch(refusal, /^EACCES capability .*CAP_DAC_READ_SEARCH.*raw_tracepoint/);
    assertEquals(answer, "no");
  } finally {
    call("umount", mountPoint);
  }
});

kernelTest("tracepoint: where the kernel is locked down probe() says so", {
  since: "5.15",
  needs: ["netns", "bpffs"],
}, () => {
  const { attach } = probe().tracepoint;
  using lockdown = new ShownLockdown("none");
  assertEquals(probe().tracepoint.attach, attach);
  lockdown.level = "integrity";
  assertEquals(probe().tracepoint.attach, attach);
  lockdown.level = "confidentiality";
  for (const { attach: { answer, reason } } of [probe().tracepoint, probe().kprobe]) {
    assertEquals(answer, "no");
    assertMatch(reason!, /locked down \(confidentiality\)/);
  }
});

rows(
  { since: "5.15" },
  [
    "the same program twice",
    (own) => {
      const target = { type: "tracepoint", category: "sched", name: "sched_process_exit" } as const;
      const program = own.use(answering(0, { type: "tracepoint" }));
      own.use(Link.attach(program, target));
      own.use(Link.attach(own.use(answering(0, { type: "tracepoint" })), target)); // another program is welcome
      return Link.attach(program, target);
    },
    "LINK_CREATE EEXIST exists",
    /this program is attached to the tracepoint already.*second time/,
  ],
  [
    "a program of another type",
    (own) => {
      const program = own.use(answering(0, { type: "kprobe" }));
      return Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_switch" });
    },
    "LINK_CREATE EINVAL invalid",
    /program is of type kprobe.*take programs of type tracepoint/,
  ],
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
