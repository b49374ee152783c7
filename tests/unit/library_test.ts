/** How the native library is found and refused, each case in a process of its own with just the permissions it names. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { embedded } from "../../lib/ffi/embedded.ts";
import { objectLibraryBytes } from "../../lib/ffi/object/library.ts";
import { numbers } from "../../lib/ffi/symbols.ts";
import { libraryBytes } from "../../mod.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { exportedSymbols } from "./exported_symbols.ts";

const SYS = MOD.replace("mod.ts", "lib/sys/mod.ts");
/** The first call of a script: it needs the library, but no privilege. */
const CALL = `import { close } from "${SYS}";
try { close(1000000); } catch (error) { console.log(error.name + ": " + error.message); }`;
const WORKS = "BpfError: Cannot close fd 1000000: the fd is not open (EBADF)\n";

/** A file that is gone at the end of the scope, beside a file that calls itself the C library and is none. */
class File implements Disposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "bpf-link-library-" });
  readonly path: string = `${this.folder}/file`;
  constructor(content: Uint8Array) {
    Deno.writeFileSync(this.path, content);
    Deno.writeTextFileSync(`${this.folder}/libc.so.6`, "no library");
  }
  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

const setPath = (path: string) => `import { setLibraryPath } from "${MOD}"; setLibraryPath(${JSON.stringify(path)});`;

Deno.test("--allow-ffi alone loads the embedded library, from sealed memory", async () => {
  assertEquals((await runScript(CALL, ["--allow-ffi"])).output, WORKS);
  const maps = `${CALL} console.log(Deno.readTextFileSync("/proc/self/maps"));`;
  const { output } = await runScript(maps, ["-A"]); // the file is beyond --allow-read
  assertMatch(output, / \/memfd:bpf_link \(deleted\)$/m);
});

Deno.test("--allow-ffi alone reads what --allow-read would have to allow", async () => {
  const FILE = new URL(MOD).pathname;
  const script = `import { close, open } from "${SYS}"; close(open("${FILE}")); console.log("read");
    try { Deno.readTextFileSync("${FILE}"); } catch (error) { console.log(error.name); }`;
  assertEquals((await runScript(script, ["--allow-ffi"])).output, "read\nNotCapable\n");
});

Deno.test("importing needs no permission and loads nothing", async () => {
  const { code, output } = await runScript(`import * as all from "${MOD}"; console.log(typeof all.Link);`, []);
  assertEquals([code, output], [0, "function\n"]);
});

Deno.test("without --allow-ffi the first call says which permission is missing", async () => {
  assertMatch((await runScript(CALL, [])).output, /^NotCapable: .*run with --allow-ffi, or write libraryBytes\(\)/);
});

Deno.test("a grant for one path is enough with setLibraryPath() or the environment variable", async () => {
  using file = new File(libraryBytes());
  const grant = `--allow-ffi=${file.path}`;
  assertEquals((await runScript(setPath(file.path) + CALL, [grant])).output, WORKS);
  const env = { BPF_LINK_LIBRARY: file.path };
  assertEquals((await runScript(CALL, [grant, "--allow-env=BPF_LINK_LIBRARY"], { env })).output, WORKS);
  assertStringIncludes((await runScript(CALL, [grant], { env })).output, "NotCapable", "reading it must not prompt");
});

Deno.test("fast paths for what is called often, and what may keep them from coming, change no answer", async () => {
  using file = new File(libraryBytes());
  const often = `import { libraryBytes } from "${MOD}"; import { close } from "${SYS}";
    const answers = new Set();
    for (let i = 0; i < 2000; i++) {
      try { close(1000000); } catch (error) { answers.add(error.code); }
      if (i === 500) HINDER;
    }
    console.log(...answers);`;
  const hindrances = [
    ["", ["--allow-ffi"]],
    [`Deno.permissions.revokeSync({ name: "ffi" })`, ["--allow-ffi"]],
    ["", [`--allow-ffi=${file.path}`]],
    [`Deno.removeSync("${file.path}")`, [`--allow-ffi=${file.path}`, "--allow-write"]],
  ] as const;
  for (const [hindrance, permissions] of hindrances) {
    const isScoped = permissions[0] !== "--allow-ffi";
    const script = `${isScoped ? setPath(file.path) : ""} ${often.replace("HINDER", hindrance)}`;
    assertEquals((await runScript(script, [...permissions])).output, "EBADF\n", hindrance);
  }
});

