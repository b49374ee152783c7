//! The consumer's side of a ring buffer map: copies records out of its pages and tells the kernel which are done with.
//!
//! Nothing stays mapped between two calls, so there is no address to keep and nothing to clean up. The map's pages are
//! the consumer's position (the only writable page), the producer's position, and the data twice in a row, so that no
//! record is ever split.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::mapped::{MAP_SHARED, Mapped, PROT_READ, PROT_WRITE};
use crate::syscall::{E2BIG, EFAULT, EINVAL, nr, syscall};

const PAGE_SIZES: [usize; 3] = [4096, 16384, 65536]; // aarch64 has all three
const BUSY: u32 = 1 << 31;
const LENGTH: u32 = (1 << 30) - 1;
const HEADER: usize = 8;

/// One call's arguments, as the request's block holds them.
#[repr(C)]
pub struct Arguments {
    /// The map.
    fd: u64,
    /// Bytes of its data.
    size: u64,
    /// How many bytes of records the caller is done with.
    consumed: u64,
    /// Where to copy records to; may be null if there is no room.
    out: *mut u64,
    room: u64,
    /// The epoll instance to wait for if there is no record yet, or -1.
    epoll: u64,
}

/// Gives `consumed` bytes of records back to the kernel and copies those that follow, each with its header, as they
/// lie in the ring. Returns how many bytes; 0 if nothing is there, even after one wait.
pub fn read(arguments: &Arguments) -> i32 {
    let once = |consumed| drain(arguments, consumed).map_or_else(|errno| -errno, |count| count as i32);
    let result = once(arguments.consumed);
    if result != 0 || arguments.epoll as i32 == -1 {
        return result;
    }
    let mut event = [0u32; 4];
    syscall(nr::EPOLL_PWAIT, [arguments.epoll as usize, event.as_mut_ptr() as usize, 1, -1isize as usize, 0, 8]);
    once(0)
}

fn drain(arguments: &Arguments, consumed: u64) -> Result<usize, i32> {
    let &Arguments { fd, size, out, room, .. } = arguments;
    let (fd, size) = (fd as i32, size as usize);
    if !size.is_power_of_two() || size > 1 << 31 {
        return Err(EINVAL);
    }
    let (page, producer) = first_that_maps(fd)?;
    let consumer = Mapped::new(page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)?;
    // SAFETY: a page each, aligned, until drop; the kernel and this function use them as atomics
    let (consumer, producer) =
        unsafe { (&*(consumer.address as *const AtomicU64), &*(producer.address as *const AtomicU64)) };
    let before = consumer.load(Ordering::Relaxed);
    let end = producer.load(Ordering::Acquire);
    let position = before.wrapping_add(consumed);
    // the page can be written by whoever holds the map, so its number is checked like any other
    let there = end.wrapping_sub(before);
    if there > size as u64 || consumed > there || position % HEADER as u64 != 0 {
        return Err(EINVAL);
    }
    if consumed > 0 {
        consumer.store(position, Ordering::Release);
        // before a header is looked at: a record committed from here on wakes whoever waits
        fence(Ordering::SeqCst);
    }
    let there = (there - consumed) as usize;
    let window = there.min(room as usize);
    if window < HEADER {
        return Ok(0);
    }
    if out.is_null() {
        return Err(EFAULT);
    }
    let start = position as usize & (size - 1);
    let lead = start % page;
    let data = Mapped::new(lead + window, PROT_READ, MAP_SHARED, fd, 2 * page + start - lead)?;
    let first = data.address + lead;

    let mut done = 0;
    while done + HEADER <= window {
        // SAFETY: done + HEADER <= window, and both first and done are multiples of HEADER
        let header = unsafe { &*((first + done) as *const AtomicU32) }.load(Ordering::Acquire);
        if header & BUSY != 0 {
            break;
        }
        let next = (done + HEADER + (header & LENGTH) as usize).next_multiple_of(8);
        if next > window {
            if done == 0 {
                return Err(if next > there { EINVAL } else { E2BIG });
            }
            break;
        }
        done = next;
    }
    for at in (0..done).step_by(8) {
        // SAFETY: done <= window, the size of both the mapped data and, at least, of the caller's buffer
        unsafe {
            let word = (*((first + at) as *const AtomicU64)).load(Ordering::Relaxed);
            out.add(at / 8).write_unaligned(word);
        }
    }
    Ok(done)
}

