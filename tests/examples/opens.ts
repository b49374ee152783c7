/**
 * Who opens which file in a cgroup, as it happens, until interrupted:
 * `deno run --allow-ffi opens.ts opens.bpf.o /sys/fs/cgroup/web`.
 */
import { BpfObject } from "@bpf/link/object";
import { close, open } from "@bpf/link/sys";

const [file, cgroup] = Deno.args;
if (file === undefined || cgroup === undefined) throw new TypeError("usage: opens.ts OBJECT CGROUP");

using object = BpfObject.load(file);
const fd = open(cgroup);
object.map("cgroup").set(0, fd);
close(fd);
object.attach("on_open");
const events = object.map("events").events("opened");
Deno.addSignalListener("SIGINT", () => events.close());
console.log("watching");
for await (const { pid, comm, path } of events) console.log(`${comm} (${pid}) ${path}`);
if (object.globals.lost > 0n) console.error(`${object.globals.lost} were too many`);
