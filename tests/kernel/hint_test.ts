/** What an errno is said to mean, where the kernel really says it: one row each, by the tables of commands and link types. */
import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { btfFind } from "../../lib/ffi/btf.ts";
import {
  close,
  enableStats,
  iterCreate,
  linkCreate,
  linkDetach,
  linkGetFdById,
  linkGetFdByIdOpts,
  linkGetInfoByFd,
  linkGetNextId,
  linkUpdate,
  objGet,
  objPin,
  open,
  perfEventOpen,
  progGetFdById,
  progLoad,
  progQuery,
  rawTracepointOpen,
  tokenCreate,
} from "../../lib/sys/mod.ts";
import { ERRNO } from "../../lib/uapi/errno.ts";
import { BpfError, BpfMap, Link, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { VethPair } from "../fixture/place/netns.ts";
import { withOnly, WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import { FEW_FILES, MOD, runScript } from "../fixture/process/script.ts";
import { assemble, exit, load, set } from "../fixture/program/assembler.ts";
import { extension, linkGuard, tracer } from "../fixture/program/functions.ts";
import { progAttach } from "../fixture/program/prog_attach.ts";
import {
  answering,
  cgroupEgress,
  flowDissector,
  netfilter,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";
import { ownBpffs } from "../fixture/run/own.ts";

/** Provokes an error; what it makes on the way is `own`'s to end. */
type Provoke = (own: DisposableStack) => unknown;
/** Command, code and reason. */
type Expected = `${string} ${string} ${string}`;
/** `says` is found in the message and the hint. */
type Row = readonly [title: string, provoke: Provoke, expected: Expected, says: RegExp];

function rows(requirements: Requirements, ...table: readonly Row[]): void {
  for (const [title, provoke, expected, says] of table) {
    kernelTest(`${expected}: ${title}`, requirements, () => {
      using own = new DisposableStack();
      check(errorOf(() => provoke(own)), expected, says);
    });
  }
}

function errorOf(provoke: () => unknown): BpfError {
  let result: unknown;
  try {
    result = provoke();
  } catch (error) {
    if (error instanceof SuppressedError) throw error;
    assertInstanceOf(error, BpfError);
    return error;
  }
  if (typeof result === "number") close(result);
  if (result instanceof Link || result instanceof Program) result.close();
  throw new Error("the kernel did it");
}

function check(
  error: Pick<BpfError, "message" | "command" | "code" | "reason" | "hint">,
  expected: Expected,
  says: RegExp,
): void {
  const { message, command, code, reason, hint = "" } = error;
  assertEquals(`${command} ${code} ${reason}`, expected, message);
  assertMatch(`${message}; ${hint}`, says);
  assert(message.endsWith(`(${code})`), message);
  const general = Object.values(ERRNO).find(([name]) => name === code)![1];
  assert(!message.includes(`: ${general} (`), `no more than the errno: ${message}`);
}

const NO_FD = 999_999; // never open: the limit of open files is below
const NO_IFINDEX = 0x7fffffff;
const LO = 1;
const DEV_NULL = "/dev/null";

function fd(own: DisposableStack, fd: number): number {
  own.defer(() => close(fd));
  return fd;
}

function file(own: DisposableStack, path: string): number {
  return fd(own, open(path));
}

const netnsFd = (own: DisposableStack) => file(own, "/proc/self/ns/net");

/** A link that nothing is special about. */
const iterLink = (own: DisposableStack) => own.use(Link.attach(own.use(taskIterator("x")), { type: "iter" }));
const lookupLink = (own: DisposableStack) => own.use(Link.attach(own.use(skLookup()), { type: "netns" }));
const tcxLink = (own: DisposableStack, program = own.use(tcx())) =>
  own.use(Link.attach(program, { type: "tcx", device: "lo", direction: "ingress" }));
const xdpLink = (own: DisposableStack) =>
  own.use(Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "generic" }));
const cgroupTarget = (own: DisposableStack) => ({ type: "cgroup", cgroup: own.use(new Cgroup()).path } as const);
const cgroupLink = (own: DisposableStack, target = cgroupTarget(own)) =>
  own.use(Link.attach(own.use(cgroupEgress()), target));
const filterTarget = { type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 } as const;
const filterLink = (own: DisposableStack) => own.use(Link.attach(own.use(netfilter()), filterTarget));
const tracepointLink = (own: DisposableStack) =>
  own.use(Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "oom_score_adj_update" }));
const clock = (own: DisposableStack) =>
  fd(own, perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000_000n }, 0, -1));
const eventProgram = () => answering(0, { type: "perf_event" });
const eventLink = (own: DisposableStack) =>
  own.use(Link.attach(own.use(eventProgram()), { type: "perf_event", event: clock(own) }));
const uprobes = () => answering(0, { type: "kprobe", expectedAttachType: "trace_uprobe_multi" });
const sockmap = (own: DisposableStack) =>
  own.use(BpfMap.create({ type: "sockmap", keySize: 4, valueSize: 4, maxEntries: 1 }));
