/** The calls of `@bpf/link/sys` that the classes of the package make in another way or not at all, as operations. */
import {
  btfGetFdById,
  btfGetInfoByFd,
  btfGetNextId,
  btfLoad,
  close,
  closeAsync,
  enableStats,
  iterCreate,
  linkCreate,
  linkCreateAsync,
  linkDetach,
  linkDetachAsync,
  linkGetFdById,
  linkGetFdByIdOpts,
  linkGetInfoByFd,
  linkGetNextId,
  linkUpdate,
  mapCreate,
  mapDeleteElem,
  mapFreeze,
  mapGetFdById,
  mapGetInfoByFd,
  mapGetNextId,
  mapGetNextKey,
  mapLookupBatch,
  mapLookupElem,
  mapUpdateElem,
  objGet,
  objPin,
  open,
  perfEventEnable,
  perfEventOpen,
  progGetFdById,
  progGetInfoByFd,
  progGetNextId,
  progLoad,
  progQuery,
  progTestRun,
  rawTracepointOpen,
  rawTracepointOpenAsync,
  tokenCreate,
} from "../../lib/sys/mod.ts";
import { NOTHING } from "../../lib/sys/program.ts";
import { BpfError, type Program } from "../../mod.ts";
import { functionBtf } from "../fixture/program/btf.ts";
import type { Step } from "./steps.ts";

/** What is at hand. */
export interface SysPlaces {
  readonly lookup: Program;
  readonly egress: Program;
  readonly raw: Program;
  readonly tasks: Program;
  readonly cgroup: string;
  readonly tracepoint: string;
  pin(): string;
}

/** fds that are closed with the scope. */
class Fds implements Disposable {
  readonly #stack = new DisposableStack();

  keep(fd: number): number {
    return this.#stack.adopt(fd, close);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

export function sysSteps(places: SysPlaces): Record<string, Step> {
  const { lookup, egress, raw, tasks, cgroup, tracepoint, pin } = places;
  return {
    "sys: links": {
      run: async () => {
        using fds = new Fds();
        const netns = fds.keep(open("/proc/self/ns/net")), link = fds.keep(linkCreate(lookup.fd, netns, "sk_lookup"));
        const { id, type } = linkGetInfoByFd(link), next = linkGetNextId(id - 1) === id;
        fds.keep(linkGetFdById(id));
        const again = linkGetInfoByFd(fds.keep(linkGetFdByIdOpts(id))).id === id;
        linkUpdate(link, lookup.fd, { oldProgFd: lookup.fd });
        linkDetach(link);
        await linkDetachAsync(link);
        return [type, next, again];
      },
    },
    "sys: links, async": {
      run: async () => {
        using fds = new Fds();
        const directory = fds.keep(open(cgroup));
        const fd = await linkCreateAsync(egress.fd, directory, "cgroup_inet_egress"), path = pin();
        try {
          const { type } = linkGetInfoByFd(fd);
          objPin(fd, path);
          const same = linkGetInfoByFd(fds.keep(objGet(path))).id === linkGetInfoByFd(fd).id;
          const { progs } = progQuery(directory, "cgroup_inet_egress");
          return [type, same, progs.length];
        } finally {
          await closeAsync(fd);
          removeIfThere(path);
        }
      },
    },
    "sys: raw tracepoints, iterators": {
      run: async () => {
        using fds = new Fds();
        const first = fds.keep(rawTracepointOpen(tracepoint, raw.fd));
        const second = fds.keep(await rawTracepointOpenAsync(tracepoint, raw.fd));
        const iterator = fds.keep(linkCreate(tasks.fd, 0, "trace_iter"));
        fds.keep(iterCreate(iterator));
        return [first, second, iterator].map((fd) => linkGetInfoByFd(fd).type);
      },
    },
    "sys: programs": {
      run: () => {
        using fds = new Fds();
        const fd = fds.keep(progLoad("socket_filter", NOTHING, { name: "some" })), { id, type } = progGetInfoByFd(fd);
        const next = progGetNextId(id - 1) === id, { name } = progGetInfoByFd(fds.keep(progGetFdById(id)));
        return [type, next, name, progTestRun(fd, { dataIn: new Uint8Array(64) }).retval];
      },
    },
    "sys: maps": {
      run: () => {
        using fds = new Fds();
        const fd = fds.keep(mapCreate("hash", 4, 8, 4)), { id, type } = mapGetInfoByFd(fd), key = new Uint8Array(4);
        mapUpdateElem(fd, key, new Uint8Array(8).fill(7));
        const found = [
          mapLookupElem(fd, key)?.[0],
          mapGetNextKey(fd)?.length,
          mapLookupBatch(fd, undefined, 4).entries,
        ];
        const isRemoved = mapDeleteElem(fd, key);
        mapFreeze(fd);
        const next = mapGetNextId(id - 1) === id;
        fds.keep(mapGetFdById(id));
        return [type, found, isRemoved, next];
      },
    },
    "sys: BTF": {
      run: () => {
        using fds = new Fds();
        const { id, btfSize } = btfGetInfoByFd(fds.keep(btfLoad(functionBtf("some", "context"))));
        const next = btfGetNextId(id - 1) === id;
        return [btfSize, next, btfGetInfoByFd(fds.keep(btfGetFdById(id))).kernelBtf];
      },
    },
    "sys: tokens": {
      run: () => {
        using fds = new Fds();
        const directory = fds.keep(open(pin().replace(/\/[^/]+\/[^/]+$/, "")));
        try {
          return fds.keep(tokenCreate(directory)) > 0;
        } catch (error) {
          // in the initial user namespace capabilities do
          if (error instanceof BpfError && error.code === "EOPNOTSUPP") return false;
          throw error;
        }
      },
    },
    "sys: perf events, counting": {
      run: () => {
        using fds = new Fds();
        const event = fds.keep(perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000_000n }, -1, 0));
        perfEventEnable(event);
        fds.keep(enableStats());
        return "enabled";
      },
    },
  };
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
