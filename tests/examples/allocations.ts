/**
 * How much memory a command asks malloc for, call by call:
 * `deno run --allow-ffi --allow-run allocations.ts allocations.bpf.o ls -l`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, ...command] = Deno.args;
if (file === undefined || command.length === 0) throw new TypeError("usage: allocations.ts OBJECT COMMAND...");

using object = BpfObject.load(file);
// A shell that becomes the command when it gets a line: by then its calls are counted, from the first one.
const args = ["-c", 'read -r _ && exec "$@"', "sh", ...command];
const child = new Deno.Command("sh", { args, stdin: "piped" }).spawn();
object.attach("on_malloc", { pid: child.pid });
const input = child.stdin.getWriter();
await input.write(new TextEncoder().encode("\n"));
await input.close();
const { code } = await child.status;

for (const [power, count] of object.globals.calls.entries()) {
  if (count > 0n) console.log(`from ${2 ** power} bytes: ${count}`);
}
Deno.exitCode = code;
