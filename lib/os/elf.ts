/** Functions of executables and shared libraries, by name. */
import { BpfError } from "../error.ts";
import { EINVAL, ENOENT } from "../uapi/errno.ts";
import { O_NONBLOCK } from "../uapi/linux.ts";
import { closeIfOpen, directoryOf, open, readAt } from "./files.ts";

/** Reads `length` bytes of a file from `offset`; fewer only where the file ends. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

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
    return openElf(path).functionOffsets(wanted, (file) => debugFileOf(file, path, openElf));
  } finally {
    fds.forEach(closeIfOpen);
  }
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
  // what a container lacks the machine may have
  for (const place of root === "" ? places : [...places.map((place) => root + place), ...places]) {
    try {
      const debug = openElf(place), isSame = buildId !== undefined && debug.buildId() === buildId;
      if (isSame || (buildId === undefined && debug.checksum() === link?.checksum)) return debug;
    } catch (error) {
      if (!(error instanceof BpfError)) throw error; // it is not there, or no ELF file
    }
  }
  return undefined;
}

// Files come from anybody, so all sizes are bounded, and with them time and memory; real files stay far below.
const MAX_SEGMENTS = 1170, // the kernel's own limit: 64 KiB of program headers
  MAX_LOADED = 64,
  MAX_SECTIONS = 1 << 18,
  MAX_SYMBOLS = 4 << 20,
  MAX_STRINGS = 256 << 20,
  MAX_NAME = 4096,
  MAX_SHARED = 64 << 20, // bytes by which names may be longer than the table that they share
  MAX_FOR_HINT = 32 << 20, // bytes of names in which a hint is looked for
  MAX_SMALL = 1 << 20, // bytes of sections that are small
  MAX_VERSION = 256, // bytes of a version's name
  MAX_CHECKED = 1 << 30, // bytes of which a checksum is taken
  MAX_MATCHES = 1 << 20; // what one link takes

/** Where a header has what; that of 32 bits and that of 64. */
interface Layout {
  readonly header: number;
  readonly segments: number;
  readonly sections: number;
  /** Size of a segment's header, how many; size of a section's, how many, which one has their names: 2 bytes each. */
  readonly counts: number;
  readonly segment: { readonly sizeof: number; offset: number; address: number; size: number };
  readonly section: { readonly sizeof: number; offset: number; size: number; link: number };
  readonly symbol: { readonly sizeof: number; info: number; section: number; value: number };
  word(view: DataView, at: number): number;
}
const ELF64: Layout = {
  header: 64,
  segments: 32,
  sections: 40,
  counts: 54,
  segment: { sizeof: 56, offset: 8, address: 16, size: 32 },
  section: { sizeof: 64, offset: 24, size: 32, link: 40 },
  symbol: { sizeof: 24, info: 4, section: 6, value: 8 },
  // inexact above 2 ** 53, where no file reaches
  word: (view, at) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32,
};
const ELF32: Layout = {
  header: 52,
  segments: 28,
  sections: 32,
  counts: 42,
  segment: { sizeof: 32, offset: 4, address: 8, size: 16 },
  section: { sizeof: 40, offset: 16, size: 20, link: 24 },
  symbol: { sizeof: 16, info: 12, section: 14, value: 4 },
  word: (view, at) => view.getUint32(at, true),
};

const PT_LOAD = 1,
  SHT_SYMTAB = 2,
  SHT_NOTE = 7,
  SHT_DYNSYM = 11,
  SHT_GNU_VERDEF = 0x6ffffffd,
  SHT_GNU_VERSYM = 0x6fffffff,
  NT_GNU_BUILD_ID = 3,
  STT_FUNC = 2,
  STT_GNU_IFUNC = 10,
  SHN_UNDEF = 0,
  VERSYM_HIDDEN = 0x8000;
const PIECE = 1 << 20; // bytes read at once

const utf8 = new TextEncoder(), fromUtf8 = new TextDecoder();
const EMPTY = new Uint8Array();

/** A part of the file. */
interface Part {
  readonly offset: number;
  readonly size: number;
}

/** One that is mapped into memory. */
interface Segment extends Part {
  readonly address: number;
}

