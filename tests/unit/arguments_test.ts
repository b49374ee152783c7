/**
 * Wrong arguments are refused before any system call: these tests run without the permission to make one (and without
 * privileges), so that a check which comes too late fails with `NotCapable`.
 */
import { assertInstanceOf, assertStringIncludes } from "@std/assert";
import { type AttachTarget, Link, Program, setLibraryPath } from "../../mod.ts";

type Refusal = typeof TypeError | typeof RangeError;

/** What is wrong, the field that the message must name, the arguments. */
type Case = readonly [error: Refusal, field: string, ...args: unknown[]];

// Without privileges no program can be loaded: this one pretends.
const program: Program = Object.create(Program.prototype, {
  id: { value: 1 },
  name: { value: "pretended" },
  type: { value: "xdp" },
  fd: { value: 3 },
  closed: { value: false },
});

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
  [RangeError, "device", { type: "xdp", device: "a-name-of-16-byte" }],
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

  [TypeError, "netns", { type: "netns", netns: {}, attachType: "sk_lookup" }],
  [RangeError, "netns", { type: "netns", netns: -1, attachType: "sk_lookup" }],
  [TypeError, "attachType", { type: "netns", attachType: "cgroup_inet_egress" }],

  [TypeError, "task", { type: "iter", task: 1 }],
  [TypeError, "task", { type: "iter", task: {} }],
  [TypeError, "task", { type: "iter", task: { tid: 1, pid: 1 } }],
  [TypeError, "tid", { type: "iter", task: { tid: "1" } }],
  [RangeError, "pid", { type: "iter", task: { pid: -1 } }],
  [RangeError, "pidfd", { type: "iter", task: { pidfd: -1 } }],
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
  [RangeError, "instructions", { ...xdp, instructions: new Uint8Array(0) }],
  [RangeError, "instructions", { ...xdp, instructions: new Uint8Array(12) }],
  [TypeError, "license", { ...xdp, license: 1 }],
  [TypeError, "name", { ...xdp, name: 1 }],
  [TypeError, "expectedAttachType", { ...xdp, expectedAttachType: "nonsense" }],
  [TypeError, "attachTo", { ...xdp, attachTo: 1 }],
  [TypeError, "licence", { ...xdp, licence: "GPL" }],
]);

refuses("setLibraryPath", setLibraryPath, [
  [TypeError, "path", 5],
  [TypeError, "path", ""],
  [TypeError, "path", new URL("https://example.com/")],
]);
