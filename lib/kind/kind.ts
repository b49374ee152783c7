/** What every kind of target has in common. */
import type { AttachType } from "../uapi/types.ts";

/** What every link's info has. */
export interface LinkInfoBase {
  /** The id, which the kernel gives once (until it has counted to 2 ** 31). */
  id: number;
  /** The id of the program; absent for struct_ops links, which hold a map. */
  programId?: number;
  /** Whether it is attached; absent where the kernel cannot tell. */
  attached?: boolean;
}

/** A link that is to hold something else. */
export interface UpdatedLink {
  readonly fd: number;
  /** As what the program is attached, where the type has several. */
  readonly attachType: AttachType | undefined;
}
