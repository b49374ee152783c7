/** The list of links that should be there. */
import { checkKeys, checkOneOf, checkPath, checkString, kindOf, printable } from "../check.ts";
import { readTextFile } from "../os/files.ts";
import { LINK_TYPES, type LinkType } from "../uapi/constants.ts";

/**
 * A link that is expected, or several alike. In `place` and `program` a `*` stands for any characters.
 */
export interface ExpectedLink {
  /** The type of the link. */
  type: LinkType;
  /** Where it is attached, in the words of {@linkcode Names.place}, as `eth1 ingress`; anywhere if absent. */
  place?: string | undefined;
  /** The name of its program; any if absent. */
  program?: string | undefined;
}

/** What of a link is compared. */
export interface Described {
  readonly type: LinkType;
  /** `undefined` if it may not be seen. */
  readonly place: string | undefined;
  /** `undefined` if it may not be seen. */
  readonly program: string | undefined;
}

/**
 * Reads a list of expected links, which is JSON, through the native library: it needs no `--allow-read`.
 *
 * @param path The file.
 * @returns The list, for {@linkcode publishLinks}.
 * @throws {TypeError} If it is not JSON, or no such list.
 * @throws {BpfError} If the file cannot be read.
 *
 * @example
 * ```ts
 * import { readExpected } from "@bpf/link/otel";
 *
 * Deno.writeTextFileSync("/tmp/links.json", '[{ "type": "tcx", "place": "eth1 *", "program": "guard" }]');
 * console.log(readExpected("/tmp/links.json")[0]?.program); // guard
 * Deno.removeSync("/tmp/links.json");
 * ```
 */
export function readExpected(path: string | URL): ExpectedLink[] {
  const file = checkPath(path, "path"), text = readTextFile(file);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new TypeError(`${printable(file)} is not JSON: ${printable((error as Error).message)}`);
  }
  checkExpected(list, printable(file));
  return list;
}

/** Checks a list. */
export function checkExpected(list: unknown, name: string): asserts list is ExpectedLink[] {
  if (!Array.isArray(list)) throw new TypeError(`${name} must be an array of links, not ${kindOf(list)}`);
  list.forEach((link, i) => {
    const at = `${name}[${i}]`;
    checkKeys(link, at, ["type", "place", "program"]);
    checkOneOf(link.type, `${at}.type`, LINK_TYPES);
    if (link.place !== undefined) checkString(link.place, `${at}.place`);
    if (link.program !== undefined) checkString(link.program, `${at}.program`);
  });
}

/** Compares links with a list. */
export class Expectations {
  readonly list: readonly ExpectedLink[];
  readonly #patterns: readonly { readonly place?: RegExp | undefined; readonly program?: RegExp | undefined }[];

  constructor(list: readonly ExpectedLink[]) {
    this.list = list.map((link) => ({ ...link }));
    this.#patterns = list.map(({ place, program }) => ({ place: pattern(place), program: pattern(program) }));
  }

  /** The numbers of those that a link is, or may be: what may not be seen of it decides nothing. */
  matching({ type, place, program }: Described): number[] {
    return this.#patterns.flatMap((expected, i) => {
      const isOne = this.list[i]!.type === type &&
        (place === undefined || (expected.place?.test(place) ?? true)) &&
        (program === undefined || (expected.program?.test(program) ?? true));
      return isOne ? [i] : [];
    });
  }
}

function pattern(text: string | undefined): RegExp | undefined {
  return text === undefined ? undefined : new RegExp(`^${text.split("*").map(RegExp.escape).join(".*")}$`, "s");
}
