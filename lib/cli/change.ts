/** `detach`, `pin`, `unpin` and `update`. */
import { printable } from "../check.ts";
import { type LinkInfo, linkKindOf } from "../kind/mod.ts";
import { type AnyLink, Link } from "../link.ts";
import { BpfMap } from "../map.ts";
import { FullNames } from "../full_names.ts";
import { Program } from "../program.ts";
import { UsageError } from "./arguments.ts";
import { type Command, isNumber, numberFrom, openLink, type Output, Status } from "./command.ts";
import { holdersText, type Item, named, programText, toRecord } from "./item.ts";

export const detach: Command = {
  usage: "ID|PIN [--yes]",
  summary: "detach a link by force, whoever holds it",
  details: [
    "Says who holds the link and asks first. Pins of it stay; `unpin` removes them.",
    "",
    "--yes                do not ask; required with --json and without a terminal",
  ],
  options: { yes: { type: "boolean" } },
  takes: [1, 1],
  run({ values, positionals }, output): number {
    const mayAsk = Deno.stdin.isTerminal() && output.isTerminal && !output.json;
    if (!values.yes && !mayAsk) throw new UsageError("detach cannot ask here: give --yes");
    using link = openLink(positionals[0]!);
    const item = look(link);
    if (!values.yes && !confirm(`Detach ${inWords(item)}, held by ${holdersText(item.held)}?`)) return Status.failed;
    link.detach();
    // in the words of before: now it is nowhere
    return done(link, output, ({ held }) => `detached ${inWords(item)}; still held by ${holdersText(held)}`);
  },
};

export const pin: Command = {
  usage: "ID|PIN PATH",
  summary: "give a link a path, so that it outlives its processes",
  options: {},
  takes: [2, 2],
  run({ positionals: [which, path] }, output): number {
    using link = openLink(which!);
    link.pin(path!);
    return done(link, output, (item) => `pinned ${inWords(item)} at ${printable(path!)}`);
  },
};

export const unpin: Command = {
  usage: "PATH",
  summary: "remove a link's pin; without other holders the link ends",
  options: {},
  takes: [1, 1],
  run({ positionals: [path] }, output): number {
    using link = Link.openPinned(path!);
    link.unpin();
    return done(link, output, (item) => `unpinned ${inWords(item)}; still held by ${holdersText(item.held)}`);
  },
};

export const update: Command = {
  usage: "ID|PIN PROGRAM [--expected PROGRAM]",
  summary: "put another program into a link, without a gap",
  details: [
    "PROGRAM is the id or a pin of a program; of a map for a link that holds one.",
    "",
    "--expected PROGRAM   fail if the link holds another program than this one",
  ],
  options: { expected: { type: "string" } },
  takes: [2, 2],
  run({ values, positionals: [which, next] }, output): number {
    using link = openLink(which!);
    const source = linkKindOf(link.type).holds === "map" ? BpfMap : Program;
    const open = (text: string) => isNumber(text) ? source.open(numberFrom(text, "PROGRAM")) : source.openPinned(text);
    using program = open(next!);
    using expected = typeof values.expected === "string" ? open(values.expected) : undefined;
    link.update(program, { expected });
    return done(link, output, (item) => `updated ${inWords(item)}`);
  },
};

function look(link: AnyLink): Item {
  return named(link.info() as LinkInfo, new FullNames(), link.holders());
}

function inWords(item: Item): string {
  const { info: { id, type, programId }, programName } = item;
  const program = programId === undefined ? "" : `, program ${programText(programId, programName)}`;
  return `link ${id} (${type} ${item.where}${program})`;
}

/** Says how the link is now. */
function done(link: AnyLink, output: Output, text: (item: Item) => string): number {
  const item = look(link);
  output.print({ links: [toRecord(item)] }, () => [text(item)]);
  return Status.done;
}
