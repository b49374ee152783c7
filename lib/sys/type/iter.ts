/** Links of iterators. */
import { checkFd, checkKeys, checkU32, checkU64 } from "../../check.ts";
import { CGROUP_ITER_ORDERS, TASK_TGID, TASK_TID } from "../../uapi/constants.ts";
import { bpf_iter_link_info, bpf_link_info, link_create } from "../../uapi/layout.ts";
import { A, B, C, D, type LinkInfoHead, type LinkTypeRow } from "./row.ts";

/** Info of an iterator's link. */
export interface IterLinkInfo extends LinkInfoHead<"iter"> {
  /** What is walked. */
  readonly targetName: string;
  /** The id of the map whose elements are walked; 0 if it is no map. */
  readonly mapId: number;
  /** The id of the cgroup where the walk begins; 0n if it is none. */
  readonly cgroupId: bigint;
  /** In which order cgroups are walked: 1 the one alone, 2 descendants first, 3 last, 4 ancestors; 0 without a cgroup. */
  readonly order: number;
  /** The one thread that is walked; 0 if it is none. */
  readonly tid: number;
  /** The process whose threads are walked; 0 if it is none. */
  readonly pid: number;
}

/** What LINK_CREATE takes for an iterator. */
export interface IterCreateOptions {
  /** iter: what to walk. A map's fd; a cgroup by fd or id, in an order (1 self, 2 pre, 3 post, 4 up); a task by tid, pid or pidfd. */
  iterInfo?:
    | { map: { mapFd: number } }
    | { cgroup: { order: number; cgroupFd?: number | undefined; cgroupId?: bigint | undefined } }
    | { task: { tid?: number | undefined; pid?: number | undefined; pidFd?: number | undefined } }
    | undefined;
}

const { map: mapAt, cgroup: cgroupAt, task: taskAt } = bpf_iter_link_info;

export const iter: LinkTypeRow<IterLinkInfo, IterCreateOptions> = {
  since: "5.8",
  attachTypes: ["trace_iter"],
  hasUpdate: true,
  refusals: () => ({
    EINVAL: [
      "invalid",
      "the iterator refuses its parameters",
      "load the program for the iterator that takes them, and give one of tid, pid and pidfd at most",
    ],
    EBADF: ["invalid", "the iterator needs a map, cgroup or process that is open"],
    ESRCH: ["gone", "there is no such process"],
    ENOENT: ["gone", "there is no such cgroup"],
  }),
  options: {
    fields: ["iterInfo"],
    size: () => link_create.iter_info_len + 4,
    encode(request, { iterInfo }): void {
      const name = "options.iterInfo", info = iterInfo!;
      checkKeys(info, name, ["map", "cgroup", "task"]);
      if (Object.keys(info).length !== 1) throw new TypeError(`${name} must have one of map, cgroup, task`);
      const at = request.room(link_create.iter_info, bpf_iter_link_info.sizeof);
      let size: number;
      if ("map" in info) {
        checkKeys(info.map, `${name}.map`, ["mapFd"]);
        request.fd(at + mapAt.map_fd, checkFd(info.map.mapFd, `${name}.map.mapFd`));
        size = mapAt.sizeof;
      } else if ("cgroup" in info) {
        checkKeys(info.cgroup, `${name}.cgroup`, ["order", "cgroupFd", "cgroupId"]);
        const { order, cgroupFd, cgroupId } = info.cgroup;
        request.u32(at + cgroupAt.order, checkU32(order, `${name}.cgroup.order`));
        if (cgroupFd !== undefined) request.fd(at + cgroupAt.cgroup_fd, checkFd(cgroupFd, `${name}.cgroup.cgroupFd`));
        if (cgroupId !== undefined) request.u64(at + cgroupAt.cgroup_id, checkU64(cgroupId, `${name}.cgroup.cgroupId`));
        size = cgroupAt.sizeof;
      } else {
        checkKeys(info.task, `${name}.task`, ["tid", "pid", "pidFd"]);
        const { tid, pid, pidFd } = info.task;
        if (tid !== undefined) request.u32(at + taskAt.tid, checkU32(tid, `${name}.task.tid`));
        if (pid !== undefined) request.u32(at + taskAt.pid, checkU32(pid, `${name}.task.pid`));
        if (pidFd !== undefined) request.fd(at + taskAt.pid_fd, checkFd(pidFd, `${name}.task.pidFd`));
        size = taskAt.sizeof;
      }
      request.u32(link_create.iter_info_len, size);
    },
  },
  asksAgain: true,
  info(answer, id, progId, asker): IterLinkInfo {
    const at = bpf_link_info.iter, base = { type: "iter", id, progId } as const;
    const mapId = answer.u32(at.map.map_id), tid = answer.u32(at.task.tid), pid = answer.u32(at.task.pid);
    const cgroupId = answer.u64(at.cgroup.cgroup_id), order = answer.u32(at.cgroup.order);
    const targetName = asker.text(at.target_name, at.target_name_len, answer.u32(at.target_name_len));
    // the members share their bytes; the name says whose they are
    if (targetName === "cgroup") return { ...base, targetName, mapId: 0, cgroupId, order, tid: 0, pid: 0 };
    if (targetName.startsWith("task")) return { ...base, targetName, mapId, cgroupId: 0n, order: 0, tid, pid };
    return { ...base, targetName, mapId, cgroupId: 0n, order: 0, tid: 0, pid: 0 };
  },
  fdinfo(lines, id, progId): IterLinkInfo {
    const task = lines.string("task_type"), thread = lines.u32("pid");
    return {
      type: "iter",
      id,
      progId,
      targetName: lines.string("target_name"),
      mapId: lines.u32("map_id"),
      cgroupId: lines.u64("cgroup_id"),
      order: Math.max((CGROUP_ITER_ORDERS as readonly string[]).indexOf(lines.string("order")), 0),
      tid: task === "TID" ? thread : 0,
      pid: task === "TGID" ? thread : 0,
    };
  },
  record: {
    struct: "bpf_iter_link",
    fields: [
      [D, "aux.map.id"],
      [B, "aux.cgroup.start.kn.id"],
      [A, "aux.cgroup.order"],
      [C, "aux.task.type"],
      [C + 1, "aux.task.pid"],
    ],
    name: "tinfo.reg_info.target",
    read(words, longs, at, _tells, targetName): IterLinkInfo {
      const id = words[at + 1]!, progId = words[at + 2]!, mapId = words[at + D]!;
      const order = words[at + A]!, taskType = words[at + C]!; // 0 without a cgroup or a task
      if (order !== 0 && targetName === "cgroup") {
        return { type: "iter", id, progId, targetName, mapId, cgroupId: longs[(at + B) >> 1]!, order, tid: 0, pid: 0 };
      }
      if (taskType !== 0 && targetName.startsWith("task")) {
        const number = words[at + C + 1]!;
        const tid = taskType === TASK_TID ? number : 0, pid = taskType === TASK_TGID ? number : 0;
        return { type: "iter", id, progId, targetName, mapId, cgroupId: 0n, order: 0, tid, pid };
      }
      return { type: "iter", id, progId, targetName, mapId, cgroupId: 0n, order: 0, tid: 0, pid: 0 };
    },
    variesByName: true, // each kind of iterator has members of its own
  },
};
