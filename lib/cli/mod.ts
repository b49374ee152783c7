/**
 * The command `bpflink`: every link of the machine, who holds it and in which order programs run, and what can be done
 * about it; and a compiled object as a tool. `--allow-ffi` is the only permission that it needs.
 *
 * ```sh
 * deno run --allow-ffi jsr:@bpf/link/cli list
 * deno run --allow-ffi jsr:@bpf/link/cli --help
 * ```
 *
 * **Text** is for people: columns, cut to the width of a terminal and never in a pipe, bold headings on a terminal
 * unless `NO_COLOR` is set or `TERM` is `dumb`. On one of less than 100 columns names stand for programs, and a link's
 * type and place share the column HOOK, where there is no room for all. Control characters in names are escaped.
 *
 * **`--json`** is for programs: each command prints one object on one line, {@linkcode Answer}, and `watch` and `run`
 * one for each event. 64-bit values are strings. What the kernel does not report is absent. A failure is such an object
 * on stderr.
 *
 * **The exit status** is 0 if it is done; 1 if the kernel refuses or something fails, also if you answer no; 2 if the
 * command line is wrong; 3 if there is no such link, pin or place; 4 if there is an answer that may lack something, for
 * links, hooks, or what was asked of them could not be seen. A reader that closes the pipe ends the command with 0 when
 * it writes again: `watch` at the next event.
 *
 * Root sees all. With CAP_BPF and CAP_PERFMON all links are listed, with names of programs; CAP_NET_ADMIN adds the
 * order of programs. Without any, what processes and pins show to the caller is listed.
 *
 * ## Guide: find and remove an orphan, or whoever is behind EBUSY
 *
 * For a program that still runs though its agent is gone, and for `holds the interface in generic mode (EBUSY)`.
 * Install it once with `deno install --global --name bpflink --allow-ffi jsr:@bpf/link/cli`; then, as root:
 *
 * ```sh
 * bpflink list --device eth0 # all links at the interface: id, program, and who holds each
 * bpflink hook xdp eth0 # what runs there, in order, also what is no link
 * bpflink show 12 # all that is known of link 12, with the units, containers and scripts that hold it
 * bpflink detach 12 --yes # ends it by force, whoever holds it
 * bpflink unpin /sys/fs/bpf/old_guard # removes what the agent left behind
 * ```
 *
 * `HELD BY` says what kind it is: a path alone is a pin that nobody runs for, an orphan; a unit, a container or a
 * process is alive, so ask its owner first. `--cgroup PATH`, `--type TYPE` and `--pid PID` find links at other places,
 * `bpflink tree` shows all. In TypeScript, links that only pins hold:
 *
 * ```ts
 * import { Link, Names } from "@bpf/link";
 * import { holderName } from "@bpf/link/cli";
 *
 * const links = Link.list(), held = Link.holdersOf(links.map(({ id }) => id)), names = new Names();
 * for (const info of links) {
 *   const { holders, partial } = held.get(info.id) ?? { holders: [], partial: true };
 *   const isOrphan = !partial && holders.every(({ kind }) => kind === "pin");
 *   console.log(info.id, info.type, names.place(info), holders.map(holderName).join(" "), isOrphan ? "orphan" : "");
 * }
 * ```
 *
 * What can go wrong:
 *
 * - `detach` is refused (EOPNOTSUPP): links of types such as tracing and iter end with their last holder. End the
 *   process, and `unpin` each pin that `show` lists.
 * - `hook` shows a program without a link (`-`): it was attached by other means, and is removed by them, as
 *   `ip link set dev eth0 xdpgeneric off`.
 * - A holder is not seen from here, such as a pin in another mount namespace: `HELD BY` ends with `?`. `detach` works
 *   all the same.
 * - It comes back: somebody watches it. `bpflink watch` shows when, `show` who holds the new one.
 *
 * @module
 */
import config from "../../deno.json" with { type: "json" };
import { didYouMean, parseArguments, UsageError } from "./arguments.ts";
import { type Command, type Commands, COMMON, Output, report, Status, writeAll } from "./command.ts";

export type { LinkHolder } from "../holders.ts";
export type { Source } from "../links.ts";
export type { PublishedEvent } from "../otel/mod.ts";
export type { ProbeAnswer, TargetProbe } from "../probe.ts";
export { type Holder, holderName } from "./holder.ts";
export type { Answer, EntryRecord, HookRecord, LinkRecord, LoadedRecord, PinRecord } from "./schema.ts";

