/** `Link.attachAll`: all or none, and one end for all. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { close } from "../../lib/os/files.ts";
import { type AnyLink, type AttachEntry, BpfError, Hook, Link, type LinkGroup, openHandles } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { cgroupEgress, skLookup, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const EGRESS = "cgroup_inet_egress";

/** A cgroup, and three links to it that can be had, among others. */
class Scene implements Disposable {
  readonly cgroup = new Cgroup();
  readonly programs = [cgroupEgress(), cgroupEgress(), cgroupEgress()] as const;
  readonly misfit = xdp();
  readonly target = { type: "cgroup", cgroup: this.cgroup.path, attachType: EGRESS } as const;
  readonly good: AttachEntry[] = this.programs.map((program) => [program, this.target]);
  /** The last cannot be attached. */
  readonly bad: AttachEntry[] = [...this.good, [this.misfit, this.target]];

  /** The programs that are attached now. */
  get attached(): number[] {
    return Hook.query(this.target).entries.map(({ programId }) => programId);
  }

  [Symbol.dispose](): void {
    for (const program of [...this.programs, this.misfit]) program.close();
    this.cgroup[Symbol.dispose]();
  }
}

type AttachAll = (
  entries: readonly AttachEntry[],
  options?: Parameters<typeof Link.attachAll>[1],
) => Promise<LinkGroup>;

/** The same test for `attachAll` and its twin. */
function groupTest(name: string, test: (scene: Scene, attachAll: AttachAll, isAsync: boolean) => Promise<void>): void {
  const forms = [
    ["attachAll", (entries, options) => Promise.try(Link.attachAll, entries, options)],
    ["attachAllAsync", (entries, options) => Link.attachAllAsync(entries, options)],
  ] as [string, AttachAll][];
  for (const [form, attachAll] of forms) {
    kernelTest(`${form}: ${name}`, { needs: ["cgroup2", "bpffs"] }, async () => {
      using scene = new Scene();
      await test(scene, attachAll, form !== "attachAll");
    });
  }
}

/** Records in which order links are detached: each takes another handle's view at the moment of the close. */
function watchEnds(group: LinkGroup): AnyLink[] {
  const ended: AnyLink[] = [];
  for (const link of group) {
    void link.id; // it stays readable
    for (const method of ["close", "closeAsync"] as const) {
      const original = link[method].bind(link);
      Object.defineProperty(link, method, {
        value: () => {
          ended.push(link);
          return original();
        },
      });
    }
  }
  return ended;
}

groupTest("the links are those of the entries, and end with the scope in reverse order", async (scene, attachAll) => {
  let ended: AnyLink[], links: readonly AnyLink[];
  {
    await using group = await attachAll(scene.good);
    links = group.links;
    assertEquals([...group], [...links]);
    assertEquals(links.map((link) => link.info().programId), scene.programs.map(({ id }) => id));
    assertEquals(scene.attached.length, 3);
    ended = watchEnds(group);
  }
  assertEquals(ended.map((link) => links.indexOf(link)), [2, 1, 0]);
  assertEquals([scene.attached, links.map(({ closed }) => closed)], [[], [true, true, true]]);
});

groupTest("one that fails takes the others back", async (scene, attachAll) => {
  const before = openHandles();
  const error = await assertRejects(() => attachAll(scene.bad), AggregateError, "entry 3 of 4");
  assertEquals(error.errors.length, 1);
  assertInstanceOf(error.errors[0], BpfError);
  assertEquals([scene.attached, openHandles()], [[], before]);
  const keep = await assertRejects(() => attachAll(scene.bad, { onClose: "keep" }), AggregateError);
  assertEquals([keep.errors.length, scene.attached], [1, []]);
});

groupTest("a rollback that fails is reported with what caused it", async (scene, attachAll) => {
  // closed behind the back of the first link: its place in the group is known, its handle not yet
  const taken = new Set(openHandles().map(({ fd }) => fd));
  const closing: AttachEntry = [scene.programs[1], {
    ...scene.target,
    get cgroup() {
      const made = openHandles().find(({ kind, fd }) => kind === "link" && !taken.has(fd));
      if (made !== undefined) {
        taken.add(made.fd);
        close(made.fd);
      }
      return scene.cgroup.path;
    },
  }];
  const error = await assertRejects(
    () => attachAll([scene.good[0]!, closing, [scene.misfit, scene.target]]),
    AggregateError,
    "entry 2 of 3",
  );
  assertEquals(error.errors.map((it: BpfError) => it.command), ["LINK_CREATE", "LINK_DETACH"]);
  assertEquals(scene.attached, []);
});

