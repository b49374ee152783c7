/**
 * What others may put beside a pin, and in its place: nothing is ended, taken over or removed without proof that it is
 * the package's own, and nobody is waited for without a limit.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { close, open, tryLock } from "../../lib/os/files.ts";
import { type AttachTarget, BpfError, BpfMap, type EnsureOptions, Link, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { executable } from "../fixture/place/elf.ts";
import { FEW_FILES, MOD, runScript } from "../fixture/process/script.ts";
import { LockHolder } from "../fixture/process/lock_holder.ts";
import { answering, cgroupEgress, skLookup } from "../fixture/program/programs.ts";
import { SINCE } from "../fixture/run/expectations.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { assertGone } from "../fixture/run/state.ts";
import { delay } from "../fixture/run/wait.ts";

const NEEDS = { needs: ["cgroup2", "bpffs", "netns"] } as const;
const NETNS = { type: "netns" } as const;
/** A user who is neither root nor the test. */
const STRANGER = 65533;

/** Somebody's link of another type, which is to be left alone. */
class Firewall implements Disposable {
  readonly #cgroup = new Cgroup();
  readonly #program = cgroupEgress();
  readonly link: Link = Link.attach(this.#program, { type: "cgroup", cgroup: this.#cgroup.path });

  assertUntouched(): void {
    assertEquals([this.link.attached(), this.link.info().programId], [true, this.#program.id]);
  }

  [Symbol.dispose](): void {
    this.link.onClose = "detach";
    this.link.close();
    this.#program.close();
    this.#cgroup[Symbol.dispose]();
  }
}

function reasonOf(act: () => unknown): string {
  return assertThrows(act, BpfError).reason;
}

function refusals(path: string, program: Program, target: AttachTarget, ...reasons: (string | undefined)[]): void {
  for (const [i, replace] of [false, true].entries()) {
    if (reasons[i] !== undefined) assertEquals(reasonOf(() => ensure(path, program, target, { replace })), reasons[i]);
  }
}

function ensure(
  path: string,
  program: Program,
  target: AttachTarget,
  options?: EnsureOptions,
): ReturnType<typeof Link.ensurePinned> {
  return Link.ensurePinned(path, program, target as Parameters<typeof Link.ensurePinned>[2], options);
}

kernelTest("a pin of somebody else beside ours, whatever its name, stays", NEEDS, () => {
  using pins = new PinDirectory();
  using firewall = new Firewall();
  using program = skLookup();
  const names = ["web~", "web~~", "web~01", `web~${firewall.link.id}`, `web~${firewall.link.id + 1}-0123456789abcdef`];
  for (const name of names) firewall.link.pin(pins.pin(name));
  using _ensured = ensure(pins.pin("web"), program, NETNS);
  firewall.assertUntouched();
  assertEquals(pins.pins, ["web", ...names].sort());
});

kernelTest("a symbolic link in the place of the pin is not followed, and stays", NEEDS, () => {
  using pins = new PinDirectory();
  using firewall = new Firewall();
  using program = skLookup();
  using same = cgroupEgress();
  firewall.link.pin(pins.pin("firewall"));
  for (const name of ["web", "web~"]) Deno.symlinkSync(pins.pin("firewall"), pins.pin(name));
  refusals(pins.pin("web"), program, NETNS, "mismatch", "mismatch");
  assertEquals(
    reasonOf(() => BpfMap.ensurePinned(pins.pin("web"), { type: "array", valueSize: 4, maxEntries: 1 })),
    "mismatch",
  );
  firewall.assertUntouched();
  Deno.symlinkSync(pins.pin("nowhere"), pins.pin("dangling"));
  refusals(pins.pin("dangling"), same, NETNS, undefined, undefined);
  assertEquals(reasonOf(() => ensure(pins.pin("dangling"), program, NETNS)), "mismatch");
  assertEquals(pins.pins, ["dangling", "firewall", "web", "web~"]);
});

kernelTest("unpin() removes no symbolic link, even if it leads to the link", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, NETNS);
  link.pin(pins.pin("link"));
  Deno.renameSync(pins.pin("link"), pins.pin("moved"));
  Deno.symlinkSync(pins.pin("moved"), pins.pin("link"));
  const error = assertThrows(() => link.unpin(), BpfError);
  assertEquals([error.reason, error.code], ["mismatch", "ELOOP"]);
  link.detach();
  assertEquals([pins.pins, link.attached()], [["link", "moved"], false]);
  using opened = Link.openPinned(pins.pin("link"));
  assertEquals(reasonOf(() => opened.unpin()), "mismatch");
});

kernelTest("a pin with a second name is taken over by nobody", NEEDS, () => {
  using pins = new PinDirectory();
  using firewall = new Firewall();
  firewall.link.pin(pins.pin("firewall"));
  Deno.linkSync(pins.pin("firewall"), pins.pin("web"));
  using next = cgroupEgress();
  using program = skLookup();
  const { cgroupId } = firewall.link.info() as { cgroupId: bigint };
  assert(cgroupId > 0n);
  refusals(pins.pin("web"), program, NETNS, "mismatch", "mismatch");
  refusals(pins.pin("firewall"), next, NETNS, undefined, undefined);
  firewall.assertUntouched();
  using array = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  array.pin(pins.pin("map"));
  Deno.linkSync(pins.pin("map"), pins.pin("map2"));
  const error = assertThrows(
    () => BpfMap.ensurePinned(pins.pin("map2"), { type: "array", valueSize: 4, maxEntries: 1 }),
    BpfError,
    "2 names",
  );
  assertEquals(error.reason, "mismatch");
});

kernelTest("a pin of another user is taken over only if told to replace it", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  const path = pins.pin("web");
  using planted = ensure(path, program, NETNS);
  Deno.chownSync(path, STRANGER, STRANGER);
  const error = assertThrows(() => ensure(path, program, NETNS), BpfError, `user ${STRANGER}`);
  assertEquals([error.reason, planted.link.attached()], ["mismatch", true]);
  using ensured = ensure(path, program, NETNS, { replace: true });
  assertEquals(ensured.link.attached(), true);
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  map.pin(pins.pin("map"));
  Deno.chownSync(pins.pin("map"), STRANGER, STRANGER);
  assertEquals(
    reasonOf(() => BpfMap.ensurePinned(pins.pin("map"), { type: "array", valueSize: 4, maxEntries: 1 })),
    "mismatch",
  );
  planted.link.close();
  ensured.link.detach();
  ensured.link.unpin();
  await assertGone(planted.link.id);
});