const messageJudge = () => answering(1, { type: "sk_msg", expectedAttachType: "sk_msg_verdict" });
const streamJudge = () => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_stream_verdict" });
const bufferJudge = () => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_verdict" });

// ---- LINK_CREATE
rows(
  { needs: ["netns"] },
  ["no program", () => linkCreate(NO_FD, LO, "xdp"), "LINK_CREATE EBADF invalid", /not open/],
  [
    "a link instead of a program",
    (own) => linkCreate(lookupLink(own).fd, netnsFd(own), "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /program does not fit/,
  ],
  [
    "an attach type of another program type",
    (own) => linkCreate(own.use(xdp()).fd, 0, "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /loaded for this attach type|program/,
  ],
  [
    "an attach type that no kernel has",
    (own) => linkCreate(own.use(xdp()).fd, 0, "attach_type_5000"),
    "LINK_CREATE EINVAL invalid",
    /attach type/,
  ],
);
rows(
  { needs: ["cgroup2"] },
  [
    "an fd that is closed",
    (own) => Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: NO_FD }),
    "LINK_CREATE EBADF invalid",
    /cgroup2/,
  ],
  [
    "a plain directory",
    (own) => Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: "/tmp" }),
    "LINK_CREATE EBADF invalid",
    /no directory of a cgroup2/,
  ],
  [
    "a file of a cgroup",
    (own) => {
      const { cgroup } = cgroupTarget(own);
      return Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: `${cgroup}/cgroup.procs` });
    },
    "LINK_CREATE EBADF invalid",
    /not a file/,
  ],
  [
    "a cgroup that was removed",
    (own) => {
      const cgroup = new Cgroup();
      const directory = file(own, cgroup.path);
      cgroup[Symbol.dispose]();
      return Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: directory });
    },
    "LINK_CREATE ENOENT gone",
    /being removed/,
  ],
  [
    "a flag of the mechanism before links",
    (own) =>
      linkCreate(own.use(cgroupEgress()).fd, file(own, cgroupTarget(own).cgroup), "cgroup_inet_egress", { flags: 2 }),
    "LINK_CREATE EINVAL invalid",
    /position cannot be had/,
  ],
  [
    "a program that does not fit",
    (own) => Link.attach(own.use(cgroupEgress()), { ...cgroupTarget(own), attachType: "cgroup_inet4_connect" }),
    "LINK_CREATE EINVAL invalid",
    /does not fit the attach type/,
  ],
  [
    "a program that allows no other beside it",
    (own) => {
      const target = cgroupTarget(own);
      progAttach(own, file(own, target.cgroup), own.use(cgroupEgress()).fd, 1);
      return cgroupLink(own, target);
    },
    "LINK_CREATE EPERM policy",
    /allows no other beside it.*BPF_F_ALLOW_MULTI/,
  ],
  [
    "the 65th program",
    (own) => {
      const target = cgroupTarget(own), program = own.use(cgroupEgress());
      for (let i = 0; i < 65; i++) own.use(Link.attach(program, target));
    },
    "LINK_CREATE E2BIG limit",
    /64/,
  ],
);
rows(
  { needs: ["cgroup2"], since: "6.17" },
  [
    "an anchor of another cgroup",
    (own) => Link.attach(own.use(cgroupEgress()), { ...cgroupTarget(own), position: { before: cgroupLink(own) } }),
    "LINK_CREATE ENOENT gone",
    /anchor is not attached there/,
  ],
  [
    "a revision that was",
    (own) => {
      const target = cgroupTarget(own);
      cgroupLink(own, target);
      return Link.attach(own.use(cgroupEgress()), { ...target, expectedRevision: 77n });
    },
    "LINK_CREATE ESTALE stale",
    /query the hook again/,
  ],
);
rows(
  { needs: ["netns"] },
  [
    "no such interface, by its number",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: NO_IFINDEX }),
    "LINK_CREATE EINVAL invalid",
    /interface does not exist/,
  ],
  [
    "no such interface, by its name",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "none" }),
    "ioctl ENODEV gone",
    /no such interface.*ip link/,
  ],
  [
    "another link in that mode",
    (own) => {
      xdpLink(own);
      return Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "generic" });
    },
    "LINK_CREATE EBUSY busy",
    /another link or program holds the interface.*detach it/,
  ],
  [
    "generic beside native",
    (own) => {
      const device = own.use(new VethPair()).name, program = own.use(xdp());
      own.use(Link.attach(program, { type: "xdp", device, mode: "native" }));
      return Link.attach(program, { type: "xdp", device, mode: "generic" });
    },
    "LINK_CREATE EEXIST busy",
    /exclude each other/,
  ],
  [
    "a driver without XDP",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "native" }),
    "LINK_CREATE EOPNOTSUPP unsupported",
    /mode "generic"/,
  ],
  [
    "a network namespace that is none",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "lo", netns: DEV_NULL }),
    "setns EINVAL invalid",
    /no network namespace.*\/proc\/PID\/ns\/net/,
  ],
  [
    "a file that is no network namespace",
    (own) => linkCreate(own.use(skLookup()).fd, file(own, DEV_NULL), "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /no network namespace/,
  ],
  [
    "a second flow dissector",
    (own) => {
      const program = own.use(flowDissector());
      own.use(Link.attach(program, { type: "netns" }));
      return Link.attach(program, { type: "netns" });
    },
    "LINK_CREATE E2BIG limit",
    /flow dissector/,
  ],
  [
    "a flow dissector without a link",
    (own) => {
      const program = own.use(flowDissector());
      progAttach(own, 0, program.fd, 17);
      return Link.attach(program, { type: "netns" });
    },
    "LINK_CREATE EEXIST busy",
    /without a link/,
  ],
  [
    "the 65th sk_lookup program",
    (own) => {
      const program = own.use(skLookup());
      for (let i = 0; i < 65; i++) own.use(Link.attach(program, { type: "netns" }));
    },
    "LINK_CREATE E2BIG limit",
    /64/,
  ],
);
rows(
  { needs: ["netns"], since: "6.6" },
  [
    "no such interface",
    (own) => Link.attach(own.use(tcx()), { type: "tcx", device: NO_IFINDEX, direction: "egress" }),
    "LINK_CREATE ENODEV gone",
    /no such interface.*netns/,
  ],
  [
    "the same program twice",
    (own) => {
      const program = own.use(tcx());
      tcxLink(own, program);
      return tcxLink(own, program);
    },
    "LINK_CREATE EEXIST exists",
    /load it a second time/,
  ],
  [
    "the 65th program",
    (own) => {
      for (let i = 0; i < 65; i++) tcxLink(own);
    },
    "LINK_CREATE ERANGE limit",
    /63 programs/,
  ],
  [
    "an anchor of another hook",
    (own) =>
      Link.attach(own.use(tcx()), {
        type: "tcx",
        device: "lo",
        direction: "egress",
        position: { after: tcxLink(own) },
      }),
    "LINK_CREATE ENOENT gone",
    /anchor is not attached to this hook/,
  ],
  [
    "a revision that was",
    (own) => {
      tcxLink(own);
      return Link.attach(own.use(tcx()), {
        type: "tcx",
        device: "lo",
        direction: "ingress",
        expectedRevision: 77n,
      });
    },
    "LINK_CREATE ESTALE stale",
    /query the hook again/,
  ],
  [
    "a flag that only cgroups have",
    (own) => linkCreate(own.use(tcx()).fd, LO, "tcx_ingress", { flags: 64 }),
    "LINK_CREATE EINVAL invalid",
    /option/,
  ],
);
rows(
  { needs: ["netns"], since: "6.4" },
  [
    "another protocol family",
    (own) => linkCreate(own.use(netfilter()).fd, 0, "netfilter", { netfilter: { pf: 1, hooknum: 0, priority: 0 } }),
    "LINK_CREATE EAFNOSUPPORT invalid",
    /neither IPv4 nor IPv6/,
  ],
  [
    "no such hook",
    (own) => linkCreate(own.use(netfilter()).fd, 0, "netfilter", { netfilter: { pf: 2, hooknum: 9, priority: 0 } }),
    "LINK_CREATE EPROTO invalid",
    /no such netfilter hook/,
  ],
  [
    "a priority at the end of the range",
    (own) =>
      linkCreate(own.use(netfilter()).fd, 0, "netfilter", {
        netfilter: { pf: 2, hooknum: 0, priority: 0x7fffffff },
      }),
    "LINK_CREATE ERANGE invalid",
    /priority/,
  ],
  [
    "flags that no kernel has",
    (own) =>
      linkCreate(own.use(netfilter()).fd, 0, "netfilter", {
        netfilter: { pf: 2, hooknum: 0, priority: 0, flags: 128 },
      }),
    "LINK_CREATE EOPNOTSUPP unsupported",
    /flags/,
  ],
  [
    "the same priority twice",
    (own) => {
      filterLink(own);
      return filterLink(own);
    },
    "LINK_CREATE EBUSY busy",
    /another priority/,
  ],
);
rows(
  { since: "5.15" },
  [
    "a file that is no event",
    (own) => linkCreate(own.use(eventProgram()).fd, file(own, DEV_NULL), "perf_event"),
    "LINK_CREATE EBADF invalid",
    /no perf event/,
  ],
  [
    "a file that is no event",
    (own) => Link.attach(own.use(eventProgram()), { type: "perf_event", event: file(own, DEV_NULL) }),
    "ioctl ENOTTY invalid",
    /pass what perf_event_open returned/,
  ],
  [
    "a second program",
    (own) => {
      const event = clock(own), program = own.use(eventProgram());
      own.use(Link.attach(program, { type: "perf_event", event }));
      return Link.attach(program, { type: "perf_event", event });
    },
    "LINK_CREATE EEXIST exists",
    /an event of your own/,
  ],
  [
    "a program for another kind of event",
    (own) => Link.attach(own.use(answering(0, { type: "kprobe" })), { type: "perf_event", event: clock(own) }),
    "LINK_CREATE EINVAL invalid",
    /program's type/,
  ],
  [
    "a program that reads beyond the record",
    (own) => {
      const instructions = assemble(load(0, 1, 2000), set(0, 0), exit);
      const program = own.use(Program.load({ type: "tracepoint", instructions }));
      return Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_switch" });
    },
    "LINK_CREATE EACCES invalid",
    /format file/,
  ],
);
rows(
  { since: "6.6" },
  [
    "no such file",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: "/none", offsets: [0n] } }),
    "LINK_CREATE ENOENT gone",
    /no such file/,
  ],
  [
    "a device",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: DEV_NULL, offsets: [0n] } }),
    "LINK_CREATE EBADF invalid",
    /no regular file/,
  ],
  [
    "no such process",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [0n], pid: 0x7ffffff0 },
      }),
    "LINK_CREATE ESRCH gone",
    /no such process/,
  ],
  [
    "beyond the end of the file",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [1n << 50n] },
      }),
    "LINK_CREATE EINVAL invalid",
    /outside of the file/,
  ],
  [
    "no place",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: [] },
      }),
    "LINK_CREATE EINVAL invalid",
    /there is none/,
  ],
  [
    "more places than one link takes",
    (own) =>
      linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", {
        uprobeMulti: { path: Deno.execPath(), offsets: new Array<bigint>((1 << 20) + 1).fill(0n) },
      }),
    "LINK_CREATE E2BIG limit",
    /2 \*\* 20/,
  ],
);
rows(
  {},
  [
    "a target, which iterators have not",
    (own) => linkCreate(own.use(taskIterator("x")).fd, netnsFd(own), "trace_iter"),
    "LINK_CREATE EINVAL invalid",
    /iterator refuses/,
  ],
  [
    "the map that is not said",
    (own) => linkCreate(own.use(mapIterator()).fd, 0, "trace_iter"),
    "LINK_CREATE EBADF invalid",
    /needs a map/,
  ],
);
rows(
  { since: "6.1" },
  [
    "a thread and a process at once",
    (own) => linkCreate(own.use(taskIterator("x")).fd, 0, "trace_iter", { iterInfo: { task: { tid: 1, pid: 1 } } }),
    "LINK_CREATE EINVAL invalid",
    /one of tid, pid and pidfd/,
  ],
  [
    "a process file that is none",
    (own) => linkCreate(own.use(taskIterator("x")).fd, 0, "trace_iter", { iterInfo: { task: { pidFd: NO_FD } } }),
    "LINK_CREATE EBADF invalid",
    /process that is open/,
  ],
);
rows(
  { since: "6.10" },
  [
    "a map of another type",
    (own) => {
      const array = own.use(BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 }));
      return linkCreate(own.use(messageJudge()).fd, array.fd, "sk_msg_verdict");
    },
    "LINK_CREATE EINVAL invalid",
    /no sockmap or sockhash/,
  ],
  [
    "another link there",
    (own) => {
      const map = sockmap(own), program = own.use(messageJudge());
      own.use(Link.attach(program, { type: "sockmap", map }));
      return Link.attach(program, { type: "sockmap", map });
    },
    "LINK_CREATE EBUSY busy",
    /another link holds/,
  ],
  [
    "the other verdict in use",
    (own) => {
      const map = sockmap(own);
      own.use(Link.attach(own.use(streamJudge()), { type: "sockmap", map }));
      return Link.attach(own.use(bufferJudge()), { type: "sockmap", map });
    },
    "LINK_CREATE EBUSY busy",
    /exclude each other/,
  ],
);
rows(
  {},
  [
    "no such tracepoint",
    (own) => Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "none" }),
    "RAW_TRACEPOINT_OPEN ENOENT invalid",
    /tracefs, without the category/,
  ],
  [
    "a name that looks like a part of the message",
    (own) => Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "a: b (c" }),
    "RAW_TRACEPOINT_OPEN ENOENT invalid",
    /^Cannot attach program \d+ to raw tracepoint "a: b \(c": the kernel has no /,
  ],
  [
    "another type of program",
    (own) => Link.attach(own.use(xdp()), { type: "raw_tracepoint", name: "sched_switch" }),
    "RAW_TRACEPOINT_OPEN EINVAL invalid",
    /no raw_tracepoint program/,
  ],
  [
    "a tracepoint without a name",
    (own) => rawTracepointOpen(undefined, own.use(rawTracepoint()).fd),
    "RAW_TRACEPOINT_OPEN EFAULT invalid",
    /raw_tracepoint/,
  ],
  ["no program", () => rawTracepointOpen("sched_switch", NO_FD), "RAW_TRACEPOINT_OPEN EBADF invalid", /not open/],
);