interface Section extends Part {
  readonly index: number;
  readonly type: number;
  readonly name: number;
  readonly link: number;
}

/** The symbols of one table: their names, and where there are any their versions. */
interface SymbolTable {
  readonly file: ElfFile;
  readonly symbols: Section;
  readonly strings: Uint8Array;
  readonly versions?: { readonly ofSymbols: DataView; readonly names: ReadonlyMap<number, string> } | undefined;
}

/** A function that a table defines, not one that it imports. */
interface Symbol {
  readonly nameAt: number;
  readonly address: number;
  /** Its address is not its own, but that of code that chooses one of several when a process starts. */
  readonly isIndirect: boolean;
  /** A version that programs are no longer linked to. */
  readonly isOld: boolean;
  readonly version: string | undefined;
}

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

/** A little-endian ELF file, of which only headers and symbol tables are read. */
export class ElfFile {
  readonly #path: string;
  readonly #read: ReadAt;
  readonly #layout: Layout;
  readonly #segments: readonly Segment[];
  readonly #sections: DataView;
  readonly #namesOfSections: number;
  readonly #tables: readonly Section[];

  /** @param path For messages. */
  constructor(path: string, read: ReadAt) {
    this.#path = path;
    this.#read = read;
    const header = new DataView(read(0, ELF64.header).slice().buffer);
    if (header.byteLength < ELF32.header || header.getUint32(0) !== 0x7f454c46) this.#fail(EINVAL, "it is no ELF file");
    const layout = this.#layout = header.getUint8(4) === 1 ? ELF32 : ELF64;
    if (![1, 2].includes(header.getUint8(4)) || header.getUint8(5) !== 1 || header.byteLength < layout.header) {
      this.#fail(EINVAL, "it is no little-endian ELF file of 32 or 64 bits");
    }
    const count = (i: number) => header.getUint16(layout.counts + 2 * i, true);
    if (count(1) > MAX_SEGMENTS || count(0) !== layout.segment.sizeof) {
      this.#fail(EINVAL, "its program headers are malformed");
    }
    const segments = this.#bytes(layout.word(header, layout.segments), count(1) * count(0), "table of segments");
    const segment = layout.segment;
    this.#segments = starts(segments, segment.sizeof).filter((at) => segments.getUint32(at, true) === PT_LOAD)
      .map((at) => ({
        offset: layout.word(segments, at + segment.offset),
        address: layout.word(segments, at + segment.address),
        size: layout.word(segments, at + segment.size),
      }));
    if (this.#segments.length > MAX_LOADED) this.#fail(EINVAL, "it has too many segments");

    const sectionsAt = layout.word(header, layout.sections);
    if (sectionsAt !== 0 && count(2) !== layout.section.sizeof) this.#fail(EINVAL, "its section headers are malformed");
    let sectionCount = sectionsAt === 0 ? 0 : count(3);
    if (sectionsAt !== 0 && sectionCount === 0) { // it is too large for the header
      sectionCount = layout.word(this.#bytes(sectionsAt, count(2), "table of sections"), layout.section.size);
    }
    if (sectionCount > MAX_SECTIONS) this.#fail(EINVAL, "it has too many sections");
    this.#sections = this.#bytes(sectionsAt, sectionCount * layout.section.sizeof, "table of sections");
    this.#namesOfSections = count(4);
    // at most one of each, what is exported first
    this.#tables = [SHT_DYNSYM, SHT_SYMTAB].flatMap((type) => this.#sectionsOf(type).slice(0, 1));
    if (this.#tables.some(({ link }) => this.#section(link) === undefined)) {
      this.#fail(EINVAL, "its symbols have no names");
    }
  }

  /**
   * Where functions begin; see {@linkcode elfFunctionOffsets}.
   *
   * @param openDebug Opens the debug file; called only if it is needed.
   */
  functionOffsets(wanted: WantedFunctions, openDebug?: (file: ElfFile) => ElfFile | undefined): number[] {
    const tables = () => this.#symbolTables(openDebug);
    return "names" in wanted ? this.#byName(wanted.names, tables) : this.#byPattern(wanted.pattern, tables);
  }

  /** The build id, in hexadecimal digits, if the linker wrote one. */
  buildId(): string | undefined {
    for (const note of this.#sectionsOf(SHT_NOTE).slice(0, 64)) {
      if (note.size > MAX_SMALL) continue;
      const bytes = this.#bytes(note.offset, note.size, "section of notes");
      for (let at = 0; at + 12 <= note.size;) {
        const nameSize = bytes.getUint32(at, true), size = bytes.getUint32(at + 4, true);
        const valueAt = at + 12 + padded(nameSize), end = valueAt + padded(size);
        const isBuildId = bytes.getUint32(at + 8, true) === NT_GNU_BUILD_ID && nameSize === 4 &&
          bytes.getUint32(at + 12) === 0x474e5500; // "GNU"
        if (isBuildId && size > 1 && size <= 64 && valueAt + size <= note.size) {
          return new Uint8Array(bytes.buffer, valueAt, size).toHex();
        }
        at = end;
      }
    }
    return undefined;
  }

  /** The name of its debug file, and the checksum of that, if it names one. */
  debugLink(): { name: string; checksum: number } | undefined {
    const link = this.#sectionNamed(".gnu_debuglink");
    if (link === undefined || link.size <= 4 || link.size > MAX_NAME) return undefined;
    const bytes = this.#bytes(link.offset, link.size, "debug link"), name = textAt(asBytes(bytes), 0, link.size);
    const checksumAt = padded(name === undefined ? 0 : utf8.encode(name).length + 1);
    if (!name || name.includes("/") || checksumAt + 4 > link.size) return undefined;
    return { name, checksum: bytes.getUint32(checksumAt, true) };
  }

  /** The checksum of the whole file that a debug link has: CRC-32. `undefined` if it is too large. */
  checksum(): number | undefined {
    const table = Uint32Array.from({ length: 256 }, (_, byte) => {
      for (let bit = 0; bit < 8; bit++) byte = (byte & 1) === 0 ? byte >>> 1 : byte >>> 1 ^ 0xedb88320;
      return byte;
    });
    let crc = -1;
    for (let at = 0, piece; (piece = this.#read(at, PIECE)).length > 0; at += piece.length) {
      if (at > MAX_CHECKED) return undefined;
      for (let i = 0; i < piece.length; i++) crc = crc >>> 8 ^ table[(crc ^ piece[i]!) & 0xff]!;
    }
    return ~crc >>> 0;
  }

  #byName(names: readonly string[], tables: () => Iterable<SymbolTable>): number[] {
    const all = names.map((name) => new Sought(name));
    let missing = all;
    for (const table of tables()) {
      this.#find(missing, table);
      missing = missing.filter((sought) => !sought.isFound); // what a table has is not looked for in the next
      if (missing.length === 0) break;
    }
    return all.map((sought) => this.#placeOf(sought, tables));
  }

  #find(missing: readonly Sought[], table: SymbolTable): void {
    const hits = hitsIn(
      table.strings,
      suffixesOf(missing),
      () => this.#fail(EINVAL, "the names of its symbols repeat"),
    );
    if (hits.size === 0) return;
    table.file.#eachFunction(table, (symbol) => {
      for (const { sought, version, isDefault } of hits.get(symbol.nameAt) ?? []) {
        if (version !== undefined && (symbol.version !== version || (isDefault && symbol.isOld))) continue;
        const offset = this.#offsetOf(symbol.address);
        if (offset === undefined) this.#fail(EINVAL, `${sought.name} lies outside of what is loaded`);
        // a version that is asked for is as good as the default one
        const isOld = symbol.isOld && version === undefined;
        if (symbol.isIndirect) sought[isOld ? "isOldIndirect" : "isIndirect"] = true;
        else if (isOld) sought.oldPlaces.set(offset, symbol.version ?? "");
        else sought.places.add(offset);
      }
    });
  }

