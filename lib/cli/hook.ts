/** `hook`: what is attached at one place, and what runs there. */
import { Hook, type HookEntry, type HookTarget } from "../hook.ts";
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
  run({ values, positionals }, output): number {
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
    output.print({ hooks: [record] }, () => [
      output.highlight(titleOf(record)),
      ...entries.length === 0 ? ["nothing is attached here"] : table(entries),
      ...target.type === "cgroup" && effective.length > 0 ? ["", "what runs, in order:", ...table(effective)] : [],
    ]);
    return Status.done;
  },
};

function table(entries: readonly HookEntry[]): string[] {
  return columns([
    ["LINK", "PROGRAM", "FLAGS"],
    ...entries.map(({ programId, programName, linkId, attachFlags }) => [
      String(linkId ?? "-"),
      programText(programId, programName),
      String(attachFlags),
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
