/** Names of the events of `linux/perf_event.h`, whose number is their index. */

/** Kinds of events (`PERF_TYPE_*`). */
export const PERF_TYPES = { hardware: 0, software: 1, tracepoint: 2, cache: 3, raw: 4, breakpoint: 5 } as const;

/** `PERF_COUNT_HW_*` */
export const HARDWARE_EVENTS: readonly string[] = [
  "cpu_cycles",
  "instructions",
  "cache_references",
  "cache_misses",
  "branch_instructions",
  "branch_misses",
  "bus_cycles",
  "stalled_cycles_frontend",
  "stalled_cycles_backend",
  "ref_cpu_cycles",
];

/** `PERF_COUNT_SW_*` */
export const SOFTWARE_EVENTS: readonly string[] = [
  "cpu_clock",
  "task_clock",
  "page_faults",
  "context_switches",
  "cpu_migrations",
  "page_faults_min",
  "page_faults_maj",
  "alignment_faults",
  "emulation_faults",
  "dummy",
  "bpf_output",
  "cgroup_switches",
];

// PERF_COUNT_HW_CACHE_*, as perf names them
const CACHES = ["l1_dcache", "l1_icache", "llc", "dtlb", "itlb", "branch", "node"];
const OPERATIONS = ["load", "store", "prefetch"];

/** The number of a cache event such as `l1_dcache_loads` or `llc_store_misses`. */
export function cacheEvent(name: string): bigint | undefined {
  const [, cache = "", operation = "", ending = ""] = /^(.+)_(load|store|prefetch)(s|es|_misses)$/.exec(name) ?? [];
  const number = CACHES.indexOf(cache);
  if (number < 0) return undefined;
  return BigInt(number | OPERATIONS.indexOf(operation) << 8 | (ending === "_misses" ? 1 : 0) << 16);
}
