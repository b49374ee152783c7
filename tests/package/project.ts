/** Projects that get the package from a registry. */
import type { Registry } from "./registry.ts";

const scratch = Deno.makeTempDirSync({ prefix: "bpf-link-package-" });
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));

/** A new folder with these files. */
export function project(name: string, files: Readonly<Record<string, string>> = {}): string {
  const folder = `${scratch}/${name}`;
  Deno.mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) Deno.writeTextFileSync(`${folder}/${file}`, text);
  return folder;
}

/** How Deno is run. */
export interface Run {
  readonly cwd: string;
  /** Where it keeps what it fetched. */
  readonly cache?: string;
  readonly registry?: Registry;
}

/** Runs Deno. */
export async function deno(
  args: readonly string[],
  { cwd, cache, registry }: Run,
): Promise<{ code: number; output: string; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: {
      NO_COLOR: "1",
      ...cache === undefined ? {} : { DENO_DIR: cache },
      ...registry === undefined ? {} : { JSR_URL: registry.url },
    },
  }).output();
  return { code, output: new TextDecoder().decode(stdout), errors: new TextDecoder().decode(stderr) };
}
