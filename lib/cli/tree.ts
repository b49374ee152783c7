/** `tree`: every place, what is attached there in the kernel's order, and who holds it. */
import { printable } from "../check.ts";
import { otherPins } from "../holders.ts";
import { isAt, type Place, places, placeText, reportsLinks } from "../hooks.ts";
import { toJson } from "../json.ts";
import { linkKindOf } from "../kind/mod.ts";
import { Names } from "../names.ts";
import { type Command, listOptions, SOURCE_HELP, Status } from "./command.ts";
import { holderText, type Item, items, programText, targetOf, titleOf, toRecord } from "./item.ts";
import type { EntryRecord, HookRecord, PinRecord } from "./schema.ts";
import { type Branch, treeLines } from "./table.ts";

export const tree: Command = {
  usage: "[--source SOURCE]",
  summary: "show hooks, what is attached there, in order, and who holds it",
  details: [
    "Hooks of the own network namespace and of all cgroups are shown with programs",
    "that were attached without a link, too. Pins of programs and maps come last.",
    "",
    SOURCE_HELP,
  ],
  options: { source: { type: "string" } },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    const options = listOptions(values), names = new Names();
    const found = await items(options, names), asked = places();
    let hooks = hooksOf(asked.places, found.links, names);
    if (hooks.some(({ entries }) => entries.some(({ link }) => link === undefined))) {
      // the link may have been made in between
      const { links } = await items(options, names);
      const all = new Map([...found.links, ...links].map((item) => [item.info.id, item]));
      hooks = hooksOf(asked.places, [...all.values()], names);
    }
    const { pins, isWhole } = otherPins(), partial = found.partial || asked.isRefused || !isWhole;
    const { columns } = output.size;
    output.print({ hooks, pins, source: found.source, partial }, () => [
      ...hooks.flatMap((hook) => [
        output.highlight(titleOf(hook)),
        ...treeLines(hook.entries.map((entry) => branch(entry, found.partial)), columns),
      ]),
      ...pins.length === 0 ? [] : [output.highlight("other pins"), ...treeLines(pins.map(leaf), columns)],
      ...partial ? [`Something may be missing: some hooks or links cannot be seen (source: ${found.source}).`] : [],
    ]);
    return partial ? Status.partial : Status.done;
  },
};

/** All places with their links, then those of the other links. */
function hooksOf(places: readonly Place[], links: readonly Item[], names: Names): HookRecord[] {
  const left = new Set(links);
  const asked = places.map((place) => hookOf(place, takeFrom(left, place), names));
  return [...asked, ...otherHooks([...left])];
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
function hookOf({ where, revision, programs }: Place, links: readonly Item[], names: Names): HookRecord {
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
function otherHooks(links: readonly Item[]): HookRecord[] {
  const hooks = Map.groupBy(links, (item) => {
    const { info } = item;
    return `${info.type} ${linkKindOf(info.type).shares?.(info).place ?? targetOf(item)}`;
  });
  return [...hooks].sort(([a], [b]) => a < b ? -1 : 1).map(([key, links]) => {
    const { type } = links[0]!.info;
    const entries = links.toSorted((a, b) => orderOf(a) - orderOf(b)).map(entryOf);
    return { type, place: key.slice(type.length + 1), ordered: false, entries };
  });
}

function orderOf({ info }: Item): number {
  return linkKindOf(info.type).shares?.(info).order ?? 0;
}

function leaf({ path, kind, id, name }: PinRecord): Branch {
  return { text: `${printable(path)}: ${kind} ${programText(id, name)}`, below: [] };
}

function branch({ programId, programName, linkId, link }: EntryRecord, partial: boolean): Branch {
  const program = programId === undefined ? [] : [`program ${programText(programId, programName)}`];
  const holders = (link?.holders ?? []).map(holderText);
  return {
    text: [linkId !== undefined ? `link ${linkId}` : partial ? "link unknown" : "no link", ...program].join(", "),
    below: [...new Set(holders), ...link?.holdersPartial ? ["? (there may be others)"] : []]
      .map((text) => ({ text, below: [] })),
  };
}
