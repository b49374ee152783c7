/** The pins of a link's handle: who removes them, and when. */
import { assertEquals, assertThrows } from "@std/assert";
import { BpfError, Link } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { lifeTest } from "./life.ts";

lifeTest("onClose set by hand wins over pin()", (scene) => {
  using pins = new PinDirectory();
  const link = scene.attach();
  link.onClose = "detach";
  link.pin(pins.pin("link"));
  using other = Link.open(link.id);
  link.close();
  assertEquals(other.attached(), false);
  assertThrows(() => other.onClose = "never" as "keep", TypeError, "onClose");
}, ["bpffs"]);

lifeTest("a pin keeps the link, and detach() removes the pin that the handle made", (scene) => {
  using pins = new PinDirectory();
  {
    using link = scene.attach();
    link.pin(new URL(`file://${pins.pin("link")}`));
  }
  using opened = Link.openPinned(pins.pin("link"));
  assertEquals(opened.attached(), true);
  using made = scene.attach();
  made.pin(pins.pin("own"));
  made.detach();
  assertEquals([made.pinnedPath, pins.pins], [undefined, ["link"]]);
}, ["bpffs"]);

lifeTest("a handle that pins twice knows both pins", (scene) => {
  using pins = new PinDirectory();
  const link = scene.attach();
  for (const name of ["a", "b"]) link.pin(pins.pin(name));
  assertEquals(link.pinnedPath, pins.pin("b"));
  link.unpin();
  assertEquals([link.pinnedPath, link.onClose, pins.pins], [pins.pin("a"), "keep", ["a"]]);
  link.unpin();
  assertEquals([link.pinnedPath, link.onClose, pins.pins], [undefined, "detach", []]);
  for (const name of ["a", "b"]) link.pin(pins.pin(name));
  link.onClose = "detach";
  link.close();
  assertEquals(pins.pins, []);
}, ["bpffs"]);

lifeTest("a relative path means the same after a change of directory", (scene) => {
  using pins = new PinDirectory();
  const home = Deno.cwd();
  using made = scene.attach();
  Deno.chdir(pins.path);
  try {
    made.pin("a");
    made.pin("./sub/b", { makeDirectories: true });
    using opened = Link.openPinned("a");
    Deno.chdir(home);
    assertEquals([opened.pinnedPath, pins.pins], [pins.pin("a"), ["a", "sub"]]);
    made.detach();
    assertEquals([pins.pins, [...Deno.readDirSync(pins.pin("sub"))]], [["sub"], []]);
    assertThrows(() => opened.unpin(), BpfError, "any more");
  } finally {
    Deno.chdir(home);
  }
}, ["bpffs"]);

lifeTest("unpin() leaves a pin alone that is not the link's any more", (scene) => {
  using pins = new PinDirectory();
  const path = pins.pin("link");
  using link = scene.attach();
  link.pin(path);
  Deno.removeSync(path);
  using other = scene.attach();
  other.pin(path);
  assertThrows(() => link.unpin(), Error);
  assertEquals(pins.pins, ["link"]);
  other.unpin();
}, ["bpffs"]);
