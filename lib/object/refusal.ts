/** What libbpf, and through it the kernel, says about an object that it refuses, as one error. */
import { complaintOf, suggestionOf } from "../complaint.ts";
import { BpfError, type Explanation } from "../error.ts";
import { missingCapabilities } from "../os/capabilities.ts";
import { explanation, plain } from "../refusal.ts";
import { BPF_F_NO_PREALLOC } from "../uapi/constants.ts";

const BROKEN = "it is no object of BPF programs, or a broken one";

/** libbpf's own errors, from 4000 on, and what they mean. */
const LIBBPF: readonly (readonly [name: string, meaning: string])[] = [
  ["LIBELF", "it is no ELF file, or a broken one"],
  ["FORMAT", BROKEN],
  ["KVERSION", "its section of the kernel's version is wrong"],
  ["ENDIAN", "it has the other byte order than this machine"],
  ["INTERNAL", "libbpf has an error inside"],
  ["RELOC", "a reference in it cannot be resolved"],
  ["LOAD", "the kernel refuses a program"],
  ["VERIFY", "the verifier refuses a program"],
  ["PROG2BIG", "a program is too large"],
  ["KVER", "a program is for another version of the kernel"],
  ["PROGTYPE", "the kernel has no such type of programs"],
  ["WRNGPID", "netlink answers to somebody else"],
  ["INVSEQ", "netlink answers out of order"],
  ["NLPARSE", "netlink's answer cannot be read"],
];
const FIRST_LIBBPF = 4000;

/** What a message of libbpf means: a pattern, and what is made of what it finds. */
type Message = readonly [pattern: RegExp, explain: (found: readonly string[]) => Explanation];

const OLD_KERNEL = "use a newer kernel, or one that is configured with it";

