/** That what the sections of an object say is attached, and ends; beside libbpf's own rules (sections_test). */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { BpfError, type EnsuredLink, Link, openHandles } from "../../mod.ts";
import { type AttachOverrides, BpfObject, LeftOpenError, UsdtProbe } from "../../lib/object/mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { Loopback } from "../fixture/place/loopback.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { Victim } from "../fixture/place/victim.ts";
import { CODE_OF } from "../fixture/place/elf.ts";
import { inCgroup, run } from "../examples/running.ts";
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";
import { objectPath, whyNoObjects } from "./build.ts";

/** A test that needs compiled objects. */
function objectTest(name: string, requirements: Requirements, fn: () => void | Promise<void>): void {
  kernelTest(`attach: ${name}`, { missing: whyNoObjects(), ...requirements }, fn);
}

function existsSync(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
}

/** The object with these of its programs. */
function load(...programs: string[]): BpfObject {
  return BpfObject.load(objectPath("attach"), { programs });
}

function runs(object: BpfObject): bigint {
  return object.globals.runs;
}

/** Calls vfs_unlink. */
function unlink(): void {
  Deno.removeSync(Deno.makeTempFileSync({ prefix: "bpf-link-test-" }));
}

function execute(): void {
  new Deno.Command("/proc/self/exe", { args: ["--version"], stdout: "null" }).outputSync();
}

// ---- what a section says is enough

for (
  const [program, type, act, needs] of [
    ["kprobe", "perf_event", unlink, ["kprobe"]],
    ["kprobe_offset", "perf_event", unlink, ["kprobe"]],
    ["kretprobe", "perf_event", unlink, ["kprobe"]],
    ["ksyscall", "perf_event", () => void Deno.umask(), ["kprobe"]],
    ["kretsyscall", "perf_event", () => void Deno.umask(), ["kprobe"]],
    ["kprobe_multi", "kprobe_multi", unlink, ["fprobe"]],
    ["kretprobe_multi", "kprobe_multi", unlink, ["fprobe"]],
    ["tp", "perf_event", execute, []],
    ["tracepoint", "perf_event", execute, []],
    ["raw_tp", "raw_tracepoint", execute, []],
    ["raw_tracepoint", "raw_tracepoint", execute, []],
    ["tp_btf", "raw_tracepoint", execute, []],
  ] as const
) {
  const since = type === "perf_event" ? "5.15" : type === "kprobe_multi" ? "5.18" : "5.10";
  objectTest(`${program} runs where its section says, until its link ends`, { needs, since }, () => {
    using object = load(program);
    {
      using link = object.attach(program);
      assertEquals(link.type, type);
      act();
      assert(runs(object) > 0n);
      link.close();
      const before = runs(object);
      act();
      assertEquals(runs(object), before);
    }
  });
}

objectTest("a session runs on both ends", { needs: ["fprobe"], since: "6.10" }, () => {
  using object = load("kprobe_session");
  using _link = object.attach("kprobe_session");
  unlink();
  assert(runs(object) >= 2n);
});

for (
  const [program, needs] of [
    ["fentry", ["trampolines"]],
    ["fexit", ["trace_fexit"]],
    ["lsm", ["lsm", "lsm_mac"]],
  ] as const
) {
  objectTest(`${program} runs where its section says`, { needs }, () => {
    using object = load(program);
    using link = object.attach(program);
    assertEquals(link.type, "tracing");
    unlink();
    assert(runs(object) > 0n);
  });
}

objectTest("fsession runs on both ends of its function", { needs: ["trampolines"], since: "7.0" }, () => {
  using object = load("fsession");
  using link = object.attach("fsession");
  assertEquals(link.type, "tracing");
  unlink();
  assert(runs(object) >= 2n);
});

