/** What is special about xdp links. */
import { Link } from "../../../mod.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { xdp } from "../../fixture/program/programs.ts";
import { DEV_NULL, NO_IFINDEX, rows, xdpLink } from "../refusal/rows.ts";

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
