/** The checks that every kind of link must pass, by the letters of the conformance list; the kinds are the rows of conformance.ts. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type AnyLink, BpfError, Link, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { SINCE } from "../fixture/run/expectations.ts";
import { kernelTest, type Need } from "../fixture/run/kernel.ts";
import { assertGone, isLinkFd } from "../fixture/run/state.ts";
import { type Place, type Row, ROWS } from "./conformance.ts";

/** A program attached to a place of its own, and what it takes to check it. */
interface Scene {
  readonly row: Row;
  readonly place: Place;
  readonly program: Program;
  attach(): AnyLink;
  /** Whether the program is seen to run, where that can be seen. */
  assertBlocks(expected: boolean, link?: AnyLink): Promise<void>;
}

function check(
  name: string,
  test: (scene: Scene) => void | Promise<void>,
  { rows = ROWS, needs = [] }: { rows?: readonly Row[]; needs?: readonly Need[] } = {},
): void {
  for (const row of rows) {
    kernelTest(
      `${name}: ${row.name}`,
      { since: SINCE[row.name]!.reattach!, needs: [...row.needs, ...needs] },
      async () => {
        await using place = await row.place();
        using program = row.program("block");
        await test({
          row,
          place,
          program,
          attach: () => Link.attach(program, place.target) as AnyLink,
          async assertBlocks(expected, link): Promise<void> {
            if (place.blocks) assertEquals(await place.blocks(link), expected, "whether the program runs");
          },
        });
      },
    );
  }
}

/** Whether the kernel reports whether such a link is attached. */
function tellsAttached(row: Row): boolean {
  return row.hasDetach && !row.hidesDetachment;
}

check("A attach", async ({ row, program, attach, assertBlocks }) => {
  await assertBlocks(false);
  using link = attach();
  assert(Number.isSafeInteger(link.id) && link.id > 0);
  assertEquals(link.type, row.type);
  assert(link.fd >= 3 && isLinkFd(link.fd));
  assertEquals([link.closed, link.onClose, link.pinnedPath], [false, "detach", undefined]);
  assert(link.is(row.type));
  assertEquals(link.info().programId, program.id);
  program.close(); // the link has its own hold on it
  await assertBlocks(true, link);
});

check("A attachAsync", async ({ row, place, program, assertBlocks }) => {
  await using link = await Link.attachAsync(program, place.target) as AnyLink;
  assertEquals([link.type, link.onClose, link.info().programId], [row.type, "detach", program.id]);
  await assertBlocks(true, link);
});

check("B end of scope", async ({ attach, assertBlocks }) => {
  let id: number, fd: number;
  {
    using link = attach();
    ({ id, fd } = link);
  }
  assert(!isLinkFd(fd));
  await assertBlocks(false);
  await assertGone(id);
});

check("C after the end", async ({ row, attach }) => {
  const link = attach(), { id } = link; // it is known to a closed link that was asked before
  link[Symbol.dispose]();
  link[Symbol.dispose]();
  link.close();
  await link.closeAsync();
  await link[Symbol.asyncDispose]();
  assertEquals([link.closed, link.type], [true, row.type]);
  using next = row.program("pass");
  const verbs: (() => unknown)[] = [
    () => link.info(),
    () => link.attached(),
    () => link.update(next),
    () => link.detach(),
    () => link.pin("/nowhere"),
    () => link.unpin(),
    () => link.release(),
    ...(link.is("iter") ? [() => link.read()] : []),
  ];
  for (const verb of verbs) {
    assertMatch(assertThrows(verb, Deno.errors.BadResource).message, new RegExp(`\\blink ${id}\\b`));
  }
  assertStringIncludes(
    (await assertRejects(() => link.detachAsync(), Deno.errors.BadResource)).message,
    `link ${id}`,
  );
});

check("D throw in the scope", async ({ attach, assertBlocks }) => {
  let id = 0;
  const error = assertThrows(() => {
    using link = attach();
    id = link.id;
    throw new Error("in the body");
  }, Error);
  assertEquals(error.message, "in the body");
  await assertBlocks(false);
  await assertGone(id);

  await assertRejects(async () => {
    await using link = attach();
    id = link.id;
    await assertBlocks(true, link);
    throw new Error("in the body");
  });
  await assertBlocks(false);
  await assertGone(id);
});

