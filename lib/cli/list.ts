/** `list` and `show`. */
import { printable } from "../check.ts";
import { BpfError } from "../error.ts";
import { FullNames } from "../full_names.ts";
import type { LinkInfo } from "../kind/mod.ts";
import { Link } from "../link.ts";
import { unlessRefused } from "../refusal.ts";
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
import {
  holdersText,
  hookText,
  type Item,
  items,
  named,
  programText,
  programWord,
  runsTexts,
  toRecord,
} from "./item.ts";
import { type Gaps, whatIsMissing } from "./missing.ts";
import { columns, fits, WIDE } from "./table.ts";

/** Links as a table; with runs if some were counted. */
function linkTable(links: readonly Item[], output: Output): string[] {
  if (links.length === 0) return ["no links"];
  const { columns: width } = output.size, whole = rowsOf(links, false);
  const isNarrow = width < WIDE && !fits(whole, width);
  const [first, ...lines] = columns(isNarrow ? rowsOf(links, true) : whole, width, {
    main: isNarrow ? "HOOK" : "WHERE",
    optional: ["EACH", "RUNS", "HELD BY"],
  });
  return [output.highlight(first!), ...lines];
}

function rowsOf(links: readonly Item[], isNarrow: boolean): string[][] {
  const counted = links.some(({ runs }) => runs !== undefined);
  const titles = ["ID", ...isNarrow ? ["HOOK"] : ["TYPE", "WHERE"], "PROGRAM", ...counted ? ["RUNS", "EACH"] : []];
  const rows = links.map(({ info: { id, type, programId }, where, programName, runs, held }) => [
    String(id),
    ...isNarrow ? [hookText(type, where)] : [type, where],
    isNarrow ? programWord(programId, programName) : programText(programId, programName),
    ...counted ? runsTexts(runs) : [],
    holdersText(held),
  ]);
  return [[...titles, "HELD BY"], ...rows];
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
  run({ values }, output): number {
    const isChosen = chooser(values); // before anything is looked at
    const found = items(listOptions(values), new FullNames());
    const answers = found.links.map((item) => isChosen === undefined || isChosen(item));
    const links = found.links.filter((_, i) => answers[i]), isUnclear = answers.includes(undefined);
    const { source } = found, partial = found.partial || isUnclear;
    output.print(
      () => ({ links: links.map(toRecord), source, partial }),
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
    const own = link.info() as LinkInfo;
    const info = isUnknownDevice(own, names) ? await byIterator(own) : own;
    return named(info, names, link.holders());
  } catch (error) {
    if (!(error instanceof BpfError && error.reason === "capability" && isNumber(which))) throw error;
  }
  const { links, source, partial } = items({}, names);
  const item = links.find(({ info }) => info.id === Number(which));
  if (item !== undefined) return item;
  if (!partial) throw new NothingThere(`there is no link ${which}`);
  const [why] = whatIsMissing({ source, isWanted: false });
  throw new NothingThere(`there is no link ${which} among those that can be seen. ${why!.replace(/\.$/, "")}`);
}

/** Whether an interface is in another network namespace, and nothing says in which. */
function isUnknownDevice(info: LinkInfo, names: FullNames): boolean {
  return "ifindex" in info && info.attached !== false && info.netnsIno === undefined &&
    names.device(info) === undefined;
}

/** The info of a link as the iterator reports it, which knows in which network namespace an interface is. */
async function byIterator(info: LinkInfo): Promise<LinkInfo> {
  const listing = unlessRefused(() => Link.infos({ types: [info.type as never], source: "iterator" }));
  return (await Array.fromAsync(listing ?? [])).find(({ id }) => id === info.id) ?? info;
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
