/** How the options of LINK_CREATE become bytes: no kernel is asked. */
import { assertEquals, assertThrows } from "@std/assert";
import { Request } from "../../lib/ffi/request.ts";
import { type AnyLinkTypeRow, type LinkCreateOptions, rowOfAttachType, TYPES } from "../../lib/sys/type/mod.ts";
import { ATTACH_TYPES } from "../../lib/uapi/constants.ts";
import { link_create } from "../../lib/uapi/layout.ts";

const rows = Object.entries<AnyLinkTypeRow>(TYPES);

/** What the first words of a type's part of the attr are; data lies behind the block, each piece in eights. */
const CASES: [options: LinkCreateOptions, size: number, words: readonly number[], data?: readonly bigint[]][] = [
  [{ cgroup: { relativeFd: 5, expectedRevision: 7n } }, 32, [5, 0, 7, 0]],
  [{ tcx: { relativeId: 6, expectedRevision: 0x1_0000_0002n } }, 32, [6, 0, 2, 1]],
  [{ netkit: {} }, 32, [0, 0, 0, 0]],
  [{ netfilter: { pf: 2, hooknum: 3, priority: -5, flags: 1 } }, 32, [2, 3, 0xfffffffb, 1]],
  [{ perfEvent: { bpfCookie: 2n ** 64n - 1n } }, 24, [0xffffffff, 0xffffffff]],
  [{ targetBtfId: 9 }, 24, [9, 0]],
  [{ tracing: { cookie: 3n } }, 32, [0, 0, 3, 0]],
  [{ targetBtfId: 9, tracing: { cookie: 3n } }, 32, [9, 0, 3, 0]],
  [{ iterInfo: { map: { mapFd: 4 } } }, 28, [0, 0, 4], [4n, 0n]],
  [{ iterInfo: { cgroup: { order: 2, cgroupId: 8n } } }, 28, [0, 0, 16], [2n, 8n]],
  [{ iterInfo: { cgroup: { order: 1, cgroupFd: 3 } } }, 28, [0, 0, 16], [0x3_0000_0001n, 0n]],
  [{ iterInfo: { task: { tid: 1, pid: 2, pidFd: 3 } } }, 28, [0, 0, 12], [0x2_0000_0001n, 3n]],
  [{ kprobeMulti: { addrs: [1n, 2n], cookies: [3n, 4n], flags: 1 } }, 48, [1, 2], [1n, 2n, 3n, 4n]],
  [{ tracingMulti: { ids: [1, 2, 3], cookies: [4n, 5n, 6n] } }, 36, [0, 0, 0, 0, 3], [0x2_0000_0001n, 3n, 4n, 5n, 6n]],
  [
    { uprobeMulti: { path: "/f", offsets: [1n], refCtrOffsets: [2n], cookies: [3n], flags: 1, pid: 9 } },
    60,
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 9],
    [0x662fn, 1n, 2n, 3n],
  ],
];
for (const [options, size, words, data = []] of CASES) {
  Deno.test(`LINK_CREATE of ${Deno.inspect(options, { breakLength: Infinity })}`, () => {
    const { row, request } = encoded(options);
    assertEquals(row.options!.size(options), size);
    assertEquals(words.map((_, i) => request.getU32(link_create.target_btf_id + i * 4)), words);
    assertEquals(data.map((_, i) => request.getU64(Math.ceil(size / 8) * 8 + i * 8)), data);
  });
}

Deno.test("names of functions are an array of pointers, then the strings", () => {
  const { request } = encoded({ kprobeMulti: { syms: ["a", "bc"] } });
  const strings = link_create.kprobe_multi.sizeof + 16;
  assertEquals(request.getU32(link_create.kprobe_multi.cnt), 2);
  assertEquals([request.getString(strings, 8), request.getString(strings + 8, 8)], ["a", "bc"]);
});

const WRONG: [kind: typeof TypeError | typeof RangeError, field: string, options: unknown][] = [
  [TypeError, "options.tcx", { tcx: { relativeFd: 1, relativeId: 2 } }],
  [TypeError, "options.netkit", { netkit: { relative: 1 } }],
  [RangeError, "options.cgroup.expectedRevision", { cgroup: { expectedRevision: -1n } }],
  [RangeError, "options.netfilter.priority", { netfilter: { pf: 2, hooknum: 0, priority: 2 ** 31 } }],
  [TypeError, "options.perfEvent", { perfEvent: 5 }],
  [TypeError, "options.tracing.cookie", { tracing: { cookie: 5 } }],
  [TypeError, "options.iterInfo", { iterInfo: {} }],
  [TypeError, "options.kprobeMulti", { kprobeMulti: {} }],
  [TypeError, "options.kprobeMulti.cookies", { kprobeMulti: { addrs: [1n], cookies: [] } }],
  [TypeError, "options.kprobeMulti.syms[1]", { kprobeMulti: { syms: ["a", ""] } }],
  [TypeError, "options.uprobeMulti.path", { uprobeMulti: { path: "", offsets: [1n] } }],
  [RangeError, "options.tracingMulti.ids[0]", { tracingMulti: { ids: [-1] } }],
];
for (const [kind, field, options] of WRONG) {
  Deno.test(`LINK_CREATE refuses ${Deno.inspect(options, { breakLength: Infinity })}`, () => {
    const { message } = assertThrows(() => encoded(options as LinkCreateOptions), kind);
    assertEquals(message.startsWith(`${field} `), true, message);
  });
}

Deno.test("every option of every type is encoded by a case above", () => {
  const tried = new Set(CASES.flatMap(([options]) => Object.keys(options)));
  const all = rows.flatMap(([, row]) => row.options?.fields ?? []);
  assertEquals(all.filter((field) => !tried.has(field)), []);
});

Deno.test("every attach type makes links of one type, or is known to make none", () => {
  const none = ["lirc_mode2", "xdp_devmap", "xdp_cpumap", "sk_reuseport_select", "sk_reuseport_select_or_migrate"];
  assertEquals(ATTACH_TYPES.filter((_, number) => rowOfAttachType(number) === undefined), none);
  const all = rows.flatMap(([, row]) => row.attachTypes);
  assertEquals(all.length, new Set(all).size);
});

function encoded(options: LinkCreateOptions): { row: AnyLinkTypeRow; request: Request } {
  const [, row] = rows.find(([, row]) => row.options?.fields.some((field) => field in options))!;
  const request = new Request(row.options!.size(options));
  row.options!.encode(request, options);
  return { row, request };
}
