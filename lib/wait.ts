/** Waiting for what the kernel does not announce. */
import { checkInteger, checkKeys, checkSignal } from "./check.ts";

/** How to wait. */
export interface WaitOptions {
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds between two looks; 100 if absent. */
  intervalMs?: number | undefined;
}

/** Looks again and again until `isOver` says so. */
export async function poll(isOver: () => boolean, options: WaitOptions = {}): Promise<void> {
  checkKeys(options, "options", ["signal", "intervalMs"]);
  const { signal, intervalMs = 100 } = options;
  checkSignal(signal, "options.signal");
  checkInteger(intervalMs, "options.intervalMs", 1, 0x7fffffff);
  signal?.throwIfAborted();
  while (!isOver()) await pause(intervalMs, signal);
}

/** A pause that leaves neither timer nor listener behind. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
