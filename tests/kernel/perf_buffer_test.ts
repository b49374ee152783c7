/** Readers of perf_event_array maps: a ring on each CPU. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BpfMap, type EventRecord, Program, type ProgramTypeName, type RecordStream } from "../../mod.ts";
import { add, assemble, call, copy, exit, load, loadMap, mapValue, set, store } from "../fixture/program/assembler.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { delay, until } from "../fixture/run/wait.ts";
import { Tally, testRun } from "./counting.ts";

const PERF_EVENT_OUTPUT = 25, CURRENT_CPU = -1;
const BUFFER = 4096;

/** An array for events, and a program that writes 0, 1, 2, … into it, each in so many bytes. */
class Events implements Disposable {
  readonly map: BpfMap;
  readonly tally = new Tally();
  readonly program: Program;
  readonly #data: BpfMap;

  constructor(bytes = 8, maxEntries = 64, type: ProgramTypeName = "sched_cls") {
    this.map = BpfMap.create({ type: "perf_event_array", keySize: 4, valueSize: 4, maxEntries });
    this.#data = BpfMap.create({ type: "array", valueSize: Math.max(bytes, 8), maxEntries: 1 });
    this.program = Program.load({
      type,
      instructions: assemble(
        copy(6, 1),
        ...mapValue(1, this.tally.map.fd),
        load(2, 1, 0),
        ...mapValue(4, this.#data.fd),
        store(4, 0, 2),
        add(2, 1),
        store(1, 0, 2),
        copy(1, 6),
        ...loadMap(2, this.map.fd),
        [0x18, 3, 0, 0, CURRENT_CPU], // its low half
        [0, 0, 0, 0, 0],
        set(5, bytes),
        call(PERF_EVENT_OUTPUT),
        set(0, 0),
        exit,
      ),
    });
  }

  /** Writes so many. */
  write(count: number): void {
    testRun(this.program, count);
  }

  [Symbol.dispose](): void {
    this.program.close();
    this.#data.close();
    this.tally[Symbol.dispose]();
    this.map.close();
  }
}

function number(record: EventRecord): number {
  return new DataView(record.buffer, record.byteOffset, record.length).getUint32(0, true);
}

/** A stream that is waiting for its first record. */
function begin(map: BpfMap, bytesPerCpu = BUFFER): { stream: RecordStream; first: ReturnType<RecordStream["next"]> } {
  const stream = map.records({ bytesPerCpu });
  return { stream, first: stream.next() };
}

/** So many further records, after the first. */
async function take({ stream, first }: ReturnType<typeof begin>, count: number): Promise<EventRecord[]> {
  const records = [(await first).value!];
  while (records.length < count) records.push((await stream.next()).value!);
  return records;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

kernelTest("perf buffer: records come with their CPU, those of each in order", {}, async () => {
  using events = new Events();
  const begun = begin(events.map);
  await delay(5); // it waits
  const cpus = new Set<number | undefined>();
  for (let round = 0; round < 20; round++) {
    events.write(3);
    const records = round === 0 ? await take(begun, 3) : [];
    while (records.length < 3) records.push((await begun.stream.next()).value!);
    assertEquals(records.map(number).toSorted((a, b) => a - b), range(3 * round, 3 * round + 3));
    for (const { cpu, length } of records) {
      cpus.add(cpu);
      assertEquals(length, 12); // what the kernel makes of 8
    }
    if (round % 5 === 0) await delay(2);
  }
  for (const cpu of cpus) assert(cpu! < navigator.hardwareConcurrency);
  assertEquals(begun.stream.lost, 0);
  await begun.stream.return();
});

kernelTest("perf buffer: rings that have gone round many times", {}, async () => {
  using events = new Events(100);
  const begun = begin(events.map), seen: number[] = [];
  await delay(0);
  for (let round = 0; round < 200; round++) {
    events.write(20);
    const records = round === 0 ? await take(begun, 20) : [];
    while (records.length < 20) records.push((await begun.stream.next()).value!);
    for (const record of records) {
      assert(record.length >= 100 && record.length < 108);
      seen.push(number(record));
    }
  }
  assertEquals(seen.toSorted((a, b) => a - b), range(0, 4000));
  begun.stream.close();
});

kernelTest("perf buffer: what a full ring has no room for is counted", {}, async () => {
  using events = new Events();
  const begun = begin(events.map);
  await delay(0);
  const written = 5000;
  events.write(written);
  const { stream } = begun;
  let taken = Number(!(await begun.first).done);
  const rest = (async () => {
    for await (const _ of stream) taken++;
  })();
  let more = 0;
  await until(() => {
    if (stream.lost > 0 && taken + stream.lost === written + more) return true;
    events.write(1); // each CPU reports with the next record
    more++;
    return false;
  }, () => `${taken} taken, ${stream.lost} lost of ${written + more}`);
  stream.close();
  await rest;
});

kernelTest("perf buffer: large records", {}, async () => {
  using events = new Events(60_000);
  const begun = begin(events.map, 256 * 1024);
  await delay(0);
  events.write(2);
  const records = await take(begun, 2);
  assertEquals(records.map(number).toSorted(), [0, 1]);
  for (const { length } of records) assert(length >= 60_000 && length < 60_008);
  begun.stream.close();
});

kernelTest("perf buffer: abort, return() and close() end it, and programs find no ring any more", {}, async () => {
  using events = new Events();
  const eventFds = () =>
    Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => name).filter((fd) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[perf_event]";
      } catch {
        return false;
      }
    }).length;
  const mapped = () => Deno.readTextFileSync("/proc/self/maps").match(/perf_event/g)?.length ?? 0;
  const before = eventFds();

