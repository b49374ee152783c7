/**
 * Random sequences of what can be done with links, through several handles of links of several types, against a small
 * model of the kernel's rules and of the package's own.
 *
 * A failure is shrunk to few operations and told with its seed. `BPF_LINK_TEST_SEQUENCES` says how many sequences there
 * are, `BPF_LINK_TEST_SEED` repeats a run.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "npm:fast-check@4.11.0";
import { tryDetach } from "../../lib/sys/link.ts";
import { close, objGet } from "../../lib/sys/mod.ts";
import { type AnyLink, type AttachTarget, BpfError, Link, openHandles, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { VethPair } from "../fixture/place/netns.ts";
import {
  answering,
  cgroupEgress,
  flowDissector,
  netfilter,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { kernelTest, whyMissing } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { until } from "../fixture/run/wait.ts";

const SEQUENCES = Number(Deno.env.get("BPF_LINK_TEST_SEQUENCES") ?? 1000);
const SEED = Number(Deno.env.get("BPF_LINK_TEST_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
/** Sequences with a device: the kernel waits for all its processors whenever something is attached there, or detached. */
const ON_DEVICE = Math.ceil(SEQUENCES / (inOwnVm() ? 5 : 400)); // only machines have netkit devices for sure
/** Of one sequence. */
const MOST_OPERATIONS = 40;
/** Where links are pinned: few, so that they meet. */
const SLOTS = ["a", "b", "c"] as const;

/** What the kernel does with links of a kind. */
interface Kind {
  readonly name: string;
  readonly target: AttachTarget;
  readonly programs: readonly [Program, Program];
  readonly hasUpdate: boolean;
  readonly hasDetach: boolean;
  /** The kernel tells of a link whether it is attached. */
  readonly tells: boolean;
  /** What a second link at the same place is told, if the place takes one. */
  readonly taken?: BpfError["reason"];
  /** The place takes a program once. */
  readonly takesOnce?: true;
  /** It is gone with the device. */
  readonly isOnDevice?: true;
}

/** An interface of a run: made when it is asked for, deleted by some sequences. */
class Device implements Disposable {
  readonly #make: () => Pair;
  #pair: Pair | undefined;

  constructor(make: () => Pair) {
    this.#make = make;
  }

  get name(): string {
    return (this.#pair ??= this.#make()).name;
  }

  delete(): void {
    this.#pair?.delete();
    this.#pair = undefined;
  }

  [Symbol.dispose](): void {
    this.delete();
  }
}

/** Two interfaces, of which one is used. */
type Pair = Pick<VethPair, "name" | "delete">;

function netkitPair(): Pair {
  const pair = new NetkitPair();
  return { name: pair.primary, delete: () => pair.delete() };
}

/** A link, as it should be. */
interface ModelLink {
  readonly kind: Kind;
  readonly id: number;
  program: Program;
  isAttached: boolean;
  /** Open fds and pins. */
  references: number;
  /** Nothing refers to it any more, but the kernel may not have seen to that. */
  isLeaving: boolean;
}

/** A handle, as it should be. */
interface ModelHandle {
  readonly handle: AnyLink;
  readonly link: ModelLink;
  readonly isMade: boolean;
  readonly abort: AbortController | undefined;
  isOpen: boolean;
  chosen: "detach" | "keep" | undefined;
  /** Made by it, and removed as far as it knows by nobody. */
  readonly pins: string[];
  openedAt: string | undefined;
}

const which = fc.nat(5), slot = fc.constantFrom(...SLOTS);

function operations(kinds: number, hasDevice: boolean): fc.Arbitrary<Operation> {
  return fc.oneof(
    ...hasDevice ? [{ weight: 1, arbitrary: fc.record({ do: fc.constant("deleteDevice" as const) }) }] : [],
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("ensure" as const),
        kind: fc.nat(kinds - 1),
        program: fc.nat(1),
        at: slot,
        isAsync: fc.boolean(),
        replace: fc.boolean(),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("attach" as const),
        kind: fc.nat(kinds - 1),
        program: fc.nat(1),
        isAsync: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("update" as const),
        of: which,
        program: fc.nat(1),
        expected: fc.constantFrom("any", "right", "wrong"),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("detach" as const), of: which, isAsync: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("pin" as const), of: which, at: slot }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("unpin" as const), of: which }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), at: slot }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("openPinned" as const), at: slot }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("open" as const, "fromFd" as const), of: which }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom("close" as const, "dispose" as const),
        of: which,
        isAsync: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("release" as const, "abort" as const), of: which }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("closeReleased" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("choose" as const),
        of: which,
        onClose: fc.constantFrom("detach" as const, "keep" as const),
      }),
    },
  );
}

