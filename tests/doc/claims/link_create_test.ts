/** What the doc comments of lib/sys/link_create.ts say. */
import { assert, assertEquals } from "@std/assert";
import { btfFind } from "../../../lib/ffi/btf.ts";
import { readTracefs } from "../../../lib/os/tracefs.ts";
import {
  close,
  linkCreate,
  linkCreateAsync,
  type LinkCreateOptions,
  linkGetInfoByFd,
  objPin,
  open,
  perfEventOpen,
  progGetInfoByFd,
  progLoad,
  progQuery,
  rawTracepointOpen,
} from "../../../lib/sys/mod.ts";
import type { Program } from "../../../mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { NetkitPair } from "../../fixture/place/netkit.ts";
import { OtherNetns, VethPair } from "../../fixture/place/netns.ts";
import { setMtu } from "../../fixture/place/rtnetlink.ts";
import { assemble, exit, load as read, set } from "../../fixture/program/assembler.ts";
import { extension, JUDGE, JUDGE_ID, replaceable, sendGuard, tracer } from "../../fixture/program/functions.ts";
import { progAttach } from "../../fixture/program/prog_attach.ts";
import { implementation } from "../../fixture/program/struct_ops.ts";
import { atUnprobeable, clock, link, load, map, netns, program } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  isCloseOnExec,
  LO,
  misuse,
  NO_FD,
  NO_ID,
  NO_IFINDEX,
  type Own,
  refusal,
  unprivileged,
  withOnly,
} from "../../fixture/run/claims.ts";
import type { Requirements } from "../../fixture/run/kernel.ts";

const typeOf = (fd: number) => linkGetInfoByFd(fd).type;
const EGRESS = "cgroup_inet_egress";
const EXECUTABLE = Deno.execPath();
const cgroup = (own: Own) => own.file(own.use(new Cgroup()).path);
const uprobes = (own: Own, places: { path?: string; offsets?: bigint[]; pid?: number }) =>
  linkCreate(load.uprobes(own), 0, "trace_uprobe_multi", {
    uprobeMulti: { path: EXECUTABLE, offsets: [0x1000n], ...places },
  });
const kprobes = (own: Own, kprobeMulti: NonNullable<LinkCreateOptions["kprobeMulti"]>) => {
  const expectedAttachType = "trace_kprobe_multi";
  return linkCreate(program(own, "kprobe", 0, { expectedAttachType }), 0, expectedAttachType, { kprobeMulti });
};
const tracers = (own: Own, functions: string[]) => {
  const tracer = program(own, "tracing", 0, { expectedAttachType: "trace_fentry_multi" });
  const idOf = new Map([...new Set(functions)].map((name) => [name, btfFind("function", name)!]));
  const ids = functions.map((name) => idOf.get(name)!);
  return linkCreate(tracer, 0, "trace_fentry_multi", { tracingMulti: { ids } });
};
const trace = (own: Own) => linkCreate(load.fentry(own), 0, "trace_fentry");
const replace = (own: Own, target: Program) =>
  linkCreate(own.use(extension(0, target)).fd, target.fd, "cgroup_inet_ingress", { targetBtfId: JUDGE_ID });
const netfilter = (own: Own, place: { pf?: number; hooknum?: number; priority?: number }) =>
  linkCreate(load.netfilter(own), 0, "netfilter", { netfilter: { pf: 2, hooknum: 1, priority: 7, ...place } });

claim("linkCreate: returns an fd of the link, close-on-exec", { needs: ["netns"] }, (own) => {
  const it = link.lookup(own);
  assertEquals([typeOf(it), isCloseOnExec(it)], ["netns", true]);
});
claim("linkCreate: the attachment lives until the last fd is closed", { needs: ["netns"] }, (own) => {
  const it = linkCreate(load.lookup(own), netns(own), "sk_lookup");
  assertEquals(progQuery(netns(own), "sk_lookup").progs.length, 1);
  close(it);
  assertEquals(progQuery(netns(own), "sk_lookup").progs.length, 0);
});
claim("linkCreate: if it is not pinned", { needs: ["netns", "bpffs"] }, (own) => {
  const it = linkCreate(load.lookup(own), netns(own), "sk_lookup"), pins = own.use(new PinDirectory());
  objPin(it, pins.pin("x"));
  close(it);
  assertEquals(progQuery(netns(own), "sk_lookup").progs.length, 1);
});
claim("linkCreate: closing the program's fd changes nothing", { needs: ["netns"] }, (own) => {
  const program = progLoad("sk_lookup", assemble(set(0, 1), exit), { expectedAttachType: "sk_lookup" });
  const progId = progGetInfoByFd(program).id;
  own.fd(linkCreate(program, netns(own), "sk_lookup"));
  close(program);
  assertEquals(progQuery(netns(own), "sk_lookup").progs, [{ progId }]);
});