rows(
  { needs: ["netns", "netkit"], since: "6.7" },
  [
    "no such interface, netkit",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: NO_IFINDEX }),
    "LINK_CREATE ENODEV gone",
    /no such interface/,
  ],
  [
    "another kind of interface",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: "lo" }),
    "LINK_CREATE ENXIO invalid",
    /no netkit device.*ip link add type netkit/,
  ],
  [
    "the other end of a pair",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: own.use(new NetkitPair()).peer }),
    "LINK_CREATE EACCES invalid",
    /say peer: true/,
  ],
);
rows(
  { needs: ["fprobe"], since: "6.1" },
  [
    "no such function",
    (own) => {
      const program = own.use(answering(0, { type: "kprobe", expectedAttachType: "trace_kprobe_multi" }));
      return Link.attach(program, { type: "kprobe_multi", symbols: ["no_such_function"] });
    },
    "LINK_CREATE ESRCH invalid",
    /available_filter_functions/,
  ],
);
rows(
  { needs: ["trampolines"], since: "5.13" }, // before: ENOENT, for a program goes there once
  [
    "the same program twice, at a function",
    (own) => {
      const program = own.use(tracer("trace_fentry", "vfs_read"));
      own.use(Link.attach(program, { type: "tracing" }));
      return Link.attach(program, { type: "tracing" });
    },
    "RAW_TRACEPOINT_OPEN EBUSY busy",
    /attached to its function already/,
  ],
);
const traceAll = (program: Program, ids: number[]) =>
  linkCreate(program.fd, 0, "trace_fentry_multi", { tracingMulti: { ids } });
