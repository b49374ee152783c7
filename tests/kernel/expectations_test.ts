/** The table of expectations against this kernel, both ways: what should work does, and what should not does not. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { probe, type ProbeAnswer, type TargetType } from "../../mod.ts";
import { isExpected, type Operation, OPERATIONS, shouldHave, SINCE } from "../fixture/run/expectations.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { attempt, SURROUNDINGS } from "./attempt.ts";
import { type Row, ROWS } from "./conformance.ts";

/** Why a kernel that is not Debian's may lack something, as `probe` says it. */
const EXCUSES = /CONFIG_|by policy/;

Deno.test("the table has every kind of link", () => {
  assertEquals(ROWS.map(({ name }) => name), Object.keys(SINCE));
});

for (const row of ROWS) {
  const needs = SURROUNDINGS.filter((need) => row.needs.includes(need));
  kernelTest(`what this kernel does: ${row.name}`, { needs }, async () => {
    const release = Deno.osRelease(), isBuilt = row.needs.every((need) => shouldHave(need, release));
    for (const operation of OPERATIONS) {
      const failure = await attempt(row, operation);
      const isHere = failure === undefined, expected = isBuilt && isExpected(row.name, operation, release);
      if (expected && !isHere && !inOwnVm()) {
        const { answer, reason = "" } = askProbe(row, operation);
        assertEquals(answer, "no", `${operation}: ${failure}`);
        assertMatch(reason, EXCUSES, operation);
      } else {
        assert(isHere === expected, `${operation} ${expected ? `fails: ${failure}` : "works and should not"}`);
      }
    }
  });
}

/** What `probe` says of a kind; programs in functions that are no tracers need what tracers need. */
function askProbe(row: Row, operation: Operation): ProbeAnswer {
  const answers = probe(), name = row.name.replace("retprobe", "probe");
  if (row.needs.includes("trampolines")) return answers.tracing.attach;
  return answers[(name in answers ? name : row.type) as TargetType][operation === "reattach" ? "attach" : operation];
}
