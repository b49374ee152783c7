/** Records of a ring buffer, as they come, against libbpf's ring_buffer: how many, and how soon. */
import { keepThreads } from "../lib/ffi/library.ts";
import { system } from "../lib/ffi/request.ts";
import { ringMap, ringRead, ringUnmap, ringWait } from "../lib/ffi/ring.ts";
import { Call } from "../lib/ffi/symbols.ts";
import { close } from "../lib/sys/mod.ts";
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLET, EPOLLIN } from "../lib/uapi/linux.ts";
import { BpfMap, Program, type RecordOptions } from "../mod.ts";
import { assemble, call, copy, exit, mapValue, set, store } from "../tests/fixture/program/assembler.ts";
import { intoRing, testRun } from "../tests/kernel/counting.ts";
import { median, type Row, type Rows, type Surroundings } from "./table.ts";

const RATE = 2_000_000, LATENCY = 1_000, ROUNDS = 5;
const PAUSE_US = 1_000;
const KTIME_GET_NS = 5;

/** A way to take records: nanoseconds for each, or from its time to its being there. */
type Way = (map: BpfMap, count: number) => Promise<number>;

/** Another process produces, for one after the other: all records are 8 bytes long. */
export const ring: Record<string, Rows> = {
  ring_rate: compare("ring_rate", RATE, 0, [{ what: "ring buffer, a record of many", way: timeEach, bound: 1.3 }]),
  // As a rule another thread waits. What Deno takes to come back from there is most of it, and no program can do without.
  ring_latency: compare("ring_latency", LATENCY, PAUSE_US, [
    { what: "ring buffer, record to reader, busyPollMs", way: delayBusy, bound: 1.3 },
    { what: "  while another thread waits", way: delayOf },
    { what: "  of it Deno's way back from that thread", way: delayOfThread },
  ]),
};

function compare(
  name: "ring_rate" | "ring_latency",
  count: number,
  pauseUs: number,
  rows: readonly { what: string; way: Way; bound?: number }[],
): Rows {
  return async function* ({ twin }: Surroundings): AsyncGenerator<Row> {
    using map = BpfMap.create({ type: "ringbuf", maxEntries: 1024 * 1024 });
    using program = timesInto(map);
    const inC: number[] = [], ours: number[][] = rows.map(() => []);
    for (let round = 0; round < ROUNDS; round++) {
      await using _producer = produce(twin, program, pauseUs);
      const { stdout } = await new Deno.Command(twin, { args: [name, String(map.id), String(count)] }).output();
      inC.push(Number(new TextDecoder().decode(stdout)));
      for (const [i, { way }] of rows.entries()) ours[i]!.push(await way(map, count));
    }
    const c = median(inC);
    for (const [i, { what, bound }] of rows.entries()) {
      const own = median(ours[i]!);
      const row = { what, against: `C ${format(c)}`, ours: format(own), figure: own / c, unit: "x" };
      yield bound === undefined ? row : { ...row, bound };
    }
  };
}

function format(ns: number): string {
  return ns < 10_000 ? `${Math.round(ns)} ns` : `${(ns / 1000).toFixed(1)} us`;
}

async function timeEach(map: BpfMap, count: number): Promise<number> {
  const start = performance.now();
  let taken = 0;
  for await (const _ of map.records()) if (++taken === count) break;
  return (performance.now() - start) * 1e6 / count;
}

function delayBusy(map: BpfMap, count: number): Promise<number> {
  return delayOf(map, count, { busyPollMs: 100 });
}

async function delayOf(map: BpfMap, count: number, options: RecordOptions = {}): Promise<number> {
  const offset = clockOffset(), delays: number[] = [];
  for await (const record of map.records(options)) {
    delays.push(performance.now() * 1e6 + offset - timeIn(record));
    if (delays.length === count) break;
  }
  return median(delays);
}

/** The wait of {@linkcode delayOf} alone, as short as it can be: what comes after it is not counted. */
async function delayOfThread(map: BpfMap, count: number): Promise<number> {
  const offset = clockOffset(), delays: number[] = [];
  const epoll = system(Call.epoll_create1, [EPOLL_CLOEXEC]), records = new Uint8Array(64 * 1024);
  system(Call.epoll_ctl, [epoll, EPOLL_CTL_ADD, map.fd], (request) => {
    request.u32(request.room(24, 16), (EPOLLIN | EPOLLET) >>> 0);
  });
  ringMap(map.fd, map.info().maxEntries, false);
  using threads = keepThreads();
  const ready = new Uint32Array(1), nothingHeld = new Uint8Array(), thread = system(Call.gettid, []);
  while (delays.length < count) {
    await ringWait(threads, epoll, thread, ready, nothingHeld);
    const now = performance.now() * 1e6 + offset;
    let read = ringRead(map.fd, 0, records);
    if (read === 16) delays.push(now - timeIn(records.subarray(8)));
    while (read > 0) read = ringRead(map.fd, read, records);
  }
  ringUnmap(map.fd);
  close(epoll);
  return median(delays);
}

function timeIn(record: Uint8Array<ArrayBuffer>): number {
  return Number(new DataView(record.buffer, record.byteOffset).getBigUint64(0, true));
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
