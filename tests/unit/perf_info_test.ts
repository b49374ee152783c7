/** How infos of probes are read where the kernel hides something or reports nothing. */
import { assertEquals } from "@std/assert";
import { readInfo } from "../../lib/kind/mod.ts";
import type { BpfLinkInfo } from "../../lib/sys/type/mod.ts";

const head = { id: 7, progId: 8 } as const, base = { id: 7, programId: 8 } as const;
const CASES: [string, BpfLinkInfo, ReturnType<typeof readInfo>][] = [
  [
    "a kprobe whose address is hidden",
    { ...head, type: "perf_event", perfType: "kprobe", funcName: "do_exit", offset: 4, addr: 0n },
    { ...base, type: "perf_event", event: "kprobe", symbol: "do_exit", offset: 4 },
  ],
  [
    "a kretprobe that was given by address",
    { ...head, type: "perf_event", perfType: "kretprobe", funcName: "", offset: 0, addr: 5n, missed: 3n, cookie: 0n },
    { ...base, type: "perf_event", event: "kretprobe", offset: 0, address: 5n, missed: 3, cookie: 0n },
  ],
  [
    "a uprobe without a reference counter",
    { ...head, type: "perf_event", perfType: "uprobe", fileName: "/f", offset: 9, refCtrOffset: 0n },
    { ...base, type: "perf_event", event: "uprobe", path: "/f", offset: 9 },
  ],
  [
    "a tracepoint from before 6.9",
    { ...head, type: "perf_event", perfType: "tracepoint", tpName: "sched_switch" },
    { ...base, type: "perf_event", event: "tracepoint", name: "sched_switch" },
  ],
  [
    "a perf event from before 6.6",
    { ...head, type: "perf_event", perfType: "unspec" },
    { ...base, type: "perf_event", event: "unknown" },
  ],
  [
    "a kprobe_multi link whose addresses are hidden",
    { ...head, type: "kprobe_multi", count: 2, flags: 1, functions: [{ addr: 0n, cookie: 2n }, { addr: 0n }] },
    { ...base, type: "kprobe_multi", count: 2, retprobe: true, addresses: [{ cookie: 2n }, {}] },
  ],
  [
    "a uprobe_multi link of one process",
    {
      ...head,
      type: "uprobe_multi",
      path: "/f",
      count: 2,
      flags: 0,
      pid: 3,
      places: [{ offset: 1n, refCtrOffset: 2n, cookie: 3n }, { offset: 4n, refCtrOffset: 0n, cookie: 0n }],
    },
    {
      ...base,
      type: "uprobe_multi",
      path: "/f",
      pid: 3,
      count: 2,
      retprobe: false,
      offsets: [{ offset: 1, referenceCounterOffset: 2, cookie: 3n }, { offset: 4, cookie: 0n }],
    },
  ],
];
for (const [name, info, expected] of CASES) Deno.test(name, () => assertEquals(readInfo(info), expected));
