/** Who keeps a link attached: processes and pins, all that can be seen, and a word when that may not be all. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Link, type LinkHolder, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { MOD } from "../fixture/process/script.ts";
import { skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { until } from "../fixture/run/wait.ts";

/** A link and its program. */
class Scene implements Disposable {
  readonly program: Program = skLookup();
  readonly link = Link.attach(this.program, { type: "netns" });

  [Symbol.dispose](): void {
    this.link.close();
    this.program.close();
  }
}

function holdersTest(name: string, test: (scene: Scene) => void | Promise<void>, since = "5.10"): void {
  kernelTest(name, { needs: ["netns", "bpffs"], since }, async () => {
    using scene = new Scene();
    await test(scene);
  });
}

/** Another bpf file system; gone at the end of the scope. */
class Bpffs implements Disposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "bpf fs " }); // a space is escaped in mountinfo

  constructor(...options: string[]) {
    run("mount", "-t", "bpf", ...options, "bpf", this.path);
  }

  [Symbol.dispose](): void {
    run("umount", "-l", this.path);
    Deno.removeSync(this.path);
  }
}

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

const own = (fd: number): LinkHolder => ({ kind: "process", pid: Deno.pid, command: "deno", fd });

holdersTest("the asking handle is left out, others of this process are not", (scene) => {
  const { link } = scene;
  assertEquals(link.holders().holders, []);
  using second = Link.open(link.id);
  using third = Link.fromFd(link.fd);
  assertEquals(link.holders().holders, [own(second.fd), own(third.fd)].sort(byFd));
  assertEquals(second.holders().holders, [own(link.fd), own(third.fd)].sort(byFd));
  const all = Link.holdersOf([link.id]).get(link.id)!.holders;
  assertEquals(all, [link, second, third].map(({ fd }) => own(fd)).sort(byFd));
});

const byFd = (a: LinkHolder, b: LinkHolder) => a.kind === "process" && b.kind === "process" ? a.fd - b.fd : 0;

holdersTest("another process, that opened the link", async (scene) => {
  const { link } = scene;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-lock",
      `
      import { Link } from "${MOD}";
      const link = Link.open(${link.id});
      console.log(link.fd);
      Deno.stdin.readSync(new Uint8Array(1));
    `,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const answers = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const fd = Number((await answers.read()).value);
    assertEquals(link.holders().holders, [{ kind: "process", pid: child.pid, command: "deno", fd }]);
  } finally {
    await child.stdin.close();
    await answers.cancel();
    await child.status;
  }
  assertEquals(link.holders().holders, []);
});

