/** The native library by itself: numbers that name nothing any more, two calls at once, what must not be set or written. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { objectNative, objectOnAnotherThread } from "../../lib/ffi/object/library.ts";
import { numbers } from "../../lib/ffi/object/symbols.ts";
import { EBADF, EINVAL, ENOENT, EPERM } from "../../lib/uapi/errno.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { objectPath } from "./build.ts";
import { objectTest } from "./run.ts";

const { describe, links, memory, settings } = numbers;
const EBUSY = 16, ERANGE = 34, EBADFD = 77, EALREADY = 114;
const NOTHING = new Uint8Array();

/** An object of the native library, in whatever state. */
class Opened implements Disposable {
  readonly number: number;
  log = "";

  constructor(name: string) {
    const bytes = Deno.readFileSync(objectPath(name)), options = new Uint8Array(5);
    this.number = this.#logged((log, length) =>
      objectNative().bpf_object_open(bytes, bytes.length, options, options.length, log, length)
    );
    assert(this.number >= 0, this.log);
  }

  load(room?: number): number {
    return this.#logged((log, length) => objectNative().bpf_object_load(this.number, log, length), room);
  }

  /** The numbers of what is described, by its name. */
  records(kind: number): Map<string, number[]> {
    const count = kind === describe.MAPS ? describe.MAP_FIELDS : describe.PROGRAM_FIELDS;
    const size = objectNative().bpf_object_describe(this.number, kind, NOTHING, 0);
    const bytes = new Uint8Array(size), view = new DataView(bytes.buffer), records = new Map<string, number[]>();
    assertEquals(objectNative().bpf_object_describe(this.number, kind, bytes, size), size);
    for (let at = 0; at < size;) {
      const name = bytes.indexOf(0, at), second = bytes.indexOf(0, name + 1) + 1;
      records.set(
        new TextDecoder().decode(bytes.subarray(at, name)),
        Array.from({ length: count }, (_, i) => view.getInt32(second + 4 * i, true)),
      );
      at = second + 4 * count;
    }
    return records;
  }

  index(kind: number, name: string): number {
    return [...this.records(kind).keys()].findIndex((known) => known.endsWith(name)); // sections have the object's before theirs
  }

  fields(kind: number, name: string): number[] {
    return [...this.records(kind).values()][this.index(kind, name)]!;
  }

  fd(kind: number, name: string): number {
    return this.fields(kind, name)[0]!;
  }

  set(setting: number, index: number, number: number, text = "\0"): number {
    const value = new Uint8Array([
      ...new Uint8Array(new Int32Array([number]).buffer),
      ...new TextEncoder().encode(text),
    ]);
    return objectNative().bpf_object_set(this.number, setting, index, value, value.length);
  }

  read(section: string, offset: number, length: number): Uint8Array | number {
    const bytes = new Uint8Array(length), index = this.index(describe.MAPS, section);
    const size = objectNative().bpf_object_read(this.number, memory.VARIABLES, index, offset, bytes, length);
    return size < 0 ? size : bytes;
  }

  write(section: string, offset: number, bytes: Uint8Array<ArrayBuffer>): number {
    const index = this.index(describe.MAPS, section);
    return objectNative().bpf_object_write(this.number, index, offset, bytes, bytes.length);
  }

  #logged(call: (log: Uint8Array<ArrayBuffer>, length: number) => number, room = 4096): number {
    const log = new Uint8Array(room + 1).fill(0xff); // the byte after the room stays
    const result = call(log, room);
    assertEquals(log[room], 0xff);
    this.log = new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
    return result;
  }

  [Symbol.dispose](): void {
    objectNative().bpf_object_close(this.number);
  }
}

