import { Link } from "../../mod.ts";
let count = 0;
for await (const _ of Link.infos()) count++;
if (count < 10_000) throw new Error(`${count} links`);
