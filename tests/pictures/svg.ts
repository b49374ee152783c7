/** A screen as a picture, light or dark as the reader has it. */
import type { Cell, Screen } from "./screen.ts";

const WIDTH = 8, HEIGHT = 18, MARGIN = 14, BAR = 30;

/** The SVG of a screen, with what was typed above it. */
export function toSvg(screen: Pick<Screen, "lines" | "columns">, command: string): string {
  const { lines, columns } = screen;
  const width = columns * WIDTH + 2 * MARGIN, height = (lines.length + 1) * HEIGHT + BAR + MARGIN;
  const rows = [typed(`$ ${command}`), ...lines].map((line, i) => row(line, BAR + (i + 1) * HEIGHT));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>${escape(command)}</title>
<style>
.back { fill: #f6f8fa; stroke: #d0d7de } .dot { fill: #d0d7de }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre }
.bold { font-weight: bold } .bar { fill: #1f2328 } .inverse { fill: #f6f8fa }
@media (prefers-color-scheme: dark) {
.back { fill: #0d1117; stroke: #30363d } .dot { fill: #30363d } text { fill: #e6edf3 }
.bar { fill: #e6edf3 } .inverse { fill: #0d1117 }
}
</style>
<rect class="back" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${[0, 1, 2].map((i) => `<circle class="dot" cx="${18 + 18 * i}" cy="16" r="5"/>`).join("")}
${rows.filter(Boolean).join("\n")}
</svg>
`;
}

function typed(text: string): Cell[] {
  return [...text].map((text) => ({ text, bold: true, inverse: false }));
}

/** Runs of cells with the same looks, each as wide as its cells whatever font there is. */
function row(cells: readonly Cell[], y: number): string {
  let svg = "";
  for (let start = 0, end; start < cells.length; start = end) {
    const { bold, inverse } = cells[start]!;
    for (end = start + 1; end < cells.length && cells[end]!.bold === bold && cells[end]!.inverse === inverse;) end++;
    const text = cells.slice(start, end).map((cell) => cell.text).join("");
    const x = MARGIN + start * WIDTH, width = (end - start) * WIDTH;
    if (inverse) svg += `<rect class="bar" x="${x}" y="${y - 13}" width="${width}" height="${HEIGHT}"/>`;
    if (text.trim() === "") continue;
    const looks = [...bold ? ["bold"] : [], ...inverse ? ["inverse"] : []].join(" ");
    svg += `<text x="${x}" y="${y}" textLength="${width}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"${
      looks && ` class="${looks}"`
    }>${escape(text)}</text>`;
  }
  return svg;
}

function escape(text: string): string {
  return text.replace(/[<>&]/g, (it) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[it]!);
}
