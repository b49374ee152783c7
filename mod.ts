/**
 * eBPF links for Deno: what ties a program to a place in the kernel, as a value with a scope.
 *
 * `using _link = Link.attach(...)` holds it, the end of the scope takes it away, and every link of the machine can be
 * read. Linux 5.10 and newer on x86_64 and aarch64; the only permission is `--allow-ffi`, which amounts to full trust.
 *
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * using _link = Link.attach(program, { type: "netns" });
 * for await (const info of Link.infos()) console.log(info);
 * ```
 *
 * Below this entry point lies `@bpf/link/sys`: libbpf's calls on plain fds.
 *
 * # Guides
 *
 * Here: what ends a link; survive a restart; swap a program without a gap; before or after another agent; a target of
 * each type; least privileges; troubleshooting by message; watch for tampering. Elsewhere: from C to an effect
 * (`@bpf/link/object`), orphans and holders (`@bpf/link/cli`), a fleet (`@bpf/link/otel`), names of other libraries
 * (`@bpf/link/sys`).
 *
 * Each block runs as it stands, as root: `deno add jsr:@bpf/link`, save the block as `main.ts`, and
 * `deno run --allow-ffi main.ts`. Two instructions by hand stand for your program. What clang makes of C is loaded by
 * `@bpf/link/object`; its `object.program(name)` goes wherever `program` stands here.
 *
 * ## What ends a link
 *
 * For what runs as long as its process: attach in a scope, and let signals end the scope.
 *
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
 * Deno.addSignalListener("SIGINT", stop);
 * Deno.addSignalListener("SIGTERM", stop);
 * {
 *   using link = Link.attach(program, { type: "netns" });
 *   console.log("attached as", link.id);
 *   setTimeout(stop, 100); // leave this out to wait for Ctrl-C
 *   await stopped;
 * }
 * console.log("detached");
 * Deno.removeSignalListener("SIGINT", stop);
 * Deno.removeSignalListener("SIGTERM", stop);
 * ```
 *
 * You see `attached as 7` and then `detached`. A link that a handle made (`attach`) is detached by force and closed;
 * one that it opened (`open`, `openPinned`) is only closed, so looking ends nothing. What each way to end leaves:
 *
 * | how it ends | made, in a `using` scope | made, in a variable | pinned | opened | programs and maps |
 * | --- | --- | --- | --- | --- | --- |
 * | the program comes to its end | detached | detached | stays | closed | closed |
 * | an error that nobody catches | detached | closed | stays | closed | closed |
 * | a rejection at top level | detached | closed | stays | closed | closed |
 * | an error in a timer, a rejection that nobody handles | closed | closed | stays | closed | closed |
 * | `Deno.exit()` | detached | detached | stays | closed | closed |
 * | SIGINT | closed | closed | stays | closed | closed |
 * | SIGTERM | closed | closed | stays | closed | closed |
 * | SIGKILL | closed | closed | stays | closed | closed |
 * | out of memory | closed | closed | stays | closed | closed |
 * | `deno run --watch` starts it again | detached | detached | stays | open | open |
 * | the same after an error that nobody caught | detached | open | stays | open | open |
 * | `worker.terminate()` while the worker waits for a ring | detached | detached | stays | closed | closed |
 * | `worker.terminate()` at any other time | open | open | stays | open | open |
 * | `self.close()` in a worker | open | open | stays | open | open |
 * | the process's parent ends | stays | stays | stays | stays | stays |
 *
 * `detached` is by force, whoever else holds the link; `closed` ends it unless somebody else (a pin, another process)
 * holds it; `open` is until the process ends, which closes it. What can go wrong:
 *
 * - The link is gone at once: the block of its `using` has ended. Hold it where your program waits, or pin it.
 * - `detach()` ends a link for everybody, `close()` gives up this handle, and `unpin()` removes a pin: of those two,
 *   the last holder ends it; after `unpin()` some milliseconds later.
 * - A link in a variable that nobody references any more stays until the process exits; garbage collection never
 *   detaches it. With `Link.traceLeaks = true` a warning says where it was made; `openHandles()` lists what is open.
 * - Links that cannot be detached by force (iter, tracing, raw_tracepoint, perf_event, kprobe_multi, uprobe_multi) stay
 *   while another fd or a pin refers to them.
 * - A worker is not told that it is terminated: ask it by a message to leave its scopes.
 *
 * ## Survive a restart
 *
 * For what is deployed again and again: a pin keeps the link while nobody runs, and the next run takes it over.
 *
 * ```ts
 * import { BpfError, Link, makeCgroup, Program } from "@bpf/link";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1: pass
 * const pin = "/sys/fs/bpf/agent/web", cgroup = "/sys/fs/cgroup/web";
 *
 * function deploy() { // what each run of the agent does
 *   using program = Program.load({ type: "cgroup_skb", instructions: pass });
 *   const target = { type: "cgroup", cgroup, attachType: "cgroup_inet_egress" } as const;
 *   using ensured = Link.ensurePinned(pin, program, target, { makeDirectories: true });
 *   console.log(ensured.outcome, ensured.link.id);
 * }
 *
 * {
 *   using _web = makeCgroup(cgroup); // a service's cgroup is made by systemd
 *   deploy(); // created 7
 *   deploy(); // updated 7
 * }
 *
 * using stale = Link.openPinned(pin); // the cgroup is gone, its pin is not
 * await stale.untilDetached();
 * try {
 *   using program = Program.load({ type: "cgroup_skb", instructions: pass });
 *   stale.update(program);
 * } catch (error) {
 *   if (!(error instanceof BpfError && error.reason === "gone")) throw error;
 *   console.log(error.message); // ... the link is detached, or what it was attached to is gone (ENOLINK)
 * }
 *
 * {
 *   using _web = makeCgroup(cgroup);
 *   deploy(); // replaced 9
 * }
 * using link = Link.openPinned(pin);
 * link.unpin();
 * ```
 *
 * You see the same link with a new program each time, and a new link once the cgroup was made anew. What can go wrong:
 *
 * - `mismatch`: the pin holds a link to something else, such as another cgroup. Choose a path for each target, or pass
 *   `replace: true`.
 * - `busy`: somebody holds the lock of the directory; the message names the process. Pins of one agent belong into a
 *   directory of its own, as `makeDirectories` makes it, with mode 700.
 * - A second bpf file system is mounted over `/sys/fs/bpf` and hides the pins: a run then makes a second link.
 *   `Link.list()` and `bpflink list` show both, whatever is mounted.
 * - Counts begin anew with each program: pin its maps too, as the guide of `@bpf/link/object` does.
 *
 * ## Swap a program without a gap
 *
 * For a new version of a program, of which packets see either the old one or the new one.
 *
 * ```ts
 * import { BpfError, Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * const load = (name: string) =>
 *   Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup", name });
 * using first = load("first");
 * using second = load("second");
 * using third = load("third");
 * using link = Link.attach(first, { type: "netns" });
 * link.update(second, { expected: first });
 * try {
 *   link.update(third, { expected: first }); // somebody was faster
 * } catch (error) {
 *   if (!(error instanceof BpfError && error.reason === "mismatch")) throw error;
 *   console.log(error.message); // ... the link holds another program than expected (EPERM)
 *   const { programId = 0 } = link.info();
 *   using current = Program.open(programId);
 *   console.log(current.info().name); // second
 *   link.update(third, { expected: current });
 * }
 * ```
 *
 * The link keeps its id, its place in the order and its pins. What can go wrong:
 *
 * - Two programs run: `Link.attach` never replaces one; only `update` does.
 * - The type has no update (netfilter, iter, tracing, perf_event and the probes): attach the new program, then close
 *   the old link; for a moment both run. `Link.ensurePinned` does that.
 * - `mismatch` without `expected`: the program was loaded for another type or attach type than the link's.
 * - Both versions should count in the same maps: load the second with `{ maps: { counts: { reuse: first.map("counts") }
 *   } }`, as the guide of `@bpf/link/object` does.
 *
 * ## Before or after another agent
 *
 * For a place that several programs share: which of them sees a packet first is decided where it is attached.
 *
 * ```ts
 * import { Hook, Link, Program } from "@bpf/link";
 *
 * const next = new Uint8Array([0xb7, 0, 0, 0, 255, 255, 255, 255, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return TCX_NEXT
 * const load = (name: string) => Program.load({ type: "sched_cls", instructions: next, name });
 * const target = { type: "tcx", device: "lo", direction: "ingress" } as const;
 * using theirs = Link.attach(load("cil_from_netdev"), target); // another agent's
 *
 * using count = load("count");
 * using _first = Link.attach(count, { ...target, position: "first" });
 *
 * using guard = load("guard"); // behind the other agent if it is there, else at the end
 * using _guard = Hook.query(target).attach(guard, (entries) => {
 *   const other = entries.find(({ programName }) => programName?.startsWith("cil_"));
 *   return other?.linkId === undefined ? "last" : { after: { linkId: other.linkId } };
 * });
 *
 * using last = load("last");
 * using _last = Link.attach(last, { ...target, position: { after: theirs } });
 * console.log(Hook.query(target).entries.map(({ programName }) => programName));
 * // [ "count", "cil_from_netdev", "last", "guard" ]
 * ```
 *
 * Without a position a program comes last, and never runs if one before it redirects the packet or decides about it.
 * `hook.attach` asks its function again if the hook changed meanwhile. What can go wrong:
 *
 * - `stale`: the hook has changed since the revision that you passed as `expectedRevision`. Query it again;
 *   `hook.attach` does that by itself.
 * - `exists`: a program can be in a tcx or netkit hook once. Load it a second time.
 * - Positions came with tcx (Linux 6.6), netkit (6.7), and 6.17 for cgroups, where anchors are links. xdp takes one
 *   program an interface.
 *
 * ## A target of each type
 *
 * For the first line of a program: what each type is for. Each name leads to an example that runs.
 *
 * | target | for what |
 * | --- | --- |
 * | {@linkcode CgroupTarget} | what the processes of a cgroup send, connect to, may open and set |
 * | {@linkcode XdpTarget} | packets as they come from a driver, before the network stack: drop, redirect |
 * | {@linkcode TcxTarget} | packets of an interface in either direction, with an order among programs |
 * | {@linkcode NetkitTarget} | the same at a pair of netkit interfaces, as containers have |
 * | {@linkcode NetnsTarget} | which socket a connection gets (sk_lookup), how packets are dissected |
 * | {@linkcode SockmapTarget} | data of sockets in a map: redirect it past the network stack |
 * | {@linkcode NetfilterTarget} | packets at a hook of netfilter, beside nftables |
 * | {@linkcode StructOpsTarget} | what programs implement for the kernel, such as TCP congestion control |
 * | {@linkcode IterTarget} | reading lists of the kernel: tasks, files, sockets, maps |
 * | {@linkcode TracepointTarget} | stable events of the kernel, such as each system call |
 * | {@linkcode RawTracepointTarget} | the same with less cost and raw arguments |
 * | {@linkcode TpBtfTarget} | the same with arguments that have types |
 * | {@linkcode TracingTarget} | functions of the kernel: fentry, fexit, fmod_ret, lsm, freplace |
 * | {@linkcode KprobeTarget} | any function of the kernel, on kernels without BTF too |
 * | {@linkcode KprobeMultiTarget} | many functions of the kernel by one link |
 * | {@linkcode UprobeTarget} | a function of a program or a library |
 * | {@linkcode UprobeMultiTarget} | many of them by one link |
 * | {@linkcode PerfEventTarget} | every so many cycles, page faults or ticks of a clock: profiles |
 *
 * `probe()` says which of them this kernel and this process can attach, and why not. For many places take the
 * types with `multi`: closing 100 uprobe links took 14 s, one uprobe_multi link to the same functions 0.03 s (Linux
 * 6.18).
 *
 * ## Least privileges
 *
 * For an agent that should not be root: root has all capabilities, these are the ones that it needs. A test measures
 * each row, with all of its capabilities and without each one (Linux 6.18).
 *
 * | call | needs |
 * | --- | --- |
 * | `BpfMap.create`; `Program.load` of cgroup_skb, sk_lookup, socket_filter, syscall | CAP_BPF |
 * | `Program.load` of xdp, sched_cls, netfilter, sock_ops, cgroup_sock_addr, cgroup_device | CAP_BPF, CAP_NET_ADMIN |
 * | `Program.load` of kprobe, tracepoint, perf_event, raw_tracepoint, tracing | CAP_BPF, CAP_PERFMON |
 * | `Link.attach` to xdp, tcx, netns, netfilter, iter, raw_tracepoint, uprobe_multi | nothing |
 * | `Link.attach` to a cgroup: of other programs | nothing |
 * | `Link.attach` to a cgroup: of cgroup_skb | CAP_NET_ADMIN |
 * | `Link.attach` to tracepoint, perf_event | CAP_PERFMON |
 * | `Link.attach` to uprobe, or with `netns` to an interface | CAP_SYS_ADMIN |
 * | `openPinned`, `update`, `info`, `pin`, `unpin`, `detach`, `close`, `holders`, `Program.run` | nothing |
 * | `Hook.query` of cgroup, tcx, netns | CAP_NET_ADMIN |
 * | `Link.infos`, `list`, `watch` of all links, and names of programs | CAP_BPF, CAP_PERFMON |
 * | `Link.open`, `Link.all`, `Program.open`, `BpfMap.open`; counting runs (`enableStats`) | CAP_SYS_ADMIN |
 *
 * CAP_SYS_ADMIN stands in for all of them. Pins and cgroups need permission on their directories, as files do. Before
 * Linux 5.19, where `kernel.unprivileged_bpf_disabled` is set, what needs nothing needs CAP_BPF; before 5.11 maps count
 * against `ulimit -l`.
 *
 * As root for one command: `sudo deno run --allow-ffi main.ts`. Without root, from a shell of root:
 *
 * ```sh
 * setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all,+bpf,+net_admin \
 *   --ambient-caps=-all,+bpf,+net_admin --bounding-set=-all,+bpf,+net_admin deno run --allow-ffi main.ts
 * ```
 *
 * As a service of systemd, which makes the same of it:
 *
 * ```ini
 * [Service]
 * ExecStart=/usr/local/bin/deno run --allow-ffi /opt/agent/main.ts
 * DynamicUser=yes
 * AmbientCapabilities=CAP_BPF CAP_NET_ADMIN
 * CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN
 * NoNewPrivileges=yes
 * ```
 *
 * In a container the capabilities have to be in the initial user namespace: of a container with a user namespace of its
 * own (rootless) they do not count. It needs the host's cgroup2 file system for cgroups, a bpf file system for pins,
 * and the host's network namespace for its interfaces. The repository's `tests/fleet/daemonset.yaml` has the fields for
 * Kubernetes.
 *
 * In a user namespace a token (Linux 6.9) stands in for capabilities when maps and programs are loaded, and the link
 * inherits it of its program. It is made of a bpf file system of that namespace, for which root outside has said what
 * it delegates (`delegate_cmds`, `delegate_progs`, ...), as container managers can:
 *
 * ```ts ignore
 * import { Link, Program } from "@bpf/link";
 * import { open, tokenCreate } from "@bpf/link/sys";
 *
 * const token = tokenCreate(open("/run/tokens")); // where it is mounted
 * const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 1: pass
 * using program = Program.load({ type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress", instructions, token });
 * using link = Link.attach(program, { type: "cgroup", cgroup: "/sys/fs/cgroup/web" });
 * console.log(link.info());
 * ```
 *
 * What can go wrong:
 *
 * - `capability`, and the message names what is missing. `policy`: the capabilities suffice, but a security module,
 *   seccomp or the lockdown refuses.
 * - A tracepoint needs tracefs too, mounted where the process may read it: `/sys/kernel/tracing` is often for root
 *   alone.
 * - The verifier lets some programs do less without CAP_PERFMON, such as subtract pointers into a packet.
 * - `--allow-ffi` is full trust: what the process may do, its code may do. See Permissions in README.
 *
 * ## Troubleshooting by message
 *
 * For an error that you just read: each message says what could not be done, what the errno means there, and the
 * errno's name; `error.hint` says what to do, `error.reason` is what to decide by. Those that people meet first:
 *
 * | message | what to do |
 * | --- | --- |
 * | `run with --allow-ffi` | it is the one permission that the package needs |
 * | `the process lacks CAP_BPF and CAP_NET_ADMIN (EPERM)` | the guide above has the table of capabilities |
 * | `it needs CAP_SYS_ADMIN in the initial user namespace (EPERM)` | use `openPinned` or `Link.list` |
 * | `there is no such interface in this network namespace (ENODEV)` | `ip link`; for another one pass `netns` |
 * | `holds the interface in generic mode (EBUSY)` | see the guide of `@bpf/link/cli` |
 * | `target.cgroup is no directory of a cgroup2 file system (EBADF)` | `/proc/mounts` says where one is |
 * | `target.attachType is required` | name it: it is known of programs that were loaded here |
 * | `does not fit the attach type` | load the program with `expectedAttachType` |
 * | `the verifier refuses the program` | the line of the log is in the message, all of it in `error.log` |
 * | `this kernel has no function` | check the name; functions of modules are there while the module is |
 * | `tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN` | mount it |
 * | `lies on no bpf file system (EPERM)` | `mount -t bpf bpf /sys/fs/bpf`; a pin is no ordinary file |
 * | `the name of a pin may have no dot` | choose another name |
 * | `the directory does not exist` | pass `makeDirectories: true` |
 * | `the path exists already (EEXIST)` | from an earlier run: use `Link.ensurePinned`, which takes it over |
 * | `is pinned there, and is attached to something else (EEXIST)` | a path for each target, or `replace: true` |
 * | `nothing is pinned there (ENOENT)` | check the path; another mount may hide it |
 * | `the link is detached, or what it was attached to is gone (ENOLINK)` | attach a new link |
 * | `the link holds another program than expected (EPERM)` | read `info().programId`, decide again |
 * | `the hook has changed since its revision was read (ESTALE)` | use `hook.attach` |
 * | `the program is attached to this hook already (EEXIST)` | load it a second time |
 * | `this type of link cannot be detached by force (EOPNOTSUPP)` | it ends with its last holder: `link.holders()` |
 * | `Cannot use link (tcx): it is closed` | the scope of its `using` has ended |
 * | `it is no ELF file` | compile the source with `clang -O2 -g -target bpf -c` |
 *
 * ```ts
 * import { BpfError, Link } from "@bpf/link";
 *
 * try {
 *   using _link = Link.openPinned("/sys/fs/bpf/nothing_here");
 * } catch (error) {
 *   if (!(error instanceof BpfError)) throw error;
 *   console.log(error.message); // Cannot open pin "/sys/fs/bpf/nothing_here": nothing is pinned there (ENOENT)
 *   console.log(error.hint); // check the path; another bpf mount over it hides pins
 *   console.log(error.reason, error.code, error.command); // gone ENOENT OBJ_GET
 * }
 * ```
 *
 * `bpflink probe` says what this machine can do at all, and why not the rest.
 *
 * ## Watch for tampering
 *
 * For a link that has to stay: see within a moment that somebody detached it or put another program into it.
 *
 * ```ts
 * import { Link, Names, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * const load = () => Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * using program = load();
 * using link = Link.attach(program, { type: "netns" });
 * using watcher = Link.watch({ types: ["netns"] });
 * const names = new Names();
 *
 * setTimeout(() => { // somebody else: leave these out
 *   using other = load(), opened = Link.open(link.id);
 *   opened.update(other);
 * }, 500);
 * setTimeout(() => {
 *   using opened = Link.open(link.id);
 *   opened.detach();
 * }, 1000);
 *
 * for await (const event of watcher) {
 *   if (event.kind === "present") console.log("there:", event.info.id, names.place(event.info));
 *   if (event.kind !== "changed" || event.after.id !== link.id) continue;
 *   if (event.what.includes("attached")) break;
 *   if (event.after.programId === program.id) continue; // it is back
 *   console.log("somebody put program", event.after.programId, "into link", link.id);
 *   link.update(program);
 * }
 * console.log("somebody detached link", link.id);
 * ```
 *
 * `tests/examples/watchdog.ts` of the repository puts the program back when it was detached, and runs until
 * interrupted. What can go wrong:
 *
 * - A look is every 100 ms (`intervalMs`): what came and went in between is not seen.
 * - `watcher.partial`: without CAP_BPF and CAP_PERFMON some links may be missing.
 * - Whoever has CAP_SYS_ADMIN can stop the watcher too. A list of what should be there, held against the machine from
 *   outside, is `publishLinks({ expected })` of `@bpf/link/otel`.
 *
 * @module
 */
