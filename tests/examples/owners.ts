/** Every link of the machine with its place, its program and who holds it: `deno run --allow-ffi owners.ts`. */
import { Link, Names } from "@bpf/link";
import { holderName } from "@bpf/link/cli";

const links = Link.list(), held = Link.holdersOf(links.map(({ id }) => id)), names = new Names();
const rows = links.map((info) => {
  const { holders, partial } = held.get(info.id)!;
  const owners = new Set(holders.map(holderName)); // a process may have several fds
  if (partial) owners.add("...");
  return {
    id: info.id,
    place: names.place(info),
    program: names.program(info.programId),
    owners: [...owners].join(" "),
  };
});
console.table(rows);
if (links.partial) console.log("and maybe more, which take privileges to see");