groupTest("all that fails at the end is reported, and the rest ends", async (scene, attachAll, isAsync) => {
  const group = await attachAll(scene.good);
  for (const i of [0, 2]) close(group.links[i]!.fd);
  const end = () => isAsync ? group[Symbol.asyncDispose]() : Promise.try(() => group[Symbol.dispose]());
  const error = await assertRejects(end, AggregateError);
  assertEquals(error.errors.map((it: BpfError) => it.command), ["LINK_DETACH", "LINK_DETACH"]);
  assertEquals([scene.attached, group.links.every(({ closed }) => closed)], [[], true]);
  await end(); // nothing more to tell
});

groupTest("onClose: keep, and what was pinned", async (scene, attachAll) => {
  using pins = new PinDirectory();
  const group = await attachAll(scene.good, { onClose: "keep" });
  using other = Link.open(group.links[0]!.id);
  group[Symbol.dispose]();
  assertEquals(scene.attached, [scene.programs[0].id]);
  other.detach();

  const pinned = await attachAll(scene.good);
  pinned.links[1]!.pin(pins.pin("link"));
  await pinned[Symbol.asyncDispose]();
  assertEquals(scene.attached, [scene.programs[1].id]);
});

groupTest("signal: aborted before, nothing is attached", async (scene, attachAll) => {
  const reason = new Error("no");
  assertStrictEquals(await assertRejects(() => attachAll(scene.good, { signal: AbortSignal.abort(reason) })), reason);
  assertEquals(scene.attached, []);
});

groupTest("signal: aborted later, the group ends in reverse order whatever onClose says", async (scene, attachAll) => {
  for (const onClose of ["detach", "keep"] as const) {
    const controller = new AbortController();
    const group = await attachAll(scene.good, { signal: controller.signal, onClose });
    const ended = watchEnds(group);
    using other = Link.open(group.links[0]!.id);
    controller.abort();
    assertEquals(ended.map((link) => group.links.indexOf(link)), [2, 1, 0]);
    assertEquals([scene.attached, other.attached()], [[], false]);
    group[Symbol.dispose]();
  }
});

groupTest("signal: what fails on abort is thrown by the end of the scope, once", async (scene, attachAll) => {
  const controller = new AbortController();
  const group = await attachAll(scene.good, { signal: controller.signal });
  close(group.links[1]!.fd);
  controller.abort();
  assertEquals(scene.attached, []);
  const error = await assertRejects(() => group[Symbol.asyncDispose](), AggregateError);
  assertEquals(error.errors.map((it: BpfError) => it.command), ["LINK_DETACH"]);
  group[Symbol.dispose]();
});

kernelTest("attachAllAsync: aborted on the way, nothing is left", { needs: ["cgroup2"] }, async () => {
  using scene = new Scene();
  const reason = new Error("enough"), before = openHandles();
  for (let turns = 0; turns < 40; turns++) {
    const controller = new AbortController();
    const attaching = Link.attachAllAsync(scene.good, { signal: controller.signal });
    const outcome = attaching.then((group) => group, (error: unknown) => error);
    for (let i = 0; i < turns; i++) await Promise.resolve();
    controller.abort(reason);
    const result = await outcome;
    if (result !== reason) (result as LinkGroup)[Symbol.dispose](); // it was faster
    assertEquals([scene.attached, openHandles()], [[], before], `aborted after ${turns} turns`);
  }
});

groupTest("arguments are checked before anything is attached", async (scene, attachAll) => {
  const wrong: [unknown, unknown][] = [
    [undefined, undefined],
    [{ 0: scene.good[0] }, undefined],
    [[scene.good[0], scene.programs[1]], undefined],
    [[scene.good[0], [scene.programs[1]]], undefined],
    [scene.good, { onclose: "keep" }],
    [scene.good, { onClose: "never" }],
    [scene.good, { signal: {} }],
  ];
  for (const [entries, options] of wrong) {
    await assertRejects(() => attachAll(entries as AttachEntry[], options as { onClose?: "keep" }), TypeError);
  }
  assertEquals(scene.attached, []);
  using empty = await attachAll([]);
  assertEquals(empty.links, []);
});

kernelTest("a group of several kinds", { needs: ["cgroup2", "netns"] }, () => {
  using scene = new Scene();
  using lookup = skLookup();
  using group = Link.attachAll([[scene.programs[0], scene.target], [lookup, { type: "netns" }]]);
  assertEquals(group.links.map(({ type }) => type), ["cgroup", "netns"]);
  assert(group.links.every((link) => link.attached()));
  assertThrows(
    () => {
      using _inner = Link.attachAll([[scene.programs[1], scene.target]]);
      throw new Error("inside");
    },
    Error,
    "inside",
  );
  assertEquals(scene.attached, [scene.programs[0].id]);
});
