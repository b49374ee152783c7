/**
 * Wrong arguments are refused before any system call: these tests run without the permission to make one (and without
 * privileges), so that a check which comes too late fails with `NotCapable`.
 */
import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { Request } from "../../lib/ffi/request.ts";
import { brand } from "../../lib/handle/brand.ts";
import { perfEventOpen } from "../../lib/sys/mod.ts";
import { type AttachTarget, Hook, Link, Program, setLibraryPath } from "../../mod.ts";

type Refusal = typeof TypeError | typeof RangeError;

/** What is wrong, the field that the message must name, the arguments. */
type Case = readonly [error: Refusal, field: string, ...args: unknown[]];

// Without privileges no program can be loaded: this one pretends, and is made known as a program here.
class Pretended {
  readonly id = 1;
  readonly type = "xdp";
  readonly fd = 3;
}
brand("program", Pretended, (value) => value instanceof Pretended, () => "pretended program");
const program = new Pretended() as unknown as Program;

function refuses(name: string, call: (...args: never[]) => unknown, cases: readonly Case[]): void {
  for (const [ErrorClass, field, ...args] of cases) {
    Deno.test({
      name: `${name}(${
        args.map((arg) => Deno.inspect(arg, { compact: true, breakLength: Infinity })).join(", ")
      }) is a ${ErrorClass.name} about ${field}`,
      permissions: { ffi: false },
      async fn(): Promise<void> {
        let thrown: unknown;
        try {
          await call(...args as never[]);
        } catch (error) {
          thrown = error;
        }
        assertInstanceOf(thrown, ErrorClass);
        assertStringIncludes(thrown.message, field);
      },
    });
  }
}

const attach = (target: AttachTarget) => Link.attach(program, target);
const cgroup = { type: "cgroup", cgroup: "/sys/fs/cgroup", attachType: "cgroup_inet_egress" };
const netfilter = { type: "netfilter", family: "ipv4", hook: "local_in", priority: 0 };
const tcx = { type: "tcx", device: 1, direction: "ingress" };

