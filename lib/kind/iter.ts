/** Links that make an iterator readable. */
import { checkInteger, checkKeys, checkOneOf, checkU64, keysOf, kindOf } from "../check.ts";
import type { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import { CGROUP_ITER_ORDERS } from "../uapi/constants.ts";
import { always, type Attachment, type Example, type Kind, type LinkInfoBase, type LinkKind } from "./kind.ts";
import { create } from "./probe.ts";
import { CGROUPS, mapFd, openTarget } from "./target.ts";

/** In which order a cgroup iterator walks: the cgroup alone, it and its descendants (parents first or last), it and its ancestors. */
export type CgroupOrder = "self_only" | "descendants_pre" | "descendants_post" | "ancestors_up";

/**
 * The program is run for each object of a kind whenever the link is read; which kind, it was loaded for
 * (`attachTo: "task"` with the attach type `trace_iter`).
 *
 * Since Linux 5.8; cgroups 6.1, a single task 6.1. Such links can be updated, but not detached by force: they end when
 * the last fd and pin are gone.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * // if (ctx->task) bpf_seq_write(ctx->meta->seq, "one\n", 4)
 * const hex = "79120800000000001502070000000000791100000000000079110000000000007a0af8ff6f6e650a" +
 *   "bfa200000000000007020000f8ffffffb703000004000000850000007f000000b7000000000000009500000000000000";
 * using program = Program.load({
 *   type: "tracing",
 *   instructions: Uint8Array.fromHex(hex),
 *   expectedAttachType: "trace_iter",
 *   attachTo: "task",
 * });
 * using link = Link.attach(program, { type: "iter", task: { tid: Deno.pid } }); // all tasks without `task`
 * for await (const line of link.lines()) console.log(line); // one
 * ```
 */
export interface IterTarget {
  /** The kind of target. */
  type: "iter";
  /** The map to walk: its elements for a `bpf_map_elem` iterator, its sockets for a `sockmap` iterator. */
  map?: BpfMap | undefined;
  /** Which cgroups a `cgroup` iterator walks. */
  cgroup?: {
    /** Where it begins: a directory of a cgroup2 file system, an fd of it, or an id. */
    cgroup: string | URL | number | {
      /** The cgroup's id. */
      id: bigint;
    };
    /** The order; descendants_pre if absent. */
    order?: CgroupOrder | undefined;
  } | undefined;
  /** Which tasks a `task`, `task_file` or `task_vma` iterator walks; all if absent. */
  task?: {
    /** One thread. */
    tid: number;
  } | {
    /** The threads of one process. */
    pid: number;
  } | {
    /** The threads of the process of this fd. */
    pidfd: number;
  } | undefined;
}

/** Info of an iterator's link. */
export interface IterInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "iter";
  /** What is walked: `task`, `bpf_map`, `cgroup`, ... */
  targetName: string;
  /** The id of the map whose elements are walked. */
  mapId?: number;
  /** The id of the cgroup where the walk begins. */
  cgroupId?: bigint;
  /** The order in which cgroups are walked. */
  order?: CgroupOrder;
  /** The one thread that is walked. */
  tid?: number;
  /** The process whose threads are walked. */
  pid?: number;
}

const ORDERS = CGROUP_ITER_ORDERS.slice(1) as CgroupOrder[];

const KEYS = keysOf<IterTarget>({ type: true, map: true, cgroup: true, task: true });

/** What walks all there is. */
const EVERYTHING: Attachment = { attachType: "trace_iter", targetFd: 0 };

function prepare(_program: Program, target: IterTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { map, cgroup, task } = target;
  if (map === undefined && cgroup === undefined && task === undefined) return EVERYTHING;
  if ([map, cgroup, task].filter((given) => given !== undefined).length > 1) {
    throw new TypeError("target may have one of map, cgroup and task, not several");
  }
  if (cgroup !== undefined) return prepareCgroupWalk(cgroup);
  const iterInfo = map !== undefined ? { map: { mapFd: mapFd(map, "target.map") } } : { task: taskOf(task!) };
  return { attachType: "trace_iter", targetFd: 0, options: { iterInfo } };
}

