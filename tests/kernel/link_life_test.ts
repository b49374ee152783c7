/** When a link ends, and when it does not: `close()`, scopes, second handles, abort signals, garbage, other processes. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { close } from "../../lib/os/files.ts";
import { BpfError, libraryBytes, Link, openHandles } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { assemble, exit, set } from "../fixture/program/assembler.ts";
import { cgroupEgress } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { collectGarbage, liveBytes } from "../fixture/run/memory.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { assertGone, isLinkFd } from "../fixture/run/state.ts";
import { until } from "../fixture/run/wait.ts";
import { lifeTest, type Scene } from "./life.ts";

lifeTest("nested scopes end their links when the inner one throws", async (scene) => {
  const ids: number[] = [];
  assertThrows(
    () => {
      using outer = scene.attach();
      ids.push(outer.id);
      {
        using inner = scene.attach();
        ids.push(inner.id);
        throw new Error("inside");
      }
    },
    Error,
    "inside",
  );
  assertEquals(ids.length, 2);
  for (const id of ids) await assertGone(id);
});

lifeTest("break out of Link.all() closes the handle and ends no link", async (scene) => {
  using made = scene.attach();
  const open = openHandles().length;
  let seen: { readonly closed: boolean } | undefined;
  for await (using link of Link.all()) {
    if (link.id !== made.id) continue;
    seen = link;
    break;
  }
  assertEquals(seen?.closed, true);
  assertEquals(openHandles().length, open);
  assertEquals(made.attached(), true);
});

lifeTest("a detach that fails at the end of the scope is thrown, and the handle is closed", (scene) => {
  const handles: Link[] = [];
  const alone = assertThrows(() => {
    using link = scene.attach();
    handles.push(link);
    close(link.fd); // behind its back
  }, BpfError);
  assertEquals([alone.command, alone.code], ["LINK_DETACH", "EBADF"]);

  const both = assertThrows(() => {
    using link = scene.attach();
    handles.push(link);
    close(link.fd);
    throw new Error("in the body");
  }, SuppressedError);
  assertInstanceOf(both.error, BpfError);
  assertEquals(both.suppressed.message, "in the body");
  assertEquals(handles.map(({ closed }) => closed), [true, true]);
  for (const link of handles) link.close(); // nothing more to tell
});

lifeTest("the same with await using", async (scene) => {
  const both = await assertRejects(async () => {
    await using link = await scene.attachAsync();
    close(link.fd);
    throw new Error("in the body");
  }, SuppressedError);
  assertInstanceOf(both.error, BpfError);
  assertEquals(both.suppressed.message, "in the body");
});

lifeTest("onClose: keep leaves the link to other handles", (scene) => {
  const link = scene.attach({ onClose: "keep" });
  using other = Link.open(link.id);
  link.close();
  assertEquals(other.attached(), true);
});

lifeTest("onClose set by hand detaches through an opened handle", (scene) => {
  using link = scene.attach();
  const other = Link.open(link.id);
  other.onClose = "detach";
  other.close();
  assertEquals(link.attached(), false);
});

lifeTest("a forgotten link stays attached until the process ends", async (scene) => {
  const script = `
    import { collectGarbage } from "${new URL("../fixture/run/memory.ts", import.meta.url)}";
    ${loading()}
    const { id } = Link.attach(program, ${JSON.stringify(scene.target)});
    await collectGarbage();
    using found = Link.open(id);
    console.log(found.attached(), id);
  `;
  const { code, output } = await runScript(script, ["-A"]);
  const [attached, id] = output.trim().split(" ");
  assertEquals([code, attached], [0, "true"]);
  await assertGone(Number(id));
});

lifeTest("traceLeaks tells where a forgotten link was made", async (scene) => {
  const script = `
    import { collectGarbage } from "${new URL("../fixture/run/memory.ts", import.meta.url)}";
    ${loading()}
    Link.traceLeaks = true;
    function forgetful() { Link.attach(program, ${JSON.stringify(scene.target)}); }
    forgetful();
    await collectGarbage();
  `;
  const { code, errors } = await runScript(script, ["-A"]);
  assertEquals(code, 0);
  assertStringIncludes(errors, "at forgetful");
});

lifeTest("a forgotten opened handle is closed, and its link is not", async (scene) => {
  using link = scene.attach();
  const { fd } = Link.open(link.id);
  await collectGarbage();
  await until(() => !isLinkFd(fd), "the opened handle is closed");
  assertEquals(link.attached(), true);
});

lifeTest("a closed program is not attached", async (scene) => {
  scene.program.close();
  assertThrows(() => scene.attach(), Deno.errors.BadResource, `program ${scene.program.id}`);
  await assertRejects(() => scene.attachAsync(), Deno.errors.BadResource);
});

lifeTest("openHandles() lists what is open", (scene) => {
  const fds = () => openHandles().map(({ kind, fd }) => `${kind} ${fd}`);
  assert(fds().includes(`program ${scene.program.fd}`));
  const link = scene.attach();
  const entry = `link ${link.fd}`;
  assert(fds().includes(entry));
  link.close();
  assert(!fds().includes(entry));
});

lifeTest("release() hands the fd over", (scene) => {
  const link = scene.attach();
  const other = Link.open(link.id);
  const fd = link.release();
  assertEquals([link.closed, isLinkFd(fd)], [true, true]);
  link.close();
  assertEquals(other.attached(), true);
  other.close();
  close(fd);
});

lifeTest("signal: already aborted, nothing is attached", async (scene) => {
  const reason = new Error("no");
  const signal = AbortSignal.abort(reason);
  assertStrictEquals(assertThrows(() => scene.attach({ signal })), reason);
  assertStrictEquals(await assertRejects(() => scene.attachAsync({ signal })), reason);
});

lifeTest("signal: aborted during attachAsync(), nothing is left", async (scene) => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const pending = scene.attachAsync({ signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => pending), reason);
  for await (const info of Link.infos()) {
    assert(!(info.type === "cgroup" && info.cgroupId === scene.cgroup.id), "still attached");
  }
});

lifeTest("signal: aborted later, the link is detached and closed whatever onClose says", (scene) => {
  for (const onClose of ["detach", "keep"] as const) {
    const controller = new AbortController();
    using link = scene.attach({ onClose, signal: controller.signal });
    using other = Link.open(link.id);
    controller.abort();
    assertEquals([link.closed, other.attached()], [true, false]);
  }
});

lifeTest("signal: a detach that fails is thrown by the next close()", (scene) => {
  const controller = new AbortController();
  const link = scene.attach({ signal: controller.signal });
  close(link.fd);
  controller.abort();
  assertEquals(assertThrows(() => link.close(), BpfError).command, "LINK_DETACH");
  link.close();
});

lifeTest("signal: the end of the link removes the listener", async (scene) => {
  const script = attaching(scene, { options: "{ signal: AbortSignal.timeout(60_000) }" });
  const start = performance.now();
  assertEquals(await runScript(script, ["--allow-ffi"]), ATTACHED);
  assert(performance.now() - start < 30_000, "the timer holds the process");
});

lifeTest("async forms: closing twice, and what is under way", async (scene) => {
  {
    await using link = await scene.attachAsync();
    const closing = link.closeAsync();
    assertEquals(link.closed, true);
    assertThrows(() => link.info(), Deno.errors.BadResource);
    await Promise.all([closing, link.closeAsync()]);
  }
  const link = await scene.attachAsync();
  using other = Link.open(link.id);
  const detaching = link.detachAsync();
  link.close(); // the call under way has a duplicate of the fd
  await detaching;
  assertEquals(other.attached(), false);
});

/** Fewer on a slow machine. */
const LIVES = Number(Deno.env.get("BPF_LINK_TEST_LIVES") ?? 10_000);

