/** A link with what is known besides its info, as a record and in words. */
import { printable } from "../check.ts";
import type { LinkHolder, LinkHolders } from "../holders.ts";
import { toJson } from "../json.ts";
import type { LinkInfo } from "../kind/mod.ts";
import { Link } from "../link.ts";
import type { LinkListing, ListOptions } from "../links.ts";
import { type Names, whereOf } from "../names.ts";
import { unlessRefused } from "../refusal.ts";
import type { HookRecord, LinkRecord } from "./schema.ts";

/** A link. */
export interface Item {
  readonly info: LinkInfo;
  /** Empty if it has none; undefined if that may not be seen. */
  readonly programName: string | undefined;
  readonly deviceName: string | undefined;
  readonly cgroupPath: string | undefined;
  readonly held: LinkHolders | undefined;
}

/** A link with its names. */
export function named(info: LinkInfo, names: Names, held?: LinkHolders): Item {
  return {
    info,
    programName: names.program(info.programId),
    deviceName: names.device(info),
    cgroupPath: names.cgroup(info),
    held,
  };
}

/** The links of the machine with names and holders, which are looked for once. */
export async function items(
  options: ListOptions,
  names: Names,
): Promise<Pick<LinkListing, "source" | "partial"> & { links: Item[] }> {
  // of the sources the iterator alone reports in which network namespace an interface is
  const listing = options.source === undefined
    ? unlessRefused(() => Link.infos({ ...options, source: "iterator" })) ?? Link.infos(options)
    : Link.infos(options);
  const infos = await Array.fromAsync(listing);
  const holders = Link.holdersOf(infos.map(({ id }) => id));
  const links = infos.map((info) => named(info, names, holders.get(info.id)));
  return { source: listing.source, partial: listing.partial, links };
}

/** The record of a link. */
export function toRecord({ info, programName, deviceName, cgroupPath, held }: Item): LinkRecord {
  const more = { programName, deviceName, cgroupPath, holders: held?.holders, holdersPartial: held?.partial };
  const known = Object.entries(more).filter(([, value]) => value !== undefined && value !== "");
  return { ...toJson(info), ...Object.fromEntries(known) } as LinkRecord;
}

/** What a link is attached to, in a few words. */
export function targetOf({ info, deviceName, cgroupPath }: Item): string {
  return printable(whereOf(info, deviceName, cgroupPath));
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

/** A holder in a few words. */
export function holderText(holder: LinkHolder): string {
  return printable(holder.kind === "pin" ? holder.path : `${holder.command}(${holder.pid})`);
}

/** Holders on one line; "?" stands for those that could not be seen. */
export function holdersText(held: LinkHolders | undefined): string {
  const texts = new Set(held?.holders.map(holderText)); // a process may have several fds
  return [...texts, ...held?.partial ? ["?"] : []].join(", ") || "-";
}
