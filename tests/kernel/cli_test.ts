/** The command `bpflink`, in a process that may do nothing but load the library. */
import { assert, assertEquals } from "@std/assert";
import type { EntryRecord, HookRecord, LinkRecord } from "../../lib/cli/mod.ts";
import { holderOf, holderText } from "../../lib/cli/holder.ts";
import { Request } from "../../lib/ffi/request.ts";
import { close, open } from "../../lib/sys/mod.ts";
import { ATTACH_TYPES, type AttachTypeName, BpfMap, Hook, Link, probe, type Program, toJson } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { answerOf, bpflink, commandLine, startBpflink } from "../fixture/process/bpflink.ts";
import { withOnly, WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import {
  answering,
  flowDissector,
  rawTracepoint,
  skLookup,
  skMsg,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { firstWith } from "../fixture/run/expectations.ts";
import { isOlder, kernelTest } from "../fixture/run/kernel.ts";
import { inOwnVm, mountPoints, netnsIno } from "../fixture/run/own.ts";

const EGRESS = "cgroup_inet_egress", INGRESS = "cgroup_inet_ingress";

/** A program of a cgroup's hook with a name. */
function judge(name: string, expectedAttachType: AttachTypeName = EGRESS): Program {
  return answering(1, { type: "cgroup_skb", expectedAttachType, name });
}

/** A tcx program with a name, which goes on to the next one. */
function next(name: string): Program {
  return answering(-1, { type: "sched_cls", name });
}

/** This process, as a holder in a few words. */
const OURSELVES = holderText(holderOf({ kind: "process", pid: Deno.pid, command: "deno", fd: 0 }));

/** The path of a cgroup from where its file system is mounted. */
function belowMount(path: string): string {
  return path.slice(mountPoints("cgroup2").find((mount) => path.startsWith(mount))!.length);
}

const idsOf = (links: readonly LinkRecord[] | undefined) => links?.map(({ id }) => id);

/** What need not be seen on other kernels: an emulated machine takes many seconds to start the command. */
function hostTest(...[name, requirements, test]: Parameters<typeof kernelTest>): void {
  const missing = inOwnVm() ? "needs a machine that is not emulated" : requirements.missing;
  kernelTest(name, { ...requirements, missing }, test);
}

kernelTest("list and show: the info, names, holders", { needs: ["cgroup2", "bpffs"], since: "5.19" }, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  using program = judge("named");
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path }, { onClose: "detach" });
  link.pin(pins.pin("link"));
  const expected = {
    ...toJson(link.info()),
    programName: "named",
    cgroupPath: cgroup.path,
    holders: [
      holderOf({ kind: "process", pid: Deno.pid, command: "deno", fd: link.fd }),
      { kind: "pin", path: pins.pin("link") },
    ],
    holdersPartial: false,
  };
  const sources = ["iterator", "syscall", "proc"].slice(isOlder(Deno.osRelease(), "6.2") ? 1 : 0);
  for (const source of sources) {
    const partial = source === "proc";
    const answer = await answerOf(["list", "--source", source, "--cgroup", cgroup.path], partial ? 4 : 0);
    assertEquals(answer, { links: [expected as unknown as LinkRecord], source: source as "proc", partial });
  }
  for (const which of [`${link.id}`, pins.pin("link")]) {
    assertEquals(await answerOf(["show", which]), { links: [expected as unknown as LinkRecord] });
  }
  const { code, output } = await bpflink(["list", "--cgroup", cgroup.path]);
  const [titles, line, ...more] = output.trimEnd().split("\n");
  assertEquals([code, titles!.split(/ +/).join(" "), more], [0, "ID TYPE WHERE PROGRAM HELD BY", []]);
  const holders = `${OURSELVES}, ${pins.pin("link")}`;
  assertEquals(
    line!.split(/ {2,}/),
    [`${link.id}`, "cgroup", `${belowMount(cgroup.path)} inet_egress`, `${program.id} named`, holders],
  );
  const shown = await bpflink(["show", `${link.id}`]);
  for (const text of [cgroup.path, EGRESS, "named", holders.split(", ")[0]!, pins.pin("link")]) {
    assert(shown.output.includes(text), shown.output);
  }
});

