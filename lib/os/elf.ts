/** Functions of executables and shared libraries, by name. */
import { BpfError } from "../error.ts";
import { EINVAL, ENOENT } from "../uapi/errno.ts";
import { O_NONBLOCK } from "../uapi/linux.ts";
import { close, open, readAt } from "./files.ts";

/** Reads `length` bytes of a file from `offset`; fewer only where the file ends. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** Functions by their exact names, or all whose name fits a pattern with `*` and `?`. */
export type WantedFunctions = { readonly names: readonly string[] } | { readonly pattern: string };

/**
 * Where in the file at `path` functions begin: offsets in bytes, one for each name in their order, or for a pattern all
 * that fit, ascending.
 */
export function elfFunctionOffsets(path: string, wanted: WantedFunctions): number[] {
  const fd = open(path, O_NONBLOCK);
  try {
    return new ElfFile(path, (offset, length) => readAt(fd, path, offset, length)).functionOffsets(wanted);
  } finally {
    close(fd);
  }
}

// Files come from anybody, so every size is bounded; real ones stay far below.
const MAX_SEGMENTS = 1170, // the kernel's own limit: 64 KiB of program headers
  MAX_SYMBOLS = 4 << 20,
  MAX_STRINGS = 256 << 20,
  MAX_NAME = 4096,
  MAX_MATCHES = 1 << 20; // what one link takes

const HEADER_SIZE = 64, SEGMENT_SIZE = 56, SECTION_SIZE = 64, SYMBOL_SIZE = 24;
const PT_LOAD = 1, SHT_SYMTAB = 2, SHT_DYNSYM = 11, STT_FUNC = 2, SHN_UNDEF = 0;
const PIECE = 1 << 20; // bytes read at once

const utf8 = new TextEncoder();
const latin1 = new TextDecoder("latin1"); // a character a byte, so indices are offsets

/** A part of the file. */
interface Part {
  readonly offset: number;
  readonly size: number;
}

/** One that is mapped into memory. */
interface Segment extends Part {
  readonly address: number;
}

/** The symbols of one table, and the string that holds their names. */
interface SymbolTable {
  readonly symbols: DataView;
  readonly strings: string;
}

/** A 64-bit little-endian ELF file, of which only headers and symbol tables are read. Versions are ignored. */
export class ElfFile {
  readonly #path: string;
  readonly #read: ReadAt;
  readonly #segments: readonly Segment[];
  readonly #tables: readonly (Part & { readonly type: number; readonly strings: Part })[];

