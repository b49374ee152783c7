/** The numbers behind the names of perf events. */
import { assertEquals } from "@std/assert";
import { cacheEvent, HARDWARE_EVENTS, SOFTWARE_EVENTS } from "../../lib/uapi/linux.ts";

Deno.test("names of events have the numbers of linux/perf_event.h", () => {
  assertEquals(["cpu_cycles", "branch_misses", "ref_cpu_cycles"].map((name) => HARDWARE_EVENTS.indexOf(name)), [
    0,
    5,
    9,
  ]);
  assertEquals(["cpu_clock", "page_faults_maj", "bpf_output"].map((name) => SOFTWARE_EVENTS.indexOf(name)), [0, 6, 10]);
});

Deno.test("cache events are made of cache, operation and result", () => {
  for (
    const [name, number] of [
      ["l1_dcache_loads", 0x00_00_00n],
      ["l1_dcache_load_misses", 0x01_00_00n],
      ["llc_stores", 0x00_01_02n],
      ["dtlb_prefetch_misses", 0x01_02_03n],
      ["branch_prefetches", 0x00_02_05n],
      ["node_load_misses", 0x01_00_06n],
      ["llc", undefined],
      ["llc_reads", undefined],
      ["l4_loads", undefined],
    ] as const
  ) assertEquals(cacheEvent(name), number, name);
});
