/** The native object: its calls with what they take and give as values of JavaScript, and the end of it. */
import { objectFast, objectNative, objectOnAnotherThread } from "../ffi/object/library.ts";
import { numbers } from "../ffi/object/symbols.ts";
import { atUnload, track, untrack } from "../handle/open_handles.ts";
import {
  type AttachTypeName,
  attachTypeName,
  type MapType,
  mapTypeName,
  type ProgramType,
  programTypeName,
} from "../uapi/constants.ts";
import { ENOENT, ERANGE } from "../uapi/errno.ts";
import { objectRefused } from "./refusal.ts";

/** A program as libbpf has it. */
export interface ProgramRecord {
  readonly name: string;
  readonly section: string;
  /** libbpf's own; negative if it is not loaded. */
  readonly fd: number;
  readonly type: ProgramType;
  readonly attachType: AttachTypeName | undefined;
  readonly flags: number;
  readonly isWanted: boolean;
  readonly isAttachable: boolean;
  readonly instructions: number;
}

/** How a map is declared. */
export interface MapDefinition {
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Types in the object's BTF; 0 if there is none. */
  readonly keyType: number;
  readonly valueType: number;
}

/** A map as libbpf has it. */
export interface MapRecord extends MapDefinition {
  readonly name: string;
  readonly pin: string;
  /** libbpf's own; negative if it is not made. */
  readonly fd: number;
  /** Whether it is a section of global variables; if so, whether they are constant once it is loaded, or libbpf's. */
  readonly isSection: boolean;
  readonly isConstant: boolean;
  readonly isKconfig: boolean;
  readonly isWanted: boolean;
  /** Bytes of the section that can be read and written here; 0 if it is none. */
  readonly memory: number;
  /** The maps that it holds, if it is a map of maps. */
  readonly inner: MapDefinition | undefined;
}

/** Strings for {@linkcode ObjectHandle.open}, each empty if absent. */
export interface NativeOptions {
  readonly name: string;
  readonly pinDirectory?: string | undefined;
  readonly kernelBtf?: string | undefined;
  readonly kconfig?: string | undefined;
  readonly token?: string | undefined;
}

/** A link that stays in the native object, to the end of which it is disposed of. */
export interface KeptLink extends Disposable {
  /** The fd of the kernel's link, which is the caller's then; what else belongs to it stays. `undefined` if it has several. */
  takeFd(): number | undefined;
}

/** Room for what libbpf says while it opens, and while it loads: the verifier says much. */
const OPEN_LOG = 16 * 1024, LOAD_LOG = 1024 * 1024;
/** That of synchronous loads, one at a time: a new one each would take longer than to load a small object. */
let loadLog: Uint8Array<ArrayBuffer> | undefined;
/** Room for the records of most objects. */
const RECORDS = 4096;

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** What is left of an object if its handle is forgotten. */
interface Held {
  readonly number: number;
  /** Of programs and maps, which libbpf closes. */
  readonly fds: number[];
  /** Links that have no fd and live in the native object. */
  links: number;
}

const all = new Set<Held>(); // that are open
let endsAtUnload = false;

/** Garbage collection never detaches: an object with links of its own stays until the process ends. */
const forgotten = new FinalizationRegistry<Held>((held) => {
  if (held.links === 0) end(held);
});

function end(held: Held): number {
  all.delete(held);
  held.fds.forEach(untrack);
  return objectNative().bpf_object_close(held.number);
}

/** An object of libbpf's. One call works on it at a time. */
export class ObjectHandle {
  /** The name, for messages. */
  readonly name: string;
  readonly #held: Held;
  #isClosed = false;
  #isFreed = false;
  #loading: Promise<unknown> | undefined; // on another thread
  #state: "open" | "loaded" | "failed" = "open";
  #log: string;
  readonly #declared: readonly MapRecord[]; // as the file has them

