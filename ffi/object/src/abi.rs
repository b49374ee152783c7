//! What the library exports, and all of it. `ffi/bindgen` compiles this same file with the feature `bindgen`, which
//! swaps `no_mangle` for `#[deno_bindgen]` and so learns the signatures for `lib/ffi/object/symbols.ts`.
//!
//! Scalars are 32 bits wide, every pointer is a buffer of the caller whose length follows it, results are >= 0 or
//! `-errno`; libbpf's own errors begin at 4000. `log` takes libbpf's messages, as one string that ends with NUL.
use crate::{describe, links, memory, object, settings};

/// The version of this interface: another number for each change of signatures, calls or layouts.
pub const VERSION: u32 = 1;

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 1] = [("VERSION", VERSION as usize)];

/// The [`VERSION`]. TypeScript refuses a library that answers another number.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_abi() -> u32 {
    VERSION
}

/// Parses a compiled object and returns its handle; nothing happens in the kernel yet. See [`object::open`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_open(
    bytes: *const u8,
    bytes_len: u32,
    options: *const u8,
    options_len: u32,
    log: *mut u8,
    log_len: u32,
) -> i32 {
    object::open((bytes, bytes_len), (options, options_len), (log, log_len))
}

/// Makes maps and loads programs, or leaves nothing behind; see [`object::load`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_load(handle: u32, log: *mut u8, log_len: u32) -> i32 {
    object::load(handle, (log, log_len))
}

/// Writes what programs or maps there are and returns how many bytes that takes; see [`describe::describe`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_describe(handle: u32, kind: u32, out: *mut u8, out_len: u32) -> i32 {
    describe::describe(handle, kind, (out, out_len))
}

/// Changes a property of a program or map that is not loaded yet; see [`settings::set`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_set(handle: u32, what: u32, index: u32, value: *const u8, value_len: u32) -> i32 {
    settings::set(handle, what, index, (value, value_len))
}

/// Copies bytes of the object out and returns how many there are from `offset` on; see [`memory::read`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_read(handle: u32, kind: u32, index: u32, offset: u32, out: *mut u8, out_len: u32) -> i32 {
    memory::read(handle, kind, index, offset, (out, out_len))
}

/// Copies bytes into the variables of a section; see [`memory::write`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_write(handle: u32, map: u32, offset: u32, bytes: *const u8, bytes_len: u32) -> i32 {
    memory::write(handle, map, offset, (bytes, bytes_len))
}

/// Attaches as libbpf does and returns the link's fd, which is the caller's, or, of one that has no fd of its own and
/// stays here, a number for [`bpf_object_detach`] with a mark; see [`links::attach`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_attach(
    handle: u32,
    how: u32,
    index: u32,
    options: *const u8,
    options_len: u32,
    log: *mut u8,
    log_len: u32,
) -> i32 {
    links::attach(handle, how, index, (options, options_len), (log, log_len))
}

/// Ends a link that stays here; its number is without the mark.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_detach(handle: u32, link: u32) -> i32 {
    links::detach(handle, link)
}

/// Frees everything of an object. What others hold in the kernel lives on.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_object_close(handle: u32) -> i32 {
    object::close(handle)
}
