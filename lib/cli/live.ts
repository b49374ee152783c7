/** The links of the machine on a screen that follows them: `top`, and `watch` on a terminal. */
import { FullNames } from "../full_names.ts";
import { places } from "../hooks.ts";
import { Link } from "../link.ts";
import { countRuns, countsRuns } from "../runs.ts";
import type { LinkEvent, LinkWatcher } from "../watch.ts";
import type { Output } from "./command.ts";
import { countText, holdersText, hookText, type Item, named, programText, programWord } from "./item.ts";
import { holderOf } from "./holder.ts";
import { type Rate, Rates } from "./rates.ts";
import { whatIsMissing } from "./missing.ts";
import { columns, WIDE } from "./table.ts";
import { clock } from "./until.ts";
import { Terminal } from "./terminal.ts";
import { hooksOf } from "./tree.ts";

/** A link as it is shown. */
export interface Row {
  readonly item: Item;
  /** Its place among the programs of its hook, as `1/3`; empty if it is alone or that is not known. */
  readonly order: string;
  readonly rate: Rate | undefined;
}

/** What rows can be sorted by, by the key that does. */
const SORTS: Readonly<Record<string, { title: string; value(row: Row): string | number }>> = {
  i: { title: "ID", value: ({ item }) => item.info.id },
  t: { title: "TYPE", value: ({ item }) => item.info.type },
  w: { title: "WHERE", value: ({ item, order }) => `${item.where} ${order}` },
  p: { title: "PROGRAM", value: ({ item }) => item.programName || "\uffff" }, // those without a name last
  r: { title: "RUNS/S", value: ({ rate }) => -(rate?.perSecond ?? -1) },
  l: { title: "LOAD", value: ({ rate }) => -(rate?.load ?? -1) },
  h: { title: "HELD BY", value: ({ item }) => holdersText(item.held) },
};

/** The names of what rows can be sorted by. */
export const SORT_NAMES: readonly string[] = ["id", "type", "where", "program", "runs", "load", "held"];

/** The key for a name of those. */
export function sortKey(name: string): string {
  return name[0]!;
}

function sortName(key: string): string {
  return SORT_NAMES.find((name) => sortKey(name) === key)!;
}

/** What the keys of somebody who looks on choose. */
export class Choice {
  sort: string;
  filter = "";
  /** Whether the filter is being typed. */
  isTyping = false;
  first = 0;

  constructor(sort: string) {
    this.sort = sort;
  }

  /** Does what a key says; returns what else is wanted. */
  press(key: string, page: number): "quit" | "count" | undefined {
    if (key === "interrupt") return "quit";
    if (this.isTyping) {
      this.#type(key);
      return undefined;
    }
    const steps: Record<string, number> = {
      up: -1,
      k: -1,
      down: 1,
      j: 1,
      "page up": -page,
      "page down": page,
      home: -Infinity,
    };
    if (key === "q") return "quit";
    if (key === "s") return "count";
    if (key === "/") this.isTyping = true;
    else if (key === "escape") this.filter = "";
    else if (Object.hasOwn(SORTS, key)) this.sort = key;
    else if (Object.hasOwn(steps, key)) this.first = Math.max(0, this.first + steps[key]!);
    return undefined;
  }

  #type(key: string): void {
    this.first = 0;
    if (key === "enter") this.isTyping = false;
    else if (key === "escape") [this.filter, this.isTyping] = ["", false];
    else if (key === "backspace") this.filter = [...this.filter].slice(0, -1).join("");
    else if ([...key].length === 1) this.filter += key;
  }

  /** The rows that are wanted, in their order. */
  choose(rows: readonly Row[]): Row[] {
    const wanted = this.filter.toLowerCase(), { value } = SORTS[this.sort]!;
    const keys = new Map(rows.map((row) => [row, value(row)]));
    return rows.filter((row) => wanted === "" || words(row).toLowerCase().includes(wanted))
      .sort((a, b) => {
        const [x, y] = [keys.get(a)!, keys.get(b)!];
        return x < y ? -1 : x > y ? 1 : a.item.info.id - b.item.info.id;
      });
  }
}