kernelTest(`${LIVES} lives leave nothing`, { needs: ["cgroup2"] }, async () => {
  using parent = new Cgroup();
  {
    using cgroup = new Cgroup(parent.path);
    using program = cgroupEgress();
    const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
    // While one link lives, the kernel need not patch its code for every other one.
    using _first = Link.attach(program, target);
    const live = (times: number) => {
      for (let i = 0; i < times; i++) {
        using _link = Link.attach(program, target);
      }
    };
    /** What lives leave behind. */
    const measure = async () => {
      const before = { live: await liveBytes(), resident: Deno.memoryUsage().rss, handles: openHandles().length };
      live(LIVES);
      assertEquals(openHandles().length, before.handles);
      return { live: await liveBytes() - before.live, resident: Deno.memoryUsage().rss - before.resident };
    };
    if (inOwnVm()) live(LIVES); // to collect garbage takes an emulated processor seconds
    else {
      // code that is compiled meanwhile grows once, what is left behind each time
      const rounds = [await measure(), await measure(), await measure()];
      const objects = Math.min(...rounds.map(({ live }) => live));
      const resident = Math.min(...rounds.map(({ resident }) => resident));
      assert(objects < 200_000, `${objects} bytes of objects left`);
      assert(resident < 16_000_000, `${resident} bytes of memory left`);
    }
  }
  const isEmpty = () => Deno.readTextFileSync(`${parent.path}/cgroup.stat`).includes("nr_dying_descendants 0\n");
  await until(isEmpty, "nothing holds the cgroup");
});

