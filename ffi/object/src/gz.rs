//! The three functions of zlib that libbpf needs: it reads /boot/config-* or /proc/config.gz line by line, for objects
//! with `__kconfig` variables. The file is read, and inflated if it is gzip (RFC 1952), at once: by the crate `miniz_oxide`,
//! whose 8 KB replace 150 lines.
use core::ffi::{c_char, c_int};
use core::mem::size_of;
use core::ptr::null_mut;
use core::slice;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::libc;

/// No kernel's configuration is larger; inflated it is some 200 KiB.
const MOST: usize = 16 << 20;
const STEP: usize = 64 << 10;

pub struct File {
    text: Text,
    at: usize,
}

/// Bytes of libc's.
struct Text {
    at: *mut u8,
    len: usize,
}

impl Text {
    fn new() -> Text {
        Text { at: null_mut(), len: 0 }
    }

    fn resize(&mut self, len: usize) -> Option<()> {
        if len > MOST {
            return None;
        }
        // SAFETY: from realloc or null
        let at: *mut u8 = unsafe { libc::realloc(self.at.cast(), len.max(1)) }.cast();
        if at.is_null() {
            return None;
        }
        if let Some(more) = len.checked_sub(self.len) {
            // SAFETY: there is room for len bytes
            unsafe { at.add(self.len).write_bytes(0, more) };
        }
        (self.at, self.len) = (at, len);
        Some(())
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: len bytes are there and written
        if self.at.is_null() { &mut [] } else { unsafe { slice::from_raw_parts_mut(self.at, self.len) } }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: from realloc or null
        unsafe { libc::free(self.at.cast()) }
    }
}

fn read_to_end(fd: c_int) -> Option<Text> {
    let (mut text, mut len) = (Text::new(), 0);
    loop {
        text.resize(len + STEP)?;
        let room = &mut text.bytes()[len..];
        // SAFETY: room's length
        let count = unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) };
        len += usize::try_from(count).ok()?;
        if count == 0 {
            text.resize(len)?;
            return Some(text);
        }
    }
}

/// Where the compressed data of a gzip file begins; none if it is not one.
fn deflated(bytes: &[u8]) -> Option<usize> {
    let &[0x1f, 0x8b, 8, flags, ..] = bytes else { return None };
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]) as usize;
    }
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1; // name, comment
    }
    at += (flags & 2) as usize;
    (at <= bytes.len()).then_some(at)
}

fn inflate(deflated: &[u8]) -> Option<Text> {
    let length = deflated.last_chunk::<4>()?; // at the end of the file
    let mut text = Text::new();
    text.resize(u32::from_le_bytes(*length) as usize)?;
    let mut state = DecompressorOxide::new();
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut state, deflated, text.bytes(), 0, flags);
    // a checksum and the length are all that follows
    (status == TINFLStatus::Done && read + 8 == deflated.len() && written == text.len).then_some(text)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gzopen(path: *const c_char, _mode: *const c_char) -> *mut File {
    // SAFETY: libbpf's path
    let fd = unsafe { libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return null_mut();
    }
    let text = read_to_end(fd).and_then(|mut text| match deflated(text.bytes()) {
        Some(at) => inflate(&text.bytes()[at..]),
        None => Some(text),
    });
    libc::close(fd);
    let Some(text) = text else { return null_mut() };
    // SAFETY: memory of its own, or null
    unsafe {
        let file: *mut File = libc::malloc(size_of::<File>()).cast();
        if !file.is_null() {
            file.write(File { text, at: 0 });
        }
        file
    }
}

/// A line with its newline, or as much of it as there is room for.
#[unsafe(no_mangle)]
unsafe extern "C" fn gzgets(file: &mut File, out: *mut u8, room: c_int) -> *mut u8 {
    let rest = &file.text.bytes()[file.at..];
    let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    let count = line.min(usize::try_from(room - 1).unwrap_or(0));
    if count == 0 {
        return null_mut();
    }
    // SAFETY: count < room
    unsafe {
        out.copy_from_nonoverlapping(rest.as_ptr(), count);
        *out.add(count) = 0;
    }
    file.at += count;
    out
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gzclose(file: *mut File) -> c_int {
    // SAFETY: from gzopen
    unsafe {
        file.drop_in_place();
        libc::free(file.cast());
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    /// `printf 'CONFIG_HZ=250\nCONFIG_BPF=y\n' | gzip -9`, with a name.
    const GZIP: &[u8] = &[
        31, 139, 8, 8, 0, 0, 0, 0, 2, 3, 99, 111, 110, 102, 105, 103, 0, 115, 246, 247, 115, 243, 116, 143, 247, 136,
        178, 53, 50, 53, 224, 114, 134, 240, 156, 2, 220, 108, 43, 185, 0, 90, 84, 114, 190, 27, 0, 0, 0,
    ];

    /// The compressed data of 100,000 times "a", and what ends the file.
    const MANY: &[u8] = &[
        237, 193, 49, 1, 0, 0, 0, 194, 160, 172, 235, 95, 194, 26, 30, 64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 175, 6, 135, 250, 226, 27, 160, 134, 1, 0,
    ];

    fn lines(name: &str, content: &[u8], room: usize) -> Option<Vec<String>> {
        let path = std::env::temp_dir().join(format!("bpf-object-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        let text = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a path; the file is closed once
        unsafe {
            let file = gzopen(text.as_ptr(), c"r".as_ptr());
            fs::remove_file(&path).unwrap();
            let opened = file.as_mut()?;
            let (mut lines, mut line) = (Vec::new(), vec![0xffu8; room]);
            while !gzgets(opened, line.as_mut_ptr(), room as c_int).is_null() {
                let end = line.iter().position(|byte| *byte == 0).unwrap();
                lines.push(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            assert!(gzgets(opened, line.as_mut_ptr(), 1).is_null(), "room for nothing");
            gzclose(file);
            Some(lines)
        }
    }

    #[test]
    fn reads_lines_of_plain_and_compressed_files() {
        let expected = ["CONFIG_HZ=250\n", "CONFIG_BPF=y\n"];
        assert_eq!(lines("plain", b"CONFIG_HZ=250\nCONFIG_BPF=y\n", 4096).unwrap(), expected);
        assert_eq!(lines("gzip", GZIP, 4096).unwrap(), expected);
        assert_eq!(lines("open", b"a\nb", 4096).unwrap(), ["a\n", "b"], "the last line ends with the file");
        assert_eq!(lines("long", b"abcdef\n", 4).unwrap(), ["abc", "def", "\n"], "as much as there is room for");
        assert_eq!(lines("empty", b"", 4096).unwrap(), [""; 0]);
    }

    #[test]
    fn inflates_what_is_larger_than_its_window() {
        let text = inflate(MANY).map(|mut text| text.bytes().to_vec()).unwrap();
        assert_eq!((text.len(), text.iter().all(|byte| *byte == b'a')), (100_000, true));
    }

    #[test]
    fn a_broken_file_is_none_and_never_half_of_one() {
        for cut in 18..GZIP.len() {
            assert!(lines("cut", &GZIP[..cut], 4096).is_none(), "cut off at {cut}");
        }
        let mut huge = GZIP.to_vec();
        let end = huge.len() - 4;
        huge[end..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(lines("huge", &huge, 4096).is_none());
        for flags in 0..=255 {
            deflated(&[0x1f, 0x8b, 8, flags]);
            deflated(&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 0, 0xff, 0xff, b'n', 0]);
        }
    }
}