hostTest("list and tree at 80 columns: no two cgroups look alike, a line a link, namespaces by name", {
  needs: ["cgroup2", "netns"],
  missing: whyNot("script", /util-linux/),
}, async () => {
  using top = new Cgroup();
  using stack = new DisposableStack();
  const below = (parent: string, name: string) => {
    const path = `${parent}/${name}`;
    Deno.mkdirSync(path);
    stack.defer(() => Deno.removeSync(path));
    return path;
  };
  const slice = below(below(top.path, "kubepods.slice"), "kubepods-burstable.slice");
  const pods = ["frontend", "backend", "database"].map((name) => below(slice, `kubepods-burstable-pod-${name}.slice`));
  await using other = new OtherNetns();
  using program = judge("quota"), lookup = skLookup(), guard = xdp();
  const at = { type: "cgroup", attachType: EGRESS } as const;
  const links = pods.map((cgroup) => stack.use(Link.attach(program, { ...at, cgroup })));
  using there = Link.attach(guard, { type: "xdp", device: "lo", netns: other.path });
  using here = Link.attach(lookup, { type: "netns" });
  const id = (link: Link) => `${link.id}`;
  const wide = await bpflink(["list", "--pid", `${Deno.pid}`]);
  const lineOf = (text: string, link: Link) =>
    text.split("\n").find((line) => line.includes(` ${id(link)} `) || line.startsWith(`${id(link)} `))!;
  if (toJson(here.info()).netnsIno !== undefined) assert(lineOf(wide.output, here).includes("own netns sk_lookup"));
  const { links: found } = await answerOf(["list", "--pid", `${Deno.pid}`]);
  if (found!.find((link) => link.id === there.id)!.netnsIno !== undefined) {
    assert(lineOf(wide.output, there).includes(`lo in netns of ${other.pid}`), wide.output);
  }
  const list = lines(await onTerminal("stty cols 80; $0", ["list", "--pid", `${Deno.pid}`]));
  const tree = lines(await onTerminal("stty cols 80; $0", ["tree", "--pid", `${Deno.pid}`]));
  for (const text of [list, tree]) assertEquals(text.filter((line) => [...line].length > 80), []);
  const shown = links.map((link) => /^\d+ +(.*?) {2}/.exec(lineOf(list.join("\n"), link))![1]!);
  assertEquals(new Set(shown).size, links.length, shown.join("\n"));
  for (const link of [...links, there, here]) {
    assertEquals(tree.filter((line) => line.includes(` ${id(link)} `)).length, 1, tree.join("\n"));
  }
  // names of programs are whole, and stand for their ids
  for (const text of [list, tree]) assertEquals(text.filter((line) => / quota( |$)/.test(line)).length, links.length);
  const directories = tree.filter((line) => line.includes("pod-"));
  assertEquals(directories.map((line) => /pod-(\w+)/.exec(line)![1]), ["backend", "database", "frontend"]);
});

hostTest("list: filters", { needs: ["cgroup2", "netns"] }, async () => {
  using cgroup = new Cgroup();
  using inner = new Cgroup(cgroup.path);
  using pair = new VethPair();
  using program = judge("filtered"), filter = xdp(), lookup = skLookup();
  using atCgroup = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  using below = Link.attach(program, { type: "cgroup", cgroup: inner.path });
  using atDevice = Link.attach(filter, { type: "xdp", device: pair.name });
  using atNetns = Link.attach(lookup, { type: "netns" });
  const all = [atCgroup, below, atDevice, atNetns].map(({ id }) => id);
  const wanted: [filters: string[], ids: number[]][] = [
    [["--cgroup", cgroup.path], [atCgroup.id]],
    [["--device", pair.name], [atDevice.id]],
    [["--device", `${pair.ifindex}`], [atDevice.id]],
    [["--program", "filtered"], [atCgroup.id, below.id]],
    [["--program", `${filter.id}`], [atDevice.id]],
    [["--type", "xdp", "--type", "netns"], [atDevice.id, atNetns.id]],
    [["--pid", `${Deno.pid}`], all],
    [["--pid", `${Deno.pid}`, "--type", "cgroup", "--cgroup", inner.path], [below.id]],
  ];
  const answers = await Promise.all(wanted.map(([filters]) => answerOf(["list", ...filters])));
  answers.forEach(({ links }, i) => {
    assertEquals(idsOf(links)!.filter((id) => all.includes(id)), wanted[i]![1], wanted[i]![0].join(" "));
  });
  for (const command of ["list", "tree"]) {
    assertEquals((await bpflink([command, "--program", "nobody"])).output, "no links\n"); // not silence
  }
});

hostTest("links at interfaces: what the iterator reports", { needs: ["netns"], since: "6.6" }, async () => {
  await using other = new OtherNetns();
  using onPackets = xdp();
  using onBuffers = tcx();
  using atDriver = Link.attach(onPackets, { type: "xdp", device: "lo" });
  using atIngress = Link.attach(onBuffers, { type: "tcx", device: "lo", direction: "ingress" });
  const areListedAlike = async (links: readonly { id: number }[], devices: readonly (string | undefined)[]) => {
    const [chosen, reported] = await Promise.all([["list"], ["list", "--source", "iterator"]].map(async (args) => {
      const listed = (await answerOf(args)).links!;
      return links.map(({ id }) => listed.find((link) => link.id === id));
    }));
    assertEquals(chosen, reported);
    assertEquals(chosen!.map((link) => link?.deviceName), devices);
  };
  await areListedAlike([atDriver, atIngress], ["lo", "lo"]);
  using there = Link.attach(onBuffers, { type: "tcx", device: "lo", direction: "ingress", netns: other.path });
  await areListedAlike([atDriver, atIngress, there], ["lo", "lo", undefined]);
});

hostTest("names of interfaces are those of the own network namespace only", { needs: ["netns"] }, async () => {
  await using other = new OtherNetns();
  using filter = xdp();
  using here = Link.attach(filter, { type: "xdp", device: "lo" });
  using there = Link.attach(filter, { type: "xdp", device: "lo", netns: other.path });
  const { links } = await answerOf(["list", "--type", "xdp"]);
  const [ours, theirs] = [here, there].map(({ id }) => links!.find((link) => link.id === id)!);
  assertEquals([ours!.ifindex, theirs!.ifindex, theirs!.deviceName], [1, 1, undefined]);
  if (ours!.netnsIno !== undefined) assertEquals([ours!.netnsIno, ours!.deviceName], [netnsIno(), "lo"]);
  const { hooks } = await answerOf(["tree"]);
  const hooksOf = (id: number) => hooks!.filter(({ entries }) => entries.some(({ linkId }) => linkId === id));
  assertEquals(hooksOf(there.id).map(({ type, deviceName }) => [type, deviceName]), [["xdp", undefined]]);
  const [shown] = (await answerOf(["show", `${there.id}`])).links!;
  assertEquals([shown!.netnsIno, shown!.deviceName], [theirs!.netnsIno, undefined]);
  if (shown!.netnsIno !== undefined) {
    const { output } = await bpflink(["show", `${there.id}`]);
    assert(output.includes(`lo in netns of ${other.pid}`), output);
  }
});