// before, Debian's kernels let no program replace this function
objectTest("fmod_ret gives what its function would return", { needs: ["modify_return"], since: "6.3" }, () => {
  using object = load("fmod_ret");
  // the kernel calls the function: what it gives, and above how often its work was seen
  const call = () => object.program("fmod_ret").run().returnValue;
  const before = call();
  {
    using link = object.attach("fmod_ret");
    assertEquals(link.type, "tracing");
    assertEquals(call() - before, 7 - 4 - 0x10000);
  }
  assertEquals([call(), runs(object)], [before, 1n]);
});

objectTest("raw_tp.w writes what its tracepoint lets it", { needs: ["vm"] }, () => {
  using object = load("raw_tp_writable", "socket_filter");
  const filter = object.program("socket_filter"), data = new Uint8Array(64);
  object.globals.only_pid = Deno.pid;
  {
    using link = object.attach("raw_tp_writable");
    assertEquals(link.type, "raw_tracepoint");
    assertEquals(assertThrows(() => filter.run({ data }), BpfError).errno, 33);
  }
  assertEquals(filter.run({ data }).returnValue, 0);
});

objectTest("lsm_cgroup runs for the processes of its cgroup", {
  needs: ["cgroup2", "lsm", "lsm_cgroup"],
  since: "6.0",
}, async () => {
  using cgroup = new Cgroup();
  using object = load("lsm_cgroup");
  // once, as no other program is at this hook: see CgroupTarget about kernels that crash
  using link = object.attach("lsm_cgroup", { cgroup: cgroup.path }) as Link<"cgroup">;
  assertEquals([link.info().cgroupId, link.info().attachType], [cgroup.id, "lsm_cgroup"]);
  const open = "Deno.listen({ port: 0 }).close()";
  await run([Deno.execPath(), "eval", open]);
  assertEquals(runs(object), 0n);
  await run([...inCgroup(cgroup.path), Deno.execPath(), "eval", open]);
  assert(runs(object) > 0n);
});

objectTest("an iterator writes what its program does", { since: "5.10" }, async () => {
  using object = load("iter_task");
  using link = object.attach("iter_task") as Link<"iter">;
  assertEquals(link.info().targetName, "task");
  const [first] = await Array.fromAsync(link.lines());
  assertEquals(first, "task");
});

// ---- what a section leaves open

objectTest("what a section leaves open is asked for, by an example", { since: "6.4" }, () => {
  using object = load("xdp", "cgroup_connect4", "cgroup_skb", "sk_msg", "bare_kprobe", "uprobe", "tc", "netfilter");
  const asks = (name: string, ask: string) => {
    const { message } = assertThrows(() => object.attach(name), LeftOpenError);
    assertEquals(message.slice(message.indexOf("object.attach")), ask);
  };
  asks("xdp", 'object.attach("xdp", { device: "eth0" })');
  asks("cgroup_connect4", 'object.attach("cgroup_connect4", { cgroup: "/sys/fs/cgroup/web" })');
  asks(
    "cgroup_skb",
    'object.attach("cgroup_skb", { cgroup: "/sys/fs/cgroup/web", attachType: "cgroup_inet_egress" })',
  );
  asks("sk_msg", 'object.attach("sk_msg", { map: "sockets" })');
  asks("bare_kprobe", 'object.attach("bare_kprobe", { symbol: "do_unlinkat" })');
  asks("uprobe", 'object.attach("uprobe", { path: "/usr/bin/bash", symbol: "main" })');
  asks("netfilter", 'object.attach("netfilter", { family: "ipv4", hook: "local_in", priority: 0 })');
  using some = load("xdp", "sk_lookup", "sk_msg");
  const { message, fields } = assertThrows(() => some.attachAll(), LeftOpenError);
  assertEquals(
    message.slice(message.indexOf("object.attachAll")),
    'object.attachAll({ xdp: { device: "eth0" }, sk_msg: { map: "sockets" } })',
  );
  assertEquals(fields.length, 1);
});

