/** What is special about links to functions. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { createSocket } from "node:dgram";
import { btfFind } from "../../../lib/ffi/btf.ts";
import { close, enableStats } from "../../../lib/sys/mod.ts";
import { BpfError, Link, Program } from "../../../mod.ts";
import { HardLinks } from "../../fixture/place/hard_links.ts";
import { Loopback } from "../../fixture/place/loopback.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { addAddress } from "../../fixture/place/rtnetlink.ts";
import { extension, JUDGE, JUDGE_ID, linkGuard, replaceable, tracer } from "../../fixture/program/functions.ts";
import { answering, VERDICT, xdp } from "../../fixture/program/programs.ts";
import { isOlder, kernelTest } from "../../fixture/run/kernel.ts";
import { refusal } from "../../fixture/run/refusal.ts";
import { rows } from "../refusal/rows.ts";

const NEEDS = { needs: ["trampolines"] } as const;
const EXT = { needs: ["ext"] } as const;
const FUNCTION = "security_inode_link";

/** Sends a datagram. */
async function send(address: string): Promise<void> {
  const socket = createSocket("udp4");
  await new Promise((resolve) => socket.send("x", 9, address, resolve));
  await new Promise<void>((resolve) => socket.close(resolve));
}

for (const attachType of ["trace_fentry", "trace_fexit"] as const) {
  const needs = [attachType === "trace_fentry" ? "trampolines" as const : attachType];
  kernelTest(`tracing: a ${attachType} program runs once a call`, { needs }, () => {
    using files = new HardLinks();
    using program = tracer(attachType, FUNCTION);
    const counting = enableStats();
    try {
      {
        using _link = Link.attach(program, { type: "tracing" });
        for (let i = 0; i < 3; i++) assert(files.canLink());
      }
      files.canLink();
      assertEquals(program.info().runCount, 3n);
    } finally {
      close(counting);
    }
  });
}

kernelTest("tracing: trace_fsession runs at both ends of a call", { ...NEEDS, since: "7.0" }, () => {
  using files = new HardLinks();
  using program = tracer("trace_fsession", FUNCTION);
  const counting = enableStats();
  try {
    using link = Link.attach(program, { type: "tracing" });
    assertEquals(link.info().attachType, "trace_fsession");
    assert(files.canLink());
    assertEquals(program.info().runCount, 2n);
  } finally {
    close(counting);
  }
});

kernelTest("tracing: a program is at its function once", NEEDS, () => {
  using program = tracer("trace_fentry", FUNCTION);
  using _link = Link.attach(program, { type: "tracing" });
  const error = assertThrows(() => Link.attach(program, { type: "tracing" }), BpfError);
  assert(error.reason === "busy" || error.code === "ENOENT" && error.hint?.includes("5.13"), error.message);
});

kernelTest("tracing: a program attaches to its function again", { ...NEEDS, since: "5.13" }, () => {
  using program = tracer("trace_fentry", FUNCTION);
  for (let i = 0; i < 3; i++) Link.attach(program, { type: "tracing" }).close();
});

kernelTest("tracing: cookies", { needs: ["trampolines", "modify_return", "lsm_mac", "lsm"], since: "5.19" }, () => {
  const cookie = 0x8000000000000001n;
  for (const program of [tracer("trace_fentry", FUNCTION), linkGuard("modify_return", 0), linkGuard("lsm_mac", 0)]) {
    using loaded = program;
    using link = Link.attach(loaded, { type: "tracing", cookie });
    assertEquals(link.info().cookie ?? cookie, cookie); // told since 6.17
  }
});

kernelTest("tracing: a cookie for a program that was not loaded here", NEEDS, () => {
  using loaded = tracer("trace_fentry", FUNCTION);
  using program = Program.fromFd(loaded.fd);
  assertThrows(() => Link.attach(program, { type: "tracing", cookie: 1n }), TypeError, "loaded here");
  Link.attach(program, { type: "tracing" }).close();
});

kernelTest("tracing: programs for other places are refused", NEEDS, () => {
  using tracepoint = tracer("trace_raw_tp", "oom_score_adj_update");
  using iterator = tracer("trace_iter", "task");
  using packet = xdp();
  for (const program of [tracepoint, iterator, packet]) {
    assertEquals(refusal(() => Link.attach(program, { type: "tracing" })), ["EINVAL", "invalid"]);
  }
});