objectTest("border: the number of a closed object reaches no other one", {}, () => {
  const native = objectNative(), closed = new Opened("globals");
  assertEquals(native.bpf_object_close(closed.number), 0);
  using other = new Opened("globals");
  assertNotEquals(other.number, closed.number);
  for (const stale of [closed.number, other.number + (1 << 10), 0x7fffffff]) {
    assertEquals(native.bpf_object_describe(stale, describe.MAPS, NOTHING, 0), -EBADF);
    assertEquals(native.bpf_object_load(stale, NOTHING, 0), -EBADF);
    assertEquals(native.bpf_object_close(stale), -EBADF);
  }
  assert(other.records(describe.PROGRAMS).has("use_globals"));
});

objectTest("border: a second call while one works on an object is refused", {}, async () => {
  for (let refused = 0; refused === 0;) { // until one came in time
    using object = new Opened("core");
    const loading = objectOnAnotherThread("bpf_object_load", object.number, NOTHING, 0);
    for (let tries = 0; tries < 10_000; tries++) {
      const size = objectNative().bpf_object_describe(object.number, describe.MAPS, NOTHING, 0);
      if (size === -EBUSY) refused++;
      else assert(size >= 0);
    }
    const loaded = await loading; // which of the two is second is not ours to say
    assert(loaded === 0 || loaded === -EBUSY, `${loaded}`);
  }
});

objectTest("border: what is not loaded has no fd, and what is has one that no child inherits", {}, () => {
  using object = new Opened("globals");
  const fds = () =>
    [...object.records(describe.PROGRAMS).values(), ...object.records(describe.MAPS).values()].map(([fd]) => fd!);
  assertEquals(new Set(fds()), new Set([-1]));
  assertEquals(object.set(settings.AUTOLOAD, object.index(describe.PROGRAMS, "use_globals"), 0), 0);
  assertEquals(object.set(settings.AUTOCREATE, object.index(describe.MAPS, ".bss.own"), 0), 0);
  assertEquals(object.load(), 0);
  assertEquals([object.fd(describe.PROGRAMS, "use_globals"), object.fd(describe.MAPS, ".bss.own")], [-1, -1]);
  const made = fds().filter((fd) => fd >= 0);
  assert(made.length >= 4 && made.every((fd) => fd >= 3));
  for (const fd of made) {
    const [, flags] = /^flags:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))!;
    assert(Number.parseInt(flags!, 8) & 0o2000000, `fd ${fd} is close-on-exec`);
  }
});

objectTest(
  "border: constants and kernel configuration are not written to where that would be lost or fatal",
  {},
  () => {
    const four = new Uint8Array(4);
    using config = new Opened("kconfig_version");
    assertEquals(config.write(".kconfig", 0, four), -EPERM, "libbpf fills it when it loads");
    assertEquals(config.load(), 0);
    assertEquals(config.write(".kconfig", 0, four), -EPERM);
    assert((config.read(".kconfig", 0, 4) as Uint8Array).some((byte) => byte !== 0));
    using object = new Opened("globals");
    assertEquals(object.write(".rodata.own", 0, four), 0);
    assertEquals(object.write(".rodata.own", 4, four), -ERANGE);
    assertEquals([object.read(".rodata.own", 5, 1), object.read(".rodata.own", 4, 1)], [-ERANGE, new Uint8Array(1)]);
    assertEquals(object.load(), 0);
    assertEquals(object.write(".rodata.own", 0, four), -EPERM, "it is mapped for reading");
    assertEquals(object.write(".data.own", 0, four), 0);
  },
);

objectTest("border: a section that is a map of another object is that map's memory, and has its size", {}, () => {
  using first = new Opened("globals"), second = new Opened("globals");
  assertEquals(first.load(), 0);
  const own = second.index(describe.MAPS, ".data.own"), bss = second.index(describe.MAPS, ".bss");
  assertEquals(second.set(settings.REUSE_FD, bss, first.fd(describe.MAPS, ".data.own")), -EINVAL, "of another size");
  assertEquals(second.set(settings.MAX_ENTRIES, bss, 1000), -EINVAL);
  assertEquals(second.set(settings.REUSE_FD, own, first.fd(describe.MAPS, ".data.own")), 0);
  const before = second.fields(describe.MAPS, ".data.own");
  assertEquals(second.load(), 0, second.log);
  const nine = new Uint8Array([9, 0, 0, 0]);
  assertEquals(first.write(".data.own", 0, nine), 0);
  assertEquals(second.read(".data.own", 0, 4), nine);
  assertEquals(second.fields(describe.MAPS, ".data.own").slice(1), before.slice(1));
});

