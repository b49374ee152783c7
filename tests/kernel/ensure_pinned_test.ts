/** `Link.ensurePinned`: who comes first makes the link, who comes later takes it over, and the place is never empty. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type AttachTarget, BpfError, Hook, Link, type LinkType, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns } from "../fixture/place/netns.ts";
import { assemble, exit, set } from "../fixture/program/assembler.ts";
import {
  answering,
  cgroupEgress,
  netfilter,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { SINCE } from "../fixture/run/expectations.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { assertGone } from "../fixture/run/state.ts";
import { delay, until } from "../fixture/run/wait.ts";
import { type Place, ROWS } from "./conformance.ts";
import { Ensurer } from "./ensurer.ts";

const RACES = Number(Deno.env.get("BPF_LINK_TEST_RACES") ?? 500);
const NEEDS = { needs: ["cgroup2", "bpffs", "netns"] } as const;
const RAW = { type: "raw_tracepoint", name: "oom_score_adj_update" } as const;

type Ensured = ReturnType<typeof Link.ensurePinned>;

/** Ensures, whatever the type of the target. */
function ensure(path: string, program: Program, target: AttachTarget, options?: { replace?: boolean }): Ensured {
  return Link.ensurePinned(path, program, target as Parameters<typeof Link.ensurePinned>[2], options) as Ensured;
}

/** Detaches and unpins what is pinned, so that nothing is left of it. */
function discard(path: string): void {
  using link = Link.openPinned(path);
  try {
    link.detach();
  } catch (error) {
    if (!(error instanceof BpfError && error.reason === "unsupported")) throw error;
  }
  link.unpin();
}

async function infosOf(type: LinkType, fits: (info: Record<string, unknown>) => boolean): Promise<number[]> {
  const ids = [];
  // other sources look twice at some links, and leave out those that end in between
  for await (const info of Link.infos({ types: [type], source: "syscall" })) {
    if (fits(info as unknown as Record<string, unknown>)) ids.push(info.id);
  }
  return ids;
}

/** Whether this kernel hides what a link is attached to: only who says `replace` gets his way. */
function isUntold(place: Place): boolean {
  return place.info.event === "unknown";
}

for (const row of ROWS) {
  const requirements = { needs: [...row.needs, "bpffs"], since: SINCE[row.name]!.reattach! } as const;

  kernelTest(`${row.name}: created, then taken over`, requirements, async () => {
    await using place = await row.place();
    using pins = new PinDirectory();
    const path = pins.pin("link");
    using first = row.program("pass");
    let id;
    {
      using ensured = ensure(path, first, place.target);
      assertEquals([ensured.outcome, ensured.link.pinnedPath, ensured.link.onClose], ["created", path, "keep"]);
      id = ensured.link.id;
    }
    using second = row.program("pass");
    const outcome = row.hasUpdate ? "updated" : "replaced";
    const untold = isUntold(place);
    if (untold || row.takesOne) {
      const { reason } = assertThrows(() => ensure(path, second, place.target), BpfError);
      assertEquals(reason, untold ? "mismatch" : "busy");
      using link = Link.openPinned(path);
      assertEquals([link.id, pins.pins], [id, ["link"]]);
    }
    if (row.takesOne) return;
    {
      await using ensured = ensure(path, second, place.target, { replace: untold });
      assertEquals([ensured.outcome, ensured.link.pinnedPath], [outcome, path]);
      assertEquals([ensured.link.type, ensured.link.info().programId], [row.type, second.id]);
      assertEquals(ensured.link.id === id, row.hasUpdate);
    }
    assertEquals(pins.pins, ["link"]);
    if (!row.hasUpdate) await assertGone(id);
    discard(path);
  });

  kernelTest(`${row.name}: the same program again`, requirements, async () => {
    await using place = await row.place();
    using pins = new PinDirectory();
    using program = row.program("pass");
    for (const expected of ["created", row.hasUpdate ? "updated" : undefined]) {
      using ensured = ensure(pins.pin("link"), program, place.target, { replace: isUntold(place) });
      if (expected !== undefined) assertEquals(ensured.outcome, expected);
      assertEquals([ensured.link.info().programId, ensured.link.attached() ?? true], [program.id, true]);
    }
    discard(pins.pin("link"));
  });

  kernelTest(`${row.name}: a program that does not fit changes nothing`, requirements, async () => {
    await using place = await row.place();
    using pins = new PinDirectory();
    const path = pins.pin("link");
    // said, not guessed from the program: the misfit may fit another attach type
    const { attachType } = place.info, isCgroup = place.target.type === "cgroup";
    const target = { ...place.target, ...(isCgroup ? { attachType } : {}) } as AttachTarget;
    using program = row.program("pass");
    using misfit = row.misfit();
    assertThrows(() => ensure(path, misfit, target));
    assertEquals(pins.pins, []);
    using ensured = ensure(path, program, target);
    for (const replace of [false, true]) assertThrows(() => ensure(path, misfit, target, { replace }));
    assertEquals([ensured.link.info().programId, ensured.link.attached() ?? true], [program.id, true]);
    assertEquals(pins.pins, ["link"]);
    discard(path);
  });

  if (!row.hasDetach) continue;
  kernelTest(`${row.name}: a detached link is replaced`, requirements, async () => {
    await using place = await row.place();
    using pins = new PinDirectory();
    const path = pins.pin("link");
    using program = row.program("pass");
    using dead = ensure(path, program, place.target);
    dead.link.detach();
    using ensured = ensure(path, program, place.target);
    assertEquals(ensured.outcome, "replaced");
    assert(ensured.link.attached() !== false && ensured.link.id !== dead.link.id);
    discard(path);
  });
}

