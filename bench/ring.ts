/** Records of a ring buffer, as they come, against libbpf's ring_buffer: how many, and how soon. */
import { BpfMap, Program } from "../mod.ts";
import { assemble, call, copy, exit, mapValue, set, store } from "../tests/fixture/program/assembler.ts";
import { intoRing, testRun } from "../tests/kernel/counting.ts";
import { median, type Row, type Rows, type Surroundings } from "./table.ts";

const RATE = 2_000_000, LATENCY = 1_000, ROUNDS = 5;
const PAUSE_US = 1_000;
const KTIME_GET_NS = 5;

type What = "ring_rate" | "ring_latency";

/** Another process produces, for one after the other: all records are 8 bytes long. C handles each in place, we copy. */
export const ring: Record<What, Rows> = {
  ring_rate: (surroundings) => compare("ring buffer, a record of many", "ring_rate", RATE, 0, surroundings),
  ring_latency: (surroundings) =>
    compare("ring buffer, from record to reader", "ring_latency", LATENCY, PAUSE_US, surroundings),
};

async function* compare(
  what: string,
  name: What,
  count: number,
  pauseUs: number,
  { twin }: Surroundings,
): AsyncGenerator<Row> {
  using map = BpfMap.create({ type: "ringbuf", maxEntries: 1024 * 1024 });
  using program = timesInto(map);
  const inC: number[] = [], ours: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await using _producer = produce(twin, program, pauseUs);
    const { stdout } = await new Deno.Command(twin, { args: [name, String(map.id), String(count)] }).output();
    inC.push(Number(new TextDecoder().decode(stdout)));
    ours.push(name === "ring_rate" ? await timeEach(map, count) : await delayOf(map, count));
  }
  const c = median(inC), own = median(ours);
  yield { what, against: `C ${format(c)}`, ours: format(own), figure: own / c, unit: "x", bound: 1.3 };
}

function format(ns: number): string {
  return ns < 10_000 ? `${Math.round(ns)} ns` : `${(ns / 1000).toFixed(1)} us`;
}

/** Nanoseconds for each of `count` records. */
async function timeEach(map: BpfMap, count: number): Promise<number> {
  const start = performance.now();
  let taken = 0;
  for await (const _ of map.records()) if (++taken === count) break;
  return (performance.now() - start) * 1e6 / count;
}

/** Nanoseconds from the time in a record to its being there. */
async function delayOf(map: BpfMap, count: number): Promise<number> {
  const offset = clockOffset(), delays: number[] = [];
  for await (const record of map.records()) {
    delays.push(performance.now() * 1e6 + offset - Number(new DataView(record.buffer).getBigUint64(0, true)));
    if (delays.length === count) break;
  }
  return median(delays);
}

/** What the kernel's clock is ahead of ours, in nanoseconds: as the shortest of many looks at both has it. */
function clockOffset(): number {
  using map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 1 });
  using program = Program.load({
    type: "sched_cls",
    instructions: assemble(call(KTIME_GET_NS), copy(6, 0), ...mapValue(1, map.fd), store(1, 0, 6), set(0, 0), exit),
  });
  let shortest = Infinity, offset = 0;
  for (let i = 0; i < 1_000; i++) {
    const before = performance.now();
    testRun(program, 1);
    const after = performance.now();
    if (after - before >= shortest) continue;
    shortest = after - before;
    offset = Number(new DataView(map.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true)) -
      (before + after) / 2 * 1e6;
  }
  return offset;
}

/** A program that writes the time into a ring, a record for each run. */
function timesInto(ring: BpfMap): Program {
  return Program.load({
    type: "sched_cls",
    instructions: assemble(
      call(KTIME_GET_NS),
      store(10, -8, 0),
      ...intoRing(ring),
      set(0, 0),
      exit,
    ),
  });
}

function produce(twin: string, program: Program, pauseUs: number): AsyncDisposable {
  const args = ["produce", String(program.id), String(pauseUs)];
  const process = new Deno.Command(twin, { args, stdin: "piped" }).spawn();
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      await process.stdin.close();
      await process.status;
    },
  };
}
