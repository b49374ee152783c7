/** Readers of ring buffers among everything else that a process does; what one reader does is in map_test. */
import { assertEquals, assertRejects } from "@std/assert";
import { Request } from "../../lib/ffi/request.ts";
import { close } from "../../lib/sys/mod.ts";
import { BpfMap, Link } from "../../mod.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { delay, until } from "../fixture/run/wait.ts";
import { recordingProgram, Tally, testRun } from "./counting.ts";

const MAP_FREEZE = 22;
const NETNS = { needs: ["netns"] } as const;

kernelTest("rings: 1,000 idle readers leave everything else its threads", NETNS, async () => {
  using program = skLookup();
  const maps = Array.from({ length: 1_000 }, () => BpfMap.create({ type: "ringbuf", maxEntries: 4096 }));
  const steps = maps.map((map) => map.records().next());
  const link = await Link.attachAsync(program, { type: "netns" });
  await link.closeAsync();
  // Deno has 32 threads for such calls, the readers take one
  await Promise.all(Array.from({ length: 40 }, () => Deno.readTextFile("/proc/self/comm")));
  try {
    await until(() => waitingThreads() === 1, "one thread waits, and no other");
  } finally {
    for (const map of maps) map.close();
  }
  for (const step of steps) assertEquals(await step, { done: true, value: undefined });
  await until(() => waitingThreads() === 0, "no thread waits");
});

kernelTest("rings: each of many readers gets its own records", {}, async () => {
  using stack = new DisposableStack();
  const rings = Array.from({ length: 100 }, () => {
    const map = stack.use(BpfMap.create({ type: "ringbuf", maxEntries: 4096 })), tally = stack.use(new Tally());
    return { map, records: map.records(), program: stack.use(recordingProgram(tally.map, map)) };
  });
  const steps = rings.map(({ records }) => records.next());
  for (let round = 0; round < 3; round++) {
    const order = rings.map((_, i) => (i * 37) % rings.length);
    for (const i of order) {
      testRun(rings[i]!.program, 1);
      const { value } = await steps[i]!;
      assertEquals(new DataView(value!.buffer, value!.byteOffset).getUint32(0, true), round);
      steps[i] = rings[i]!.records.next();
    }
  }
  await Promise.all(rings.map(({ records }) => records.return()));
});

kernelTest("rings: one that is polled busily gets its records, and leaves the event loop its turns", {}, async () => {
  using map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  using tally = new Tally();
  using program = recordingProgram(tally.map, map);
  const records = map.records({ busyPollMs: 30 });
  let turns = 0;
  const timer = setInterval(() => {
    turns++;
    testRun(program, 1); // so there is none without a turn
  }, 2);
  for (let i = 0; i < 50; i++) {
    const { value } = await records.next();
    assertEquals(new DataView(value!.buffer, value!.byteOffset).getUint32(0, true), i);
  }
  clearInterval(timer);
  assertEquals(turns >= 50, true);
  const step = records.next();
  await until(() => waitingThreads() === 1, "a thread waits again");
  testRun(program, 1);
  assertEquals((await step).done, false);
  const last = records.next(); // it is looking for records
  assertEquals(await records.return(), { done: true, value: undefined });
  assertEquals(await last, { done: true, value: undefined });
  await until(() => waitingThreads() === 0, "no thread waits");
});

kernelTest("rings: steps that are asked for at once are taken in order", {}, async () => {
  using map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  using tally = new Tally();
  using program = recordingProgram(tally.map, map);
  const records = map.records(), steps = Array.from({ length: 6 }, () => records.next());
  await delay(5);
  testRun(program, 3);
  await steps[1];
  steps.push(records.next());
  testRun(program, 20);
  const taken = await Promise.all(steps);
  assertEquals(taken.map(({ value }) => new DataView(value!.buffer, value!.byteOffset).getUint32(0, true)), [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
  ]);
  const rest = Array.from({ length: 30 }, () => records.next());
  await delay(5);
  await records.return();
  const ends = await Promise.all(rest);
  assertEquals(ends.filter(({ done }) => !done).length, 16);
  assertEquals(ends.findIndex(({ done }) => done), 16);
});

kernelTest("rings: records stay as they are when others are read", {}, async () => {
  using map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  using tally = new Tally();
  using program = recordingProgram(tally.map, map);
  const records = map.records(), kept: Uint8Array<ArrayBuffer>[] = [];
  for (let round = 0; round < 10; round++) {
    testRun(program, 100);
    for (let i = 0; i < 100; i++) kept.push((await records.next()).value!);
  }
  records.close();
  kept.forEach((record, i) => {
    assertEquals(record.length, 8);
    assertEquals(new DataView(record.buffer, record.byteOffset).getUint32(0, true), i);
  });
});

