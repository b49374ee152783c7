/** Events that see every CPU, on machines where one is off: the kernel wants one named that is on. */
import { assertEquals } from "@std/assert";
import { type AttachTarget, Link, probe } from "../../mod.ts";
import { Victim } from "../fixture/place/victim.ts";
import { answering } from "../fixture/program/programs.ts";
import { kernelTest, whyMissing } from "../fixture/run/kernel.ts";
import { leastRunsOf } from "../fixture/run/runs.ts";

const switchOf = (cpu: number) => `/sys/devices/system/cpu/cpu${cpu}/online`;

kernelTest("tracepoints, kprobes and uprobes are attached whichever CPU is off", {
  since: "5.15",
  needs: ["vm", "cpus"],
  missing: whyStays(0),
}, () => {
  using victim = new Victim();
  using tracepoint = answering(0, { type: "tracepoint" });
  using kprobe = answering(0, { type: "kprobe" });
  const uprobe: AttachTarget = { type: "uprobe", path: victim.path, symbol: "work" };
  for (const cpu of [0, 1]) {
    Deno.writeTextFileSync(switchOf(cpu), "0");
    try {
      for (
        const [program, target] of [
          [tracepoint, { type: "tracepoint", category: "sched", name: "sched_process_exec" }],
          [kprobe, uprobe],
          ...whyMissing(["kprobe"]) === undefined
            ? [[kprobe, { type: "kprobe", symbol: "begin_new_exec" }] as const]
            : [],
        ] as const
      ) {
        using _link = Link.attach(program, target as AttachTarget);
        assertEquals(leastRunsOf(program, victim), 1, `${target.type} without CPU ${cpu}`);
      }
      const { tracepoint: events, uprobe: places } = probe();
      assertEquals([events.attach.answer, places.attach.answer], ["yes", "yes"]);
    } finally {
      Deno.writeTextFileSync(switchOf(cpu), "1");
    }
  }
});

/** Why a CPU cannot be switched off, if it cannot; x86 keeps CPU 0 since Linux 6.5. */
function whyStays(cpu: number): string | undefined {
  try {
    Deno.statSync(switchOf(cpu));
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `needs a machine whose CPU ${cpu} can be switched off`;
    throw error;
  }
}
