/**
 * Compiled objects: what clang makes of BPF programs in C (`.bpf.o`), loaded by libbpf, the field's own loader, with
 * maps, events and global variables as values of JavaScript.
 *
 * - {@linkcode BpfObject}: programs, maps and global variables by name; links to what the names of sections say
 * - {@linkcode TypedMap}: a map whose keys and values are what their BTF says; events of ring buffers
 * - {@linkcode Btf}: the types themselves
 * - {@linkcode generateTypes}: what an object has, as types of TypeScript
 *
 * What an object may do is what its programs may do, so it needs the trust that they need. libbpf is a native library
 * of its own, which is opened when the first object is.
 *
 * ## Guide: from C to an effect
 *
 * For a program of your own, from its source to what it reports: which files are opened, and by whom. In
 * `opened.bpf.c`:
 *
 * ```c
 * #include <linux/bpf.h>
 * #include <bpf/bpf_helpers.h>
 *
 * char LICENSE[] SEC("license") = "GPL";
 *
 * const volatile __u32 only_pid; // 0: all
 *
 * struct event { char comm[16]; char path[256]; };
 * struct event *unused __attribute__((unused)); // so that the object knows the type
 *
 * struct {
 * 	__uint(type, BPF_MAP_TYPE_RINGBUF);
 * 	__uint(max_entries, 256 * 1024);
 * } events SEC(".maps");
 *
 * // /sys/kernel/tracing/events/syscalls/sys_enter_openat/format
 * struct openat { __u64 common, number, directory; const char *path; };
 *
 * SEC("tracepoint/syscalls/sys_enter_openat")
 * int on_open(struct openat *call)
 * {
 * 	struct event *event;
 *
 * 	if (only_pid && only_pid != bpf_get_current_pid_tgid() >> 32)
 * 		return 0;
 * 	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
 * 	if (!event)
 * 		return 0;
 * 	bpf_get_current_comm(event->comm, sizeof(event->comm));
 * 	bpf_probe_read_user_str(event->path, sizeof(event->path), call->path);
 * 	bpf_ringbuf_submit(event, 0);
 * 	return 0;
 * }
 * ```
 *
 * clang makes an object of it, `opened.bpf.o` (Debian and Ubuntu: `apt install clang libbpf-dev`; neither bpftool nor
 * `vmlinux.h` is needed):
 *
 * ```sh
 * clang -O2 -g -target bpf -D__TARGET_ARCH_x86 -I/usr/include/$(uname -m)-linux-gnu -c opened.bpf.c
 * ```
 *
 * In `main.ts`, beside it:
 *
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("opened.bpf.o", { globals: { only_pid: Deno.pid } }); // leave globals out to see all
 * using _link = object.attach("on_open"); // to what its section says
 * const events = object.map("events").events("event");
 * Deno.readTextFileSync("/etc/passwd"); // something to see
 * for await (const { comm, path } of events) {
 *   console.log(comm, path); // deno /etc/passwd
 *   if (path === "/etc/passwd") break; // leave this out to go on until Ctrl-C
 * }
 * ```
 *
 * `deno run --allow-ffi --allow-read main.ts`, as root, prints what it opens, at last `deno /etc/passwd`. The end of
 * the scope ends all that came of the object, what was attached first. What can go wrong:
 *
 * - `it has no BTF`: `-g` is missing, which makes what names and types come from.
 * - `asm/types.h` is not found: `-I`, as above. `__TARGET_ARCH_x86` (`_arm64`) is for arguments of functions
 *   (`BPF_KPROBE`).
 * - A struct of the kernel has other members than yours: declare those that you read, with
 *   `__attribute__((preserve_access_index))`; where they are is found when the object is loaded (CO-RE).
 * - A program is refused: the message has the line of C and what the verifier says, `error.log` all of it. Tracepoints
 *   take `char LICENSE[] SEC("license") = "GPL"`; name no variable `license`, which clang 22 takes for the section.
 * - Events are lost: `events.lost` counts them for perf buffers; a ring buffer without room refuses
 *   `bpf_ringbuf_reserve`.
 * - The section does not say where, as `SEC("xdp")`: `object.attach("filter", { device: "eth0" })`.
 *
 * `bpflink gen opened.bpf.o >opened.ts` writes what the object has as TypeScript: with `BpfObject.load<Opened>(...)` a
 * wrong name or member fails `deno check`. `bpflink run opened.bpf.o` prints its events without a program of yours. The
 * repository's `tests/examples` has more, each with its C and of at most 40 lines.
 *
 * ## Guide: swap and upgrade an object without a gap
 *
 * For a new version that goes on with the counts of the old one, while packets are seen by one of both. With
 * `tests/examples/upgrade.bpf.c` of the repository, which counts what a cgroup sends, in one process:
 *
 * ```ts
 * import { Link, makeCgroup } from "@bpf/link";
 * import { BpfObject } from "@bpf/link/object";
 *
 * using cgroup = makeCgroup("/sys/fs/cgroup/web");
 * const first = BpfObject.load("upgrade.bpf.o");
 * using link = Link.attach(first.program("count"), { type: "cgroup", cgroup: cgroup.path }); // outlives the object
 *
 * using second = BpfObject.load("upgrade.bpf.o", { maps: { sent: { reuse: first.map("sent") } } });
 * link.update(second.program("count"), { expected: first.program("count") });
 * first.close();
 * console.log(second.map("sent").get(0)); // { packets: 0n, bytes: 0n }
 * ```
 *
 * Or from one run to the next, with nobody running in between: the map and the link are pinned.
 *
 * ```ts
 * import { BpfMap, Link, makeCgroup } from "@bpf/link";
 * import { BpfObject } from "@bpf/link/object";
 *
 * using cgroup = makeCgroup("/sys/fs/cgroup/web");
 * function deploy() { // what each run does
 *   using object = BpfObject.load("upgrade.bpf.o", { maps: { sent: { pin: "/sys/fs/bpf/web_sent" } } });
 *   using ensured = object.ensurePinned("/sys/fs/bpf/web_count", "count", { cgroup: cgroup.path });
 *   console.log(ensured.outcome, object.map("sent").get(0));
 * }
 * deploy(); // created
 * deploy(); // updated
 * // and this ends it
 * for (const it of [Link.openPinned("/sys/fs/bpf/web_count"), BpfMap.openPinned("/sys/fs/bpf/web_sent")]) {
 *   it.unpin();
 *   it.close();
 * }
 * ```
 *
 * What can go wrong:
 *
 * - `object.attach` instead of `Link.attach`: the link ends with the object that made it.
 * - The map has another shape in the new version: the message says what differs. Give the map another name and pin.
 * - `mismatch`: somebody else has updated the link, or the pin holds a link to something else; see the guides of
 *   `@bpf/link`.
 *
 * @module
 */
export { UsdtProbe } from "./attach.ts";
export { Btf, type BtfKind, type BtfMember, type BtfType, type BtfVariable, type Shape } from "./btf.ts";
export type { Codec } from "./codec.ts";
export { BTF_KINDS } from "../uapi/btf.ts";
export { objectLibraryBytes, setObjectLibraryPath } from "../ffi/object/library.ts";
export { generateTypes } from "./generate.ts";
export type { EventOptions, EventStream } from "./events.ts";
export {
  BpfObject,
  type FunctionOf,
  type Globals,
  type MapName,
  type MapOf,
  type MapOptions,
  type ObjectMap,
  type ObjectProgram,
  type OpenOptions,
  type ProgramName,
  type UnknownTypes,
} from "./object.ts";
export {
  type AttachOverrides,
  LeftOpenError,
  overridesFromWords,
  type OverridesOf,
  type SectionProgram,
  type UsdtOverrides,
  type UsdtTarget,
} from "./sections.ts";
export { type SetOptions, TypedMap } from "./typed_map.ts";
export type { MapTypes, ObjectTypes, OneMember, OneOf, oneOf, Writable } from "./types.ts";
