//! The system calls themselves: one instruction per architecture, and what must happen right beside it.
use core::arch::asm;

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
    pub const EPOLL_CTL: usize = 233;
    pub const OPENAT: usize = 257;
    pub const UNLINKAT: usize = 263;
    pub const READLINKAT: usize = 267;
    pub const EPOLL_PWAIT: usize = 281;
    pub const EVENTFD2: usize = 290;
    pub const EPOLL_CREATE1: usize = 291;
    pub const PERF_EVENT_OPEN: usize = 298;
    pub const SETNS: usize = 308;
    pub const KCMP: usize = 312;
    pub const RENAMEAT2: usize = 316;
    pub const BPF: usize = 321;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
}

#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const EVENTFD2: usize = 19;
    pub const EPOLL_CREATE1: usize = 20;
    pub const EPOLL_CTL: usize = 21;
    pub const EPOLL_PWAIT: usize = 22;
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const FLOCK: usize = 32;
    pub const UNLINKAT: usize = 35;
    pub const FSTATFS: usize = 44;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const GETDENTS64: usize = 61;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PREAD64: usize = 67;
    pub const READLINKAT: usize = 78;
    pub const FSTAT: usize = 80;
    pub const SOCKET: usize = 198;
    pub const MUNMAP: usize = 215;
    pub const MMAP: usize = 222;
    pub const PERF_EVENT_OPEN: usize = 241;
    pub const SETNS: usize = 268;
    pub const KCMP: usize = 272;
    pub const RENAMEAT2: usize = 276;
    pub const BPF: usize = 280;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
}

/// Lists the calls of `bpf_link_system`; `lib/ffi/calls.ts` is generated from their names and order.
macro_rules! calls {
    ($($name:ident $number:ident $opens:literal)*) => {
        /// Their numbers, and whether the result is an fd.
        pub const CALLS: &[(usize, bool)] = &[$((nr::$number, $opens)),*];

        #[cfg(feature = "bindgen")]
        pub const CALL_NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

calls! {
    openat OPENAT true
    read READ false
    fcntl FCNTL false // duplicates are asked for above 2 to begin with
    fstatfs FSTATFS false
    unlinkat UNLINKAT false
    socket SOCKET true
    ioctl IOCTL false
    close CLOSE false // bpf_link_close, for another thread
    fstat FSTAT false
    write WRITE false
    perf_event_open PERF_EVENT_OPEN true
    pread64 PREAD64 false
    fsopen FSOPEN true
    fsconfig FSCONFIG false
    fsmount FSMOUNT true
    eventfd2 EVENTFD2 true
    epoll_create1 EPOLL_CREATE1 true
    epoll_ctl EPOLL_CTL false
    flock FLOCK false
    renameat2 RENAMEAT2 false
    getdents64 GETDENTS64 false
    kcmp KCMP false
}

const F_DUPFD_CLOEXEC: usize = 1030;
const CLONE_NEWNET: usize = 0x4000_0000;
pub const AT_FDCWD: usize = -100isize as usize;
pub const O_RDONLY_CLOEXEC: usize = 0o2_000_000;

/// Commands of bpf(2), by the names of `linux/bpf.h`.
pub mod cmd {
    pub const MAP_CREATE: u32 = 0;
    pub const PROG_LOAD: u32 = 5;
    pub const OBJ_GET: u32 = 7;
    pub const PROG_GET_FD_BY_ID: u32 = 13;
    pub const MAP_GET_FD_BY_ID: u32 = 14;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const RAW_TRACEPOINT_OPEN: u32 = 17;
    pub const BTF_LOAD: u32 = 18;
    pub const BTF_GET_FD_BY_ID: u32 = 19;
    pub const LINK_CREATE: u32 = 28;
    pub const LINK_GET_FD_BY_ID: u32 = 30;
    pub const LINK_GET_NEXT_ID: u32 = 31;
    pub const ENABLE_STATS: u32 = 32;
    pub const ITER_CREATE: u32 = 33;
    pub const TOKEN_CREATE: u32 = 36;
}

/// The commands whose result is an fd.
const FD_COMMANDS: u64 = bits(&[
    cmd::MAP_CREATE,
    cmd::PROG_LOAD,
    cmd::OBJ_GET,
    cmd::PROG_GET_FD_BY_ID,
    cmd::MAP_GET_FD_BY_ID,
    cmd::RAW_TRACEPOINT_OPEN,
    cmd::BTF_LOAD,
    cmd::BTF_GET_FD_BY_ID,
    cmd::LINK_CREATE,
    cmd::LINK_GET_FD_BY_ID,
    cmd::ENABLE_STATS,
    cmd::ITER_CREATE,
    cmd::TOKEN_CREATE,
]);

const fn bits(numbers: &[u32]) -> u64 {
    let (mut set, mut i) = (0, 0);
    while i < numbers.len() {
        set |= 1 << numbers[i];
        i += 1;
    }
    set
}

/// A flag beside the command: the last two arguments of bpf(2) are there (7.x).
const COMMON_ATTRS: u32 = 1 << 16;

/// bpf(2). `attr` and `common` are address and size.
pub fn bpf(command: u32, attr: (usize, usize), common: (usize, usize)) -> i32 {
    // SAFETY: the caller's request or array holds the bytes; its pointers were written by the request's slots
    let result = unsafe { syscall(nr::BPF, [command as usize, attr.0, attr.1, common.0, common.1, 0]) };
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
    // SAFETY: the request was checked to hold the 48 bytes
    let arguments = unsafe { (arguments.0 as *const [usize; 6]).read_unaligned() };
    // SAFETY: what is an address among them, a slot of the request has written, with its room
    let result = unsafe { syscall(number, arguments) };
    if opens { above_stdio(result) } else { result }
}

pub fn close(fd: i32) -> i32 {
    // SAFETY: no address
    unsafe { syscall(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) }
}

/// Makes `call` in the network namespace of the fd `netns` and comes back; -1 stays where it is.
pub fn in_netns(netns: i32, call: impl FnOnce() -> i32) -> i32 {
    if netns == -1 {
        return call();
    }
    let path = c"/proc/thread-self/ns/net".as_ptr() as usize;
    // SAFETY: the path is static and ends with its NUL
    let home = above_stdio(unsafe { syscall(nr::OPENAT, [AT_FDCWD, path, O_RDONLY_CLOEXEC, 0, 0, 0]) });
    if home < 0 {
        return home;
    }
    // SAFETY: no address
    let enter = |fd: i32| unsafe { syscall(nr::SETNS, [fd as usize, CLONE_NEWNET, 0, 0, 0, 0]) };
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
    // SAFETY: no address
    let moved = unsafe { syscall(nr::FCNTL, [fd as usize, F_DUPFD_CLOEXEC, 3, 0, 0, 0]) };
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
///
/// # Safety
/// As [`syscall_long`].
pub unsafe fn syscall(number: usize, arguments: [usize; 6]) -> i32 {
    // SAFETY: the caller's word
    unsafe { syscall_long(number, arguments) as i32 }
}

/// One system call.
///
/// # Safety
/// Every argument that the call takes for an address must be of memory that is large enough for what the call reads and
/// writes there, until it returns; and it may unmap nothing that is still used.
pub unsafe fn syscall_long(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention, which leaves all others alone; for memory the
    // caller stands in
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
