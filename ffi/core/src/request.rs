//! A request: all that one system call needs, in one buffer of the caller.
//!
//! ```text
//! header       6 words: size of arguments, size of common, count of slots, count of owned fds, netns fd or -1, zero
//! arguments    what the kernel reads first (bpf_attr, or six u64)
//! common       bpf_common_attr, usually absent
//! data         everything that a pointer of the blocks above, or of data itself, refers to
//! slots        pairs of words: the u64 at the first offset gets the address of the byte at the second
//! owned fds    at most 8 words; closed as soon as the call has returned
//! ```
//! Offsets count from the start of the request. Addresses are written just before the call and wiped after it, so
//! the caller never sees one. A call that writes past its room reaches the slots and the owned fds, so the latter are
//! read before it, and the former are checked whenever they are read. A call whose sizes are a map's, not the caller's,
//! works on a copy of all but the tail, which ends where nobody may write.
use crate::mapped::with_guarded;
use crate::syscall::{self, EFAULT, EINVAL};

/// Sizes in bytes, numbers of slots and fds.
#[repr(C)]
struct Header {
    arguments: u32,
    common: u32,
    slots: u32,
    owned: u32,
    netns: i32,
    zero: u32,
}

const HEADER: usize = size_of::<Header>();
/// A request owns at most so many fds.
const OWNED: usize = 8;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 7] = [
    ("HEADER", HEADER),
    ("ARGUMENTS", core::mem::offset_of!(Header, arguments)),
    ("COMMON", core::mem::offset_of!(Header, common)),
    ("SLOTS", core::mem::offset_of!(Header, slots)),
    ("OWNED", core::mem::offset_of!(Header, owned)),
    ("NETNS", core::mem::offset_of!(Header, netns)),
    ("NO_NETNS", syscall::NO_NETNS as u32 as usize),
];

/// Who says how large the data is.
#[derive(Clone, Copy, PartialEq)]
pub enum Sizes {
    Caller,
    /// A map that is read.
    MapRead,
    /// A map that is written: the call leaves no answer.
    MapWritten,
}

#[derive(Clone, Copy)]
pub struct Request {
    base: *mut u8,
    /// The caller's buffer, where the tail is.
    buffer: *const u8,
    arguments: usize,
    common: usize,
    slots: usize,
    slot_count: usize,
    owned_count: usize,
    netns: i32,
}

impl Request {
    /// Checks the request, makes `call` with it, and closes the fds that it owns. A malformed request makes no call.
    /// Where a map says how large the data is, a call that goes beyond its end fails with EFAULT.
    pub fn run(buffer: *mut u8, len: u32, sizes: Sizes, call: &dyn Fn(&Request) -> i32) -> i32 {
        match Self::parse(buffer, len) {
            Err(errno) => -errno,
            Ok(request) => {
                let owned: [i32; OWNED] = core::array::from_fn(|i| request.owned(i));
                let result = match sizes {
                    Sizes::Caller => request.make(call),
                    Sizes::MapRead => request.make_guarded(request.last_room(), request.slots, call),
                    Sizes::MapWritten => request.make_guarded(request.slots, 0, call),
                };
                for fd in &owned[..request.owned_count] {
                    syscall::close(*fd);
                }
                result
            }
        }
    }

    #[inline(always)]
    fn make(&self, call: &dyn Fn(&Request) -> i32) -> i32 {
        self.write_addresses(true);
        let result = syscall::in_netns(self.netns, || call(self));
        self.write_addresses(false);
        result
    }

    /// The call sees the first `given` bytes; the first `answered` bytes of what it leaves are copied back.
    fn make_guarded(&self, given: usize, answered: usize, call: &dyn Fn(&Request) -> i32) -> i32 {
        if (self.base as usize | self.slots) & 7 != 0 {
            return -EINVAL;
        }
        let made = with_guarded(self.slots, |room| {
            // SAFETY: both have room for the blocks and the data, and do not overlap
            unsafe { copy(self.base, room, given) };
            let result = Request { base: room, ..*self }.make(call);
            // SAFETY: the same
            unsafe { copy(room, self.base, answered) };
            result
        });
        made.unwrap_or_else(|errno| -errno)
    }

