/** What is made of libbpf's messages and the verifier's log, as different kernels write them; and of names that are not there. */
import { assert, assertEquals } from "@std/assert";
import { noSuchName } from "../../lib/object/names.ts";
import { objectRefused } from "../../lib/object/refusal.ts";

const EINVAL = 22, EACCES = 13, EMFILE = 24, ENOENT = 2;
const failed = (verifier: string, program = "p") =>
  `libbpf: prog '${program}': BPF program load failed: -EACCES
libbpf: prog '${program}': -- BEGIN PROG LOAD LOG --
${verifier}-- END PROG LOAD LOG --
libbpf: prog '${program}': failed to load: -EACCES
libbpf: failed to load object 'o'
`;
const STEPS = "0: R1=ctx() R10=fp0\n; first(); @ o.c:1\n0: (b7) r0 = 0\n";

const LOGS: readonly [name: string, errno: number, log: string, message: string][] = [
  [
    "the line of C with its number",
    EACCES,
    failed(`${STEPS}; return *value; @ o.c:7\n1: (61) r0 = *(u32 *)(r0 +0)\nR0 invalid mem access 'scalar'\n`),
    `X: the verifier refuses program "p" at o.c:7 "return *value;": R0 invalid mem access 'scalar' (EACCES)`,
  ],
  [
    "before Linux 6.9 without it",
    EACCES,
    failed(`; return *value;\n1: (61) r0 = *(u32 *)(r0 +0)\nR0 invalid mem access 'inv'\nprocessed 2 insns\n`),
    `X: the verifier refuses program "p" at "return *value;": R0 invalid mem access 'inv' (EACCES)`,
  ],
  [
    "of an object without lines",
    EACCES,
    failed("0: (79) r0 = *(u64 *)(r1 +9)\ninvalid bpf_context access off=9 size=8\n"),
    'X: the verifier refuses program "p": invalid bpf_context access off=9 size=8 (EACCES)',
  ],
  [
    "a log whose beginning was dropped",
    EACCES,
    failed(`${STEPS}R1 !read_ok\n`).split("BEGIN PROG LOAD LOG --\n")[1]!,
    'X: the verifier refuses program "p" at o.c:1 "first();": R1 !read_ok (EACCES)',
  ],
  [
    "of two programs the last",
    EACCES,
    failed("R1 !read_ok\n", "optional") + failed("R2 !read_ok\n", "second"),
    'X: the verifier refuses program "second": R2 !read_ok (EACCES)',
  ],
  [
    "a field that is not there",
    EINVAL,
    failed(
      "<invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [7] struct s.f (0:1 @ offset 4)\n",
    ),
    'X: program "p" needs struct s.f, which this kernel does not have (EINVAL)',
  ],
  [
    "an atomic instruction of newer kernels",
    EINVAL,
    failed("0: (db) r1 = atomic64_fetch_add((u64 *)(r2 +0), r1)\nBPF_STX uses reserved fields\n"),
    'X: program "p" has an atomic instruction that kernels have since Linux 5.12 (EINVAL)',
  ],
  [
    "a type of programs that newer kernels have",
    EINVAL,
    "libbpf: prog 'p': BPF program load failed: -EINVAL\nlibbpf: prog 'p': failed to load: -EINVAL\n" +
    "libbpf: failed to load object 'o'\n",
    'X: the kernel refuses program "p" unseen, as it does one of a type that it does not know (EINVAL)',
  ],
  [
    "a kernel without BTF",
    3,
    "libbpf: kernel BTF is missing at '/sys/kernel/btf/vmlinux', was CONFIG_DEBUG_INFO_BTF enabled?\n" +
    "libbpf: Error loading vmlinux BTF: -ESRCH\nlibbpf: failed to load object 'o'\n",
    "X: it needs the kernel's BTF, which this kernel does not have (ESRCH)",
  ],
  [
    "a symbol that is not there",
    ENOENT,
    "libbpf: extern (var ksym) 'none': not found in kernel BTF\nlibbpf: failed to load object 'o'\n",
    'X: this kernel has no "none", which the object refers to (ENOENT)',
  ],
  [
    "a configuration that is not there",
    3,
    "libbpf: extern 'CONFIG_NONE' (strong): not resolved\nlibbpf: failed to load object 'o'\n",
    "X: the configuration of this kernel does not have CONFIG_NONE (ESRCH)",
  ],
  [
    "words that are not known",
    EINVAL,
    "libbpf: something new\nlibbpf: failed to load object 'o'\n",
    "X: libbpf: something new (EINVAL)",
  ],
  [
    "libbpf's own errors",
    4001,
    "libbpf: elf: o is not a valid eBPF object file\n",
    "X: it is no object of BPF programs, or a broken one: elf: o is not a valid eBPF object file (LIBBPF_ERRNO__FORMAT)",
  ],
  ["a limit", EMFILE, "", "X: the process has too many open files (EMFILE)"],
];