objectTest("xdp, tcx and netfilter see packets of the interface that is given", {
  needs: ["netns"],
  since: "6.6",
}, async () => {
  using loopback = await Loopback.open();
  for (
    const [program, overrides] of [
      ["xdp", { device: "lo", mode: "generic" }],
      ["xdp_frags", { device: "lo", mode: "generic" }],
      ["tc_ingress", { device: "lo" }],
      ["tcx_egress", { device: 1, position: "first" }],
      ["tc", { type: "tcx", device: "lo", direction: "ingress" }],
      ["classifier", { type: "tcx", device: "lo", direction: "egress" }],
      ["netfilter", { family: "ipv4", hook: "local_in", priority: 5 }],
    ] as const
  ) {
    using object = load(program);
    using link = object.attach(program, overrides);
    assert(await loopback.passes(), program);
    assert(runs(object) > 0n, program);
    link.close();
    assertEquals(openHandles().filter(({ kind }) => kind === "link"), []);
  }
});

objectTest("ensurePinned: what is pinned outlives its object, and is updated by the next", {
  needs: ["bpffs", "cgroup2", "netns"],
}, async () => {
  using pins = new PinDirectory();
  using cgroup = new Cgroup();
  const path = pins.pin("egress"), overrides = { cgroup: cgroup.path };
  const runsOf = async (make: (object: BpfObject) => EnsuredLink | Promise<EnsuredLink>) => {
    using object = load("cgroup_egress");
    const { link, outcome } = await make(object);
    const { id, programId, attached } = link.info();
    assertEquals([programId, attached], [object.program("cgroup_egress").id, true]);
    object.close();
    assert(link.closed);
    return { id, outcome };
  };
  const first = await runsOf((object) => object.ensurePinned(path, "cgroup_egress", overrides));
  const again = await runsOf((object) => object.ensurePinnedAsync(path, "cgroup_egress", overrides));
  assertEquals([first.outcome, again], ["created", { id: first.id, outcome: "updated" }]);
  using kept = Link.openPinned(path);
  assertEquals([kept.id, kept.attached()], [first.id, true]);

  using object = load("cgroup_egress", "xdp");
  const ensure = (name: string, overrides: AttachOverrides) => () => object.ensurePinned(path, name, overrides);
  assertThrows(ensure("cgroup_egress", {}), LeftOpenError);
  assertThrows(ensure("cgroup_egres", overrides), TypeError, "cgroup_egres");
  assertThrows(ensure("cgroup_egress", { ...overrides, onClose: "keep" }), TypeError, "overrides.onClose cannot be");
  const error = assertThrows(ensure("xdp", { device: "lo", mode: "generic" }), BpfError);
  assertEquals(error.reason, "mismatch", error.message);
  const late = object.ensurePinnedAsync(path, "cgroup_egress", overrides);
  object.close();
  await assertRejects(() => late, Deno.errors.BadResource, "it is closed");
  kept.unpin();
  kept.detach();
});

objectTest("netkit programs are for either end", { needs: ["netns", "netkit"], since: "6.7" }, () => {
  using pair = new NetkitPair();
  for (const program of ["netkit_primary", "netkit_peer"]) {
    using object = load(program);
    using link = object.attach(program, { device: pair.primary }) as Link<"netkit">;
    assertEquals(link.info().attachType, program);
  }
});

objectTest("an interface may be in another network namespace", { needs: ["netns"], since: "5.10" }, async () => {
  await using other = new OtherNetns();
  using object = load("xdp", "sk_lookup");
  using link = object.attach("xdp", { device: "lo", netns: other.path, mode: "generic" });
  assertEquals(link.type, "xdp");
  using lookup = object.attach("sk_lookup", { netns: other.path });
  assertEquals(lookup.type, "netns");
});