refuses("attach", attach, [
  [TypeError, "target", undefined],
  [TypeError, "target", null],
  [TypeError, "target", "cgroup"],
  [TypeError, "type", {}],
  [TypeError, "type", { type: "nonsense" }],
  [TypeError, "type", { type: "toString" }],

  [TypeError, "cgroup", { type: "cgroup" }],
  [TypeError, "cgroup", { ...cgroup, cgroup: true }],
  [TypeError, "cgroup", { ...cgroup, cgroup: "" }],
  [TypeError, "cgroup", { ...cgroup, cgroup: "a\0b" }],
  [TypeError, "cgroup", { ...cgroup, cgroup: new URL("https://example.com/") }],
  [TypeError, "cgroup", { ...cgroup, cgroup: new URL("file://elsewhere/sys") }],
  [TypeError, "cgroup", { ...cgroup, cgroup: new URL("file:///%ff") }],
  [TypeError, "cgroup", { ...cgroup, cgroup: new URL("file:///a%00b") }],
  [RangeError, "cgroup", { ...cgroup, cgroup: -1 }],
  [RangeError, "cgroup", { ...cgroup, cgroup: 1.5 }],
  [RangeError, "cgroup", { ...cgroup, cgroup: NaN }],
  [RangeError, "cgroup", { ...cgroup, cgroup: 2 ** 31 }],
  [TypeError, "attachType", { ...cgroup, attachType: "nonsense" }],
  [TypeError, "attachType", { ...cgroup, attachType: "tcx_ingress" }],
  [TypeError, "attachType", { ...cgroup, attachType: "cgroup_nonsense" }],
  [TypeError, "attachType", { ...cgroup, attachType: undefined }],
  [TypeError, "attachType", { ...cgroup, attachType: 1 }],
  [TypeError, "attach_type", { ...cgroup, attach_type: "cgroup_inet_egress" }],
  [TypeError, "preorder", { ...cgroup, preorder: "yes" }],
  [TypeError, "position", { ...cgroup, position: "middle" }],
  [TypeError, "position", { ...cgroup, position: {} }],
  [TypeError, "position", { ...cgroup, position: null }],
  [TypeError, "position", { ...cgroup, position: { before: { linkId: 1 }, after: { linkId: 2 } } }],
  [TypeError, "position", { ...cgroup, position: { before: {} } }],
  [TypeError, "position", { ...cgroup, position: { before: { programId: 1 } } }],
  [TypeError, "position", { ...cgroup, position: { after: program } }],
  [TypeError, "linkId", { ...cgroup, position: { before: { linkId: "1" } } }],
  [RangeError, "linkId", { ...cgroup, position: { before: { linkId: -1 } } }],
  [TypeError, "expectedRevision", { ...cgroup, expectedRevision: 1 }],
  [RangeError, "expectedRevision", { ...cgroup, expectedRevision: 0n }],
  [RangeError, "expectedRevision", { ...cgroup, expectedRevision: -1n }],
  [RangeError, "expectedRevision", { ...cgroup, expectedRevision: 2n ** 64n }],

  [TypeError, "device", { type: "xdp" }],
  [TypeError, "device", { type: "xdp", device: "" }],
  [TypeError, "device", { type: "xdp", device: {} }],
  [RangeError, "device", { type: "xdp", device: 0 }],
  [RangeError, "device", { type: "xdp", device: -1 }],
  [RangeError, "device", { type: "xdp", device: 2 ** 32 }],
  [RangeError, "device", { type: "xdp", device: "x".repeat(128) }],
  [RangeError, "device", { type: "xdp", device: 0, netns: "/proc/self/ns/net" }],
  [TypeError, "mode", { type: "xdp", device: 1, mode: "fast" }],
  [TypeError, "netns", { type: "xdp", device: 1, netns: true }],
  [TypeError, "direction", { type: "xdp", device: 1, direction: "ingress" }],

  [TypeError, "direction", { type: "tcx", device: 1 }],
  [TypeError, "direction", { ...tcx, direction: "in" }],
  [TypeError, "position", { ...tcx, position: "middle" }],
  [RangeError, "programId", { ...tcx, position: { after: { programId: 2 ** 32 } } }],
  [RangeError, "expectedRevision", { ...tcx, expectedRevision: 0n }],
  [TypeError, "preorder", { ...tcx, preorder: true }],

  [TypeError, "device", { type: "netkit" }],
  [TypeError, "peer", { type: "netkit", device: 1, peer: 1 }],
  [TypeError, "direction", { type: "netkit", device: 1, direction: "ingress" }],
  [RangeError, "expectedRevision", { type: "netkit", device: 1, expectedRevision: 0n }],
  [TypeError, "position", { type: "netkit", device: 1, position: 1 }],

  [TypeError, "family", { ...netfilter, family: undefined }],
  [TypeError, "family", { ...netfilter, family: "inet" }],
  [TypeError, "family", { ...netfilter, family: 2 }],
  [TypeError, "hook", { ...netfilter, hook: "input" }],
  [TypeError, "priority", { ...netfilter, priority: undefined }],
  [TypeError, "priority", { ...netfilter, priority: 0n }],
  [RangeError, "priority", { ...netfilter, priority: 2 ** 31 }],
  [RangeError, "priority", { ...netfilter, priority: -(2 ** 31) - 1 }],
  [RangeError, "priority", { ...netfilter, priority: 0.5 }],
  [TypeError, "defragment", { ...netfilter, defragment: 1 }],
  [TypeError, "netns", { ...netfilter, netns: true }],
  [TypeError, "device", { ...netfilter, device: "lo" }],

  [TypeError, "cookie", { type: "tp_btf", cookie: 1 }],
  [RangeError, "cookie", { type: "tp_btf", cookie: -1n }],
  [TypeError, "name", { type: "tp_btf", name: "sys_enter" }],

  [TypeError, "cookie", { type: "tracing", cookie: "1" }],
  [RangeError, "cookie", { type: "tracing", cookie: 2n ** 64n }],
  [TypeError, "cookie", { type: "tracing", cookie: 1n }],
  [TypeError, "replace", { type: "tracing", replace: 1 }],
  [TypeError, "replace.program", { type: "tracing", replace: { symbol: "f" } }],
  [TypeError, "replace.program", { type: "tracing", replace: { program: 3, btfId: 1 } }],
  [TypeError, "replace", { type: "tracing", replace: { program } }],
  [TypeError, "replace", { type: "tracing", replace: { program, btfId: 1, symbol: "f" } }],
  [TypeError, "replace.symbol", { type: "tracing", replace: { program, symbol: "" } }],
  [TypeError, "replace.btfId", { type: "tracing", replace: { program, btfId: "1" } }],
  [RangeError, "replace.btfId", { type: "tracing", replace: { program, btfId: -1 } }],
  [TypeError, "symbol", { type: "tracing", symbol: "f" }],

  [TypeError, "netns", { type: "netns", netns: {}, attachType: "sk_lookup" }],
  [RangeError, "netns", { type: "netns", netns: -1, attachType: "sk_lookup" }],
  [TypeError, "attachType", { type: "netns", attachType: "cgroup_inet_egress" }],

  [TypeError, "task", { type: "iter", task: 1 }],
  [TypeError, "task", { type: "iter", task: {} }],
  [TypeError, "task", { type: "iter", task: { tid: 1, pid: 1 } }],
  [TypeError, "tid", { type: "iter", task: { tid: "1" } }],
  [RangeError, "pid", { type: "iter", task: { pid: -1 } }],
  [RangeError, "pidfd", { type: "iter", task: { pidfd: -1 } }],
  [RangeError, "tid", { type: "iter", task: { tid: 0 } }],
  [RangeError, "pid", { type: "iter", task: { pid: 0 } }],
  [RangeError, "pidfd", { type: "iter", task: { pidfd: 0 } }],
  [RangeError, "pidfd", { type: "iter", task: { pidfd: 2 ** 31 } }],
  [RangeError, "cgroup", { type: "iter", cgroup: { cgroup: 0 } }],
  [RangeError, "id", { type: "iter", cgroup: { cgroup: { id: 0n } } }],
  [TypeError, "cgroup", { type: "iter", cgroup: "/sys/fs/cgroup" }],
  [TypeError, "cgroup", { type: "iter", cgroup: {} }],
  [TypeError, "id", { type: "iter", cgroup: { cgroup: { id: 1 } } }],
  [TypeError, "order", { type: "iter", cgroup: { cgroup: { id: 1n }, order: "sideways" } }],

  [TypeError, "name", { type: "raw_tracepoint" }],
  [TypeError, "name", { type: "raw_tracepoint", name: "" }],
  [TypeError, "name", { type: "raw_tracepoint", name: "a\0b" }],
  [TypeError, "name", { type: "raw_tracepoint", name: 1 }],
  [TypeError, "cookie", { type: "raw_tracepoint", name: "sys_enter", cookie: 1 }],
  [RangeError, "cookie", { type: "raw_tracepoint", name: "sys_enter", cookie: -1n }],
  [RangeError, "cookie", { type: "raw_tracepoint", name: "sys_enter", cookie: 2n ** 64n }],
]);

