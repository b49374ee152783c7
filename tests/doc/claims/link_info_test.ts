/** What the doc comments of lib/sys/link_info.ts say. */
import { assert, assertEquals } from "@std/assert";
import {
  linkCreate,
  linkDetach,
  linkGetInfoByFd,
  objPin,
  perfEventOpen,
  progGetInfoByFd,
} from "../../../lib/sys/mod.ts";
import { probeType } from "../../../lib/sys/perf_event.ts";
import type { BpfLinkInfo } from "../../../lib/sys/type/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { link, load, map, program } from "../../fixture/program/sys_objects.ts";
import { claim, inChild, misuse, NO_FD, type Own, refusal, WITHOUT_CAPABILITIES } from "../../fixture/run/claims.ts";

claim("linkGetInfoByFd: returns its info", {}, (own) => {
  const program = load.tracepoint(own), { id, ...info } = linkGetInfoByFd(link.tracepoint(own, program));
  assert(id > 0);
  const { tpName, progId } = info as Extract<BpfLinkInfo, { type: "raw_tracepoint" }>;
  assertEquals([info.type, tpName, progId], ["raw_tracepoint", "oom_score_adj_update", progGetInfoByFd(program).id]);
});
claim("linkGetInfoByFd: can be read from detached links too", { needs: ["netns"] }, (own) => {
  const it = link.lookup(own), { id, progId } = linkGetInfoByFd(it);
  linkDetach(it);
  assertEquals(linkGetInfoByFd(it), { type: "netns", id, progId, netnsIno: 0, attachType: "sk_lookup" });
});
claim("linkGetInfoByFd: also: a detached link has 0 in mapId", { since: "6.10" }, (own) => {
  const it = link.message(own);
  linkDetach(it);
  assertEquals((linkGetInfoByFd(it) as { mapId: number }).mapId, 0);
});
claim(
  "linkGetInfoByFd: names and arrays are asked for as often as needed to have them whole",
  { since: "6.8" },
  (own) => {
    const directory = Deno.makeTempDirSync();
    own.defer(() => Deno.removeSync(directory, { recursive: true }));
    const path = `${directory}/${"x".repeat(200)}/${"y".repeat(200)}/${"z".repeat(200)}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, new Uint8Array(2 ** 21)); // nobody runs it
    const offsets = Array.from({ length: 300 }, (_, i) => 0x100_000n + BigInt(i) * 16n);
    const info = linkGetInfoByFd(link.uprobes(own, load.uprobes(own), path, offsets));
    assert(info.type === "uprobe_multi");
    assertEquals([info.path, info.places.map(({ offset }) => offset)], [Deno.realPathSync(path), offsets]);
  },
);
claim(
  "linkGetInfoByFd: needs no capability, only the fd",
  { needs: ["bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const it = link.iterator(own), pin = own.use(new PinDirectory()).pin("x");
    objPin(it, pin);
    const told = await inChild(WITHOUT_CAPABILITIES, `console.log(Deno.inspect(linkGetInfoByFd(objGet("${pin}"))))`);
    assertEquals(told, Deno.inspect(linkGetInfoByFd(it), { colors: false }));
  },
);
claim("linkGetInfoByFd: addresses are 0n for callers that may not read kernel symbols", {
  needs: ["bpffs", "setpriv", "kprobe"],
  since: "6.6",
}, async (own) => {
  const { type } = probeType("kprobe"), event = own.fd(perfEventOpen({ type, config: 0n, config1: "vfs_read" }, -1, 0));
  const it = own.fd(linkCreate(program(own, "kprobe", 0), event, "perf_event")),
    pin = own.use(new PinDirectory()).pin("x");
  objPin(it, pin);
  const info = linkGetInfoByFd(it);
  assert("addr" in info && info.addr > 0n);
  assertEquals(await inChild(WITHOUT_CAPABILITIES, `console.log(linkGetInfoByFd(objGet("${pin}")).addr)`), "0n");
});
misuse("linkGetInfoByFd: RangeError, `linkFd` is no fd", () => linkGetInfoByFd(-1));
refusal("linkGetInfoByFd: EBADFD, `linkFd` is not open", {}, () => linkGetInfoByFd(NO_FD));
refusal("linkGetInfoByFd: EINVAL, `linkFd` is no object of bpf", {}, (own) => void linkGetInfoByFd(own.file()));
for (const type of ["hash", "array"] as const) {
  refusal(
    `linkGetInfoByFd: EINVAL, a map whose type (${type}) has the number of a link type with names`,
    {},
    (own) => void linkGetInfoByFd(map(own, type)),
  );
}
claim("linkGetInfoByFd: also: other programs and maps are misread", {}, (own: Own) => {
  assertEquals(linkGetInfoByFd(load.xdp(own)).type, "xdp");
});