type Operation =
  | { readonly do: "attach"; readonly kind: number; readonly program: number; readonly isAsync: boolean }
  | Ensure
  | { readonly do: "update"; readonly of: number; readonly program: number; readonly expected: string }
  | { readonly do: "pin"; readonly of: number; readonly at: string }
  | { readonly do: "remove" | "openPinned"; readonly at: string }
  | { readonly do: "detach" | "close" | "dispose"; readonly of: number; readonly isAsync: boolean }
  | { readonly do: "unpin" | "open" | "fromFd" | "release" | "abort"; readonly of: number }
  | { readonly do: "closeReleased" | "deleteDevice" }
  | { readonly do: "choose"; readonly of: number; readonly onClose: "detach" | "keep" };

interface Ensure {
  readonly do: "ensure";
  readonly kind: number;
  readonly program: number;
  readonly at: string;
  readonly isAsync: boolean;
  readonly replace: boolean;
}

/** What should come of it: a refusal, or a link; whether the link that was pinned there ends. */
type Expected =
  & ({ readonly refused: string } | { readonly outcome: "created" | "updated" | "replaced" })
  & { readonly endsOld?: true };

/** The kernel and the model of it, side by side. */
class World implements AsyncDisposable {
  readonly #kinds: readonly Kind[];
  readonly #directory: PinDirectory;
  readonly #devices: readonly Device[];
  readonly #links: ModelLink[] = [];
  readonly #handles: ModelHandle[] = [];
  readonly #pins = new Map<string, ModelLink>();
  readonly #released: { readonly fd: number; readonly link: ModelLink }[] = [];

  constructor(kinds: readonly Kind[], directory: PinDirectory, devices: readonly Device[]) {
    this.#kinds = kinds;
    this.#directory = directory;
    this.#devices = devices;
  }

  /** Does one operation to both, and compares all that can be seen. */
  async do(operation: Operation): Promise<void> {
    if (operation.do === "attach") await this.#attach(operation);
    else if (operation.do === "ensure") await this.#ensure(operation);
    else if (operation.do === "deleteDevice") {
      for (const device of this.#devices) device.delete();
      for (const link of this.#links) if (link.kind.isOnDevice) link.isAttached = false;
    } else if ("of" in operation) {
      if (this.#handles.length === 0) return;
      await this.#toHandle(operation, this.#handles[operation.of % this.#handles.length]!);
    } else if (!("at" in operation)) {
      const released = this.#released.shift();
      if (released === undefined) return;
      close(released.fd);
      this.#drop(released.link);
    } else {
      const path = this.#directory.pin(operation.at), link = this.#pins.get(path);
      if (operation.do === "openPinned") {
        const opened = await outcome(() => Link.openPinned(path));
        if (link === undefined) return expect(opened, "gone");
        this.#add(value(opened), link, { openedAt: path });
      } else if (link !== undefined) {
        Deno.removeSync(path);
        this.#unpinned(path);
      }
    }
    this.#compare();
  }

  async #attach({ kind: index, program: number, isAsync }: Operation & { do: "attach" }): Promise<void> {
    const kind = this.#kinds[index]!, program = kind.programs[number]!;
    await this.#settle(kind, program);
    const refusal = this.#refusal(kind, program);
    const abort = number === 0 ? new AbortController() : undefined;
    const attach = () =>
      isAsync
        ? Link.attachAsync(program, kind.target, { signal: abort?.signal }) as Promise<AnyLink>
        : Link.attach(program, kind.target, { signal: abort?.signal }) as AnyLink;
    const attached = await outcome(attach);
    if (refusal !== undefined) return expect(attached, refusal);
    this.#add(value(attached), this.#made(kind, value(attached).id, program), { isMade: true, abort });
  }

  #made(kind: Kind, id: number, program: Program): ModelLink {
    const link: ModelLink = { kind, id, program, isAttached: true, references: 0, isLeaving: false };
    this.#links.push(link);
    return link;
  }

  /** Why a new link is refused, if it is; `without` one that was detached before. */
  #refusal(kind: Kind, program: Program, without?: ModelLink): string | undefined {
    const others = this.#links.filter((link) => link.kind === kind && link.isAttached && link !== without);
    if (others.length > 0 && kind.taken !== undefined) return kind.taken;
    return kind.takesOnce && others.some((link) => link.program === program) ? "exists" : undefined;
  }

