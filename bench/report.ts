/**
 * What is told of a whole run: `bench/results.json`, and from it README's table and the pictures beside it. As a script it
 * makes these from the results that are there, or compares with `--check`.
 */
import { chart } from "./chart.ts";
import { type Row, withUnit } from "./table.ts";

/** A row by the name that picks it. */
export type NamedRow = Row & { readonly name: string };

/** A whole run. */
export interface Results {
  /** Where it was: kernel, processors, runtime. */
  readonly machine: string;
  readonly rows: readonly NamedRow[];
}

const ROOT = new URL("../", import.meta.url), RESULTS = "bench/results.json";
const BEGIN = "<!-- begin of what bench/report.ts writes -->", END = "<!-- end of it -->";
const COLUMNS: Readonly<Record<string, string>> = {
  Link: "`Link`",
  sys: "`./sys`",
  cilium: `cilium/ebpf ${version("bench/peers/go/go.mod", /cilium\/ebpf v([\d.]+)\.\d/)}`,
  aya: `aya ${version("bench/peers/rust/Cargo.toml", /aya = .*"=([\d.]+)\.\d/)}`,
  "libbpf-rs": `libbpf-rs ${version("bench/peers/rust/Cargo.toml", /libbpf-rs = .*"=([\d.]+)\.\d/)}`,
  bpftool: "bpftool",
};

if (import.meta.main) {
  const results: Results = JSON.parse(read(RESULTS));
  if (Deno.args[0] !== "--check") write(results);
  else if (Object.entries(report(results)).some(([file, text]) => text !== read(file))) {
    console.error("README's numbers are not those of bench/results.json: run deno run -A bench/report.ts");
    Deno.exit(1);
  }
}

/** Keeps the rows of a whole run. */
export function keep(rows: readonly NamedRow[]): void {
  const machine =
    `Linux ${Deno.osRelease().replace(/-.*/, "")} on ${Deno.build.arch}, ${navigator.hardwareConcurrency} ` +
    `processors, Deno ${Deno.version.deno}`;
  const results = { machine, rows };
  Deno.writeTextFileSync(new URL(RESULTS, ROOT), JSON.stringify(results, undefined, 2) + "\n");
  write(results);
}

function write(results: Results): void {
  for (const [file, text] of Object.entries(report(results))) Deno.writeTextFileSync(new URL(file, ROOT), text);
}

/** The files that tell of it, by their names. */
function report({ machine, rows }: Results): Record<string, string> {
  const compared = rows.filter(({ ratios }) => ratios !== undefined);
  const columns = Object.keys(COLUMNS).filter((name) => compared.some(({ ratios }) => name in ratios!));
  const section = [
    `Medians of one run on ${machine}. Times as multiples of C's (libbpf):`,
    "",
    "<picture>",
    '  <source media="(prefers-color-scheme: dark)" srcset="bench/chart-dark.svg">',
    '  <img alt="The same numbers as bars" src="bench/chart-light.svg">',
    "</picture>",
    "",
    table(
      ["", "C", ...columns.map((name) => COLUMNS[name]!)],
      compared.map(({ what, against = "", ratios }) => [
        title(what),
        against.replace("C ", ""),
        ...columns.map((name) => ratios![name]?.toFixed(2) ?? ""),
      ]),
    ),
    "",
    "What is bounded, and where it is over:",
    "",
    table(
      ["", "against", "measured", "bound", ""],
      rows.filter(({ bound }) => bound !== undefined).map(({ what, against = "", figure, unit, bound }) => [
        title(what),
        against,
        withUnit(figure, unit),
        withUnit(bound!, unit),
        figure <= bound! ? "" : "over",
      ]),
    ),
  ].join("\n");
  const readme = read("README.md");
  const [before, after] = [readme.indexOf(BEGIN) + BEGIN.length, readme.indexOf(END)];
  const bars = compared.map(({ what, ratios }) => ({ what: title(what), ratios: ratios! }));
  return {
    "README.md": `${readme.slice(0, before)}\n\n${section}\n\n${readme.slice(after)}`,
    "bench/chart-light.svg": chart(bars, COLUMNS, "light"),
    "bench/chart-dark.svg": chart(bars, COLUMNS, "dark"),
  };
}

/** A row of the printed table that is indented goes on with the one above. */
function title(what: string): string {
  return what.replace(/^ +/, "… ");
}

/** As deno fmt lays it out. */
function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heading.map((cell, i) => Math.max(3, cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(heading), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function version(file: string, pattern: RegExp): string {
  return pattern.exec(read(file))![1]!;
}

function read(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}
