//! Of `ffi/core`.
#[path = "../../../core/src/abi.rs"]
mod abi;
#[path = "../../../core/src/btf.rs"]
mod btf;
#[path = "../../../core/src/holders.rs"]
mod holders;
#[path = "../../../core/src/info.rs"]
mod info;
#[path = "../../../core/src/mapped.rs"]
mod mapped;
#[path = "../../../core/src/pin.rs"]
mod pin;
#[path = "../../../core/src/read.rs"]
mod read;
#[path = "../../../core/src/request.rs"]
mod request;
#[path = "../../../core/src/ring.rs"]
mod ring;
#[path = "../../../core/src/syscall.rs"]
mod syscall;
#[path = "../../../core/src/walk.rs"]
mod walk;

use bpf_link_bindgen::{Library, main as write};
use std::process::ExitCode;

fn main() -> ExitCode {
    write(&Library {
        folder: "ffi/core/src",
        abi: include_str!("../../../core/src/abi.rs"),
        numbers: &[
            ("abi", &abi::NUMBERS),
            ("btf", &btf::NUMBERS),
            ("holders", &holders::NUMBERS),
            ("request", &request::NUMBERS),
            ("ring", &ring::NUMBERS),
            ("syscall", &syscall::NUMBERS),
            ("walk", &walk::NUMBERS),
        ],
        calls: Some(("bpf_link_system", &syscall::NAMES)),
    })
}
