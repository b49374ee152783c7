//! Reading to the end, into one buffer.
use crate::syscall::{EAGAIN, EFAULT, nr, syscall};

/// How often in a row an iterator may say EAGAIN, which means "go on reading": it does after a million objects of which
/// its program wrote nothing, so this is enough for hours; and each time that its program asks to be run again.
const MAX_SILENT: u32 = 10_000;

/// Fills `room` with what is left to be read of an fd and returns how much it is: fewer bytes than there is room for if
/// that was all.
pub fn read(fd: i32, room: *mut u8, room_len: u32) -> i32 {
    if room.is_null() {
        return -EFAULT;
    }
    let len = (room_len as usize).min(i32::MAX as usize);
    let (mut done, mut silent) = (0, 0);
    while done < len {
        // SAFETY: done < len, so so much of the caller's buffer is left
        match unsafe { syscall(nr::READ, [fd as usize, room as usize + done, len - done, 0, 0, 0]) } {
            0 => break,
            count if count > 0 => (done, silent) = (done + count as usize, 0),
            errno if errno == -EAGAIN && silent < MAX_SILENT => silent += 1,
            errno => return errno,
        }
    }
    done as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn all_in_pieces_or_what_there_is_room_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"12345").unwrap();
        drop(writer);
        let mut room = [0u8; 8];
        let mut read_up_to = |len| read(reader.as_raw_fd(), room.as_mut_ptr(), len);
        assert_eq!([read_up_to(3), read_up_to(8), read_up_to(8)], [3, 2, 0]);
        assert_eq!((read(-1, room.as_mut_ptr(), 8), read(-1, core::ptr::null_mut(), 8)), (-9, -EFAULT));
    }
}