/** In the order in which they are looked for: first what names a cause, then what only says where it happened. */
const MESSAGES: readonly Message[] = [
  [/^kernel BTF is missing|^Error loading vmlinux BTF|^vmlinux BTF is not found/m, () => ({
    reason: "unsupported",
    meaning: "it needs the kernel's BTF, which this kernel does not have",
    hint: "use a kernel with CONFIG_DEBUG_INFO_BTF, or name a file that has the BTF of this one: options.kernelBtf",
  })],
  [/^failed to parse target BTF/m, () => ({
    reason: "invalid",
    meaning: "options.kernelBtf is no file with BTF",
    hint: "name a file with raw BTF, or an ELF file that has a section .BTF",
  })],
  [/^object '.*': failed \(.*\) to (?:create BPF token from|open BPF FS mount at) '(.*)'/m, ([, path]) => ({
    reason: "invalid",
    meaning: `no BPF token can be made of "${path}"`,
    hint: "name a bpf file system that delegates commands to this user namespace, in options.token; since Linux 6.9",
  })],
  [/^couldn't reuse pinned map at '(.*)': parameter mismatch/m, ([, path]) => ({
    reason: "mismatch",
    meaning: `the map that is pinned at "${path}" has another type, other sizes or other flags`,
    hint:
      "choose another path, by options.pinDirectory or the map's pin, or remove this pin and the map's elements with it",
  })],
  [/^couldn't retrieve pinned map '(.*)'/m, ([, path]) => ({
    reason: "mismatch",
    meaning: `"${path}" cannot be opened as a map`,
    hint: "choose another path, by options.pinDirectory or the map's pin, or look what is pinned there",
  })],
  [/^map '(.*)': failed to auto-pin at '(.*)\/[^/]*': -ENOENT/m, ([, map, directory]) => ({
    reason: "gone",
    meaning: `map "${map}" cannot be pinned in "${directory}": the directory above that does not exist`,
    hint: "make it first: only the last directory of a pin is made",
  })],
  [/^specified path (.*) is not on BPF FS[^]*^map '(.*)': failed to auto-pin/m, ([, path, map]) => ({
    reason: "invalid",
    meaning: `map "${map}" cannot be pinned: "${path}" is on no bpf file system`,
    hint: "choose a path below a bpf mount; `mount -t bpf bpf /sys/fs/bpf` makes one",
  })],
  [/^map '(.*)': failed to auto-pin at '(.*)'/m, ([, map, path]) => ({
    reason: "invalid",
    meaning: `map "${map}" cannot be pinned at "${path}"`,
    hint: "choose a directory on a bpf file system, such as one below /sys/fs/bpf, and a name without a dot",
  })],
  [/^specified path (.*) is not on BPF FS/m, ([, path]) => ({
    reason: "invalid",
    meaning: `"${path}" is on no bpf file system`,
    hint: "choose a path below a bpf mount; `mount -t bpf bpf /sys/fs/bpf` makes one",
  })],
  [/^struct_ops init_kern: struct (\S+) is not found in kernel BTF/m, ([, name]) => ({
    reason: "unsupported",
    meaning: `this kernel has no struct ${name}, whose functions the object implements`,
    hint: OLD_KERNEL,
  })],
  [/^extern \(kcfg\) '([^']*)': (.*)/m, ([, name, what]) => ({
    reason: "unsupported",
    meaning: `the configuration of this kernel has ${name} otherwise than the object declares it: ${what}`,
    hint: "declare it as the kernel has it: y and m for bool or enum libbpf_tristate, numbers, char arrays",
  })],
  [/^failed to open system Kconfig/m, () => ({
    reason: "unsupported",
    meaning: "the configuration of this kernel cannot be read: there is no /proc/config.gz and no /boot/config-RELEASE",
    hint: "say all that the object asks for yourself: options.kconfig",
  })],
  [/^extern '(CONFIG_[^']*)' \(strong\): not resolved/m, ([, name]) => ({
    reason: "unsupported",
    meaning: `the configuration of this kernel does not have ${name}`,
    hint: "declare it __weak, or give it a value: options.kconfig",
  })],
  [
    /^extern \((?:var|func) ksym\) '(.*)': not found|^extern '(.*)' \(strong\): not resolved/m,
    ([, named, unresolved]) => ({
      reason: "unsupported",
      meaning: `this kernel has no "${named ?? unresolved}", which the object refers to`,
      hint: "declare it __weak and ask with bpf_ksym_exists() before it is used, or use a kernel that has it",
    }),
  ],
  [/^extern \((?:var|func) ksym\) '(.*)': (?:incompatible types|func_proto)/m, ([, name]) => ({
    reason: "unsupported",
    meaning: `"${name}" has another type in this kernel than in the object`,
    hint: "declare it as this kernel has it",
  })],
  [/^prog '(.*)': failed to find kernel BTF type ID of '(.*)'/m, ([, program, name]) => ({
    reason: "unsupported",
    meaning: `this kernel has no "${name}", which program "${program}" is for`,
    hint: "check the name in the program's section, or leave the program out: options.programs",
  })],
  [/^prog '(.*)': no BTF-based attach target is specified/m, ([, program]) => ({
    reason: "invalid",
    meaning: `the section of program "${program}" does not say what the program is for`,
    hint: 'name the function or the hook in it, as in SEC("fentry/do_unlinkat")',
  })],
  [/^prog '(.*)': attach program FD is not set/m, ([, program]) => ({
    reason: "invalid",
    meaning: `program "${program}" replaces or traces a function of another program, and it is not said of which`,
    hint: "name it in options.attachTo, or leave the program out: options.programs",
  })],
  [/^prog '(.*)': missing BPF prog type, check ELF section name '(.*)'/m, ([, program, section]) => ({
    reason: "invalid",
    meaning: `libbpf knows no section "${section}", in which program "${program}" is`,
    hint: "name the section as libbpf's documentation lists them, or leave the program out: options.programs",
  })],
  [/^prog '(.*)': SEC\("struct_ops"\) program isn't referenced/m, ([, program]) => ({
    reason: "invalid",
    meaning: `no struct of functions in the object has program "${program}"`,
    hint: 'put it into one in SEC(".struct_ops"), or leave it out: options.programs',
  })],
  [/legacy map definitions in 'maps' section/, () => ({
    reason: "invalid",
    meaning: "it declares maps in a way that libbpf 1.0 gave up",
    hint: 'declare them in SEC(".maps"), with types',
  })],
  [/couldn't find symbol table/, () => ({
    reason: "invalid",
    meaning: "it has no symbols: they were stripped",
    hint: "strip with `llvm-strip -g`, which leaves what libbpf needs",
  })],
  [/^BTF is required, but is missing or corrupted/m, () => ({
    reason: "invalid",
    meaning: "it has no BTF, which its maps or externs need",
    hint: "compile it with -g, and strip it with `llvm-strip -g` alone",
  })],
  [/^map '(.*)': failed to create/m, ([, map]) => ({
    reason: "invalid",
    meaning: `the kernel refuses map "${map}"`,
    hint: "check its sizes and flags, and since when kernels have its type; options.maps may give it fewer entries",
  })],
  // without a word of the verifier
  [/^prog '(.*)': BPF program load failed: (?:-EINVAL|Invalid argument)/m, ([, program]) => ({
    reason: "unsupported",
    meaning: `the kernel refuses program "${program}" unseen, as it does one of a type that it does not know`,
    hint: "check since when kernels have programs of its section, or leave it out: options.programs",
  })],
];

