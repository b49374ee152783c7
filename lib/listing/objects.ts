/** Every program or every map by its id: there is no better source than that which takes CAP_SYS_ADMIN. */
import { checkKeys, checkSignal, kindOf } from "../check.ts";
import { closeIfOpen } from "../os/files.ts";
import { unlessGone } from "../refusal.ts";

/** What to list of programs or maps. */
export interface ObjectListOptions<T extends string> {
  /** Only those of these types; all if absent. */
  types?: readonly T[] | undefined;
  /** Ends the listing: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** The calls for one kind of object. */
interface Calls<I> {
  nextId(id: number): number | undefined;
  open(id: number): number;
  read(fd: number): I;
}

/** Their infos, in the order of their ids. Those that end on the way are left out; none is held between two steps. */
export function listObjects<I extends { readonly type: string }, T extends string>(
  options: ObjectListOptions<T>,
  checkType: (type: unknown, name: string) => unknown,
  calls: Calls<I>,
): AsyncGenerator<I, void, void> {
  checkKeys(options, "options", ["types", "signal"]);
  const { types, signal } = options;
  if (types !== undefined && !Array.isArray(types)) {
    throw new TypeError(`options.types must be an array, not ${kindOf(types)}`);
  }
  types?.forEach((type, i) => checkType(type, `options.types[${i}]`));
  checkSignal(signal, "options.signal");
  return walk(calls, types as readonly string[] | undefined, signal);
}

async function* walk<I extends { readonly type: string }>(
  { nextId, open, read }: Calls<I>,
  types: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<I, void, void> {
  for (let last = 0;;) {
    signal?.throwIfAborted();
    const id = nextId(last);
    if (id === undefined) return;
    last = id;
    const info = unlessGone(() => {
      const fd = open(id);
      try {
        return read(fd);
      } finally {
        closeIfOpen(fd);
      }
    });
    if (info !== undefined && (types === undefined || types.includes(info.type))) yield info;
  }
}
