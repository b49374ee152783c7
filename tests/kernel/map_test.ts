/** Maps: what each type does, iteration during change, ring buffers, pins. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  btfGetInfoByFd,
  btfLoad,
  close,
  mapCreate,
  mapLookupBatch,
  mapLookupElem,
  mapUpdateElem,
  tokenCreate,
} from "../../lib/sys/mod.ts";
import { ERRNO } from "../../lib/uapi/errno.ts";
import { BpfError, BpfMap, Link, type MapCreateOptions, openHandles, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { SocketPair } from "../fixture/place/socket_pair.ts";
import { assemble, call, copy, exit, loadMap, set, storeByte } from "../fixture/program/assembler.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { xdp } from "../fixture/program/programs.ts";
import { isOlder, kernelTest } from "../fixture/run/kernel.ts";
import { collectGarbage } from "../fixture/run/memory.ts";
import { delay, until } from "../fixture/run/wait.ts";
import { cookieProgram, countingProgram, recordingProgram, Tally, testRun } from "./counting.ts";

const NOTHING = new Uint8Array();

function u32(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

function u64(...values: bigint[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new BigUint64Array(values).buffer);
}

function number(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

function sorted(keys: Iterable<Uint8Array>): number[] {
  return Array.from(keys, number).sort((a, b) => a - b);
}

function refusal(fn: () => unknown): BpfError {
  const error = assertThrows(fn, BpfError);
  assert(error.hint !== undefined || error.reason !== "other", `${error.message} has no explanation`);
  return error;
}

kernelTest("map: hash", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 3, name: "some.map_1" });
  assertEquals([map.type, map.name, map.closed], ["hash", "some.map_1", false]);
  assertEquals(map.lookup(u32(1)), undefined);
  map.update(u32(1), u64(10n));
  map.update(u32(1), u64(11n));
  assertEquals(map.lookup(u32(1)), u64(11n));
  assertEquals(refusal(() => map.update(u32(1), u64(1n), { create: true })).reason, "exists");
  assertEquals(refusal(() => map.update(u32(2), u64(1n), { create: false })).reason, "gone");
  map.update(u32(2), u64(20n), { create: true });
  map.update(u32(2), u64(21n), { create: false });
  map.update(u32(3), u64(30n), {});
  assertEquals(refusal(() => map.update(u32(4), u64(1n))).reason, "limit");
  assertEquals(sorted(map.keys()), [1, 2, 3]);
  assertEquals(new Map(Array.from(map.entries(), ([key, value]) => [number(key), number(value)])).get(2), 21);
  assertEquals([map.delete(u32(2)), map.delete(u32(2))], [true, false]);
  assertEquals(sorted(map.keys()), [1, 3]);
});

kernelTest("map: what is returned is a copy", {}, () => {
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 2 });
  const first = map.lookup(u32(0))!, [, second] = map.entries().next().value!;
  map.update(u32(0), u32(7));
  map.lookup(u32(0));
  assertEquals([number(first), number(second)], [0, 0]);
});

kernelTest("map: array", {}, () => {
  using map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 3 });
  assertEquals(Array.from(map.keys(), number), [0, 1, 2]);
  map.update(u32(2), u64(5n));
  assertEquals(Array.from(map.entries(), ([, value]) => number(value)), [0, 0, 5]);
  assertEquals(map.lookup(u32(3)), undefined);
  assertEquals(refusal(() => map.update(u32(3), u64(1n))).reason, "limit");
  assertEquals(refusal(() => map.update(u32(1), u64(1n), { create: true })).reason, "exists");
  assertEquals(refusal(() => map.delete(u32(1))).reason, "unsupported");
});

const cpus = Deno.readTextFileSync("/sys/devices/system/cpu/possible").trim().split(",")
  .map((range) => range.split("-").map(Number))
  .reduce((sum, [from, to]) => sum + (to ?? from!) - from! + 1, 0);

for (const type of ["percpu_array", "percpu_hash", "lru_percpu_hash"] as const) {
  kernelTest(`map: ${type} has the values of all CPUs, each rounded up to 8 bytes`, {}, () => {
    using map = BpfMap.create({ type, keySize: 4, valueSize: 12, maxEntries: 1 });
    const value = new Uint8Array(16 * cpus);
    for (let cpu = 0; cpu < cpus; cpu++) value.fill(cpu + 1, cpu * 16, cpu * 16 + 12);
    map.update(u32(0), value);
    assertEquals(map.lookup(u32(0)), value);
    assertEquals([...map.entries()], [[u32(0), value]]);
    assertThrows(() => map.update(u32(0), new Uint8Array(12)), RangeError, `${16 * cpus} bytes`);
  });
}

kernelTest("map: lru_hash drops the oldest", {}, () => {
  using map = BpfMap.create({ type: "lru_hash", keySize: 4, valueSize: 4, maxEntries: 128 });
  for (let i = 0; i < 1000; i++) map.update(u32(i), u32(i));
  const keys = sorted(map.keys());
  assert(keys.length <= 128 && keys.length > 0);
  assertEquals(map.lookup(u32(999)), u32(999));
  assertEquals(map.lookup(u32(0)), undefined);
});

kernelTest("map: lpm_trie finds the longest prefix", {}, () => {
  using map = BpfMap.create({ type: "lpm_trie", keySize: 8, valueSize: 4, maxEntries: 16 });
  const prefix = (length: number, ...address: number[]) => new Uint8Array([...u32(length), ...address]);
  map.update(prefix(8, 10, 0, 0, 0), u32(8));
  map.update(prefix(24, 10, 1, 2, 0), u32(24));
  map.update(prefix(16, 10, 1, 0, 0), u32(16));
  const find = (...address: number[]) => {
    const value = map.lookup(prefix(32, ...address));
    return value && number(value);
  };
  assertEquals([find(10, 1, 2, 3), find(10, 1, 9, 9), find(10, 9, 9, 9), find(11, 0, 0, 0)], [24, 16, 8, undefined]);
  // the most specific come first
  const lengths = Array.from(map.keys(), number);
  assertEquals(lengths.toSorted((a, b) => a - b), [8, 16, 24]);
  assert(lengths.indexOf(24) < lengths.indexOf(16) && lengths.indexOf(16) < lengths.indexOf(8), `${lengths}`);
  assertEquals(map.delete(prefix(24, 10, 1, 2, 0)), true);
  assertEquals(find(10, 1, 2, 3), 16);
});

for (const [type, order] of [["queue", [1, 2, 3]], ["stack", [3, 2, 1]]] as const) {
  kernelTest(`map: ${type}`, {}, () => {
    using map = BpfMap.create({ type, valueSize: 4, maxEntries: 3 });
    assertEquals([map.lookup(NOTHING), map.delete(NOTHING)], [undefined, false]);
    for (const value of [1, 2, 3]) map.update(NOTHING, u32(value));
    assertEquals(refusal(() => map.update(NOTHING, u32(4))).reason, "limit");
    for (const value of order) {
      assertEquals(map.lookup(NOTHING), u32(value));
      assertEquals(map.delete(NOTHING), true);
    }
    assertEquals(map.lookup(NOTHING), undefined);
    assertThrows(() => map.lookup(u32(0)), RangeError, "key");
    assertEquals(refusal(() => [...map.keys()]).reason, "unsupported");
    assertEquals(refusal(() => [...map.entries()]).reason, "unsupported");
  });
}

for (const type of ["array_of_maps", "hash_of_maps"] as const) {
  kernelTest(`map: ${type}`, {}, () => {
    using inner = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 1 });
    using other = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
    using map = BpfMap.create({ type, keySize: 4, maxEntries: 2, inner });
    map.update(u32(1), u32(inner.fd));
    assertEquals(map.lookup(u32(1)), u32(inner.id));
    assertEquals(Array.from(map.entries(), ([key, id]) => [number(key), number(id)]), [[1, inner.id]]);
    assertEquals(refusal(() => map.update(u32(0), u32(other.fd))).reason, "invalid");
    assertEquals(refusal(() => map.update(u32(0), u32(1_000_000))).reason, "invalid");
    assertEquals(map.delete(u32(1)), true);
  });
}

kernelTest("map: prog_array, without batches", {}, () => {
  using program = xdp();
  using map = BpfMap.create({ type: "prog_array", maxEntries: 3 });
  map.update(u32(1), u32(program.fd));
  assertEquals(sorted(map.keys()), [0, 1, 2]);
  assertEquals(Array.from(map.entries(), ([key, id]) => [number(key), number(id)]), [[1, program.id]]);
  assertEquals([map.delete(u32(1)), map.lookup(u32(1))], [true, undefined]);
});

kernelTest("map: sockmap and sockhash", {}, async () => {
  using sockets = await SocketPair.open();
  for (const type of ["sockmap", "sockhash"] as const) {
    using map = BpfMap.create({ type, keySize: 4, maxEntries: 4 });
    assertEquals(map.lookup(u32(0)), undefined);
    map.update(u32(0), u64(BigInt(sockets.senderFd)));
    assert(map.lookup(u32(0))?.some((byte) => byte > 0), "the socket's cookie");
    assertEquals([map.delete(u32(0)), map.lookup(u32(0))], [true, undefined]);
    assertEquals(refusal(() => map.update(u32(0), u64(BigInt(map.fd)))).code, "ENOTSOCK");
  }
});

kernelTest("map: errors are explained", {}, () => {
  const create = (options: Partial<MapCreateOptions>) =>
    refusal(() => BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, ...options }).close());
  assertEquals(create({ flags: 1 << 30 }).reason, "invalid");
  assertEquals(create({ maxEntries: 0 }).reason, "invalid");
  assertEquals(create({ type: "array", keySize: 8 }).reason, "invalid");
  assertEquals(create({ type: "map_type_4000" }).reason, "invalid");
  assertEquals(create({ valueSize: 2 ** 31 }).reason, "limit");
  assertEquals(create({ token: 1_000_000 }).reason, "invalid"); // EBADF, or EINVAL before Linux 6.9
  assertEquals(create({ type: "struct_ops", struct: "no_such_ops" }).reason, "unsupported");
  assertEquals(create({ type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, flags: 64 }).reason, "invalid");
  assertEquals(refusal(() => BpfMap.open(0)).reason, "gone");
  assertEquals(refusal(() => BpfMap.open(2 ** 32 - 1)).reason, "gone");
});

kernelTest("map: arguments are checked", {}, () => {
  const create = (options: Record<string, unknown>) =>
    BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, ...options } as MapCreateOptions);
  for (const name of ["a-b", "ö", "a b", 7]) assertThrows(() => create({ name }), TypeError, "name");
  assertThrows(() => create({ size: 4 }), TypeError, "size");
  assertThrows(() => create({ type: "hsah" }), TypeError, "hsah");
  assertThrows(() => create({ keySize: undefined }), TypeError, "keySize");
  assertThrows(() => create({ valueSize: undefined }), TypeError, "valueSize");
  assertThrows(() => create({ keySize: -1 }), RangeError, "keySize");
  assertThrows(() => create({ maxEntries: 2 ** 32 }), RangeError, "maxEntries");
  assertThrows(() => create({ maxEntries: undefined }), TypeError, "maxEntries");
  assertThrows(() => create({ inner: 3 }), TypeError, "inner");
  assertThrows(() => create({ struct: "tcp_congestion_ops" }), TypeError, "struct");
  assertThrows(() => create({ link: true }), TypeError, "link");
  assertThrows(() => create({ type: "struct_ops" }), TypeError, "struct");
  assertThrows(() => create({ type: "ringbuf", maxEntries: 5000 }), RangeError, "maxEntries");
  using map = create({});
  assertThrows(() => map.lookup(new Uint8Array(3)), RangeError, "key");
  assertThrows(() => map.update(u32(0), u64(0n)), RangeError, "value");
  assertThrows(() => map.update(u32(0), "abcd" as unknown as Uint8Array), TypeError, "value");
  assertThrows(() => map.update(u32(0), u32(0), { creat: true } as never), TypeError, "creat");
  assertThrows(() => map.update(u32(0), u32(0), { create: 1 } as never), TypeError, "create");
  assertThrows(() => map.records(), TypeError, "ring");
});

kernelTest("map: the sys calls know the sizes of the map, not of the caller", {}, () => {
  const map = mapCreate("hash", 4, 8, 4);
  try {
    mapUpdateElem(map, u32(1), u64(1n));
    assertThrows(() => mapLookupElem(map, NOTHING), RangeError, "key");
    assertThrows(() => mapUpdateElem(map, u32(1), u32(1)), RangeError, "value");
    assertEquals(mapLookupBatch(map, undefined, 16), { entries: [[u32(1), u64(1n)]], next: undefined });
    using program = xdp();
    refusal(() => mapLookupElem(program.fd, u32(1)));
  } finally {
    close(map);
  }
});

kernelTest("map: iteration while elements come and go", {}, () => {
  for (const type of ["hash", "lpm_trie"] as const) {
    using map = BpfMap.create({ type, keySize: 8, valueSize: 8, maxEntries: 20_000 });
    const key = (i: number) => new Uint8Array([...u32(32), ...new Uint8Array(u32(i)).reverse()]);
    const index = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    const count = 8000; // more than two parts
    for (let i = 0; i < count; i++) map.update(key(i), u64(BigInt(i)));
    const seen = new Map<number, number>();
    let added = 10_000;
    for (const [bytes, value] of map.entries()) {
      const i = index(bytes);
      if (i < count) assert(number(value) === i);
      seen.set(i, (seen.get(i) ?? 0) + 1);
      if (i % 2 === 1 && i < count) map.delete(bytes); // the one in hand
      if (added < 10_500) map.update(key(added++), u64(0n));
    }
    for (let i = 0; i < count; i += 2) assert(seen.get(i) === 1, `${type}: ${i} came ${seen.get(i)} times`);
    for (let i = 1; i < count; i += 2) assert(map.lookup(key(i)) === undefined);
  }
});

kernelTest("map: a walk without batches goes on when its key is removed", {}, () => {
  using program = xdp();
  using map = BpfMap.create({ type: "devmap_hash", keySize: 4, valueSize: 4, maxEntries: 64 });
  for (let i = 0; i < 50; i++) map.update(u32(i), u32(1)); // lo
  const seen: number[] = [];
  for (const key of map.keys()) {
    seen.push(number(key));
    map.delete(key);
  }
  assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  assertEquals(program.type, "xdp");
});

kernelTest("map: batches of a large map", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 100_000 });
  for (let i = 0; i < 20_000; i++) map.update(u32(i), u32(i * 3));
  let count = 0, sum = 0;
  for (const [key, value] of map.entries()) {
    assert(number(value) === number(key) * 3);
    count++;
    sum += number(key);
  }
  assertEquals([count, sum], [20_000, 20_000 * 19_999 / 2]);
  // leaving early is fine
  for (const key of map.keys()) {
    assertEquals(key.length, 4);
    break;
  }
});

kernelTest("map: a closed handle", {}, () => {
  const map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, name: "gone" });
  const { id } = map, keys = map.keys(), fds = openHandles().length;
  map.close();
  map.close();
  assertEquals(openHandles().length, fds - 1);
  assertEquals([map.closed, map.id, map.type, map.name], [true, id, "hash", "gone"]);
  const uses: (() => unknown)[] = [
    () => map.fd,
    () => map.lookup(u32(0)),
    () => map.update(u32(0), u32(0)),
    () => map.delete(u32(0)),
    () => keys.next(),
    () => [...map.entries()],
    () => map.records(),
    () => map.pin("/nowhere"),
    () => map.unpin(),
    () => map.release(),
  ];
  for (const use of uses) assertThrows(use, Deno.errors.BadResource, `map ${id}`);
  assertEquals(refusal(() => BpfMap.open(id)).reason, "gone");
});

kernelTest("map: open, fromFd, release", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, name: "shared" });
  map.update(u32(1), u32(2));
  using byId = BpfMap.open(map.id);
  using byFd = BpfMap.fromFd(map.fd);
  for (const other of [byId, byFd]) {
    assertEquals([other.id, other.name, other.type], [map.id, "shared", "hash"]);
    assertEquals(other.lookup(u32(1)), u32(2));
  }
  assert(byFd.fd !== map.fd);
  const fd = byFd.release();
  assert(byFd.closed);
  close(fd);
  assertEquals(Deno.inspect(map), `BpfMap ${map.id} (hash "shared")`);
});

kernelTest("map: what is no map is refused", { needs: ["bpffs"] }, () => {
  using pins = new PinDirectory();
  using tally = new Tally();
  using program = xdp();
  using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
  program.pin(pins.pin("program"));
  link.pin(pins.pin("link"));
  tally.map.pin(pins.pin("map"));
  for (const fd of [program.fd, link.fd]) assertEquals(refusal(() => BpfMap.fromFd(fd)).reason, "mismatch");
  for (const name of ["program", "link"]) {
    assertEquals(refusal(() => BpfMap.openPinned(pins.pin(name))).reason, "mismatch");
  }
  assertEquals(refusal(() => Program.fromFd(tally.map.fd)).reason, "mismatch");
  assertEquals(refusal(() => Link.fromFd(tally.map.fd)).reason, "mismatch");
  assertEquals(refusal(() => Program.openPinned(pins.pin("map"))).reason, "mismatch");
  assertEquals(refusal(() => BpfMap.fromFd(1_000_000)).reason, "invalid");
  link.unpin();
});

kernelTest("map: a bloom filter takes values and is asked by programs only", { since: "5.16" }, () => {
  using map = BpfMap.create({ type: "bloom_filter", valueSize: 4, maxEntries: 8 });
  map.update(NOTHING, u32(7));
  assertThrows(() => map.lookup(NOTHING), TypeError, "bpf_map_peek_elem()");
  assertThrows(() => mapLookupElem(map.fd, NOTHING), TypeError, "bpf_map_peek_elem()");
});

kernelTest("map: a batch whose size does not fit 32 bits", {}, () => {
  const BPF_F_NO_PREALLOC = 1;
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4096, maxEntries: 8, flags: BPF_F_NO_PREALLOC });
  for (const count of [2 ** 20, 2 ** 19, 261633]) {
    assertThrows(() => mapLookupBatch(map.fd, undefined, count), RangeError, "count must be at most 261632");
  }
  assertEquals(mapLookupBatch(map.fd, undefined, 16), { entries: [], next: undefined });
});

kernelTest("map: every type is known for a map", {}, () => {
  const options: MapCreateOptions[] = [
    { type: "ringbuf", maxEntries: 65536 },
    { type: "stack_trace", keySize: 4, valueSize: 8, maxEntries: 1 },
    { type: "bloom_filter", valueSize: 4, maxEntries: 8 },
    { type: "perf_event_array", maxEntries: 1 },
    { type: "cgroup_array", maxEntries: 1 },
    { type: "cpumap", valueSize: 4, maxEntries: 1 },
    { type: "devmap", valueSize: 4, maxEntries: 1 },
    { type: "xskmap", maxEntries: 1 },
    { type: "reuseport_sockarray", maxEntries: 1 },
    { type: "user_ringbuf", maxEntries: 65536 },
  ];
  for (const option of options) {
    let map;
    try {
      map = BpfMap.create(option);
    } catch (error) {
      assertInstanceOf(error, BpfError); // older than the type, or built without it
      assert(["invalid", "unsupported"].includes(error.reason), error.message);
      continue;
    }
    using made = map;
    using again = BpfMap.fromFd(made.fd);
    assertEquals([again.type, again.id], [option.type, made.id]);
  }
});

kernelTest("map: pins", { needs: ["bpffs"] }, () => {
  using pins = new PinDirectory();
  const path = pins.pin("map");
  {
    using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1 });
    map.update(u32(1), u32(5));
    map.pin(path);
    assertEquals(refusal(() => map.pin(path)).reason, "exists");
    assertEquals(refusal(() => map.pin(pins.pin("a.b"))).reason, "invalid");
  }
  using map = BpfMap.openPinned(new URL(`file://${path}`));
  assertEquals(map.lookup(u32(1)), u32(5));
  Deno.removeSync(path);
  using other = new Tally();
  other.map.pin(path);
  assertEquals(refusal(() => map.unpin()).reason, "mismatch");
  other.map.unpin();
  assertEquals(pins.pins, []);
  assertThrows(() => other.map.unpin(), Deno.errors.BadResource, "pin");
});

kernelTest("map: a forgotten handle is closed", {}, async () => {
  const fds = openHandles().length;
  (() => {
    BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  })();
  assertEquals(openHandles().length, fds + 1);
  for (let i = 0; i < 20 && openHandles().length > fds; i++) await collectGarbage();
  assertEquals(openHandles().length, fds);
});

kernelTest("map: programs count in it", {}, () => {
  using tally = new Tally();
  using program = countingProgram("sched_cls", tally.map);
  testRun(program, 1000);
  assertEquals(tally.count, 1000n);
  assertEquals(program.info().mapIds, [tally.map.id]);
});

kernelTest("map: programs leave their cookie in it", { since: "6.10" }, async () => {
  using tally = new Tally();
  using program = cookieProgram("raw_tracepoint", tally.map);
  using link = Link.attach(program, { type: "raw_tracepoint", name: "sys_enter", cookie: 0x1234_5678_9abc_def0n });
  await until(() => tally.count > 0n, "the program ran");
  assertEquals(tally.cookie, 0x1234_5678_9abc_def0n);
  assertEquals(link.type, "raw_tracepoint");
});

/** A ring buffer with a program that writes numbers into it. */
class Ring implements Disposable {
  readonly map: BpfMap;
  readonly tally = new Tally();
  readonly program: Program;

