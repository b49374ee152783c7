//! Looks up types by name, and where members lie, in BTF: the kernel's, as `/sys/kernel/btf` has it, or a program's.
use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::mapped::Mapped;
use crate::syscall::{EFAULT, EINVAL, ENODEV, ENOENT, c_string};

/// The id of the type with a name and kind (a `BTF_KIND_*`), or the index of a member of that struct; -errno if there
/// is none. `query` holds four strings, each with its NUL: the file to look in, the file that it extends (empty for
/// `vmlinux` itself, which a module's BTF continues), the type's name and the member's (empty: the type's id; `=`:
/// its size in bytes). If the file's name is empty, the BTF itself follows them.
pub fn find(kind: u32, query: *const u8, query_len: u32) -> i32 {
    if query.is_null() {
        return -EFAULT;
    }
    // SAFETY: the caller's buffer has query_len bytes and lives until the call returns
    let query = unsafe { core::slice::from_raw_parts(query, query_len as usize) };
    answer(kind, query).map_or_else(|errno| -errno, |found| found as i32)
}

fn answer(kind: u32, mut query: &[u8]) -> Result<u32, i32> {
    let mut string = || -> Result<&CStr, i32> {
        let string = c_string(query).ok_or(EINVAL)?;
        query = &query[string.count_bytes() + 1..];
        Ok(string)
    };
    let (file, base, name, member) = (string()?, string()?, string()?, string()?);
    let look =
        |bytes: &[u8], base: Option<&Btf>| Btf::parse(bytes)?.find(kind, name.to_bytes(), member.to_bytes(), base);
    if file.is_empty() {
        look(query, None)
    } else if base.is_empty() {
        with_file(file, |bytes| look(bytes, None))
    } else {
        with_file(base, |base| {
            let base = Btf::parse(base)?;
            with_file(file, |bytes| look(bytes, Some(&base)))
        })
    }
}

/// Words of the answer for each string of a [`layout`] query.
const ANSWER: usize = 8;

/// Finds in the kernel's own BTF where members of structs lie. `query` holds groups of strings, each string with its
/// NUL and each group with one more: the name of a struct, and paths from it. A path is member names with dots; at a
/// pointer it goes on in what that points to. The answers are of eight words: for a struct its id; for a path the
/// number of its offsets (one, and one more for each pointer on the way), the bytes of the last member, and the
/// offsets. The first word is 0 for what this kernel does not have. A name that ends in `()` is a function's; its
/// answer is its id. Returns 0 or -errno.
pub fn layout(query: *const u8, query_len: u32, answers: *mut u8, answers_len: u32) -> i32 {
    if query.is_null() || answers.is_null() {
        return -EFAULT;
    }
    // SAFETY: the caller's buffers have these lengths and live until the call returns; that of answers is aligned, as
    // that of a Uint32Array is
    let (query, answers) = unsafe {
        (
            core::slice::from_raw_parts(query, query_len as usize),
            core::slice::from_raw_parts_mut(answers.cast::<u32>(), answers_len as usize / 4),
        )
    };
    let found = with_file(c"/sys/kernel/btf/vmlinux", |bytes| {
        let btf = Btf::parse(bytes)?;
        let mut marks = [const { MaybeUninit::uninit() }; MARKS];
        btf.scan(query, answers, &mut marks)
    });
    found.map_or_else(|errno| -errno, |()| 0)
}

/// One type in so many is marked with where it lies, so that others can be found by their id.
const STRIDE: usize = 64;
/// Room for so many structs and functions in one query.
const ROOTS: usize = 32;
/// Room for half a million types: kernels have a quarter of that.
const MARKS: usize = 8192;

/// A name that is looked for, and its first letters in two words, if it has so many.
struct Root<'a> {
    kind: u32,
    name: &'a [u8],
    head: Option<u32>,
    tail: Option<u32>,
    /// The number of its string in the query.
    i: usize,
}

