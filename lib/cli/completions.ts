/** `completions`: what a shell needs to complete the words of a command line, from the table of commands. */
import { oneOf } from "./arguments.ts";
import { type Command, type Commands, COMMON, Status } from "./command.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** The command that writes them; `commands` is asked for when it runs, for it is one of them. */
export function completionsOf(commands: () => Promise<Commands>): Command {
  return {
    usage: "bash|zsh|fish",
    summary: "write what a shell completes this command's words by",
    details: [
      "bash: source <(bpflink completions bash)",
      "zsh:  bpflink completions zsh >~/.zfunc/_bpflink, with ~/.zfunc in fpath",
      "fish: bpflink completions fish >~/.config/fish/completions/bpflink.fish",
    ],
    options: {},
    takes: [1, 1],
    words: SHELLS,
    async run({ positionals: [shell] }, output): Promise<number> {
      const write = { bash, zsh, fish }[oneOf(shell!, "SHELL", SHELLS)];
      const all = await commands();
      const script = write(Object.entries({ ...all, help: help(all) }).map(([name, it]) => of(name, it)));
      output.print({ script: `${script.join("\n")}\n` }, () => script);
      return Status.done;
    },
  };
}

/** `help COMMAND`, which is no row of the table. */
function help(commands: Commands): Command {
  const summary = "list the arguments of a command", words = Object.keys(commands);
  return { usage: "COMMAND", summary, options: {}, takes: [0, 1], words, run: () => Status.done };
}

/** A command as shells complete it. */
interface Completed {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly {
    readonly name: string;
    readonly summary: string;
    /** What may follow: some words, or a file; undefined if nothing does. */
    readonly values: readonly string[] | "file" | undefined;
  }[];
  readonly words: readonly string[];
}

function of(name: string, { summary, options, details = [], words = [] }: Command): Completed {
  return {
    name,
    summary,
    options: Object.entries({ ...options, ...COMMON }).map(([name, { type, values = "file" }]) => ({
      name,
      summary: COMMON_SUMMARIES[name] ?? summaryIn(details, name),
      values: type === "boolean" ? undefined : values as readonly string[] | "file",
    })),
    words,
  };
}

const COMMON_SUMMARIES: Readonly<Record<string, string>> = { json: "print JSON", help: "list the arguments" };

/** What the help says of an option, on its first line. */
function summaryIn(details: readonly string[], option: string): string {
  const line = details.find((line) => line.startsWith(`--${option} `)) ?? "";
  return line.replace(/^--\S+( [A-Z]\S*)?\s+/, "").replace(/[;,].*$/, "");
}

type Shell = (commands: readonly Completed[]) => string[];

const bash: Shell = (commands) => [
  "# bpflink for bash",
  "_bpflink() {",
  '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}" words=',
  '  if [ "$COMP_CWORD" -eq 1 ]; then',
  `    words="${[...commands.map(({ name }) => name), "--help", "--version"].join(" ")}"`,
  "  else",
  '    case "${COMP_WORDS[1]} $previous" in',
  ...valueCases(commands, (values) => values === "file" ? "return ;;" : `words="${values.join(" ")}" ;;`),
  '      *) case "${COMP_WORDS[1]}" in',
  ...commands.map(({ name, options, words }) =>
    `        ${name}) words="${[...words, ...options.map(({ name }) => `--${name}`)].join(" ")}" ;;`
  ),
  "      esac ;;",
  "    esac",
  "  fi",
  '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
  "}",
  "complete -o default -F _bpflink bpflink",
];

const zsh: Shell = (commands) => [
  "#compdef bpflink",
  "_bpflink() {",
  "  local -a commands",
  "  commands=(",
  ...commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`),
  "  )",
  "  if (( CURRENT == 2 )); then _describe command commands; return; fi",
  '  case "${words[2]} ${words[CURRENT - 1]}" in',
  ...valueCases(
    commands,
    (values) => values === "file" ? "_files; return ;;" : `compadd -- ${values.join(" ")}; return ;;`,
  ),
  "  esac",
  '  case "${words[2]}" in',
  ...commands.map(({ name, options, words }) =>
    `    ${name}) compadd -- ${[...words, ...options.map(({ name }) => `--${name}`)].join(" ")} ;;`
  ),
  "  esac",
  "  _files",
  "}",
  'if [ "$funcstack[1]" = _bpflink ]; then _bpflink "$@"; else compdef _bpflink bpflink; fi',
];

/** What follows options that take a value, a line for each that takes the same. */
function valueCases(
  commands: readonly Completed[],
  action: (values: readonly string[] | "file") => string,
): string[] {
  const taking = commands.flatMap(({ name, options }) =>
    options.flatMap((option) =>
      option.values ? [{ at: `"${name} --${option.name}"`, action: action(option.values) }] : []
    )
  );
  return [...Map.groupBy(taking, ({ action }) => action)].map(([action, all]) =>
    `      ${all.map(({ at }) => at).join("|")}) ${action}`
  );
}

const fish: Shell = (commands) => [
  "# bpflink for fish",
  ...commands.flatMap(({ name, summary, options, words }) => [
    `complete -c bpflink -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ...words.length === 0 ? [] : [`complete -c bpflink ${after(name)} -f -a ${quoted(words.join(" "))}`],
    ...options.map(({ name: option, summary, values }) => {
      const value = values === undefined ? "" : values === "file" ? " -r" : ` -x -a ${quoted(values.join(" "))}`;
      return `complete -c bpflink ${after(name)} -l ${option}${value} -d ${quoted(summary)}`;
    }),
  ]),
];

function after(command: string): string {
  return `-n '__fish_seen_subcommand_from ${command}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