  constructor(bytes: number) {
    this.map = BpfMap.create({ type: "ringbuf", maxEntries: bytes });
    this.program = recordingProgram(this.tally.map, this.map);
  }

  /** Writes so many more. */
  write(count: number): void {
    testRun(this.program, count);
  }

  /** Takes so many records. */
  async take(count: number): Promise<number[]> {
    const numbers: number[] = [];
    if (count === 0) return numbers;
    for await (const record of this.map.records()) {
      numbers.push(number(record));
      if (numbers.length === count) break;
    }
    return numbers;
  }

  [Symbol.dispose](): void {
    this.program.close();
    this.tally[Symbol.dispose]();
    this.map.close();
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

kernelTest("ring: records in order, also those of later", {}, async () => {
  using ring = new Ring(4096);
  ring.write(3);
  assertEquals(await ring.take(3), [0, 1, 2]);
  const taken = ring.take(2);
  await delay(20); // it waits
  ring.write(2);
  assertEquals(await taken, [3, 4]);
});

kernelTest("ring: what was not handed out stays there", {}, async () => {
  using ring = new Ring(4096);
  ring.write(100);
  assertEquals(await ring.take(40), range(0, 40));
  assertEquals(await ring.take(60), range(40, 100));
  // the ring is empty and all of it can be used: 256 records of 16 bytes, but one position must differ
  ring.write(255);
  assertEquals(await ring.take(255), range(100, 355));
});

kernelTest("ring: 100,000 records in order while the consumer pauses", {}, async () => {
  using ring = new Ring(256 * 1024);
  let written = 0, ticks = 0, next = 0;
  const write = () => {
    const count = Math.min(5000, 100_000 - written);
    ring.write(count);
    written += count;
  };
  write();
  const timer = setInterval(() => ticks++, 1);
  for await (const record of ring.map.records()) {
    assert(number(record) === next++, `record ${number(record)} instead of ${next - 1}`);
    if (next === 100_000) break;
    if (next % 5000 === 2500 && written < 100_000) write(); // half of the last are still there
    if (next % 10_000 === 0) await delay(5);
    if (next === written && written < 100_000) setTimeout(write, 1); // it waits for these
  }
  clearInterval(timer);
  assertEquals([next, written], [100_000, 100_000]);
  assert(ticks > 0, "the event loop was blocked");
});

kernelTest("ring: a full stream leaves the event loop its turns", {}, async () => {
  using ring = new Ring(1024 * 1024);
  let turns = 0, taken = 0;
  const timer = setInterval(() => turns++), records = ring.map.records();
  for (let round = 1; round <= 20 && turns === 0; round++) { // on a busy machine a round may pass between two ticks
    ring.write(60_000);
    while (taken < round * 60_000) assert(number((await records.next()).value!) === taken++);
  }
  await records.return();
  clearInterval(timer);
  assert(turns > 0);
});

kernelTest("ring: large records, and such that the program took back", {}, async () => {
  using ring = BpfMap.create({ type: "ringbuf", maxEntries: 1024 * 1024 });
  using program = largeRecords(ring, 300_000);
  testRun(program, 2);
  let count = 0;
  for await (const record of ring.records()) {
    assertEquals([record.length, record[0]], [300_000, 42]);
    if (++count === 2) break;
  }
});

/** Writes a record of `size` bytes that begins with 42, after one that it discards. */
function largeRecords(ring: BpfMap, size: number): Program {
  const reserve = (bytes: number) =>
    [...loadMap(1, ring.fd), set(2, bytes), set(3, 0), call(131), [0x55, 0, 0, 2, 0], set(0, 0), exit] as const;
  return Program.load({
    type: "sched_cls",
    instructions: assemble(
      ...reserve(64),
      copy(1, 0),
      set(2, 0),
      call(133), // bpf_ringbuf_discard
      ...reserve(size),
      storeByte(0, 0, 42),
      copy(1, 0),
      set(2, 0),
      call(132), // bpf_ringbuf_submit
      set(0, 0),
      exit,
    ),
  });
}

kernelTest("ring: abort", {}, async () => {
  using ring = new Ring(4096);
  const never = AbortSignal.abort("before");
  assertEquals(await rejection(ring.map.records({ signal: never }).next()), "before");
  const controller = new AbortController();
  const waiting = ring.map.records({ signal: controller.signal });
  const next = waiting.next();
  await delay(5);
  controller.abort("now");
  assertEquals(await rejection(next), "now");
  assertEquals(await waiting.next(), { done: true, value: undefined });

  ring.write(3);
  const later = new AbortController(), seen: number[] = [];
  const loop = (async () => {
    for await (const record of ring.map.records({ signal: later.signal })) {
      seen.push(number(record));
      if (seen.length === 2) later.abort("later");
    }
  })();
  assertEquals(await rejection(loop), "later");
  assertEquals([seen, await ring.take(1)], [[0, 1], [2]]);
});

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not reject");
}

kernelTest("ring: close() ends the iteration, and no thread stays behind", {}, async () => {
  using ring = new Ring(4096);
  const waiting = ring.map.records(), next = waiting.next();
  await until(() => sleepers() > 0, "a thread waits");
  ring.map.close();
  assertEquals(await next, { done: true, value: undefined });
  await until(() => sleepers() === 0, "no thread waits");

  using other = new Ring(4096);
  other.write(3);
  const seen: number[] = [];
  for await (const record of other.map.records()) {
    seen.push(number(record));
    other.map.close(); // two are there still
  }
  assertEquals(seen, [0]);
});

/** Threads of this process that sleep in epoll on an instance with an eventfd and a ring. */
function sleepers(): number {
  const instances = Array.from(Deno.readDirSync("/proc/self/fdinfo"), ({ name }) => name).filter((fd) => {
    try {
      const watched = [...Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`).matchAll(/^tfd:\s+(\d+)/gm)];
      return watched.some(([, tfd]) => Deno.readLinkSync(`/proc/self/fd/${tfd}`) === "anon_inode:bpf-map");
    } catch {
      return false; // closed meanwhile
    }
  });
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    try {
      const [, first] = Deno.readTextFileSync(`/proc/self/task/${name}/syscall`).split(" ");
      if (first !== undefined && instances.includes(String(Number(first)))) count++;
    } catch { /* it ended */ }
  }
  return count;
}

kernelTest("ring: return() ends a wait", {}, async () => {
  using ring = new Ring(4096);
  const waiting = ring.map.records(), next = waiting.next();
  await delay(5);
  assertEquals(await waiting.return(), { done: true, value: undefined });
  assertEquals(await next, { done: true, value: undefined });
  await ring.map.records().return(); // never begun
});

kernelTest("ring: one reader", {}, async () => {
  using ring = new Ring(4096);
  using same = BpfMap.open(ring.map.id);
  const first = ring.map.records(), next = first.next();
  for (const map of [ring.map, same]) await assertRejects(() => map.records().next(), Deno.errors.Busy);
  ring.write(1);
  assertEquals(number((await next).value!), 0);
  const ended = first.return();
  ring.write(1);
  const second = await same.records().next(); // waits for the first to be done
  assertEquals(number(second.value!), 1);
  await ended;
});

kernelTest("ring: return() and the signal end the wait for an earlier reader", {}, async () => {
  using ring = new Ring(4096);
  const controller = new AbortController(), { signal } = controller;
  for (const options of [{}, { signal }]) {
    const first = ring.map.records(), next = first.next();
    await until(() => sleepers() > 0, "a thread waits");
    const ended = first.return(); // its thread has still to wake
    ring.write(1);
    const second = ring.map.records(options), waiting = second.next();
    if (options.signal === undefined) {
      assertEquals(await second.return(), { done: true, value: undefined });
      assertEquals(await waiting, { done: true, value: undefined });
    } else {
      controller.abort("enough");
      assertEquals(await rejection(waiting), "enough");
    }
    await Promise.all([ended, next]);
    assertEquals(await ring.take(1), [options.signal === undefined ? 0 : 1]);
  }
});

kernelTest("ring: an iterator that was left in the middle blocks nobody once its map is closed", {}, async () => {
  using ring = new Ring(4096);
  using same = BpfMap.open(ring.map.id);
  ring.write(2);
  assertEquals(number((await ring.map.records().next()).value!), 0);
  await assertRejects(() => same.records().next(), Deno.errors.Busy);
  ring.map.close();
  assertEquals(number((await same.records().next()).value!), 1);
});

kernelTest("token: on a bpffs of the initial user namespace", { needs: ["bpffs"], since: "6.9" }, () => {
  for (const [fd, codes] of [[1_000_000, ["EBADF"]], [0, ["EINVAL", "EBADF", "EOPNOTSUPP"]]] as const) {
    const error = refusal(() => tokenCreate(fd));
    assert(codes.includes(error.code as never), error.message);
    assertEquals(ERRNO[error.errno]![0], error.code);
  }
});

for (const size of [16, 4096, 1 << 20]) {
  kernelTest(`an fd that became a map's with values of ${size} bytes: an error, and no damage`, {}, () => {
    const key = new Uint8Array(4);
    const small = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 4 });
    assertEquals(small.lookup(key), new Uint8Array(8));
    close(small.fd); // behind the handle's back
    const large = mapCreate("array", 4, size, 4);
    try {
      assertEquals(large, small.fd);
      mapUpdateElem(large, key, new Uint8Array(size).fill(0x41));
      const calls = { lookup: () => small.lookup(key), entries: () => [...small.entries()] };
      for (const [what, call] of Object.entries(calls)) {
        const { reason, code } = assertThrows(call, BpfError, "another map");
        assertEquals([what, reason, code], [what, "mismatch", "EFAULT"]);
      }
      assertEquals(mapLookupElem(large, key), new Uint8Array(size).fill(0x41));
    } finally {
      small.close();
    }
  });
}

kernelTest(
  "another number of possible CPUs than the kernel's: an error, and no damage",
  { needs: ["cpus"] },
  async () => {
    const file = Deno.makeTempFileSync();
    try {
      Deno.writeTextFileSync(file, "0\n");
      const mounted = 'mount --bind "$0" /sys/devices/system/cpu/possible && exec "$@"';
      const { output, errors } = await runScript(
        `
      import { BpfMap } from "${MOD}";
      using map = BpfMap.create({ type: "percpu_array", valueSize: 4096, maxEntries: 1 });
      const codes = new Set();
      for (let i = 0; i < 200; i++) {
        try {
          map.lookup(new Uint8Array(4));
        } catch (error) {
          codes.add(error.reason + " " + error.code);
        }
      }
      console.log(...codes);`,
        ["--allow-ffi"],
        { through: ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, file] },
      );
      assertEquals([output, errors], ["mismatch EFAULT\n", ""]);
    } finally {
      Deno.removeSync(file);
    }
  },
);