/** Two places that a link of one type can be attached to. */
const PLACES: readonly {
  name: string;
  since?: string;
  load: () => Program;
  here: AttachTarget | ((cgroup: string) => AttachTarget);
  elsewhere: AttachTarget | ((cgroup: string) => AttachTarget);
}[] = [
  {
    name: "cgroup",
    load: cgroupEgress,
    here: (cgroup) => ({ type: "cgroup", cgroup, attachType: "cgroup_inet_egress" }),
    elsewhere: (cgroup) => ({ type: "cgroup", cgroup: `${cgroup}/..`, attachType: "cgroup_inet_egress" }),
  },
  {
    name: "tcx",
    since: "6.6",
    load: tcx,
    here: { type: "tcx", device: "lo", direction: "ingress" },
    elsewhere: { type: "tcx", device: "lo", direction: "egress" },
  },
  {
    name: "netfilter",
    since: "6.4",
    load: netfilter,
    here: { type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 },
    elsewhere: { type: "netfilter", family: "ipv4", hook: "local_in", priority: 8 },
  },
  {
    name: "iter",
    since: "6.1",
    load: () => taskIterator("x"),
    here: { type: "iter" },
    elsewhere: { type: "iter", task: { pid: Deno.pid } },
  },
  { name: "raw_tracepoint", load: rawTracepoint, here: RAW, elsewhere: { ...RAW, name: "sched_process_exit" } },
  {
    name: "tracepoint",
    since: "6.6",
    load: () => answering(0, { type: "tracepoint" }),
    here: { type: "tracepoint", category: "sched", name: "sched_process_exec" },
    elsewhere: { type: "tracepoint", category: "sched", name: "sched_process_exit" },
  },
];

for (const { name, since, load, here, elsewhere } of PLACES) {
  kernelTest(`${name}: another target is left alone, unless told`, { ...NEEDS, since: since ?? "5.10" }, async () => {
    using parent = new Cgroup();
    using cgroup = new Cgroup(parent.path);
    using pins = new PinDirectory();
    const path = pins.pin("link");
    const [one, two] = [here, elsewhere].map((place) => typeof place === "function" ? place(cgroup.path) : place) as [
      AttachTarget,
      AttachTarget,
    ];
    using program = load();
    using another = load();
    using old = ensure(path, program, one);
    const error = assertThrows(() => ensure(path, another, two), BpfError, "something else");
    assertEquals([error.reason, error.code], ["mismatch", "EEXIST"]);
    assertEquals([old.link.info().programId, pins.pins], [program.id, ["link"]]);
    {
      using ensured = ensure(path, another, two, { replace: true });
      assertEquals([ensured.outcome, ensured.link.info().programId], ["replaced", another.id]);
      assert(ensured.link.id !== old.link.id && old.link.attached() !== true);
    }
    old.link.close();
    await assertGone(old.link.id);
    discard(path);
  });
}

