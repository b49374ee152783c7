/**
 * Keeps a cgroup from connecting to a port, and puts the program back when somebody detaches it or puts another in its
 * place, until interrupted: `deno run --allow-ffi watchdog.ts watchdog.bpf.o /sys/fs/cgroup/web 25`.
 */
import { Link } from "@bpf/link";
import { BpfObject } from "@bpf/link/object";

const [file, cgroup, port] = Deno.args;
if (file === undefined || cgroup === undefined) throw new TypeError("usage: watchdog.ts OBJECT CGROUP [PORT]");

using object = BpfObject.load(file, { globals: { port: Number(port ?? 25) } });
const guard = object.program("guard");
let link = object.attach("guard", { type: "cgroup", cgroup });
const watcher = Link.watch({ types: ["cgroup"], intervalMs: 20 });
Deno.addSignalListener("SIGINT", () => watcher.close());
console.log(`guarding with link ${link.id}`);

for await (const event of watcher) {
  if (event.kind !== "changed" || event.after.id !== link.id) continue;
  if (event.what.includes("attached")) {
    link.close();
    link = object.attach("guard", { type: "cgroup", cgroup });
    console.log(`link ${event.after.id} was detached: attached as ${link.id}`);
  } else if (event.after.programId !== guard.id) {
    link.update(guard);
    console.log(`link ${link.id} held program ${event.after.programId}: updated`);
  }
}
console.log(`refused ${object.globals.refused}`);