kernelTest("map: info", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 3, name: "it", flags: 1 });
  const { id, memory, ...info } = map.info();
  assertEquals(info, {
    name: "it",
    type: "hash",
    keySize: 4,
    valueSize: 8,
    maxEntries: 3,
    flags: 1,
    frozen: false,
  });
  assertEquals(id, map.id);
  assert(memory! > 0);
});

kernelTest("map: info has the BTF of keys and values", {}, () => {
  // the type `int`, and its name
  const words = new Uint32Array([0x1eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, 1 << 24 | 32]);
  const btf = btfLoad(new Uint8Array([...new Uint8Array(words.buffer), ...new TextEncoder().encode("\0int\0")]));
  const fd = mapCreate("array", 4, 4, 1, { btfFd: btf, btfKeyTypeId: 1, btfValueTypeId: 1 });
  try {
    using map = BpfMap.fromFd(fd);
    const { btfId, btfKeyTypeId, btfValueTypeId } = map.info();
    assertEquals([btfId, btfKeyTypeId, btfValueTypeId], [btfGetInfoByFd(btf).id, 1, 1]);
  } finally {
    close(fd);
    close(btf);
  }
});

kernelTest("map: freeze", {}, () => {
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  map.update(u32(0), u32(42));
  map.freeze();
  map.freeze(); // nothing
  assertEquals(map.info().frozen, true);
  assertEquals(refusal(() => map.update(u32(0), u32(1))).code, "EPERM");
  assertEquals(number(map.lookup(u32(0))!), 42);
  using readOnly = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1, flags: 8 });
  if (!isOlder(Deno.osRelease(), "6.5")) assertEquals(refusal(() => readOnly.freeze()).reason, "policy");
});

