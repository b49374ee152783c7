//! Memory that the kernel fills with records: the ring of a ring buffer map, or of a perf event, and the wait for more.
//!
//! A ring stays mapped while it is read, for mapping takes longer than all else that a record costs. The caller never
//! sees where: it names a ring by its fd.
//!
//! | pages     | of a ring buffer map                          | of a perf event                 |
//! |-----------|-----------------------------------------------|---------------------------------|
//! | first     | the consumer's position, which alone it writes | both positions, among much else |
//! | second    | the producer's position                       | data                            |
//! | all after | data (and again, which nobody needs here)     | data                            |
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use crate::mapped::{MAP_SHARED, Mapped, PROT_READ, PROT_WRITE};
use crate::syscall::{self, E2BIG, EBADF, EFAULT, EINTR, EINVAL, EMFILE, ESRCH, command, nr, syscall};

const PAGE_SIZES: [usize; 3] = [4096, 16384, 65536]; // aarch64 has all three
const BUSY: u32 = 1 << 31;
const LENGTH: u32 = (1 << 30) - 1;
const HEADER: usize = 8;
/// Where a perf event has its positions, and where its data begins and how much that is: `struct perf_event_mmap_page`.
const PERF: (usize, usize, usize, usize) = (1024, 1032, 1040, 1048);

/// Where each ring is mapped that somebody reads, by its fd, with [`Ring::word`]; 0 is none. A call takes it out while
/// it works, so that no other thread unmaps it meanwhile.
static RINGS: [AtomicUsize; 1 << 16] = [const { AtomicUsize::new(0) }; 1 << 16];

/// In the byte of an fd that is held: it is a link, to be detached by force at the end.
const DETACH: u8 = 1 << 7;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 3] = [("HEADER", HEADER), ("LENGTH", LENGTH as usize), ("DETACH", DETACH as usize)];

/// Whose ring it is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Map,
    Perf,
}

/// Maps the ring of an fd, whose data has `size` bytes, until [`close`]. `perf` is 0 for a ring buffer map, and 1 for a
/// perf event.
pub fn open(fd: i32, size: u32, perf: u32) -> i32 {
    let (size, kind) = (size as usize, if perf == 0 { Kind::Map } else { Kind::Perf });
    let Some(place) = place(fd) else { return if fd < 0 { -EBADF } else { -EMFILE } };
    if !size.is_power_of_two() || size > 1 << 31 {
        return -EINVAL;
    }
    for page in PAGE_SIZES {
        match Ring::map(fd, page, size, kind) {
            Err(EINVAL) => {} // less than a page of this machine
            Err(errno) => return -errno,
            Ok(ring) => {
                // what is there already is of an fd that was closed behind its reader's back
                Ring::drop_word(place.swap(ring.into_word(), Ordering::AcqRel));
                return 0;
            }
        }
    }
    -EINVAL
}

/// Unmaps the ring of an fd, which stays open; there may be none.
pub fn close(fd: i32) -> i32 {
    let Some(place) = place(fd) else { return -EBADF };
    Ring::drop_word(place.swap(0, Ordering::AcqRel));
    0
}

/// Gives `consumed` bytes of records back to the kernel and copies those that follow into `records`, each with its
/// header, as they lie in the ring. Returns how many bytes. `records` may be null if it has no room.
pub fn read(fd: i32, consumed: u32, records: *mut u8, records_len: u32) -> i32 {
    let Some(place) = place(fd) else { return -EBADF };
    let Some(ring) = Ring::from_word(place.swap(0, Ordering::AcqRel)) else { return -EBADF };
    let result = ring.drain(consumed as u64, records, records_len as usize);
    let word = ring.into_word();
    if place.compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        Ring::drop_word(word);
    }
    result.map_or_else(|errno| -errno, |count| count as i32)
}

fn place(fd: i32) -> Option<&'static AtomicUsize> {
    RINGS.get(usize::try_from(fd).ok()?)
}

/// `struct epoll_event`, which is packed on one architecture.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
struct Event {
    events: u32,
    data: u64,
}