  /** @param path For messages. */
  constructor(path: string, read: ReadAt) {
    this.#path = path;
    this.#read = read;
    const header = new DataView(read(0, HEADER_SIZE).slice().buffer);
    if (header.byteLength < HEADER_SIZE || header.getUint32(0) !== 0x7f454c46) this.#fail(EINVAL, "it is no ELF file");
    if (header.getUint8(4) !== 2 || header.getUint8(5) !== 1) {
      this.#fail(EINVAL, "it is no 64-bit little-endian ELF file");
    }
    const segmentCount = header.getUint16(56, true);
    if (segmentCount > MAX_SEGMENTS || header.getUint16(54, true) !== SEGMENT_SIZE) {
      this.#fail(EINVAL, "its program headers are malformed");
    }
    const segments = this.#bytes(u64(header, 32), segmentCount * SEGMENT_SIZE, "program headers");
    this.#segments = starts(segments, SEGMENT_SIZE).filter((at) => segments.getUint32(at, true) === PT_LOAD)
      .map((at) => ({ offset: u64(segments, at + 8), address: u64(segments, at + 16), size: u64(segments, at + 32) }));

    const sectionCount = u64(header, 40) === 0 ? 0 : header.getUint16(60, true);
    if (sectionCount > 0 && header.getUint16(58, true) !== SECTION_SIZE) {
      this.#fail(EINVAL, "its section headers are malformed");
    }
    const sections = this.#bytes(u64(header, 40), sectionCount * SECTION_SIZE, "section headers");
    const place = (at: number) => ({ offset: u64(sections, at + 24), size: u64(sections, at + 32) });
    const types = starts(sections, SECTION_SIZE).map((at) => sections.getUint32(at + 4, true));
    // at most one of each, what is exported first
    this.#tables = [SHT_DYNSYM, SHT_SYMTAB].filter((type) => types.includes(type)).map((type) => {
      const at = types.indexOf(type) * SECTION_SIZE, link = sections.getUint32(at + 40, true);
      if (link >= sectionCount) this.#fail(EINVAL, "its symbols have no names");
      return { type, ...place(at), strings: place(link * SECTION_SIZE) };
    });
  }

  /** Where functions begin; see {@linkcode elfFunctionOffsets}. */
  functionOffsets(wanted: WantedFunctions): number[] {
    return "names" in wanted ? this.#byName(wanted.names) : this.#byPattern(wanted.pattern);
  }

  #byName(names: readonly string[]): number[] {
    const found = new Map<string, Set<number>>();
    for (const table of this.#symbolTables()) {
      // what an earlier table has is not looked for in a later one
      const missing = new Map(
        names.filter((name) => !found.has(name)).map((name) => [latin1.decode(utf8.encode(name)), name]),
      );
      if (missing.size === 0) break;
      const lengths = [...new Set([...missing.keys()].map((name) => name.length))];
      for (const { nameAt, address } of functionsOf(table)) {
        for (const length of lengths) {
          if (table.strings.charCodeAt(nameAt + length) !== 0) continue;
          const name = missing.get(table.strings.slice(nameAt, nameAt + length));
          if (name === undefined) continue;
          const offset = this.#offsetOf(address);
          if (offset === undefined) this.#fail(EINVAL, `${name} lies outside of what is loaded`);
          else if (!found.get(name)?.add(offset)) found.set(name, new Set([offset]));
        }
      }
    }
    return names.map((name) => {
      const [offset, ...others] = found.get(name) ?? [];
      if (offset === undefined) return this.#fail(ENOENT, `it has no function ${name}${this.#lacking()}`, BY_OFFSET);
      if (others.length === 0) return offset;
      const places = [offset, ...others].slice(0, 8).map((place) => `0x${place.toString(16)}`).join(", ");
      return this.#fail(EINVAL, `it has ${others.length + 1} functions ${name}, at ${places}`, BY_OFFSET);
    });
  }

  #byPattern(pattern: string): number[] {
    const found = new Set<number>();
    for (const table of this.#symbolTables()) {
      let work = 16 * table.strings.length; // names may share characters, but not without end
      for (const { nameAt, address } of functionsOf(table)) {
        const length = table.strings.slice(nameAt, nameAt + MAX_NAME).indexOf("\0");
        if (length < 0) continue;
        if ((work -= length) < 0) this.#fail(EINVAL, "the names of its symbols overlap");
        if (!globMatches(pattern, table.strings.slice(nameAt, nameAt + length))) continue;
        const offset = this.#offsetOf(address);
        if (offset !== undefined) found.add(offset);
        if (found.size > MAX_MATCHES) this.#fail(EINVAL, `more than ${MAX_MATCHES} functions match "${pattern}"`);
      }
    }
    if (found.size === 0) this.#fail(ENOENT, `it has no function that matches "${pattern}"${this.#lacking()}`);
    return [...found].sort((a, b) => a - b);
  }

  *#symbolTables(): Generator<SymbolTable> {
    for (const { offset, size, strings } of this.#tables) {
      if (size > MAX_SYMBOLS * SYMBOL_SIZE || strings.size > MAX_STRINGS) {
        this.#fail(EINVAL, "its symbol table is too large");
      }
      const symbols = this.#bytes(offset, size, "symbol table");
      yield { symbols, strings: latin1.decode(this.#bytes(strings.offset, strings.size, "string table")) };
    }
  }

  /** The offset in the file of what is loaded at `address`: that of its segment counts, not that of its section. */
  #offsetOf(address: number): number | undefined {
    const segment = this.#segments.find((it) => address >= it.address && address - it.address < it.size);
    const offset = segment && address - segment.address + segment.offset;
    return Number.isSafeInteger(offset) ? offset : undefined;
  }

  /** Why a function is not found, where that can be told. */
  #lacking(): string {
    if (this.#tables.length === 0) return ": it has no symbol table";
    return this.#tables.some(({ type }) => type === SHT_SYMTAB)
      ? ""
      : " among those that it exports; its others are stripped";
  }

  #bytes(offset: number, size: number, what: string): DataView {
    const pieces: Uint8Array[] = [];
    for (let done = 0; done < size;) {
      const piece = Number.isSafeInteger(offset + size)
        ? this.#read(offset + done, Math.min(PIECE, size - done))
        : EMPTY;
      if (piece.length === 0) this.#fail(EINVAL, `its ${what} lies outside of the file`);
      pieces.push(piece);
      done += piece.length;
    }
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return new DataView(bytes.buffer);
  }

  #fail(errno: number, meaning: string, hint?: string): never {
    const action = `Cannot find functions in "${this.#path}"`;
    throw new BpfError(errno, { action, command: "elf", reason: "invalid", meaning, hint });
  }
}

const BY_OFFSET = "name the place by its offset in the file";
const EMPTY = new Uint8Array();

/** The functions that a table defines, not those that it imports. */
function* functionsOf({ symbols, strings }: SymbolTable): Generator<{ nameAt: number; address: number }> {
  for (let at = 0; at + SYMBOL_SIZE <= symbols.byteLength; at += SYMBOL_SIZE) {
    if ((symbols.getUint8(at + 4) & 15) !== STT_FUNC || symbols.getUint16(at + 6, true) === SHN_UNDEF) continue;
    const nameAt = symbols.getUint32(at, true);
    if (nameAt < strings.length) yield { nameAt, address: u64(symbols, at + 8) };
  }
}

/** Where the entries of a table begin. */
function starts(table: DataView, size: number): number[] {
  return Array.from({ length: table.byteLength / size }, (_, i) => i * size);
}

/** Inexact above 2 ** 53, where no file reaches. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** Whether `name` as a whole fits `pattern`, in which `*` stands for any characters and `?` for one. */
export function globMatches(pattern: string, name: string): boolean {
  let p = 0, n = 0, star = -1, resume = 0;
  while (n < name.length) {
    if (pattern[p] === "*") {
      star = p++;
      resume = n;
    } else if (pattern[p] === "?" || pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) { // the last star takes one more: an earlier one never needs to
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
