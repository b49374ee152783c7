/** The one link iterator of this process: loaded at first use, kept while it is used, unloaded once it is idle. */
import { LinkIterator } from "./iterator.ts";

const IDLE_MS = 2000;

let iterator: LinkIterator | undefined;
let holders = 0;
let uses = 0;
let isWatched = false;

/** The iterator if it is loaded. */
export function loadedIterator(): LinkIterator | undefined {
  return iterator;
}

/**
 * The iterator, loaded now if it is not yet; it may be gone after this turn of the event loop.
 *
 * @throws {BpfError} As the constructor of {@linkcode LinkIterator}.
 */
export function useIterator(): LinkIterator {
  iterator ??= new LinkIterator();
  uses++;
  if (!isWatched) closeWhenIdle();
  return iterator;
}

/** Keeps the iterator loaded until what this returns is called. */
export function holdIterator(): () => void {
  useIterator();
  holders++;
  let isHeld = true;
  return () => {
    if (isHeld) holders--;
    isHeld = false;
    uses++;
  };
}

/** Unloads the iterator now unless it is held. */
export function closeIterator(): void {
  if (holders > 0) return;
  iterator?.close();
  iterator = undefined;
}

const never = new Int32Array(new SharedArrayBuffer(4));

/** Waits for what never comes: unlike a timer that neither holds the process nor looks like a leak in users' tests. */
async function closeWhenIdle(): Promise<void> {
  isWatched = true;
  for (let seen = -1; seen !== uses || holders > 0;) {
    seen = uses;
    await Atomics.waitAsync(never, 0, 0, IDLE_MS).value;
  }
  isWatched = false;
  closeIterator();
}