objectTest("border: an object is loaded once, and set before", {}, () => {
  const native = objectNative();
  using object = new Opened("globals");
  const attach = () => native.bpf_object_attach(object.number, links.BY_SECTION, 0, NOTHING, 0, NOTHING, 0);
  assertEquals(attach(), -EINVAL, "not loaded");
  assertEquals(object.set(99, 0, 0), -EINVAL);
  assertEquals(object.set(settings.AUTOLOAD, 0xffffffff, 0), -ENOENT);
  assertEquals(object.set(settings.PIN_PATH, 0, 0, "/no/end"), -EINVAL, "a path without an end");
  assertEquals(native.bpf_object_set(object.number, settings.AUTOLOAD, 0, new Uint8Array(3), 3), -EINVAL);
  assertEquals(object.set(settings.REUSE_FD, object.index(describe.MAPS, ".data"), 1_000_000), -EBADFD);
  assertEquals(object.load(), 0);
  assertEquals([object.load(), object.set(settings.AUTOLOAD, 0, 0)], [-EALREADY, -EALREADY]);
  assertEquals(native.bpf_object_describe(object.number, 9, NOTHING, 0), -EINVAL);
  assertEquals(native.bpf_object_read(object.number, 9, 0, 0, NOTHING, 0), -EINVAL);
  assertEquals(native.bpf_object_read(object.number, memory.VARIABLES, 99, 0, NOTHING, 0), -ENOENT);
  assertEquals(native.bpf_object_detach(object.number, 1), -ENOENT);
});

objectTest(
  "border: of messages that are too long the end is kept, and all where there is no room, to be read",
  {},
  () => {
    const refused = () => {
      const object = new Opened("verbose");
      object.set(settings.AUTOLOAD, object.index(describe.PROGRAMS, "unchecked"), 1);
      return object;
    };
    using whole = refused(), short = refused();
    const result = whole.load(1 << 16);
    assert(result < 0 && whole.log.length > 100, "refused, and says why");
    assertEquals(short.load(64), result);
    assertEquals(short.log, whole.log.slice(-63));
    using kept = refused();
    assertEquals([kept.load(0), kept.log], [result, ""]);
    const read = objectNative().bpf_object_read, size = read(kept.number, memory.LOG, 0, 0, NOTHING, 0);
    const bytes = new Uint8Array(size);
    const same = (log: string) => log.replaceAll(/\d+ usec|= 0x[0-9a-f]{16}/g, ""); // but for times and addresses
    assertEquals(read(kept.number, memory.LOG, 0, 0, bytes, size), size);
    assertEquals(same(new TextDecoder().decode(bytes)), same(whole.log));
    assertEquals(read(whole.number, memory.LOG, 0, 0, bytes, size), -ENOENT, "the caller has it");
  },
);

objectTest("border: neither the environment nor a limit of the process takes part", {}, async () => {
  const script = `import { BpfObject } from "${MOD.replace("mod.ts", "lib/object/mod.ts")}";
    const limit = () => Deno.readTextFileSync("/proc/self/limits").match(/^Max locked memory.*$/m)[0];
    const before = limit();
    using object = BpfObject.load("${objectPath("globals")}");
    console.log(object.loaded, limit() === before);`;
  const env = { LIBBPF_BPF_TOKEN_PATH: "/no/such/place", LIBBPF_LOG_LEVEL: "debug" };
  const { output, errors } = await runScript(script, ["-A"], { env });
  assertEquals([output, errors], ["true true\n", ""]);
});
