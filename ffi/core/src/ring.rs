//! The consumer's side of a ring buffer map: copies records out of its pages and tells the kernel which are done with.
//!
//! Nothing stays mapped between two calls, so there is no address to keep and nothing to clean up. The map's pages are
//! the consumer's position (the only writable page), the producer's position, and the data twice in a row, so that no
//! record is ever split.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::mapped::{MAP_SHARED, Mapped, PROT_READ, PROT_WRITE};
use crate::syscall::{self, E2BIG, EFAULT, EINTR, EINVAL, ESRCH, command, nr, syscall};

const PAGE_SIZES: [usize; 3] = [4096, 16384, 65536]; // aarch64 has all three
const BUSY: u32 = 1 << 31;
const LENGTH: u32 = (1 << 30) - 1;
const HEADER: usize = 8;

/// How long [`wait`] waits before it looks whether anybody still waits for it.
const LOOK_MS: usize = 1000;
/// In the byte of an fd that is held: it is a link, to be detached by force at the end.
const DETACH: u8 = 1 << 7;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 3] = [("HEADER", HEADER), ("LENGTH", LENGTH as usize), ("DETACH", DETACH as usize)];

/// Gives `consumed` bytes of records back to the kernel and copies those that follow into `records`, each with its
/// header, as they lie in the ring; `size` is that of the ring's data. Returns how many bytes. `records` may be null if
/// it has no room.
pub fn read(map: i32, size: u32, consumed: u32, records: *mut u8, records_len: u32) -> i32 {
    let (size, room) = (size as usize, records_len as usize);
    drain(map, size, consumed, records, room).map_or_else(|errno| -errno, |count| count as i32)
}

/// `struct epoll_event`, which is packed on one architecture.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
struct Event {
    events: u32,
    data: u64,
}

/// Waits a second at most for what `epoll` watches, writes the low half of each event's data to `ready`, words that
/// need not be aligned, and returns how many there are.
///
/// Nobody announces the end of a worker that is terminated: its thread is gone, and its fds stay. So a wait in vain ends
/// with a look for the caller's `thread`, and if it is gone, everything that it held is let go: `held` has a byte for
/// each fd, 0 where it was not the caller's.
pub fn wait(epoll: i32, thread: i32, ready: *mut u8, ready_len: u32, held: *mut u8, held_len: u32) -> i32 {
    let mut events = [Event { events: 0, data: 0 }; 64];
    let room = (ready_len as usize / 4).min(events.len());
    if room == 0 || ready.is_null() {
        return -EFAULT;
    }
    // SAFETY: there is room for the events that are asked for, and no set of signals
    let count =
        unsafe { syscall(nr::EPOLL_PWAIT, [epoll as usize, events.as_mut_ptr() as usize, room, LOOK_MS, 0, 8]) };
    for (i, event) in events[..count.max(0) as usize].iter().enumerate() {
        // SAFETY: i < room, so the word lies in the caller's buffer
        unsafe { ready.cast::<u32>().add(i).write_unaligned(event.data as u32) };
    }
    if count == 0 && !held.is_null() && is_gone(thread) {
        for fd in 0..held_len {
            // SAFETY: the caller's buffer, which lives until this call returns and which nobody writes to any more
            let byte = unsafe { held.add(fd as usize).read() };
            if byte != 0 {
                let_go(fd, byte & DETACH != 0);
            }
        }
    }
    if count == -EINTR { 0 } else { count }
}

fn let_go(fd: u32, detach: bool) {
    if detach {
        // SAFETY: the attr is the fd alone
        unsafe { syscall::bpf(command::LINK_DETACH, (&raw const fd as usize, size_of::<u32>()), (0, 0)) };
    }
    syscall::close(fd as i32);
}

/// Whether this process has no such thread any more.
fn is_gone(thread: i32) -> bool {
    // SAFETY: no argument is an address, and signal 0 only asks
    unsafe {
        let process = syscall(nr::GETPID, [0; 6]);
        syscall(nr::TGKILL, [process as usize, thread as usize, 0, 0, 0, 0]) == -ESRCH
    }
}