/// Waits `timeout` milliseconds at most for what `epoll` watches, writes the low half of each event's data to `ready`, words that
/// need not be aligned, and returns how many there are.
///
/// Nobody announces the end of a worker that is terminated: its thread is gone, and its fds stay. So a wait in vain ends
/// with a look for the caller's `thread`, and if it is gone, everything that it held is let go: `held` has a byte for
/// each fd, 0 where it was not the caller's.
pub fn wait(
    epoll: i32,
    timeout: u32,
    thread: i32,
    ready: *mut u8,
    ready_len: u32,
    held: *mut u8,
    held_len: u32,
) -> i32 {
    let mut events = [Event { events: 0, data: 0 }; 64];
    let room = (ready_len as usize / 4).min(events.len());
    if room == 0 || ready.is_null() {
        return -EFAULT;
    }
    // SAFETY: there is room for the events that are asked for, and no set of signals
    let count = unsafe {
        syscall(nr::EPOLL_PWAIT, [epoll as usize, events.as_mut_ptr() as usize, room, timeout as usize, 0, 8])
    };
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
    close(fd as i32);
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

/// A ring, mapped until it is dropped.
struct Ring {
    /// Of the first page; the second follows it, and the data.
    mapped: Mapped,
    page: usize,
    /// Bytes of data.
    size: usize,
    kind: Kind,
}

impl Ring {
    fn map(fd: i32, page: usize, size: usize, kind: Kind) -> Result<Ring, i32> {
        let mapped = match kind {
            Kind::Map => {
                let area = Mapped::reserve(2 * page + size)?;
                area.map(0, page, PROT_READ | PROT_WRITE, fd, 0)?;
                area.map(page, page + size, PROT_READ, fd, page)?;
                area
            }
            Kind::Perf => Mapped::new(page + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)?,
        };
        let ring = Ring { mapped, page, size, kind };
        let lies_so = |at, value| ring.word(at).load(Ordering::Relaxed) == value as u64;
        if kind == Kind::Perf && !(lies_so(PERF.2, page) && lies_so(PERF.3, size)) {
            return Err(EINVAL);
        }
        Ok(ring)
    }

    /// Address and what else there is to know, in one word: pages are aligned to 4096.
    fn into_word(self) -> usize {
        let word = self.mapped.address
            | self.size.trailing_zeros() as usize
            | ((self.page / 4096).trailing_zeros() as usize / 2) << 5
            | (self.kind as usize) << 7;
        core::mem::forget(self);
        word
    }

    /// The other way round: whoever has taken a word out of [`RINGS`] may do so once.
    fn from_word(word: usize) -> Option<Ring> {
        if word == 0 {
            return None;
        }
        let (size, page) = (1 << (word & 31), 4096 << (2 * (word >> 5 & 3)));
        let (kind, pages) = if word >> 7 & 1 == 0 { (Kind::Map, 2) } else { (Kind::Perf, 1) };
        let mapped = Mapped { address: word & !4095, len: pages * page + size };
        Some(Ring { mapped, page, size, kind })
    }

    fn drop_word(word: usize) {
        drop(Ring::from_word(word));
    }

    /// A word of the mapped pages, at a multiple of eight.
    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: callers stay inside the pages, which are mapped as long as self; kernel and this file use them as atomics
        unsafe { &*((self.mapped.address + at) as *const AtomicU64) }
    }

    fn drain(&self, consumed: u64, out: *mut u8, room: usize) -> Result<usize, i32> {
        let (consumer, producer, data) = match self.kind {
            Kind::Map => (self.word(0), self.word(self.page), 2 * self.page),
            Kind::Perf => (self.word(PERF.1), self.word(PERF.0), self.page),
        };
        let from = |position: u64| match producer.load(Ordering::Acquire).wrapping_sub(position) {
            // the page can be written by whoever holds the map, so its number is checked like any other
            there if there > self.size as u64 => Err(EINVAL),
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
        // SAFETY: the mask keeps it inside the data, and positions and steps are multiples of HEADER
        let at = |offset: usize| self.word(data + ((position as usize).wrapping_add(offset) & (self.size - 1)));

        let mut done = 0;
        while done + HEADER <= window {
            let Some(length) = self.length(at(done))? else { break };
            let next = done + length;
            if next > window {
                if done == 0 {
                    return Err(if next > there { EINVAL } else { E2BIG });
                }
                break;
            }
            done = next;
        }
        for offset in (0..done).step_by(8) {
            // SAFETY: done <= window, which the caller's buffer has room for
            unsafe { out.add(offset).cast::<u64>().write_unaligned(at(offset).load(Ordering::Relaxed)) };
        }
        Ok(done)
    }

    /// Bytes that a record takes in the ring, as its header has it; none while it is being written.
    fn length(&self, header: &AtomicU64) -> Result<Option<usize>, i32> {
        // SAFETY: the first half of the word, which the kernel writes by itself when a record is complete
        let first = unsafe { &*(header as *const AtomicU64).cast::<AtomicU32>() }.load(Ordering::Acquire);
        match self.kind {
            Kind::Map if first & BUSY != 0 => Ok(None),
            Kind::Map => Ok(Some((HEADER + (first & LENGTH) as usize).next_multiple_of(8))),
            // type, misc and size; what lies before the producer's position is complete
            Kind::Perf => match (header.load(Ordering::Relaxed) >> 48) as usize {
                size if size < HEADER || size % 8 != 0 => Err(EINVAL),
                size => Ok(Some(size)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::close as close_fd;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    const SIZE: usize = 4096;
    const DISCARDED: u32 = 1 << 30;

    /// A file laid out as a ring buffer map is: positions, and records as `(header, length on disk)`.
    struct Fake(std::fs::File);

    impl Fake {
        fn new(consumer: u64, producer: u64, records: &[(u32, &[u8])]) -> Fake {
            let path =
                std::env::temp_dir().join(format!("ring-{}-{:?}", std::process::id(), std::thread::current().id()));
            let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            file.set_len(2 * 4096 + 2 * SIZE as u64).unwrap();
            let mut ring = Fake(file);
            assert_eq!(open(ring.0.as_raw_fd(), SIZE as u32, 0), 0);
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
            let result = read(map, consumed, out.as_mut_ptr().cast(), room as u32);
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

    impl Drop for Fake {
        fn drop(&mut self) {
            close(self.0.as_raw_fd());
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
        let ring = Fake::new(0, 0, &[]);
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
                let result = read(map, consumed, out.as_mut_ptr().cast(), SIZE as u32);
                assert!(result >= 0, "{result}");
                if result == 0 {
                    let mut ready = [0u8; 8];
                    let none = core::ptr::null_mut();
                    assert!(wait(epoll, 1000, 0, ready.as_mut_ptr(), 8, none, 0) >= 0);
                }
                consumed = result as u32;
                for record in out[..result as usize / 8].chunks(2) {
                    assert_eq!(record, [8, next]);
                    next += 1;
                }
            }
            assert_eq!(producer.join().unwrap(), Ok(()), "the reader sleeps though there are records");
        });
        close_fd(epoll);
        close_fd(wake);
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
            wait(epoll, 100, thread, ready.as_mut_ptr(), 4, held.as_mut_ptr(), held.len() as u32)
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
        let ring = Fake::new(0, 40, &[(8, b"12345678"), (DISCARDED | 3, b"abc"), (BUSY, b"")]);
        let (result, words) = ring.read(0, 4096);
        assert_eq!(result, 32);
        assert_eq!((words[0], words[1]), (8, word(b"12345678")));
        assert_eq!((words[2], words[3]), ((DISCARDED | 3) as u64, word(b"abc\0\0\0\0\0")));
        assert_eq!(ring.consumer(), 0);
    }

    #[test]
    fn what_is_consumed_goes_back() {
        let ring = Fake::new(0, 32, &[(8, b"12345678"), (8, b"abcdefgh")]);
        assert_eq!(ring.read(16, 4096).1, [8, word(b"abcdefgh")]);
        assert_eq!(ring.consumer(), 16);
        assert_eq!(ring.read(16, 4096).0, 0);
        assert_eq!(ring.consumer(), 32);
        assert_eq!(ring.read(8, 4096).0, -EINVAL); // more than there was
    }

    #[test]
    fn a_record_goes_on_beyond_the_end_of_the_ring() {
        let before = 3 * SIZE as u64 - 16;
        let ring = Fake::new(before, before + 32, &[(24, b"123456781234567812345678")]);
        assert_eq!(ring.read(0, 4096).1, [24, word(b"12345678"), word(b"12345678"), word(b"12345678")]);
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let ring = Fake::new(0, 32, &[(8, b"12345678"), (8, b"abcdefgh")]);
        assert_eq!(ring.read(0, 31).1, [8, word(b"12345678")]);
        assert_eq!(ring.read(0, 15).0, -E2BIG);
        assert_eq!(ring.read(0, 0).0, 0);
    }

    #[test]
    fn positions_and_lengths_are_not_believed() {
        assert_eq!(Fake::new(4, 32, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Fake::new(32, 0, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Fake::new(0, SIZE as u64 + 8, &[]).read(0, 4096).0, -EINVAL);
        assert_eq!(Fake::new(0, 16, &[(LENGTH, b"")]).read(0, 4096).0, -EINVAL);
        assert_eq!(Fake::new(0, 16, &[(9, b"")]).read(0, 4096).0, -EINVAL);
        assert_eq!(Fake::new(0, !7, &[]).read(0, 4096).0, -EINVAL);
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
            let ring = Fake::new(consumer % (1 << 40), consumer.wrapping_add(there), &records);
            let (consumed, room) = (next() % 64 * 4, next() as usize % 5000);
            let (result, _) = ring.read(consumed, room);
            assert!(result <= room as i32, "{result} bytes in {room}");
        }
    }

    #[test]
    fn null_sizes_and_other_files_are_refused() {
        let read = |fd| read(fd, 0, core::ptr::null_mut(), 8);
        let ring = Fake::new(0, 16, &[(8, b"12345678")]);
        let fd = ring.0.as_raw_fd();
        assert_eq!(read(fd), -EFAULT);
        assert_eq!(open(fd, 3, 0), -EINVAL);
        assert_eq!(open(-1, SIZE as u32, 0), -EBADF);
        assert_eq!(open(RINGS.len() as i32 - 1, SIZE as u32, 0), -EBADF);
        assert_eq!(open(RINGS.len() as i32, SIZE as u32, 0), -EMFILE);
        assert_eq!((read(-1), read(RINGS.len() as i32)), (-EBADF, -EBADF));
        close(fd);
        close(fd);
        assert_eq!(read(fd), -EBADF);
    }

    #[test]
    fn a_ring_is_unmapped_when_another_takes_its_place_or_is_opened_again() {
        let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("ring-again").count();
        let path = std::env::temp_dir().join(format!("ring-again-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(16 * 4096).unwrap();
        for _ in 0..3 {
            assert_eq!(open(file.as_raw_fd(), SIZE as u32, 0), 0);
            assert_eq!(mapped(), 2);
        }
        close(file.as_raw_fd());
        assert_eq!(mapped(), 0);
    }

    /// A file laid out as the pages of a perf event are: positions, and what lies in the ring from the tail on.
    fn perf_event(tail: u64, head: u64, words: &[u64]) -> Fake {
        let mut ring = Fake::new(0, 0, &[]);
        close(ring.0.as_raw_fd());
        for (at, value) in [(PERF.0, head), (PERF.1, tail), (PERF.2, 4096), (PERF.3, SIZE as u64)] {
            ring.write(at, &value.to_ne_bytes());
        }
        for (i, word) in words.iter().enumerate() {
            ring.write(4096 + (tail as usize + i * 8) % SIZE, &word.to_ne_bytes());
        }
        assert_eq!(open(ring.0.as_raw_fd(), SIZE as u32, 1), 0);
        ring
    }

    #[test]
    fn records_of_a_perf_event_go_on_at_the_begin_of_the_ring() {
        let (sample, lost) = (9 | 16 << 48, 2 | 24 << 48);
        let event = perf_event(3 * SIZE as u64 - 24, 3 * SIZE as u64 + 16, &[sample, 7, lost, 8, 9]);
        assert_eq!(event.read(0, 4096), (40, vec![sample, 7, lost, 8, 9]));
        assert_eq!(event.read(0, 39), (16, vec![sample, 7]));
        assert_eq!(event.read(0, 8).0, -E2BIG);
        assert_eq!(event.read(16, 4096).1, [lost, 8, 9]);
        assert_eq!(event.read(24, 4096).0, 0);
    }

    #[test]
    fn positions_and_lengths_of_a_perf_event_are_not_believed() {
        for (tail, head, header) in
            [(0, 4104, 16), (8, 0, 16), (4, 20, 16), (0, 16, 0), (0, 16, 7), (0, 16, 12), (0, 16, 24)]
        {
            assert_eq!(
                perf_event(tail, head, &[header << 48, 0, 0]).read(0, 4096).0,
                -EINVAL,
                "{tail} {head} {header}"
            );
        }
        let ring = Fake::new(0, 0, &[]); // no perf event
        assert_eq!(open(ring.0.as_raw_fd(), SIZE as u32, 1), -EINVAL);
    }
}