kernelTest("symbolic links to the directory: own ones lead, a stranger's does not", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  Deno.mkdirSync(pins.pin("private"));
  for (const name of ["own", "planted"]) Deno.symlinkSync("private", pins.pin(name));
  // bpffs links have no owner of their own choice but the one who makes them
  const made = new Deno.Command("chown", { args: ["-h", `${STRANGER}`, pins.pin("planted")] }).outputSync();
  assertEquals(made.code, 0);
  assertEquals(reasonOf(() => ensure(pins.pin("planted/web"), program, NETNS)), "policy");
  assertEquals(Array.from(Deno.readDirSync(pins.pin("private"))), []);
  const through = [pins.pin("own/web"), `/proc/self/root${pins.pin("private/web")}`, pins.pin("private/../own/./web")];
  for (const [i, path] of through.entries()) {
    using ensured = ensure(path, program, NETNS);
    assertEquals(ensured.outcome, i === 0 ? "created" : "updated");
  }
  using link = Link.openPinned(pins.pin("private/web"));
  link.detach();
  link.unpin();
});

kernelTest("what a killed run left is ended, if it is proved to be that", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  const leave = (nameOf: (id: number) => string): Link => {
    const link = Link.attach(program, NETNS);
    link.pin(pins.pin(nameOf(link.id)));
    return link;
  };
  const random = "0123456789abcdef";
  using stack = new DisposableStack();
  const ends = (link: Link): Link => {
    link.onClose = "detach";
    return stack.use(link);
  };
  const ofAnotherId = ends(leave((id) => `link~${id + 1}-${random}`));
  const ofAnotherPin = ends(leave((id) => `another~${id}-${random}`));
  const ofTwoNames = ends(leave((id) => `link~${id}-${random}`));
  Deno.linkSync(ofTwoNames.pinnedPath!, pins.pin("second"));
  const ofStranger = ends(leave((id) => `link~${id}-${random}`));
  Deno.chownSync(ofStranger.pinnedPath!, STRANGER, STRANGER);
  const left = leave((id) => `link~${id}-${random}`), name = left.pinnedPath!;
  left.close();
  using ensured = ensure(pins.pin("link"), program, NETNS);
  assertEquals(ensured.outcome, "created");
  await assertGone(left.id);
  assert(!pins.pins.includes(name.slice(name.lastIndexOf("/") + 1)));
  for (const { pinnedPath, id } of [ofAnotherId, ofAnotherPin, ofTwoNames, ofStranger]) {
    using there = Link.openPinned(pinnedPath!);
    assertEquals(there.id, id);
  }
  ensured.link.detach();
  ensured.link.unpin();
});