holdersTest("fds that a process has duplicated or inherited", async (scene) => {
  const { link } = scene;
  const script = `
    import { Link } from "${MOD}";
    import { close, objGet } from "${new URL("./lib/sys/mod.ts", MOD)}";
    const libc = Deno.dlopen("libc.so.6", {
      dup2: { parameters: ["i32", "i32"], result: "i32" },
      execlp: { parameters: ["buffer", "buffer", "buffer", "buffer"], result: "i32" },
    }).symbols;
    const link = Link.open(${link.id});
    for (const fd of [0, 77]) libc.dup2(link.fd, fd); // without close-on-exec
    // then it becomes a program that knows nothing of links
    const bytes = (text) => new TextEncoder().encode(text + "\\0");
    libc.execlp(bytes("sleep"), bytes("sleep"), bytes("600"), null);
  `;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", "--no-lock", script], stdin: "null" }).spawn();
  try {
    const isAsleep = () => Deno.readTextFileSync(`/proc/${child.pid}/comm`) === "sleep\n";
    await until(isAsleep, "the child has become another program");
    const { holders } = link.holders();
    assertEquals(holders, [0, 77].map((fd) => ({ kind: "process", pid: child.pid, command: "sleep", fd })));
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});

holdersTest("pins on two file systems and in directories", (scene) => {
  const { link } = scene;
  using pins = new PinDirectory();
  using other = new Bpffs();
  using unrelated = Link.attach(scene.program, { type: "netns" });
  unrelated.pin(pins.pin("unrelated"));
  scene.program.pin(pins.pin("program"));
  Deno.mkdirSync(pins.pin("a b"));
  const paths = [pins.pin("link"), pins.pin("a b/link"), `${other.path}/link`];
  for (const path of paths) link.pin(path);
  Deno.symlinkSync(paths[0]!, pins.pin("symbolic"));
  const { holders } = link.holders();
  assertEquals(holders.map((holder) => holder.kind === "pin" && holder.path).sort(), paths.sort());
  scene.program.unpin();
});

holdersTest("a file system that is mounted twice is listed once", (scene) => {
  using other = new Bpffs();
  Deno.mkdirSync(`${other.path}/sub`);
  const bound = Deno.makeTempDirSync();
  run("mount", "-o", "bind", `${other.path}/sub`, bound);
  try {
    scene.link.pin(`${bound}/link`);
    assertEquals(scene.link.holders().holders, [{ kind: "pin", path: `${other.path}/sub/link` }]);
  } finally {
    run("umount", bound);
    Deno.removeSync(bound);
  }
});

for (const names of [["a", "ab"], ["a", "b", "a/x"]]) {
  holdersTest(`parts of a file system that is nowhere mounted as a whole: ${names}`, (scene) => {
    using bound = new DisposableStack();
    const bind = (directory: string): string => {
      const path = bound.adopt(Deno.makeTempDirSync(), Deno.removeSync);
      run("mount", "-o", "bind", directory, path);
      bound.defer(() => run("umount", path));
      return path;
    };
    const mounts = new Map<string, string>();
    {
      using whole = new Bpffs();
      for (const name of names) Deno.mkdirSync(`${whole.path}/${name}`);
      for (const name of names) mounts.set(name, bind(`${whole.path}/${name}`));
    }
    for (const path of mounts.values()) scene.link.pin(`${path}/link`);
    // what lies below another part is found there
    const paths = names.map((name) => name === "a/x" ? `${mounts.get("a")}/x/link` : `${mounts.get(name)}/link`);
    const { holders } = scene.link.holders();
    assertEquals(holders.map((holder) => holder.kind === "pin" && holder.path).sort(), paths.sort());
  });
}

holdersTest("partial: something is mounted over pins", (scene) => {
  const { link } = scene;
  using hidden = new Bpffs();
  link.pin(`${hidden.path}/link`);
  using over = new Bpffs("-o", "mode=755");
  run("mount", "-o", "bind", over.path, hidden.path);
  try {
    const { holders, partial } = link.holders();
    assertEquals([holders, partial], [[], true]);
  } finally {
    run("umount", hidden.path);
  }
  assertEquals(link.holders().holders, [{ kind: "pin", path: `${hidden.path}/link` }]);
});

const COUNTED = { needs: ["netns", "bpffs"], since: "5.19" } as const;

kernelTest("partial is false once every reference is accounted for", COUNTED, () => {
  using scene = new Scene();
  const { link } = scene;
  using pins = new PinDirectory();
  assertEquals(link.holders().partial, false);
  using second = Link.open(link.id);
  using _third = Link.fromFd(link.fd); // a duplicate is no reference of its own
  using _fourth = Link.fromFd(second.fd);
  link.pin(pins.pin("link"));
  link.pin(pins.pin("again"));
  Deno.linkSync(pins.pin("again"), pins.pin("hard")); // nor is a second name
  const { holders, partial } = link.holders();
  assertEquals([holders.length, partial], [6, false]);
  assertEquals(second.holders().partial, false);
  assertEquals(Link.holdersOf([link.id]).get(link.id)!.partial, false);
});

kernelTest("partial is true for a pin in another mount namespace", COUNTED, async () => {
  using scene = new Scene();
  const { link } = scene;
  const { pid, [Symbol.asyncDispose]: end } = await elsewhere(link.id);
  try {
    const { holders, partial } = link.holders();
    assertEquals([holders.filter((it) => it.kind === "process" && it.pid === pid), partial], [[], true]);
  } finally {
    await end();
  }
  await until(() => !link.holders().partial, "the mount namespace is gone, and the pin with it");
});

/** A process in a mount namespace of its own, which has pinned a link there and holds no fd of it. */
async function elsewhere(id: number): Promise<{ pid: number } & AsyncDisposable> {
  const directory = Deno.makeTempDirSync();
  const script = `
    import { Link } from "${MOD}";
    using link = Link.open(${id});
    link.pin("${directory}/link");
    link.close();
    console.log("pinned");
    Deno.stdin.readSync(new Uint8Array(1));
  `;
  const child = new Deno.Command("unshare", {
    args: ["--mount", "sh", "-ec", 'mount -t bpf bpf "$0"; exec "$@"', directory]
      .concat(Deno.execPath(), "eval", "--no-lock", script),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const answers = child.stdout.getReader();
  await answers.read();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose](): Promise<void> {
      await child.stdin.close();
      await answers.cancel();
      await child.status;
      Deno.removeSync(directory);
    },
  };
}

holdersTest("without capabilities: what can be seen, and partial", async (scene) => {
  using pins = new PinDirectory();
  for (const name of ["open", "shut"]) scene.link.pin(pins.pin(name));
  Deno.chownSync(pins.pin("shut"), 65534, 65534);
  Deno.chmodSync(pins.pin("shut"), 0o600);
  const script = `
    import { Link } from "${MOD}";
    const { capset } = Deno.dlopen("libc.so.6", {
      capset: { parameters: ["buffer", "buffer"], result: "i32" },
    }).symbols;
    const VERSION_3 = 0x20080522;
    if (capset(new Uint32Array([VERSION_3, 0]), new Uint32Array(6)) !== 0) throw new Error("capset");
    using link = Link.openPinned("${pins.pin("open")}");
    using second = Link.fromFd(link.fd);
    const { holders, partial } = link.holders();
    console.log(JSON.stringify([partial, second.fd, Deno.pid, holders]));
  `;
  // root without capabilities owns its files and processes, but those that have capabilities are closed to it
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", script],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const [partial, fd, pid, holders] = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(partial, true);
  assertEquals(holders, [{ kind: "process", pid, command: "deno", fd }, { kind: "pin", path: pins.pin("open") }]);
}, "5.19"); // before, nothing could be opened

holdersTest("holdersOf: many at once, also of links that are not there", (scene) => {
  using second = Link.attach(scene.program, { type: "netns" });
  const ids = [scene.link.id, second.id, 0x7fffffff];
  const found = Link.holdersOf(ids);
  assertEquals([...found.keys()], ids);
  assertEquals([...found.values()].map(({ holders }) => holders.length), [1, 1, 0]);
  assertEquals(Link.holdersOf([]).size, 0);
  assertEquals(Link.holdersOf([0]).get(0)!.holders, []);
  for (const wrong of [undefined, "1", 7]) assertThrows(() => Link.holdersOf(wrong as unknown as number[]), TypeError);
  assertThrows(() => Link.holdersOf([1, -1]), RangeError, "ids[1]");
  assertThrows(() => Link.holdersOf(["1" as unknown as number]), TypeError, "ids[0]");
});

holdersTest("a closed handle does not ask", (scene) => {
  const { id } = scene.link;
  scene.link.close();
  assertThrows(() => scene.link.holders(), Deno.errors.BadResource, `link ${id} (netns)`);
});

kernelTest("more links than one batch has room for", { needs: ["netns"] }, () => {
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  using stack = new DisposableStack();
  const fds = Array.from({ length: 1500 }, () => stack.use(Link.fromFd(link.fd)).fd);
  const { holders } = link.holders();
  assertEquals(holders.length, fds.length);
  assertEquals(new Set(holders.map((holder) => holder.kind === "process" && holder.fd)), new Set(fds));
});

holdersTest("asked without blocking: the same, and other work goes on", async (scene) => {
  using second = Link.open(scene.link.id);
  let hadTurn = false;
  setTimeout(() => hadTurn = true);
  assertEquals(await scene.link.holdersAsync(), scene.link.holders());
  assert(hadTurn);
  const ids = [scene.link.id, 0x7ffffff0];
  assertEquals(await Link.holdersOfAsync(ids), Link.holdersOf(ids));
  const found = await Link.holdersOfAsync(ids, { signal: new AbortController().signal });
  assert(found.get(scene.link.id)!.holders.some((holder) => holder.kind === "process" && holder.fd === second.fd));
});

holdersTest("asked without blocking: what ends it, and wrong arguments", async (scene) => {
  const reason = new Error("enough");
  const ended = async (signal: AbortSignal) => await assertRejects(() => scene.link.holdersAsync({ signal }));
  assert(await ended(AbortSignal.abort(reason)) === reason);
  const controller = new AbortController();
  const rejected = ended(controller.signal);
  controller.abort(reason);
  assert(await rejected === reason);
  await assertRejects(() => Link.holdersOfAsync([1, -1]), RangeError, "ids[1]");
  await assertRejects(() => Link.holdersOfAsync([1], { timeout: 1 } as never), TypeError, "timeout");
  await assertRejects(() => scene.link.holdersAsync({ signal: 1 } as never), TypeError, "options.signal");
  scene.link.close();
  await assertRejects(() => scene.link.holdersAsync(), Deno.errors.BadResource);
});