/** What a filter looks at. */
function words({ item: { info, programName, where, held }, order }: Row): string {
  return [info.id, info.type, where, order, programText(info.programId, programName), holdersText(held)].join(" ");
}

function rateTexts(rate: Rate | undefined): [string, string] {
  return rate === undefined
    ? ["-", "-"]
    : [countText(rate.perSecond), rate.load === 0 ? "0%" : `${(100 * rate.load).toFixed(rate.load < 0.1 ? 2 : 1)}%`];
}

/** The rows as a table; `width` is that of a terminal. */
export function rowsTable(rows: readonly Row[], isCounting: boolean, width: number = Infinity): string[] {
  const isNarrow = width < WIDE, hasOrder = rows.some(({ order }) => order !== "");
  const titles = [
    "ID",
    ...isNarrow ? ["HOOK"] : ["TYPE", "WHERE"],
    ...hasOrder ? ["ORDER"] : [],
    "PROGRAM",
    ...isCounting ? ["RUNS/S", "LOAD"] : [],
    "HELD BY",
  ];
  const texts = rows.map(({ item: { info: { id, type, programId }, where, programName, held }, order, rate }) => [
    String(id),
    ...isNarrow ? [hookText(type, where)] : [type, where],
    ...hasOrder ? [order] : [],
    isNarrow ? programWord(programId, programName) : programText(programId, programName),
    ...isCounting ? rateTexts(rate) : [],
    held === undefined ? "" : holdersText(held), // nobody has looked yet
  ]);
  return columns([titles, ...texts], width, {
    main: isNarrow ? "HOOK" : "WHERE",
    optional: ["HELD BY", "ORDER", "RUNS/S"],
  });
}

/** The links that a watcher follows, with all that is looked up again and again. */
export class Followed {
  readonly names: FullNames = new FullNames();
  readonly #items = new Map<number, Item>();
  readonly #rates = new Rates();
  #orders = new Map<number, string>();
  #counting: Disposable | undefined;

  get size(): number {
    return this.#items.size;
  }

  /** Whether runs are counted, by us or by the switch of the machine. */
  get isCounting(): boolean {
    return this.#counting !== undefined || countsRuns() || this.rows().some(({ rate }) => rate && rate.perSecond > 0);
  }