kernelTest("the longest name leaves room for what is pinned meanwhile", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  for (const name of ["x".repeat(255), "é".repeat(127)]) {
    using created = ensure(pins.pin(name), program, NETNS);
    created.link.detach();
    using replaced = ensure(pins.pin(name), program, NETNS);
    assertEquals([replaced.outcome, pins.pins], ["replaced", [name]]);
    replaced.link.detach();
    replaced.link.unpin();
  }
});

// ---- the lock

kernelTest("a lock that somebody holds is waited for with a limit, which says who", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  await using holder = await LockHolder.start(pins.path);
  const path = pins.pin("link");
  const check = (error: BpfError) => {
    assertEquals([error.reason, error.command], ["busy", "flock"]);
    assert(error.message.includes(`process ${holder.pid} (deno)`), error.message);
  };
  const act = (waitMs: number) => () => ensure(path, program, NETNS, { waitMs });
  for (const waitMs of [0, 50]) check(assertThrows(act(waitMs), BpfError));
  Deno.kill(holder.pid, "SIGSTOP"); // a peer that was stopped in the middle
  check(assertThrows(act(1), BpfError));
  check(
    assertThrows(
      () => BpfMap.ensurePinned(path, { type: "array", valueSize: 4, maxEntries: 1 }, { waitMs: 1 }),
      BpfError,
    ),
  );
  check(await assertRejects(() => Link.ensurePinnedAsync(path, program, NETNS, { waitMs: 50 }), BpfError));
  assertEquals(pins.pins, []);
  for (const waitMs of [-1, 0.5, NaN]) assertThrows(act(waitMs), RangeError, "waitMs");
  assertThrows(() => ensure(path, program, NETNS, { signal: undefined } as EnsureOptions), TypeError, "signal");
});

kernelTest("ensurePinnedAsync: waits beside other work, and a signal ends the wait", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  const path = pins.pin("link"), controller = new AbortController(), reason = new Error("enough");
  const lock = open(pins.path);
  try {
    assert(tryLock(lock));
    const waiting = Link.ensurePinnedAsync(path, program, NETNS, { waitMs: 600_000, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    assertEquals(await assertRejects(() => waiting), reason);
    assertEquals(pins.pins, []);
    await assertRejects(
      () => Link.ensurePinnedAsync(path, program, NETNS, { signal: controller.signal }),
      Error,
      "enough",
    );
    const second = Link.ensurePinnedAsync(path, program, NETNS, { waitMs: 600_000 });
    await delay(20);
    assertEquals(pins.pins, []);
    close(lock);
    using ensured = await second;
    assertEquals(ensured.outcome, "created");
    using again = await Link.ensurePinnedAsync(path, program, NETNS);
    assertEquals([again.outcome, again.link.id, again.link.onClose], ["updated", ensured.link.id, "keep"]);
    again.link.detach();
    again.link.unpin();
  } finally {
    controller.abort();
  }
});

kernelTest("ensurePinnedAsync: many at once in one process make one link", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  const ensured = await Promise.all(
    Array.from({ length: 20 }, () => Link.ensurePinnedAsync(pins.pin("link"), program, NETNS, { waitMs: 600_000 })),
  );
  const outcomes = ensured.map(({ outcome }) => outcome).sort();
  assertEquals(outcomes, ["created", ...new Array(19).fill("updated")]);
  assertEquals(new Set(ensured.map(({ link }) => link.id)).size, 1);
  ensured[0]!.link.detach();
  ensured[0]!.link.unpin();
  for (const { link } of ensured) link.close();
});