for (
  const [program, attachType] of [
    ["cgroup_egress", "cgroup_inet_egress"],
    ["cgroup_ingress", "cgroup_inet_ingress"],
    ["cgroup_sock_create", "cgroup_inet_sock_create"],
    ["cgroup_connect4", "cgroup_inet4_connect"],
    ["cgroup_sysctl", "cgroup_sysctl"],
    ["cgroup_getsockopt", "cgroup_getsockopt"],
    ["cgroup_dev", "cgroup_device"],
    ["sockops", "cgroup_sock_ops"],
  ] as const
) {
  objectTest(`${program} is attached to a cgroup as ${attachType}`, { needs: ["cgroup2"] }, () => {
    using cgroup = new Cgroup();
    using object = load(program);
    using link = object.attach(program, { cgroup: cgroup.path }) as Link<"cgroup">;
    assertEquals(link.info(), {
      type: "cgroup",
      id: link.id,
      programId: object.program(program).id,
      attached: true,
      cgroupId: cgroup.id,
      attachType,
    });
  });
}

objectTest("cgroup/skb is for either direction", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using object = load("cgroup_skb");
  for (const attachType of ["cgroup_inet_ingress", "cgroup_inet_egress"] as const) {
    using link = object.attach("cgroup_skb", { type: "cgroup", cgroup: cgroup.path, attachType });
    assertEquals(link.info().attachType, attachType);
  }
});

objectTest("network namespaces take sk_lookup and flow_dissector as they are", { needs: ["netns"] }, () => {
  for (const program of ["sk_lookup", "flow_dissector"]) {
    using object = load(program);
    using link = object.attach(program) as Link<"netns">;
    assertEquals(link.info().attachType, program);
  }
});

objectTest("a map of the object is given by its name", { since: "6.10" }, () => {
  for (
    const [program, more] of [["sk_msg", {}], ["sk_skb_stream_verdict", {}], ["sk_skb", {
      attachType: "sk_skb_verdict",
    }]] as const
  ) {
    using object = load(program);
    using link = object.attach(program, { map: "sockets", ...more }) as Link<"sockmap">;
    assertEquals(link.info().mapId, object.map("sockets").map.id);
    link.close();
    using again = object.attach(program, { map: object.map("sockets"), ...more }) as Link<"sockmap">;
    assertEquals(again.info().mapId, object.map("sockets").map.id);
    assertThrows(() => object.attach(program, { map: "socket", ...more }), TypeError, 'did you mean "sockets"');
  }
});

objectTest("an iterator over elements walks the map that is given", { needs: ["writable iterators"] }, () => {
  using object = load("iter_elements");
  assertThrows(() => object.attach("iter_elements"), TypeError, '{ map: "MAP" }');
  using link = object.attach("iter_elements", { map: "elements" }) as Link<"iter">;
  assertEquals(new TextDecoder().decode(link.read()), "element\n".repeat(4));
});

objectTest("a perf event is given", { since: "5.15" }, () => {
  using object = load("perf_event");
  using link = object.attach("perf_event", {
    event: { type: "software", config: "cpu-clock", cpu: 0, samplePeriod: 1_000_000n },
  });
  assertEquals(link.type, "perf_event");
});

objectTest("a function of a file is given, or its offset", { since: "5.15" }, () => {
  using victim = new Victim();
  for (const program of ["uprobe", "uretprobe"]) {
    using object = load(program);
    for (const place of [{ symbol: "work" }, { symbol: "_start", offset: victim.work - victim.start }]) {
      if (program === "uretprobe" && "offset" in place) continue;
      using _link = object.attach(program, { path: victim.path, ...place });
      const before = runs(object);
      victim.run();
      assertEquals(runs(object) - before, 1n);
    }
  }
});

objectTest("many functions of a file are given", { since: "6.6" }, () => {
  using victim = new Victim();
  using object = load("uprobe_multi");
  using link = object.attach("uprobe_multi", { path: victim.path, symbols: ["work"] });
  assertEquals(link.type, "uprobe_multi");
  victim.run();
  assertEquals(runs(object), 1n);
});