type Make = (own: Own) => number;
const SINCE: readonly (readonly [kernel: string, type: string, Requirements, Make])[] = [
  ["5.7", "cgroup", { needs: ["cgroup2"] }, (own) => link.egress(own, own.use(new Cgroup()).path)],
  ["5.8", "iter", {}, link.iterator],
  [
    "5.8",
    "netns (flow_dissector)",
    { needs: ["netns"] },
    (own) => own.fd(linkCreate(load.dissector(own), netns(own), "flow_dissector")),
  ],
  ["5.9", "netns (sk_lookup)", { needs: ["netns"] }, link.lookup],
  ["5.9", "xdp", { needs: ["netns"] }, link.xdp],
  ["5.10", "tracing (freplace)", { needs: ["ext"] }, (own) => own.fd(replace(own, own.use(replaceable())))],
  ["5.15", "perf_event", {}, link.event],
  ["5.18", "kprobe_multi", { needs: ["fprobe"] }, (own) => own.fd(kprobes(own, { syms: ["vfs_read"] }))],
  [
    "5.19",
    "tracing (fentry)",
    { needs: ["trampolines"] },
    (own) => own.fd(trace(own)),
  ],
  ["5.19", "raw_tracepoint (tp_btf)", {}, (own) => own.fd(linkCreate(load.typed(own), 0, "trace_raw_tp"))],
  [
    "6.0",
    "cgroup (lsm_cgroup)",
    { needs: ["lsm_cgroup", "cgroup2"] },
    (own) => own.fd(linkCreate(own.use(sendGuard(1)).fd, cgroup(own), "lsm_cgroup")),
  ],
  ["6.4", "netfilter", { needs: ["netns"] }, link.netfilter],
  ["6.4", "struct_ops", { needs: ["vm"] }, (own) => own.fd(linkCreate(own.use(implementation()).fd, 0, "struct_ops"))],
  ["6.6", "tcx", { needs: ["netns"] }, link.tcx],
  ["6.6", "uprobe_multi", {}, link.uprobes],
  ["6.7", "netkit", { needs: ["netns", "netkit"] }, (own) => {
    const pair = own.use(new NetkitPair());
    return own.fd(linkCreate(load.netkit(own), pair.ifindex(pair.primary), "netkit_primary"));
  }],
  ["6.10", "sockmap", {}, link.message],
  ["6.10", "kprobe_multi (sessions)", { needs: ["fprobe"] }, (own) => {
    const expectedAttachType = "trace_kprobe_session", probe = program(own, "kprobe", 0, { expectedAttachType });
    return own.fd(linkCreate(probe, 0, expectedAttachType, { kprobeMulti: { syms: ["vfs_read"] } }));
  }],
  ["6.13", "uprobe_multi (sessions)", {}, (own) => {
    const expectedAttachType = "trace_uprobe_session", probe = program(own, "kprobe", 0, { expectedAttachType });
    const uprobeMulti = { path: EXECUTABLE, offsets: [0x1000n] };
    return own.fd(linkCreate(probe, 0, expectedAttachType, { uprobeMulti }));
  }],
  [
    "7.2",
    "tracing_multi (fentry, fexit and fsession of many functions)",
    { needs: ["trampolines"] },
    (own) => own.fd(tracers(own, ["vfs_open", "vfs_read"])),
  ],
];
for (const [since, type, requirements, make] of SINCE) {
  claim(`linkCreate: since Linux ${since}, ${type}`, { ...requirements, since }, (own) => {
    assertEquals(typeOf(make(own)), type.split(" ")[0]);
  });
}
refusal(
  "linkCreate: EINVAL, tp_btf before Linux 5.19",
  { before: "5.19" },
  (own) => linkCreate(load.typed(own), 0, "trace_raw_tp"),
);
refusal(
  "linkCreate: EINVAL, a link type that this kernel lacks: perf_event before Linux 5.15",
  { before: "5.15" },
  (own) => linkCreate(load.event(own), clock(own), "perf_event"),
);
refusal("linkCreate: EINVAL, a link type that this kernel lacks: tcx before Linux 6.6", {
  needs: ["netns"],
  before: "6.6",
}, (own) => linkCreate(load.tcx(own), LO, "tcx_ingress"));
refusal(
  "linkCreate: EINVAL, a link type that no kernel has",
  {},
  (own) => linkCreate(load.tcx(own), LO, "attach_type_5000"),
);

