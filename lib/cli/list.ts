/** `list` and `show`. */
import { printable } from "../check.ts";
import { BpfError } from "../error.ts";
import { isVisible } from "../holders.ts";
import type { LinkInfo } from "../kind/mod.ts";
import type { Source } from "../links.ts";
import { cgroupNumber, deviceIndex, Names } from "../names.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import {
  type Command,
  isNumber,
  listOptions,
  NothingThere,
  numberFrom,
  openLink,
  type Output,
  SOURCE_HELP,
  Status,
  TYPE_HELP,
} from "./command.ts";
import { holdersText, holderText, type Item, items, named, programText, targetOf, toRecord } from "./item.ts";
import { columns } from "./table.ts";

const TITLES = ["ID", "TYPE", "TARGET", "PROGRAM", "HELD BY"];

/** Links as a table, with holders if they are known. */
export function linkTable(links: readonly Item[], output: Output): string[] {
  const rows = links.map((item) => {
    const { info, programName, held } = item;
    const row = [String(info.id), info.type, targetOf(item), programText(info.programId, programName)];
    return held === undefined ? row : [...row, holdersText(held)];
  });
  const [titles, ...lines] = columns([TITLES.slice(0, rows[0]?.length ?? TITLES.length), ...rows], output.size.columns);
  return [output.highlight(titles!), ...lines];
}

/** What a table does not show. */
function footer(source: Source, partial: boolean, links: readonly Item[]): string[] {
  return [
    ...partial
      ? [`Some links may be missing: without privileges only those that can be seen (source: ${source}).`]
      : [],
    ...links.some(({ held }) => held?.partial) ? ["?: there may be more holders that cannot be seen."] : [],
  ];
}

/** Whether an item is wanted; undefined if that cannot be told. */
type Filter = (item: Item) => boolean | undefined;

function filters({ device, cgroup, program, pid }: Arguments["values"]): Filter[] {
  const chosen: Filter[] = [];
  if (typeof device === "string") {
    const isAnywhere = isNumber(device), index = isAnywhere ? Number(device) : deviceIndex(device);
    chosen.push(({ info, deviceName }) =>
      "ifindex" in info && info.ifindex === index && (isAnywhere || deviceName !== undefined)
    );
  }
  if (typeof cgroup === "string") {
    const id = cgroupNumber(cgroup);
    if (id === undefined) {
      throw new UsageError(`--cgroup must be a directory of a cgroup2 file system, not "${cgroup}"`);
    }
    chosen.push(({ info }) => "cgroupId" in info && info.cgroupId === id);
  }
  if (typeof program === "string") {
    const hasName = ({ programName }: Item) => programName === undefined ? undefined : programName === program;
    chosen.push(isNumber(program) ? ({ info }) => info.programId === Number(program) : hasName);
  }
  if (typeof pid === "string") {
    const number = numberFrom(pid, "--pid");
    const isHidden = !isVisible(number);
    const isHeld = ({ held }: Item) => held!.holders.some((it) => it.kind === "process" && it.pid === number);
    chosen.push((item) => isHeld(item) || (isHidden ? undefined : false));
  }
  return chosen;
}

export const list: Command = {
  usage: "[OPTION]...",
  summary: "list links",
  details: [
    TYPE_HELP,
    "--device NAME|N      at this interface; a name is one of the own namespace",
    "--cgroup PATH        at this cgroup, not at those above and below",
    "--program ID|NAME    with this program",
    "--pid PID            that this process holds",
    SOURCE_HELP,
  ],
  options: {
    type: { type: "string", multiple: true },
    device: { type: "string" },
    cgroup: { type: "string" },
    program: { type: "string" },
    pid: { type: "string" },
    source: { type: "string" },
  },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const wanted = filters(values); // before anything is looked at
    const found = await items(listOptions(values), new Names());
    const answers = found.links.map((item) => wanted.map((isWanted) => isWanted(item)));
    const links = found.links.filter((_, i) => answers[i]!.every(Boolean));
    const isUnclear = answers.some((all) => all.includes(undefined) && !all.includes(false));
    const { source } = found, partial = found.partial || isUnclear;
    output.print(
      { links: links.map(toRecord), source, partial },
      () => [...linkTable(links, output), ...footer(source, partial, links)],
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
  const names = new Names();
  try {
    using link = openLink(which);
    return named(link.info() as LinkInfo, names, link.holders());
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
    ["target", targetOf(item)],
    ...Object.entries(fields).map(([key, value]) => [key, printable(text(value))]),
    ...held.map((text, i) => [i === 0 ? "held by" : "", text]),
  ]);
}
