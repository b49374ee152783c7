/** `Hook`: what is attached at one place, in which order, by which link. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeIterator } from "../../lib/listing/iterator.ts";
import { close, open } from "../../lib/sys/mod.ts";
import { BpfError, BpfMap, Hook, type HookTarget, Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { answering, flowDissector, skLookup, taskIterator, xdp } from "../fixture/program/programs.ts";
import { firstWith } from "../fixture/run/expectations.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const ATTACH_TYPE = "cgroup_inet_egress" as const;
const MULTI = 2;
const INGRESS = { type: "tcx", device: "lo", direction: "ingress" } as const;

/** A program of a cgroup's egress hook with a name. */
function egress(name: string): Program {
  return answering(1, { type: "cgroup_skb", expectedAttachType: ATTACH_TYPE, name });
}

/** A tcx program with a name, which goes on to the next one. */
function next(name: string): Program {
  return answering(-1, { type: "sched_cls", name });
}

/** The names of the programs of a hook. */
function names(entries: Hook["entries"]): string {
  return entries.map(({ programName }) => programName).join(" ");
}

const POSITIONS = { needs: ["cgroup2"], since: firstWith("cgroup", "position")! } as const;

kernelTest(
  "a cgroup's hook: entries, what is effective, links by their ids",
  POSITIONS,
  () => {
    using parent = new Cgroup();
    using child = new Cgroup(parent.path);
    const target = { type: "cgroup", cgroup: child.path, attachType: ATTACH_TYPE } as const;
    using a = egress("a");
    using b = egress("b");
    using p = egress("p");
    const empty = Hook.query(target);
    assertEquals([empty.entries, empty.effective], [[], []]);
    assertEquals(empty.revision, 1n);
    using linkA = Link.attach(a, target);
    using linkB = Link.attach(b, { ...target, position: "first" });
    using linkP = Link.attach(p, { ...target, cgroup: parent.path });
    const hook = empty.refresh();
    assert(hook !== empty);
    assertEquals([empty.entries, empty.revision], [[], 1n]);
    const entry = (program: Program, link: Link) => ({
      programId: program.id,
      programName: program.name,
      linkId: link.id,
      attachFlags: MULTI,
    });
    assertEquals(hook.revision, 3n);
    assertEquals(hook.entries, [entry(b, linkB), entry(a, linkA)]);
    assertEquals(hook.effective, [entry(b, linkB), entry(a, linkA), entry(p, linkP)]);
    const above = Hook.query({ ...target, cgroup: parent.path });
    assertEquals([above.entries, above.effective], [[entry(p, linkP)], [entry(p, linkP)]]);
    // an update counts too, and the link stays where it is
    using c = egress("c");
    linkB.update(c);
    assertEquals([hook.refresh().revision, names(hook.refresh().entries)], [4n, "c a"]);
  },
);

kernelTest(
  "a cgroup's hook: preorder runs first and is not listed first",
  { needs: ["cgroup2"], since: "6.17" },
  () => {
    using parent = new Cgroup();
    using child = new Cgroup(parent.path);
    const target = { type: "cgroup", cgroup: child.path, attachType: ATTACH_TYPE } as const;
    using a = egress("a");
    using pre = egress("pre");
    using up = egress("up");
    using _a = Link.attach(a, target);
    using preLink = Link.attach(pre, { ...target, preorder: true });
    using upLink = Link.attach(up, { ...target, cgroup: parent.path, preorder: true });
    const hook = Hook.query(target);
    assertEquals([names(hook.entries), names(hook.effective)], ["a pre", "up pre a"]);
    assertEquals(hook.effective.map(({ linkId }) => linkId), [upLink.id, preLink.id, _a.id]);
  },
);

