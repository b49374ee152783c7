/** What the tests here ask of both loaders, and of the native library by itself. */
import { BpfError } from "../../lib/error.ts";
import { BpfObject } from "../../lib/object/mod.ts";
import { programPath } from "./build.ts";

/** Lines about what was loaded, as `reference.c` prints them; or the step that failed and its errno. */
export type Report = readonly string[];

/** Why there is nothing to compare with, if there is not. */
export function whyNoReference(): string | undefined {
  return programPath("reference") === undefined ? "needs gcc and libelf-dev" : undefined;
}

/** What libbpf's own loader in C makes of an object. */
export function loadedByLibbpf(path: string, pins: string, programs: readonly string[] = []): Report {
  return reference(["load", path, pins, ...programs]);
}

/** What `BpfObject` makes of it. */
export function loadedHere(path: string, pinDirectory: string, programs?: readonly string[]): Report {
  let step = "open";
  try {
    using object = BpfObject.open(path, { pinDirectory, ...programs && { programs } });
    step = "load";
    object.load();
    const ids = [
      ...object.programs.filter(({ load }) => load).map(({ name }) => `p:${name}:${object.program(name).info().id}`),
      ...object.maps.filter(({ create }) => create).map(({ name }) => `m:${name}:${object.map(name).map.info().id}`),
    ];
    return reference(["show", ...ids]);
  } catch (error) {
    if (error instanceof BpfError) return [`failed ${step} ${error.errno}`];
    throw error;
  }
}

function reference(args: string[]): Report {
  const { code, stdout, stderr } = new Deno.Command(programPath("reference")!, { args }).outputSync();
  if (code !== 0 && code !== 3) throw new Error(`reference ended with ${code}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).split("\n").filter(Boolean);
}
