/**
 * What our two sides share, that with `Link` and that with the calls of `./sys`:
 *
 *     SCRIPT CGROUP PIN    reads lines "OPERATION COUNT", answers each with the nanoseconds that one took
 *     SCRIPT walk | first  lists all links, or one, and ends
 */

/** Operations by their names in `twin.c`. */
export type Operations = Record<string, () => void | Promise<void>>;

/** A program that lets every packet pass: `r0 = 1; exit`. */
export const PASS: Uint8Array<ArrayBuffer> = new Uint8Array(BigUint64Array.of(0x1_0000_00b7n, 0x95n).buffer);

/** What a listing finds. */
export const LINKS = 10_000;

/**
 * Does what the arguments say.
 *
 * @param first Lists one link.
 * @param walk Lists all.
 * @param prepare Makes the operations, but for listing.
 */
export async function main(
  first: () => void | Promise<void>,
  walk: () => void | Promise<void>,
  prepare: (cgroup: string, pin: string) => Operations,
): Promise<void> {
  const [cgroup, pin] = Deno.args as [string, string?];
  if (pin === undefined) return await (cgroup === "first" ? first : walk)();
  const operations: Operations = { ...prepare(cgroup, pin), walk };
  const line = new Uint8Array(64), decoder = new TextDecoder(), encoder = new TextEncoder();
  for (let length; (length = Deno.stdin.readSync(line)) !== null;) {
    const [name, count] = decoder.decode(line.subarray(0, length)).split(" ") as [string, string];
    const run = operations[name];
    const answer = run === undefined ? "none" : await nanoseconds(run, Number(count));
    Deno.stdout.writeSync(encoder.encode(`${answer}\n`));
  }
}

async function nanoseconds(run: () => void | Promise<void>, count: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const pending = run();
    if (pending !== undefined) await pending;
  }
  return (performance.now() - start) * 1e6 / count;
}