for (const [name, errno, log, message] of LOGS) {
  Deno.test(`refusal of an object: ${name}`, () => {
    const error = objectRefused(-errno, "bpf_object__load", "X", log);
    assertEquals(error.message, message);
    assertEquals(error.errno, errno);
    assertEquals(error.log, log.trimEnd() || undefined);
  });
}

Deno.test("refusal of an object: a map that kernels refuse without a word", () => {
  const log = "libbpf: Error in bpf_create_map_xattr(m): -EINVAL. Retrying without BTF.\n" +
    "libbpf: map 'm': failed to create: -EINVAL\nlibbpf: failed to load object 'o'\n";
  const map = { name: "m", type: "hash", keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 };
  const NO_PREALLOC = 1;
  const faults: readonly [change: Partial<typeof map>, fault: string | undefined][] = [
    [{}, undefined],
    [{ type: "ringbuf", keySize: 0 }, "a ring buffer has no __type(key, ...) and no __type(value, ...)"],
    [{ type: "queue" }, "a queue has no __type(key, ...)"],
    [{ type: "lpm_trie" }, "an lpm_trie takes __uint(map_flags, BPF_F_NO_PREALLOC)"],
    [{ type: "percpu_array", keySize: 8 }, "keys of type percpu_array have 4 bytes, not 8"],
    [{ type: "task_storage" }, "a task_storage takes __uint(map_flags, BPF_F_NO_PREALLOC)"],
    [{ type: "sk_storage", flags: NO_PREALLOC }, "a sk_storage has no max_entries"],
    [{ type: "sk_storage", flags: NO_PREALLOC, maxEntries: 0, keySize: 8 }, "keys of a sk_storage are int"],
    [{ maxEntries: 0 }, "it takes __uint(max_entries, ...)"],
  ];
  for (const [change, fault] of faults) {
    const { message, reason } = objectRefused(-EINVAL, "bpf_object__load", "X", log, [{ ...map, ...change }]);
    assertEquals(message, `X: the kernel refuses map "m"${fault === undefined ? "" : `: ${fault}`} (EINVAL)`);
    assertEquals(reason, "invalid");
  }
});

Deno.test("a name that is not there: the nearest, and those that are", () => {
  const of = (name: unknown, ...choices: string[]) => noSuchName("object", "map", name, choices).message;
  assertEquals(of("flow", "flows", "other"), 'object has no map "flow"; did you mean "flows"? it has flows, other');
  assertEquals(of("xyz", "flows"), 'object has no map "xyz": it has flows');
  assertEquals(of("xyz"), 'object has no map "xyz": it has none');
  assertEquals(of("FLOWS", "flows"), 'object has no map "FLOWS"; did you mean "flows"? it has flows');
  assertEquals(of(undefined, "a"), 'object has no map "undefined": it has a');
  assert(of("x", ...Array.from({ length: 30 }, (_, i) => `name${i}`)).endsWith("and 10 more"));
  assertEquals(of("\x1b[2J", "a\nb"), 'object has no map "\\x1b[2J": it has a\\x0ab');
});
