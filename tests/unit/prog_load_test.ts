/** When a verifier's log is no explanation. */
import { assertEquals } from "@std/assert";
import { hasComplaint } from "../../lib/sys/program.ts";

const COUNTS = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
const CASES: [name: string, log: string, complains: boolean][] = [
  ["an empty log", "", false],
  ["the counts that end every log", COUNTS, false],
  ["what level 2 adds to them", `verification time 12 usec\nstack depth 0\n${COUNTS}`, false],
  ["a complaint before the counts", `0: (95) exit\nR0 !read_ok\n${COUNTS}`, true],
  ["a complaint alone", "invalid BPF_LD_IMM insn\n", true],
];
for (const [name, log, complains] of CASES) {
  Deno.test(`a verifier's log: ${name}`, () => assertEquals(hasComplaint(log), complains));
}
