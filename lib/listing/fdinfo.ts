/** What `/proc` tells of a link to those who may not ask for it: the lines of `fdinfo`. */
import type { BpfLinkInfo, PerfEventFields } from "../sys/link_info.ts";
import { CGROUP_ITER_ORDERS, LINK_TYPES } from "../uapi/constants.ts";
import { type AttachType, attachTypeName, type LinkType } from "../uapi/types.ts";

/** The info of a link from the text of its fdinfo, as far as that tells it; undefined if it does not. */
export function parseFdinfo(text: string): BpfLinkInfo | undefined {
  const lines = new Map<string, string>();
  // netfilter has several on one line
  for (const [, key, value] of text.matchAll(/(\w+):[\t ]+([^\t\n]*)/g)) lines.set(key!, value!);
  const told = lines.get("link_type");
  if (told === undefined) return undefined;
  const u32 = (key: string) => parseInt(lines.get(key) ?? "0"); // the name may follow the number
  const u64 = (key: string) => BigInt(lines.get(key) ?? 0);
  const optional = <K extends string>(key: string, as: K) =>
    (lines.has(key) ? { [as]: u64(key) } : {}) as { [P in K]?: bigint };
  const attachType = (): AttachType => attachTypeName(u32("attach_type"));
  const id = u32("link_id"), progId = u32("prog_id"), cookie = optional("cookie", "cookie");
  const isReturn = told.includes("retprobe");
  const name = told === "perf" ? "perf_event" : told.replace("retprobe", "probe");
  const type = LINK_TYPES.find((type) => type === name) ?? "unknown" satisfies LinkType;
  switch (type) {
    case "cgroup":
      return { type, id, progId, cgroupId: u64("cgroup_id"), attachType: attachType() };
    case "xdp":
      return { type, id, progId, ifindex: u32("ifindex") };
    case "tcx":
    case "netkit":
      return { type, id, progId, ifindex: u32("ifindex"), attachType: attachType() };
    case "netns":
      return { type, id, progId, netnsIno: u32("netns_ino"), attachType: attachType() };
    case "sockmap":
      return { type, id, progId, mapId: u32("map_id"), attachType: attachType() };
    case "struct_ops":
      return { type, id, progId, mapId: u32("map_id") };
    case "netfilter":
      return { type, id, progId, pf: u32("pf"), hooknum: u32("hooknum"), priority: u32("prio") };
    case "raw_tracepoint":
      return { type, id, progId, tpName: lines.get("tp_name") ?? "", ...cookie };
    case "tracing": {
      const targetObjId = u32("target_obj_id"), targetBtfId = u32("target_btf_id");
      const target = targetBtfId === 0 ? {} : { targetObjId, targetBtfId };
      return { type, id, progId, attachType: attachType(), ...target, ...cookie };
    }
    case "iter": {
      const order = Math.max((CGROUP_ITER_ORDERS as readonly string[]).indexOf(lines.get("order") ?? ""), 0);
      const task = lines.get("task_type"), thread = u32("pid");
      return {
        type,
        id,
        progId,
        targetName: lines.get("target_name") ?? "",
        mapId: u32("map_id"),
        cgroupId: u64("cgroup_id"),
        order,
        tid: task === "TID" ? thread : 0,
        pid: task === "TGID" ? thread : 0,
      };
    }
    case "perf_event":
      return { type, id, progId, ...perfEvent() };
    case "kprobe_multi": {
      if (!lines.has("kprobe_cnt")) return undefined; // before Linux 6.17 it tells nothing of these two types
      const missed = optional("missed", "missed");
      return { type, id, progId, count: u32("kprobe_cnt"), flags: Number(isReturn), ...missed, functions: [] };
    }
    case "uprobe_multi": {
      if (!lines.has("uprobe_cnt")) return undefined;
      const places = Array.from(text.matchAll(/^(\d+)\t (0x\w+)\t (0x\w+)$/gm), ([, cookie, offset, counter]) => ({
        offset: BigInt(offset!),
        refCtrOffset: BigInt(counter!),
        cookie: BigInt(cookie!),
      }));
      const path = lines.get("path") ?? "";
      return { type, id, progId, path, count: u32("uprobe_cnt"), flags: Number(isReturn), pid: u32("pid"), places };
    }
    case "tracing_multi": {
      const rows = Array.from(text.matchAll(/^(\d+)\t (\d+)\t (\d+)\t /gm), (row) => row.slice(1));
      const functions = rows.map(([, id, cookie]) => ({ id: Number(id), addr: 0n, cookie: BigInt(cookie!) }));
      return { type, id, progId, attachType: attachType(), btfObjId: Number(rows[0]?.[0] ?? 0), functions };
    }
    default:
      return { type: "unknown", id, progId, typeNumber: (LINK_TYPES as readonly string[]).indexOf(type) };
  }

  /** Nothing before 6.18. */
  function perfEvent(): PerfEventFields {
    const perfType = lines.get("event_type"), name = lines.get("name") ?? "", offset = u32("offset");
    switch (perfType) {
      case "uprobe":
      case "uretprobe":
        return { perfType, fileName: name, offset, ...cookie, ...optional("ref_ctr_offset", "refCtrOffset") };
      case "kprobe":
      case "kretprobe":
        return { perfType, funcName: name, offset, addr: u64("addr"), ...optional("missed", "missed"), ...cookie };
      case "tracepoint":
        return { perfType, tpName: lines.get("tp_name") ?? "", ...cookie };
      case "event":
        return { perfType, config: u64("config"), eventType: u32("type"), ...cookie };
      default:
        return { perfType: "unspec" };
    }
  }
}
