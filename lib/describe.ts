/** A link in an error's words. */
import { interfaceName, xdpQuery } from "./os/interfaces.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import { progQuery } from "./sys/prog_query.ts";
import type { BpfLinkInfo } from "./sys/type/mod.ts";

/** Where a link is attached, in a message about another error. */
export function placeOf(fd: number, madeHere: boolean): string {
  try {
    const info = linkGetInfoByFd(fd);
    if (!("ifindex" in info)) return "attachType" in info ? `, ${info.attachType}` : "";
    if (info.ifindex === 0) return ", detached";
    const name = isOurInterface(info, madeHere) ? interfaceName(info.ifindex) : undefined;
    return name === undefined ? ` on interface ${info.ifindex}` : ` on "${name}"`;
  } catch {
    return "";
  }
}

/**
 * Whether a link is surely attached to the interface that has the info's number in our network namespace: every other
 * namespace has the same numbers, and an interface may move.
 */
function isOurInterface(info: Extract<BpfLinkInfo, { ifindex: number }>, madeHere: boolean): boolean {
  try {
    return info.type === "xdp"
      ? madeHere && xdpQuery(info.ifindex).some(({ progId }) => progId === info.progId)
      : progQuery(info.ifindex, info.attachType).progs.some(({ linkId }) => linkId === info.id);
  } catch {
    return false; // no such interface, or not ours to ask
  }
}
