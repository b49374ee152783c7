/** What is special about links to maps of sockets. */
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfMap, Link, type Program } from "../../../mod.ts";
import { answering } from "../../fixture/program/programs.ts";
import { messageJudge, rows, sockmap } from "../refusal/rows.ts";

const streamJudge = (): Program => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_stream_verdict" });
const bufferJudge = (): Program => answering(1, { type: "sk_skb", expectedAttachType: "sk_skb_verdict" });

rows(
  { since: "6.10" },
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
    /another link holds/,
  ],
  [
    "the other verdict in use",
    (own) => {
      const map = sockmap(own);
      own.use(Link.attach(own.use(streamJudge()), { type: "sockmap", map }));
      return Link.attach(own.use(bufferJudge()), { type: "sockmap", map });
    },
    "LINK_CREATE EBUSY busy",
    /exclude each other/,
  ],
);
