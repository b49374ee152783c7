/** The table that is printed. */

/** One line of it. */
export interface Row {
  /** What was measured. */
  readonly what: string;
  /** What it is measured against, such as C's time. */
  readonly against?: string;
  /** Our own time, where the figure is a ratio. */
  readonly ours?: string;
  /** What the design bounds. */
  readonly figure: number;
  /** Its unit; `x` for a ratio. */
  readonly unit: string;
  /** What it may be at most; absent if it is only told. */
  readonly bound?: number;
  /** A remark. */
  readonly note?: string;
  /** The same by name for others, and for our other ways. */
  readonly ratios?: Readonly<Record<string, number>>;
}

/** What rows find when they are run. */
export interface Surroundings {
  /** The directory of a cgroup of the run. */
  readonly cgroup: string;
  /** The program compiled from `twin.c`. */
  readonly twin: string;
  /** A directory for files. */
  readonly scratch: string;
}

/** Measures, and yields what it found. */
export type Rows = (surroundings: Surroundings) => Iterable<Row> | AsyncIterable<Row>;

const WIDTHS = [44, 15, 11, 12, 11];

/** The heading of the table. */
export function printHeading(): void {
  print(["", "against", "ours", "figure", "bound"], "", "");
}

/** A line of the table. */
export function printRow({ what, against = "", ours = "", figure, unit, bound, note = "", ratios = {} }: Row): void {
  const cells = [what, against, ours, withUnit(figure, unit), bound === undefined ? "" : withUnit(bound, unit)];
  const others = Object.entries(ratios).map(([name, ratio]) => `${name} ${ratio.toFixed(2)}`);
  print(
    cells,
    bound === undefined ? "" : figure <= bound ? "ok" : "over",
    [note, ...others].filter(Boolean).join(", "),
  );
}

function print(cells: string[], verdict: string, note: string): void {
  const padded = cells.map((cell, i) => i === 0 ? cell.padEnd(WIDTHS[0]!) : cell.padStart(WIDTHS[i]!));
  console.log(`${padded.join("")}  ${verdict.padEnd(6)}${note}`.trimEnd());
}

/** A number and its unit. */
export function withUnit(value: number, unit: string): string {
  return unit === "x" ? `${value.toFixed(2)}x` : `${value.toFixed(Number.isInteger(value) ? 0 : 1)} ${unit}`;
}

/** The middle one of some values. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