const perfEvent = (event: unknown) => ({ type: "perf_event", event });
const event = { type: "software", config: "cpu_clock", cpu: 0 };
const breakpoint = { address: 0n, length: 8, access: "write" };
const kprobe = { type: "kprobe", symbol: "do_exit" };
const uprobe = { type: "uprobe", path: "/nowhere", symbol: "main" };
const kprobes = { type: "kprobe_multi", symbols: ["do_exit"] };
const uprobes = { type: "uprobe_multi", path: "/nowhere", symbols: ["main"] };
const tooMany = new Array(2 ** 20 + 1);

refuses("attach (perf)", attach, [
  [TypeError, "event", { type: "perf_event" }],
  [TypeError, "event", perfEvent("cpu_clock")],
  [RangeError, "event", perfEvent(-1)],
  [TypeError, "sample", perfEvent({ ...event, sample: 1n })],
  [TypeError, "type", perfEvent({ ...event, type: "tracepoint" })],
  [RangeError, "type", perfEvent({ ...event, type: -1 })],
  [TypeError, "config", perfEvent({ ...event, config: 0 })],
  [TypeError, "config", perfEvent({ ...event, config: "no_such_event" })],
  [TypeError, "config", perfEvent({ ...event, config: "cpu_cycles" })],
  [TypeError, "config", perfEvent({ ...event, type: "cache", config: "L1-dcache" })],
  [TypeError, "config", perfEvent({ ...event, type: "raw" })],
  [TypeError, "config", perfEvent({ ...event, type: 9 })],
  [RangeError, "config", perfEvent({ ...event, config: 2n ** 64n })],
  [TypeError, "config1", perfEvent({ ...event, config1: 1 })],
  [RangeError, "config2", perfEvent({ ...event, config2: -1n })],
  [TypeError, "cpu or pid", perfEvent({ ...event, cpu: undefined })],
  [RangeError, "cpu", perfEvent({ ...event, cpu: -1 })],
  [RangeError, "pid", perfEvent({ ...event, pid: -1 })],
  [TypeError, "pid", perfEvent({ ...event, pid: "1" })],
  [TypeError, "samplePeriod or sampleFrequency", perfEvent({ ...event, samplePeriod: 1n, sampleFrequency: 1n })],
  [TypeError, "samplePeriod", perfEvent({ ...event, samplePeriod: 1 })],
  [RangeError, "sampleFrequency", perfEvent({ ...event, sampleFrequency: -1n })],
  [TypeError, "excludeUser", perfEvent({ ...event, excludeUser: 1 })],
  [TypeError, "breakpoint", perfEvent({ ...event, breakpoint })],
  [TypeError, "breakpoint", perfEvent({ ...event, type: "breakpoint", config: 0n })],
  [TypeError, "config1", perfEvent({ ...event, type: "breakpoint", config: 0n, breakpoint, config1: 1n })],
  [
    RangeError,
    "length",
    perfEvent({ ...event, type: "breakpoint", config: 0n, breakpoint: { ...breakpoint, length: 3 } }),
  ],
  [
    TypeError,
    "access",
    perfEvent({ ...event, type: "breakpoint", config: 0n, breakpoint: { ...breakpoint, access: "r" } }),
  ],
  [
    TypeError,
    "address",
    perfEvent({ ...event, type: "breakpoint", config: 0n, breakpoint: { ...breakpoint, address: 1 } }),
  ],
  [TypeError, "cookie", { ...perfEvent(event), cookie: 1 }],

  [TypeError, "category", { type: "tracepoint", name: "sched_switch" }],
  [TypeError, "category", { type: "tracepoint", category: "../sched", name: "sched_switch" }],
  [TypeError, "name", { type: "tracepoint", category: "sched", name: ".." }],
  [TypeError, "name", { type: "tracepoint", category: "sched", name: "" }],
  [TypeError, "pid", { type: "tracepoint", category: "sched", name: "sched_switch", pid: 1 }],
  [RangeError, "cookie", { type: "tracepoint", category: "sched", name: "sched_switch", cookie: -1n }],

  [TypeError, "symbol", { type: "kprobe" }],
  [TypeError, "address", { ...kprobe, address: 1n }],
  [TypeError, "symbol", { ...kprobe, symbol: "" }],
  [TypeError, "address", { type: "kprobe", address: 1 }],
  [RangeError, "address", { type: "kprobe", address: 2n ** 64n - 1n, offset: 1 }],
  [RangeError, "offset", { ...kprobe, offset: -1 }],
  [TypeError, "retprobe", { ...kprobe, retprobe: 1 }],
  [TypeError, "pid", { ...kprobe, pid: 1 }],
  [TypeError, "cookie", { ...kprobe, cookie: 1 }],

  [TypeError, "path", { ...uprobe, path: undefined }],
  [TypeError, "path", { ...uprobe, path: new URL("https://example.com/") }],
  [TypeError, "offset", { ...uprobe, symbol: undefined }],
  [TypeError, "symbol", { ...uprobe, symbol: 1 }],
  [RangeError, "offset", { ...uprobe, offset: -1 }],
  [RangeError, "offset", { ...uprobe, offset: 1.5 }],
  [RangeError, "pid", { ...uprobe, pid: 0 }],
  [RangeError, "pid", { ...uprobe, pid: -1 }],
  [RangeError, "referenceCounterOffset", { ...uprobe, referenceCounterOffset: 2 ** 32 }],
  [TypeError, "cookie", { ...uprobe, cookie: 1 }],

  [TypeError, "symbols, pattern, addresses", { type: "kprobe_multi" }],
  [TypeError, "symbols or pattern", { ...kprobes, pattern: "do_*" }],
  [TypeError, "symbols or addresses", { ...kprobes, addresses: [1n] }],
  [TypeError, "symbols", { ...kprobes, symbols: "do_exit" }],
  [RangeError, "symbols", { ...kprobes, symbols: [] }],
  [TypeError, "symbols[1]", { ...kprobes, symbols: ["do_exit", ""] }],
  [TypeError, "do_exit", { ...kprobes, symbols: ["do_exit", "do_exit"] }],
  [TypeError, "pattern", { type: "kprobe_multi", pattern: 1 }],
  [TypeError, "addresses[0]", { type: "kprobe_multi", addresses: [1] }],
  [RangeError, "addresses", { type: "kprobe_multi", addresses: tooMany.fill(1n) }],
  [TypeError, "cookies", { ...kprobes, cookies: [1n, 2n] }],
  [TypeError, "cookies[0]", { ...kprobes, cookies: [1] }],
  [TypeError, "cookies or pattern", { type: "kprobe_multi", pattern: "do_*", cookies: [1n] }],
  [TypeError, "retprobe or session", { ...kprobes, retprobe: true, session: true }],
  [TypeError, "session", { ...kprobes, session: "yes" }],

  [TypeError, "symbols, pattern, offsets", { ...uprobes, symbols: undefined }],
  [TypeError, "symbols or offsets", { ...uprobes, offsets: [1] }],
  [TypeError, "path", { ...uprobes, path: 1 }],
  [RangeError, "pid", { ...uprobes, pid: 0 }],
  [RangeError, "offsets[0]", { ...uprobes, symbols: undefined, offsets: [-1] }],
  [RangeError, "offsets", { ...uprobes, symbols: undefined, offsets: tooMany.fill(1) }],
  [TypeError, "cookies", { ...uprobes, cookies: [], symbols: ["main", "exit"] }],
  [TypeError, "referenceCounterOffsets", { ...uprobes, referenceCounterOffsets: [1, 2] }],
  [TypeError, "referenceCounterOffsets or pattern", {
    type: "uprobe_multi",
    path: "/nowhere",
    pattern: "m*",
    referenceCounterOffsets: [1],
  }],
  [TypeError, "retprobe or session", { ...uprobes, retprobe: true, session: true }],
]);

