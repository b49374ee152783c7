/** The wrapper of tests that load objects. */
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";
import { whyNoObjects } from "./build.ts";

/** {@linkcode kernelTest} for what takes compiled objects. */
export function objectTest(name: string, requirements: Requirements, fn: () => void | Promise<void>): void {
  kernelTest(name, { ...requirements, missing: requirements.missing ?? whyNoObjects() }, fn);
}
