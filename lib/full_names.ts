/** Names for people to read: those that `Names` knows, and those that take a look at other files. */
import { TypeNames } from "./btf/type_names.ts";
import type { FunctionNames } from "./kind/kind.ts";
import type { LinkInfo } from "./kind/mod.ts";
import { MOST_NAMED } from "./kind/target.ts";
import { Names, whereOf } from "./names.ts";
import { elfFunctionNames } from "./os/elf_functions.ts";
import { closeIfOpen, open, readToEnd } from "./os/files.ts";
import { interfaces, ownNetns } from "./os/interfaces.ts";
import { functionsAt } from "./os/kallsyms.ts";
import { mounts, type NamedNetns, networkNamespaces } from "./os/proc.ts";
import { unlessGone, visibly } from "./refusal.ts";
import { btfGetData, btfGetFdById, btfGetInfoByFd } from "./sys/btf.ts";

/** The names of the kernel's types; undefined where they cannot be read. */
function kernelTypes(): TypeNames | undefined {
  return visibly(() => {
    const fd = open("/sys/kernel/btf/vmlinux");
    try {
      return new TypeNames(readToEnd(fd));
    } finally {
      closeIfOpen(fd);
    }
  });
}

/** The same of a module or a program, by the id of its BTF, and the module's name. */
function typesOf(btfId: number, kernel: () => TypeNames | undefined): BtfNames | undefined {
  return visibly(() =>
    unlessGone(() => {
      const fd = btfGetFdById(btfId);
      try {
        const { name, kernelBtf } = btfGetInfoByFd(fd), base = kernelBtf ? kernel() : undefined;
        if (kernelBtf && base === undefined) return undefined;
        return { types: new TypeNames(btfGetData(fd), base), module: kernelBtf ? name : undefined };
      } finally {
        closeIfOpen(fd);
      }
    })
  );
}

interface BtfNames {
  readonly types: TypeNames;
  readonly module: string | undefined;
}

/** The id of the kernel's own BTF, the first that there is. */
const KERNEL_BTF_ID = 1;

/** A namespace that is not known is looked for this often, for it may be new, or nobody may see it. */
const LOOK_AGAIN_MS = 1000;

