/** The words of a command line: which are options, and what to say of one that is wrong. */

/** The command line is wrong. */
export class UsageError extends Error {}

/** The options of a command, by their names without dashes. */
export interface Options {
  readonly [name: string]: {
    /** Whether a value follows. */
    readonly type: "boolean" | "string";
    /** A letter that means the same. */
    readonly short?: string;
    /** It may be given again; the value is a list. */
    readonly multiple?: true;
    /** Which values there are, where they can be listed. */
    readonly values?: readonly string[];
  };
}

/** The arguments of a command. */
export interface Arguments {
  /** The options that were given, without their dashes. */
  readonly values: { readonly [option: string]: unknown };
  /** The rest. */
  readonly positionals: readonly string[];
}

/** Reads `--name`, `--name VALUE`, `--name=VALUE` and `-n`, anywhere; after `--` no word is an option. */
export function parseArguments(words: readonly string[], options: Options): Arguments {
  const values: { [option: string]: unknown } = {}, positionals: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--") {
      positionals.push(...words.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positionals.push(word);
      continue;
    }
    const [given, inline] = splitOnce(word, "=");
    const name = nameOf(given, options);
    const { type, multiple } = options[name]!;
    if (type === "boolean") {
      if (inline !== undefined) throw new UsageError(`--${name} takes no value`);
      values[name] = true;
      continue;
    }
    const value = inline ?? words[++i];
    // what looks like an option was rather meant as one
    if (value === undefined || inline === undefined && value.startsWith("-") && value !== "-") {
      throw new UsageError(`--${name} takes a value`);
    }
    values[name] = multiple ? [...values[name] as string[] | undefined ?? [], value] : value;
  }
  return { values, positionals };
}

function nameOf(given: string, options: Options): string {
  const name = given.startsWith("--")
    ? given.slice(2)
    : Object.keys(options).find((name) => `-${options[name]!.short}` === given);
  if (name !== undefined && Object.hasOwn(options, name)) return name;
  throw new UsageError(
    `there is no option ${given}${didYouMean(given, Object.keys(options).map((name) => `--${name}`))}`,
  );
}

function splitOnce(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at);
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + at.length)];
}

/** A word of which only some are known. `name` is what the usage calls it. */
export function oneOf<T extends string>(word: string, name: string, known: readonly T[]): T {
  if (known.includes(word as T)) return word as T;
  throw new UsageError(`${name} must be one of ${known.join(", ")}, not "${word}"${didYouMean(word, known)}`);
}

/** "; did you mean X?" if one of the words is close to what was given, else nothing. */
export function didYouMean(given: string, words: readonly string[]): string {
  const near = words.map((word) => ({ word, distance: editDistance(given, word) }))
    .filter(({ word, distance }) => distance <= Math.max(1, word.length / 3))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? "" : `; did you mean ${near.word}?`;
}

/** How many letters must be put in, taken out, exchanged or swapped with the next to make one word of another. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        rows[i - 1]![j]! + 1,
        row[j - 1]! + 1,
        rows[i - 1]![j - 1]! + Number(a[i - 1] !== b[j - 1]),
        swapped ? rows[i - 2]![j - 2]! + 1 : Infinity,
      );
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
