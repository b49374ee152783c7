/** `hook`: what is attached at one place, and what runs there. */
import { Hook, type HookEntry, type HookTarget } from "../hook.ts";
import { reportsLinks } from "../hooks.ts";
import type { HookKind } from "../kind/kind.ts";
import { hookKinds } from "../kind/mod.ts";
import { Link } from "../link.ts";
import { BpfMap } from "../map.ts";
import { LINK_TYPES } from "../uapi/constants.ts";
import { oneOf, UsageError } from "./arguments.ts";
import { type Command, isNumber, numberFrom, Status } from "./command.ts";
import { programText, titleOf } from "./item.ts";
import type { HookRecord } from "./schema.ts";
import { columns } from "./table.ts";

/** What each type of hook takes. */
const PLACES: ReadonlyMap<string, HookKind<never>> = new Map(
  LINK_TYPES.flatMap((type) => {
    const hook = hookKinds().get(type);
    return hook === undefined ? [] : [[type, hook] as const];
  }),
);

export const hook: Command = {
  usage: "TYPE PLACE... [--netns PATH]",
  summary: "show what is attached at one place, in order",
  details: [
    "TYPE and PLACE are one of:",
    ...Array.from(PLACES, ([type, { words }]) => `  ${type.padEnd(8)} ${words}`),
    "DEVICE is a name or a number, PATH of a cgroup as `tree` shows it or whole,",
    "ATTACH_TYPE such as inet_egress or cgroup_inet_egress.",
    "",
    "--netns PATH         the network namespace of DEVICE; the own one if absent",
  ],
  options: { netns: { type: "string" } },
  takes: [2, 3],
  words: [...PLACES.keys()],
  async run({ values, positionals }, output): Promise<number> {
    using maps = new DisposableStack();
    const target = targetFrom(positionals, values.netns as string | undefined, (where) => maps.use(openMap(where)));
    const { revision, entries, effective } = Hook.query(target);
    const record: HookRecord = {
      type: target.type,
      place: positionals.slice(1).join(" "),
      ...revision === undefined ? {} : { revision: String(revision) },
      ordered: true,
      entries,
      effective,
    };
    const mayHaveLink = await missingLinks(target.type, [...entries, ...effective]);
    const partial = [...entries, ...effective].some(mayHaveLink);
    const table = (entries: readonly HookEntry[]) => tableOf(entries, mayHaveLink);
    output.print({ hooks: [record], partial }, () => [
      output.highlight(titleOf(record)),
      ...entries.length === 0 ? ["nothing is attached here"] : table(entries),
      ...isSame(entries, effective) ? [] : ["", "what runs, in order:", ...table(effective)],
      ...partial ? ["?: which link it is, if any, cannot be told."] : [],
    ]);
    return partial ? Status.partial : Status.done;
  },
};

function isSame(some: readonly HookEntry[], others: readonly HookEntry[]): boolean {
  return some.length === others.length &&
    some.every(({ programId, linkId }, i) => others[i]!.programId === programId && others[i]!.linkId === linkId);
}

type Test = (entry: HookEntry) => boolean;

/** Tells the entries that may have a link although none was found. Of some hooks the kernel itself reports the links. */
async function missingLinks(type: HookTarget["type"], entries: readonly HookEntry[]): Promise<Test> {
  const isUnlinked = ({ linkId }: HookEntry) => linkId === undefined;
  if (reportsLinks(type) || !entries.some(isUnlinked)) return () => false;
  const listing = Link.infos({ types: [type] }), linked = new Set<number | undefined>();
  for await (const { programId } of listing) linked.add(programId);
  return (entry) => isUnlinked(entry) && (listing.partial || linked.has(entry.programId));
}

function tableOf(entries: readonly HookEntry[], mayHaveLink: Test): string[] {
  return columns([
    ["LINK", "PROGRAM", "FLAGS"],
    ...entries.map((entry) => [
      String(entry.linkId ?? (mayHaveLink(entry) ? "?" : "-")),
      programText(entry.programId, entry.programName),
      String(entry.attachFlags),
    ]),
  ]);
}

function openMap(idOrPin: string): BpfMap {
  return isNumber(idOrPin) ? BpfMap.open(numberFrom(idOrPin, "ID")) : BpfMap.openPinned(idOrPin);
}

/** The place that the arguments name; what does not fit it is refused by the query. */
function targetFrom(
  [type, where, which]: readonly string[],
  netns: string | undefined,
  openMap: (where: string) => BpfMap,
): HookTarget {
  const kind = PLACES.get(oneOf(type!, "TYPE", [...PLACES.keys()]))!, [, choices] = kind.words.split(" ");
  if ((which !== undefined) !== (choices !== undefined)) throw new UsageError(`hook ${type} takes ${kind.words}`);
  if (netns !== undefined && kind.at !== "interface") throw new UsageError("--netns belongs to a DEVICE");
  if (which === undefined) return kind.fromWords(where!, which, { netns, openMap }) as HookTarget;
  // with or without the type in front, as tables leave it out
  const isWhole = choices === "ATTACH_TYPE", short = (name: string) => withoutType(name, type!);
  const name = oneOf(short(which), choices === "ATTACH_TYPE" ? choices : "PLACE", kind.attachTypes.map(short));
  return kind.fromWords(where!, isWhole ? kind.attachTypes.find((it) => short(it) === name) : name, {
    netns,
    openMap,
  }) as HookTarget;
}

function withoutType(attachType: string, type: string): string {
  return attachType.startsWith(`${type}_`) ? attachType.slice(type.length + 1) : attachType;
}
