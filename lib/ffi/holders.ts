/** Which processes hold fds of links. The records are those of `ffi/core/src/holders.rs`. */
import { checked, type Refusals } from "../refusal.ts";
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
const HOLDERS: Refusals = { command: "openat", rows: () => ({ EACCES: ["policy", "the directory may not be read"] }) };

const CAPACITY = 512; // of one call, which takes some milliseconds

/**
 * The fds of links that all visible processes hold, in the order of `/proc`, found step by step. No snapshot: processes
 * come and go.
 */
export function* linkFds(): Generator<void, LinkFd[], void> {
  const found: LinkFd[] = [], records = new DataView(new ArrayBuffer(CAPACITY * RECORD_SIZE));
  for (let pid = 0, fd = 0;;) {
    const result = native().bpf_link_holders(pid, fd, records, records.byteLength);
    const count = checked(result, HOLDERS, () => "Cannot read /proc");
    let isOver = true;
    for (let at = 0; at < count * RECORD_SIZE; at += RECORD_SIZE) {
      const id = records.getUint32(at + ID, true);
      pid = records.getUint32(at + PID, true);
      fd = records.getInt32(at + FD, true);
      isOver = id !== 0 || fd < 0; // else it is the last: where to go on
      if (isOver) found.push({ pid, fd, id });
    }
    if (isOver) return found;
    yield;
  }
}
