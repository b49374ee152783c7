/** What the doc comments of lib/sys/object.ts say. */
import { assert, assertEquals } from "@std/assert";
import {
  close,
  linkCreate,
  linkGetInfoByFd,
  mapGetInfoByFd,
  mapLookupElem,
  mapUpdateElem,
  objGet,
  objPin,
  progGetInfoByFd,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { link, load, map } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  isCloseOnExec,
  misuse,
  NO_FD,
  outcomeSync,
  type Own,
  refusal,
  unprivileged,
} from "../../fixture/run/claims.ts";
import { ownBpffs } from "../../fixture/run/own.ts";
import { assertGone } from "../../fixture/run/state.ts";

const bpffs = { needs: ["bpffs"] } as const;
const unprivilegedBpffs = { needs: ["bpffs", "setpriv"], since: "5.19" } as const;
const FIRST = new Uint8Array(4);

/** The path of a pin that is not there yet. */
const free = (own: Own) => own.use(new PinDirectory()).pin("x");

/** The path of the pin of a link. */
function pinned(own: Own): string {
  const pin = free(own);
  objPin(link.iterator(own), pin);
  return pin;
}

// ---- objPin

claim("objPin: keeps a link, program or map alive without any process", bpffs, (own) => {
  const pins = own.use(new PinDirectory());
  const it = linkCreate(load.iterator(own), 0, "trace_iter"), { id } = linkGetInfoByFd(it);
  objPin(it, pins.pin("link"));
  close(it);
  assertEquals(linkGetInfoByFd(own.fd(objGet(pins.pin("link")))).id, id);
  const xdp = load.xdp(own), array = map(own, "array");
  objPin(xdp, pins.pin("program"));
  objPin(array, pins.pin("map"));
  assertEquals(progGetInfoByFd(own.fd(objGet(pins.pin("program")))).id, progGetInfoByFd(xdp).id);
  assertEquals(mapGetInfoByFd(own.fd(objGet(pins.pin("map")))).id, mapGetInfoByFd(array).id);
});
claim(
  "objPin: also: removing the file drops that reference, and a link ends soon if it was the last",
  bpffs,
  async (own) => {
    const it = linkCreate(load.iterator(own), 0, "trace_iter"), { id } = linkGetInfoByFd(it), pin = free(own);
    objPin(it, pin);
    close(it);
    Deno.removeSync(pin);
    await assertGone(id);
  },
);
claim("objPin: also: removing the file changes nothing while an fd is open", bpffs, (own) => {
  const it = link.iterator(own), pin = free(own);
  objPin(it, pin);
  Deno.removeSync(pin);
  assertEquals(linkGetInfoByFd(it).type, "iter");
});
claim("objPin: needs no capability, only write permission in the directory", unprivilegedBpffs, async (own) => {
  const pin = pinned(own);
  assertEquals(await unprivileged(`objPin(it, "${pin}2")`, `const it = objGet("${pin}")`), "ok");
});
misuse("objPin: TypeError, `path` is empty or has a NUL", () => objPin(3, ""), () => objPin(3, "/a\0b"));
misuse("objPin: RangeError, `fd` is no fd", () => objPin(-1, "/x"));
refusal("objPin: EINVAL, `fd` is not open", bpffs, (own) => objPin(NO_FD, free(own)));
refusal("objPin: EINVAL, `fd` is no link, program or map", bpffs, (own) => objPin(own.file(), free(own)));
refusal("objPin: EEXIST, `path` exists", bpffs, (own) => objPin(load.xdp(own), pinned(own)));
refusal("objPin: EPERM, `path` lies on no bpf file system", {}, (own) => {
  const directory = Deno.makeTempDirSync();
  own.defer(() => Deno.removeSync(directory));
  objPin(load.xdp(own), `${directory}/x`);
});
refusal(
  "objPin: EPERM, its name has a dot",
  bpffs,
  (own) => objPin(load.xdp(own), own.use(new PinDirectory()).pin("a.b")),
);
claim("objPin: EACCES, the directory may not be written", unprivilegedBpffs, async (own) => {
  const pin = pinned(own), pins = own.use(new PinDirectory());
  Deno.chmodSync(pins.path, 0o500);
  assertEquals(await unprivileged(`objPin(it, "${pins.pin("y")}")`, `const it = objGet("${pin}")`), "EACCES");
});
refusal(
  "objPin: ENOENT, the directory does not exist",
  bpffs,
  (own) => objPin(load.xdp(own), `${own.use(new PinDirectory()).path}/none/x`),
);
refusal("objPin: ENOTDIR, a part of the path is no directory", {}, (own) => objPin(load.xdp(own), "/dev/null/x"));
refusal(
  "objPin: ENAMETOOLONG, a name has more than 255 bytes",
  bpffs,
  (own) => objPin(load.xdp(own), own.use(new PinDirectory()).pin("x".repeat(256))),
);
claim(
  "objPin: a name may have 255 bytes",
  bpffs,
  (own) => objPin(load.xdp(own), own.use(new PinDirectory()).pin("x".repeat(255))),
);
refusal("objPin: EROFS, the file system is mounted read-only", bpffs, (own) => {
  const path = Deno.makeTempDirSync();
  own.defer(() => Deno.removeSync(path));
  run("mount", "-t", "bpf", "-o", "ro", "bpf", path);
  own.defer(() => run("umount", path));
  objPin(load.xdp(own), `${path}/x`);
});

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

