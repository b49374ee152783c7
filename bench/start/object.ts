import { BpfObject } from "../../lib/object/mod.ts";

BpfObject.open(new URL(`../../.cache/objects/${Deno.build.arch}/syscalls.bpf.o`, import.meta.url)).close();
