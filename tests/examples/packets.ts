/** Packets and bytes a second of an interface, until interrupted: `deno run --allow-ffi packets.ts packets.bpf.o eth0`. */
import { BpfObject } from "@bpf/link/object";

const [file, device] = Deno.args;
if (file === undefined || device === undefined) throw new TypeError("usage: packets.ts OBJECT DEVICE");

await using object = await BpfObject.loadAsync(file);
await object.attachAllAsync({ count_received: { device }, count_sent: { device } });
console.log(`counting ${device}`);

let before = { time: performance.now(), received: 0n, sent: 0n, bytes_received: 0n, bytes_sent: 0n };
await new Promise<void>((resolve) => {
  const timer = setInterval(print, 1000);
  Deno.addSignalListener("SIGINT", () => {
    clearInterval(timer);
    resolve();
  });
});

function print(): void {
  const { received, sent, bytes_received, bytes_sent } = object.globals;
  const now = { time: performance.now(), received, sent, bytes_received, bytes_sent };
  const rate = (name: Exclude<keyof typeof now, "time">) =>
    Math.round(Number(now[name] - before[name]) * 1000 / (now.time - before.time));
  console.log(`received ${rate("received")} packets/s, ${rate("bytes_received")} bytes/s`);
  console.log(`sent ${rate("sent")} packets/s, ${rate("bytes_sent")} bytes/s`);
  before = now;
}
