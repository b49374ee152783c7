//! What can be changed of programs and maps before they are loaded. libbpf has more such setters, and does not mind whether
//! memory that it has for a map fits what is set: here are those that are used, with what they need checked.
use crate::buffer::{Bytes, Reader};
use crate::handles;
use crate::libbpf::*;
use crate::libc::{EALREADY, EINVAL, ENOENT};
use crate::object::{NO_LOG, checked, logged, map, program};

const AUTOLOAD: u32 = 0;
const ATTACH_TARGET: u32 = 1;
const AUTOCREATE: u32 = 2;
const MAX_ENTRIES: u32 = 3;
const REUSE_FD: u32 = 4;
const PIN_PATH: u32 = 5;

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 6] = [
    ("AUTOLOAD", AUTOLOAD as usize),
    ("ATTACH_TARGET", ATTACH_TARGET as usize),
    ("AUTOCREATE", AUTOCREATE as usize),
    ("MAX_ENTRIES", MAX_ENTRIES as usize),
    ("REUSE_FD", REUSE_FD as usize),
    ("PIN_PATH", PIN_PATH as usize),
];

/// Of program `index` [`AUTOLOAD`] and [`ATTACH_TARGET`] (an fd and a function's name), else of map `index`. `value` is a
/// u32 and a string after it.
pub fn set(handle: u32, what: u32, index: u32, value: Bytes) -> i32 {
    handles::with(handle, |held| {
        let mut value = Reader(value);
        let number = value.u32().ok_or(EINVAL)?;
        let text = value.text().ok_or(EINVAL)?;
        if held.tried {
            return Err(EALREADY);
        }
        let (program, map) = match what {
            AUTOLOAD | ATTACH_TARGET => (program(held, index), core::ptr::null_mut()),
            AUTOCREATE..=PIN_PATH => (core::ptr::null_mut(), map(held, index)),
            _ => return Err(EINVAL),
        };
        if program.is_null() && map.is_null() {
            return Err(ENOENT);
        }
        // SAFETY: libbpf's setters, and ours, on its own program or map, which is there
        checked(logged(NO_LOG, || unsafe {
            match what {
                AUTOLOAD => bpf_program__set_autoload(program, number != 0),
                ATTACH_TARGET => bpf_program__set_attach_target(program, number as i32, text),
                AUTOCREATE => bpf_map__set_autocreate(map, number != 0),
                MAX_ENTRIES => glue_map_set_max_entries(map, number),
                REUSE_FD => glue_map_reuse(map, number as i32),
                _ => bpf_map__set_pin_path(map, text),
            }
        }))
    })
}