/// The size of a page, which is also where the producer's position lies in the map; mapped.
fn first_that_maps(fd: i32) -> Result<(usize, Mapped), i32> {
    let mut errno = EINVAL;
    for page in PAGE_SIZES {
        match Mapped::new(page, PROT_READ, MAP_SHARED, fd, page) {
            Ok(mapped) => return Ok((page, mapped)),
            Err(e) => errno = e,
        }
    }
    Err(errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsRawFd;

    const SIZE: usize = 4096;
    const DISCARDED: u32 = 1 << 30;

    /// A file laid out as a ring buffer map is: positions, and records as `(header, length on disk)`.
    struct Ring(std::fs::File);

    impl Ring {
        fn new(consumer: u64, producer: u64, records: &[(u32, &[u8])]) -> Ring {
            let path =
                std::env::temp_dir().join(format!("ring-{}-{:?}", std::process::id(), std::thread::current().id()));
            let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            file.set_len(2 * 4096 + 2 * SIZE as u64).unwrap();
            let mut ring = Ring(file);
            ring.write(0, &consumer.to_ne_bytes());
            ring.write(4096, &producer.to_ne_bytes());
            let mut at = consumer as usize;
            for (header, payload) in records {
                let mut bytes = header.to_ne_bytes().to_vec();
                bytes.extend([0; 4]);
                bytes.extend_from_slice(payload);
                for (i, byte) in bytes.iter().enumerate() {
                    // what the kernel does with pages, this does with copies
                    let to = (at + i) % SIZE;
                    ring.write(2 * 4096 + to, &[*byte]);
                    ring.write(2 * 4096 + SIZE + to, &[*byte]);
                }
                at += bytes.len().next_multiple_of(8);
            }
            ring
        }

        fn write(&mut self, at: usize, bytes: &[u8]) {
            self.0.seek(SeekFrom::Start(at as u64)).unwrap();
            self.0.write_all(bytes).unwrap();
        }

        fn consumer(&self) -> u64 {
            let mut bytes = [0; 8];
            std::os::unix::fs::FileExt::read_exact_at(&self.0, &mut bytes, 0).unwrap();
            u64::from_ne_bytes(bytes)
        }

        fn read(&self, consumed: u64, room: usize) -> (i32, Vec<u64>) {
            let mut out = vec![0u64; room / 8 + 1];
            let fd = self.0.as_raw_fd() as u64;
            let out_address = out.as_mut_ptr();
            let arguments = Arguments {
                fd,
                size: SIZE as u64,
                consumed,
                out: out_address,
                room: room as u64,
                epoll: u32::MAX as u64,
            };
            let result = read(&arguments);
            out.truncate(result.max(0) as usize / 8);
            (result, out)
        }
    }

    fn word(bytes: &[u8; 8]) -> u64 {
        u64::from_ne_bytes(*bytes)
    }

    #[test]
    fn whole_records_come_with_their_headers() {
        let ring = Ring::new(0, 40, &[(8, b"12345678"), (DISCARDED | 3, b"abc"), (BUSY, b"")]);
        let (result, words) = ring.read(0, 4096);
        assert_eq!(result, 32);
        assert_eq!((words[0], words[1]), (8, word(b"12345678")));
        assert_eq!((words[2], words[3]), ((DISCARDED | 3) as u64, word(b"abc\0\0\0\0\0")));
        assert_eq!(ring.consumer(), 0);
    }

    #[test]
    fn what_is_consumed_goes_back() {
        let ring = Ring::new(0, 32, &[(8, b"12345678"), (8, b"abcdefgh")]);
        assert_eq!(ring.read(16, 4096).1, [8, word(b"abcdefgh")]);
        assert_eq!(ring.consumer(), 16);
        assert_eq!(ring.read(16, 4096).0, 0);
        assert_eq!(ring.consumer(), 32);
        assert_eq!(ring.read(8, 4096).0, -EINVAL); // more than there was
    }

    #[test]
    fn a_record_goes_on_beyond_the_end_of_the_ring() {
        let before = 3 * SIZE as u64 - 16;
        let ring = Ring::new(before, before + 32, &[(24, b"123456781234567812345678")]);
        assert_eq!(ring.read(0, 4096).1, [24, word(b"12345678"), word(b"12345678"), word(b"12345678")]);
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let ring = Ring::new(0, 32, &[(8, b"12345678"), (8, b"abcdefgh")]);
        assert_eq!(ring.read(0, 31).1, [8, word(b"12345678")]);
        assert_eq!(ring.read(0, 15).0, -E2BIG);
        assert_eq!(ring.read(0, 0).0, 0);
    }

    #[test]
    fn positions_and_lengths_are_not_believed() {
        assert_eq!(Ring::new(4, 32, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Ring::new(32, 0, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Ring::new(0, SIZE as u64 + 8, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Ring::new(0, 16, &[(LENGTH, b"")]).read(0, 4096).0, -EINVAL);
        assert_eq!(Ring::new(0, 16, &[(9, b"")]).read(0, 4096).0, -EINVAL);
        assert_eq!(Ring::new(0, !7, &[]).read(0, 4096).0, -EINVAL);
    }

    #[test]
    fn null_sizes_and_other_files_are_refused() {
        let arguments = Arguments { fd: 0, size: 3, consumed: 0, out: core::ptr::null_mut(), room: 8, epoll: u64::MAX };
        assert_eq!(read(&arguments), -EINVAL);
        let ring = Ring::new(0, 16, &[(8, b"12345678")]);
        let fd = ring.0.as_raw_fd() as u64;
        assert_eq!(read(&Arguments { fd, size: SIZE as u64, ..arguments }), -EFAULT);
        assert_eq!(read(&Arguments { fd: u32::MAX as u64, size: SIZE as u64, ..arguments }), -9);
    }
}
