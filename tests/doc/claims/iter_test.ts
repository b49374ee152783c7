/** What the doc comments of lib/sys/iter.ts say. */
import { assert, assertEquals } from "@std/assert";
import { read } from "../../../lib/os/files.ts";
import { close, iterCreate, linkCreate, linkUpdate, objPin } from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { taskIterator } from "../../fixture/program/programs.ts";
import { link, load } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  isCloseOnExec,
  misuse,
  NO_FD,
  type Own,
  refusal,
  unprivileged,
} from "../../fixture/run/claims.ts";

/** A link of an iterator that writes a letter for each task. */
const writing = (own: Own, letter: string) => own.fd(linkCreate(own.use(taskIterator(letter)).fd, 0, "trace_iter"));

/** All that a run writes. */
function text(fd: number): string {
  let text = "";
  for (let bytes; (bytes = read(fd)).length > 0;) text += new TextDecoder().decode(bytes);
  return text;
}

claim("iterCreate: reading the fd makes the program walk its objects and returns what it writes", {}, (own) => {
  assert(/^x{2,}$/.test(text(own.fd(iterCreate(writing(own, "x"))))));
});
claim("iterCreate: each fd is a run of its own, from the first object", {}, (own) => {
  const it = writing(own, "x"), first = own.fd(iterCreate(it));
  assert(text(first).length > 2);
  assert(text(own.fd(iterCreate(it))).length > 2);
  assertEquals(text(first), "");
});
claim("iterCreate: a run keeps the program that the link had when it was started, also after an update", {}, (own) => {
  const it = writing(own, "x"), old = own.fd(iterCreate(it));
  linkUpdate(it, own.use(taskIterator("y")).fd);
  assert(/^x+$/.test(text(old)));
  assert(/^y+$/.test(text(own.fd(iterCreate(it)))));
});
claim("iterCreate: and after the link ended", {}, (own) => {
  const it = linkCreate(own.use(taskIterator("x")).fd, 0, "trace_iter"), run = own.fd(iterCreate(it));
  close(it);
  assert(/^x+$/.test(text(run)));
});
claim(
  "iterCreate: needs no capability, only the link's fd",
  { needs: ["bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const pin = own.use(new PinDirectory()).pin("x");
    objPin(link.iterator(own), pin);
    assertEquals(await unprivileged("iterCreate(it)", `const it = objGet("${pin}")`), "ok");
  },
);
claim("iterCreate: returns an fd that is close-on-exec", {}, (own) => {
  assert(isCloseOnExec(own.fd(iterCreate(link.iterator(own)))));
});
misuse("iterCreate: RangeError, `linkFd` is no fd", () => iterCreate(-1));
refusal("iterCreate: EBADF, `linkFd` is not open", {}, () => iterCreate(NO_FD));
refusal("iterCreate: EINVAL, `linkFd` is no link", {}, (own) => iterCreate(load.xdp(own)));
refusal("iterCreate: EINVAL, `linkFd` is a link of another type", {}, (own) => iterCreate(link.tracepoint(own)));
claim("iterCreate: EMFILE, the process has too many open files", { needs: ["bpffs"] }, async (own) => {
  const pin = own.use(new PinDirectory()).pin("x");
  objPin(link.iterator(own), pin);
  assertEquals(await exhausted("iterCreate(it)", `const it = objGet("${pin}")`), "EMFILE");
});
