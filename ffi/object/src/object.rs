//! Opening, loading and closing objects.
use core::mem::size_of;
use core::ptr::{copy_nonoverlapping, null_mut};

use crate::buffer::{Bytes, Reader, Room};
use crate::handles::{self, Held};
use crate::libbpf::*;
use crate::libc::{self, EALREADY, EINVAL, ENOMEM};

/// libbpf's messages of this thread go into the caller's buffer while `act` runs. One without a room drops them.
pub fn logged<T>((text, room): Room, act: impl FnOnce() -> T) -> T {
    // SAFETY: the caller's buffer, until the end of this function
    unsafe { glue_log_to(text.cast(), room as usize) };
    let result = act();
    // SAFETY: no buffer
    unsafe { glue_log_to(null_mut(), 0) };
    result
}

pub const NO_LOG: Room = (null_mut(), 0);

/// What libbpf's functions that return an `int` say.
pub fn checked(result: i32) -> Result<i32, i32> {
    if result < 0 { Err(-result) } else { Ok(result) }
}

/// Why a function of libbpf that returns a pointer returned none.
pub fn failure() -> i32 {
    libc::errno().max(1)
}

/// `options` are five strings, each empty if absent: a name, the directory of pins, the file of another kernel's BTF,
/// lines of kernel configuration, the directory for a token.
pub fn open((bytes, len): Bytes, options: Bytes, log: Room) -> i32 {
    let mut options = Reader(options);
    let mut text = || options.text();
    let (Some(name), Some(pins), Some(btf), Some(kconfig), Some(token)) = (text(), text(), text(), text(), text())
    else {
        return -EINVAL;
    };
    let opts = OpenOpts {
        size: size_of::<OpenOpts>(),
        object_name: if name.is_null() { c"object".as_ptr() } else { name },
        relaxed_maps: false,
        pin_root_path: pins,
        removed: 0,
        kconfig,
        btf_custom_path: btf,
        kernel_log_buf: null_mut(),
        kernel_log_size: 0,
        kernel_log_level: 0,
        // An empty one is none; without one libbpf would look for a token by itself.
        bpf_token_path: if token.is_null() { c"".as_ptr() } else { token },
    };
    // SAFETY: the copy is aligned and nobody else changes it; libbpf has copied what it keeps when it returns
    unsafe {
        let copy = libc::malloc(len.max(1) as usize);
        let held: *mut Held = libc::calloc(1, size_of::<Held>()).cast();
        if copy.is_null() || held.is_null() {
            libc::free(copy);
            libc::free(held.cast());
            return -ENOMEM;
        }
        copy_nonoverlapping(bytes, copy.cast(), len as usize);
        libbpf_set_memlock_rlim(0); // a limit of the process is its own affair
        let opened = logged(log, || {
            let object = bpf_object__open_mem(copy, len as usize, &opts);
            if object.is_null() { Err(failure()) } else { Ok(object) }
        });
        libc::free(copy);
        let result = opened.and_then(|object| {
            (*held).object = object;
            handles::insert(held).inspect_err(|_| bpf_object__close(object))
        });
        result.unwrap_or_else(|errno| {
            libc::free(held.cast());
            -errno
        })
    }
}

/// How much is kept of what libbpf says while it loads.
const LOG: u32 = 1 << 20;

/// Once: after a failure libbpf has ended half of what it would need. Without room for a log it is kept, to be read
/// ([`crate::memory`]): on another thread that is the way, for the caller's memory may be gone when the load ends.
pub fn load(handle: u32, log: Room) -> i32 {
    handles::with(handle, |held| {
        if held.tried {
            return Err(EALREADY);
        }
        held.tried = true;
        let mut room = log;
        if log.1 == 0 {
            // SAFETY: memory of its own; pages that nothing is written to cost nothing
            held.log = unsafe { libc::calloc(1, LOG as usize) }.cast();
            room = (held.log.cast(), if held.log.is_null() { 0 } else { LOG });
        }
        // SAFETY: an open object
        let result = checked(logged(room, || unsafe { bpf_object__load(held.object) }));
        if result.is_ok() {
            held.loaded = true;
            // SAFETY: loaded
            unsafe { glue_map_reused_sections(held.object) };
        }
        result
    })
}

pub fn close(handle: u32) -> i32 {
    handles::remove(handle, |held| {
        // SAFETY: nobody else has it, nor will; links go first, for they refer to the object
        logged(NO_LOG, || unsafe {
            while let Some(node) = (*held).links.as_mut() {
                bpf_link__destroy(node.link);
                (*held).links = node.next;
                libc::free((&raw mut *node).cast());
            }
            bpf_object__close((*held).object);
            libc::free((*held).log.cast());
            libc::free(held.cast());
        });
    })
}

/// A program by its place in [`crate::describe`]'s list, or null.
pub fn program(held: &Held, index: u32) -> *mut Program {
    // SAFETY: libbpf's own list
    nth(index, |at| unsafe { bpf_object__next_program(held.object, at) })
}

/// A map likewise.
pub fn map(held: &Held, index: u32) -> *mut Map {
    // SAFETY: libbpf's own list
    nth(index, |at| unsafe { bpf_object__next_map(held.object, at) })
}

/// What comes at a place of a list that ends with null.
fn nth<T>(index: u32, next: impl Fn(*mut T) -> *mut T) -> *mut T {
    let mut at = next(null_mut());
    for _ in 0..index {
        if at.is_null() {
            break;
        }
        at = next(at);
    }
    at
}
