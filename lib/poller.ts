/** The one wait of an isolate for all rings that it reads. */
import { keepThreads } from "./ffi/library.ts";
import { ARGS, Request, system } from "./ffi/request.ts";
import { ringLook, ringWait } from "./ffi/ring.ts";
import { Call } from "./ffi/symbols.ts";
import { atUnload, heldFds, track, untrack } from "./handle/open_handles.ts";
import { closeIfOpen } from "./os/files.ts";
import { plain, refused } from "./refusal.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
} from "./uapi/linux.ts";

/** What an error of a reader says. */
export const ACTION = "Cannot read ring buffer";

/** Events of one wait. */
const EVENTS = 64;

/** Who waits for rings. */
export interface Polled {
  /** Whether it sleeps until it is called. */
  readonly isWaiting: boolean;
  /** The ring of an fd may have records. */
  call(fd: number): void;
  /** The wait has failed. */
  fail(error: unknown): void;
  /** The isolate ends. */
  end(): void;
}

/**
 * As libbpf's ring manager does, all readers share an epoll instance, in which one thread of Deno's pool sleeps while any
 * of them waits. Deno has 32 of them for everything that a process does.
 *
 * Rings are watched edge-triggered: a record that was begun but not committed would else count as readable all the time.
 */
export class Poller {
  readonly #epoll: number;
  readonly #wake: number; // an eventfd, which ends a wait
  readonly #thread = system(Call.gettid, []);
  readonly #threads = keepThreads();
  readonly #ready = new Uint32Array(EVENTS);
  readonly #readers = new Map<number, Polled>(); // by the fds of their rings
  #isPolling = false;
  #polled = Promise.resolve(); // settled when the thread is back

  /** The isolate's own. */
  static get own(): Poller {
    if (!isEndedAtUnload) atUnload(() => poller?.end());
    isEndedAtUnload = true;
    return poller ??= new Poller();
  }

  private constructor() {
    using made = new DisposableStack();
    made.use(this.#threads);
    this.#epoll = made.adopt(hold(call("epoll_create1", [EPOLL_CLOEXEC])), release);
    this.#wake = made.adopt(hold(call("eventfd2", [0, EPOLL_CLOEXEC])), release);
    control(this.#epoll, EPOLL_CTL_ADD, this.#wake);
    made.move(); // made whole
  }

  /** Watches a ring; its reader takes it out before the fd is closed. */
  add(fd: number, reader: Polled): void {
    try {
      control(this.#epoll, EPOLL_CTL_ADD, fd);
      this.#readers.set(fd, reader);
    } finally {
      this.#closeIfIdle();
    }
  }

  /** Takes a ring out, if it is in; without rings nothing is kept open. */
  remove(fd: number): void {
    if (!this.#readers.delete(fd)) return;
    epollControl(this.#epoll, EPOLL_CTL_DEL, fd);
    if (this.#isPolling && !this.#hasWaiting()) this.#ring();
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    if (this.#readers.size > 0) return;
    poller = undefined;
    if (!this.#isPolling) this.#close();
  }

  /** Sees to it that readers which wait are called. */
  start(): void {
    if (!this.#isPolling) void this.#poll();
  }

  /** Calls those whose rings are ready now, without a wait. */
  look(): void {
    this.#call(READY_NOW, ringLook(this.#epoll, READY_NOW));
  }

  /** Settled when no thread waits that nobody needs any more. */
  get settled(): Promise<void> {
    return this.#hasWaiting() ? Promise.resolve() : this.#polled;
  }

  /** Ends all readers at once, before the isolate is gone. */
  end(): void {
    for (const reader of new Set(this.#readers.values())) reader.end();
    if (this.#isPolling) this.#close(); // the thread notices that it was woken, and nobody else will close
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    try {
      while (this.#hasWaiting()) {
        const waiting = ringWait(this.#threads, this.#epoll, this.#thread, this.#ready, heldFds());
        this.#polled = waiting.then(() => {}, () => {});
        this.#call(this.#ready, await waiting);
      }
    } catch (error) {
      for (const reader of this.#readers.values()) reader.fail(error);
    } finally {
      this.#isPolling = false;
      if (this.#readers.size === 0) this.#close();
    }
  }

  #call(ready: Uint32Array, count: number): void {
    if (count < 0) throw refused(count, plain("epoll_pwait"), ACTION);
    for (let i = 0; i < count; i++) this.#readers.get(ready[i]!)?.call(ready[i]!);
  }

  #hasWaiting(): boolean {
    return this.#readers.values().some((reader) => reader.isWaiting);
  }

  #ring(): void {
    const request = new Request(ARGS, 72).u64(0, BigInt(this.#wake)).u64(16, 8n);
    const result = request.u32(request.room(8, 8), 1).system(Call.write);
    // that it may be written is an event too; without any the thread would sleep for good
    if (result < 0) epollControl(this.#epoll, EPOLL_CTL_MOD, this.#wake, EPOLLOUT);
  }

  #close(): void {
    release(this.#epoll);
    release(this.#wake);
    this.#threads[Symbol.dispose]();
  }
}

const READY_NOW = new Uint32Array(EVENTS);

let poller: Poller | undefined, isEndedAtUnload = false;

/** Remembers an fd for the end of a worker that is terminated; see {@linkcode ringWait}. */
export function hold(fd: number): number {
  track("ring", fd);
  return fd;
}

/** Closes what {@linkcode hold} remembers. */
export function release(fd: number): void {
  untrack(fd);
  closeIfOpen(fd);
}

function control(epoll: number, operation: number, fd: number): void {
  const result = epollControl(epoll, operation, fd);
  if (result < 0) throw refused(result, plain("epoll_ctl"), ACTION);
}

/** The data of the event is the fd: a 64-bit number that begins at 4 or, where it is aligned, at 8. */
function epollControl(epoll: number, operation: number, fd: number, more = 0): number {
  const request = new Request(ARGS, 72).u64(0, BigInt(epoll)).u64(8, BigInt(operation)).u64(16, BigInt(fd));
  const event = request.room(24, 16);
  return request.u32(event, (EPOLLIN | EPOLLET | more) >>> 0).u32(event + 4, fd).u32(event + 8, fd).system(
    Call.epoll_ctl,
  );
}

function call(name: "eventfd2" | "epoll_create1", args: readonly number[]): number {
  const result = system(Call[name], args);
  if (result < 0) throw refused(result, plain(name), ACTION);
  return result;
}
