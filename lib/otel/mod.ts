/**
 * Links for a fleet: published through the OpenTelemetry that is built into Deno, without any package. `--allow-ffi` is
 * the only permission that it needs, CAP_BPF and CAP_PERFMON are the only capabilities.
 *
 * ```ts
 * import { isTelemetryOn, publishLinks } from "@bpf/link/otel";
 *
 * await using publisher = publishLinks({ expected: [{ type: "tcx", place: "eth1 *", program: "guard" }] });
 * await publisher.settled;
 * console.log(isTelemetryOn() ? "published" : "not published: start it with OTEL_DENO=true");
 * ```
 *
 * ## Guide: a fleet
 *
 * For the links of many machines in one place: how many there are, which are missing, which nobody expects. On each
 * machine, as root, with `bpflink` installed by `deno install --global -A jsr:@bpf/link/bpflink`:
 *
 * ```sh
 * bpflink agent --snapshot >links.json # what is attached now is what is expected from now on; read and shorten it
 * OTEL_DENO=true OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 bpflink agent --expected links.json
 * ```
 *
 * The agent prints a line for each link that comes, goes or changes, and within an export interval the collector has
 * `bpf.links`, `bpf.links.missing` and `bpf.links.unexpected`, below. The repository's `tests/fleet` has a systemd unit
 * and a DaemonSet with the least capabilities, a dashboard for Grafana and alerts for Prometheus. The same inside an
 * agent of yours:
 *
 * ```ts
 * import { Link, Program } from "@bpf/link";
 * import { publishLinks } from "@bpf/link/otel";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * const lookup = { type: "sk_lookup", expectedAttachType: "sk_lookup", name: "steer", instructions: accept } as const;
 * using program = Program.load(lookup);
 * const link = Link.attach(program, { type: "netns" });
 *
 * const { promise: missed, resolve: miss } = Promise.withResolvers<void>();
 * await using publisher = publishLinks({
 *   expected: [{ type: "netns", program: "steer" }],
 *   intervalMs: 100,
 *   onEvent: ({ kind, type, place, program }) => {
 *     if (type === "netns") console.log(kind, type, place ?? "anywhere", program ?? "");
 *     if (kind === "missing" && program === "steer") miss();
 *   },
 * });
 * await publisher.settled;
 * link.close(); // what the fleet should hear of
 * await missed;
 * ```
 *
 * What can go wrong:
 *
 * - Nothing arrives: `isTelemetryOn()` is false without `OTEL_DENO=true` in the environment that Deno starts in. A
 *   collector that is away is reported by `bpflink agent`, not by Deno.
 * - `publisher.partial`: without CAP_BPF and CAP_PERFMON some links are not seen, so expected ones may seem missing.
 * - Each cgroup and interface is a series: where they come and go, drop `bpf.link.place` in the collector.
 * - Ids differ between machines and starts: expect types, places and names of programs.
 *
 * ## What is published
 *
 * **Deno exports** where it was started with `OTEL_DENO=true`, to `OTEL_EXPORTER_OTLP_ENDPOINT` every
 * `OTEL_METRIC_EXPORT_INTERVAL` milliseconds and when the process ends. It should end by itself, with `Deno.exitCode`:
 * `Deno.exit()` during an export may wait for good (Deno 2.9.6), and a signal that is not listened for leaves no time.
 * For a collector that never answers Deno then waits `OTEL_EXPORTER_OTLP_TIMEOUT` (10 s if absent) for metrics, spans
 * and log records each. It does not report a collector that is away. Which machine it is belongs into
 * `OTEL_RESOURCE_ATTRIBUTES`, such as `host.name=web1`. Prometheus takes metrics, and no events, at
 * `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://HOST:9090/api/v1/otlp/v1/metrics`.
 *
 * | metric                 | kind            | what                                                               |
 * | ---------------------- | --------------- | ------------------------------------------------------------------ |
 * | `bpf.links`            | UpDownCounter   | links, by type, place and program                                  |
 * | `bpf.links.unexpected` | UpDownCounter   | those that the list does not expect; only with a list              |
 * | `bpf.links.missing`    | UpDownCounter   | 1 for each expected link that is not there, else 0                 |
 * | `bpf.program.runs`     | counter         | runs of attached programs, by program                              |
 * | `bpf.program.run.time` | counter, in `s` | the time that they ran                                             |
 * | `bpf.link.missed`      | counter         | runs that the kernel left out, by link, of kprobes where it counts |
 *
 * Their attributes are `bpf.link.type`, `bpf.link.place`, `bpf.program.name`, for runs `bpf.program.id` and the name,
 * for missed runs `bpf.link.id` too. Runs take CAP_SYS_ADMIN, and a kernel that counts them (`sysctl
 * kernel.bpf_stats_enabled=1`, or an fd of `enableStats` of `@bpf/link/sys`). Missed runs take CAP_SYS_ADMIN and Linux
 * 6.7. These counters are read at each interval of the export, and not once more when the process ends. A place that is
 * gone stays as a series of 0 until the process ends: where cgroups come and go, drop `bpf.link.place` in the collector.
 *
 * Where a kprobe, a uprobe or a perf event is attached is told to CAP_SYS_ADMIN alone, and not before Linux 6.6. Else its
 * place is no more than `an event`, and it counts as each expected link that its type and program agree with.
 *
 * **Events** are `bpf.link.added`, `.removed`, `.changed`, `.unexpected`, `.missing` and `.found`. Deno exports as log
 * records only what is written on the console, and that as plain text; so an event is a span of no length, with all
 * that is known as attributes, and what `onEvent` writes on the console is exported as a log record of its trace.
 *
 * @module
 */