hostTest("what is not there has status 3, what the kernel refuses 1", { needs: ["bpffs", "netns"] }, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  program.pin(pins.pin("program"));
  const outcomes: [args: string[], code: number, reason?: string][] = [
    [["show", "2147483646"], 3, "gone"],
    [["show", pins.pin("nothing")], 3, "gone"],
    [["detach", pins.pin("nothing"), "--yes"], 3, "gone"],
    [["unpin", pins.pin("nothing")], 3, "gone"],
    [["list", "--cgroup", pins.pin("nothing")], 3, "gone"],
    [["list", "--cgroup", "/proc"], 2], // its inode has the number of the root cgroup
    [["list", "--pid", "2147483647"], 3, "gone"],
    [["hook", "xdp", "no-such-device"], 3, "gone"],
    [["list", "--device", "no-such-device"], 3, "gone"],
    [["pin", `${link.id}`, pins.pin("nothing/link")], 3, "gone"],
    [["show", pins.pin("program")], 1, "mismatch"],
    [["pin", `${link.id}`, pins.pin("a.b")], 1, "invalid"],
    [["update", `${link.id}`, `${program.id}`, "--expected", pins.pin("nothing")], 3, "gone"],
  ];
  const answers = await Promise.all(outcomes.map(([args, code]) => answerOf(args, code)));
  answers.forEach(({ error }, i) => {
    const [args, status, reason] = outcomes[i]!;
    assertEquals([error!.status, error!.reason], [status, reason], `${args.join(" ")}: ${error!.message}`);
  });
  const { code, output, errors } = await bpflink(["pin", `${link.id}`, pins.pin("a.b")]);
  assertEquals([code, output], [1, ""]);
  const { message, hint } = answers.find(({ error }) => error!.reason === "invalid")!.error!;
  assertEquals(errors, `bpflink: ${message}\n  hint: ${hint}\n`);
  program.unpin();
});

hostTest("pin, update, unpin, detach", { needs: ["bpffs", "netns"] }, async () => {
  using pins = new PinDirectory();
  using first = skLookup(), second = skLookup();
  using link = Link.attach(first, { type: "netns" });
  second.pin(pins.pin("second"));
  const path = pins.pin("link");
  const pinned = await answerOf(["pin", `${link.id}`, path]);
  assertEquals(pinned.links![0]!.holders!.at(-1), { kind: "pin", path });
  assertEquals(pins.pins, ["link", "second"]);
  await answerOf(["pin", path, pins.pin("again")]);
  await answerOf(["unpin", pins.pin("again")]);
  assertEquals(pins.pins, ["link", "second"]);

  await answerOf(["update", path, pins.pin("second"), "--expected", `${first.id}`]);
  assertEquals(link.info().programId, second.id);
  const lost = await answerOf(["update", path, `${first.id}`, "--expected", `${first.id}`], 1);
  assertEquals([lost.error!.reason, link.info().programId], ["mismatch", second.id]);

  const unasked = await bpflink(["detach", path]);
  assertEquals([unasked.code, unasked.output, link.attached()], [2, "", true]);
  assert(unasked.errors.includes("--yes"), unasked.errors);

  await answerOf(["unpin", path]);
  assertEquals(pins.pins, ["second"]);
  const { where } = /^where +(?<where>.*)$/m.exec((await bpflink(["show", `${link.id}`])).output)!.groups!;
  const detached = await bpflink(["detach", `${link.id}`, "--yes"]);
  assertEquals([detached.code, detached.errors, link.attached()], [0, "", false]);
  assert(detached.output.includes(`still held by ${OURSELVES}`), detached.output);
  assert(detached.output.startsWith(`detached link ${link.id} (netns ${where}, `), detached.output);
  second.unpin();
});

hostTest("detach: of a type that has none, the kernel's refusal", { needs: [] }, async () => {
  using program = rawTracepoint();
  using link = Link.attach(program, { type: "raw_tracepoint", name: "sched_switch" });
  const { error } = await answerOf(["detach", `${link.id}`, "--yes"], 1);
  assertEquals([error!.reason, error!.code], ["unsupported", "EOPNOTSUPP"]);
});

const CHAIN = { needs: ["netns"], since: "6.6" } as const;

