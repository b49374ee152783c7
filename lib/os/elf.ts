/** What ELF files have: executables, shared libraries, debug files. */
import { BpfError } from "../error.ts";
import { decoder, encoder } from "../lazy.ts";
import { EINVAL } from "../uapi/errno.ts";

/** Reads `length` bytes of a file from `offset`; fewer only where the file ends. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

// Files come from anybody, so all sizes are bounded, and with them time and memory; real files stay far below.
const MAX_SEGMENTS = 1170, // the kernel's own limit: 64 KiB of program headers
  MAX_LOADED = 64,
  MAX_SECTIONS = 1 << 18,
  MAX_SYMBOLS = 4 << 20,
  MAX_STRINGS = 256 << 20,
  MAX_NAME = 4096,
  MAX_SMALL = 1 << 20, // bytes of sections that are small
  MAX_VERSION = 256, // bytes of a version's name
  MAX_CHECKED = 1 << 30; // bytes of which a checksum is taken

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
export interface SymbolTable {
  readonly file: ElfFile;
  readonly symbols: Section;
  readonly strings: Uint8Array;
  readonly versions?: { readonly ofSymbols: DataView; readonly names: ReadonlyMap<number, string> } | undefined;
}

/** A function that a table defines, not one that it imports. */
export interface ElfFunction {
  readonly nameAt: number;
  readonly address: number;
  /** Its address is not its own, but that of code that chooses one of several when a process starts. */
  readonly isIndirect: boolean;
  /** A version that programs are no longer linked to. */
  readonly isOld: boolean;
  readonly version: string | undefined;
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
    if (header.byteLength < ELF32.header || header.getUint32(0) !== 0x7f454c46) this.fail(EINVAL, "it is no ELF file");
    const layout = this.#layout = header.getUint8(4) === 1 ? ELF32 : ELF64;
    if (![1, 2].includes(header.getUint8(4)) || header.getUint8(5) !== 1 || header.byteLength < layout.header) {
      this.fail(EINVAL, "it is no little-endian ELF file of 32 or 64 bits");
    }
    const count = (i: number) => header.getUint16(layout.counts + 2 * i, true);
    if (count(1) > MAX_SEGMENTS || count(0) !== layout.segment.sizeof) {
      this.fail(EINVAL, "its program headers are malformed");
    }
    const segments = this.#bytes(layout.word(header, layout.segments), count(1) * count(0), "table of segments");
    const segment = layout.segment;
    this.#segments = starts(segments, segment.sizeof).filter((at) => segments.getUint32(at, true) === PT_LOAD)
      .map((at) => ({
        offset: layout.word(segments, at + segment.offset),
        address: layout.word(segments, at + segment.address),
        size: layout.word(segments, at + segment.size),
      }));
    if (this.#segments.length > MAX_LOADED) this.fail(EINVAL, "it has too many segments");

    const sectionsAt = layout.word(header, layout.sections);
    if (sectionsAt !== 0 && count(2) !== layout.section.sizeof) this.fail(EINVAL, "its section headers are malformed");
    let sectionCount = sectionsAt === 0 ? 0 : count(3);
    if (sectionsAt !== 0 && sectionCount === 0) { // it is too large for the header
      sectionCount = layout.word(this.#bytes(sectionsAt, count(2), "table of sections"), layout.section.size);
    }
    if (sectionCount > MAX_SECTIONS) this.fail(EINVAL, "it has too many sections");
    this.#sections = this.#bytes(sectionsAt, sectionCount * layout.section.sizeof, "table of sections");
    this.#namesOfSections = count(4);
    // at most one of each, what is exported first
    this.#tables = [SHT_DYNSYM, SHT_SYMTAB].flatMap((type) => this.#sectionsOf(type).slice(0, 1));
    if (this.#tables.some(({ link }) => this.#section(link) === undefined)) {
      this.fail(EINVAL, "its symbols have no names");
    }
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
    const checksumAt = padded(name === undefined ? 0 : encoder().encode(name).length + 1);
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

  /** Its tables of symbols, what is exported first; or that alone which has the others too. Each is read when it is asked for. */
  *symbolTables(which?: "all symbols"): Generator<SymbolTable> {
    for (const table of this.#tables) {
      if (which === undefined || table.type === SHT_SYMTAB) yield this.#symbolTable(table);
    }
  }

  /** Whether it has any symbols, and also those that it does not export. */
  get symbols(): "none" | "exported" | "all" {
    if (this.#tables.length === 0) return "none";
    return this.#tables.some(({ type }) => type === SHT_SYMTAB) ? "all" : "exported";
  }

  /** Whether it has symbols compressed with xz (`.gnu_debugdata`), which are not read: that takes more code than all of this. */
  get hasPackedSymbols(): boolean {
    return this.#sectionNamed(".gnu_debugdata") !== undefined;
  }

  #symbolTable(symbols: Section): SymbolTable {
    const names = this.#section(symbols.link)!;
    if (symbols.size > MAX_SYMBOLS * this.#layout.symbol.sizeof || names.size > MAX_STRINGS) {
      this.fail(EINVAL, "its symbol table is too large");
    }
    const strings = asBytes(this.#bytes(names.offset, names.size, "string table"));
    return { file: this, symbols, strings, versions: this.#versions(symbols, strings) };
  }

  #versions(symbols: Section, strings: Uint8Array): SymbolTable["versions"] {
    const ofSymbols = this.#sectionsOf(SHT_GNU_VERSYM).find(({ link }) => link === symbols.index);
    const [definitions] = this.#sectionsOf(SHT_GNU_VERDEF);
    if (ofSymbols === undefined || definitions === undefined) return undefined;
    if (ofSymbols.size > 2 * MAX_SYMBOLS || definitions.size > MAX_SMALL) {
      this.fail(EINVAL, "its versions are malformed");
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

  /** The functions of one of its tables. */
  eachFunction({ symbols, strings, versions }: SymbolTable, visit: (symbol: ElfFunction) => void): void {
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
  offsetOf(address: number): number | undefined {
    const segment = this.#segments.find((it) => address >= it.address && address - it.address < it.size);
    const offset = segment && address - segment.address + segment.offset;
    return Number.isSafeInteger(offset) ? offset : undefined;
  }

  #bytes(offset: number, size: number, what: string): DataView<ArrayBuffer> {
    if (size > MAX_STRINGS) this.fail(EINVAL, `its ${what} is too large`);
    const bytes = new Uint8Array(size);
    for (let done = 0; done < size;) {
      const piece = Number.isSafeInteger(offset + size)
        ? this.#read(offset + done, Math.min(PIECE, size - done))
        : EMPTY;
      if (piece.length === 0) this.fail(EINVAL, `its ${what} lies outside of the file`);
      bytes.set(piece, done);
      done += piece.length;
    }
    return new DataView(bytes.buffer);
  }

  /** Refuses the file, or what is looked for in it. */
  fail(errno: number, meaning: string, hint?: string): never {
    const action = `Cannot find functions in "${this.#path}"`;
    throw new BpfError(errno, { action, command: "elf", reason: "invalid", meaning, hint });
  }
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
  return end < 0 ? undefined : decoder().decode(strings.subarray(at, at + end));
}
