/** What the targets that become a perf event share. */
import type { Attachment } from "./attachment.ts";

/** The arguments for a perf event that was opened for the call: the link keeps it. */
export function toEvent(fd: number, cookie: bigint | undefined): Attachment {
  const options = cookie === undefined ? undefined : { perfEvent: { bpfCookie: cookie } };
  return { attachType: "perf_event", targetFd: fd, options, temporary: [fd] };
}