kernelTest("unpin() looks and removes under the lock: a successor's pin stays", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using other = Link.attach(program, NETNS);
  other.pin(pins.pin("next"));
  for (const ending of ["unpin", "detach", "close"] as const) {
    const link = Link.attach(program, NETNS);
    link.pin(pins.pin("link"));
    if (ending === "close") link.onClose = "detach";
    const lock = open(pins.path);
    assert(tryLock(lock));
    // the look and the removal must both come after the successor, whatever the time between
    const done = ending === "unpin" ? (await unpinElsewhere(pins.pin("link"))).result : link[`${ending}Async`]();
    await delay(300);
    Deno.renameSync(pins.pin("next"), pins.pin("link"));
    close(lock);
    assertEquals(await done, ending === "unpin" ? "mismatch" : undefined);
    {
      using there = Link.openPinned(pins.pin("link"));
      assertEquals(there.id, other.id, ending);
    }
    Deno.renameSync(pins.pin("link"), pins.pin("next"));
    link.onClose = "detach";
    link.close();
  }
});

/** Lets another process open a pin and then unpin it; `result` is the reason for which it cannot. */
async function unpinElsewhere(path: string): Promise<{ result: Promise<string> }> {
  const script = `import { Link } from "${MOD}"; using link = Link.openPinned("${path}"); console.log("opened");
    try { link.unpin(); console.log("unpinned"); } catch (error) { console.log(error.reason); }`;
  const url = `data:application/typescript,${encodeURIComponent(script)}`;
  const args = ["run", "--no-config", "--no-lock", "--allow-ffi", url];
  const process = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await lines.read()).value, "opened\n");
  const result = async () => {
    const { value } = await lines.read();
    await lines.cancel();
    await process.status;
    return value!.trim();
  };
  return { result: result() };
}

kernelTest("detach() keeps in mind the pins that it could not remove", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, NETNS);
  for (const name of ["a", "b"]) link.pin(pins.pin(name));
  const lock = open(pins.path);
  try {
    assert(tryLock(lock));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 10);
    const error = await assertRejects(() => link.detachAsync(), AggregateError); // after the limit
    clearInterval(timer);
    assertEquals(error.errors.map(({ reason }) => reason), ["busy", "busy"]);
    assert(ticks > 10, `${ticks}`);
    assertEquals([link.attached(), link.pinnedPath, pins.pins], [false, pins.pin("b"), ["a", "b"]]);
  } finally {
    close(lock);
  }
  link.detach();
  assertEquals([link.pinnedPath, pins.pins], [undefined, []]);
});

kernelTest("with few fds left: all or nothing, and no pin is forgotten", NEEDS, async () => {
  using pins = new PinDirectory();
  const sys = new URL("../../lib/sys/mod.ts", import.meta.url).href;
  const source = `import { BpfError, BpfMap, Link, Program } from "${MOD}"; import { close, open } from "${sys}";
    const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    const program = Program.load({ type: "sk_lookup", expectedAttachType: "sk_lookup", instructions });
    const path = "${pins.pin("link")}", array = { type: "array", valueSize: 4, maxEntries: 1 };
    function withFds(count, act) { // and no more
      const fds = [];
      try { for (;;) fds.push(open("/dev/null")); } catch { /* none is left */ }
      for (let i = 0; i < count; i++) close(fds.pop());
      try { return act(); } catch (error) { return error.reason ?? error.errors.map(({ reason }) => reason); }
      finally { fds.forEach(close); }
    }
    function isThere(open) { try { open().close(); return true; } catch { return false; } }
    const seen = [];
    for (let count = 0; count < 12; count++) {
      const made = withFds(count, () => Link.ensurePinned(path, program, { type: "netns" }));
      seen.push([made.outcome ?? made, isThere(() => Link.openPinned(path))]);
      if (made.outcome !== undefined) { made.link.detach(); made.link.unpin(); made.link.close(); }
      const map = withFds(count, () => BpfMap.ensurePinned(path, array));
      seen.push([typeof map === "string" ? map : "created", isThere(() => BpfMap.openPinned(path))]);
      if (typeof map !== "string") { map.unpin(); map.close(); }
    }
    const link = Link.attach(program, { type: "netns" });
    for (const name of ["/a", "/b"]) link.pin("${pins.path}" + name);
    const failed = withFds(1, () => link.detach());
    const { pinnedPath } = link;
    link.detach();
    console.log(JSON.stringify({ seen, failed, pinnedPath, after: link.pinnedPath ?? null }));`;
  const { output, errors } = await runScript(source, ["--allow-ffi"], { through: FEW_FILES });
  assertEquals(errors, "");
  const { seen, failed, pinnedPath, after } = JSON.parse(output);
  for (const [outcome, isThere] of seen) {
    assertEquals([outcome, isThere], outcome === "created" ? ["created", true] : ["limit", false]);
  }
  assertEquals([seen[0][0], seen.at(-1)[0], seen.at(-2)[0]], ["limit", "created", "created"]);
  assertEquals([failed, pinnedPath, after], [["limit", "limit"], pins.pin("b"), null]);
  assertEquals(pins.pins, []);
});