kernelTest("hook: as Hook.query has it", CHAIN, async () => {
  using a = next("a"), b = next("b");
  using last = Link.attach(a, { type: "tcx", device: "lo", direction: "ingress" });
  using first = Link.attach(b, { type: "tcx", device: "lo", direction: "ingress", position: { before: last } });
  const { revision, entries, effective } = Hook.query({ type: "tcx", device: "lo", direction: "ingress" });
  const { hooks } = await answerOf(["hook", "tcx", "lo", "ingress"]);
  const expected = { type: "tcx", place: "lo ingress", revision: `${revision}`, ordered: true, entries, effective };
  assertEquals(hooks, [expected as unknown as HookRecord]);
  assertEquals(entries.map(({ linkId }) => linkId), [first.id, last.id]);
  const { output } = await bpflink(["hook", "tcx", "1", "ingress"]);
  const lines = output.split("\n"),
    linesOf = ({ id }: { id: number }) => lines.filter((line) => line.startsWith(`${id} `));
  assert(output.indexOf(linesOf(first)[0]!) < output.indexOf(linesOf(last)[0]!), output);
  assertEquals(linesOf(first).length, 1, output); // what runs is what is attached
  const elsewhere = await answerOf(["hook", "tcx", "lo", "egress", "--netns", "/proc/self/ns/net"]);
  assertEquals(elsewhere.hooks![0]!.entries, []);
});

hostTest("hook: of a map", { since: "6.10" }, async () => {
  using map = BpfMap.create({ type: "sockmap", keySize: 4, valueSize: 4, maxEntries: 1 });
  using program = skMsg();
  using link = Link.attach(program, { type: "sockmap", map });
  const { hooks } = await answerOf(["hook", "sockmap", `${map.id}`, "sk_msg_verdict"]);
  assertEquals(hooks![0]!.entries, [{ programId: program.id, attachFlags: 0, linkId: link.id }]);
});

hostTest("hook: what a cgroup inherits", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  using inner = new Cgroup(cgroup.path);
  using a = judge("a"), b = judge("b");
  using above = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  using here = Link.attach(b, { type: "cgroup", cgroup: inner.path });
  const { hooks } = await answerOf(["hook", "cgroup", inner.path, EGRESS]);
  const { entries, effective } = hooks![0]!;
  assertEquals(entries.map(({ linkId }) => linkId), [here.id]);
  assertEquals(effective!.map(({ linkId }) => linkId).sort(), [above.id, here.id].sort());
  // as tree and list show it
  const path = belowMount(inner.path);
  assertEquals((await answerOf(["hook", "cgroup", path, "inet_egress"])).hooks![0]!.entries, entries);
  assertEquals(idsOf((await answerOf(["list", "--cgroup", path])).links), [here.id]);
  assert((await bpflink(["hook", "cgroup", path, "inet_egress"])).output.includes("what runs, in order"));
});

hostTest("probe: as probe() has it", {}, async () => {
  const { targets } = await answerOf(["probe"]);
  assertEquals(targets, { ...probe() });
  const { cgroup, iter } = probe();
  assertEquals([cgroup.attach.answer, iter.cookie.answer], ["yes", "no"]);
  assert((await answerOf(["probe", "tcp"], 2)).error!.message.includes("TYPE must be one of"));
  const { code, output } = await bpflink(["probe", "cgroup", "iter"]);
  assertEquals(code, 0);
  assert(output.includes(`iter cookie: ${iter.cookie.reason}`), output);
});

hostTest("watch: an event a line, and SIGINT ends it", { needs: ["netns"] }, async () => {
  using first = skLookup(), second = skLookup();
  using link = Link.attach(first, { type: "netns" });
  const child = startBpflink(["watch", "--json", "--type", "netns", "--interval", "10"]);
  const lines = linesOf(child.stdout);
  const event = async (kind: string) => {
    for (let step; !(step = await lines.next()).done;) {
      const { event, partial } = JSON.parse(step.value);
      if (event.link.id === link.id && event.kind === kind) return { ...event, partial };
    }
  };
  try {
    assertEquals((await event("present")).link.programId, first.id);
    const before = Date.now();
    link.update(second);
    const changed = await event("changed");
    const time = Date.parse(changed.time);
    assert(before <= time && time <= Date.now(), changed.time);
    assertEquals([changed.what, changed.before.programId, changed.link.programId], [["program"], first.id, second.id]);
    link.detach();
    assertEquals((await event("changed")).what, ["attached"]);
    link.close();
    assertEquals((await event("removed")).partial, false);
  } finally {
    child.kill("SIGINT");
  }
  await lines.return();
  const { code } = await child.status;
  assertEquals([code, await new Response(child.stderr).text()], [0, ""]);
});

hostTest("top: how often programs run, their order, sorted and once where nobody looks on", {
  needs: ["netns"],
  since: "6.6",
}, async () => {
  using pair = new VethPair();
  using program = rawTracepoint();
  using busy = Link.attach(program, { type: "raw_tracepoint", name: "sys_enter" });
  using stack = new DisposableStack();
  const at = { type: "tcx", device: pair.name, direction: "egress" } as const;
  const chain = ["one", "two"].map((name) =>
    stack.use(Link.attach(stack.use(next(name)), { ...at, position: "first" }))
  );
  const before = Date.now();
  const { time, links, partial } = await answerOf(["top", "--stats", "--interval", "200", "--sort", "load"]);
  assertEquals(partial, false);
  assert(before <= Date.parse(time!) && Date.parse(time!) <= Date.now(), time);
  const of = (link: Link) => links!.find(({ id }) => id === link.id)!;
  assert(of(busy).runsPerSecond! > 0 && of(busy).load! > 0, JSON.stringify(of(busy)));
  assert(BigInt(of(busy).runCount!) > 0n);
  assertEquals(chain.map((link) => of(link).order), [2, 1]);
  const loads = links!.map(({ load }) => load ?? -1);
  assertEquals(loads, loads.toSorted((a, b) => b - a));
  const { output } = await bpflink(["top", "--interval", "10", "--sort", "where"]);
  assert(/^ID +TYPE +WHERE +ORDER/.test(output), output);
  assert((await bpflink(["top", "--sort", "size"])).errors.includes("--sort must be one of id, type"));
});

