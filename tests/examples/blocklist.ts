/**
 * An XDP block list that is changed while it runs, by lines of the input: `+10.0.0.0/8` blocks, `-10.0.0.0/8` does so no
 * longer, an empty line lists, `reload` puts in the program as it is compiled by now, without a gap and with the same
 * list; the end of the input ends all: `deno run --allow-ffi blocklist.ts blocklist.bpf.o eth0`.
 */
import { stdin } from "node:process";
import { createInterface } from "node:readline";
import { Link } from "@bpf/link";
import { BpfObject } from "@bpf/link/object";

const [file, device] = Deno.args;
if (file === undefined || device === undefined) throw new TypeError("usage: blocklist.ts OBJECT DEVICE");
let object = BpfObject.load(file);
await using link = await Link.attachAsync(object.program("filter"), { type: "xdp", device }); // outlives the object
console.log(`filtering ${device}`);
for await (const line of createInterface({ input: stdin })) {
  try {
    console.log(obey(line));
  } catch (error) {
    console.error(error); // all is as it was
  }
}

function obey(line: string): string {
  const blocked = object.map("blocked");
  if (line === "reload") {
    const next = BpfObject.load(file!, { maps: { blocked: { reuse: blocked } } });
    link.update(next.program("filter"), { expected: object.program("filter") });
    object.close();
    object = next;
  } else if (line !== "") {
    const [, sign, address = "", bits = "32"] = /^([+-])(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/.exec(line) ?? [];
    if (sign === undefined) throw new TypeError(`not +ADDRESS[/BITS], -ADDRESS[/BITS] or reload: ${line}`);
    const network = { bits: Number(bits), address: Uint8Array.from(address.split("."), Number) };
    if (sign === "+") blocked.set(network, 0n);
    else blocked.delete(network);
  } else for (const [{ bits, address }, count] of blocked) console.log(`${address.join(".")}/${bits} dropped ${count}`);
  return line === "" ? `passed ${object.globals.passed}` : `done: ${line}`;
}
