/** `list` and `show`. */
import { printable } from "../check.ts";
import { BpfError } from "../error.ts";
import { FullNames } from "../full_names.ts";
import type { LinkInfo } from "../kind/mod.ts";
import {
  type Command,
  isNumber,
  listOptions,
  NothingThere,
  openLink,
  type Output,
  SOURCE_HELP,
  Status,
} from "./command.ts";
import { chooser, FILTER_HELP, FILTER_OPTIONS } from "./filter.ts";
import { holderText } from "./holder.ts";
import { holdersText, type Item, items, learn, named, programText, runsTexts, toRecord } from "./item.ts";
import { type Gaps, whatIsMissing } from "./missing.ts";
import { columns } from "./table.ts";

const TITLES = ["ID", "TYPE", "WHERE", "PROGRAM"], WHERE = 2;

/** Links as a table; with runs if some were counted. */
function linkTable(links: readonly Item[], output: Output): string[] {
  const counted = links.some(({ runs }) => runs !== undefined);
  const rows = links.map(({ info, where, programName, runs, held }) => [
    String(info.id),
    info.type,
    where,
    programText(info.programId, programName),
    ...counted ? runsTexts(runs) : [],
    holdersText(held),
  ]);
  const titles = [...TITLES, ...counted ? ["RUNS", "EACH"] : [], "HELD BY"];
  const [first, ...lines] = columns([titles, ...rows], output.size.columns, WHERE);
  return [output.highlight(first!), ...lines];
}

/** What a table does not show. */
function footer(gaps: Gaps | undefined, links: readonly Item[]): string[] {
  return [
    ...gaps === undefined ? [] : whatIsMissing(gaps),
    ...links.some(({ held }) => held?.partial) ? ["?: there may be more holders that cannot be seen."] : [],
  ];
}

export const list: Command = {
  usage: "[OPTION]...",
  summary: "list links",
  details: [
    ...FILTER_HELP,
    SOURCE_HELP,
  ],
  options: FILTER_OPTIONS,
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const isChosen = chooser(values); // before anything is looked at
    const found = await items(listOptions(values), new FullNames());
    const answers = found.links.map((item) => isChosen === undefined || isChosen(item));
    const links = found.links.filter((_, i) => answers[i]), isUnclear = answers.includes(undefined);
    const { source } = found, partial = found.partial || isUnclear;
    output.print(
      { links: links.map(toRecord), source, partial },
      () => [
        ...linkTable(links, output),
        ...footer(partial ? { source, isWanted: values.source !== undefined, choice: isUnclear } : undefined, links),
      ],
    );
    return partial ? Status.partial : Status.done;
  },
};

export const show: Command = {
  usage: "ID|PIN",
  summary: "show all that is known of a link",
  options: {},
  takes: [1, 1],
  async run({ positionals: [which] }, output): Promise<number> {
    const item = await find(which!);
    output.print({ links: [toRecord(item)] }, () => details(item));
    return Status.done;
  },
};

/** The link that an argument names; looked for among those that can be seen if it may not be opened. */
async function find(which: string): Promise<Item> {
  const names = new FullNames();
  try {
    using link = openLink(which);
    const info = link.info() as LinkInfo;
    await learn(names, [info]);
    return named(info, names, link.holders());
  } catch (error) {
    if (!(error instanceof BpfError && error.reason === "capability" && isNumber(which))) throw error;
  }
  const { links, partial } = await items({}, names);
  const item = links.find(({ info }) => info.id === Number(which));
  if (item !== undefined) return item;
  throw new NothingThere(`there is no link ${which}${partial ? " among those that can be seen" : ""}`);
}

/** A link with every field, a line each. */
function details(item: Item): string[] {
  const { holders = [], holdersPartial, ...fields } = toRecord(item);
  const held = holders.map((it) => it.kind === "process" ? `${holderText(it)} fd ${it.fd}` : holderText(it));
  if (holdersPartial) held.push("? (there may be more that cannot be seen)");
  const text = (value: unknown) => typeof value === "object" ? JSON.stringify(value) : String(value);
  return columns([
    ["where", item.where],
    ...Object.entries(fields).map(([key, value]) => [key, printable(text(value))]),
    ...held.map((text, i) => [i === 0 ? "held by" : "", text]),
  ]);
}
