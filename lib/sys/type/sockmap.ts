/** Links to a map of sockets. */
import { bpf_link_info } from "../../uapi/layout.ts";
import { type AttachType, attachTypeName } from "../../uapi/constants.ts";
import { A, B, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link to a map of sockets. */
export interface SockmapLinkInfo extends LinkInfoHead<"sockmap"> {
  /** The id of the map; 0 if detached. */
  readonly mapId: number;
  /** What the program does. */
  readonly attachType: AttachType;
}

const at = bpf_link_info.sockmap;

export const sockmap: LinkTypeRow<SockmapLinkInfo, object> = {
  since: "6.10",
  attachTypes: ["sk_msg_verdict", "sk_skb_stream_parser", "sk_skb_stream_verdict", "sk_skb_verdict"],
  hasUpdate: true,
  place: "mapId",
  refusals: () => ({
    EINVAL: ["invalid", "the target is no sockmap or sockhash, or the program does not fit"],
    EBUSY: [
      "busy",
      "another link holds the map's hook, or its other verdict hook is in use",
      "skb_verdict and stream_verdict exclude each other",
    ],
  }),
  info: (answer, id, progId) => ({
    type: "sockmap",
    id,
    progId,
    mapId: answer.u32(at.map_id),
    attachType: attachTypeName(answer.u32(at.attach_type)),
  }),
  fdinfo: (lines, id, progId) => ({
    type: "sockmap",
    id,
    progId,
    mapId: lines.u32("map_id"),
    attachType: attachTypeName(lines.u32("attach_type")),
  }),
  record: {
    struct: "sockmap_link",
    fields: [[A, "link.attach_type", "attach_type"], [B, "map.id"]],
    read: (words, _longs, at) => ({
      type: "sockmap",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      mapId: words[at + B]!,
      attachType: attachTypeName(words[at + A]!),
    }),
  },
};
