/** `man`: the manual page, from the table of commands. */
import { type Command, type Commands, Status } from "./command.ts";

/** The command that writes it; `commands` is asked for when it runs, for it is one of them. */
export function manOf(commands: () => Promise<Commands>, version: string): Command {
  return {
    usage: "",
    summary: "write the manual page",
    details: ["bpflink man | man -l -"],
    options: {},
    takes: [0, 0],
    async run(_args, output): Promise<number> {
      const page = lines(await commands(), version);
      output.print({ page: `${page.join("\n")}\n` }, () => page);
      return Status.done;
    },
  };
}

function lines(commands: Commands, version: string): string[] {
  return [
    `.TH BPFLINK 8 "" ${text(`"bpflink ${version}"`)} "System Administration"`,
    ".SH NAME",
    text("bpflink - the eBPF links of this machine"),
    ".SH SYNOPSIS",
    ".B bpflink",
    text("COMMAND [ARGUMENT]... [--json]"),
    ".SH DESCRIPTION",
    text("Shows every link of the machine, who holds it and in which order programs run, and changes them."),
    text(
      "Root sees all; without capabilities, what processes and pins show is listed, and what is in the way is said.",
    ),
    text("--json prints an object on one line for each answer or event."),
    ".SH COMMANDS",
    ...Object.entries(commands).flatMap(([name, { usage, summary, details = [] }]) => [
      `.SS ${text(`${name} ${usage}`.trimEnd())}`,
      text(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`),
      ...details.length === 0 ? [] : [".PP", ".nf", ...details.map(text), ".fi"],
    ]),
    ".SH EXIT STATUS",
    ...["done", "refused or failed, or answered no", "wrong command line", "no such link, pin or place"].flatMap(
      status,
    ),
    ...status("an answer that may lack something", 4),
    ".SH ENVIRONMENT",
    ".TP",
    "NO_COLOR",
    text("Headings are not bold."),
    ".TP",
    "BPF_LINK_LIBRARY",
    text("The file of the native library, instead of the one that the package has."),
    ".SH SEE ALSO",
    ".BR bpf (2),",
    ".BR bpftool (8)",
  ];
}

function status(what: string, number: number): string[] {
  return [".TP", String(number), text(`${what}.`)];
}

/** Text in which nothing is a command of the typesetter. */
function text(line: string): string {
  return line.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^(?=[.'])/, "\\&");
}