    /// Address and size of what the kernel reads first.
    pub fn arguments(&self) -> (usize, usize) {
        (self.base as usize + HEADER, self.arguments)
    }

    /// Address and size of the `bpf_common_attr`; (0, 0) without one.
    pub fn common(&self) -> (usize, usize) {
        match self.common {
            0 => (0, 0),
            size => (self.base as usize + HEADER + self.arguments, size),
        }
    }

    fn parse(base: *mut u8, len: u32) -> Result<Request, i32> {
        let len = len as usize;
        if base.is_null() {
            return Err(EFAULT);
        }
        if len < HEADER {
            return Err(EINVAL);
        }
        // SAFETY: the caller's buffer has room for it
        let header = unsafe { base.cast::<Header>().read_unaligned() };
        let mut r = Request {
            base,
            buffer: base,
            arguments: header.arguments as usize,
            common: header.common as usize,
            slots: 0,
            slot_count: header.slots as usize,
            owned_count: header.owned as usize,
            netns: header.netns,
        };
        // usize is 64 bits wide here, so sums of words cannot wrap
        let tail = r.slot_count * 8 + r.owned_count * 4;
        if HEADER + r.arguments + r.common + tail > len || r.owned_count > OWNED || header.zero != 0 {
            return Err(EINVAL);
        }
        r.slots = len - tail;
        for i in 0..r.slot_count {
            r.slot(i).ok_or(EINVAL)?;
        }
        Ok(r)
    }

    fn write_addresses(&self, show: bool) {
        for i in 0..self.slot_count {
            // as parse saw it, unless the call has written over it
            let Some((at, to)) = self.slot(i) else { continue };
            let address = if show { self.base as u64 + to as u64 } else { 0 };
            // SAFETY: HEADER <= at <= slots - 8, which lies inside the caller's buffer
            unsafe { self.base.add(at).cast::<u64>().write_unaligned(address) };
        }
    }

    /// Where the room of the last slot begins, which is for an answer and the end of the data.
    fn last_room(&self) -> usize {
        (0..self.slot_count).filter_map(|i| self.slot(i)).map(|(_, to)| to & !7).max().unwrap_or(self.slots)
    }

    /// A slot, if both its offsets are right.
    fn slot(&self, i: usize) -> Option<(usize, usize)> {
        let slot = self.slots + i * 8;
        let (at, to) = (self.word(slot) as usize, self.word(slot + 4) as usize);
        // multiples of eight cannot overlap in part, and the header and the slots stay out of reach
        let is_right = at % 8 == 0 && at >= HEADER && at + 8 <= self.slots && to >= HEADER && to <= self.slots;
        is_right.then_some((at, to))
    }

    /// An owned fd; -1 for more than there are.
    fn owned(&self, i: usize) -> i32 {
        if i < self.owned_count { self.word(self.slots + self.slot_count * 8 + i * 4) as i32 } else { -1 }
    }

    fn word(&self, at: usize) -> u32 {
        // SAFETY: called with offsets of a slot or of an owned fd, all inside the caller's buffer
        unsafe { self.buffer.add(at).cast::<u32>().read_unaligned() }
    }
}

