/** Which claims about `@bpf/link/sys` held on which machine: kept by whole runs, for `tests/doc/reference.ts`. */
import { CACHE } from "./debian.ts";

const FOLDER = `${CACHE}/claims`;

/** The machines of a whole run, in the order in which they are shown; `arm64` runs Linux 6.12. */
export const MACHINES = ["5.10", "6.1", "6.12", "6.18", "7.3", "arm64"] as const;

/** Tests by name, and whether they passed; those that did not were skipped. */
export type Claims = ReadonlyMap<string, boolean>;

/** Keeps what the output of a green run says. */
export function keepClaims(machine: string, output: string): void {
  const lines = output.matchAll(/^(\w+: .+?)(?: \(skipped: .*\))? \.\.\. .*?(ok|ignored) \(/gm);
  const claims = Array.from(lines, ([, name, result]) => [name, result === "ok"]);
  Deno.mkdirSync(FOLDER, { recursive: true });
  Deno.writeTextFileSync(`${FOLDER}/${machine}.json`, JSON.stringify(Object.fromEntries(claims)));
}

/** What was kept of a machine. */
export function keptClaims(machine: string): Claims {
  return new Map(Object.entries(JSON.parse(Deno.readTextFileSync(`${FOLDER}/${machine}.json`))));
}
