/** What is special about xdp links. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, Hook, Link } from "../../../mod.ts";
import { Loopback } from "../../fixture/place/loopback.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { VERDICT, xdp } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
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
    "LINK_CREATE EINVAL invalid",
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
    /another link or program holds the interface.*detach it/,
  ],
  [
    "generic beside native",
    (own) => {
      const device = own.use(new VethPair()).name, program = own.use(xdp());
      own.use(Link.attach(program, { type: "xdp", device, mode: "native" }));
      return Link.attach(program, { type: "xdp", device, mode: "generic" });
    },
    "LINK_CREATE EEXIST busy",
    /exclude each other/,
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