const multiTracer = () => answering(0, { type: "tracing", expectedAttachType: "trace_fentry_multi" });
rows(
  { needs: ["trampolines"], since: "7.2" },
  [
    "a function twice",
    (own) => traceAll(own.use(multiTracer()), [1, 2].map(() => btfFind("function", "vfs_read")!)),
    "LINK_CREATE EINVAL invalid",
    /comes twice/,
  ],
  [
    "the same program twice, at many functions",
    (own) => {
      const program = own.use(multiTracer()), ids = [btfFind("function", "vfs_read")!];
      fd(own, traceAll(program, ids));
      return traceAll(program, ids);
    },
    "LINK_CREATE EBUSY busy",
    /attached to one of the functions already/,
  ],
  [
    "more functions than one link takes",
    (own) => traceAll(own.use(multiTracer()), new Array<number>(2 ** 20 + 1).fill(1)),
    "LINK_CREATE E2BIG limit",
    /2 \*\* 20/,
  ],
);

/** Walks the elements of a map, of which it must be told. */
function mapIterator(): Program {
  return answering(0, { type: "tracing", expectedAttachType: "trace_iter", attachTo: "bpf_map_elem" });
}

// What a kernel says of a type that it does not know: the hint names the one that brought it.
const NEWER: readonly [since: string, type: string, provoke: Provoke, expected: Expected][] = [
  ["6.4", "netfilter", () => netfilter(), "PROG_LOAD EINVAL unsupported"],
  [
    "6.6",
    "tcx",
    (own) => Link.attach(own.use(tcx()), { type: "tcx", device: LO, direction: "ingress" }),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.6",
    "uprobe_multi",
    (own) => linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: "/", offsets: [0n] } }),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.7",
    "netkit",
    (own) => linkCreate(own.use(tcx()).fd, LO, "netkit_primary"),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.10",
    "sockmap",
    (own) => Link.attach(own.use(messageJudge()), { type: "sockmap", map: sockmap(own) }),
    "LINK_CREATE EINVAL unsupported",
  ],
];
for (const [since, type, provoke, expected] of NEWER) {
  rows({ needs: ["netns"], before: since }, [
    `${type} on a kernel that is too old`,
    provoke,
    expected,
    new RegExp(`this kernel has no ${type} links.*they came with Linux ${since.replace(".", "[.]")}; this is \\d`),
  ]);
}

