/** What the guides in the comments of the entry points have, for the tests that hold it against the code. */

/** The comment of a module, as it is read: without its stars. */
export function guide(file: string): string {
  const text = Deno.readTextFileSync(new URL(`../../${file}`, import.meta.url));
  return text.slice(0, text.indexOf("*/")).replace(/^ \* ?/gm, "");
}

/** The cells of the table whose heading begins so, without its heading. */
export function table(file: string, heading: string): string[][] {
  const text = guide(file), start = text.indexOf(`\n${heading}`) + 1;
  if (start === 0) throw new Error(`${file} has no table that begins with "${heading}"`);
  const lines = text.slice(start, text.indexOf("\n\n", start)).split("\n");
  return lines.slice(2).map((row) =>
    row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll("\\|", "|"))
  );
}
