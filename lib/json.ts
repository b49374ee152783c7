/** What the package gives, as plain JSON. */

/**
 * An info, an event, or whatever else this package gives, as plain JSON: 64-bit values as strings, as protobuf's JSON has
 * them, for they do not fit a number; handles as their infos.
 *
 * @param value A {@linkcode LinkInfo}, a {@linkcode ProgramInfo}, a {@linkcode MapInfo}, a {@linkcode LinkEvent}, ...
 * @returns The same fields, with a string for each bigint. A `Map` becomes an object.
 *
 * @example
 * ```ts
 * import { BpfMap, Link, toJson } from "@bpf/link";
 *
 * for await (const info of Link.infos()) console.log(JSON.stringify(toJson(info)));
 * for await (const info of BpfMap.infos()) console.log(JSON.stringify(toJson(info)));
 * ```
 */
export function toJson(value: object): Record<string, unknown> {
  return plain(value) as Record<string, unknown>;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON());
  const fields = value instanceof Map ? value : Object.entries(value);
  return Object.fromEntries(Array.from(fields, ([key, field]) => [key, plain(field)]));
}