import { checkInteger, checkKeys, checkSignal, kindOf } from "../check.ts";
import type { LinkInfo } from "../kind/mod.ts";
import { Link } from "../link.ts";
import type { Source } from "../links.ts";
import { Names } from "../names.ts";
import { Program } from "../program.ts";
import { unlessRefused } from "../refusal.ts";
import type { LinkType } from "../uapi/constants.ts";
import { onAbort } from "../wait.ts";
import type { LinkEvent, LinkWatcher } from "../watch.ts";
import { checkExpected, type Described, Expectations, type ExpectedLink } from "./expected.ts";
import { type Attributes, type Instruments, type Observation, Telemetry } from "./telemetry.ts";

export { type ExpectedLink, readExpected } from "./expected.ts";
export { isTelemetryOn } from "./telemetry.ts";
export { LINK_TYPES, type LinkType } from "../uapi/constants.ts";
export type { Source } from "../links.ts";

/** What to publish, and how. */
export interface PublishOptions {
  /** The links that should be there; without a list none is missing and none is unexpected. */
  expected?: readonly ExpectedLink[] | undefined;
  /** Milliseconds between two looks; 1000 if absent. Links that come and go in between are not seen. */
  intervalMs?: number | undefined;
  /** Attributes of every metric and event, besides those of the link. */
  attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Is called for each event, within its span. What it throws ends the publication. */
  onEvent?: ((event: PublishedEvent) => void) | undefined;
  /** Ends the publication, as {@linkcode LinkPublisher.close} does. */
  signal?: AbortSignal | undefined;
}

/**
 * What happened: a link was `added` or `removed`, or `changed`; one is `unexpected`; an expected one is `missing`, or was
 * `found` again.
 */
export interface PublishedEvent {
  /** What happened. */
  kind: "added" | "removed" | "changed" | "unexpected" | "missing" | "found";
  /** The type of the link. */
  type: LinkType;
  /** The link's id; none of an expected one. */
  id?: number;
  /** Where it is attached; of an expected one as the list says. */
  place?: string;
  /** The name of its program, if it has one that may be seen; of an expected one as the list says. */
  program?: string;
  /** What of it changed. */
  what?: readonly ("program" | "attached" | "target")[];
}

/**
 * A publication, which goes on until it is closed.
 *
 * @example
 * ```ts
 * import { publishLinks } from "@bpf/link/otel";
 *
 * const publisher = publishLinks({ attributes: { team: "network" } });
 * await publisher.settled;
 * console.log(publisher.source, publisher.partial, publisher.count);
 * await publisher.close(); // what `await using` does
 * await publisher.finished;
 * ```
 */
