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

const GAP = 2, LEAST = 8;

/** Lines with the columns of `rows` below each other; if they are wider than `width`, the widest are shortened. */
export function columns(rows: readonly (readonly string[])[], width: number = Infinity): string[] {
  const lengths = rows.map((row) => row.map((cell) => [...cell].length));
  const widths = rows[0]!.map((_, i) => Math.max(...lengths.map((row) => row[i]!)));
  const total = () => widths.reduce((sum, each) => sum + each + GAP, -GAP);
  for (let widest; total() > width && (widest = Math.max(...widths)) > LEAST;) {
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return rows.map((row) =>
    row.map((cell, i) => {
      const text = shorten(cell, widths[i]!);
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
