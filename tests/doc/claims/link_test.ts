/** What the doc comments of lib/sys/link.ts say. */
import { assert, assertEquals } from "@std/assert";
import {
  close,
  linkCreate,
  linkDetach,
  linkDetachAsync,
  linkGetFdById,
  linkGetFdByIdOpts,
  linkGetInfoByFd,
  linkGetNextId,
  linkUpdate,
  objGet,
  objPin,
  progQuery,
  rawTracepointOpenAsync,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { NetkitPair } from "../../fixture/place/netkit.ts";
import { OtherNetns, VethPair } from "../../fixture/place/netns.ts";
import { Resident } from "../../fixture/place/resident.ts";
import { implementation } from "../../fixture/program/struct_ops.ts";
import { link, load, netns, program, programId } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  IN_USER_NAMESPACE,
  inChild,
  isCloseOnExec,
  LO,
  misuse,
  NO_FD,
  NO_ID,
  outcome,
  outcomeSync,
  Own,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
} from "../../fixture/run/claims.ts";
import type { Requirements } from "../../fixture/run/kernel.ts";
import { inOwnVm } from "../../fixture/run/own.ts";
import { assertGone } from "../../fixture/run/state.ts";

/** How long a race may take until it has gone every way. */
const PATIENCE_MS = 60_000;

const idOf = (fd: number) => linkGetInfoByFd(fd).id;
const programOf = (fd: number) => linkGetInfoByFd(fd).progId;

// ---- linkDetach

