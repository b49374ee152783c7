/** A real Prometheus, built from its source, on this machine's loopback. */
import { capture, run, which } from "../vm/command.ts";
import { exists } from "../vm/debian.ts";
import { inTime } from "../fixture/run/wait.ts";

/** Its release, and what Go's modules call that. */
const RELEASE = "3.13.5", MODULE = "github.com/prometheus/prometheus@v0.313.5";
const CACHE = ".cache/fleet", RULES = new URL("alerts.yaml", import.meta.url).pathname;
/** How often it looks at the rules, in seconds. */
export const EVALUATION_SECONDS = 5;
const STARTS_WITHIN_MS = 60_000, ANSWERS_WITHIN_MS = 30_000;

/** A value of a series. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Takes OTLP, and has the alerts of `alerts.yaml`; ended with the scope. */
export class Prometheus implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #child: Deno.ChildProcess;

  private constructor(program: string) {
    this.port = freePort();
    this.#folder = Deno.makeTempDirSync({ prefix: "bpf-link-fleet-" });
    const config = { global: { evaluation_interval: `${EVALUATION_SECONDS}s` }, rule_files: [RULES] };
    Deno.writeTextFileSync(`${this.#folder}/config.yaml`, JSON.stringify(config)); // which is YAML too
    const args = [
      ...["--config.file", `${this.#folder}/config.yaml`, "--storage.tsdb.path", `${this.#folder}/data`],
      ...["--web.listen-address", `127.0.0.1:${this.port}`, "--web.enable-otlp-receiver", "--log.level", "warn"],
    ];
    // whatever ends this process ends it
    const through = ["--pdeathsig", "KILL", program, ...args];
    this.#child = new Deno.Command("setpriv", { args: through, stdin: "null", stdout: "null" }).spawn();
  }

  /** Starts it; the first time it is built before, which takes about 11 minutes on two processors. */
  static async start(): Promise<Prometheus> {
    const prometheus = new Prometheus(await build());
    try {
      await inTime(() => prometheus.#isReady(), STARTS_WITHIN_MS);
    } catch (error) {
      await prometheus[Symbol.asyncDispose]();
      throw error;
    }
    return prometheus;
  }

  async #isReady(): Promise<void> {
    let hasEnded = false;
    this.#child.status.then(() => hasEnded = true);
    for (;;) {
      if (hasEnded) throw new Error("Prometheus ended");
      const response = await fetch(`http://127.0.0.1:${this.port}/-/ready`).catch(() => undefined);
      await response?.body?.cancel();
      if (response?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** What an expression is now. */
  async query(expression: string): Promise<Sample[]> {
    const { result } = await this.#ask("query", { query: expression }) as { result: Instant[] };
    return result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
  }

  /** How many series an expression had in the last seconds. */
  async seriesOf(expression: string, seconds: number): Promise<number> {
    const end = Date.now() / 1000, [from, to] = [String(end - seconds), String(end)];
    const { result } = await this.#ask("query_range", { query: expression, start: from, end: to, step: "5" }) as {
      result: unknown[];
    };
    return result.length;
  }

  /** The values that a label of a metric has. */
  async labelValues(metric: string, label: string): Promise<string[]> {
    return await this.#ask(`label/${label}/values`, { "match[]": metric }) as string[];
  }

  /** The alerts that fire, by name and machine. */
  async firing(): Promise<string[]> {
    const { alerts } = await this.#ask("alerts", {}) as { alerts: { state: string; labels: Record<string, string> }[] };
    return alerts.filter(({ state }) => state === "firing")
      .map(({ labels }) => `${labels.alertname} ${labels.instance}`).sort();
  }

  async #ask(path: string, parameters: Record<string, string>): Promise<unknown> {
    const url = `http://127.0.0.1:${this.port}/api/v1/${path}?${new URLSearchParams(parameters)}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
    const { status, data, error } = await response.json();
    if (status !== "success") throw new Error(`Prometheus: ${error}`);
    return data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.#child.status;
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

interface Instant {
  readonly metric: Record<string, string>;
  readonly value: [time: number, value: string];
}

async function build(): Promise<string> {
  const program = `${CACHE}/prometheus-${RELEASE}`;
  if (exists(program)) return program;
  if (await which("go") === undefined) throw new Error("Prometheus is built from its source, which takes Go");
  console.log(`Building Prometheus ${RELEASE}, once; that takes about 11 minutes`);
  Deno.mkdirSync(CACHE, { recursive: true });
  const { Dir: source } = JSON.parse(await capture("go", ["mod", "download", "-json", MODULE], CACHE));
  const unfinished = `${Deno.realPathSync(CACHE)}/unfinished`;
  // its workspace has modules that are not published; nobody discovers services here
  const how = ["-C", source, "-tags", "remove_all_sd", "-o", unfinished, "./cmd/prometheus"];
  await run("env", ["GOWORK=off", "nice", "go", "build", ...how]);
  Deno.renameSync(unfinished, program);
  return program;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