const PERF_EVENTS = { ...NEEDS, since: SINCE.tracepoint!.attach! } as const;

kernelTest("perf events of which the kernel reports nothing are not taken over unless told", PERF_EVENTS, () => {
  using program = answering(0, { type: "tracepoint" });
  using another = answering(0, { type: "tracepoint" });
  const target = { type: "tracepoint", category: "sched", name: "sched_process_exec" } as const;
  using pins = new PinDirectory();
  const path = pins.pin("link");
  using old = Link.ensurePinned(path, program, target);
  const isTold = old.link.info().event !== "unknown"; // Linux 6.6
  if (!isTold) assertThrows(() => Link.ensurePinned(path, another, target), BpfError, "does not report");
  using again = Link.ensurePinned(path, another, target, { replace: !isTold });
  assertEquals(again.outcome, "replaced");
  discard(path);
});

kernelTest("a link whose cgroup is gone is replaced", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = cgroupEgress();
  const path = pins.pin("link"), target = { type: "cgroup", attachType: "cgroup_inet_egress" } as const;
  const gone = new Cgroup();
  using dead = Link.ensurePinned(path, program, { ...target, cgroup: gone.path });
  gone[Symbol.dispose]();
  await until(() => dead.link.attached() === false, "the kernel has noticed");
  using cgroup = new Cgroup();
  using ensured = Link.ensurePinned(path, program, { ...target, cgroup: cgroup.path });
  assertEquals([ensured.outcome, ensured.link.info().cgroupId], ["replaced", cgroup.id]);
  discard(path);
});

kernelTest("the same number in another network namespace is another target", NEEDS, async () => {
  using pins = new PinDirectory();
  await using other = new OtherNetns();
  using program = xdp();
  using another = xdp();
  const path = pins.pin("link");
  using old = Link.ensurePinned(path, program, { type: "xdp", device: "lo", mode: "generic" });
  const there = { type: "xdp", device: "lo", mode: "generic", netns: other.path } as const;
  assertEquals(assertThrows(() => Link.ensurePinned(path, another, there), BpfError).reason, "mismatch");
  assertEquals(old.link.info().programId, program.id);
  using ensured = Link.ensurePinned(path, another, there, { replace: true });
  assertEquals([ensured.outcome, old.link.attached()], ["replaced", false]);
  using again = Link.ensurePinned(path, program, there);
  assertEquals([again.outcome, again.link.id], ["updated", ensured.link.id]);
  discard(path);
});

kernelTest("what is no link, or no pin, is left alone", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  const path = pins.pin("program");
  program.pin(path);
  const ensure = (path: string) => Link.ensurePinned(path, program, { type: "netns" }, { replace: true });
  const reasonOf = (path: string) => assertThrows(() => ensure(path), BpfError).reason;
  assertEquals(reasonOf(path), "mismatch");
  assertEquals(pins.pins, ["program"]);
  assertEquals(reasonOf(pins.path), "invalid"); // a directory
  assertEquals(reasonOf(pins.pin("a.b")), "invalid");
  assertEquals(reasonOf(pins.pin("nowhere/link")), "gone");
  const file = Deno.makeTempFileSync();
  try {
    assertEquals([reasonOf(file), reasonOf(`${file}2`)], ["invalid", "invalid"]);
  } finally {
    Deno.removeSync(file);
  }
  assertThrows(() => ensure(""), TypeError);
  const options = { replaced: true } as { replace?: boolean };
  assertThrows(() => Link.ensurePinned(path, program, { type: "netns" }, options), TypeError, "replaced");
  program.unpin();
});

