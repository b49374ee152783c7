/** What `/proc` reports of a link to those who may not ask the link: the lines of `fdinfo`. */
import { lazy } from "../lazy.ts";
import { type BpfLinkInfo, type KnownLinkType, TYPES } from "../sys/type/mod.ts";
import type { Fdinfo } from "../sys/type/row.ts";
import { LINK_TYPES } from "../uapi/constants.ts";

/** The info of a link from the text of its fdinfo, as far as that reports it; undefined if it does not. */
export function parseFdinfo(text: string): BpfLinkInfo | undefined {
  const lines = new Lines(text);
  if (!lines.has("link_type")) return undefined;
  const id = lines.u32("link_id"), progId = lines.u32("prog_id"), type = typeByName().get(lines.type);
  if (type !== undefined) return TYPES[type].fdinfo(lines, id, progId);
  return { type: "unknown", id, progId, typeNumber: (LINK_TYPES as readonly string[]).indexOf(lines.type) };
}

const typeByName: () => ReadonlyMap<string, KnownLinkType> = lazy(() =>
  new Map(
    (Object.keys(TYPES) as KnownLinkType[]).flatMap((type) =>
      (TYPES[type].fdinfoTypes ?? [type]).map((name) => [name, type] as const)
    ),
  )
);

class Lines implements Fdinfo {
  readonly text: string;
  readonly #values = new Map<string, string>();

  constructor(text: string) {
    this.text = text;
    // netfilter has several on one line
    for (const [, key, value] of text.matchAll(/(\w+):[\t ]+([^\t\n]*)/g)) this.#values.set(key!, value!);
  }

  get type(): string {
    return this.string("link_type");
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  string(key: string): string {
    return this.#values.get(key) ?? "";
  }

  u32(key: string): number {
    return parseInt(this.string(key)) || 0; // a name may follow the number; a path may have lines of its own, without one
  }

  u64(key: string): bigint {
    const [number = 0] = /^(0x[\da-f]+|\d+)/i.exec(this.string(key)) ?? [];
    return BigInt.asUintN(64, BigInt(number));
  }

  optional<K extends string>(key: string, as: K): { [P in K]?: bigint } {
    return (this.has(key) ? { [as]: this.u64(key) } : {}) as { [P in K]?: bigint };
  }
}
