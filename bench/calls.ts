/**
 * Calls against the same in C, in rounds of about a millisecond that take turns.
 *
 * What `_alone` measures is what V8 and Deno take of the same calls without this package: with libbpf opened by hand, or
 * in an object that does nothing else.
 */
import { writeText } from "../lib/ffi/request.ts";
import { unlink } from "../lib/os/files.ts";
import { tryDetachAndClose } from "../lib/sys/link.ts";
import {
  close,
  linkCreate,
  linkGetFdById,
  linkGetInfoByFd,
  linkGetNextId,
  linkUpdate,
  objPin,
  open,
} from "../lib/sys/mod.ts";
import { BPF_F_REPLACE } from "../lib/uapi/constants.ts";
import { bpf_link_info } from "../lib/uapi/layout.ts";
import { Link, type Program } from "../mod.ts";
import { PinDirectory } from "../tests/fixture/place/bpffs.ts";
import { cgroupEgress, taskIterator } from "../tests/fixture/program/programs.ts";
import { median, type Row, type Rows, type Surroundings } from "./table.ts";
import { Twin } from "./twin.ts";

const ROUNDS = 301, ROUND_NS = 1e6;
const WARM_UP_MS = 400; // until the compiler has done with the loop

interface Call {
  readonly what: string;
  readonly bound?: number;
  /** The operation of `twin.c`. */
  readonly inC: string;
  /** Makes ours. */
  prepare(scene: Scene): () => void;
}

/** What the calls are made on. */
class Scene implements Disposable {
  readonly pins = new PinDirectory();
  readonly cgroup: number;
  readonly programs: readonly [Program, Program] = [cgroupEgress(), cgroupEgress()];
  readonly iterator: Program = taskIterator("t");
  // Held while others come and go: making the first of an attach type, and ending the last, patches the kernel's code,
  // which takes ten times as long as all the rest.
  readonly link: Link<"cgroup">;

  constructor(path: string) {
    this.cgroup = open(path);
    this.link = Link.attach(this.programs[0], { type: "cgroup", cgroup: this.cgroup });
  }

  [Symbol.dispose](): void {
    for (const handle of [this.link, this.iterator, ...this.programs]) handle.close();
    close(this.cgroup);
    this.pins[Symbol.dispose]();
  }
}

/** What `using` takes by itself, of a link that ends so. */
class Alone implements Disposable {
  readonly #link: number;
  readonly #end: (link: number) => void;

  constructor(link: number, end: (link: number) => void) {
    this.#link = link;
    this.#end = end;
  }

  [Symbol.dispose](): void {
    this.#end(this.#link);
  }
}

/** The C library and libbpf as `twin.c` calls them. */
function byHand(): Deno.DynamicLibrary<typeof BY_HAND>["symbols"] {
  return Deno.dlopen("libbpf.so.1", BY_HAND).symbols; // which is linked with the C library
}

