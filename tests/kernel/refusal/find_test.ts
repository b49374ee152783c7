/** What the errnos are said to mean of calls that find, read and pin what there is. */
import { assert } from "@std/assert";
import {
  enableStats,
  iterCreate,
  linkGetFdById,
  linkGetFdByIdOpts,
  linkGetInfoByFd,
  linkGetNextId,
  objGet,
  objPin,
  progGetFdById,
} from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { xdp } from "../../fixture/program/programs.ts";
import { ownBpffs } from "../../fixture/run/own.ts";
import { DEV_NULL, file, iterLink, NO_FD, rows, tracepointLink } from "./rows.ts";

rows(
  {},
  ["an id out of range", () => linkGetNextId(0x7fffffff), "LINK_GET_NEXT_ID EINVAL invalid", /out of range/],
  ["no id", () => linkGetFdById(0), "LINK_GET_FD_BY_ID ENOENT gone", /list the links again/],
  ["no such link", () => Link.open(0x7ffffff0), "LINK_GET_FD_BY_ID ENOENT gone", /list the links again/],
  [
    "flags",
    () => linkGetFdByIdOpts(1, { openFlags: 8 }),
    "LINK_GET_FD_BY_ID EINVAL invalid",
    /neither open flags nor a token/,
  ],
  [
    "a token",
    () => linkGetFdByIdOpts(1, { tokenFd: 5 }),
    "LINK_GET_FD_BY_ID EINVAL invalid",
    /neither open flags nor a token/,
  ],
  ["no such program", () => progGetFdById(0x7ffffff0), "PROG_GET_FD_BY_ID ENOENT gone", /unloaded/],
  ["a closed fd", () => linkGetInfoByFd(NO_FD), "OBJ_GET_INFO_BY_FD EBADFD invalid", /not open/],
  [
    "a device",
    (own) => linkGetInfoByFd(file(own, DEV_NULL)),
    "OBJ_GET_INFO_BY_FD EINVAL invalid",
    /no object of bpf/,
  ],
  ["a closed fd", () => iterCreate(NO_FD), "ITER_CREATE EBADF invalid", /not open/],
  ["no link", (own) => iterCreate(own.use(xdp()).fd), "ITER_CREATE EINVAL invalid", /no iter link/],
  ["another link", (own) => iterCreate(tracepointLink(own).fd), "ITER_CREATE EINVAL invalid", /no iter link/],
  ["statistics that no kernel has", () => enableStats(9), "ENABLE_STATS EINVAL invalid", /0 is the runs/],
);

rows(
  { needs: ["bpffs"] },
  [
    "a closed fd",
    (own) => objPin(NO_FD, own.use(new PinDirectory()).pin("x")),
    "OBJ_PIN EINVAL invalid",
    /closed/,
  ],
  [
    "no object of bpf",
    (own) => objPin(file(own, DEV_NULL), own.use(new PinDirectory()).pin("x")),
    "OBJ_PIN EINVAL invalid",
    /no object of bpf/,
  ],
  [
    "there already",
    (own) => {
      const path = own.use(new PinDirectory()).pin("x"), program = own.use(xdp());
      program.pin(path);
      program.pin(path);
    },
    "OBJ_PIN EEXIST exists",
    /another path/,
  ],
  [
    "no bpf file system",
    (own) => iterLink(own).pin("/tmp/bpf-link-test-pin"),
    "OBJ_PIN EPERM invalid",
    /no bpf file system/,
  ],
  [
    "a dot",
    (own) => iterLink(own).pin(own.use(new PinDirectory()).pin("a.b")),
    "OBJ_PIN EPERM invalid",
    /no dot/,
  ],
  [
    "no directory",
    (own) => iterLink(own).pin(`${own.use(new PinDirectory()).path}/none/x`),
    "OBJ_PIN ENOENT gone",
    /directory does not exist/,
  ],
  ["below a file", (own) => iterLink(own).pin("/dev/null/x"), "OBJ_PIN ENOTDIR invalid", /no directory/],
  [
    "a long name",
    (own) => iterLink(own).pin(own.use(new PinDirectory()).pin("x".repeat(256))),
    "OBJ_PIN ENAMETOOLONG invalid",
    /too long/,
  ],
  [
    "a file system that is read-only",
    (own) => {
      const path = Deno.makeTempDirSync();
      own.defer(() => Deno.removeSync(path));
      run("mount", "-t", "bpf", "-o", "ro", "bpf", path);
      own.defer(() => run("umount", path));
      iterLink(own).pin(`${path}/x`);
    },
    "OBJ_PIN EROFS policy",
    /read-only/,
  ],
  [
    "nothing there",
    () => Link.openPinned(`${ownBpffs()}/none`),
    "OBJ_GET ENOENT gone",
    /nothing is pinned there/,
  ],
  ["no pin", () => Link.openPinned(DEV_NULL), "OBJ_GET EACCES invalid", /no pin/],
  ["a directory", () => Link.openPinned(ownBpffs()!), "OBJ_GET EACCES invalid", /no pin/],
  ["below a file", () => Link.openPinned("/dev/null/x"), "OBJ_GET ENOTDIR invalid", /no directory/],
  [
    "a link, to be read only",
    (own) => {
      const path = own.use(new PinDirectory()).pin("x");
      iterLink(own).pin(path);
      return objGet(path, 8);
    },
    "OBJ_GET EINVAL invalid",
    /read-only or write-only/,
  ],
);

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}
