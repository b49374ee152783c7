/** How often programs run: ENABLE_STATS. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, enableStats } from "../../lib/sys/mod.ts";
import { BpfError, Link } from "../../mod.ts";
import { Victim } from "../fixture/place/victim.ts";
import { answering } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

kernelTest("enableStats: runs are counted while it is open", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = answering(0, { type: "kprobe" });
  using _ = Link.attach(program, { type: "uprobe", path: victim.path, symbol: "work" });
  const counting = enableStats();
  victim.run();
  close(counting);
  assert(program.info().runCount! >= 1n);
  assertEquals(assertThrows(() => enableStats(1), BpfError).code, "EINVAL");
});
