/** What `/proc` tells of processes and mounts. */
import { native } from "../ffi/library.ts";
import { refusal } from "../hint.ts";
import { readTextFile } from "./system.ts";

/** An fd of a link that some process holds. */
export interface LinkFd {
  readonly pid: number;
  /** -1 for a process whose fds the caller may not look at; `id` is 0 then. */
  readonly fd: number;
  /** The link's id. */
  readonly id: number;
}

const RECORD_SIZE = 12;

/** The fds of links that all visible processes hold, in the order of `/proc`. No snapshot: processes come and go. */
export function linkFds(): LinkFd[] {
  for (let capacity = 1024;;) {
    const records = new DataView(new ArrayBuffer(capacity * RECORD_SIZE));
    const count = native().bpf_link_holders(records, records.byteLength);
    if (count < 0) throw refusal(count, "openat", "Cannot read /proc");
    if (count <= capacity) {
      return Array.from({ length: count }, (_, i) => ({
        pid: records.getUint32(i * RECORD_SIZE, true),
        fd: records.getInt32(i * RECORD_SIZE + 4, true),
        id: records.getUint32(i * RECORD_SIZE + 8, true),
      }));
    }
    capacity = count * 2;
  }
}

/** A mounted file system. */
export interface Mount {
  /** Where it is mounted. */
  readonly path: string;
  /** Which of its directories is mounted there. */
  readonly root: string;
  /** Its number, as `stat` gives it. */
  readonly device: bigint;
}

/** The file systems of a type in the mount namespace of a process. */
export function mounts(pid: number | "self", type: "bpf" | "cgroup2"): Mount[] {
  // 31 23 0:28 / /sys/fs/bpf rw,relatime shared:9 - bpf bpf rw,mode=700
  return readTextFile(`/proc/${pid}/mountinfo`).split("\n").flatMap((line) => {
    const [mount, system] = line.split(" - ");
    if (!system?.startsWith(`${type} `)) return [];
    const [, , numbers, root, path] = mount!.split(" ");
    const [major, minor] = numbers!.split(":").map(BigInt) as [bigint, bigint];
    const device = minor & 0xffn | major << 8n | (minor & ~0xffn) << 12n;
    return [{ path: unescape(path!), root: unescape(root!), device }];
  });
}

function unescape(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/** The number of this process in the `/proc` that it sees. */
export function ownPid(): number {
  return parseInt(readTextFile("/proc/self/stat"));
}
