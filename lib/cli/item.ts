/** A link with what is known besides its info, as a record and in words. */
import { printable } from "../check.ts";
import type { FullNames } from "../full_names.ts";
import type { LinkHolders } from "../holders.ts";
import { toJson } from "../json.ts";
import { type LinkInfo, linkKindOf } from "../kind/mod.ts";
import { Link } from "../link.ts";
import type { LinkList, LinkListing, ListOptions } from "../links.ts";
import { unlessRefused } from "../refusal.ts";
import { type Runs, runsAndName } from "../runs.ts";
import { type Holder, holderOf, holderText } from "./holder.ts";
import type { HookRecord, LinkRecord } from "./schema.ts";

/** A link. */
export interface Item {
  readonly info: LinkInfo;
  /** Empty if it has none; undefined if that may not be seen. */
  readonly programName: string | undefined;
  readonly deviceName: string | undefined;
  readonly cgroupPath: string | undefined;
  /** What it is attached to, in a few words. */
  readonly where: string;
  /** How often its program ran, if the kernel has counted any run. */
  readonly runs: Runs | undefined;
  /** Who holds it. */
  readonly held: { readonly holders: readonly Holder[]; readonly partial: boolean } | undefined;
}

/** A link with its names. */
export function named(info: LinkInfo, names: FullNames, held?: LinkHolders): Item {
  names.learn([info]);
  const deviceName = names.device(info), cgroupPath = names.cgroup(info);
  const program = info.programId === undefined ? undefined : runsAndName(info.programId);
  return {
    info,
    programName: program?.name ?? names.program(info.programId),
    deviceName,
    cgroupPath,
    where: printable(names.where(info, deviceName, cgroupPath)),
    runs: program?.count === 0n ? undefined : program,
    held: held && { holders: held.holders.map(holderOf), partial: held.partial },
  };
}

/** The links of the machine with names and holders, which are looked for once. */
export function items(
  options: ListOptions,
  names: FullNames,
): Pick<LinkListing, "source" | "partial"> & { links: Item[] } {
  const infos = list(options, names);
  names.learn(infos);
  const holders = Link.holdersOf(infos.map(({ id }) => id));
  const links = infos.map((info) => named(info, names, holders.get(info.id)));
  return { source: infos.source, partial: infos.partial, links };
}

/** The infos: where there are few links by their ids, which takes no program to be loaded. */
function list(options: ListOptions, names: FullNames): LinkList {
  if (options.source !== undefined) return Link.list(options);
  const infos = unlessRefused(() => Link.list(options));
  if (infos !== undefined && (infos.source === "iterator" || infos.every((info) => names.locate(info)))) return infos;
  // of the sources the iterator alone reports in which network namespace an interface is
  return unlessRefused(() => Link.list({ ...options, source: "iterator" })) ?? infos ?? Link.list(options);
}

/** The record of a link. */
export function toRecord({ info, programName, deviceName, cgroupPath, runs, held }: Item): LinkRecord {
  const more = {
    programName,
    deviceName,
    cgroupPath,
    ...runs && { runCount: String(runs.count), runTimeNs: String(runs.timeNs) },
    holders: held?.holders,
    holdersPartial: held?.partial,
  };
  const known = Object.entries(more).filter(([, value]) => value !== undefined && value !== "");
  return { ...toJson(info), ...Object.fromEntries(known) } as LinkRecord;
}

/** A hook in a line. */
export function titleOf({ type, place, revision, ordered, entries }: HookRecord): string {
  const remarks = [
    ...revision === undefined ? [] : [`revision ${revision}`],
    ...ordered || entries.length < 2 ? [] : ["order unknown"],
  ];
  return printable(`${type} ${place}${remarks.length === 0 ? "" : ` (${remarks.join(", ")})`}`);
}

/** A program or map, by number and name. */
export function programText(id: number | undefined, name: string | undefined): string {
  return printable([id ?? "-", ...name ? [name] : []].join(" "));
}

/** A program for a narrow column: by its name, if it has one. */
export function programWord(id: number | undefined, name: string | undefined): string {
  return name ? printable(name) : programText(id, name);
}

/** What a link is and where, in one column. */
export function hookText(type: LinkInfo["type"], place: string): string {
  return linkKindOf(type).whereSaysWhat ? place : `${type} ${place}`;
}

/** Holders on one line; "?" stands for those that could not be seen. */
export function holdersText(held: Item["held"]): string {
  const texts = new Set(held?.holders.map(holderText)); // a process may have several fds
  return [...texts, ...held?.partial ? ["?"] : []].join(", ") || "-";
}

/** How often a program ran and how long a run took, in two columns. */
export function runsTexts(runs: Runs | undefined): [string, string] {
  return runs === undefined ? ["-", "-"] : [countText(runs.count), timeText(Number(runs.timeNs / runs.count))];
}

const UNITS = ["", "k", "M", "G", "T", "P", "E"];

/** A number in four characters or so. */
export function countText(count: number | bigint): string {
  let rest = Number(count), unit = 0;
  for (; rest >= 999.5 && unit < UNITS.length - 1; unit++) rest /= 1000;
  return `${rest < 9.95 && (unit > 0 || !Number.isInteger(rest)) ? rest.toFixed(1) : Math.round(rest)}${UNITS[unit]}`;
}

/** Nanoseconds, as `350ns` or `1.2ms`. */
export function timeText(ns: number): string {
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["us", 1e3]] as const) {
    if (ns >= size * 0.9995) return `${countText(ns / size)}${unit}`;
  }
  return `${Math.round(ns)}ns`;
}
