/** Programs: run by hand, their log, all of the machine. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { BpfError, BpfMap, Program } from "../../mod.ts";
import { add, assemble, copy, exit, load, set, storeByte } from "../fixture/program/assembler.ts";
import { FUNCTION_INFO, loadFunctionBtf } from "../fixture/program/btf.ts";
import { answering, rawTracepoint, skLookup, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { close } from "../../lib/sys/mod.ts";

const PACKET = new Uint8Array(64).map((_, i) => i);

/** An xdp program that writes 0xab to the first byte of a packet. */
function marker(): Program {
  const beyond = [0x2d, 4, 3, 1, 0] as const; // if r4 > r3 skip one
  return Program.load({
    type: "xdp",
    instructions: assemble(
      load(2, 1, 0, 4),
      load(3, 1, 4, 4),
      copy(4, 2),
      add(4, 14),
      [...beyond],
      storeByte(2, 0, 0xab),
      set(0, 2),
      exit,
    ),
  });
}

kernelTest("run: what it returns, and the packet as it left it", {}, () => {
  using program = marker();
  const { returnValue, durationNs, data, context } = program.run({ data: PACKET });
  assertEquals([returnValue, data, context.length], [2, new Uint8Array([0xab, ...PACKET.subarray(1)]), 0]);
  assert(Number.isInteger(durationNs) && durationNs >= 0);
  assertEquals(PACKET[0], 0, "the caller's packet is theirs");
});

kernelTest("run: a negative value is one; a packet in any view, a context that comes back", {}, () => {
  using program = tcx(-1);
  const context = new Uint32Array(48);
  context[2] = 7; // mark, of struct __sk_buff
  const run = program.run({ data: new DataView(PACKET.buffer, 8, 32), context, repeat: 10 });
  assertEquals([run.returnValue, run.data, new Uint32Array(run.context.buffer)[2]], [-1, PACKET.slice(8, 40), 7]);
});

kernelTest("run: a tracepoint's program takes a context, and a CPU", {}, () => {
  using program = rawTracepoint();
  for (const cpu of [undefined, 0]) {
    const { data, context } = program.run({ context: new BigUint64Array([1n, 2n]), cpu });
    assertEquals([data.length, context.length], [0, 0]);
  }
});

kernelTest("run: what programs do not take, types that cannot, a closed handle", {}, () => {
  const refusal = (program: Program, options?: Parameters<Program["run"]>[0]) => {
    using own = program;
    return assertThrows(() => own.run(options), BpfError).reason;
  };
  assertEquals(refusal(tcx()), "invalid"); // no packet
  assertEquals(refusal(xdp(), { data: PACKET, dataSize: 10 }), "limit");
  assertEquals(refusal(answering(0, { type: "kprobe" })), "unsupported");
  const closed = xdp();
  closed.close();
  assertThrows(() => closed.run({ data: PACKET }), Deno.errors.BadResource);
});

kernelTest("log: of a program that loads, if it is asked for", {}, () => {
  using silent = xdp();
  assertEquals(silent.log, undefined);
  using none = answering(2, { type: "xdp", log: { level: 0 } });
  assertEquals(none.log, undefined);
  using told = answering(2, { type: "xdp", log: { level: 2 } });
  assertMatch(told.log!, /^0: .*exit.*processed 2 insns/ms);
  using cut = Program.load({
    type: "xdp",
    instructions: assemble(...Array.from({ length: 100 }, () => set(0, 2)), exit),
    log: { level: 2, size: 128 },
  });
  assert(cut.log!.length > 0 && cut.log!.length <= 128, "a log that is cut is no reason to refuse");
  const error = assertThrows(
    () => Program.load({ type: "xdp", instructions: assemble(exit), log: { level: 2 } }),
    BpfError,
  );
  assertMatch(error.message, /: R0 !read_ok \(EACCES\)$/);
});

kernelTest("infos: every program, as its handle says it, none held", {}, async () => {
  using one = xdp();
  using two = skLookup();
  const infos = await Array.fromAsync(Program.infos());
  assertEquals(infos.find(({ id }) => id === one.id), one.info());
  assertEquals(infos.map(({ id }) => id), infos.map(({ id }) => id).toSorted((a, b) => a - b));
  const some = await Array.fromAsync(Program.infos({ types: ["sk_lookup"] }));
  assert(some.some(({ id }) => id === two.id) && some.every(({ type }) => type === "sk_lookup"));
});

kernelTest("infos: a signal ends it, wrong options are refused at once", {}, async () => {
  using _program = xdp();
  const abort = new AbortController(), listing = Program.infos({ signal: abort.signal });
  await listing.next();
  abort.abort(new Error("enough"));
  await assertRejects(() => listing.next(), Error, "enough");
  assertThrows(() => Program.infos({ types: ["nonsense" as "xdp"] }), TypeError, "types[0]");
  assertThrows(() => BpfMap.infos({ type: "hash" } as never), TypeError, "type");
  assertThrows(() => BpfMap.infos({ signal: 1 } as never), TypeError, "signal");
});

kernelTest("info: the BTF of a program", {}, () => {
  const btf = loadFunctionBtf("it", "xdp_md");
  try {
    using program = answering(2, { type: "xdp", btf, functionInfo: FUNCTION_INFO });
    assert(program.info().btfId! > 0);
    using without = xdp();
    assertEquals(without.info().btfId, undefined);
  } finally {
    close(btf);
  }
});
