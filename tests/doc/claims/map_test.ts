/** What the doc comments of lib/sys/map.ts say. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Request } from "../../../lib/ffi/request.ts";
import { openSocket } from "../../../lib/os/interfaces.ts";
import {
  BpfError,
  close,
  linkCreate,
  mapCreate,
  mapDeleteElem,
  mapFreeze,
  mapGetFdById,
  mapGetInfoByFd,
  mapGetNextId,
  mapGetNextKey,
  mapLookupBatch,
  mapLookupElem,
  type MapTypeName,
  mapUpdateElem,
  objPin,
  progLoad,
  progTestRun,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { assemble, exit, loadMap, mapValue, set, storeValue } from "../../fixture/program/assembler.ts";
import { implementation } from "../../fixture/program/struct_ops.ts";
import { load, map, programId } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  IN_USER_NAMESPACE,
  inChild,
  isCloseOnExec,
  misuse,
  NO_FD,
  NO_ID,
  outcomeSync,
  type Own,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
} from "../../fixture/run/claims.ts";
import { until } from "../../fixture/run/wait.ts";

const NOEXIST = 1, EXIST = 2, LOCK = 4, READ_ONLY = 8, WRITE_ONLY = 16, NO_PREALLOC = 1;
const NONE = new Uint8Array(), KEY = key(0), VALUE = value(7);

function key(number: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([number]).buffer);
}

function value(number: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new BigUint64Array([BigInt(number)]).buffer);
}

const hash = (own: Own, mapFlags = 0) => map(own, "hash", 4, 8, 4, { mapFlags });
const array = (own: Own, mapFlags = 0) => map(own, "array", 4, 8, 4, { mapFlags });
const queue = (own: Own) => map(own, "queue", 0, 8, 4);
const ringbuf = (own: Own) => map(own, "ringbuf", 0, 0, 4096);
const bloom = (own: Own) => map(own, "bloom_filter", 0, 8, 4);
const sockmap = (own: Own) => map(own, "sockmap");

/** No more writing from outside. */
function freeze(fd: number): number {
  const MAP_FREEZE = 22;
  assertEquals(new Request(4).u32(0, fd).bpf(MAP_FREEZE), 0);
  return fd;
}

/** An fd as a value, as maps of fds take it. */
const fdValue = (fd: number) => key(fd);
const exists = (id: number) => outcomeSync(() => close(mapGetFdById(id))) === "ok";

// ---- mapCreate