kernelTest("map: infos of every map", {}, async () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 3 });
  const infos = await Array.fromAsync(BpfMap.infos());
  assertEquals(infos.find(({ id }) => id === map.id), map.info());
  assertEquals((await Array.fromAsync(BpfMap.infos({ types: ["array"] }))).some(({ id }) => id === map.id), false);
});

kernelTest("map: keys and values in any view of bytes", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 8 });
  const buffer = new Uint8Array([9, 9, 9, 9, 7, 0, 0, 0]).buffer; // the key is behind something else
  map.update(new Uint32Array(buffer, 4, 1), new BigUint64Array([1n]));
  for (const key of [u32(7), new Int32Array([7]), new DataView(buffer, 4), new Uint8ClampedArray([7, 0, 0, 0])]) {
    assertEquals(map.lookup(key), u64(1n));
  }
  const shared = new Int32Array(new SharedArrayBuffer(4));
  shared[0] = 7;
  assertEquals(map.lookup(shared), u64(1n));
  map.update(new Float32Array(1), new Float64Array([0.5]));
  assertEquals(new Float64Array(map.lookup(u32(0))!.buffer)[0], 0.5);
  assertEquals(map.delete(new Uint16Array([7, 0])), true);
  assertThrows(() => map.lookup(new Uint16Array(1)), RangeError, "4 bytes, not 2");
  assertThrows(() => map.lookup(new ArrayBuffer(4) as never), TypeError, "view of bytes");
});

