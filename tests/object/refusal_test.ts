/** What an object that cannot be opened or loaded says; and that nothing is left of it, which objectTest looks at. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { BpfObject, type OpenOptions } from "../../lib/object/mod.ts";
import { BpfError } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import { runScript } from "../fixture/process/script.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { isOlder } from "../fixture/run/release.ts";
import { objectPath, programPath } from "./build.ts";
import { objectTest } from "./run.ts";

/** The error of loading an object. */
function refusal(name: string, options?: OpenOptions): BpfError {
  return assertThrows(() => BpfObject.load(objectPath(name), options), BpfError);
}

objectTest("refusal: the verifier's, with the line of C and its log", {}, () => {
  const { message, code, reason, command, log } = refusal("refused", { programs: ["no_check"] });
  const source = Deno.readTextFileSync(new URL("c/refused.bpf.c", import.meta.url));
  const number = source.slice(0, source.indexOf("return *count;")).split("\n").length;
  assertMatch(
    message,
    new RegExp(
      `^Cannot load object "refused": the verifier refuses program "no_check" at (\\S*refused\\.bpf\\.c:${number} )?` +
        `"return \\*count;": R0 invalid mem access 'map_value_or_null' \\(EACCES\\)$`,
    ),
  );
  assertEquals([code, reason, command], ["EACCES", "invalid", "bpf_object__load"]);
  assert(log!.includes("BEGIN PROG LOAD LOG") && log!.includes("R0 invalid mem access"), log);
});

objectTest("refusal: of an atomic instruction that newer kernels have", { before: "5.12" }, () => {
  const error = refusal("atomics");
  assertMatch(error.message, /has an atomic instruction that kernels have since Linux 5\.12/);
  assertEquals(error.reason, "unsupported");
});

objectTest("refusal: a long log is kept to its end", {}, () => {
  const { message, log } = refusal("refused", { programs: ["long_way"] });
  assertMatch(message, /the verifier refuses program "long_way" at .*: R0 invalid mem access/);
  assert(log!.length > 64 * 1024, `${log!.length} characters`);
});

const CAUSES: [object: string, program: string | undefined, reason: string, message: RegExp][] = [
  [
    "refused",
    "no_field",
    "unsupported",
    /program "no_field" needs struct absent_struct\.absent_field, which this kernel/,
  ],
  [
    "core_missing",
    undefined,
    "unsupported",
    /needs struct task_struct___missing\.no_such_member, which this kernel does/,
  ],
  ["refused", "no_license", "invalid", /cannot call GPL-restricted function/],
  [
    "refused",
    "no_helper",
    "unsupported",
    /program "no_helper" calls unknown#100000, a helper that this kernel does not/,
  ],
  [
    "refused",
    "other_helper",
    "unsupported",
    /program "other_helper" calls bpf_xdp_adjust_head#44, a helper that is not for/,
  ],
  ["verbose", "endless", "invalid", /the verifier refuses program "endless" at .*: infinite loop detected at insn/],
  ["refused", "no_section", "invalid", /libbpf knows no section "no_such_section", in which program "no_section" is/],
  ["unknown_section", undefined, "invalid", /libbpf knows no section "no_such_kind\/here"/],
  ["refused", "no_function", "unsupported", /this kernel has no "absent_kernel_function", which program "no_function"/],
  [
    "refused",
    "no_kfunc",
    "unsupported",
    /program "no_kfunc" calls "bpf_absent_function", which this kernel does not have/,
  ],
  ["extension", undefined, "invalid", /program "replaced" replaces or traces a function of another program/],
  ["no_btf_maps", undefined, "invalid", /it has no BTF, which its maps or externs need/],
  ["old_maps", undefined, "invalid", /it declares maps in a way that libbpf 1\.0 gave up/],
];

if (isOlder(Deno.osRelease(), "7.0")) { // later kernels may have such calls
  CAUSES.push(["refused", "by_register", "invalid", /program "by_register" calls a function through a register/]);
}

for (const [object, program, reason, message] of CAUSES) {
  // kernels without BTF cannot say what they do not have; all others must
  objectTest(`refusal: of ${object}${program === undefined ? "" : ` (${program})`} says why`, {}, () => {
    const error = refusal(object, program === undefined ? {} : { programs: [program] });
    assertMatch(error.message, message);
    assertEquals(error.reason, reason);
    assert(error.hint, "there is something to do about it");
  });
}

objectTest("refusal: a map that the kernel does not make", {}, () => {
  const error = refusal("maps", { maps: { hash: { maxEntries: 0xffffffff } } });
  assertMatch(error.message, /^Cannot load object "maps": .*map "hash"/);
  assert(["invalid", "limit"].includes(error.reason), error.reason);
});