// ---- privileges

const prepared = (own: Own, program: number, attachType: string) => {
  const pins = own.use(new PinDirectory());
  objPin(program, pins.pin("program"));
  return `const program = objGet("${pins.pin("program")}"), attachType = "${attachType}"`;
};
claim("linkCreate: EPERM, CAP_NET_ADMIN is missing for a cgroup_skb program", {
  needs: ["cgroup2", "bpffs", "setpriv"],
  since: "5.19",
}, async (own) => {
  const { path } = own.use(new Cgroup()), prepare = prepared(own, load.egress(own), EGRESS);
  const call = `linkCreate(program, open("${path}"), attachType)`;
  assertEquals(await unprivileged(call, prepare), "EPERM");
  assertEquals(await unprivileged(call, prepare, withOnly("net_admin")), "ok");
});
claim("linkCreate: EPERM, CAP_SYS_ADMIN is missing for `netns`", {
  needs: ["netns", "bpffs", "setpriv"],
  since: "5.19",
}, async (own) => {
  const prepare = prepared(own, load.xdp(own), "xdp");
  const call = `linkCreate(program, ${LO}, attachType, { flags: 2, netns: open("/proc/self/ns/net") })`;
  assertEquals(await unprivileged(call, prepare, withOnly("bpf", "net_admin")), "EPERM");
  assertEquals(await unprivileged(call, prepare, withOnly("sys_admin")), "ok");
});
claim("linkCreate: all others took theirs when they were loaded", {
  needs: ["netns", "bpffs", "setpriv"],
  since: "5.19",
}, async (own) => {
  const call = 'linkCreate(program, open("/proc/self/ns/net"), attachType)';
  assertEquals(await unprivileged(call, prepared(own, load.lookup(own), "sk_lookup")), "ok");
});

// ---- arguments

misuse(
  "linkCreate: TypeError, an option is unknown, of the wrong type, or belongs to another link type",
  () => linkCreate(3, 1, "xdp", { mode: 2 } as never),
  () => linkCreate(3, 0, "perf_event", { perfEvent: { bpfCookie: 1 as never } }),
  () => linkCreate(3, 1, "tcx_ingress", { tcx: {}, netkit: {} }),
);
misuse(
  "linkCreate: RangeError, a number is out of range",
  () => linkCreate(-1, 1, "xdp"),
  () => linkCreate(3, -2, "xdp"),
  () => linkCreate(3, 1, "xdp", { flags: -1 }),
  () => linkCreate(3, 1, "tcx_ingress", { tcx: { expectedRevision: -1n } }),
);

// ---- EBADF

refusal("linkCreate: EBADF, `progFd` is not open", { needs: ["netns"] }, () => linkCreate(NO_FD, LO, "xdp"));
refusal(
  "linkCreate: EBADF, `targetFd` is not open",
  { since: "5.15" },
  (own) => linkCreate(load.event(own), NO_FD, "perf_event"),
);
for (const [what, path] of [["a closed fd"], ["a plain directory", "/tmp"], ["a device", "/dev/null"]]) {
  refusal(`linkCreate: EBADF, a cgroup target is no directory of a cgroup2 file system: ${what}`, {
    needs: ["cgroup2"],
  }, (own) => linkCreate(load.egress(own), path === undefined ? NO_FD : own.file(path), EGRESS));
}
refusal("linkCreate: EBADF, a cgroup target is no directory of a cgroup2 file system: a file in it", {
  needs: ["cgroup2"],
}, (own) => linkCreate(load.egress(own), own.file(`${own.use(new Cgroup()).path}/cgroup.procs`), EGRESS));