claim("linkDetach: the program no longer runs there, whoever else refers to the link", {
  needs: ["netns", "bpffs"],
}, (own) => {
  const it = link.lookup(own), here = netns(own), pin = own.use(new PinDirectory()).pin("x");
  own.fd(linkGetFdById(idOf(it)));
  objPin(it, pin);
  assertEquals(progQuery(here, "sk_lookup").progs.length, 1);
  linkDetach(it);
  assertEquals(progQuery(here, "sk_lookup").progs.length, 0);
});
claim("linkDetach: the link lives on and its info can be read until its last fd is closed and its last pin is gone", {
  needs: ["netns", "bpffs"],
}, async (own) => {
  const it = linkCreate(load.lookup(own), netns(own), "sk_lookup"), id = idOf(it);
  const pin = own.use(new PinDirectory()).pin("x");
  objPin(it, pin);
  linkDetach(it);
  const { progId, ...info } = linkGetInfoByFd(it);
  assertEquals(info, { type: "netns", id, netnsIno: 0, attachType: "sk_lookup" });
  assert(progId > 0);
  close(it);
  const again = linkGetFdById(id);
  assertEquals(programOf(again), progId);
  close(again);
  Deno.removeSync(pin);
  await assertGone(id);
});
claim("linkDetach: detaching again succeeds and does nothing", { needs: ["netns"] }, (own) => {
  const it = link.lookup(own);
  linkDetach(it);
  const info = linkGetInfoByFd(it);
  linkDetach(it);
  linkDetach(it);
  assertEquals(linkGetInfoByFd(it), info);
});
claim("linkDetach: so does detaching after the target went away", { needs: ["netns"] }, (own) => {
  const pair = own.use(new VethPair()), it = link.xdp(own, load.xdp(own), pair.ifindex);
  pair.delete();
  linkDetach(it);
});
claim("linkDetach: since Linux 5.9, cgroup links", { needs: ["cgroup2"] }, (own) => {
  const it = link.egress(own, own.use(new Cgroup()).path);
  linkDetach(it);
  assertEquals((linkGetInfoByFd(it) as { cgroupId: bigint }).cgroupId, 0n);
});
claim("linkDetach: since Linux 5.9, netns and xdp links", { needs: ["netns"] }, (own) => {
  const [lookup, xdp] = [link.lookup(own), link.xdp(own)];
  [lookup, xdp].forEach(linkDetach);
  assertEquals((linkGetInfoByFd(lookup) as { netnsIno: number }).netnsIno, 0);
  assertEquals((linkGetInfoByFd(xdp) as { ifindex: number }).ifindex, 0);
});
claim("linkDetach: tcx links", { needs: ["netns"], since: "6.6" }, (own) => {
  const it = link.tcx(own);
  linkDetach(it);
  assertEquals((linkGetInfoByFd(it) as { ifindex: number }).ifindex, 0);
});
claim("linkDetach: netfilter links", { needs: ["netns"], since: "6.4" }, (own) => {
  linkDetach(link.netfilter(own));
  link.netfilter(own); // the place is free
});
claim("linkDetach: sockmap links", { since: "6.10" }, (own) => {
  const it = link.message(own);
  linkDetach(it);
  assertEquals((linkGetInfoByFd(it) as { mapId: number }).mapId, 0);
});
claim("linkDetach: netkit links", { needs: ["netns", "netkit"], since: "6.7" }, (own) => {
  const pair = own.use(new NetkitPair());
  const it = own.fd(linkCreate(load.netkit(own), pair.ifindex(pair.primary), "netkit_primary"));
  linkDetach(it);
  assertEquals((linkGetInfoByFd(it) as { ifindex: number }).ifindex, 0);
});
claim("linkDetach: struct_ops links since Linux 6.11", { needs: ["vm"], since: "6.11" }, (own) => {
  const it = own.fd(linkCreate(own.use(implementation()).fd, 0, "struct_ops"));
  linkDetach(it);
  linkDetach(it);
});
refusal(
  "linkDetach: also: EOPNOTSUPP, struct_ops links before Linux 6.11",
  { needs: ["vm"], since: "6.4", before: "6.11" },
  (own) => linkDetach(own.fd(linkCreate(own.use(implementation()).fd, 0, "struct_ops"))),
);
claim(
  "linkDetach: links of other types end by closing every fd and removing every pin",
  { needs: ["bpffs"] },
  async (own) => {
    const it = linkCreate(load.iterator(own), 0, "trace_iter"),
      id = idOf(it),
      pin = own.use(new PinDirectory()).pin("x");
    objPin(it, pin);
    assertEquals(outcomeSync(() => linkDetach(it)), "EOPNOTSUPP");
    close(it);
    close(linkGetFdById(id));
    Deno.removeSync(pin);
    await assertGone(id);
  },
);
claim(
  "linkDetach: needs no capability, only the fd",
  { needs: ["netns", "bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const it = link.lookup(own), pin = own.use(new PinDirectory()).pin("x");
    objPin(it, pin);
    assertEquals(await unprivileged("linkDetach(it)", `const it = objGet("${pin}")`), "ok");
    assertEquals((linkGetInfoByFd(it) as { netnsIno: number }).netnsIno, 0);
  },
);
claim("linkDetach: an update in another thread either comes first or finds the link detached (ENOLINK)", {
  needs: ["cgroup2"],
}, async (own) => {
  const next = load.egress(own), cgroup = own.use(new Cgroup()).path;
  let code = "ok";
  const it = link.egress(own, cgroup), detached = linkDetachAsync(it);
  for (let i = 0; i < 1_000_000 && code === "ok"; i++) code = outcomeSync(() => linkUpdate(it, next));
  assertEquals(code, "ENOLINK");
  await detached;
});
misuse(
  "linkDetach: RangeError, `linkFd` is no fd",
  () => linkDetach(-1),
  () => linkDetach(1.5),
  () => linkDetach(2 ** 31),
);
refusal("linkDetach: EBADF, `linkFd` is not open", {}, () => linkDetach(NO_FD));
refusal("linkDetach: EINVAL, `linkFd` is no link", {}, (own) => linkDetach(load.xdp(own)));
refusal("linkDetach: also: EINVAL, `linkFd` is no object of bpf at all", {}, (own) => linkDetach(own.file()));
refusal(
  "linkDetach: also: EOPNOTSUPP, links of this type have no detach: iter",
  {},
  (own) => linkDetach(link.iterator(own)),
);
refusal("linkDetach: also: EOPNOTSUPP, raw_tracepoint", {}, (own) => linkDetach(link.tracepoint(own)));
refusal("linkDetach: also: EOPNOTSUPP, perf_event", { since: "5.15" }, (own) => linkDetach(link.event(own)));
refusal("linkDetach: also: EOPNOTSUPP, uprobe_multi", { since: "6.6" }, (own) => linkDetach(link.uprobes(own)));
refusal("linkDetach: also: EOPNOTSUPP, kprobe_multi", { needs: ["fprobe"], since: "5.18" }, (own) => {
  const probe = program(own, "kprobe", 0, { expectedAttachType: "trace_kprobe_multi" });
  return linkDetach(own.fd(linkCreate(probe, 0, "trace_kprobe_multi", { kprobeMulti: { syms: ["vfs_read"] } })));
});
refusal(
  "linkDetach: also: EOPNOTSUPP, tracing",
  { needs: ["trampolines"], since: "5.19" },
  (own) => linkDetach(own.fd(linkCreate(load.fentry(own), 0, "trace_fentry"))),
);

// ---- linkDetachAsync

claim("linkDetachAsync: works on a duplicate of `linkFd`, so that fd may be closed meanwhile", {
  needs: ["netns"],
}, async (own) => {
  const it = linkCreate(load.lookup(own), netns(own), "sk_lookup"), looker = own.fd(linkGetFdById(idOf(it)));
  const detached = linkDetachAsync(it);
  close(it);
  await detached;
  assertEquals((linkGetInfoByFd(looker) as { netnsIno: number }).netnsIno, 0);
});
misuse("linkDetachAsync: RangeError, `linkFd` is no fd", async () => await linkDetachAsync(-1));
refusal("linkDetachAsync: EOPNOTSUPP, as linkDetach", {}, (own) => linkDetachAsync(link.iterator(own)));
refusal("linkDetachAsync: EBADF, as linkDetach", {}, () => linkDetachAsync(NO_FD));
refusal("linkDetachAsync: EINVAL, as linkDetach", {}, (own) => linkDetachAsync(load.xdp(own)));

// ---- linkUpdate

claim(
  "linkUpdate: also: events see the old program or the new one, at no moment none",
  { needs: ["cgroup2"] },
  async (own) => {
    const options = { expectedAttachType: "cgroup_inet4_connect" } as const, EPERM = 1;
    const refusing = [1, 2].map(() => program(own, "cgroup_sock_addr", 0, options));
    const cgroup = own.use(new Cgroup());
    const it = own.fd(linkCreate(refusing[0]!, own.file(cgroup.path), "cgroup_inet4_connect"));
    await using resident = new Resident(cgroup);
    for (let round = 0; round < 20; round++) {
      const answer = resident.connect();
      for (let i = 0; i < 200; i++) linkUpdate(it, refusing[i % 2]!);
      assertEquals(await answer, EPERM);
    }
  },
);
claim("linkUpdate: id and pins stay", { needs: ["netns", "bpffs"] }, (own) => {
  const it = link.lookup(own), next = load.lookup(own), id = idOf(it), pin = own.use(new PinDirectory()).pin("x");
  objPin(it, pin);
  linkUpdate(it, next);
  const pinned = own.fd(objGet(pin));
  assertEquals([idOf(it), idOf(pinned), programOf(pinned)], [id, id, programId(next)]);
});
claim("linkUpdate: the position among other links stays", { needs: ["netns"], since: "6.6" }, (own) => {
  const links = [link.tcx(own), link.tcx(own), link.tcx(own)];
  const order = () => progQuery(LO, "tcx_ingress").progs.map(({ linkId }) => linkId);
  const before = order();
  linkUpdate(links[1]!, load.tcx(own));
  assertEquals(order(), before);
  assertEquals(before, links.map(idOf));
});
claim("linkUpdate: the comparison is by identity, so an A-B-A change in between goes unnoticed", {
  needs: ["netns"],
}, (own) => {
  const a = load.lookup(own), b = load.lookup(own), it = link.lookup(own, a);
  linkUpdate(it, b);
  linkUpdate(it, a);
  linkUpdate(it, b, { oldProgFd: a });
  assertEquals(programOf(it), programId(b));
});
const UPDATABLE = {
  cgroup: [{ needs: ["cgroup2"] }, "5.7", (own) => link.egress(own, own.use(new Cgroup()).path), load.egress],
  netns: [{ needs: ["netns"] }, "5.8", link.lookup, load.lookup],
  iter: [{}, "5.8", link.iterator, load.iterator],
  xdp: [{ needs: ["netns"] }, "5.9", link.xdp, load.xdp],
  tcx: [{ needs: ["netns"], since: "6.6" }, "6.6", link.tcx, load.tcx],
  netkit: [{ needs: ["netns", "netkit"], since: "6.7" }, "6.7", (own) => {
    const pair = own.use(new NetkitPair());
    return own.fd(linkCreate(load.netkit(own), pair.ifindex(pair.primary), "netkit_primary"));
  }, load.netkit],
  sockmap: [{ since: "6.10" }, "6.10", link.message, load.message],
} as const satisfies Record<string, readonly [Requirements, string, (own: Own) => number, (own: Own) => number]>;
for (const [type, [requirements, since, make, next]] of Object.entries(UPDATABLE)) {
  claim(`linkUpdate: since Linux ${since}, ${type} links`, requirements, (own) => {
    const it = make(own), program = next(own);
    linkUpdate(it, program);
    assertEquals(programOf(it), programId(program));
  });
  refusal(
    `linkUpdate: EPERM, the link does not hold \`oldProgFd\`: ${type}`,
    requirements,
    (own) => linkUpdate(make(own), next(own), { oldProgFd: next(own) }),
  );
  if (type === "iter") continue;
  refusal(`linkUpdate: ENOLINK, the link is detached: ${type}`, requirements, (own) => {
    const it = make(own);
    linkDetach(it);
    linkUpdate(it, next(own));
  });
}

/**
 * What two processes see that swap the first program for their own, again and again, until one has seen `last`. Who
 * succeeds is alone until it puts the first program back.
 */
async function duel(own: Own, type: keyof typeof UPDATABLE, last: string): Promise<Set<string>> {
  const [, , make, load] = UPDATABLE[type], pins = own.use(new PinDirectory()), writers = ["a", "b"];
  const first = load(own), it = make(own);
  linkUpdate(it, first);
  for (const [name, fd] of Object.entries({ first, it, a: load(own), b: load(own) })) objPin(fd, pins.pin(name));
  const seen = await Promise.all(writers.map((name) =>
    inChild(
      [],
      `
    const pinned = (name) => objGet("${pins.path}/" + name);
    const it = pinned("it"), first = pinned("first"), own = pinned("${name}");
    const swap = (oldProgFd, next) => outcome(() => linkUpdate(it, next, { oldProgFd }));
    objPin(own, "${pins.path}/${name}_is_there");
    const isThere = (name) => outcome(() => close(pinned(name))) === "ok";
    for (const end = Date.now() + ${PATIENCE_MS}; !["a_is_there", "b_is_there"].every(isThere) && Date.now() < end;);
    const seen = new Set();
    for (const end = Date.now() + ${PATIENCE_MS}; Date.now() < end && !isThere("the_end");) {
      for (let i = 0; i < 5000; i++) {
        const answer = swap(first, own);
        seen.add(answer === "ok" ? "won, then " + swap(own, first) : answer);
      }
      if (seen.has("${last}")) outcome(() => objPin(own, "${pins.path}/the_end"));
    }
    console.log([...seen].join("\\n"));`,
    )
  ));
  return new Set(seen.flatMap((lines) => lines.split("\n")));
}
for (const type of ["cgroup", "tcx", "iter", "sockmap"] as const) {
  const requirements = UPDATABLE[type][0];
  claim(`linkUpdate: of several writers that expect the same program exactly one succeeds: ${type}`, {
    ...requirements,
    needs: ["bpffs", ..."needs" in requirements ? requirements.needs : []],
  }, async (own) => assertEquals(await duel(own, type, "EPERM"), new Set(["won, then ok", "EPERM"])));
}
claim("linkUpdate: of netns links two may succeed, for the kernel compares before it takes its lock", {
  needs: ["netns", "bpffs", "cpus"],
  missing: inOwnVm() ? "needs CPUs that run at the same time" : undefined,
}, async (own) => assert((await duel(own, "netns", "won, then EPERM")).has("won, then EPERM")));
claim("linkUpdate: since Linux 6.4, struct_ops links get another map", { needs: ["vm"], since: "6.4" }, (own) => {
  const [a, b] = [own.use(implementation()), own.use(implementation())];
  const it = own.fd(linkCreate(a.fd, 0, "struct_ops"));
  linkUpdate(it, b.fd, { oldMapFd: a.fd });
  assertEquals((linkGetInfoByFd(it) as { mapId: number }).mapId, b.id);
});
refusal(
  "linkUpdate: also: EPERM, a struct_ops link does not hold `oldMapFd`",
  { needs: ["vm"], since: "6.4" },
  (own) => {
    const [a, b, c] = [own.use(implementation()), own.use(implementation()), own.use(implementation())];
    linkUpdate(own.fd(linkCreate(a.fd, 0, "struct_ops")), b.fd, { oldMapFd: c.fd });
  },
);
claim(
  "linkUpdate: needs no capability, only the fds",
  { needs: ["netns", "bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const it = link.lookup(own), next = load.lookup(own), pins = own.use(new PinDirectory());
    objPin(it, pins.pin("link"));
    objPin(next, pins.pin("program"));
    const open = `const it = objGet("${pins.pin("link")}"), next = objGet("${pins.pin("program")}")`;
    assertEquals(await unprivileged("linkUpdate(it, next)", open), "ok");
    assertEquals(programOf(it), programId(next));
  },
);
claim("linkUpdate: attach types are not compared for cgroup links, connect6 goes into connect4", {
  needs: ["cgroup2"],
}, (own) => {
  const [connect4, connect6] = (["cgroup_inet4_connect", "cgroup_inet6_connect"] as const)
    .map((expectedAttachType) => program(own, "cgroup_sock_addr", 1, { expectedAttachType }));
  const it = own.fd(linkCreate(connect4!, own.file(own.use(new Cgroup()).path), "cgroup_inet4_connect"));
  linkUpdate(it, connect6!);
  assertEquals(programOf(it), programId(connect6!));
});
claim("linkUpdate: also: flags may be BPF_F_REPLACE (4), which `oldProgFd` implies", { needs: ["netns"] }, (own) => {
  const a = load.lookup(own), it = link.lookup(own, a);
  linkUpdate(it, load.lookup(own), { flags: 4, oldProgFd: a });
  assertEquals(outcomeSync(() => linkUpdate(it, a, { flags: 0, oldProgFd: a })), "EPERM");
});
misuse(
  "linkUpdate: TypeError, an option is unknown or both old fds are given",
  () => linkUpdate(3, 4, { oldProg: 5 } as never),
  () => linkUpdate(3, 4, { oldProgFd: 5, oldMapFd: 5 }),
);
misuse(
  "linkUpdate: RangeError, a number is no fd",
  () => linkUpdate(-1, 4),
  () => linkUpdate(3, -1),
  () => linkUpdate(3, 4, { oldProgFd: -1 }),
  () => linkUpdate(3, 4, { oldMapFd: 2 ** 31 }),
);
refusal("linkUpdate: EBADF, `linkFd` is not open", {}, (own) => linkUpdate(NO_FD, load.xdp(own)));
refusal("linkUpdate: EBADF, `newProgFd` is not open", { needs: ["netns"] }, (own) => linkUpdate(link.xdp(own), NO_FD));
refusal(
  "linkUpdate: EBADF, `oldProgFd` is not open",
  { needs: ["netns"] },
  (own) => linkUpdate(link.xdp(own), load.xdp(own), { oldProgFd: NO_FD }),
);
refusal("linkUpdate: EINVAL, `linkFd` is no link", {}, (own) => linkUpdate(load.xdp(own), load.xdp(own)));
refusal(
  "linkUpdate: EINVAL, the type has no update: raw_tracepoint",
  {},
  (own) => linkUpdate(link.tracepoint(own), load.tracepoint(own)),
);
refusal(
  "linkUpdate: EINVAL, the type has no update: perf_event",
  { since: "5.15" },
  (own) => linkUpdate(link.event(own), load.event(own)),
);
refusal(
  "linkUpdate: also: EINVAL, the type has no update: uprobe_multi",
  { since: "6.6" },
  (own) => linkUpdate(link.uprobes(own), load.uprobes(own)),
);
refusal(
  "linkUpdate: also: EINVAL, the type has no update: kprobe_multi",
  { needs: ["fprobe"], since: "5.18" },
  (own) => {
    const probe = () => program(own, "kprobe", 0, { expectedAttachType: "trace_kprobe_multi" });
    const it = own.fd(linkCreate(probe(), 0, "trace_kprobe_multi", { kprobeMulti: { syms: ["vfs_read"] } }));
    return linkUpdate(it, probe());
  },
);
refusal("linkUpdate: EINVAL, the type has no update: tracing", { needs: ["trampolines"], since: "5.19" }, (own) => {
  return linkUpdate(own.fd(linkCreate(load.fentry(own), 0, "trace_fentry")), load.fentry(own));
});
refusal(
  "linkUpdate: EINVAL, `newProgFd` is no program",
  { needs: ["netns"] },
  (own) => linkUpdate(link.xdp(own), own.file()),
);
refusal(
  "linkUpdate: EINVAL, a program of another type",
  { needs: ["netns"] },
  (own) => linkUpdate(link.xdp(own), load.tcx(own)),
);
refusal(
  "linkUpdate: EINVAL, a program of another attach type",
  { needs: ["netns"] },
  (own) => linkUpdate(link.xdp(own), program(own, "xdp", 2)),
);
refusal(
  "linkUpdate: EINVAL, `flags` has other bits than 4",
  { needs: ["netns"] },
  (own) => linkUpdate(link.xdp(own), load.xdp(own), { flags: 8 }),
);
claim("linkUpdate: ENOLINK, the target is gone", { needs: ["netns"] }, async (own) => {
  const pair = own.use(new VethPair()), xdp = link.xdp(own, load.xdp(own), pair.ifindex);
  pair.delete();
  assertEquals(outcomeSync(() => linkUpdate(xdp, load.xdp(own))), "ENOLINK");

  let lookup;
  {
    await using other = new OtherNetns();
    lookup = own.fd(linkCreate(load.lookup(own), own.file(other.path), "sk_lookup"));
  }
  assertEquals(outcomeSync(() => linkUpdate(lookup, load.lookup(own))), "ok"); // our fd holds the namespace
});
refusal(
  "linkUpdate: EOPNOTSUPP, a netfilter link",
  { needs: ["netns"], since: "6.4" },
  (own) => linkUpdate(link.netfilter(own), load.netfilter(own)),
);
refusal("linkUpdate: EEXIST, a tcx hook has the new program already", { needs: ["netns"], since: "6.6" }, (own) => {
  const program = load.tcx(own);
  link.tcx(own, program);
  linkUpdate(link.tcx(own), program);
});
refusal(
  "linkUpdate: EEXIST, a netkit hook has the new program already",
  { needs: ["netns", "netkit"], since: "6.7" },
  (own) => {
    const pair = own.use(new NetkitPair()), program = load.netkit(own), target = pair.ifindex(pair.primary);
    own.fd(linkCreate(program, target, "netkit_primary"));
    linkUpdate(own.fd(linkCreate(load.netkit(own), target, "netkit_primary")), program);
  },
);

// ---- linkGetNextId

claim("linkGetNextId: the smallest id above `startId`, existing or not; 0 to begin", {}, (own) => {
  const ids = [link.tracepoint(own), link.tracepoint(own)].map(idOf);
  assertEquals(linkGetNextId(ids[0]! - 1), ids[0]);
  const seen: number[] = [];
  for (let id = linkGetNextId(0); id !== undefined; id = linkGetNextId(id)) seen.push(id);
  assertEquals(seen, seen.toSorted((a, b) => a - b));
  assertEquals(ids.filter((id) => seen.includes(id)), ids);
});
claim(
  "linkGetNextId: ids are counted up, and failed attempts use up ids too",
  { needs: ["netns"], since: "6.6" },
  (own) => {
    const a = idOf(link.tracepoint(own)), program = load.tcx(own);
    link.tcx(own, program);
    const b = idOf(link.tracepoint(own));
    assertEquals(outcomeSync(() => link.tcx(own, program)), "EEXIST");
    const c = idOf(link.tracepoint(own));
    assert(a < b && c > b + 1, `${a}, ${b}, ${c}`);
  },
);
claim(
  "linkGetNextId: a link may have ended before its id is opened, for which linkGetFdById fails with ENOENT",
  {},
  (own) => {
    const it = linkCreate(load.iterator(own), 0, "trace_iter"), id = linkGetNextId(idOf(it) - 1)!;
    close(it);
    assertEquals(outcomeSync(() => linkGetFdById(id)), "ENOENT");
  },
);
claim(
  "linkGetNextId: an id may belong to a link that is still being made, for which linkGetFdById fails with EAGAIN",
  { needs: ["cpus"] },
  async () => assertEquals(await openUnsettled(), "EAGAIN"),
);
unprivilegedRefusal("linkGetNextId: EPERM, CAP_SYS_ADMIN is missing", "linkGetNextId(0)", ["sys_admin"]);
claim("linkGetNextId: also: CAP_BPF is neither enough nor needed", { needs: ["setpriv"] }, async () => {
  assertEquals(await unprivileged("linkGetNextId(0)", "", withOnly("bpf", "perfmon", "net_admin")), "EPERM");
  assertEquals(await unprivileged("linkGetNextId(0)", "", withOnly("sys_admin")), "ok");
});
claim(
  "linkGetNextId: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("linkGetNextId(0)", "", IN_USER_NAMESPACE), "EPERM"),
);
claim("linkGetNextId: `undefined` if no link has a larger one", {}, () => {
  assertEquals(linkGetNextId(0x7ffffffe), undefined);
});
misuse(
  "linkGetNextId: RangeError, `startId` is no unsigned 32-bit number",
  () => linkGetNextId(-1),
  () => linkGetNextId(2 ** 32),
);
refusal("linkGetNextId: EINVAL, `startId` is 2 ** 31 - 1 or more", {}, () => linkGetNextId(0x7fffffff));
unprivilegedRefusal(
  "linkGetNextId: EINVAL, found before a missing capability is",
  "linkGetNextId(0x7fffffff)",
  [],
  "5.19",
);

/** What a link's id gives while the link is being made: a tracepoint is switched on after the id is there. */
async function openUnsettled(): Promise<string> {
  let code = "never seen";
  for (const end = performance.now() + PATIENCE_MS; code !== "EAGAIN" && performance.now() < end;) {
    using own = new Own();
    const last = idOf(link.iterator(own)), made = rawTracepointOpenAsync("oom_score_adj_update", load.tracepoint(own));
    let id: number | undefined;
    while (id === undefined && performance.now() < end) id = linkGetNextId(last);
    if (id !== undefined) code = await outcome(() => linkGetFdById(id));
    close(await made);
  }
  return code;
}

// ---- linkGetFdById

claim("linkGetFdById: the fd keeps the attachment alive after its owner has closed it", { needs: ["netns"] }, (own) => {
  const it = linkCreate(load.lookup(own), netns(own), "sk_lookup"), looker = linkGetFdById(idOf(it));
  close(it);
  assertEquals(progQuery(netns(own), "sk_lookup").progs.length, 1);
  close(looker);
  assertEquals(progQuery(netns(own), "sk_lookup").progs.length, 0);
});
claim("linkGetFdById: an fd of the link, close-on-exec", {}, (own) => {
  const id = idOf(link.tracepoint(own)), again = own.fd(linkGetFdById(id));
  assertEquals([idOf(again), isCloseOnExec(again)], [id, true]);
});
refusal("linkGetFdById: ENOENT, no link has this id", {}, () => linkGetFdById(NO_ID));
refusal("linkGetFdById: ENOENT, 0 never is one", {}, () => linkGetFdById(0));
refusal("linkGetFdById: ENOENT, the link ended between finding its id and this call", {}, (own) => {
  const it = linkCreate(load.iterator(own), 0, "trace_iter"), id = idOf(it);
  close(it);
  return linkGetFdById(id);
});
claim(
  "linkGetFdById: EAGAIN, the link is just being made",
  { needs: ["cpus"] },
  async () => assertEquals(await openUnsettled(), "EAGAIN"),
);
unprivilegedRefusal(
  "linkGetFdById: EPERM, CAP_SYS_ADMIN is missing, even for an id that does not exist",
  "linkGetFdById(0)",
  ["sys_admin"],
);
claim(
  "linkGetFdById: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("linkGetFdById(1)", "", IN_USER_NAMESPACE), "EPERM"),
);
claim("linkGetFdById: EMFILE, the process has too many open files", {}, async (own) => {
  const id = idOf(link.tracepoint(own));
  assertEquals(await exhausted(`linkGetFdById(${id})`), "EMFILE");
});
misuse(
  "linkGetFdById: RangeError, `id` is no unsigned 32-bit number",
  () => linkGetFdById(-1),
  () => linkGetFdById(2 ** 32),
);

// ---- linkGetFdByIdOpts

claim("linkGetFdByIdOpts: zeroes are accepted, the fd is close-on-exec", {}, (own) => {
  const id = idOf(link.tracepoint(own));
  for (const options of [undefined, {}, { openFlags: 0, tokenFd: 0 }]) {
    const again = own.fd(linkGetFdByIdOpts(id, options));
    assertEquals([idOf(again), isCloseOnExec(again)], [id, true]);
  }
});
refusal(
  "linkGetFdByIdOpts: EINVAL, `openFlags` is not 0",
  {},
  (own) => linkGetFdByIdOpts(idOf(link.tracepoint(own)), { openFlags: 8 }),
);
refusal(
  "linkGetFdByIdOpts: EINVAL, `tokenFd` is not 0",
  {},
  (own) => linkGetFdByIdOpts(idOf(link.tracepoint(own)), { tokenFd: 1 }),
);
unprivilegedRefusal(
  "linkGetFdByIdOpts: EINVAL, found before a missing capability is",
  "linkGetFdByIdOpts(1, { openFlags: 8 })",
  [],
  "5.19",
);
unprivilegedRefusal("linkGetFdByIdOpts: EPERM, as linkGetFdById", "linkGetFdByIdOpts(1)", ["sys_admin"]);
refusal("linkGetFdByIdOpts: ENOENT, as linkGetFdById", {}, () => linkGetFdByIdOpts(0));
misuse("linkGetFdByIdOpts: TypeError, an option is unknown", () => linkGetFdByIdOpts(1, { flags: 0 } as never));
misuse(
  "linkGetFdByIdOpts: RangeError, a number is out of range",
  () => linkGetFdByIdOpts(-1),
  () => linkGetFdByIdOpts(1, { openFlags: -1 }),
  () => linkGetFdByIdOpts(1, { tokenFd: 2 ** 31 }),
);
