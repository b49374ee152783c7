/**
 * What a USDT probe of a program or library tells, as it happens, until interrupted:
 * `deno run --allow-ffi usdt_probe.ts usdt_probe.bpf.o /usr/bin/node node http__server__request`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, path, provider, name] = Deno.args;
if (file === undefined || path === undefined || provider === undefined || name === undefined) {
  throw new TypeError("usage: usdt_probe.ts OBJECT EXECUTABLE PROVIDER NAME");
}
const interrupted = new AbortController();
Deno.addSignalListener("SIGINT", () => interrupted.abort());

using object = BpfObject.load(file);
using _probe = object.attach("on_probe", { path, provider, name });
console.log(`watching ${provider}:${name}`);
try {
  for await (const event of object.map("events").events("fired", { signal: interrupted.signal })) {
    const { pid, comm, arguments: values, count } = event;
    console.log(`${comm} (${pid}) ${values.slice(0, count).join(" ")}`);
  }
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
}