refusal(
  "linkCreate: EBADF, uprobe_multi: no regular file",
  { since: "6.6" },
  (own) => uprobes(own, { path: "/dev/null" }),
);

// ---- EINVAL

refusal("linkCreate: EINVAL, `progFd` is no program", { needs: ["netns"] }, (own) => linkCreate(own.file(), LO, "xdp"));
refusal(
  "linkCreate: EINVAL, the program does not fit the attach type",
  { needs: ["cgroup2"] },
  (own) => linkCreate(load.egress(own), cgroup(own), "cgroup_inet4_connect"),
);
refusal(
  "linkCreate: EINVAL, flags that the type does not have: xdp",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), LO, "xdp", { flags: 1 }),
);
refusal(
  "linkCreate: EINVAL, flags that the type does not have: two modes of xdp",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), LO, "xdp", { flags: 6 }),
);
refusal(
  "linkCreate: EINVAL, flags that the type does not have: cgroup",
  { needs: ["cgroup2"] },
  (own) => linkCreate(load.egress(own), cgroup(own), EGRESS, { flags: 2 }),
);
refusal(
  "linkCreate: EINVAL, flags that the type does not have: tcx",
  { needs: ["netns"], since: "6.6" },
  (own) => linkCreate(load.tcx(own), LO, "tcx_ingress", { flags: 64 }),
);
refusal(
  "linkCreate: EINVAL, flags that the type does not have: netns",
  { needs: ["netns"] },
  (own) => linkCreate(load.lookup(own), netns(own), "sk_lookup", { flags: 1 }),
);
refusal(
  "linkCreate: also: EINVAL, options that the type does not have: a target of an iterator",
  { needs: ["netns"] },
  (own) => linkCreate(load.iterator(own), netns(own), "trace_iter"),
);
refusal(
  "linkCreate: EINVAL, options that the type does not have: tid and pid",
  { since: "6.1" },
  (own) => linkCreate(load.iterator(own), 0, "trace_iter", { iterInfo: { task: { tid: 1, pid: 1 } } }),
);
refusal(
  "linkCreate: also: EINVAL, a cgroup link beside a program instead of a link",
  { needs: ["cgroup2"], since: "6.17" },
  (own) => {
    const { path } = own.use(new Cgroup()), beside = load.egress(own);
    link.egress(own, path, beside);
    return link.egress(own, path, load.egress(own), { flags: 8, cgroup: { relativeFd: beside } });
  },
);
refusal(
  "linkCreate: EINVAL, xdp: no such interface",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), NO_IFINDEX, "xdp"),
);
refusal(
  "linkCreate: EINVAL, netns: `targetFd` is no network namespace",
  {},
  (own) => linkCreate(load.lookup(own), own.file(), "sk_lookup"),
);
refusal(
  "linkCreate: EINVAL, sockmap: `targetFd` is no sockmap",
  { since: "6.10" },
  (own) => linkCreate(load.message(own), map(own, "array"), "sk_msg_verdict"),
);
refusal(
  "linkCreate: EINVAL, uprobe_multi: an offset outside of the file",
  { since: "6.6" },
  (own) => uprobes(own, { offsets: [1n << 50n] }),
);
for (const [what, functions] of [["no functions", []], ["one twice", ["vfs_open", "vfs_open"]]] as const) {
  refusal(
    `linkCreate: EINVAL, tracing_multi: ${what}`,
    { needs: ["trampolines"], since: "7.2" },
    (own) => tracers(own, [...functions]),
  );
}
refusal("linkCreate: EINVAL, uprobe_multi: no offsets", { since: "6.6" }, (own) => uprobes(own, { offsets: [] }));
refusal(
  "linkCreate: also: EINVAL, struct_ops: the map is not made for links",
  { needs: ["vm"], since: "6.4" },
  (own) => linkCreate(map(own, "array"), 0, "struct_ops"),
);
refusal(
  "linkCreate: EINVAL, a program loaded as raw_tracepoint",
  {},
  (own) => linkCreate(load.tracepoint(own), 0, "trace_raw_tp"),
);

// ---- the others, in the order of the comment