kernelTest(
  "tracing: by BTF id, and by name in a module",
  { needs: ["trampolines", "netns"], since: "5.11" },
  async () => {
    using byId = answering(0, {
      type: "tracing",
      expectedAttachType: "trace_fentry",
      attachTo: { btfId: btfFind("function", FUNCTION)! },
    });
    Link.attach(byId, { type: "tracing" }).close();
    assertEquals(btfFind("function", "veth_xmit"), undefined, "it is the module's");
    const btfId = btfFind("function", "veth_xmit", "veth")!;
    using byName = tracer("trace_fentry", "veth_xmit");
    using byBoth = tracer("trace_fentry", "veth:veth_xmit");
    for (const elsewhere of ["veth:vfs_read", "no_such_module:veth_xmit"]) {
      assertEquals(refusal(() => tracer("trace_fentry", elsewhere)), ["ENOENT", "unsupported"]);
    }
    using inModule = answering(0, {
      type: "tracing",
      expectedAttachType: "trace_fentry",
      attachTo: { btfId, module: "veth" },
    });
    const counting = enableStats();
    try {
      using link = Link.attach(byName, { type: "tracing" });
      using _other = Link.attach(inModule, { type: "tracing" });
      using _third = Link.attach(byBoth, { type: "tracing" });
      if (link.info().targetBtfId !== undefined) assertEquals(link.info().targetBtfId, btfId);
      using pair = new VethPair();
      addAddress(pair.name, "10.99.0.1");
      await send("10.99.0.2"); // a question for its hardware address leaves through the pair
      assert((byName.info().runCount ?? 0n) > 0n);
      assert((inModule.info().runCount ?? 0n) > 0n);
      assert((byBoth.info().runCount ?? 0n) > 0n);
    } finally {
      close(counting);
    }
  },
);

kernelTest("tracing: a program is traced by another", { needs: ["trampolines", "netns"] }, async () => {
  using loopback = await Loopback.open();
  using target = replaceable();
  using program = answering(0, {
    type: "tracing",
    expectedAttachType: "trace_fentry",
    attachTo: { program: target, symbol: JUDGE },
  });
  using _running = Link.attach(target, { type: "xdp", device: "lo", mode: "generic" });
  const counting = enableStats();
  try {
    using link = Link.attach(program, { type: "tracing" });
    assert(await loopback.passes());
    assert((program.info().runCount ?? 0n) > 0n);
    if (link.info().targetObjectId !== undefined) assertEquals(link.info().targetObjectId, target.id);
  } finally {
    close(counting);
  }
});

kernelTest("ext: without replace it takes the place it was loaded for, once", { needs: ["ext", "netns"] }, async () => {
  using loopback = await Loopback.open();
  using target = replaceable();
  using _running = Link.attach(target, { type: "xdp", device: "lo", mode: "generic" });
  using program = extension(VERDICT.xdp.block, target);
  {
    using _link = Link.attach(program, { type: "tracing" });
    assert(!await loopback.passes());
  }
  assert(await loopback.passes());
  assert(assertThrows(() => Link.attach(program, { type: "tracing" }), BpfError).hint?.includes("replace"));
  using _again = Link.attach(program, { type: "tracing", replace: { program: target, btfId: JUDGE_ID } });
  assert(!await loopback.passes());
});

kernelTest("ext: refusals", EXT, () => {
  using target = replaceable();
  using other = replaceable();
  using bare = xdp();
  using program = extension();
  const attach = (replace: { program: Program; symbol: string } | { program: Program; btfId: number }) => () =>
    Link.attach(program, { type: "tracing", replace });
  assertEquals(refusal(attach({ program: target, symbol: "nothing" })), ["ENOENT", "invalid"]);
  assertEquals(refusal(attach({ program: bare, symbol: JUDGE })), ["ENOENT", "invalid"]);
  assertEquals(refusal(attach({ program: target, btfId: 1 })), ["EINVAL", "invalid"]);
  using link = attach({ program: target, symbol: JUDGE })();
  using second = extension();
  const attachSecond = () => Link.attach(second, { type: "tracing", replace: { program: target, symbol: JUDGE } });
  const busy = assertThrows(attachSecond, BpfError);
  assertEquals([busy.code, busy.reason], ["EBUSY", "busy"]);
  // links report their targets since 5.13
  const found = isOlder(Deno.osRelease(), "5.13") ? "" : `link ${link.id} attaches program ${program.id} to a function`;
  assertStringIncludes(busy.message, found);
  attach({ program: other, symbol: JUDGE })().close(); // one program in two places
  assertThrows(
    () => Program.load({ ...LOAD, attachTo: { program: target, symbol: "nothing" } }),
    BpfError,
    'function "nothing"',
  );
});

const LOAD = { type: "ext", instructions: new Uint8Array([0x95, 0, 0, 0, 0, 0, 0, 0]) } as const;

rows(
  { needs: ["trampolines"], since: "5.13" }, // before: ENOENT, for a program goes there once
  [
    "the same program twice, at a function",
    (own) => {
      const program = own.use(tracer("trace_fentry", "vfs_read"));
      own.use(Link.attach(program, { type: "tracing" }));
      return Link.attach(program, { type: "tracing" });
    },
    "RAW_TRACEPOINT_OPEN EBUSY busy",
    /link \d+ attaches this program to its function already.*second time/,
  ],
);
