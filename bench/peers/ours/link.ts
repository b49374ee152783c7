// The same work as twin.c with the classes of the package.
import { open } from "../../../lib/sys/mod.ts";
import { Link, Program } from "../../../mod.ts";
import { LINKS, main, type Operations, PASS } from "./peer.ts";

await main(
  async () => {
    await Link.infos().next();
  },
  async () => {
    let count = 0;
    for await (const _ of Link.infos()) count++;
    if (count < LINKS) throw new Error(`${count} links`);
  },
  operations,
);

function operations(cgroup: string, pin: string): Operations {
  const [first, second] = [load(), load()];
  const link = Link.attach(first, { type: "cgroup", cgroup }), { id } = link;
  const target = { type: "cgroup", cgroup: open(cgroup) } as const;
  let held = first, other = second;
  const swap = () => [held, other] = [other, held];
  return {
    create_close: () => Link.attach(first, target, { onClose: "keep" }).close(),
    create: () => {
      using _link = Link.attach(first, target);
    },
    update: () => {
      link.update(other);
      swap();
    },
    update_expected: () => {
      link.update(other, { expected: held });
      swap();
    },
    info: () => void link.info(),
    fd_by_id: () => Link.open(id).close(),
    pin: () => {
      link.pin(pin);
      link.unpin();
    },
    open_pinned: () => Link.openPinned(pin).close(),
  };
}

function load(): Program {
  return Program.load({ type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress", instructions: PASS });
}