  /**
   * Waits until a program can be attached, if only links are in its way that nothing refers to any more: they leave late,
   * after their ids.
   */
  async #settle(kind: Kind, program: Program): Promise<void> {
    const leaving = this.#links.filter((link) =>
      link.kind === kind && link.isLeaving && (kind.taken !== undefined || kind.takesOnce && link.program === program)
    );
    if (leaving.length === 0 || this.#refusal(kind, program) !== undefined) return;
    const isFree = () => {
      try {
        Link.attach(program, kind.target as never).close();
        return true;
      } catch (error) {
        if (error instanceof BpfError) return false;
        throw error;
      }
    };
    await until(isFree, `${kind.name} takes another link`);
    for (const link of leaving) link.isLeaving = false;
  }

  async #ensure({ kind: index, program: number, at, isAsync, replace }: Ensure): Promise<void> {
    const kind = this.#kinds[index]!, program = kind.programs[number]!;
    const path = this.#directory.pin(at), old = this.#pins.get(path);
    await this.#settle(kind, program);
    const expected = this.#expected(kind, program, old, replace), { target } = kind;
    const ensured = await outcome<{ readonly link: AnyLink; readonly outcome: string }>(() =>
      isAsync
        ? Link.ensurePinnedAsync(path, program, target as never, { replace })
        : Link.ensurePinned(path, program, target as never, { replace })
    );
    if (old !== undefined && expected.endsOld && old.kind.hasDetach) old.isAttached = false;
    if ("refused" in expected) return expect(ensured, expected.refused);
    const { link: handle, outcome: what } = value(ensured);
    assertEquals(what, expected.outcome, kind.name);
    if (what === "updated") {
      if (kind.hasUpdate) old!.program = program;
      return this.#add(handle, old!, { openedAt: path });
    }
    const link = this.#made(kind, handle.id, program);
    this.#add(handle, link, { openedAt: path });
    link.references++;
    this.#pins.set(path, link);
    if (old !== undefined) this.#drop(old);
  }

  /** See the table at `takeOver` in lib/ensure_pinned.ts. */
  #expected(kind: Kind, program: Program, old: ModelLink | undefined, replace: boolean): Expected {
    const refusal = this.#refusal(kind, program);
    const refused = refusal === undefined ? undefined : { refused: refusal };
    if (old === undefined) return refused ?? { outcome: "created" };
    const replaced: Expected = refused ?? { outcome: "replaced", endsOld: true };
    if (old.kind.tells && !old.isAttached) return replaced;
    if (old.kind !== kind) return replace ? replaced : { refused: "mismatch" };
    const has = old.program === program;
    if (kind.hasUpdate) {
      const isThere = !has && kind.takesOnce && this.#refusal(kind, program, old) !== undefined;
      return isThere ? { refused: "exists" } : { outcome: "updated" };
    }
    if (refusal === undefined || has) return refusal === undefined ? replaced : { outcome: "updated" };
    // the place takes one link: the old one ends first
    const again = this.#refusal(kind, program, old);
    return again === undefined ? { outcome: "replaced", endsOld: true } : { refused: again, endsOld: true };
  }

  async #toHandle(operation: Operation & { of: number }, model: ModelHandle): Promise<void> {
    const { handle, link } = model, { kind } = link;
    switch (operation.do) {
      case "update": {
        const program = kind.programs[operation.program]!, other = kind.programs.find((one) => one !== link.program)!;
        const expected = operation.expected === "any"
          ? undefined
          : operation.expected === "right"
          ? link.program
          : other;
        if (kind.takesOnce) await this.#settle(kind, program);
        const updated = await outcome(() => handle.update(program, { expected }));
        if (!model.isOpen) return expect(updated, "closed");
        if (!kind.hasUpdate) return expect(updated, "unsupported");
        const isWrong = operation.expected === "wrong", isDetached = !link.isAttached;
        if (isWrong || isDetached) {
          return expect(updated, ...isWrong ? ["mismatch"] : [], ...isDetached ? ["gone"] : []);
        }
        if (kind.takesOnce && program !== link.program && this.#refusal(kind, program, link) !== undefined) {
          return expect(updated, "exists");
        }
        expect(updated);
        link.program = program;
        return;
      }
      case "detach": {
        const detached = await outcome(() => operation.isAsync ? handle.detachAsync() : handle.detach());
        if (!model.isOpen) return expect(detached, "closed");
        if (!kind.hasDetach) return expect(detached, "unsupported");
        expect(detached);
        link.isAttached = false;
        return this.#removePins(model);
      }
      case "pin": {
        const path = this.#directory.pin(operation.at);
        const pinned = await outcome(() => handle.pin(path));
        if (!model.isOpen) return expect(pinned, "closed");
        if (this.#pins.has(path)) return expect(pinned, "exists");
        expect(pinned);
        model.pins.push(path);
        this.#pins.set(path, link);
        link.references++;
        return;
      }
      case "unpin": {
        const path = model.pins.at(-1) ?? model.openedAt, unpinned = await outcome(() => handle.unpin());
        if (!model.isOpen || path === undefined) return expect(unpinned, "closed");
        const there = this.#pins.get(path);
        if (there !== link) return expect(unpinned, there === undefined ? "gone" : "mismatch");
        expect(unpinned);
        if (model.pins.pop() === undefined) model.openedAt = undefined;
        return this.#unpinned(path);
      }
      case "open": {
        const isGone = link.references === 0;
        if (isGone) await until(() => reasonOf(tryOpen(link.id)) === "gone", `link ${link.id} is gone`);
        else this.#add(value(await outcome(() => Link.open(link.id))), link, {});
        return;
      }
      case "fromFd": {
        const taken = await outcome(() => Link.fromFd(handle.fd));
        if (!model.isOpen) return expect(taken, "closed");
        return this.#add(value(taken), link, {});
      }
      case "close":
        expect(await outcome(() => operation.isAsync ? handle.closeAsync() : handle.close()));
        return this.#close(model);
      case "dispose":
        expect(await outcome(() => operation.isAsync ? handle[Symbol.asyncDispose]() : handle[Symbol.dispose]()));
        return this.#close(model);
      case "release": {
        const released = await outcome(() => handle.release());
        if (!model.isOpen) return expect(released, "closed");
        this.#released.push({ fd: value(released), link });
        model.isOpen = false; // the fd is a reference as before
        return;
      }
      case "abort": {
        if (model.abort === undefined || model.abort.signal.aborted) return;
        model.abort.abort();
        if (model.isOpen) model.chosen = "detach";
        return this.#close(model);
      }
      case "choose":
        if (model.isOpen) handle.onClose = model.chosen = operation.onClose;
    }
  }

  #add(
    handle: AnyLink,
    link: ModelLink,
    { isMade = false, abort, openedAt }: Partial<Pick<ModelHandle, "isMade" | "abort" | "openedAt">>,
  ): void {
    this.#handles.push({ handle, link, isMade, abort, openedAt, isOpen: true, chosen: undefined, pins: [] });
    link.references++;
  }

  #close(model: ModelHandle): void {
    if (!model.isOpen) return;
    const ends = onClose(model) === "detach";
    model.isOpen = false;
    if (ends) {
      if (model.link.kind.hasDetach) model.link.isAttached = false;
      this.#removePins(model);
    }
    this.#drop(model.link);
  }

  #removePins({ pins, link }: ModelHandle): void {
    for (const path of pins.splice(0)) if (this.#pins.get(path) === link) this.#unpinned(path);
  }

  #unpinned(path: string): void {
    const link = this.#pins.get(path)!;
    this.#pins.delete(path);
    this.#drop(link);
  }

  #drop(link: ModelLink): void {
    if (--link.references > 0) return;
    link.isLeaving = link.isAttached;
    link.isAttached = false;
  }

  #compare(): void {
    for (const model of this.#handles) {
      const { handle, link: { kind, id, program, isAttached }, isOpen } = model;
      assertEquals([handle.closed, handle.id], [!isOpen, id]);
      if (!isOpen) continue;
      const info = handle.info();
      assertEquals(
        [info.id, info.programId, info.attached],
        [id, program.id, kind.tells ? isAttached : undefined],
        kind.name,
      );
      assertEquals(
        [handle.onClose, handle.pinnedPath],
        [onClose(model), model.pins.at(-1) ?? model.openedAt],
        kind.name,
      );
    }
    assertEquals(this.#directory.pins.map((name) => this.#directory.pin(name)), [...this.#pins.keys()].sort());
  }

  /** Ends all, and looks whether nothing is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { handle } of this.#handles) {
      handle.onClose = "detach"; // by force, for another process may look at it just now
      handle.close();
    }
    for (const { fd } of this.#released) ended(fd);
    for (const name of this.#directory.pins) {
      ended(objGet(this.#directory.pin(name)));
      Deno.removeSync(this.#directory.pin(name));
    }
    for (const { kind, program } of this.#links.filter(({ isLeaving }) => isLeaving)) {
      await this.#settle(kind, program);
    }
    for (const { id } of this.#links) await until(() => reasonOf(tryOpen(id)) === "gone", `link ${id} is gone`);
  }
}

/** Detaches a link by force, if that can be, and closes it. */
function ended(fd: number): void {
  tryDetach(fd);
  close(fd);
}

