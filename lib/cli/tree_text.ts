/** The text of `tree`: a line for each link. */
import { printable } from "../check.ts";
import type { FullNames } from "../full_names.ts";
import type { LinkInfo } from "../kind/mod.ts";
import type { Output } from "./command.ts";
import { holdersText, hookText, type Item, programText, programWord, runsTexts } from "./item.ts";
import type { EntryRecord, HookRecord, PinRecord } from "./schema.ts";
import { columns, fits, treeLines, WIDE } from "./table.ts";

/** A line and what hangs below it. */
interface Row {
  readonly cells: readonly string[];
  readonly below: readonly Row[];
}

/** Hooks with their links: those of cgroups as a tree of directories, before it all others. */
export function hooksText(
  hooks: readonly HookRecord[],
  items: ReadonlyMap<number, Item>,
  names: FullNames,
  partial: boolean,
  output: Output,
): string[] {
  if (hooks.length === 0) return ["no links"];
  const { columns: width } = output.size;
  const counted = hooks.some(({ entries }) => entries.some(({ linkId }) => items.get(linkId ?? 0)?.runs !== undefined));
  const tableOf = (isNarrow: boolean): string[][] => {
    const cellsOf = (entry: EntryRecord): string[] => cells(entry, items, partial, counted, isNarrow);
    const rows = [
      ...hooks.filter(({ cgroupPath }) => cgroupPath === undefined).map((hook) => plainRow(hook, items, cellsOf)),
      ...cgroupRows(hooks, names, cellsOf),
    ];
    const titles = ["HOOK", "LINK", "PROGRAM", ...counted ? ["RUNS", "EACH"] : [], "HELD BY"];
    return [titles, ...rows.flatMap((row) => flat(row))];
  };
  const whole = tableOf(false), rows = width < WIDE && !fits(whole, width) ? tableOf(true) : whole;
  const [first, ...lines] = columns(rows, width, { main: "HOOK", optional: ["EACH", "RUNS", "HELD BY"] });
  return [output.highlight(first!), ...lines];
}

function cells(
  { programId, programName, linkId, link }: EntryRecord,
  items: ReadonlyMap<number, Item>,
  partial: boolean,
  counted: boolean,
  isNarrow: boolean,
): string[] {
  const held = link?.holders && { holders: link.holders, partial: link.holdersPartial ?? false };
  return [
    linkId === undefined ? partial ? "?" : "-" : String(linkId),
    isNarrow ? programWord(programId, programName) : programText(programId, programName),
    ...counted ? runsTexts(items.get(linkId ?? 0)?.runs) : [],
    holdersText(held),
  ];
}

/** A hook that has one entry is a line with it. */
function plainRow(
  hook: HookRecord,
  items: ReadonlyMap<number, Item>,
  cellsOf: (entry: EntryRecord) => string[],
): Row {
  const [first, ...others] = hook.entries, alone = others.length === 0 && first !== undefined;
  const [where, ...more] = new Set(hook.entries.map(({ linkId }) => items.get(linkId ?? 0)?.where));
  // places that links share in different orders have words of their own
  const place = where !== undefined && more.length === 0 ? where : hook.place;
  const runs = hook.entries.some(({ link }) => link?.attached !== false); // what is detached has no order
  const order = hook.ordered || alone || !runs ? "" : " (order unknown)";
  const title = printable(`${hookText(hook.type as LinkInfo["type"], place)}${order}`);
  if (alone) return { cells: [title, ...cellsOf(first)], below: [] };
  return {
    cells: [title],
    below: hook.entries.map((entry, i) => ({
      cells: [hook.ordered ? `${i + 1}.` : "-", ...cellsOf(entry)],
      below: [],
    })),
  };
}

/** A directory of cgroups. */
interface Directory {
  readonly hooks: HookRecord[];
  readonly below: Map<string, Directory>;
}

function cgroupRows(
  hooks: readonly HookRecord[],
  names: FullNames,
  cellsOf: (entry: EntryRecord) => string[],
): Row[] {
  const root: Directory = { hooks: [], below: new Map() };
  for (const hook of hooks) {
    if (hook.cgroupPath === undefined) continue;
    let directory = root;
    for (const name of names.below(hook.cgroupPath).split("/").filter(Boolean)) {
      let next = directory.below.get(name);
      if (next === undefined) directory.below.set(name, next = { hooks: [], below: new Map() });
      directory = next;
    }
    directory.hooks.push(hook);
  }
  if (root.hooks.length === 0 && root.below.size === 0) return [];
  return [directoryRow("cgroups /", root, cellsOf)];
}

function directoryRow(title: string, { hooks, below }: Directory, cellsOf: (entry: EntryRecord) => string[]): Row {
  const [only] = below;
  if (hooks.length === 0 && below.size === 1) return directoryRow(`${title}${only![0]}/`, only![1], cellsOf);
  const entries = hooks.flatMap(({ type, attachType, place, ordered, entries }) => {
    const name = attachType?.startsWith(`${type}_`) ? attachType.slice(type.length + 1) : attachType ?? place;
    return entries.map((entry, i) => {
      const order = entries.length === 1 ? "" : ordered ? ` ${i + 1}.` : " ?";
      return { cells: [`${name}${order}`, ...cellsOf(entry)], below: [] };
    });
  });
  const directories = [...below].sort(([a], [b]) => a < b ? -1 : 1);
  return {
    cells: [printable(title)],
    below: [...entries, ...directories.map(([name, directory]) => directoryRow(`${name}/`, directory, cellsOf))],
  };
}

function flat({ cells: [first, ...rest], below }: Row, indent = "", head = ""): string[][] {
  return [
    [`${head}${first}`, ...rest],
    ...below.flatMap((row, i) => {
      const isLast = i === below.length - 1;
      return flat(row, `${indent}${isLast ? "   " : "│  "}`, `${indent}${isLast ? "└─ " : "├─ "}`);
    }),
  ];
}

/** Pins of programs and maps. */
export function pinLines(pins: readonly PinRecord[], width: number): string[] {
  return treeLines(
    pins.map(({ path, kind, id, name }) => ({
      text: `${printable(path)}: ${kind} ${programText(id, name)}`,
      below: [],
    })),
    width,
  );
}
