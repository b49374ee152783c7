/** Global variables of objects: read and written where programs have them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfObject } from "../../lib/object/mod.ts";
import { BpfError } from "../../mod.ts";
import { objectPath } from "./build.ts";
import { objectTest } from "./run.ts";

const PACKET = { data: new Uint8Array(64) };
const LIMITS = { packets: 5, port: 9, enabled: true };

objectTest("globals: of all sections, before and after the object is loaded", {}, () => {
  using object = BpfObject.open(objectPath("globals"), { globals: { limits: LIMITS, last_mark: 3 } });
  const { globals } = object;
  assertEquals(globals.limits, LIMITS);
  assertEquals(globals.over_limit, "STOP");
  assertEquals([globals.packets, globals.own, globals.own_zero, globals.own_constant], [0n, 7, 0, 3]);
  assertEquals(globals.name, "none");
  globals.name = "some";
  globals.own_constant = 4;
  object.load();
  assertEquals([globals.name, globals.own_constant, globals.last_mark], ["some", 4, 3]);
  object.program("use_globals").run(PACKET);
  assertEquals([globals.packets, globals.last_mark, globals.own_zero], [1n, 0, "s".charCodeAt(0)]);
  globals.packets = 100n;
  globals.own = -3;
  globals.over_limit = "PASS";
  assertEquals(object.program("use_globals").run(PACKET).returnValue, 1);
  assertEquals([globals.packets, globals.over_limit, globals.own], [101n, "PASS", -3]);
});

objectTest("globals: constants of a loaded object, and what does not fit, are refused", {}, () => {
  using object = BpfObject.load(objectPath("globals"), { globals: { limits: LIMITS } });
  const { globals } = object;
  const refusals: readonly [name: string, value: unknown, kind: typeof TypeError | typeof RangeError, why: string][] = [
    ["limits", LIMITS, TypeError, "it is a constant (.rodata) of an object that is loaded"],
    ["own_constant", 4, TypeError, "it is a constant (.rodata.own)"],
    ["packets", 1, TypeError, "globals.packets must be a bigint"],
    ["packets", 1n << 64n, RangeError, "globals.packets must be"],
    ["own", 1.5, RangeError, "globals.own must be an integer"],
    ["over_limit", "NONE", TypeError, "globals.over_limit must be"],
    ["sizes", [1n], RangeError, "globals.sizes must have 8 elements"],
    ["pakets", 1n, TypeError, 'no global variable "pakets"; did you mean "packets"?'],
    ["hidden", 1, TypeError, 'no global variable "hidden"'], // static
  ];
  for (const [name, value, kind, why] of refusals) assertThrows(() => globals[name] = value, kind, why);
  assertThrows(() => globals.pakets, TypeError, 'did you mean "packets"?');
  assertThrows(() => BpfObject.open(objectPath("globals"), { globals: { limits: { packets: 1 } } }), TypeError);
  assertThrows(() => Object.defineProperty(globals, "own", { value: 1 }), TypeError);
  assertEquals(globals.own, 7);
});

objectTest("globals: are seen as an object by what looks at objects", {}, async () => {
  using object = BpfObject.open(objectPath("globals"));
  const { globals } = object;
  assert(Object.keys(globals).includes("packets"));
  assert("packets" in globals && !("pakets" in globals));
  assertEquals((JSON.parse(JSON.stringify(globals)) as Record<string, unknown>).packets, "0");
  assert(Deno.inspect(globals).includes("packets: 0n"));
  assertEquals(await Promise.resolve(globals), globals);
  assertEquals(`${globals}`, "[object Object]");
  assertEquals({ ...globals }.name, "none");
  assert(Object.isFrozen(globals.limits));
});

objectTest("globals: several objects of one file are apart", {}, () => {
  using first = BpfObject.load(objectPath("globals")), second = BpfObject.load(objectPath("globals"));
  first.program("use_globals").run(PACKET);
  assertEquals([first.globals.packets, second.globals.packets], [1n, 0n]);
});

const CONFIG = [
  "CONFIG_HZ=250",
  "CONFIG_BPF_SYSCALL=y",
  "CONFIG_NO_SUCH_OPTION=y",
  "CONFIG_NO_SUCH_NUMBER=7",
  'CONFIG_DEFAULT_HOSTNAME="(none)"',
].join("\n");

objectTest("globals: the kernel's configuration is known once the object is loaded, and never written", {}, () => {
  using object = BpfObject.open(objectPath("kconfig"), { kconfig: CONFIG });
  const { globals } = object;
  assertEquals([globals.CONFIG_HZ, globals.LINUX_KERNEL_VERSION], [undefined, undefined]);
  assertThrows(() => globals.CONFIG_HZ = 8, TypeError, "options.kconfig");
  object.load();
  assertEquals(
    [globals.CONFIG_HZ, globals.CONFIG_BPF_SYSCALL, globals.CONFIG_NO_SUCH_NUMBER, globals.CONFIG_DEFAULT_HOSTNAME],
    [250, "TRI_YES", 7n, "(none)"],
  );
  const [major, minor] = Deno.osRelease().split(".").map(Number);
  assertEquals(globals.LINUX_KERNEL_VERSION >>> 8, major! << 8 | minor!);
  assertThrows(() => globals.CONFIG_HZ = 8, TypeError, "options.kconfig");
});

objectTest("globals: a configuration of another type is refused by name", {}, () => {
  const kconfig = CONFIG.replace("HZ=250", "HZ=y");
  const error = assertThrows(() => BpfObject.load(objectPath("kconfig"), { kconfig }), BpfError);
  assert(error.message.includes("has CONFIG_HZ otherwise than the object declares it"), error.message);
});

objectTest("globals: an object without BTF has none, and says so", {}, () => {
  using object = BpfObject.open(objectPath("no_btf"));
  assertEquals(object.btf, undefined);
  assertEquals({ ...object.globals }, {});
  assertThrows(() => object.globals.packets, TypeError, "compile it with -g");
});