claim("mapCreate: returns an fd of the map, close-on-exec", {}, (own) => {
  const fd = hash(own);
  assertEquals([mapGetInfoByFd(fd).type, isCloseOnExec(fd)], ["hash", true]);
});
claim("mapCreate: it lives until its last fd, pin and program is gone", { needs: ["bpffs"] }, async (own) => {
  const fd = mapCreate("array", 4, 8, 1), { id } = mapGetInfoByFd(fd), pin = own.use(new PinDirectory()).pin("x");
  objPin(fd, pin);
  const program = progLoad("xdp", assemble(...loadMap(1, fd), set(0, 2), exit));
  close(fd);
  assert(exists(id));
  Deno.removeSync(pin);
  assert(exists(id));
  close(program);
  await until(() => !exists(id), "the map is gone");
});
claim("mapCreate: and its last link", { since: "6.10" }, async (own) => {
  const fd = mapCreate("sockmap", 4, 4, 1), { id } = mapGetInfoByFd(fd);
  const link = linkCreate(load.message(own), fd, "sk_msg_verdict");
  close(fd);
  assert(exists(id));
  close(link);
  await until(() => !exists(id), "the map is gone");
});
claim("mapCreate: also: a name for listings, of which the kernel keeps 15 bytes", {}, (own) => {
  assertEquals(mapGetInfoByFd(map(own, "array", 4, 8, 1, { name: "a_name.of_16_byt" })).name, "a_name.of_16_by");
});
for (
  const [since, type, ...sizes] of [
    ["3.18", "hash", 4, 8, 4],
    ["5.8", "ringbuf", 0, 0, 4096],
    ["5.16", "bloom_filter", 0, 8, 4],
  ] as const
) {
  claim(`mapCreate: since Linux ${since}, ${type}`, { since }, (own) => {
    assertEquals(mapGetInfoByFd(map(own, type, ...sizes)).type, type);
  });
}
claim("mapCreate: struct_ops maps for links since Linux 6.4", { needs: ["vm"], since: "6.4" }, (own) => {
  assertEquals(mapGetInfoByFd(own.use(implementation()).fd).type, "struct_ops");
});
refusal(
  "mapCreate: EINVAL, a type newer than the kernel: bloom_filter before Linux 5.16",
  { before: "5.16" },
  () => mapCreate("bloom_filter", 0, 8, 4),
);
claim("mapCreate: since Linux 7.3 often with the kernel's words in `log`", { since: "7.3" }, () => {
  const error = assertThrows(() => mapCreate("hash", 4, 8, 4, { mapExtra: 9n }), BpfError);
  assertEquals(error.log, "Invalid map_extra.");
  assertEquals(error.meaning, "the kernel refuses it: Invalid map_extra.");
});
claim("mapCreate: needs CAP_BPF", { needs: ["setpriv"] }, async () => {
  assertEquals(await unprivileged('mapCreate("hash", 4, 8, 4)', "", withOnly("bpf")), "ok");
});
claim("mapCreate: EPERM, CAP_NET_ADMIN is missing for sockmap, sockhash, devmap, devmap_hash and xskmap", {
  needs: ["setpriv"],
}, async () => {
  const call = `["sockmap", "sockhash", "devmap", "devmap_hash", "xskmap"].every((type) =>
      outcome(() => mapCreate(type, 4, 4, 4)) === expected) || close(${NO_FD})`;
  assertEquals(await unprivileged(call, 'const expected = "EPERM"', withOnly("bpf")), "ok");
  assertEquals(await unprivileged(call, 'const expected = "ok"', withOnly("bpf", "net_admin")), "ok");
});
misuse(
  "mapCreate: TypeError, a value has the wrong type, an option is unknown, or the name has other characters",
  () => mapCreate("nonsense" as never, 4, 8, 1),
  () => mapCreate("hash", "4" as never, 8, 1),
  () => mapCreate("hash", 4, 8, 1, { flags: 1 } as never),
  () => mapCreate("hash", 4, 8, 1, { name: "a b" }),
);
misuse(
  "mapCreate: RangeError, a number is out of range",
  () => mapCreate("hash", -1, 8, 1),
  () => mapCreate("hash", 4, 8, 2 ** 32),
  () => mapCreate("hash", 4, 8, 1, { innerMapFd: -1 }),
);
for (
  const [what, type, ...rest] of [
    ["sizes that the type does not have", "array", 8, 8, 4],
    ["a number of elements that the type does not have", "hash", 4, 8, 0],
    ["a ringbuf of another size than a power of two", "ringbuf", 0, 0, 5000],
    ["flags that the type does not have", "array", 4, 8, 4, { mapFlags: NO_PREALLOC }],
    ["a type newer than the kernel", "map_type_500", 4, 8, 4],
  ] as const
) {
  refusal(
    `mapCreate: EINVAL, ${what}`,
    {},
    () => mapCreate(type as MapTypeName, rest[0], rest[1], rest[2], rest[3] ?? {}),
  );
}
unprivilegedRefusal("mapCreate: EPERM, a capability is missing", 'mapCreate("hash", 4, 8, 4)');
refusal("mapCreate: E2BIG, keys are too large", {}, () => mapCreate("hash", 2 ** 30, 8, 4));
refusal("mapCreate: E2BIG, values are too large", {}, () => mapCreate("hash", 4, 0x7fffffff, 4));
refusal("mapCreate: E2BIG, the whole is too large", {}, () => mapCreate("hash", 4, 8, 0xffffffff));
refusal("mapCreate: ENOMEM, no memory", { since: "5.11" }, () => mapCreate("array", 4, 2 ** 20, 0xffffffff));
refusal(
  "mapCreate: also: EBADF, `innerMapFd` is not open",
  {},
  () => mapCreate("array_of_maps", 4, 4, 2, { innerMapFd: NO_FD }),
);
refusal(
  "mapCreate: also: EBADF, `btfFd` is not open",
  {},
  () => mapCreate("hash", 4, 8, 4, { btfFd: NO_FD, btfKeyTypeId: 1, btfValueTypeId: 1 }),
);
refusal(
  "mapCreate: also: EBADF, `tokenFd` is not open",
  { since: "6.9" },
  () => mapCreate("hash", 4, 8, 4, { tokenFd: NO_FD }),
);
refusal(
  "mapCreate: ENOTSUPP, maps of maps: an inner map of a type that cannot be one",
  {},
  (own) => mapCreate("array_of_maps", 4, 4, 2, { innerMapFd: own.fd(mapCreate("prog_array", 4, 4, 1)) }),
);
refusal(
  "mapCreate: ENOTSUPP, struct_ops: no such struct",
  { needs: ["vm"] },
  () => mapCreate("struct_ops", 4, 256, 1, { btfVmlinuxValueTypeId: 1 }),
);
claim("mapCreate: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted('mapCreate("hash", 4, 8, 4)'), "EMFILE");
});