// ---- LINK_UPDATE and LINK_DETACH
const SECOND: readonly [name: string, link: (own: DisposableStack) => Link, next: () => Program, Requirements][] = [
  ["cgroup", cgroupLink, cgroupEgress, { needs: ["cgroup2"] }],
  ["netns", lookupLink, skLookup, { needs: ["netns"] }],
  ["xdp", xdpLink, xdp, { needs: ["netns"] }],
  ["tcx", tcxLink, tcx, { needs: ["netns"], since: "6.6" }],
  ["iter", iterLink, () => taskIterator("y"), {}],
  [
    "sockmap",
    (own) => own.use(Link.attach(own.use(messageJudge()), { type: "sockmap", map: sockmap(own) })),
    messageJudge,
    { since: "6.10" },
  ],
];
for (const [name, link, next, requirements] of SECOND) {
  rows(requirements, [
    `a race lost, ${name}`,
    (own) => link(own).update(own.use(next()), { expected: own.use(next()) }),
    "LINK_UPDATE EPERM mismatch",
    /another program than expected.*somebody else updated it/,
  ]);
  if (name === "iter") continue;
  rows(requirements, [
    `detached, ${name}`,
    (own) => {
      const it = link(own);
      it.detach();
      it.update(own.use(next()));
    },
    "LINK_UPDATE ENOLINK gone",
    /attach a new link/,
  ]);
}
rows(
  { needs: ["netns"] },
  [
    "a raw tracepoint",
    (own) => tracepointLink(own).update(own.use(rawTracepoint())),
    "LINK_UPDATE EINVAL unsupported",
    /attach a new link, then end the old/,
  ],
  [
    "a program of another type",
    (own) => xdpLink(own).update(own.use(tcx())),
    "LINK_UPDATE EINVAL mismatch",
    /same type and expectedAttachType/,
  ],
  [
    "a program of another attach type",
    (own) => linkUpdate(xdpLink(own).fd, fd(own, progLoad("xdp", assemble(set(0, 2), exit)))),
    "LINK_UPDATE EINVAL mismatch",
    /same type and expectedAttachType/,
  ],
  [
    "a flag that no kernel has",
    (own) => linkUpdate(lookupLink(own).fd, own.use(skLookup()).fd, { flags: 1 }),
    "LINK_UPDATE EINVAL invalid",
    /flags/,
  ],
  ["no link", (own) => linkUpdate(NO_FD, own.use(xdp()).fd), "LINK_UPDATE EBADF invalid", /not open/],
  [
    "a program instead of a link",
    (own) => linkUpdate(own.use(xdp()).fd, own.use(xdp()).fd),
    "LINK_UPDATE EINVAL invalid",
    /no link/,
  ],
  ["no program", (own) => linkUpdate(lookupLink(own).fd, NO_FD), "LINK_UPDATE EBADF invalid", /not open/],
  ["no link", () => linkDetach(NO_FD), "LINK_DETACH EBADF invalid", /not open/],
  ["a program", (own) => linkDetach(own.use(xdp()).fd), "LINK_DETACH EINVAL invalid", /no link/],
  ["an iterator", (own) => iterLink(own).detach(), "LINK_DETACH EOPNOTSUPP unsupported", /close every fd/],
);
rows(
  { needs: ["netns"], since: "6.4" },
  [
    "netfilter",
    (own) => filterLink(own).update(own.use(netfilter())),
    "LINK_UPDATE EOPNOTSUPP unsupported",
    /another priority/,
  ],
);
rows(
  { needs: ["netns"], since: "6.6" },
  [
    "the new program is in the hook",
    (own) => {
      const program = own.use(tcx());
      tcxLink(own, program);
      tcxLink(own).update(program);
    },
    "LINK_UPDATE EEXIST exists",
    /load it a second time/,
  ],
);

