/** `load`: a compiled object into the kernel, and pins of what came of it. */
import type { AnyLink } from "../link.ts";
import { UsageError } from "./arguments.ts";
import { type Command, Status } from "./command.ts";
import {
  asked,
  ATTACH_HELP,
  loadObject,
  OBJECT_HELP,
  OBJECT_OPTIONS,
  overridesFrom,
  pinAll,
  rowsOf,
} from "./object.ts";
import { columns } from "./table.ts";

export const load: Command = {
  usage: "FILE.bpf.o [--pin DIRECTORY] [OPTION]...",
  summary: "load a compiled object, and pin what came of it",
  details: [
    "Programs, maps and links outlive the command by their pins: programs/NAME,",
    "maps/NAME and links/NAME in DIRECTORY, with _ for a dot. Without --pin it",
    "tells whether this kernel takes the object, and nothing is left.",
    "",
    "--pin DIRECTORY      a directory on a bpf file system, made if it is missing",
    ...OBJECT_HELP,
    ...ATTACH_HELP,
    "--attach-all         attach every program, with what --attach says of them",
  ],
  options: { ...OBJECT_OPTIONS, "attach-all": { type: "boolean" } },
  takes: [1, 1],
  async run(args, output): Promise<number> {
    const directory = args.values.pin as string | undefined, words = args.values.attach as string[] | undefined;
    const isAll = args.values["attach-all"] === true;
    if (directory === undefined && (isAll || words !== undefined)) {
      throw new UsageError("links end with the command: give --pin DIRECTORY too, or use `bpflink run`");
    }
    await using object = await loadObject(args);
    const overrides = await overridesFrom(object, words);
    const links: AnyLink[] = [];
    await asked(async () => {
      if (isAll) links.push(...await object.attachAllAsync(overrides));
      else for (const [name, each] of Object.entries(overrides)) links.push(await object.attachAsync(name, each));
    });
    const { loaded } = pinAll(object, links, directory);
    output.print(loaded, () => [
      ...columns(rowsOf(loaded), output.size.columns),
      ...directory === undefined ? ["Nothing is left of it: pin it by --pin DIRECTORY."] : [],
    ]);
    return Status.done;
  },
};
