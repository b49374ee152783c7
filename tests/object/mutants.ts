/** Child of mutated_test.ts: opens the objects of a folder, reads all that can be read of each, and says how many it could. */
import { BpfError } from "../../lib/error.ts";
import { generateTypes } from "../../lib/object/generate.ts";
import { BpfObject } from "../../lib/object/mod.ts";

const folder = Deno.args[0]!;
/** A value of a type may be as large as its object says; this is more than any here has. */
const LARGEST = 1 << 16;
let opened = 0, refused = 0;

for (const { name } of Deno.readDirSync(folder)) {
  if (!name.endsWith(".o")) continue;
  const bytes = Deno.readFileSync(`${folder}/${name}`);
  let object;
  try {
    object = BpfObject.open(bytes);
  } catch (error) {
    expect(error, name);
    refused++;
    continue;
  }
  opened++;
  using _ = object;
  attempt(name, () => object.programs);
  attempt(name, () => object.maps);
  attempt(name, () => ({ ...object.globals }));
  attempt(name, () => readTypes(object));
  attempt(name, () => generateTypes(bytes));
}
const peak = /^VmHWM:\s+(\d+) kB/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
console.log(JSON.stringify({ opened, refused, megabytes: Number(peak[1]) / 1024 }));

/** Reads a value of zeroes of each type. */
function readTypes({ btf }: BpfObject): void {
  for (let id = 1; id < (btf?.count ?? 0); id++) {
    attempt("a type", () => {
      const codec = btf!.codec(id);
      if (codec.size <= LARGEST) codec.read(new DataView(new ArrayBuffer(codec.size)), 0);
    });
  }
}

function attempt(name: string, action: () => unknown): void {
  try {
    action();
  } catch (error) {
    expect(error, name);
  }
}

/** Errors that callers can tell; anything else ends this process. */
function expect(error: unknown, name: string): void {
  const isOurs = error instanceof BpfError || error instanceof Deno.errors.InvalidData ||
    error instanceof RangeError && !/call stack|array length/i.test(error.message);
  if (!isOurs && !(error instanceof TypeError)) throw new Error(`${name}: ${error}`, { cause: error });
}