// ---- mapGetInfoByFd

claim("mapGetInfoByFd: returns its info", {}, (own) => {
  const { id, ...info } = mapGetInfoByFd(map(own, "hash", 4, 8, 16, { name: "counters", mapFlags: NO_PREALLOC }));
  assert(id > 0);
  assertEquals(info, {
    type: "hash",
    name: "counters",
    keySize: 4,
    valueSize: 8,
    maxEntries: 16,
    mapFlags: NO_PREALLOC,
    ifindex: 0,
    btfVmlinuxValueTypeId: 0,
    btfId: 0,
    btfKeyTypeId: 0,
    btfValueTypeId: 0,
    mapExtra: 0n,
  });
});
claim(
  "mapGetInfoByFd: needs no capability, only the fd",
  { needs: ["bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const pin = own.use(new PinDirectory()).pin("x");
    objPin(hash(own), pin);
    assertEquals(await unprivileged("mapGetInfoByFd(map)", `const map = objGet("${pin}")`), "ok");
  },
);
claim("mapGetInfoByFd: answers for programs too, and the answer looks like a map's", {}, (own) => {
  const program = load.xdp(own);
  assertEquals(mapGetInfoByFd(program).id, programId(program));
});
misuse("mapGetInfoByFd: RangeError, `mapFd` is no fd", () => mapGetInfoByFd(-1));
refusal("mapGetInfoByFd: EBADFD, `mapFd` is not open", {}, () => void mapGetInfoByFd(NO_FD));
refusal("mapGetInfoByFd: EINVAL, `mapFd` is no object of bpf", {}, (own) => void mapGetInfoByFd(own.file()));

// ---- mapFreeze

claim("mapFreeze: read-only for processes, for good", {}, (own) => {
  const fd = array(own);
  mapUpdateElem(fd, KEY, VALUE);
  mapFreeze(fd);
  assertEquals(outcomeSync(() => mapUpdateElem(fd, KEY, VALUE)), "EPERM");
  assertEquals(outcomeSync(() => mapUpdateElem(own.fd(mapGetFdById(mapGetInfoByFd(fd).id)), KEY, VALUE)), "EPERM");
  assertEquals(mapLookupElem(fd, KEY), VALUE);
});
claim("mapFreeze: programs may write to it as before", {}, (own) => {
  const fd = map(own, "array", 4, 8, 1),
    program = own.fd(progLoad("xdp", assemble(...mapValue(1, fd), storeValue(1, 0, 7), set(0, 2), exit)));
  mapFreeze(fd);
  progTestRun(program, { dataIn: new Uint8Array(64) });
  assertEquals(mapLookupElem(fd, KEY), VALUE);
});
claim(
  "mapFreeze: before Linux 6.5 CAP_BPF",
  { needs: ["bpffs", "setpriv"], since: "5.19", before: "6.5" },
  async (own) => {
    const pin = own.use(new PinDirectory()).pin("x");
    objPin(array(own), pin);
    assertEquals(await unprivileged("mapFreeze(map)", `const map = objGet("${pin}")`), "EPERM");
  },
);
claim(
  "mapFreeze: also: an fd that may write is enough since 6.5",
  { needs: ["bpffs", "setpriv"], since: "6.5" },
  async (own) => {
    const pin = own.use(new PinDirectory()).pin("x");
    objPin(array(own), pin);
    assertEquals(await unprivileged("mapFreeze(map)", `const map = objGet("${pin}")`), "ok");
  },
);
misuse("mapFreeze: RangeError, `mapFd` is no fd", () => mapFreeze(-1));
refusal("mapFreeze: EBADF, `mapFd` is not open", {}, () => mapFreeze(NO_FD));
refusal("mapFreeze: EINVAL, `mapFd` is no map", {}, (own) => mapFreeze(load.xdp(own)));
refusal(
  "mapFreeze: EPERM, since Linux 6.5 the fd is read-only",
  { since: "6.5" },
  (own) => mapFreeze(array(own, READ_ONLY)),
);
const freezeTwice = (own: Own) => {
  const fd = array(own);
  mapFreeze(fd);
  mapFreeze(fd);
};
refusal("mapFreeze: EPERM, since Linux 6.5 the map is frozen already", { since: "6.5" }, freezeTwice);
refusal("mapFreeze: EBUSY, before Linux 6.5 the map is frozen already", { before: "6.5" }, freezeTwice);
refusal("mapFreeze: ENOTSUPP, struct_ops maps", { needs: ["vm"], since: "6.4" }, (own) => {
  mapFreeze(own.use(implementation()).fd);
});

// ---- mapGetNextId

claim("mapGetNextId: returns the id, or `undefined` if no map has a larger one", {}, (own) => {
  const [first, second] = [array(own), array(own)].map((fd) => mapGetInfoByFd(fd).id) as [number, number];
  const seen: number[] = [];
  for (let id = mapGetNextId(first - 1); id !== undefined && id <= second; id = mapGetNextId(id)) seen.push(id);
  assertEquals([seen[0], seen.at(-1)], [first, second]);
  assertEquals(mapGetNextId(NO_ID), undefined);
});
misuse("mapGetNextId: RangeError, `startId` is no unsigned 32-bit number", () => mapGetNextId(-1));
unprivilegedRefusal("mapGetNextId: EPERM, CAP_SYS_ADMIN is missing", "mapGetNextId(0)", ["sys_admin"]);
claim("mapGetNextId: CAP_BPF is not enough", { needs: ["setpriv"] }, async () => {
  assertEquals(await unprivileged("mapGetNextId(0)", "", withOnly("bpf")), "EPERM");
});
refusal("mapGetNextId: EINVAL, `startId` is 2 ** 31 - 1 or more", {}, () => void mapGetNextId(2 ** 31 - 1));

// ---- mapGetFdById

claim("mapGetFdById: returns an fd of the map, close-on-exec", {}, (own) => {
  const { id } = mapGetInfoByFd(hash(own)), again = own.fd(mapGetFdById(id));
  assertEquals([mapGetInfoByFd(again).id, isCloseOnExec(again)], [id, true]);
});
misuse("mapGetFdById: RangeError, `id` is no unsigned 32-bit number", () => mapGetFdById(-1));
refusal("mapGetFdById: ENOENT, no map has this id", {}, () => mapGetFdById(NO_ID));
unprivilegedRefusal("mapGetFdById: EPERM, CAP_SYS_ADMIN is missing", "mapGetFdById(1)", ["sys_admin"]);
claim(
  "mapGetFdById: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("mapGetFdById(1)", "", IN_USER_NAMESPACE), "EPERM"),
);
claim("mapGetFdById: EMFILE, the process has too many open files", {}, async (own) => {
  assertEquals(await exhausted(`mapGetFdById(${mapGetInfoByFd(hash(own)).id})`), "EMFILE");
});

// ---- what the calls on elements have in common

const CALLS = {
  mapLookupElem: (fd: number) => void mapLookupElem(fd, KEY),
  mapUpdateElem: (fd: number) => mapUpdateElem(fd, KEY, VALUE),
  mapDeleteElem: (fd: number) => void mapDeleteElem(fd, KEY),
  mapGetNextKey: (fd: number) => void mapGetNextKey(fd),
  mapLookupBatch: (fd: number) => void mapLookupBatch(fd, undefined, 4),
};

/** Claims that the comment of each of these functions makes; their names are written out for the check of errnos. */
function common(
  name: keyof typeof CALLS,
  names: { closed: string; noMap: string; mode: string; bare: string; badKey: string },
  mapFlags: number,
  wrong: () => unknown,
): void {
  const call = CALLS[name];
  refusal(names.closed, {}, () => call(NO_FD));
  for (const other of [(own: Own) => own.file(), load.xdp]) refusal(names.noMap, {}, (own) => call(other(own)));
  refusal(names.mode, {}, (own) => call(hash(own, mapFlags)));
  claim(names.bare, { needs: ["bpffs", "setpriv"], since: "5.19" }, async (own) => {
    const pin = own.use(new PinDirectory()).pin("x"), fd = hash(own);
    mapUpdateElem(fd, KEY, VALUE);
    objPin(fd, pin);
    const rest = { mapGetNextKey: "", mapLookupBatch: ", undefined, 4", mapUpdateElem: ", key, new Uint8Array(8)" };
    const args = name in rest ? rest[name as keyof typeof rest] : ", key";
    const prepare = `const map = objGet("${pin}"), key = new Uint8Array(4)`;
    assertEquals(await unprivileged(`${name}(map${args})`, prepare), "ok");
  });
  claim(names.badKey, {}, (own) => {
    const fd = hash(own),
      sized = (key: unknown) =>
        name === "mapLookupBatch"
          ? mapLookupBatch(fd, key as never, 1)
          : name === "mapUpdateElem"
          ? mapUpdateElem(fd, key as never, VALUE)
          : { mapLookupElem, mapDeleteElem, mapGetNextKey }[name](fd, key as never);
    for (const [bad, ErrorClass] of [["key", TypeError], [new Uint8Array(5), RangeError]] as const) {
      let thrown;
      try {
        sized(bad);
      } catch (error) {
        thrown = error;
      }
      assert(thrown instanceof ErrorClass, String(thrown));
    }
  });
  misuse(`${name}: RangeError, \`mapFd\` is no fd`, wrong);
}

common(
  "mapLookupElem",
  {
    closed: "mapLookupElem: EBADFD, `mapFd` is not open",
    noMap: "mapLookupElem: EINVAL, `mapFd` is no map",
    mode: "mapLookupElem: EPERM, the fd is write-only",
    bare: "mapLookupElem: needs no capability, only the fd",
    badKey: "mapLookupElem: TypeError, RangeError, `key` is no view of bytes or has another length",
  },
  WRITE_ONLY,
  () => mapLookupElem(-1, KEY),
);
common(
  "mapUpdateElem",
  {
    closed: "mapUpdateElem: EBADFD, `mapFd` is not open",
    noMap: "mapUpdateElem: EINVAL, `mapFd` is no map",
    mode: "mapUpdateElem: EPERM, the fd is read-only",
    bare: "mapUpdateElem: needs no capability, only the fd",
    badKey: "mapUpdateElem: TypeError, RangeError, `key` is no view of bytes or has another length",
  },
  READ_ONLY,
  () => mapUpdateElem(-1, KEY, VALUE),
);
common(
  "mapDeleteElem",
  {
    closed: "mapDeleteElem: EBADFD, `mapFd` is not open",
    noMap: "mapDeleteElem: EINVAL, `mapFd` is no map",
    mode: "mapDeleteElem: EPERM, the fd is read-only",
    bare: "mapDeleteElem: needs no capability, only the fd",
    badKey: "mapDeleteElem: TypeError, RangeError, `key` is no view of bytes or has another length",
  },
  READ_ONLY,
  () => mapDeleteElem(-1, KEY),
);
common(
  "mapGetNextKey",
  {
    closed: "mapGetNextKey: EBADFD, `mapFd` is not open",
    noMap: "mapGetNextKey: EINVAL, `mapFd` is no map",
    mode: "mapGetNextKey: EPERM, the fd is write-only",
    bare: "mapGetNextKey: needs no capability, only the fd",
    badKey: "mapGetNextKey: TypeError, RangeError, `key` is no view of bytes or has another length",
  },
  WRITE_ONLY,
  () => mapGetNextKey(-1),
);
common(
  "mapLookupBatch",
  {
    closed: "mapLookupBatch: EBADFD, `mapFd` is not open",
    noMap: "mapLookupBatch: EINVAL, `mapFd` is no map",
    mode: "mapLookupBatch: EPERM, the fd is write-only",
    bare: "mapLookupBatch: needs no capability, only the fd",
    badKey: "mapLookupBatch: TypeError, RangeError, `from` is no view of bytes or has another length",
  },
  WRITE_ONLY,
  () => mapLookupBatch(-1, undefined, 1),
);

// ---- mapLookupElem

claim("mapLookupElem: a copy of the value, or `undefined` if there is no such element", {}, (own) => {
  const fd = hash(own);
  assertEquals(mapLookupElem(fd, KEY), undefined);
  mapUpdateElem(fd, KEY, VALUE);
  const copy = mapLookupElem(fd, KEY)!;
  assertEquals(copy, VALUE);
  copy.fill(0);
  assertEquals(mapLookupElem(fd, KEY), VALUE);
});
claim("mapLookupElem: an empty key for a queue or stack, whose next value is read", {}, (own) => {
  for (const [type, next] of [["queue", 1], ["stack", 2]] as const) {
    const fd = map(own, type, 0, 8, 4);
    for (const number of [1, 2]) mapUpdateElem(fd, NONE, value(number));
    assertEquals([mapLookupElem(fd, NONE), mapLookupElem(fd, NONE)], [value(next), value(next)]);
  }
});
claim(
  "mapLookupElem: of a per-CPU map the values of all possible CPUs in a row, each rounded up to 8 bytes",
  {},
  (own) => {
    const [, last] = /(\d+)\s*$/.exec(Deno.readTextFileSync("/sys/devices/system/cpu/possible"))!;
    assertEquals(mapLookupElem(map(own, "percpu_array", 4, 5, 1), KEY)!.length, (Number(last) + 1) * 8);
  },
);
claim("mapLookupElem: of a map of maps or programs the id (4 bytes)", {}, (own) => {
  const inner = array(own), outer = map(own, "array_of_maps", 4, 4, 1, { innerMapFd: inner });
  mapUpdateElem(outer, KEY, fdValue(inner));
  assertEquals(mapLookupElem(outer, KEY), key(mapGetInfoByFd(inner).id));
  const program = load.xdp(own), programs = map(own, "prog_array");
  mapUpdateElem(programs, KEY, fdValue(program));
  assertEquals(mapLookupElem(programs, KEY), key(programId(program)));
});
refusal("mapLookupElem: EINVAL, unknown flags", {}, (own) => void mapLookupElem(hash(own), KEY, 64));
refusal(
  "mapLookupElem: also: EINVAL, BPF_F_LOCK for values without a lock",
  {},
  (own) => void mapLookupElem(hash(own), KEY, LOCK),
);
refusal(
  "mapLookupElem: EOPNOTSUPP, elements of this type cannot be read",
  {},
  (own) => void mapLookupElem(map(own, "xskmap"), KEY),
);
refusal(
  "mapLookupElem: ENOTSUPP, elements of this type cannot be read",
  {},
  (own) => void mapLookupElem(map(own, "perf_event_array"), KEY),
);
refusal(
  "mapLookupElem: ENOSPC, a sockmap whose values have 4 bytes",
  {},
  (own) => void mapLookupElem(sockmap(own), KEY),
);

// ---- mapUpdateElem

claim("mapUpdateElem: an empty key for a queue or stack, to which the value is added", {}, (own) => {
  const fd = queue(own);
  mapUpdateElem(fd, NONE, VALUE);
  assertEquals(mapLookupElem(fd, NONE), VALUE);
});
claim("mapUpdateElem: flags BPF_NOEXIST and BPF_EXIST", {}, (own) => {
  const fd = hash(own);
  mapUpdateElem(fd, KEY, VALUE, NOEXIST);
  mapUpdateElem(fd, KEY, value(8), EXIST);
  assertEquals(mapLookupElem(fd, KEY), value(8));
});
misuse(
  "mapUpdateElem: also: RangeError, `flags` is no unsigned 32-bit number, or `mapFd` no fd",
  () => mapUpdateElem(2 ** 31, KEY, VALUE),
);
claim("mapUpdateElem: TypeError, RangeError, `value` is no view of bytes or has another length", {}, (own) => {
  const fd = hash(own);
  for (const bad of ["value", new Uint8Array(7)]) {
    let thrown;
    try {
      mapUpdateElem(fd, KEY, bad as never);
    } catch (error) {
      thrown = error;
    }
    assert(thrown instanceof (typeof bad === "string" ? TypeError : RangeError));
  }
});
refusal("mapUpdateElem: EEXIST, BPF_NOEXIST, and the element is there", {}, (own) => {
  const fd = hash(own);
  mapUpdateElem(fd, KEY, VALUE);
  mapUpdateElem(fd, KEY, VALUE, NOEXIST);
});
refusal(
  "mapUpdateElem: EEXIST, BPF_NOEXIST, every element of an array is there",
  {},
  (own) => mapUpdateElem(array(own), KEY, VALUE, NOEXIST),
);
refusal(
  "mapUpdateElem: ENOENT, BPF_EXIST, and the element is not there",
  {},
  (own) => mapUpdateElem(hash(own), KEY, VALUE, EXIST),
);
refusal("mapUpdateElem: E2BIG, the map is full", {}, (own) => {
  const fd = hash(own);
  for (let i = 0; i < 5; i++) mapUpdateElem(fd, key(i), VALUE);
});
refusal("mapUpdateElem: E2BIG, the index is beyond the array", {}, (own) => mapUpdateElem(array(own), key(4), VALUE));
refusal(
  "mapUpdateElem: EBADF, the fd in the value is not open",
  {},
  (own) => mapUpdateElem(map(own, "prog_array"), KEY, fdValue(NO_FD)),
);
refusal(
  "mapUpdateElem: EINVAL, the fd in the value is of something else",
  {},
  (own) => mapUpdateElem(map(own, "prog_array"), KEY, fdValue(own.file())),
);
refusal("mapUpdateElem: EINVAL, a value that the type refuses", {}, (own) => {
  const outer = map(own, "array_of_maps", 4, 4, 1, { innerMapFd: array(own) });
  mapUpdateElem(outer, KEY, fdValue(map(own, "array", 4, 16)));
});
refusal("mapUpdateElem: EINVAL, unknown flags", {}, (own) => mapUpdateElem(hash(own), KEY, VALUE, 64));
refusal("mapUpdateElem: EPERM, the map is frozen", {}, (own) => mapUpdateElem(freeze(hash(own)), KEY, VALUE));
refusal("mapUpdateElem: EBUSY, a struct_ops map that has its value", { needs: ["vm"], since: "6.4" }, (own) => {
  const { fd } = own.use(implementation());
  const value = mapLookupElem(fd, KEY)!;
  value.fill(0, 0, 8); // what the kernel counts
  mapUpdateElem(fd, KEY, value);
});
claim("mapUpdateElem: ENOMEM, no memory", { needs: ["vm", "cgroup2"], since: "5.11" }, async (own) => {
  const cgroup = own.use(new Cgroup()), outside = own.use(new Cgroup());
  Deno.writeTextFileSync(`${cgroup.path}/../cgroup.subtree_control`, "+memory");
  const inside = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup.path];
  // elements are charged where the map was made; the process leaves, or the full cgroup would be its own end, and what
  // it took stays charged there
  const source = `
    const map = mapCreate("hash", 4, 2 ** 16, 2 ** 16, { mapFlags: 1 }), value = new Uint8Array(2 ** 16);
    const { open, write } = await import("${new URL("../../../lib/os/files.ts", import.meta.url)}"), O_WRONLY = 1;
    const tell = (file, text) => write(open(file, O_WRONLY), new TextEncoder().encode(text));
    tell("${outside.path}/cgroup.procs", String(Deno.pid));
    tell("${cgroup.path}/memory.max", String(2 ** 24));
    let code = "ok";
    for (let i = 0; i < 2 ** 16 && code === "ok"; i++) {
      code = outcome(() => mapUpdateElem(map, new Uint8Array(new Uint32Array([i]).buffer), value));
    }
    console.log(code);`;
  assertEquals(await inChild(inside, source), "ENOMEM");
});
refusal(
  "mapUpdateElem: ENOTSOCK, the fd that is to be put into a map of sockets is none",
  {},
  (own) => mapUpdateElem(sockmap(own), KEY, fdValue(own.file())),
);
refusal(
  "mapUpdateElem: ENOTSUPP, elements of this type cannot be written",
  {},
  (own) => mapUpdateElem(ringbuf(own), NONE, NONE),
);
refusal("mapUpdateElem: EOPNOTSUPP, a socket whose state does not suit", {}, (own) => {
  const AF_INET = 2, SOCK_STREAM = 1;
  mapUpdateElem(sockmap(own), KEY, fdValue(own.fd(openSocket(AF_INET, SOCK_STREAM))));
});

