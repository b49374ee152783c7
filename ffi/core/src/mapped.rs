//! Memory from the kernel: files, and room that ends where nobody may write.
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::syscall::{AT_FDCWD, EFAULT, EINVAL, close, nr, open, syscall, syscall_long};

/// A file's bytes, until dropped.
pub struct Mapped {
    pub address: usize,
    pub len: usize,
}

const PROT_NONE: usize = 0;
pub const PROT_READ: usize = 1;
pub const PROT_WRITE: usize = 2;
pub const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_FIXED: usize = 16;
const MAP_ANONYMOUS: usize = 32;

impl Mapped {
    pub fn open(path: &CStr) -> Result<Mapped, i32> {
        let fd = open(AT_FDCWD, path);
        if fd < 0 {
            return Err(-fd);
        }
        let mapped = Mapped::whole(fd);
        close(fd);
        mapped
    }

    fn whole(fd: i32) -> Result<Mapped, i32> {
        // struct stat: 144 bytes (128 on aarch64), st_size at 48 on both
        let mut stat = MaybeUninit::<[u64; 18]>::uninit();
        // SAFETY: there is room for the whole struct
        let result = unsafe { syscall(nr::FSTAT, [fd as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) };
        if result < 0 {
            return Err(-result);
        }
        // SAFETY: the kernel has written at least 128 bytes
        let len = unsafe { stat.as_ptr().cast::<u64>().add(6).read() } as usize;
        if len == 0 {
            return Err(EINVAL);
        }
        // files of /sys/kernel/btf can be mapped since Linux 6.16; reading takes four times as long
        Mapped::new(len, PROT_READ, MAP_PRIVATE, fd, 0).or_else(|_| Mapped::read(len, fd))
    }

    fn read(len: usize, fd: i32) -> Result<Mapped, i32> {
        let mapped = Mapped::new(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)?;
        let mut done = 0;
        while done < len {
            // SAFETY: that much of the mapping is left, which can be written and is not lent to anybody yet
            match unsafe { syscall(nr::READ, [fd as usize, mapped.address + done, len - done, 0, 0, 0]) } {
                0 => break,
                count if count > 0 => done += count as usize,
                errno => return Err(-errno),
            }
        }
        Ok(mapped)
    }

    /// `len` bytes of an fd from `offset`, as mmap(2) takes them. `flags` leave the address to the kernel.
    pub fn new(len: usize, protection: usize, flags: usize, fd: i32, offset: usize) -> Result<Mapped, i32> {
        // SAFETY: without MAP_FIXED the kernel chooses a place where nothing is
        match unsafe { syscall_long(nr::MMAP, [0, len, protection, flags, fd as usize, offset]) } {
            errno if (-4095..0).contains(&errno) => Err(-errno as i32),
            address => Ok(Mapped { address: address as usize, len }),
        }
    }

    /// Addresses for `len` bytes, where nothing is yet.
    pub fn reserve(len: usize) -> Result<Mapped, i32> {
        Mapped::new(len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    }

    /// Puts `len` bytes of an fd in the place of those from `at` that were reserved.
    pub fn map(&self, at: usize, len: usize, protection: usize, fd: i32, offset: usize) -> Result<(), i32> {
        if at + len > self.len {
            return Err(EINVAL);
        }
        let flags = MAP_SHARED | MAP_FIXED;
        // SAFETY: the addresses are this value's, and nothing is borrowed from them yet
        match unsafe { syscall(nr::MMAP, [self.address + at, len, protection, flags, fd as usize, offset]) } {
            errno if (-4095..0).contains(&errno) => Err(-errno),
            _ => Ok(()), // the low half of the address
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `len` readable bytes until drop, and nobody writes to them
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}

/// A page of any size, and what follows an area: a write beyond its end is EFAULT, and not damage.
const GUARD: usize = 64 * 1024;
/// Bytes before the end that are left free: next to the guard each call would take 100 to 300 ns more.
const SLACK: usize = 256;
/// What the first of them holds, so that a write which reaches no further is seen.
const UNTOUCHED: u64 = 0x9d3f_5ac7_12e8_b641;
/// Bytes of the area that is kept from one call to the next; requests that are larger have one of their own.
const KEPT: usize = 512 * 1024;
/// The address of the area that is kept, or 0 while a call uses it: another thread makes one of its own.
static FREE: AtomicUsize = AtomicUsize::new(0);

/// Calls `work` with room for `len` bytes, a multiple of eight, which ends shortly before where nobody may write. The
/// errno is EFAULT if something was written behind it.
pub fn with_guarded(len: usize, work: impl FnOnce(*mut u8) -> i32) -> Result<i32, i32> {
    let size = if len + SLACK <= KEPT { KEPT } else { (len + SLACK).next_multiple_of(GUARD) };
    let area = match if size == KEPT { FREE.swap(0, Ordering::Acquire) } else { 0 } {
        0 => Mapped::guarded(size)?,
        address => Mapped { address, len: KEPT + GUARD },
    };
    let end = area.address + size - SLACK;
    // SAFETY: the word lies in the area
    unsafe { (end as *mut u64).write_volatile(UNTOUCHED) };
    let result = work((end - len) as *mut u8);
    // SAFETY: the same
    let is_touched = unsafe { (end as *const u64).read_volatile() } != UNTOUCHED;
    if size == KEPT && FREE.compare_exchange(0, area.address, Ordering::Release, Ordering::Relaxed).is_ok() {
        core::mem::forget(area);
    }
    if is_touched { Err(EFAULT) } else { Ok(result) }
}

impl Mapped {
    fn guarded(size: usize) -> Result<Mapped, i32> {
        let area = Mapped::new(size + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)?;
        // SAFETY: the pages are those of the area, which nobody uses yet
        match unsafe { syscall(nr::MPROTECT, [area.address + size, GUARD, PROT_NONE, 0, 0, 0]) } {
            0 => Ok(area),
            errno => Err(-errno),
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and what was borrowed from it cannot outlive it
        unsafe { syscall(nr::MUNMAP, [self.address, self.len, 0, 0, 0, 0]) };
    }
}