// ---- targets whose file was replaced

kernelTest("uprobes of a file that was replaced are deployed anew, wherever the function is now", {
  ...NEEDS,
  since: SINCE.uprobe!.reattach!,
}, async () => {
  using pins = new PinDirectory();
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/program`;
    const code = (length: number) => new Uint8Array(length).fill(0x90);
    const install = (lengths: readonly number[], names: readonly string[]) => {
      const functions = names.map((name, i) => ({ name, code: code(lengths[i]!) }));
      Deno.writeFileSync(`${path}.new`, executable({ functions }).bytes, { mode: 0o755 });
      Deno.renameSync(`${path}.new`, path);
    };
    install([64, 64], ["work", "other"]);
    await delay(50); // until a clock that ticks coarsely tells the file from the pins
    using one = answering(0, { type: "kprobe" });
    const deploy = (symbol: string) => ensure(pins.pin("one"), one, { type: "uprobe", path, symbol });
    const offsetOf = (ensured: ReturnType<typeof ensure>) =>
      (ensured.link.info() as unknown as { offset: number }).offset;
    using first = deploy("work");
    const isTold = "offset" in first.link.info(); // Linux 6.6
    if (!isTold) return first.link.unpin();
    assertThrows(() => deploy("other"), BpfError, "something else");
    await delay(50);
    install([32, 64, 64], ["_start", "other", "work"]);
    using second = deploy("work");
    assertEquals(second.outcome, "replaced");
    assert(offsetOf(second) !== offsetOf(first));
    assertThrows(() => deploy("other"), BpfError, "something else");
    second.link.unpin();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

kernelTest("uprobes of a file that a symbolic link names follow it to an older file", {
  ...NEEDS,
  since: "6.6", // where the kernel reports what a perf event is
}, async () => {
  using pins = new PinDirectory();
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/current/program`;
    ["work", "other"].forEach((first, i) => {
      const names = first === "work" ? ["work", "other"] : ["other", "work"];
      const functions = names.map((name) => ({ name, code: new Uint8Array(64).fill(0x90) }));
      Deno.mkdirSync(`${directory}/${i}`);
      Deno.writeFileSync(`${directory}/${i}/program`, executable({ functions }).bytes, { mode: 0o755 });
    });
    const choose = (version: string) => {
      Deno.symlinkSync(version, `${directory}/next`);
      Deno.renameSync(`${directory}/next`, `${directory}/current`);
    };
    choose("0");
    await delay(50);
    using program = answering(0, { type: "kprobe" });
    const deploy = (symbol: string) => ensure(pins.pin("one"), program, { type: "uprobe", path, symbol });
    using _first = deploy("work");
    assertThrows(() => deploy("other"), BpfError, "something else");
    await delay(50);
    choose("1"); // both files are older than the pin
    using second = deploy("work");
    assertEquals(second.outcome, "replaced");
    second.link.unpin();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

kernelTest("uprobe_multi of a file that was replaced are deployed anew", { ...NEEDS, since: "6.8" }, async () => {
  using pins = new PinDirectory();
  const directory = Deno.makeTempDirSync();
  try {
    const path = `${directory}/program`;
    const install = (names: readonly string[]) => {
      const functions = names.map((name) => ({ name, code: new Uint8Array(64).fill(0x90) }));
      Deno.writeFileSync(`${path}.new`, executable({ functions }).bytes, { mode: 0o755 });
      Deno.renameSync(`${path}.new`, path);
    };
    install(["work", "other"]);
    await delay(50);
    using program = answering(0, { type: "kprobe", expectedAttachType: "trace_uprobe_multi" });
    const deploy = (symbols: string[]) => ensure(pins.pin("many"), program, { type: "uprobe_multi", path, symbols });
    using _first = deploy(["work"]);
    assertThrows(() => deploy(["other"]), BpfError, "something else");
    await delay(50);
    install(["other", "more", "work"]);
    using second = deploy(["work", "more"]);
    assertEquals([second.outcome, second.link.info().attached], ["replaced", undefined]);
    second.link.unpin();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

// ---- directories

kernelTest("a directory that is missing is said to be, or made", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, NETNS);
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  const array = { type: "array", valueSize: 4, maxEntries: 1 } as const;
  const missing = pins.pin("none/deeper/object");
  for (
    const act of [
      () => link.pin(missing),
      () => program.pin(missing),
      () => map.pin(missing),
      () => ensure(missing, program, NETNS),
      () => BpfMap.ensurePinned(missing, array),
    ]
  ) {
    const error = assertThrows(act, BpfError, 'the directory does not exist: "none" of path');
    assertEquals([error.reason, error.code], ["gone", "ENOENT"]);
  }
  for (const path of [pins.pin("vlan.100/link"), pins.pin("a.b")]) {
    const error = assertThrows(() => link.pin(path), BpfError, "may have no dot");
    assertEquals(error.reason, "invalid");
    assertThrows(() => ensure(path, program, NETNS, { makeDirectories: true }), BpfError, "no dot");
  }
  for (const path of ["/tmp/link", "/tmp"]) assertThrows(() => link.pin(path), BpfError);
  assertThrows(() => link.pin("/tmp/no-bpffs/link", { makeDirectories: true }), BpfError, '"no-bpffs" of path');
  assertThrows(() => link.pin(pins.pin("x/"), { makeDirectories: true }), BpfError, "path names a directory");
  link.pin(pins.pin("a/b/link"), { makeDirectories: true });
  map.pin(pins.pin("a/c/map"), { makeDirectories: true });
  assertEquals(Deno.statSync(pins.pin("a/b")).mode! & 0o777, 0o700);
  using ensured = ensure(pins.pin("d/link"), program, { type: "netns" }, { makeDirectories: true, replace: true });
  assertEquals(ensured.outcome, "created");
  assertThrows(() => link.pin(pins.pin("y"), { mkdir: true } as never), TypeError, "mkdir");
  ensured.link.detach();
  ensured.link.unpin();
  link.unpin();
  map.unpin();
});

// ---- maps

kernelTest("BpfMap.ensurePinned: makes a map once, and refuses another", NEEDS, () => {
  using pins = new PinDirectory();
  const options = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 16, name: "counters" } as const;
  const path = pins.pin("maps/counters");
  using made = BpfMap.ensurePinned(path, options, { makeDirectories: true });
  const key = new Uint8Array(4), value = new Uint8Array(8).fill(7);
  made.update(key, value);
  {
    using again = BpfMap.ensurePinned(path, options);
    assertEquals([again.id, again.lookup(key)], [made.id, value]);
  }
  for (
    const [field, other] of [
      ["type", { type: "array", keySize: 4 }],
      ["keySize", { keySize: 8 }],
      ["valueSize", { valueSize: 16 }],
      ["maxEntries", { maxEntries: 17 }],
      ["flags", { flags: 1 }],
    ] as const
  ) {
    const error = assertThrows(() => BpfMap.ensurePinned(path, { ...options, ...other }), BpfError, `${field} `);
    assertEquals([error.reason, error.code], ["mismatch", "EEXIST"]);
  }
  using program = skLookup();
  program.pin(pins.pin("program"));
  assertEquals(reasonOf(() => BpfMap.ensurePinned(pins.pin("program"), options)), "mismatch");
  assertThrows(() => BpfMap.ensurePinned(path, { ...options, size: 1 } as never), TypeError, "size");
  assertThrows(() => BpfMap.ensurePinned(path, options, { wait: 1 } as never), TypeError, "pinning");
  assertEquals(pins.pins, ["maps", "program"]);
  made.unpin();
  using fresh = BpfMap.ensurePinned(path, options);
  assert(fresh.id !== made.id);
  fresh.unpin();
});