/** Messages that only say that something failed whose cause stands before. */
const GENERIC =
  /^(failed to load object|failed to perform CO-RE relocations|prog '.*': (failed to load|BPF program load failed|failed to prepare)|.*Retrying without BTF|Error in bpf_object__probe_loading)/;

/** What libbpf replaces the verifier's last words by, where it knows the cause. */
const VERIFIED: readonly Message[] = [
  [
    /^failed to resolve CO-RE relocation <(\w+)> \[\d+\] (.+?)(?: \([\d:]+(?: @ offset [\d.]+)?\))?$/m,
    ([, , what]) => ({
      reason: "unsupported",
      meaning: `needs ${what}, which this kernel does not have`,
      hint: "ask with bpf_core_field_exists() or bpf_core_type_exists() before it is used, or compile for this kernel",
    }),
  ],
  [/^kfunc '(.*)' is referenced but wasn't resolved/m, ([, name]) => ({
    reason: "unsupported",
    meaning: `calls "${name}", which this kernel does not have`,
    hint: "ask with bpf_ksym_exists() before it is called",
  })],
  [/^BPF map '(.*)' is referenced but wasn't created/m, ([, name]) => ({
    reason: "invalid",
    meaning: `uses map "${name}", which was not made`,
    hint: `leave out options.maps.${name}.create`,
  })],
  [/^unknown opcode 8d$/m, () => ({
    reason: "invalid",
    meaning: "calls a function through a register, as clang does without optimization",
    hint: "compile with -O2",
  })],
  [/^unknown opcode (\w+)$/m, ([, opcode]) => ({
    reason: "unsupported",
    meaning: `has an instruction that this kernel does not have, of opcode 0x${opcode}`,
    hint: "use a newer kernel, or compile for older ones with -mcpu=v3",
  })],
  [/^BPF_STX uses reserved fields/m, () => ({
    reason: "unsupported",
    meaning: "has an atomic instruction that kernels have since Linux 5.12",
    hint: "use a newer kernel; or add without the old value, by __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED) or " +
      "with -mcpu=v2",
  })],
  [/^invalid func (\S+)/m, ([, helper]) => ({
    reason: "unsupported",
    meaning: `calls ${helper}, a helper that this kernel does not have`,
    hint: "use a newer kernel, or ask with bpf_core_enum_value_exists() before it is called",
  })],
  [/^(?:program of this type cannot use helper|unknown func) (\S+)/m, ([, helper]) => ({
    reason: "unsupported",
    meaning: `calls ${helper}, a helper that is not for programs of its type`,
    hint: "see bpf-helpers(7) for what each type may call; newer kernels allow more",
  })],
];