kernelTest("a cgroup's hook: no guess which of two links has a program", POSITIONS, () => {
  using parent = new Cgroup();
  using child = new Cgroup(parent.path);
  using elsewhere = new Cgroup();
  const target = { type: "cgroup", cgroup: child.path, attachType: ATTACH_TYPE } as const;
  using twice = egress("twice");
  using both = egress("both");
  using _1 = Link.attach(twice, target);
  using _2 = Link.attach(twice, target);
  using here = Link.attach(both, target);
  using _3 = Link.attach(both, { ...target, cgroup: parent.path });
  using _4 = Link.attach(both, { ...target, cgroup: elsewhere.path });
  const hook = Hook.query(target);
  assertEquals(hook.entries.map(({ linkId }) => linkId), [undefined, undefined, here.id]);
  assertEquals(hook.effective.map(({ linkId }) => linkId), [undefined, undefined, undefined, undefined]);
});

kernelTest(
  "a tcx hook: order, revision and links as the kernel reports them",
  { needs: ["netns"], since: "6.6" },
  () => {
    using a = next("a");
    using b = next("b");
    const empty = Hook.query(INGRESS);
    assertEquals([empty.revision, empty.entries], [1n, []]);
    {
      using linkA = Link.attach(a, INGRESS);
      using linkB = Link.attach(b, { ...INGRESS, position: "first" });
      const hook = Hook.query({ ...INGRESS, device: 1 });
      assertEquals(hook.revision, 3n);
      assertEquals(hook.entries, [
        { programId: b.id, programName: "b", linkId: linkB.id, attachFlags: 0 },
        { programId: a.id, programName: "a", linkId: linkA.id, attachFlags: 0 },
      ]);
      assertEquals(hook.effective, hook.entries);
      assertEquals(Hook.query({ ...INGRESS, direction: "egress" }).entries, []);
    }
    assertEquals(empty.refresh().revision, 1n); // it begins anew
  },
);

kernelTest("a network namespace's hooks", { needs: ["netns"] }, () => {
  const target = { type: "netns", attachType: "sk_lookup" } as const;
  using a = skLookup();
  using b = skLookup();
  using dissector = flowDissector();
  using linkA = Link.attach(a, target);
  using linkB = Link.attach(b, target);
  using linkD = Link.attach(dissector, { type: "netns" });
  const hook = Hook.query(target);
  assertEquals(hook.revision, undefined);
  assertEquals(hook.entries, [
    { programId: a.id, linkId: linkA.id, attachFlags: 0 },
    { programId: b.id, linkId: linkB.id, attachFlags: 0 },
  ]);
  assertEquals(hook.effective, hook.entries);
  assertEquals(Hook.query({ type: "netns", netns: "/proc/self/ns/net", attachType: "flow_dissector" }).entries, [
    { programId: dissector.id, linkId: linkD.id, attachFlags: 0 },
  ]);
});

kernelTest("a sockmap's hooks", { since: "6.10" }, () => {
  using map = BpfMap.create({ type: "sockmap", keySize: 4, valueSize: 4, maxEntries: 1 });
  const target = { type: "sockmap", map, attachType: "sk_skb_verdict" } as const;
  assertEquals(Hook.query(target).entries, []);
  using program = answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_verdict" });
  using link = Link.attach(program, target);
  const hook = Hook.query(target);
  assertEquals(hook.entries, [{ programId: program.id, linkId: link.id, attachFlags: 0 }]);
  assertEquals([hook.revision, hook.effective], [undefined, hook.entries]);
  assertEquals(Hook.query({ ...target, attachType: "sk_msg_verdict" }).entries, []);
  assertThrows(() => Hook.query({ type: "sockmap", map }), TypeError, "attachType");
});

kernelTest("a netkit pair's two hooks", { needs: ["netns", "netkit"], since: "6.7" }, () => {
  using pair = new NetkitPair();
  const target = { type: "netkit", device: pair.primary } as const;
  using a = next("a");
  using b = next("b");
  using _a = Link.attach(a, target);
  using link = Hook.query(target).attach(b, ([first]) => ({ before: { programId: first!.programId } }));
  const hook = Hook.query(target);
  assertEquals([hook.revision, names(hook.entries), hook.entries[0]?.linkId], [3n, "b a", link.id]);
  assertEquals(Hook.query({ ...target, peer: true }).entries, []);
});

