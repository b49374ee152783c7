/** Global variables of an object, in the memory that its programs use. */
import { showAs } from "../handle/brand.ts";
import { toJson } from "../json.ts";
import type { Btf } from "./btf.ts";
import type { Codec } from "./codec.ts";
import type { MapRecord, ObjectHandle } from "./handle.ts";
import { noSuchName } from "./names.ts";
import { bytesCodec, codecOf } from "./values.ts";

/** A variable: where it is, and how it is read and written. */
interface Variable {
  readonly name: string;
  readonly section: string;
  get(): unknown;
  set(value: unknown): void;
}

/**
 * An object with a property for each global variable. Reading or writing one that is not there throws: own properties
 * come first, and what else is asked for goes to a prototype that refuses it.
 */
export function globalsOf(handle: ObjectHandle, btf: Btf | undefined, maps: readonly MapRecord[]): object {
  const whose = `object "${handle.name}"`, variables = btf === undefined ? [] : variablesOf(handle, btf, maps);
  const refuse = (name: string) =>
    btf === undefined
      ? new TypeError(`${whose} has no BTF, so its global variables have no names: compile it with -g`)
      : noSuchName(whose, "global variable", name, variables.map((variable) => variable.name));
  const globals: object = Object.create(
    new Proxy(Object.prototype, {
      get(target, name, receiver): unknown {
        if (name === "toJSON") return () => toJson(copy());
        // a promise is told by it, and what is no variable may be asked by any tool
        if (typeof name === "symbol" || name === "then" || name in target) return Reflect.get(target, name, receiver);
        throw refuse(name);
      },
      set(_target, name): never {
        throw refuse(String(name));
      },
    }),
  );
  for (const { name, get, set } of variables) Object.defineProperty(globals, name, { enumerable: true, get, set });
  const copy = () => ({ ...globals }); // without the prototype
  showAs(globals, () => Deno.inspect(copy(), { colors: false }));
  return Object.seal(globals);
}

/** Static variables are left out, as libbpf's skeletons do: several may have one name. */
function variablesOf(handle: ObjectHandle, btf: Btf, maps: readonly MapRecord[]): Variable[] {
  return maps.flatMap((map, index) => {
    if (!map.isSection || map.memory === 0 || map.valueType === 0) return [];
    const section = btf.get(map.valueType).name;
    return btf.variables(map.valueType).filter(({ isStatic }) => !isStatic).map(({ name, type, offset, size }) => {
      let made: { codec: Codec; bytes: Uint8Array<ArrayBuffer>; view: DataView<ArrayBuffer> } | undefined;
      const memory = () => {
        if (made !== undefined) return made;
        const known = codecOf(btf, type, `globals.${name}`), codec = known.size <= size ? known : bytesCodec(size);
        const bytes = new Uint8Array(size); // more than the type has if it ends in a flexible array
        return made = { codec, bytes, view: new DataView(bytes.buffer) };
      };
      const reading = () => `Cannot read globals.${name}`, writing = () => `Cannot write globals.${name}`;
      return {
        name,
        section,
        get(): unknown {
          handle.check(reading);
          if (map.isKconfig && !handle.isLoaded) return undefined; // libbpf asks the kernel when it loads
          const { codec, bytes, view } = memory();
          handle.readSection(index, offset, bytes);
          return codec.size === size ? codec.read(view, 0) : codec.decode(bytes);
        },
        set(value: unknown): void {
          handle.check(writing);
          if (map.isKconfig) {
            throw new TypeError(
              `${writing()}: it is the kernel's configuration; options.kconfig of open() says otherwise`,
            );
          }
          if (map.isConstant && handle.isLoaded) {
            throw new TypeError(
              `${writing()}: it is a constant (${section}) of an object that is loaded; set it with options.globals of open()`,
            );
          }
          const { codec, bytes, view } = memory(), path = `globals.${name}`;
          if (codec.size === size) codec.write(view, 0, value, path);
          else bytes.set(codec.encode(value, path, size));
          handle.writeSection(index, offset, bytes);
        },
      };
    });
  });
}
