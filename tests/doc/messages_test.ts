/** The messages in the guide of `mod.ts`: each is provoked, and says what the guide says that it does. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BpfError, Hook, Link, Program, type ProgramLoadOptions } from "../../mod.ts";
import { BpfObject } from "../../lib/object/mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { table } from "./guide.ts";

/** What a call takes, and what it may use for the provocation. */
interface Scene {
  readonly cgroup: string;
  readonly pins: PinDirectory;
  /** Loads a program; it is closed with the scene. */
  load(options: Partial<ProgramLoadOptions> & Pick<ProgramLoadOptions, "type">): Program;
  /** Ends something with the scene. */
  use<T extends Disposable>(it: T): T;
}

const INSTRUCTIONS = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
const LOOKUP = { type: "sk_lookup", expectedAttachType: "sk_lookup" } as const;
const NETNS = { type: "netns" } as const;
const TCX = { type: "tcx", device: "lo", direction: "ingress" } as const;
const XDP = { type: "xdp", device: "lo", mode: "generic" } as const;

/** By what the message says: what provokes it. A text is a script for a process with these options, and no capability. */
const MESSAGES: Readonly<Record<string, string | ((scene: Scene) => unknown)>> = {
  "run with --allow-ffi": "Link.list()",
  "the process lacks CAP_BPF and CAP_NET_ADMIN (EPERM)": 'Program.load({ type: "xdp", instructions })',
  "it needs CAP_SYS_ADMIN in the initial user namespace (EPERM)": "Link.open(1)",
  "there is no such interface in this network namespace (ENODEV)": ({ load }) =>
    Link.attach(load({ type: "xdp" }), { type: "xdp", device: "none" }),
  "holds the interface in generic mode (EBUSY)": ({ load, use }) => {
    use(Link.attach(load({ type: "xdp" }), XDP));
    Link.attach(load({ type: "xdp" }), XDP);
  },
  "target.cgroup is no directory of a cgroup2 file system (EBADF)": ({ load }) =>
    Link.attach(load({ type: "cgroup_skb" }), { type: "cgroup", cgroup: "/tmp", attachType: "cgroup_inet_egress" }),
  "target.attachType is required": ({ load, pins, use, cgroup }) => {
    load({ type: "cgroup_skb" }).pin(pins.pin("egress"));
    Link.attach(use(Program.openPinned(pins.pin("egress"))), { type: "cgroup", cgroup });
  },
  "does not fit the attach type": ({ load, cgroup }) =>
    Link.attach(load({ type: "cgroup_skb" }), { type: "cgroup", cgroup, attachType: "cgroup_inet4_connect" }),
  "the verifier refuses the program": ({ load }) => load({ type: "xdp", instructions: INSTRUCTIONS.subarray(8) }),
  "this kernel has no function": ({ load }) =>
    load({ type: "tracing", expectedAttachType: "trace_fentry", attachTo: "no_such_function" }),
  "tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN":
    'Link.attach(Program.openPinned(`${pins}/tracepoint`), { type: "tracepoint", category: "a", name: "b" })',
  "lies on no bpf file system (EPERM)": ({ load }) => load({ type: "xdp" }).pin("/tmp/pin"),
  "the name of a pin may have no dot": ({ load, pins }) => load({ type: "xdp" }).pin(pins.pin("a.b")),
  "the directory does not exist": ({ load, pins }) => load({ type: "xdp" }).pin(pins.pin("no/pin")),
  "the path exists already (EEXIST)": ({ load, pins }) => {
    load({ type: "xdp" }).pin(pins.pin("it"));
    load({ type: "xdp" }).pin(pins.pin("it"));
  },
  "is pinned there, and is attached to something else (EEXIST)": ({ load, pins, use }) => {
    const link = use(Link.attach(load(LOOKUP), NETNS, { onClose: "detach" }));
    link.pin(pins.pin("link"));
    Link.ensurePinned(pins.pin("link"), load({ type: "xdp" }), XDP);
  },
  "nothing is pinned there (ENOENT)": ({ pins }) => Link.openPinned(pins.pin("nothing")),
  "the link is detached, or what it was attached to is gone (ENOLINK)": ({ load, use }) => {
    const link = use(Link.attach(load(LOOKUP), NETNS));
    link.detach();
    link.update(load(LOOKUP));
  },
  "the link holds another program than expected (EPERM)": ({ load, use }) => {
    const link = use(Link.attach(load(LOOKUP), NETNS));
    link.update(load(LOOKUP), { expected: load(LOOKUP) });
  },
  "the hook has changed since its revision was read (ESTALE)": ({ load, use }) => {
    const { revision } = Hook.query(TCX);
    use(Link.attach(load({ type: "sched_cls" }), TCX));
    Link.attach(load({ type: "sched_cls" }), { ...TCX, expectedRevision: revision! });
  },
  "the program is attached to this hook already (EEXIST)": ({ load, use }) => {
    const program = load({ type: "sched_cls" });
    use(Link.attach(program, TCX));
    Link.attach(program, TCX);
  },
  "this type of link cannot be detached by force (EOPNOTSUPP)": ({ load, use }) =>
    use(Link.attach(load({ type: "raw_tracepoint" }), { type: "raw_tracepoint", name: "sched_switch" })).detach(),
  "Cannot use link (tcx): it is closed": ({ load }) => {
    const link = Link.attach(load({ type: "sched_cls" }), TCX);
    link.close();
    link.info();
  },
  "it is no ELF file": () => BpfObject.load(new URL(import.meta.url)),
};

