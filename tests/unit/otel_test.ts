/** Lists of expected links, and what publishing takes. */
import { assertEquals, assertThrows } from "@std/assert";
import { Expectations } from "../../lib/otel/expected.ts";
import { publishLinks, readExpected } from "../../lib/otel/mod.ts";

const ingress = { type: "tcx", place: "eth1 ingress", program: "guard" } as const;

for (
  const [expected, matches] of [
    [{ type: "tcx" }, true],
    [{ type: "xdp" }, false],
    [{ type: "tcx", place: "eth1 ingress" }, true],
    [{ type: "tcx", place: "eth1" }, false],
    [{ type: "tcx", place: "eth*" }, true],
    [{ type: "tcx", place: "*gress" }, true],
    [{ type: "tcx", place: "e.h1 ingress" }, false], // no regular expression
    [{ type: "tcx", program: "guard" }, true],
    [{ type: "tcx", program: "gu*d" }, true],
    [{ type: "tcx", program: "other" }, false],
    [{ type: "tcx", place: "eth0 *", program: "guard" }, false],
  ] as const
) {
  Deno.test(`expected: ${JSON.stringify(expected)} ${matches ? "is" : "is not"} a link`, () => {
    assertEquals(new Expectations([expected]).matching(ingress), matches ? [0] : []);
  });
}

Deno.test("expected: a link whose program may not be seen may be any, one without a name is not", () => {
  const expectations = new Expectations([{ type: "tcx", program: "guard" }, { type: "tcx", place: "eth2 *" }]);
  assertEquals(expectations.matching({ ...ingress, program: undefined }), [0]);
  assertEquals(expectations.matching({ ...ingress, program: "" }), []);
});

Deno.test("expected: a place may have any characters, lines too", () => {
  const expectations = new Expectations([{ type: "cgroup", place: "/a(b)[c]*" }]);
  assertEquals(expectations.matching({ type: "cgroup", place: "/a(b)[c]\n/d", program: "" }), [0]);
});

for (
  const [options, error, says] of [
    [{ every: 1 }, TypeError, 'options has no field "every"'],
    [{ expected: {} }, TypeError, "options.expected must be an array of links, not an object"],
    [{ expected: [{}] }, TypeError, "options.expected[0].type must be one of"],
    [{ expected: [{ type: "tcx", place: "" }] }, TypeError, "options.expected[0].place must be a non-empty string"],
    [{ expected: [{ type: "tcx", program: 1 }] }, TypeError, "options.expected[0].program must be a string"],
    [{ intervalMs: 0 }, RangeError, "options.intervalMs must be an integer from 1"],
    [{ intervalMs: "1" }, TypeError, "options.intervalMs must be a number"],
    [{ attributes: [] }, TypeError, "options.attributes must be an object"],
    [{ attributes: { team: {} } }, TypeError, "options.attributes.team must be a string, a number or a boolean"],
    [{ onEvent: true }, TypeError, "options.onEvent must be a function"],
    [{ signal: {} }, TypeError, "options.signal must be an AbortSignal"],
  ] as const
) {
  Deno.test(`publishLinks refuses ${JSON.stringify(options)}`, () => {
    assertThrows(() => publishLinks(options as never), error, says);
  });
}

Deno.test("publishLinks: a signal that is aborted already throws its reason", () => {
  assertThrows(() => publishLinks({ signal: AbortSignal.abort(new Error("over")) }), Error, "over");
});

Deno.test("readExpected: what is no path, no file, no list", () => {
  assertThrows(() => readExpected(1 as never), TypeError, "path must be a string");
  assertThrows(() => readExpected("/nowhere/links.json"), Error, "/nowhere/links.json");
});
