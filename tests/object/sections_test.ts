/** That the names of sections mean what they mean to libbpf. */
import { assertEquals, assertThrows } from "@std/assert";
import { type AttachOverrides, hasLinks, overridesFromWords, SECTIONS, targetFor } from "../../lib/object/sections.ts";
import { ATTACH_TYPES } from "../../lib/uapi/constants.ts";
import { programPath } from "./build.ts";

const reference = programPath("reference"), missing = reference === undefined ? "needs gcc and libelf-dev" : undefined;

Deno.test({
  name: `libbpf knows the same sections, with the same types${missing ? ` (skipped: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: () => {
    const names = SECTIONS.map(({ name }) => name.replace("+", ""));
    const { stdout } = new Deno.Command(reference!, { args: ["sections", ...names] }).outputSync();
    const [list, ...lines] = new TextDecoder().decode(stdout).trim().split("\n");
    assertEquals(SECTIONS.map(({ name }) => name), list!.trim().split(" "));
    const numberOf = (name: string | undefined) => name === undefined ? 0 : ATTACH_TYPES.findIndex((it) => it === name);
    assertEquals(
      SECTIONS.map(({ type, attachType }, i) => `${names[i]} ${type} ${numberOf(attachType)}`),
      lines,
    );
  },
});

Deno.test({
  name: `libbpf refuses and takes the same spellings${missing ? ` (skipped: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: () => {
    const spellings = [
      ...["kprobe", "kprobe/", "kprobe/x", "kprobe.s", "kprobes/x", "kprobe+x", "Kprobe/x", " kprobe/x"],
      ...["xdp", "xdp/x", "xdp.frags", "xdp.frags/devmap", "xdp.frags/x", "xdp/devmap/x", "tc/ingress", "tc/in", "tc/"],
      ...["cgroup", "cgroup/", "cgroup/skb", "cgroup/skb/x", "cgroup_skb", "cgroup_skb/egress", "lsm_cgroup/x"],
      ...["iter", "iter/task", "iter.s/task", "iter/", "usdt", "usdt.s/x", "uprobe.s/x", "uretprobe.multi.s/x"],
      ...["raw_tp", "raw_tp.w/x", "raw_tracepoint.w/x", "raw_tracepoints/x", "tp", "tp/x", "tracepoint/a/b", "", "/"],
    ];
    const { stdout } = new Deno.Command(reference!, { args: ["sections", ...spellings] }).outputSync();
    const libbpfs = new TextDecoder().decode(stdout).trimEnd().split("\n").slice(1).map((line) =>
      !line.endsWith("unknown")
    );
    const ours = spellings.map((section) => {
      try {
        targetFor({ name: "x", section }, {});
      } catch (error) {
        return !(error as Error).message.includes("libbpf knows no such section");
      }
      return true;
    });
    assertEquals(
      Object.fromEntries(spellings.map((it, i) => [it, ours[i]])),
      Object.fromEntries(spellings.map((it, i) => [it, libbpfs[i]])),
    );
  },
});

function target(section: string, overrides: AttachOverrides = {}): Record<string, unknown> {
  return { ...targetFor({ name: "x", section }, overrides) };
}

const PREFIX = Deno.build.arch === "x86_64" ? "__x64_sys_" : "__arm64_sys_";

for (
  const [section, expected] of [
    ["kprobe/do_unlinkat", { type: "kprobe", symbol: "do_unlinkat", retprobe: false }],
    ["?kprobe/do_unlinkat", { type: "kprobe", symbol: "do_unlinkat", retprobe: false }],
    ["kprobe/foo.isra.0+0x1f", { type: "kprobe", symbol: "foo.isra.0", offset: 31, retprobe: false }],
    ["kprobe/foo+010", { type: "kprobe", symbol: "foo", offset: 8, retprobe: false }],
    ["kprobe/nf_tables:nft_do_chain", { type: "kprobe", symbol: "nf_tables:nft_do_chain", retprobe: false }],
    ["kretprobe/foo+0", { type: "kprobe", symbol: "foo", retprobe: true }],
    ["ksyscall/openat", { type: "kprobe", symbol: `${PREFIX}openat`, retprobe: false }],
    ["kretsyscall/openat", { type: "kprobe", symbol: `${PREFIX}openat`, retprobe: true }],
    ["kprobe.multi/tcp_*", { type: "kprobe_multi", pattern: "tcp_*", retprobe: false }],
    ["kretprobe.multi/tcp_?", { type: "kprobe_multi", pattern: "tcp_?", retprobe: true }],
    ["kprobe.session/tcp_*", { type: "kprobe_multi", pattern: "tcp_*", session: true }],
    ["uprobe//usr/bin/bash:readline", { type: "uprobe", path: "/usr/bin/bash", symbol: "readline", retprobe: false }],
    ["uprobe.s/libc.so.6:malloc+0x4", {
      type: "uprobe",
      path: "libc.so.6",
      symbol: "malloc",
      offset: 4,
      retprobe: false,
    }],
    ["uretprobe/./x:memcpy@GLIBC_2.2.5", {
      type: "uprobe",
      path: "./x",
      symbol: "memcpy@GLIBC_2.2.5",
      retprobe: true,
    }],
    ["uprobe//x:operator+", { type: "uprobe", path: "/x", symbol: "operator+", retprobe: false }],
    ["uprobe//x:a::b(int)+2", { type: "uprobe", path: "/x", symbol: "a::b(int)", offset: 2, retprobe: false }],
    ["uprobe.multi//x:ma*", { type: "uprobe_multi", path: "/x", pattern: "ma*", retprobe: false }],
    ["uretprobe.multi.s//x:ma*", { type: "uprobe_multi", path: "/x", pattern: "ma*", retprobe: true }],
    ["uprobe.session//x:ma*", { type: "uprobe_multi", path: "/x", pattern: "ma*", session: true }],
    ["usdt//x:p:n", { type: "usdt", path: "/x", provider: "p", name: "n" }],
    ["usdt.s/libc.so.6:libc:setjmp", { type: "usdt", path: "libc.so.6", provider: "libc", name: "setjmp" }],
    ["tp/sched/sched_switch", { type: "tracepoint", category: "sched", name: "sched_switch" }],
    ["tracepoint/a/b/c", { type: "tracepoint", category: "a", name: "b/c" }],
    ["raw_tp/sched_switch", { type: "raw_tracepoint", name: "sched_switch" }],
    ["raw_tracepoint.w/x", { type: "raw_tracepoint", name: "x" }],
    ["tp_btf/sched_switch", { type: "tp_btf" }],
    ["fentry/do_unlinkat", { type: "tracing" }],
    ["fentry.s/nf_tables:x", { type: "tracing" }],
    ["fmod_ret/x", { type: "tracing" }],
    ["fsession.s/x", { type: "tracing" }],
    ["freplace/x", { type: "tracing" }],
    ["lsm.s/file_open", { type: "tracing" }],
    ["iter/task", { type: "iter" }],
    ["iter.s/bpf_map", { type: "iter" }],
    ["sk_lookup", { type: "netns", attachType: "sk_lookup" }],
    ["flow_dissector", { type: "netns", attachType: "flow_dissector" }],
  ] as const
) Deno.test(`SEC("${section}") is complete`, () => assertEquals(target(section), expected));

for (
  const [section, overrides, expected] of [
    ["xdp", { device: "lo" }, { type: "xdp", device: "lo" }],
    ["xdp.frags", { device: 1, mode: "generic" }, { type: "xdp", device: 1, mode: "generic" }],
    ["tc/ingress", { device: "lo" }, { type: "tcx", direction: "ingress", device: "lo" }],
    ["tcx/egress", { device: "lo", position: "first" }, {
      type: "tcx",
      direction: "egress",
      device: "lo",
      position: "first",
    }],
    ["tc", { type: "tcx", device: "lo", direction: "egress" }, { type: "tcx", device: "lo", direction: "egress" }],
    ["tc", { device: "lo", direction: "egress" }, { type: "tcx", device: "lo", direction: "egress" }],
    ["netkit/peer", { device: "nk" }, { type: "netkit", peer: true, device: "nk" }],
    ["cgroup/bind6", { cgroup: "/c" }, { type: "cgroup", attachType: "cgroup_inet6_bind", cgroup: "/c" }],
    ["lsm_cgroup/socket_create", { cgroup: "/c" }, { type: "cgroup", attachType: "lsm_cgroup", cgroup: "/c" }],
    ["sockops", { cgroup: "/c", preorder: true }, {
      type: "cgroup",
      attachType: "cgroup_sock_ops",
      cgroup: "/c",
      preorder: true,
    }],
    ["sk_msg", { map: "m" }, { type: "sockmap", attachType: "sk_msg_verdict", map: "m" }],
    ["sk_skb", { map: "m", attachType: "sk_skb_verdict" }, { type: "sockmap", map: "m", attachType: "sk_skb_verdict" }],
    ["kprobe/a+4", { symbol: "b" }, { type: "kprobe", symbol: "b", retprobe: false }],
    ["kprobe/a+4", { address: 16n }, { type: "kprobe", address: 16n, retprobe: false }],
    ["kprobe/a", { offset: 4, cookie: 1n }, { type: "kprobe", symbol: "a", offset: 4, cookie: 1n, retprobe: false }],
    ["kprobe.multi/a*", { symbols: ["b"] }, { type: "kprobe_multi", symbols: ["b"], retprobe: false }],
    ["uprobe//x:main", { pid: 5 }, { type: "uprobe", path: "/x", symbol: "main", pid: 5, retprobe: false }],
    ["uprobe.multi//x:m*", { offsets: [4] }, { type: "uprobe_multi", path: "/x", offsets: [4], retprobe: false }],
    ["kprobe/a", { type: "uprobe", path: "/x", offset: 4 }, { type: "uprobe", path: "/x", offset: 4 }],
    ["kprobe/a", { signal: undefined, cookie: undefined }, { type: "kprobe", symbol: "a", retprobe: false }],
    ["usdt", { path: "/x", provider: "p", name: "n", pid: 7 }, {
      type: "usdt",
      path: "/x",
      provider: "p",
      name: "n",
      pid: 7,
    }],
    ["no/such", { type: "raw_tracepoint", name: "x" }, { type: "raw_tracepoint", name: "x" }],
    ["iter/bpf_map_elem", { map: "m" }, { type: "iter", map: "m" }],
    ["iter/cgroup", { cgroup: { cgroup: "/c" } }, { type: "iter", cgroup: { cgroup: "/c" } }],
  ] as const
) {
  Deno.test(
    `SEC("${section}") with ${Deno.inspect(overrides)} is complete`,
    () => assertEquals(target(section, overrides as AttachOverrides), expected),
  );
}

for (
  const [section, words] of [
    ["kprobe/", 'libbpf expects SEC("kprobe/FUNCTION+OFFSET")'],
    ["kprobe/a b", 'libbpf expects SEC("kprobe/FUNCTION+OFFSET")'],
    ["kprobe/a+0x", 'libbpf expects SEC("kprobe/FUNCTION+OFFSET")'],
    ["kretprobe/a+4", 'libbpf expects SEC("kretprobe/FUNCTION")'],
    ["uprobe//usr/bin/bash", 'libbpf expects SEC("uprobe/PATH:FUNCTION+OFFSET")'],
    ["uretprobe//x:main+4", 'libbpf expects SEC("uretprobe/PATH:FUNCTION")'],
    ["uprobe.multi//x", 'libbpf expects SEC("uprobe.multi/PATH:PATTERN")'],
    ["usdt//x:p", 'libbpf expects SEC("usdt/PATH:PROVIDER:NAME")'],
    ["tp/sched_switch", 'libbpf expects SEC("tp/CATEGORY/NAME")'],
    ["raw_tp/", 'libbpf expects SEC("raw_tp/NAME")'],
    ["ksyscall/", 'libbpf expects SEC("ksyscall/NAME")'],
    ["xdp", 'it leaves open device: object.attach("x", { device: "eth0" })'],
    ["netkit/primary", '{ device: "eth0" }'],
    ["netfilter", '{ family: "ipv4", hook: "local_in", priority: 0 }'],
    ["sk_skb/verdict", '{ map: "MAP" }'],
    ["cgroup/skb", '{ cgroup: "/sys/fs/cgroup/web", attachType: "cgroup_inet_egress" }'],
    ["iter/sockmap", '{ map: "MAP" }'],
    ["iter/cgroup", '{ cgroup: { cgroup: "/sys/fs/cgroup/web" } }'],
    ["perf_event", "{ event: {"],
    ["tp", '{ category: "sched", name: "NAME" }'],
    ["raw_tp", '{ name: "NAME" }'],
    ["usdt", "{ path: "],
    ["ksyscall", '{ symbol: "do_unlinkat" }'],
    ["kprobe.multi", '{ pattern: "vfs_*" }'],
    ["socket", "SO_ATTACH_BPF"],
    ["tc", '{ device: "eth0", direction: "ingress" }'],
    ["classifier", '{ device: "eth0", direction: "ingress" }'],
    ["action", 'SEC("tcx/ingress")'],
    ["syscall", "run("],
    ["lwt_xmit", "ip route"],
    ["sk_reuseport", "SO_ATTACH_REUSEPORT_EBPF"],
    ["lirc_mode2", "infrared"],
    ["xdp.frags/cpumap", "cpumap"],
    ["struct_ops/x", 'SEC(".struct_ops.link")'],
    ["nonsense\n", "libbpf knows no such section"],
  ] as const
) {
  Deno.test(`SEC("${section.trim()}") asks, or says what to do`, () => {
    const { message } = assertThrows(() => target(section), TypeError, words);
    assertEquals(message.startsWith('Cannot attach program "x" (SEC("'), true);
    assertEquals(message.includes("\n"), false);
  });
}

Deno.test("overrides that are none are refused, and what may be given is listed", () => {
  assertThrows(
    () => target("xdp", { devise: "lo" } as never),
    TypeError,
    'no field "devise"; for xdp it may have type, ',
  );
  assertThrows(() => target("xdp", { type: "xdb" } as never), TypeError, "overrides.type must be one of");
  assertThrows(() => target("kprobe/a", { type: "uprobe", symbol: "b" }), TypeError, 'type: "uprobe", path: ');
  for (const none of [null, "lo", 5]) assertThrows(() => target("xdp", none as never), TypeError, "overrides must be");
});

Deno.test("every section with a link needs no more than its example says", () => {
  for (const { name } of SECTIONS) {
    const section = name.replace("+", "");
    if (!hasLinks(section) || section === "tc" || section === "classifier") continue;
    let overrides: AttachOverrides = {};
    try {
      target(section);
    } catch (error) {
      const example = /object\.attach\("x", (.*)\)$/s.exec((error as Error).message)![1]!;
      overrides = new Function(`return ${example}`)() as AttachOverrides;
    }
    target(section, overrides);
  }
});

for (
  const [section, words, expected] of [
    ["xdp", "eth0", { device: "eth0" }],
    ["xdp", "2", { device: 2 }],
    ["xdp", "device=lo,mode=generic", { device: "lo", mode: "generic" }],
    ["tcx/ingress", "lo", { device: "lo" }],
    ["tc", "type=tcx,device=lo,direction=egress", { type: "tcx", device: "lo", direction: "egress" }],
    ["cgroup/connect4", "/sys/fs/cgroup/a", { cgroup: "/sys/fs/cgroup/a" }],
    ["cgroup/connect4", "cgroup=/a=b,preorder=true", { cgroup: "/a=b", preorder: true }],
    ["sk_msg", "sockets", { map: "sockets" }],
    ["uprobe", "/usr/bin/bash:readline", {
      type: "uprobe",
      path: "/usr/bin/bash",
      symbol: "readline",
      retprobe: false,
    }],
    ["uprobe//a:b", "path=/c,pid=7,cookie=0x10", { path: "/c", pid: 7, cookie: 16n }],
    ["kprobe/a", "b+4", { type: "kprobe", symbol: "b", offset: 4, retprobe: false }],
    ["usdt", "libc.so.6:libc:setjmp", { type: "usdt", path: "libc.so.6", provider: "libc", name: "setjmp" }],
    ["netfilter", "family=ipv6,hook=forward,priority=-5", { family: "ipv6", hook: "forward", priority: -5 }],
    ["perf_event", '{"event":{"type":"software","config":"cpu-clock","cpu":0,"sampleFrequency":99}}', {
      event: { type: "software", config: "cpu-clock", cpu: 0, sampleFrequency: 99n },
    }],
  ] as const
) {
  Deno.test(`in words, SEC("${section}") takes ${words}`, () => {
    assertEquals<unknown>(overridesFromWords({ name: "x", section }, words), expected);
  });
}

for (
  const [section, words] of [["xdp", "{"], ["xdp", "device=lo,x"], ["fentry/a", "b"], ["usdt", "a:b"], ["no", "x"]]
) {
  Deno.test(`in words, SEC("${section}") takes no ${words}`, () => {
    assertThrows(() => overridesFromWords({ name: "x", section: section! }, words!), TypeError, 'program "x"');
  });
}