objectTest("a program that may sleep, and one that runs on both ends", { since: "6.13" }, () => {
  using victim = new Victim();
  for (
    const [program, place, count] of [["uprobe_sleepable", { symbol: "work" }, 1n], ["uprobe_session", {
      symbols: ["work"],
    }, 2n]] as const
  ) {
    using object = load(program);
    using _link = object.attach(program, { path: victim.path, ...place });
    victim.run();
    assertEquals(runs(object), count, program);
  }
});

objectTest("an executable is found by the name that its section has", {
  missing: whyNoObjects() ?? (existsSync("/usr/bin/env") ? undefined : "needs /usr/bin/env"),
  since: "5.15",
}, () => {
  using object = load("uprobe_named");
  const { message } = assertThrows(() => object.attach("uprobe_named"), BpfError);
  assertMatch(message, /"\/(usr\/)?bin\/env"/);
  const given = assertThrows(() => object.attach("uprobe_named", { path: "env" }), BpfError);
  assertMatch(given.message, /target\.path "env"/, "a path that is given is one");
});

objectTest("a refusal of the kernel names the program as its source does", {}, () => {
  using object = load("raw_tp");
  const error = assertThrows(() => object.attach("raw_tp", { name: "no_such_tracepoint" }), BpfError);
  assertMatch(error.message, /^Cannot attach program "raw_tp" to .*no_such_tracepoint/);
  assertEquals([error.code, error.command], ["ENOENT", "RAW_TRACEPOINT_OPEN"]);
});

objectTest("a program may be for a function of a module", {
  needs: ["trampolines", "netns"],
  since: "5.11",
}, () => {
  using pair = new VethPair();
  assert(pair.ifindex > 0);
  const isModule = existsSync("/sys/kernel/btf/veth");
  using object = BpfObject.load(objectPath("attach"), {
    programs: ["bare_fentry"],
    attachTo: { bare_fentry: isModule ? "veth:veth_xmit" : "veth_xmit" },
  });
  using link = object.attach("bare_fentry");
  assertEquals(link.type, "tracing");
});

// ---- overrides

objectTest("a cookie goes to the program", { needs: ["kprobe"], since: "5.15" }, () => {
  using object = load("kprobe_cookie");
  using _link = object.attach("kprobe_cookie", { cookie: 77n });
  unlink();
  assertEquals(object.globals.cookie, 77n);
});

objectTest(
  "another function than the section's, and another kind of target",
  { needs: ["kprobe"], since: "5.15" },
  () => {
    using victim = new Victim();
    using object = load("kprobe", "bare_kprobe");
    {
      using link = object.attach("kprobe", { type: "kprobe", symbol: "vfs_read" });
      const info = link.info();
      if (info.event === "kprobe") assertEquals(info.symbol, "vfs_read");
    }
    using _link = object.attach("bare_kprobe", { type: "uprobe", path: victim.path, symbol: "work" });
    victim.run();
    assertEquals(runs(object), 1n);
  },
);

objectTest("a signal ends the link, and what an end does can be chosen", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  using object = load("cgroup_egress");
  const abort = new AbortController();
  const link = object.attach("cgroup_egress", { cgroup: cgroup.path, signal: abort.signal });
  abort.abort();
  assert(link.closed);
  assertThrows(() => object.attach("cgroup_egress", { cgroup: cgroup.path, signal: abort.signal }), DOMException);
  await assertRejects(
    () => object.attachAsync("cgroup_egress", { cgroup: cgroup.path, signal: abort.signal }),
    DOMException,
  );
  using kept = object.attach("cgroup_egress", { cgroup: cgroup.path, onClose: "keep" });
  assertEquals(kept.onClose, "keep");
});

