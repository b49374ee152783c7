/** Runs a command on another kernel: `deno task vm KERNEL [--timeout SECONDS] -- COMMAND…`. */
import { runOn } from "./machine.ts";

Deno.chdir(new URL("../..", import.meta.url));

const separator = Deno.args.indexOf("--");
const [series, option, seconds = "600", ...rest] = Deno.args.slice(0, separator < 0 ? 0 : separator);
const command = Deno.args.slice(separator + 1);
if (series === undefined || command.length === 0 || rest.length > 0 || ![undefined, "--timeout"].includes(option)) {
  console.error("usage: deno task vm KERNEL [--timeout SECONDS] -- COMMAND…");
  Deno.exit(125);
}
const { status, console: log } = await runOn(series, command, Number(seconds));
if (status === undefined) console.error(log);
Deno.exit(status ?? 125);
