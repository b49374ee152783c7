//! Of `ffi/object`. Nothing here calls what it declares of libbpf, which is not linked.
#[path = "../../../object/src/abi.rs"]
mod abi;
#[path = "../../../object/src/buffer.rs"]
mod buffer;
#[path = "../../../object/src/describe.rs"]
mod describe;
#[path = "../../../object/src/handles.rs"]
mod handles;
#[path = "../../../object/src/libbpf.rs"]
mod libbpf;
#[allow(dead_code)] // what libelf's and zlib's part needs
#[path = "../../../object/src/libc.rs"]
mod libc;
#[path = "../../../object/src/links.rs"]
mod links;
#[path = "../../../object/src/memory.rs"]
mod memory;
#[path = "../../../object/src/object.rs"]
mod object;
#[path = "../../../object/src/settings.rs"]
mod settings;

use bpf_link_bindgen::{Library, main as write};
use std::process::ExitCode;

fn main() -> ExitCode {
    write(&Library {
        folder: "ffi/object/src",
        abi: include_str!("../../../object/src/abi.rs"),
        numbers: &[
            ("abi", &abi::NUMBERS),
            ("describe", &describe::NUMBERS),
            ("links", &links::NUMBERS),
            ("memory", &memory::NUMBERS),
            ("settings", &settings::NUMBERS),
        ],
        calls: None,
    })
}
