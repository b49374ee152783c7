/** What is special about links to many functions of the kernel. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BpfError, Link } from "../../../mod.ts";
import { ambiguousNames, functionsNamed, variantsOf } from "../../../lib/os/kallsyms.ts";
import { exists } from "../../../lib/os/libraries.ts";
import { ShownFile } from "../../fixture/place/shown.ts";
import { Victim } from "../../fixture/place/victim.ts";
import {
  AT_EXEC,
  kernelAddress,
  moduleFunction,
  traceableFunctions,
  whyNoModuleFunction,
} from "../../fixture/program/kernel_functions.ts";
import { answering, xdp } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { leastRunsOf, SLEEP, sleepAtOnce } from "../../fixture/run/runs.ts";
import { CookieReader } from "../cookies.ts";
import { rows } from "../refusal/rows.ts";

const KERNEL_MULTI = { type: "kprobe", expectedAttachType: "trace_kprobe_multi" } as const;

kernelTest("kprobe_multi: cookies stay with their functions in the order of addresses", {
  since: "5.18",
  needs: ["fprobe"],
}, () => {
  using victim = new Victim();
  using reader = new CookieReader(KERNEL_MULTI);
  const functions = new Map([["vfs_read", 1n], [AT_EXEC, 2n]]);
  using link = Link.attach(reader.program, {
    type: "kprobe_multi",
    symbols: [...functions.keys()],
    cookies: [...functions.values()],
  });
  victim.run();
  assertEquals(reader.seen(), [1n, 2n]);
  const expected = [...functions].map(([symbol, cookie]) => ({ address: kernelAddress(symbol), cookie }))
    .sort((a, b) => a.address < b.address ? -1 : 1);
  assertEquals(link.info().addresses, expected);
});

kernelTest("kprobe_multi: returns that the kernel has no room for are counted", {
  since: "6.7",
  before: "6.14", // then each task has room of its own
  needs: ["fprobe"],
}, async () => {
  using program = answering(0, KERNEL_MULTI);
  using link = Link.attach(program, { type: "kprobe_multi", symbols: [SLEEP], retprobe: true });
  assertEquals(link.info().missed, 0);
  await sleepAtOnce(20);
  assert(link.info().missed! > 0);
});

kernelTest("kprobe_multi: names, a pattern and addresses", { since: "5.18", needs: ["fprobe"] }, () => {
  using victim = new Victim();
  using program = answering(0, KERNEL_MULTI);
  for (
    const places of [{ symbols: [AT_EXEC] }, { pattern: "begin_new_ex*" }, { addresses: [kernelAddress(AT_EXEC)] }]
  ) {
    for (const retprobe of [false, true]) {
      using link = Link.attach(program, { type: "kprobe_multi", ...places, retprobe });
      const { count, retprobe: told } = link.info();
      assertEquals([count, told, leastRunsOf(program, victim)], [1, retprobe, 1]);
    }
  }
});

kernelTest("kprobe_multi: the same function by name and by pattern is at the same address", {
  since: "6.6",
  needs: ["fprobe"],
}, () => {
  using program = answering(0, KERNEL_MULTI);
  const at = (places: { symbols: readonly string[] } | { pattern: string }) => {
    using link = Link.attach(program, { type: "kprobe_multi", ...places });
    return link.info().addresses.map(({ address }) => address);
  };
  assertEquals(at({ symbols: [AT_EXEC] }), [kernelAddress(AT_EXEC)]);
  assertEquals(at({ pattern: AT_EXEC }), [kernelAddress(AT_EXEC)]);
});

kernelTest("kprobe_multi: a name that several functions have is refused, a pattern takes all", {
  since: "6.6",
  needs: ["fprobe"],
}, () => {
  using program = answering(0, KERNEL_MULTI);
  const seen = new Set<string>();
  const twice = traceableFunctions().find(({ name, module }) =>
    module === undefined && seen.size === seen.add(name).size
  )!
    .name;
  const error = assertThrows(
    () => Link.attach(program, { type: "kprobe_multi", symbols: ["vfs_read", twice] }),
    BpfError,
  );
  assertEquals([error.code, error.reason], ["EADDRNOTAVAIL", "invalid"]);
  assertStringIncludes(error.message, `several functions are called ${twice}, at 0x`);
  using link = Link.attach(program, { type: "kprobe_multi", pattern: twice });
  assertEquals(link.info().count, traceableFunctions().filter(({ name }) => name === twice).length);
});

kernelTest("kprobe_multi: of many names the one that is missing is said", { since: "5.18", needs: ["fprobe"] }, () => {
  using program = answering(0, KERNEL_MULTI);
  const symbols = ["vfs_read", "no_such_function", "vfs_write"];
  const { message } = assertThrows(() => Link.attach(program, { type: "kprobe_multi", symbols }), BpfError);
  assertStringIncludes(message, "is called no_such_function (ESRCH)");
});

kernelTest("kprobe_multi: functions of modules by module and name", {
  since: "6.6",
  needs: ["fprobe"],
  missing: whyNoModuleFunction(),
}, () => {
  using program = answering(0, KERNEL_MULTI);
  const { name, module } = moduleFunction()!, symbol = `${module}:${name}`;
  const at = (places: { symbols: readonly string[] } | { pattern: string }) => {
    using link = Link.attach(program, { type: "kprobe_multi", ...places });
    return link.info().addresses.map(({ address }) => address);
  };
  assertEquals(at({ symbols: [symbol] }), [kernelAddress(name)]);
  assertEquals(at({ pattern: symbol }), [kernelAddress(name)]);
  assertEquals(at({ symbols: [symbol, AT_EXEC] }).length, 2);
  for (const absent of [`no_such_module:${name}`, `${module}:no_such_function`]) {
    const target = { type: "kprobe_multi", symbols: [AT_EXEC, absent] } as const;
    assertEquals(attachRefusal(program, target), ["ESRCH", "invalid"]);
  }
});

kernelTest("kprobe_multi: what is no traceable function", { since: "5.18", needs: ["fprobe"] }, () => {
  using program = answering(0, KERNEL_MULTI);
  using misfit = answering(0, { type: "kprobe" });
  assertEquals(attachRefusal(program, { type: "kprobe_multi", symbols: ["no_such_function"] }), ["ESRCH", "invalid"]);
  assertEquals(attachRefusal(program, { type: "kprobe_multi", pattern: "no_such_func*" }), ["ENOENT", "invalid"]);
  assertEquals(attachRefusal(program, { type: "kprobe_multi", addresses: [5n] })[1], "invalid");
  assertEquals(attachRefusal(misfit, { type: "kprobe_multi", symbols: [AT_EXEC] }), ["EINVAL", "invalid"]);
});

for (const [returns, times] of [[0, 2], [1, 1]] as const) {
  kernelTest(`kprobe_multi: a session that answers ${returns} at entry runs ${times}x`, {
    since: "6.10",
    needs: ["fprobe"],
  }, () => {
    using victim = new Victim();
    using program = answering(returns, { type: "kprobe", expectedAttachType: "trace_kprobe_session" });
    using _ = Link.attach(program, { type: "kprobe_multi", symbols: [AT_EXEC], session: true });
    assertEquals(leastRunsOf(program, victim), times);
  });
}

rows(
  { needs: ["fprobe"], since: "6.1" },
  [
    "no such function",
    (own) => {
      const program = own.use(answering(0, { type: "kprobe", expectedAttachType: "trace_kprobe_multi" }));
      return Link.attach(program, { type: "kprobe_multi", symbols: ["no_such_function"] });
    },
    "LINK_CREATE ESRCH invalid",
    /no_such_function.*available_filter_functions/,
  ],
  [
    "a program that was loaded for a single function",
    (own) =>
      Link.attach(own.use(answering(0, { type: "kprobe", expectedAttachType: "perf_event" })), {
        type: "kprobe_multi",
        symbols: [AT_EXEC],
      }),
    "LINK_CREATE EINVAL invalid",
    /was loaded for perf_event.*trace_kprobe_multi/,
  ],
  [
    "a program that was loaded for no such links",
    (own) => Link.attach(own.use(answering(0, { type: "kprobe" })), { type: "kprobe_multi", symbols: [AT_EXEC] }),
    "LINK_CREATE EINVAL invalid",
    /was not loaded for trace_kprobe_multi/,
  ],
  [
    "a program of another type",
    (own) => Link.attach(own.use(xdp()), { type: "kprobe_multi", symbols: [AT_EXEC] }),
    "LINK_CREATE EINVAL invalid",
    /program is of type xdp.*take programs of type kprobe/,
  ],
);

kernelTest("kprobe_multi: all that an attach asks of the kernel's functions takes one reading of them", {
  needs: ["netns", "bpffs"],
}, () => {
  const line = (address: string, name: string) => `${address.padStart(16, "f")} t ${name}\n`;
  const list = line("10", "once") + line("20", "twice") + line("30", "twice") + line("40", "gone.isra.0");
  using shown = new ShownFile("/proc/kallsyms", list);
  // so that nothing is known yet; a kernel without modules has no such file
  using _modules = exists("/proc/modules") ? new ShownFile("/proc/modules", "one_reading 1 0 - Live 0x0\n") : undefined;
  const names = new Set(["once", "twice", "gone", "never asked before"]);
  const ask = () => ({
    counts: [...functionsNamed(names)!].map(([name, { length }]) => [name, length]),
    isUnclear: [...names].filter((name) => ambiguousNames(names).has(name)),
    variants: variantsOf(["gone"]),
  });
  const answers = { counts: [["once", 1], ["twice", 2]], isUnclear: ["twice"], variants: ["gone.isra.0"] };
  assertEquals(functionsNamed(names)?.size, 2);
  shown.write(line("50", "another"));
  assertEquals(ask(), answers);
  assertEquals(functionsNamed(new Set(["another"]))?.size, 1);
});
