//! The system calls themselves: one instruction per architecture, and what must happen right beside it.
use core::arch::asm;
use core::ffi::CStr;

use crate::request::Sizes;

pub const ENOENT: i32 = 2;
pub const ESRCH: i32 = 3;
pub const EINTR: i32 = 4;
pub const E2BIG: i32 = 7;
pub const EBADF: i32 = 9;
pub const EAGAIN: i32 = 11;
pub const EACCES: i32 = 13;
pub const EFAULT: i32 = 14;
pub const EEXIST: i32 = 17;
pub const ENODEV: i32 = 19;
pub const EINVAL: i32 = 22;
pub const EMFILE: i32 = 24;
pub const ELOOP: i32 = 40;

#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const BPF: usize = 321;
    pub const CLOSE: usize = 3;
    pub const EPOLL_CREATE1: usize = 291;
    pub const EPOLL_CTL: usize = 233;
    pub const EPOLL_PWAIT: usize = 281;
    pub const EVENTFD2: usize = 290;
    pub const FCNTL: usize = 72;
    pub const FLOCK: usize = 73;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const FSOPEN: usize = 430;
    pub const FSTAT: usize = 5;
    pub const FSTATFS: usize = 138;
    pub const GETDENTS64: usize = 217;
    pub const GETEUID: usize = 107;
    pub const GETPID: usize = 39;
    pub const GETTID: usize = 186;
    pub const IOCTL: usize = 16;
    pub const KCMP: usize = 312;
    pub const MKDIRAT: usize = 258;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const OPENAT: usize = 257;
    pub const OPEN_BY_HANDLE_AT: usize = 304;
    pub const PERF_EVENT_OPEN: usize = 298;
    pub const PREAD64: usize = 17;
    pub const READ: usize = 0;
    pub const READLINKAT: usize = 267;
    pub const RENAMEAT2: usize = 316;
    pub const SETNS: usize = 308;
    pub const SOCKET: usize = 41;
    pub const STATX: usize = 332;
    pub const TGKILL: usize = 234;
    pub const UNLINKAT: usize = 263;
    pub const WRITE: usize = 1;
}

#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const BPF: usize = 280;
    pub const CLOSE: usize = 57;
    pub const EPOLL_CREATE1: usize = 20;
    pub const EPOLL_CTL: usize = 21;
    pub const EPOLL_PWAIT: usize = 22;
    pub const EVENTFD2: usize = 19;
    pub const FCNTL: usize = 25;
    pub const FLOCK: usize = 32;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const FSOPEN: usize = 430;
    pub const FSTAT: usize = 80;
    pub const FSTATFS: usize = 44;
    pub const GETDENTS64: usize = 61;
    pub const GETEUID: usize = 175;
    pub const GETPID: usize = 172;
    pub const GETTID: usize = 178;
    pub const IOCTL: usize = 29;
    pub const KCMP: usize = 272;
    pub const MKDIRAT: usize = 34;
    pub const LSEEK: usize = 62;
    pub const MMAP: usize = 222;
    pub const MPROTECT: usize = 226;
    pub const MUNMAP: usize = 215;
    pub const OPENAT: usize = 56;
    pub const OPEN_BY_HANDLE_AT: usize = 265;
    pub const PERF_EVENT_OPEN: usize = 241;
    pub const PREAD64: usize = 67;
    pub const READ: usize = 63;
    pub const READLINKAT: usize = 78;
    pub const RENAMEAT2: usize = 276;
    pub const SETNS: usize = 268;
    pub const SOCKET: usize = 198;
    pub const STATX: usize = 291;
    pub const TGKILL: usize = 131;
    pub const UNLINKAT: usize = 35;
    pub const WRITE: usize = 64;
}

/// Makes the table of calls, whose names `ffi/bindgen` prints into `lib/ffi/symbols.ts`.
macro_rules! calls {
    ($($name:ident $(=> $result:ident)?,)*) => {
        /// The calls of `bpf_link_system`, and whether the result is an fd.
        const CALLS: [(usize, bool); [$(nr::$name),*].len()] = [$((nr::$name, false $(|| $result)?)),*];

        #[cfg(feature = "bindgen")]
        pub const NAMES: [&str; CALLS.len()] = [$(stringify!($name)),*];
    };
}
const FD: bool = true;

calls! {
    CLOSE, // bpf_link_close, for another thread
    EPOLL_CREATE1 => FD,
    EPOLL_CTL,
    EVENTFD2 => FD,
    FCNTL, // duplicates are asked for above 2 to begin with
    FLOCK,
    FSCONFIG,
    FSMOUNT => FD,
    FSOPEN => FD,
    FSTAT,
    FSTATFS,
    GETDENTS64,
    GETEUID,
    GETTID,
    IOCTL,
    KCMP,
    MKDIRAT,
    OPENAT => FD,
    OPEN_BY_HANDLE_AT => FD,
    PERF_EVENT_OPEN => FD,
    PREAD64,
    READ,
    READLINKAT,
    RENAMEAT2,
    SOCKET => FD,
    STATX,
    UNLINKAT,
    WRITE,
}