export interface LinkPublisher extends AsyncDisposable {
  /** Where links are looked for. */
  readonly source: Source;
  /** Whether some links may be missing; then nothing is reported as missing. */
  readonly partial: boolean;
  /** How many links are published. */
  readonly count: number;
  /** Fulfilled once the first look is published, and when the publication ends before. */
  readonly settled: Promise<void>;
  /** Fulfilled once it has ended; rejects if it could not go on. */
  readonly finished: Promise<void>;
  /**
   * Looks for a last time, publishes what is new, and ends. The last counts stay, and are exported at the end of the
   * process at the latest. Twice does nothing.
   */
  close(): Promise<void>;
}

/**
 * Publishes the links of this machine, as metrics and events, until it is closed.
 *
 * It leaves out the iterators with which this package looks for links, those of other processes too. Where telemetry is
 * off nothing is exported, and the rest works as it does otherwise. Since Linux 5.10. CAP_BPF and CAP_PERFMON show all
 * links (before Linux 5.19 it takes CAP_SYS_ADMIN); without, it is `partial`.
 *
 * @param options What to publish, and how.
 * @returns The publication, which has already begun. It holds the process until it is closed.
 * @throws {TypeError} If an option is none of these, or another publication of this process goes on: Deno would add up
 * both.
 * @throws {RangeError} If `intervalMs` is no number of milliseconds.
 * @throws {BpfError} If links cannot be listed.
 *
 * @example What comes and goes, as lines
 * ```ts
 * import { publishLinks } from "@bpf/link/otel";
 *
 * await using publisher = publishLinks({ intervalMs: 100, onEvent: (event) => console.info(JSON.stringify(event)) });
 * await publisher.settled;
 * console.log(`${publisher.count} links`);
 * ```
 */
export function publishLinks(options: PublishOptions = {}): LinkPublisher {
  checkKeys(options, "options", ["expected", "intervalMs", "attributes", "onEvent", "signal"]);
  const { expected, intervalMs = 1000, attributes = {}, onEvent, signal } = options;
  if (expected !== undefined) checkExpected(expected, "options.expected");
  checkInteger(intervalMs, "options.intervalMs", 1, 0x7fffffff);
  checkAttributes(attributes);
  if (onEvent !== undefined && typeof onEvent !== "function") {
    throw new TypeError(`options.onEvent must be a function, not ${kindOf(onEvent)}`);
  }
  checkSignal(signal, "options.signal");
  signal?.throwIfAborted();
  if (current !== undefined) throw new TypeError("links are published already by this process: close that first");
  return current = new Publisher({ ...options, intervalMs, attributes: { ...attributes } });
}

/**
 * The links that there are now, as a list of expected ones: to be kept, and compared with later.
 *
 * @returns Each type, place and program once. A `*` in a place is any characters there.
 * @throws {BpfError} If links cannot be listed.
 *
 * @example
 * ```ts
 * import { expectedLinks } from "@bpf/link/otel";
 *
 * console.log(JSON.stringify(expectedLinks()));
 * ```
 */
export function expectedLinks(): ExpectedLink[] {
  const names = new Names(), found = new Map<string, ExpectedLink>();
  for (const info of Link.list()) {
    const { type, place, program } = describe(info, names);
    if (isListing(info, program)) continue;
    const link = { type, ...isPlaceTold(info) ? { place } : {}, ...program ? { program } : {} };
    found.set(JSON.stringify(link), link);
  }
  return [...found.values()];
}

function checkAttributes(attributes: unknown): void {
  if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes)) {
    throw new TypeError(`options.attributes must be an object, not ${kindOf(attributes)}`);
  }
  for (const [key, value] of Object.entries(attributes)) {
    if (!["string", "number", "boolean"].includes(typeof value)) {
      throw new TypeError(`options.attributes.${key} must be a string, a number or a boolean, not ${kindOf(value)}`);
    }
  }
}

let current: Publisher | undefined;
let telemetry: Telemetry | undefined;

/** A link as it is published. */
interface Item extends Described {
  readonly place: string;
  readonly info: LinkInfo;
  readonly attributes: Attributes;
  /** The numbers of the expected links that it is. */
  readonly matching: readonly number[];
}

const NAMES_KEPT = 10_000; // so many events, for names are of links that come and go

