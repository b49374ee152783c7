/** Whether a link is attached where a target says: the question of those who find a link that an earlier run left. */
import { inode } from "../os/files.ts";
import { xdpQuery } from "../os/interfaces.ts";
import { mapGetInfoByFd } from "../sys/map.ts";
import { progQuery } from "../sys/prog_query.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import { type LinkInfo, toJson } from "./mod.ts";
import type { Attachment } from "./target.ts";

/**
 * Whether a live link is attached to what an attachment of its type names; `undefined` where that is not seen before
 * there is a second link to compare with, see {@linkcode tellTheSame}.
 *
 * The kernel does not tell the network namespace of a netfilter link, nor what a struct_ops map implements: there it is
 * taken for granted.
 */
export function isAttachedTo(info: BpfLinkInfo, attachment: Attachment): boolean | undefined {
  if ("rawTracepoint" in attachment) return undefined;
  const { attachType, targetFd, options } = attachment;
  switch (info.type) {
    case "cgroup":
      return info.attachType === attachType && info.cgroupId === inode(targetFd);
    case "netns":
      return info.attachType === attachType && BigInt(info.netnsIno) === inode(targetFd);
    case "sockmap":
      return info.attachType === attachType && info.mapId === mapGetInfoByFd(targetFd).id;
    case "xdp": // every namespace has the same numbers
      return info.ifindex === targetFd && xdpQuery(targetFd, options?.netns).some((xdp) => xdp.progId === info.progId);
    case "tcx":
    case "netkit":
      return info.attachType === attachType &&
        progQuery(targetFd, attachType, { netns: options?.netns }).progs.some((prog) => prog.linkId === info.id);
    case "netfilter": {
      const { pf, hooknum, priority } = options!.netfilter!;
      return info.pf === pf && info.hooknum === hooknum && info.priority === priority;
    }
    case "struct_ops":
      return true; // an update with another kind of map is refused
    default:
      return undefined;
  }
}

/** Fields that do not belong to the place. */
const OWN = ["id", "programId", "attached", "cookie", "missed"];

/** Whether two infos tell the same place; not if they tell none, as those of perf events before Linux 6.6. */
export function tellTheSame(one: LinkInfo, other: LinkInfo): boolean {
  return placeOf(one) === placeOf(other) && !("event" in one && one.event === "unknown");
}

function placeOf(info: LinkInfo): string {
  return JSON.stringify(toJson(info), (key, value) => OWN.includes(key) ? undefined : value);
}
