/** What is special about links to a place in the kernel's code. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, Link, type Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { AT_EXEC, kernelAddress } from "../../fixture/program/kernel_functions.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { runsOf } from "../../fixture/run/runs.ts";
import { testCookie } from "../cookies.ts";

const NEEDS = { since: "5.15", needs: ["kprobe"] } as const;
/** An instruction for branches to land on, behind which the kernel puts the probe. */
const ENDBR_SIZE = 4n;

const probe = (): Program => answering(0, { type: "kprobe" });

for (const name of ["kprobe", "kretprobe"] as const) {
  testCookie(name, NEEDS, (_, cookie) => [
    { type: "kprobe" },
    { type: "kprobe", symbol: AT_EXEC, retprobe: name === "kretprobe", cookie },
  ]);
}

kernelTest("kprobe: an address is as good as a name", NEEDS, () => {
  using victim = new Victim();
  using program = probe();
  const address = kernelAddress(AT_EXEC);
  using link = Link.attach(program, { type: "kprobe", address });
  assert(runsOf(program, victim) > 0);
  const info = link.info();
  if (info.event === "unknown") return;
  assert(info.event === "kprobe" && !("symbol" in info));
  assert([address, address + ENDBR_SIZE].includes(info.address!), `${info.address} for ${address}`);
});

kernelTest("kprobe: places that cannot be probed", NEEDS, () => {
  using program = probe();
  const at = (rest: { symbol: string; offset?: number; retprobe?: boolean }) =>
    attachRefusal(program, { type: "kprobe", ...rest });
  assertEquals(at({ symbol: "no_such_function" }), ["ENOENT", "invalid"]);
  assertEquals(at({ symbol: "get_kprobe" }), ["EINVAL", "invalid"]); // probes need it themselves
  assertEquals(at({ symbol: AT_EXEC, offset: 2 })[1], "invalid"); // inside of the first instruction
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
