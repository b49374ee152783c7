/** A part of the scene: holds links to interfaces and cgroups until its input ends. `firewall.ts DEVICE PEER CGROUP PINS` */
import { type AttachTarget, type AttachTypeName, Link, type Program } from "../../mod.ts";
import { answering } from "../fixture/program/programs.ts";

const [device, peer, cgroup, pins] = Deno.args as [string, string, string, string];
const links: Link[] = [];

function attach(program: Program, target: AttachTarget): Link {
  const link = Link.attach(program as never, target as never);
  links.push(link);
  return link;
}

const packet = (name: string) => answering(-1, { type: "sched_cls", name });
const at = { type: "tcx", device, direction: "ingress" } as const;
const police = attach(packet("police"), at);
attach(packet("count_bytes"), { ...at, position: "first" });
attach(packet("log_drops"), { ...at, position: { after: police } });
attach(packet("shape"), { type: "tcx", device, direction: "egress" });
attach(answering(2, { type: "xdp", name: "ddos_guard" }), { type: "xdp", device: peer });
police.pin(`${pins}/police`);

const judge = (name: string, expectedAttachType: AttachTypeName) =>
  answering(1, {
    type: expectedAttachType.includes("connect") ? "cgroup_sock_addr" : "cgroup_skb",
    expectedAttachType,
    name,
  });
const quota = judge("quota", "cgroup_inet_egress"), audit = judge("audit", "cgroup_inet_ingress");
const connect = judge("allow_connect", "cgroup_inet4_connect");
for (const each of ["shop.slice/shop-frontend.service", "shop.slice/shop-backend.service"]) {
  attach(quota, { type: "cgroup", cgroup: `${cgroup}/${each}` });
  attach(connect, { type: "cgroup", cgroup: `${cgroup}/${each}` });
}
const slice = { type: "cgroup", cgroup: `${cgroup}/shop.slice` } as const;
attach(audit, slice);
const account = attach(judge("account", "cgroup_inet_egress"), slice);
attach(quota, slice);
account.pin(`${pins}/shop_account`);
attach(judge("build_limit", "cgroup_inet_egress"), {
  type: "cgroup",
  cgroup: `${cgroup}/build.slice/build-runner@1.service`,
});

console.log(links.map(({ id }) => id).join(" "));
await Deno.stdin.read(new Uint8Array(1));
