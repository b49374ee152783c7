/** `probe`: what this kernel and this process can do. */
import { printable } from "../check.ts";
import { KINDS, type TargetType } from "../kind/mod.ts";
import { probe as probeAll, type TargetProbe } from "../probe.ts";
import { oneOf } from "./arguments.ts";
import { type Command, Status } from "./command.ts";
import { columns } from "./table.ts";

const QUESTIONS = ["attach", "update", "detach", "cookie", "position"] as const;

export const probe: Command = {
  usage: "[TYPE]...",
  summary: "show what this kernel and this process can do with links",
  details: [
    "With types also why not. The exit status is 1 if one cannot be attached,",
    "4 if that is unknown.",
  ],
  options: {},
  takes: [0, Infinity],
  words: Object.keys(KINDS),
  run({ positionals }, output): number {
    const all = probeAll();
    const types = Object.keys(all) as TargetType[];
    for (const type of positionals) oneOf(type, "TYPE", types);
    const targets: [TargetType, TargetProbe][] = types
      .filter((type) => positionals.length === 0 || positionals.includes(type)).map((type) => [type, all[type]]);
    output.print({ targets: Object.fromEntries(targets) }, () => {
      const rows = targets.map(([type, answers]) => [type, ...QUESTIONS.map((question) => answers[question].answer)]);
      const [titles, ...lines] = columns([["TYPE", ...QUESTIONS.map((question) => question.toUpperCase())], ...rows]);
      return [output.highlight(titles!), ...lines, ...positionals.length === 0 ? [] : reasons(targets)];
    });
    if (positionals.length === 0) return Status.done;
    const answers = targets.map(([, { attach }]) => attach.answer);
    return answers.includes("no") ? Status.failed : answers.includes("unknown") ? Status.partial : Status.done;
  },
};

/** Why not, each reason once a type. */
function reasons(targets: readonly [string, TargetProbe][]): string[] {
  return targets.flatMap(([type, answers]) => {
    const why = Map.groupBy(QUESTIONS, (question) => answers[question].reason);
    return [...why].flatMap(([reason, questions]) =>
      reason === undefined ? [] : [printable(`${type} ${questions.join(", ")}: ${reason}`)]
    );
  });
}