refuses("attachAsync", (target: AttachTarget) => Link.attachAsync(program, target), [
  [TypeError, "type", {}],
  [RangeError, "device", { type: "xdp", device: 0 }],
]);

refuses("Link.attach", Link.attach, [
  [TypeError, "source", undefined, cgroup],
  [TypeError, "source", 3, cgroup],
  [TypeError, "options", program, cgroup, "detach"],
  [TypeError, "onClose", program, cgroup, { onClose: "never" }],
  [TypeError, "signal", program, cgroup, { signal: {} }],
  [TypeError, "timeout", program, cgroup, { timeout: 1 }],
]);

refuses("Hook.query", Hook.query, [
  [TypeError, "target", undefined],
  [TypeError, "target", "tcx"],
  [TypeError, "type", {}],
  [TypeError, "type", { type: "kprobe", symbol: "f" }],
  [TypeError, "type", { type: "tracing" }],
  [TypeError, "type", { type: "netfilter" }],
  [TypeError, "type", { type: "toString" }],
  [TypeError, "position", { ...tcx, position: "first" }],
  [TypeError, "expectedRevision", { ...tcx, expectedRevision: 1n }],
  [TypeError, "direction", { type: "tcx", device: 1 }],
  [RangeError, "device", { ...tcx, device: 0 }],
  [TypeError, "peer", { type: "netkit", device: 1, peer: "yes" }],
  [TypeError, "mode", { type: "xdp", device: 1, mode: "generic" }],
  [RangeError, "device", { type: "xdp", device: -1 }],
  [TypeError, "netns", { type: "xdp", device: 1, netns: true }],
  [TypeError, "attachType", { type: "cgroup", cgroup: "/sys/fs/cgroup" }],
  [TypeError, "attachType", { ...cgroup, attachType: "sk_lookup" }],
  [TypeError, "cgroup", { ...cgroup, cgroup: true }],
  [TypeError, "attachType", { type: "netns" }],
  [TypeError, "attachType", { type: "netns", attachType: "xdp" }],
  [TypeError, "map", { type: "sockmap", map: 3, attachType: "sk_skb_verdict" }],
]);

