/**
 * Builds the native library: `deno task build` writes lib/ffi/embedded.ts and symbols.ts; with `--check` it writes
 * nothing and fails if one of them is not what the sources give.
 *
 * Another compiler makes other bytes, so the file records its own and only that one can check it; where it is missing, the check says so and ends with status 77. To move to another one: `RUSTC=/path/to/rustc deno task build`.
 */

import { createHash } from "node:crypto";

const SKIPPED = 77;
const LLD = "/usr/lib/llvm-22/bin";
const EMBEDDED = "lib/ffi/embedded.ts";
const UNNAMED = "bpf_link.0123456789abcdef"; // in the place of the name
const EMULATIONS = { x86_64: "elf_x86_64", aarch64: "aarch64linux" };

type Architecture = keyof typeof EMULATIONS;
type Compiler = { path: string; version: string };

const check = Deno.args[0] === "--check";
if (Deno.args.length > Number(check)) fail("usage: deno task build [--check]");
Deno.chdir(new URL("..", import.meta.url));

for (const tool of ["cargo", "rustc", "gcc"]) if (tell(tool, ["--version"]) === "") skip(tool);

// What TypeScript knows of the sources comes first: any compiler can check it.
const bindgen = ["run", "--quiet", "--locked", "--manifest-path", "ffi/bindgen/Cargo.toml", "--"];
run("cargo", [...bindgen, ...check ? ["--check"] : [], "lib/ffi/symbols.ts"]);

const compiler = findCompiler();
const text = embed(compiler);
if (!check) {
  Deno.writeTextFileSync(EMBEDDED, text);
} else if (text !== Deno.readTextFileSync(EMBEDDED)) {
  fail(`${EMBEDDED} is stale: run \`deno task build\``);
}

/** The compiler that the file records; to write it, also another one that RUSTC names. */
function findCompiler(): Compiler {
  const recorded = /compiler = "(.*)"/.exec(Deno.readTextFileSync(EMBEDDED))?.[1];
  const named = Deno.env.get("RUSTC");
  const found = (named ? [named] : ["/usr/bin/rustc", "rustc"]) // Debian's, and what rustup may have put before it
    .map((path) => ({ path, version: tell(path, ["--version"]) }))
    .find(({ version }) => version === recorded || (named && version && !check));
  if (!found) skip(recorded!);
  for (const architecture of Object.keys(EMULATIONS)) {
    const target = `${architecture}-unknown-linux-gnu`;
    if (!exists(tell(found.path, ["--print", "target-libdir", "--target", target]))) {
      skip(`the standard library of ${found.version} for ${target}`);
    }
  }
  if (!exists(`${LLD}/ld.lld`)) skip(`${LLD}/ld.lld`);
  return found;
}

function compile(architecture: Architecture, rustc: string): Uint8Array<ArrayBuffer> {
  const folder = `ffi/core/target/embedded/${architecture}`;
  Deno.mkdirSync(folder, { recursive: true });
  const library = `${folder}/libbpf_link.so`;
  // The standard library's unwind tables would be a quarter of the file, and nothing here unwinds.
  const script = `${folder}/discard.ld`;
  Deno.writeTextFileSync(script, "SECTIONS { /DISCARD/ : { *(.eh_frame) } } INSERT AFTER .text;");
  // Two segments, no name and no section table; a symbol hash of the kind that tells how many symbols there are.
  const layout =
    `-T,${script},--no-eh-frame-hdr,--build-id=none,-soname=${UNNAMED},--no-rosegment,-z,nosectionheader,--hash-style=sysv,-z,defs` +
    ",-z,nodelete"; // a worker may end while a thread of the pool is still inside

  const linker = `-fuse-ld=lld -B${LLD} -nostdlib -Wl,-m,${EMULATIONS[architecture]},${layout}`;
  // deno-fmt-ignore
  const args = [
    "--edition=2024", "--crate-type=cdylib", "--crate-name=bpf_link", `--target=${architecture}-unknown-linux-gnu`,
    // The smallest code: nearly all of a call is the kernel's.
    "-Copt-level=z", "-Clto=fat", "-Cpanic=abort", "-Crelro-level=off", "-Clinker=gcc", `-Clink-args=${linker}`,
    // Else an atomic swap on aarch64 asks the C library what the processor can.
    ...architecture === "aarch64" ? ["-Ctarget-feature=-outline-atomics"] : [],
    "-o", library, "ffi/core/src/lib.rs",
  ];
  run(rustc, args);
  return withoutTail(Deno.readFileSync(library));
}

/** Cuts off what no segment holds: symbols, comments, and the zeros that lld leaves for the section table. */
function withoutTail(elf: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(elf.buffer);
  let end = 0;
  for (let i = 0; i < view.getUint16(0x38, true); i++) {
    const header = 0x40 + i * 0x38;
    end = Math.max(end, view.getUint32(header + 0x08, true) + view.getUint32(header + 0x20, true));
  }
  return elf.slice(0, end);
}

function embed({ path, version }: Compiler): string {
  const compiled = (Object.keys(EMULATIONS) as Architecture[]).map((architecture) =>
    [architecture, compile(architecture, path)] as const
  );
  // The loader takes equal names for the same library: other bytes get another name.
  const hash = createHash("sha256");
  for (const [, bytes] of compiled) hash.update(bytes);
  const name = UNNAMED.slice(0, -16) + hash.digest("hex").slice(0, 16);
  const libraries = compiled.map(([architecture, bytes]) => {
    rename(bytes, name);
    return `  /** ${bytes.length} bytes. */\n  ${architecture}: "${bytes.toBase64()}",\n`;
  });
  return `// Generated by \`deno task build\` from ffi/core. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

/** What made the libraries. */
export const compiler = "${version}";

/** How the loader knows the library once it is loaded. */
export const name = "${name}";

/** The native library of each architecture, in base64. */
export const embedded = {
${libraries.join("")}} as const;
`;
}

/** Puts `name` in the place of {@linkcode UNNAMED}. */
function rename(library: Uint8Array, name: string): void {
  const at = new TextDecoder("latin1").decode(library).indexOf(UNNAMED);
  if (at < 0) fail("the library has no name");
  library.set(new TextEncoder().encode(name), at);
}

/** Runs a command; its failure is ours. */
function run(command: string, args: string[]): void {
  const { success } = new Deno.Command(command, { args, stdout: "inherit", stderr: "inherit" }).outputSync();
  if (!success) fail(`${command} failed`);
}

/** What a command says of itself; nothing if there is no such command. */
function tell(command: string, args: string[]): string {
  try {
    return new TextDecoder().decode(new Deno.Command(command, { args }).outputSync().stdout).trim();
  } catch {
    return "";
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function skip(missing: string): never {
  fail(`${check ? "The check of the native library is skipped: it" : "Building"} needs ${missing}`, SKIPPED);
}

function fail(message: string, status = 1): never {
  console.error(message);
  Deno.exit(status);
}
