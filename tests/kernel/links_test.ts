/** The sources of listings: they tell the same of the same links, whatever goes on, to those who may know it. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { readInfo } from "../../lib/kind/mod.ts";
import { closeIterator, LinkIterator, linkLayout, loadedIterator } from "../../lib/listing/iterator.ts";
import type { BpfLinkInfo } from "../../lib/sys/type/mod.ts";
import { type AnyLink, Link, type LinkInfo, type Program, type Source } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { withOnly, WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { cgroupEgress, taskIterator } from "../fixture/program/programs.ts";
import { SINCE as ROWS_SINCE } from "../fixture/run/expectations.ts";
import { isOlder, kernelTest } from "../fixture/run/kernel.ts";
import { netnsIno } from "../fixture/run/own.ts";
import { until } from "../fixture/run/wait.ts";
import { ROWS } from "./conformance.ts";

const SINCE = "5.19"; // the iterator
const SOURCES: readonly Source[] = ["iterator", "syscall", "proc"];
const WITH_BPF = withOnly("perfmon", "bpf");
const WITHOUT = WITHOUT_CAPABILITIES;

/** A test that leaves no iterator loaded. */
function sourceTest(
  name: string,
  requirements: Parameters<typeof kernelTest>[1],
  test: () => void | Promise<void>,
): void {
  kernelTest(name, { since: SINCE, ...requirements }, async () => {
    try {
      await test();
    } finally {
      closeIterator();
    }
  });
}

async function only(id: number, source: Source): Promise<LinkInfo> {
  const infos = (await Array.fromAsync(Link.infos({ source }))).filter((info) => info.id === id);
  assertEquals(infos.length, 1, `how often ${source} lists link ${id}`);
  return infos[0]!;
}

/** Both tell the same, apart from counters and what only one of them tells. */
function assertAgree(info: LinkInfo | Record<string, unknown>, expected: LinkInfo): void {
  const other = expected as unknown as Record<string, unknown>;
  const common = Object.entries(info).filter(([key]) => key in other && key !== "missed");
  assertEquals(common, common.map(([key]) => [key, other[key]]));
}

for (const row of ROWS) {
  const since = ROWS_SINCE[row.name]!.attach!;
  sourceTest(`each source tells the same: ${row.name}`, { since, needs: row.needs }, async () => {
    await using place = await row.place();
    using program = row.program("pass");
    using link = Link.attach(program, place.target) as AnyLink;
    const expected = link.info();
    const untold = row.type.endsWith("probe_multi") && isOlder(Deno.osRelease(), "6.17"); // in /proc
    const missing: readonly Source[] = [
      ...isOlder(Deno.osRelease(), SINCE) ? ["iterator"] as const : [],
      ...untold ? ["proc"] as const : [],
    ];
    const sources = SOURCES.filter((source) => !missing.includes(source));
    for (const source of sources) {
      const info = await only(link.id, source);
      assertEquals([info.type, info.programId, info.attached], [expected.type, program.id, expected.attached]);
      if (source !== "proc") assertAgree(info, expected);
      if (source === "syscall") assertEquals(info, expected);
      if (source === "iterator") assertEquals(Object.keys(expected).filter((key) => !(key in info)), []);
    }
    if (untold) return;
    const { addresses: _, event: _event, ...proc } = { ...await only(link.id, "proc") } as Record<string, unknown>;
    assertAgree(proc, expected);
    if (row.hasDetach && !row.hidesDetachment) {
      link.detach();
      for (const source of sources) assertAgree(await only(link.id, source), link.info());
    }
  });
}

/** What records leave to the links themselves, and counters. */
const ASKED: Readonly<Record<string, readonly string[]>> = {
  perf_event: ["event", "symbol", "address", "path", "offset", "eventType", "config", "name", "cookie", "missed"],
  kprobe_multi: ["addresses", "missed"],
  uprobe_multi: ["path", "offsets"],
};

/** What the record alone says of a link. */
function recorded(iterator: LinkIterator, id: number): LinkInfo | undefined {
  const records = iterator.run();
  let at = records.first;
  while (at < records.end && records.id(at) !== id) at = records.next(at);
  return at < records.end ? readInfo(records.recorded(at)) : undefined;
}

