/** `deno bench -A bench/`, as root: calls of `@bpf/link/sys`, on iterators' links, for they touch nothing of the machine. */
import { close, linkCreate, linkGetFdById, linkGetInfoByFd, linkGetNextId, linkUpdate } from "../lib/sys/mod.ts";
import { taskIterator } from "../tests/fixture/program/programs.ts";

const [first, second] = [taskIterator("1"), taskIterator("2")];
const link = linkCreate(first.fd, 0, "trace_iter"), { id } = linkGetInfoByFd(link);
let held = first, other = second;

Deno.bench("linkGetNextId", () => void linkGetNextId(id - 1));

Deno.bench("linkGetFdById + close", () => close(linkGetFdById(id)));

Deno.bench("linkGetInfoByFd", () => void linkGetInfoByFd(link));

Deno.bench("linkUpdate", () => {
  linkUpdate(link, other.fd, { oldProgFd: held.fd });
  [held, other] = [other, held];
});

Deno.bench("linkCreate + close", () => close(linkCreate(first.fd, 0, "trace_iter")));