refuses("Link.open", Link.open, [
  [TypeError, "id", "1"],
  [TypeError, "id", undefined],
  [RangeError, "id", -1],
  [RangeError, "id", 1.5],
  [RangeError, "id", 2 ** 32],
]);

for (
  const [name, open] of [["Link.openPinned", Link.openPinned], ["Program.openPinned", Program.openPinned]] as const
) {
  refuses(name, open, [
    [TypeError, "path", undefined],
    [TypeError, "path", 5],
    [TypeError, "path", ""],
    [TypeError, "path", "a\0b"],
    [TypeError, "path", new URL("https://example.com/")],
  ]);
}

for (const [name, fromFd] of [["Link.fromFd", Link.fromFd], ["Program.fromFd", Program.fromFd]] as const) {
  refuses(name, fromFd, [
    [TypeError, "fd", "3"],
    [RangeError, "fd", -1],
    [RangeError, "fd", 2 ** 31],
  ]);
}

refuses("Link.all().next", (options: Parameters<typeof Link.all>[0]) => Link.all(options).next(), [
  [TypeError, "types", { types: ["nonsense"] }],
  [TypeError, "source", { source: "guess" }],
  [TypeError, "signal", { signal: 1 }],
  [TypeError, "type", { type: "cgroup" }],
]);

