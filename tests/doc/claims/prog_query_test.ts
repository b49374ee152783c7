/** What the doc comments of lib/sys/prog_query.ts say. */
import { assertEquals } from "@std/assert";
import { close, linkCreate, linkGetInfoByFd, progQuery } from "../../../lib/sys/mod.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { NetkitPair } from "../../fixture/place/netkit.ts";
import { OtherNetns } from "../../fixture/place/netns.ts";
import { link, load, map, netns, programId } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  LO,
  misuse,
  NO_FD,
  NO_IFINDEX,
  type Own,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
} from "../../fixture/run/claims.ts";

const EGRESS = "cgroup_inet_egress", BEFORE = 8, AFTER = 16, PREORDER = 64, EFFECTIVE = 1, MULTI = 2;
const ids = ({ progs }: ReturnType<typeof progQuery>) => progs.map(({ progId }) => progId);
const three = (own: Own, load: (own: Own) => number) => [load(own), load(own), load(own)];

claim(
  "progQuery: also: since Linux 4.15, cgroups: ids and flags, 2 as a whole for links",
  { needs: ["cgroup2"] },
  (own) => {
    const { path } = own.use(new Cgroup()), program = load.egress(own), directory = own.file(path);
    assertEquals(progQuery(directory, EGRESS).attachFlags, 0);
    link.egress(own, path, program);
    const { attachFlags, progs: [entry, ...more] } = progQuery(directory, EGRESS);
    assertEquals([attachFlags, entry?.progId, more], [MULTI, programId(program), []]);
  },
);
claim("progQuery: also: `progAttachFlags` of a cgroup since Linux 6.1", { needs: ["cgroup2"], since: "6.1" }, (own) => {
  const { path } = own.use(new Cgroup());
  link.egress(own, path);
  const directory = own.file(path);
  assertEquals(progQuery(directory, EGRESS).progs.map((entry) => entry.progAttachFlags), [MULTI]);
  assertEquals("progAttachFlags" in progQuery(directory, EGRESS, { queryFlags: EFFECTIVE }).progs[0]!, false);
});
claim("progQuery: since Linux 5.7 flow_dissector, since 5.9 sk_lookup", { needs: ["netns"] }, (own) => {
  const here = netns(own), dissector = load.dissector(own), lookup = three(own, load.lookup);
  own.fd(linkCreate(dissector, here, "flow_dissector"));
  for (const program of lookup) link.lookup(own, program);
  assertEquals(progQuery(here, "flow_dissector"), { attachFlags: 0, progs: [{ progId: programId(dissector) }] });
  assertEquals(ids(progQuery(here, "sk_lookup")), lookup.map(programId));
});
claim("progQuery: since Linux 5.16, sockmaps", { since: "6.10" }, (own) => {
  const target = map(own, "sockmap"), program = load.message(own);
  link.message(own, program, target);
  assertEquals(progQuery(target, "sk_msg_verdict"), { attachFlags: 0, progs: [{ progId: programId(program) }] });
});
claim("progQuery: since Linux 6.6, tcx: the ids of links, the revision", { needs: ["netns"], since: "6.6" }, (own) => {
  const program = load.tcx(own), it = link.tcx(own, program);
  const { revision, progs } = progQuery(LO, "tcx_ingress");
  assertEquals([revision, progs], [2n, [{
    progId: programId(program),
    progAttachFlags: 0,
    linkId: linkGetInfoByFd(it).id,
    linkAttachFlags: 0,
  }]]);
});
claim("progQuery: since Linux 6.7, netkit", { needs: ["netns", "netkit"], since: "6.7" }, (own) => {
  const pair = own.use(new NetkitPair()), target = pair.ifindex(pair.primary), program = load.netkit(own);
  own.fd(linkCreate(program, target, "netkit_primary"));
  const result = progQuery(target, "netkit_primary");
  assertEquals([ids(result), result.revision], [[programId(program)], 2n]);
});
claim("progQuery: programs come in the order in which they run", { needs: ["netns"], since: "6.6" }, (own) => {
  const [a, b, c] = three(own, load.tcx) as [number, number, number];
  link.tcx(own, b);
  link.tcx(own, a, { flags: BEFORE });
  link.tcx(own, c, { flags: AFTER });
  assertEquals(ids(progQuery(LO, "tcx_ingress")), [a, b, c].map(programId));
});
claim("progQuery: but for a cgroup's own list, in which those with BPF_F_PREORDER do not come first", {
  needs: ["cgroup2"],
  since: "6.17",
}, (own) => {
  const { path } = own.use(new Cgroup()), directory = own.file(path), [first, late] = three(own, load.egress);
  link.egress(own, path, late);
  link.egress(own, path, first, { flags: PREORDER });
  assertEquals(ids(progQuery(directory, EGRESS)), [late!, first!].map(programId));
  assertEquals(ids(progQuery(directory, EGRESS, { queryFlags: EFFECTIVE })), [first!, late!].map(programId));
});
claim(
  "progQuery: also: BPF_F_QUERY_EFFECTIVE gives what runs, with the programs of its ancestors",
  { needs: ["cgroup2"] },
  (own) => {
    const parent = own.use(new Cgroup()),
      child = own.use(new Cgroup(parent.path)),
      [above, here] = three(own, load.egress);
    link.egress(own, parent.path, above);
    link.egress(own, child.path, here);
    const directory = own.file(child.path);
    assertEquals(ids(progQuery(directory, EGRESS)), [programId(here!)]);
    const effective = ids(progQuery(directory, EGRESS, { queryFlags: EFFECTIVE }));
    assertEquals(effective.filter((id) => [above!, here!].map(programId).includes(id)), [here!, above!].map(programId));
  },
);
claim("progQuery: revisions of cgroups since Linux 6.17", { needs: ["cgroup2"], since: "6.17" }, (own) => {
  const { path } = own.use(new Cgroup()), directory = own.file(path);
  assertEquals(progQuery(directory, EGRESS).revision, 1n);
  close(linkCreate(load.egress(own), directory, EGRESS));
  assertEquals(progQuery(directory, EGRESS).revision, 3n); // attached, detached
});
claim("progQuery: the revision of a tcx hook begins anew when its last program leaves", {
  needs: ["netns"],
  since: "6.6",
}, (own) => {
  close(linkCreate(load.tcx(own), LO, "tcx_ingress"));
  assertEquals(progQuery(LO, "tcx_ingress").revision, 1n);
});
refusal(
  "progQuery: ESTALE, linkCreate with its revision when the hook has changed",
  { needs: ["netns"], since: "6.6" },
  (own) => {
    link.tcx(own);
    const expectedRevision = progQuery(LO, "tcx_ingress").revision!;
    link.tcx(own);
    return linkCreate(load.tcx(own), LO, "tcx_ingress", { tcx: { expectedRevision } });
  },
);
claim("progQuery: also: `netns` is where the call is made", { needs: ["netns"], since: "6.6" }, async (own) => {
  await using other = new OtherNetns();
  const there = own.file(other.path), program = load.tcx(own);
  own.fd(linkCreate(program, LO, "tcx_ingress", { netns: there }));
  assertEquals(ids(progQuery(LO, "tcx_ingress", { netns: there })), [programId(program)]);
  assertEquals(ids(progQuery(LO, "tcx_ingress")), []);
});
misuse(
  "progQuery: TypeError, an argument has the wrong type",
  () => progQuery("lo" as never, "tcx_ingress"),
  () => progQuery(1, "nonsense" as never),
  () => progQuery(1, "tcx_ingress", { flags: 1 } as never),
);
misuse(
  "progQuery: RangeError, a number is out of range",
  () => progQuery(-1, "sk_lookup"),
  () => progQuery(0, "tcx_ingress"),
  () => progQuery(1, "tcx_ingress", { queryFlags: -1 }),
  () => progQuery(1, "tcx_ingress", { netns: -1 }),
);
unprivilegedRefusal("progQuery: EPERM, CAP_NET_ADMIN is missing", 'progQuery(open("/proc/self/ns/net"), "sk_lookup")');
for (
  const [capability, since] of [["net_admin", "5.19"], ["sys_admin", "6.9"]] as const
) {
  const name = `progQuery: also: CAP_${capability.toUpperCase()} is enough`;
  claim(name, { needs: ["setpriv"], since }, async () => {
    const call = 'progQuery(open("/proc/self/ns/net"), "sk_lookup")';
    assertEquals(await unprivileged(call, "", withOnly(capability)), "ok");
  });
}
refusal("progQuery: EINVAL, places of this attach type cannot be queried", {}, () => void progQuery(1, "perf_event"));
refusal(
  "progQuery: EINVAL, flags that it does not know",
  { needs: ["netns"], since: "6.6" },
  () => void progQuery(LO, "tcx_ingress", { queryFlags: 8 }),
);
refusal("progQuery: EINVAL, `target` is no network namespace", {}, (own) => void progQuery(own.file(), "sk_lookup"));
refusal(
  "progQuery: EINVAL, `target` is no map",
  { since: "6.10" },
  (own) => void progQuery(own.file(), "sk_msg_verdict"),
);
refusal(
  "progQuery: EOPNOTSUPP, `target` is a map, but no sockmap",
  { since: "6.10" },
  (own) => void progQuery(map(own, "array"), "sk_msg_verdict"),
);
refusal("progQuery: ENOENT, the cgroup was removed", { needs: ["cgroup2"] }, (own) => {
  const removed = new Cgroup(), directory = own.file(removed.path);
  removed[Symbol.dispose]();
  progQuery(directory, EGRESS);
});
refusal(
  "progQuery: ENXIO, netkit: the interface is none",
  { needs: ["netns", "netkit"], since: "6.7" },
  () => void progQuery(LO, "netkit_primary"),
);
refusal(
  "progQuery: EBADF, `target` is no directory of a cgroup2 file system",
  { needs: ["cgroup2"] },
  (own) => void progQuery(own.file("/tmp"), EGRESS),
);
refusal("progQuery: EBADF, `target` is not open: cgroup", { needs: ["cgroup2"] }, () => void progQuery(NO_FD, EGRESS));
refusal(
  "progQuery: EBADF, `target` is not open: sockmap",
  { since: "6.10" },
  () => void progQuery(NO_FD, "sk_msg_verdict"),
);
refusal("progQuery: EBADF, `target` is not open: netns", {}, () => void progQuery(NO_FD, "sk_lookup"));
refusal(
  "progQuery: ENODEV, there is no such interface in this network namespace",
  { needs: ["netns"], since: "6.6" },
  () => void progQuery(NO_IFINDEX, "tcx_ingress"),
);