hostTest("top and watch on a terminal: keys are not shown and q ends them, and the terminal is as it was", {
  needs: ["netns"],
  missing: whyNot("script", /util-linux/),
}, async () => {
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  for (const command of ["top", "watch"]) {
    const shown = await onTerminal(
      "stty cols 80 rows 24; $0; echo status $?; stty -a",
      [command, "--type", "netns"],
      { [`${link.id} `]: "ZZ/sk_lookup\r", ", filter: sk_lookup": "q" },
    );
    assert(shown.includes("status 0"), shown);
    assert(!shown.includes("ZZ"), shown);
    assert(new RegExp(`bpflink ${command} \\d\\d:\\d\\d:\\d\\d: `).test(shown), shown);
    const [screen, after] = shown.split("\x1b[?1049l") as [string, string];
    assert(/[^-]echo /.test(after) && /[^-]icanon/.test(after), after);
    const drawn = lines(screen.replace("\x1b[?25h", "").replaceAll("\x1b[H", "\n"));
    assertEquals(drawn.filter((line) => [...line].length > 80), []);
  }
  const screen = ["top", "--type", "netns", "--stats"];
  const narrow = lines(await onTerminal("stty cols 40 rows 8; $0", screen, { "LOAD": "q" }));
  assertEquals(narrow.filter((line) => [...line.replace("the end", "")].length > 40), []);
  assert(narrow.some((line) => / links? by load/.test(line)), narrow.join("\n"));
  for (const args of [["top", "--interval", "10"], ["list"]]) {
    const dumb = await onTerminal("unset NO_COLOR; TERM=dumb $0", [...args, "--type", "netns"]);
    assert(dumb.includes(`${link.id} `) && !dumb.includes("\x1b"), dumb);
  }
  const ended = await onTerminal("$0 & sleep 2; kill -TERM $!; wait $!; echo status $?", ["top"]);
  assert(ended.includes("status 0"), ended);
});

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

hostTest("names cannot command a terminal", { needs: ["cgroup2", "bpffs"] }, async () => {
  const evil = "\x1b[31m\u009b\u202e", harmless = "\\x1b[31m\\x9b\\u{202e}";
  using parent = new Cgroup();
  using pins = new PinDirectory();
  using program = judge("judge");
  const cgroup = `${parent.path}/${evil}`, pin = pins.pin(evil), comm = Deno.readTextFileSync("/proc/self/comm");
  Deno.mkdirSync(cgroup);
  const link = Link.attach(program, { type: "cgroup", cgroup, attachType: EGRESS }, { onClose: "detach" });
  link.pin(pin);
  Deno.writeTextFileSync("/proc/self/comm", evil);
  try {
    const { links } = await answerOf(["show", pin]);
    const { cgroupPath, holders } = links![0]!;
    assertEquals([cgroupPath, holders], [cgroup, [
      holderOf({ kind: "process", pid: Deno.pid, command: evil, fd: link.fd }),
      { kind: "pin", path: pin },
    ]]);
    for (
      const args of [["list"], ["tree"], ["show", pin], ["hook", "cgroup", cgroup, EGRESS], ["unpin", pin], [evil]]
    ) {
      const { output, errors } = await bpflink(args);
      assert((output + errors).includes(harmless), `${args[0]}: ${output}${errors}`);
      assertEquals((output + errors).match(/[^\n\P{Cc}]|\p{Cf}/gu), null);
    }
  } finally {
    Deno.writeTextFileSync("/proc/self/comm", comm.trimEnd());
    link.close();
    Deno.removeSync(cgroup);
  }
});

hostTest("a reader that goes away ends it quietly", { needs: ["netns"] }, async () => {
  using program = skLookup();
  using _ = Link.attach(program, { type: "netns" });
  for (const args of [["list"], ["tree", "--json"], ["watch"]]) {
    const child = startBpflink(args);
    await child.stdout.cancel();
    const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assertEquals([code, errors], [0, ""], args[0]);
  }
});

const SETPRIV = { needs: ["netns", "bpffs", "setpriv"], since: "6.2" } as const;
const WITH_BPF = withOnly("perfmon", "bpf");

kernelTest("with CAP_BPF and CAP_PERFMON: all links, with names; the order is missing", SETPRIV, async () => {
  using program = answering(1, { type: "sk_lookup", expectedAttachType: "sk_lookup", name: "chosen" });
  using link = Link.attach(program, { type: "netns" });
  const { links, ...rest } = await answerOf(["list"], 0, WITH_BPF);
  assertEquals(rest, { source: "iterator", partial: false });
  const { programName, holdersPartial, ...found } = links!.find(({ id }) => id === link.id)!;
  assertEquals([programName, holdersPartial], ["chosen", true]);
  assertEquals(found, { ...toJson(link.info()), holders: [] } as unknown as LinkRecord);
  assertEquals(idsOf((await answerOf(["show", `${link.id}`], 0, WITH_BPF)).links), [link.id]);
  const { hooks, partial } = await answerOf(["tree"], 4, WITH_BPF);
  const hook = hooks!.find(({ entries }) => entries.some(({ linkId }) => linkId === link.id))!;
  assertEquals([hook.ordered, partial], [false, true]);
});