  /** Lets the kernel count until {@linkcode close}, or ends that. */
  toggleCounting(): void {
    if (this.#counting === undefined) this.#counting = countRuns();
    else this.close();
  }

  /** Ends the counting. */
  close(): void {
    this.#counting?.[Symbol.dispose]();
    this.#counting = undefined;
  }

  /** Takes an event; returns the link that it is about. */
  take(event: LinkEvent): Item {
    const info = event.kind === "changed" ? event.after : event.info, held = this.#items.get(info.id)?.held;
    const item = { ...named(info, this.names), held };
    if (event.kind === "removed") this.#items.delete(info.id);
    else this.#items.set(info.id, item);
    return item;
  }

  /** Looks again at what the watcher does not report: runs, holders, the order of programs, names of namespaces. */
  async refresh(): Promise<void> {
    this.names.renew();
    this.names.learn([...this.#items.values()].map(({ info }) => info));
    this.#rates.sample([...this.#items.values()].flatMap(({ info }) => info.programId ?? []));
    const holders = await Link.holdersOfAsync([...this.#items.keys()]);
    for (const [id, held] of holders) {
      const item = this.#items.get(id);
      if (item === undefined) continue;
      this.#items.set(id, { ...item, held: { holders: held.holders.map(holderOf), partial: held.partial } });
    }
    this.#orders = new Map();
    for (const { entries, ordered } of hooksOf(places().places, [...this.#items.values()], this.names)) {
      if (!ordered || entries.length < 2) continue;
      entries.forEach(({ linkId }, i) => linkId && this.#orders.set(linkId, `${i + 1}/${entries.length}`));
    }
  }

  /** The links as they are shown. */
  rows(): Row[] {
    return Array.from(this.#items.values(), (item) => ({
      item,
      order: this.#orders.get(item.info.id) ?? "",
      rate: this.#rates.of(item.info.programId),
    }));
  }
}

const REDRAW_MS = 50, MOST_CHANGES = 5;
const KEYS = [
  "q quit  / filter  s count runs  sort by: id type where program runs load held",
  "q quit  / filter  s count  sort: itwprlh",
  "q quit / filter",
];

/** How a screen is shown. */
export interface LiveOptions {
  readonly title: string;
  readonly sort: string;
  /** Milliseconds between two looks at what the watcher does not report. */
  readonly refreshMs: number;
  /** Whether the command line asks for the source of the links. */
  readonly isSourceWanted: boolean;
  /** Let the kernel count from the beginning. */
  readonly stats: boolean;
  /** Words for an event, which are shown at the bottom. */
  readonly changeText?: (event: LinkEvent, item: Item) => string;
}

/** Shows the links until the watcher is closed, which `q` does. */
export async function showLive(watcher: LinkWatcher, output: Output, options: LiveOptions): Promise<void> {
  const links = new Followed(), choice = new Choice(options.sort), changes: string[] = [];
  let problem = "", timer: ReturnType<typeof setTimeout> | undefined, isOver = false;
  const count = () => {
    try {
      links.toggleCounting();
      problem = "";
    } catch (error) {
      problem = (error as Error).message;
    }
  };
  const draw = () => {
    timer = undefined;
    if (isOver) return;
    const { rows: height, columns: width } = output.size;
    const all = choice.choose(links.rows()), [titles, ...table] = rowsTable(all, links.isCounting, width);
    const room = Math.max(1, height - 3 - changes.length);
    choice.first = Math.max(0, Math.min(choice.first, table.length - room));
    const shown = table.slice(choice.first, choice.first + room);
    const filter = choice.isTyping || choice.filter !== ""
      ? `, filter: ${choice.filter}${choice.isTyping ? "_" : ""}`
      : "";
    const count = all.length === links.size
      ? `${links.size} link${links.size === 1 ? "" : "s"}`
      : `${all.length} of ${links.size} links`;
    const { source, partial } = watcher, { isSourceWanted: isWanted } = options;
    const some = partial ? `. ${whatIsMissing({ source, isWanted })[0]}` : "";
    const state = `${options.title} ${clock()}: ${count} by ${sortName(choice.sort)}${filter}${some}`;
    const keys = KEYS.find((keys) => keys.length <= width) ?? "q";
    const gap = Array.from({ length: Math.max(0, room - shown.length) }, () => "");
    const lines = [state, titles!, ...shown, ...gap, ...changes, problem || keys];
    terminal.show(lines.slice(0, height), width, 1);
  };
  const drawSoon = () => {
    if (!isOver) timer ??= setTimeout(draw, REDRAW_MS);
  };
  await using terminal = new Terminal((key) => {
    const wanted = choice.press(key, Math.max(1, output.size.rows - 4));
    if (wanted === "quit") watcher.close();
    if (wanted === "count") count();
    drawSoon();
  });
  if (options.stats) count();
  let refreshing: Promise<void> | undefined;
  const refresh = () => {
    refreshing ??= links.refresh().then(drawSoon, (error) => problem = error.message)
      .finally(() => refreshing = undefined);
  };
  const refreshTimer = setInterval(refresh, options.refreshMs);
  Deno.addSignalListener("SIGWINCH", drawSoon);
  try {
    drawSoon();
    let isSettled = false;
    watcher.settled.then(() => {
      isSettled = true;
      refresh();
    });
    for await (const event of watcher) {
      const item = links.take(event);
      if (isSettled && options.changeText !== undefined) {
        changes.push(options.changeText(event, item));
        if (changes.length > MOST_CHANGES) changes.shift();
      }
      drawSoon();
    }
  } finally {
    isOver = true;
    clearTimeout(timer);
    clearInterval(refreshTimer);
    await refreshing;
    links.close();
    Deno.removeSignalListener("SIGWINCH", drawSoon);
  }
}
