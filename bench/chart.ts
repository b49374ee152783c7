/** Bars that compare libraries, as SVG. */

/** One operation: its ratios to C by the names of libraries. */
export interface Bars {
  readonly what: string;
  readonly ratios: Readonly<Record<string, number>>;
}

const COLOURS: Readonly<Record<string, string>> = {
  Link: "#1f77b4",
  sys: "#17becf",
  cilium: "#d4a017",
  aya: "#d9534f",
  "libbpf-rs": "#8e6bbf",
};
const THEMES = {
  light: { text: "#1f2328", line: "#d0d7de" },
  dark: { text: "#e6edf3", line: "#3d444d" },
};
const LEFT = 190, WIDTH = 860, SCALE = 220, BAR = 9, GAP = 14, TOP = 44;
/** A longer bar is cut off, and its number says what it is. */
const MOST = 2.8;

/** A group of bars an operation; C is the line at 1. */
export function chart(
  rows: readonly Bars[],
  names: Readonly<Record<string, string>>,
  theme: keyof typeof THEMES,
): string {
  const { text, line } = THEMES[theme], libraries = Object.keys(COLOURS);
  const parts: string[] = [];
  let x = LEFT;
  for (const name of libraries) {
    const label = names[name]!.replaceAll("`", "");
    parts.push(`<rect x="${x}" y="12" width="10" height="10" fill="${COLOURS[name]}"/>`, words(x + 14, 21, label));
    x += 34 + label.length * 6.4;
  }
  let y = TOP;
  for (const { what, ratios } of rows) {
    const shown = libraries.filter((name) => name in ratios);
    parts.push(words(LEFT - 8, y + shown.length * BAR / 2 + 4, what, "end"));
    for (const name of shown) {
      const ratio = ratios[name]!, width = Math.min(ratio, MOST) * SCALE;
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 1}" fill="${COLOURS[name]}"/>`,
        words(LEFT + width + 4, y + BAR - 1, ratio.toFixed(2), "start", 9),
      );
      y += BAR;
    }
    y += GAP;
  }
  const one = LEFT + SCALE;
  parts.push(`<line x1="${one}" y1="${TOP - 10}" x2="${one}" y2="${y}" stroke="${text}" stroke-dasharray="3 3"/>`);
  parts.push(words(one + 4, TOP - 4, "C = 1"));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" ` +
    `font-family="system-ui, sans-serif" font-size="12" fill="${text}" stroke-width="1">\n` +
    `<line x1="${LEFT}" y1="${TOP - 10}" x2="${LEFT}" y2="${y}" stroke="${line}"/>\n${parts.join("\n")}\n</svg>\n`;
}

function words(x: number, y: number, text: string, anchor = "start", size = 12): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`;
}