kernelTest("status 4 where a process or a hook's links may not be seen", {
  ...SETPRIV,
  needs: ["cgroup2", "setpriv"],
}, async () => {
  using cgroup = new Cgroup();
  using inner = new Cgroup(cgroup.path);
  using program = judge("hidden");
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  const here = ["list", "--cgroup", cgroup.path], byName = ["--program", "hidden"];
  const { links, ...rest } = await answerOf([...here, ...byName], 0, WITH_BPF);
  assertEquals([idsOf(links), rest], [[link.id], { source: "iterator", partial: false }]);
  assertEquals((await answerOf([...here, "--pid", `${Deno.pid}`], 4, WITH_BPF)).links, []);
  const why = (await bpflink([...here, "--pid", `${Deno.pid}`], WITH_BPF)).output;
  assert(why.includes("the process lacks CAP_SYS_ADMIN"), why);
  assertEquals(idsOf((await answerOf([...here, "--program", `${program.id}`], 0, WITH_BPF)).links), [link.id]);
  const elsewhere = ["list", "--cgroup", inner.path];
  assertEquals((await answerOf([...elsewhere, ...byName], 0, WITH_BPF)).links, []); // no link, so no name is missing
  assertEquals(idsOf((await answerOf([...here, ...byName])).links), [link.id]);

  const hook = ["hook", "cgroup", cgroup.path, EGRESS], withNet = withOnly("net_admin");
  const { hooks, partial } = await answerOf(hook, 4, withNet);
  assertEquals([hooks![0]!.entries, partial], [[{ programId: program.id, attachFlags: 2 }], true]);
  const { code, output } = await bpflink(hook, withNet);
  assertEquals([code, output.split("\n")[2]!.split(/ +/)], [4, ["?", `${program.id}`, "2"]]);
  assertEquals((await answerOf(hook)).hooks![0]!.entries.map(({ linkId }) => linkId), [link.id]);
});

hostTest("without capabilities: what pins show, and that it is partial", SETPRIV, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" }, { onClose: "detach" });
  using unseen = Link.attach(program, { type: "netns" });
  link.pin(pins.pin("link"));
  const { links, ...rest } = await answerOf(["list"], 4, WITHOUT_CAPABILITIES);
  assertEquals(rest, { source: "proc", partial: true });
  assert(idsOf(links)!.includes(link.id) && !idsOf(links)!.includes(unseen.id));
  const { output } = await bpflink(["list"], WITHOUT_CAPABILITIES);
  assert(output.includes(`${pins.pin("link")}, ?`), output);
  assert(output.includes("Some links may be missing: the process lacks CAP_BPF and CAP_PERFMON"), output);
  const { error } = await answerOf(["show", `${unseen.id}`], 3, WITHOUT_CAPABILITIES);
  assert(error!.message.includes("the process lacks CAP_BPF and CAP_PERFMON"), error!.message);
  const top = await bpflink(["top", "--interval", "10"], WITHOUT_CAPABILITIES);
  assert(top.code === 4 && top.output.includes("the process lacks CAP_BPF and CAP_PERFMON"), top.output);
  const snapshot = await bpflink(["agent", "--snapshot"], WITHOUT_CAPABILITIES);
  assertEquals(snapshot.code, 4);
  assert(Array.isArray(JSON.parse(snapshot.output)) && snapshot.errors.includes("lacks CAP_BPF"), snapshot.errors);
  const [mount] = mountPoints("cgroup2");
  if (mount !== undefined) {
    const refused = await answerOf(["hook", "cgroup", mount, EGRESS], 1, WITHOUT_CAPABILITIES);
    assert(refused.error!.message.includes(`of cgroup "${mount}"`), refused.error!.message);
  }
  assertEquals((await answerOf(["hook", "tcx", "lo", "ingress"], 1, WITHOUT_CAPABILITIES)).error!.reason, "capability");
  assertEquals(
    (await answerOf(["detach", pins.pin("link"), "--yes"], 0, WITHOUT_CAPABILITIES)).links![0]!.attached,
    false,
  );
});

hostTest("on a terminal: within its width, bold headings, a question", {
  needs: ["netns", "bpffs"],
  missing: whyNot("script", /util-linux/),
}, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" }, { onClose: "detach" });
  link.pin(pins.pin("l".repeat(100)));
  const table = await onTerminal("stty cols 60; unset NO_COLOR; $0", ["list", "--type", "netns"]);
  assert(lines(table).some((line) => line.startsWith(`${link.id} `) && line.includes("…")), table);
  assertEquals(lines(table).filter((line) => [...line].length > 60), []);
  assert(table.includes("\x1b[1mID"), table);
  assert(!(await onTerminal("NO_COLOR=1 $0", ["list", "--type", "netns"])).includes("\x1b[1m"));
  const refused = await onTerminal("$0; echo status $?", ["detach", `${link.id}`], { "[y/N]": "n\n" });
  assert(refused.includes(`held by ${OURSELVES}`) && refused.includes("status 1"), refused);
  assertEquals(link.attached(), true);
  const done = await onTerminal("$0; echo status $?", ["detach", `${link.id}`], { "[y/N]": "y\n" });
  assert(done.includes("status 0"), done);
  assertEquals(link.attached(), false);
});