objectTest(
  "what is unknown or of the wrong type is refused before anything is attached",
  { needs: ["cgroup2"] },
  () => {
    using object = load("xdp", "cgroup_egress", "kprobe");
    const refuses = (name: string, overrides: object, words: string) =>
      assertThrows(() => object.attach(name, overrides), TypeError, words);
    refuses("xdp", { devise: "lo" }, 'overrides has no field "devise"; for xdp it may have type, device, netns, mode');
    refuses("xdp", { type: "xpd" }, "overrides.type must be one of");
    refuses("xdp", { device: "lo", mode: "fast" }, "target.mode must be one of");
    refuses("xdp", { device: "lo", onClose: "stay" }, "options.onClose must be one of");
    refuses("xdp", { device: "lo", signal: 1 }, "options.signal must be an AbortSignal");
    refuses("xdp", null as never, "overrides must be an object, not null");
    refuses("xdp", "lo" as never, "overrides must be an object, not string");
    refuses("kprobe", { symbol: 5 }, "target.symbol must be a string");
    refuses("kprob", {}, 'did you mean "kprobe"');
    refuses("tp", {}, "it was left out of the load");
  },
);

objectTest("a program of a type that newer kernels have is named", { before: "5.14" }, () => {
  const error = assertThrows(() => load("called"), BpfError, 'the kernel refuses program "called" unseen');
  assertEquals([error.code, error.reason], ["EINVAL", "unsupported"]);
});

objectTest("programs that no link holds say what holds them", { since: "5.14" }, () => {
  using object = load("socket_filter", "called", "xdp_devmap");
  const says = (name: string, words: string) => assertThrows(() => object.attach(name), TypeError, words);
  says("socket_filter", "SO_ATTACH_BPF");
  says("called", "run(");
  says("xdp_devmap", "devmap");
});

objectTest("an object that is not loaded, or closed, attaches nothing", {}, () => {
  using object = BpfObject.open(objectPath("attach"), { programs: ["sk_lookup"] });
  assertThrows(() => object.attach("sk_lookup"), TypeError, "call load() first");
  assertThrows(() => object.attachAll(), TypeError, "call load() first");
  object.close();
  assertThrows(() => object.attach("sk_lookup"), Deno.errors.BadResource, "closed");
  assertThrows(() => object.attachAll(), Deno.errors.BadResource, "closed");
});

// ---- ends

objectTest("links end before their object, the last first", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  const object = load("cgroup_egress");
  const links = [1, 2].map(() => object.attach("cgroup_egress", { cgroup: cgroup.path }));
  const later = await object.attachAsync("cgroup_egress", { cgroup: cgroup.path });
  assertEquals(openHandles().filter(({ kind }) => kind === "link").length, 3);
  object.close();
  assert([...links, later].every((link) => link.closed));
  assertEquals(openHandles(), []);
});

objectTest("a link may end before its object, many times", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using object = load("cgroup_egress");
  for (let i = 0; i < 200; i++) {
    using _link = object.attach("cgroup_egress", { cgroup: cgroup.path });
  }
  assertEquals(openHandles().filter(({ kind }) => kind === "link"), []);
});

objectTest(
  "an object that is closed while a program is being attached leaves nothing",
  { needs: ["cgroup2"] },
  async () => {
    using cgroup = new Cgroup();
    const object = load("cgroup_egress");
    const attaching = object.attachAsync("cgroup_egress", { cgroup: cgroup.path });
    object.close();
    await assertRejects(() => attaching, Deno.errors.BadResource, "closed meanwhile");
    assertEquals(openHandles(), []);
  },
);

// ---- all at once

const BOTH = ["cgroup_egress", "cgroup_ingress", "sk_lookup", "socket_filter"];

objectTest("all programs are attached as one, in their order", { needs: ["cgroup2", "netns"] }, async () => {
  using cgroup = new Cgroup();
  const place = { cgroup: cgroup.path };
  {
    using object = load(...BOTH);
    using links = object.attachAll({ cgroup_egress: place, cgroup_ingress: place });
    assertEquals(links.links.map(({ type }) => type), ["netns", "cgroup", "cgroup"]);
  }
  assertEquals(openHandles(), []);
  await using object = load(...BOTH);
  await using links = await object.attachAllAsync({ cgroup_egress: place, cgroup_ingress: false });
  assertEquals(links.links.map(({ type }) => type), ["netns", "cgroup"]);
});

