/** Which processes hold fds of links. The records are those of `ffi/core/src/holders.rs`. */
import { type Refusals, refused } from "../refusal.ts";
import { native } from "./library.ts";
import { numbers } from "./symbols.ts";

/** An fd of a link that some process holds. */
export interface LinkFd {
  readonly pid: number;
  /** -1 for a process whose fds the caller may not look at; `id` is 0 then. */
  readonly fd: number;
  /** The link's id. */
  readonly id: number;
}

const { RECORD_SIZE, PID, FD, ID } = numbers.holders;
const HOLDERS: Refusals = { command: "openat", rows: { EACCES: ["policy", "the directory may not be read"] } };

/** The fds of links that all visible processes hold, in the order of `/proc`. No snapshot: processes come and go. */
export function linkFds(): LinkFd[] {
  for (let capacity = 1024;;) {
    const records = new DataView(new ArrayBuffer(capacity * RECORD_SIZE));
    const count = native().bpf_link_holders(records, records.byteLength);
    if (count < 0) throw refused(count, HOLDERS, "Cannot read /proc");
    if (count <= capacity) {
      return Array.from({ length: count }, (_, i) => ({
        pid: records.getUint32(i * RECORD_SIZE + PID, true),
        fd: records.getInt32(i * RECORD_SIZE + FD, true),
        id: records.getUint32(i * RECORD_SIZE + ID, true),
      }));
    }
    capacity = count * 2;
  }
}
