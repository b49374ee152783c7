/** `run`: a compiled object as a tool: loaded, attached, and what it reports, until interrupted. */
import { printable } from "../check.ts";
import { toJson } from "../json.ts";
import type { BpfObject, Btf } from "../object/mod.ts";
import { UsageError } from "./arguments.ts";
import { type Command, Status, writeAll } from "./command.ts";
import {
  asked,
  ATTACH_HELP,
  loadObject,
  nameAndRest,
  OBJECT_HELP,
  OBJECT_OPTIONS,
  overridesFrom,
  pinAll,
} from "./object.ts";
import { jsonLine } from "./table.ts";

export const run: Command = {
  usage: "FILE.bpf.o [OPTION]...",
  summary: "attach a compiled object and print its events, until interrupted",
  details: [
    "Every program is attached to what its section says. For each record that",
    "programs write into a ring buffer or a perf buffer a line of JSON is printed:",
    "its map and the record, integers of 64 bits as strings; if some were lost,",
    "how many until then. All is gone when the command ends.",
    "",
    "BTF does not say what a buffer holds. Without --events it is the struct of the",
    "map's name, or of that without its s, as `struct event` in `events`; else",
    "`struct event`; else the one struct that global variables point to.",
    "",
    ...ATTACH_HELP,
    "--no-attach NAME     load this program only, as one that others call",
    ...OBJECT_HELP,
    "--events MAP=STRUCT  what this buffer holds; may be repeated",
    "--pin DIRECTORY      pin programs, maps and links there while it runs",
  ],
  options: {
    ...OBJECT_OPTIONS,
    events: { type: "string", multiple: true },
    "no-attach": { type: "string", multiple: true },
  },
  takes: [1, 1],
  async run(args, output): Promise<number> {
    const { values } = args, abort = new AbortController(), stop = () => abort.abort();
    for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
    try {
      await using object = await loadObject(args);
      const types = typesOf(object, values.events as string[] | undefined ?? []);
      const overrides = await overridesFrom(object, values.attach as string[] | undefined);
      const left = Object.fromEntries((values["no-attach"] as string[] | undefined ?? []).map((name) => [name, false]));
      // before anything is attached: without a reader a perf buffer takes no records
      await using events = new Printing(object, types, abort);
      await using links = await asked(() => object.attachAllAsync({ ...overrides, ...left } as Overrides));
      const { loaded, undo } = pinAll(object, [...links], values.pin as string | undefined);
      using _pins = { [Symbol.dispose]: undo };
      if (output.json) output.print(loaded, () => []);
      else tell(object, loaded.links.length, types);
      await events.untilAborted();
    } finally {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
    }
    return Status.done;
  },
};

type Overrides = Parameters<BpfObject["attachAllAsync"]>[0];

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Types of maps that have records. */
const BUFFERS: readonly string[] = ["ringbuf", "perf_event_array"];

/** Buffers by name, and the structs that their records are; `undefined` if that cannot be known. */
type Types = ReadonlyMap<string, string | undefined>;

function typesOf(object: BpfObject, words: readonly string[]): Types {
  const buffers = object.maps.filter(({ type, create }) => BUFFERS.includes(type) && create).map(({ name }) => name);
  const types = new Map(buffers.map((name) => [name, object.btf && likelyType(object.btf, name)]));
  for (const text of words) {
    const [name, type] = nameAndRest(text, "--events", "MAP=STRUCT");
    if (!buffers.includes(name)) {
      throw new UsageError(
        `--events: object "${object.name}" has no buffer "${name}"; it has ${buffers.join(", ") || "none"}`,
      );
    }
    if (object.btf?.find(type) === undefined) {
      throw new UsageError(`--events: object "${object.name}" has no type "${type}" in its BTF`);
    }
    types.set(name, type);
  }
  return types;
}

function likelyType(btf: Btf, map: string): string | undefined {
  const named = [map, map.replace(/s$/, ""), "event"].find((name) => btf.find(name, ["struct"]) !== undefined);
  if (named !== undefined) return named;
  const pointed = new Set<string>();
  for (let id = 1; id < btf.count; id++) {
    const { kind, sizeOrType } = btf.get(id);
    if (kind !== "var") continue;
    const pointer = btf.resolve(sizeOrType);
    if (pointer.kind !== "ptr" || pointer.sizeOrType === 0) continue;
    const { kind: what, name } = btf.resolve(pointer.sizeOrType);
    if (what === "struct" && name !== "") pointed.add(name);
  }
  return pointed.size === 1 ? [...pointed][0] : undefined;
}

/** Says on stderr what happens: stdout is for events. */
function tell(object: BpfObject, links: number, types: Types): void {
  const lines = [`${object.name}: ${links} ${links === 1 ? "link" : "links"}, until interrupted`];
  for (const [map, type] of types) {
    lines.push(
      type === undefined
        ? `records of ${map} are not shown: say what they are by --events ${map}=STRUCT`
        : `records of ${map} are struct ${type}`,
    );
  }
  writeAll(Deno.stderr, lines.map((line) => `bpflink: ${printable(line)}\n`).join(""));
}

/** Prints records until it is aborted. */
class Printing implements AsyncDisposable {
  readonly #abort: AbortController;
  readonly #readers: readonly Promise<void>[];

  constructor(object: BpfObject, types: Types, abort: AbortController) {
    this.#abort = abort;
    this.#readers = [...types].flatMap(([map, type]) =>
      type === undefined ? [] : [print(object, map, type, abort.signal)]
    );
    for (const reader of this.#readers) reader.catch(() => abort.abort()); // untilAborted() rejects then
  }

  /** Rejects with the first failure of a reader. */
  async untilAborted(): Promise<void> {
    const { signal } = this.#abort;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await Promise.all(this.#readers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#readers);
  }
}

async function print(object: BpfObject, map: string, type: string, signal: AbortSignal): Promise<void> {
  const events = object.map(map).events(type, { signal });
  let lost = 0;
  try {
    for await (const record of events) {
      if (events.lost > lost) writeAll(Deno.stdout, `${jsonLine({ map, lost: lost = events.lost })}\n`);
      writeAll(Deno.stdout, `${jsonLine({ map, record: toJson(record as object) })}\n`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
