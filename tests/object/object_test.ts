/** The life of an object: opened, loaded, listed, closed; what its states refuse; what it leaves. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BpfObject } from "../../lib/object/mod.ts";
import { BpfError, BpfMap, Link, openHandles, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { runScript } from "../fixture/process/script.ts";
import { inTokenNamespace } from "../fixture/place/token_mount.ts";
import { objectPath } from "./build.ts";
import { objectTest } from "./run.ts";

const PACKET = { data: new Uint8Array(64) };
const { BadResource, Busy, NotFound } = Deno.errors;

objectTest("object: a scope ends all that came of it", {}, () => {
  const before = openHandles();
  {
    using object = BpfObject.load(objectPath("globals"));
    assert(object.loaded && !object.closed);
    assertEquals(object.program("use_globals").run(PACKET).returnValue, -1);
    assert(object.map(".bss").map.id > 0);
    const kinds = openHandles().slice(before.length).map(({ kind }) => kind);
    assert(kinds.includes("program") && kinds.includes("map"), "what libbpf holds counts too");
  }
  assertEquals(openHandles(), before);
});

objectTest("object: what it holds says where it was loaded, if that is traced", {}, async () => {
  const path = objectPath("globals");
  Link.traceLeaks = true;
  try {
    using first = BpfObject.load(path);
    await using second = await BpfObject.loadAsync(path);
    const program = first.program("use_globals").fd;
    const [, ...origins] = openHandles().filter(({ fd }) => fd !== program).map(({ origin = "" }) => origin);
    assert(second.loaded && origins.length > 2);
    for (const origin of origins) assert(origin.split("\n")[1]!.includes(import.meta.url), origin);
  } finally {
    Link.traceLeaks = false;
  }
});

objectTest("object: from bytes, a path and a URL", {}, () => {
  const path = objectPath("globals"), bytes = Deno.readFileSync(path);
  const shared = new Uint8Array(bytes.length + 1);
  shared.set(bytes, 1);
  const sources = [path, new URL(`file://${path}`), bytes, shared.subarray(1), new DataView(shared.buffer, 1)];
  for (const source of sources) {
    using object = BpfObject.open(source);
    assertEquals(object.name, source === path || source instanceof URL ? "globals" : "object");
    assertEquals(object.programs.map(({ name }) => name), ["use_globals"]);
  }
});

objectTest("object: lists what it has, before it is loaded too", {}, () => {
  using object = BpfObject.open(objectPath("maps"), { maps: { hash: { maxEntries: 99 } } });
  const hash = object.maps.find(({ name }) => name === "hash");
  assertEquals(hash, {
    name: "hash",
    type: "hash",
    keySize: 8,
    valueSize: 16,
    maxEntries: 99,
    flags: 0,
    create: true,
    isSection: false,
  });
  const [program] = object.programs;
  assertEquals({ ...program, instructions: 0 }, {
    name: "use_maps",
    section: "socket",
    type: "socket_filter",
    load: true,
    instructions: 0,
  });
  assert(program!.instructions > 10);
  assertEquals(Deno.inspect(object), 'BpfObject "maps" (not loaded)');
  object.load();
  assertEquals(Deno.inspect(object), 'BpfObject "maps"');
  assertEquals(object.map("hash").map.info().maxEntries, 99);
  assertEquals(Deno.inspect(object.map("hash")), 'TypedMap "hash" (hash)');
  const { programs, maps } = JSON.parse(JSON.stringify(object)) as { programs: unknown[]; maps: unknown[] };
  assertEquals([programs.length, maps.length], [1, object.maps.length]);
  object.close();
  assertEquals(JSON.stringify(object), '{"name":"maps","closed":true}');
  assertEquals(Deno.inspect(object), 'BpfObject "maps" (closed)');
});

objectTest("object: programs of optional sections are loaded if they are named", {}, () => {
  using object = BpfObject.load(objectPath("refused"));
  assertEquals(object.programs.filter(({ load }) => load).map(({ name }) => name), ["accepted"]);
  assertThrows(() => object.program("no_check"), TypeError, "name it in options.programs");
  assertThrows(() => object.program("acepted"), TypeError, 'did you mean "accepted"?');
  using none = BpfObject.load(objectPath("refused"), { programs: [] });
  assertThrows(() => none.program("accepted"), TypeError, "it was not loaded");
});

objectTest("object: what its states refuse names the object", {}, () => {
  const object = BpfObject.open(objectPath("globals"));
  assertThrows(() => object.program("use_globals"), TypeError, 'object "globals" is not loaded yet');
  assertThrows(() => object.map(".bss"), TypeError, 'object "globals" is not loaded yet');
  object.load();
  assertThrows(() => object.load(), TypeError, "it is loaded already");
  const { globals } = object, map = object.map(".bss"), program = object.program("use_globals");
  object.close();
  object.close();
  const uses: (() => unknown)[] = [
    () => object.load(),
    () => object.program("use_globals"),
    () => object.map(".bss"),
    () => object.programs,
    () => object.maps,
    () => object.btf,
    () => globals.packets,
    () => globals.packets = 1n,
  ];
  for (const use of uses) assertThrows(use, BadResource, 'object "globals" is closed', `${use}`);
  assertThrows(() => map.get(new Uint8Array(4)), BadResource, 'object "globals": it is closed');
  assertThrows(() => program.run(PACKET), BadResource);
  assertEquals(object.name, "globals");
});

objectTest("object: a failed load leaves nothing, and is not tried again", {}, () => {
  using object = BpfObject.open(objectPath("refused"), { programs: ["accepted", "no_check"] });
  assertThrows(() => object.load(), BpfError);
  assertThrows(() => object.load(), BadResource, "could not be loaded");
  assertThrows(() => object.program("accepted"), BadResource, "could not be loaded");
  assertThrows(() => object.globals, BadResource, "could not be loaded");
});

objectTest("object: loads on another thread", {}, async () => {
  await using object = BpfObject.open(objectPath("maps"));
  const loading = object.loadAsync();
  assertThrows(() => object.map("hash"), Busy, "is being loaded");
  assertThrows(() => object.load(), Busy, "is being loaded");
  assertEquals(Deno.inspect(object), 'BpfObject "maps" (loading)');
  await assertRejects(() => object.loadAsync(), Busy);
  await loading;
  assert(object.map("hash").map.id > 0);
  await using other = await BpfObject.loadAsync(objectPath("maps"));
  assert(other.loaded);
  await assertRejects(() => BpfObject.loadAsync(objectPath("refused"), { programs: ["no_check"] }), BpfError);
});

objectTest("object: closed while it is loaded, it ends as soon as the kernel has answered", {}, async () => {
  const object = BpfObject.open(objectPath("maps"));
  const loading = object.loadAsync();
  object.close();
  assertThrows(() => object.map("hash"), BadResource, "is closed");
  await assertRejects(() => loading, BadResource, "it was closed meanwhile");
  const second = BpfObject.open(objectPath("maps")), loadingToo = second.loadAsync();
  await second.closeAsync(); // waits
  await assertRejects(() => loadingToo, BadResource);
});

objectTest(
  "object: closed without blocking, it takes nothing new while its links end",
  { needs: ["netns"], since: "6.6" },
  async () => {
    const object = BpfObject.load(objectPath("attach"), { programs: ["tc_ingress", "sk_lookup"] });
    object.attach("tc_ingress", { device: "lo" });
    const closing = object.closeAsync();
    assert(object.closed);
    assertThrows(() => object.attach("sk_lookup"), BadResource, 'object "attach" is closed');
    object.close(); // meanwhile
    await closing;
  },
);

objectTest("object: a handle of a program or map that was closed is made again", {}, () => {
  using object = BpfObject.load(objectPath("maps"));
  const { id } = object.program("use_maps");
  object.program("use_maps").close();
  assertEquals(object.program("use_maps").id, id);
  assert(object.map("hash") === object.map("hash"));
  object.map("hash").close();
  assertEquals([...object.map("hash")], []);
});

objectTest("object: what is kept on purpose lives on", {}, () => {
  const kept = (() => {
    using object = BpfObject.load(objectPath("globals"));
    return Program.fromFd(object.program("use_globals").fd);
  })();
  using _kept = kept;
  assertEquals(kept.run(PACKET).returnValue, -1);
});

objectTest("object: an end of an isolate, and a forgotten object, leave nothing", {}, async () => {
  const { output } = await runScript(
    `
    import { BpfObject } from "${new URL("../../lib/object/mod.ts", import.meta.url)}";
    import { BpfMap, openHandles } from "${new URL("../../mod.ts", import.meta.url)}";
    const forget = () => BpfObject.load("${objectPath("maps")}").map("hash").map.id;
    const id = forget();
    const isThere = () => { try { using _map = BpfMap.open(id); return true; } catch { return false; } };
    for (let i = 0; i < 200 && isThere(); i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
    console.log(isThere(), openHandles().length);
    BpfObject.load("${objectPath("maps")}"); // until the process ends
  `,
    ["--allow-ffi", "--v8-flags=--expose-gc"],
  );
  assertEquals(output.trim(), "false 0");
});

objectTest(
  "object: maps may have another size, be others, be none, or be pinned",
  { needs: ["bpffs"] },
  () => {
    using pins = new PinDirectory();
    using own = BpfMap.create({ type: "hash", keySize: 8, valueSize: 16, maxEntries: 3 });
    using object = BpfObject.load(objectPath("maps"), {
      maps: { hash: { reuse: own }, lru: { pin: pins.pin("lru") }, array: { maxEntries: 5 } },
    });
    assertEquals(object.map("hash").map.id, own.id);
    assertEquals(object.map("array").map.info().maxEntries, 5);
    using second = BpfObject.load(objectPath("maps"), {
      maps: { lru: { pin: pins.pin("lru") }, hash: { reuse: object.map("hash") } },
    });
    assertEquals(second.map("lru").map.id, object.map("lru").map.id);
    assertEquals(second.map("hash").map.id, own.id);
    using without = BpfObject.load(objectPath("refused"), { maps: { counts: { create: false } } });
    assertThrows(() => without.map("counts"), TypeError, "it was not made");
    using small = BpfMap.create({ type: "hash", keySize: 4, valueSize: 16, maxEntries: 3 });
    const misfit = assertThrows(
      () => BpfObject.open(objectPath("maps"), { maps: { hash: { reuse: small } } }),
      BpfError,
    );
    assertEquals([misfit.reason, misfit.meaning], ["mismatch", "it has keySize 4, not 8"]);
  },
);

objectTest("object: maps that ask for it are pinned by name, and taken over", { needs: ["bpffs"] }, () => {
  using pins = new PinDirectory();
  {
    using first = BpfObject.load(objectPath("pinned"), { pinDirectory: pins.path });
    first.map("pinned_hash").set(1, 7n);
  }
  assertEquals(pins.pins, ["pinned_array", "pinned_hash"]);
  {
    using second = BpfObject.load(objectPath("pinned"), { pinDirectory: pins.path });
    assertEquals(second.map("pinned_hash").get(1), 7n);
  }
  const other = { pinDirectory: pins.path, maps: { pinned_hash: { maxEntries: 17 } } };
  const misfit = assertThrows(() => BpfObject.load(objectPath("pinned"), other), BpfError);
  assertEquals(misfit.reason, "mismatch");
  assert(misfit.message.includes(pins.pin("pinned_hash")), misfit.message);
  const nowhere = assertThrows(() => BpfObject.load(objectPath("pinned"), { pinDirectory: "/dev/shm" }), BpfError);
  assert(nowhere.message.includes("/dev/shm"), nowhere.message);
  assertEquals([...Deno.readDirSync("/dev/shm")].filter(({ name }) => name.startsWith("pinned_")), []);
});

objectTest("object: options are checked before anything is opened", {}, () => {
  const path = objectPath("maps"), open = (options: unknown) => () => BpfObject.open(path, options as never);
  const refusals: readonly [options: unknown, message: string][] = [
    [null, "options must be an object, not null"],
    [{ program: [] }, 'options has no field "program"'],
    [{ programs: "use_maps" }, "options.programs must be an array of names"],
    [{ programs: [1] }, "options.programs[0] must be a string"],
    [{ programs: ["use_map"] }, 'object "maps" has no program "use_map"; did you mean "use_maps"?'],
    [{ maps: 1 }, "options.maps must be an object"],
    [{ maps: { hsh: {} } }, 'object "maps" has no map "hsh"; did you mean "hash"?'],
    [{ maps: { hash: { entries: 1 } } }, 'options.maps["hash"] has no field "entries"'],
    [{ maps: { hash: { maxEntries: "1" } } }, 'options.maps["hash"].maxEntries must be a number'],
    [{ maps: { hash: { reuse: 1 } } }, 'options.maps["hash"].reuse must be a BpfMap'],
    [{ maps: { hash: { create: 1 } } }, 'options.maps["hash"].create must be a boolean'],
    [{ maps: { hash: { pin: 1 } } }, 'options.maps["hash"].pin must be a string'],
    [{ globals: [], kconfig: 1 }, "options.kconfig must be a string"],
    [{ globals: { none: 1 } }, 'object "maps" has no global variable "none"'],
    [{ pinDirectory: "" }, "options.pinDirectory must be a non-empty string"],
    [{ attachTo: { use_maps: {} } }, 'options.attachTo["use_maps"].program must be a Program'],
  ];
  for (const [options, message] of refusals) assertThrows(open(options), TypeError, message);
  assertThrows(open({ maps: { hash: { maxEntries: 0 } } }), RangeError, "maxEntries must be at least 1");
  assertThrows(open({ maps: { hash: { maxEntries: 2 ** 32 } } }), RangeError);
  for (const source of [undefined, null, 7, {}, []]) {
    assertThrows(() => BpfObject.open(source as never), TypeError);
  }
  assertThrows(() => BpfObject.open("/no/such/file.bpf.o"), NotFound, '"/no/such/file.bpf.o"');
});

objectTest("object: a program knows its attach type", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using object = BpfObject.load(objectPath("cgroups"), {
    programs: ["in", "out"],
    maps: { per_cgroup: { create: false } }, // of a type since Linux 6.2; neither uses it
  });
  for (const [name, attachType] of [["in", "cgroup_inet_ingress"], ["out", "cgroup_inet_egress"]] as const) {
    assertEquals(object.programs.find((program) => program.name === name)?.attachType, attachType);
    using link = Link.attach(object.program(name), { type: "cgroup", cgroup: cgroup.path });
    assertEquals((link.info() as { attachType: string }).attachType, attachType);
  }
});

objectTest("object: a function of another program is replaced", { needs: ["ext"] }, () => {
  using target = BpfObject.load(objectPath("extension_target"));
  const program = target.program("ask");
  const wrong = { attachTo: { replaced: { program, symbol: "no_such_function" } } };
  assertThrows(() => BpfObject.load(objectPath("extension"), wrong), BpfError);
  for (const attachTo of [{ program }, { program, symbol: "answer" }]) {
    using object = BpfObject.load(objectPath("extension"), { attachTo: { replaced: attachTo } });
    assertEquals(program.run(PACKET).returnValue, 1);
    using _link = Link.attach(object.program("replaced"), { type: "tracing" });
    assertEquals(program.run(PACKET).returnValue, 42);
  }
});

objectTest("object: CO-RE by a file with the kernel's BTF", {}, () => {
  const options = { kernelBtf: "/sys/kernel/btf/vmlinux" };
  using object = BpfObject.load(objectPath("core"), options);
  using other = BpfObject.load(objectPath("core"));
  assertEquals(
    object.programs.map(({ name }) => object.program(name).tag),
    other.programs.map(({ name }) => other.program(name).tag),
  );
});

objectTest("object: many at once, on threads of their own", {}, async () => {
  const names = ["maps", "globals", "nested", "records"], all = [...names, ...names, ...names];
  const loaded = await Promise.all(all.map((name) => BpfObject.loadAsync(objectPath(name))));
  assertEquals(
    new Set(loaded.flatMap((object) => object.programs.map(({ name }) => object.program(name).id))).size,
    3 * 8,
  );
  await Promise.all(loaded.map((object) => object.closeAsync()));
});

objectTest("object: a token stands in for capabilities", { needs: ["userns"], since: "6.9" }, async () => {
  const library = new URL("../../lib/object/mod.ts", import.meta.url);
  const source = `
    const { BpfObject } = await import("${library}");
    const load = (options) => {
      try {
        using object = BpfObject.load("${objectPath("globals")}", options);
        return object.program("use_globals").run({ data: new Uint8Array(64) }).returnValue >>> 0;
      } catch (error) {
        return error.code;
      }
    };
    console.log(load({}), load({ token: "/proc/self/fd/" + root }));`;
  const delegates = { delegate_cmds: "any", delegate_maps: "any", delegate_progs: "any", delegate_attachs: "any" };
  assertEquals(await inTokenNamespace(delegates, source), `EPERM ${2 ** 32 - 1}`);
});
