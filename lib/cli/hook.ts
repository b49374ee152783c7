/** `hook`: what is attached at one place, and what runs there. */
import { Hook, type HookEntry, type HookTarget } from "../hook.ts";
import { Link } from "../link.ts";
import { BpfMap } from "../map.ts";
import type { CgroupAttachType } from "../uapi/types.ts";
import { type Command, isNumber, numberFrom, Status, UsageError } from "./command.ts";
import { programText, titleOf } from "./item.ts";
import type { HookRecord } from "./schema.ts";
import { columns } from "./table.ts";

/** What each type of hook takes. */
const PLACES: { readonly [type: string]: string } = {
  tcx: "DEVICE ingress|egress",
  netkit: "DEVICE primary|peer",
  xdp: "DEVICE",
  cgroup: "PATH ATTACH_TYPE",
  netns: "PATH sk_lookup|flow_dissector",
  sockmap: "ID|PIN ATTACH_TYPE",
};

export const hook: Command = {
  usage: "TYPE PLACE... [--netns PATH]",
  summary: "show what is attached at one place, in order",
  details: [
    "TYPE and PLACE are one of:",
    ...Object.entries(PLACES).map(([type, place]) => `  ${type.padEnd(8)} ${place}`),
    "DEVICE is a name or a number, ATTACH_TYPE such as cgroup_inet_egress.",
    "",
    "--netns PATH         the network namespace of DEVICE; the own one if absent",
  ],
  options: { netns: { type: "string" } },
  takes: [2, 3],
  async run({ values, positionals }, output): Promise<number> {
    using map = positionals[0] === "sockmap" ? openMap(positionals[1]!) : undefined;
    const target = targetFrom(positionals, values.netns as string | undefined, map);
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
      ...target.type === "cgroup" && effective.length > 0 ? ["", "what runs, in order:", ...table(effective)] : [],
      ...partial ? ["?: which link it is, if any, cannot be told."] : [],
    ]);
    return partial ? Status.partial : Status.done;
  },
};

type Test = (entry: HookEntry) => boolean;

/** Tells the entries that may have a link although none was found. The kernel itself tells those of tcx and netkit. */
async function missingLinks(type: HookTarget["type"], entries: readonly HookEntry[]): Promise<Test> {
  const isUnlinked = ({ linkId }: HookEntry) => linkId === undefined;
  if (type === "tcx" || type === "netkit" || !entries.some(isUnlinked)) return () => false;
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
  map: BpfMap | undefined,
): HookTarget {
  const takes = Object.hasOwn(PLACES, type!) ? PLACES[type!] : undefined;
  if (takes === undefined) throw new UsageError(`TYPE may be ${Object.keys(PLACES).join(", ")}, not "${type}"`);
  if ((which !== undefined) !== takes.includes(" ")) throw new UsageError(`hook ${type} takes ${takes}`);
  if (netns !== undefined && !takes.startsWith("DEVICE")) throw new UsageError("--netns belongs to a DEVICE");
  const device = isNumber(where!) ? Number(where) : where!, at = { device, netns };
  switch (type as HookTarget["type"]) {
    case "xdp":
      return { type: "xdp", ...at };
    case "tcx":
      return { type: "tcx", ...at, direction: which as "ingress" };
    case "netkit":
      if (which !== "primary" && which !== "peer") throw new UsageError(`hook netkit takes ${takes}`);
      return { type: "netkit", ...at, peer: which === "peer" };
    case "cgroup":
      return { type: "cgroup", cgroup: where!, attachType: which as CgroupAttachType };
    case "netns":
      return { type: "netns", netns: where, attachType: which as "sk_lookup" };
    case "sockmap":
      return { type: "sockmap", map: map!, attachType: which as "sk_msg_verdict" };
  }
}
