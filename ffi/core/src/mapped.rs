//! Files in memory.
use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::syscall::{AT_FDCWD, EINVAL, close, nr, open, syscall, syscall_long};

/// A file's bytes, until dropped.
pub struct Mapped {
    pub address: usize,
    len: usize,
}

pub const PROT_READ: usize = 1;
pub const PROT_WRITE: usize = 2;
pub const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
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

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `len` readable bytes until drop, and nobody writes to them
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and what was borrowed from it cannot outlive it
        unsafe { syscall(nr::MUNMAP, [self.address, self.len, 0, 0, 0, 0]) };
    }
}
