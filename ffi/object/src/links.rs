//! What libbpf attaches: USDT probes, which are entries of a map that it keeps too, and maps of struct_ops, whose value
//! it alone has in the kernel's layout.
use core::mem::size_of;

use crate::buffer::{Bytes, Reader, Room};
use crate::handles::{self, Held, Node};
use crate::libbpf::*;
use crate::libc::{self, EINVAL, ENOENT, ENOMEM};
use crate::object::{NO_LOG, checked, failure, logged, map, program};

const BY_SECTION: u32 = 0;
const USDT: u32 = 1;
const STRUCT_OPS: u32 = 2;
const TAKE_FD: u32 = 3;

/// Marks the number of a link that stays here.
const KEPT: i32 = 1 << 30;

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 5] = [
    ("BY_SECTION", BY_SECTION as usize),
    ("USDT", USDT as usize),
    ("STRUCT_OPS", STRUCT_OPS as usize),
    ("TAKE_FD", TAKE_FD as usize),
    ("KEPT", KEPT as usize),
];

const BPF_F_LINK: u32 = 1 << 13;

/// [`BY_SECTION`]: a program as its section's name says. [`USDT`]: a program, with options pid (-1 for all), cookie (low
/// half first), path, provider, name. [`STRUCT_OPS`]: a map. [`TAKE_FD`]: nothing, but gives the fd away that is all of
/// the kernel's link, of one that stays here and has this number; ENOENT if it has several.
pub fn attach(handle: u32, how: u32, index: u32, options: Bytes, log: Room) -> i32 {
    handles::with(handle, |held| {
        if !held.loaded {
            return Err(EINVAL); // libbpf takes files that stand in for maps for maps
        }
        if how == TAKE_FD {
            // SAFETY: a node of the list
            let fd = unsafe { glue_take_fd((**find(held, index)?).link) };
            return if fd < 0 { Err(ENOENT) } else { Ok(fd) };
        }
        logged(log, || {
            let (link, is_fd) = start(held, how, index, Reader(options))?;
            settle(held, link, is_fd)
        })
    })
}

/// A link, and whether the fd that it may have is its own.
fn start(held: &Held, how: u32, index: u32, mut options: Reader) -> Result<(*mut Link, bool), i32> {
    let mut is_fd = true;
    // SAFETY: the object is loaded; libbpf checks whether this program or map is
    let link = unsafe {
        match how {
            BY_SECTION => match program(held, index) {
                program if program.is_null() => return Err(ENOENT),
                program => bpf_program__attach(program),
            },
            USDT => {
                let (mut number, mut numbers) = (|| options.u32().ok_or(EINVAL), [0u32; 3]);
                for at in &mut numbers {
                    *at = number()?;
                }
                let mut text = || options.text().ok_or(EINVAL);
                let (path, provider, name) = (text()?, text()?, text()?);
                let [pid, low, high] = numbers;
                let opts = UsdtOpts { size: size_of::<UsdtOpts>(), usdt_cookie: low as u64 | (high as u64) << 32 };
                match program(held, index) {
                    program if program.is_null() => return Err(ENOENT),
                    _ if path.is_null() || provider.is_null() || name.is_null() => return Err(EINVAL),
                    program => bpf_program__attach_usdt(program, pid as i32, path, provider, name, &opts),
                }
            }
            STRUCT_OPS => match map(held, index) {
                map if map.is_null() => return Err(ENOENT),
                map => {
                    // Else it is registered by writing the map's value, and what libbpf calls a link has the map's fd.
                    is_fd = bpf_map__map_flags(map) & BPF_F_LINK != 0;
                    bpf_map__attach_struct_ops(map)
                }
            },
            _ => return Err(EINVAL),
        }
    };
    if link.is_null() { Err(failure()) } else { Ok((link, is_fd)) }
}

/// Gives the link's fd away and forgets the link, or keeps the one that has none.
fn settle(held: &mut Held, link: *mut Link, is_fd: bool) -> Result<i32, i32> {
    // SAFETY: a link that libbpf just made
    unsafe {
        let fd = bpf_link__fd(link);
        if is_fd && fd > 0 {
            let other = glue_other_fd(link);
            if other >= 0 {
                libc::close(other);
            }
            bpf_link__disconnect(link);
            bpf_link__destroy(link); // only memory
            return Ok(fd);
        }
        let node: *mut Node = libc::malloc(size_of::<Node>()).cast();
        if node.is_null() {
            bpf_link__destroy(link);
            return Err(ENOMEM);
        }
        held.next_link += 1;
        node.write(Node { link, number: held.next_link, next: held.links });
        held.links = node;
        Ok(KEPT | held.next_link as i32)
    }
}

pub fn detach(handle: u32, number: u32) -> i32 {
    handles::with(handle, |held| {
        let at = find(held, number)?;
        // SAFETY: a node of the list, which nothing refers to but the one before it
        unsafe {
            let gone = *at;
            let Node { link, next, .. } = gone.read();
            *at = next;
            libc::free(gone.cast());
            checked(logged(NO_LOG, || bpf_link__destroy(link)))
        }
    })
}

/// What points to the link of a number.
fn find(held: &mut Held, number: u32) -> Result<*mut *mut Node, i32> {
    let mut at = &raw mut held.links;
    // SAFETY: nodes of this list
    unsafe {
        while let Some(node) = (*at).as_mut() {
            if node.number == number {
                return Ok(at);
            }
            at = &raw mut node.next;
        }
    }
    Err(ENOENT)
}
