/** Maps of objects by the types of their keys and values; events of their ring buffers. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BpfObject, TypedMap } from "../../lib/object/mod.ts";
import { BpfError, Program } from "../../mod.ts";
import { delay } from "../fixture/run/wait.ts";
import { objectPath } from "./build.ts";
import { objectTest } from "./run.ts";

const PACKET = { data: new Uint8Array(64) };
const FLOW = { address: 1, port: 53, protocol: 17, unused: 0 };
const COUNTERS = { packets: 1n, bytes: 1n << 40n };

objectTest("typed map: a hash of structs", {}, () => {
  using object = BpfObject.load(objectPath("maps"));
  const map = object.map("hash");
  assertEquals([map.get(FLOW), map.has(FLOW), map.delete(FLOW)], [undefined, false, false]);
  map.set(FLOW, COUNTERS);
  assertEquals([map.get(FLOW), map.has(FLOW)], [COUNTERS, true]);
  assert(Object.isFrozen(map.get(FLOW)));
  map.set({ ...FLOW, port: 80 }, COUNTERS, { create: true });
  const exists = assertThrows(() => map.set(FLOW, COUNTERS, { create: true }), BpfError);
  assertEquals(exists.reason, "exists");
  const byPort = (a: { port: number }, b: { port: number }) => a.port - b.port;
  assertEquals([...map.keys()].sort(byPort), [FLOW, { ...FLOW, port: 80 }]);
  assertEquals([...map.values()], [COUNTERS, COUNTERS]);
  assertEquals([...map].length, 2);
  assertEquals(map.delete(FLOW), true);
  map.setAll(Array.from({ length: 10 }, (_, port) => [{ ...FLOW, port }, COUNTERS]));
  assertEquals(map.deleteAll([{ ...FLOW, port: 5 }, { ...FLOW, port: 99 }]), 1);
  assertEquals([...map.entries()].length, 10);
  assertThrows(() => map.get({ ...FLOW, port: -1 }), RangeError, "key.port must be an integer from 0 to 65535");
  assertThrows(() => map.set(FLOW, { packets: 1n }), TypeError, "value lacks");
  assertThrows(() => map.set(FLOW, { ...COUNTERS, more: 1 }), TypeError, 'has no member "more"');
  assertThrows(() => map.push(COUNTERS), TypeError, "push() is for queues");
  assertThrows(() => map.events("flow"), TypeError, "events() is for ring buffers and perf buffers");
});

objectTest("typed map: values of each CPU", {}, () => {
  using object = BpfObject.load(objectPath("maps"));
  const map = object.map("percpu_array"), counters = object.map("percpu_hash");
  object.program("use_maps").run({ ...PACKET, repeat: 10 });
  const values: readonly bigint[] = map.get(0);
  assert(values.some((value) => value > 0n), `${values}`);
  const others = values.map((_, cpu) => BigInt(cpu) + 1n);
  map.set(1, others);
  assertEquals(map.get(1), others);
  counters.set(7, values.map(() => COUNTERS));
  assertEquals(counters.get(7), values.map(() => COUNTERS));
  assertThrows(() => map.set(1, 5n), TypeError, `value must be an array of ${values.length} values, one for each`);
  assertThrows(() => map.set(1, [...others, 1n]), TypeError, "one for each possible CPU");
  assertThrows(() => map.set(1, others.map(() => 1)), TypeError, "value[0] must be a bigint");
});

objectTest("typed map: queues and stacks", {}, () => {
  using object = BpfObject.load(objectPath("maps"));
  const queue = object.map("queue"), stack = object.map("stack");
  for (const map of [queue, stack]) {
    assertEquals([map.peek(), map.pop()], [undefined, undefined]);
    for (const value of [1n, 2n, 3n]) map.push(value);
  }
  assertEquals([queue.peek(), queue.pop(), queue.pop(), stack.peek(), stack.pop()], [1n, 1n, 2n, 3n, 3n]);
  assertThrows(() => queue.get(0), TypeError, "it has no keys");
  assertThrows(() => [...queue], TypeError, "it has no keys");
  assertThrows(() => [...object.map("queue").keys()], TypeError, "it has no keys");
  assertThrows(() => queue.push(1), TypeError, "value must be a bigint");
});

objectTest("typed map: maps that hold maps and programs", {}, () => {
  using object = BpfObject.load(objectPath("nested"));
  const outer = object.map("outer");
  using first = outer.get(0);
  assert(first instanceof TypedMap);
  assertEquals(first.map.id, object.map("first").map.id);
  first.set(1, { hits: 0, name: "one" });
  const short = { data: new Uint8Array(34) }; // the program sees 20 bytes
  assertEquals(object.program("call").run(short).returnValue, 42);
  assertEquals(object.program("call").run(PACKET).returnValue, 7);
  assertEquals(object.map("first").get(1), { hits: 2, name: "one" });
  outer.set(1, object.map("second"));
  using second = outer.get(1);
  assertEquals(second.map.id, object.map("second").map.id);
  using other = BpfObject.load(objectPath("nested"));
  outer.set(1, other.map("second").map); // older kernels want its BTF to be alike, too
  using calls = object.map("calls"), called = calls.get(1);
  assert(called instanceof Program);
  assertEquals(called.id, object.program("called").id);
  calls.set(2, called);
  assertEquals(object.program("call").run(PACKET).returnValue, 42);
  for (const [map, value, what] of [[outer, called, "BpfMap or TypedMap"], [calls, outer, "Program"]] as const) {
    assertThrows(() => map.set(0, value), TypeError, `value must be a ${what}`);
  }
});

objectTest("typed map: without BTF, keys and values are bytes", {}, () => {
  using object = BpfObject.load(objectPath("globals"));
  const bss = object.map(".bss"), key = new Uint8Array(4);
  object.globals.packets = 0x1122n;
  assert(bss.get(key) instanceof Uint8Array);
  assertEquals(object.maps.find(({ name }) => name === "globals.bss")?.isSection, true);
  assertEquals(object.map("globals.bss").map.id, bss.map.id);
  assertThrows(() => bss.get(0), TypeError, "key must be a Uint8Array");
});

objectTest("events: records as values of a struct", {}, async () => {
  using object = BpfObject.load(objectPath("records"));
  const events = object.map("events"), run = (name: string) => object.program(name).run(PACKET);
  const next = async (type?: string, options = {}) => {
    await using stream = events.events(type as string, options);
    return (await stream.next()).value as unknown;
  };
  run("write_event");
  assertEquals(await next("event"), { kind: "SECOND", length: 50, at: 1n << 40n, text: "hi" });
  run("write_event");
  assertEquals((await next("struct event") as { text: string }).text, "hi");
  run("write_message");
  assertEquals(await next("message"), { length: 4, words: [1, 2, 3, 4] });
  run("write_message");
  assertEquals((await next() as Uint8Array).length, 12);
  run("write_short");
  assertEquals(await next("event", { partial: true }), { kind: "FIRST", length: 50, at: 0n, text: "x" });
});

objectTest("events: a record that does not fit its type ends the iteration", {}, async () => {
  using object = BpfObject.load(objectPath("records"));
  const events = object.map("events");
  object.program("write_short").run(PACKET);
  const short = events.events("event");
  await assertRejects(() => short.next(), RangeError, 'A record has 18 bytes, but its type "event" has 24');
  assertEquals(await short.next(), { done: true, value: undefined });
  object.program("write_long").run(PACKET);
  await assertRejects(() => events.events("event", { partial: true }).next(), RangeError, "32 bytes");
  assertThrows(() => events.events("evnt"), TypeError, 'no type "evnt"; did you mean "event"?');
  assertThrows(() => events.events("event", { partial: 1 } as never), TypeError, "options.partial must be a boolean");
  assertThrows(() => events.events("event", { abort: 1 } as never), TypeError, 'no field "abort"');
  assertThrows(() => events.events(7 as never), TypeError, "type must be a string");
});

objectTest("events: of a perf buffer", {}, async () => {
  using object = BpfObject.load(objectPath("perf_buffer"));
  const map = object.map("events"), events = map.events("event", { bytesPerCpu: 4096 });
  const first = events.next();
  await delay(10); // the buffer is open
  const write = () => object.program("produce").run({ context: new Uint8Array(8) }); // here: another CPU runs it in whatever process is there
  write();
  const { value } = await first as { value: { pid: number; at: bigint } };
  assertEquals(value.pid, Deno.pid);
  assert(value.at > 0n);
  assertEquals(events.lost, 0);
  const WRITTEN = 200 * navigator.hardwareConcurrency; // more than 4096 bytes a CPU, wherever this thread runs
  for (let i = 0; i < WRITTEN; i++) write();
  let count = 0;
  for (; count < WRITTEN && events.lost === 0; count++) {
    await events.next();
    write(); // the kernel reports what is lost with the next record that it has room for
  }
  assert(events.lost > 0 && count > 0, `${events.lost} are lost`);
  await events.return();
  const bytes = map.events(), record = bytes.next();
  await delay(10);
  write();
  assertEquals((await record).value?.length, 20, "16 bytes are rounded up");
  await bytes.return();
});

objectTest("events: end with their signal, their map and their object", {}, async () => {
  const object = BpfObject.load(objectPath("records"));
  const abort = new AbortController();
  const aborted = object.map("events").events("event", { signal: abort.signal }).next();
  abort.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  const waiting = object.map("events").events("event").next();
  await delay(10); // it waits
  object.close();
  assertEquals(await waiting, { done: true, value: undefined });
});

objectTest("typed map: of a struct of functions, whose value is the kernel's", { needs: ["vm"], since: "5.13" }, () => {
  using object = BpfObject.load(objectPath("struct_ops"));
  const { name } = object.maps.find(({ type }) => type === "struct_ops")!;
  const { valueSize } = object.map(name).map.info();
  assertEquals((object.map(name).get(new Uint8Array(4)) as Uint8Array).length, valueSize);
});