Deno.test("a grant for another path is too narrow, and the message says for which it must be", async () => {
  using file = new File(libraryBytes());
  const { output } = await runScript(setPath(file.path) + CALL, ["--allow-ffi=/nowhere"]);
  assertStringIncludes(output, `NotCapable: Cannot load native library "${file.path}"`);
  assertStringIncludes(output, `--allow-ffi=${file.path}`);
});

Deno.test("a file that is not the library is refused by name", async () => {
  const other = Deno.build.arch === "x86_64" ? embedded.aarch64 : embedded.x86_64;
  const cases = {
    text: new TextEncoder().encode("no library"),
    "another architecture": Uint8Array.fromBase64(other),
  };
  for (const [what, content] of Object.entries(cases)) {
    using file = new File(content);
    const { output } = await runScript(setPath(file.path) + CALL, ["--allow-ffi"]);
    assertStringIncludes(output, `InvalidData: Cannot load native library "${file.path}": it is not the library`, what);
  }
  const { output } = await runScript(setPath("libc.so.6") + CALL, ["--allow-ffi"]);
  assertStringIncludes(output, "it is not the library of @bpf/link", "another library");
  assertStringIncludes((await runScript(setPath("/nowhere/lib.so") + CALL, ["--allow-ffi"])).output, "/nowhere/lib.so");
});

Deno.test("a library with another interface is refused", async () => {
  const bytes = libraryBytes();
  returnNine(bytes);
  using file = new File(bytes);
  const { output } = await runScript(setPath(file.path) + CALL, ["--allow-ffi"]);
  assertMatch(output, /^InvalidData: .*it has interface 9, this version of the package needs \d+;/);
});

Deno.test("setLibraryPath() refuses what is no path, and comes too late after the first call", async () => {
  const script = `import { setLibraryPath, openHandles } from "${MOD}"; import { close } from "${SYS}";
    for (const path of ["", 7, new URL("https://example.com/lib.so")]) try { setLibraryPath(path); } catch (e) { console.log(e.name); }
    try { close(1000000); } catch {}
    try { setLibraryPath("/lib.so"); } catch (e) { console.log(e.name); }`;
  assertEquals((await runScript(script, ["--allow-ffi"])).output, "TypeError\nTypeError\nTypeError\nBusy\n");
});

/** Makes `bpf_link_abi`, which begins by making the version its result, return 9. */
function returnNine(elf: Uint8Array<ArrayBuffer>): void {
  const result = (value: number) =>
    Deno.build.arch === "x86_64"
      ? [0x6a, value] // push
      : [value << 5 & 0xff, value >> 3, 0x80, 0x52]; // mov w0
  const at = exportedSymbols(elf).get("bpf_link_abi")!;
  const own = result(numbers.abi.VERSION);
  assertEquals([...elf.subarray(at, at + own.length)], own);
  elf.set(result(9), at);
}

/** As {@linkcode CALL}, of the second library: the first call of a script needs both. */
const OBJECT = MOD.replace("mod.ts", "lib/ffi/object/library.ts");
const OBJECT_CALL = `import { objectNative } from "${OBJECT}";
try { console.log(objectNative().bpf_object_close(7)); } catch (error) { console.log(error.name + ": " + error.message); }`;
const OBJECT_WORKS = "-9\n";
const setObjectPath = (path: string) =>
  `import { setObjectLibraryPath } from "${OBJECT}"; setObjectLibraryPath(${JSON.stringify(path)});`;

Deno.test("the object library is loaded like the core: embedded, from one path, or refused by name", async () => {
  assertEquals((await runScript(OBJECT_CALL, ["--allow-ffi"])).output, OBJECT_WORKS);
  assertMatch((await runScript(OBJECT_CALL, [])).output, /^NotCapable: .*or write objectLibraryBytes\(\) to a file/);
  using file = new File(objectLibraryBytes());
  const grant = `--allow-ffi=${file.path}`, env = { BPF_LINK_OBJECT_LIBRARY: file.path };
  assertEquals((await runScript(setObjectPath(file.path) + OBJECT_CALL, [grant])).output, OBJECT_WORKS);
  const granted = [grant, "--allow-env=BPF_LINK_OBJECT_LIBRARY"];
  assertEquals((await runScript(OBJECT_CALL, granted, { env })).output, OBJECT_WORKS);
  using other = new File(libraryBytes());
  const { output } = await runScript(setObjectPath(other.path) + OBJECT_CALL, ["--allow-ffi"]);
  assertStringIncludes(output, `InvalidData: Cannot load native library "${other.path}": it is not the library of`);
  const late = `${OBJECT_CALL}\n${
    setObjectPath("/lib.so").replace(/(?<=; )/, "try { ")
  } } catch (e) { console.log(e.name); }`;
  assertEquals((await runScript(late, ["--allow-ffi"])).output, `${OBJECT_WORKS}Busy\n`);
});

