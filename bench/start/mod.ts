import { Link } from "../../mod.ts";

await Link.infos().next();