/** The program `return value`, for an ensurer. */
function instructions(value: number): number[] {
  return [...assemble(set(0, value), exit)];
}

kernelTest(`two processes at once, ${RACES} times: one creates, the other takes over`, NEEDS, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
  const program = {
    type: "cgroup_skb",
    expectedAttachType: target.attachType,
    instructions: instructions(1),
  } as const;
  await using one = new Ensurer({ target, program });
  await using other = new Ensurer({ target, program });
  for (let i = 0; i < RACES; i++) {
    const path = pins.pin("link");
    const answers = await Promise.all([one.ensure(path), other.ensure(path)]);
    const [outcomes, ids] = [0, 1].map((part) => answers.map((answer) => answer.split(" ")[part]));
    assertEquals(outcomes!.toSorted(), ["created", "updated"], `race ${i}`);
    assertEquals(ids![0], ids![1]);
    assertEquals([pins.pins, Hook.query(target).entries.length], [["link"], 1]);
    discard(path);
  }
});

/** Lets two processes ensure one pin all the time, and looks into the place meanwhile. */
async function neverEmpty(
  ensurers: readonly [Ensurer, Ensurer],
  path: string,
  isEmpty: () => boolean | Promise<boolean>,
): Promise<void> {
  await ensurers[0].ensure(path);
  let isOver = false, looks = 0;
  const over = Promise.all(ensurers.map((ensurer) => ensurer.ensure(path, Math.min(300, RACES))))
    .then(() => "all went well", (error) => error)
    .finally(() => isOver = true);
  while (!isOver) {
    assertEquals(await isEmpty(), false, `look ${looks}`);
    looks++;
    await delay(0);
  }
  assertEquals(await over, "all went well");
  assert(looks > 0);
}

kernelTest("no gap while a link is updated again and again", NEEDS, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const path = pins.pin("link");
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
  const program = {
    type: "cgroup_skb",
    expectedAttachType: target.attachType,
    instructions: instructions(1),
  } as const;
  await using one = new Ensurer({ target, program });
  await using other = new Ensurer({ target, program });
  await neverEmpty([one, other], path, () => Hook.query(target).entries.length === 0);
  assertEquals(Hook.query(target).entries.length, 1);
  discard(path);
});

/** Before, a raw tracepoint took a program once, and the last link with it ends some time after its pin. */
const TAKES_TWICE = { ...NEEDS, since: "6.10" } as const;

kernelTest("no gap while a link is replaced again and again", TAKES_TWICE, async () => {
  using pins = new PinDirectory();
  const path = pins.pin("link");
  const program = { type: "raw_tracepoint", instructions: instructions(0) } as const;
  await using one = new Ensurer({ target: RAW, program });
  await using other = new Ensurer({ target: RAW, program });
  const others = new Set(await infosOf("raw_tracepoint", () => true));
  // ids grow, so a walk meets a newer link after the one that it replaces
  const there = () => infosOf("raw_tracepoint", ({ id, name }) => name === RAW.name && !others.has(id as number));
  await neverEmpty([one, other], path, async () => (await there()).length === 0);
  const end = performance.now() + 10_000;
  let left = await there();
  for (; left.length !== 1 && performance.now() < end; left = await there()) await delay(10);
  assertEquals([left.length, pins.pins], [1, ["link"]]);
  discard(path);
});

kernelTest("a program that the tcx hook has already leaves the pinned link alone", { ...NEEDS, since: "6.6" }, () => {
  using pins = new PinDirectory();
  const path = pins.pin("link"), target = { type: "tcx", device: "lo", direction: "ingress" } as const;
  using first = tcx(0);
  using second = tcx(0);
  using _created = Link.ensurePinned(path, first, target);
  using _other = Link.attach(second, target);
  assertEquals(assertThrows(() => Link.ensurePinned(path, second, target), BpfError).reason, "exists");
  using link = Link.openPinned(path);
  assertEquals([link.attached(), link.info().programId], [true, first.id]);
  discard(path);
});
