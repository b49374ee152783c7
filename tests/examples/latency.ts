/**
 * How long a function of a program takes, as a histogram, once the seconds are over:
 * `deno run --allow-ffi latency.ts latency.bpf.o /lib/x86_64-linux-gnu/libc.so.6 getaddrinfo 10`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, path, symbol, seconds = "10"] = Deno.args;
if (file === undefined || path === undefined || symbol === undefined) {
  throw new TypeError("usage: latency.ts OBJECT EXECUTABLE FUNCTION [SECONDS]");
}
const WIDTH = 40;

using object = BpfObject.load(file);
object.attach("on_return", { path, symbol }); // first: an entry without a return would wait for ever
object.attach("on_entry", { path, symbol });
console.log(`measuring ${symbol}`);
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));

const slots: bigint[] = object.globals.slots, most = slots.reduce((a, b) => a > b ? a : b);
if (most === 0n) console.log("nobody called it");
for (const [i, count] of slots.entries()) {
  if (count === 0n) continue;
  const bar = "#".repeat(Math.ceil(Number(count) / Number(most) * WIDTH));
  console.log(`${i === 0 ? 0 : 2 ** i} to ${2 ** (i + 1) - 1} us`.padStart(24), String(count).padStart(8), bar);
}
