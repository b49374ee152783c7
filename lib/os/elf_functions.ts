/** Functions of executables and shared libraries, by name. */
import { BpfError } from "../error.ts";
import { decoder, encoder } from "../lazy.ts";
import { EINVAL, ENOENT } from "../uapi/errno.ts";
import { O_NONBLOCK } from "../uapi/linux.ts";
import { ElfFile, type ElfFunction, type SymbolTable } from "./elf.ts";
import { isAbsent, isNoAnswer } from "../refusal.ts";
import { closeIfOpen, directoryOf, open, readAt } from "./files.ts";

/**
 * Functions by their exact names, or all whose name fits a pattern with `*` and `?`. A name may say which version is
 * meant, as `memcpy@GLIBC_2.2.5`, or `@@` for one that must be the default; without, the default version wins.
 */
export type WantedFunctions = { readonly names: readonly string[] } | { readonly pattern: string };

/**
 * Where in the file at `path` functions begin: offsets in bytes, one for each name in their order, or for a pattern all
 * that fit, ascending. Where its symbols were stripped, a debug file of it that is installed has them.
 */
export function elfFunctionOffsets(path: string, wanted: WantedFunctions): number[] {
  const fds: number[] = [];
  const openElf = (path: string) => {
    const fd = open(path, O_NONBLOCK);
    fds.push(fd);
    return new ElfFile(path, (offset, length) => readAt(fd, path, offset, length));
  };
  try {
    return functionOffsets(openElf(path), wanted, (file) => debugFileOf(file, path, openElf));
  } finally {
    fds.forEach(closeIfOpen);
  }
}

/** The names of the functions that begin in the file at `path` at offsets, as far as it has any; exported ones are preferred. */
export function elfFunctionNames(path: string, offsets: ReadonlySet<number>): ReadonlyMap<number, string> {
  const fd = open(path, O_NONBLOCK), found = new Map<number, string>();
  try {
    const file = new ElfFile(path, (offset, length) => readAt(fd, path, offset, length));
    for (const table of file.symbolTables()) {
      const inTable = new Map<number, string>();
      file.eachFunction(table, ({ nameAt, address }) => {
        const offset = file.offsetOf(address);
        if (offset === undefined || !offsets.has(offset) || found.has(offset)) return;
        const end = table.strings.indexOf(0, nameAt);
        if (end < 0 || end - nameAt > MAX_NAME) return;
        const name = decoder().decode(table.strings.subarray(nameAt, end)), other = inTable.get(offset);
        if (other === undefined || underscores(name) < underscores(other)) inTable.set(offset, name);
      });
      for (const [offset, name] of inTable) found.set(offset, name);
    }
  } finally {
    closeIfOpen(fd);
  }
  return found;
}

/** How far a name is from that which people know: of `malloc` and `__libc_malloc` it is the former. */
function underscores(name: string): number {
  return /^_*/.exec(name)![0].length;
}

const DEBUG = "/usr/lib/debug";

