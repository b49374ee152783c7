//! Which processes hold links: the fds in `/proc`, as far as the caller may look at them.
use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::syscall::{self, AT_FDCWD, EACCES, EFAULT, EINVAL, ENOENT, ESRCH, c_string, nr, syscall};

/// An fd of a link. A process that does not let itself be looked at has one record, with the fd -1. The last record of a
/// call that did not come to the end has the id 0: process and fd from which to go on.
#[repr(C)]
struct Record {
    pid: u32,
    fd: i32,
    id: u32,
}

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 4] = [
    ("RECORD_SIZE", size_of::<Record>()),
    ("PID", core::mem::offset_of!(Record, pid)),
    ("FD", core::mem::offset_of!(Record, fd)),
    ("ID", core::mem::offset_of!(Record, id)),
];

struct Records {
    base: *mut u8,
    capacity: usize,
    count: usize,
    /// How many fds may still be looked at.
    looks: u32,
}

impl Records {
    fn push(&mut self, record: Record) {
        if self.count < self.capacity {
            // SAFETY: count < capacity, so the whole record lies inside the caller's buffer
            unsafe { self.base.cast::<Record>().add(self.count).write_unaligned(record) };
            self.count += 1;
        }
    }

    /// Whether there is no room for an fd, a process that is hidden, and where to go on.
    fn is_full(&self) -> bool {
        self.looks == 0 || self.count + 3 > self.capacity
    }
}

/// How many fds one call looks at: the caller has other things to do, too.
const LOOKS: u32 = 2048;
/// The result of a walk that has not come to its end.
const STOPPED: i32 = 1;

/// Writes a record for each fd of a link that a visible process holds, from a process and its fd on, and returns how many
/// there are; it stops when there is no more room, or after some milliseconds. Processes and fds that vanish on the way
/// are left out.
pub fn holders(from_pid: u32, from_fd: u32, records: *mut u8, records_len: u32) -> i32 {
    if records.is_null() {
        return -EFAULT;
    }
    let capacity = records_len as usize / size_of::<Record>();
    if capacity < 3 {
        return -EINVAL;
    }
    let mut found = Records { base: records, capacity, count: 0, looks: LOOKS };
    let result = with_file(AT_FDCWD, c"/proc", &mut |proc| {
        each_number(proc, &mut |pid, name| {
            if pid < from_pid {
                return true;
            }
            if found.is_full() {
                found.push(Record { pid, fd: 0, id: 0 });
                return false;
            }
            let from = if pid == from_pid { from_fd } else { 0 };
            let result = with_file(proc, name, &mut |process| look_at(pid, process, from, &mut found));
            if !is_over(result) {
                found.push(Record { pid, fd: -1, id: 0 });
            }
            result != STOPPED
        })
    });
    if result < 0 { result } else { found.count as i32 }
}

/// Whether a result is no error, or says that process or fd are gone.
fn is_over(result: i32) -> bool {
    result >= 0 || result == -ENOENT || result == -ESRCH
}

/// Looks at the fds of a process from `from` on; `process` is its directory in `/proc`.
fn look_at(pid: u32, process: i32, from: u32, found: &mut Records) -> i32 {
    let mut refused = 0;
    let result = with_file(process, c"fd", &mut |fds| {
        // so the kernel numbers the entries; if it did otherwise, those before are skipped below
        // SAFETY: no argument is an address
        unsafe { syscall(nr::LSEEK, [fds as usize, from as usize + 2, 0, 0, 0, 0]) };
        each_number(fds, &mut |fd, name| {
            if fd < from {
                return true;
            }
            if found.is_full() {
                if refused < 0 {
                    found.push(Record { pid, fd: -1, id: 0 });
                }
                found.push(Record { pid, fd: fd as i32, id: 0 });
                return false;
            }
            found.looks -= 1;
            match link_id(process, fds, name) {
                id if id > 0 => found.push(Record { pid, fd: fd as i32, id: id as u32 }),
                result if is_over(result) => {}
                errno => refused = errno,
            }
            refused != -EACCES // which is about the process: so it would be for every fd
        })
    });
    if result == 0 || refused == -EACCES { refused } else { result }
}

/// The id of the link of an fd; not positive if it is something else.
fn link_id(process: i32, fds: i32, name: &CStr) -> i32 {
    let mut target = MaybeUninit::<[u8; 32]>::uninit();
    let arguments = [fds as usize, name.as_ptr() as usize, target.as_mut_ptr() as usize, size_of_val(&target), 0, 0];
    // SAFETY: the kernel reads the name up to its NUL, and writes no more than the size of `target`
    let length = unsafe { syscall(nr::READLINKAT, arguments) };
    if length < 0 {
        return length;
    }
    // SAFETY: the kernel has written the first `length` bytes
    let target = unsafe { core::slice::from_raw_parts(target.as_ptr().cast::<u8>(), length as usize) };
    // "anon_inode:bpf_link" if it was made, "anon_inode:bpf-link" if it was opened by id or pin; what else ends so has
    // no such line in its fdinfo
    if !target.iter().rev().zip(b"knil").all(|(a, b)| a == b) {
        return 0;
    }
    with_file(process, c"fdinfo", &mut |infos| {
        with_file(infos, name, &mut |info| {
            let mut text = MaybeUninit::<[u8; 512]>::uninit();
            let arguments = [info as usize, text.as_mut_ptr() as usize, size_of_val(&text), 0, 0, 0];
            // SAFETY: the kernel writes no more than the size of `text`
            let length = unsafe { syscall(nr::READ, arguments) };
            if length < 0 {
                return length;
            }
            // SAFETY: the kernel has written the first `length` bytes
            link_id_of(unsafe { core::slice::from_raw_parts(text.as_ptr().cast(), length as usize) })
        })
    })
}