// ---- mapDeleteElem

claim("mapDeleteElem: whether it was there", {}, (own) => {
  const fd = hash(own);
  mapUpdateElem(fd, KEY, VALUE);
  assertEquals([mapDeleteElem(fd, KEY), mapDeleteElem(fd, KEY), mapLookupElem(fd, KEY)], [true, false, undefined]);
});
claim("mapDeleteElem: an empty key for a queue or stack, whose next value is removed", {}, (own) => {
  const fd = queue(own);
  for (const number of [1, 2]) mapUpdateElem(fd, NONE, value(number));
  assertEquals([mapDeleteElem(fd, NONE), mapLookupElem(fd, NONE)], [true, value(2)]);
});
refusal(
  "mapDeleteElem: EINVAL, elements of an array cannot be removed",
  {},
  (own) => void mapDeleteElem(array(own), KEY),
);
refusal("mapDeleteElem: EPERM, the map is frozen", {}, (own) => void mapDeleteElem(freeze(hash(own)), KEY));
refusal(
  "mapDeleteElem: ENOTSUPP, elements of this type cannot be removed",
  {},
  (own) => void mapDeleteElem(ringbuf(own), NONE),
);
refusal(
  "mapDeleteElem: EOPNOTSUPP, elements of this type cannot be removed",
  { since: "5.16" },
  (own) => void mapDeleteElem(bloom(own), NONE),
);

