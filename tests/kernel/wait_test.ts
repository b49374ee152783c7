/** `untilDetached()` and `Link.untilGone()`: they end when the link does or they are told to, and leave nothing. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { close } from "../../lib/os/files.ts";
import { BpfError, Link, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { VethPair } from "../fixture/place/netns.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { cgroupEgress, netfilter, rawTracepoint, taskIterator, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { delay } from "../fixture/run/wait.ts";

const SOON = { intervalMs: 2 };
const LATE = { intervalMs: 0x7fffffff };

/** A cgroup to attach to and a program. */
class Scene implements Disposable {
  readonly cgroup = new Cgroup();
  readonly program: Program = cgroupEgress();
  readonly target = { type: "cgroup", cgroup: this.cgroup.path, attachType: "cgroup_inet_egress" } as const;

  attach(options?: Parameters<typeof Link.attach>[2]): Link<"cgroup"> {
    return Link.attach(this.program, this.target, options);
  }

  [Symbol.dispose](): void {
    this.program.close();
    this.cgroup[Symbol.dispose]();
  }
}

function waitTest(name: string, test: (scene: Scene) => void | Promise<void>): void {
  kernelTest(name, { needs: ["cgroup2", "bpffs"] }, async () => {
    using scene = new Scene();
    await test(scene);
  });
}

