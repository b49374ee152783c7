/** Finding out for real what can be done with a kind of link. */
import { type AnyLink, type AttachTarget, Link, type Program } from "../../mod.ts";
import type { Operation } from "../fixture/run/expectations.ts";
import type { Need } from "../fixture/run/kernel.ts";
import type { Row } from "./conformance.ts";

/** What the target has besides, and what is done with the link. */
interface Attempt {
  readonly target?: (target: AttachTarget) => AttachTarget;
  readonly use?: (link: AnyLink, next: Program) => void;
  /** How often it is done, one after the other. */
  readonly times?: number;
}

const COOKIE = 7n;
const withCookie = (target: AttachTarget): AttachTarget => {
  if (target.type !== "kprobe_multi" && target.type !== "uprobe_multi") {
    return { ...target, cookie: COOKIE } as AttachTarget;
  }
  return { ...target, cookies: [COOKIE] } as AttachTarget; // the rows attach to one function
};

const ATTEMPTS: Record<Operation, Attempt> = {
  attach: {},
  reattach: { times: 2 },
  update: { use: (link, next) => link.update(next) },
  detach: { use: (link) => link.detach() },
  cookie: { target: withCookie },
  position: { target: (target) => ({ ...target, position: "first" }) as AttachTarget },
};

/** What a test makes by itself; all other needs are what a kernel is asked about. */
export const SURROUNDINGS: readonly Need[] = ["cgroup2", "netns", "bpffs"];

/** Does it; says why it could not be done. */
export async function attempt(row: Row, operation: Operation): Promise<string | undefined> {
  const { target = (same) => same, use, times = 1 } = ATTEMPTS[operation];
  try {
    await using place = await row.place();
    using program = row.program("pass");
    using next = row.program("pass");
    for (let i = 0; i < times; i++) {
      using link = Link.attach(program, target(place.target)) as AnyLink;
      use?.(link, next);
    }
    return undefined;
  } catch (error) {
    return String(error);
  }
}
