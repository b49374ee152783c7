/** What is special about links to netfilter hooks. */
import { assert, assertEquals } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { Link, type NetfilterTarget } from "../../../mod.ts";
import { Loopback } from "../../fixture/place/loopback.ts";
import { OtherNetns, VethPair } from "../../fixture/place/netns.ts";
import { indexOf, move } from "../../fixture/place/rtnetlink.ts";
import { answering, netfilter, skLookup, VERDICT } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { refusal } from "../../fixture/run/refusal.ts";
import { delay, until } from "../../fixture/run/wait.ts";
import { filterLink, rows } from "../refusal/rows.ts";

const NEEDS = { since: "6.4", needs: ["netns"] } as const;
const target = { type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 } as const;

kernelTest("netfilter: every family, hook and priority comes back as it was given", NEEDS, () => {
  using program = netfilter();
  for (const family of ["ipv4", "ipv6"] as const) {
    for (const hook of ["prerouting", "local_in", "forward", "local_out", "postrouting"] as const) {
      for (const priority of [-0x7fffffff, -1, 0, 1, 0x7ffffffe]) {
        using link = Link.attach(program, { type: "netfilter", family, hook, priority });
        const info = link.info();
        assertEquals([info.family, info.hook, info.priority], [family, hook, priority]);
      }
    }
  }
});

kernelTest("netfilter: a priority is one program's, until that is detached", NEEDS, () => {
  using program = netfilter();
  using first = Link.attach(program, target);
  assertEquals(refusal(() => Link.attach(program, target)), ["EBUSY", "busy"]);
  for (const other of [{ priority: 8 }, { family: "ipv6" }, { hook: "local_out" }] as Partial<NetfilterTarget>[]) {
    Link.attach(program, { ...target, ...other }).close();
  }
  first.detach();
  Link.attach(program, target).close();
});

kernelTest("netfilter: the extremes of the priority are the kernel's", NEEDS, () => {
  using program = netfilter();
  for (const priority of [-0x80000000, 0x7fffffff]) {
    assertEquals(refusal(() => Link.attach(program, { ...target, priority })), ["ERANGE", "invalid"]);
  }
});

kernelTest("netfilter: the lower priority judges first", NEEDS, async () => {
  using loopback = await Loopback.open();
  using pass = netfilter();
  using block = netfilter(VERDICT.netfilter.block);
  using _pass = Link.attach(pass, { ...target, priority: -10 });
  assert(await loopback.passes());
  using _block = Link.attach(block, { ...target, priority: 10 });
  assert(!await loopback.passes(), "accepted by one means asked the next");
});

kernelTest("netfilter: defragment", { ...NEEDS, since: "6.6" }, () => {
  using program = netfilter();
  assertEquals(refusal(() => Link.attach(program, { ...target, priority: -400, defragment: true })), [
    "ERANGE",
    "invalid",
  ]);
  using link = Link.attach(program, { ...target, priority: -399, defragment: true });
  const { defragment } = link.info();
  assert(defragment === true || defragment === undefined, `${defragment}`);
});

kernelTest("netfilter: defragment is told", { ...NEEDS, since: "6.13" }, () => {
  using program = netfilter();
  for (const defragment of [true, false]) {
    using link = Link.attach(program, { ...target, defragment });
    assertEquals(link.info().defragment, defragment);
  }
});

kernelTest("netfilter: another network namespace, which lives as long as the link is attached", NEEDS, async () => {
  using pair = new VethPair();
  await using other = new OtherNetns();
  move(pair.peer, other.pid);
  using loopback = await Loopback.open();
  using program = netfilter(VERDICT.netfilter.block);
  using link = Link.attach(program, { ...target, netns: other.path });
  assert(await loopback.passes(), "it is attached there, not here");
  Link.attach(program, target).close(); // nor is the place here taken

  // an interface goes with its network namespace, and a veth pair goes as a whole
  const isThere = () => indexOf(pair.name) !== undefined;
  await other.end();
  await delay(100);
  assert(isThere());
  link.detach();
  await until(() => !isThere(), "the network namespace is gone");
});

rows(
  { needs: ["netns"], since: "6.4" },
  [
    "another protocol family",
    (own) => linkCreate(own.use(netfilter()).fd, 0, "netfilter", { netfilter: { pf: 1, hooknum: 0, priority: 0 } }),
    "LINK_CREATE EAFNOSUPPORT invalid",
    /neither IPv4 nor IPv6/,
  ],
  [
    "no such hook",
    (own) => linkCreate(own.use(netfilter()).fd, 0, "netfilter", { netfilter: { pf: 2, hooknum: 9, priority: 0 } }),
    "LINK_CREATE EPROTO invalid",
    /no such netfilter hook/,
  ],
  [
    "a priority at the end of the range",
    (own) =>
      linkCreate(own.use(netfilter()).fd, 0, "netfilter", {
        netfilter: { pf: 2, hooknum: 0, priority: 0x7fffffff },
      }),
    "LINK_CREATE ERANGE invalid",
    /priority/,
  ],
  [
    "flags that no kernel has",
    (own) =>
      linkCreate(own.use(netfilter()).fd, 0, "netfilter", {
        netfilter: { pf: 2, hooknum: 0, priority: 0, flags: 128 },
      }),
    "LINK_CREATE EOPNOTSUPP unsupported",
    /flags/,
  ],
  [
    "the same priority twice",
    (own) => {
      filterLink(own);
      return filterLink(own);
    },
    "LINK_CREATE EBUSY busy",
    /another priority/,
  ],
);

kernelTest("netfilter: a link keeps its namespace alive", { needs: ["netns"], since: "6.4" }, async () => {
  await using other = new OtherNetns();
  using accept = answering(1, { type: "netfilter", expectedAttachType: "netfilter" });
  using program = skLookup();
  using witness = Link.attach(program, { type: "netns", netns: other.path, attachType: "sk_lookup" });
  using holder = Link.attach(accept, {
    type: "netfilter",
    netns: other.path,
    family: "ipv4",
    hook: "local_in",
    priority: 1,
  });
  await other.end();
  await new Promise((resolve) => setTimeout(resolve, 200)); // ten times what it takes without the holder
  assertEquals([holder.attached(), witness.attached()], [undefined, true]);
  holder.detach();
  await until(() => witness.attached() === false, "the namespace is gone");
});
