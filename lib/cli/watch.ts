/** `watch`: changes as lines, on a terminal a table that follows them. */
import { Link } from "../link.ts";
import { FullNames } from "../full_names.ts";
import type { LinkEvent, LinkWatcher } from "../watch.ts";
import {
  type Command,
  listOptions,
  numberFrom,
  type Output,
  SOURCE_HELP,
  Status,
  TYPE_HELP,
  writeAll,
} from "./command.ts";
import { type Item, named, programText, toRecord } from "./item.ts";
import { linkTable } from "./list.ts";

export const watch: Command = {
  usage: "[OPTION]...",
  summary: "follow links as they come, change and go, until interrupted",
  details: [
    "On a terminal it is a table that changes, else a line for each event.",
    "",
    TYPE_HELP,
    SOURCE_HELP,
    "--interval MS        milliseconds between two looks; 100 if absent",
  ],
  options: { type: { type: "string", multiple: true }, source: { type: "string" }, interval: { type: "string" } },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const intervalMs = typeof values.interval === "string" ? numberFrom(values.interval, "--interval") : undefined;
    using watcher = Link.watch({ ...listOptions(values), intervalMs });
    const stop = () => watcher.close();
    for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
    try {
      await (output.isTerminal && !output.json ? showTable(watcher, output) : showLines(watcher, output));
    } finally {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
    }
    return watcher.partial ? Status.partial : Status.done;
  },
};

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

async function showLines(watcher: LinkWatcher, output: Output): Promise<void> {
  const { source, partial } = watcher, names = new FullNames();
  for await (const event of watcher) {
    const { kind } = event, item = itemOf(event, names), link = toRecord(item);
    if (event.kind !== "changed") {
      output.print({ event: { kind, link }, source, partial }, () => [`${kind} ${inWords(item)}`]);
      continue;
    }
    const { what } = event, before = toRecord(named(event.before, names));
    output.print(
      { event: { kind, link, before, what }, source, partial },
      () => [`${kind} ${inWords(item)}: ${what.join(", ")}`],
    );
  }
}

function itemOf(event: LinkEvent, names: FullNames): Item {
  return named(event.kind === "changed" ? event.after : event.info, names);
}

function inWords(item: Item): string {
  const { id, type, programId } = item.info;
  return `${id} ${type} ${item.where} program ${programText(programId, item.programName)}`;
}

const ENTER = "\x1b[?1049h\x1b[?25l", LEAVE = "\x1b[?25h\x1b[?1049l"; // a screen of its own, without a cursor
const HOME = "\x1b[H\x1b[J";
const REDRAW_MS = 50;

async function showTable(watcher: LinkWatcher, output: Output): Promise<void> {
  const links = new Map<number, Item>(), names = new FullNames();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const draw = () => {
    timer = undefined;
    const { rows } = output.size;
    const lines = linkTable([...links.values()].sort((a, b) => a.info.id - b.info.id), output);
    const hidden = lines.length - (rows - 2);
    const shown = hidden <= 0 ? lines : [...lines.slice(0, rows - 3), `and ${hidden + 1} more`];
    const state = `${links.size} links, source: ${watcher.source}${watcher.partial ? ", some may be missing" : ""}`;
    writeAll(Deno.stdout, `${HOME}${[...shown, "", state].join("\n")}`);
  };
  const drawSoon = () => timer ??= setTimeout(draw, REDRAW_MS);
  writeAll(Deno.stdout, ENTER);
  Deno.addSignalListener("SIGWINCH", drawSoon);
  try {
    drawSoon();
    for await (const event of watcher) {
      const item = itemOf(event, names);
      if (event.kind === "removed") links.delete(item.info.id);
      else links.set(item.info.id, item);
      drawSoon();
    }
  } finally {
    clearTimeout(timer);
    Deno.removeSignalListener("SIGWINCH", drawSoon);
    writeAll(Deno.stdout, LEAVE);
  }
}
