/** `tree`: every place, what is attached there in the kernel's order, and who holds it. */
import { printable } from "../check.ts";
import { otherPins } from "../holders.ts";
import { isAt, type Place, places, placeText, reportsLinks } from "../hooks.ts";
import { toJson } from "../json.ts";
import { linkKindOf } from "../kind/mod.ts";
import type { ListOptions } from "../links.ts";
import { FullNames } from "../full_names.ts";
import { type Command, listOptions, SOURCE_HELP, Status } from "./command.ts";
import { chooser, FILTER_HELP, FILTER_OPTIONS } from "./filter.ts";
import { type Item, items, toRecord } from "./item.ts";
import { whatIsMissing } from "./missing.ts";
import type { EntryRecord, HookRecord } from "./schema.ts";
import { hooksText, pinLines } from "./tree_text.ts";

export const tree: Command = {
  usage: "[OPTION]...",
  summary: "show hooks, what is attached there, in order, and who holds it",
  details: [
    "A line for each link, in the order in which programs run where the kernel",
    "reports it; cgroups below those that they are in. Hooks of the own network",
    "namespace and of all cgroups are shown with programs that were attached",
    "without a link, too. Pins of programs and maps come last.",
    "",
    "Options choose hooks that have such a link:",
    ...FILTER_HELP,
    SOURCE_HELP,
  ],
  options: FILTER_OPTIONS,
  takes: [0, 0],
  run({ values }, output): number {
    const isChosen = chooser(values), options: ListOptions = { source: listOptions(values).source };
    const names = new FullNames(), found = items(options, names), asked = places();
    let all = found.links;
    let hooks = hooksOf(asked.places, found.links, names);
    if (hooks.some(({ entries }) => entries.some(({ link }) => link === undefined))) {
      // the link may have been made in between
      const { links } = items(options, names);
      all = [...new Map([...found.links, ...links].map((item) => [item.info.id, item])).values()];
      hooks = hooksOf(asked.places, all, names);
    }
    const chosen = isChosen && new Set(all.filter((item) => isChosen(item) !== false).map(({ info }) => info.id));
    if (chosen) hooks = hooks.filter(({ entries }) => entries.some(({ linkId }) => linkId && chosen.has(linkId)));
    const { pins, isWhole } = chosen ? { pins: [], isWhole: true } : otherPins();
    const isUnclear = isChosen !== undefined && all.some((item) => isChosen(item) === undefined);
    const partial = found.partial || asked.isRefused || !isWhole || isUnclear;
    output.print({ hooks, pins, source: found.source, partial }, () => [
      ...hooksText(hooks, new Map(all.map((item) => [item.info.id, item])), names, found.partial, output),
      ...pins.length === 0 ? [] : [output.highlight("other pins"), ...pinLines(pins, output.size.columns)],
      ...partial
        ? whatIsMissing({
          source: found.source,
          isWanted: options.source !== undefined,
          hooks: asked.isRefused,
          choice: isUnclear,
        })
        : [],
    ]);
    return partial ? Status.partial : Status.done;
  },
};

/** All places with their links, then those of the other links. */
export function hooksOf(places: readonly Place[], links: readonly Item[], names: FullNames): HookRecord[] {
  const left = new Set(links);
  const asked = places.map((place) => hookOf(place, takeFrom(left, place), names));
  return [...asked, ...otherHooks([...left], names)];
}

/** The links that are attached to a place, as far as their infos say; they are taken out of `left`. */
function takeFrom(left: Set<Item>, { where, programs }: Place): Item[] {
  const linkIds = programs.flatMap(({ linkId }) => linkId ? [linkId] : []);
  const here = [...left].filter(({ info, deviceName }) => {
    if (info.type !== where.type) return false;
    if (reportsLinks(info.type)) return linkIds.includes(info.id);
    if ("attachType" in info && info.attachType !== where.attachType) return false;
    return isAt(info, where) && !("ifindex" in info && deviceName === undefined);
  });
  for (const item of here) left.delete(item);
  return here;
}

/** A place with the links of its programs. */
function hookOf({ where, revision, programs }: Place, links: readonly Item[], names: FullNames): HookRecord {
  const left = new Set(links);
  let ordered = true;
  const entries = programs.map(({ progId, linkId, attachFlags }): EntryRecord => {
    const item = [...left].find(({ info }) => linkId ? info.id === linkId : info.programId === progId);
    if (item !== undefined) left.delete(item);
    // which of several links with the same program is which, the kernel reports only of tcx and netkit
    if (linkId === undefined && programs.filter((other) => other.progId === progId).length > 1) ordered = false;
    const programName = names.program(progId);
    return {
      programId: progId,
      ...programName ? { programName } : {},
      ...item === undefined ? linkId ? { linkId } : {} : { linkId: item.info.id, link: toRecord(item) },
      attachFlags,
    };
  });
  // made or updated while we looked
  return {
    ...toJson({ ...where, ...revision === undefined ? {} : { revision } }) as unknown as Omit<
      HookRecord,
      "place" | "ordered" | "entries"
    >,
    place: placeText(where),
    ordered: ordered && left.size === 0,
    entries: [...entries, ...[...left].map(entryOf)],
  };
}

function entryOf(item: Item): EntryRecord {
  const { info: { id, programId }, programName } = item;
  return {
    ...programId === undefined ? {} : { programId },
    ...programName ? { programName } : {},
    linkId: id,
    link: toRecord(item),
  };
}

/** Links of places that cannot be asked: by place, then by their order there, or by id. */
function otherHooks(links: readonly Item[], names: FullNames): HookRecord[] {
  const hooks = Map.groupBy(links, (item) => {
    const { info } = item;
    return `${info.type} ${linkKindOf(info.type).shares?.(info).place ?? placeOf(item, names)}`;
  });
  return [...hooks].sort(([a], [b]) => a < b ? -1 : 1).map(([key, links]) => {
    const { type } = links[0]!.info;
    const entries = links.toSorted((a, b) => orderOf(a) - orderOf(b)).map(entryOf);
    return { type, place: key.slice(type.length + 1), ordered: false, entries };
  });
}

/** A place as the record has it: with whole paths, and numbers that stay the same. */
function placeOf({ info, deviceName, cgroupPath }: Item, names: FullNames): string {
  return printable(names.plainly(info, deviceName, cgroupPath));
}

function orderOf({ info }: Item): number {
  return linkKindOf(info.type).shares?.(info).order ?? 0;
}
