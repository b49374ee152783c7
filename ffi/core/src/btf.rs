//! Looks up a type by name in BTF: the kernel's, as `/sys/kernel/btf` has it, or a program's.
use crate::mapped::Mapped;
use crate::syscall::{EFAULT, EINVAL, ENOENT};

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
    let mut parts = query.splitn(5, |byte| *byte == 0);
    let (Some(file), Some(base), Some(name), Some(member), Some(bytes)) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return -EINVAL;
    };
    let look = |bytes: &[u8], base: Option<&Btf>| Btf::parse(bytes)?.find(kind, name, member, base);
    let found = if file.is_empty() {
        look(bytes, None)
    } else if base.is_empty() {
        with_file(file, |bytes| look(bytes, None))
    } else {
        with_file(base, |base| {
            let base = Btf::parse(base)?;
            with_file(file, |bytes| look(bytes, Some(&base)))
        })
    };
    found.map_or_else(|errno| -errno, |found| found as i32)
}

fn with_file<T>(path: &[u8], read: impl FnOnce(&[u8]) -> Result<T, i32>) -> Result<T, i32> {
    let file = Mapped::open(path)?;
    read(file.bytes())
}

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

/// Bytes of a type: three words, and what its kind adds for each member, or once.
fn size(info: u32) -> Result<usize, i32> {
    let members = (info & 0xffff) as usize;
    let more = match info >> 24 & 0x1f {
        1 | 14 | 17 => 4,                // int, var, declaration tag
        3 => 12,                         // array
        4 | 5 | 15 | 19 => 12 * members, // struct, union, section, enum64
        6 | 13 => 8 * members,           // enum, function prototype
        2 | 7..=12 | 16 | 18 => 0,       // pointer, forward, typedef, qualifiers, function, float, type tag
        _ => return Err(EINVAL),         // a kind newer than this code
    };
    Ok(12 + more)
}

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
        assert_eq!(find(12, names.as_ptr(), names.len() as u32), -ENOENT);
    }
}