/** Whether a promise is still open after some looks. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => false, () => false), delay(20).then(() => true)]);
}

waitTest("untilDetached: by force, from another handle", async (scene) => {
  using link = scene.attach();
  using other = Link.open(link.id);
  const waiting = other.untilDetached(SOON);
  assert(await isPending(waiting));
  link.detach();
  await waiting;
  await other.untilDetached(LATE); // at the first look
});

waitTest("untilDetached: the cgroup is removed", async (scene) => {
  const cgroup = new Cgroup();
  using link = Link.attach(scene.program, { ...scene.target, cgroup: cgroup.path });
  const waiting = link.untilDetached(SOON);
  cgroup[Symbol.dispose]();
  await waiting;
  assertEquals(link.attached(), false);
});

kernelTest("untilDetached: the interface is deleted", { needs: ["netns"] }, async () => {
  using veth = new VethPair();
  using program = xdp();
  using link = Link.attach(program, { type: "xdp", device: veth.name, mode: "generic" });
  const waiting = link.untilDetached(SOON);
  assert(await isPending(waiting));
  veth.delete();
  await waiting;
});

waitTest("untilDetached: the handle is closed meanwhile", async (scene) => {
  for (const end of ["close", "closeAsync"] as const) {
    const made = scene.attach();
    const waiting = made.untilDetached(SOON);
    await made[end](); // detaches
    await waiting;
    await assertRejects(() => made.untilDetached(), Deno.errors.BadResource);

    const kept = scene.attach({ onClose: "keep" });
    const rejected = assertRejects(() => kept.untilDetached(SOON), Deno.errors.BadResource, `link ${kept.id}`);
    await kept[end]();
    await rejected;

    const released = scene.attach();
    const neither = assertRejects(() => released.untilDetached(SOON), Deno.errors.BadResource);
    close(released.release());
    await neither;
  }
});

waitTest("untilDetached: what the own handle does is noticed at once, however rare the looks", async (scene) => {
  const ends: ((link: Link) => unknown)[] = [
    (link) => link.detach(),
    (link) => link.detachAsync(),
    (link) => link.close(),
    (link) => link.closeAsync(),
  ];
  for (const end of ends) {
    using link = scene.attach();
    const waiting = Promise.all([link.untilDetached(LATE), link.untilDetached(LATE)]);
    await delay(0);
    await end(link);
    await waiting;
  }
  const kept = scene.attach({ onClose: "keep" });
  const rejected = assertRejects(() => kept.untilDetached(LATE), Deno.errors.BadResource);
  await delay(0);
  kept.close();
  await rejected;
  const controller = new AbortController();
  const aborted = scene.attach({ signal: controller.signal }).untilDetached(LATE);
  await delay(0);
  controller.abort();
  await aborted;
});

waitTest("untilDetached: AttachOptions.signal ends link and wait", async (scene) => {
  const controller = new AbortController();
  const link = scene.attach({ signal: controller.signal });
  const waiting = link.untilDetached(SOON);
  controller.abort();
  await waiting;
  assertEquals(link.closed, true);
});

waitTest("untilDetached: a detachment on abort that failed is thrown, once", async (scene) => {
  for (const isWaiting of [true, false]) {
    const controller = new AbortController();
    const link = scene.attach({ signal: controller.signal });
    const before = isWaiting ? assertRejects(() => link.untilDetached(SOON), BpfError) : undefined;
    close(link.fd);
    controller.abort();
    const error = await (before ?? assertRejects(() => link.untilDetached(SOON), BpfError));
    assertEquals(error.command, "LINK_DETACH");
    link.close();
  }
});

kernelTest(
  "untilDetached: rejects at once where the kernel cannot tell",
  { needs: ["netns"], since: "6.4" },
  async () => {
    using raw = rawTracepoint();
    using iterator = taskIterator("x");
    using filter = netfilter();
    using links = Link.attachAll([
      [raw, { type: "raw_tracepoint", name: "oom_score_adj_update" }],
      [iterator, { type: "iter" }],
      [filter, { type: "netfilter", family: "ipv4", hook: "local_in", priority: 1 }],
    ]);
    for (const link of links) {
      assertEquals(link.attached(), undefined);
      const error = await assertRejects(() => link.untilDetached(LATE), BpfError, "does not report");
      assertEquals(error.reason, "unsupported");
    }
  },
);

waitTest("untilGone: nothing holds the link meanwhile", async (scene) => {
  const link = scene.attach();
  const waiting = Link.untilGone(link.id, { intervalMs: 1 });
  assert(await isPending(waiting));
  link.close();
  await waiting;
  await Link.untilGone(link.id, LATE); // at the first look
  for (const id of [0, 0x7fffffff, 0xffffffff]) await Link.untilGone(id, LATE);
});

waitTest("untilGone: a removed pin", async (scene) => {
  using pins = new PinDirectory();
  const link = scene.attach();
  link.pin(pins.pin("link"));
  link.close();
  const waiting = Link.untilGone(link.id, SOON);
  assert(await isPending(waiting));
  Deno.removeSync(pins.pin("link"));
  await waiting;
});

waitTest("an abort rejects with the signal's reason, before and meanwhile", async (scene) => {
  using link = scene.attach();
  const reason = new Error("enough");
  const forms = [
    (signal: AbortSignal) => link.untilDetached({ ...LATE, signal }),
    (signal: AbortSignal) => Link.untilGone(link.id, { ...LATE, signal }),
  ];
  for (const wait of forms) {
    assertStrictEquals(await assertRejects(() => wait(AbortSignal.abort(reason))), reason);
    const controller = new AbortController();
    const waiting = assertRejects(() => wait(controller.signal));
    await delay(0);
    controller.abort(reason);
    assertStrictEquals(await waiting, reason);
  }
  assertEquals(link.attached(), true);
});

waitTest("the timer does not outlive the wait, and no listener stays", async (scene) => {
  const script = `
    import { Link, Program } from "${MOD}";
    using program = Program.open(${scene.program.id});
    const controller = new AbortController(), { signal } = controller;
    let listeners = 0;
    for (const [method, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
      const original = signal[method].bind(signal);
      signal[method] = (...args) => { listeners += step; return original(...args); };
    }
    const link = Link.attach(program, ${JSON.stringify(scene.target)});
    const waiting = [link.untilDetached({ signal, intervalMs: 1 }), Link.untilGone(link.id, { signal, intervalMs: 1 })];
    link.close();
    await Promise.all(waiting);
    const late = Link.attach(program, ${JSON.stringify(scene.target)});
    const aborted = late.untilDetached({ signal, intervalMs: 0x7fffffff }).catch((error) => error);
    await Promise.resolve();
    console.log(listeners);
    controller.abort("enough");
    console.log(await aborted);
    late.close();
  `;
  const { code, output, errors } = await runScript(script, ["--allow-ffi"]);
  assertEquals([code, errors, output], [0, "", "1\nenough\n"]); // and the process has ended
});

waitTest("options are checked", async (scene) => {
  using link = scene.attach();
  const wrong: [unknown, typeof TypeError][] = [
    [{ interval: 1 }, TypeError],
    [{ intervalMs: "1" }, TypeError],
    [{ intervalMs: 0 }, RangeError],
    [{ intervalMs: 0.5 }, RangeError],
    [{ signal: {} }, TypeError],
  ];
  for (const [options, kind] of wrong) {
    await assertRejects(() => link.untilDetached(options as { intervalMs?: number }), kind);
    await assertRejects(() => Link.untilGone(link.id, options as { intervalMs?: number }), kind);
  }
  await assertRejects(() => Link.untilGone(-1), RangeError);
  await assertRejects(() => Link.untilGone("1" as unknown as number), TypeError);
});
