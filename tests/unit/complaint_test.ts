/** Which line of a log says why, and when none does. */
import { assertEquals } from "@std/assert";
import { complaintOf, suggestionOf } from "../../lib/complaint.ts";

const COUNTS = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
const STEPS = "func#0 @0\n0: R1=ctx() R10=fp0\n; return ctx->x; @ a.c:7\n0: (95) exit\n";
const REPORT = `Verification failed: Register Type Safety: Unreadable register

Reason:
  R0 has never been initialized on this path, so the verifier cannot use it as an input.

At:
  insn 0
       | ^-- error: R0 is not readable

Suggestion:
  Initialize R0 on every path before this instruction, and
  nowhere else.

`;
const CASES: [name: string, log: string, complaint: string | undefined][] = [
  ["an empty log", "", undefined],
  ["the counts that end every log", COUNTS, undefined],
  ["what level 2 adds to them", `verification time 12 usec\nstack depth 0\n${COUNTS}`, undefined],
  ["the way there, and no complaint: a policy behind the verifier", STEPS + COUNTS, undefined],
  ["a complaint before the counts", `${STEPS}R0 !read_ok\n${COUNTS}`, "R0 !read_ok"],
  ["a complaint alone", "invalid BPF_LD_IMM insn\n", "invalid BPF_LD_IMM insn"],
  [
    "a complaint of two lines",
    `${STEPS}invalid access to map value, value_size=4 off=8 size=4\nR0 max value is outside of the memory range\n`,
    "invalid access to map value, value_size=4 off=8 size=4; R0 max value is outside of the memory range",
  ],
  [
    "states behind it",
    `${STEPS}infinite loop detected at insn 1\ncur state: R0=1 R10=fp0\nold state: R0=1 R10=fp0\n${COUNTS}`,
    "infinite loop detected at insn 1",
  ],
  [
    "states of old kernels",
    "0: (b7) r0 = 1\nR0_w=inv1 R10=fp0\nback-edge from insn 1 to 0\n",
    "back-edge from insn 1 to 0",
  ],
  [
    "BTF",
    "magic: 0xeb9f\nhdr_len: 24\nbtf_total_size: 45\n[1] INT int size=4\n[2] PTR (anon) type_id=9 Invalid type_id\n",
    "[2] PTR (anon) type_id=9 Invalid type_id",
  ],
  ["a report of Linux 7.3 behind it", `${STEPS}R0 !read_ok\n\n${REPORT}${COUNTS}`, "R0 !read_ok"],
  ["a report alone", `${STEPS}${REPORT}${COUNTS}`, "Register Type Safety: Unreadable register"],
  ["an endless line", "x".repeat(1000), `${"x".repeat(300)}…`],
];
for (const [name, log, complaint] of CASES) {
  Deno.test(`a kernel's log: ${name}`, () => assertEquals(complaintOf(log), complaint));
}

Deno.test("a kernel's log: what it suggests", () => {
  const suggestion = "Initialize R0 on every path before this instruction, and nowhere else.";
  assertEquals(suggestionOf(`${STEPS}R0 !read_ok\n\n${REPORT}${COUNTS}`), suggestion);
  assertEquals(suggestionOf(`${STEPS}R0 !read_ok\n${COUNTS}`), undefined);
  assertEquals(suggestionOf("Verification failed: x\n\nSuggestion:\n\n"), undefined);
});
