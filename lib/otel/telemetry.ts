/** Deno's built-in OpenTelemetry, as far as links need it. */

/** What tells one series, or one event, from another. */
export type Attributes = Readonly<Record<string, string | number | boolean | readonly string[]>>;

interface Counter {
  add(value: number, attributes: Attributes): void;
}

/** An instrument that is read when Deno exports. */
export interface Observable {
  addCallback(callback: unknown): void;
}

/** Takes values while Deno exports. */
export interface Observation {
  observe(instrument: Observable, value: number, attributes: Attributes): void;
}

interface About {
  readonly unit: string;
  readonly description: string;
}

interface Meter {
  createUpDownCounter(name: string, about: About): Counter;
  createObservableCounter(name: string, about: About): Observable;
  addBatchObservableCallback(callback: (to: Observation) => void, instruments: readonly Observable[]): void;
}

interface Tracer {
  startActiveSpan(name: string, options: { attributes: Attributes }, work: (span: { end(): void }) => void): void;
}

const SCOPE = "@bpf/link";

/** What is published. There is one for a process, as Deno has one meter of a name. */
export class Telemetry {
  readonly #tracer?: Tracer;
  readonly links: Tally;
  readonly unexpected: Tally;
  readonly missing: Tally;

  /** @param observe Is called when Deno exports. */
  constructor(observe: (to: Observation, instruments: Instruments) => void) {
    const meter = findMeter();
    if (meter !== undefined) this.#tracer = Deno.telemetry.tracerProvider.getTracer(SCOPE) as Tracer;
    const tally = (name: string, description: string) =>
      new Tally(meter?.createUpDownCounter(name, { unit: "{link}", description }));
    this.links = tally("bpf.links", "Links that there are");
    this.unexpected = tally("bpf.links.unexpected", "Links that are not expected");
    this.missing = tally("bpf.links.missing", "Expected links that are not there: 1, else 0");
    if (meter === undefined) return;
    const counter = (name: string, unit: string, description: string) =>
      meter.createObservableCounter(name, { unit, description });
    const instruments = {
      runs: counter("bpf.program.runs", "{run}", "Runs of programs, while the kernel counts them"),
      runTime: counter("bpf.program.run.time", "s", "Time that programs ran, while the kernel counts it"),
      missed: counter("bpf.link.missed", "{run}", "Runs that the kernel left out, as of a probe within a probe"),
    };
    meter.addBatchObservableCallback((to) => observe(to, instruments), Object.values(instruments));
  }

  /** An event: a span of no length. What `work` writes on the console becomes a log record of its trace. */
  event(name: string, attributes: Attributes, work: () => void): void {
    if (this.#tracer === undefined) return work();
    this.#tracer.startActiveSpan(name, { attributes }, (span) => {
      try {
        work();
      } finally {
        span.end();
      }
    });
  }
}

/** What is read when Deno exports. */
export type Instruments = Readonly<Record<"runs" | "runTime" | "missed", Observable>>;

/**
 * Whether Deno exports anything: it does if it was started with OTEL_DENO=true. That needs no permission.
 *
 * @returns Whether metrics and events of this process reach an exporter; a collector may be away.
 *
 * @example
 * ```ts
 * import { isTelemetryOn } from "@bpf/link/otel";
 *
 * if (!isTelemetryOn()) console.warn("nothing is published: start it with OTEL_DENO=true");
 * ```
 */
export function isTelemetryOn(): boolean {
  return findMeter() !== undefined;
}

/** Deno throws where telemetry is off. */
function findMeter(): Meter | undefined {
  try {
    return Deno.telemetry.meterProvider.getMeter(SCOPE);
  } catch {
    return undefined;
  }
}

/** A count for each set of attributes. */
export class Tally {
  readonly #counter: Counter | undefined;
  readonly #counts = new Map<string, { readonly attributes: Attributes; count: number }>();

  constructor(counter: Counter | undefined) {
    this.#counter = counter;
  }

  add(count: number, attributes: Attributes): void {
    this.#counter?.add(count, attributes);
    const key = JSON.stringify(attributes), known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, { attributes, count });
    else if ((known.count += count) === 0) this.#counts.delete(key);
  }

  /** Takes everything back: Deno would add what is counted from then on. */
  clear(): void {
    for (const { attributes, count } of this.#counts.values()) this.#counter?.add(-count, attributes);
    this.#counts.clear();
  }
}
