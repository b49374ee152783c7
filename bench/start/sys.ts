import { linkGetNextId } from "../../lib/sys/mod.ts";

linkGetNextId(0);
