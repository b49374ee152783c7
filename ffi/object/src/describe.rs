//! What programs and maps an object has.
use crate::buffer::{Room, Writer};
use crate::handles;
use crate::libbpf::*;
use crate::libc::EINVAL;
use crate::object::{map, program};

const PROGRAMS: u32 = 0;
const MAPS: u32 = 1;

/// How many numbers follow the two strings of a record.
const PROGRAM_FIELDS: usize = 6;
const MAP_FIELDS: usize = 17;

const AUTOLOAD: u32 = 1;
const AUTOATTACH: u32 = 2;

const SECTION: u32 = 1; // it holds the global variables of one
const CREATED: u32 = 2; // or it will be
const FIXED: u32 = 4; // what it holds does not change once it is loaded
const KCONFIG: u32 = 8; // libbpf fills it

/// What TypeScript knows too, for `lib/ffi/object/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 10] = [
    ("PROGRAMS", PROGRAMS as usize),
    ("MAPS", MAPS as usize),
    ("PROGRAM_FIELDS", PROGRAM_FIELDS),
    ("MAP_FIELDS", MAP_FIELDS),
    ("AUTOLOAD", AUTOLOAD as usize),
    ("AUTOATTACH", AUTOATTACH as usize),
    ("SECTION", SECTION as usize),
    ("CREATED", CREATED as usize),
    ("FIXED", FIXED as usize),
    ("KCONFIG", KCONFIG as usize),
];

/// Records, one after the other. A program: name, section, then fd (-1 unless it is loaded), type, expected attach
/// type, flags, [`AUTOLOAD`] and [`AUTOATTACH`], number of instructions.
///
/// A map: name, path of its pin, then fd (-1 unless it is made), type, key size, value size, entries, flags, BTF ids of
/// key and value, [`SECTION`] to [`KCONFIG`], bytes of its variables, and of the maps in it, zeros if there are none:
/// type, key size, value size, entries, flags, BTF ids of key and value.
pub fn describe(handle: u32, kind: u32, out: Room) -> i32 {
    handles::with(handle, |held| {
        let mut to = Writer::new(out);
        match kind {
            PROGRAMS => {
                let mut at = program(held, 0);
                while !at.is_null() {
                    write_program(at, &mut to);
                    // SAFETY: libbpf's own list
                    at = unsafe { bpf_object__next_program(held.object, at) };
                }
            }
            MAPS => {
                let mut at = map(held, 0);
                while !at.is_null() {
                    write_map(at, &mut to);
                    // SAFETY: libbpf's own list
                    at = unsafe { bpf_object__next_map(held.object, at) };
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(to.len())
    })
}

fn flag(on: bool, bit: u32) -> u32 {
    if on { bit } else { 0 }
}

fn write_program(at: *const Program, to: &mut Writer) {
    // SAFETY: libbpf's getters on its own program
    let (texts, fields): ([_; 2], [u32; PROGRAM_FIELDS]) = unsafe {
        let auto = flag(bpf_program__autoload(at), AUTOLOAD) | flag(bpf_program__autoattach(at), AUTOATTACH);
        (
            [bpf_program__name(at), bpf_program__section_name(at)],
            [
                bpf_program__fd(at).max(-1) as u32, // an errno if there is none
                bpf_program__type(at),
                bpf_program__expected_attach_type(at),
                bpf_program__flags(at),
                auto,
                bpf_program__insn_cnt(at) as u32,
            ],
        )
    };
    texts.into_iter().for_each(|text| to.text(text));
    fields.into_iter().for_each(|field| to.u32(field));
}

fn write_map(at: *mut Map, to: &mut Writer) {
    let mut fields = [0; MAP_FIELDS];
    // SAFETY: libbpf's getters on its own map
    unsafe {
        let kind = glue_section_kind(at);
        let (is_kconfig, is_rodata) = (kind == SectionKind::Kconfig as u32, kind == SectionKind::Rodata as u32);
        let mut size = 0;
        let variables = glue_variables(at, &mut size);
        let inner = bpf_map__inner_map(at);
        to.text(bpf_map__name(at));
        to.text(bpf_map__pin_path(at));
        fields[0] = glue_map_fd(at) as u32;
        fields[1..8].copy_from_slice(&definition(at));
        fields[8] = flag(kind != SectionKind::None as u32, SECTION)
            | flag(bpf_map__autocreate(at), CREATED)
            | flag(is_rodata || is_kconfig, FIXED)
            | flag(is_kconfig, KCONFIG);
        fields[9] = if variables.is_null() { 0 } else { size as u32 };
        if !inner.is_null() {
            fields[10..].copy_from_slice(&definition(inner));
        }
    }
    fields.into_iter().for_each(|field| to.u32(field));
}

/// What a map's definition says.
fn definition(at: *const Map) -> [u32; 7] {
    // SAFETY: libbpf's getters on its own map
    unsafe {
        [
            bpf_map__type(at),
            bpf_map__key_size(at),
            bpf_map__value_size(at),
            bpf_map__max_entries(at),
            bpf_map__map_flags(at),
            bpf_map__btf_key_type_id(at),
            bpf_map__btf_value_type_id(at),
        ]
    }
}