/** A script that attaches to the cgroup of the scene and says so. */
function attaching(
  scene: Scene,
  { before = "", options = "{}", mod = MOD }: { before?: string; options?: string; mod?: string } = {},
): string {
  return `
    ${loading(mod, before)}
    using link = Link.attach(program, ${JSON.stringify(scene.target)}, ${options});
    console.log(link.type, link.attached(), link.fd >= 3, program.fd >= 3);
  `;
}

function loading(mod = MOD, before = ""): string {
  return `
    import { Link, Program, setLibraryPath } from "${mod}";
    ${before}
    using program = Program.load({
      type: "cgroup_skb",
      expectedAttachType: "cgroup_inet_egress",
      instructions: new Uint8Array([${assemble(set(0, 1), exit)}]),
    });
  `;
}

const ATTACHED = { code: 0, output: "cgroup true true true\n", errors: "" };

lifeTest("a process without stdin: no fd of ours is 0", async (scene) => {
  const before = `import { close } from "${new URL("../../lib/os/files.ts", import.meta.url)}"; close(0);`;
  assertEquals(await runScript(attaching(scene, { before }), ["--allow-ffi"]), ATTACHED);
});

lifeTest("--allow-ffi is enough", async (scene) => {
  assertEquals(await runScript(attaching(scene), ["--allow-ffi"]), ATTACHED);
});

lifeTest("--allow-ffi=PATH is enough with setLibraryPath()", async (scene) => {
  const path = Deno.makeTempFileSync({ suffix: ".so" });
  try {
    Deno.writeFileSync(path, libraryBytes());
    assertEquals(
      await runScript(attaching(scene, { before: `setLibraryPath("${path}");` }), [`--allow-ffi=${path}`]),
      ATTACHED,
    );
    const refused = await runScript(attaching(scene), [`--allow-ffi=${path}`]);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.errors, "setLibraryPath");
  } finally {
    Deno.removeSync(path);
  }
});

lifeTest("imported over HTTP", async (scene) => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, ({ url }): Response => {
    const { pathname } = new URL(url);
    if (pathname !== "/mod.ts" && !pathname.startsWith("/lib/")) return new Response(null, { status: 404 });
    return new Response(Deno.readTextFileSync(new URL(`.${pathname}`, MOD)), {
      headers: { "content-type": "application/typescript" },
    });
  });
  const host = `127.0.0.1:${server.addr.port}`;
  const cache = Deno.makeTempDirSync();
  try {
    const script = attaching(scene, { mod: `http://${host}/mod.ts` });
    const { code, output, errors } = await runScript(script, ["--quiet", "--allow-ffi", `--allow-import=${host}`], {
      env: { DENO_DIR: cache },
    });
    assertEquals({ code, output, errors }, ATTACHED);
  } finally {
    Deno.removeSync(cache, { recursive: true });
  }
});

kernelTest("two handles on one link see each other's changes", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using a = cgroupEgress();
  using b = cgroupEgress();
  using made = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  using opened = Link.open(made.id) as Link<"cgroup">;
  opened.update(b, { expected: a });
  assertEquals(made.info().programId, b.id);
  assertEquals(assertThrows(() => made.update(a, { expected: a }), BpfError).reason, "mismatch");
  opened.detach();
  assertEquals([made.attached(), opened.attached()], [false, false]);
  made.detach();
  made.close();
  assertEquals(opened.info().cgroupId, 0n);
});

kernelTest("detach during a storm of updates", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  using a = cgroupEgress();
  using b = cgroupEgress();
  using link = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  const storm = `
    import { BpfError, Link, Program } from "${MOD}";
    using link = Link.open(${link.id});
    using a = Program.open(${a.id});
    using b = Program.open(${b.id});
    let updates = 0;
    try {
      for (; updates < 1_000_000; updates += 2) {
        link.update(a);
        link.update(b);
      }
    } catch (error) {
      console.log(error.reason, error.code, updates > 0);
    }
  `;
  const storms = Promise.all([runScript(storm, ["--allow-ffi"]), runScript(storm, ["--allow-ffi"])]);
  let hasEnded = false;
  const outcomes = storms.finally(() => hasEnded = true);
  const seen = new Set<number | undefined>();
  const isRaging = () => hasEnded || seen.add(link.info().programId).size === 2;
  await until(isRaging, "both programs are seen", 60_000); // an emulated machine starts a process in seconds
  link.detach();
  assertEquals(link.attached(), false);
  for (const { errors, output } of await outcomes) {
    assertEquals(errors, "");
    assert(/^gone ENOLINK (true|false)\n$/.test(output), output);
  }
  assert([a.id, b.id].includes(link.info().programId!));
});