refusal(
  "linkCreate: EPERM, a program attached without ALLOW_MULTI holds the cgroup's hook",
  { needs: ["cgroup2"] },
  (own) => {
    const target = cgroup(own);
    progAttach(own, target, load.egress(own), 1);
    return linkCreate(load.egress(own), target, EGRESS);
  },
);
refusal("linkCreate: also: EPERM, so does one attached to an ancestor", { needs: ["cgroup2"] }, (own) => {
  const parent = own.use(new Cgroup()), child = own.use(new Cgroup(parent.path));
  progAttach(own, own.file(parent.path), load.egress(own), 1);
  return linkCreate(load.egress(own), own.file(child.path), EGRESS);
});
refusal("linkCreate: EBUSY, xdp: another link is there", { needs: ["netns"] }, (own) => {
  link.xdp(own);
  return linkCreate(load.xdp(own), LO, "xdp", { flags: 2 });
});
refusal("linkCreate: EBUSY, netfilter: the priority is taken", { needs: ["netns"], since: "6.4" }, (own) => {
  link.netfilter(own);
  return netfilter(own, {});
});
refusal("linkCreate: EBUSY, sockmap: another link is there", { since: "6.10" }, (own) => {
  const target = map(own, "sockmap");
  link.message(own, load.message(own), target);
  return linkCreate(load.message(own), target, "sk_msg_verdict");
});
refusal("linkCreate: EBUSY, sockmap: the other kind of verdict is there", { since: "6.10" }, (own) => {
  const target = map(own, "sockmap");
  own.fd(linkCreate(load.stream(own), target, "sk_skb_stream_verdict"));
  return linkCreate(load.buffer(own), target, "sk_skb_verdict");
});
refusal(
  "linkCreate: EBUSY, fentry: the program is attached already",
  { needs: ["trampolines"], since: "5.19" },
  (own) => {
    const program = load.fentry(own);
    own.fd(linkCreate(program, 0, "trace_fentry"));
    return linkCreate(program, 0, "trace_fentry");
  },
);
const traceJudge = (own: Own, program: Program) => own.use(tracer("trace_fentry", { program, symbol: JUDGE })).fd;
refusal("linkCreate: EBUSY, freplace: another program replaces the function", { needs: ["ext"] }, (own) => {
  const target = own.use(replaceable());
  own.fd(replace(own, target));
  return replace(own, target);
});
refusal(
  "linkCreate: EBUSY, fentry: another program replaces the function",
  { needs: ["trampolines", "ext"], since: "5.19" },
  (own) => {
    const target = own.use(replaceable()), tracing = traceJudge(own, target);
    own.fd(replace(own, target));
    return linkCreate(tracing, 0, "trace_fentry");
  },
);
refusal(
  "linkCreate: EBUSY, freplace: a program is attached to the function",
  { needs: ["trampolines", "ext"] },
  (own) => {
    const target = own.use(replaceable());
    own.fd(rawTracepointOpen(undefined, traceJudge(own, target)));
    return replace(own, target);
  },
);
refusal(
  "linkCreate: EBUSY, tracing_multi: the program is attached already",
  { needs: ["trampolines"], since: "7.2" },
  (own) => {
    const tracer = program(own, "tracing", 0, { expectedAttachType: "trace_fentry_multi" });
    const attach = () => {
      const ids = [btfFind("function", "vfs_open")!];
      return own.fd(linkCreate(tracer, 0, "trace_fentry_multi", { tracingMulti: { ids } }));
    };
    attach();
    return attach();
  },
);
refusal("linkCreate: EEXIST, tcx: the program is in the hook already", { needs: ["netns"], since: "6.6" }, (own) => {
  const program = load.tcx(own);
  link.tcx(own, program);
  return linkCreate(program, LO, "tcx_ingress");
});
refusal(
  "linkCreate: EEXIST, netkit: the program is in the hook already",
  { needs: ["netns", "netkit"], since: "6.7" },
  (own) => {
    const pair = own.use(new NetkitPair()), target = pair.ifindex(pair.primary), program = load.netkit(own);
    own.fd(linkCreate(program, target, "netkit_primary"));
    return linkCreate(program, target, "netkit_primary");
  },
);
refusal("linkCreate: EEXIST, perf_event: the event has a program", { since: "5.15" }, (own) => {
  const event = clock(own);
  link.event(own, load.event(own), event);
  return linkCreate(load.event(own), event, "perf_event");
});
refusal("linkCreate: also: EEXIST, xdp: native and generic mode exclude each other", { needs: ["netns"] }, (own) => {
  const { ifindex } = own.use(new VethPair());
  own.fd(linkCreate(load.xdp(own), ifindex, "xdp", { flags: 4 }));
  return linkCreate(load.xdp(own), ifindex, "xdp", { flags: 2 });
});
refusal("linkCreate: also: ERANGE, xdp: the MTU exceeds the page that the driver has", { needs: ["netns"] }, (own) => {
  const { name, peer, ifindex } = own.use(new VethPair());
  for (const each of [name, peer]) setMtu(each, 8901);
  return linkCreate(load.xdp(own), ifindex, "xdp", { flags: 4 });
});
refusal(
  "linkCreate: ENOSPC, xdp: fewer queues to receive than the peer has to send",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), own.use(new VethPair({ queues: 4 })).ifindex, "xdp", { flags: 4 }),
);
refusal("linkCreate: EEXIST, netns: a flow dissector is attached without a link", { needs: ["netns"] }, (own) => {
  progAttach(own, 0, load.dissector(own), 17);
  return linkCreate(load.dissector(own), netns(own), "flow_dissector");
});
refusal("linkCreate: also: EEXIST, struct_ops: the name is registered", { needs: ["vm"], since: "6.4" }, (own) => {
  own.fd(linkCreate(own.use(implementation()).fd, 0, "struct_ops"));
  return linkCreate(own.use(implementation()).fd, 0, "struct_ops");
});
refusal(
  "linkCreate: ENODEV, tcx: no such interface",
  { needs: ["netns"], since: "6.6" },
  (own) => linkCreate(load.tcx(own), NO_IFINDEX, "tcx_egress"),
);
refusal(
  "linkCreate: ENODEV, netkit: no such interface",
  { needs: ["netns", "netkit"], since: "6.7" },
  (own) => linkCreate(load.netkit(own), NO_IFINDEX, "netkit_primary"),
);
refusal("linkCreate: ENOENT, the cgroup was removed", { needs: ["cgroup2"] }, (own) => {
  const removed = new Cgroup(), target = own.file(removed.path);
  removed[Symbol.dispose]();
  return linkCreate(load.egress(own), target, EGRESS);
});
refusal(
  "linkCreate: ENOENT, the anchor is not in the hook: tcx",
  { needs: ["netns"], since: "6.6" },
  (own) => linkCreate(load.tcx(own), LO, "tcx_egress", { flags: 8 | 8192, tcx: { relativeFd: link.tcx(own) } }),
);
refusal("linkCreate: ENOENT, the anchor is not in the hook: cgroup", { needs: ["cgroup2"], since: "6.17" }, (own) => {
  const relativeFd = link.egress(own, own.use(new Cgroup()).path);
  return linkCreate(load.egress(own), cgroup(own), EGRESS, { flags: 8 | 8192, cgroup: { relativeFd } });
});
refusal(
  "linkCreate: ENOENT, iter: no such cgroup",
  { since: "6.1" },
  (own) =>
    linkCreate(load.iterator(own, "cgroup"), 0, "trace_iter", {
      iterInfo: { cgroup: { cgroupId: 1n << 60n, order: 1 } },
    }),
);
refusal(
  "linkCreate: ENOENT, kprobe_multi: an address that is no function's",
  { needs: ["fprobe"], since: "6.14" },
  (own) => kprobes(own, { addrs: [1n] }),
);
refusal("linkCreate: ENOENT, uprobe_multi: no such file", { since: "6.6" }, (own) => uprobes(own, { path: "/none" }));
refusal(
  "linkCreate: ESTALE, the hook has another revision than expected: tcx",
  { needs: ["netns"], since: "6.6" },
  (own) => {
    link.tcx(own);
    return linkCreate(load.tcx(own), LO, "tcx_ingress", { tcx: { expectedRevision: 77n } });
  },
);
refusal("linkCreate: ESTALE, the hook has another revision than expected: cgroup", {
  needs: ["cgroup2"],
  since: "6.17",
}, (own) => linkCreate(load.egress(own), cgroup(own), EGRESS, { cgroup: { expectedRevision: 77n } }));
claim("linkCreate: also: an expectedRevision of 0n is unchecked", { needs: ["netns"], since: "6.6" }, (own) => {
  link.tcx(own, load.tcx(own), { tcx: { expectedRevision: 0n } });
});
refusal("linkCreate: E2BIG, a cgroup's hook has 64 programs", { needs: ["cgroup2"] }, (own) => {
  const program = load.egress(own), { path } = own.use(new Cgroup());
  for (let i = 0; i < 64; i++) link.egress(own, path, program);
  return linkCreate(program, own.file(path), EGRESS);
});
refusal("linkCreate: E2BIG, a second flow dissector", { needs: ["netns"] }, (own) => {
  own.fd(linkCreate(load.dissector(own), netns(own), "flow_dissector"));
  return linkCreate(load.dissector(own), netns(own), "flow_dissector");
});
refusal("linkCreate: E2BIG, netns: 64 sk_lookup programs", { needs: ["netns"] }, (own) => {
  const program = load.lookup(own);
  for (let i = 0; i < 64; i++) link.lookup(own, program);
  return linkCreate(program, netns(own), "sk_lookup");
});
refusal("linkCreate: E2BIG, fentry: the function has 38 programs", { needs: ["trampolines"], since: "5.19" }, (own) => {
  for (let i = 0; i < 38; i++) own.fd(trace(own));
  return trace(own);
});
refusal(
  "linkCreate: E2BIG, tracing_multi: more than 2 ** 20 functions",
  { needs: ["trampolines"], since: "7.2" },
  (own) => tracers(own, new Array(2 ** 20 + 1).fill("vfs_open")),
);
refusal(
  "linkCreate: E2BIG, uprobe_multi: more than 2 ** 20 offsets",
  { since: "6.6" },
  (own) => uprobes(own, { offsets: new Array<bigint>((1 << 20) + 1).fill(0n) }),
);
refusal("linkCreate: ERANGE, a tcx hook has 63 programs", { needs: ["netns"], since: "6.6" }, (own) => {
  for (let i = 0; i < 63; i++) link.tcx(own);
  return linkCreate(load.tcx(own), LO, "tcx_ingress");
});
refusal(
  "linkCreate: ERANGE, a netfilter priority that cannot be used",
  { needs: ["netns"], since: "6.4" },
  (own) => netfilter(own, { priority: 0x7fffffff }),
);
refusal(
  "linkCreate: ERANGE, tcx: before and after at once",
  { needs: ["netns"], since: "6.6" },
  (own) => linkCreate(load.tcx(own), LO, "tcx_ingress", { flags: 8 | 16 }),
);
refusal(
  "linkCreate: EPROTO, netfilter: no such hook",
  { needs: ["netns"], since: "6.4" },
  (own) => netfilter(own, { hooknum: 9 }),
);
refusal(
  "linkCreate: EAFNOSUPPORT, netfilter: another protocol family",
  { needs: ["netns"], since: "6.4" },
  (own) => netfilter(own, { pf: 1 }),
);
refusal(
  "linkCreate: EOPNOTSUPP, the driver has no XDP",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), LO, "xdp", { flags: 4 }),
);
refusal(
  "linkCreate: EOPNOTSUPP, netfilter: unknown flags",
  { needs: ["netns"], since: "6.4" },
  (own) =>
    linkCreate(load.netfilter(own), 0, "netfilter", { netfilter: { pf: 2, hooknum: 1, priority: 7, flags: 128 } }),
);
refusal(
  "linkCreate: EOPNOTSUPP, the kernel has no fprobe",
  { needs: ["no fprobe"], since: "5.18" },
  (own) => kprobes(own, { syms: ["vfs_read"] }),
);
refusal(
  "linkCreate: ENXIO, netkit: the interface is none",
  { needs: ["netns", "netkit"], since: "6.7" },
  (own) => linkCreate(load.netkit(own), LO, "netkit_primary"),
);
refusal(
  "linkCreate: EACCES, netkit: the interface is the peer of one",
  { needs: ["netns", "netkit"], since: "6.7" },
  (own) => {
    const pair = own.use(new NetkitPair());
    return linkCreate(load.netkit(own), pair.ifindex(pair.peer), "netkit_primary");
  },
);
refusal(
  "linkCreate: EACCES, perf_event: the program reads beyond the tracepoint's record",
  { since: "5.15" },
  (own) => {
    const reading = own.fd(progLoad("tracepoint", assemble(read(0, 1, 2000), set(0, 0), exit)));
    const id = BigInt(readTracefs("events/sched/sched_switch/id")!);
    return linkCreate(reading, own.fd(perfEventOpen({ type: 2, config: id }, -1, 0)), "perf_event");
  },
);
claim("linkCreate: also: iter: a process that does not exist is no error", { since: "6.1" }, (own) => {
  own.fd(linkCreate(load.iterator(own), 0, "trace_iter", { iterInfo: { task: { pid: NO_ID } } }));
});
refusal(
  "linkCreate: ESRCH, uprobe_multi: no such process",
  { since: "6.6" },
  (own) => uprobes(own, { pid: 0x7ffffff0 }),
);
refusal(
  "linkCreate: ESRCH, kprobe_multi: no such function",
  { needs: ["fprobe"], since: "5.18" },
  (own) => kprobes(own, { syms: ["no_such_function"] }),
);
refusal(
  "linkCreate: ENOTSUPP, uprobe_multi: an offset at which no instruction begins",
  { since: "6.6" },
  (own) => atUnprobeable((path, offset) => uprobes(own, { path, offsets: [offset] })),
);
claim("linkCreate: EMFILE, the process has too many open files", { needs: ["netns"] }, async () => {
  const prepare =
    'const program = answering("sk_lookup", 1, { expectedAttachType: "sk_lookup" }), ns = open("/proc/self/ns/net")';
  assertEquals(await exhausted('linkCreate(program, ns, "sk_lookup")', prepare), "EMFILE");
});
claim("linkCreate: the revision of a tcx hook begins anew when its last program leaves", {
  needs: ["netns"],
  since: "6.6",
}, (own) => {
  const program = load.tcx(own), revision = () => progQuery(LO, "tcx_ingress").revision;
  const before = revision();
  close(linkCreate(program, LO, "tcx_ingress"));
  assertEquals([before, revision()], [1n, 1n]);
  const first = linkCreate(program, LO, "tcx_ingress"), seen = revision();
  close(first);
  close(linkCreate(program, LO, "tcx_ingress", { tcx: { expectedRevision: 1n } }));
  assertEquals(seen, 2n);
});
claim("linkCreate: also: `netns` is where the call is made", { needs: ["netns"] }, async (own) => {
  await using other = new OtherNetns();
  const fd = own.file(other.path);
  own.fd(linkCreate(load.xdp(own), LO, "xdp", { flags: 2, netns: fd }));
  link.xdp(own); // the place at home is free
});
refusal(
  "linkCreate: EINVAL, `netns` is no network namespace",
  { needs: ["netns"] },
  (own) => linkCreate(load.xdp(own), LO, "xdp", { flags: 2, netns: own.file() }),
);