/// Copies words: a plain copy would be a call of the C library.
///
/// # Safety
/// Both must be aligned and have `len` bytes, a multiple of eight, which do not overlap.
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    for at in (0..len).step_by(8) {
        // SAFETY: at + 8 <= len
        unsafe { to.add(at).cast::<u64>().write_volatile(from.add(at).cast::<u64>().read_volatile()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request from its words, then `extra` bytes of data, then the words of the tail.
    fn build(header: [u32; 6], body: usize, tail: &[u32]) -> Vec<u8> {
        let mut bytes: Vec<u8> = header.iter().flat_map(|w| w.to_ne_bytes()).collect();
        bytes.resize(HEADER + body, 0);
        bytes.extend(tail.iter().flat_map(|w| w.to_ne_bytes()));
        bytes
    }

    fn run(bytes: &mut [u8], call: impl Fn(&Request) -> i32) -> i32 {
        Request::run(bytes.as_mut_ptr(), bytes.len() as u32, Sizes::Caller, &call)
    }

    const HOME: u32 = u32::MAX; // netns -1

    /// An fd to give away, and what tells whether it was closed. Its number would not: another test may have it by then.
    fn pair() -> (u32, impl Fn() -> bool) {
        use std::{io::Read, os::fd::IntoRawFd, os::unix::net::UnixStream, time::Duration};
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        (ours.into_raw_fd() as u32, move || matches!((&peer).read(&mut [0]), Ok(0)))
    }

    fn refused(mut bytes: Vec<u8>) -> i32 {
        run(&mut bytes, |_| panic!("a malformed request must not reach the kernel"))
    }

    #[test]
    fn null_and_short_buffers_are_refused() {
        assert_eq!(Request::run(core::ptr::null_mut(), 24, Sizes::Caller, &|_| panic!()), -EFAULT);
        let mut empty = [0u8; 1];
        assert_eq!(Request::run(empty.as_mut_ptr(), 0, Sizes::Caller, &|_| panic!()), -EINVAL);
        assert_eq!(refused(vec![0; HEADER - 1]), -EINVAL);
    }

    #[test]
    fn blocks_must_fit() {
        assert_eq!(refused(build([9, 0, 0, 0, HOME, 0], 8, &[])), -EINVAL);
        assert_eq!(refused(build([8, 1, 0, 0, HOME, 0], 8, &[])), -EINVAL);
        assert_eq!(refused(build([8, 0, 1, 0, HOME, 0], 8, &[24])), -EINVAL);
        assert_eq!(refused(build([8, 0, 0, 2, HOME, 0], 8, &[3])), -EINVAL);
        assert_eq!(refused(build([8, 0, 0, 9, HOME, 0], 8, &[u32::MAX; 9])), -EINVAL);
        assert_eq!(refused(build([u32::MAX, u32::MAX, u32::MAX, u32::MAX, HOME, 0], 8, &[])), -EINVAL);
        assert_eq!(refused(build([8, 0, 0, 0, HOME, 1], 8, &[])), -EINVAL);
        assert_eq!(run(&mut build([8, 0, 0, 0, HOME, 0], 8, &[]), |r| r.arguments().1 as i32), 8);
        assert_eq!(run(&mut build([8, 8, 0, 0, HOME, 0], 16, &[]), |r| (r.common().0 - r.arguments().0) as i32), 8);
        assert_eq!(run(&mut build([8, 0, 0, 0, HOME, 0], 16, &[]), |r| r.common().0 as i32), 0);
    }

    #[test]
    fn slots_stay_between_header_and_tail() {
        for (at, to) in [(16, 32), (20, 32), (28, 32), (40, 32), (u32::MAX - 7, 32), (24, 23), (24, 41), (24, u32::MAX)]
        {
            assert_eq!(refused(build([8, 0, 1, 0, HOME, 0], 16, &[at, to])), -EINVAL, "slot {at} -> {to}");
        }
    }

    #[test]
    fn addresses_are_there_during_the_call_and_wiped_after_it() {
        let mut bytes = build([8, 0, 2, 0, HOME, 0], 24, &[24, 40, 32, 24]);
        let base = bytes.as_ptr() as u64;
        // SAFETY: only called with addresses inside `bytes`
        let read = |p: usize| u64::from_ne_bytes(unsafe { *(p as *const [u8; 8]) });
        let seen = run(&mut bytes, |r| {
            let (at, _) = r.arguments();
            assert_eq!(read(at), base + 40);
            assert_eq!(read(at + 8), base + 24);
            7
        });
        assert_eq!(seen, 7);
        assert!(bytes[HEADER..48].iter().all(|b| *b == 0));
    }

    #[test]
    fn one_slot_named_twice_keeps_the_last_address() {
        let mut bytes = build([8, 0, 2, 0, HOME, 0], 8, &[24, 24, 24, 32]);
        let base = bytes.as_ptr() as u64;
        run(&mut bytes, |r| {
            // SAFETY: the argument block lies inside `bytes`
            let word = unsafe { *(r.arguments().0 as *const [u8; 8]) };
            assert_eq!(u64::from_ne_bytes(word), base + 32);
            0
        });
    }

    #[test]
    fn what_the_call_writes_over_the_tail_is_not_believed() {
        let ((fd, is_closed), (other, is_other_closed)) = (pair(), pair());
        let request = build([8, 0, 2, 1, HOME, 0], 8, &[24, 32, 24, 24, fd]);
        let (start, end) = (64, 64 + request.len());
        let mut bytes = vec![0xaa; end + 64];
        bytes[start..end].copy_from_slice(&request);
        run(&mut bytes[start..end], |r| {
            let tail = [0, 32, (end - start) as u32 + 4, 24, other];
            // SAFETY: the tail begins 32 bytes after `base`
            unsafe { r.base.add(32).cast::<[u32; 5]>().write_unaligned(tail) };
            0
        });
        assert_eq!(bytes[start..start + HEADER], request[..HEADER]);
        assert!(bytes[end..].iter().all(|byte| *byte == 0xaa));
        assert!(is_closed() && !is_other_closed());
        syscall::close(other as i32);
    }

    /// A buffer that is aligned as those of JavaScript are.
    fn aligned(bytes: &[u8]) -> Vec<u64> {
        bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_guarded_call_that_writes_beyond_the_data_damages_nothing() {
        use std::{io::Write, os::fd::AsRawFd, os::unix::net::UnixStream};
        for extra in [16, 1 << 20] {
            let bytes = build([8, 0, 1, 0, HOME, 0], 8 + extra, &[24, 32]);
            let mut words = aligned(&bytes);
            words.extend([u64::MAX; 8]);
            let (mut writer, reader) = UnixStream::pair().unwrap();
            let read = |r: &Request, size: usize| {
                // SAFETY: what has no room for it is not mapped for writing
                unsafe {
                    syscall::syscall(
                        syscall::nr::READ,
                        [reader.as_raw_fd() as usize, r.arguments().0 + 8, size, 0, 0, 0],
                    )
                }
            };
            let buffer = words.as_mut_ptr().cast::<u8>();
            writer.write_all(&[7; 64]).unwrap();
            assert_eq!(Request::run(buffer, bytes.len() as u32, Sizes::MapRead, &|r| read(r, 16)), 16);
            assert_eq!(words[4..6], [0x0707_0707_0707_0707; 2], "the answer is copied back");
            assert_eq!(words[3], 0, "the address is not");
            let beyond = Request::run(words.as_mut_ptr().cast(), bytes.len() as u32, Sizes::MapRead, &|r| {
                // SAFETY: as above; the last word of the room and eight bytes more
                unsafe {
                    syscall::syscall(
                        syscall::nr::READ,
                        [reader.as_raw_fd() as usize, r.arguments().0 + extra, 16, 0, 0, 0],
                    )
                }
            });
            assert_eq!(beyond, -EFAULT);
            assert_eq!(words[words.len() - 8..], [u64::MAX; 8]);
        }
    }

    #[test]
    fn guarded_calls_at_once_do_not_share_their_room() {
        let request = build([8, 0, 0, 0, HOME, 0], 8, &[]);
        let (mut first, mut second) = (aligned(&request), aligned(&request));
        let (second, len) = (second.as_mut_ptr().cast::<u8>(), request.len() as u32);
        let result = Request::run(first.as_mut_ptr().cast(), len, Sizes::MapRead, &|outer| {
            Request::run(second, len, Sizes::MapRead, &|inner| i32::from(inner.arguments().0 != outer.arguments().0))
        });
        assert_eq!(result, 1);
        // SAFETY: `first` is aligned, but this is not
        assert_eq!(Request::run(unsafe { second.add(4) }, len - 4, Sizes::MapRead, &|_| panic!()), -EINVAL);
    }

    #[test]
    fn owned_fds_are_closed_even_if_the_call_fails() {
        let (fd, is_closed) = pair();
        assert_eq!(run(&mut build([8, 0, 0, 1, HOME, 0], 8, &[fd]), |_| -1), -1);
        assert!(is_closed());
    }
}
