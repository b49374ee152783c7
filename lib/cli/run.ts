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
    "programs write into a ring buffer a line of JSON is printed: its map and the",
    "record, integers of 64 bits as strings. All is gone when the command ends.",
    "",
    "BTF does not say what a ring buffer holds. Without --events it is the struct",
    "of the map's name, or of that without its s, as `struct event` in `events`;",
    "else `struct event`; else the one struct that global variables point to.",
    "",
    ...ATTACH_HELP,
    "--no-attach NAME     load this program only, as one that others call",
    ...OBJECT_HELP,
    "--events MAP=STRUCT  what this ring buffer holds; may be repeated",
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
      await using links = await asked(() => object.attachAllAsync({ ...overrides, ...left } as Overrides));
      const { loaded, undo } = pinAll(object, [...links], values.pin as string | undefined);
      using _pins = { [Symbol.dispose]: undo };
      if (output.json) output.print(loaded, () => []);
      else tell(object, loaded.links.length, types);
      await printEvents(object, types, abort);
    } finally {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
    }
    return Status.done;
  },
};

type Overrides = Parameters<BpfObject["attachAllAsync"]>[0];

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Ring buffers by name, and the structs that their records are; `undefined` if that cannot be known. */
type Types = ReadonlyMap<string, string | undefined>;

function typesOf(object: BpfObject, words: readonly string[]): Types {
  const rings = object.maps.filter(({ type, create }) => type === "ringbuf" && create).map(({ name }) => name);
  const types = new Map(rings.map((name) => [name, object.btf && likelyType(object.btf, name)]));
  for (const text of words) {
    const [name, type] = nameAndRest(text, "--events", "MAP=STRUCT");
    if (!rings.includes(name)) {
      throw new UsageError(
        `--events: object "${object.name}" has no ring buffer "${name}"; it has ${rings.join(", ") || "none"}`,
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

/** Prints records until it is aborted; the first failure ends all. */
async function printEvents(object: BpfObject, types: Types, abort: AbortController): Promise<void> {
  const { signal } = abort;
  if (signal.aborted) return;
  const readers = [...types].flatMap(([map, type]) => type === undefined ? [] : [printOf(object, map, type, signal)]);
  const interrupted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  try {
    await Promise.race([interrupted, ...readers.map((reader) => reader.then(() => interrupted))]);
  } finally {
    abort.abort();
    await Promise.allSettled(readers);
  }
}

async function printOf(object: BpfObject, map: string, type: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const record of object.map(map).events(type, { signal })) {
      writeAll(Deno.stdout, `${jsonLine({ map, record: toJson(record as object) })}\n`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
