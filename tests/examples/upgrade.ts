/**
 * Counts what a cgroup sends, with nobody running; started again it puts a new version of the program in the place of the
 * old one, without a gap, and the counts go on: `deno run --allow-ffi upgrade.ts upgrade.bpf.o /sys/fs/cgroup/web
 * /sys/fs/bpf/web`.
 */
import { BpfObject } from "@bpf/link/object";

const [file, cgroup, directory] = Deno.args;
if (file === undefined || cgroup === undefined || directory === undefined) {
  throw new TypeError("usage: upgrade.ts OBJECT CGROUP DIRECTORY");
}

using object = BpfObject.load(file, { maps: { sent: { pin: `${directory}/sent` } } });
using ensured = object.ensurePinned(`${directory}/count`, "count", { cgroup });
const { packets, bytes } = object.map("sent").get(0)!;
console.log(`${ensured.outcome} link ${ensured.link.id}: ${packets} packets of ${bytes} bytes until now`);