const xdp = { type: "xdp", instructions: new Uint8Array(16) };

refuses("Program.load", Program.load, [
  [TypeError, "options", undefined],
  [TypeError, "type", { instructions: xdp.instructions }],
  [TypeError, "type", { ...xdp, type: "nonsense" }],
  [TypeError, "instructions", { type: "xdp" }],
  [TypeError, "instructions", { ...xdp, instructions: [0, 0] }],
  [TypeError, "whole ELF file", { ...xdp, instructions: Deno.readFileSync("/proc/self/exe").subarray(0, 63) }],
  [RangeError, "instructions", { ...xdp, instructions: new Uint8Array(0) }],
  [RangeError, "instructions", { ...xdp, instructions: new Uint8Array(12) }],
  [TypeError, "license", { ...xdp, license: 1 }],
  [TypeError, "name", { ...xdp, name: 1 }],
  [TypeError, "expectedAttachType", { ...xdp, expectedAttachType: "nonsense" }],
  [TypeError, "attachTo", { ...xdp, attachTo: 1 }],
  [TypeError, "attachTo", { ...xdp, attachTo: null }],
  [TypeError, "attachTo", { ...xdp, attachTo: "" }],
  [TypeError, "attachTo", { ...xdp, attachTo: { name: "f" } }],
  [TypeError, "attachTo.btfId", { ...xdp, attachTo: { btfId: "1" } }],
  [RangeError, "attachTo.btfId", { ...xdp, attachTo: { btfId: -1 } }],
  [TypeError, "attachTo.module", { ...xdp, attachTo: { btfId: 1, module: 1 } }],
  [TypeError, "attachTo.program", { ...xdp, attachTo: { program: 1, symbol: "f" } }],
  [TypeError, "attachTo.symbol", { ...xdp, attachTo: { program, symbol: 1 } }],
  [TypeError, "attachTo.struct", { ...xdp, attachTo: { struct: 1, member: "f" } }],
  [TypeError, "attachTo.member", { type: "struct_ops", instructions: xdp.instructions, attachTo: { struct: "f" } }],
  [
    TypeError,
    "expectedAttachType",
    { ...xdp, type: "struct_ops", expectedAttachType: "xdp", attachTo: { struct: "s", member: "f" } },
  ],
  [TypeError, "licence", { ...xdp, licence: "GPL" }],
]);