  #placeOf(sought: Sought, tables: () => Iterable<SymbolTable>): number {
    const { name, places, oldPlaces, isIndirect } = sought;
    const found = places.size === 0 && !isIndirect ? [...oldPlaces.keys()] : [...places];
    const [offset, ...others] = found;
    if (offset !== undefined && others.length === 0) return offset;
    if (offset === undefined && (isIndirect || sought.isOldIndirect)) {
      const plain = name.split("@", 1)[0], others = this.#namesLike(`__${plain}_*`, tables);
      return this.#fail(
        ENOENT,
        `${name} is an indirect function (IFUNC): which code runs is chosen when a process starts`,
        others.length === 0
          ? `name the code that is chosen, which debug symbols of the file know by names such as __${plain}_avx2, or ${BY_OFFSET}`
          : `name the code that is chosen, one of ${others.join(", ")}`,
      );
    }
    if (offset === undefined) {
      const [plus] = name.split("+", 1);
      const others = this.#namesLike(`${name}.*`, tables);
      const hint = others.length > 0
        ? `the compiler made ${others.join(", ")} of it`
        : plus !== name
        ? `give bytes behind ${plus} as offset`
        : this.#remedy();
      return this.#fail(ENOENT, `it has no function ${name}${this.#lacking()}`, hint);
    }
    const shown = found.slice(0, 8).map((place) => `0x${place.toString(16)}`).join(", ");
    const versions = places.size === 0
      ? [...oldPlaces.values()].slice(0, 8).map((version) => `${name}@${version}`)
      : [];
    return this.#fail(
      EINVAL,
      `it has ${found.length} functions ${name}, at ${shown}`,
      versions.length > 0 ? `name one of its versions: ${versions.join(", ")}` : BY_OFFSET,
    );
  }

  #byPattern(pattern: string, tables: () => Iterable<SymbolTable>): number[] {
    const found = new Set<number>();
    let indirect: string | undefined;
    for (const table of tables()) {
      const defaults = new Set<number>(); // names
      const old: { nameAt: number; offset: number }[] = [];
      this.#eachFit(pattern, table, ({ nameAt, address, isIndirect, isOld }, name) => {
        const offset = this.#offsetOf(address);
        if (isIndirect && !isOld) indirect ??= name();
        if (!isOld) defaults.add(nameAt);
        if (offset === undefined || isIndirect) return;
        if (isOld && !pattern.includes("@")) old.push({ nameAt, offset });
        else found.add(offset);
        if (found.size + old.length > MAX_MATCHES) {
          this.#fail(EINVAL, `more than ${MAX_MATCHES} functions match "${pattern}"`);
        }
      });
      for (const { nameAt, offset } of old) if (!defaults.has(nameAt)) found.add(offset);
    }
    if (found.size > 0) return [...found].sort((a, b) => a - b);
    return indirect === undefined
      ? this.#fail(ENOENT, `it has no function that matches "${pattern}"${this.#lacking()}`, this.#remedy())
      : this.#fail(
        ENOENT,
        `only indirect functions (IFUNC) match "${pattern}", such as ${indirect}: which code runs is chosen when a process starts`,
        `name the code that is chosen, which debug symbols of the file know, or ${BY_OFFSET}`,
      );
  }

  /** The first names of functions that fit, for a hint. */
  #namesLike(pattern: string, tables: () => Iterable<SymbolTable>): string[] {
    const found = new Set<string>();
    for (const table of tables()) {
      if (table.strings.length > MAX_FOR_HINT) continue;
      this.#eachFit(pattern, table, ({ isIndirect }, name) => {
        if (!isIndirect && found.size < 5) found.add(name());
      });
    }
    return [...found];
  }

  /** The functions whose names fit; those with a version also as `name@version`, if the pattern has an `@`. */
  #eachFit(pattern: string, table: SymbolTable, visit: (symbol: Symbol, name: () => string) => void): void {
    const { strings } = table, glob = utf8.encode(pattern), isVersioned = pattern.includes("@");
    let left = strings.length + MAX_SHARED; // names may share characters, but not without end
    table.file.#eachFunction(table, (symbol) => {
      const { nameAt } = symbol, limit = Math.min(nameAt + MAX_NAME, strings.length);
      let end = nameAt;
      while (end < limit && strings[end] !== 0) end++;
      if (end === limit) return;
      if ((left -= end - nameAt) < 0) this.#fail(EINVAL, "the names of its symbols are too long");
      const name = () => fromUtf8.decode(strings.subarray(nameAt, end));
      if (isVersioned && symbol.version !== undefined) {
        const full = `${name()}${symbol.isOld ? "@" : "@@"}${symbol.version}`, bytes = utf8.encode(full);
        if ((left -= bytes.length) < 0) this.#fail(EINVAL, "the names of its symbols are too long");
        if (globMatches(glob, bytes)) visit(symbol, () => full);
      } else if (globMatches(glob, strings, nameAt, end)) {
        // a name with a version in a table of all symbols is exported too, and was looked at there
        if (isVersioned || !strings.subarray(nameAt, end).includes(AT)) visit(symbol, name);
      }
    });
  }

  *#symbolTables(openDebug?: (file: ElfFile) => ElfFile | undefined): Generator<SymbolTable> {
    for (const table of this.#tables) yield this.#symbolTable(table);
    if (this.#tables.some(({ type }) => type === SHT_SYMTAB)) return;
    const debug = openDebug?.(this);
    if (debug === undefined) return;
    for (const table of debug.#tables) if (table.type === SHT_SYMTAB) yield debug.#symbolTable(table);
  }

  #symbolTable(symbols: Section): SymbolTable {
    const names = this.#section(symbols.link)!;
    if (symbols.size > MAX_SYMBOLS * this.#layout.symbol.sizeof || names.size > MAX_STRINGS) {
      this.#fail(EINVAL, "its symbol table is too large");
    }
    const strings = asBytes(this.#bytes(names.offset, names.size, "string table"));
    return { file: this, symbols, strings, versions: this.#versions(symbols, strings) };
  }

  #versions(symbols: Section, strings: Uint8Array): SymbolTable["versions"] {
    const ofSymbols = this.#sectionsOf(SHT_GNU_VERSYM).find(({ link }) => link === symbols.index);
    const [definitions] = this.#sectionsOf(SHT_GNU_VERDEF);
    if (ofSymbols === undefined || definitions === undefined) return undefined;
    if (ofSymbols.size > 2 * MAX_SYMBOLS || definitions.size > MAX_SMALL) {
      this.#fail(EINVAL, "its versions are malformed");
    }
    const names = new Map<number, string>(),
      view = this.#bytes(definitions.offset, definitions.size, "table of versions");
    for (let at = 0, next = 1; next > 0 && at + 20 <= view.byteLength; at += next) {
      const nameAt = at + view.getUint32(at + 12, true);
      if (nameAt + 4 > view.byteLength) break;
      const name = textAt(strings, view.getUint32(nameAt, true), MAX_VERSION);
      if (name !== undefined) names.set(view.getUint16(at + 4, true), name);
      next = view.getUint32(at + 16, true);
    }
    return { ofSymbols: this.#bytes(ofSymbols.offset, ofSymbols.size, "table of versions"), names };
  }

  #eachFunction({ symbols, strings, versions }: SymbolTable, visit: (symbol: Symbol) => void): void {
    const { symbol, word } = this.#layout, piece = Math.floor(PIECE / symbol.sizeof) * symbol.sizeof;
    for (let done = 0; done < symbols.size; done += piece) {
      const size = Math.min(piece, symbols.size - done);
      const bytes = this.#bytes(symbols.offset + done, size, "symbol table");
      for (let at = 0; at + symbol.sizeof <= size; at += symbol.sizeof) {
        const type = bytes.getUint8(at + symbol.info) & 15;
        if (type !== STT_FUNC && type !== STT_GNU_IFUNC) continue;
        if (bytes.getUint16(at + symbol.section, true) === SHN_UNDEF) continue;
        const nameAt = bytes.getUint32(at, true);
        if (nameAt >= strings.length) continue;
        const versionAt = (done + at) / symbol.sizeof * 2;
        const number = versions !== undefined && versionAt + 2 <= versions.ofSymbols.byteLength
          ? versions.ofSymbols.getUint16(versionAt, true)
          : 0;
        visit({
          nameAt,
          address: word(bytes, at + symbol.value),
          isIndirect: type === STT_GNU_IFUNC,
          isOld: (number & VERSYM_HIDDEN) !== 0,
          version: versions?.names.get(number & ~VERSYM_HIDDEN),
        });
      }
    }
  }

  #section(index: number): Section | undefined {
    const { section, word } = this.#layout, view = this.#sections, at = index * section.sizeof;
    if (at >= view.byteLength) return undefined;
    const name = view.getUint32(at, true), type = view.getUint32(at + 4, true);
    const offset = word(view, at + section.offset), size = word(view, at + section.size);
    return { index, name, type, offset, size, link: view.getUint32(at + section.link, true) };
  }

  /** Its sections of a type, or all. */
  #sectionsOf(type: number | undefined): Section[] {
    return starts(this.#sections, this.#layout.section.sizeof).flatMap((at, i) =>
      type === undefined || this.#sections.getUint32(at + 4, true) === type ? [this.#section(i)!] : []
    );
  }

  #sectionNamed(wanted: string): Section | undefined {
    const names = this.#section(this.#namesOfSections);
    if (names === undefined || names.size > MAX_SMALL) return undefined;
    const strings = asBytes(this.#bytes(names.offset, names.size, "table of sections' names"));
    return this.#sectionsOf(undefined).find(({ name }) => textAt(strings, name, wanted.length + 1) === wanted);
  }

  /** The offset in the file of what is loaded at `address`: that of its segment counts, not that of its section. */
  #offsetOf(address: number): number | undefined {
    const segment = this.#segments.find((it) => address >= it.address && address - it.address < it.size);
    const offset = segment && address - segment.address + segment.offset;
    return Number.isSafeInteger(offset) ? offset : undefined;
  }

  /** Why a function is not found, where that can be told. */
  #lacking(): string {
    if (this.#tables.some(({ type }) => type === SHT_SYMTAB)) return "";
    // a table of what is not exported, compressed with xz: its reader would be larger than this one
    const packed = this.#sectionNamed(".gnu_debugdata") === undefined
      ? ""
      : ", and its section .gnu_debugdata, which may have it, is compressed and not read";
    const known = this.#tables.length === 0
      ? ": it has no symbol table"
      : " among those that it exports; its others are stripped";
    return known + packed;
  }

  /** What to do about that. */
  #remedy(): string {
    return this.#tables.some(({ type }) => type === SHT_SYMTAB)
      ? BY_OFFSET
      : `install the file's debug symbols, or ${BY_OFFSET}`;
  }

  #bytes(offset: number, size: number, what: string): DataView<ArrayBuffer> {
    if (size > MAX_STRINGS) this.#fail(EINVAL, `its ${what} is too large`);
    const bytes = new Uint8Array(size);
    for (let done = 0; done < size;) {
      const piece = Number.isSafeInteger(offset + size)
        ? this.#read(offset + done, Math.min(PIECE, size - done))
        : EMPTY;
      if (piece.length === 0) this.#fail(EINVAL, `its ${what} lies outside of the file`);
      bytes.set(piece, done);
      done += piece.length;
    }
    return new DataView(bytes.buffer);
  }

  #fail(errno: number, meaning: string, hint?: string): never {
    const action = `Cannot find functions in "${this.#path}"`;
    throw new BpfError(errno, { action, command: "elf", reason: "invalid", meaning, hint });
  }
}

const BY_OFFSET = "name the place by its offset in the file";
const AT = "@".charCodeAt(0);

/** What each of `all` may be called in a string table. */
function suffixesOf(all: readonly Sought[]): Suffixes {
  const root: Suffixes = { before: new Map() };
  const add = (name: string, hit: Hit) => {
    let node = root;
    for (const byte of utf8.encode(name).reverse()) {
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

/** Where the entries of a table begin. */
function starts(table: DataView, size: number): number[] {
  return Array.from({ length: table.byteLength / size }, (_, i) => i * size);
}

/** Rounded up to a multiple of four. */
function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}

function asBytes(view: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer);
}

/** The text at `at` up to its NUL; `undefined` if there is none within `length` bytes. */
function textAt(strings: Uint8Array, at: number, length: number): string | undefined {
  const end = strings.subarray(at, at + length).indexOf(0);
  return end < 0 ? undefined : fromUtf8.decode(strings.subarray(at, at + end));
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
