/**
 * Lets a cgroup, with those below it, send so many bytes a second and drops the rest, until interrupted:
 * `deno run --allow-ffi quota.ts quota.bpf.o /sys/fs/cgroup/web 100000`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, cgroup, bytes, seconds = "1"] = Deno.args;
if (bytes === undefined) throw new TypeError("usage: quota.ts OBJECT CGROUP BYTES [SECONDS]");

using object = BpfObject.load(file!, { globals: { quota: BigInt(bytes) } });
object.attach("spend", { cgroup });
console.log(`limiting ${cgroup}`);
await new Promise<void>((resolve) => {
  const timer = setInterval(renew, Number(seconds) * 1000);
  Deno.addSignalListener("SIGINT", () => {
    clearInterval(timer);
    resolve();
  });
});

/** What is sent meanwhile may be given for nothing. */
function renew(): void {
  const { sent, dropped } = object.globals;
  object.globals.sent = 0n;
  if (sent > 0n || dropped > 0n) console.log(`sent ${sent} bytes, dropped ${dropped} until now`);
}
