/** Network interfaces and namespaces: names, numbers, and which XDP programs an interface runs. */
import { checkInteger, checkString, kindOf, printable } from "../check.ts";
import { Call } from "../ffi/symbols.ts";
import { ARGS, Request, system } from "../ffi/request.ts";
import { decoder, encoder } from "../lazy.ts";
import { checked, plain, type Refusals, refused } from "../refusal.ts";
import { XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE } from "../uapi/constants.ts";
import { EINVAL, ENOTTY } from "../uapi/errno.ts";
import { ifinfomsg, nlattr, nlmsgerr, nlmsghdr } from "../uapi/layout.ts";
import {
  AF_NETLINK,
  AF_UNIX,
  ALTIFNAMSIZ,
  CLONE_NEWNET,
  IFLA_ALT_IFNAME,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINK_NETNSID,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NUM_RX_QUEUES,
  IFLA_NUM_TX_QUEUES,
  IFLA_XDP,
  IFNAMSIZ,
  IFREQ_SIZE,
  NLA_TYPE_MASK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NS_GET_NSTYPE,
  O_CLOEXEC,
  RTM_GETLINK,
  SIOCGIFINDEX,
  SIOCGIFNAME,
  SOCK_DGRAM,
  SOCK_RAW,
} from "../uapi/linux.ts";
import { closeIfOpen, read, readTextFile, statPath, write } from "./files.ts";

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
  rows: () => ({ ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] }),
};

/** The XDP programs of an interface in a network namespace (an fd; the caller's own if absent), one a mode at most. */
export function xdpQuery(ifindex: number, netns?: number): QueriedXdp[] {
  const [answer] = getLink({ ifindex }, netns, `Cannot query interface ${ifindex}`);
  return xdpIn(answer!.attributes);
}

function xdpIn(attributes: Attributes): QueriedXdp[] {
  const xdp = attributes.get(IFLA_XDP);
  const inside = xdp && attributesIn(xdp, 0, xdp.byteLength);
  return MODES.flatMap(([attribute, mode]) => {
    const progId = inside?.get(attribute)?.getUint32(0, true);
    return progId === undefined ? [] : [{ progId, mode }];
  });
}

/** An interface, and what explains a refusal there. */
export interface Interface {
  readonly ifindex: number;
  readonly name: string;
  readonly kind: string | undefined;
  /** The one that it is a part of: a bridge, a bond. */
  readonly master: number | undefined;
  /** The one that it is made of, or its other end, if that is in the same network namespace. */
  readonly link: number | undefined;
  readonly mtu: number;
  readonly rxQueues: number;
  readonly txQueues: number;
  readonly xdp: readonly QueriedXdp[];
}

/** The interfaces of a network namespace (an fd; the caller's own if absent). */
export function interfaces(netns?: number): Interface[] {
  return getLink(undefined, netns, "Cannot list interfaces").map(({ ifindex, attributes }) => {
    const number = (type: number) => attributes.get(type)?.getUint32(0, true);
    const info = attributes.get(IFLA_LINKINFO);
    return {
      ifindex,
      name: text(attributes.get(IFLA_IFNAME)) ?? "",
      kind: text(info && attributesIn(info, 0, info.byteLength).get(IFLA_INFO_KIND)),
      master: number(IFLA_MASTER),
      link: attributes.has(IFLA_LINK_NETNSID) ? undefined : number(IFLA_LINK),
      mtu: number(IFLA_MTU) ?? 0,
      rxQueues: number(IFLA_NUM_RX_QUEUES) ?? 0,
      txQueues: number(IFLA_NUM_TX_QUEUES) ?? 0,
      xdp: xdpIn(attributes),
    };
  });
}

function text(value: DataView | undefined): string | undefined {
  if (value === undefined) return undefined;
  return decoder().decode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)).replace(/\0.*$/s, "");
}

/** Values of a message by their type. */
type Attributes = ReadonlyMap<number, DataView>;

