/** A link with what is known besides its info, as a record and in words. */
import type { LinkHolder, LinkHolders } from "../holders.ts";
import { type LinkInfo, toJson } from "../kind/mod.ts";
import { Link } from "../link.ts";
import type { LinkListing, ListOptions } from "../links.ts";
import { type Names, unlessRefused } from "./names.ts";
import type { HookRecord, LinkRecord } from "./schema.ts";
import { printable } from "./table.ts";

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
  // of the sources the iterator alone tells in which network namespace an interface is
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
export function targetOf(item: Item): string {
  const { info } = item;
  if (info.attached !== false) return printable(placeOf(item));
  return "attachType" in info ? `detached from ${info.attachType}` : "detached";
}

/** Where an interface, a cgroup or a network namespace has programs: as `bpflink hook` takes it, where it can. */
export function placeText(where: Omit<HookRecord, "place" | "ordered" | "entries">): string {
  const { type, ifindex, deviceName, cgroupId, cgroupPath, netnsIno } = where;
  const attachType = where.attachType?.replace(/^(tcx|netkit)_/, "");
  const netns = netnsIno === undefined ? "" : `net:[${netnsIno}]`;
  const place = ifindex !== undefined
    ? deviceName ?? `interface ${ifindex}${netns && ` in ${netns}`}`
    : type === "cgroup"
    ? cgroupPath ?? `cgroup ${cgroupId}`
    : netns;
  return attachType === undefined ? place : `${place} ${attachType}`;
}

/** A hook in a line. */
export function titleOf({ type, place, revision, ordered, entries }: HookRecord): string {
  const remarks = [
    ...revision === undefined ? [] : [`revision ${revision}`],
    ...ordered || entries.length < 2 ? [] : ["order unknown"],
  ];
  return printable(`${type} ${place}${remarks.length === 0 ? "" : ` (${remarks.join(", ")})`}`);
}

function placeOf({ info, deviceName, cgroupPath }: Item): string {
  switch (info.type) {
    case "xdp":
    case "tcx":
    case "netkit":
      return placeText({ ...info, ...deviceName === undefined ? {} : { deviceName } });
    case "cgroup":
      return placeText({ ...info, cgroupId: String(info.cgroupId), ...cgroupPath === undefined ? {} : { cgroupPath } });
    case "netns":
      return placeText(info);
    case "netfilter":
      return `${info.family} ${info.hook} ${info.priority}`;
    case "sockmap":
      return `map ${info.mapId} ${info.attachType}`;
    case "struct_ops":
      return `map ${info.mapId}`;
    case "iter": {
      const { targetName, mapId, cgroupId, tid, pid } = info;
      const where = { map: mapId, cgroup: cgroupPath ?? cgroupId, tid, pid };
      return [targetName, ...Object.entries(where).flatMap(([key, value]) => value === undefined ? [] : [key, value])]
        .join(" ");
    }
    case "raw_tracepoint":
      return info.name;
    case "tracing":
      return `${info.attachType}${info.targetBtfId === undefined ? "" : ` BTF id ${info.targetBtfId}`}`;
    case "tracing_multi":
      return `${info.attachType} ${info.count} functions`;
    case "kprobe_multi":
      return `${info.count} functions${info.retprobe ? " on return" : ""}`;
    case "uprobe_multi":
      return `${info.path} ${info.count} places${info.retprobe ? " on return" : ""}`;
    case "perf_event":
      switch (info.event) {
        case "kprobe":
        case "kretprobe":
          return `${info.event} ${info.symbol ?? `0x${info.address?.toString(16) ?? "?"}`}${offset(info.offset)}`;
        case "uprobe":
        case "uretprobe":
          return `${info.event} ${info.path}${offset(info.offset)}`;
        case "tracepoint":
          return `tracepoint ${info.name}`;
        case "event":
          return `event type ${info.eventType} config ${info.config}`;
        case "unknown":
          return "an event";
      }
      break;
    case "unknown":
      return `type number ${info.typeNumber}`;
  }
}

function offset(bytes: number): string {
  return bytes === 0 ? "" : `+0x${bytes.toString(16)}`;
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
