/** What is special about xdp links. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, Hook, Link, Program } from "../../../mod.ts";
import { Loopback } from "../../fixture/place/loopback.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { addName, addUpper, deleteInterface, setMtu } from "../../fixture/place/rtnetlink.ts";
import { answering, tcx, VERDICT, xdp } from "../../fixture/program/programs.ts";
import { kernelTest, whyMissing } from "../../fixture/run/kernel.ts";
import { DEV_NULL, NO_IFINDEX, rows, xdpLink } from "../refusal/rows.ts";

const NETNS = { needs: ["netns"] } as const;

kernelTest("xdp: a mode that is not given is the driver's if it has one, else the generic one", NETNS, () => {
  using veth = new VethPair();
  using program = xdp();
  for (const [device, mode] of [[veth.name, "generic"], ["lo", "native"]] as const) {
    const target = { type: "xdp", device } as const;
    {
      using _link = Link.attach(program, target);
      assertThrows(() => Link.attach(program, { ...target, mode }), BpfError); // the other mode
    }
    if (mode === "generic") Link.attach(program, { ...target, mode }).close(); // nothing is left in the way
  }
});

kernelTest("xdp: an update keeps the mode", NETNS, async () => {
  using loopback = await Loopback.open();
  using pass = xdp(VERDICT.xdp.pass);
  using block = xdp(VERDICT.xdp.block);
  const target = { type: "xdp", device: "lo" } as const;
  using link = Link.attach(pass, { ...target, mode: "generic" });
  const flags = () => Hook.query(target).entries.map(({ attachFlags }) => attachFlags);
  const before = flags();
  assert(await loopback.passes());
  link.update(block);
  assert(!await loopback.passes());
  assertEquals(flags(), before);
});

rows(
  { needs: ["netns"] },
  [
    "no such interface, by its number",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: NO_IFINDEX }),
    "LINK_CREATE EINVAL gone",
    /interface does not exist/,
  ],
  [
    "no such interface, by its name",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "none" }),
    "ioctl ENODEV gone",
    /no such interface.*ip link/,
  ],
  [
    "another link in that mode",
    (own) => {
      xdpLink(own);
      return Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "generic" });
    },
    "LINK_CREATE EBUSY busy",
    /program \d+.* holds the interface in generic mode.*detach it/,
  ],
  [
    "generic beside native",
    (own) => {
      const device = own.use(new VethPair()).name, program = own.use(xdp());
      own.use(Link.attach(program, { type: "xdp", device, mode: "native" }));
      return Link.attach(program, { type: "xdp", device, mode: "generic" });
    },
    "LINK_CREATE EEXIST busy",
    /program \d+ is attached in native mode.*exclude each other/,
  ],
  [
    "packets that are larger than a page",
    (own) => {
      const { name, peer } = own.use(new VethPair());
      for (const each of [name, peer]) setMtu(each, 8901);
      // it would take a program for packets in fragments, and the kernel's own way any
      Link.attach(own.use(xdp()), { type: "xdp", device: name, mode: "generic" }).close();
      return Link.attach(own.use(xdp()), { type: "xdp", device: name, mode: "native" });
    },
    "LINK_CREATE ERANGE limit",
    /one page.*8901.*fragments.*mode "generic"/,
  ],
  [
    "too few queues",
    (own) => {
      const { name } = own.use(new VethPair({ queues: 4 }));
      return Link.attach(own.use(xdp()), { type: "xdp", device: name, mode: "native" });
    },
    "LINK_CREATE ENOSPC limit",
    /on 1 queue, fewer than the 4 queues/,
  ],
  [
    "a program that is not for the device itself",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: own.use(new VethPair()).name, mode: "offload" }),
    "LINK_CREATE EINVAL invalid",
    /not loaded for the device/,
  ],
  [
    "a program of another type",
    (own) => Link.attach(own.use(tcx()), { type: "xdp", device: "lo" }),
    "LINK_CREATE EINVAL invalid",
    /program is of type sched_cls.*take programs of type xdp/,
  ],
  [
    "a program for packets that another CPU gets",
    (own) => {
      const program = own.use(answering(2, { type: "xdp", expectedAttachType: "xdp_cpumap" }));
      return Link.attach(program, { type: "xdp", device: "lo" });
    },
    "LINK_CREATE EINVAL invalid",
    /loaded for xdp_cpumap/,
  ],
  [
    "a driver without XDP",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "native" }),
    "LINK_CREATE EOPNOTSUPP unsupported",
    /mode "generic"/,
  ],
  [
    "a network namespace that is none",
    (own) => Link.attach(own.use(xdp()), { type: "xdp", device: "lo", netns: DEV_NULL }),
    "setns EINVAL invalid",
    /no network namespace.*\/proc\/PID\/ns\/net/,
  ],
);

rows(
  { needs: ["netns"], since: "6.3" }, // programs of the host that are bound to a device
  [
    "a program that is bound to another device",
    (own) => {
      const [there, here] = [own.use(new VethPair()), own.use(new VethPair())];
      const program = own.use(answering(2, { type: "xdp", device: there.name }));
      return Link.attach(program, { type: "xdp", device: here.name });
    },
    "LINK_CREATE EINVAL invalid",
    /bound to another device: "t\w+", interface \d+.*attach it there/,
  ],
  [
    "a program that is bound to the device, in generic mode",
    (own) => {
      const device = own.use(new VethPair()).name;
      return Link.attach(own.use(answering(2, { type: "xdp", device })), { type: "xdp", device, mode: "generic" });
    },
    "LINK_CREATE EINVAL invalid",
    /bound to a device cannot be attached in generic mode.*mode "native"/,
  ],
  [
    "an opened program that is bound to a device",
    (own) => {
      const there = own.use(new VethPair()).name, loaded = own.use(answering(2, { type: "xdp", device: there }));
      const program = own.use(Program.open(loaded.id));
      return Link.attach(program, { type: "xdp", device: own.use(new VethPair()).name });
    },
    "LINK_CREATE EINVAL invalid",
    /bound to a device, perhaps another one/,
  ],
);

for (const kind of ["bridge", "macvlan"] as const) {
  rows(
    { needs: ["netns"], missing: whyNoUpper(kind) },
    [
      `an interface of which a ${kind} with a program is made`,
      (own) => {
        const { name } = own.use(new VethPair()), program = own.use(xdp());
        addUpper(kind, "upper", name);
        own.defer(() => deleteInterface("upper"));
        own.use(Link.attach(program, { type: "xdp", device: "upper", mode: "generic" }));
        return Link.attach(program, { type: "xdp", device: name });
      },
      "LINK_CREATE EEXIST busy",
      /"upper" above the interface has an XDP program.*detach program \d+/,
    ],
  );
}

/** Why this kernel has no such interfaces, if it has none. */
function whyNoUpper(kind: "bridge" | "macvlan"): string | undefined {
  if (whyMissing(["netns"]) !== undefined) return undefined;
  try {
    using veth = new VethPair();
    addUpper(kind, "upper", veth.name);
    deleteInterface("upper");
    return undefined;
  } catch (error) {
    if (error instanceof BpfError && error.code === "EOPNOTSUPP") return `needs ${kind} devices`;
    throw error;
  }
}

kernelTest("xdp: an interface by a name of more than 15 bytes, and by none that is cut", NETNS, () => {
  using veth = new VethPair();
  using program = xdp();
  const long = "interface-with-a-long-name-\u00fc:1".padEnd(126, "x");
  for (const name of [long, "short:1", "short"]) addName(veth.name, name);
  for (const device of [long, "short:1", "short", veth.name]) {
    using link = Link.attach(program, { type: "xdp", device, mode: "generic" });
    assertEquals(link.info().ifindex, veth.ifindex);
    assertEquals(Hook.query({ type: "xdp", device }).entries.length, 1);
  }
  for (const device of [`${veth.name}:1`, long.slice(0, 15), long.slice(0, -1)]) {
    const error = assertThrows(() => Link.attach(program, { type: "xdp", device }), BpfError);
    assertEquals([error.code, error.reason], ["ENODEV", "gone"], device);
  }
  assertThrows(() => Link.attach(program, { type: "xdp", device: `${long}x` }), RangeError, "127 bytes");
});
