/** Links to a map of sockets. */
import { checkKeys } from "../check.ts";
import type { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { AttachType } from "../uapi/types.ts";
import type { LinkInfoBase } from "./kind.ts";
import { type Attachment, attachTypeOf, mapFd } from "./target.ts";

/**
 * The programs of a map of sockets see what is sent through its sockets (`sk_msg_verdict`) or received by them (the
 * others), and may pass it on to another socket.
 *
 * Since Linux 6.10. Such links can be updated and detached. A map has one link for each attach type, and either
 * `sk_skb_stream_verdict` or `sk_skb_verdict`. A link takes the place of a program that was attached without one, and
 * keeps the map alive.
 */
export interface SockmapTarget {
  /** The kind of target. */
  type: "sockmap";
  /** The map, of type sockmap or sockhash. */
  map: BpfMap;
  /** What the program does. May be absent if it was loaded here for it. */
  attachType?: "sk_msg_verdict" | "sk_skb_stream_parser" | "sk_skb_stream_verdict" | "sk_skb_verdict" | undefined;
}

/** Info of a link to a map of sockets. */
export interface SockmapInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "sockmap";
  /** The id of the map; 0 if detached. */
  mapId: number;
  /** What the program does. */
  attachType: AttachType;
}

/** What the program of a map of sockets can be attached as. */
export const SOCKMAP_ATTACH_TYPES: readonly string[] = [
  "sk_msg_verdict",
  "sk_skb_stream_parser",
  "sk_skb_stream_verdict",
  "sk_skb_verdict",
];

export function prepareSockmap(program: Program, target: SockmapTarget): Attachment {
  checkKeys(target, "target", ["type", "map", "attachType"]);
  const targetFd = mapFd(target.map, "target.map", ["sockmap", "sockhash"]);
  const attachType = attachTypeOf(
    target.attachType,
    program,
    (name) => SOCKMAP_ATTACH_TYPES.includes(name),
    SOCKMAP_ATTACH_TYPES.map((name) => `"${name}"`).join(", "),
  );
  return { attachType, targetFd };
}

export function describeSockmap({ map }: SockmapTarget): string {
  return `${map.type} ${map.id}`;
}

export function readSockmap(
  { id, progId, mapId, attachType }: Extract<BpfLinkInfo, { type: "sockmap" }>,
): SockmapInfo {
  return { type: "sockmap", id, programId: progId, attached: mapId !== 0, mapId, attachType };
}
