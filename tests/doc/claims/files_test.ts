/** What the doc comments of the calls in lib/os/files.ts say. */
import { assert, assertEquals } from "@std/assert";
import { duplicateFd } from "../../../lib/os/files.ts";
import {
  close,
  closeAsync,
  linkCreate,
  linkGetFdById,
  linkGetInfoByFd,
  open,
  progQuery,
} from "../../../lib/sys/mod.ts";
import { load, netns } from "../../fixture/program/sys_objects.ts";
import { claim, exhausted, isCloseOnExec, misuse, NO_FD, refusal, unprivileged } from "../../fixture/run/claims.ts";

const isAttached = (fd: number) => progQuery(fd, "sk_lookup").progs.length > 0;

// ---- close, closeAsync

claim("close: the last reference to a link that is not pinned detaches it before the call returns", {
  needs: ["netns"],
}, (own) => {
  const here = netns(own), program = load.lookup(own);
  for (let i = 0; i < 100; i++) {
    const it = linkCreate(program, here, "sk_lookup");
    assert(isAttached(here));
    close(it);
    assert(!isAttached(here));
  }
});
claim("close: also: duplicates and other fds each hold a reference", { needs: ["netns"] }, (own) => {
  const here = netns(own), it = linkCreate(load.lookup(own), here, "sk_lookup");
  const copy = duplicateFd(it), looker = linkGetFdById(linkGetInfoByFd(it).id);
  for (const fd of [it, copy]) {
    close(fd);
    assert(isAttached(here));
  }
  close(looker);
  assert(!isAttached(here));
});
misuse("close: RangeError, `fd` is no fd", () => close(-1));
refusal("close: EBADF, `fd` is not open", {}, () => close(NO_FD));
claim(
  "close: needs no privilege",
  { needs: ["setpriv"] },
  async () => assertEquals(await unprivileged('close(open("/dev/null"))'), "ok"),
);

claim("closeAsync: a promise that is settled when the fd is closed", { needs: ["netns"] }, async (own) => {
  const here = netns(own), it = linkCreate(load.lookup(own), here, "sk_lookup");
  await closeAsync(it);
  assert(!isAttached(here));
});
refusal("closeAsync: EBADF, as close", {}, () => closeAsync(NO_FD));
misuse("closeAsync: RangeError, as close", async () => await closeAsync(-1));

// ---- open

claim("open: O_RDONLY by default, O_CLOEXEC always", {}, (own) => {
  const O_PATH = 0o10000000;
  for (const fd of [own.file(), own.fd(open("/dev/null", O_PATH))]) assert(isCloseOnExec(fd));
});
claim(
  "open: needs no capability, only permission on the file",
  { needs: ["setpriv"] },
  async () => assertEquals(await unprivileged('open("/proc/self/ns/net")'), "ok"),
);
misuse("open: TypeError, `path` is empty or has a NUL", () => open(""), () => open("/a\0b"));
misuse("open: RangeError, `flags` is no unsigned 32-bit number", () => open("/dev/null", -1));
refusal("open: ENOENT, there is no such file", {}, () => open("/none"));
claim("open: EACCES, it may not be read", { needs: ["setpriv"] }, async (own) => {
  const path = Deno.makeTempFileSync({ dir: "/tmp" });
  own.defer(() => Deno.removeSync(path));
  Deno.chmodSync(path, 0);
  assertEquals(await unprivileged(`open("${path}")`), "EACCES");
});
claim("open: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted('open("/dev/null")'), "EMFILE");
});
