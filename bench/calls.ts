/** Calls against the same in C, in rounds of about a millisecond that take turns. */
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

/** What `using` takes by itself. */
class Alone implements Disposable {
  readonly #link: number;

  constructor(link: number) {
    this.#link = link;
  }

  [Symbol.dispose](): void {
    tryDetachAndClose(this.#link);
  }
}

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
  info: {
    what: "linkGetInfoByFd",
    bound: 1.1,
    inC: "info",
    prepare: ({ link: { fd } }) => () => void linkGetInfoByFd(fd),
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
  pin: {
    what: "Link.pin + unpin", // it proves what it removes: nine calls where C makes two
    inC: "pin",
    prepare({ link, pins }): () => void {
      const path = pins.pin("ours");
      return () => {
        link.pin(path);
        link.unpin();
      };
    },
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
    inC: "create",
    prepare: ({ programs: [program], cgroup }) => () => {
      using _alone = new Alone(linkCreate(program.fd, cgroup, "cgroup_inet_egress"));
    },
  },
  iter: {
    what: "using Link.attach, iter",
    bound: 1.2,
    inC: "iter",
    prepare: ({ iterator }) => () => {
      using _link = Link.attach(iterator, { type: "iter" });
    },
  },
};

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