kernelTest("an interface's xdp programs", { needs: ["netns"] }, () => {
  using veth = new VethPair();
  const target = { type: "xdp", device: veth.name } as const;
  assertEquals(Hook.query(target).entries, []);
  for (const [mode, flags] of [["generic", 2], ["native", 4]] as const) {
    using program = xdp();
    using link = Link.attach(program, { ...target, mode });
    const hook = Hook.query(target);
    assertEquals(hook.entries, [{ programId: program.id, linkId: link.id, attachFlags: flags }]);
    assertEquals([hook.revision, hook.effective], [undefined, hook.entries]);
  }
});

kernelTest("hooks of another network namespace", { needs: ["netns"], since: "6.6" }, async () => {
  await using other = new OtherNetns();
  const here = Deno.readLinkSync("/proc/thread-self/ns/net");
  using ours = next("ours");
  using theirs = next("theirs");
  using _ours = Link.attach(ours, INGRESS);
  using _theirs = Link.attach(theirs, { ...INGRESS, netns: other.path });
  assertEquals(names(Hook.query(INGRESS).entries), "ours");
  assertEquals(names(Hook.query({ ...INGRESS, netns: other.path }).entries), "theirs");
  using generic = xdp();
  using xdpLink = Link.attach(generic, { type: "xdp", device: "lo", netns: other.path });
  assertEquals(Hook.query({ type: "xdp", device: "lo" }).entries, []);
  assertEquals(Hook.query({ type: "xdp", device: "lo", netns: other.path }).entries[0]?.linkId, xdpLink.id);
  assertEquals(Deno.readLinkSync("/proc/thread-self/ns/net"), here);
});

kernelTest("attach() by the entries: asked again after every change", { needs: ["netns"], since: "6.6" }, () => {
  using first = next("first");
  using x = next("x");
  using program = next("program");
  using late = next("late");
  using _first = Link.attach(first, INGRESS);
  const hook = Hook.query(INGRESS);
  const intruders: Disposable[] = [];
  const seen: string[] = [];
  using link = hook.attach(program, (entries) => {
    seen.push(names(entries));
    // somebody comes between the look and the call, twice
    if (seen.length === 1) intruders.push(Link.attach(x, INGRESS));
    if (seen.length === 2) intruders.push(Link.attach(late, INGRESS));
    const found = entries.find(({ programName }) => programName === "x");
    return found === undefined ? "first" : { after: { linkId: found.linkId! } };
  });
  try {
    assertEquals(seen, ["first", "first x", "first x late"]);
    assertEquals(names(hook.refresh().entries), "first x program late");
    assertEquals(link.onClose, "detach");
  } finally {
    for (const intruder of intruders) intruder[Symbol.dispose]();
  }
});

kernelTest("attach() by the entries of a cgroup", POSITIONS, () => {
  using cgroup = new Cgroup();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
  using a = egress("a");
  using b = egress("b");
  using c = egress("c");
  using _a = Link.attach(a, target);
  using linkB = Link.attach(b, target);
  let rounds = 0;
  using linkC = Hook.query(target).attach(c, ([first]) => {
    if (++rounds === 1) linkB.update(b); // counts, though nothing is different
    return { after: { linkId: first!.linkId! } };
  });
  assertEquals([rounds, linkC.type, names(Hook.query(target).entries)], [2, "cgroup", "a c b"]);
});

