/** What is special about iter links: the text that their program writes. */
import { assertEquals } from "@std/assert";
import { BpfMap, Link } from "../../../mod.ts";
import { elementWriter } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";

const VALUE_SIZE = 8;

/** A link over a map of `maxEntries` elements, of which the last are `texts`. */
function linkOver(maxEntries: number, texts: readonly string[], stack: DisposableStack): Link<"iter"> {
  const map = stack.use(BpfMap.create({ type: "array", keySize: 4, valueSize: VALUE_SIZE, maxEntries }));
  texts.forEach((text, i) => {
    const key = new Uint8Array(new Uint32Array([maxEntries - texts.length + i]).buffer);
    map.update(key, new TextEncoder().encode(text));
  });
  return stack.use(Link.attach(stack.use(elementWriter(VALUE_SIZE)), { type: "iter", map }));
}

kernelTest("iter: lines are put together from what the program writes", {}, async () => {
  using stack = new DisposableStack();
  const link = linkOver(3, ["one\ntwo,", "three\nfo", "ur\nfive!"], stack);
  assertEquals(await Array.fromAsync(link.lines()), ["one", "two,three", "four", "five!"]);
  const begun = link.lines();
  assertEquals((await begun.next()).value, "one");
  link.close();
  assertEquals(await Array.fromAsync(begun), ["two,three", "four", "five!"]);
});

kernelTest("iter: reading goes on after a million objects of which nothing was written", {}, async () => {
  using stack = new DisposableStack();
  const link = linkOver(1_100_000, ["the end\n"], stack);
  assertEquals(new TextDecoder().decode(link.read()), "the end\n");
  assertEquals(await Array.fromAsync(link.lines()), ["the end"]);
});