function onClose({ isMade, pins, chosen }: ModelHandle): "detach" | "keep" {
  return chosen ?? (isMade && pins.length === 0 ? "detach" : "keep");
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

async function outcome<T>(call: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error };
  }
}

function tryOpen(id: number): Outcome<void> {
  try {
    return { value: Link.open(id).close() };
  } catch (error) {
    return { error };
  }
}

function value<T>(result: Outcome<T>): T {
  if ("value" in result) return result.value;
  throw result.error;
}

/** Why a call was refused: "closed" for a handle that is, or that knows no pin. */
function reasonOf(result: Outcome<unknown>): string | undefined {
  if ("value" in result) return undefined;
  const { error } = result;
  if (error instanceof BpfError) return error.reason;
  if (error instanceof Deno.errors.BadResource) return "closed";
  throw error;
}

/** Fails unless the call was refused for one of the reasons, or was not if there is none. */
function expect(result: Outcome<unknown>, ...reasons: readonly (string | undefined)[]): void {
  const reason = reasonOf(result);
  if (reasons.length === 0 ? reason === undefined : reasons.includes(reason)) return;
  const cause = "error" in result ? result.error : undefined;
  throw new Error(`${reason ?? "done"} instead of ${reasons.join(" or ") || "done"}`, { cause });
}

