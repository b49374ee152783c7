/** The table of expectations against this kernel, both ways: what should work does, and what should not does not. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { probe, type TargetType } from "../../mod.ts";
import { isExpected, type Operation, OPERATIONS, shouldHave, SINCE } from "../fixture/run/expectations.ts";
import { kernelTest, whyMissing } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { attempt, SURROUNDINGS } from "./attempt.ts";
import { type Row, ROWS } from "./conformance.ts";

/** Why a kernel that is not Debian's may lack something, as a need or `probe` says it. */
const EXCUSES = /CONFIG_|policy|security modules/;

Deno.test("the table has every kind of link", () => {
  assertEquals(ROWS.map(({ name }) => name), Object.keys(SINCE));
});

for (const row of ROWS) {
  const needs = SURROUNDINGS.filter((need) => row.needs.includes(need));
  const abilities = row.needs.filter((need) => !needs.includes(need) && need !== "vm");
  kernelTest(`what this kernel does: ${row.name}`, { needs }, async () => {
    const release = Deno.osRelease(), isBuilt = row.needs.every((need) => shouldHave(need, release));
    for (const operation of OPERATIONS) {
      const failure = await attempt(row, operation);
      const isHere = failure === undefined, expected = isBuilt && isExpected(row.name, operation, release);
      if (expected && !isHere && !inOwnVm()) {
        assertMatch(whyMissing(abilities) ?? whyNot(row, operation), EXCUSES, `${operation}: ${failure}`);
      } else {
        assert(isHere === expected, `${operation} ${expected ? `fails: ${failure}` : "works and should not"}`);
      }
    }
  });
}

/** What `probe` says of a kind that needs nothing special. */
function whyNot(row: Row, operation: Operation): string {
  const answers = probe(), name = row.name.replace("retprobe", "probe");
  const of = answers[(name in answers ? name : row.type) as TargetType];
  const { answer, reason = "" } = of[operation === "reattach" ? "attach" : operation];
  return answer === "no" ? reason : `it should work: probe says ${answer}`;
}
