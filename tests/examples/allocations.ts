/**
 * How much memory a command asks malloc for, call by call:
 * `deno run --allow-ffi --allow-run allocations.ts allocations.bpf.o ls -l`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, ...command] = Deno.args;
if (file === undefined || command.length === 0) throw new TypeError("usage: allocations.ts OBJECT COMMAND...");

// A shell that becomes the command when it gets a line: by then its calls are counted, from the first one.
const args = ["-c", 'read -r _ && exec "$@"', "sh", ...command];
const child = new Deno.Command("sh", { args, stdin: "piped" }).spawn();
using object = BpfObject.load(file, { globals: { only_pid: child.pid } });
object.attach("on_malloc"); // in every process, for this one may not have loaded the library yet
const input = child.stdin.getWriter();
await input.write(new TextEncoder().encode("\n"));
await input.close();
const { code } = await child.status;

for (const [power, count] of object.globals.calls.entries()) {
  if (count > 0n) console.log(`from ${2 ** power} bytes: ${count}`);
}
Deno.exitCode = code;
