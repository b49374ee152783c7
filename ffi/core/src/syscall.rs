//! The system calls themselves: one instruction per architecture, and what must happen right beside it.
use core::arch::asm;

use crate::ring;

pub const ENOENT: i32 = 2;
pub const ESRCH: i32 = 3;
pub const E2BIG: i32 = 7;
pub const EAGAIN: i32 = 11;
pub const EFAULT: i32 = 14;
pub const EINVAL: i32 = 22;

#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const MMAP: usize = 9;
    pub const MUNMAP: usize = 11;
    pub const IOCTL: usize = 16;
    pub const PREAD64: usize = 17;
    pub const SOCKET: usize = 41;
    pub const FCNTL: usize = 72;
    pub const FLOCK: usize = 73;
    pub const FSTATFS: usize = 138;
    pub const GETDENTS64: usize = 217;
    pub const OPENAT: usize = 257;
    pub const UNLINKAT: usize = 263;
    pub const READLINKAT: usize = 267;
    pub const PERF_EVENT_OPEN: usize = 298;
    pub const SETNS: usize = 308;
    pub const KCMP: usize = 312;
    pub const RENAMEAT2: usize = 316;
    pub const EPOLL_PWAIT: usize = 281;
    pub const EPOLL_CTL: usize = 233;
    pub const EVENTFD2: usize = 290;
    pub const EPOLL_CREATE1: usize = 291;
    pub const BPF: usize = 321;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
}

#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const FSTAT: usize = 80;
    pub const MMAP: usize = 222;
    pub const MUNMAP: usize = 215;
    pub const IOCTL: usize = 29;
    pub const PREAD64: usize = 67;
    pub const SOCKET: usize = 198;
    pub const FCNTL: usize = 25;
    pub const FLOCK: usize = 32;
    pub const FSTATFS: usize = 44;
    pub const GETDENTS64: usize = 61;
    pub const OPENAT: usize = 56;
    pub const UNLINKAT: usize = 35;
    pub const READLINKAT: usize = 78;
    pub const PERF_EVENT_OPEN: usize = 241;
    pub const SETNS: usize = 268;
    pub const KCMP: usize = 272;
    pub const RENAMEAT2: usize = 276;
    pub const EPOLL_PWAIT: usize = 22;
    pub const EPOLL_CTL: usize = 21;
    pub const EVENTFD2: usize = 19;
    pub const EPOLL_CREATE1: usize = 20;
    pub const BPF: usize = 280;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
}

/// The calls of `bpf_link_system`, in the order in which `lib/ffi/calls.ts` numbers them, and whether the result is
/// an fd.
pub const CALLS: [(usize, bool); 23] = [
    (nr::OPENAT, true),
    (nr::READ, false),
    (nr::FCNTL, false), // duplicates are asked for above 2 to begin with
    (nr::FSTATFS, false),
    (nr::UNLINKAT, false),
    (nr::SOCKET, true),
    (nr::IOCTL, false),
    (nr::CLOSE, false), // bpf_link_close, for another thread
    (nr::FSTAT, false),
    (nr::WRITE, false),
    (nr::PERF_EVENT_OPEN, true),
    (nr::PREAD64, false),
    (nr::FSOPEN, true),
    (nr::FSCONFIG, false),
    (nr::FSMOUNT, true),
    (nr::EVENTFD2, true),
    (nr::EPOLL_CREATE1, true),
    (nr::EPOLL_CTL, false),
    (RING, false),
    (nr::FLOCK, false),
    (nr::RENAMEAT2, false),
    (nr::GETDENTS64, false),
    (nr::KCMP, false),
];

/// No system call, but [`ring::read`], which makes several.
const RING: usize = usize::MAX;

const F_DUPFD_CLOEXEC: usize = 1030;
const CLONE_NEWNET: usize = 0x4000_0000;
pub const AT_FDCWD: usize = -100isize as usize;
pub const O_RDONLY_CLOEXEC: usize = 0o2_000_000;

/// The commands of bpf(2) whose result is an fd, as a set of bits: MAP_CREATE, PROG_LOAD, OBJ_GET, PROG_, MAP_, BTF_
/// and LINK_GET_FD_BY_ID, RAW_TRACEPOINT_OPEN, BTF_LOAD, LINK_CREATE, ENABLE_STATS, ITER_CREATE, TOKEN_CREATE.
const FD_COMMANDS: u64 = 1
    | 1 << 5
    | 1 << 7
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 18
    | 1 << 19
    | 1 << 28
    | 1 << 30
    | 1 << 32
    | 1 << 33
    | 1 << 36;

