/** What is special about links to a place in the kernel's code. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BpfError, Link, type Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import {
  AT_EXEC,
  countOf,
  kernelAddress,
  moduleFunction,
  traceableFunctions,
  whyNoModuleFunction,
} from "../../fixture/program/kernel_functions.ts";
import { answering, CALLED } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { missRuns, runsOf, SLEEP, sleepAtOnce } from "../../fixture/run/runs.ts";
import { testCookie } from "../cookies.ts";

const NEEDS = { since: "5.15", needs: ["kprobe"] } as const;
/** An instruction for branches to land on, behind which the kernel puts the probe. */
const ENDBR_SIZE = 4n;

/** More than the kernel keeps room for: twice as many as there may be processors, or ten. */
const CALLS = 40;

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

kernelTest("kprobe: runs that the kernel leaves out are counted", { ...NEEDS, since: "6.7" }, () => {
  using program = probe();
  using link = Link.attach(program, { type: "kprobe", symbol: CALLED });
  const missed = () => (link.info() as { missed?: number }).missed!;
  assertEquals(missed(), 0);
  missRuns(3);
  assert(missed() >= 3, `${missed()}`);
});

kernelTest("kprobe: a return is not seen where more calls go on than the kernel keeps room for", {
  ...NEEDS,
  since: "6.7",
}, async () => {
  using program = probe();
  using link = Link.attach(program, { type: "kprobe", symbol: SLEEP, retprobe: true });
  await sleepAtOnce(CALLS);
  const { event, missed } = link.info() as { event: string; missed?: number };
  assertEquals(event, "kretprobe");
  assert(missed! > 0 && missed! < CALLS, `${missed} of ${CALLS}`);
});

kernelTest("kprobe: places that cannot be probed", NEEDS, () => {
  using program = probe();
  const at = (rest: { symbol: string; offset?: number; retprobe?: boolean }) =>
    attachRefusal(program, { type: "kprobe", ...rest });
  assertEquals(at({ symbol: "no_such_function" }), ["ENOENT", "invalid"]);
  assertEquals(at({ symbol: "get_kprobe" }), ["EINVAL", "invalid"]); // probes need it themselves
  assertEquals(at({ symbol: AT_EXEC, offset: 2 })[1], "invalid"); // inside of the first instruction
});

kernelTest("kprobe: a name that the compiler changed is suggested, one with bytes behind it refused", NEEDS, () => {
  using program = probe();
  const changed = traceableFunctions().map(({ name }) => name)
    .find((name) => /^\w+\.(isra|constprop|part)\.\d+$/.test(name) && countOf(name.split(".")[0]!) === 0);
  if (changed !== undefined) {
    const symbol = changed.split(".")[0]!;
    const error = assertThrows(() => Link.attach(program, { type: "kprobe", symbol }), BpfError);
    assertEquals(error.code, "ENOENT");
    assertStringIncludes(error.hint!, changed);
  }
  assertThrows(() => Link.attach(program, { type: "kprobe", symbol: `${AT_EXEC}+0x4` }), TypeError, "target.offset");
});

kernelTest("kprobe: a name that several functions have, with their addresses", { ...NEEDS, since: "6.12" }, () => {
  using program = probe();
  const seen = new Set<string>();
  const twice = traceableFunctions().find(({ name, module }) =>
    module === undefined && seen.size === seen.add(name).size
  );
  if (twice === undefined) return; // without tracefs
  const error = assertThrows(() => Link.attach(program, { type: "kprobe", symbol: twice.name }), BpfError);
  assertEquals([error.code, error.reason], ["EADDRNOTAVAIL", "invalid"]);
  assertStringIncludes(error.message, `several functions are called ${twice.name}, at 0x`);
});

kernelTest("kprobe: a function of a module by module and name", { ...NEEDS, missing: whyNoModuleFunction() }, () => {
  using program = probe();
  const { name, module } = moduleFunction()!;
  Link.attach(program, { type: "kprobe", symbol: `${module}:${name}` }).close();
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
