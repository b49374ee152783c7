/**
 * One server for a range of ports, whose connections within the machine do not pass the network stack: it listens at
 * FIRST, and answers each line with the port that the client asked for, until interrupted:
 * `deno run --allow-ffi --allow-net redirect.ts redirect.bpf.o /sys/fs/cgroup/web 7000 7999`. Both ends are in the cgroup.
 */
import { BpfObject } from "@bpf/link/object";

const [file, cgroup, first, last] = Deno.args;
if (file === undefined || cgroup === undefined || first === undefined || last === undefined) {
  throw new TypeError("usage: redirect.ts OBJECT CGROUP FIRST LAST");
}

using object = BpfObject.load(file, { globals: { first: Number(first), last: Number(last) } });
using _links = object.attachAll({ remember: { cgroup }, shortcut: { map: "peers" } });
using server = Deno.listen({ hostname: "127.0.0.1", port: Number(first) });
Deno.addSignalListener("SIGINT", () => server.close());
console.log(`serving ${first} to ${last}`);

for await (const connection of server) {
  const { port } = connection.localAddr as Deno.NetAddr;
  answer(connection, port).catch((error) => console.error(error));
}
const { steered, redirected } = object.globals;
console.log(`steered ${steered}, redirected ${redirected}`);

async function answer(connection: Deno.Conn, port: number): Promise<void> {
  using _connection = connection;
  const bytes = new Uint8Array(1000);
  while (await connection.read(bytes) !== null) await connection.write(new TextEncoder().encode(`${port}\n`));
}