class Publisher implements LinkPublisher {
  readonly finished: Promise<void>;
  readonly #telemetry = telemetry ??= new Telemetry((to, instruments) => current?.observe(to, instruments));
  readonly #watcher: LinkWatcher;
  readonly #expectations: Expectations | undefined;
  readonly #attributes: Attributes;
  readonly #onEvent: PublishOptions["onEvent"];
  readonly #abort: Disposable | undefined;
  readonly #settling = Promise.withResolvers<void>();
  readonly #links = new Map<number, Item>();
  readonly #found: number[]; // links of each expected one
  readonly #missing = new Set<number>();
  #names = new Names();
  #named = 0;
  #isSettled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: { error: unknown } | undefined; // of the comparison, which a timer makes

  constructor({ expected, intervalMs, attributes = {}, onEvent, signal }: PublishOptions) {
    this.#watcher = Link.watch({ intervalMs });
    this.#expectations = expected && new Expectations(expected);
    this.#found = Array.from(expected ?? [], () => 0);
    this.#attributes = attributes;
    this.#onEvent = onEvent;
    for (const tally of [this.#telemetry.links, this.#telemetry.unexpected, this.#telemetry.missing]) tally.clear();
    this.#abort = onAbort(signal, () => this.#watcher.close());
    this.finished = this.#run();
    this.finished.catch(() => {}); // close() throws it too
  }

  get source(): Source {
    return this.#watcher.source;
  }

  get partial(): boolean {
    return this.#watcher.partial;
  }

  get count(): number {
    return this.#links.size;
  }

  get settled(): Promise<void> {
    return this.#settling.promise;
  }

  async close(): Promise<void> {
    this.#watcher.close();
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    try {
      await null; // the caller has the publisher before anything is called
      this.#watcher.settled.then(() => this.#settle());
      for await (const event of this.#watcher) {
        this.#take(event);
        if (this.#isSettled) this.#compareSoon();
      }
      this.#lookAgain();
      this.#settle();
      this.#compare();
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      clearTimeout(this.#timer);
      this.#abort?.[Symbol.dispose]();
      this.#watcher.close();
      this.#settling.resolve();
      current = undefined;
    }
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (!this.partial) {
      this.#expectations?.list.forEach((link) => this.#telemetry.missing.add(0, this.#attributesOf(link)));
    }
    this.#compareSoon();
  }

  /** What is new since the last look of the watch. */
  #lookAgain(): void {
    const infos = Link.list({ source: this.source }), ids = new Set(infos.map(({ id }) => id));
    for (const { info } of [...this.#links.values()]) if (!ids.has(info.id)) this.#take({ kind: "removed", info });
    for (const info of infos) {
      if (!this.#links.has(info.id)) this.#take({ kind: this.#isSettled ? "added" : "present", info });
    }
  }

  #take(event: LinkEvent): void {
    const info = event.kind === "changed" ? event.after : event.info;
    const before = this.#links.get(info.id);
    const after = event.kind === "removed" ? undefined : this.#item(info);
    if (after !== undefined) this.#count(after, 1);
    if (before !== undefined) this.#count(before, -1);
    if (after === undefined) this.#links.delete(info.id);
    else this.#links.set(info.id, after);
    const item = after ?? before;
    if (item === undefined) return; // it is left out
    if (event.kind === "changed") this.#report("changed", item, event.what);
    else if (event.kind !== "present") this.#report(event.kind, item);
    const isUnexpected = after !== undefined && this.#isUnexpected(after);
    if (isUnexpected && (before === undefined || !this.#isUnexpected(before))) this.#report("unexpected", after);
  }

  /** A link with its names; undefined if it is left out. */
  #item(info: LinkInfo): Item | undefined {
    if (++this.#named % NAMES_KEPT === 0) this.#names = new Names();
    const described = describe(info, this.#names);
    if (isListing(info, described.program)) return undefined;
    const compared = isPlaceTold(info) ? described : { ...described, place: undefined };
    const matching = this.#expectations?.matching(compared) ?? [];
    return { ...described, info, matching, attributes: this.#attributesOf(described) };
  }

  #isUnexpected({ matching }: Item): boolean {
    return this.#expectations !== undefined && matching.length === 0;
  }

  #count(item: Item, by: 1 | -1): void {
    this.#telemetry.links.add(by, item.attributes);
    if (this.#isUnexpected(item)) this.#telemetry.unexpected.add(by, item.attributes);
    for (const i of item.matching) this.#found[i]! += by;
  }

  /** Once all events of a look are taken: a link that replaces another comes behind the end of that. */
  #compareSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#compare();
        this.#settling.resolve();
      } catch (error) {
        this.#failure ??= { error };
        this.#watcher.close();
      }
    });
  }

  #compare(): void {
    if (this.partial) return; // what is not seen may be there
    this.#expectations?.list.forEach((link, i) => {
      const isMissing = this.#found[i] === 0;
      if (isMissing === this.#missing.has(i)) return;
      if (isMissing) this.#missing.add(i);
      else this.#missing.delete(i);
      this.#telemetry.missing.add(isMissing ? 1 : -1, this.#attributesOf(link));
      const { type, place, program } = link;
      this.#emit(
        { kind: isMissing ? "missing" : "found", type, ...place ? { place } : {}, ...program ? { program } : {} },
        this.#attributesOf(link),
      );
    });
  }

  #report(kind: PublishedEvent["kind"], { info, type, place, program, attributes }: Item, what?: LinkWhat): void {
    const event = { kind, id: info.id, type, place, ...program ? { program } : {}, ...what ? { what } : {} };
    const more = { "bpf.link.id": info.id, ...what ? { "bpf.link.changed": what } : {} };
    const programId = info.programId === undefined ? {} : { "bpf.program.id": info.programId };
    this.#emit(event, { ...attributes, ...more, ...programId });
  }

