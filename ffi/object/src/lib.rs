//! The native half of `@bpf/link/object`: libbpf for JavaScript.
//!
//! Numbers and buffers in, a result or `-errno` out; libbpf's objects stay here, under numbers ([`handles`]). [`abi`]
//! lists what is exported; TypeScript's side is `lib/ffi/object`. libelf's part is played by [`elf`], zlib's by [`gz`];
//! the C library is the process's own.
#![cfg_attr(not(test), no_std)]

mod abi;
mod buffer;
mod describe;
mod elf;
mod gz;
mod handles;
mod libbpf;
mod libc;
mod links;
mod memory;
mod object;
mod settings;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    libc::abort()
}