refuses("Link.ensurePinned", (target: AttachTarget) => Link.ensurePinned("/nowhere/link", program, target), [
  [TypeError, "target", undefined],
  [TypeError, "event", { type: "perf_event" }],
  [TypeError, "direction", { ...tcx, direction: "up" }],
]);

refuses("Link.attach", (source: Program) => Link.attach(source, tcx as AttachTarget), [
  [TypeError, "source must be a Program, not undefined", undefined],
  [TypeError, "source must be a Program, not function", Link],
  [TypeError, "source must be a Program, not an object", { fd: 3, tag: "0123456789abcdef" }],
]);

refuses("attach", attach, [
  [TypeError, "position", { ...tcx, position: { after: { onClose: 1, fd: 5 } } }],
  [TypeError, "position", { ...tcx, position: { after: { tag: "0123456789abcdef", fd: 5 } } }],
]);

refuses("perfEventOpen", perfEventOpen, [
  [TypeError, "attr.config1", { type: 6, config: 0n, config1: "" }, -1, 0],
  [TypeError, "attr.config1", { type: 6, config: 0n, config1: "sys_\0read" }, -1, 0],
  [TypeError, "attr.config1", { type: 6, config: 0n, config1: 1 }, -1, 0],
]);

refuses("new Request", (capacity: number) => new Request(8, capacity), [
  [RangeError, "at most 1073741824 bytes", 2 ** 30 + 1],
  [RangeError, "at most 1073741824 bytes", 2 ** 32],
]);

refuses("Request.room", (size: number) => new Request(8).room(0, size), [
  [RangeError, "at most 1073741824 bytes", 2 ** 30],
  [RangeError, "at most 1073741824 bytes", 2 ** 31],
  [RangeError, "at most 1073741824 bytes", 2 ** 32],
]);

refuses("setLibraryPath", setLibraryPath, [
  [TypeError, "path", 5],
  [TypeError, "path", ""],
  [TypeError, "path", new URL("https://example.com/")],
]);

Deno.test("a value of the wrong type is told the choices, and named in English", () => {
  const refusal = (call: () => unknown) => assertThrows(call, TypeError).message;
  const attach = (onClose: unknown) => () => Link.attach(program, { type: "netns" }, { onClose } as never);
  assertEquals(refusal(attach(true)), 'options.onClose must be one of "detach", "keep", not boolean');
  assertEquals(refusal(attach({})), 'options.onClose must be one of "detach", "keep", not an object');
  assertEquals(refusal(attach(new Uint8Array())), 'options.onClose must be one of "detach", "keep", not a Uint8Array');
  assertEquals(refusal(attach("up\x1b")), 'options.onClose must be one of "detach", "keep", not "up\\x1b"');
});
