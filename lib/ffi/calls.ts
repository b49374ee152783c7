/** The calls of `bpf_link_system`, numbered as `CALLS` in ffi/core/src/syscall.rs lists them. */
export const Call = { openat: 0, read: 1, fcntl: 2, fstatfs: 3, unlinkat: 4, socket: 5, ioctl: 6, close: 7 } as const;
