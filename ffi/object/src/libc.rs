//! What is used of the C library.
use core::ffi::{c_char, c_int, c_void};

pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EBADF: i32 = 9;
pub const ENOMEM: i32 = 12;
pub const EBUSY: i32 = 16;
pub const EINVAL: i32 = 22;
pub const EMFILE: i32 = 24;
pub const ERANGE: i32 = 34;
pub const EALREADY: i32 = 114;

pub const O_RDONLY: c_int = 0;
pub const O_CLOEXEC: c_int = 0o2000000;
pub const SEEK_END: c_int = 2;

unsafe extern "C" {
    #[cfg(not(test))]
    pub safe fn abort() -> !;
    pub fn calloc(count: usize, size: usize) -> *mut c_void;
    pub safe fn close(fd: c_int) -> c_int;
    pub fn free(at: *mut c_void);
    pub safe fn lseek(fd: c_int, offset: isize, whence: c_int) -> isize;
    pub fn malloc(size: usize) -> *mut c_void;
    pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub fn pread(fd: c_int, into: *mut c_void, size: usize, offset: isize) -> isize;
    pub fn read(fd: c_int, into: *mut c_void, size: usize) -> isize;
    pub fn realloc(at: *mut c_void, size: usize) -> *mut c_void;
    pub fn strlen(text: *const c_char) -> usize;
    safe fn __errno_location() -> *mut c_int;
}

/// The calling thread's errno.
pub fn errno() -> c_int {
    // SAFETY: always there
    unsafe { *__errno_location() }
}
