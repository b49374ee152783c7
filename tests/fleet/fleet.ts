/** Virtual machines that do what they are told, each with a kernel of its own. */
import { delay } from "../fixture/run/wait.ts";
import { runOn } from "../vm/machine.ts";
import type { Instruction, Outcome } from "./machine.ts";

/** What a machine's network calls the loopback of this one. */
const HOST = "10.0.2.2";
/** How long a machine may live. */
const LIFE_SECONDS = 1200;
const PATIENCE_MS = 180_000;

/** What a machine has done, and a way to say what is next. */
interface Question {
  readonly outcome: Outcome;
  answer(instruction: Instruction | "end"): void;
}

/** The machines, and where they ask what to do. */
export class Fleet implements AsyncDisposable {
  readonly #machines = new Map<string, Machine>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const machine = this.#machines.get(new URL(request.url).pathname.slice(1))!;
      return Response.json(await machine.asks(await request.json()));
    });
  }

  /** Starts a machine whose agent exports to a port of this one. */
  start(name: string, kernel: string, port: number, intervalMs: number): Machine {
    const url = (port: number) => `http://${HOST}:${port}`;
    const args = [name, url(this.#server.addr.port), `${url(port)}/api/v1/otlp`, String(intervalMs)];
    const machine = new Machine(name, kernel, args);
    this.#machines.set(name, machine);
    return machine;
  }

  /** Waits for a condition, but not for long, and not without one of the machines. */
  async waitFor(condition: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!await condition() && performance.now() < end) {
      for (const { failure } of this.#machines.values()) if (failure !== undefined) throw failure;
      await delay(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#machines.values()].map((machine) => machine.end()));
    await this.#server.shutdown();
  }
}

/** One of them. */
export class Machine {
  /** Why it ended without being told to, if it did. */
  failure: Error | undefined;
  readonly #life: Promise<void>;
  #question = Promise.withResolvers<Question>();

  constructor(readonly name: string, readonly kernel: string, args: readonly string[]) {
    this.#life = this.#live(["deno", "run", "-A", "--no-check", "--no-config", "tests/fleet/machine.ts", ...args]);
    this.#life.catch((error) => this.failure = error);
  }

  async #live(command: readonly string[]): Promise<void> {
    const { status, output, console } = await runOn(this.kernel, command, LIFE_SECONDS, () => {}, true);
    if (status !== 0) throw new Error(`${this.name} failed: ${output}${status === undefined ? console : ""}`);
  }

  /** Takes its question; fulfilled when that has an answer. */
  asks(outcome: Outcome): Promise<Instruction | "end"> {
    const { promise, resolve } = Promise.withResolvers<Instruction | "end">();
    this.#question.resolve({ outcome, answer: resolve });
    return promise;
  }

  /** Tells it what to do, and waits until that is done. */
  async does(instruction: Instruction): Promise<unknown> {
    const { answer } = await this.#asked();
    this.#question = Promise.withResolvers();
    answer(instruction);
    const { outcome } = await this.#asked();
    if ("error" in outcome) throw new Error(`${this.name} could not ${instruction}: ${outcome.error}`);
    return outcome.value;
  }

  async #asked(): Promise<Question> {
    const ended = this.#life.then(() => Promise.reject(new Error(`${this.name} ended`)));
    return await Promise.race([this.#question.promise, ended]);
  }

  /** Ends it. */
  async end(): Promise<void> {
    const { answer } = await this.#asked();
    answer("end");
    await this.#life;
  }
}