/// Calls `visit` with each entry of a directory whose name is a number: that number, and the name. [`STOPPED`] if it says
/// that this was the last.
fn each_number(directory: i32, visit: &mut dyn FnMut(u32, &CStr) -> bool) -> i32 {
    let mut entries = MaybeUninit::<[u64; 256]>::uninit();
    loop {
        let address = entries.as_mut_ptr() as usize;
        // SAFETY: the kernel writes no more than the size of `entries`
        let length = unsafe { syscall(nr::GETDENTS64, [directory as usize, address, size_of_val(&entries), 0, 0, 0]) };
        if length <= 0 {
            return length;
        }
        // SAFETY: the kernel has written the first `length` bytes
        let mut rest = unsafe { core::slice::from_raw_parts(address as *const u8, length as usize) };
        // struct linux_dirent64: inode and offset, 8 bytes each, length 2, type 1, name with its NUL
        while let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, low, high, _, name @ ..] = rest {
            if let (number @ 0.., Some(name)) = (number(name), c_string(name))
                && !visit(number as u32, name)
            {
                return STOPPED;
            }
            rest = rest.get(u16::from_ne_bytes([*low, *high]) as usize..).unwrap_or_default();
        }
    }
}

/// The number in the line `link_id:` of an fdinfo; 0 if there is none.
fn link_id_of(mut info: &[u8]) -> i32 {
    while let [_, rest @ ..] = info {
        // one by one: the comparison of slices is a function of libc
        if info.iter().zip(b"\nlink_id:\t").all(|(a, b)| a == b) {
            return number(info.get(10..).unwrap_or_default()).max(0);
        }
        info = rest;
    }
    0
}

/// The decimal number that a text begins with; -1 if it does not.
fn number(text: &[u8]) -> i32 {
    let mut number = -1;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = i32::max(number, 0).wrapping_mul(10).wrapping_add(digit as i32);
    }
    number
}

/// Opens a file for `use_it`.
fn with_file(directory: i32, name: &CStr, use_it: &mut dyn FnMut(i32) -> i32) -> i32 {
    let fd = syscall::open(directory, name);
    if fd < 0 {
        return fd;
    }
    let result = use_it(fd);
    syscall::close(fd);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_id_is_found_in_its_line() {
        assert_eq!(link_id_of(b"pos:\t0\nlink_type:\tcgroup\nlink_id:\t2147483646\nprog_id:\t3\n"), 2147483646);
        for text in [&b""[..], b"pos:\t0\nlink_i", b"pos:\t0\nlink_id:\t", b"pos:\t0\nlink_id:\tx", b"my_link_id:\t7\n"]
        {
            assert_eq!(link_id_of(text), 0);
        }
        assert_eq!([number(b"17\0zz"), number(b"self\0"), number(b"")], [17, -1, -1]);
    }

    #[test]
    fn this_process_is_seen_and_holds_no_link() {
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let mut seen = Vec::new();
        let mut see = |number, _: &CStr| {
            seen.push(number);
            true
        };
        let result = with_file(AT_FDCWD, c"/proc/self/fd", &mut |fd| each_number(fd, &mut see));
        assert_eq!(result, 0);
        assert!(files.iter().all(|file| seen.contains(&(file.as_raw_fd() as u32))), "{seen:?} of {files:?}");
        let pid = std::process::id();
        let mut records = [const { Record { pid: 0, fd: 0, id: 0 } }; 4096];
        let (mut from, mut calls) = ((0, 0), 0);
        loop {
            calls += 1;
            let count = holders(from.0, from.1, records.as_mut_ptr().cast(), size_of_val(&records) as u32);
            assert!(count >= 0, "{count}");
            let (last, rest) = match records[..count as usize].split_last() {
                Some((last, rest)) if last.id == 0 && last.fd >= 0 => (last, rest),
                _ => break,
            };
            assert!(rest.iter().all(|record| record.pid != pid));
            assert!((last.pid, last.fd as u32) > from, "no progress");
            from = (last.pid, last.fd as u32);
        }
        assert!(calls < 10_000);
    }

    #[test]
    fn no_buffer_and_no_room() {
        assert_eq!(holders(0, 0, core::ptr::null_mut(), 36), -EFAULT);
        assert_eq!(holders(0, 0, [0u8; 35].as_mut_ptr(), 35), -EINVAL);
    }
}
