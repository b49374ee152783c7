/**
 * The package as it is published, built for a run of the tests: by tests/run.ts, before the tests lose the network, and
 * for the machines of tests/vm, which have none.
 */
import { fileURLToPath } from "node:url";

/** The folder that `deno task stage` fills. */
export const STAGED: string = fileURLToPath(new URL("../../.cache/staged", import.meta.url));

/** The names of its files; none if it was not built. */
export function stagedFiles(folder: string = STAGED): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Why there is no staged package; `undefined` if there is one. */
export function whyNotStaged(): string | undefined {
  return stagedFiles().length > 0 ? undefined : "needs the staged package, which is built with packages of npm";
}

/** Builds it anew; says why not where that cannot be done, and what an earlier run built is gone then too. */
export function buildStaged(folder: string = STAGED): void {
  const own = `${folder}.${Deno.pid}`; // two runs at once each build a folder of their own and rename it
  const script = fileURLToPath(new URL("stage.ts", import.meta.url));
  const args = ["run", "-A", "--no-config", script, own];
  const { success, stderr } = new Deno.Command(Deno.execPath(), { args, stdout: "null" }).outputSync();
  for (const old of success ? [folder] : [folder, own]) {
    try {
      Deno.removeSync(old, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  if (success) Deno.renameSync(own, folder);
  else console.log(`The package is not staged:\n${new TextDecoder().decode(stderr)}`);
}
