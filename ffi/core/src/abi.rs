//! What the library exports, and all of it. `ffi/bindgen` compiles this same file with the feature `bindgen`, which
//! swaps `no_mangle` for `#[deno_bindgen]` and so learns the signatures for `lib/ffi/symbols.ts`.
//!
//! Scalars are 32 bits wide, every pointer is a buffer of the caller whose length follows it, results are the kernel's
//! or `-errno`.
use crate::{
    btf, holders, info, pin, read,
    request::{Request, Sizes},
    ring, syscall, walk,
};

/// The version of this interface: another number for each change of signatures, calls or layouts.
pub const VERSION: u32 = 4;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 1] = [("VERSION", VERSION as usize)];

/// The [`VERSION`]. TypeScript refuses a library that answers another number.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_abi() -> u32 {
    VERSION
}

/// bpf(2): the request's argument block is the attr, its common block the `bpf_common_attr` of 7.x.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_bpf(command: u32, request: *mut u8, request_len: u32) -> i32 {
    let sizes = syscall::sizes(command);
    // SAFETY: the blocks and their addresses were checked to lie in the caller's buffer, which lives until the call
    // returns; that the room behind each address is what the attr says is lib/ffi/request.ts's promise, and where a map
    // says it, beyond the room is memory that nobody may write
    Request::run(request, request_len, sizes, &|r| unsafe { syscall::bpf(command, r.arguments(), r.common()) })
}

/// bpf(2) with up to four words, none of them an address; see [`syscall::words`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_words(command: u32, a: u32, b: u32, c: u32, d: u32, owned: i32) -> i32 {
    syscall::words(command, [a, b, c, d], owned)
}

/// OBJ_GET_INFO_BY_FD without a request; see [`info::info`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_info(fd: i32, info: *mut u8, info_len: u32) -> i32 {
    info::info(fd, info, info_len)
}

/// Removes the pin of a link; see [`pin::unpin`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_unpin(link_id: u32, path: *mut u8, path_len: u32) -> i32 {
    pin::unpin(link_id, path, path_len)
}

/// Another system call of [`syscall::CALLS`]: the request's argument block is its six arguments, each a u64.
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_system(call: u32, request: *mut u8, request_len: u32) -> i32 {
    // SAFETY: as for bpf_link_bpf
    Request::run(request, request_len, Sizes::Caller, &|r| unsafe { syscall::system(call, r.arguments()) })
}

/// close(2).
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_close(fd: i32) -> i32 {
    syscall::close(fd)
}

/// Reads an fd to its end; see [`read::read`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_read(fd: i32, room: *mut u8, room_len: u32) -> i32 {
    read::read(fd, room, room_len)
}

/// Fills `records` with the links whose id is above `start_id` and returns how many; see [`walk::walk`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_walk(start_id: u32, keep: u32, records: *mut u8, records_len: u32) -> i32 {
    walk::walk(start_id, keep, records, records_len)
}

/// Maps the ring of a ring buffer map or of a perf event, or with a size of 0 unmaps it; see [`ring::open`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_ring_map(fd: i32, size: u32, perf: u32) -> i32 {
    if size == 0 { ring::close(fd) } else { ring::open(fd, size, perf) }
}

/// Reads records of a ring that is mapped, and gives back those that the caller is done with; see [`ring::read`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_ring(fd: i32, consumed: u32, records: *mut u8, records_len: u32) -> i32 {
    ring::read(fd, consumed, records, records_len)
}

/// Waits until one of many rings has records, on behalf of a thread that may end; see [`ring::wait`].
#[cfg_attr(feature = "bindgen", deno_bindgen::deno_bindgen)]
#[cfg_attr(not(feature = "bindgen"), unsafe(no_mangle))]
pub extern "C" fn bpf_link_ring_wait(
    epoll: i32,
    timeout: u32,
    thread: i32,
    ready: *mut u8,
    ready_len: u32,
    held: *mut u8,
    held_len: u32,
) -> i32 {
    ring::wait(epoll, timeout, thread, ready, ready_len, held, held_len)
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
pub extern "C" fn bpf_link_holders(from_pid: u32, from_fd: u32, records: *mut u8, records_len: u32) -> i32 {
    holders::holders(from_pid, from_fd, records, records_len)
}