/** The file with the symbols that were stripped from another, proven to be of the same build. */
function debugFileOf(file: ElfFile, path: string, openElf: (path: string) => ElfFile): ElfFile | undefined {
  const [, root = "", inside = path] = /^(\/proc\/[^/]+\/root)(\/.*)$/.exec(path) ?? [];
  const places: string[] = [];
  const buildId = file.buildId(), link = file.debugLink();
  if (buildId !== undefined) places.push(`${DEBUG}/.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`);
  if (link !== undefined) {
    const directory = directoryOf(inside);
    places.push(`${directory}/${link.name}`, `${directory}/.debug/${link.name}`, `${DEBUG}${directory}/${link.name}`);
  }
  let refusal: BpfError | undefined;
  // what a container lacks the machine may have
  for (const place of root === "" ? places : [...places.map((place) => root + place), ...places]) {
    try {
      const debug = openElf(place), isSame = buildId !== undefined && debug.buildId() === buildId;
      if (isSame || (buildId === undefined && debug.checksum() === link?.checksum)) return debug;
    } catch (error) {
      if (!(error instanceof BpfError) || isNoAnswer(error)) throw error;
      if (!isAbsent(error) && error.command !== "elf") refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal; // it may have what is looked for
  return undefined;
}

// Files come from anybody, so what is done with them is bounded; real files stay far below.
const MAX_NAME = 4096,
  MAX_SHARED = 64 << 20, // bytes by which names may be longer than the table that they share
  MAX_FOR_HINT = 32 << 20, // bytes of names in which a hint is looked for
  MAX_MATCHES = 1 << 20; // what one link takes

/** A name that is looked for, and what is found. */
class Sought {
  readonly places = new Set<number>();
  readonly oldPlaces = new Map<number, string>();
  isIndirect = false;
  isOldIndirect = false;

  constructor(readonly name: string) {}

  get isFound(): boolean {
    return this.places.size > 0 || this.isIndirect;
  }
}

/** What a name in the string table would be: `version` says which one it must have, and `isDefault` that it must not be old. */
interface Hit {
  readonly sought: Sought;
  readonly version?: string;
  readonly isDefault?: boolean;
}

/** Names, read from their ends: each string is compared with all of them in one pass. */
interface Suffixes {
  readonly before: Map<number, Suffixes>;
  hits?: Hit[];
}

/**
 * The same in a file that is open.
 *
 * @param openDebug Opens its debug file; called only if it is needed.
 */
export function functionOffsets(
  file: ElfFile,
  wanted: WantedFunctions,
  openDebug?: (file: ElfFile) => ElfFile | undefined,
): number[] {
  const search = new Search(file, openDebug);
  return "names" in wanted ? search.byName(wanted.names) : search.byPattern(wanted.pattern);
}

/** A search in one file, and in its debug file if that is needed. */
class Search {
  readonly #file: ElfFile;
  readonly #openDebug: ((file: ElfFile) => ElfFile | undefined) | undefined;

  constructor(file: ElfFile, openDebug: ((file: ElfFile) => ElfFile | undefined) | undefined) {
    this.#file = file;
    this.#openDebug = openDebug;
  }

  byName(names: readonly string[]): number[] {
    const all = names.map((name) => new Sought(name));
    let missing = all;
    for (const table of this.#tables()) {
      this.#find(missing, table);
      missing = missing.filter((sought) => !sought.isFound); // what a table has is not looked for in the next
      if (missing.length === 0) break;
    }
    return all.map((sought) => this.#placeOf(sought));
  }

  #find(missing: readonly Sought[], table: SymbolTable): void {
    const hits = hitsIn(
      table.strings,
      suffixesOf(missing),
      () => this.#file.fail(EINVAL, "the names of its symbols repeat"),
    );
    if (hits.size === 0) return;
    table.file.eachFunction(table, (symbol) => {
      for (const { sought, version, isDefault } of hits.get(symbol.nameAt) ?? []) {
        if (version !== undefined && (symbol.version !== version || (isDefault && symbol.isOld))) continue;
        const offset = this.#file.offsetOf(symbol.address);
        if (offset === undefined) this.#file.fail(EINVAL, `${sought.name} lies outside of what is loaded`);
        // a version that is asked for is as good as the default one
        const isOld = symbol.isOld && version === undefined;
        if (symbol.isIndirect) sought[isOld ? "isOldIndirect" : "isIndirect"] = true;
        else if (isOld) sought.oldPlaces.set(offset, symbol.version ?? "");
        else sought.places.add(offset);
      }
    });
  }

  #placeOf(sought: Sought): number {
    const { name, places, oldPlaces, isIndirect } = sought;
    const found = places.size === 0 && !isIndirect ? [...oldPlaces.keys()] : [...places];
    const [offset, ...others] = found;
    if (offset !== undefined && others.length === 0) return offset;
    if (offset === undefined && (isIndirect || sought.isOldIndirect)) {
      const plain = name.split("@", 1)[0], others = this.#namesLike(`__${plain}_*`);
      return this.#file.fail(
        ENOENT,
        `${name} is an indirect function (IFUNC): which code runs is chosen when a process starts`,
        others.length === 0
          ? `name the code that is chosen, which debug symbols of the file know by names such as __${plain}_avx2, or ${BY_OFFSET}`
          : `name the code that is chosen, one of ${others.join(", ")}`,
      );
    }
    if (offset === undefined) {
      const [plus] = name.split("+", 1);
      const others = this.#namesLike(`${name}.*`);
      const hint = others.length > 0
        ? `the compiler made ${others.join(", ")} of it`
        : plus !== name
        ? `give bytes behind ${plus} as offset`
        : this.#remedy();
      return this.#file.fail(ENOENT, `it has no function ${name}${this.#lacking()}`, hint);
    }
    const shown = found.slice(0, 8).map((place) => `0x${place.toString(16)}`).join(", ");
    const versions = places.size === 0
      ? [...oldPlaces.values()].slice(0, 8).map((version) => `${name}@${version}`)
      : [];
    return this.#file.fail(
      EINVAL,
      `it has ${found.length} functions ${name}, at ${shown}`,
      versions.length > 0 ? `name one of its versions: ${versions.join(", ")}` : BY_OFFSET,
    );
  }

  byPattern(pattern: string): number[] {
    const found = new Set<number>();
    let indirect: string | undefined;
    for (const table of this.#tables()) {
      const defaults = new Set<number>(); // names
      const old: { nameAt: number; offset: number }[] = [];
      this.#eachFit(pattern, table, ({ nameAt, address, isIndirect, isOld }, name) => {
        const offset = this.#file.offsetOf(address);
        if (isIndirect && !isOld) indirect ??= name();
        if (!isOld) defaults.add(nameAt);
        if (offset === undefined || isIndirect) return;
        if (isOld && !pattern.includes("@")) old.push({ nameAt, offset });
        else found.add(offset);
        if (found.size + old.length > MAX_MATCHES) {
          this.#file.fail(EINVAL, `more than ${MAX_MATCHES} functions match "${pattern}"`);
        }
      });
      for (const { nameAt, offset } of old) if (!defaults.has(nameAt)) found.add(offset);
    }
    if (found.size > 0) return [...found].sort((a, b) => a - b);
    return indirect === undefined
      ? this.#file.fail(ENOENT, `it has no function that matches "${pattern}"${this.#lacking()}`, this.#remedy())
      : this.#file.fail(
        ENOENT,
        `only indirect functions (IFUNC) match "${pattern}", such as ${indirect}: which code runs is chosen when a process starts`,
        `name the code that is chosen, which debug symbols of the file know, or ${BY_OFFSET}`,
      );
  }

  /** The first names of functions that fit, for a hint. */
  #namesLike(pattern: string): string[] {
    const found = new Set<string>();
    for (const table of this.#tables()) {
      if (table.strings.length > MAX_FOR_HINT) continue;
      this.#eachFit(pattern, table, ({ isIndirect }, name) => {
        if (!isIndirect && found.size < 5) found.add(name());
      });
    }
    return [...found];
  }

  /** The functions whose names fit; those with a version also as `name@version`, if the pattern has an `@`. */
  #eachFit(pattern: string, table: SymbolTable, visit: (symbol: ElfFunction, name: () => string) => void): void {
    const { strings } = table, glob = encoder().encode(pattern), isVersioned = pattern.includes("@");
    let left = strings.length + MAX_SHARED; // names may share characters, but not without end
    table.file.eachFunction(table, (symbol) => {
      const { nameAt } = symbol, limit = Math.min(nameAt + MAX_NAME, strings.length);
      let end = nameAt;
      while (end < limit && strings[end] !== 0) end++;
      if (end === limit) return;
      if ((left -= end - nameAt) < 0) this.#file.fail(EINVAL, "the names of its symbols are too long");
      const name = () => decoder().decode(strings.subarray(nameAt, end));
      if (isVersioned && symbol.version !== undefined) {
        const full = `${name()}${symbol.isOld ? "@" : "@@"}${symbol.version}`, bytes = encoder().encode(full);
        if ((left -= bytes.length) < 0) this.#file.fail(EINVAL, "the names of its symbols are too long");
        if (globMatches(glob, bytes)) visit(symbol, () => full);
      } else if (globMatches(glob, strings, nameAt, end)) {
        // a name with a version in a table of all symbols is exported too, and was looked at there
        if (isVersioned || !strings.subarray(nameAt, end).includes(AT)) visit(symbol, name);
      }
    });
  }

  *#tables(): Generator<SymbolTable> {
    yield* this.#file.symbolTables();
    if (this.#file.symbols !== "all") yield* this.#openDebug?.(this.#file)?.symbolTables("all symbols") ?? [];
  }

  /** Why a function is not found, where that can be told. */
  #lacking(): string {
    const { symbols, hasPackedSymbols } = this.#file;
    if (symbols === "all") return "";
    const known = symbols === "none"
      ? ": it has no symbol table"
      : " among those that it exports; its others are stripped";
    return hasPackedSymbols
      ? `${known}, and its section .gnu_debugdata, which may have it, is compressed and not read`
      : known;
  }

  /** What to do about that. */
  #remedy(): string {
    return this.#file.symbols === "all" ? BY_OFFSET : `install the file's debug symbols, or ${BY_OFFSET}`;
  }
}

