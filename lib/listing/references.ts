/** How many references each link has: the one thing that the kernel reports to BPF programs only. */
import { BpfError } from "../error.ts";
import { btfLayout } from "../ffi/btf.ts";
import { lazy } from "../lazy.ts";
import { close } from "../os/files.ts";
import { iterRead } from "../sys/iter.ts";
import { linkCreate } from "../sys/link_create.ts";
import { progLoad } from "../sys/program.ts";
import { SEQ_WRITE } from "../uapi/constants.ts";
import { add, assemble, call, copy, exit, load, set, skipIf, store } from "./assembler.ts";

/** For each link: writes its reference count and its id, 8 bytes each. */
const program = lazy(() =>
  assemble(
    load(6, 1, 8), // the link
    skipIf(6, 0, 10), // none: the end
    load(1, 1, 0), // what the iterator knows,
    load(1, 1, 0), // and in it the file
    load(2, 6, 0),
    store(10, -16, 2),
    load(2, 6, 8, 4),
    store(10, -8, 2),
    copy(2, 10),
    add(2, -16),
    set(3, 16),
    call(SEQ_WRITE),
    set(0, 0),
    exit,
  )
);

/**
 * The number of references of each link by its id: open files, pins, and calls under way. `undefined` without CAP_BPF
 * and CAP_PERFMON, and before Linux 5.19.
 */
export function linkReferences(): Map<number, number> | undefined {
  try {
    target ??= findTarget();
    return target === 0 ? undefined : collect(target);
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

/** The id of what the iterator is, 0 without one; looked up once. */
let target: number | undefined;

/** In one look at the kernel's BTF, of which each takes a millisecond. */
function findTarget(): number {
  const layout = btfLayout({ "bpf_iter_bpf_link()": [], bpf_link: ["refcnt", "id"] });
  const members = layout.get("bpf_link")?.members;
  const isAsExpected = members?.get("refcnt")?.offsets[0] === 0 && members.get("id")?.offsets[0] === 8;
  return isAsExpected ? layout.get("bpf_iter_bpf_link()")?.id ?? 0 : 0;
}

function collect(attachBtfId: number): Map<number, number> {
  const bytes = readOnce("references", program(), attachBtfId);
  const records = new DataView(bytes.buffer);
  const references = new Map<number, number>();
  for (let at = 0; at < bytes.length; at += 16) {
    references.set(records.getUint32(at + 8, true), records.getUint32(at, true) - 1); // one is the iterator's own
  }
  return references;
}

/** What an iterator writes that is loaded for one run. */
export function readOnce(
  name: string,
  instructions: Uint8Array<ArrayBuffer>,
  attachBtfId: number,
): Uint8Array<ArrayBuffer> {
  using fds = new DisposableStack();
  const own = (fd: number) => fds.adopt(fd, close);
  const loaded = own(progLoad("tracing", instructions, {
    name,
    license: "Dual MIT/GPL", // some helpers are for GPL programs
    expectedAttachType: "trace_iter",
    attachBtfId,
    logLevel: 0,
  }));
  return iterRead(own(linkCreate(loaded, 0, "trace_iter")));
}