Deno.test("who imports the core reads nothing of the object library, and its own importers one architecture's bytes", () => {
  const command = new Deno.Command(Deno.execPath(), { args: ["info", "--json", "--no-config", MOD] });
  const { modules }: { modules: { specifier: string }[] } = JSON.parse(
    new TextDecoder().decode(command.outputSync().stdout),
  );
  assertEquals(modules.filter(({ specifier }) => specifier.includes("/ffi/object/")), []);
  const imports = Deno.readTextFileSync(new URL(OBJECT)).match(/.*\bimport\b.*embedded_.*/g)!.map((line) =>
    line.trim()
  );
  assertEquals(imports, [
    'const own = await import("./embedded_x86_64.ts");',
    'const own = await import("./embedded_aarch64.ts");',
  ]);
});

const OTHER_RUNTIME = "works under Deno only; this is another runtime";

Deno.test("another runtime may import the package, and the first call says that it works under Deno only", async () => {
  const script = `delete globalThis.Deno;
    const { Link, libraryBytes, probe } = await import("${MOD}");
    const { linkGetNextId } = await import("${SYS}");
    const calls = [() => Link.open(1), () => Link.infos(), () => libraryBytes(), () => probe(), () => linkGetNextId(0)];
    for (const call of calls) try { call(); } catch (error) { console.log(error.message.includes("${OTHER_RUNTIME}")); }`;
  const { output, errors } = await runScript(script, ["--allow-ffi"]);
  assertEquals([output, errors], ["true\n".repeat(5), ""]);
});

/** What a script says that is run at a terminal, where each prompt gets this answer. */
async function atTerminal(source: string, answer: string): Promise<{ output: string; prompts: number }> {
  using script = new File(new TextEncoder().encode(source));
  const command = `${Deno.execPath()} run --no-config --no-lock --no-check --ext=ts ${script.path}`;
  await using child = new Deno.Command("script", {
    args: ["-qec", command, "/dev/null"],
    cwd: script.folder, // with a library of that name, which must not be taken
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // again and again: Deno drops what was typed before it asks, and nobody knows from outside when it begins to read
  const typing = setInterval(() => writer.write(new TextEncoder().encode(`${answer}\n`)).catch(() => {}), 500);
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) output += text;
  clearInterval(typing);
  await writer.close().catch(() => {}); // it has ended
  await child.stderr.cancel();
  return { output, prompts: output.split("Allow?").length - 1 };
}

const hasScript = new Deno.Command("sh", { args: ["-c", "command -v script"] }).outputSync().success;

for (const [answer, says] of [["y", WORKS.trim()], ["A", WORKS.trim()], ["n", "NotCapable: "]] as const) {
  Deno.test({
    name: `the first use asks once, and takes "${answer}" for an answer${hasScript ? "" : " (skipped: needs script)"}`,
    ignore: !hasScript,
    async fn(): Promise<void> {
      const { output, prompts } = await atTerminal(CALL, answer);
      assertStringIncludes(output, says);
      assertEquals(prompts, 1, output);
    },
  });
}

Deno.test("a permission broker is asked for two files, and none is looked for in the current directory", async () => {
  using file = new File(new Uint8Array());
  const path = `${file.folder}/broker`, asked: string[] = [];
  using listener = Deno.listen({ transport: "unix", path });
  const serving = (async () => {
    using connection = await listener.accept();
    const encoder = new TextEncoder();
    let rest = "";
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const { id, permission, value } = JSON.parse(line);
        if (permission === "ffi") asked.push(value);
        await connection.write(encoder.encode(`${JSON.stringify({ id, result: "allow" })}\n`));
      }
    }
  })();
  const env = { DENO_PERMISSION_BROKER_PATH: path };
  const { output } = await runScript(CALL, [], { env, cwd: file.folder });
  await serving;
  assertEquals(output, WORKS);
  assertEquals(asked.every((path) => path.startsWith("/") && !path.startsWith(file.folder)), true, asked.join());
});
