/** Links to many functions of the kernel at once. They are only read here: linkCreate() of `sys` makes them. */
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import type { AttachType } from "../uapi/constants.ts";
import type { LinkInfoBase, LinkKind } from "./kind.ts";

/** Info of a link to many functions. */
export interface TracingMultiInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "tracing_multi";
  /** As what the program is attached. */
  attachType: AttachType;
  /** How many functions. */
  count: number;
  /** The id of the BTF object, of the kernel or a module, that has the functions. */
  btfObjectId: number;
  /** The functions. */
  functions: {
    /** The id in the BTF object. */
    btfId: number;
    /** The address; absent for callers that may not read kernel symbols. */
    address?: bigint;
    /** The cookie; 0n if none was given. */
    cookie?: bigint;
  }[];
}

function read(
  { id, progId, attachType, btfObjId, functions }: Extract<BpfLinkInfo, { type: "tracing_multi" }>,
): TracingMultiInfo {
  return {
    type: "tracing_multi",
    id,
    programId: progId,
    attachType,
    count: functions.length,
    btfObjectId: btfObjId,
    functions: functions.map(({ id, addr, cookie }) => ({
      btfId: id,
      ...addr === 0n ? {} : { address: addr },
      cookie,
    })),
  };
}

/** Links to many functions. They are only read here: linkCreate() of `sys` makes them. */
export const tracing_multi: LinkKind<"tracing_multi", TracingMultiInfo> = {
  read,
  where: ({ attachType, count }) => `${attachType} ${count} functions`,
};