// ---- mapGetNextKey

claim("mapGetNextKey: `undefined` for the first, `undefined` after the last", {}, (own) => {
  const fd = array(own), seen: number[] = [];
  for (let next = mapGetNextKey(fd); next !== undefined; next = mapGetNextKey(fd, next)) seen.push(next[0]!);
  assertEquals(seen, [0, 1, 2, 3]);
});
claim("mapGetNextKey: the first one if `key` is not there (any more)", {}, (own) => {
  const fd = hash(own);
  for (const number of [1, 2, 3]) mapUpdateElem(fd, key(number), VALUE);
  const first = mapGetNextKey(fd)!, second = mapGetNextKey(fd, first)!;
  mapDeleteElem(fd, second);
  assertEquals(mapGetNextKey(fd, second), first);
});
refusal("mapGetNextKey: EINVAL, the type has no keys", {}, (own) => void mapGetNextKey(queue(own)));
refusal("mapGetNextKey: ENOTSUPP, the type has no keys", {}, (own) => void mapGetNextKey(ringbuf(own)));
refusal("mapGetNextKey: EOPNOTSUPP, the type has no keys", { since: "5.16" }, (own) => void mapGetNextKey(bloom(own)));

// ---- mapLookupBatch

/** The keys of all parts of a map, whose elements `change` may touch between two parts. */
function walk(fd: number, count: number, change: () => void = () => {}): number[] {
  const seen: number[] = [];
  let from: Uint8Array | undefined;
  while (true) {
    const { entries, next } = mapLookupBatch(fd, from, count);
    for (const [key] of entries) seen.push(new Uint32Array(key.buffer)[0]!);
    if (next === undefined) return seen.sort((a, b) => a - b);
    from = next;
    change();
  }
}

