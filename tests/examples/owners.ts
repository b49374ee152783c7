/** Every link of the machine with its place, its program and who holds it: `deno run --allow-ffi owners.ts`. */
import { Link, Names } from "@bpf/link";

const links = Link.list(), owners = Link.holdersOf(links.map(({ id }) => id)), names = new Names();
const rows = links.map((info) => {
  const { holders, partial } = owners.get(info.id)!;
  const owner = holders.map((holder) => holder.kind === "pin" ? holder.path : `${holder.command}(${holder.pid})`);
  if (partial) owner.push("...");
  return { id: info.id, place: names.place(info), program: names.program(info.programId), owner: owner.join(" ") };
});
console.table(rows);
if (links.partial) console.log("and maybe more, which take privileges to see");