function prepareCgroupWalk(walk: NonNullable<IterTarget["cgroup"]>): Attachment {
  checkKeys(walk, "target.cgroup", ["cgroup", "order"]);
  const order = CGROUP_ITER_ORDERS.indexOf(checkOneOf(walk.order ?? "descendants_pre", "target.cgroup.order", ORDERS));
  const made = (where: { cgroupFd?: number; cgroupId?: bigint }, temporary: readonly number[]): Attachment => ({
    attachType: "trace_iter",
    targetFd: 0,
    options: { iterInfo: { cgroup: { order, ...where } } },
    temporary,
  });
  if (typeof walk.cgroup === "object" && !(walk.cgroup instanceof URL) && walk.cgroup !== null) {
    checkKeys(walk.cgroup, "target.cgroup.cgroup", ["id"]);
    const cgroupId = checkU64(walk.cgroup.id, "target.cgroup.cgroup.id");
    if (cgroupId === 0n) throw zero("target.cgroup.cgroup.id");
    return made({ cgroupId }, []);
  }
  if (walk.cgroup === 0) throw zero("target.cgroup.cgroup");
  const { fd, temporary } = openTarget(walk.cgroup, "target.cgroup.cgroup", CGROUPS);
  return made({ cgroupFd: fd }, temporary);
}

/** The kernel takes 0 for nothing given, and walks everything. */
function zero(name: string): RangeError {
  return new RangeError(`${name} must not be 0`);
}

function taskOf(task: NonNullable<IterTarget["task"]>): { tid?: number; pid?: number; pidFd?: number } {
  checkKeys(task, "target.task", ["tid", "pid", "pidfd"]);
  const [entry, more] = Object.entries(task);
  if (entry === undefined || more !== undefined) {
    throw new TypeError(
      `target.task must have one of tid, pid, pidfd, not ${entry === undefined ? kindOf(task) : "several"}`,
    );
  }
  const value = checkInteger(entry[1], `target.task.${entry[0]}`, 1, 0x7fffffff); // the kernel takes 0 for all tasks
  return "tid" in task ? { tid: value } : "pid" in task ? { pid: value } : { pidFd: value };
}

function describe(): string {
  return "the iterator's objects";
}

const record = TYPES.iter.record!;

function read(
  { id, progId, targetName, mapId, cgroupId, order, tid, pid }: Extract<BpfLinkInfo, { type: "iter" }>,
): IterInfo {
  const info: IterInfo = { type: "iter", id, programId: progId, targetName };
  if (mapId !== 0) info.mapId = mapId;
  if (cgroupId !== 0n) info.cgroupId = cgroupId;
  if (order !== 0) info.order = CGROUP_ITER_ORDERS[order] as CgroupOrder;
  if (tid !== 0) info.tid = tid;
  if (pid !== 0) info.pid = pid;
  return info;
}

/** The kind of target that is an iterator, and its links. */
export const iter: Kind<IterTarget, "iter", Program> & LinkKind<"iter", IterInfo> = {
  linkType: "iter",
  keys: KEYS,
  programs: ["tracing"],
  prepare,
  describe,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where({ targetName, mapId, cgroupId, tid, pid }, names): string {
    const objects = { map: mapId, cgroup: names.cgroup ?? cgroupId, tid, pid };
    const words = Object.entries(objects).flatMap(([key, value]) => value === undefined ? [] : [key, value]);
    return [targetName, ...words].join(" ");
  },
  probe: () => ({
    // kernels may refuse iterators that can write, such as the first, by policy
    examples: [
      // it wants a map
      { program: iterator("bpf_map_elem"), proofs: [{ call: create(0, "trace_iter"), errno: "EBADF" }] },
      { program: iterator("task"), proofs: [{ call: create(0, "trace_iter") }] },
      { program: iterator("bpf_map"), proofs: [{ call: create(0, "trace_iter") }] },
    ],
    attach: { since: "5.9", proofs: [] },
    update: always(TYPES.iter),
  }),
};

function iterator(attachTo: string): Example["program"] {
  return { type: "tracing", expectedAttachType: "trace_iter", attachTo };
}
