/** Readers of ring buffers among everything else that a process does; what one reader does is in map_test. */
import { assertEquals, assertRejects } from "@std/assert";
import { Request } from "../../lib/ffi/request.ts";
import { close } from "../../lib/sys/mod.ts";
import { BpfMap, Link } from "../../mod.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
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
      for (const map of maps) map.records().next();
      setTimeout(() => postMessage(0), 10);
    \`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const ofMaps = () => Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => {
      try { return Deno.readLinkSync("/proc/self/fd/" + name); } catch { return ""; }
    }).filter((target) => target === "anon_inode:bpf-map").length;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      if (ofMaps() !== 6) console.log("should hold 6 fds of maps:", ofMaps());
      worker.terminate();
      const end = performance.now() + 20_000;
      while (ofMaps() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(ofMaps());
    }
  `,
    ["-A"],
  );
  assertEquals([code, output, errors], [0, "0\n0\n0\n", ""]);
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
    for (let i = 0; i < 10; i++) {
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