  const abort = new AbortController();
  const step = events.map.records({ signal: abort.signal }).next();
  await delay(5);
  assert(eventFds() > before && mapped() > 0);
  abort.abort("enough");
  assertEquals(await step.catch((error: unknown) => error), "enough");
  assertEquals([eventFds(), mapped()], [before, 0]);

  const { stream, first } = begin(events.map);
  await delay(5);
  await assertRejects(() => events.map.records().next(), Deno.errors.Busy, "being read");
  assertEquals(await stream.return(), { done: true, value: undefined });
  assertEquals(await first, { done: true, value: undefined });
  events.write(3); // nobody hears them
  assertEquals([eventFds(), mapped()], [before, 0]);

  const again = begin(events.map);
  await delay(0);
  events.write(1);
  assertEquals(number((await again.first).value!), 3);
  const waiting = again.stream.next();
  events.map.close();
  assertEquals(await waiting, { done: true, value: undefined });
  assertEquals([eventFds(), mapped()], [before, 0]);
});

kernelTest(
  "perf buffer: each CPU has its ring, but for those beyond the map's elements",
  { needs: ["cpus"] },
  async () => {
    for (const [maxEntries, expected] of [[2, [0, 1, 0]], [1, [0, 0]]] as const) {
      using events = new Events(8, maxEntries, "raw_tracepoint");
      const begun = begin(events.map);
      await delay(0);
      for (const cpu of [0, 1, 0]) events.program.run({ cpu });
      const records = await take(begun, expected.length);
      assertEquals(records.map(({ cpu }) => cpu).toSorted(), expected.toSorted());
      begun.stream.close();
    }
  },
);

kernelTest("perf buffer: what is asked for is checked first", {}, async () => {
  using events = new Events();
  using ring = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  using array = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  const { map } = events;
  assertThrows(() => array.records(), TypeError, '"ringbuf" or "perf_event_array"');
  assertThrows(() => ring.records({ bytesPerCpu: 4096 }), TypeError, "bytesPerCpu");
  for (const bytesPerCpu of [0, 4095, 5000, 2 ** 31, 4096.5, NaN]) {
    assertThrows(() => map.records({ bytesPerCpu }), RangeError, "bytesPerCpu");
  }
  for (const busyPollMs of [-1, 2 ** 31, 0.5]) {
    assertThrows(() => map.records({ busyPollMs }), RangeError, "busyPollMs");
  }
  assertThrows(() => map.records({ busyPollMs: "1" as unknown as number }), TypeError, "busyPollMs");
  assertThrows(() => map.records({ pages: 8 } as object), TypeError, "pages");
  await map.records().return(); // never begun
});
