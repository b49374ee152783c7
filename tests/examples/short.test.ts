/**
 * Tests a program by hand and attached, and that each test ends all that it made:
 * `OBJECT=short.bpf.o deno test --allow-ffi --allow-env=OBJECT short.test.ts`.
 */
import { assertEquals } from "@std/assert";
import { Link, openHandles } from "@bpf/link";
import { BpfObject } from "@bpf/link/object";

const file = Deno.env.get("OBJECT")!;
Link.traceLeaks = true; // a handle that is left says where it was made
let before: readonly unknown[];
Deno.test.beforeEach(() => {
  before = openHandles();
});
Deno.test.afterEach(() => assertEquals(openHandles(), before));

Deno.test("short packets are dropped", () => {
  using object = BpfObject.load(file, { globals: { minimum: 100 } });
  const verdicts = [99, 100].map((size) =>
    object.program("drop_short").run({ data: new Uint8Array(size) }).returnValue
  );
  assertEquals(verdicts, [1, 2]); // XDP_DROP, XDP_PASS
  assertEquals(object.globals.dropped, 1n);
});

Deno.test("its link ends with its scope", async () => {
  using object = BpfObject.load(file);
  const link = await object.attachAsync("drop_short", { device: "lo", mode: "generic" });
  const { id } = link;
  await link.closeAsync();
  assertEquals(Link.list({ types: ["xdp"] }).filter((info) => info.id === id), []);
});
