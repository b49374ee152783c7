/** Links that register a set of programs as one implementation of something in the kernel. */
import { checkKeys, keysOf } from "../check.ts";
import { BpfError } from "../error.ts";
import type { BpfMap } from "../map.ts";
import { closeIfOpen } from "../os/files.ts";
import { updateLink } from "../sys/link.ts";
import { linkGetInfoByFd } from "../sys/link_info.ts";
import { mapGetFdById } from "../sys/map.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { EEXIST } from "../uapi/errno.ts";
import type { Attachment, Held, Kind, LinkInfoBase, LinkKind } from "./kind.ts";
import { mapFd } from "./target.ts";

/**
 * The programs implement a struct of functions of the kernel, such as a TCP congestion control. What is attached is a
 * map of type struct_ops, made with `link: true`, whose value holds the fds of the programs.
 *
 * Since Linux 6.4; detaching by force 6.11. Such links can be updated with another map if the struct allows it, never
 * with the one that they hold: kernels crash on that.
 *
 * @example A congestion control, as `tests/object/attach_test` of the repository attaches one in a virtual machine
 * ```ts ignore
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("congestion.bpf.o"); // has a struct tcp_congestion_ops in SEC(".struct_ops.link")
 * using link = object.attach("congestion", { type: "struct_ops" });
 * console.log(link.info().mapId === object.map("congestion").map.id); // true
 * ```
 */
export interface StructOpsTarget {
  /** The kind of target; what is implemented, the map says. */
  type: "struct_ops";
}

/** Info of a link of a struct_ops map. */
export interface StructOpsInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "struct_ops";
  /** The id of the map; 0 if detached. */
  mapId: number;
}

const KEYS = keysOf<StructOpsTarget>({ type: true });

function prepare(map: BpfMap, target: StructOpsTarget): Attachment {
  checkKeys(target, "target", KEYS);
  mapFd(map, "source", ["struct_ops"]);
  return { attachType: "struct_ops", targetFd: 0 };
}

function describe(): string {
  return "the kernel's struct_ops";
}

/**
 * Puts another map into a link, and never the one that it holds: on that, kernels stop with a BUG that blocks every
 * struct_ops until the machine is started anew. Somebody else may put it in between this look and the call; the kernel
 * is given what was seen, so it refuses then.
 */
function update(
  linkFd: number,
  map: Held,
  expected: Held | undefined,
  action: () => string,
): void {
  const info = linkGetInfoByFd(linkFd), held = info.type === "struct_ops" ? info.mapId : 0;
  if (map.id === held || map.id === expected?.id) {
    throw new BpfError(EEXIST, {
      action: action(),
      command: "LINK_UPDATE",
      reason: "exists",
      meaning: map.id === held ? `the link holds map ${held} already` : "the map is the one that is expected",
      hint: "the kernel would crash on it; make a new map for each update",
    });
  }
  if (expected !== undefined) return updateLink(linkFd, map.fd, expected.fd, action);
  if (held === 0) return updateLink(linkFd, map.fd, undefined, action); // detached for good
  const heldFd = mapGetFdById(held);
  try {
    updateLink(linkFd, map.fd, heldFd, action);
  } finally {
    closeIfOpen(heldFd);
  }
}

const record = TYPES.struct_ops.record!;

function read({ id, mapId }: Extract<BpfLinkInfo, { type: "struct_ops" }>): StructOpsInfo {
  return { type: "struct_ops", id, attached: mapId !== 0, mapId };
}

/** The kind of target that a struct_ops map is for, and its links. */
export const struct_ops: Kind<StructOpsTarget, "struct_ops", BpfMap> & LinkKind<"struct_ops", StructOpsInfo> = {
  linkType: "struct_ops",
  keys: KEYS,
  prepare,
  describe,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ mapId }) => `map ${mapId}`,
  holds: "map",
  update,
  isAt: () => true, // an update with another kind of map is refused
  probe: () => ({
    examples: [{ program: { type: "struct_ops", attachTo: { struct: "tcp_congestion_ops", member: "ssthresh" } } }],
    attach: {
      since: TYPES.struct_ops.since,
      config: "CONFIG_BPF_JIT",
      proofs: [{ kernelFunction: "bpf_struct_ops_link_create" }],
    },
    update: { since: TYPES.struct_ops.since, proofs: [{ kernelFunction: "bpf_struct_ops_map_link_update" }] },
    detach: { since: "6.11", proofs: [{ kernelFunction: "bpf_struct_ops_map_link_detach" }] },
  }),
};
