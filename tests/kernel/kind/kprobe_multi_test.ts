/** What is special about links to many functions of the kernel. */
import { assertEquals } from "@std/assert";
import { Link } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { AT_EXEC, kernelAddress } from "../../fixture/program/kernel_functions.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { leastRunsOf } from "../../fixture/run/runs.ts";
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
    /available_filter_functions/,
  ],
);
