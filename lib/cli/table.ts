/** Text for terminals and pipes: harmless, in columns, within a width. */

/** JSON on one line, in which such characters are escaped too: JSON alone does that up to U+001F. */
export function jsonLine(value: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (it) => it.split("").map(escaped).join(""));
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

/**
 * The same for texts that stand below each other: different ones stay different, for what they have in common is left out
 * if the middle would take what tells them apart.
 */
export function shortenAll(texts: Iterable<string>, width: number): Map<string, string> {
  const short = new Map(Array.from(texts, (text) => [text, shorten(text, width)]));
  for (const [, alike] of Map.groupBy(short.keys(), (text) => short.get(text)!)) {
    if (alike.length < 2 || width < 4) continue;
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

/**
 * Lines with the columns of `rows` below each other; if they are wider than `width`, the widest are shortened. The column
 * `main` counts as half as wide as it is, and those before it keep their width while others can give some. A row of one
 * cell has the whole line; where there is a main one, the last column loses its end.
 */
export function columns(rows: readonly (readonly string[])[], width: number = Infinity, main?: number): string[] {
  const cells = rows[0]!.map((_, i) => rows.flatMap((row) => row.length === 1 ? [] : [row[i] ?? ""]));
  const widths = cells.map((column) => Math.max(...column.map((cell) => [...cell].length)));
  let excess = widths.reduce((sum, each) => sum + each + GAP, -GAP) - width;
  for (const first of [main ?? 0, 0]) {
    for (; excess > 0; excess--) {
      const shares = widths.map((each, i) => i < first || each <= LEAST ? 0 : i === main ? each / 2 : each);
      const widest = Math.max(...shares);
      if (widest === 0) break;
      widths[shares.indexOf(widest)]!--;
    }
  }
  // of who holds a link, the first words tell most
  const cut = (texts: Iterable<string>, width: number) =>
    new Map(Array.from(texts, (text) => [text, cutOff(text, width)]));
  const short = cells.map((column, i) =>
    (i > (main ?? i) && i === cells.length - 1 ? cut : shortenAll)(new Set(column), widths[i]!)
  );
  return rows.map((row) =>
    row.length === 1 ? shorten(row[0]!, width) : row.map((cell, i) => {
      const text = short[i]!.get(cell)!;
      return text + " ".repeat(widths[i]! - [...text].length + GAP);
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