/// The arguments of a call.
type Arguments = [usize; 6];

const F_DUPFD_CLOEXEC: usize = 1030;
const CLONE_NEWNET: usize = 0x4000_0000;
pub const AT_FDCWD: i32 = -100;
const O_CLOEXEC: usize = 0o2_000_000;

/// Commands of bpf(2).
pub mod command {
    pub const MAP_CREATE: u32 = 0;
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const MAP_UPDATE_ELEM: u32 = 2;
    pub const MAP_GET_NEXT_KEY: u32 = 4;
    pub const PROG_LOAD: u32 = 5;
    pub const OBJ_GET: u32 = 7;
    pub const PROG_GET_FD_BY_ID: u32 = 13;
    pub const MAP_GET_FD_BY_ID: u32 = 14;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const RAW_TRACEPOINT_OPEN: u32 = 17;
    pub const BTF_LOAD: u32 = 18;
    pub const BTF_GET_FD_BY_ID: u32 = 19;
    pub const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
    pub const MAP_LOOKUP_BATCH: u32 = 24;
    pub const MAP_LOOKUP_AND_DELETE_BATCH: u32 = 25;
    pub const MAP_UPDATE_BATCH: u32 = 26;
    pub const LINK_CREATE: u32 = 28;
    pub const LINK_UPDATE: u32 = 29;
    pub const LINK_GET_FD_BY_ID: u32 = 30;
    pub const LINK_GET_NEXT_ID: u32 = 31;
    pub const LINK_DETACH: u32 = 34;
    pub const ENABLE_STATS: u32 = 32;
    pub const ITER_CREATE: u32 = 33;
    pub const TOKEN_CREATE: u32 = 36;
}

/// The commands whose result is an fd.
const FD_COMMANDS: u64 = {
    use command::*;
    bits(&[
        MAP_CREATE,
        PROG_LOAD,
        OBJ_GET,
        PROG_GET_FD_BY_ID,
        MAP_GET_FD_BY_ID,
        RAW_TRACEPOINT_OPEN,
        BTF_LOAD,
        BTF_GET_FD_BY_ID,
        LINK_CREATE,
        LINK_GET_FD_BY_ID,
        ENABLE_STATS,
        ITER_CREATE,
        TOKEN_CREATE,
    ])
};

/// The commands that write as much as the map says whose fd they name, whatever the caller has made room for; and those
/// that read as much. The room for what they write is the last of the data.
const SIZED_BY_MAP: (u64, u64) = {
    use command::*;
    let reading =
        [MAP_LOOKUP_ELEM, MAP_GET_NEXT_KEY, MAP_LOOKUP_AND_DELETE_ELEM, MAP_LOOKUP_BATCH, MAP_LOOKUP_AND_DELETE_BATCH];
    (bits(&reading), bits(&[MAP_UPDATE_ELEM, MAP_UPDATE_BATCH]))
};

/// Who says how large the data of a command is.
pub fn sizes(command: u32) -> Sizes {
    let number = command & !COMMON_ATTRS;
    let is_in = |set: u64| number < 64 && set >> number & 1 == 1;
    if is_in(SIZED_BY_MAP.0) {
        Sizes::MapRead
    } else if is_in(SIZED_BY_MAP.1) {
        Sizes::MapWritten
    } else {
        Sizes::Caller
    }
}

/// A set with a bit for each number.
const fn bits(numbers: &[u32]) -> u64 {
    match numbers {
        [] => 0,
        [first, rest @ ..] => 1 << *first | bits(rest),
    }
}

/// A flag beside the command: the last two arguments of bpf(2) are there (7.x).
const COMMON_ATTRS: u32 = 1 << 16;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 2] =
    [("ARGUMENTS", size_of::<Arguments>()), ("COMMON_ATTRS", COMMON_ATTRS as usize)];

/// bpf(2). `attr` and `common` are address and size.
///
/// # Safety
/// Both blocks, and what their addresses refer to, must be alive, and as large as the command takes them to be.
pub unsafe fn bpf(command: u32, attr: (usize, usize), common: (usize, usize)) -> i32 {
    // SAFETY: promised by the caller
    let result = unsafe { syscall(nr::BPF, [command as usize, attr.0, attr.1, common.0, common.1, 0]) };
    match command & !COMMON_ATTRS {
        c if c < 64 && FD_COMMANDS >> c & 1 == 1 => above_stdio(result),
        _ => result,
    }
}

