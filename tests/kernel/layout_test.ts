/** What `lib/uapi` says of the kernel's structs and enumerations, against the BTF of the kernel that runs. */
import { assertEquals } from "@std/assert";
import * as constants from "../../lib/uapi/constants.ts";
import * as layout from "../../lib/uapi/layout.ts";
import { enumeratorsOf, type Member, membersOf } from "../fixture/program/struct_layout.ts";
import { isOlder, kernelTest } from "../fixture/run/kernel.ts";

/** Since when members are there that came after 5.10, with all below them. */
const SINCE: Readonly<Record<string, string>> = {
  "map_create.map_extra": "5.16",
  "map_create.map_token_fd": "6.9",
  "prog_load.attach_btf_obj_fd": "5.11",
  "prog_load.prog_token_fd": "6.9",
  "test.batch_size": "5.18",
  "get_id.fd_by_id_token_fd": "6.15",
  "query.target_ifindex": "6.6",
  "query.prog_attach_flags": "6.0",
  "query.count": "6.6", // before, it was called prog_cnt
  "query.link_ids": "6.6",
  "query.link_attach_flags": "6.6",
  "query.revision": "6.6",
  "raw_tracepoint.cookie": "6.10",
  "btf_load.btf_log_true_size": "6.4",
  "btf_load.btf_flags": "6.9",
  "btf_load.btf_token_fd": "6.9",
  "link_create.perf_event": "5.15",
  "link_create.kprobe_multi": "5.18",
  "link_create.tracing": "5.19",
  "link_create.netfilter": "6.4",
  "link_create.tcx": "6.6",
  "link_create.uprobe_multi": "6.6",
  "link_create.netkit": "6.7",
  "link_create.cgroup": "6.17",
  "link_create.tracing_multi": "7.2",
  "link_update.new_map_fd": "6.4",
  "link_update.old_map_fd": "6.4",
  "token_create": "6.9",
  "bpf_iter_link_info.cgroup": "6.1",
  "bpf_iter_link_info.task": "6.1",
  "bpf_link_info.raw_tracepoint.cookie": "6.17",
  "bpf_link_info.tracing.target_obj_id": "5.13",
  "bpf_link_info.tracing.target_btf_id": "5.13",
  "bpf_link_info.tracing.cookie": "6.17",
  "bpf_link_info.iter.cgroup": "6.1",
  "bpf_link_info.iter.task": "6.1",
  "bpf_link_info.struct_ops": "6.4",
  "bpf_link_info.netfilter": "6.4",
  "bpf_link_info.kprobe_multi": "6.6",
  "bpf_link_info.kprobe_multi.missed": "6.7",
  "bpf_link_info.kprobe_multi.cookies": "6.9",
  "bpf_link_info.uprobe_multi": "6.8",
  "bpf_link_info.perf_event": "6.6",
  "bpf_link_info.perf_event.uprobe.cookie": "6.9",
  "bpf_link_info.perf_event.uprobe.ref_ctr_offset": "6.16",
  "bpf_link_info.perf_event.kprobe.missed": "6.7",
  "bpf_link_info.perf_event.kprobe.cookie": "6.9",
  "bpf_link_info.perf_event.tracepoint.cookie": "6.9",
  "bpf_link_info.perf_event.event.cookie": "6.9",
  "bpf_link_info.tcx": "6.6",
  "bpf_link_info.netkit": "6.7",
  "bpf_link_info.sockmap": "6.10",
  "bpf_link_info.tracing_multi": "7.2",
  "bpf_map_info.map_extra": "5.16",
  "bpf_btf_info.name": "5.11",
  "bpf_btf_info.name_len": "5.11",
  "bpf_btf_info.kernel_btf": "5.11",
};

/** A layout as layout.ts has it: offsets, and those of nested structs. */
interface Offsets {
  readonly [name: string]: number | Offsets;
}

for (const [name, offsets] of Object.entries<Offsets>(layout)) {
  kernelTest(`layout of ${name}`, {}, () => {
    assertEquals(differences(name, offsets, structOf(name, Object.keys(offsets)[0]!)), []);
  });
}

kernelTest("what is wrong in a layout is found", {}, () => {
  const found = (offsets: Offsets) => differences("link_update", offsets, structOf("link_update", "link_fd"));
  assertEquals(found({ link_fd: 0, flags: 4, sizeof: 16 }), [
    "link_update.flags is at 8",
    "link_update.sizeof is 12",
  ]);
  assertEquals(found({ link_fd: 0, new_fd: 4 }), ["link_update.new_fd is missing"]);
  assertEquals(found({ link_fd: 0, flags: { type: 8 } }), ["link_update.flags is missing"]);
});

