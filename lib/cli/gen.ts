/** `gen`: the types of a compiled object as TypeScript. */
import { type Command, Status } from "./command.ts";

export const gen: Command = {
  usage: "FILE.bpf.o [TYPE]...",
  summary: "write the TypeScript types of a compiled object",
  details: [
    "Programs, maps, global variables and the structs that they are made of, for",
    "BpfObject.load<T>(): a wrong name or field then fails `deno check`. A TYPE is",
    "a struct by its name in C that no map, variable or pointer has, as that of",
    "records. BTF has no comments of the source. At run time the object's own BTF",
    "decides.",
    "",
    "bpflink gen egress.bpf.o >egress.ts",
  ],
  options: {},
  takes: [1, Infinity],
  async run({ positionals: [file, ...types] }, output): Promise<number> {
    const { generateTypes } = await import("../object/mod.ts"); // with libbpf, which only objects need
    const typescript = generateTypes(file!, types);
    output.print({ typescript }, () => typescript.trimEnd().split("\n"));
    return Status.done;
  },
};
