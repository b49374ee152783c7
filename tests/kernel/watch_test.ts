/** `Link.watch()`: every change that lasts, once, and nothing left of it. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { closeIterator, loadedIterator } from "../../lib/listing/iterator.ts";
import { Link, type LinkEvent, type LinkWatcher, type Source } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { watchChurn } from "../fixture/process/churn.ts";
import { cgroupEgress, taskIterator } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { delay } from "../fixture/run/wait.ts";

const SINCE = "5.19"; // the iterator
const NEVER = 0x7fffffff;

/** A test with each source that sees all our links, which leaves no iterator loaded. */
function watchTest(name: string, test: (source: Source) => Promise<void>): void {
  for (const source of ["iterator", "syscall", "proc"] as const) {
    kernelTest(`${name}: ${source}`, { since: SINCE, needs: ["cgroup2"] }, async () => {
      try {
        await test(source);
      } finally {
        closeIterator();
      }
    });
  }
}

/** Reads events of these programs' links, told as one word each, until there are as many as expected. */
async function assertEvents(watcher: LinkWatcher, programs: readonly number[], expected: unknown[]): Promise<void> {
  const told: unknown[] = [];
  while (told.length < expected.length) {
    const { done, value } = await watcher.next();
    if (done) break;
    const info = value.kind === "changed" ? value.after : value.info;
    if (programs.includes(info.programId ?? 0)) {
      told.push([info.id, value.kind === "changed" ? value.what : value.kind]);
    }
  }
  assertEquals(told, expected);
}

watchTest("present, added, changed, removed, each once", async (source) => {
  using cgroup = new Cgroup();
  using first = cgroupEgress();
  using second = cgroupEgress();
  const programs = [first.id, second.id];
  const target = { type: "cgroup", cgroup: cgroup.path } as const;
  using link = Link.attach(first, target);
  using watcher = Link.watch({ source, intervalMs: 1 });
  assertEquals([watcher.source, watcher.partial], [source, source === "proc"]);
  await assertEvents(watcher, programs, [[link.id, "present"]]);
  const other = Link.attach(first, target);
  await assertEvents(watcher, programs, [[other.id, "added"]]);
  link.update(second);
  await assertEvents(watcher, programs, [[link.id, ["program"]]]);
  link.detach();
  await assertEvents(watcher, programs, [[link.id, ["attached"]]]);
  other.close();
  await assertEvents(watcher, programs, [[other.id, "removed"]]);
  link.close();
  await assertEvents(watcher, programs, [[link.id, "removed"]]);
});

watchTest("a target that is gone, and types that are not asked for", async (source) => {
  const cgroup = new Cgroup();
  using program = cgroupEgress();
  using iterator = taskIterator("t");
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  using _other = Link.attach(iterator, { type: "iter" });
  using watcher = Link.watch({ source, intervalMs: 1, types: ["cgroup"] });
  const programs = [program.id, iterator.id];
  await assertEvents(watcher, programs, [[link.id, "present"]]);
  cgroup[Symbol.dispose]();
  await assertEvents(watcher, programs, [[link.id, ["attached"]]]);
});

watchTest("changes while the consumer is busy are told at its pace, as one", async (source) => {
  using cgroup = new Cgroup();
  using first = cgroupEgress();
  using second = cgroupEgress();
  using link = Link.attach(first, { type: "cgroup", cgroup: cgroup.path });
  using watcher = Link.watch({ source, intervalMs: 1 });
  const programs = [first.id, second.id];
  await assertEvents(watcher, programs, [[link.id, "present"]]);
  link.update(second);
  await delay(5);
  link.detach();
  await delay(5);
  await assertEvents(watcher, programs, [[link.id, ["program", "attached"]]]);
});

watchTest("close() ends a step that is waiting, and every later one", async (source) => {
  for (const end of ["close", "return", "dispose"] as const) {
    const watcher = Link.watch({ source, intervalMs: NEVER });
    const waiting = (async () => {
      for (;;) if ((await watcher.next()).done) return true;
    })();
    await delay(5);
    if (end === "close") watcher.close();
    else if (end === "return") await watcher.return!();
    else watcher[Symbol.dispose]();
    assert(await waiting);
    assertEquals(await watcher.next(), { done: true, value: undefined });
    watcher.close();
  }
});

