/** A process in a cgroup that keeps connecting to a server, and reports how each try went. */

/** One try to connect. */
interface Try {
  /** When it began, in milliseconds since 1970. */
  readonly began: number;
  /** `connected`, `timed out`, or another error's name. */
  readonly outcome: string;
}

/** How long a try may take, and the pause before the next one. */
const PATIENCE_MS = 500, PAUSE_MS = 20;

/** Starts the process, and reads its reports; the end of the scope ends it. */
export class Client implements AsyncDisposable {
  #process: Deno.ChildProcess;
  #tries: AsyncGenerator<Try, void, void>;

  /**
   * @param cgroup The directory of its cgroup.
   * @param port Where it connects to on 127.0.0.1.
   * @param signal Makes whoever waits for a report fail with the signal's reason.
   */
  constructor(cgroup: string, port: number, signal: AbortSignal) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-config", "--no-lock", "-A", import.meta.url, cgroup, `${port}`],
      stdin: "null",
      stdout: "piped",
      detached: true, // Ctrl-C is for the demo alone
    }).spawn();
    this.#tries = readTries(this.#process.stdout, signal);
  }

  /** How the next `count` tries go; one that is under way already does not count. */
  async next(count: number): Promise<string[]> {
    const now = Date.now();
    const outcomes: string[] = [];
    while (outcomes.length < count) {
      const { value } = await this.#tries.next();
      if (value === undefined) throw new Error("The client ended by itself");
      if (value.began > now) outcomes.push(value.outcome);
    }
    return outcomes;
  }

  /** Ends the process and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tries.return();
    await this.#process[Symbol.asyncDispose]();
  }
}

/** A try for each line of the process's output. */
async function* readTries(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
): AsyncGenerator<Try, void, void> {
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream(), { signal })) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

/** What the process does. */
async function keepConnecting(port: number): Promise<never> {
  for (;;) {
    const report: Try = { began: Date.now(), outcome: await tryToConnect(port) };
    await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(report)}\n`));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

async function tryToConnect(port: number): Promise<string> {
  try {
    using _connection = await Deno.connect({
      hostname: "127.0.0.1",
      port,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return "connected";
  } catch (error) {
    const { name } = error as Error;
    return name === "TimeoutError" ? "timed out" : name;
  }
}

if (import.meta.main) {
  const [cgroup, port] = Deno.args;
  // Before the first socket is made: sockets stay in the cgroup that they were made in.
  Deno.writeTextFileSync(`${cgroup}/cgroup.procs`, `${Deno.pid}`);
  try {
    await keepConnecting(Number(port));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // nobody reads any more
  }
}