rows(
  { since: "5.15" },
  [
    "a perf event",
    (own) => eventLink(own).update(own.use(eventProgram())),
    "LINK_UPDATE EINVAL unsupported",
    /attach a new link, then end the old/,
  ],
  ["an event", (own) => eventLink(own).detach(), "LINK_DETACH EOPNOTSUPP unsupported", /close every fd/],
);

// ---- finding, reading, pinning
rows(
  {},
  ["an id out of range", () => linkGetNextId(0x7fffffff), "LINK_GET_NEXT_ID EINVAL invalid", /out of range/],
  ["no id", () => linkGetFdById(0), "LINK_GET_FD_BY_ID ENOENT gone", /list the links again/],
  ["no such link", () => Link.open(0x7ffffff0), "LINK_GET_FD_BY_ID ENOENT gone", /list the links again/],
  [
    "flags",
    () => linkGetFdByIdOpts(1, { openFlags: 8 }),
    "LINK_GET_FD_BY_ID EINVAL invalid",
    /neither open flags nor a token/,
  ],
  [
    "a token",
    () => linkGetFdByIdOpts(1, { tokenFd: 5 }),
    "LINK_GET_FD_BY_ID EINVAL invalid",
    /neither open flags nor a token/,
  ],
  ["no such program", () => progGetFdById(0x7ffffff0), "PROG_GET_FD_BY_ID ENOENT gone", /unloaded/],
  ["a closed fd", () => linkGetInfoByFd(NO_FD), "OBJ_GET_INFO_BY_FD EBADFD invalid", /not open/],
  [
    "a device",
    (own) => linkGetInfoByFd(file(own, DEV_NULL)),
    "OBJ_GET_INFO_BY_FD EINVAL invalid",
    /no object of bpf/,
  ],
  ["a closed fd", () => iterCreate(NO_FD), "ITER_CREATE EBADF invalid", /not open/],
  ["no link", (own) => iterCreate(own.use(xdp()).fd), "ITER_CREATE EINVAL invalid", /no iter link/],
  ["another link", (own) => iterCreate(tracepointLink(own).fd), "ITER_CREATE EINVAL invalid", /no iter link/],
  ["statistics that no kernel has", () => enableStats(9), "ENABLE_STATS EINVAL invalid", /0 is the runs/],
);
rows(
  { needs: ["bpffs"] },
  [
    "a closed fd",
    (own) => objPin(NO_FD, own.use(new PinDirectory()).pin("x")),
    "OBJ_PIN EINVAL invalid",
    /closed/,
  ],
  [
    "no object of bpf",
    (own) => objPin(file(own, DEV_NULL), own.use(new PinDirectory()).pin("x")),
    "OBJ_PIN EINVAL invalid",
    /no object of bpf/,
  ],
  [
    "there already",
    (own) => {
      const path = own.use(new PinDirectory()).pin("x"), program = own.use(xdp());
      program.pin(path);
      program.pin(path);
    },
    "OBJ_PIN EEXIST exists",
    /another path/,
  ],
  [
    "no bpf file system",
    (own) => iterLink(own).pin("/tmp/bpf-link-test-pin"),
    "OBJ_PIN EPERM invalid",
    /no bpf file system/,
  ],
  [
    "a dot",
    (own) => iterLink(own).pin(own.use(new PinDirectory()).pin("a.b")),
    "OBJ_PIN EPERM invalid",
    /no dot/,
  ],
  [
    "no directory",
    (own) => iterLink(own).pin(`${own.use(new PinDirectory()).path}/none/x`),
    "OBJ_PIN ENOENT gone",
    /directory does not exist/,
  ],
  ["below a file", (own) => iterLink(own).pin("/dev/null/x"), "OBJ_PIN ENOTDIR invalid", /no directory/],
  [
    "a long name",
    (own) => iterLink(own).pin(own.use(new PinDirectory()).pin("x".repeat(256))),
    "OBJ_PIN ENAMETOOLONG invalid",
    /too long/,
  ],
  [
    "a file system that is read-only",
    (own) => {
      const path = Deno.makeTempDirSync();
      own.defer(() => Deno.removeSync(path));
      run("mount", "-t", "bpf", "-o", "ro", "bpf", path);
      own.defer(() => run("umount", path));
      iterLink(own).pin(`${path}/x`);
    },
    "OBJ_PIN EROFS policy",
    /read-only/,
  ],
  [
    "nothing there",
    () => Link.openPinned(`${ownBpffs()}/none`),
    "OBJ_GET ENOENT gone",
    /nothing is pinned there/,
  ],
  ["no pin", () => Link.openPinned(DEV_NULL), "OBJ_GET EACCES invalid", /no pin/],
  ["a directory", () => Link.openPinned(ownBpffs()!), "OBJ_GET EACCES invalid", /no pin/],
  ["below a file", () => Link.openPinned("/dev/null/x"), "OBJ_GET ENOTDIR invalid", /no directory/],
  [
    "a link, to be read only",
    (own) => {
      const path = own.use(new PinDirectory()).pin("x");
      iterLink(own).pin(path);
      return objGet(path, 8);
    },
    "OBJ_GET EINVAL invalid",
    /read-only or write-only/,
  ],
);

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

