/** Links of struct_ops maps. */
import { bpf_link_info } from "../../uapi/layout.ts";
import { B, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of a link of a struct_ops map. */
export interface StructOpsLinkInfo extends LinkInfoHead<"struct_ops"> {
  /** The id of the map; 0 if detached. */
  readonly mapId: number;
}

export const struct_ops: LinkTypeRow<StructOpsLinkInfo, object> = {
  since: "6.4",
  attachTypes: ["struct_ops"],
  hasUpdate: true,
  place: "mapId",
  refusals: () => ({
    EINVAL: [
      "invalid",
      "the map is no struct_ops map that is filled and made for links",
      "create it with link: true and write its value first; object.attach() does so for maps of objects",
    ],
    EEXIST: [
      "exists",
      "an implementation of this name is registered",
      "give it another name, or end the link of that one",
    ],
  }),
  info: (answer, id, progId) => ({
    type: "struct_ops",
    id,
    progId,
    mapId: answer.u32(bpf_link_info.struct_ops.map_id),
  }),
  fdinfo: (lines, id, progId) => ({ type: "struct_ops", id, progId, mapId: lines.u32("map_id") }),
  record: {
    struct: "bpf_struct_ops_link",
    fields: [[B, "map.id"]],
    read: (words, _longs, at) => ({
      type: "struct_ops",
      id: words[at + 1]!,
      progId: words[at + 2]!,
      mapId: words[at + B]!,
    }),
  },
};