/** Names of places in words for people, who know cgroups, namespaces and functions by what they are called. */
export class FullNames extends Names {
  readonly #kernel = new Map<bigint, string | undefined>();
  readonly #files = new Map<string, Map<number, string | undefined>>();
  readonly #functions: FunctionNames = {
    inKernel: (address) => this.#kernel.get(address),
    inFile: (path, offset) => this.#files.get(path)?.get(offset),
    inBtf: (id, object = KERNEL_BTF_ID) => this.#inBtf(id, object),
  };
  readonly #btfs = new Map<number, BtfNames | undefined>();
  readonly #here = ownNetns();
  readonly #devices = new Map<number, ReadonlyMap<number, string>>();
  #cgroupMounts: string[] | undefined;
  #namespaces: ReadonlyMap<number, NamedNetns> | undefined;
  #looked = -Infinity;

  /** Looks up the functions that infos have, of all at once: each look reads a whole list. */
  learn(infos: Iterable<LinkInfo>): void {
    const addresses = new Set<bigint>(), files = new Map<string, Set<number>>();
    for (const info of infos) {
      for (const address of addressesIn(info)) if (!this.#kernel.has(address)) addresses.add(address);
      if (!("path" in info)) continue;
      const known = this.#files.get(info.path);
      for (const offset of offsetsIn(info)) {
        if (!known?.has(offset)) files.set(info.path, (files.get(info.path) ?? new Set()).add(offset));
      }
    }
    if (addresses.size > 0) {
      const names = functionsAt(addresses);
      for (const address of addresses) this.#kernel.set(address, names.get(address));
    }
    for (const [path, offsets] of files) {
      // whose file it is, is not proved: but a function that begins just there is hardly another's
      const names = visibly(() => elfFunctionNames(path, offsets)), known = this.#files.get(path) ?? new Map();
      for (const offset of offsets) known.set(offset, names?.get(offset));
      this.#files.set(path, known);
    }
  }

  /** The name of a function, with its module in front; of the kernel, or of another object of BTF. */
  #inBtf(id: number, object: number): string | undefined {
    const known = (object: number): BtfNames | undefined => {
      if (this.#btfs.has(object)) return this.#btfs.get(object);
      const kernel = () => known(KERNEL_BTF_ID)?.types, types = object === KERNEL_BTF_ID ? kernelTypes() : undefined;
      const found = object === KERNEL_BTF_ID ? types && { types, module: undefined } : typesOf(object, kernel);
      this.#btfs.set(object, found);
      return found;
    };
    const { types, module } = known(object) ?? {}, name = types?.get(id);
    return name === undefined || module === undefined ? name : `${module}:${name}`;
  }

  /** Completes the info of a link at an interface of our network namespace; false if the interface may be elsewhere. */
  locate(info: LinkInfo): boolean {
    if (!("ifindex" in info) || info.attached === false || info.netnsIno !== undefined) return true;
    if (this.device(info) === undefined) return false;
    info.netnsIno = this.#here;
    return true;
  }

  /** What a link is attached to, for a narrow column. `cgroup` and `device` are its names if they are known. */
  where(info: LinkInfo, device: string | undefined, cgroup: string | undefined): string {
    const words = whereOf(info, {
      ...this.#namespaceOf(info, device),
      cgroup: cgroup && this.below(cgroup),
      functions: this.#functions,
    });
    // the column beside it has the type
    if (!("attachType" in info) || !words.endsWith(info.attachType) || !info.attachType.startsWith(`${info.type}_`)) {
      return words;
    }
    return words.slice(0, -info.attachType.length) + info.attachType.slice(info.type.length + 1);
  }

  /** The same with whole paths, and without what takes a look at other files. */
  plainly(info: LinkInfo, device: string | undefined, cgroup: string | undefined): string {
    return whereOf(info, { device, cgroup });
  }

  /** The path of a cgroup from where its file system is mounted. */
  below(path: string): string {
    this.#cgroupMounts ??= mounts("self", "cgroup2").map(({ path }) => path).sort((a, b) => b.length - a.length);
    const mount = this.#cgroupMounts.find((mount) => path === mount || path.startsWith(`${mount}/`));
    return mount === undefined ? path : path.slice(mount.length) || "/";
  }

  /** The name of a network namespace: `own netns`, `netns blue` or `netns of 1234`. */
  netns(ino: number): string {
    if (ino === this.#here) return "own netns";
    if (this.#namespaces?.has(ino) !== true && performance.now() - this.#looked > LOOK_AGAIN_MS) {
      this.#namespaces = networkNamespaces();
      this.#looked = performance.now();
    }
    return this.#namespaces?.get(ino)?.words ?? `net:[${ino}]`;
  }

  #namespaceOf(info: LinkInfo, device: string | undefined): { device: string | undefined; netns?: string } {
    if (!("netnsIno" in info) || info.netnsIno === undefined) return { device };
    const { netnsIno: ino } = info, netns = this.netns(ino);
    if (!("ifindex" in info)) return { device, netns };
    if (ino === this.#here) return { device };
    return { device: this.#devicesIn(ino).get(info.ifindex), netns };
  }

  /** The interfaces of another network namespace; none if it may not be entered. */
  #devicesIn(ino: number): ReadonlyMap<number, string> {
    const known = this.#devices.get(ino);
    if (known !== undefined) return known;
    const path = this.#namespaces?.get(ino)?.path;
    const all = path === undefined ? undefined : visibly(() => {
      const fd = open(path);
      try {
        return interfaces(fd);
      } finally {
        closeIfOpen(fd);
      }
    });
    const names = new Map(all?.map(({ ifindex, name }) => [ifindex, name]));
    this.#devices.set(ino, names);
    return names;
  }

  /** Forgets what may change while one looks on: namespaces and their interfaces. */
  renew(): void {
    this.#namespaces = undefined;
    this.#looked = -Infinity;
    this.#devices.clear();
  }
}

function addressesIn(info: LinkInfo): bigint[] {
  if ("addresses" in info) return info.addresses.slice(0, MOST_NAMED).flatMap(({ address }) => address ?? []);
  return "address" in info && typeof info.address === "bigint" ? [info.address] : [];
}

function offsetsIn(info: LinkInfo): number[] {
  if ("offsets" in info) return info.offsets.slice(0, MOST_NAMED).map(({ offset }) => offset);
  return "offset" in info && typeof info.offset === "number" ? [info.offset] : [];
}
