/** `watch`: changes as lines, on a terminal a screen that follows them. */
import { FullNames } from "../full_names.ts";
import { Link } from "../link.ts";
import type { LinkEvent, LinkWatcher } from "../watch.ts";
import { type Command, FOLLOW_OPTIONS, followHelp, intervalOf, listOptions, type Output, Status } from "./command.ts";
import { type Item, named, programText, toRecord } from "./item.ts";
import { showLive, sortKey } from "./live.ts";
import { clock, now, until } from "./until.ts";

const REFRESH_MS = 2000;

export const watch: Command = {
  usage: "[OPTION]...",
  summary: "follow links as they come, change and go, until interrupted",
  details: [
    "On a terminal it is a screen with the last changes; keys sort and filter, q",
    "quits. Else a line for each event, with its time.",
    "",
    ...followHelp(100),
  ],
  options: FOLLOW_OPTIONS,
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    using watcher = Link.watch({ ...listOptions(values), intervalMs: intervalOf(values) });
    const changeText = (event: LinkEvent, item: Item) => `${clock()} ${inWords(event, item)}`;
    await until(watcher, () =>
      output.isScreen
        ? showLive(watcher, output, {
          title: "bpflink watch",
          sort: sortKey("id"),
          refreshMs: REFRESH_MS,
          stats: false,
          isSourceWanted: values.source !== undefined,
          changeText,
        })
        : showLines(watcher, output));
    return watcher.partial ? Status.partial : Status.done;
  },
};

async function showLines(watcher: LinkWatcher, output: Output): Promise<void> {
  const { source, partial } = watcher, names = new FullNames();
  for await (const event of watcher) {
    const { kind } = event, time = now(), info = event.kind === "changed" ? event.after : event.info;
    const item = named(info, names), link = toRecord(item);
    const change = event.kind === "changed" ? { before: toRecord(named(event.before, names)), what: event.what } : {};
    output.print(
      { event: { kind, time, link, ...change }, source, partial },
      () => [`${time} ${inWords(event, item)}`],
    );
  }
}

function inWords(event: LinkEvent, { info: { id, type, programId }, where, programName }: Item): string {
  const what = event.kind === "changed" ? `: ${event.what.join(", ")}` : "";
  return `${event.kind} ${id} ${type} ${where} program ${programText(programId, programName)}${what}`;
}