fn drain(map: i32, size: usize, consumed: u32, out: *mut u8, room: usize) -> Result<usize, i32> {
    if !size.is_power_of_two() || size > 1 << 31 {
        return Err(EINVAL);
    }
    let consumed = consumed as u64;
    let (page, producer) = first_that_maps(map)?;
    let consumer = Mapped::new(page, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0)?;
    // SAFETY: a page each, aligned, until drop; the kernel and this function use them as atomics
    let (consumer, producer) =
        unsafe { (&*(consumer.address as *const AtomicU64), &*(producer.address as *const AtomicU64)) };
    let from = |position: u64| match producer.load(Ordering::Acquire).wrapping_sub(position) {
        // the page can be written by whoever holds the map, so its number is checked like any other
        there if there > size as u64 => Err(EINVAL),
        there => Ok(there),
    };
    let before = consumer.load(Ordering::Relaxed);
    let position = before.wrapping_add(consumed);
    if consumed > from(before)? || position % HEADER as u64 != 0 {
        return Err(EINVAL);
    }
    if consumed > 0 {
        consumer.store(position, Ordering::Release);
        // before anything of the producer is looked at: a record committed from here on wakes whoever waits
        fence(Ordering::SeqCst);
    }
    let there = from(position)? as usize; // again: nobody is woken for what came just before the position was stored
    let window = there.min(room);
    if window < HEADER {
        return Ok(0);
    }
    if out.is_null() {
        return Err(EFAULT);
    }
    let start = position as usize & (size - 1);
    let lead = start % page;
    let data = Mapped::new(lead + window, PROT_READ, MAP_SHARED, map, 2 * page + start - lead)?;
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
            out.add(at).cast::<u64>().write_unaligned(word);
        }
    }
    Ok(done)
}

