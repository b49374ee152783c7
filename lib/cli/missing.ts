/** Why an answer may lack something: which capability the process has not, or that a policy refuses. */
import { missingCapabilities, type Source } from "../links.ts";

/** What about an answer is not whole. */
export interface Gaps {
  /** Where the links come from. */
  readonly source: Source;
  /** Whether the command line asks for that source. */
  readonly isWanted: boolean;
  /** Whether the kernel refuses to say what hooks have. */
  readonly hooks?: boolean;
  /** Whether names or holders that decide what is chosen cannot be seen. */
  readonly choice?: boolean;
}

/** What may be missing and why, in a line each. */
export function whatIsMissing({ source, isWanted, hooks = false, choice = false }: Gaps): string[] {
  const lines = [];
  if (source === "proc") {
    const why = isWanted ? "as --source proc wants it, only those of visible processes and pins are listed" : reason([
      "CAP_BPF",
      "CAP_PERFMON",
    ], "listing them");
    lines.push(`Some links may be missing: ${why} (source: proc).`);
  }
  if (hooks) lines.push(`Some hooks may be missing: ${reason(["CAP_NET_ADMIN"], "asking what they have")}.`);
  if (choice) lines.push(`Some links may be missing: ${reason(["CAP_SYS_ADMIN"], "seeing some names or holders")}.`);
  return lines.length > 0 ? lines : ["Something may be missing: some files could not be looked at."];
}

function reason(needed: Parameters<typeof missingCapabilities>[0], what: string): string {
  return missingCapabilities(needed)?.meaning ?? `a policy of this machine refuses ${what}`;
}