Deno.test("the guide's table of messages has those that are tested", () => {
  assertEquals(
    table("mod.ts", "| message").map(([message]) => message),
    Object.keys(MESSAGES).map((text) => `\`${text}\``),
  );
});

kernelTest("where no bpf file system is mounted, the hint says how one is", {}, () => {
  using program = Program.load({ ...LOOKUP, instructions: INSTRUCTIONS });
  for (const path of ["/tmp/bpf-link-pin", "/tmp/bpf-link-none/pin"]) {
    const error = assertThrows(() => Link.ensurePinned(path, program, NETNS, { makeDirectories: true }), BpfError);
    assertStringIncludes(error.hint!, "mount -t bpf bpf /sys/fs/bpf");
  }
});

for (const [text, provoke] of Object.entries(MESSAGES)) {
  kernelTest(`message: ${text}`, { needs: ["cgroup2", "netns", "bpffs", "setpriv"], since: "6.6" }, async () => {
    using cgroup = new Cgroup();
    using pins = new PinDirectory();
    using stack = new DisposableStack();
    const use: Scene["use"] = (it) => stack.use(it);
    const load: Scene["load"] = (options) =>
      use(Program.load({ instructions: INSTRUCTIONS, license: "GPL", ...options }));
    if (typeof provoke === "string") {
      load({ type: "tracepoint" }).pin(pins.pin("tracepoint"));
      return assertStringIncludes(await messageOf(provoke, pins.path, text), text);
    }
    try {
      provoke({ cgroup: cgroup.path, pins, load, use });
    } catch (error) {
      return assertStringIncludes((error as Error).message, text);
    }
    assert(false, "nothing is refused");
  });
}

/** What a process without capabilities is told. */
async function messageOf(call: string, pins: string, text: string): Promise<string> {
  const flags = ["--no-check", ...text.includes("--allow-ffi") ? [] : ["--allow-ffi"]];
  const { output } = await runScript(
    `import { Link, Program } from "${MOD}";
     const pins = "${pins}", instructions = new Uint8Array(${JSON.stringify([...INSTRUCTIONS])});
     try {
       ${call};
     } catch (error) {
       console.log(error.message);
     }`,
    flags,
    { through: withOnly() },
  );
  return output;
}
