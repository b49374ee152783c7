/** `agent`: publishes links for a fleet, as a service. */
import { printable } from "../check.ts";
import { expectedLinks, isTelemetryOn, type PublishedEvent, publishLinks, readExpected } from "../otel/mod.ts";
import { onAbort } from "../wait.ts";
import { Link } from "../link.ts";
import { type Command, numberFrom, type Output, Status, writeAll } from "./command.ts";
import { whatIsMissing } from "./missing.ts";
import { jsonLine } from "./table.ts";

export const agent: Command = {
  usage: "[OPTION]...",
  summary: "publish links through OpenTelemetry, until terminated",
  details: [
    "Metrics and events, which Deno exports where it was started with",
    "OTEL_DENO=true, to OTEL_EXPORTER_OTLP_ENDPOINT; http://localhost:4318 if",
    "absent. Each event is a line too. That the collector answers is looked after",
    "where Deno has --allow-net and --allow-env.",
    "",
    "--expected FILE      the links that should be there; others are reported",
    "--interval MS        milliseconds between two looks; 1000 if absent",
    "--snapshot           print what is there now as such a file, and end",
  ],
  options: { expected: { type: "string" }, interval: { type: "string" }, snapshot: { type: "boolean" } },
  takes: [0, 0],
  async run({ values }, output): Promise<number> {
    if (values.snapshot === true) return printSnapshot();
    if (!isTelemetryOn()) throw new Error(OFF);
    const expected = typeof values.expected === "string" ? readExpected(values.expected) : undefined;
    const intervalMs = typeof values.interval === "string" ? numberFrom(values.interval, "--interval") : undefined;
    const stop = new AbortController();
    const onSignal = () => stop.abort();
    const publisher = publishLinks({
      expected,
      intervalMs,
      signal: stop.signal,
      onEvent: (event) => console.info(lineOf(event, output)), // which makes it a log record too
    });
    for (const signal of SIGNALS) Deno.addSignalListener(signal, onSignal);
    try {
      await publisher.settled;
      say(`publishing ${publisher.count} links, source: ${publisher.source}`);
      if (publisher.partial) {
        say("some links may be missing, so none is reported as missing: that takes CAP_BPF and CAP_PERFMON");
      }
      const watched = watchCollector(stop.signal);
      await publisher.finished;
      await watched;
    } finally {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, onSignal);
      await publisher.close();
    }
    return publisher.partial ? Status.partial : Status.done;
  },
};

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const OFF = "telemetry is off, so nothing would be published: start it with OTEL_DENO=true in the environment, and " +
  "OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318 unless the collector is on this machine";

function printSnapshot(): number {
  writeAll(Deno.stdout, `[\n${expectedLinks().map((link) => `  ${JSON.stringify(link)}`).join(",\n")}\n]\n`);
  const { source, partial } = Link.list();
  if (!partial) return Status.done;
  whatIsMissing({ source, isWanted: false }).forEach(say);
  return Status.partial;
}

/** What the service has to say of itself: on stderr, where Deno does not take it for a log record. */
function say(text: string): void {
  writeAll(Deno.stderr, `bpflink: ${text}\n`);
}

function lineOf(event: PublishedEvent, output: Output): string {
  if (output.json) return jsonLine({ published: event });
  const { kind, id, type, place, program, what } = event;
  const words = [kind, id, type, place, program && `program ${program}`].filter((word) => word !== undefined);
  return printable(`${words.join(" ")}${what === undefined ? "" : `: ${what.join(", ")}`}`);
}

// ---- the collector, of which Deno says nothing

/** Says when the collector stops answering, and when it answers again. */
async function watchCollector(end: AbortSignal): Promise<void> {
  const url = collectorUrl();
  if (typeof url === "string") return say(`whether the collector answers is not known: ${url}`);
  let last: string | undefined;
  for (;;) {
    const failure = await failureOf(url, end.aborted ? LAST_PATIENCE_MS : PATIENCE_MS);
    if (failure !== last) {
      say(
        failure === undefined
          ? `the collector at ${url} answers again`
          : `the collector at ${url} does not take what is published: ${printable(failure)}`,
      );
    }
    last = failure;
    if (end.aborted) return;
    await pauseUnless(end);
    if (end.aborted && last !== undefined) return; // that is said already
  }
}

