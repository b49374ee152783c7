/**
 * An XDP block list that is changed while it runs, by lines of the input: `+10.0.0.0/8` blocks, `-10.0.0.0/8` does so no
 * longer, an empty line lists; its end ends all: `deno run --allow-ffi blocklist.ts blocklist.bpf.o eth0`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, device] = Deno.args;
if (file === undefined || device === undefined) throw new TypeError("usage: blocklist.ts OBJECT DEVICE");

using object = BpfObject.load(file);
object.attach("filter", { device });
const blocked = object.map("blocked");
console.log(`filtering ${device}`);

let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  lines.forEach(obey);
}

function obey(line: string): void {
  if (line === "") return list();
  const [, sign, address = "", bits = "32"] = /^([+-])(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/.exec(line) ?? [];
  if (sign === undefined) return console.error(`not +ADDRESS[/BITS] or -ADDRESS[/BITS]: ${line}`);
  const network = { bits: Number(bits), address: Uint8Array.from(address.split("."), Number) };
  if (sign === "+") blocked.set(network, 0n);
  else blocked.delete(network);
  console.log(`${sign === "+" ? "blocked" : "free"} ${address}/${bits}`);
}

function list(): void {
  for (const [{ bits, address }, dropped] of blocked) console.log(`${address.join(".")}/${bits} dropped ${dropped}`);
  console.log(`passed ${object.globals.passed}`);
}
