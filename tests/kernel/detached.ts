/** What holds for every link whose target is gone. */
import { assertEquals, assertThrows } from "@std/assert";
import { type AnyLink, BpfError, Link, type Program } from "../../mod.ts";

/** Fails if the kernel or the handle says otherwise; `rest` is what info tells of such a link besides. */
export async function assertDetached(link: AnyLink, program: Program, next: Program, rest: object): Promise<void> {
  assertEquals(link.attached(), false);
  const detached = { id: link.id, type: link.type, programId: program.id, attached: false, ...rest };
  assertEquals(link.info() as unknown, detached);
  for (const options of [undefined, { expected: program }]) {
    const error = assertThrows(() => link.update(next, options), BpfError);
    assertEquals([error.code, error.reason, error.hint !== undefined], ["ENOLINK", "gone", true]);
  }
  link.detach();
  await link.detachAsync();
  using byId = Link.open(link.id);
  assertEquals(byId.info() as unknown, detached);
  link.close();
}
