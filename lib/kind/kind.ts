/** What every kind of target has in common. */

/** What every link's info has. */
export interface LinkInfoBase {
  /** The id, which the kernel gives once (until it has counted to 2 ** 31). */
  id: number;
  /** The id of the program; absent for struct_ops links, which hold a map. */
  programId?: number;
  /** Whether it is attached; absent where the kernel cannot tell. */
  attached?: boolean;
}