struct Index<'a, 'b> {
    btf: &'b Btf<'a>,
    marks: &'b [MaybeUninit<u32>],
}

fn with_file<T>(path: &CStr, read: impl FnOnce(&[u8]) -> Result<T, i32>) -> Result<T, i32> {
    // a type that is not in the file is ENOENT too
    let file = Mapped::open(path).map_err(|errno| if errno == ENOENT { ENODEV } else { errno })?;
    read(file.bytes())
}

// kinds of types, the kernel's BTF_KIND_*
const VOID: u32 = 0;
const POINTER: u32 = 2;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const RESTRICT: u32 = 11; // the last of three qualifiers behind it
const FUNCTION: u32 = 12;
const TYPE_TAG: u32 = 18;

/// What TypeScript knows too, for `lib/ffi/symbols.ts`.
#[cfg(feature = "bindgen")]
pub const NUMBERS: [(&str, usize); 4] =
    [("ANSWER", ANSWER), ("STRUCT", STRUCT as usize), ("TYPEDEF", TYPEDEF as usize), ("FUNCTION", FUNCTION as usize)];

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, i32> {
        let word = |at| word(bytes, at).ok_or(EINVAL);
        if word(0)? & 0xffff != 0xeb9f {
            return Err(EINVAL);
        }
        let header = word(4)? as usize;
        let part = |offset: usize, len: usize| bytes.get(header + offset..header + offset + len).ok_or(EINVAL);
        Ok(Btf {
            types: part(word(8)? as usize, word(12)? as usize)?,
            strings: part(word(16)? as usize, word(20)? as usize)?,
        })
    }

    /// The id of a type, which counts on from the base's; or its size, or the index of its member.
    fn find(&self, kind: u32, name: &[u8], member: &[u8], base: Option<&Btf>) -> Result<u32, i32> {
        let mut id = match base {
            None => 1,
            Some(base) => base.count()? + 1,
        };
        let mut at = 0;
        while at < self.types.len() {
            let info = word(self.types, at + 4).ok_or(EINVAL)?;
            if info >> 24 & 0x1f == kind && self.is_named(word(self.types, at).ok_or(EINVAL)?, name, base) {
                return match member {
                    [] => Ok(id),
                    b"=" => word(self.types, at + 8).ok_or(EINVAL),
                    _ => self.member(at + 12, info & 0xffff, member, base),
                };
            }
            at += size(info)?;
            id += 1;
        }
        Err(ENOENT)
    }

    /// The index among `count` members, the first of which is at `at`: three words each, the name first.
    fn member(&self, at: usize, count: u32, name: &[u8], base: Option<&Btf>) -> Result<u32, i32> {
        for index in 0..count {
            let offset = word(self.types, at + index as usize * 12).ok_or(EINVAL)?;
            if self.is_named(offset, name, base) {
                return Ok(index);
            }
        }
        Err(ENOENT)
    }

    /// Answers the names of a [`layout`] query in one pass over the types, then each group's paths.
    fn scan(&self, query: &[u8], answers: &mut [u32], marks: &mut [MaybeUninit<u32>; MARKS]) -> Result<(), i32> {
        if query.split(|byte| *byte == 0).count() * ANSWER > answers.len() {
            return Err(EINVAL);
        }
        let mut roots = [const { MaybeUninit::uninit() }; ROOTS];
        let mut count = 0;
        let mut first = true;
        for (i, string) in query.split(|byte| *byte == 0).enumerate() {
            if first && !string.is_empty() {
                let (kind, name) = match string {
                    [name @ .., b'(', b')'] => (FUNCTION, name),
                    _ => (STRUCT, string),
                };
                roots.get_mut(count).ok_or(EINVAL)?.write(Root {
                    kind,
                    name,
                    head: word(name, 0),
                    tail: word(name, 4),
                    i,
                });
                count += 1;
            }
            first = string.is_empty();
        }
        // SAFETY: so many were written
        let roots = unsafe { core::slice::from_raw_parts(roots.as_ptr().cast::<Root>(), count) };
        let (mut at, mut id) = (0, 1);
        while at < self.types.len() {
            if id % STRIDE == 1 {
                marks.get_mut(id / STRIDE).ok_or(EINVAL)?.write(at as u32);
            }
            let info = word(self.types, at + 4).ok_or(EINVAL)?;
            let kind = info >> 24 & 0x1f;
            if kind == STRUCT || kind == FUNCTION {
                let name = word(self.types, at).ok_or(EINVAL)?;
                // most are told apart by their first letters, which are read once
                let (head, tail) = (word(self.strings, name as usize), word(self.strings, name as usize + 4));
                for root in roots {
                    let may_be =
                        (root.head.is_none() || root.head == head) && (root.tail.is_none() || root.tail == tail);
                    if may_be && root.kind == kind && self.is_named(name, root.name, None) {
                        answers[root.i * ANSWER] = id as u32;
                    }
                }
            }
            at += size(info)?;
            id += 1;
        }
        let index = Index { btf: self, marks: &marks[..(id - 1).div_ceil(STRIDE)] };
        let mut root = None;
        for (i, string) in query.split(|byte| *byte == 0).enumerate() {
            match root {
                _ if string.is_empty() => root = None,
                None => root = Some(answers[i * ANSWER]),
                Some(root) => index.path(root, string, &mut answers[i * ANSWER..(i + 1) * ANSWER])?,
            }
        }
        Ok(())
    }

    fn count(&self) -> Result<u32, i32> {
        let (mut at, mut count) = (0, 0);
        while at < self.types.len() {
            at += size(word(self.types, at + 4).ok_or(EINVAL)?)?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether the string at `offset`, which counts on from the base's strings, is `name`.
    fn is_named(&self, offset: u32, name: &[u8], base: Option<&Btf>) -> bool {
        let offset = offset as usize;
        let base_len = base.map_or(0, |base| base.strings.len());
        let string = match base {
            Some(base) if offset < base_len => base.strings.get(offset..),
            _ => self.strings.get(offset - base_len..),
        };
        // one by one: the comparison of slices is a function of libc
        string.is_some_and(|s| s.len() > name.len() && s.iter().zip(name).all(|(a, b)| a == b) && s[name.len()] == 0)
    }
}

impl Index<'_, '_> {
    /// Where the type with this id lies, behind typedefs and qualifiers, and its kind.
    fn resolve(&self, mut id: u32) -> Result<(usize, u32), i32> {
        for _ in 0..32 {
            if id == 0 {
                return Ok((0, VOID));
            }
            let mark = (id - 1) as usize / STRIDE;
            // SAFETY: the scan has written every mark of the slice, which ends with that of the last type
            let mut at = unsafe { self.marks.get(mark).ok_or(EINVAL)?.assume_init() } as usize;
            for _ in mark * STRIDE + 1..id as usize {
                at += size(word(self.btf.types, at + 4).ok_or(EINVAL)?)?;
            }
            match word(self.btf.types, at + 4).ok_or(EINVAL)? >> 24 & 0x1f {
                TYPEDEF..=RESTRICT | TYPE_TAG => id = word(self.btf.types, at + 8).ok_or(EINVAL)?,
                kind => return Ok((at, kind)),
            }
        }
        Err(EINVAL)
    }

    /// Writes the answer for a path from the struct with this id; its first word stays 0 if a part of it is missing.
    fn path(&self, root: u32, path: &[u8], answer: &mut [u32]) -> Result<(), i32> {
        if root == 0 {
            return Ok(());
        }
        let (mut at, mut kind) = self.resolve(root)?;
        let (mut loads, mut offset) = (0, 0);
        for name in path.split(|byte| *byte == b'.') {
            if kind == POINTER {
                answer[2 + loads] = offset;
                (loads, offset) = (loads + 1, 0);
                (at, kind) = self.resolve(word(self.btf.types, at + 8).ok_or(EINVAL)?)?;
            }
            let found = if kind == STRUCT || kind == UNION { self.bits(at, name, 0)? } else { None };
            match found {
                Some((bits, id)) if bits % 8 == 0 && loads + 3 < ANSWER => {
                    offset = offset.wrapping_add(bits / 8);
                    (at, kind) = self.resolve(id)?;
                }
                _ => return Ok(()),
            }
        }
        answer[2 + loads] = offset;
        answer[1] = if kind == POINTER { 8 } else { word(self.btf.types, at + 8).ok_or(EINVAL)? };
        answer[0] = loads as u32 + 1;
        Ok(())
    }

    /// Where in the struct or union at `at` a member begins, in bits, and its type; also one of a nameless member.
    fn bits(&self, at: usize, name: &[u8], depth: u32) -> Result<Option<(u32, u32)>, i32> {
        let btf = self.btf;
        let info = word(btf.types, at + 4).ok_or(EINVAL)?;
        for i in 0..(info & 0xffff) as usize {
            let [own, id, offset] = [0, 4, 8].map(|part| word(btf.types, at + 12 + i * 12 + part));
            let (own, id, offset) = (own.ok_or(EINVAL)?, id.ok_or(EINVAL)?, offset.ok_or(EINVAL)?);
            let (bits, width) = if info >> 31 == 1 { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            if btf.is_named(own, name, None) {
                return Ok(if width == 0 { Some((bits, id)) } else { None }); // no bit fields
            }
            if btf.is_named(own, b"", None) && depth < 8 {
                let (inner, kind) = self.resolve(id)?;
                if (kind == STRUCT || kind == UNION)
                    && let Some((more, id)) = self.bits(inner, name, depth + 1)?
                {
                    return Ok(Some((bits.wrapping_add(more), id))); // of damaged BTF some answer is as good
                }
            }
        }
        Ok(None)
    }
}

/// Bytes of a type: three words, and what its kind adds for each member, or once.
#[inline(always)] // for each of more than a hundred thousand types: a call would take as long as the rest
fn size(info: u32) -> Result<usize, i32> {
    // a table: the branches of a match would be mispredicted for every other type
    match SIZES.get((info >> 24 & 0x1f) as usize) {
        Some((once, each)) if *once != 0 => Ok(*once as usize + *each as usize * (info & 0xffff) as usize),
        _ => Err(EINVAL), // a kind newer than this code
    }
}

/// Bytes once, and of each member, by kind.
const SIZES: [(u8, u8); 20] = [
    (0, 0),
    (16, 0),  // int
    (12, 0),  // pointer
    (24, 0),  // array
    (12, 12), // struct
    (12, 12), // union
    (12, 8),  // enum
    (12, 0),  // forward
    (12, 0),  // typedef
    (12, 0),  // volatile
    (12, 0),  // const
    (12, 0),  // restrict
    (12, 0),  // function
    (12, 8),  // function prototype
    (16, 0),  // var
    (12, 12), // section
    (12, 0),  // float
    (16, 0),  // declaration tag
    (12, 0),  // type tag
    (12, 12), // enum64
];

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with types (name offset, kind, members) and strings.
    fn build(types: &[(u32, u32, u32)], strings: &[u8]) -> Vec<u8> {
        let mut body = vec![];
        for (name, kind, members) in types {
            let info = kind << 24 | members;
            body.extend([*name, info, 0].iter().flat_map(|w| w.to_ne_bytes()));
            body.resize(body.len() + size(info).unwrap() - 12, 0);
        }
        let words = [0xeb9f | 1 << 16, 24, 0, body.len() as u32, body.len() as u32, strings.len() as u32];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_ne_bytes()).collect();
        bytes.extend(body);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_by_kind_and_whole_name() {
        let bytes = build(&[(1, 4, 3), (6, 12, 0), (1, 12, 0), (10, 12, 0)], b"\0task\0ta\0\0tas\0");
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.find(4, b"task", b"", None), Ok(1));
        assert_eq!(btf.find(12, b"task", b"", None), Ok(3));
        assert_eq!(btf.find(12, b"ta", b"", None), Ok(2));
        assert_eq!(btf.find(12, b"tas", b"", None), Ok(4));
        assert_eq!(btf.find(8, b"task", b"", None), Err(ENOENT));
    }

    #[test]
    fn a_module_counts_on_from_the_kernel() {
        let base = build(&[(1, 12, 0), (1, 13, 2)], b"\0f\0");
        let module = build(&[(1, 12, 0), (3, 12, 0)], b"m\0");
        let (base, module) = (Btf::parse(&base).unwrap(), Btf::parse(&module).unwrap());
        assert_eq!(module.find(12, b"f", b"", Some(&base)), Ok(3));
        assert_eq!(module.find(12, b"m", b"", Some(&base)), Ok(4));
    }

    #[test]
    fn members_are_counted_from_zero() {
        let mut bytes = build(&[(1, 4, 3)], b"\0ops\0init\0release\0");
        bytes[36..40].copy_from_slice(&5u32.to_ne_bytes());
        bytes[60..64].copy_from_slice(&10u32.to_ne_bytes());
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.find(4, b"ops", b"init", None), Ok(0));
        assert_eq!(btf.find(4, b"ops", b"release", None), Ok(2));
        assert_eq!(btf.find(4, b"ops", b"rel", None), Err(ENOENT));
    }

    #[test]
    fn bytes_may_follow_the_names() {
        let mut query = b"\0\0f\0\0".to_vec();
        query.extend(build(&[(1, 13, 1), (1, 12, 0)], b"\0f\0"));
        assert_eq!(find(12, query.as_ptr(), query.len() as u32), 2);
        assert_eq!(find(12, query.as_ptr(), 5), -EINVAL);
    }

    /// struct outer { int a; struct inner *next; }, struct inner { long; union { int b; }; }
    fn nested() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0next\0inner\0b\0";
        let (int, outer, a, next, inner, b) = (1, 5, 11, 13, 18, 24);
        let types: &[&[u32]] = &[
            &[int, 1 << 24, 4, 32],
            &[outer, 4 << 24 | 2, 16, a, 1, 0, next, 3, 64],
            &[0, 2 << 24, 4],
            &[inner, 4 << 24 | 1, 16, 0, 5, 64],
            &[0, 5 << 24 | 1, 4, b, 1, 0],
            &[next, 12 << 24, 0],
        ];
        let body: Vec<u8> = types.concat().iter().flat_map(|w| w.to_ne_bytes()).collect();
        let header = [0xeb9f | 1 << 16, 24, 0, body.len() as u32, body.len() as u32, strings.len() as u32];
        let mut bytes: Vec<u8> = header.iter().flat_map(|w| w.to_ne_bytes()).collect();
        bytes.extend(body);
        bytes.extend(strings);
        bytes
    }

    fn scan(bytes: &[u8], query: &[u8]) -> Result<Vec<u32>, i32> {
        let mut answers = vec![0; query.split(|byte| *byte == 0).count() * ANSWER];
        let mut marks = [const { MaybeUninit::new(0) }; MARKS]; // what was not written would be the first type
        Btf::parse(bytes)?.scan(query, &mut answers, &mut marks)?;
        Ok(answers)
    }

    #[test]
    fn paths_go_on_behind_pointers_and_into_nameless_members() {
        let query = b"outer\0next\0next.b\0next.c\0a.b\0\0next()\0\0nothing\0a\0\0";
        let answers = scan(&nested(), query).unwrap();
        let words = |i: usize| &answers[i * ANSWER..i * ANSWER + 4];
        assert_eq!(words(0)[0], 2);
        assert_eq!(words(1), [1, 8, 8, 0]);
        assert_eq!(words(2), [2, 4, 8, 8]);
        assert_eq!((words(3)[0], words(4)[0]), (0, 0));
        assert_eq!(words(6)[0], 6);
        assert_eq!((words(8)[0], words(9)[0]), (0, 0));
    }

    #[test]
    fn a_type_behind_the_last_is_an_error() {
        for types in [STRIDE - 1, STRIDE, STRIDE + 1] {
            let mut pointers = vec![(0, POINTER, 0); types];
            pointers[0] = (1, STRUCT, 1);
            let mut bytes = build(&pointers, b"\0s\0m\0");
            let member = 24 + 12; // behind the header and the struct: name, type, offset
            bytes[member..member + 4].copy_from_slice(&3u32.to_ne_bytes());
            bytes[member + 4..member + 8].copy_from_slice(&(types as u32).to_ne_bytes());
            assert_eq!(scan(&bytes, b"s\0m\0\0").unwrap()[ANSWER], 1, "the last of {types}");
            bytes[member + 4..member + 8].copy_from_slice(&(types as u32 + 1).to_ne_bytes());
            assert_eq!(scan(&bytes, b"s\0m\0\0"), Err(EINVAL), "the one behind {types}");
        }
    }

    #[test]
    fn there_is_room_for_as_many_types_as_marks_cover() {
        let most = vec![(0, POINTER, 0); MARKS * STRIDE];
        assert!(scan(&build(&most, b"\0"), b"nothing\0\0").is_ok());
        let more = vec![(0, POINTER, 0); MARKS * STRIDE + 1];
        assert_eq!(scan(&build(&more, b"\0"), b"nothing\0\0"), Err(EINVAL));
    }

    #[test]
    fn damaged_structs_are_errors_or_absent() {
        let good = nested();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let _ = scan(&bad, b"outer\0next.b\0a\0\0next()\0\0");
        }
    }

    /// Numbers that look random, the same in each run.
    fn numbers(mut state: u64) -> impl FnMut() -> u32 {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as u32
        }
    }

    #[test]
    fn any_bytes_have_an_answer_or_are_errors() {
        let mut next = numbers(0x9e37_79b9_7f4a_7c15);
        let good = nested();
        for round in 0..100_000_u32 {
            let mut bytes = good.clone();
            for _ in 0..next() % 8 {
                // whole words, for ids, sizes and counts are; some of them small, so that they fit somewhere
                let at = next() as usize % (bytes.len() / 4) * 4;
                let value = if next().is_multiple_of(2) { (next() % 32) | ((next() % 32) << 24) } else { next() };
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            if round.is_multiple_of(16) {
                bytes.truncate(next() as usize % (bytes.len() + 1));
            }
            let _ = scan(&bytes, b"outer\0next.b\0a\0\0inner\0b\0\0next()\0\0");
            if let Ok(btf) = Btf::parse(&bytes) {
                for kind in [STRUCT, TYPEDEF, 12] {
                    let _ = btf.find(kind, b"outer", b"", None);
                    let _ = btf.find(kind, b"outer", b"next", Some(&btf));
                }
            }
        }
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let good = build(&[(1, 4, 3), (1, 12, 0)], b"\0task\0");
        for end in 0..good.len() - 1 {
            assert!(Btf::parse(&good[..end]).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let _ = Btf::parse(&bad).and_then(|btf| btf.find(12, b"nothing", b"", None));
        }
    }

    #[test]
    fn names_are_four_strings() {
        for names in [&b""[..], b"a\0b\0", b"a\0b\0c\0", b"a\0b\0c\0d"] {
            assert_eq!(find(12, names.as_ptr(), names.len() as u32), -EINVAL);
        }
        assert_eq!(find(12, core::ptr::null(), 3), -EFAULT);
        let names = b"/nowhere\0\0x\0\0";
        assert_eq!(find(12, names.as_ptr(), names.len() as u32), -ENODEV);
    }
}