objectTest("refusal: other files than objects say what they are", {}, () => {
  const bytes = Deno.readFileSync(objectPath("maps"));
  const changed = (...changes: [at: number, value: number][]) => {
    const copy = bytes.slice();
    for (const [at, value] of changes) copy[at] = value;
    return copy;
  };
  const files: readonly (readonly [file: Uint8Array | string, meaning: RegExp])[] = [
    [new Uint8Array(0), /it is empty/],
    [new TextEncoder().encode("int main() {}"), /it is no ELF file/],
    [new Uint8Array([0x42, 0x43, 0xc0, 0xde, 1, 2, 3]), /it is LLVM's bitcode/],
    [bytes.subarray(0, 30), /it is cut off/],
    [changed([4, 1]), /it is no 64-bit ELF file/],
    [changed([5, 2]), /it is big-endian/],
    [changed([18, 62], [19, 0]), /it is compiled for x86_64, not for BPF/],
    [changed([16, 3]), /it is no object file, but a linked one/],
    [programPath("probed") ?? Deno.execPath(), /it is compiled for/],
    ["/", /it is a directory/],
    // an emulated processor takes long to read so much
    ...inOwnVm() ? [] : [["/dev/zero", /it is larger than 256 MiB/] as const],
  ];
  for (const [file, meaning] of files) {
    const error = assertThrows(() => BpfObject.open(file), BpfError, undefined, `${meaning}`);
    assertMatch(error.message, meaning);
    assertEquals(error.reason, "invalid");
  }
});

objectTest("refusal: an object that is cut off anywhere is an error or an object, never more", {}, () => {
  const bytes = Deno.readFileSync(objectPath("globals"));
  for (let length = 0; length < bytes.length; length += 37) {
    try {
      using object = BpfObject.open(bytes.subarray(0, length));
      void { ...object.globals };
    } catch (error) {
      if (!(error instanceof BpfError || error instanceof Deno.errors.InvalidData)) throw error;
    }
  }
});

objectTest("refusal: BTF of another kernel that is none", {}, () => {
  const error = refusal("core", { kernelBtf: "/proc/self/status" });
  assertMatch(error.message, /options\.kernelBtf is no file with BTF/);
  assertEquals(error.reason, "invalid");
});

objectTest("refusal: a directory that gives no token, a function that is not there", { since: "6.9" }, () => {
  const token = refusal("core", { token: "/proc" });
  assertMatch(token.message, /no BPF token can be made of "\/proc"/);
  const open = () => BpfObject.open(objectPath("extension"), { attachTo: { replaced: "no_such_function" } });
  assertMatch(
    assertThrows(open, BpfError).message,
    /"replaced" is for: this kernel has no "no_such_function" \(ESRCH\)/,
  );
});

objectTest("refusal: pins that were made for it are gone, those that were there stay", { needs: ["bpffs"] }, () => {
  using pins = new PinDirectory();
  const options = { programs: ["no_check"], maps: { counts: { pin: pins.pin("counts") } } };
  refusal("refused", options);
  assertEquals(pins.pins, []);
  using _kept = BpfObject.load(objectPath("refused"), { ...options, programs: ["accepted"] });
  refusal("refused", options);
  assertEquals(pins.pins, ["counts"]);
});

objectTest("refusal: directories that take no pins", { needs: ["bpffs"] }, () => {
  using pins = new PinDirectory();
  const messageOf = (pinDirectory: string) => refusal("pinned", { pinDirectory }).message;
  assertMatch(
    messageOf(`${pins.path}/no/such`),
    /"pinned_\w+" cannot be pinned in ".*\/no\/such": the directory above/,
  );
  assertMatch(messageOf("/tmp"), /"pinned_\w+" cannot be pinned: "\/tmp\/pinned_\w+" is on no bpf file system/);
  assertEquals(pins.pins, []);
});

objectTest("refusal: a capability that is missing is named", { needs: ["setpriv"] }, async () => {
  const { output, errors } = await runScript(
    `
    import { BpfObject } from "${new URL("../../lib/object/mod.ts", import.meta.url)}";
    try {
      BpfObject.load("${objectPath("maps")}");
    } catch ({ reason, message, hint }) {
      console.log(reason, "|", message, "|", hint);
    }
  `,
    ["--allow-ffi"],
    { through: WITHOUT_CAPABILITIES },
  );
  assertMatch(output, /^capability \| Cannot load object "maps": .*the process lacks CAP_BPF.* \| run as root/, errors);
});
