/** Work that goes on until it is interrupted, and its time. */

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Does it; SIGINT and SIGTERM close what it waits for. */
export async function until<T>(waited: { close(): void }, work: () => Promise<T>): Promise<T> {
  const stop = () => waited.close();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
  }
}

/** When a look showed something, which is up to an interval after it happened. */
export function now(): string {
  return new Date().toISOString();
}

/** The time of day where the machine is, for people who look on. */
export function clock(): string {
  return new Date().toTimeString().slice(0, 8);
}
