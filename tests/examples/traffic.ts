/**
 * Bytes of each process and connection of a cgroup, every second until interrupted. Sockets count that are made from now
 * on: `deno run --allow-ffi traffic.ts traffic.bpf.o /sys/fs/cgroup/web`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, cgroup, seconds = "1"] = Deno.args;
if (file === undefined || cgroup === undefined) throw new TypeError("usage: traffic.ts OBJECT CGROUP [SECONDS]");

using object = BpfObject.load(file);
for (const { name } of object.programs) object.attach(name, { cgroup });
console.log("watching");
await new Promise<void>((resolve) => {
  const timer = setInterval(print, Number(seconds) * 1000);
  Deno.addSignalListener("SIGINT", () => {
    clearInterval(timer);
    resolve();
  });
});

function print(): void {
  for (const [{ pid, address, port, protocol }, { comm, sent, received }] of object.map("connections")) {
    const ip = [24, 16, 8, 0].map((shift) => address >>> shift & 0xff).join(".");
    console.log(`${comm} (${pid}) ${protocol === 6 ? "tcp" : "udp"} ${ip}:${port} sent ${sent} received ${received}`);
  }
}
