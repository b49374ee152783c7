/** Links in another network namespace, made by a process that stays in its own. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { close, linkCreate, open } from "../../../lib/sys/mod.ts";
import { type AnyLink, type AttachTarget, BpfError, Hook, Link, type Netns, type Program } from "../../../mod.ts";
import { OtherNetns } from "../../fixture/place/netns.ts";
import { addPair } from "../../fixture/place/rtnetlink.ts";
import { progAttach } from "../../fixture/program/prog_attach.ts";
import { answering, flowDissector, skLookup, tcx, xdp } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { until } from "../../fixture/run/wait.ts";
import { assertDetached } from "../detached.ts";
import { DEV_NULL, file, NO_FD, rows } from "../refusal/rows.ts";

/** A kind of link that a namespace can be named for. */
interface Kind {
  readonly name: string;
  readonly since: string;
  program(): Program;
  target(netns?: Netns): AttachTarget;
  /** How many programs are at the place, for kinds that can be asked. */
  count?(netns?: Netns): number;
}

const within = <T extends object>(target: T, netns: Netns | undefined) =>
  netns === undefined ? target : { ...target, netns };
const INGRESS = { type: "tcx", device: "lo", direction: "ingress" } as const;
const XDP = { type: "xdp", device: "lo" } as const;
const LOOKUP = { type: "netns", attachType: "sk_lookup" } as const;

const KINDS: readonly Kind[] = [
  {
    name: "xdp",
    since: "5.10",
    program: xdp,
    target: (netns) => within(XDP, netns),
    count: (netns) => Hook.query(within(XDP, netns)).entries.length,
  },
  {
    name: "tcx",
    since: "6.6",
    program: tcx,
    target: (netns) => within(INGRESS, netns),
    count: (netns) => Hook.query(within(INGRESS, netns)).entries.length,
  },
  {
    name: "netns",
    since: "5.10",
    program: skLookup,
    target: (netns) => within(LOOKUP, netns),
    count: (netns) => Hook.query(within(LOOKUP, netns)).entries.length,
  },
  {
    name: "netfilter",
    since: "6.4",
    program: () => answering(1, { type: "netfilter", expectedAttachType: "netfilter" }),
    target: (netns) => within({ type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 } as const, netns),
  },
];

function attach(program: Program, target: AttachTarget): AnyLink {
  return Link.attach(program, target) as AnyLink;
}

async function attachAsync(program: Program, target: AttachTarget): Promise<AnyLink> {
  return await Link.attachAsync(program, target) as AnyLink;
}

