/** Waiting, and ending a wait: pauses, aborts, and iterators that can be closed. */
import { checkInteger, checkKeys, checkSignal } from "./check.ts";

/** How to wait. */
export interface WaitOptions {
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds between two looks; 100 if absent. */
  intervalMs?: number | undefined;
}

/**
 * Looks again and again until `isOver` says so: for what the kernel does not announce.
 *
 * @param looks Where to leave a function that makes it look at once.
 */
export async function poll(
  isOver: () => boolean,
  options: WaitOptions = {},
  looks?: Set<() => void>,
): Promise<void> {
  checkKeys(options, "options", ["signal", "intervalMs"]);
  const { signal, intervalMs = 100 } = options;
  checkSignal(signal, "options.signal");
  checkInteger(intervalMs, "options.intervalMs", 1, 0x7fffffff);
  signal?.throwIfAborted();
  while (!isOver()) {
    const early = Promise.withResolvers<void>();
    looks?.add(early.resolve);
    try {
      await pauseUntil(early, intervalMs, signal);
    } finally {
      looks?.delete(early.resolve);
    }
  }
}

/** A pause that rejects with the reason of the first signal that is aborted; it leaves neither timer nor listener behind. */
export function pause(ms: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
  return pauseUntil(Promise.withResolvers(), ms, ...signals);
}

/** The same, which ends early when `over` is resolved. */
async function pauseUntil(
  { promise, resolve, reject }: PromiseWithResolvers<void>,
  ms: number,
  ...signals: (AbortSignal | undefined)[]
): Promise<void> {
  const timer = setTimeout(resolve, ms);
  using listeners = new DisposableStack();
  for (const signal of signals) listeners.use(onAbort(signal, () => reject(signal!.reason)));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** Calls `action` when the signal is aborted, until the result is disposed of: a forgotten listener would hold it. */
export function onAbort(signal: AbortSignal | undefined, action: () => void): Disposable | undefined {
  if (signal === undefined) return undefined;
  signal.addEventListener("abort", action, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", action) };
}

/** Takes all steps of a work at once. */
export function runToEnd<T>(work: Generator<void, T, void>): T {
  for (let step;;) if ((step = work.next()).done) return step.value;
}

const TURN_MS = 4;

/** Takes the steps of a work, and leaves the event loop its turns in between; rejects with the signal's reason. */
export async function runInTurns<T>(work: Generator<void, T, void>, signal: AbortSignal | undefined): Promise<T> {
  for (let step;;) {
    await pause(0, signal);
    signal?.throwIfAborted();
    for (const since = performance.now(); performance.now() - since < TURN_MS;) {
      if ((step = work.next()).done) return step.value;
    }
  }
}

type Step<T> = IteratorResult<T, void>;

/** What is iterated once with `for await`, and ends when the loop is left. */
export abstract class Closable<T> implements AsyncIterableIterator<T, void, void>, AsyncDisposable {
  abstract next(): Promise<Step<T>>;

  /** Ends the iteration, also a step that is waiting. Twice does nothing. */
  abstract close(): void;

  return(): Promise<Step<T>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** The same where a step may have to wait. */
export abstract class Waiting<T> extends Closable<T> {
  #steps: Promise<unknown> = Promise.resolve();
  #isOver = false;

  /** Makes one step; never two at once. */
  protected abstract step(): Promise<Step<T>>;

  /** The next value. Steps that are asked for at once are taken one after the other. */
  next(): Promise<Step<T>> {
    const step = this.#steps.then(() => this.#next());
    this.#steps = step.catch(() => {});
    return step;
  }

  async #next(): Promise<Step<T>> {
    if (this.#isOver) return { done: true, value: undefined };
    try {
      const step = await this.step();
      if (step.done) this.#end();
      return step;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #end(): void {
    this.#isOver = true;
    this.close();
  }

  override return(): Promise<Step<T>> {
    this.#isOver = true;
    return super.return();
  }
}