export type { EnsureAsyncOptions, EnsuredLink, EnsureOptions } from "./lib/ensure_pinned.ts";
export { BpfError, type BpfErrorInit, type Explanation, type Reason } from "./lib/error.ts";
export { libraryBytes, setLibraryPath } from "./lib/ffi/library.ts";
export type { AttachEntry, LinkGroup } from "./lib/group.ts";
export { type HandleKind } from "./lib/handle/brand.ts";
export type { PinOptions } from "./lib/handle/owned.ts";
export { type OpenHandle, openHandles } from "./lib/handle/open_handles.ts";
export { Hook, type HookEntry, type HookTarget } from "./lib/hook.ts";
export type { HoldersOptions, LinkHolder, LinkHolders } from "./lib/holders.ts";
export type { Netns } from "./lib/kind/target.ts";
export type { CgroupInfo, CgroupTarget } from "./lib/kind/cgroup.ts";
export type { Device } from "./lib/kind/target.ts";
export type { LinkInfoBase } from "./lib/kind/kind.ts";
export type { CgroupOrder, IterInfo, IterTarget } from "./lib/kind/iter.ts";
export type { KprobeInfo, KprobeTarget } from "./lib/kind/kprobe.ts";
export type { KprobeMultiInfo, KprobeMultiTarget } from "./lib/kind/kprobe_multi.ts";
export {
  type AttachTarget,
  type AttachTargets,
  type LinkInfo,
  type LinkInfos,
  type LinkTypeOf,
  type SourceOf,
  type TargetType,
  type UnknownInfo,
} from "./lib/kind/mod.ts";
export type { NetfilterInfo, NetfilterTarget } from "./lib/kind/netfilter.ts";
export type { NetkitInfo, NetkitTarget } from "./lib/kind/netkit.ts";
export type { NetnsInfo, NetnsTarget } from "./lib/kind/netns.ts";
export type { EventInfo, PerfEvent, PerfEventTarget, UnknownEventInfo } from "./lib/kind/perf_event.ts";
export type { Anchor, LinkAnchor, Position } from "./lib/kind/position.ts";
export type { RawTracepointInfo, RawTracepointTarget } from "./lib/kind/raw_tracepoint.ts";
export type { SockmapInfo, SockmapTarget } from "./lib/kind/sockmap.ts";
export type { StructOpsInfo, StructOpsTarget } from "./lib/kind/struct_ops.ts";
export type { TcxInfo, TcxTarget } from "./lib/kind/tcx.ts";
export type { TracepointInfo, TracepointTarget } from "./lib/kind/tracepoint.ts";
export type { TpBtfTarget } from "./lib/kind/tp_btf.ts";
export type { TracingInfo, TracingTarget } from "./lib/kind/tracing.ts";
export type { TracingMultiInfo } from "./lib/kind/tracing_multi.ts";
export type { UprobeInfo, UprobeTarget } from "./lib/kind/uprobe.ts";
export type { UprobeMultiInfo, UprobeMultiTarget } from "./lib/kind/uprobe_multi.ts";
export type { XdpInfo, XdpTarget } from "./lib/kind/xdp.ts";
export { toJson } from "./lib/json.ts";
export { type AnyLink, Link, type LinkOf } from "./lib/link.ts";
export { type MadeCgroup, makeCgroup } from "./lib/cgroup.ts";
export { type AttachOptions } from "./lib/kind/attach.ts";
export type { LinkList, LinkListing, ListOptions, Source } from "./lib/links.ts";
export type { ObjectListOptions } from "./lib/listing/objects.ts";
export { Names } from "./lib/names.ts";
export { BpfMap, type EnsureMapOptions, type MapCreateOptions, type MapInfo } from "./lib/map.ts";
export type { EventRecord, RecordOptions, RecordStream } from "./lib/records.ts";
export { probe, type ProbeAnswer, type TargetProbe } from "./lib/probe.ts";
export type { AttachTo } from "./lib/btf/load_target.ts";
export {
  Program,
  type ProgramInfo,
  type ProgramLoadOptions,
  type ProgramRun,
  type ProgramRunOptions,
} from "./lib/program.ts";
export {
  ATTACH_TYPES,
  type AttachType,
  type AttachTypeName,
  type CgroupAttachType,
  type CgroupAttachTypeName,
  LINK_TYPES,
  type LinkType,
  MAP_TYPES,
  type MapType,
  type MapTypeName,
  PROGRAM_TYPES,
  type ProgramType,
  type ProgramTypeName,
} from "./lib/uapi/constants.ts";
export type { WaitOptions } from "./lib/wait.ts";
export type { LinkEvent, LinkWatcher, WatchOptions } from "./lib/watch.ts";
