//! The 26 functions of libelf that libbpf needs: libelf itself is (L)GPL and often not installed.
//!
//! Every offset and length of the file is checked here before libbpf gets a pointer; a section that lies outside of
//! the file has no data, a string table that does not end with NUL has no strings. What is in a file is copied when it
//! is asked for: a mapping would end the process with SIGBUS if somebody cuts the file off meanwhile. 32-bit files are
//! read too (probes in 32-bit programs), files of the other byte order are refused.
//!
//! Not by the crate `object` (0.40): it wants all of a file in memory and an allocator, its parsing alone takes 15 KB to
//! the 4 KB of all this, and most of what stands here would stay, since it is libelf's way of asking.
use core::cell::{Cell, OnceCell};
use core::ffi::{c_char, c_int};
use core::mem::{offset_of, size_of};
use core::ptr::{copy_nonoverlapping, drop_in_place, null, null_mut};

use crate::libc;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ehdr {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Shdr {
    name: u32,
    kind: u32,
    flags: u64,
    addr: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    addralign: u64,
    entsize: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Phdr {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sym {
    name: u32,
    info: u8,
    other: u8,
    shndx: u16,
    value: u64,
    size: u64,
}

/// What `Elf_Data` of include/libelf.h is.
#[repr(C)]
pub struct Data {
    bytes: Cell<*const u8>,
    size: usize,
}

#[repr(C)]
pub struct Section {
    data: Data, // first: a pointer to it is one to the section
    header: Shdr,
    elf: *const Elf,
    index: usize,
    content: OnceCell<Option<Piece>>, // what data.bytes points to
}

pub struct Elf {
    source: Source,
    len: u64,
    left: Cell<u64>, // how many bytes may still be copied
    wide: bool,      // 64 bits
    header: Ehdr,
    names: usize,    // the section of the sections' names
    segments: usize, // how many
    count: usize,    // of sections
    sections: *mut Section,
}

/// Where the bytes are; both are the caller's and outlive the [`Elf`].
enum Source {
    Memory(*const u8),
    File(c_int),
}

/// Some of the bytes.
struct Piece {
    at: *const u8,
    len: usize,
    copied: bool,
}

impl Piece {
    fn copy(len: usize, fill: impl FnOnce(*mut u8) -> bool) -> Option<Piece> {
        // SAFETY: libc's malloc
        let at: *mut u8 = unsafe { libc::malloc(len.max(1)) }.cast();
        let piece = (!at.is_null()).then_some(Piece { at, len, copied: true })?;
        fill(at).then_some(piece)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: len bytes from there on, which live as long as the piece
        unsafe { core::slice::from_raw_parts(self.at, self.len) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.copied {
            // SAFETY: from copy()
            unsafe { libc::free(self.at.cast_mut().cast()) };
        }
    }
}

/// Types for which every pattern of bytes is a value.
trait Plain: Copy {}
impl Plain for u16 {}
impl Plain for Ehdr {}
impl Plain for Shdr {}
impl Plain for Phdr {}
impl Plain for Sym {}
impl<const N: usize> Plain for [u8; N] {}
impl<const N: usize> Plain for [u16; N] {}
impl<const N: usize> Plain for [u32; N] {}

fn value<T: Plain>(bytes: &[u8], offset: usize) -> Option<T> {
    let bytes = bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
    // SAFETY: as many bytes as a T has, of which any are one
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Many sections may be the same bytes of a file, so what is copied of one has a limit.
const MOST: u64 = 1 << 30;

const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;
const SHN_XINDEX: u16 = 0xffff;
const PN_XNUM: u16 = 0xffff;
const ELF_K_NONE: c_int = 0;
const ELF_K_ELF: c_int = 3;

impl Elf {
    fn piece(&self, offset: u64, size: u64) -> Option<Piece> {
        if offset.checked_add(size)? > self.len {
            return None;
        }
        let len = usize::try_from(size).ok()?;
        let copied = || self.left.get().checked_sub(size).map(|left| self.left.set(left));
        match self.source {
            Source::Memory(bytes) => {
                // SAFETY: within the bytes, or at their end
                let at = unsafe { bytes.add(offset as usize) };
                if (at as usize).is_multiple_of(8) {
                    return Some(Piece { at, len, copied: false });
                }
                copied()?; // libbpf reads records in place
                Piece::copy(len, |to| {
                    // SAFETY: len bytes are there
                    unsafe { copy_nonoverlapping(at, to, len) };
                    true
                })
            }
            Source::File(fd) => copied().and_then(|()| {
                Piece::copy(len, |to| {
                    let mut done = 0;
                    while done < len {
                        // SAFETY: the rest of the copy
                        let count = unsafe {
                            libc::pread(fd, to.add(done).cast(), len - done, (offset as usize + done) as isize)
                        };
                        if count <= 0 {
                            return false; // it has become shorter
                        }
                        done += count as usize;
                    }
                    true
                })
            }),
        }
    }

    fn entry_size(&self) -> u16 {
        if self.wide { 64 } else { 40 }
    }

    /// The header of a section, out of the table from `index` 0 on.
    fn section_header(&self, table: &[u8], index: usize) -> Option<Shdr> {
        let at = index.checked_mul(self.entry_size().into())?;
        if self.wide {
            return value(table, at);
        }
        let [name, kind, flags, addr, offset, size, link, info, addralign, entsize] = value::<[u32; 10]>(table, at)?;
        let [flags, addr, offset, size] = [flags, addr, offset, size].map(u64::from);
        let (addralign, entsize) = (addralign.into(), entsize.into());
        Some(Shdr { name, kind, flags, addr, offset, size, link, info, addralign, entsize })
    }

    fn parse(&mut self) -> Option<()> {
        let ident: [u8; 16] = value(self.piece(0, 16)?.bytes(), 0)?;
        let native = if cfg!(target_endian = "little") { 1 } else { 2 };
        if ident[..4] != *b"\x7fELF" || !matches!(ident[4], 1 | 2) || ident[5] != native || ident[6] != 1 {
            return None;
        }
        self.wide = ident[4] == 2;
        let piece = self.piece(0, if self.wide { 64 } else { 52 })?;
        self.header = if self.wide {
            value(piece.bytes(), 0)?
        } else {
            let [kind, machine]: [u16; 2] = value(piece.bytes(), 16)?;
            let [version, entry, phoff, shoff, flags]: [u32; 5] = value(piece.bytes(), 20)?;
            let [ehsize, phentsize, phnum, shentsize, shnum, shstrndx]: [u16; 6] = value(piece.bytes(), 40)?;
            let [entry, phoff, shoff] = [entry, phoff, shoff].map(u64::from);
            Ehdr {
                ident,
                kind,
                machine,
                version,
                entry,
                phoff,
                shoff,
                flags,
                ehsize,
                phentsize,
                phnum,
                shentsize,
                shnum,
                shstrndx,
            }
        };
        let header = self.header;
        self.segments = header.phnum.into();
        if header.shoff == 0 {
            return Some(()); // no sections
        }
        let each = self.entry_size();
        if header.shentsize != each {
            return None;
        }
        // Numbers too large for the header are in the first section.
        let first = self.section_header(self.piece(header.shoff, each.into())?.bytes(), 0)?;
        let count = if header.shnum == 0 { first.size } else { header.shnum.into() };
        self.names = if header.shstrndx == SHN_XINDEX { first.link as usize } else { header.shstrndx.into() };
        if header.phnum == PN_XNUM {
            self.segments = first.info as usize;
        }
        let table = self.piece(header.shoff, count.checked_mul(each.into())?)?;
        // SAFETY: libc's calloc: zeroed or null
        self.sections = unsafe { libc::calloc(count as usize, size_of::<Section>()) }.cast();
        if self.sections.is_null() {
            return None;
        }
        for index in 0..count as usize {
            let header = self.section_header(table.bytes(), index)?;
            let data = Data { bytes: Cell::new(null()), size: header.size as usize };
            let section = Section { data, header, elf: self, index, content: OnceCell::new() };
            // SAFETY: index < count, for which there is room
            unsafe { self.sections.add(index).write(section) };
            self.count = index + 1;
        }
        Some(())
    }

    fn section(&self, index: usize) -> Option<&Section> {
        // SAFETY: initialised up to count
        (index < self.count).then(|| unsafe { &*self.sections.add(index) })
    }
}

impl Section {
    /// None if it lies outside of the file; of [`SHT_NOBITS`] no bytes.
    fn content(&self) -> Option<&[u8]> {
        if self.header.kind == SHT_NOBITS {
            return Some(&[]);
        }
        // SAFETY: a section's file outlives it
        let content = self.content.get_or_init(|| unsafe { &*self.elf }.piece(self.header.offset, self.header.size));
        let bytes = content.as_ref()?.bytes();
        self.data.bytes.set(bytes.as_ptr());
        Some(bytes)
    }

    fn value<T: Plain>(&self, offset: usize) -> Option<T> {
        value(self.content()?, offset)
    }
}

fn open(source: Source, len: u64) -> *mut Elf {
    // SAFETY: an Elf is made in memory of its own, and ended if the bytes are none
    unsafe {
        let elf: *mut Elf = libc::malloc(size_of::<Elf>()).cast();
        if elf.is_null() {
            return elf;
        }
        let header = core::mem::zeroed();
        elf.write(Elf {
            source,
            len,
            left: Cell::new(MOST),
            wide: false,
            header,
            names: 0,
            segments: 0,
            count: 0,
            sections: null_mut(),
        });
        if (*elf).parse().is_none() {
            elf_end(elf);
            return null_mut();
        }
        elf
    }
}

#[unsafe(no_mangle)]
extern "C" fn elf_version(_: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn elf_errmsg(_: c_int) -> *const c_char {
    c"no ELF file of this machine's byte order, or cut off".as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn elf_memory(bytes: *mut c_char, size: usize) -> *mut Elf {
    open(Source::Memory(bytes.cast()), size as u64)
}

#[unsafe(no_mangle)]
extern "C" fn elf_begin(fd: c_int, _command: c_int, _reference: *mut Elf) -> *mut Elf {
    u64::try_from(libc::lseek(fd, 0, libc::SEEK_END)).map_or(null_mut(), |len| open(Source::File(fd), len))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn elf_end(elf: *mut Elf) -> c_int {
    // SAFETY: from open(), or null
    unsafe {
        if let Some(Elf { count, sections, .. }) = elf.as_ref() {
            for index in 0..*count {
                drop_in_place(sections.add(index));
            }
            libc::free(sections.cast());
            libc::free(elf.cast());
        }
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn elf_kind(elf: Option<&Elf>) -> c_int {
    if elf.is_some() { ELF_K_ELF } else { ELF_K_NONE }
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getclass(elf: Option<&Elf>) -> c_int {
    elf.map_or(0, |elf| if elf.wide { 2 } else { 1 })
}

#[unsafe(no_mangle)]
extern "C" fn elf_getshdrnum(elf: &Elf, result: &mut usize) -> c_int {
    *result = elf.count;
    0
}

#[unsafe(no_mangle)]
extern "C" fn elf_getshdrstrndx(elf: &Elf, result: &mut usize) -> c_int {
    *result = elf.names;
    0
}

#[unsafe(no_mangle)]
extern "C" fn elf_getphdrnum(elf: &Elf, result: &mut usize) -> c_int {
    *result = elf.segments;
    0
}

#[unsafe(no_mangle)]
extern "C" fn elf_getscn(elf: &Elf, index: usize) -> Option<&Section> {
    elf.section(index)
}

#[unsafe(no_mangle)]
extern "C" fn elf_nextscn<'a>(elf: &'a Elf, section: Option<&Section>) -> Option<&'a Section> {
    elf.section(section.map_or(1, |section| section.index + 1))
}

#[unsafe(no_mangle)]
extern "C" fn elf_ndxscn(section: Option<&Section>) -> usize {
    section.map_or(0, |section| section.index)
}

#[unsafe(no_mangle)]
extern "C" fn elf_getdata(section: Option<&Section>, previous: *const Data) -> Option<&Data> {
    section.filter(|section| previous.is_null() && section.content().is_some()).map(|section| &section.data)
}

#[unsafe(no_mangle)]
extern "C" fn elf_rawdata(section: Option<&Section>, previous: *const Data) -> Option<&Data> {
    elf_getdata(section, previous)
}

#[unsafe(no_mangle)]
extern "C" fn elf_strptr(elf: &Elf, section: usize, offset: usize) -> *const c_char {
    let section = elf.section(section).filter(|section| section.header.kind == SHT_STRTAB);
    match section.and_then(Section::content) {
        Some(bytes @ [.., 0]) if offset < bytes.len() => bytes[offset..].as_ptr().cast(), // the last byte ends every string
        _ => null(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn elf64_getehdr(elf: &Elf) -> Option<&Ehdr> {
    elf.wide.then_some(&elf.header)
}

#[unsafe(no_mangle)]
extern "C" fn elf64_getshdr(section: Option<&Section>) -> Option<&Shdr> {
    section.map(|section| &section.header)
}

/// Writes a value that is there to where the caller wants it, and returns that place; else null.
fn give<T>(out: &mut T, value: Option<T>) -> *mut T {
    value.map_or(null_mut(), |value| {
        *out = value;
        out
    })
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getehdr(elf: &Elf, out: &mut Ehdr) -> *mut Ehdr {
    give(out, Some(elf.header))
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getshdr(section: Option<&Section>, out: &mut Shdr) -> *mut Shdr {
    give(out, section.map(|section| section.header))
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getphdr(elf: &Elf, index: c_int, out: &mut Phdr) -> *mut Phdr {
    let header = || {
        let each = if elf.wide { size_of::<Phdr>() as u64 } else { 32 };
        let at = elf.header.phoff.checked_add(u64::try_from(index).ok()?.checked_mul(each)?)?;
        let piece = elf.piece(at, each)?;
        if elf.wide {
            return value(piece.bytes(), 0);
        }
        let [kind, offset, vaddr, paddr, filesz, memsz, flags, align]: [u32; 8] = value(piece.bytes(), 0)?;
        let [offset, vaddr, paddr, filesz, memsz, align] = [offset, vaddr, paddr, filesz, memsz, align].map(u64::from);
        Some(Phdr { kind, flags, offset, vaddr, paddr, filesz, memsz, align })
    };
    give(out, header())
}

/// The section that a `Data` is the first member of. libbpf does not always look whether it has one.
fn section_of(data: Option<&Data>) -> Option<&Section> {
    const { assert!(offset_of!(Section, data) == 0) };
    // SAFETY: every Data that libbpf has came from elf_getdata, and so lies in a section
    data.map(|data| unsafe { &*(data as *const Data).cast() })
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getsym(data: Option<&Data>, index: c_int, out: &mut Sym) -> *mut Sym {
    let symbol = || {
        let section = section_of(data)?;
        // SAFETY: a section's file outlives it
        let wide = unsafe { (*section.elf).wide };
        let each = if wide { size_of::<Sym>() } else { 16 };
        let at = usize::try_from(index).ok()?.checked_mul(each)?;
        if wide {
            return section.value(at);
        }
        let [name, value, size]: [u32; 3] = section.value(at)?;
        let [info, other]: [u8; 2] = section.value(at + 12)?;
        let shndx = section.value(at + 14)?;
        Some(Sym { name, info, other, shndx, value: value.into(), size: size.into() })
    };
    give(out, symbol())
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getversym(data: Option<&Data>, index: c_int, out: &mut u16) -> *mut u16 {
    give(out, usize::try_from(index).ok().and_then(|index| section_of(data)?.value(index.checked_mul(2)?)))
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getverdef(data: Option<&Data>, offset: c_int, out: &mut [u32; 5]) -> *mut [u32; 5] {
    give(out, usize::try_from(offset).ok().and_then(|offset| section_of(data)?.value(offset)))
}

#[unsafe(no_mangle)]
extern "C" fn gelf_getverdaux(data: Option<&Data>, offset: c_int, out: &mut [u32; 2]) -> *mut [u32; 2] {
    give(out, usize::try_from(offset).ok().and_then(|offset| section_of(data)?.value(offset)))
}

/// The next note of a section; returns where the one after it begins, 0 if there is none.
#[unsafe(no_mangle)]
extern "C" fn gelf_getnote(
    data: Option<&Data>,
    offset: usize,
    out: &mut [u32; 3],
    name: &mut usize,
    desc: &mut usize,
) -> usize {
    let mut next = || {
        let content = section_of(data)?.content()?;
        let header: [u32; 3] = value(content, offset)?; // lengths of name and description, type
        let align = |at: usize| at.checked_next_multiple_of(4);
        let name_at = offset + size_of::<[u32; 3]>();
        let desc_at = align(name_at.checked_add(header[0] as usize)?)?;
        let end = desc_at.checked_add(header[1] as usize)?;
        if end > content.len() {
            return None;
        }
        (*out, *name, *desc) = (header, name_at, desc_at);
        align(end)
    };
    next().unwrap_or(0)
}

const _: () =
    assert!(size_of::<Ehdr>() == 64 && size_of::<Shdr>() == 64 && size_of::<Phdr>() == 56 && size_of::<Sym>() == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd;

    /// What is open as long as it is in scope.
    struct Opened(*mut Elf);

    impl Opened {
        fn memory(bytes: &[u8]) -> Option<Opened> {
            let elf = elf_memory(bytes.as_ptr().cast_mut().cast(), bytes.len());
            (!elf.is_null()).then_some(Opened(elf))
        }

        fn file(file: &File) -> Option<Opened> {
            let elf = elf_begin(file.as_raw_fd(), 1, null_mut());
            (!elf.is_null()).then_some(Opened(elf))
        }

        fn elf(&self) -> &Elf {
            // SAFETY: open
            unsafe { &*self.0 }
        }

        fn name(&self, section: &Section) -> String {
            text(elf_strptr(self.elf(), self.elf().names, section.header.name as usize))
        }

        fn find(&self, name: &str) -> &Section {
            let sections = (1..self.elf().count).map(|index| self.elf().section(index).unwrap());
            sections.into_iter().find(|section| self.name(section) == name).unwrap_or_else(|| panic!("{name}"))
        }
    }

    impl Drop for Opened {
        fn drop(&mut self) {
            // SAFETY: open until now
            unsafe { elf_end(self.0) };
        }
    }

    fn text(at: *const c_char) -> String {
        assert!(!at.is_null());
        // SAFETY: what elf_strptr gives ends with NUL
        unsafe { CStr::from_ptr(at) }.to_str().unwrap().into()
    }

    fn data(section: &Section) -> Option<&[u8]> {
        elf_getdata(Some(section), null()).map(|data| {
            // SAFETY: what libbpf would read
            unsafe { core::slice::from_raw_parts(data.bytes.get(), data.size) }
        })
    }

    const STRINGS: &[u8] = b"\0.symtab\0.strtab\0.note\0.bss\0one\0two\0";

    /// An ELF file with symbols, a string table, a note and no bytes of .bss; where its section table begins.
    fn file(wide: bool) -> (Vec<u8>, usize) {
        let (header, each) = if wide { (64, 64) } else { (52, 40) };
        let word = |value: u64| if wide { value.to_ne_bytes().to_vec() } else { (value as u32).to_ne_bytes().to_vec() };
        let mut symbols = vec![0; if wide { 24 } else { 16 }];
        for (name, value) in [(28u32, 0x1234u64), (32, 0x5678)] {
            symbols.extend(name.to_ne_bytes());
            let (kind, section) = ([2u8, 0], 3u16.to_ne_bytes());
            if wide {
                symbols.extend([&kind[..], &section, &value.to_ne_bytes(), &8u64.to_ne_bytes()].concat());
            } else {
                symbols.extend([&word(value)[..], &word(8), &kind, &section].concat());
            }
        }
        let note = [&4u32.to_ne_bytes()[..], &5u32.to_ne_bytes(), &3u32.to_ne_bytes(), b"stap12345\0\0\0"].concat();
        let mut bytes = vec![0; header];
        let mut table = vec![0; each];
        let sections: [(u32, u32, &[u8], u64); 4] =
            [(1, 2, &symbols, 0), (9, 3, STRINGS, 0), (17, 7, &note, 0), (23, SHT_NOBITS, &[], 4096)];
        for (name, kind, content, size) in sections {
            let (offset, size) = (bytes.len() as u64, size.max(content.len() as u64));
            table.extend([name.to_ne_bytes(), kind.to_ne_bytes()].concat());
            table.extend([word(0), word(0), word(offset), word(size)].concat());
            table.extend([2u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat()); // link, info
            table.extend([word(1), word(0)].concat());
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let at = bytes.len();
        bytes.extend(table);
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1]);
        bytes[16..20].copy_from_slice(&[2, 0, 247, 0]);
        let fields = if wide { 52 } else { 40 };
        bytes[if wide { 40 } else { 32 }..][..4].copy_from_slice(&(at as u32).to_ne_bytes());
        let sizes = [header as u16, 0, 0, each as u16, 5, 2];
        bytes[fields..fields + 12].copy_from_slice(&sizes.map(u16::to_ne_bytes).concat());
        (bytes, at)
    }

    #[test]
    fn reads_sections_symbols_and_notes_of_both_widths() {
        for wide in [true, false] {
            let (bytes, _) = file(wide);
            let elf = Opened::memory(&bytes).unwrap();
            assert_eq!(gelf_getclass(Some(elf.elf())), if wide { 2 } else { 1 });
            assert_eq!(elf64_getehdr(elf.elf()).is_some(), wide);
            let names: Vec<_> = (1..5).map(|index| elf.name(elf_getscn(elf.elf(), index).unwrap())).collect();
            assert_eq!(names, [".symtab", ".strtab", ".note", ".bss"]);
            assert!(elf_getscn(elf.elf(), 5).is_none());

            let symbols = elf_getdata(Some(elf.find(".symtab")), null()).unwrap();
            // SAFETY: plain data
            let mut symbol: Sym = unsafe { core::mem::zeroed() };
            assert!(!gelf_getsym(Some(symbols), 2, &mut symbol).is_null());
            let name = text(elf_strptr(elf.elf(), 2, symbol.name as usize));
            assert_eq!((name.as_str(), symbol.value, symbol.size, symbol.shndx), ("two", 0x5678, 8, 3));
            for index in [3, -1, c_int::MAX] {
                assert!(gelf_getsym(Some(symbols), index, &mut symbol).is_null(), "symbol {index}");
            }

            let note = elf_getdata(Some(elf.find(".note")), null()).unwrap();
            let (mut header, mut name, mut description) = ([0; 3], 0, 0);
            assert_eq!(gelf_getnote(Some(note), 0, &mut header, &mut name, &mut description), 24);
            assert_eq!((header, name, description), ([4, 5, 3], 12, 16));
            for offset in [24, 20, usize::MAX] {
                assert_eq!(
                    gelf_getnote(Some(note), offset, &mut header, &mut name, &mut description),
                    0,
                    "at {offset}"
                );
            }
            let bss = elf_getdata(Some(elf.find(".bss")), null()).unwrap();
            assert_eq!((bss.bytes.get().is_null(), bss.size), (true, 4096));
        }
    }

    #[test]
    fn a_section_beyond_the_end_has_no_data_and_a_table_beyond_it_is_no_file() {
        let (bytes, table) = file(true);
        for cut in 0..bytes.len() {
            assert!(Opened::memory(&bytes[..cut]).is_none(), "cut off at {cut}");
        }
        for (offset, size) in [(u64::MAX, 1), (bytes.len() as u64, 1), (8, u64::MAX), (8, u64::MAX - 7)] {
            let mut bytes = bytes.clone();
            bytes[table + 64 + 24..][..16].copy_from_slice(&[offset, size].map(u64::to_ne_bytes).concat());
            let elf = Opened::memory(&bytes).unwrap();
            assert_eq!(data(elf.find(".symtab")), None, "{offset} {size}");
        }
        for (at, value) in [(0, 0), (4, 3), (5, 2), (6, 0), (0x3a, 63), (0x28, 0xff), (0x2f, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert!(Opened::memory(&bytes).is_none(), "byte {at} is {value}");
        }
        let mut none = bytes.clone();
        none[0x28..0x30].fill(0);
        assert_eq!(Opened::memory(&none).unwrap().elf().count, 0, "no section table");
    }

    #[test]
    fn strings_are_those_of_a_string_table_that_ends_with_nul() {
        let (bytes, _) = file(true);
        let elf = Opened::memory(&bytes).unwrap();
        assert_eq!(text(elf_strptr(elf.elf(), 2, 1)), ".symtab");
        for (section, offset) in [(1, 0), (2, STRINGS.len()), (2, usize::MAX), (9, 0)] {
            assert!(elf_strptr(elf.elf(), section, offset).is_null(), "{section} {offset}");
        }
        let mut open = bytes.clone();
        let at = open.windows(5).position(|at| at == b"\0two\0").unwrap();
        open[at + 4] = b'!';
        assert!(elf_strptr(Opened::memory(&open).unwrap().elf(), 2, 1).is_null());
    }

    #[test]
    fn data_is_aligned_wherever_it_is_in_the_file() {
        let (bytes, _) = file(true);
        let shifted = [&[0; 3], &bytes[..]].concat();
        let elf = Opened::memory(&shifted[3..]).unwrap();
        let symbols = data(elf.find(".symtab")).unwrap();
        assert!((symbols.as_ptr() as usize).is_multiple_of(8));
        assert_eq!(data(elf.find(".strtab")).unwrap(), STRINGS);
    }

    #[test]
    fn of_a_file_that_becomes_shorter_the_rest_is_missing() {
        let (bytes, _) = file(true);
        let path = std::env::temp_dir().join(format!("bpf-object-elf-{}", std::process::id()));
        fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let elf = Opened::file(&file).unwrap();
        assert_eq!(data(elf.find(".strtab")).unwrap(), STRINGS);
        file.set_len(64).unwrap();
        assert_eq!(data(elf.find(".strtab")).unwrap(), STRINGS, "was read before");
        assert_eq!(data(elf.find(".symtab")), None);
        assert!(Opened::file(&file).is_none());
        assert!(Opened::file(&File::open("/dev/null").unwrap()).is_none());
        assert!(Opened::file(&File::open("/").unwrap()).is_none(), "a directory");
    }

    #[test]
    fn no_more_is_copied_than_a_limit() {
        let (mut bytes, table) = file(true);
        let size = 1u64 << 20;
        bytes[table + 64 + 32..][..8].copy_from_slice(&size.to_ne_bytes());
        bytes[table + 3 * 64 + 32..][..8].copy_from_slice(&size.to_ne_bytes());
        let path = std::env::temp_dir().join(format!("bpf-object-sparse-{}", std::process::id()));
        fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        file.set_len(2 * MOST).unwrap();
        let elf = Opened::file(&file).unwrap();
        elf.elf().left.set(size + STRINGS.len() as u64);
        assert_eq!(data(elf.find(".strtab")).unwrap(), STRINGS);
        assert_eq!(data(elf.find(".symtab")).map(<[u8]>::len), Some(size as usize));
        assert_eq!(data(elf.find(".note")), None);
    }

    #[test]
    fn reads_this_program() {
        let program = File::open("/proc/self/exe").unwrap();
        let elf = Opened::file(&program).unwrap();
        let symbols = elf.find(".dynsym");
        // SAFETY: plain data
        let mut header: Shdr = unsafe { core::mem::zeroed() };
        assert!(!gelf_getshdr(Some(symbols), &mut header).is_null());
        assert_eq!(data(symbols).unwrap().len() as u64, header.size);
        let mut segments = 0;
        assert_eq!(elf_getphdrnum(elf.elf(), &mut segments), 0);
        // SAFETY: plain data
        let mut segment: Phdr = unsafe { core::mem::zeroed() };
        let kinds: Vec<_> = (0..segments)
            .map(|index| {
                assert!(!gelf_getphdr(elf.elf(), index as c_int, &mut segment).is_null());
                segment.kind
            })
            .collect();
        assert!(kinds.contains(&1) && kinds.contains(&2), "PT_LOAD and PT_DYNAMIC: {kinds:?}");
        assert!(gelf_getphdr(elf.elf(), -1, &mut segment).is_null());
    }
}
