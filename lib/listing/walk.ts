/** Every link by its id: the source that takes CAP_SYS_ADMIN. */
import { LinkBatch } from "../ffi/walk.ts";
import { closeIfOpen } from "../os/files.ts";
import { refused } from "../refusal.ts";
import { LINK_GET_NEXT_ID } from "../sys/link.ts";
import { asksAgain, decode, LinkAsker } from "../sys/link_info.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";

/** All links, batch after batch. */
export function* allLinks(): Generator<BpfLinkInfo, void, void> {
  for (let last = 0, batch; (batch = linkWalk(last)).length > 0; last = batch.at(-1)!.id) yield* batch;
}

/**
 * The infos of the links with an id above `startId`, at most 64, in the order of their ids; none at the end. Links that
 * end on the way are left out; none is left open.
 */
export function linkWalk(startId: number): BpfLinkInfo[] {
  const batch = new LinkBatch(), count = batch.read(startId, asksAgain());
  if (count < 0) throw refused(count, LINK_GET_NEXT_ID, "Cannot list links");
  const infos: BpfLinkInfo[] = [];
  let next = 0;
  try {
    for (; next < count; next++) {
      batch.select(next);
      infos.push(decode(batch, new LinkAsker(batch.fd)));
      if (batch.fd >= 0) closeIfOpen(batch.fd);
    }
  } finally {
    for (; next < count; next++) {
      batch.select(next);
      if (batch.fd >= 0) closeIfOpen(batch.fd);
    }
  }
  return infos;
}
