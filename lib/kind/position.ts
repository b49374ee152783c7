/** Where among the programs of a hook a link goes, as a value. */
import { checkKeys, checkU32, checkU64, kindOf } from "../check.ts";
import { describeValue, isHandle } from "../handle/brand.ts";
import type { AnyLink, Link } from "../link.ts";
import type { Program } from "../program.ts";
import type { RelativeOptions } from "../sys/type/mprog.ts";
import { BPF_F_AFTER, BPF_F_BEFORE, BPF_F_ID, BPF_F_LINK } from "../uapi/constants.ts";

/** A link to stand beside, by handle or by id. */
export type LinkAnchor = AnyLink | Link | {
  /** The id of the link. */
  linkId: number;
};

/** A link or a program to stand beside, by handle or by id. */
export type Anchor = LinkAnchor | Program | {
  /** The id of the program. */
  programId: number;
};

/** A place among the programs of a hook, which run from first to last. */
export type Position<A = Anchor> = "first" | "last" | {
  /** What comes directly after. */
  before: A;
} | {
  /** What comes directly before. */
  after: A;
};

const FORMS = '"first", "last", { before: … } or { after: … }';

/** The flags and the anchor of LINK_CREATE for a position. */
interface Encoded {
  readonly flags: number;
  readonly relative: RelativeOptions | undefined;
}
const LAST: Encoded = { flags: 0, relative: undefined };

/** Checks a position and encodes it. */
export function encodePosition(
  position: Position | undefined,
  expectedRevision: bigint | undefined,
  anchors: "links" | "links and programs",
): Encoded {
  return position === undefined && expectedRevision === undefined ? LAST : encode(position, expectedRevision, anchors);
}

function encode(
  position: Position | undefined,
  expectedRevision: bigint | undefined,
  anchors: "links" | "links and programs",
): Encoded {
  if (expectedRevision !== undefined && checkU64(expectedRevision, "target.expectedRevision") === 0n) {
    throw new RangeError('target.expectedRevision must not be 0n, which the kernel takes for "unchecked"');
  }
  const revision = expectedRevision === undefined ? undefined : { expectedRevision };
  // the kernel appends by default, also on kernels without positions
  if (position === undefined || position === "last") return { flags: 0, relative: revision };
  if (position === "first") return { flags: BPF_F_BEFORE, relative: revision };
  if (typeof position !== "object" || position === null) {
    throw new TypeError(
      `target.position must be ${FORMS}, not ${typeof position === "string" ? `"${position}"` : kindOf(position)}`,
    );
  }
  checkKeys(position, "target.position", ["before", "after"]);
  const { before, after } = position as { before?: Anchor; after?: Anchor };
  if ((before === undefined) === (after === undefined)) throw new TypeError(`target.position must be ${FORMS}`);
  const side = after === undefined ? BPF_F_BEFORE : BPF_F_AFTER;
  const { flags, ...relative } = encodeAnchor(before ?? after, anchors);
  return { flags: side | flags, relative: { ...relative, ...revision } };
}

function encodeAnchor(anchor: unknown, anchors: "links" | "links and programs"): RelativeOptions & { flags: number } {
  const name = "the anchor of target.position";
  const forms = anchors === "links" ? "a Link or { linkId }" : "a Link, a Program, { linkId } or { programId }";
  if (typeof anchor !== "object" || anchor === null) {
    throw new TypeError(`${name} must be ${forms}, not ${kindOf(anchor)}`);
  }
  if ("linkId" in anchor) {
    checkKeys(anchor, name, ["linkId"]);
    return { relativeId: checkU32(anchor.linkId, `${name}.linkId`), flags: BPF_F_LINK | BPF_F_ID };
  }
  if (isHandle(anchor, "link")) return { relativeFd: (anchor as Link).fd, flags: BPF_F_LINK };
  if (anchors === "links") {
    const given = describeValue(anchor);
    throw new TypeError(
      `${name} must be ${forms}, not ${given}: the kernel places links of a cgroup relative to links only`,
    );
  }
  if ("programId" in anchor) {
    checkKeys(anchor, name, ["programId"]);
    return { relativeId: checkU32(anchor.programId, `${name}.programId`), flags: BPF_F_ID };
  }
  if (isHandle(anchor, "program")) return { relativeFd: (anchor as Program).fd, flags: 0 };
  throw new TypeError(`${name} must be ${forms}, not ${describeValue(anchor)}`);
}
