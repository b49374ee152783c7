/** What the builds of the native libraries share: other programs, and what to say where one is missing. */

/** The architectures that a library is built for, as Deno, rustc and zig name them. */
export const ARCHITECTURES = ["x86_64", "aarch64"] as const;
export type Architecture = typeof ARCHITECTURES[number];

/** Whether the libraries are only compared with what the sources give. */
export const check: boolean = Deno.args[0] === "--check";

/** What a build needs is not on this machine: its check is skipped. */
export class Missing extends Error {}

/** Another compiler makes other bytes, so what is generated records its own. */
export interface Compiler {
  readonly path: string;
  readonly version: string;
}

/** The compiler that a generated file records; to write it, also another one that RUSTC names. */
export function findCompiler(file: string): Compiler {
  const recorded = exists(file) ? /compiler = "(.*)"/.exec(Deno.readTextFileSync(file))?.[1] : undefined;
  const named = Deno.env.get("RUSTC");
  const found = (named ? [named] : ["/usr/bin/rustc", "rustc"]) // Debian's, and what rustup may have put before it
    .map((path) => ({ path, version: tell(path, ["--version"]) }))
    .find(({ version }) => version === recorded || (named && version && !check));
  if (!found) throw new Missing(recorded ?? "a compiler that RUSTC names");
  for (const architecture of ARCHITECTURES) {
    const target = targetOf(architecture);
    if (!exists(tell(found.path, ["--print", "target-libdir", "--target", target]))) {
      throw new Missing(`the standard library of ${found.version} for ${target}`);
    }
  }
  return found;
}

/** What rustc calls an architecture's Linux. */
export function targetOf(architecture: Architecture): string {
  return `${architecture}-unknown-linux-gnu`;
}

/** Writes a generated file, or finds out whether it is what it would be. */
export function generate(file: string, text: string): void {
  if (!check) {
    Deno.writeTextFileSync(file, text);
  } else if (!exists(file) || text !== Deno.readTextFileSync(file)) {
    throw new Error(`${file} is stale: run \`deno task build\``);
  }
}

/**
 * The loader takes equal names for the same library, so other bytes get another name: libraries are linked with zeros
 * in its place, and renamed after the digest of all of them.
 */
export async function nameOf(unnamed: string, libraries: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const all = await new Blob([...libraries]).bytes();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all)).toHex().slice(0, 16);
  const name = unnamed.slice(0, -16) + digest;
  for (const library of libraries) {
    const at = new TextDecoder("latin1").decode(library).indexOf(unnamed);
    if (at < 0) throw new Error("the library has no name");
    library.set(new TextEncoder().encode(name), at);
  }
  return name;
}

/** Runs a command; its failure is ours. */
export async function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const { success } = await new Deno.Command(command, { args: [...args], env, stdout: "inherit", stderr: "inherit" })
    .output();
  if (!success) throw new Error(`${command} failed`);
}

/** What a command says; nothing if there is no such command. */
export function tell(command: string, args: readonly string[]): string {
  try {
    return new TextDecoder().decode(new Deno.Command(command, { args: [...args] }).outputSync().stdout).trim();
  } catch {
    return "";
  }
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
