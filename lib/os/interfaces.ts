/** Network interfaces and namespaces: names, numbers, and which XDP programs an interface runs. */
import { checkInteger, checkString, kindOf, printable } from "../check.ts";
import { Call } from "../ffi/symbols.ts";
import { ARGS, Request, system } from "../ffi/request.ts";
import { checked, plain, type Refusals, refused } from "../refusal.ts";
import { XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import { EINVAL, ENOTTY } from "../uapi/errno.ts";
import { ifinfomsg, nlattr, nlmsgerr, nlmsghdr } from "../uapi/layout.ts";
import {
  AF_NETLINK,
  AF_UNIX,
  CLONE_NEWNET,
  IFLA_XDP,
  IFNAMSIZ,
  IFREQ_SIZE,
  NLA_TYPE_MASK,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  NS_GET_NSTYPE,
  O_CLOEXEC,
  RTM_GETLINK,
  SIOCGIFINDEX,
  SIOCGIFNAME,
  SOCK_DGRAM,
  SOCK_RAW,
} from "../uapi/linux.ts";
import { close, read, readTextFile, statPath, write } from "./files.ts";

/** An XDP program of an interface. */
export interface QueriedXdp {
  /** Its id. */
  readonly progId: number;
  /** Who runs it: XDP_FLAGS_SKB_MODE (2), DRV_MODE (4) or HW_MODE (8). */
  readonly mode: number;
}

const BODY = nlmsghdr.sizeof, HEADERS = BODY + ifinfomsg.sizeof;

/** Attributes in IFLA_XDP that have an id of a program, in the order in which a packet meets the programs. */
const MODES: readonly (readonly [attribute: number, mode: number])[] = [
  [7, XDP_FLAGS_HW_MODE],
  [5, XDP_FLAGS_DRV_MODE],
  [6, XDP_FLAGS_SKB_MODE],
];

/** What errnos of a question to rtnetlink mean. */
const QUERY: Refusals = {
  command: "RTM_GETLINK",
  rows: { ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] },
};

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
      throw refused(answer.getInt32(BODY + nlmsgerr.error, true), QUERY, `Cannot query interface ${ifindex}`);
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

/** What errnos of entering a network namespace mean. */
const SETNS: Refusals = {
  command: "setns",
  rows: {
    EBADF: ["invalid", "the fd is not open"],
    EINVAL: ["invalid", "the file is no network namespace", "name a file such as /proc/PID/ns/net or /run/netns/NAME"],
    EPERM: [
      "capability",
      "entering another network namespace needs CAP_SYS_ADMIN",
      "run as root, or give the process it",
    ],
  },
};

/** Refuses an fd that is no network namespace; calls that go there could not say what was wrong. */
export function checkNetns(fd: number, name: string): void {
  const type = system(Call.ioctl, [fd, NS_GET_NSTYPE]);
  if (type === CLONE_NEWNET) return;
  // ENOTTY: it is no namespace; another type: it is one, of another kind
  throw refused(type < 0 && type !== -ENOTTY ? type : -EINVAL, SETNS, `Cannot enter ${name}`);
}

const encoder = new TextEncoder();

/** What errnos of looking up an interface mean. */
const LOOK_UP: Refusals = {
  command: "ioctl",
  rows: { ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] },
};

/** The number of the interface called `name` in a network namespace (an fd; the caller's own if absent). */
function interfaceIndex(name: string, netns?: number): number {
  const bytes = encoder.encode(name);
  const request = interfaceRequest(SIOCGIFINDEX, netns);
  request.bytes(ARGS, bytes.length).set(bytes);
  const result = request.system(Call.ioctl);
  checked(result, LOOK_UP, () => `Cannot find interface "${name}"`);
  return request.getU32(ARGS + IFNAMSIZ);
}

/** An interface's name or number, before anything is asked of the kernel. */
export function checkDevice(device: unknown): string | number {
  if (typeof device === "number") return checkInteger(device, "device", 1, 0x7fffffff);
  if (typeof device !== "string") {
    throw new TypeError(`device must be the name or number of an interface, not ${kindOf(device)}`);
  }
  if (encoder.encode(checkString(device, "device")).length < IFNAMSIZ) return device;
  throw new RangeError(`device must be a name of at most ${IFNAMSIZ - 1} bytes, not "${printable(device)}"`);
}

/** The number of a device, which is looked up if it is a name. */
export function deviceIndex(device: string | number, netns?: number): number {
  const checked = checkDevice(device);
  return typeof checked === "number" ? checked : interfaceIndex(checked, netns);
}

/** The name of the interface with this number in the caller's own network namespace, if there is one. */
export function interfaceName(index: number): string | undefined {
  const request = interfaceRequest(SIOCGIFNAME).u32(ARGS + IFNAMSIZ, index);
  return request.system(Call.ioctl) < 0 ? undefined : request.getString(ARGS, IFNAMSIZ);
}

/** A socket, which answers for the network namespace that it was made in. */
export function openSocket(family: number, type: number, netns?: number): number {
  const socket = system(Call.socket, [family, type | O_CLOEXEC, 0], (r) => netns === undefined || r.netns(netns));
  if (socket >= 0) return socket;
  throw refused(socket, netns === undefined ? plain("socket") : SETNS, "Cannot open a socket");
}

/** An ioctl on a fresh socket. */
function interfaceRequest(command: number, netns?: number): Request {
  const socket = openSocket(AF_UNIX, SOCK_DGRAM, netns);
  const request = new Request(ARGS, 128).u64(0, BigInt(socket)).u64(8, BigInt(command)).own(socket);
  request.room(16, IFREQ_SIZE);
  return request;
}

/** The names of the interfaces in the own network namespace. */
export function interfaceNames(): string[] {
  // two lines of headings, then: "  eth0: 1 2 3"
  return readTextFile("/proc/thread-self/net/dev").split("\n").slice(2).filter(Boolean)
    .map((line) => line.slice(0, line.indexOf(":")).trim());
}

/** The own network namespace, as a file. */
export const OWN_NETNS = "/proc/thread-self/ns/net";

/** The inode number of the own network namespace. */
export function ownNetns(): number {
  return Number(statPath(OWN_NETNS).inode);
}
