/** What is special about links to maps of sockets. */
import { assertEquals } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfMap, Link, type Program } from "../../../mod.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { messageJudge, rows, sockmap } from "../refusal/rows.ts";

const SINCE = { since: "6.10" } as const;

kernelTest("sockmap: a place of a map takes one link until that is detached, and the others stay free", SINCE, () => {
  using own = new DisposableStack();
  const map = sockmap(own), message = own.use(messageJudge()), stream = own.use(streamJudge());
  using first = Link.attach(message, { type: "sockmap", map });
  using other = Link.attach(stream, { type: "sockmap", map });
  assertEquals([first, other].map((link) => link.info().attachType), ["sk_msg_verdict", "sk_skb_stream_verdict"]);
  using next = messageJudge();
  assertEquals(attachRefusal(next, { type: "sockmap", map }), ["EBUSY", "busy"]);
  first.detach();
  using second = Link.attach(next, { type: "sockmap", map });
  assertEquals([second.info().mapId, other.attached()], [map.id, true]);
});

kernelTest("sockmap: the map lives as long as its link is attached", SINCE, () => {
  using own = new DisposableStack();
  const map = sockmap(own), { id } = map;
  using link = Link.attach(own.use(messageJudge()), { type: "sockmap", map });
  map.close();
  BpfMap.open(id).close();
  assertEquals(link.info().mapId, id);
});

const streamJudge = (): Program => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_stream_verdict" });
const bufferJudge = (): Program => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_verdict" });

rows(
  SINCE,
  [
    "a map of another type",
    (own) => {
      const array = own.use(BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 }));
      return linkCreate(own.use(messageJudge()).fd, array.fd, "sk_msg_verdict");
    },
    "LINK_CREATE EINVAL invalid",
    /no sockmap or sockhash/,
  ],
  [
    "another link there",
    (own) => {
      const map = sockmap(own), program = own.use(messageJudge());
      own.use(Link.attach(program, { type: "sockmap", map }));
      return Link.attach(program, { type: "sockmap", map });
    },
    "LINK_CREATE EBUSY busy",
    /program \d+ holds sk_msg_verdict of map \d+ by another link/,
  ],
  [
    "the other verdict in use",
    (own) => {
      const map = sockmap(own);
      own.use(Link.attach(own.use(streamJudge()), { type: "sockmap", map }));
      return Link.attach(own.use(bufferJudge()), { type: "sockmap", map });
    },
    "LINK_CREATE EBUSY busy",
    /program \d+ holds sk_skb_stream_verdict of map \d+, which excludes sk_skb_verdict/,
  ],
);