kernelTest("attach() ends early: what `place` throws, a signal, a refusal", { needs: ["netns"], since: "6.6" }, () => {
  using program = next("program");
  using other = next("other");
  const hook = Hook.query(INGRESS);
  const reason = new Error("no place");
  const thrown = assertThrows(() =>
    hook.attach(program, () => {
      throw reason;
    })
  );
  assert(thrown === reason);
  const controller = new AbortController();
  const links: Disposable[] = [];
  let rounds = 0;
  const aborted = assertThrows(() =>
    hook.attach(program, () => {
      links.push(Link.attach(other, INGRESS)); // stale
      if (++rounds === 1) controller.abort(reason);
      return "first";
    }, { signal: controller.signal })
  );
  assertEquals([aborted === reason, rounds], [true, 1]);
  for (const link of links) link[Symbol.dispose]();
  const refused = assertThrows(
    () => Hook.query(INGRESS).attach(program, () => ({ after: { linkId: 0x7ffffff0 } })),
    BpfError,
  );
  assertEquals([refused.code, refused.reason], ["ENOENT", "gone"]);
  assertThrows(() => hook.refresh().attach(program, () => ({}) as "first"), TypeError, "position");
  assertThrows(() => Hook.query({ type: "xdp", device: "lo" }).attach(program, () => "first"), TypeError, "xdp");
  assertEquals(hook.refresh().entries, []);
});

kernelTest("places that cannot be asked, or are not there", { needs: ["cgroup2", "netns"], since: "6.6" }, () => {
  using cgroup = new Cgroup();
  for (const type of ["kprobe", "tracing", "perf_event", "iter", "raw_tracepoint", "netfilter", undefined]) {
    assertThrows(() => Hook.query({ type } as unknown as HookTarget), TypeError, "target.type");
  }
  assertThrows(() => Hook.query({ type: "cgroup", cgroup: cgroup.path }), TypeError, "attachType");
  assertThrows(() => Hook.query({ type: "netns" }), TypeError, "attachType");
  assertThrows(() => Hook.query({ ...INGRESS, position: "first" } as HookTarget), TypeError, "position");
  const refusals: [HookTarget, string, string][] = [
    [{ ...INGRESS, device: 9999 }, "ENODEV", "gone"],
    [{ ...INGRESS, device: "nosuchdevice" }, "ENODEV", "gone"],
    [{ type: "xdp", device: 9999 }, "ENODEV", "gone"],
    [{ type: "netns", netns: "/dev/null", attachType: "sk_lookup" }, "EINVAL", "invalid"],
    [{ type: "cgroup", cgroup: "/tmp", attachType: ATTACH_TYPE }, "EBADF", "invalid"],
    [{ type: "cgroup", cgroup: `${cgroup.path}/none`, attachType: ATTACH_TYPE }, "ENOENT", "gone"],
  ];
  for (const [target, code, reason] of refusals) {
    const error = assertThrows(() => Hook.query(target), BpfError);
    assertEquals([error.code, error.reason, error.hint !== undefined || error.code === "ENOENT"], [code, reason, true]);
  }
  const fd = open(cgroup.path);
  try {
    assertEquals(Hook.query({ type: "cgroup", cgroup: fd, attachType: ATTACH_TYPE }).entries, []);
  } finally {
    close(fd);
  }
});

kernelTest("attach() gives up on a hook that others change without end", POSITIONS, () => {
  using cgroup = new Cgroup();
  using program = egress("ours");
  using other = egress("other");
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
  using _first = Link.attach(other, target);
  using busy = egress("busy");
  let rounds = 0;
  const place = () => {
    rounds++;
    using _link = Link.attach(busy, target); // the revision is another one now
    return "first" as const;
  };
  const error = assertThrows(() => Hook.query(target).attach(program, place), BpfError, "others change it");
  assertEquals(error.reason, "unsettled");
  assert(rounds >= 4, `${rounds} rounds`);
  assertEquals(Hook.query(target).entries.map(({ programName }) => programName), ["other"]);
});

kernelTest("among many links those of a cgroup are found", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = egress("a");
  using iterator = taskIterator("t");
  using stack = new DisposableStack();
  for (let i = 0; i < 1000; i++) stack.use(Link.attach(iterator, { type: "iter" }));
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
  using link = Link.attach(program, target);
  for (let i = 0; i < 3; i++) {
    const { entries, effective } = Hook.query(target);
    assertEquals(entries.map(({ linkId }) => linkId), [link.id]);
    assertEquals(effective.filter(({ linkId }) => linkId === link.id).length, 1);
  }
  closeIterator();
});