/// A flag beside the command: the last two arguments of bpf(2) are there (7.x).
const COMMON_ATTRS: u32 = 1 << 16;

/// bpf(2). `attr` and `common` are address and size.
pub fn bpf(command: u32, attr: (usize, usize), common: (usize, usize)) -> i32 {
    let result = syscall(nr::BPF, [command as usize, attr.0, attr.1, common.0, common.1, 0]);
    match command & !COMMON_ATTRS {
        c if c < 64 && FD_COMMANDS >> c & 1 == 1 => above_stdio(result),
        _ => result,
    }
}

/// The call with index `call` in [`CALLS`]; `arguments` is address and size of its six arguments.
pub fn system(call: u32, arguments: (usize, usize)) -> i32 {
    let Some(&(number, opens)) = CALLS.get(call as usize) else { return -EINVAL };
    if arguments.1 != 48 {
        return -EINVAL;
    }
    if number == RING {
        // SAFETY: the request was checked to hold the 48 bytes
        let arguments = unsafe { (arguments.0 as *const ring::Arguments).read_unaligned() };
        return ring::read(&arguments);
    }
    // SAFETY: the request was checked to hold the 48 bytes
    let arguments = unsafe { (arguments.0 as *const [usize; 6]).read_unaligned() };
    let result = syscall(number, arguments);
    if opens { above_stdio(result) } else { result }
}

pub fn close(fd: i32) -> i32 {
    syscall(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0])
}

/// Makes `call` in the network namespace of the fd `netns` and comes back; -1 stays where it is.
pub fn in_netns(netns: i32, call: impl FnOnce() -> i32) -> i32 {
    if netns == -1 {
        return call();
    }
    let path = c"/proc/thread-self/ns/net".as_ptr() as usize;
    let home = above_stdio(syscall(nr::OPENAT, [AT_FDCWD, path, O_RDONLY_CLOEXEC, 0, 0, 0]));
    if home < 0 {
        return home;
    }
    let enter = |fd: i32| syscall(nr::SETNS, [fd as usize, CLONE_NEWNET, 0, 0, 0, 0]);
    // a rehearsal: nobody leaves who could not come back
    let mut result = enter(home);
    if result == 0 {
        result = enter(netns);
        if result == 0 {
            result = call();
            if enter(home) != 0 {
                abort(); // the thread belongs to Deno, which does not know the other namespace
            }
        }
    }
    close(home);
    result
}

/// Moves an fd away from 0, 1 and 2, which may be free: the kernel reads 0 as "none" in places.
pub fn above_stdio(fd: i32) -> i32 {
    if !(0..3).contains(&fd) {
        return fd;
    }
    let moved = syscall(nr::FCNTL, [fd as usize, F_DUPFD_CLOEXEC, 3, 0, 0, 0]);
    close(fd);
    moved
}

/// Ends the process with an illegal instruction.
pub fn abort() -> ! {
    // SAFETY: the instruction only raises SIGILL
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("ud2", options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("udf #0", options(noreturn));
    }
}

/// One system call whose answer fits an i32; -4095..=-1 is -errno.
pub fn syscall(number: usize, arguments: [usize; 6]) -> i32 {
    syscall_long(number, arguments) as i32
}

pub fn syscall_long(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention, which leaves all others alone; the kernel
    // checks every address, and those of requests point into buffers that live until the call returns
    unsafe {
        // number and result rax; arguments rdi rsi rdx r10 r8 r9; rcx and r11 are lost
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
        // number x8; arguments x0 to x5; result x0
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
             in("x4") e, in("x5") f, options(nostack));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_comes_back_negative() {
        assert_eq!(close(-1), -9);
        assert_eq!(bpf(0xfff, (0, 0), (0, 0)), -EINVAL);
    }

    #[test]
    fn unknown_calls_and_short_arguments_are_refused() {
        let arguments = [0usize; 6];
        assert_eq!(system(CALLS.len() as u32, (arguments.as_ptr() as usize, 48)), -EINVAL);
        assert_eq!(system(0, (arguments.as_ptr() as usize, 40)), -EINVAL);
    }

    #[test]
    fn fds_leave_the_standard_streams_alone() {
        assert_eq!(above_stdio(-9), -9);
        assert_eq!(above_stdio(3), 3);
    }

    #[test]
    fn a_namespace_that_is_none_makes_no_call() {
        assert_eq!(in_netns(-1, || 5), 5);
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let refused = in_netns(fd, || panic!("must not be called"));
        assert!(refused < 0, "{refused}");
    }
}
