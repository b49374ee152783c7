//! Bytes of an object: its BTF, a program's instructions, the variables of a section, what libbpf said when it loaded it.
use core::ptr::copy_nonoverlapping;

use crate::buffer::{Bytes, Room};
use crate::handles::{self, Held};
use crate::libbpf::*;
use crate::libc::{self, EINVAL, ENOENT, EPERM, ERANGE};
use crate::object::{map, program};

const BTF: u32 = 0;
const INSTRUCTIONS: u32 = 1;
const VARIABLES: u32 = 2;
const LOG: u32 = 3;

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 4] = [
    ("BTF", BTF as usize),
    ("INSTRUCTIONS", INSTRUCTIONS as usize),
    ("VARIABLES", VARIABLES as usize),
    ("LOG", LOG as usize),
];

const BPF_F_RDONLY_PROG: u32 = 1 << 7;

/// Memory of libbpf, whose first `offset` bytes are left out.
fn memory(held: &Held, kind: u32, index: u32, offset: u32) -> Result<(*mut u8, usize), i32> {
    let mut size = 0;
    // SAFETY: libbpf's getters; what they return lives as long as the object is not changed, which this call prevents
    let at = unsafe {
        match kind {
            BTF => {
                let btf = bpf_object__btf(held.object);
                if btf.is_null() {
                    return Err(ENOENT);
                }
                let mut length = 0;
                let at = btf__raw_data(btf, &mut length).cast_mut();
                size = length as usize;
                at
            }
            INSTRUCTIONS => {
                let program = program(held, index);
                if program.is_null() {
                    return Err(ENOENT);
                }
                size = bpf_program__insn_cnt(program) * 8;
                bpf_program__insns(program).cast_mut()
            }
            VARIABLES => {
                let map = map(held, index);
                if map.is_null() {
                    return Err(ENOENT);
                }
                glue_variables(map, &mut size)
            }
            LOG => {
                if !held.log.is_null() {
                    size = libc::strlen(held.log);
                }
                held.log.cast()
            }
            _ => return Err(EINVAL),
        }
    };
    if at.is_null() {
        return Err(ENOENT);
    }
    let rest = size.checked_sub(offset as usize).ok_or(ERANGE)?;
    // SAFETY: offset <= size
    Ok((unsafe { at.cast::<u8>().add(offset as usize) }, rest))
}

/// Returns how many bytes there are from `offset` on, and copies as many of them as there is room for.
pub fn read(handle: u32, kind: u32, index: u32, offset: u32, (out, room): Room) -> i32 {
    handles::with(handle, |held| {
        let (at, size) = memory(held, kind, index, offset)?;
        copy(at, out, size.min(room as usize));
        i32::try_from(size).or(Err(ERANGE))
    })
}

/// Changes variables of a section: their initial values, or, once they are loaded, the memory that programs see.
pub fn write(handle: u32, index: u32, offset: u32, (bytes, len): Bytes) -> i32 {
    handles::with(handle, |held| {
        let (at, size) = memory(held, VARIABLES, index, offset)?;
        if size < len as usize {
            return Err(ERANGE);
        }
        let map = map(held, index);
        // SAFETY: a map, since memory() found it
        let (kind, flags) = unsafe { (glue_section_kind(map), bpf_map__map_flags(map)) };
        // libbpf fills kernel configuration when it loads; what programs may not write to is mapped for reading then,
        // also by a load that failed later.
        if kind == SectionKind::Kconfig as u32 || held.tried && flags & BPF_F_RDONLY_PROG != 0 {
            return Err(EPERM);
        }
        copy(bytes, at, len as usize);
        Ok(0)
    })
}

/// Numbers of the usual sizes in one piece, for programs may read or write them at the same time.
fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the callers checked both ends
    unsafe {
        match len {
            4 if (to as usize | from as usize).is_multiple_of(4) => {
                to.cast::<u32>().write_volatile(from.cast::<u32>().read_volatile())
            }
            8 if (to as usize | from as usize).is_multiple_of(8) => {
                to.cast::<u64>().write_volatile(from.cast::<u64>().read_volatile())
            }
            _ => copy_nonoverlapping(from, to, len),
        }
    }
}
