/** What is special about iter links: the text that their program writes. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfError, BpfMap, Link, Program } from "../../../mod.ts";
import { assemble, call, copy, exit, load, mapValue, set } from "../../fixture/program/assembler.ts";
import { answering, elementWriter, taskIterator } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { inOwnVm } from "../../fixture/run/own.ts";
import { netnsFd, NO_FD, rows } from "../refusal/rows.ts";

kernelTest("iter: what it walks is the program's, and what it is narrowed to is told", { since: "6.2" }, () => {
  using program = taskIterator("t");
  using all = Link.attach(program, { type: "iter" });
  using one = Link.attach(program, { type: "iter", task: { pid: Deno.pid } });
  assertEquals([all.info().targetName, one.info().targetName], ["task", "task"]);
  assert(one.read().length < all.read().length, "the threads of this process are fewer than all");
});

const VALUE_SIZE = 8;
/** An iterator over the elements of a map can write to them, which a kernel's policy may refuse. */
const WRITABLE = { needs: ["writable iterators"] } as const;

/** A link over a map of `maxEntries` elements, of which the last are `texts`. */
function linkOver(maxEntries: number, texts: readonly string[], stack: DisposableStack): Link<"iter"> {
  const map = stack.use(BpfMap.create({ type: "array", keySize: 4, valueSize: VALUE_SIZE, maxEntries }));
  texts.forEach((text, i) => {
    const key = new Uint8Array(new Uint32Array([maxEntries - texts.length + i]).buffer);
    map.update(key, new TextEncoder().encode(text));
  });
  return stack.use(Link.attach(stack.use(elementWriter(VALUE_SIZE)), { type: "iter", map }));
}

kernelTest("iter: lines are put together from what the program writes", WRITABLE, async () => {
  using stack = new DisposableStack();
  const link = linkOver(3, ["one\ntwo,", "three\nfo", "ur\nfive!"], stack);
  assertEquals(await Array.fromAsync(link.lines()), ["one", "two,three", "four", "five!"]);
  const begun = link.lines();
  assertEquals((await begun.next()).value, "one");
  link.close();
  assertEquals(await Array.fromAsync(begun), ["two,three", "four", "five!"]);
});

kernelTest("iter: reading goes on after a million objects of which nothing was written", WRITABLE, async () => {
  using stack = new DisposableStack();
  const link = linkOver(1_100_000, ["the end\n"], stack);
  assertEquals(new TextDecoder().decode(link.read()), "the end\n");
  assertEquals(await Array.fromAsync(link.lines()), ["the end"]);
});

kernelTest(
  "iter: a program that asks without end to be run again is given up, and a signal ends the lines",
  { missing: inOwnVm() ? "needs a machine that is not emulated" : undefined }, // it runs millions of times
  async () => {
    using again = answering(1, { type: "tracing", expectedAttachType: "trace_iter", attachTo: "task" });
    using link = Link.attach(again, { type: "iter" });
    const error = assertThrows(() => link.read(), BpfError, "asks without end to be run again");
    assertEquals([error.code, error.reason, error.command], ["EAGAIN", "unsettled", "read"]);
    assertEquals((await assertRejects(() => Array.fromAsync(link.lines()), BpfError)).reason, "unsettled");

    const controller = new AbortController(), { signal } = controller;
    const lines = Array.fromAsync(link.lines({ signal })).catch((error) => error);
    setTimeout(() => controller.abort("enough"));
    assertEquals(await lines, "enough");
    assertEquals(await link.lines({ signal }).next().catch((error) => error), "enough");
    await assertRejects(() => link.lines({ signals: signal } as never).next(), TypeError, "signal");
  },
);

kernelTest("iter: an abort between two lines", {}, async () => {
  using program = taskIterator("\n");
  using link = Link.attach(program, { type: "iter" });
  const controller = new AbortController(), lines = link.lines({ signal: controller.signal });
  assertEquals((await lines.next()).value, "");
  controller.abort("enough");
  assertEquals(await lines.next().catch((error) => error), "enough");
});

kernelTest("iter: more for one object than the kernel's buffer holds", {}, () => {
  using map = BpfMap.create({ type: "array", valueSize: 30_000, maxEntries: 1 });
  using program = Program.load({
    type: "tracing",
    expectedAttachType: "trace_iter",
    attachTo: "task",
    license: "GPL",
    instructions: assemble(
      copy(6, 1),
      ...Array.from({ length: 2 }, () => [
        load(1, 6, 0), // ctx->meta
        load(1, 1, 0), // meta->seq
        ...mapValue(2, map.fd),
        set(3, 30_000),
        call(127), // bpf_seq_write
      ]).flat(),
      set(0, 0),
      exit,
    ),
  });
  using link = Link.attach(program, { type: "iter" });
  const error = assertThrows(() => link.read(), BpfError, "more for one object");
  assertEquals([error.code, error.reason], ["E2BIG", "limit"]);
});

/** Walks the elements of a map, of which it must be told. */
function mapIterator(): Program {
  return answering(0, { type: "tracing", expectedAttachType: "trace_iter", attachTo: "bpf_map_elem" });
}

rows(
  {},
  [
    "a target, which iterators have not",
    (own) => linkCreate(own.use(taskIterator("x")).fd, netnsFd(own), "trace_iter"),
    "LINK_CREATE EINVAL invalid",
    /iterator refuses/,
  ],
);

rows(
  WRITABLE,
  [
    "the map that is not said",
    (own) => linkCreate(own.use(mapIterator()).fd, 0, "trace_iter"),
    "LINK_CREATE EBADF invalid",
    /needs a map/,
  ],
);
rows(
  { since: "6.1" },
  [
    "a thread and a process at once",
    (own) => linkCreate(own.use(taskIterator("x")).fd, 0, "trace_iter", { iterInfo: { task: { tid: 1, pid: 1 } } }),
    "LINK_CREATE EINVAL invalid",
    /one of tid, pid and pidfd/,
  ],
  [
    "a process file that is none",
    (own) => linkCreate(own.use(taskIterator("x")).fd, 0, "trace_iter", { iterInfo: { task: { pidFd: NO_FD } } }),
    "LINK_CREATE EBADF invalid",
    /process that is open/,
  ],
);