objectTest(
  "a program for tc, whose section names no direction, is not passed over",
  { needs: ["netns"], since: "6.6" },
  () => {
    using object = load("tc", "sk_lookup");
    assertThrows(() => object.attachAll(), LeftOpenError, '{ device: "eth0", direction: "ingress" }');
    using links = object.attachAll({ tc: { device: "lo", direction: "egress" } });
    assertEquals(links.links.map(({ type }) => type).sort(), ["netns", "tcx"]);
  },
);

objectTest("all or none are attached", { needs: ["cgroup2", "netns"] }, async () => {
  using cgroup = new Cgroup();
  using object = load(...BOTH);
  const place = { cgroup: cgroup.path }, nowhere = { cgroup: `${cgroup.path}/nowhere` };
  const none = () => assertEquals(openHandles().filter(({ kind }) => kind === "link"), []);
  assertThrows(
    () => object.attachAll({ cgroup_egress: place }),
    TypeError,
    "object.attachAll({ cgroup_ingress: { cgroup",
  );
  assertThrows(() => object.attachAll({ cgroup_egres: place } as never), TypeError, 'did you mean "cgroup_egress"');
  assertThrows(() => object.attachAll({ cgroup_egress: 5 } as never), TypeError, "or false to leave it out");
  none();
  const all = { cgroup_egress: place, cgroup_ingress: nowhere };
  const why = 'Cannot attach "cgroup_ingress", so none is attached: ';
  const error = assertThrows(() => object.attachAll(all), AggregateError, why);
  assertInstanceOf(error.errors[0], BpfError);
  none();
  await assertRejects(() => object.attachAllAsync(all), AggregateError, why);
  none();
});

// ---- USDT

const USDT = { values: [42, -7], provider: "demo", name: "probe" };

function victimWithProbe(): Victim {
  const functions = [{ name: "_start", code: CODE_OF.start }, { name: "work", code: CODE_OF.work }];
  return new Victim(functions, { probes: [{ ...USDT, at: 1 }] });
}

objectTest("a USDT probe passes its arguments and a cookie", { since: "5.15" }, () => {
  using victim = victimWithProbe();
  using object = load("usdt");
  const { provider, name } = USDT, place = { path: victim.path, provider, name };
  {
    using probe = object.attach("usdt", { ...place, cookie: 0x1234_5678_9abc_def0n });
    victim.run();
    assertEquals([...object.globals.values], USDT.values);
    assertEquals(object.globals.cookie, 0x1234_5678_9abc_def0n);
    assert(!probe.closed);
    assertEquals(probe instanceof UsdtProbe, probe.type === "usdt");
  }
  victim.run();
  assertEquals(runs(object), 1n);
  assertThrows(() => object.attach("usdt"), TypeError, '{ path: "/usr/bin/bash", provider: "libc", name: "NAME" }');
  const fails = (more: object, reason: string, words: RegExp) => {
    const error = assertThrows(() => object.attach("usdt", { ...place, ...more }), BpfError);
    assertEquals(error.reason, reason);
    assertMatch(error.message, words);
  };
  fails({ name: "none" }, "gone", /has no probe demo:none/);
  fails({ path: `${victim.directory}/none` }, "gone", /there is no file/);
  fails({ path: "/proc/self/comm" }, "invalid", /no executable or library/);
  fails({ path: objectPath("attach") }, "invalid", /no executable or library/);
  using plain = new Victim();
  fails({ path: plain.path }, "gone", /has no USDT probes/);
});

objectTest("a USDT probe is a link where the kernel has one for many places", { since: "6.6" }, () => {
  using victim = victimWithProbe();
  using object = load("usdt");
  const { provider, name } = USDT, place = { path: victim.path, provider, name };
  using link = object.attach("usdt", place) as Link<"uprobe_multi">;
  const info = link.info();
  assertEquals([info.type, info.count, info.offsets[0]!.offset], ["uprobe_multi", 1, victim.work]);
  assertEquals(link.onClose, "detach");
});

