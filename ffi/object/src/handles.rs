//! Objects under numbers, which are a slot and how often it was used before: a number whose object was closed reaches
//! no other one. The slot is empty while a call works on its object, so a second call at the same time, from another
//! thread, is refused with EBUSY rather than meeting it half changed.
use core::ffi::c_char;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::libbpf::{Link, Object};
use crate::libc::{EBADF, EBUSY, EMFILE};

/// An object and its links that have no fd.
pub struct Held {
    pub object: *mut Object,
    /// Whether it was tried to load it.
    pub tried: bool,
    pub loaded: bool,
    /// What libbpf said while it was loaded, if nobody wanted that at once.
    pub log: *mut c_char,
    pub links: *mut Node,
    pub next_link: u32,
}

pub struct Node {
    pub link: *mut Link,
    pub number: u32,
    pub next: *mut Node,
}

const SLOT_BITS: u32 = 10;
const GENERATIONS: u32 = 1 << (31 - SLOT_BITS); // a handle is a positive i32

struct Slot {
    held: AtomicPtr<Held>,
    generation: AtomicU32,
}

static SLOTS: [Slot; 1 << SLOT_BITS] =
    [const { Slot { held: AtomicPtr::new(null_mut()), generation: AtomicU32::new(0) } }; 1 << SLOT_BITS];

/// Stands in the slot of an object that a call works on.
const BUSY: *mut Held = core::ptr::dangling_mut();

/// Gives an object a handle. The caller keeps it if there is none.
pub fn insert(held: *mut Held) -> Result<i32, i32> {
    for (index, slot) in SLOTS.iter().enumerate() {
        if slot.held.compare_exchange(null_mut(), BUSY, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        let generation = slot.generation.load(Ordering::Relaxed);
        if generation < GENERATIONS {
            slot.held.store(held, Ordering::Release);
            return Ok((generation << SLOT_BITS | index as u32) as i32);
        }
        slot.held.store(null_mut(), Ordering::Release); // used up
    }
    Err(EMFILE)
}

/// Takes an object out of its slot, for this call alone.
fn take(handle: u32) -> Result<(&'static Slot, *mut Held), i32> {
    let slot = &SLOTS[(handle & ((1 << SLOT_BITS) - 1)) as usize];
    let current = || slot.generation.load(Ordering::Acquire) == handle >> SLOT_BITS;
    if !current() {
        return Err(EBADF);
    }
    match slot.held.swap(BUSY, Ordering::AcqRel) {
        BUSY => Err(EBUSY),
        held if held.is_null() || !current() => {
            slot.held.store(held, Ordering::Release);
            Err(EBADF)
        }
        held => Ok((slot, held)),
    }
}

/// Runs `act` on the object.
pub fn with(handle: u32, act: impl FnOnce(&mut Held) -> Result<i32, i32>) -> i32 {
    take(handle)
        .and_then(|(slot, held)| {
            // SAFETY: from insert(); this call alone has it until it is put back
            let result = act(unsafe { &mut *held });
            slot.held.store(held, Ordering::Release);
            result
        })
        .unwrap_or_else(|errno| -errno)
}

/// Runs `end` on the object, whose handle is worth nothing from then on.
pub fn remove(handle: u32, end: impl FnOnce(*mut Held)) -> i32 {
    match take(handle) {
        Err(errno) => -errno,
        Ok((slot, held)) => {
            end(held);
            slot.generation.fetch_add(1, Ordering::Release);
            slot.held.store(null_mut(), Ordering::Release);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> *mut Held {
        let (object, log, links) = (null_mut(), null_mut(), null_mut());
        Box::into_raw(Box::new(Held { object, tried: false, loaded: false, log, links, next_link: 0 }))
    }

    fn remove_one(handle: u32) -> i32 {
        // SAFETY: from held()
        remove(handle, |held| drop(unsafe { Box::from_raw(held) }))
    }

    #[test]
    fn a_handle_reaches_its_own_object_alone_and_that_until_it_is_removed() {
        let first = insert(held()).unwrap() as u32;
        assert_eq!(with(first, |_| Ok(with(first, |_| Ok(0)))), -EBUSY, "while a call works on it");
        assert_eq!(with(first, |_| Ok(7)), 7);
        assert_eq!(remove_one(first), 0);
        assert_eq!((with(first, |_| Ok(7)), remove_one(first)), (-EBADF, -EBADF));
        let second = insert(held()).unwrap() as u32;
        assert_ne!(first, second);
        assert_eq!(with(first, |_| Ok(7)), -EBADF, "another object may be in the slot");
        assert_eq!(remove_one(second), 0);
        assert_eq!(with(u32::MAX, |_| Ok(7)), -EBADF);
    }
}
