/** The names of all programs, as the kernel reports them to BPF programs: to those who may not open one by its id. */
import { BpfError } from "../error.ts";
import { btfLayout } from "../ffi/btf.ts";
import { PROBE_READ_KERNEL_STR, SEQ_WRITE } from "../uapi/constants.ts";
import { add, assemble, call, copy, exit, load, set, skipUnless, store, storeValue } from "./assembler.ts";
import { readOnce } from "./references.ts";

const RECORD = 24, NAME = 8; // its id, then the name: bytes, and where that begins

/**
 * The names of all programs by their ids; empty for one without. `undefined` without CAP_BPF and CAP_PERFMON, and where
 * the kernel's BTF does not say where the names are.
 */
export function programNames(): Map<number, string> | undefined {
  try {
    iterator ??= findIterator();
    return iterator === "none" ? undefined : collect(iterator);
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

interface Iterator {
  readonly attachBtfId: number;
  readonly instructions: Uint8Array<ArrayBuffer>;
}

/** Assembled for the running kernel, once. */
let iterator: Iterator | "none" | undefined;

function findIterator(): Iterator | "none" {
  const layout = btfLayout({
    "bpf_iter_bpf_prog()": [],
    bpf_iter__bpf_prog: ["prog", "meta.seq"],
    bpf_prog: ["aux.id", "aux.name"],
  });
  const attachBtfId = layout.get("bpf_iter_bpf_prog()")?.id;
  const context = layout.get("bpf_iter__bpf_prog")?.members, members = layout.get("bpf_prog")?.members;
  const program = context?.get("prog")?.offsets, seq = context?.get("meta.seq")?.offsets;
  const id = members?.get("aux.id")?.offsets, name = members?.get("aux.name")?.offsets;
  if (attachBtfId === undefined || program?.length !== 1 || seq?.length !== 2) return "none";
  if (id?.length !== 2 || name?.length !== 2) return "none";
  const instructions = assemble(
    load(9, 1, seq[0]!),
    load(9, 9, seq[1]!),
    load(6, 1, program[0]!),
    skipUnless(6, 0, 2), // the end
    set(0, 0),
    exit,
    load(7, 6, id[0]!),
    load(8, 7, id[1]!, 4),
    store(10, -RECORD, 8),
    storeValue(10, NAME - RECORD, 0),
    storeValue(10, NAME + 8 - RECORD, 0),
    copy(1, 10),
    add(1, NAME - RECORD),
    set(2, RECORD - NAME),
    copy(3, 7),
    add(3, name[1]!),
    call(PROBE_READ_KERNEL_STR),
    copy(1, 9),
    copy(2, 10),
    add(2, -RECORD),
    set(3, RECORD),
    call(SEQ_WRITE),
    set(0, 0),
    exit,
  );
  return { attachBtfId, instructions };
}

function collect({ attachBtfId, instructions }: Iterator): Map<number, string> {
  const bytes = readOnce("programs", instructions, attachBtfId);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), decoder = new TextDecoder();
  const names = new Map<number, string>();
  for (let at = 0; at < bytes.length; at += RECORD) {
    const name = bytes.subarray(at + NAME, at + RECORD), end = name.indexOf(0);
    names.set(view.getUint32(at, true), decoder.decode(end < 0 ? name : name.subarray(0, end)));
  }
  return names;
}
