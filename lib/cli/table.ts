/** Text for terminals and pipes: harmless, in columns, within a width. */
import { isPlain } from "../check.ts";

/** JSON on one line, in which such characters are escaped too: JSON alone does that up to U+001F. */
export function jsonLine(value: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    text = JSON.stringify(value);
  return isPlain(text)
    ? text
    : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (it) => it.split("").map(escaped).join(""));
}

/** At most `width` characters: the middle is left out, for the ends of paths and names tell most. */
export function shorten(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  const end = Math.floor((width - 1) / 2);
  return [...characters.slice(0, width - 1 - end), "…", ...characters.slice(characters.length - end)].join("");
}

/** At most `width` characters: the end is left out. */
function cutOff(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}

/** At most `width` characters: the beginning is left out, up to a slash or a space if there is one nearby. */
function lastOf(text: string, width: number): string {
  const rest = [...text].slice(1 - width).join(""), at = rest.search(/[/ ]/);
  return `…${at > NEARBY || at < 0 ? rest : rest.slice(at).trimStart()}`;
}

const NEARBY = 6;

/**
 * The same for texts that stand below each other: different ones stay different. If the middle would take what tells them
 * apart, their beginning is left out, or else what they have in common.
 */
export function shortenAll(texts: Iterable<string>, width: number): Map<string, string> {
  const short = new Map(Array.from(texts, (text) => [text, shorten(text, width)]));
  const groups = [...Map.groupBy(short.keys(), (text) => short.get(text)!).values()].filter(({ length }) => length > 1);
  if (width < 4 || groups.length === 0) return short;
  const ends = Map.groupBy(groups.flat(), (text) => lastOf(text, width));
  for (const group of groups) {
    const alike = group.filter((text) => ends.get(lastOf(text, width))!.length > 1);
    for (const text of group) short.set(text, lastOf(text, width));
    if (alike.length === 0) continue;
    const rests = shortenAll(alike.map((text) => text.slice(commonLength(alike))), width - 1);
    for (const text of alike) {
      const rest = rests.get(text.slice(commonLength(alike)))!;
      short.set(text, rest.startsWith("…") ? rest : `…${rest}`);
    }
  }
  return short;
}

/** With how many code units all begin. */
function commonLength([first = "", ...others]: readonly string[]): number {
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length--;
  return length;
}

const GAP = 2, LEAST = 8;

/** How columns give way where there is no room for all of them; they are named by the cells of the first row. */
export interface Layout {
  /** The column that has what matters: those before it keep their width while others can give some, the last gives first. */
  readonly main?: string;
  /** Columns that are left out, in this order, before the others get less than they need least. */
  readonly optional?: readonly string[];
}

/** On a terminal of less than so many columns, names and places matter more than types and ids of programs. */
export const WIDE = 100;

/** The width of the main column below which optional ones are left out. */
const MAIN_LEAST = 16;

/** How many characters a text has. */
function lengthOf(text: string): number {
  return isPlain(text) ? text.length : [...text].length;
}

/** How wide each column is, of rows that have more than one cell. */
function widthsOf(rows: readonly (readonly string[])[]): number[] {
  return rows[0]!.map((_, i) => Math.max(...rows.map((row) => row.length === 1 ? 0 : lengthOf(row[i] ?? ""))));
}

function sumOf(widths: readonly number[]): number {
  return widths.reduce((sum, each) => sum + each + GAP, -GAP);
}

/** Whether rows have room without being shortened. */
export function fits(rows: readonly (readonly string[])[], width: number): boolean {
  return width === Infinity || sumOf(widthsOf(rows)) <= width;
}

/** Which columns there is room for. */
function keptColumns(titles: readonly string[], all: readonly number[], width: number, layout: Layout): number[] {
  const { main, optional = [] } = layout, left = new Set<string>();
  const leasts = titles.map((title, i) => Math.min(all[i]!, title === main ? MAIN_LEAST : i === 0 ? Infinity : LEAST));
  for (const title of optional) {
    if (sumOf(leasts.filter((_, i) => !left.has(titles[i]!))) <= width) break;
    left.add(title);
  }
  return [...titles.keys()].filter((i) => !left.has(titles[i]!));
}

/**
 * Lines with the columns of `rows` below each other; if they are wider than `width`, the widest are shortened. A row of one
 * cell has the whole line; where there is a main column, the last one loses its end.
 */
export function columns(
  rows: readonly (readonly string[])[],
  width: number = Infinity,
  layout: Layout = {},
): string[] {
  const titles = rows[0]!, all = widthsOf(rows), kept = keptColumns(titles, all, width, layout);
  const main = layout.main === undefined ? undefined : kept.indexOf(titles.indexOf(layout.main));
  const widths = kept.map((i) => all[i]!);
  const isLast = (i: number) => main === undefined || kept[i] === titles.length - 1;
  let excess = sumOf(widths) - width;
  const isRoomy = excess <= 0;
  for (const first of [main ?? 0, 0]) {
    for (; excess > 0; excess--) {
      const shares = widths.map((each, i) => i < first || each <= LEAST ? 0 : isLast(i) ? each : each / 2);
      const widest = Math.max(...shares);
      if (widest === 0) break;
      widths[shares.indexOf(widest)]!--;
    }
  }
  // of who holds a link, the first words tell most
  const cut = (texts: Iterable<string>, width: number) =>
    new Map(Array.from(texts, (text) => [text, cutOff(text, width)]));
  const short = isRoomy ? undefined : kept.map((column, i) => {
    const texts = new Set(rows.flatMap((row) => row.length === 1 ? [] : [row[column] ?? ""]));
    return (main !== undefined && isLast(i) ? cut : shortenAll)(texts, widths[i]!);
  });
  return rows.map((row) =>
    row.length === 1 ? shorten(row[0]!, width) : kept.map((column, i) => {
      const cell = row[column] ?? "", text = short?.[i]?.get(cell) ?? cell;
      return text + " ".repeat(widths[i]! - lengthOf(text) + GAP);
    }).join("").trimEnd()
  );
}

/** A tree of lines. */
export interface Branch {
  /** The line. */
  readonly text: string;
  /** What hangs below it. */
  readonly below: readonly Branch[];
}

/** The lines of a tree, with what joins them, each of at most `width` characters. */
export function treeLines(branches: readonly Branch[], width: number = Infinity, indent: string = ""): string[] {
  return branches.flatMap(({ text, below }, i) => {
    const isLast = i === branches.length - 1;
    return [
      `${indent}${isLast ? "└─ " : "├─ "}${shorten(text, width - indent.length - 3)}`,
      ...treeLines(below, width, `${indent}${isLast ? "   " : "│  "}`),
    ];
  });
}