for (const row of ROWS) {
  const attach = ROWS_SINCE[row.name]!.attach!, since = isOlder(attach, SINCE) ? SINCE : attach;
  sourceTest(`its record alone tells the same: ${row.name}`, { since, needs: row.needs }, async () => {
    await using place = await row.place();
    using program = row.program("pass");
    using link = Link.attach(program, place.target) as AnyLink;
    const withoutCast = new Map(linkLayout());
    withoutCast.delete("bpf_rdonly_cast()"); // as before Linux 6.2
    for (const layout of [linkLayout(), withoutCast]) {
      using iterator = new LinkIterator(layout);
      const expected: Record<string, unknown> = { ...link.info() };
      for (const key of ASKED[row.type] ?? []) delete expected[key];
      const told = { ...recorded(iterator, link.id) } as Record<string, unknown>;
      assertEquals(Object.fromEntries(Object.keys(expected).map((key) => [key, told[key]])), expected);
      if (["xdp", "tcx"].includes(row.type)) assertEquals(told.netnsIno, netnsIno());
    }
  });
}

sourceTest("pins are seen in /proc's place too", { needs: ["bpffs"] }, async () => {
  using pins = new PinDirectory();
  using program = taskIterator("t");
  const link = Link.attach(program, { type: "iter" });
  const { id } = link;
  const expected = link.info();
  link.pin(pins.pin("link"));
  link.close();
  for (const source of SOURCES) assertEquals(await only(id, source), expected);
});

sourceTest("links come and go during a listing", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using iterator = taskIterator("t");
  using stack = new DisposableStack();
  const attach = () => Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  const held = Array.from({ length: 20 }, () => stack.use(attach()));
  for (const source of SOURCES) {
    const ids: number[] = [];
    for await (const { id } of Link.infos({ source })) {
      ids.push(id);
      using _ = Link.attach(iterator, { type: "iter" });
    }
    assert(ids[0]! > 0, "a link that is just being made has no id yet");
    assertEquals(ids, ids.toSorted((a, b) => a - b));
    assertEquals(new Set(ids).size, ids.length);
    for (const { id } of held) assert(ids.includes(id), `${source} does not list ${id}`);
  }
});

sourceTest("names, and pieces of many links, are whole", {}, async () => {
  using program = taskIterator("t");
  using stack = new DisposableStack();
  const ids = Array.from({ length: 2000 }, () => stack.use(Link.attach(program, { type: "iter" })).id);
  const listing = Link.infos();
  assertEquals([listing.source, listing.partial], ["iterator", false], "the choice where there are many");
  const infos = (await Array.fromAsync(listing)).filter(({ programId }) => programId === program.id);
  assertEquals(infos, ids.map((id) => ({ type: "iter", id, programId: program.id, targetName: "task" })));
});

sourceTest("a choice where there are few, and types", {}, async () => {
  using program = taskIterator("t");
  using link = Link.attach(program, { type: "iter" });
  const listing = Link.infos({ types: ["iter"] });
  assert(["syscall", "iterator"].includes(listing.source));
  assert((await Array.fromAsync(listing)).some(({ id }) => id === link.id));
  for (const source of SOURCES) {
    const infos = await Array.fromAsync(Link.infos({ source, types: ["xdp"] }));
    assertEquals(infos.filter(({ type }) => type !== "xdp"), []);
  }
});

sourceTest("our own iterator is in no listing", {}, async () => {
  const ids = new Set<number>();
  await Array.fromAsync(Link.infos({ source: "iterator" }));
  const { linkId } = loadedIterator()!;
  for (const source of SOURCES) for await (const { id } of Link.infos({ source })) ids.add(id);
  assert(!ids.has(linkId));
  for await (using link of Link.all()) assertNotEquals(link.id, linkId);
  assertEquals(Link.open(linkId)[Symbol.dispose](), undefined, "it is there");
});

