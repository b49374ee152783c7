/**
 * `Hook.attach` under concurrent change. Writers race to place programs "directly after X if X is there, else first",
 * and X "first": whatever the order in which they come, X ends up first. That cannot be had without the revision, which
 * careless writers show.
 *
 * 2,000 races with BPF_LINK_TEST_RACES=2000, fewer by default; a twentieth of them at an interface, where ending a
 * link takes milliseconds.
 */
import { assert, assertEquals } from "@std/assert";
import { Hook, Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { VethPair } from "../fixture/place/netns.ts";
import { connectDigit, tcxDigit } from "../fixture/program/programs.ts";
import { firstWith } from "../fixture/run/expectations.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { RaceWriter, type WriterOptions } from "./race_writer.ts";

const RACES = Number(Deno.env.get("BPF_LINK_TEST_RACES") ?? 200);
const WRITERS = 3;

/** How the writers go about it, and for how long. */
interface Race {
  readonly isCareful: boolean;
  isOver(races: number, misplaced: number): boolean;
}

/** How long careless writers may take to show what carelessness leads to. */
const PATIENCE_MS = 120_000;

/** Lets X and two others race until `isOver`, and returns in how many races X was not the first in the end. */
async function race(
  { target, load, isCareful, isOver }: {
    target: WriterOptions["target"];
    load: () => Program;
  } & Race,
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const base = stack.use(load());
  // while something stays attached, a tcx hook has each revision once
  stack.use(Link.attach(base, target));
  const programs = Array.from({ length: WRITERS }, () => stack.use(load()));
  const xId = programs[0]!.id;
  const writers = programs.map(({ id }) => stack.use(new RaceWriter({ target, programId: id, xId, isCareful })));
  const turn = () => Promise.all(writers.map((writer) => writer.turn()));
  let misplaced = 0;
  for (let races = 0; !isOver(races, misplaced); races++) {
    await turn();
    const ids = Hook.query(target).entries.map(({ programId }) => programId);
    assertEquals(new Set(ids), new Set([...programs, base].map(({ id }) => id)));
    if (ids[0] !== xId) misplaced++;
    await turn();
  }
  return misplaced;
}

/** A number of races between writers that go by the revision. */
function careful(count: number): Race {
  return { isCareful: true, isOver: (races) => races >= count };
}

/** As many as it takes writers that do not to misplace an entry. */
function careless(): Race {
  const end = performance.now() + PATIENCE_MS;
  return { isCareful: false, isOver: (_, misplaced) => misplaced > 0 || performance.now() > end };
}

const CGROUP = { needs: ["cgroup2"], since: firstWith("cgroup", "position")! } as const;
const TCX = { needs: ["netns"], since: "6.6" } as const;

async function inCgroup(how: Race): Promise<number> {
  using cgroup = new Cgroup();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet4_connect" } as const;
  return await race({ target, load: () => connectDigit(1), ...how });
}

async function atInterface(how: Race): Promise<number> {
  using veth = new VethPair();
  const target = { type: "tcx", device: veth.name, direction: "ingress" } as const;
  return await race({ target, load: () => tcxDigit(1), ...how });
}

kernelTest("cgroup: no entry is misplaced", CGROUP, async () => {
  assertEquals(await inCgroup(careful(RACES)), 0);
});

kernelTest("tcx: no entry is misplaced", TCX, async () => {
  assertEquals(await atInterface(careful(RACES / 20)), 0);
});

kernelTest(
  "cgroup: without the revision entries are misplaced",
  { ...CGROUP, needs: ["cgroup2", "cpus"] },
  async () => {
    assert(await inCgroup(careless()) > 0);
  },
);

kernelTest("tcx: without the revision entries are misplaced", { ...TCX, needs: ["netns", "cpus"] }, async () => {
  assert(await atInterface(careless()) > 0);
});
