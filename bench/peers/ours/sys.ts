// The same work as twin.c with the calls of `./sys`.
import { BpfError } from "../../../lib/error.ts";
import { unlink } from "../../../lib/os/files.ts";
import {
  close,
  linkCreate,
  linkDetach,
  linkGetFdById,
  linkGetInfoByFd,
  linkGetNextId,
  linkUpdate,
  objGet,
  objPin,
  open,
  progLoad,
} from "../../../lib/sys/mod.ts";
import { LINKS, main, type Operations, PASS } from "./peer.ts";

await main(
  () => void infos(1),
  () => {
    const count = infos(Infinity);
    if (count < LINKS) throw new Error(`${count} links`);
  },
  operations,
);

/** Reads the infos of up to so many links and returns of how many. */
function infos(limit: number): number {
  let count = 0;
  for (let id = linkGetNextId(0); id !== undefined && count < limit; id = linkGetNextId(id)) {
    try {
      const fd = linkGetFdById(id);
      linkGetInfoByFd(fd);
      close(fd);
      count++;
    } catch (error) {
      if (!(error instanceof BpfError && /gone|unsettled/.test(error.reason))) throw error;
    }
  }
  return count;
}

function operations(path: string, pin: string): Operations {
  const cgroup = open(path);
  const [first, second] = [load(), load()];
  const create = () => linkCreate(first, cgroup, "cgroup_inet_egress");
  const link = create(), { id } = linkGetInfoByFd(link);
  let held = first, other = second;
  const swap = () => [held, other] = [other, held];
  return {
    create_close: () => close(create()),
    create: () => {
      const fd = create();
      linkDetach(fd);
      close(fd);
    },
    update: () => {
      linkUpdate(link, other);
      swap();
    },
    update_expected: () => {
      linkUpdate(link, other, { oldProgFd: held });
      swap();
    },
    info: () => void linkGetInfoByFd(link),
    next_id: () => void linkGetNextId(id - 1),
    fd_by_id: () => close(linkGetFdById(id)),
    pin: () => {
      objPin(link, pin);
      unlink(pin);
    },
    open_pinned: () => close(objGet(pin)),
  };
}

function load(): number {
  return progLoad("cgroup_skb", PASS, { expectedAttachType: "cgroup_inet_egress" });
}