/** The network namespaces of all threads of this process. */
function namespacesOfThreads(): Set<string> {
  const names = new Set<string>();
  for (const { name: tid } of Deno.readDirSync("/proc/self/task")) {
    try {
      names.add(Deno.readLinkSync(`/proc/self/task/${tid}/ns/net`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // the thread ended
    }
  }
  return names;
}

for (const kind of KINDS) {
  kernelTest(`${kind.name}: by path, URL and fd, from a process that stays at home`, {
    needs: ["netns"],
    since: kind.since,
  }, async () => {
    await using other = new OtherNetns();
    const home = Deno.readLinkSync("/proc/thread-self/ns/net");
    using program = kind.program();
    const fd = open(other.path);
    try {
      for (const netns of [other.path, new URL(`file://${other.path}`), fd]) {
        for (const make of [attach, attachAsync]) {
          await using link = await make(program, kind.target(netns));
          if (kind.count) {
            assertEquals([kind.count(), kind.count(netns)], [0, 1]);
          } else {
            // the place is taken there, and free here
            using second = kind.program();
            assertEquals(assertThrows(() => attach(second, kind.target(netns)), BpfError).reason, "busy");
            attach(second, kind.target()).close();
          }
          assertEquals(link.info().programId, program.id);
          assertEquals(Deno.readLinkSync("/proc/thread-self/ns/net"), home);
        }
      }
      // all at once: the threads that did it are at home again
      const links = await Promise.allSettled(Array.from({ length: 8 }, () => attachAsync(program, kind.target(fd))));
      const made = links.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
      assert(made.length > 0);
      await Promise.all(made.map((link) => link.closeAsync()));
      assertEquals(namespacesOfThreads(), new Set([home]));
    } finally {
      close(fd);
    }
  });

  kernelTest(`${kind.name}: what is no network namespace`, { needs: ["netns"], since: kind.since }, async () => {
    using program = kind.program();
    const mount = open("/proc/self/ns/mnt");
    close(mount);
    const rows: [Netns, string, string][] = [
      ["/dev/null", "EINVAL", "setns"],
      ["/proc/self/ns/mnt", "EINVAL", "setns"],
      ["/tmp", "EINVAL", "setns"],
      ["/proc/self/ns/none", "ENOENT", "openat"],
      [mount, "EBADF", "setns"], // closed
    ];
    for (const [netns, code, command] of rows) {
      for (
        const error of [
          assertThrows(() => attach(program, kind.target(netns)), BpfError),
          await assertRejects(() => attachAsync(program, kind.target(netns)), BpfError),
        ]
      ) {
        assertEquals([error.code, error.command], [code, command], String(netns));
        assertStringIncludes(error.message, String(netns));
      }
    }
  });
}

kernelTest("an interface's name is looked up in its namespace", { needs: ["netns"], since: "6.6" }, async () => {
  await using other = new OtherNetns();
  addPair("veth", "there0", "there1", { netns: other.path });
  using program = tcx();
  const target = { ...INGRESS, device: "there0", netns: other.path };
  using link = Link.attach(program, target);
  assertEquals(link.info().attached, true);
  const { netns: _, ...here } = target;
  const error = assertThrows(() => Link.attach(program, here), BpfError);
  assertEquals([error.code, error.reason], ["ENODEV", "gone"]);
  assertStringIncludes(error.message, "there0");
  using generic = xdp();
  for (const device of ["none0", 4711]) {
    const missing = assertThrows(
      () => Link.attach(generic, { type: "xdp", device, netns: other.path, mode: "generic" }),
      BpfError,
    );
    assertStringIncludes(missing.message, String(device));
  }
});

kernelTest("the lo of another namespace is not taken for ours", { needs: ["netns"], since: "6.6" }, async () => {
  await using other = new OtherNetns();
  using pass = xdp();
  using misfit = tcx();
  const message = (link: AnyLink, program: Program) => assertThrows(() => link.update(program), BpfError).message;
  {
    using theirs = attach(pass, { ...XDP, netns: other.path });
    const info = theirs.info();
    assertEquals(info.type === "xdp" && info.ifindex, 1); // as our lo
    assertStringIncludes(message(theirs, misfit), "(xdp on interface 1)");
    {
      // even if the same program is on ours
      using ours = attach(pass, XDP);
      assertStringIncludes(message(ours, misfit), '(xdp on "lo")');
      using opened = Link.open(theirs.id);
      assertStringIncludes(message(opened, misfit), "(xdp on interface 1)");
      using openedOurs = Link.open(ours.id);
      assertStringIncludes(message(openedOurs, misfit), "(xdp on interface 1)"); // no kernel reports whose it is
    }
  }
  {
    using theirs = attach(misfit, { ...INGRESS, netns: other.path });
    using ours = attach(misfit, INGRESS);
    assertStringIncludes(message(theirs, pass), "(tcx on interface 1)");
    assertStringIncludes(message(ours, pass), '(tcx on "lo")');
    using opened = Link.open(theirs.id);
    using openedOurs = Link.open(ours.id);
    assertStringIncludes(message(opened, pass), "(tcx on interface 1)");
    assertStringIncludes(message(openedOurs, pass), '(tcx on "lo")'); // the hook of our lo tells the link
  }
});

rows(
  { needs: ["netns"] },
  [
    "a file that is no network namespace",
    (own) => linkCreate(own.use(skLookup()).fd, file(own, DEV_NULL), "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /no network namespace/,
  ],
  [
    "a second flow dissector",
    (own) => {
      const program = own.use(flowDissector());
      own.use(Link.attach(program, { type: "netns" }));
      return Link.attach(program, { type: "netns" });
    },
    "LINK_CREATE E2BIG limit",
    /flow dissector/,
  ],
  [
    "a flow dissector without a link",
    (own) => {
      const program = own.use(flowDissector());
      progAttach(own, 0, program.fd, 17);
      return Link.attach(program, { type: "netns" });
    },
    "LINK_CREATE EEXIST busy",
    /without a link/,
  ],
  [
    "the 65th sk_lookup program",
    (own) => {
      const program = own.use(skLookup());
      for (let i = 0; i < 65; i++) own.use(Link.attach(program, { type: "netns" }));
    },
    "LINK_CREATE E2BIG limit",
    /64/,
  ],
  [
    "a name of a namespace, not its file",
    (own) => Link.attach(own.use(skLookup()), { type: "netns", netns: "none" }),
    "openat ENOENT gone",
    /target\.netns "none".*\/run\/netns\/NAME/,
  ],
  [
    "a process, not its namespace",
    (own) => Link.attach(own.use(xdp()), { ...XDP, netns: `${Deno.pid}` }),
    "openat ENOENT gone",
    new RegExp(`target\\.netns "${Deno.pid}".*did you mean "/proc/${Deno.pid}/ns/net"`),
  ],
  [
    "an fd that is not open",
    (own) => Link.attach(own.use(xdp()), { ...XDP, netns: NO_FD }),
    "setns EBADF invalid",
    new RegExp(`target\\.netns \\(fd ${NO_FD}\\).*not open`),
  ],
  [
    "a namespace of another kind",
    (own) => Link.attach(own.use(skLookup()), { type: "netns", netns: "/proc/self/ns/mnt" }),
    "setns EINVAL invalid",
    /target\.netns "\/proc\/self\/ns\/mnt".*no network namespace/,
  ],
);

kernelTest("netns: its last process ends", { needs: ["netns"] }, async () => {
  await using other = new OtherNetns();
  using program = skLookup();
  using next = skLookup();
  using link = attach(program, { type: "netns", netns: other.path, attachType: "sk_lookup" });
  const info = link.info();
  assertEquals(info.type === "netns" && info.netnsIno, other.ino);
  await other.end();
  await until(() => link.attached() === false, "the kernel detaches the link");
  await assertDetached(link, program, next, { netnsIno: 0, attachType: "sk_lookup" });
});
