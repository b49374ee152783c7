/** How the infos of kernels are read that tell less than the newest. */
import { assertEquals } from "@std/assert";
import { native } from "../../lib/ffi/library.ts";
import { decode, LinkAsker } from "../../lib/sys/link_info.ts";
import type { BpfLinkInfo } from "../../lib/sys/type/mod.ts";

native(); // stays loaded, which is no test's leak

const ID = 7, PROGRAM = 8, NO_FD = -1;
const head = { id: ID, progId: PROGRAM } as const;

/** What follows the number of the type, id, program and four bytes of padding, as words; the rest is zero. */
const CASES: [name: string, type: number, words: readonly number[], expected: BpfLinkInfo][] = [
  ["tracing, 5.10", 2, [24], { ...head, type: "tracing", attachType: "trace_fentry" }],
  ["tracing, 5.13", 2, [24, 1, 99], {
    ...head,
    ...{ type: "tracing", attachType: "trace_fentry", targetObjId: 1, targetBtfId: 99 },
  }],
  ["cgroup", 3, [5, 1, 1], { ...head, type: "cgroup", cgroupId: 0x1_0000_0005n, attachType: "cgroup_inet_egress" }],
  ["a detached cgroup link", 3, [0, 0, 1], { ...head, type: "cgroup", cgroupId: 0n, attachType: "cgroup_inet_egress" }],
  ["xdp", 6, [3], { ...head, type: "xdp", ifindex: 3 }],
  ["perf_event, 6.1", 7, [], { ...head, type: "perf_event", perfType: "unspec" }],
  ["an event, 6.6", 7, [6, 0, 9, 0, 1], { ...head, type: "perf_event", perfType: "event", config: 9n, eventType: 1 }],
  ["netfilter", 10, [2, 3, -5, 1], { ...head, type: "netfilter", pf: 2, hooknum: 3, priority: -5, flags: 1 }],
  ["an attach type to come", 11, [3, 1000], { ...head, type: "tcx", ifindex: 3, attachType: "attach_type_1000" }],
  ["a type to come", 99, [1, 2, 3], { ...head, type: "unknown", typeNumber: 99 }],
];
for (const [name, type, words, expected] of CASES) {
  Deno.test(`info of ${name}`, () => {
    const info = new DataView(new ArrayBuffer(64));
    [type, ID, PROGRAM, 0, ...words].forEach((word, i) => info.setUint32(i * 4, word, true));
    const answer = { u32: (at: number) => info.getUint32(at, true), u64: (at: number) => info.getBigUint64(at, true) };
    assertEquals(decode(answer, new LinkAsker(NO_FD)), expected);
  });
}