// ---- objGet

claim("objGet: also: opens what is pinned at a path, close-on-exec", bpffs, (own) => {
  const it = link.iterator(own), pin = free(own);
  objPin(it, pin);
  const again = own.fd(objGet(pin));
  assertEquals([linkGetInfoByFd(again).id, isCloseOnExec(again)], [linkGetInfoByFd(it).id, true]);
});
claim("objGet: needs no capability, only read and write permission on the file", unprivilegedBpffs, async (own) => {
  const pin = pinned(own);
  Deno.chmodSync(pin, 0o600);
  assertEquals(await unprivileged(`objGet("${pin}")`), "ok");
});
claim("objGet: EACCES, it may not be read and written", unprivilegedBpffs, async (own) => {
  const pin = pinned(own);
  for (const mode of [0o400, 0o200]) {
    Deno.chmodSync(pin, mode);
    assertEquals(await unprivileged(`objGet("${pin}")`), "EACCES");
  }
});
claim("objGet: maps with BPF_F_RDONLY (8) or BPF_F_WRONLY (16)", bpffs, (own) => {
  const pin = free(own);
  objPin(map(own, "array"), pin);
  const [reading, writing] = [own.fd(objGet(pin, 8)), own.fd(objGet(pin, 16))];
  mapLookupElem(reading, FIRST);
  mapUpdateElem(writing, FIRST, FIRST);
  assertEquals(outcomeSync(() => mapUpdateElem(reading, FIRST, FIRST)), "EPERM");
  assertEquals(outcomeSync(() => mapLookupElem(writing, FIRST)), "EPERM");
});
misuse("objGet: TypeError, `path` is empty or has a NUL", () => objGet(""), () => objGet("/a\0b"));
misuse(
  "objGet: RangeError, `fileFlags` is no unsigned 32-bit number",
  () => objGet("/x", -1),
  () => objGet("/x", 2 ** 32),
);
refusal("objGet: ENOENT, there is no such file", bpffs, (own) => objGet(free(own)));
refusal("objGet: EACCES, it is no pin", {}, () => objGet("/dev/null"));
refusal("objGet: EACCES, it is a directory", bpffs, () => objGet(ownBpffs()!));
refusal("objGet: ENOTDIR, a part of the path is no directory", {}, () => objGet("/dev/null/x"));
refusal("objGet: EINVAL, flags on a link", bpffs, (own) => objGet(pinned(own), 8));
refusal("objGet: EINVAL, unknown flags", bpffs, (own) => {
  const pin = free(own);
  objPin(map(own, "array"), pin);
  return objGet(pin, 1);
});
claim("objGet: EMFILE, the process has too many open files", bpffs, async (own) => {
  assertEquals(await exhausted(`objGet("${pinned(own)}")`), "EMFILE");
});
