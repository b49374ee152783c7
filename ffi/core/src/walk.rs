//! The walk over every link of the machine: next id, fd by id, info, close, as often as a buffer has room.
use crate::syscall::command::{LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID, OBJ_GET_INFO_BY_FD};
use crate::syscall::{self, EAGAIN, EFAULT, ENOENT};

/// How often a link that is just being made is asked for again before it is left out.
const PATIENCE: usize = 8;

/// One link of a batch. `info` is the kernel's `bpf_link_info`, of which it wrote `info_size` bytes.
#[repr(C)]
struct Record {
    id: u32,
    fd: i32, // -1: closed again
    info_size: u32,
    zero: u32,
    info: Info,
}

#[repr(C, align(8))]
struct Info([u8; 64]);

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 3] = [
    ("RECORD_SIZE", size_of::<Record>()),
    ("FD", core::mem::offset_of!(Record, fd)),
    ("INFO", core::mem::offset_of!(Record, info)),
];

/// Writes a record for each link with an id above `start_id` until `records` is full or no link is left, and returns
/// how many; 0 is the end. Links that vanish on the way are left out. The fd of a link stays open, and belongs to the
/// caller, if the bit of its type is set in `keep`. A failure is returned only if no record comes before it, so the
/// caller who goes on from the last id meets it next.
pub fn walk(start_id: u32, keep: u32, records: *mut u8, records_len: u32) -> i32 {
    if records.is_null() {
        return -EFAULT;
    }
    let capacity = records_len as usize / size_of::<Record>();
    let mut id = start_id;
    let mut count = 0;
    while count < capacity {
        match next(&mut id) {
            0 => {}
            errno => return if errno == -ENOENT || count > 0 { count as i32 } else { errno },
        }
        let record = match open(id) {
            fd if fd >= 0 => describe(id, fd, keep),
            errno if errno == -ENOENT || errno == -EAGAIN => continue,
            errno => Err(errno),
        };
        match record {
            // SAFETY: count < capacity, so the whole record lies inside the caller's buffer
            Ok(record) => unsafe { records.cast::<Record>().add(count).write_unaligned(record) },
            Err(errno) => return if count > 0 { count as i32 } else { errno },
        }
        count += 1;
    }
    count as i32
}

fn next(id: &mut u32) -> i32 {
    let mut attr = [*id, 0, 0];
    // SAFETY: no argument is an address
    let result = unsafe { command(LINK_GET_NEXT_ID, &mut attr) };
    if result == 0 {
        *id = attr[1];
    }
    result
}

fn open(id: u32) -> i32 {
    let mut result = -EAGAIN;
    for _ in 0..PATIENCE {
        // SAFETY: no argument is an address
        result = unsafe { command(LINK_GET_FD_BY_ID, &mut [id, 0, 0]) };
        if result != -EAGAIN {
            break;
        }
    }
    result
}

fn describe(id: u32, fd: i32, keep: u32) -> Result<Record, i32> {
    let mut info = Info([0; 64]);
    let address = info.0.as_mut_ptr() as u64;
    let mut attr = [fd as u32, size_of::<Info>() as u32, address as u32, (address >> 32) as u32];
    // SAFETY: the kernel writes no more than that size; the addresses inside a link's info, for names, are null
    let result = unsafe { command(OBJ_GET_INFO_BY_FD, &mut attr) };
    let link_type = u32::from_ne_bytes([info.0[0], info.0[1], info.0[2], info.0[3]]);
    let kept = result == 0 && link_type < 32 && keep >> link_type & 1 == 1;
    if !kept {
        syscall::close(fd);
    }
    match result {
        0 => Ok(Record { id, fd: if kept { fd } else { -1 }, info_size: attr[1], zero: 0, info }),
        errno => Err(errno),
    }
}

/// A command of bpf(2), of which `attr` is the beginning of the arguments: the kernel reads and writes no more.
///
/// # Safety
/// What addresses in `attr` refer to must be alive, and as large as the command takes it to be.
unsafe fn command(command: u32, attr: &mut [u32]) -> i32 {
    // SAFETY: promised by the caller
    unsafe { syscall::bpf(command, (attr.as_mut_ptr() as usize, size_of_val(attr)), (0, 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_buffer_and_no_room() {
        assert_eq!(size_of::<Record>(), 80);
        assert_eq!(walk(0, 0, core::ptr::null_mut(), 80), -EFAULT);
        assert_eq!(walk(0, 0, [0u8; 79].as_mut_ptr(), 79), 0);
    }
}