check("E pin", async ({ row, program, attach, assertBlocks }) => {
  using pins = new PinDirectory();
  const path = pins.pin("link");
  let id: number;
  {
    using link = attach();
    link.pin(path);
    id = link.id;
    assertEquals([link.pinnedPath, link.onClose], [path, "keep"]);
    const exists = assertThrows(() => link.pin(path), BpfError);
    assertEquals([exists.code, exists.reason], ["EEXIST", "exists"]);
    const elsewhere = assertThrows(() => link.pin("/tmp/bpf-link-test-pin"), BpfError);
    assertEquals([elsewhere.code, elsewhere.reason, link.pinnedPath], ["EPERM", "invalid", path]);
  }
  {
    using link = Link.openPinned(path);
    assertEquals([link.id, link.type, link.pinnedPath, link.onClose], [id, row.type, path, "keep"]);
    await assertBlocks(true, link);
    link.unpin();
    assertEquals([link.pinnedPath, pins.pins], [undefined, []]);
    assertEquals(assertThrows(() => Link.openPinned(path), BpfError).reason, "gone");
  }
  await assertGone(id);
  await assertBlocks(false);

  program.pin(pins.pin("program"));
  assertEquals(assertThrows(() => Link.openPinned(pins.pin("program")), BpfError).reason, "mismatch");
}, { needs: ["bpffs"] });

check("E pin of one's own", async ({ row, attach, assertBlocks }) => {
  using pins = new PinDirectory();
  let id: number;
  {
    using link = attach();
    id = link.id;
    link.pin(pins.pin("link"));
    link.unpin();
    assertEquals([link.onClose, pins.pins], ["detach", []]);
  }
  if (row.hasDetach) await assertBlocks(false);
  await assertGone(id); // the kernel takes its time to drop a pin
  await assertBlocks(false);
}, { needs: ["bpffs"] });

check("E pin, and onClose: detach wins", async ({ place, program, assertBlocks }) => {
  using pins = new PinDirectory();
  for (const name of ["first", "second"]) { // what was learned from the first must not change the second
    const link = Link.attach(program, place.target, { onClose: "detach" }) as AnyLink;
    link.pin(pins.pin(name));
    assertEquals(link.onClose, "detach");
    link.close();
    assertEquals(pins.pins, []);
    await assertGone(link.id);
  }
  await assertBlocks(false);
}, { needs: ["bpffs"] });

check("F open", ({ row, attach, program }) => {
  using link = attach();
  using byId = Link.open(link.id);
  using byFd = Link.fromFd(link.fd);
  for (const other of [byId, byFd]) {
    assertEquals([other.id, other.type, other.onClose, other.pinnedPath], [link.id, row.type, "keep", undefined]);
    assertEquals(other.info() as unknown, link.info());
  }
  assertNotEquals(byFd.fd, link.fd);
  assertEquals(assertThrows(() => Link.fromFd(program.fd), BpfError).reason, "mismatch");
  assertEquals(assertThrows(() => Link.open(0x7ffffff0), BpfError).reason, "gone");
});

check("F2 two handles", async ({ row, attach, assertBlocks }) => {
  const link = attach();
  Link.open(link.id).close();
  await assertBlocks(true, link);
  using other = Link.open(link.id);
  link.close(); // detaches by force, or, without a detach, leaves it to the last handle
  await assertBlocks(!row.hasDetach, other);
  if (tellsAttached(row)) assertEquals(other.attached(), false);
});

