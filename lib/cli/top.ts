/** `top`: which links there are and how much their programs run, on a screen or once. */
import { Link } from "../link.ts";
import { pause } from "../wait.ts";
import { UsageError } from "./arguments.ts";
import {
  type Command,
  listOptions,
  numberFrom,
  SOURCE_HELP,
  SOURCE_OPTION,
  Status,
  TYPE_HELP,
  TYPE_OPTION,
} from "./command.ts";
import { toRecord } from "./item.ts";
import { Choice, Followed, rowsTable, showLive, SORT_NAMES, sortKey } from "./live.ts";
import { until } from "./until.ts";

const REFRESH_MS = 1000;

export const top: Command = {
  usage: "[OPTION]...",
  summary: "show links with how often and how long their programs run",
  details: [
    "On a terminal it is a screen that follows them. Keys: i t w p r l h sort by",
    "id, type, where, program, runs, load and held; / filters, escape ends that;",
    "s lets the kernel count runs, or no more; arrows scroll; q quits. Elsewhere it",
    "looks twice, and prints what there was in between. Below 100 columns types and",
    "ids of programs are left out.",
    "",
    "RUNS/S and LOAD, the part of one processor's time, are there while the kernel",
    "counts: with --stats, or kernel.bpf_stats_enabled=1. That costs each run of",
    "each program of the machine some tens of nanoseconds. They are the program's,",
    "wherever it is attached.",
    "",
    "--stats              let the kernel count meanwhile; needs CAP_SYS_ADMIN",
    `--sort BY            ${SORT_NAMES.join(", ")}`,
    TYPE_HELP,
    SOURCE_HELP,
    "--interval MS        milliseconds between two looks; 1000 if absent",
  ],
  options: {
    stats: { type: "boolean" },
    sort: { type: "string", values: SORT_NAMES },
    type: TYPE_OPTION,
    source: SOURCE_OPTION,
    interval: { type: "string" },
  },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const by = values.sort as string | undefined ?? "load";
    if (!SORT_NAMES.includes(by)) throw new UsageError(`--sort must be one of ${SORT_NAMES.join(", ")}, not "${by}"`);
    const refreshMs = typeof values.interval === "string" ? numberFrom(values.interval, "--interval") : REFRESH_MS;
    if (refreshMs === 0) throw new UsageError("--interval must be at least 1");
    const stats = values.stats === true, sort = sortKey(by);
    using watcher = Link.watch(listOptions(values));
    return await until(watcher, async () => {
      if (output.isTerminal && !output.json) {
        await showLive(watcher, output, { title: "bpflink top", sort, refreshMs, stats });
        return watcher.partial ? Status.partial : Status.done;
      }
      const links = new Followed();
      try {
        if (stats) links.toggleCounting();
        for await (const info of Link.infos(listOptions(values))) links.take({ kind: "present", info });
        await links.refresh();
        await pause(refreshMs);
        await links.refresh();
        const rows = new Choice(sort).choose(links.rows()), { source, partial } = watcher;
        const records = rows.map(({ item, order, rate }) => ({
          ...toRecord(item),
          ...order === "" ? {} : { order: parseInt(order) },
          ...rate === undefined ? {} : { runsPerSecond: rate.perSecond, load: rate.load },
        }));
        output.print({ links: records, source, partial }, () => rowsTable(rows, links.isCounting));
        return partial ? Status.partial : Status.done;
      } finally {
        links.close();
      }
    });
  },
};
