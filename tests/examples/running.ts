/** Runs examples as their users do, with the permissions that their comments name. */
import { assert } from "@std/assert";
import { Running } from "../fixture/process/running.ts";

const FOLDER = new URL(".", import.meta.url).pathname;

/** A command that runs another in a cgroup. */
export function inCgroup(path: string): string[] {
  return ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', path];
}

/** An example, with `--allow-ffi` and what else it says that it needs; `through` a command that runs it. */
export class Example extends Running {
  constructor(name: string, args: string[], permissions: string[] = [], through: string[] = []) {
    const run = ["run", "--no-check", "--no-prompt", "--allow-ffi", ...permissions, `${FOLDER}${name}.ts`, ...args];
    super([...through, Deno.execPath(), ...run], { stdin: "piped", stderr: "inherit" });
  }
}

/** The output of a command that must succeed. */
export async function run([command = "", ...args]: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
