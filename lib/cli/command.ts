/** What all commands share: their arguments, their output, their exit status. */
import { printable } from "../check.ts";
import { BpfError } from "../error.ts";
import { startVariable } from "../holders.ts";
import { KINDS, type TargetType } from "../kind/mod.ts";
import { type AnyLink, Link } from "../link.ts";
import { type ListOptions, SOURCES } from "../links.ts";
import { LINK_TYPES, type LinkType } from "../uapi/constants.ts";
import { type Arguments, oneOf, type Options, UsageError } from "./arguments.ts";
import type { Answer } from "./schema.ts";
import { jsonLine, shorten } from "./table.ts";

/** Exit statuses. */
export const Status = { done: 0, failed: 1, usage: 2, nothing: 3, partial: 4 } as const;

/** There is no such thing. */
export class NothingThere extends Error {}

/** A subcommand. */
export interface Command {
  /** Its arguments, for the help. */
  readonly usage: string;
  /** What it does, in a line. */
  readonly summary: string;
  /** More lines for its own help. */
  readonly details?: readonly string[];
  /** Its options. */
  readonly options: Options;
  /** How many other arguments it takes: at least, at most. */
  readonly takes: readonly [number, number];
  /** What the first of them may be, where that can be listed. */
  readonly words?: readonly string[];
  /** Does it, and returns the exit status. */
  run(args: Arguments, output: Output): number | Promise<number>;
}

/** All of them, by name. */
export interface Commands {
  readonly [name: string]: Command;
}

/** The options that all of them have. */
export const COMMON: Options = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } };

/** Standard output. */
export class Output {
  /** Whether JSON is wanted. */
  readonly json: boolean;
  /** Whether somebody is looking. */
  readonly isTerminal: boolean = Deno.stdout.isTerminal();
  /** As TERM=dumb says, of an editor's shell. */
  readonly #isDumb: boolean = this.isTerminal && startVariable("TERM") === "dumb";

  constructor(json: boolean) {
    this.json = json;
  }

  /** Whether it is a terminal that does more than show text, and people are to look at it. */
  get isScreen(): boolean {
    return this.isTerminal && !this.json && !this.#isDumb;
  }

  /** The size of the terminal; without bounds in a pipe or a file. */
  get size(): { columns: number; rows: number } {
    if (!this.isTerminal) return { columns: Infinity, rows: Infinity };
    const { columns, rows } = Deno.consoleSize();
    return { columns: columns || 80, rows: rows || 24 }; // 0 where nobody told the terminal
  }

  /** Prints the answer: as JSON, or as lines of text. */
  print(answer: Answer | (() => Answer), text: () => readonly string[]): void {
    const json = () => jsonLine(typeof answer === "function" ? answer() : answer);
    writeAll(Deno.stdout, (this.json ? [json()] : text()).map((line) => `${line}\n`).join(""));
  }

  /** A line that stands out on a terminal, if colours are wanted. */
  highlight(line: string): string {
    return this.isTerminal && !Deno.noColor && !this.#isDumb
      ? `\x1b[1m${shorten(line, this.size.columns)}\x1b[0m`
      : line;
  }
}

/** Writes text, or throws `Deno.errors.BrokenPipe` if nobody reads it any more. */
export function writeAll(to: { writeSync(bytes: Uint8Array): number }, text: string): void {
  for (let bytes = new TextEncoder().encode(text); bytes.length > 0;) bytes = bytes.subarray(to.writeSync(bytes));
}

/** An argument that must be a number. */
export function numberFrom(text: string, name: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new UsageError(`${name} must be a number, not "${text}"`);
}

export const TYPE_HELP = "--type TYPE          links of this type; may be repeated";
export const SOURCE_HELP = "--source SOURCE      links from iterator, syscall or proc; chosen if absent";

/** Those options. */
export const TYPE_OPTION: Options[string] = { type: "string", multiple: true, values: LINK_TYPES };
export const SOURCE_OPTION: Options[string] = { type: "string", values: SOURCES };

/** What commands that look again and again have in common, and its help; `absent` is their usual interval. */
export const FOLLOW_OPTIONS: Options = { type: TYPE_OPTION, source: SOURCE_OPTION, interval: { type: "string" } };

/** The help of those. */
export function followHelp(absent: number): string[] {
  return [TYPE_HELP, SOURCE_HELP, `--interval MS        milliseconds between two looks; ${absent} if absent`];
}

/** Their interval, in milliseconds; undefined if it was not given. */
export function intervalOf({ interval }: Arguments["values"]): number | undefined {
  if (interval === undefined) return undefined;
  const ms = numberFrom(interval as string, "--interval");
  if (ms === 0) throw new UsageError("--interval must be at least 1");
  return ms;
}

/** The links that the options --type and --source choose. */
export function listOptions({ type, source }: Arguments["values"]): ListOptions {
  const types = (type as string[] | undefined)?.map(linkType);
  return { types, source: source === undefined ? undefined : oneOf(source as string, "--source", SOURCES) };
}

function linkType(word: string): LinkType {
  const isTarget = !(LINK_TYPES as readonly string[]).includes(word) && Object.hasOwn(KINDS, word);
  if (!isTarget) return oneOf(word, "--type", LINK_TYPES);
  throw new UsageError(
    `--type takes types of links: those to ${word} targets are ${KINDS[word as TargetType].linkType}`,
  );
}

/** Whether an argument is a number, and so no path and no name. */
export function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

/** The link that an argument names: by its id or by a pin. */
export function openLink(idOrPin: string): AnyLink {
  return isNumber(idOrPin) ? Link.open(numberFrom(idOrPin, "ID")) : Link.openPinned(idOrPin);
}

/** Reports a failure to stderr and returns the exit status; `help` is the command that says what would be right. */
export function report(error: unknown, json: boolean, help: string): number {
  const why = error instanceof AggregateError ? error.errors[0] : error; // of a group: what the others were undone for
  const status = statusOf(why), known = why instanceof BpfError ? why : undefined;
  // a command line has no target, only its fields
  const message = (error instanceof Error ? error.message : String(error)).replace(/\btarget\.(?=[a-z])/g, "");
  const hint = known?.hint ?? (status === Status.usage ? help : undefined);
  const { reason, code, log } = known ?? {};
  const text = json ? `${jsonLine({ error: { message, hint, reason, code, log, status } })}\n` : [
    `bpflink: ${printable(message)}`,
    ...hint === undefined ? [] : [`  hint: ${printable(hint)}`],
    ...log ? ["  log of the kernel:", ...log.trimEnd().split("\n").map((line) => `    ${printable(line)}`)] : [],
    "",
  ].join("\n");
  try {
    writeAll(Deno.stderr, text);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // the status says enough
  }
  return status;
}

function statusOf(error: unknown): number {
  if (error instanceof NothingThere || error instanceof BpfError && error.reason === "gone") return Status.nothing;
  const isUsage = error instanceof UsageError || error instanceof TypeError || error instanceof RangeError;
  return isUsage ? Status.usage : Status.failed;
}