claim("mapLookupBatch: elements that are there all the time come exactly once", {}, (own) => {
  const fd = map(own, "hash", 4, 8, 1000), stay = Array.from({ length: 300 }, (_, i) => i);
  for (const number of stay) mapUpdateElem(fd, key(number), VALUE);
  let extra = 1000;
  const seen = walk(fd, 32, () => {
    mapUpdateElem(fd, key(extra++), VALUE);
    if (extra % 2 === 0) mapDeleteElem(fd, key(extra - 2));
  });
  assertEquals(seen.filter((number) => number < 1000), stay);
});
claim("mapLookupBatch: also: a part of at most `count` elements, keys and values", {}, (own) => {
  const fd = array(own);
  mapUpdateElem(fd, key(1), VALUE);
  const { entries, next } = mapLookupBatch(fd, undefined, 3);
  assertEquals(entries, [[key(0), value(0)], [key(1), VALUE], [key(2), value(0)]]);
  assertEquals(mapLookupBatch(fd, next, 3), { entries: [[key(3), value(0)]], next: undefined });
});
for (
  const [since, type, ...rest] of [
    ["5.6", "hash", 4, 8, 4],
    ["5.6", "lru_hash", 4, 8, 4],
    ["5.6", "array", 4, 8, 4],
    ["5.13", "lpm_trie", 8, 8, 4, { mapFlags: NO_PREALLOC }],
    ["5.13", "percpu_array", 4, 8, 4],
  ] as const
) {
  claim(`mapLookupBatch: since Linux ${since}, ${type}`, { since }, (own) => {
    assert(mapLookupBatch(map(own, type, rest[0], rest[1], rest[2], rest[3]), undefined, 4).entries.length <= 4);
  });
}
claim("mapLookupBatch: since Linux 5.19, the maps of maps", { since: "5.19" }, (own) => {
  for (const type of ["array_of_maps", "hash_of_maps"] as const) {
    const inner = array(own), outer = map(own, type, 4, 4, 1, { innerMapFd: inner });
    mapUpdateElem(outer, KEY, fdValue(inner));
    assertEquals(mapLookupBatch(outer, undefined, 4).entries, [[KEY, key(mapGetInfoByFd(inner).id)]]);
  }
});
misuse("mapLookupBatch: RangeError, a number is out of range", () => mapLookupBatch(2 ** 31, undefined, 1));
refusal(
  "mapLookupBatch: ENOTSUPP, the type has no batches",
  {},
  (own) => void mapLookupBatch(queue(own), undefined, 1),
);
refusal("mapLookupBatch: ENOSPC, a bucket of the hash has more than `count` elements", {}, (own) => {
  const fd = map(own, "hash", 4, 8, 4096);
  for (let i = 0; i < 4096; i++) mapUpdateElem(fd, key(i), VALUE);
  walk(fd, 1);
});