/** Asks rtnetlink about one interface, or without a question about all. */
function getLink(
  one: { readonly ifindex: number } | { readonly name: string } | undefined,
  netns: number | undefined,
  action: string,
): { ifindex: number; attributes: Attributes }[] {
  const name = one !== undefined && "name" in one ? encoder().encode(`${one.name}\0`) : undefined;
  const size = HEADERS + (name === undefined ? 0 : nlattr.sizeof + name.length);
  const question = new DataView(new ArrayBuffer((size + 3) & ~3));
  question.setUint32(nlmsghdr.nlmsg_len, size, true);
  question.setUint16(nlmsghdr.nlmsg_type, RTM_GETLINK, true);
  question.setUint16(nlmsghdr.nlmsg_flags, NLM_F_REQUEST | (one === undefined ? NLM_F_DUMP : 0), true);
  if (one !== undefined && "ifindex" in one) question.setInt32(BODY + ifinfomsg.ifi_index, one.ifindex, true);
  if (name !== undefined) {
    question.setUint16(HEADERS + nlattr.nla_len, nlattr.sizeof + name.length, true);
    question.setUint16(HEADERS + nlattr.nla_type, IFLA_ALT_IFNAME, true);
    new Uint8Array(question.buffer).set(name, HEADERS + nlattr.sizeof);
  }
  const links = [], socket = openSocket(AF_NETLINK, SOCK_RAW, netns);
  try {
    write(socket, new Uint8Array(question.buffer));
    for (;;) {
      const bytes = read(socket), answer = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at + BODY <= bytes.length;) {
        const length = answer.getUint32(at + nlmsghdr.nlmsg_len, true);
        const type = answer.getUint16(at + nlmsghdr.nlmsg_type, true);
        if (type === NLMSG_DONE) return links;
        if (type === NLMSG_ERROR) throw refused(answer.getInt32(at + BODY + nlmsgerr.error, true), QUERY, action);
        const ifindex = answer.getInt32(at + BODY + ifinfomsg.ifi_index, true);
        links.push({ ifindex, attributes: attributesIn(answer, at + HEADERS, at + length) });
        at += (length + 3) & ~3;
      }
      if (one !== undefined) return links;
    }
  } finally {
    closeIfOpen(socket);
  }
}

/** The attributes from `at` to `end`, by type: length and type, then the value, each padded to four bytes. */
function attributesIn(view: DataView, at: number, end: number): Map<number, DataView> {
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
  rows: () => ({
    EBADF: ["invalid", "the fd is not open", "a number is an fd; the namespace of a process is /proc/PID/ns/net"],
    EINVAL: ["invalid", "the file is no network namespace", "name a file such as /proc/PID/ns/net or /run/netns/NAME"],
    EPERM: [
      "capability",
      "entering another network namespace needs CAP_SYS_ADMIN",
      "run as root, or give the process it",
    ],
  }),
};

/** Refuses an fd that is no network namespace; calls that go there could not say what was wrong. */
export function checkNetns(fd: number, name: string): void {
  const type = system(Call.ioctl, [fd, NS_GET_NSTYPE]);
  if (type === CLONE_NEWNET) return;
  // ENOTTY: it is no namespace; another type: it is one, of another kind
  throw refused(type < 0 && type !== -ENOTTY ? type : -EINVAL, SETNS, `Cannot enter ${name}`);
}

/** What errnos of looking up an interface mean. */
const LOOK_UP: Refusals = {
  command: "ioctl",
  rows: () => ({ ENODEV: ["gone", "there is no such interface in this network namespace", "see `ip link`"] }),
};

/** The number of the interface called `name` in a network namespace (an fd; the caller's own if absent). */
function interfaceIndex(name: string, netns?: number): number {
  const bytes = encoder().encode(name);
  // ioctl(2) would cut a longer name, and take "eth0:1" for "eth0"
  if (bytes.length >= IFNAMSIZ || name.includes(":")) {
    return getLink({ name }, netns, `Cannot find interface "${name}"`)[0]!.ifindex;
  }
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
  if (encoder().encode(checkString(device, "device")).length < ALTIFNAMSIZ) return device;
  throw new RangeError(`device must be a name of at most ${ALTIFNAMSIZ - 1} bytes, not "${printable(device)}"`);
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