const LISTS = {
  bpf_attach_type: ["BPF_", constants.ATTACH_TYPES],
  bpf_prog_type: ["BPF_PROG_TYPE_", constants.PROGRAM_TYPES],
  bpf_map_type: ["BPF_MAP_TYPE_", constants.MAP_TYPES],
  bpf_link_type: ["BPF_LINK_TYPE_", ["unspec", ...constants.LINK_TYPES.slice(1)]],
} as const;
for (const [name, [prefix, names]] of Object.entries(LISTS)) {
  kernelTest(`values of ${name}`, {}, () => {
    const values = new Map(enumeratorsOf(name).filter(([name]) => !name.includes("MAX_")));
    const known = names.slice(0, Math.max(...values.values()) + 1); // an older kernel has only the first of them
    assertEquals(known.map((each) => values.get(prefix + each.toUpperCase())), known.map((_, value) => value));
  });
}

kernelTest("values of bpf_cmd", {}, () => {
  const values = new Map(enumeratorsOf("bpf_cmd"));
  const missing = (name: string) => name === "TOKEN_CREATE" && isOlder(Deno.osRelease(), "6.9");
  for (const [name, value] of Object.entries(constants.Command)) {
    assertEquals(values.get(`BPF_${name}`), missing(name) ? undefined : value, name);
  }
});

kernelTest("values of bpf_cgroup_iter_order", { since: "6.1" }, () => {
  const names = ["unspec", ...constants.CGROUP_ITER_ORDERS.slice(1)];
  const values = new Map(enumeratorsOf("bpf_cgroup_iter_order"));
  const key = (name: string) => `BPF_CGROUP_ITER_${name === "unspec" ? "ORDER_UNSPEC" : name.toUpperCase()}`;
  assertEquals(names.map((name) => values.get(key(name))), names.map((_, value) => value));
});

/** Parts of bpf_attr that have no name there. */
const NAMELESS = ["map_create", "map_elem", "prog_load", "obj_pin", "get_id", "btf_load"];

/** Members of a part of bpf_attr, which has this name or is the nameless one with a member `first`; or of a struct. */
function structOf(name: string, first: string): readonly Member[] {
  const parts = membersOf("bpf_attr");
  const part = NAMELESS.includes(name)
    ? parts.find((part) => part.name === "" && find(part.members, first) !== undefined)
    : parts.find((part) => part.name === (name === "info_by_fd" ? "info" : name));
  return part?.members ?? membersOf(name);
}

/** A member by its name, also inside of nameless ones. */
function find(members: readonly Member[], name: string): Member | undefined {
  for (const member of members) {
    const found = member.name === name ? member : member.name === "" ? find(member.members, name) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What of a layout is not as in the kernel. What the kernel is too old for may be missing. */
function differences(path: string, offsets: Offsets, members: readonly Member[]): string[] {
  if (members.length === 0) return mayBeMissing(path) ? [] : [`${path} is missing`];
  const found: string[] = [];
  let end = 0, isWhole = true;
  for (const [name, at] of Object.entries(offsets)) {
    if (name === "sizeof") continue;
    const member = find(members, name), its = `${path}.${name}`;
    if (member === undefined) {
      isWhole = false;
      if (!mayBeMissing(its)) found.push(`${its} is missing`);
    } else if (typeof at === "object") {
      found.push(...differences(its, at, member.members));
      end = Math.max(end, lastEnd(at, member.members));
    } else {
      if (member.at !== at) found.push(`${its} is at ${member.at}`);
      end = Math.max(end, member.end);
    }
  }
  const { sizeof } = offsets;
  if (sizeof !== undefined && sizeof !== end && isWhole) found.push(`${path}.sizeof is ${end}`);
  return found;
}

function lastEnd(offsets: Offsets, members: readonly Member[]): number {
  return Object.entries(offsets).reduce((end, [name, at]) => {
    const member = find(members, name);
    if (member === undefined) return end;
    return Math.max(end, typeof at === "object" ? lastEnd(at, member.members) : member.end);
  }, 0);
}

function mayBeMissing(path: string): boolean {
  const since = Object.entries(SINCE).filter(([start]) => path === start || path.startsWith(`${start}.`));
  return since.some(([, version]) => isOlder(Deno.osRelease(), version));
}
