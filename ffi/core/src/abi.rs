//! What the library exports, and all of it. `ffi/bindgen` compiles this same file with the feature `bindgen`, which
//! swaps `no_mangle` for `#[deno_bindgen]` and so learns the signatures for `lib/ffi/symbols.ts`.
//!
//! Scalars are 32 bits wide, every pointer is a buffer of the caller whose length follows it, results are the kernel's
//! or `-errno`.
use crate::{btf, holders, request::Request, ring, syscall, walk};

/// The version of this interface. TypeScript refuses a library that answers another number.
const ABI: u32 = 2;

/// What TypeScript must know of the layouts besides.
#[cfg(feature = "bindgen")]
pub const SHARED: &[(&str, usize)] = &[
    ("ABI", ABI as usize),
    ("REQUEST_HEADER", crate::request::HEADER),
    ("WALK_RECORD", size_of::<walk::Record>()),
    ("WALK_FD", core::mem::offset_of!(walk::Record, fd)),
    ("WALK_INFO", core::mem::offset_of!(walk::Record, info)),
    ("HOLDERS_RECORD", size_of::<holders::Record>()),
    ("BTF_ANSWER_WORDS", btf::ANSWER),
];

/// [`ABI`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_abi() -> u32 {
    ABI
}

/// bpf(2): the request's argument block is the attr, its common block the `bpf_common_attr` of 7.x.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_bpf(command: u32, request: *mut u8, request_len: u32) -> i32 {
    Request::run(request, request_len, &|r| syscall::bpf(command, r.arguments(), r.common()))
}

/// Another system call of [`syscall::CALLS`]: the request's argument block is its six arguments, each a u64.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_system(call: u32, request: *mut u8, request_len: u32) -> i32 {
    Request::run(request, request_len, &|r| syscall::system(call, r.arguments()))
}

/// Reads a ring buffer: the request's argument block is [`ring::Arguments`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_ring(request: *mut u8, request_len: u32) -> i32 {
    Request::run(request, request_len, &|r| ring::run(r.arguments()))
}

/// close(2).
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_close(fd: i32) -> i32 {
    syscall::close(fd)
}

/// Fills `records` with the links whose id is above `start_id` and returns how many; see [`walk::walk`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_walk(start_id: u32, keep: u32, records: *mut u8, records_len: u32) -> i32 {
    walk::walk(start_id, keep, records, records_len)
}

/// The id of a type in BTF, or the index of a member; see [`btf::find`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_btf_find(kind: u32, query: *mut u8, query_len: u32) -> i32 {
    btf::find(kind, query, query_len)
}

/// Where members of the kernel's structs lie, many at once; see [`btf::layout`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_btf_layout(query: *mut u8, query_len: u32, answers: *mut u8, answers_len: u32) -> i32 {
    btf::layout(query, query_len, answers, answers_len)
}

/// Fills `records` with the fds of links that processes hold and returns how many there are; see [`holders::holders`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_holders(records: *mut u8, records_len: u32) -> i32 {
    holders::holders(records, records_len)
}