  #emit(event: PublishedEvent, attributes: Attributes): void {
    this.#telemetry.event(`bpf.link.${event.kind}`, attributes, () => this.#onEvent?.(event));
  }

  #attributesOf({ type, place, program }: ExpectedLink): Attributes {
    return {
      ...this.#attributes,
      "bpf.link.type": type,
      ...place === undefined ? {} : { "bpf.link.place": place },
      ...program ? { "bpf.program.name": program } : {},
    };
  }

  /** The counters of the kernel, when Deno exports. */
  observe(to: Observation, { runs, runTime, missed }: Instruments): void {
    const names = new Map<number, string | undefined>();
    for (const { info, program } of this.#links.values()) {
      if (info.programId !== undefined) names.set(info.programId, program);
    }
    for (const [id, name] of names) {
      const info = unlessRefused(() => {
        using program = Program.open(id);
        return program.info();
      });
      if (info?.runCount === undefined) continue; // not counted, or not to be seen
      const attributes = { ...this.#attributes, "bpf.program.id": id, ...name ? { "bpf.program.name": name } : {} };
      to.observe(runs, Number(info.runCount), attributes);
      to.observe(runTime, Number(info.runTimeNs) / 1e9, attributes);
    }
    for (const info of unlessRefused(() => Link.list({ source: this.source })) ?? []) {
      const attributes = this.#links.get(info.id)?.attributes;
      if (attributes === undefined || !("missed" in info) || info.missed === undefined) continue;
      to.observe(missed, info.missed, { ...attributes, "bpf.link.id": info.id });
    }
  }
}

type LinkWhat = Extract<LinkEvent, { kind: "changed" }>["what"];

function describe(info: LinkInfo, names: Names): Described & { place: string } {
  return { type: info.type, place: names.place(info), program: names.program(info.programId) };
}

/** Whether its place is more than its type: perf events and probes in files show theirs to CAP_SYS_ADMIN alone. */
function isPlaceTold(info: LinkInfo): boolean {
  return !("event" in info && info.event === "unknown") && !("path" in info && info.path === "");
}

/** The programs of this package that look for links, and what they walk over. */
const LISTING_PROGRAMS = ["links", "references", "programs"], LISTED = ["bpf_link", "bpf_prog"];

function isListing(info: LinkInfo, program: string | undefined): boolean {
  const isIterator = "targetName" in info && LISTED.includes(info.targetName as string);
  return isIterator && (program === undefined || LISTING_PROGRAMS.includes(program));
}