/** Where metrics go to; why that is not known, if it is not. */
function collectorUrl(): URL | string {
  if (Deno.permissions.querySync({ name: "env" }).state !== "granted") return "that takes --allow-env and --allow-net";
  const protocol = Deno.env.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") ?? Deno.env.get("OTEL_EXPORTER_OTLP_PROTOCOL");
  if (protocol !== undefined && !protocol.startsWith("http/")) return `the protocol is ${printable(protocol)}`;
  const metrics = Deno.env.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
  const base = Deno.env.get("OTEL_EXPORTER_OTLP_ENDPOINT") ?? "http://localhost:4318";
  const text = metrics ?? `${base.replace(/\/$/, "")}/v1/metrics`, url = URL.parse(text);
  if (url === null || url.protocol !== "http:" && url.protocol !== "https:") {
    return `"${printable(text)}" is no address`;
  }
  const { state } = Deno.permissions.querySync({ name: "net", host: `${url.hostname}:${portOf(url)}` });
  return state === "granted" ? url : `that takes --allow-net=${url.hostname}:${portOf(url)}`;
}

function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === "https:" ? 443 : 80);
}

const PATIENCE_MS = 5000;
/** What is left for it once the service was told to end: Deno then waits for the collector too. */
const LAST_PATIENCE_MS = 1000;

/** Why the collector does not take metrics, if it does not. */
async function failureOf(url: URL, patienceMs: number): Promise<string | undefined> {
  const over = new AbortController(), timer = setTimeout(() => over.abort(), patienceMs);
  try {
    return await Promise.race([ask(url, over.signal), aborted(over.signal)]);
  } catch (error) {
    return over.signal.aborted ? `no answer within ${patienceMs / 1000} s` : (error as Error).message;
  } finally {
    clearTimeout(timer); // which would hold the process
  }
}

/** Sends no metrics. Not by `fetch`: Deno exports a span for each. */
async function ask(url: URL, over: AbortSignal): Promise<string | undefined> {
  const to = { hostname: url.hostname.replace(/^\[|\]$/g, ""), port: portOf(url) };
  using connection = await (url.protocol === "https:" ? Deno.connectTls(to) : Deno.connect(to));
  using _ = onAbort(over, () => connection.close());
  over.throwIfAborted();
  const protocol = Deno.env.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") ?? Deno.env.get("OTEL_EXPORTER_OTLP_PROTOCOL");
  const isJson = protocol === "http/json", body = isJson ? "{}" : ""; // nothing is a message of protobuf
  const head = [
    `POST ${url.pathname}${url.search} HTTP/1.1`,
    `host: ${url.host}`,
    `content-type: application/${isJson ? "json" : "x-protobuf"}`,
    `content-length: ${body.length}`,
    "connection: close",
    ...headers(),
  ];
  await connection.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`));
  const answer = new Uint8Array(64), length = await connection.read(answer) ?? 0;
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(new TextDecoder().decode(answer.subarray(0, length)))?.[1];
  if (status === undefined) return "it does not speak HTTP";
  return status.startsWith("2") ? undefined : `it answers with status ${status}`;
}

/** Those that Deno sends too, as for authentication. */
function headers(): string[] {
  const given = Deno.env.get("OTEL_EXPORTER_OTLP_HEADERS") ?? "";
  return given.split(",").map((pair) => /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(pair))
    .flatMap((match) => match === null ? [] : [`${match[1]}: ${decodeURIComponent(match[2]!)}`])
    .filter((header) => !/[\r\n]/.test(header));
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** As long as Deno waits between two exports, or until the end. */
async function pauseUnless(end: AbortSignal): Promise<void> {
  const ms = Number(Deno.env.get("OTEL_METRIC_EXPORT_INTERVAL")) || 60_000;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  end.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
