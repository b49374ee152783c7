/** Names that are not there: an error names those that are. */
import { printable } from "../check.ts";

/** How many names an error lists. */
const MOST = 20;

/** The error for a name that is not there. `what` is what it would be the name of, `whose` has those in `choices`. */
export function noSuchName(whose: string, what: string, name: unknown, choices: Iterable<string>): TypeError {
  const all = [...new Set(choices)], text = printable(`${String(name)}`);
  const nearest = typeof name === "string" ? nearestOf(name, all) : undefined;
  const guess = nearest === undefined ? "" : `; did you mean "${printable(nearest)}"?`;
  const more = all.length > MOST ? `, and ${all.length - MOST} more` : "";
  const list = all.length === 0 ? "it has none" : `it has ${all.slice(0, MOST).map(printable).join(", ")}${more}`;
  return new TypeError(`${whose} has no ${what} "${text}"${guess}${guess === "" ? ": " : " "}${list}`);
}

/** The name that `name` was probably meant to be. */
function nearestOf(name: string, choices: readonly string[]): string | undefined {
  const wanted = name.toLowerCase(), most = Math.max(1, Math.floor(name.length / 3));
  const [nearest] = choices.map((choice) => ({ choice, distance: distance(wanted, choice.toLowerCase(), most) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance);
  return nearest?.choice;
}

/** How many letters one must change, add or take away to come from one word to the other; `most` + 1 if there are more. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
