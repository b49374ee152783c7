/** The one question that bpf(2) does not answer: which XDP programs an interface runs. */
import { refusal } from "../hint.ts";
import { XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import { ifinfomsg, nlattr, nlmsgerr, nlmsghdr } from "../uapi/layout.ts";
import { close, openSocket, read, write } from "./system.ts";

/** An XDP program of an interface. */
export interface QueriedXdp {
  /** Its id. */
  readonly progId: number;
  /** Who runs it: XDP_FLAGS_SKB_MODE (2), DRV_MODE (4) or HW_MODE (8). */
  readonly mode: number;
}

const AF_NETLINK = 16, SOCK_RAW = 3;
const NLMSG_ERROR = 2, RTM_GETLINK = 18, NLM_F_REQUEST = 1;
const BODY = nlmsghdr.sizeof, HEADERS = BODY + ifinfomsg.sizeof;
const IFLA_XDP = 43, NLA_TYPE_MASK = 0x3fff;

/** Attributes in IFLA_XDP that have an id of a program, in the order in which a packet meets the programs. */
const MODES: readonly (readonly [attribute: number, mode: number])[] = [
  [7, XDP_FLAGS_HW_MODE],
  [5, XDP_FLAGS_DRV_MODE],
  [6, XDP_FLAGS_SKB_MODE],
];

/** The XDP programs of an interface in a network namespace (an fd; the caller's own if absent), one a mode at most. */
export function xdpQuery(ifindex: number, netns?: number): QueriedXdp[] {
  const question = new DataView(new ArrayBuffer(HEADERS));
  question.setUint32(nlmsghdr.nlmsg_len, HEADERS, true);
  question.setUint16(nlmsghdr.nlmsg_type, RTM_GETLINK, true);
  question.setUint16(nlmsghdr.nlmsg_flags, NLM_F_REQUEST, true);
  question.setInt32(BODY + ifinfomsg.ifi_index, ifindex, true);
  const socket = openSocket(AF_NETLINK, SOCK_RAW, netns);
  try {
    write(socket, new Uint8Array(question.buffer));
    const bytes = read(socket);
    const answer = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (answer.getUint16(nlmsghdr.nlmsg_type, true) === NLMSG_ERROR) {
      throw refusal(answer.getInt32(BODY + nlmsgerr.error, true), "RTM_GETLINK", `Cannot query interface ${ifindex}`);
    }
    const xdp = attributes(answer, HEADERS, answer.getUint32(nlmsghdr.nlmsg_len, true)).get(IFLA_XDP);
    const inside = xdp === undefined ? undefined : attributes(xdp, 0, xdp.byteLength);
    return MODES.flatMap(([attribute, mode]) => {
      const progId = inside?.get(attribute)?.getUint32(0, true);
      return progId === undefined ? [] : [{ progId, mode }];
    });
  } finally {
    close(socket);
  }
}

/** The attributes from `at` to `end`, by type: length and type, then the value, each padded to four bytes. */
function attributes(view: DataView, at: number, end: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  while (at + nlattr.sizeof <= end) {
    const length = view.getUint16(at + nlattr.nla_len, true);
    if (length < nlattr.sizeof || at + length > end) break;
    const type = view.getUint16(at + nlattr.nla_type, true) & NLA_TYPE_MASK;
    found.set(type, new DataView(view.buffer, view.byteOffset + at + nlattr.sizeof, length - nlattr.sizeof));
    at += (length + 3) & ~3;
  }
  return found;
}
