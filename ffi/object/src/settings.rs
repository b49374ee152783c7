//! What can be changed of programs and maps before they are loaded.
use crate::buffer::{Bytes, Reader};
use crate::handles;
use crate::libbpf::*;
use crate::libc::{EALREADY, EINVAL, ENOENT};
use crate::object::{NO_LOG, checked, logged, map, program};

const AUTOLOAD: u32 = 0;
const AUTOATTACH: u32 = 1;
const TYPE: u32 = 2;
const EXPECTED_ATTACH_TYPE: u32 = 3;
const ATTACH_TARGET: u32 = 4;
const FLAGS: u32 = 5;
const LOG_LEVEL: u32 = 6;
const IFINDEX: u32 = 7;
const FIRST_OF_MAPS: u32 = 100;
const AUTOCREATE: u32 = 100;
const MAP_TYPE: u32 = 101;
const KEY_SIZE: u32 = 102;
const VALUE_SIZE: u32 = 103;
const MAX_ENTRIES: u32 = 104;
const MAP_FLAGS: u32 = 105;
const MAP_IFINDEX: u32 = 106;
const REUSE_FD: u32 = 107;
const INNER_MAP_FD: u32 = 108;
const PIN_PATH: u32 = 109;

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 18] = [
    ("AUTOLOAD", AUTOLOAD as usize),
    ("AUTOATTACH", AUTOATTACH as usize),
    ("TYPE", TYPE as usize),
    ("EXPECTED_ATTACH_TYPE", EXPECTED_ATTACH_TYPE as usize),
    ("ATTACH_TARGET", ATTACH_TARGET as usize),
    ("FLAGS", FLAGS as usize),
    ("LOG_LEVEL", LOG_LEVEL as usize),
    ("IFINDEX", IFINDEX as usize),
    ("AUTOCREATE", AUTOCREATE as usize),
    ("MAP_TYPE", MAP_TYPE as usize),
    ("KEY_SIZE", KEY_SIZE as usize),
    ("VALUE_SIZE", VALUE_SIZE as usize),
    ("MAX_ENTRIES", MAX_ENTRIES as usize),
    ("MAP_FLAGS", MAP_FLAGS as usize),
    ("MAP_IFINDEX", MAP_IFINDEX as usize),
    ("REUSE_FD", REUSE_FD as usize),
    ("INNER_MAP_FD", INNER_MAP_FD as usize),
    ("PIN_PATH", PIN_PATH as usize),
];

/// `value` is a u32 and a string after it: the target's function, the path of a pin.
pub fn set(handle: u32, what: u32, index: u32, value: Bytes) -> i32 {
    handles::with(handle, |held| {
        let mut value = Reader(value);
        let number = value.u32().ok_or(EINVAL)?;
        let text = value.text();
        if held.tried {
            return Err(EALREADY);
        }
        logged(NO_LOG, || {
            if what < FIRST_OF_MAPS {
                let at = program(held, index);
                if at.is_null() {
                    return Err(ENOENT);
                }
                // SAFETY: libbpf's setters on its own program
                checked(unsafe {
                    match (what, text) {
                        (AUTOLOAD, _) => bpf_program__set_autoload(at, number != 0),
                        (AUTOATTACH, _) => {
                            bpf_program__set_autoattach(at, number != 0);
                            0
                        }
                        (TYPE, _) => bpf_program__set_type(at, number),
                        (EXPECTED_ATTACH_TYPE, _) => bpf_program__set_expected_attach_type(at, number),
                        (ATTACH_TARGET, Some(function)) => bpf_program__set_attach_target(at, number as i32, function),
                        (FLAGS, _) => bpf_program__set_flags(at, number),
                        (LOG_LEVEL, _) => bpf_program__set_log_level(at, number),
                        (IFINDEX, _) => {
                            bpf_program__set_ifindex(at, number);
                            0
                        }
                        _ => -EINVAL,
                    }
                })
            } else {
                let at = map(held, index);
                if at.is_null() {
                    return Err(ENOENT);
                }
                // SAFETY: libbpf's setters on its own map
                checked(unsafe {
                    match (what, text) {
                        (AUTOCREATE, _) => bpf_map__set_autocreate(at, number != 0),
                        (MAP_TYPE, _) => bpf_map__set_type(at, number),
                        (KEY_SIZE, _) => bpf_map__set_key_size(at, number),
                        (VALUE_SIZE, _) => bpf_map__set_value_size(at, number),
                        (MAX_ENTRIES, _) => bpf_map__set_max_entries(at, number),
                        (MAP_FLAGS, _) => bpf_map__set_map_flags(at, number),
                        (MAP_IFINDEX, _) => bpf_map__set_ifindex(at, number),
                        (REUSE_FD, _) => bpf_map__reuse_fd(at, number as i32),
                        (INNER_MAP_FD, _) => bpf_map__set_inner_map_fd(at, number as i32),
                        (PIN_PATH, Some(path)) => bpf_map__set_pin_path(at, path),
                        _ => -EINVAL,
                    }
                })
            }
        })
    })
}
