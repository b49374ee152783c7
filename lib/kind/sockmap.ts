/** Links to a map of sockets. */
import { checkKeys, checkOneOf, keysOf } from "../check.ts";
import type { BpfError, Explanation } from "../error.ts";
import type { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import { unlessRefused } from "../refusal.ts";
import { mapGetInfoByFd } from "../sys/map.ts";
import { progQuery } from "../sys/prog_query.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import type { AttachType, AttachTypeName } from "../uapi/constants.ts";
import { ask, ordered } from "./hook.ts";
import {
  always,
  type Attachment,
  type Kind,
  type LinkCreation,
  type LinkInfoBase,
  type LinkKind,
  type Look,
} from "./kind.ts";
import { create, NO_TARGET } from "./probe.ts";
import { attachTypeOf, mapFd, whyMisfit } from "./target.ts";

/**
 * The programs of a map of sockets see what is sent through its sockets (`sk_msg_verdict`) or received by them (the
 * others), and may pass it on to another socket.
 *
 * Since Linux 6.10. Such links can be updated and detached. A map has one link for each attach type, and either
 * `sk_skb_stream_verdict` or `sk_skb_verdict`. A link takes the place of a program that was attached without one, and
 * keeps the map alive.
 *
 * @example
 * ```ts
 * import { BpfMap, Link, Program } from "@bpf/link";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_msg", instructions: pass, expectedAttachType: "sk_msg_verdict" });
 * using sockets = BpfMap.create({ type: "sockmap", maxEntries: 16 });
 * using link = Link.attach(program, { type: "sockmap", map: sockets });
 * console.log(link.info().mapId === sockets.id); // true
 * ```
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

const MAP_TYPES = ["sockmap", "sockhash"] as const;

const KEYS = keysOf<SockmapTarget>({ type: true, map: true, attachType: true });

function prepare(program: Program, target: SockmapTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const targetFd = mapFd(target.map, "target.map", MAP_TYPES);
  const attachType = attachTypeOf(
    target.attachType,
    program,
    "sockmap",
    TYPES.sockmap.attachTypes.map((name) => `"${name}"`).join(", "),
  );
  return { attachType, targetFd };
}

/** Which program is in the way, of the same place or of the other one that excludes it. */
function whyRefused(
  refusal: BpfError,
  { map }: SockmapTarget,
  attachment: Attachment,
  program: Program,
): Explanation | undefined {
  if (refusal.code !== "EBUSY") return whyMisfit(refusal, attachment, program);
  const { attachType, targetFd } = attachment as LinkCreation, other = OTHER_VERDICT[attachType];
  for (const place of other === undefined ? [attachType] : [attachType, other]) {
    // the question about a place is refused too while the other is in use
    const holder = unlessRefused(() => progQuery(targetFd, place).progs[0]);
    if (holder === undefined) continue;
    return {
      reason: "busy",
      meaning: `program ${holder.progId} holds ${place} of map ${map.id}${
        place === attachType ? " by another link" : `, which excludes ${attachType}`
      }`,
      hint: 'find its link with Link.infos({ types: ["sockmap"] }), and detach it or update it',
    };
  }
  return undefined;
}

/** A map has one of these. */
const OTHER_VERDICT: Partial<Record<AttachTypeName, AttachTypeName>> = {
  sk_skb_verdict: "sk_skb_stream_verdict",
  sk_skb_stream_verdict: "sk_skb_verdict",
};

function describe({ map }: SockmapTarget): string {
  return `${map.type} ${map.id}`;
}

const record = TYPES.sockmap.record!;

function read(
  { id, progId, mapId, attachType }: Extract<BpfLinkInfo, { type: "sockmap" }>,
): SockmapInfo {
  return { type: "sockmap", id, programId: progId, attached: mapId !== 0, mapId, attachType };
}

/** The kind of target that is a map of sockets, and its links. */
export const sockmap: Kind<SockmapTarget, "sockmap", Program> & LinkKind<"sockmap", SockmapInfo> = {
  linkType: "sockmap",
  keys: KEYS,
  programs: ["sk_msg", "sk_skb"],
  prepare,
  describe,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ mapId, attachType }) => `map ${mapId} ${attachType}`,
  isAt: (info, { attachType, targetFd }) =>
    info.attachType === attachType && info.mapId === mapGetInfoByFd(targetFd).id,
  probe: () => ({
    examples: [{ program: { type: "sk_msg", expectedAttachType: "sk_msg_verdict" } }],
    attach: {
      since: TYPES.sockmap.since,
      config: "CONFIG_NET_SOCK_MSG",
      proofs: [{ call: create(NO_TARGET, "sk_msg_verdict"), errno: "EBADF" }],
    },
    update: always(TYPES.sockmap),
    detach: always(TYPES.sockmap),
  }),
  hook: {
    at: "map",
    attachTypes: TYPES.sockmap.attachTypes,
    ask,
    look(target): Look {
      checkKeys(target, "target", ["type", "map", "attachType"]);
      const fd = mapFd(target.map, "target.map", MAP_TYPES), { id } = target.map;
      const attachType = checkOneOf(target.attachType, "target.attachType", TYPES.sockmap.attachTypes);
      return {
        ...ordered(progQuery(fd, attachType)),
        isLink: (info) => info.type === "sockmap" && info.mapId === id && info.attachType === attachType,
      };
    },
    words: "ID|PIN ATTACH_TYPE",
    fromWords: (where, attachType, { openMap }) => ({ type: "sockmap", map: openMap(where), attachType }),
  },
};