check("G update", async ({ row, program, attach, assertBlocks }) => {
  using link = attach();
  using next = row.program("pass");
  link.update(next);
  assertEquals(link.info().programId, next.id);
  await assertBlocks(false, link);

  const lost = assertThrows(() => link.update(program, { expected: program }), BpfError);
  assertEquals([lost.code, lost.reason, lost.command], ["EPERM", "mismatch", "LINK_UPDATE"]);
  assertStringIncludes(lost.message, `Cannot update link ${link.id} (`);
  assertStringIncludes(lost.message, "the link holds another program than expected (EPERM)");
  assertEquals(link.info().programId, next.id);

  link.update(program, { expected: next });
  assertEquals(link.info().programId, program.id);
  await assertBlocks(true, link);

  using misfit = row.misfit();
  assertNotEquals(assertThrows(() => link.update(misfit), BpfError).reason, "unsupported");
  assertEquals(link.info().programId, program.id);
}, { rows: ROWS.filter((row) => row.hasUpdate) });

check("G no update", ({ row, program, attach }) => {
  using link = attach();
  using next = row.program("pass");
  for (const options of [{}, { expected: program }]) {
    assertEquals(assertThrows(() => link.update(next, options), BpfError).reason, "unsupported");
  }
  assertEquals(link.info().programId, program.id);
}, { rows: ROWS.filter((row) => !row.hasUpdate) });

check("H detach", async ({ row, place, program, attach, assertBlocks }) => {
  using link = attach();
  assertEquals(link.attached(), tellsAttached(row) ? true : undefined);
  link.detach();
  await assertBlocks(false);
  assertEquals(link.attached(), tellsAttached(row) ? false : undefined);
  const info: Record<string, unknown> = { ...link.info() };
  for (const field of Object.keys(place.newInfo ?? {})) delete info[field];
  assertEquals(info, {
    id: link.id,
    type: row.type,
    programId: program.id,
    ...tellsAttached(row) ? { attached: false } : {},
    ...place.detachedInfo,
  });
  link.detach();
  await link.detachAsync();
  using next = row.program("pass");
  assertEquals(assertThrows(() => link.update(next), BpfError).reason, row.hasUpdate ? "gone" : "unsupported");
}, { rows: ROWS.filter((row) => row.hasDetach) });

check("H no detach", async ({ attach, assertBlocks }) => {
  using link = attach();
  assertEquals(link.attached(), undefined);
  for (const _ of [1, 2]) {
    const error = assertThrows(() => link.detach(), BpfError);
    assertEquals([error.code, error.reason], ["EOPNOTSUPP", "unsupported"]);
  }
  assertEquals((await assertRejects(() => link.detachAsync(), BpfError)).reason, "unsupported");
  await assertBlocks(true, link);
}, { rows: ROWS.filter((row) => !row.hasDetach) });

check("I info", ({ row, place, program, attach }) => {
  using link = attach();
  const info: Record<string, unknown> = { ...link.info() };
  for (const [field, value] of Object.entries(place.newInfo ?? {})) {
    if (field in info) value instanceof Function ? assert(value(info[field])) : assertEquals(info[field], value);
    delete info[field];
  }
  const attached = tellsAttached(row) ? { attached: true } : {};
  assertEquals(info, { id: link.id, type: row.type, programId: program.id, ...attached, ...place.info });
});

check("J enumerate", async ({ row, attach }) => {
  using link = attach();
  let count = 0;
  for await (using other of Link.all()) {
    if (other.id !== link.id) continue;
    count++;
    assertEquals([other.type, other.onClose], [row.type, "keep"]);
  }
  assertEquals(count, 1);
  const infos = await Array.fromAsync(Link.infos());
  assertEquals(infos.filter(({ id }) => id === link.id) as unknown[], [link.info()]);
});

kernelTest("J enumerate during churn", {}, async () => {
  const maker = runScript(
    `
    import { Link } from "${MOD}";
    import { taskIterator } from "${new URL("../fixture/program/programs.ts", import.meta.url)}";
    using program = taskIterator("x");
    for (const end = performance.now() + 300; performance.now() < end;) Link.attach(program, { type: "iter" }).close();`,
    ["--allow-ffi"],
  );
  let isDone = false, rounds = 0;
  const outcome = maker.finally(() => isDone = true);
  while (!isDone) {
    for await (using link of Link.all()) assert(link.id > 0);
    rounds++;
    await new Promise((resolve) => setTimeout(resolve));
  }
  assertEquals((await outcome).errors, "");
  assert(rounds > 1);
});