/** What a terminal shows, without commands to it. */
function lines(text: string): string[] {
  return text.split("\n").map((line) => line.replace(/\p{Cc}\[\??\d*\w/gu, "").trimEnd());
}

/**
 * What the command shows on a terminal, and what is typed there; `$0` in the shell's `script` stands for the command.
 * The shell waits at the end until all was read: what a terminal has not yet shown when its shell ends may get lost.
 */
async function onTerminal(
  shell: string,
  args: readonly string[],
  typed: { readonly [question: string]: string } = {},
): Promise<string> {
  const command = `${shell.replace("$0", commandLine(args).join(" "))}; echo the end; read _`;
  const child = new Deno.Command("script", {
    args: ["-qec", command, "/dev/null"],
    env: { TERM: "xterm" }, // whatever the tests themselves run in
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const answers = new Map(Object.entries({ ...typed, "the end\r\n": "\n" }));
  let shown = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    shown += text;
    for (const [question, answer] of answers) {
      if (!shown.includes(question)) continue;
      answers.delete(question);
      await writer.write(new TextEncoder().encode(answer));
    }
  }
  await writer.close();
  await child.status;
  return shown;
}

/** Why a command cannot be run, if it cannot: busybox has some that take other options. */
function whyNot(name: string, version: RegExp): string | undefined {
  try {
    const { stdout } = new Deno.Command(name, { args: ["--version"], stderr: "null" }).outputSync();
    if (version.test(new TextDecoder().decode(stdout))) return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return `needs ${name}`;
}

kernelTest(
  "tree: a program without a link, and the order of links with one program",
  { needs: ["cgroup2"] },
  async () => {
    using cgroup = new Cgroup();
    using program = judge("twice"), plain = judge("plain");
    using first = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
    using second = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
    const PROG_ATTACH = 8, MULTI = 2, directory = open(cgroup.path);
    const request = new Request(16).u32(0, directory).u32(4, plain.fd).u32(8, ATTACH_TYPES.indexOf(EGRESS));
    assertEquals(request.u32(12, MULTI).bpf(PROG_ATTACH), 0);
    close(directory);
    const [hook] = (await answerOf(["tree"])).hooks!.filter(({ cgroupPath }) => cgroupPath === cgroup.path);
    const { ordered, entries } = hook!;
    assertEquals([ordered, entries.map(({ programId, linkId }) => [programId, linkId])], [false, [
      [program.id, first.id],
      [program.id, second.id],
      [plain.id, undefined],
    ]]);
    const { code, output } = await bpflink(["hook", "cgroup", cgroup.path, EGRESS]);
    const column = output.split("\n").slice(2, 5).map((line) => line.split(" ")[0]);
    assertEquals([code, column], [4, ["?", "?", "-"]]);
  },
);

hostTest("tree: knows the links that are made while it looks", { needs: ["cgroup2"] }, async () => {
  using top = new Cgroup();
  using stack = new DisposableStack();
  using program = judge("late");
  let isOver = false, cgroup = top.path;
  const answer = answerOf(["tree"]).finally(() => isOver = true);
  for (let i = 0; i < 5000 && !isOver; i++) {
    if (i % 64 === 0) cgroup = stack.use(new Cgroup(top.path)).path;
    stack.use(Link.attach(program, { type: "cgroup", cgroup }));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const here = (await answer).hooks!.filter(({ cgroupPath }) => cgroupPath?.startsWith(top.path));
  const entries = here.flatMap(({ entries }) => entries);
  assert(entries.length > 0);
  assertEquals(entries.filter(({ link }) => link === undefined), []);
});

hostTest("tree: all that bpftool and the file system show, in their order", {
  needs: ["cgroup2", "bpffs", "netns"],
  since: firstWith("cgroup", "position")!,
  missing: whyNot("bpftool", /bpftool v/),
}, async () => {
  using pins = new PinDirectory();
  using top = new Cgroup();
  using left = new Cgroup(top.path), right = new Cgroup(top.path), deep = new Cgroup(left.path);
  using pair = new VethPair();
  using stack = new DisposableStack();
  const keep = <T extends Disposable>(thing: T): T => stack.use(thing);
  const links: Link[] = [];
  const attach = (...args: Parameters<typeof Link.attach>) => {
    const link = keep(Link.attach(...args));
    links.push(link);
    return link;
  };
  // two chains, whose order is not that of the ids
  for (const direction of ["ingress", "egress"] as const) {
    const at = { type: "tcx", device: pair.name, direction } as const;
    const middle = attach(keep(next("middle")), at);
    attach(keep(next("last")), { ...at, position: "last" });
    attach(keep(next("first")), { ...at, position: "first" });
    attach(keep(next("second")), { ...at, position: { before: middle } });
  }
  attach(keep(xdp()), { type: "xdp", device: pair.peer });
  attach(keep(skLookup()), { type: "netns" });
  attach(keep(flowDissector()), { type: "netns" });
  for (const { path } of [top, left, right, deep]) {
    for (const attachType of [EGRESS, INGRESS] as const) {
      const at = { type: "cgroup", cgroup: path, attachType } as const;
      const anchor = attach(keep(judge("anchor", attachType)), at);
      attach(keep(judge("behind", attachType)), { ...at, position: { after: anchor } });
      attach(keep(judge("before", attachType)), { ...at, position: { before: anchor } });
    }
  }
  attach(keep(taskIterator("t")), { type: "iter" });
  attach(keep(rawTracepoint()), { type: "raw_tracepoint", name: "sched_switch" });
  Deno.mkdirSync(pins.pin("below"));
  links.forEach((link, i) => i % 3 === 0 && link.pin(pins.pin(`below/link_${i}`)));
  const program = keep(next("pinned"));
  program.pin(pins.pin("program"));

  const { hooks, pins: otherPins } = await answerOf(["tree"]);
  const entryOf = new Map<number, { hook: HookRecord; entry: EntryRecord }>();
  for (const hook of hooks!) {
    for (const entry of hook.entries) if (entry.linkId !== undefined) entryOf.set(entry.linkId, { hook, entry });
  }
  for (const { id } of links) {
    const { holders } = entryOf.get(id)!.entry.link!;
    assert(holders!.some((holder) => holder.kind === "process" && holder.pid === Deno.pid), `link ${id} is ours`);
  }

  const shownLinks = (await bpftool("link")).filter(({ id }: { id: number }) => links.some((link) => link.id === id));
  assertEquals(shownLinks.length, links.length);
  for (const { id, prog_id, type, attach_type, cgroup_id, netns_ino, devname, target_name, tp_name } of shownLinks) {
    const { hook, entry } = entryOf.get(id)!, link = entry.link!;
    assertEquals([entry.programId, link.programId], [prog_id, prog_id]);
    if (typeof type === "string") assertEquals(hook.type, type); // the number of a type that it does not know
    const told = {
      attachType: attach_type,
      cgroupId: cgroup_id && `${cgroup_id}`,
      netnsIno: netns_ino,
      deviceName: devname,
      targetName: target_name,
      name: tp_name,
    };
    for (const [key, value] of Object.entries(told)) if (value !== undefined) assertEquals(link[key], value, key);
  }

  const shownCgroups = await bpftool("cgroup", "tree", top.path);
  assertEquals(shownCgroups.length, 4);
  for (const { cgroup, programs } of shownCgroups) {
    for (const attachType of [EGRESS, INGRESS]) {
      const [hook] = hooks!.filter((hook) => hook.cgroupPath === cgroup && hook.attachType === attachType);
      const shown = programs.filter((it: { attach_type: string }) => it.attach_type === attachType);
      assertEquals(hook!.entries.map(({ programId }) => programId), shown.map(({ id }: { id: number }) => id));
      assertEquals([hook!.ordered, shown.map(({ name }: { name: string }) => name)], [true, [
        "before",
        "anchor",
        "behind",
      ]]);
    }
  }
  const paths = (all: readonly { cgroupPath?: string }[]) => [...new Set(all.map(({ cgroupPath }) => cgroupPath))];
  const ours = hooks!.filter(({ cgroupPath }) => cgroupPath?.startsWith(top.path));
  assertEquals(paths(ours), shownCgroups.map(({ cgroup }: { cgroup: string }) => cgroup));

  const [net] = await bpftool("net");
  for (const { devname, id } of net.xdp) {
    const [hook] = hooks!.filter(({ type, deviceName }) => type === "xdp" && deviceName === devname);
    assertEquals(hook!.entries.map(({ programId }) => programId), [id]);
  }
  assert(net.xdp.some(({ devname }: { devname: string }) => devname === pair.peer));
  const dissectors = hooks!.filter(({ attachType }) => attachType === "flow_dissector").flatMap(({ entries }) =>
    entries
  );
  assertEquals(dissectors.map(({ programId }) => programId), net.flow_dissector.map(({ id }: { id: number }) => id));
  for (const direction of ["ingress", "egress"]) {
    const [hook] = hooks!.filter(({ place }) => place === `${pair.name} ${direction}`);
    assertEquals(hook!.entries.map(({ programName }) => programName), ["first", "second", "middle", "last"]);
    // bpftool shows tcx since its version 7.3
    const shown = net.tc.filter((it: { kind: string; devname: string }) =>
      it.kind === `tcx/${direction}` && it.devname === pair.name
    );
    if (shown.length > 0) {
      assertEquals(hook!.entries.map(({ linkId }) => linkId), shown.map((it: { link_id: number }) => it.link_id));
    }
  }

  const ourPins = [...entryOf.values()].flatMap(({ entry }) => entry.link!.holders!)
    .flatMap((holder) => holder.kind === "pin" ? [holder.path] : [])
    .concat(otherPins!.map(({ path }) => path))
    .filter((path) => path.startsWith(pins.path));
  const files = [...Deno.readDirSync(pins.pin("below"))].map(({ name }) => pins.pin(`below/${name}`));
  assertEquals(ourPins.sort(), [...files, pins.pin("program")].sort());
  assertEquals(otherPins!.filter(({ path }) => path === pins.pin("program")), [
    { path: pins.pin("program"), kind: "program", id: program.id, name: "pinned" },
  ]);
});

// deno-lint-ignore no-explicit-any
async function bpftool(...args: string[]): Promise<any> {
  const { success, stdout, stderr } = await new Deno.Command("bpftool", { args: ["-j", ...args] }).output();
  if (!success) throw new Error(`bpftool ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  // bpftool 7.1 forgets the braces of flow dissectors
  return JSON.parse(new TextDecoder().decode(stdout).replace(/\["id":(\d+)\]/, '[{"id":$1}]'));
}