/** What a map is declared as, as far as kernels refuse it. */
export interface DeclaredMap {
  readonly name: string;
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** Types of maps that have no key, and those whose elements belong to something and come with it. */
const KEYLESS = /^(ringbuf|user_ringbuf|queue|stack|bloom_filter)$/, STORAGE = /^(sk|inode|task|cgrp)_storage$/;

/** What is wrong with the declaration of a map, where kernels say nothing but EINVAL. */
function faultOf({ type, keySize, valueSize, maxEntries, flags }: DeclaredMap): string | undefined {
  const isRing = type === "ringbuf" || type === "user_ringbuf", isPreallocated = (flags & BPF_F_NO_PREALLOC) === 0;
  if (isRing && keySize + valueSize > 0) return "a ring buffer has no __type(key, ...) and no __type(value, ...)";
  if (KEYLESS.test(type) && keySize > 0) return `a ${type} has no __type(key, ...)`;
  if (STORAGE.test(type)) {
    if (isPreallocated) return `a ${type} takes __uint(map_flags, BPF_F_NO_PREALLOC)`;
    return maxEntries > 0 ? `a ${type} has no max_entries` : keySize === 4 ? undefined : `keys of a ${type} are int`;
  }
  if (type === "lpm_trie" && isPreallocated) return "an lpm_trie takes __uint(map_flags, BPF_F_NO_PREALLOC)";
  if (/array/.test(type) && keySize !== 4) return `keys of type ${type} have 4 bytes, not ${keySize}`;
  if (maxEntries === 0 && type !== "struct_ops") return "it takes __uint(max_entries, ...)";
  return undefined;
}

/**
 * The error for a negative result. `log` is what libbpf said meanwhile; `action` begins the message; `maps` are what the
 * object has.
 */
export function objectRefused(
  result: number,
  command: string,
  action: string,
  log: string,
  maps: readonly DeclaredMap[] = [],
): BpfError {
  const errno = -result, [name, general] = LIBBPF[errno - FIRST_LIBBPF] ?? [];
  const { said, verifier, program } = parse(log);
  const isOpening = command === "bpf_object__open" && explanation(result, plain(command)).reason === "other";
  const code = name === undefined ? undefined : `LIBBPF_ERRNO__${name}`;
  const common = { action, command, code, log: log.trimEnd() || undefined };
  if (verifier !== undefined) {
    return new BpfError(errno, { ...common, ...explainVerifier(errno, verifier, program) });
  }
  const explained = explainMessages(errno, said, general ?? (isOpening ? BROKEN : undefined));
  const refused = /^map '(.*)': failed to create/m.exec(said)?.[1], map = maps.find(({ name }) => name === refused);
  const fault = map === undefined || explained.reason !== "invalid" ? undefined : faultOf(map);
  return new BpfError(errno, { ...common, ...explained, complaint: fault });
}

/** An error of ours, in libbpf's terms: the file is no object, whatever libbpf would do with it. */
export function wrongFile(action: string, { meaning, hint }: Pick<Explanation, "meaning" | "hint">): BpfError {
  return new BpfError(FIRST_LIBBPF + 1, {
    action,
    command: "bpf_object__open",
    code: "LIBBPF_ERRNO__FORMAT",
    reason: "invalid",
    meaning,
    hint,
  });
}

interface Log {
  /** libbpf's messages, a line each, without its prefix. */
  readonly said: string;
  /** The verifier's log, if a program was refused that it looked at. */
  readonly verifier?: string;
  /** Which. */
  readonly program?: string;
}

const END = "-- END PROG LOAD LOG --";

function parse(log: string): Log {
  const end = log.lastIndexOf(END), outside = end < 0 ? log : log.slice(end + END.length);
  const begin = /libbpf: prog '(.*)': -- BEGIN PROG LOAD LOG --\n/g;
  const last = end < 0 ? undefined : [...log.slice(0, end).matchAll(begin)].at(-1);
  const before = end < 0 ? "" : last === undefined ? "" : log.slice(0, last.index);
  const said = (before + outside).replaceAll(/^libbpf: /gm, "").trim();
  if (end < 0) return { said };
  const verifier = log.slice(last === undefined ? 0 : last.index + last[0].length, end);
  const program = last?.[1] ?? /^prog '(.*)': failed to load/m.exec(said)?.[1];
  return { said, verifier, ...program === undefined ? {} : { program } };
}

function explainVerifier(
  errno: number,
  verifier: string,
  program: string | undefined,
): Explanation & { complaint: string | undefined } {
  const which = program === undefined ? "a program" : `program "${program}"`;
  const known = find(VERIFIED, verifier);
  if (known !== undefined) return { ...known, meaning: `${which} ${known.meaning}`, complaint: undefined };
  const complaint = complaintOf(verifier);
  if (complaint === undefined) return { ...explainSilence(errno, `the kernel refuses ${which}`), complaint };
  const isTooLarge = /(too large|too complex|exceed|too many)/i.test(complaint);
  return {
    reason: isTooLarge ? "limit" : "invalid",
    meaning: `the verifier refuses ${which}${placeOf(verifier)}`,
    hint: suggestionOf(verifier) ??
      (/GPL/.test(complaint)
        ? 'give the object a licence that is compatible: char LICENSE[] SEC("license") = "GPL";'
        : "the error's log has the verifier's way there"),
    complaint,
  };
}

/** The line of C that the verifier came to; since Linux 6.9 with its number. */
function placeOf(verifier: string): string {
  const source = verifier.match(/^; .+$/gm)?.at(-1)?.slice(2);
  if (source === undefined) return "";
  const [, text = source, place] = /^(.*?)(?: @ (\S+:\d+))?$/.exec(source) ?? [];
  const code = text.trim();
  return ` at ${[...place === undefined ? [] : [place], ...code === "" ? [] : [`"${code}"`]].join(" ")}`;
}

function explainMessages(errno: number, said: string, general: string | undefined): Explanation {
  const lines = said.split("\n").filter((line) => line !== "" && !GENERIC.test(line));
  const known = find(MESSAGES, said);
  const isRefused = errno === 1 || errno === 13;
  if (isRefused) {
    const program = /prog '(.*)': BPF program load failed/.exec(said)?.[1];
    const map = /map '(.*)': failed to create/.exec(said)?.[1];
    const what = program === undefined ? map === undefined ? undefined : `map "${map}"` : `program "${program}"`;
    if (known === undefined || map !== undefined) {
      return explainSilence(errno, what === undefined ? "the kernel refuses it" : `the kernel refuses ${what}`);
    }
  }
  if (known !== undefined) return known;
  const words = lines.at(-1), usual = explanation(-errno, plain("bpf"));
  if (words === undefined && general === undefined) return usual;
  const reason = usual.reason === "other" ? errno === 2 || errno === 3 ? "gone" : "invalid" : usual.reason;
  return {
    reason,
    meaning: words === undefined ? general! : general === undefined ? `libbpf: ${words}` : `${general}: ${words}`,
    hint: usual.hint,
  };
}

/** A refusal that nobody gives words for. */
function explainSilence(errno: number, meaning: string): Explanation {
  const usual = explanation(-errno, plain("bpf"));
  if (errno !== 1 && errno !== 13) return { ...usual, meaning: `${meaning}: ${usual.meaning}` };
  const lacking = missingCapabilities(["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
  if (lacking !== undefined) return { ...lacking, meaning: `${meaning}: ${lacking.meaning}` };
  return {
    reason: "policy",
    meaning: `${meaning}, though privileges suffice`,
    hint: "look for a security module, lockdown or a sysctl that forbids this kind; or leave the program out: " +
      "options.programs",
  };
}

function find(messages: readonly Message[], text: string): Explanation | undefined {
  for (const [pattern, explain] of messages) {
    const found = pattern.exec(text);
    if (found !== null) return explain(found);
  }
  return undefined;
}