watchTest("an abort rejects with the reason, once", async (source) => {
  const controller = new AbortController(), reason = new Error("enough");
  const watcher = Link.watch({ source, intervalMs: NEVER, signal: controller.signal });
  const failed = assertRejects(async () => {
    for await (const _ of watcher);
  });
  await delay(5);
  controller.abort(reason);
  assertEquals(await failed, reason);
  assertEquals(await watcher.next(), { done: true, value: undefined });
  const late = Link.watch({ source, signal: AbortSignal.abort(reason) });
  assertEquals(await assertRejects(() => late.next()), reason);
});

watchTest("every link of a storm that stays is told, each once", async (source) => {
  using program = taskIterator("t");
  using stack = new DisposableStack();
  using watcher = Link.watch({ source, intervalMs: 1, types: ["iter"] });
  const made: number[] = [], told: LinkEvent[] = [];
  const storm = (async () => {
    for (let i = 0; i < 50; i++) {
      made.push(stack.use(Link.attach(program, { type: "iter" })).id);
      using _ = Link.attach(program, { type: "iter" });
      await delay(0);
    }
  })();
  const seen = new Set<number>();
  while (made.length < 50 || made.some((id) => !seen.has(id))) {
    const { done, value } = await watcher.next();
    if (done) break;
    if (value.kind === "changed" || value.info.programId !== program.id) continue;
    told.push(value);
    if (value.kind !== "removed") seen.add(value.info.id);
  }
  await storm;
  for (const id of made) {
    const kinds = told.flatMap((event) => event.kind !== "changed" && event.info.id === id ? [event.kind] : []);
    assert(kinds.length === 1 && kinds[0] !== "removed", `${id}: ${kinds}`);
  }
});

watchTest("changes that last are told, whatever other processes make and drop", async (source) => {
  const tally = await watchChurn({ source, seconds: 2, perSecond: 200, lifeMs: 1500, intervalMs: 50 });
  assert(tally.lasting > 0 && tally.told >= tally.lasting - tally.unseen);
  assertEquals([tally.missed, tally.wrong], [0, 0]);
});

kernelTest("the program is held while somebody watches, and the best source is chosen", { since: SINCE }, async () => {
  {
    using watcher = Link.watch();
    using other = Link.watch({ intervalMs: 1 });
    assertEquals([watcher.source, watcher.partial], ["iterator", false]);
    other.close();
    const held = loadedIterator();
    closeIterator();
    assert(held !== undefined && loadedIterator() === held, "a closed watcher does not take it from another");
  }
  closeIterator();
  assertEquals(loadedIterator(), undefined);
  await Promise.resolve();
});

Deno.test("options of watch are checked", () => {
  assertThrows(() => Link.watch({ intervalMs: 0 }), RangeError, "options.intervalMs");
  assertThrows(() => Link.watch({ interval: 1 } as Record<string, unknown>), TypeError, "interval");
  assertThrows(() => Link.watch({ types: ["tc" as "tcx"] }), TypeError, "options.types[0]");
});

watchTest(
  "the first look is complete when all that it found is taken, also if that is nothing",
  async (source) => {
    const events: string[] = [];
    using program = taskIterator("x");
    using link = Link.attach(program, { type: "iter" });
    using watcher = Link.watch({ source, types: ["iter"], intervalMs: 1 });
    watcher.settled.then(() => {
      events.push("settled");
      link.close();
    });
    for await (const { kind } of watcher) {
      events.push(kind);
      await delay(2); // settled comes with the next step
      if (kind === "removed") break;
    }
    assertEquals(events.filter((event) => event === "present").length, events.indexOf("settled"));
    assertEquals(events.filter((event) => event === "settled").length, 1);

    using empty = Link.watch({ source, types: ["sockmap"], intervalMs: 1 });
    const step = empty.next();
    await empty.settled;
    empty.close();
    assertEquals((await step).done, true);

    const unused = Link.watch({ source });
    unused.close();
    await unused.settled;
  },
);
