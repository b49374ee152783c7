/** How many references each link has: the one thing that the kernel tells to BPF programs only. */
import { BpfError } from "../error.ts";
import { btfFind, btfFindMember } from "./btf.ts";
import { iterCreate } from "./iter.ts";
import { linkCreate } from "./link_create.ts";
import { progLoad } from "./program.ts";
import { close, read } from "./system.ts";

/** For each link: writes its reference count and its id, 8 bytes each. Instructions as words, in pairs. */
// deno-fmt-ignore
const PROGRAM = new Uint8Array(new Uint32Array([
  0x0008_1679, 0,   // r6 = ctx->link
  0x000a_0615, 0,   // if it is the end, go to the last two
  0x0000_1179, 0,   // r1 = ctx->meta
  0x0000_1179, 0,   // r1 = meta->seq
  0x0000_6279, 0,   // r2 = link->refcnt
  0xfff0_2a7b, 0,   // *(r10 - 16) = r2
  0x0008_6261, 0,   // r2 = link->id
  0xfff8_2a7b, 0,   // *(r10 - 8) = r2
  0x0000_a2bf, 0,   // r2 = r10
  0x0000_0207, -16, // r2 += -16
  0x0000_03b7, 16,  // r3 = 16
  0x0000_0085, 127, // bpf_seq_write(r1, r2, r3)
  0x0000_00b7, 0,   // return 0
  0x0000_0095, 0,
]).buffer);

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

function findTarget(): number {
  // the first two members, 8 bytes apart
  const isAsExpected = btfFindMember("bpf_link", "refcnt") === 0 && btfFindMember("bpf_link", "id") === 1;
  return isAsExpected ? btfFind("function", "bpf_iter_bpf_link") ?? 0 : 0;
}

function collect(attachBtfId: number): Map<number, number> {
  using fds = new DisposableStack();
  const own = (fd: number) => fds.adopt(fd, close);
  const options = { name: "references", license: "GPL", expectedAttachType: "trace_iter", attachBtfId, logLevel: 0 };
  const run = own(iterCreate(own(linkCreate(own(progLoad("tracing", PROGRAM, options)), 0, "trace_iter"))));
  const references = new Map<number, number>();
  for (let piece; (piece = read(run)).length > 0;) {
    const records = new DataView(piece.buffer);
    for (let at = 0; at + 16 <= piece.length; at += 16) {
      references.set(records.getUint32(at + 8, true), records.getUint32(at, true) - 1); // one is the iterator's own
    }
  }
  return references;
}