sourceTest("list() returns at once what infos() yields, and says from where", {}, async () => {
  using program = taskIterator("list");
  using _links = manyLinks(program, 700); // several pieces
  for (const source of SOURCES) {
    const isOurs = ({ programId }: LinkInfo) => programId === program.id;
    const list = Link.list({ source, types: ["iter", "xdp"] });
    const infos = await Array.fromAsync(Link.infos({ source, types: ["iter", "xdp"] }));
    assertEquals(list.filter(isOurs), infos.filter(isOurs));
    assertEquals([list.filter(isOurs).length, list.source, list.partial], [700, source, source === "proc"]);
    assertEquals(Link.list({ source, types: ["xdp"] }).filter(isOurs), []);
  }
  assert(!Link.list({ source: "iterator" }).some(({ id }) => id === loadedIterator()?.linkId));
  const reason = new Error("enough");
  assertThrows(() => Link.list({ signal: AbortSignal.abort(reason) }), Error, "enough");
  assertThrows(() => Link.list({ source: "netlink" as Source }), TypeError, "options.source");
});

sourceTest(
  "listings by turns, steps at once and loops that are left disturb no other listing",
  {},
  async () => {
    using program = taskIterator("turns");
    using first = Link.attach(program, { type: "iter" });
    using _links = manyLinks(program, 700);
    const isOurs = ({ programId }: LinkInfo) => programId === program.id;
    for (const source of SOURCES) {
      const expected = Link.list({ source }).filter(isOurs);
      const listings = [Link.infos({ source }), Link.infos({ source })], infos: LinkInfo[][] = [[], []];
      for (let ended = 0; ended < 2;) {
        ended = 0;
        for (const [i, listing] of listings.entries()) {
          const steps = await Promise.all([listing.next(), listing.next(), listing.next()]);
          for (const { value } of steps) if (value) infos[i]!.push(value);
          if (steps[2].done) ended++;
        }
        if (source === "proc") continue; // it takes long
        if (source === "iterator") first.close(); // what is read from now on lies elsewhere
        for await (const _ of Link.infos({ source, types: ["iter"] })) break;
      }
      assertEquals(infos.map((infos) => infos.filter(isOurs)), [expected, expected]);
      for (const listing of listings) assertEquals(await listing.next(), { done: true, value: undefined });
    }
  },
);

sourceTest("what is left of a listing is not told once it is closed or its signal aborted", {}, async () => {
  using program = taskIterator("left");
  using _links = manyLinks(program, 700);
  for (const source of SOURCES) {
    const closed = Link.infos({ source }), abort = new AbortController();
    await closed.next();
    await closed.return!();
    assertEquals(await closed.next(), { done: true, value: undefined });
    const aborted = Link.infos({ source, signal: abort.signal });
    await aborted.next();
    abort.abort(new Error("enough"));
    await assertRejects(() => aborted.next(), Error, "enough");
    const unread = Link.infos({ source });
    await unread[Symbol.asyncDispose]();
    assertEquals(await unread.next(), { done: true, value: undefined });
  }
});

/** Links that wait for nothing, until the end of the scope. */
function manyLinks(program: Program, count: number): Disposable {
  const stack = new DisposableStack();
  for (let i = 0; i < count; i++) stack.use(Link.attach(program, { type: "iter" }));
  return stack;
}

kernelTest("an idle iterator is unloaded, and loaded again when it is asked for", { since: SINCE }, async () => {
  await Array.fromAsync(Link.infos({ source: "iterator" }));
  await until(() => loadedIterator() === undefined, "the iterator is unloaded");
  await Array.fromAsync(Link.infos({ source: "iterator" }));
  closeIterator();
});

/** The kernel's layout with one member that lies elsewhere, or is missing. */
function planted(struct: string, path: string, shift: number | undefined): ReturnType<typeof linkLayout> {
  const layout = new Map(linkLayout()), { id, members } = layout.get(struct)!;
  const changed = new Map(members), { offsets, size } = members.get(path)!;
  if (shift === undefined) changed.delete(path);
  else changed.set(path, { size, offsets: offsets.with(-1, offsets.at(-1)! + shift) });
  return layout.set(struct, { id, members: changed });
}