/** All of them; only what is asked for is loaded. */
const COMMANDS: { readonly [name: string]: () => Promise<Command> } = {
  list: async () => (await import("./list.ts")).list,
  show: async () => (await import("./list.ts")).show,
  tree: async () => (await import("./tree.ts")).tree,
  top: async () => (await import("./top.ts")).top,
  watch: async () => (await import("./watch.ts")).watch,
  hook: async () => (await import("./hook.ts")).hook,
  probe: async () => (await import("./probe.ts")).probe,
  detach: async () => (await import("./change.ts")).detach,
  pin: async () => (await import("./change.ts")).pin,
  unpin: async () => (await import("./change.ts")).unpin,
  update: async () => (await import("./change.ts")).update,
  load: async () => (await import("./load.ts")).load,
  run: async () => (await import("./run.ts")).run,
  gen: async () => (await import("./gen.ts")).gen,
  agent: async () => (await import("./agent.ts")).agent,
  completions: async () => (await import("./completions.ts")).completionsOf(all),
  man: async () => (await import("./man.ts")).manOf(all, config.version),
};

async function all(): Promise<Commands> {
  const commands = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => [name, await load()] as const),
  );
  return Object.fromEntries(commands);
}

/**
 * Runs a command line.
 *
 * @param args The arguments, without the name of the program.
 * @returns The exit status.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return Status.done;
    const isCommand = Object.hasOwn(COMMANDS, args[0] ?? "");
    const help = isCommand ? `bpflink help ${args[0]} lists its arguments` : "bpflink --help lists the commands";
    return report(error, args.includes("--json"), help);
  }
}

async function run([name, ...rest]: readonly string[]): Promise<number> {
  if (name === "--version") return say(`bpflink ${config.version}`);
  if (name === "--help" || name === "-h" || name === "help" && rest.length === 0) return say(...help(await all()));
  if (name === undefined) throw new UsageError("a command is missing");
  if (name === "help") return say(...helpOf(rest[0]!, await commandOf(rest[0]!)));
  const command = await commandOf(name);
  const { values, positionals } = parseArguments(rest, { ...command.options, ...COMMON });
  if (values.help) return say(...helpOf(name, command));
  const [least, most] = command.takes;
  if (positionals.length < least || positionals.length > most) {
    throw new UsageError(
      most === 0
        ? `${name} takes ${command.usage === "" ? "no arguments" : "options only"}, not "${positionals[0]}"`
        : `the arguments of ${name} are ${command.usage}`,
    );
  }
  return await command.run({ values, positionals }, new Output(values.json === true));
}

async function commandOf(name: string): Promise<Command> {
  if (Object.hasOwn(COMMANDS, name)) return await COMMANDS[name]!();
  throw new UsageError(`there is no command "${name}"${didYouMean(name, [...Object.keys(COMMANDS), "--version"])}`);
}

function say(...lines: readonly string[]): number {
  writeAll(Deno.stdout, lines.map((line) => `${line}\n`).join(""));
  return Status.done;
}

function help(commands: Commands): string[] {
  return [
    "bpflink: the eBPF links of this machine",
    "",
    "usage: bpflink COMMAND [ARGUMENT]... [--json]",
    "",
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(13)}${summary}`),
    "",
    "bpflink help COMMAND lists the arguments; bpflink --version the version.",
    "",
    "Exit status: 0 done, 1 refused or failed, 2 wrong command line,",
    "3 no such link, pin or place, 4 an answer that may lack something.",
  ];
}

function helpOf(name: string, { usage, summary, details = [] }: Command): string[] {
  return [
    `bpflink ${name}: ${summary}`,
    "",
    `usage: ${["bpflink", name, usage, "[--json]"].filter(Boolean).join(" ")}`,
    ...details.length === 0 ? [] : ["", ...details.map((line) => line && `  ${line}`)],
  ];
}

if (import.meta.main) {
  const status = await main(Deno.args);
  // While Deno 2.9 exports telemetry its exit() may wait for good, but not a process that ends by itself.
  if (Deno.args[0] === "agent") Deno.exitCode = status;
  else Deno.exit(status);
}
