//! What is used of libbpf 1.7, as its libbpf.h and btf.h declare it.
use core::ffi::{c_char, c_int, c_uint, c_void};

macro_rules! opaque { ($($name:ident)*) => { $(#[repr(C)] pub struct $name { _private: [u8; 0] })* } }
opaque!(Object Program Map Link Btf);

/// `struct bpf_object_open_opts`
#[repr(C)]
pub struct OpenOpts {
    pub size: usize,
    pub object_name: *const c_char,
    pub relaxed_maps: bool,
    pub pin_root_path: *const c_char,
    pub removed: u32,
    pub kconfig: *const c_char,
    pub btf_custom_path: *const c_char,
    pub kernel_log_buf: *mut c_char,
    pub kernel_log_size: usize,
    pub kernel_log_level: u32,
    pub bpf_token_path: *const c_char,
}

/// `struct bpf_usdt_opts`
#[repr(C)]
pub struct UsdtOpts {
    pub size: usize,
    pub usdt_cookie: u64,
}

/// `enum libbpf_map_type`: what a map holds the variables of.
#[repr(u32)]
pub enum SectionKind {
    None = 0,
    Rodata = 3,
    Kconfig = 4,
}

// Pointers are null and numbers negative on failure, with the reason in errno.
unsafe extern "C" {
    pub fn libbpf_set_memlock_rlim(bytes: usize) -> c_int;
    pub fn bpf_object__open_mem(bytes: *const c_void, size: usize, opts: *const OpenOpts) -> *mut Object;
    pub fn bpf_object__load(object: *mut Object) -> c_int;
    pub fn bpf_object__close(object: *mut Object);
    pub fn bpf_object__btf(object: *const Object) -> *mut Btf;
    pub fn bpf_object__next_program(object: *const Object, previous: *mut Program) -> *mut Program;
    pub fn bpf_object__next_map(object: *const Object, previous: *const Map) -> *mut Map;
    pub fn btf__raw_data(btf: *const Btf, size: *mut u32) -> *const c_void;

    pub fn bpf_program__name(program: *const Program) -> *const c_char;
    pub fn bpf_program__section_name(program: *const Program) -> *const c_char;
    pub fn bpf_program__type(program: *const Program) -> c_uint;
    pub fn bpf_program__expected_attach_type(program: *const Program) -> c_uint;
    pub fn bpf_program__fd(program: *const Program) -> c_int;
    pub fn bpf_program__flags(program: *const Program) -> u32;
    pub fn bpf_program__autoload(program: *const Program) -> bool;
    pub fn bpf_program__autoattach(program: *const Program) -> bool;
    pub fn bpf_program__insns(program: *const Program) -> *const c_void;
    pub fn bpf_program__insn_cnt(program: *const Program) -> usize;
    pub fn bpf_program__set_autoload(program: *mut Program, on: bool) -> c_int;
    pub fn bpf_program__set_attach_target(program: *mut Program, fd: c_int, function: *const c_char) -> c_int;
    pub fn bpf_program__attach(program: *const Program) -> *mut Link;
    pub fn bpf_program__attach_usdt(
        program: *const Program,
        pid: c_int,
        path: *const c_char,
        provider: *const c_char,
        name: *const c_char,
        opts: *const UsdtOpts,
    ) -> *mut Link;

    pub fn bpf_map__name(map: *const Map) -> *const c_char;
    pub fn bpf_map__type(map: *const Map) -> c_uint;
    pub fn bpf_map__key_size(map: *const Map) -> u32;
    pub fn bpf_map__value_size(map: *const Map) -> u32;
    pub fn bpf_map__max_entries(map: *const Map) -> u32;
    pub fn bpf_map__map_flags(map: *const Map) -> u32;
    pub fn bpf_map__btf_key_type_id(map: *const Map) -> u32;
    pub fn bpf_map__btf_value_type_id(map: *const Map) -> u32;
    pub fn bpf_map__autocreate(map: *const Map) -> bool;
    pub fn bpf_map__pin_path(map: *const Map) -> *const c_char;
    pub fn bpf_map__inner_map(map: *mut Map) -> *mut Map;
    pub fn bpf_map__set_autocreate(map: *mut Map, on: bool) -> c_int;
    pub fn bpf_map__set_pin_path(map: *mut Map, path: *const c_char) -> c_int;
    pub fn bpf_map__attach_struct_ops(map: *const Map) -> *mut Link;

    pub fn bpf_link__fd(link: *const Link) -> c_int;
    pub fn bpf_link__disconnect(link: *mut Link);
    pub fn bpf_link__destroy(link: *mut Link) -> c_int;

    // glue.c
    pub fn glue_log_to(text: *mut c_char, room: usize);
    pub fn glue_other_fd(link: *const Link) -> c_int;
    pub fn glue_take_fd(link: *mut Link) -> c_int;
    pub fn glue_map_fd(map: *const Map) -> c_int;
    pub fn glue_map_reuse(map: *mut Map, fd: c_int) -> c_int;
    pub fn glue_map_set_max_entries(map: *mut Map, count: u32) -> c_int;
    pub fn glue_map_reused_sections(object: *mut Object);
    pub fn glue_section_kind(map: *const Map) -> c_uint;
    pub fn glue_variables(map: *const Map, size: *mut usize) -> *mut c_void;
}
