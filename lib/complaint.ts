/** The line of the kernel's log that says why a program, its BTF or a map is refused. */

/** The counts that the verifier ends every log with, whatever it found. */
const COUNTS = /^(processed \d+ insns|stack depth|verification time|peak_states|max_states_per_insn)\b/;

/** The way there: instructions, registers, lines of the source, functions, the states of a loop; the header of BTF. */
const STEPS =
  /^\s*(\d+: |from \d+ to \d+|;|R\d+(_\w+)?=|frame\d|func#\d|(cur|old) state:|mark_precise|last_idx|regs=|parent |propagating|Live regs|Validating |caller|callee|returning from|to caller|arg#\d+ reference|\w+: (0x)?[0-9a-f]+$)/;

/** Stands behind the instruction that it is about, without a line of its own. */
const IN_A_STEP = /^\d+: .*\b(infinite loop detected at insn \d+)/m;

const TYPE = /^\[\d+\] /; // of BTF, with what is wrong with it behind it
const MOST = 300; // characters

/**
 * What a log complains of, in one line; `undefined` if it has only the verifier's steps and counts, as when a policy
 * refuses the program after the verifier.
 */
export function complaintOf(log: string): string | undefined {
  const { before: way, title } = parse(log);
  return lastComplaint(way) ?? title;
}

/** What the kernel suggests to do about it, in one line; since Linux 7.3. */
export function suggestionOf(log: string): string | undefined {
  const { report } = parse(log);
  const text = /^Suggestion:\n((?:[ \t]+\S.*\n?)+)/m.exec(report)?.[1];
  return text?.trim().replace(/\s+/g, " ");
}

/** Since Linux 7.3 a report in sections follows the complaint. */
function parse(log: string): { before: string; title: string | undefined; report: string } {
  const found = /^Verification failed: (.*)$/m.exec(log);
  if (found === null) return { before: log, title: undefined, report: "" };
  return { before: log.slice(0, found.index), title: found[1], report: log.slice(found.index) };
}

function lastComplaint(log: string): string | undefined {
  const [, inStep] = IN_A_STEP.exec(log) ?? [];
  if (inStep !== undefined) return inStep;
  const lines = log.split("\n").map((line) => line.trimEnd())
    .filter((line) => line !== "" && !COUNTS.test(line));
  const at = lines.findLastIndex((line) => !STEPS.test(line));
  if (at < 0) return undefined;
  const last = lines[at]!, before = lines[at - 1];
  // a complaint has one line or two: what is wrong, and of which register
  const complaint = before === undefined || STEPS.test(before) || TYPE.test(last) ? last : `${before}; ${last}`;
  return complaint.length > MOST ? `${complaint.slice(0, MOST)}…` : complaint;
}
