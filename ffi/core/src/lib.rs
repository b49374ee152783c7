//! The native half of `@bpf/link`: system calls for JavaScript, and nothing else.
//!
//! Every function takes numbers and buffers and returns a result of the kernel or `-errno`. There is no allocation,
//! no libc and no callback, and no state but memory that is kept for the next call ([`mapped`]). [`abi`] lists what is
//! exported; TypeScript's side is `lib/ffi`.
#![cfg_attr(not(test), no_std)]

mod abi;
mod btf;
mod holders;
mod info;
mod mapped;
mod pin;
mod read;
mod request;
mod ring;
mod syscall;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    syscall::abort()
}