// ---- linkCreateAsync

claim(
  "linkCreateAsync: works on duplicates of all fds, so they may be closed meanwhile",
  { needs: ["netns"] },
  async (own) => {
    const program = progLoad("sk_lookup", assemble(set(0, 1), exit), { expectedAttachType: "sk_lookup" });
    const progId = progGetInfoByFd(program).id, target = own.file("/proc/self/ns/net");
    const made = linkCreateAsync(program, target, "sk_lookup");
    close(program);
    const it = own.fd(await made);
    assertEquals([linkGetInfoByFd(it).progId, isCloseOnExec(it)], [progId, true]);

    await using other = new OtherNetns();
    const elsewhere = open(other.path);
    const madeThere = linkCreateAsync(load.xdp(own), LO, "xdp", { flags: 2, netns: elsewhere });
    close(elsewhere);
    const there = linkGetInfoByFd(own.fd(await madeThere));
    assert(there.type === "xdp" && there.ifindex === LO);
    link.xdp(own); // our own lo is free
  },
);
refusal(
  "linkCreateAsync: EINVAL, as linkCreate",
  { needs: ["netns"] },
  (own) => linkCreateAsync(load.xdp(own), NO_IFINDEX, "xdp"),
);
refusal("linkCreateAsync: EBADF, as linkCreate", {}, () => linkCreateAsync(NO_FD, LO, "xdp"));
misuse("linkCreateAsync: RangeError, as linkCreate", async () => await linkCreateAsync(-1, 1, "xdp"));
