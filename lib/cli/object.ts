/** What `load` and `run` share: an object, its variables, what its programs are attached to, pins. */
import { printable } from "../check.ts";
import type { AnyLink } from "../link.ts";
import { FullNames } from "../full_names.ts";
import type { AttachOverrides, BpfObject } from "../object/mod.ts";
import { type Arguments, didYouMean, type Options, UsageError } from "./arguments.ts";
import { named, toRecord } from "./item.ts";
import type { LinkRecord, LoadedRecord } from "./schema.ts";

/** The options of both. */
export const OBJECT_OPTIONS: Options = {
  program: { type: "string", multiple: true },
  set: { type: "string", multiple: true },
  attach: { type: "string", multiple: true },
  pin: { type: "string" },
};

export const OBJECT_HELP: readonly string[] = [
  "--program NAME       load this program; may be repeated. All but those whose",
  "                     section begins with ? if absent",
  "--set NAME=VALUE     a global variable before the object is loaded: a number,",
  "                     true, text, a name, or JSON of a struct or an array",
];

export const ATTACH_HELP: readonly string[] = [
  "--attach NAME=TARGET what a program's section leaves open, or otherwise: an",
  "                     interface, the directory of a cgroup, what would follow",
  "                     the slash of the section (/usr/bin/bash:readline); or",
  "                     FIELD=VALUE,FIELD=VALUE or JSON as object.attach() has it",
];

/** An object that is loaded as the command line says. */
export async function loadObject({ values, positionals }: Arguments): Promise<BpfObject> {
  const { BpfObject } = await import("../object/mod.ts"); // with libbpf, which no other command needs
  const object = BpfObject.open(positionals[0]!, {
    ...values.program === undefined ? {} : { programs: values.program as string[] },
  });
  try {
    for (const text of values.set as string[] | undefined ?? []) setGlobal(object, text);
    await object.loadAsync();
  } catch (error) {
    object.close();
    throw error;
  }
  return object;
}

function setGlobal(object: BpfObject, text: string): void {
  const [name, value] = nameAndRest(text, "--set", "NAME=VALUE");
  const globals = object.globals as Record<string, unknown>;
  try {
    globals[name] = fitted(value, globals[name]);
  } catch (error) {
    throw error instanceof SyntaxError ? new UsageError(`--set ${name}: "${value}" is no value for it`) : error;
  }
}

/** A word as a value of the kind that is there. */
function fitted(word: string, like: unknown): unknown {
  switch (typeof like) {
    case "bigint":
      return BigInt(word); // a SyntaxError if it is none
    case "number":
      return word.trim() !== "" && Number.isFinite(Number(word)) ? Number(word) : word; // or the name of an enum
    case "boolean":
      return word === "true" || word === "1" ? true : word === "false" || word === "0" ? false : word;
    case "object":
      return fittedJson(JSON.parse(word), like);
    default:
      return word;
  }
}

/** The same for what JSON has, which knows no integers of 64 bits and no bytes. */
function fittedJson(value: unknown, like: unknown): unknown {
  if (like instanceof Uint8Array) return Array.isArray(value) ? Uint8Array.from(value as number[]) : value;
  if (Array.isArray(like)) return Array.isArray(value) ? value.map((each) => fittedJson(each, like[0])) : value;
  if (typeof like === "bigint") {
    return typeof value === "number" && Number.isSafeInteger(value) || typeof value === "string"
      ? BigInt(value)
      : value;
  }
  if (typeof like !== "object" || like === null || typeof value !== "object" || value === null) return value;
  const fields = like as Record<string, unknown>;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fittedJson(each, fields[key])]));
}

/** Overrides by the names of programs, from the option --attach. */
export async function overridesFrom(
  object: BpfObject,
  words: readonly string[] = [],
): Promise<Record<string, AttachOverrides>> {
  const { overridesFromWords } = await import("../object/mod.ts");
  return Object.fromEntries(words.map((text) => {
    const [name, target] = nameAndRest(text, "--attach", "NAME=TARGET");
    const program = object.programs.find((program) => program.name === name);
    if (program !== undefined) return [name, overridesFromWords(program, target)];
    const names = object.programs.map((program) => program.name);
    throw new UsageError(`object "${object.name}" has no program "${name}"${didYouMean(name, names)}`);
  }));
}

/** What `attach` does; what a section leaves open is asked for in the words of a command line. */
export async function asked<T>(attach: () => Promise<T>): Promise<T> {
  const { LeftOpenError } = await import("../object/mod.ts");
  try {
    return await attach();
  } catch (error) {
    if (!(error instanceof LeftOpenError)) throw error;
    const { program: { name, section }, fields } = error;
    const target = fields.map((field) => fields.length === 1 ? field.toUpperCase() : `${field}=...`).join(",");
    throw new UsageError(
      `SEC("${section}") of program "${name}" leaves open its ${fields.join(" and ")}: --attach ${name}=${target}`,
    );
  }
}

/** Splits at the first `=`. */
export function nameAndRest(text: string, option: string, form: string): [name: string, rest: string] {
  const at = text.indexOf("=");
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${option} takes ${form}, not "${text}"`);
}

/** What was loaded of an object, in its order, and what it is attached to. */
export interface Loaded {
  readonly programs: LoadedRecord[];
  readonly maps: LoadedRecord[];
  readonly links: LinkRecord[];
}

/** Pins all of it below a directory if one is given: all or nothing. `undo` removes what was pinned. */
export function pinAll(
  object: BpfObject,
  links: readonly AnyLink[],
  directory: string | undefined,
): { loaded: Loaded; undo: () => void } {
  const pinned: { unpin(): void }[] = [];
  const undo = () => pinned.splice(0).reverse().forEach((each) => each.unpin());
  /** A name on a bpf file system, which has no dots. */
  const pin = (handle: Pinnable, kind: string, name: string): { pin?: string } => {
    if (directory === undefined) return {};
    const path = `${directory}/${kind}/${name.replaceAll(".", "_")}`;
    handle.pin(path, { makeDirectories: true });
    pinned.push(handle);
    return { pin: path };
  };
  try {
    const programs = object.programs.filter(({ load }) => load).map(({ name, type, section }) => {
      const program = object.program(name);
      return { name, type, section, id: program.id, ...pin(program, "programs", name) };
    });
    const maps = object.maps.filter(({ create }) => create).map(({ name, type }) => {
      const { map } = object.map(name);
      return { name, type, id: map.id, ...pin(map, "maps", name) };
    });
    const names = new FullNames();
    const records = links.map((link) => {
      const record = toRecord(named(link.info(), names));
      const name = programs.find(({ id }) => id === record.programId)?.name ?? `${record.type}_${record.id}`;
      return { ...record, ...pin(link, "links", name) };
    });
    return { loaded: { programs, maps, links: records }, undo };
  } catch (error) {
    undo();
    throw error;
  }
}

interface Pinnable {
  pin(path: string, options: { makeDirectories: boolean }): void;
  unpin(): void;
}

/** The rows of a table. */
export function rowsOf({ programs, maps, links }: Loaded): string[][] {
  const row = (kind: string, { id, name, type, section = "", pin = "-" }: LoadedRecord) =>
    [kind, `${id}`, name, type, section, pin].map(printable);
  return [
    ["", "ID", "NAME", "TYPE", "SECTION", "PIN"],
    ...programs.map((it) => row("program", it)),
    ...maps.map((it) => row("map", it)),
    ...links.map((link) => row("link", { ...link, name: link.programName ?? "" } as LoadedRecord)),
  ];
}