/** Runs sequences over links of those kinds that are on a device, or of those that are not and wait for nothing. */
async function runSequences(count: number, isOnDevice: boolean): Promise<void> {
  console.log(`BPF_LINK_TEST_SEED=${SEED}`);
  using own = new DisposableStack();
  const device = own.use(new Device(() => new VethPair())), netkit = own.use(new Device(netkitPair));
  const directory = own.use(new PinDirectory()), cgroup = own.use(new Cgroup()).path;
  const two = (make: () => Program): [Program, Program] => [own.use(make()), own.use(make())];
  const ordered = (): Omit<Kind, "name" | "target"> => ({
    programs: two(tcx),
    hasUpdate: true,
    hasDetach: true,
    tells: true,
    takesOnce: true,
    isOnDevice: true,
  });
  const event = { type: "software", config: "cpu_clock", cpu: 0, samplePeriod: 1_000_000_000n } as const;
  const all: Kind[] = [
    {
      name: "cgroup",
      target: { type: "cgroup", cgroup, attachType: "cgroup_inet_egress" },
      programs: two(cgroupEgress),
      hasUpdate: true,
      hasDetach: true,
      tells: true,
    },
    {
      name: "sk_lookup",
      target: { type: "netns" },
      programs: two(skLookup),
      hasUpdate: true,
      hasDetach: true,
      tells: true,
    },
    {
      name: "flow_dissector",
      target: { type: "netns" },
      programs: two(flowDissector),
      hasUpdate: true,
      hasDetach: true,
      tells: true,
      taken: "limit",
    },
    {
      name: "netfilter",
      target: { type: "netfilter", family: "ipv4", hook: "local_in", priority: 5 },
      programs: two(netfilter),
      hasUpdate: false,
      hasDetach: true,
      tells: false,
      taken: "busy",
    },
    {
      name: "iter",
      target: { type: "iter" },
      programs: two(() => taskIterator("p")),
      hasUpdate: true,
      hasDetach: false,
      tells: false,
    },
    {
      name: "perf_event",
      target: { type: "perf_event", event },
      programs: two(() => answering(0, { type: "perf_event" })),
      hasUpdate: false,
      hasDetach: false,
      tells: false,
    },
    {
      name: "tcx",
      get target(): AttachTarget {
        return { type: "tcx", device: device.name, direction: "ingress" };
      },
      ...ordered(),
    },
    {
      name: "xdp",
      get target(): AttachTarget {
        return { type: "xdp", device: device.name, mode: "generic" };
      },
      programs: two(xdp),
      hasUpdate: true,
      hasDetach: true,
      tells: true,
      taken: "busy",
      isOnDevice: true,
    },
  ];
  if (whyMissing(["netkit"]) === undefined) {
    all.push({
      name: "netkit",
      get target(): AttachTarget {
        return { type: "netkit", device: netkit.name };
      },
      ...ordered(),
    });
  }
  const kinds = all.filter((kind) => kind.isOnDevice === true === isOnDevice);
  const open = openHandles().length;
  const property = fc.asyncProperty(
    fc.array(operations(kinds.length, isOnDevice), { minLength: 1, maxLength: MOST_OPERATIONS }),
    async (sequence) => {
      {
        await using world = new World(kinds, directory, [device, netkit]);
        for (const operation of sequence) await world.do(operation);
      }
      assert(openHandles().length === open, "a handle is still known");
    },
  );
  await fc.assert(property, { numRuns: count, seed: SEED });
}

const NEEDS = { needs: ["cgroup2", "bpffs", "netns"], since: "6.6" } as const;

kernelTest(
  `${SEQUENCES} random sequences come out as the model says`,
  NEEDS,
  () => runSequences(SEQUENCES, false),
);

kernelTest(
  `${ON_DEVICE} random sequences with links to a device come out as the model says`,
  NEEDS,
  () => runSequences(ON_DEVICE, true),
);
