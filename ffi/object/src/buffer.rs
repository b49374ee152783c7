//! The caller's buffers: what is read out of one, and what is written into one.
use core::ffi::c_char;
use core::ptr::{copy_nonoverlapping, null};

use crate::libc;

/// A buffer to read from, and its length.
pub type Bytes = (*const u8, u32);

/// A buffer to write to, and its length.
pub type Room = (*mut u8, u32);

/// Takes u32 numbers and NUL-terminated strings out of the caller's bytes.
pub struct Reader(pub Bytes);

impl Reader {
    pub fn u32(&mut self) -> Option<u32> {
        let (at, len) = self.0;
        if len < 4 {
            return None;
        }
        // SAFETY: len >= 4
        let value = unsafe { at.cast::<u32>().read_unaligned() };
        // SAFETY: within the buffer or at its end
        self.0 = (unsafe { at.add(4) }, len - 4);
        Some(value)
    }

    /// A string; null if it is empty.
    pub fn text(&mut self) -> Option<*const c_char> {
        let (at, len) = self.0;
        // SAFETY: len bytes are the caller's
        let length = (0..len).find(|i| unsafe { *at.add(*i as usize) } == 0)?;
        // SAFETY: length < len
        self.0 = (unsafe { at.add(length as usize + 1) }, len - length - 1);
        Some(if length == 0 { null() } else { at.cast() })
    }
}

/// Writes as much as there is room for, and counts all of it.
pub struct Writer {
    room: Room,
    at: usize,
}

impl Writer {
    pub fn new(room: Room) -> Writer {
        Writer { room, at: 0 }
    }

    fn bytes(&mut self, bytes: *const u8, len: usize) {
        if self.at + len <= self.room.1 as usize {
            // SAFETY: there is room
            unsafe { copy_nonoverlapping(bytes, self.room.0.add(self.at), len) };
        }
        self.at += len;
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(value.to_ne_bytes().as_ptr(), 4);
    }

    /// With its NUL; an absent one is empty.
    pub fn text(&mut self, text: *const c_char) {
        let text = if text.is_null() { c"".as_ptr() } else { text };
        // SAFETY: libbpf's strings end with NUL
        self.bytes(text.cast(), unsafe { libc::strlen(text) } + 1);
    }

    /// How many bytes all of it takes.
    pub fn len(&self) -> i32 {
        i32::try_from(self.at).unwrap_or(-libc::ERANGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_strings_up_to_the_end_of_the_buffer() {
        let bytes = b"\x07\0\0\0one\0\0two";
        let mut reader = Reader((bytes.as_ptr(), bytes.len() as u32));
        assert_eq!(reader.u32(), Some(7));
        // SAFETY: a string of the literal
        assert_eq!(unsafe { core::ffi::CStr::from_ptr(reader.text().unwrap()) }, c"one");
        assert_eq!(reader.text(), Some(null()), "an empty string is none");
        assert_eq!(reader.text(), None, "no NUL ends it");
        assert_eq!(reader.u32(), None, "three bytes are no number");
    }

    #[test]
    fn writes_what_there_is_room_for_and_counts_all() {
        let mut room = [0xffu8; 8];
        let mut writer = Writer::new((room.as_mut_ptr(), 6));
        writer.u32(1);
        writer.text(c"abc".as_ptr());
        writer.text(null());
        assert_eq!((writer.len(), room), (9, [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
    }
}
