/** Runs examples as their users do, with the permissions that their comments name. */
import { assert } from "@std/assert";
import { inTime } from "../fixture/run/wait.ts";

const FOLDER = new URL(".", import.meta.url).pathname;
const PATIENCE_MS = 120_000;

/** A command that runs another in a cgroup. */
export function inCgroup(path: string): string[] {
  return ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', path];
}

/** A process whose output is read line by line; it is ended with the scope. */
export class Running implements AsyncDisposable {
  /** What it has printed. */
  readonly lines: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #rest = "";
  #seen = 0;
  #isOpen = true;

  constructor(command: string, args: string[]) {
    this.#process = new Deno.Command(command, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#output = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#input = this.#process.stdin.getWriter();
  }

  /** Waits for the next line that looks like this. */
  line(pattern: RegExp): Promise<string> {
    return inTime(async () => {
      for (;;) {
        while (this.#seen < this.lines.length) {
          const line = this.lines[this.#seen++]!;
          if (pattern.test(line)) return line;
        }
        if (!await this.#more()) throw new Error(`no line like ${pattern} in: ${this.lines.join(" | ")}`);
      }
    }, PATIENCE_MS);
  }

  /** What it reads. */
  async write(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  /** Its status after an interrupt. */
  interrupted(): Promise<number> {
    this.#process.kill("SIGINT");
    return this.ended();
  }

  /** Its status, once it has read all that there is. */
  async ended(): Promise<number> {
    if (this.#isOpen) await this.#input.close().catch(() => {});
    this.#isOpen = false;
    while (await inTime(() => this.#more(), PATIENCE_MS));
    return (await this.#process.status).code;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#output.read();
    if (done) return false;
    const lines = (this.#rest + value).split("\n");
    this.#rest = lines.pop()!;
    this.lines.push(...lines);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.ended();
  }
}

/** An example, with `--allow-ffi` and what else it says that it needs; `through` a command that runs it. */
export class Example extends Running {
  constructor(name: string, args: string[], permissions: string[] = [], through: string[] = []) {
    const run = ["run", "--no-check", "--no-prompt", "--allow-ffi", ...permissions, `${FOLDER}${name}.ts`, ...args];
    const [command = "", ...rest] = [...through, Deno.execPath(), ...run];
    super(command, rest);
  }
}

/** The output of a command that must succeed. */
export async function run([command = "", ...args]: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