/// The size of a page, which is also where the producer's position lies in the map; mapped.
fn first_that_maps(map: i32) -> Result<(usize, Mapped), i32> {
    for page in PAGE_SIZES {
        match Mapped::new(page, PROT_READ, MAP_SHARED, map, page) {
            Err(EINVAL) => {} // less than a page of this machine
            result => return result.map(|mapped| (page, mapped)),
        }
    }
    Err(EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::close;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

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

        fn read(&self, consumed: u32, room: usize) -> (i32, Vec<u64>) {
            let mut out = vec![0u64; room / 8 + 1];
            let map = self.0.as_raw_fd();
            let result = read(map, SIZE as u32, consumed, out.as_mut_ptr().cast(), room as u32);
            out.truncate(result.max(0) as usize / 8);
            (result, out)
        }

        /// Writes so many records as the kernel does, which wakes only a reader that has caught up. Ends early, with
        /// the number of records read, if the reader sleeps though there are some.
        fn produce(&self, records: u64, wake: i32) -> Result<(), u64> {
            let fd = self.0.as_raw_fd();
            let pages = Mapped::new(2 * 4096 + 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0).unwrap();
            // SAFETY: aligned, inside the mapped pages, and used as atomics alone
            let word = |at: usize| unsafe { &*((pages.address + at) as *const AtomicU64) };
            let is_read_up_to = |position: u64| {
                let deadline = Instant::now() + Duration::from_secs(10);
                while word(0).load(Ordering::SeqCst) < position {
                    if Instant::now() > deadline {
                        return Err(word(0).load(Ordering::SeqCst) / 16);
                    }
                    std::thread::yield_now();
                }
                Ok(())
            };
            for i in 0..records {
                let position = i * 16;
                is_read_up_to((position + 16).saturating_sub(SIZE as u64))?;
                for _ in 0..i % 3000 {
                    std::hint::spin_loop(); // to meet the reader at each of its steps
                }
                for copy in [0, SIZE] {
                    let at = 2 * 4096 + copy + position as usize % SIZE;
                    word(at + 8).store(i, Ordering::Relaxed);
                    word(at).store(8, Ordering::Relaxed);
                }
                word(4096).store(position + 16, Ordering::SeqCst);
                if word(0).load(Ordering::SeqCst) == position {
                    ring_the_bell(wake);
                }
            }
            is_read_up_to(records * 16)
        }
    }

    fn ring_the_bell(wake: i32) {
        let one = 1u64;
        // SAFETY: the kernel reads eight bytes
        assert_eq!(unsafe { syscall(nr::WRITE, [wake as usize, &raw const one as usize, 8, 0, 0, 0]) }, 8);
    }

    #[test]
    fn no_record_is_slept_through() {
        const RECORDS: u64 = 40_000;
        const EPOLLIN_EPOLLET: u32 = 1 | 1 << 31;
        let ring = Ring::new(0, 0, &[]);
        // SAFETY: no argument is an address
        let (wake, epoll) = unsafe { (syscall(nr::EVENTFD2, [0; 6]), syscall(nr::EPOLL_CREATE1, [0; 6])) };
        let event = [EPOLLIN_EPOLLET, 0, 0, 0];
        let arguments = [epoll as usize, 1, wake as usize, event.as_ptr() as usize, 0, 0];
        // SAFETY: the kernel reads one event
        assert_eq!(unsafe { syscall(nr::EPOLL_CTL, arguments) }, 0);

        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let result = ring.produce(RECORDS, wake);
                is_over.store(true, Ordering::SeqCst);
                ring_the_bell(wake);
                result
            });
            let mut out = [0u64; 2 * SIZE / 8];
            let (mut next, mut consumed) = (0, 0);
            while !is_over.load(Ordering::SeqCst) {
                let map = ring.0.as_raw_fd();
                let result = read(map, SIZE as u32, consumed, out.as_mut_ptr().cast(), SIZE as u32);
                assert!(result >= 0, "{result}");
                if result == 0 {
                    let mut ready = [0u8; 8];
                    let none = core::ptr::null_mut();
                    assert!(wait(epoll, 0, ready.as_mut_ptr(), 8, none, 0) >= 0);
                }
                consumed = result as u32;
                for record in out[..result as usize / 8].chunks(2) {
                    assert_eq!(record, [8, next]);
                    next += 1;
                }
            }
            assert_eq!(producer.join().unwrap(), Ok(()), "the reader sleeps though there are records");
        });
        close(epoll);
        close(wake);
    }

    #[test]
    fn what_a_thread_held_is_let_go_when_it_is_gone() {
        // SAFETY: no argument is an address
        let (epoll, own) = unsafe { (syscall(nr::EPOLL_CREATE1, [0; 6]), syscall(nr::GETTID, [0; 6])) };
        // SAFETY: no argument is an address
        let ended = std::thread::spawn(|| unsafe { syscall(nr::GETTID, [0; 6]) }).join().unwrap();
        let mut held = [0u8; 64];
        held[epoll as usize] = 1;
        let mut wait = |thread| {
            let mut ready = [0u8; 4];
            wait(epoll, thread, ready.as_mut_ptr(), 4, held.as_mut_ptr(), held.len() as u32)
        };
        assert_eq!(wait(own), 0);
        assert_eq!(wait(ended), 0);
        assert_eq!(wait(own), -9);
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
    fn any_positions_and_headers_have_an_answer_or_are_errors() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as u32
        };
        for _ in 0..3000 {
            let consumer = if next().is_multiple_of(4) { next() as u64 } else { next() as u64 % 600 * 8 };
            let there = if next().is_multiple_of(4) { next() as u64 } else { next() as u64 % 520 * 8 };
            let headers = [0; 4].map(|_| if next().is_multiple_of(2) { next() % 64 } else { next() });
            let records = headers.map(|header| (header, &b"12345678"[..]));
            let ring = Ring::new(consumer % (1 << 40), consumer.wrapping_add(there), &records);
            let (consumed, room) = (next() % 64 * 4, next() as usize % 5000);
            let (result, _) = ring.read(consumed, room);
            assert!(result <= room as i32, "{result} bytes in {room}");
        }
    }

    #[test]
    fn null_sizes_and_other_files_are_refused() {
        let read = |map, size| read(map, size, 0, core::ptr::null_mut(), 8);
        assert_eq!(read(0, 3), -EINVAL);
        let ring = Ring::new(0, 16, &[(8, b"12345678")]);
        assert_eq!(read(ring.0.as_raw_fd(), SIZE as u32), -EFAULT);
        assert_eq!(read(-1, SIZE as u32), -9);
    }
}
