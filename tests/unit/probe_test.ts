/** How an answer of probe() comes about where programs are refused: no kernel is asked. */
import { assertEquals, assertMatch } from "@std/assert";
import { BpfError } from "../../lib/error.ts";
import type { ProbeRule } from "../../lib/kind/kind.ts";
import { native } from "../../lib/ffi/library.ts";
import { ask } from "../../lib/probe.ts";
import type { Program, ProgramLoadOptions } from "../../mod.ts";

const POLICY = {
  action: "Cannot load",
  command: "PROG_LOAD",
  reason: "policy",
  meaning: "a policy refuses it",
} as const;

/** Loads what is for one of these functions, and refuses the rest by policy. */
function loading(...names: string[]): (options: ProgramLoadOptions) => Program {
  return ({ attachTo }) => {
    if (!names.includes(attachTo as string)) throw new BpfError(1, POLICY);
    const loaded = { fd: 3, close(): void {}, [Symbol.dispose](): void {} };
    return loaded as unknown as Program;
  };
}

native(); // stays loaded, which is no test's leak

const called: string[] = [];
const rule: ProbeRule = {
  examples: ["first", "second"].map((attachTo) => ({
    program: { type: "tracing", attachTo },
    proofs: [{ call: (): unknown => called.push(attachTo) }],
  })),
  attach: { since: "5.8", proofs: [] },
};

Deno.test("one refused example does not speak for the others, and the proofs are those of the one that loads", () => {
  called.length = 0;
  assertEquals(ask("iter", rule, loading("second")).attach, { answer: "yes" });
  assertEquals(called, ["second"]);
});

Deno.test("where a policy refuses all examples, the reason is the policy", () => {
  assertEquals(ask("iter", rule, loading()).attach, {
    answer: "no",
    reason: "Cannot load: a policy refuses it (EPERM)",
  });
});

Deno.test("a version that the kernel has is no reason", () => {
  const failing = (since: string, config?: string): ProbeRule => ({
    examples: [{ program: { type: "tracing", attachTo: "first" } }],
    attach: {
      since,
      ...config === undefined ? {} : { config },
      proofs: [{
        call(): void {
          throw new BpfError(22, { ...POLICY, reason: "invalid", meaning: "it does not fit" });
        },
        errno: "EBADF",
      }],
    },
  });
  const reason = (rule: ProbeRule) => ask("iter", rule, loading("first")).attach.reason!;
  assertEquals(reason(failing("5.8")), "Cannot load: it does not fit (EINVAL)");
  assertEquals(reason(failing("5.8", "CONFIG_X")), "not on this kernel: it takes CONFIG_X");
  assertMatch(reason(failing("99.0", "CONFIG_X")), /it takes Linux 99\.0 and CONFIG_X$/);
});