  private constructor(number: number, name: string, log: string) {
    this.name = name;
    this.#log = log;
    this.#held = { number, fds: [], links: 0 };
    all.add(this.#held);
    forgotten.register(this, this.#held, this);
    if (!endsAtUnload) atUnload(() => all.forEach(end));
    endsAtUnload = true;
    this.#declared = this.#allMaps();
  }

  /** Parses an object; nothing is made in the kernel. */
  static open(bytes: Uint8Array<ArrayBuffer>, options: NativeOptions): ObjectHandle {
    const { name, pinDirectory, kernelBtf, kconfig, token } = options;
    const texts = [name, pinDirectory, kernelBtf, kconfig, token].map((text) => `${text ?? ""}\0`).join("");
    const request = encoder.encode(texts), log = new Uint8Array(OPEN_LOG);
    const number = objectNative().bpf_object_open(bytes, bytes.length, request, request.length, log, log.length);
    if (number < 0) throw objectRefused(number, "bpf_object__open", `Cannot open object "${name}"`, textOf(log));
    return new ObjectHandle(number, name, textOf(log));
  }

  /** Whether it was closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isLoaded(): boolean {
    return this.#state === "loaded";
  }

  /** Whether a load is under way on another thread. */
  get isLoading(): boolean {
    return this.#loading !== undefined;
  }

  /** What libbpf, and the kernel through it, said that was no reason to fail. */
  get log(): string {
    return this.#log;
  }

  /** Refuses what cannot be done now; `action` begins the message. */
  check(action: () => string): void {
    if (this.#isClosed) throw new Deno.errors.BadResource(`${action()}: object "${this.name}" is closed`);
    if (this.#loading !== undefined) {
      throw new Deno.errors.Busy(`${action()}: object "${this.name}" is being loaded; wait for loadAsync()`);
    }
    if (this.#state === "failed") {
      throw new Deno.errors.BadResource(`${action()}: object "${this.name}" could not be loaded; open it anew`);
    }
  }

  load(): void {
    this.#begin();
    const log = loadLog ??= new Uint8Array(LOAD_LOG);
    this.#settle(objectNative().bpf_object_load(this.#held.number, log, log.length), log);
  }

  /** The same on another thread. */
  async loadAsync(): Promise<void> {
    this.#begin();
    // The library keeps the log: if this is a worker that is ended meanwhile, memory from here is gone.
    const loading = objectOnAnotherThread("bpf_object_load", this.#held.number, NOTHING, 0);
    this.#loading = loading;
    let result;
    try {
      result = await loading;
    } finally {
      this.#loading = undefined;
      if (this.#isClosed) this.free();
    }
    if (this.#isClosed) {
      throw new Deno.errors.BadResource(`Cannot load object "${this.name}": it was closed meanwhile`);
    }
    this.#settle(result, this.#read(memory.LOG, 0) ?? NOTHING);
  }

  #begin(): void {
    const action = `Cannot load object "${this.name}"`;
    this.check(() => action);
    if (this.#state === "loaded") throw new TypeError(`${action}: it is loaded already`);
  }

  #settle(result: number, log: Uint8Array<ArrayBuffer>): void {
    const text = textOf(log);
    if (result < 0) {
      this.#state = "failed"; // libbpf does not try twice
      throw objectRefused(result, "bpf_object__load", `Cannot load object "${this.name}"`, text, this.#declared);
    }
    this.#state = "loaded";
    this.#log += text;
    for (const [kind, records] of [["program", this.programs()], ["map", this.maps()]] as const) {
      for (const { fd } of records) {
        if (fd < 0) continue;
        track(kind, fd);
        this.#held.fds.push(fd);
      }
    }
  }

  programs(): ProgramRecord[] {
    return this.#describe(describe.PROGRAMS, describe.PROGRAM_FIELDS, (name, section, field) => {
      const type = programTypeName(field(1)), attachType = field(2), auto = field(4);
      return {
        name,
        section,
        fd: field(0) | 0,
        type,
        attachType: hasAttachType(type, section, attachType) ? attachTypeName(attachType) : undefined,
        flags: field(3),
        isWanted: (auto & describe.AUTOLOAD) !== 0,
        isAttachable: (auto & describe.AUTOATTACH) !== 0,
        instructions: field(5),
      };
    });
  }

  maps(): MapRecord[] {
    return this.#allMaps().map((map, index) => {
      const { name, keyType, valueType, inner } = this.#declared[index]!;
      // a map that is reused has its own name, and of some types libbpf forgets what kernels do not take
      return { ...map, name, keyType, valueType, inner };
    });
  }

  #allMaps(): MapRecord[] {
    return this.#describe(describe.MAPS, describe.MAP_FIELDS, (name, pin, field) => {
      const bits = field(8), isWanted = (bits & describe.CREATED) !== 0;
      return {
        name,
        pin,
        fd: isWanted ? field(0) | 0 : -1, // libbpf has something else in its place
        ...definition(field, 1),
        isSection: (bits & describe.SECTION) !== 0,
        isConstant: (bits & describe.FIXED) !== 0,
        isKconfig: (bits & describe.KCONFIG) !== 0,
        isWanted,
        memory: field(9),
        inner: field(10) === 0 ? undefined : definition(field, 10),
      };
    });
  }

  #describe<T>(kind: number, count: number, read: (name: string, text: string, field: Field) => T): T[] {
    let bytes = new Uint8Array(RECORDS);
    const ask = () =>
      this.#checked(objectNative().bpf_object_describe(this.#held.number, kind, bytes, bytes.length), "describe");
    let size = ask();
    if (size > bytes.length) {
      bytes = new Uint8Array(size);
      size = ask();
    }
    const view = new DataView(bytes.buffer), records: T[] = [];
    let at = 0;
    const text = () => decoder.decode(bytes.subarray(at, (at = bytes.indexOf(0, at) + 1) - 1));
    while (at < size) {
      const name = text(), second = text(), start = at;
      at += 4 * count;
      records.push(read(name, second, (index) => view.getUint32(start + 4 * index, true)));
    }
    return records;
  }

  /** Changes what `numbers.settings` names of the program or map `index`, before the object is loaded. */
  set(setting: number, index: number, number: number, text = ""): void {
    const name = encoder.encode(`${text}\0`), request = new Uint8Array(4 + name.length);
    new DataView(request.buffer).setUint32(0, number, true);
    request.set(name, 4);
    const { number: handle } = this.#held;
    this.#checked(objectNative().bpf_object_set(handle, setting, index, request, request.length), "configure");
  }

  /** The object's BTF; `undefined` if it has none. */
  btf(): Uint8Array<ArrayBuffer> | undefined {
    return this.#read(memory.BTF, 0);
  }

  /** The instructions of a program: once loaded, as the kernel got them. */
  instructions(index: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#read(memory.INSTRUCTIONS, index);
  }

  #read(part: number, index: number): Uint8Array<ArrayBuffer> | undefined {
    const native = objectNative(), { number } = this.#held;
    const size = native.bpf_object_read(number, part, index, 0, NOTHING, 0);
    if (size === -ENOENT) return undefined;
    const bytes = new Uint8Array(this.#checked(size, "read"));
    this.#checked(native.bpf_object_read(number, part, index, 0, bytes, size), "read");
    return bytes;
  }

  /** Copies a part of the section that map `index` is: all of `bytes`, in one piece if it is a number. */
  readSection(index: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { number } = this.#held;
    const size = objectFast()?.bpf_object_read(number, memory.VARIABLES, index, offset, bytes, bytes.length) ??
      objectNative().bpf_object_read(number, memory.VARIABLES, index, offset, bytes, bytes.length);
    if (size < bytes.length) this.#checked(size < 0 ? size : -ERANGE, "read");
  }

  writeSection(index: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { number } = this.#held;
    this.#checked(
      objectFast()?.bpf_object_write(number, index, offset, bytes, bytes.length) ??
        objectNative().bpf_object_write(number, index, offset, bytes, bytes.length),
      "write to",
    );
  }

  /**
   * Attaches as libbpf does: a program, or a struct_ops map.
   *
   * @param how One of `numbers.links`.
   * @returns An fd, which is the caller's, or a link that has none.
   */
  attach(how: number, index: number, request: Uint8Array<ArrayBuffer>, action: string): number | KeptLink {
    this.check(() => action);
    const log = new Uint8Array(OPEN_LOG), { number } = this.#held;
    const result = objectNative().bpf_object_attach(number, how, index, request, request.length, log, log.length);
    if (result < 0) throw objectRefused(result, "bpf_program__attach", action, textOf(log));
    if (result < links.KEPT) return result;
    const link = result & ~links.KEPT;
    let isOver = false, isOnly = true; // nothing else holds the kernel's link
    this.#held.links++;
    return {
      takeFd: () => {
        const fd = objectNative().bpf_object_attach(number, links.TAKE_FD, link, request, 0, log, log.length);
        if (fd < 0) return undefined;
        isOnly = false;
        this.#held.links--;
        return fd;
      },
      [Symbol.dispose]: () => {
        if (isOver || this.#isFreed) return; // the end of the object ended them
        isOver = true;
        if (isOnly) this.#held.links--;
        objectNative().bpf_object_detach(number, link);
      },
    };
  }

  #checked(result: number, verb: string): number {
    if (result >= 0) return result;
    throw objectRefused(result, "bpf_object", `Cannot ${verb} object "${this.name}"`, "");
  }

  /** From now on all is refused, and what is there can be ended in peace; then {@linkcode free}. */
  close(): void {
    this.#isClosed = true;
  }

  /** Frees everything, once a load that is under way has returned. Twice does nothing. */
  free(): void {
    if (this.#isFreed || this.#loading !== undefined) return;
    this.#isFreed = true;
    forgotten.unregister(this);
    end(this.#held);
  }

  /** Settled when a load that is under way has returned. */
  async settled(): Promise<void> {
    await this.#loading?.catch(() => {});
  }
}

const { describe, links, memory } = numbers;
const NOTHING = new Uint8Array(0);

/** A number of a record. */
type Field = (index: number) => number;

/** What a map is declared as, from the number `first` on. */
function definition(field: Field, first: number): MapDefinition {
  return {
    type: mapTypeName(field(first)),
    keySize: field(first + 1),
    valueSize: field(first + 2),
    maxEntries: field(first + 3),
    flags: field(first + 4),
    keyType: field(first + 5),
    valueType: field(first + 6),
  };
}

/** Number 0 is an attach type for one type of programs, and for others that there is none. */
function hasAttachType(type: ProgramType, section: string, attachType: number): boolean {
  return attachType !== 0 || (type === "cgroup_skb" && /\/ingress$/.test(section));
}

function textOf(log: Uint8Array<ArrayBuffer>): string {
  const end = log.indexOf(0);
  return decoder.decode(end < 0 ? log : log.subarray(0, end));
}