for (const [what, shift] of [["a wrong offset", -8], ["a missing member", undefined]] as const) {
  sourceTest(`${what} falls back to the links themselves`, { needs: ["cgroup2"] }, () => {
    using cgroup = new Cgroup();
    using program = cgroupEgress();
    using stack = new DisposableStack();
    const target = { type: "cgroup", cgroup: cgroup.path } as const;
    const links = Array.from({ length: 6 }, () => stack.use(Link.attach(program, target)));
    using iterator = new LinkIterator(planted("bpf_cgroup_link", "cgroup.kn.id", shift));
    for (let run = 0; run < 2; run++) {
      const records = iterator.run();
      const infos: (BpfLinkInfo | undefined)[] = [];
      for (let at = records.first; at < records.end; at = records.next(at)) infos.push(records.info(at));
      for (const { id } of links) {
        const info = infos.find((info) => info?.id === id);
        assertEquals(info?.type === "cgroup" && info.cgroupId, cgroup.id);
      }
    }
  });
}

sourceTest("a planted offset is seen where nothing can be compared", { needs: ["cgroup2", "setpriv"] }, async () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  const source = (shift: number) => `
    import { LinkIterator, linkLayout } from "${new URL("../../lib/listing/iterator.ts", import.meta.url)}";
    const layout = linkLayout();
    const { offsets } = layout.get("bpf_cgroup_link").members.get("cgroup.kn.id");
    offsets[offsets.length - 1] += ${shift};
    using iterator = new LinkIterator(layout);
    const records = iterator.run();
    for (let at = records.first; at < records.end; at = records.next(at)) {
      if (records.id(at) === ${link.id}) console.log(String(records.info(at).cgroupId));
    }`;
  const told = async (shift: number) => {
    const { code, errors, output } = await runScript(source(shift), ["--allow-ffi"], { through: WITH_BPF });
    assertEquals([code, errors], [0, ""]);
    assertMatch(output, /^\d+\n$/);
    return BigInt(output.trim());
  };
  assertEquals(await told(0), cgroup.id);
  assertNotEquals(await told(-8), cgroup.id);
});

const LIST = (options: string) => `
  import { Link } from "${MOD}";
  const listing = Link.infos(${options});
  const infos = await Array.fromAsync(listing);
  console.log(listing.source, listing.partial, infos.map(({ id }) => id).join());`;

sourceTest("with CAP_BPF and CAP_PERFMON alone all links are listed", { needs: ["setpriv"] }, async () => {
  using program = taskIterator("t");
  using link = Link.attach(program, { type: "iter" });
  const { output, errors } = await runScript(LIST(""), ["--allow-ffi"], { through: WITH_BPF });
  const [source, partial, ids = ""] = output.trim().split(" ");
  assertEquals([source, partial, errors], ["iterator", "false", ""]);
  assert(ids.split(",").includes(String(link.id)));
});

sourceTest("without capabilities those that can be seen are listed", { needs: ["setpriv"] }, async () => {
  using program = taskIterator("t");
  using link = Link.attach(program, { type: "iter" });
  const { output, errors } = await runScript(LIST(""), ["--allow-ffi"], { through: WITHOUT });
  const [source, partial, ids = ""] = output.trim().split(" ");
  assertEquals([source, partial, errors], ["proc", "true", ""]);
  assert(!ids.split(",").includes(String(link.id)), "another process's fds are not to be seen");
  for (const source of ["iterator", "syscall"]) {
    const { code, errors } = await runScript(LIST(`{ source: "${source}" }`), ["--allow-ffi"], { through: WITHOUT });
    assert(code !== 0 && errors.includes("EPERM"), errors);
  }
});

sourceTest("an aborted listing rejects, and a wrong source is refused", {}, async () => {
  for (const source of SOURCES) {
    const reason = new Error("enough");
    const listing = Link.infos({ source, signal: AbortSignal.abort(reason) });
    assertEquals(await assertRejects(() => listing.next()), reason);
    assertEquals(await listing.next().catch((error) => error), reason);
  }
  assertThrows(() => Link.infos({ source: "netlink" as Source }), TypeError, "options.source");
});
