/** `top`: which links there are and how much their programs run, on a screen or once. */
import { Link } from "../link.ts";
import { pause } from "../wait.ts";
import { oneOf } from "./arguments.ts";
import { type Command, FOLLOW_OPTIONS, followHelp, intervalOf, listOptions, Status } from "./command.ts";
import { toRecord } from "./item.ts";
import { Choice, Followed, rowsTable, showLive, SORT_NAMES, sortKey } from "./live.ts";
import { whatIsMissing } from "./missing.ts";
import { now, until } from "./until.ts";

const REFRESH_MS = 1000;

export const top: Command = {
  usage: "[OPTION]...",
  summary: "show links with how often and how long their programs run",
  details: [
    "On a terminal it is a screen that follows them. Keys: i t w p r l h sort by",
    "id, type, where, program, runs, load and held; / filters, escape ends that;",
    "s lets the kernel count runs, or no more; arrows scroll; q quits. Elsewhere it",
    "looks twice, and prints what there was in between. Below 100 columns HOOK has",
    "type and place, and programs are there by their names.",
    "",
    "RUNS/S and LOAD, the part of one processor's time, are there while the kernel",
    "counts: with --stats, or kernel.bpf_stats_enabled=1. That costs each run of",
    "each program of the machine some tens of nanoseconds. They are the program's,",
    "wherever it is attached.",
    "",
    "--stats              let the kernel count meanwhile; needs CAP_SYS_ADMIN",
    `--sort BY            ${SORT_NAMES.join(", ")}`,
    ...followHelp(REFRESH_MS),
  ],
  options: { stats: { type: "boolean" }, sort: { type: "string", values: SORT_NAMES }, ...FOLLOW_OPTIONS },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const sort = sortKey(oneOf(values.sort as string | undefined ?? "load", "--sort", SORT_NAMES));
    const refreshMs = intervalOf(values) ?? REFRESH_MS, stats = values.stats === true;
    const isSourceWanted = values.source !== undefined;
    using watcher = Link.watch(listOptions(values));
    return await until(watcher, async () => {
      if (output.isScreen) {
        await showLive(watcher, output, { title: "bpflink top", sort, refreshMs, stats, isSourceWanted });
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
        output.print({ time: now(), links: records, source, partial }, () => [
          ...rows.length === 0 ? ["no links"] : rowsTable(rows, links.isCounting, output.size.columns),
          ...partial ? whatIsMissing({ source, isWanted: isSourceWanted }) : [],
        ]);
        return partial ? Status.partial : Status.done;
      } finally {
        links.close();
      }
    });
  },
};
