/**
 * What is left after very many links, and after long mixed work: `deno task soak`, as long as `BPF_LINK_TEST_MINUTES`
 * says. fds, links, programs and maps are compared by the wrapper of all tests; here memory is looked at too.
 */
import { assert, assertEquals } from "@std/assert";
import { type AttachTarget, BpfMap, Link, openHandles, type Program } from "../../mod.ts";
import { closeIterator } from "../../lib/listing/iterator.ts";
import { Steps } from "../fault/steps.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import {
  answering,
  cgroupEgress,
  flowDissector,
  netfilter,
  skLookup,
  taskIterator,
  tcx,
} from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { collectGarbage, liveBytes } from "../fixture/run/memory.ts";
import { delay } from "../fixture/run/wait.ts";

const CYCLES = Number(Deno.env.get("BPF_LINK_TEST_CYCLES") ?? 100_000);
const MINUTES = Number(Deno.env.get("BPF_LINK_TEST_MINUTES") ?? 10);
/** Cycles between two turns of the event loop, in which the kernel frees what was ended. */
const PIECE = 1000;
/** A byte a cycle would be a leak of something; compiled code takes some. */
const LIVE_BYTES = 100_000;
/** What resident memory may grow by once the work has gone on for a quarter: V8's heap and malloc's arenas breathe. */
const RESIDENT_BYTES = 24 * 1024 * 1024;

const NEEDS = { needs: ["cgroup2", "bpffs", "netns"], since: "6.6" } as const;

const event = { type: "software", config: "cpu_clock", cpu: 0, samplePeriod: 1_000_000_000n } as const;
/** Links that are made and ended in a fraction of a millisecond; the others wait for the kernel each time. */
const CHEAP: readonly (readonly [name: string, program: () => Program, target: (cgroup: string) => AttachTarget])[] = [
  ["cgroup", cgroupEgress, (cgroup) => ({ type: "cgroup", cgroup, attachType: "cgroup_inet_egress" })],
  ["netns (sk_lookup)", skLookup, () => ({ type: "netns" })],
  ["netns (flow_dissector)", flowDissector, () => ({ type: "netns" })],
  ["netfilter", netfilter, () => ({ type: "netfilter", family: "ipv4", hook: "local_in", priority: 5 })],
  ["iter", () => taskIterator("p"), () => ({ type: "iter" })],
  ["perf_event", () => answering(0, { type: "perf_event" }), () => ({ type: "perf_event", event })],
];

for (const [name, load, targetIn] of CHEAP) {
  kernelTest(`${CYCLES} ${name} links in ${CYCLES} scopes leave nothing`, NEEDS, async () => {
    using cgroup = new Cgroup();
    using program = load();
    const target = targetIn(cgroup.path);
    await soak(name, () => {
      using _link = Link.attach(program, target);
    });
  });
}

for (
  const [name, make] of [
    ["programs", () => tcx()],
    ["maps", () => BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 })],
  ] as const
) {
  kernelTest(`${CYCLES} ${name} in ${CYCLES} scopes leave nothing`, NEEDS, () =>
    soak(name, () => {
      using _made = make();
    }));
}

/** Does it very often, and compares memory before and after. */
async function soak(name: string, cycle: () => void): Promise<void> {
  const some = async (count: number) => {
    for (let i = 0; i < count; i++) {
      cycle();
      if (i % PIECE === 0) await delay(1);
    }
  };
  await some(CYCLES / 10); // compiles what there is to compile
  const handles = openHandles().length,
    live = await liveBytes(),
    { rss } = Deno.memoryUsage(),
    start = performance.now();
  await some(CYCLES);
  const us = (performance.now() - start) * 1000 / CYCLES;
  const grown = await liveBytes() - live, resident = Deno.memoryUsage().rss - rss;
  console.log(`${name}: ${us.toFixed(0)} us each, live memory ${kilobytes(grown)}, resident ${kilobytes(resident)}`);
  assertEquals(openHandles().length, handles);
  assert(grown < LIVE_BYTES, `live memory grew by ${grown} bytes`);
  assert(resident < RESIDENT_BYTES, `resident memory grew by ${resident} bytes`);
}

kernelTest(
  `${MINUTES} minutes of mixed work leave nothing`,
  { ...NEEDS, deadlineMs: (MINUTES + 5) * 60_000 },
  async () => {
    using directory = new PinDirectory();
    using steps = new Steps(directory.path);
    const all = Object.entries(steps.all), usual = new Map<string, unknown>();
    for (const [name, step] of all) usual.set(name, await step.run());
    const begin = performance.now(), length = MINUTES * 60_000;
    const samples: Sample[] = [];
    let done = 0;
    for (let passed; (passed = performance.now() - begin) < length; done++) {
      const [name, step] = all[Math.floor(Math.random() * all.length)]!;
      const result = await step.run(), expected = usual.get(name);
      // who holds a link cannot be told for certain while another process looks at it
      if (!step.accepts?.(result, expected, "")) assertEquals(result, expected, name);
      if (passed >= samples.length * length / 20) samples.push(await sample(passed));
    }
    samples.push(await sample(length));
    console.log(`${done} operations of ${all.length} kinds\nminute   fds  bpf  handles  live KB  resident KB`);
    for (const { ms, fds, bpf, handles, live, rss } of samples) {
      const columns = [[fds, 6], [bpf, 5], [handles, 9], [live, 9], [rss, 13]] as const;
      console.log(
        (ms / 60_000).toFixed(1).padStart(6) + columns.map(([n, width]) => String(n).padStart(width)).join(""),
      );
    }
    const later = samples.slice(samples.length / 4), last = later.at(-1)!;
    for (const count of ["fds", "bpf", "handles"] as const) {
      assertEquals(last[count], later[0]![count], `${count} grow`);
    }
    assert((last.rss - later[0]!.rss) * 1024 < RESIDENT_BYTES, "resident memory grows");
    assertEquals(directory.pins, []);
  },
);

/** What this process holds at a moment at which it does nothing. */
interface Sample {
  readonly ms: number;
  readonly fds: number;
  readonly bpf: number;
  readonly handles: number;
  readonly live: number;
  readonly rss: number;
}

async function sample(ms: number): Promise<Sample> {
  closeIterator();
  await collectGarbage();
  const files = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return ""; // that of the directory being read
    }
  }).filter((file) => file !== "" && !/_cache_v\d/.test(file));
  const { heapUsed, rss } = Deno.memoryUsage();
  return {
    ms,
    fds: files.length,
    bpf: files.filter((file) => file.includes("bpf")).length,
    handles: openHandles().length,
    live: Math.round(heapUsed / 1024),
    rss: Math.round(rss / 1024),
  };
}

function kilobytes(bytes: number): string {
  return `${bytes > 0 ? "+" : ""}${Math.round(bytes / 1024)} KB`;
}
