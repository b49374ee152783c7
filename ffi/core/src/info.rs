//! What the kernel reports of a link, into a buffer of the caller: without a request, for it is asked often.
use crate::syscall::command::OBJ_GET_INFO_BY_FD;
use crate::syscall::{self, EFAULT, EINVAL};

/// Zeroes `info`, words of eight bytes, so that no address or length in it asks for more, and has the kernel fill it.
pub fn info(fd: i32, info: *mut u8, info_len: u32) -> i32 {
    if info.is_null() {
        return -EFAULT;
    }
    if (info as usize | info_len as usize) & 7 != 0 {
        return -EINVAL;
    }
    for at in (0..info_len as usize).step_by(8) {
        // SAFETY: aligned, and at + 8 <= info_len. Volatile, or it would be a call of the C library
        unsafe { info.add(at).cast::<u64>().write_volatile(0) };
    }
    let address = info as u64;
    let mut attr = [fd as u32, info_len, address as u32, (address >> 32) as u32];
    // SAFETY: the kernel writes no more than that size, and finds no address in it
    unsafe { syscall::bpf(OBJ_GET_INFO_BY_FD, (attr.as_mut_ptr() as usize, size_of_val(&attr)), (0, 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_gone_and_a_wrong_buffer_is_refused() {
        assert_eq!(info(-1, core::ptr::null_mut(), 8), -EFAULT);
        let mut room = [u64::MAX; 3];
        let address = room.as_mut_ptr().cast();
        assert_eq!((info(-1, address, 12), info(-1, address.wrapping_add(4), 8)), (-EINVAL, -EINVAL));
        assert!(info(-1, address, 16) < 0);
        assert_eq!(room, [0, 0, u64::MAX]);
    }
}
