/** The consumer's side of perf_event_array maps: a perf event on each CPU, to which programs there write. */
import { duplicateFd } from "./os/files.ts";
import { hold, release } from "./poller.ts";
import type { Refusals } from "./refusal.ts";
import type { Ring, Source } from "./ring.ts";
import { Elements } from "./sys/elements.ts";
import type { MapInfo } from "./sys/map.ts";
import { onlineCpus, openEvent } from "./sys/perf_event.ts";
import { BpfError } from "./error.ts";
import { PERF_SAMPLE_RAW, PERF_TYPES, SOFTWARE_EVENTS } from "./uapi/linux.ts";

/** What errnos of mapping and reading the ring of a perf event mean. */
const PERF_RING: Refusals = {
  command: "ring",
  rows: () => ({
    EINVAL: ["invalid", "bytesPerCpu is no multiple of the page size, or somebody else moved the ring's position"],
    EPERM: [
      "limit",
      "its pages cannot be locked into memory",
      "read with fewer bytesPerCpu, raise kernel.perf_event_mlock_kb, or give the process CAP_IPC_LOCK",
    ],
    EACCES: ["policy", "a security module lets its pages not be mapped"],
  }),
};

const ACTION = "Cannot open perf event for records";

const EVENT = {
  type: PERF_TYPES.software,
  config: BigInt(SOFTWARE_EVENTS.indexOf("bpf_output")),
  samplePeriod: 1n,
  sampleType: PERF_SAMPLE_RAW,
  wakeupEvents: 1,
} as const;

/** Opens the events of all CPUs that are online and have an element in the map, and puts them there. */
export function ringsOfCpus(mapFd: number, info: MapInfo, bytesPerCpu: number): Source {
  using opened = new DisposableStack();
  const fd = opened.adopt(hold(duplicateFd(mapFd)), release);
  const elements = new Elements(fd, info, `map ${info.id}`), rings: Ring[] = [];
  for (const cpu of onlineCpus()) {
    if (cpu >= info.maxEntries) break; // programs there have no place to write to
    const event = unlessOffline(() => openEvent(EVENT, -1, cpu, ACTION));
    if (event === undefined) continue;
    opened.adopt(hold(event), release);
    const key = new Uint32Array([cpu]);
    elements.update(key, new Uint32Array([event]), 0);
    opened.defer(() => {
      try {
        elements.delete(key);
      } catch { /* nobody is there to whom it matters: the event writes nowhere once it is unmapped */ }
    });
    rings.push({ fd: event, size: bytesPerCpu, cpu });
  }
  const made = opened.move();
  return { rings, refusals: PERF_RING, close: () => made.dispose() };
}

/** It may have been taken offline just now. */
function unlessOffline<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof BpfError && error.code === "ENODEV") return undefined;
    throw error;
  }
}