kernelTest("rings: an fd that was closed behind the reader's back fails the end of nothing", {}, async () => {
  const map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  const before = fdsOfMaps();
  const records = map.records(), step = records.next();
  await delay(0);
  for (const fd of fdsOfMaps().difference(before)) close(fd);
  map.close();
  assertEquals(await step, { done: true, value: undefined });
  assertEquals(await records.return(), { done: true, value: undefined });
});

kernelTest("rings: a failure of one reader is its own", {}, async () => {
  using good = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  using bad = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
  assertEquals(new Request(4).u32(0, bad.fd).bpf(MAP_FREEZE), 0); // can no longer be mapped for writing
  using tally = new Tally();
  using program = recordingProgram(tally.map, good);
  const step = good.records().next();
  const error = await assertRejects(() => bad.records().next());
  assertEquals((error as { reason?: string }).reason, "policy");
  testRun(program, 1);
  assertEquals((await step).value?.length, 8);
});

kernelTest("rings: a worker that is terminated leaves no thread and no fd", NETNS, async () => {
  const { code, output, errors } = await runScript(
    `
    const source = \`
      import { BpfMap, Link, Program } from "${MOD}";
      const maps = Array.from({ length: 3 }, () => BpfMap.create({ type: "ringbuf", maxEntries: 4096 }));
      maps.push(BpfMap.create({ type: "perf_event_array", keySize: 4, valueSize: 4, maxEntries: 1 }));
      for (const map of maps) map.records().next();
      setTimeout(() => postMessage(0), 10);
    \`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const ofMaps = () => Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => {
      try { return Deno.readLinkSync("/proc/self/fd/" + name); } catch { return ""; }
    }).filter((target) => /^anon_inode:(bpf-map|\\[perf_event\\])$/.test(target)).length;
    const mapped = () => Deno.readTextFileSync("/proc/self/maps").match(/bpf-map|perf_event/g)?.length ?? 0;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      if (ofMaps() !== 9 || mapped() !== 7) console.log("should hold 9 fds and 7 areas:", ofMaps(), mapped());
      worker.terminate();
      const end = performance.now() + 20_000;
      while (ofMaps() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(ofMaps(), mapped());
    }
  `,
    ["-A"],
  );
  assertEquals([code, output, errors], [0, "0 0\n0 0\n0 0\n", ""]);
});

kernelTest("rings, async calls: a worker may be terminated while a thread is inside the library", NETNS, async () => {
  const { code, output, errors } = await runScript(
    `
    const source = \`
      import { BpfMap, Link, Program } from "${MOD}";
      const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
      const program = Program.load({ type: "sk_lookup", expectedAttachType: "sk_lookup", instructions });
      postMessage(0);
      for (;;) await Promise.all(Array.from({ length: 4 }, async () => {
        await using _link = await Link.attachAsync(program, { type: "netns" });
      }));
    \`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    for (let i = 0; i < ${inOwnVm() ? 3 : 10}; i++) { // an emulated processor takes a second for each
      const worker = new Worker(url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      await new Promise((resolve) => setTimeout(resolve, i * 3));
      worker.terminate();
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    const mapped = Deno.readTextFileSync("/proc/self/maps").match(/^\\S+ r-xp .*memfd:bpf_link/gm).length;
    console.log("still here", mapped);
  `,
    ["-A"],
  );
  assertEquals([code, output, errors], [0, "still here 1\n", ""]); // and all workers share the library
});

/** The fds of maps that this process has. */
function fdsOfMaps(): Set<number> {
  return new Set(targets().filter(([, target]) => target === "anon_inode:bpf-map").map(([fd]) => fd));
}

/** Threads of this process that sleep in an epoll instance that watches maps. */
function waitingThreads(): number {
  const maps = fdsOfMaps();
  const instances = targets().filter(([fd, target]) => {
    if (target !== "anon_inode:[eventpoll]") return false;
    const watched = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`).matchAll(/^tfd:\s+(\d+)/gm);
    return watched.some(([, tfd]) => maps.has(Number(tfd)));
  }).map(([fd]) => fd);
  return Array.from(Deno.readDirSync("/proc/self/task"), ({ name }) => {
    try {
      return Number(Deno.readTextFileSync(`/proc/self/task/${name}/syscall`).split(" ")[1]);
    } catch {
      return undefined; // it ended
    }
  }).filter((first) => first !== undefined && instances.includes(first)).length;
}

function targets(): [fd: number, target: string][] {
  return Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => Number(name)).flatMap((fd) => {
    try {
      return [[fd, Deno.readLinkSync(`/proc/self/fd/${fd}`)]];
    } catch {
      return []; // closed meanwhile
    }
  });
}