kernelTest("map: many elements at once, with and without batches", {}, () => {
  const keys = Array.from({ length: 5_000 }, (_, i) => i); // more than a batch
  for (const type of ["hash", "lru_hash", "percpu_hash", "lpm_trie"] as const) {
    using map = BpfMap.create({ type, keySize: 8, valueSize: 8, maxEntries: 20_000 });
    const valueSize = type === "percpu_hash" ? cpus : 1;
    const key = (i: number) => new Uint32Array([32, i]);
    map.updateAll(keys.map((i) => [key(i), new BigUint64Array(valueSize).fill(BigInt(i))]));
    for (const i of [0, 1, 2_499, 4_999]) assertEquals(map.lookup(key(i))!.slice(0, 8), u64(BigInt(i)), type);
    assertEquals([...map.keys()].length, 5_000, type);
    // every third is not there
    const some = keys.slice(0, 1500), there = some.filter((i) => i % 3 !== 0);
    assertEquals(map.deleteAll(some.filter((i) => i % 3 === 0).map(key)), 500, type);
    assertEquals(map.deleteAll(some.map(key)), there.length, type);
    assertEquals([...map.keys()].length, 3_500, type);
  }
  using array = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 3 });
  array.updateAll([[u32(0), u32(5)], [u32(2), u32(7)]]);
  assertEquals(Array.from(array.entries(), ([, value]) => number(value)), [5, 0, 7]);
  assertEquals(refusal(() => array.deleteAll([u32(0)])).reason, "unsupported");
  using queue = BpfMap.create({ type: "queue", valueSize: 4, maxEntries: 3 });
  queue.updateAll([[NOTHING, u32(1)], [NOTHING, u32(2)]]);
  assertEquals([queue.deleteAll([NOTHING, NOTHING, NOTHING]), queue.lookup(NOTHING)], [2, undefined]);
});

kernelTest("map: many elements at once: what fails, and what was done before", {}, () => {
  using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 2 });
  map.updateAll([]);
  assertEquals(map.deleteAll([]), 0);
  assertEquals(refusal(() => map.updateAll([1, 2, 3].map((i) => [u32(i), u64(1n)]))).reason, "limit");
  assertEquals(sorted(map.keys()), [1, 2]);
  assertEquals(refusal(() => map.updateAll([[u32(1), u64(1n)]], { create: true })).reason, "exists");
  assertThrows(() => map.updateAll([[u32(1), u32(1)]]), RangeError, "value must have 8 bytes");
  assertThrows(() => map.deleteAll([NOTHING]), RangeError, "key must have 4 bytes");
  assertThrows(() => map.updateAll([[u32(1), u64(1n)]], { creat: true } as never), TypeError, "creat");
  map.close();
  assertThrows(() => map.deleteAll([]), Deno.errors.BadResource);
});