const BY_OFFSET = "name the place by its offset in the file";
const AT = "@".charCodeAt(0);

/** What each of `all` may be called in a string table. */
function suffixesOf(all: readonly Sought[]): Suffixes {
  const root: Suffixes = { before: new Map() };
  const add = (name: string, hit: Hit) => {
    let node = root;
    for (const byte of encoder().encode(name).reverse()) {
      let before = node.before.get(byte);
      if (before === undefined) node.before.set(byte, before = { before: new Map() });
      node = before;
    }
    (node.hits ??= []).push(hit);
  };
  for (const sought of all) {
    add(sought.name, { sought });
    const [, name, at, version] = /^(.+?)(@@?)(.+)$/.exec(sought.name) ?? [];
    if (name === undefined) continue;
    add(name, { sought, version: version!, isDefault: at === "@@" });
    if (at === "@") add(`${name}@@${version}`, { sought }); // so the table that linkers read says it of the default
  }
  return root;
}

/** Where in a string table the names are: in one pass, however many there are, and however they overlap. */
function hitsIn(strings: Uint8Array, suffixes: Suffixes, tooMany: () => never): Map<number, Hit[]> {
  const found = new Map<number, Hit[]>();
  for (let end = 0; end < strings.length; end++) {
    if (strings[end] !== 0) continue;
    let node: Suffixes | undefined = suffixes;
    for (let at = end - 1; at >= 0 && (node = node.before.get(strings[at]!)) !== undefined; at--) {
      if (node.hits === undefined) continue;
      found.set(at, node.hits);
      if (found.size > MAX_MATCHES) tooMany();
    }
  }
  return found;
}

/**
 * Whether the name between `from` and `to` as a whole fits `pattern`, in which `*` stands for any characters and `?` for
 * one; both in UTF-8.
 */
export function globMatches(pattern: Uint8Array, name: Uint8Array, from = 0, to: number = name.length): boolean {
  let p = 0, n = from, star = -1, resume = 0;
  while (n < to) {
    if (pattern[p] === STAR) {
      star = p++;
      resume = n;
    } else if (pattern[p] === QUESTION_MARK) {
      p++;
      do n++; while (n < to && (name[n]! & 0xc0) === 0x80); // the rest of the character
    } else if (pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) { // the last star takes one more: an earlier one never needs to
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === STAR) p++;
  return p === pattern.length;
}

const STAR = "*".charCodeAt(0), QUESTION_MARK = "?".charCodeAt(0);
