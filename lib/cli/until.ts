/** Work that goes on until it is interrupted. */

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