objectTest(
  "a USDT probe ends with its object, with its signal, and its places are free again",
  { since: "5.15" },
  () => {
    using victim = victimWithProbe();
    const { provider, name } = USDT, place = { path: victim.path, provider, name };
    const object = load("usdt");
    const abort = new AbortController();
    const ended = object.attach("usdt", { ...place, signal: abort.signal });
    abort.abort();
    assert(ended.closed);
    for (let i = 0; i < 9; i++) { // the object's map has 4 places
      using _probe = object.attach("usdt", place);
    }
    const last = object.attach("usdt", place);
    object.close();
    assert(last.closed);
    assertEquals(openHandles(), []);
  },
);

// ---- what is said before the object is loaded

objectTest("a program is for another function than its section's, or for that of another program", {
  needs: ["trampolines"],
}, () => {
  using object = BpfObject.load(objectPath("attach"), {
    programs: ["bare_fentry", "fentry"],
    attachTo: { bare_fentry: "vfs_unlink", fentry: "security_inode_rmdir" },
  });
  using links = object.attachAll();
  assertEquals(links.links.map(({ type }) => type), ["tracing", "tracing"]);
  unlink();
  assertEquals(runs(object), 1n, "not that of the section");
  Deno.removeSync(Deno.makeTempDirSync({ prefix: "bpf-link-test-" }));
  assertEquals(runs(object), 2n);
});

objectTest("an extension replaces a function of another object's program, until its link ends", {
  needs: ["ext"],
}, () => {
  using target = BpfObject.load(objectPath("extension_target"));
  const program = target.program("ask"), answer = () => program.run({ data: new Uint8Array(64) }).returnValue;
  using object = BpfObject.load(objectPath("extension"), { attachTo: { replaced: { program, symbol: "answer" } } });
  assertEquals(answer(), 1);
  {
    using link = object.attach("replaced");
    assertEquals(link.type, "tracing");
    assertEquals(answer(), 42);
  }
  assertEquals(answer(), 1);
});

objectTest("programs of an array by declaration are called in turn", {}, () => {
  using object = BpfObject.load(objectPath("tail_calls"));
  assertEquals(object.program("first").run({ data: new Uint8Array(64) }).returnValue, 7);
  assertEquals([...object.globals.reached], [1, 1, 1]);
  using links = object.attachAll(); // none of them has a link
  assertEquals(links.links, []);
});

// ---- struct_ops

const CC = "/proc/sys/net/ipv4/tcp_available_congestion_control";

objectTest("a map of struct_ops registers what it implements, until its link ends", {
  needs: ["vm", "trampolines"],
  since: "6.4",
}, () => {
  const isThere = () => Deno.readTextFileSync(CC).split(/\s+/).includes("bpf_link_cc");
  const object = BpfObject.load(objectPath("struct_ops_link"));
  // libbpf writes the map's value when it attaches it
  const early = assertThrows(() => Link.attach(object.map("object_link_cc").map, { type: "struct_ops" }), BpfError);
  assertMatch(early.hint!, /object\.attach\(\)/);
  {
    using link = object.attach("object_link_cc");
    assertEquals(link.type, "struct_ops");
    assert(isThere());
    const info = link.info();
    assert(info.type === "struct_ops" && info.mapId > 0);
  }
  assert(!isThere());
  assertThrows(() => object.attach("ssthresh" as never), TypeError, "object.attach(MAP)");
  assertThrows(() => object.attach("object_link_cc", { device: "lo" } as never), TypeError, "no field");
  using links = object.attachAll();
  assertEquals(links.links.map(({ type }) => type), ["struct_ops"]);
  assert(isThere());
  object.close();
  assert(!isThere());
});

objectTest("a map of struct_ops without a link says how it gets one", { needs: ["vm", "trampolines"] }, () => {
  using object = BpfObject.load(objectPath("struct_ops"));
  assertThrows(() => object.attach("object_cc"), TypeError, 'SEC(".struct_ops.link")');
});