// ---- PROG_QUERY, TOKEN_CREATE
rows(
  { needs: ["netns"] },
  [
    "no cgroup",
    (own) => progQuery(file(own, "/tmp"), "cgroup_inet_egress"),
    "PROG_QUERY EBADF invalid",
    /cgroup2/,
  ],
  ["no place to query", () => progQuery(0, "perf_event"), "PROG_QUERY EINVAL invalid", /cannot be queried/],
);
rows(
  { needs: ["netns"], since: "6.6" },
  ["no interface", () => progQuery(NO_IFINDEX, "tcx_ingress"), "PROG_QUERY ENODEV gone", /no such interface/],
);
rows(
  { needs: ["bpffs"], since: "6.9" },
  ["no fd", () => tokenCreate(NO_FD), "TOKEN_CREATE EBADF invalid", /not open|closed/],
  [
    "no bpf file system",
    (own) => tokenCreate(file(own, "/tmp")),
    "TOKEN_CREATE EINVAL invalid",
    /bpf file system/,
  ],
  [
    "where capabilities do",
    (own) => tokenCreate(file(own, ownBpffs()!)),
    "TOKEN_CREATE EOPNOTSUPP unsupported",
    /user namespace/,
  ],
);

// ---- PROG_LOAD
rows(
  {},
  [
    "a program that does not end",
    () => Program.load({ type: "xdp", instructions: assemble(set(0, 0)) }),
    "PROG_LOAD EINVAL invalid",
    /log says why/,
  ],
  [
    "a program that reads what it may not",
    () => Program.load({ type: "xdp", instructions: assemble(load(0, 1, 4096), exit) }),
    "PROG_LOAD EACCES invalid",
    /verifier refuses/,
  ],
  [
    "no such function",
    () => tracer("trace_fentry", "no_such_function"),
    "btf ENOENT unsupported",
    /no function no_such_function.*check the name/,
  ],
);