const BY_HAND = {
  bpf_link_update: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  bpf_obj_get_info_by_fd: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  bpf_obj_pin: { parameters: ["i32", "buffer"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
} as const;

/** Puts the two programs into the link by turns. */
function updating({ programs: [first, second] }: Scene, update: (other: number, held: number) => void): () => void {
  let held = first.fd, other = second.fd;
  return () => {
    update(other, held);
    const was = held;
    held = other;
    other = was;
  };
}

const CALLS: Record<string, Call> = {
  next_id: {
    what: "linkGetNextId",
    bound: 1.1,
    inC: "next_id",
    prepare: ({ link: { id } }) => () => void linkGetNextId(id - 1),
  },
  fd_by_id: {
    what: "linkGetFdById + close",
    bound: 1.1,
    inC: "fd_by_id",
    prepare: ({ link: { id } }) => () => close(linkGetFdById(id)),
  },
  update: {
    what: "linkUpdate",
    bound: 1.1,
    inC: "update",
    prepare: (scene) => updating(scene, (other) => linkUpdate(scene.link.fd, other)),
  },
  update_expected: {
    what: "linkUpdate with oldProgFd",
    bound: 1.1,
    inC: "update_expected",
    prepare: (scene) => updating(scene, (other, held) => linkUpdate(scene.link.fd, other, { oldProgFd: held })),
  },
  update_expected_alone: {
    what: "  bpf_link_update by Deno.dlopen",
    bound: 1.1,
    inC: "update_expected",
    prepare(scene): () => void {
      const { bpf_link_update } = byHand(), { link: { fd } } = scene;
      const options = Uint32Array.of(16, 0, BPF_F_REPLACE, 0); // its size, flags, old_prog_fd
      return updating(scene, (other, held) => {
        options[3] = held;
        if (bpf_link_update(fd, other, options) !== 0) throw new Error("it failed");
      });
    },
  },
  info: {
    what: "linkGetInfoByFd",
    bound: 1.1,
    inC: "info",
    prepare: ({ link: { fd } }) => () => void linkGetInfoByFd(fd),
  },
  info_alone: {
    what: "  bpf_obj_get_info_by_fd by Deno.dlopen",
    bound: 1.1,
    inC: "info",
    prepare({ link: { fd, id } }): () => void {
      const { bpf_obj_get_info_by_fd } = byHand(), size = new Uint32Array(1);
      const longs = new BigUint64Array(bpf_link_info.sizeof / 8), words = new Uint32Array(longs.buffer);
      return () => {
        size[0] = longs.fill(0n).byteLength;
        const result = bpf_obj_get_info_by_fd(fd, words, size), cgroup = longs[2]!;
        if (result !== 0 || words[1] !== id || cgroup === 0n) throw new Error("it failed");
      };
    },
  },
  obj_pin: {
    what: "objPin + unlink",
    bound: 1.1,
    inC: "pin",
    prepare({ link: { fd }, pins }): () => void {
      const path = pins.pin("ours");
      return () => {
        objPin(fd, path);
        unlink(path);
      };
    },
  },
  obj_pin_alone: {
    what: "  bpf_obj_pin, unlink by Deno.dlopen",
    bound: 1.1,
    inC: "pin",
    prepare({ link: { fd }, pins }): () => void {
      const { bpf_obj_pin, unlink } = byHand(), path = pins.pin("ours"), room = new Uint8Array(256);
      return () => {
        writeText(room, 0, room.length, path);
        if (bpf_obj_pin(fd, room) !== 0) throw new Error("it failed");
        writeText(room, 0, room.length, path);
        if (unlink(room) !== 0) throw new Error("it failed");
      };
    },
  },
  pin: {
    what: "Link.pin + unpin",
    inC: "pin",
    prepare: pinning,
  },
  pin_proved: {
    what: "Link.pin + unpin, against C that proves as much", // nine calls, where C alone makes one
    bound: 1.15,
    inC: "pin_proved",
    prepare: pinning,
  },
  create: {
    what: "using Link.attach, cgroup",
    bound: 1.15,
    inC: "create",
    prepare: ({ programs: [program], cgroup }) => () => {
      using _link = Link.attach(program, { type: "cgroup", cgroup });
    },
  },
  create_alone: {
    what: "  using an object that makes the calls alone",
    bound: 1.15,
    inC: "create",
    prepare: ({ programs: [program], cgroup }) => () => {
      using _alone = new Alone(linkCreate(program.fd, cgroup, "cgroup_inet_egress"), tryDetachAndClose);
    },
  },
  create_close: {
    what: "Link.attach + close(), cgroup",
    bound: 1.15,
    inC: "create",
    prepare: ({ programs: [program], cgroup }) => () => Link.attach(program, { type: "cgroup", cgroup }).close(),
  },
  iter: {
    what: "using Link.attach, iter",
    bound: 1.2,
    inC: "iter",
    prepare: ({ iterator }) => () => {
      using _link = Link.attach(iterator, { type: "iter" });
    },
  },
  iter_alone: {
    what: "  using an object that makes the calls alone",
    bound: 1.2,
    inC: "iter",
    prepare: ({ iterator }) => () => {
      using _alone = new Alone(linkCreate(iterator.fd, 0, "trace_iter"), close);
    },
  },
};

function pinning({ link, pins }: Scene): () => void {
  const path = pins.pin("ours");
  return () => {
    link.pin(path);
    link.unpin();
  };
}

/** A row for each call. */
export const calls: Record<string, Rows> = Object.fromEntries(
  Object.entries(CALLS).map(([name, call]) => [name, async function* (surroundings): AsyncGenerator<Row> {
    yield await compare(call, surroundings);
  }]),
);

async function compare({ what, bound, inC, prepare }: Call, { cgroup, twin }: Surroundings): Promise<Row> {
  using scene = new Scene(cgroup);
  await using single = new Twin(twin, cgroup, scene.pins.pin("single"));
  await using threaded = new Twin(twin, cgroup, scene.pins.pin("threaded"), "threaded");
  const run = prepare(scene);
  let count = 100;
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end;) {
    round(run, count);
    count = Math.ceil(ROUND_NS / await single.round(inC, count));
  }
  const times: { ours: number; single: number; threaded: number }[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    times.push({
      ours: round(run, count),
      single: await single.round(inC, count),
      threaded: await threaded.round(inC, count),
    });
  }
  return {
    what,
    against: `C ${median(times.map(({ threaded }) => threaded)).toFixed(0)} ns`,
    ours: `${median(times.map(({ ours }) => ours)).toFixed(0)} ns`,
    figure: median(times.map(({ ours, threaded }) => ours / threaded)),
    unit: "x",
    ...bound === undefined ? {} : { bound },
    note: `${median(times.map(({ ours, single }) => ours / single)).toFixed(2)}x of C without a second thread`,
  };
}

function round(run: () => void, count: number): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) run();
  return (performance.now() - start) * 1e6 / count;
}
