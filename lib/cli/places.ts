/** The places that the kernel can be asked about: what is attached there, with or without links. */
import { BpfError } from "../error.ts";
import { close, open } from "../os/files.ts";
import { deviceIndex, xdpQuery } from "../os/interfaces.ts";
import { progQuery, type QueriedProgram } from "../sys/prog_query.ts";
import type { AttachType } from "../uapi/types.ts";
import { CGROUP_ATTACH_TYPES, cgroups, interfaces, ownNetns, unlessRefused } from "./names.ts";
import type { HookRecord } from "./schema.ts";

/** A place with its programs. */
export interface Place {
  /** Where it is. */
  readonly where: Omit<HookRecord, "place" | "ordered" | "entries">;
  /** The programs in the kernel's order. */
  readonly programs: readonly (QueriedProgram & { readonly attachFlags: number })[];
}

type Answer = Pick<Place, "programs"> & { revision?: bigint };

/** What the kernel says of all places that have programs; `isRefused` if it may not be asked about some. */
export function places(): { places: Place[]; isRefused: boolean } {
  const found: Place[] = [];
  let isRefused = false;
  const attempt = (look: () => void): void => {
    try {
      look();
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      isRefused ||= ["EPERM", "EACCES"].includes(error.code); // else this kernel has no such places, or it is gone
    }
  };
  const ask = (where: Place["where"], read: () => Answer): void =>
    attempt(() => {
      const { revision, programs } = read();
      const counted = revision === undefined ? where : { ...where, revision: String(revision) };
      if (programs.length > 0) found.push({ where: counted, programs });
    });
  const askFile = (path: string, attachTypes: readonly AttachType[], where: Place["where"]): void =>
    attempt(() => {
      const fd = open(path);
      for (const attachType of attachTypes) ask({ ...where, attachType }, () => query(fd, attachType));
      close(fd);
    });
  for (const deviceName of interfaces()) {
    const ifindex = unlessRefused(() => deviceIndex(deviceName));
    if (ifindex === undefined) continue; // gone
    const at = { ifindex, deviceName };
    ask({ type: "xdp", ...at }, () => ({
      programs: xdpQuery(ifindex).map(({ progId, mode }) => ({ progId, attachFlags: mode })),
    }));
    for (const attachType of ["tcx_ingress", "tcx_egress", "netkit_primary", "netkit_peer"]) {
      const type = attachType.startsWith("tcx") ? "tcx" : "netkit";
      ask({ type, attachType, ...at }, () => query(ifindex, attachType));
    }
  }
  const netnsIno = ownNetns();
  askFile("/proc/thread-self/ns/net", ["flow_dissector", "sk_lookup"], { type: "netns", netnsIno });
  for (const { path, id } of cgroups()) {
    askFile(path, CGROUP_ATTACH_TYPES, { type: "cgroup", cgroupId: String(id), cgroupPath: path });
  }
  return { places: found, isRefused };
}

function query(target: number, attachType: AttachType): Answer {
  const { progs, attachFlags, ...rest } = progQuery(target, attachType);
  return { ...rest, programs: progs.map((it) => ({ attachFlags: it.progAttachFlags ?? attachFlags, ...it })) };
}
