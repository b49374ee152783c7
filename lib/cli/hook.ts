/** `hook`: what is attached at one place, and what runs there. */
import { Hook, type HookEntry, type HookTarget } from "../hook.ts";
import { reportsLinks } from "../hooks.ts";
import type { HookKind } from "../kind/kind.ts";
import { HOOK_KINDS } from "../kind/mod.ts";
import { Link } from "../link.ts";
import { BpfMap } from "../map.ts";
import { LINK_TYPES } from "../uapi/constants.ts";
import { UsageError } from "./arguments.ts";
import { type Command, isNumber, numberFrom, Status } from "./command.ts";
import { programText, titleOf } from "./item.ts";
import type { HookRecord } from "./schema.ts";
import { columns } from "./table.ts";

/** What each type of hook takes. */
const PLACES: ReadonlyMap<string, HookKind<never>> = new Map(
  LINK_TYPES.flatMap((type) => {
    const hook = HOOK_KINDS.get(type);
    return hook === undefined ? [] : [[type, hook] as const];
  }),
);

export const hook: Command = {
  usage: "TYPE PLACE... [--netns PATH]",
  summary: "show what is attached at one place, in order",
  details: [
    "TYPE and PLACE are one of:",
    ...Array.from(PLACES, ([type, { words }]) => `  ${type.padEnd(8)} ${words}`),
    "DEVICE is a name or a number, ATTACH_TYPE such as cgroup_inet_egress.",
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
      ...effective !== entries && effective.length > 0 ? ["", "what runs, in order:", ...table(effective)] : [],
      ...partial ? ["?: which link it is, if any, cannot be told."] : [],
    ]);
    return partial ? Status.partial : Status.done;
  },
};

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
  const kind = PLACES.get(type!);
  if (kind === undefined) throw new UsageError(`TYPE may be ${[...PLACES.keys()].join(", ")}, not "${type}"`);
  if ((which !== undefined) !== kind.words.includes(" ")) throw new UsageError(`hook ${type} takes ${kind.words}`);
  if (netns !== undefined && kind.at !== "interface") throw new UsageError("--netns belongs to a DEVICE");
  return kind.fromWords(where!, which, { netns, openMap }) as HookTarget;
}
