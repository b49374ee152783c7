/** The command line: the commands by their names, help, and what goes wrong. */
import config from "../../deno.json" with { type: "json" };
import { didYouMean, parseArguments, UsageError } from "./arguments.ts";
import { type Command, type Commands, COMMON, Output, report, Status, writeAll } from "./command.ts";

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