/// The commands whose arguments are four words at most, none of them an address.
const WORD_COMMANDS: u64 = {
    use command::*;
    bits(&[LINK_CREATE, LINK_UPDATE, LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID, LINK_DETACH, ITER_CREATE])
};
/// An fd that is none.
pub const NO_FD: i32 = -1;

/// bpf(2) with one of [`WORD_COMMANDS`], whose other arguments are zero: without a buffer of the caller, reading which
/// takes as long as the border itself. The result of LINK_GET_NEXT_ID is the id, which is positive in an i32. Closes
/// `owned`, if it is an fd, once the call has succeeded.
#[inline(always)]
pub fn words(command: u32, mut attr: [u32; 4], owned: i32) -> i32 {
    if command >= 64 || WORD_COMMANDS >> command & 1 == 0 {
        return -EINVAL;
    }
    // SAFETY: none of the commands takes an address in the first four words
    let result = unsafe { bpf(command, (attr.as_mut_ptr() as usize, size_of_val(&attr)), (0, 0)) };
    if owned != NO_FD && result >= 0 {
        close(owned);
    }
    if command == command::LINK_GET_NEXT_ID && result == 0 { attr[1] as i32 } else { result }
}

/// The call with index `call` in [`CALLS`]; `arguments` is address and size of its six arguments.
///
/// # Safety
/// `arguments` must be alive, and what its addresses refer to as large as the call takes it to be.
pub unsafe fn system(call: u32, arguments: (usize, usize)) -> i32 {
    let Some(&(number, opens)) = CALLS.get(call as usize) else { return -EINVAL };
    if arguments.1 != size_of::<Arguments>() {
        return -EINVAL;
    }
    // SAFETY: promised by the caller; none of the calls changes what Rust relies on, such as mapped memory
    let result = unsafe { syscall(number, (arguments.0 as *const Arguments).read_unaligned()) };
    if opens { above_stdio(result) } else { result }
}

pub fn close(fd: i32) -> i32 {
    // SAFETY: no argument is an address
    unsafe { syscall(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) }
}

/// Opens a file for reading; a relative path begins at `directory`.
pub fn open(directory: i32, path: &CStr) -> i32 {
    // SAFETY: the kernel reads the path up to its NUL, and writes nothing
    unsafe { syscall(nr::OPENAT, [directory as usize, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0]) }
}

/// Instead of the fd of a network namespace: the call is made in that of the thread.
pub const NO_NETNS: i32 = -1;

/// The string that `bytes` begin with, up to its NUL.
pub fn c_string(bytes: &[u8]) -> Option<&CStr> {
    let len = bytes.iter().position(|byte| *byte == 0)?;
    // SAFETY: the NUL is there, and it is the first
    Some(unsafe { CStr::from_bytes_with_nul_unchecked(&bytes[..=len]) })
}

/// Makes `call` in the network namespace of the fd `netns` and comes back.
pub fn in_netns(netns: i32, call: impl FnOnce() -> i32) -> i32 {
    if netns == NO_NETNS {
        return call();
    }
    let home = above_stdio(open(AT_FDCWD, c"/proc/thread-self/ns/net"));
    if home < 0 {
        return home;
    }
    // SAFETY: no argument is an address
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
    // SAFETY: no argument is an address
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
/// As for [`syscall_long`].
pub unsafe fn syscall(number: usize, arguments: Arguments) -> i32 {
    // SAFETY: promised by the caller
    unsafe { syscall_long(number, arguments) as i32 }
}

/// One system call; -4095..=-1 is -errno.
///
/// # Safety
/// What the kernel reads and writes through the arguments must be alive, large enough, and nobody else's to use
/// meanwhile; and the call must not take away what Rust relies on, as the unmapping of memory in use does.
pub unsafe fn syscall_long(number: usize, arguments: Arguments) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention, which leaves all others alone; the rest is
    // promised by the caller
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
        // SAFETY: there is no such command, and nothing to read
        assert_eq!(unsafe { bpf(0xfff, (0, 0), (0, 0)) }, -EINVAL);
    }

    #[test]
    fn words_are_for_commands_that_take_no_address() {
        for command in [command::OBJ_GET, command::PROG_LOAD, command::LINK_DETACH | COMMON_ATTRS, 64, u32::MAX] {
            assert_eq!(words(command, [0; 4], NO_FD), -EINVAL);
        }
        assert_eq!(words(command::LINK_DETACH, [u32::MAX, 0, 0, 0], NO_FD), -9);
    }

    #[test]
    fn unknown_calls_and_short_arguments_are_refused() {
        let arguments: Arguments = [0; 6];
        let system = |call, size| {
            // SAFETY: neither reaches the kernel
            unsafe { system(call, (arguments.as_ptr() as usize, size)) }
        };
        assert_eq!(system(CALLS.len() as u32, 48), -EINVAL);
        assert_eq!(system(0, 40), -EINVAL);
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