// What a kernel that refuses to have its code patched says to who has every privilege for it.
rows(
  { needs: ["policy"] },
  [
    "trace_fentry",
    () => tracer("trace_fentry", "vfs_read"),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type trace_fentry by policy; privileges are sufficient/,
  ],
  [
    "trace_fexit",
    () => tracer("trace_fexit", "vfs_read"),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type trace_fexit by policy; privileges are sufficient/,
  ],
  [
    "modify_return",
    () => linkGuard("modify_return", 0),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type modify_return by policy; privileges are sufficient/,
  ],
  [
    "lsm_mac",
    () => linkGuard("lsm_mac", 0),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type lsm_mac by policy; privileges are sufficient/,
  ],
  [
    "ext",
    () => extension(),
    "PROG_LOAD EPERM policy",
    /kernel refuses program type ext by policy; privileges are sufficient/,
  ],
);

// ---- in processes of their own

/** The error that a script ends with, as its output. */
async function failing(through: readonly string[], source: string): Promise<BpfError> {
  const script = `
    import { BpfMap, Link, Program } from "${MOD}";
    import * as sys from "${new URL("../../lib/sys/mod.ts", import.meta.url)}";
    const load = (type, value, options = {}) =>
      Program.load({ type, instructions: new Uint8Array([0xb7, 0, 0, 0, value, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), ...options });
    try {
      ${source}
    } catch (error) {
      const { message, command, code, reason, hint } = error;
      console.log(JSON.stringify({ message, command, code, reason, hint }));
    }`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through });
  assertEquals(errors, "");
  return JSON.parse(output);
}

type ScriptRow = readonly [title: string, source: string, expected: Expected, says: RegExp];

const UNPRIVILEGED: readonly ScriptRow[] = [
  [
    "listing",
    "sys.linkGetNextId(0)",
    "LINK_GET_NEXT_ID EPERM capability",
    /CAP_SYS_ADMIN.*CAP_BPF is not enough/,
  ],
  ["opening", "Link.open(1)", "LINK_GET_FD_BY_ID EPERM capability", /CAP_SYS_ADMIN/],
  ["opening a program", "Program.open(1)", "PROG_GET_FD_BY_ID EPERM capability", /CAP_SYS_ADMIN/],
  ["a hook", 'sys.progQuery(1, "tcx_ingress")', "PROG_QUERY EPERM capability", /CAP_NET_ADMIN/],
  ["statistics", "sys.enableStats()", "ENABLE_STATS EPERM capability", /CAP_SYS_ADMIN/],
  ["a network program", 'load("xdp", 2)', "PROG_LOAD EPERM capability", /lacks CAP_BPF and CAP_NET_ADMIN/],
  ["a tracing program", 'load("kprobe", 0)', "PROG_LOAD EPERM capability", /lacks CAP_BPF and CAP_PERFMON/],
  [
    "a program for a function",
    'load("tracing", 0, { expectedAttachType: "trace_fentry", attachTo: "vfs_read" })',
    "PROG_LOAD EPERM capability",
    /lacks CAP_BPF and CAP_PERFMON/,
  ],
  [
    "a map",
    'BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 })',
    "MAP_CREATE EPERM capability",
    /CAP_BPF/,
  ],
  [
    "an event of every process",
    "sys.perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000_000n }, -1, 0)",
    "perf_event_open EACCES capability",
    /CAP_PERFMON.*perf_event_paranoid/,
  ],
];
for (const [title, source, expected, says] of UNPRIVILEGED) {
  kernelTest(
    `${expected}: ${title}, without capabilities`,
    { needs: ["setpriv"] },
    async () => check(await failing(WITHOUT_CAPABILITIES, source), expected, says),
  );
}

kernelTest("LINK_CREATE EPERM capability: with CAP_BPF alone", { needs: ["cgroup2", "setpriv"] }, async () => {
  using cgroup = new Cgroup();
  const error = await failing(
    withOnly("bpf"),
    `const program = load("cgroup_skb", 1, { expectedAttachType: "cgroup_inet_egress" });
     Link.attach(program, { type: "cgroup", cgroup: "${cgroup.path}" });`,
  );
  check(error, "LINK_CREATE EPERM capability", /lacks CAP_NET_ADMIN/);
});

const EXHAUSTED: readonly ScriptRow[] = [
  [
    "attaching",
    `const program = load("tracing", 0, { expectedAttachType: "trace_iter", attachTo: "task" }), links = [];
     for (let i = 0; i < 100; i++) links.push(Link.attach(program, { type: "iter" }));`,
    "LINK_CREATE EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
  [
    "loading",
    'const programs = []; for (let i = 0; i < 100; i++) programs.push(load("xdp", 2));',
    "PROG_LOAD EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
  [
    "opening",
    'for (let i = 0; i < 100; i++) sys.open("/proc/self/ns/net")',
    "openat EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
];
for (const [title, source, expected, says] of EXHAUSTED) {
  kernelTest(`${expected}: ${title}`, {}, async () => {
    check(await failing(FEW_FILES, source), expected, says);
  });
}
