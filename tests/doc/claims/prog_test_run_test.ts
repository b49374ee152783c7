/** What the doc comments of lib/sys/prog_test_run.ts say. */
import { assert, assertEquals } from "@std/assert";
import {
  mapLookupElem,
  objPin,
  progLoad,
  type ProgramTypeName,
  progTestRun,
  type ProgTestRunOptions,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { add, assemble, exit, load, mapValue, set, store } from "../../fixture/program/assembler.ts";
import { load as made, map, program } from "../../fixture/program/sys_objects.ts";
import { claim, misuse, NO_FD, type Own, refusal, unprivileged } from "../../fixture/run/claims.ts";

const PACKET = { dataIn: new Uint8Array(64) };
const XDP_PASS = 2;

/** A program that counts its runs. */
function counter(map: number): number {
  return progLoad(
    "xdp",
    assemble(...mapValue(1, map), load(2, 1, 0), add(2, 1), store(1, 0, 2), set(0, XDP_PASS), exit),
  );
}

const run = (own: Own, type: ProgramTypeName, options: ProgTestRunOptions) =>
  progTestRun(program(own, type, XDP_PASS), options);

claim("progTestRun: returns what the program returned and left, and how long it took", {}, (own) => {
  const dataIn = new Uint8Array(64).map((_, i) => i);
  const { retval, duration, dataOut, ctxOut } = run(own, "xdp", { dataIn, dataSizeOut: 64, repeat: 1000 });
  assertEquals([retval, dataOut, ctxOut.length], [XDP_PASS, dataIn, 0]);
  assert(Number.isInteger(duration));
});
claim("progTestRun: also: data and context in any view of bytes, and the context as the program left it", {}, (own) => {
  const MARK = 8; // of struct __sk_buff, after len and pkt_type
  const ctxIn = new Uint32Array(48);
  ctxIn[MARK / 4] = 7;
  const { ctxOut, dataOut } = run(own, "sched_cls", {
    dataIn: new DataView(new ArrayBuffer(64)),
    ctxIn,
    ctxSizeOut: 192,
  });
  assertEquals([new Uint32Array(ctxOut.buffer)[MARK / 4], dataOut.length], [7, 0]);
});
claim("progTestRun: several times in a row; the program really runs, with all that it does to maps", {}, (own) => {
  const array = map(own, "array", 4, 8, 1);
  progTestRun(own.fd(counter(array)), { ...PACKET, repeat: 5 });
  assertEquals(new BigUint64Array(mapLookupElem(array, new Uint8Array(4))!.buffer)[0], 5n);
});
for (
  const [type, options] of [
    ["socket_filter", PACKET],
    ["sched_cls", PACKET],
    ["sched_act", PACKET],
    ["xdp", PACKET],
    ["lwt_in", PACKET],
    ["raw_tracepoint", { ctxIn: new BigUint64Array(2) }],
  ] as const
) claim(`progTestRun: takes ${type}`, {}, (own) => assert(run(own, type, options).retval <= XDP_PASS));
claim(
  "progTestRun: takes cgroup_skb",
  {},
  (own) => assertEquals(progTestRun(made.egress(own), PACKET).retval, 1),
);
claim(
  "progTestRun: takes flow_dissector",
  {},
  (own) => assert([0, 129].includes(progTestRun(made.dissector(own), PACKET).retval)), // old kernels say 0 or 1
);
claim("progTestRun: since Linux 5.13 sk_lookup", { since: "5.13" }, (own) => {
  const ctxIn = new Uint32Array(17); // struct bpf_sk_lookup
  ctxIn.set([2, 6], 2); // AF_INET, IPPROTO_TCP
  assertEquals(progTestRun(made.lookup(own), { ctxIn }).retval, 1);
});
claim("progTestRun: since Linux 5.14 syscall", { since: "5.14" }, (own) => {
  assertEquals(progTestRun(program(own, "syscall", 3, { progFlags: 16 }), {}).retval, 3); // BPF_F_SLEEPABLE
});
claim("progTestRun: since Linux 6.4 netfilter", { since: "6.4" }, (own) => {
  assertEquals(progTestRun(made.netfilter(own), PACKET).retval, 1);
});
claim("progTestRun: needs no capability, only the fd", { needs: ["bpffs", "setpriv"], since: "5.19" }, async (own) => {
  const pin = own.use(new PinDirectory()).pin("x");
  objPin(made.xdp(own), pin);
  assertEquals(
    await unprivileged("progTestRun(program, { dataIn: new Uint8Array(64) })", `const program = objGet("${pin}")`),
    "ok",
  );
});
misuse(
  "progTestRun: TypeError, an option is unknown or has the wrong type",
  () => progTestRun(3, { data: new Uint8Array(64) } as never),
  () => progTestRun(3, { dataIn: [1, 2] as never }),
  () => progTestRun(3, { ctxIn: "x" as never }),
  () => progTestRun(3, { repeat: "1" as never }),
);
misuse(
  "progTestRun: RangeError, a number is out of range, or data or context is longer than 1 MiB",
  () => progTestRun(-1),
  () => progTestRun(3, { repeat: -1 }),
  () => progTestRun(3, { dataSizeOut: 2 ** 20 + 1 }),
  () => progTestRun(3, { ctxSizeOut: -1 }),
  () => progTestRun(3, { cpu: 1.5 }),
  () => progTestRun(3, { dataIn: new Uint8Array(2 ** 20 + 1) }),
  () => progTestRun(3, { ctxIn: new Uint8Array(2 ** 20 + 1) }),
);
refusal("progTestRun: EBADF, `progFd` is not open", {}, () => void progTestRun(NO_FD));
refusal("progTestRun: EINVAL, `progFd` is no program", {}, (own) => void progTestRun(map(own, "array")));
refusal("progTestRun: EINVAL, a packet of less than 14 bytes", {}, (own) => {
  run(own, "sched_cls", { dataIn: new Uint8Array(13) }); // old kernels run xdp programs on less
});
refusal("progTestRun: EINVAL, data that programs of this type do not take", {}, (own) => {
  run(own, "raw_tracepoint", PACKET);
});
refusal("progTestRun: EINVAL, flags that programs of this type do not take", {}, (own) => {
  run(own, "raw_tracepoint", { cpu: 1 }); // without BPF_F_TEST_RUN_ON_CPU
});
refusal("progTestRun: E2BIG, a context that is longer than the kernel's, and the rest is not zero", {}, (own) => {
  run(own, "sched_cls", { ...PACKET, ctxIn: new Uint32Array(100).fill(1) });
});
claim("progTestRun: ENOSPC, the packet is longer than `dataSizeOut`; the program has run", {}, (own) => {
  const array = map(own, "array", 4, 8, 1), fd = own.fd(counter(array));
  let code;
  try {
    progTestRun(fd, { ...PACKET, dataSizeOut: 10 });
  } catch (error) {
    code = (error as { code?: string }).code;
  }
  assertEquals([code, new BigUint64Array(mapLookupElem(array, new Uint8Array(4))!.buffer)[0]], ["ENOSPC", 1n]);
});
refusal("progTestRun: ENOTSUPP, programs of this type cannot be run by hand", {}, (own) => {
  run(own, "kprobe", {});
});
refusal("progTestRun: ENXIO, there is no such `cpu`", {}, (own) => {
  run(own, "raw_tracepoint", { flags: 1, cpu: 1_000_000 });
});
