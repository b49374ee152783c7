//! The removal of a link's pin in one go: what `lib/handle/pin_place.ts` does step by step, where nothing is amiss.
use core::ffi::CStr;

use crate::info::info;
use crate::syscall::command::{LINK_UPDATE, OBJ_GET};
use crate::syscall::{
    self, AT_FDCWD, EBADF, EEXIST, EFAULT, EINVAL, ELOOP, NO_FD, above_stdio, c_string, close, nr, open, syscall, words,
};

const LOCK_EX: usize = 2;
const LOCK_NB: usize = 4;
/// The path of OBJ_GET begins at an fd: since Linux 6.6, older ones say EINVAL.
const PATH_FD: u64 = 1 << 14;
const NO_PROGRAM: u32 = u32::MAX;

/// Removes the pin at `path`, a string with its NUL, one `/` of which is overwritten. It is removed if the link `id` is
/// pinned there, under the lock of its directory, and by no symbolic link: 0. Anything else is an error and changes
/// nothing; then the caller does it step by step, to wait, or to say what is there. EINVAL: this kernel never can.
pub fn unpin(id: u32, path: *mut u8, path_len: u32) -> i32 {
    if path.is_null() {
        return -EFAULT;
    }
    // SAFETY: the caller's buffer, which nobody else uses meanwhile
    let path = unsafe { core::slice::from_raw_parts_mut(path, path_len as usize) };
    let Some((directory, name)) = split(path) else { return -EFAULT };
    with_fd(above_stdio(open(AT_FDCWD, directory)), &|directory| {
        let locked = lock(directory);
        if locked < 0 {
            return locked;
        }
        if is_symbolic_link(directory, name) {
            return -ELOOP;
        }
        with_fd(open_pin(directory, name), &|pin| if is_link(pin, id) { remove(directory, name) } else { -EEXIST })
    })
}

/// The directory, and the name in it.
fn split(path: &mut [u8]) -> Option<(&CStr, &CStr)> {
    let end = path.iter().position(|byte| *byte == 0)?;
    let slash = path[..end].iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0)?;
    path[slash] = 0;
    Some((c_string(path)?, c_string(&path[slash + 1..])?))
}

/// Calls `work` with an fd that was opened, and closes it.
fn with_fd(fd: i32, work: &dyn Fn(i32) -> i32) -> i32 {
    if fd < 0 {
        return fd;
    }
    let result = work(fd);
    close(fd);
    result
}

fn lock(directory: i32) -> i32 {
    // SAFETY: no argument is an address
    unsafe { syscall(nr::FLOCK, [directory as usize, LOCK_EX | LOCK_NB, 0, 0, 0, 0]) }
}

/// Whether a name is one, or may be: reading where it leads is EINVAL for what is there and none.
fn is_symbolic_link(directory: i32, name: &CStr) -> bool {
    let mut target = 0u8;
    // SAFETY: the name has its NUL, and there is room for the byte that is asked for
    let result = unsafe {
        let target = &raw mut target;
        syscall(nr::READLINKAT, [directory as usize, name.as_ptr() as usize, target as usize, 1, 0, 0])
    };
    result != -EINVAL
}

fn open_pin(directory: i32, name: &CStr) -> i32 {
    let attr = [name.as_ptr() as u64, PATH_FD << 32, directory as u64];
    // SAFETY: the kernel reads the name up to its NUL, and writes nothing
    unsafe { syscall::bpf(OBJ_GET, (attr.as_ptr() as usize, size_of_val(&attr)), (0, 0)) }
}

/// Whether an fd is of the link `id`: ids are numbers of links, and of maps and programs too.
fn is_link(fd: i32, id: u32) -> bool {
    let mut told = [0u64; 1]; // type and id
    // what is a link is looked at before the program, which is none
    words(LINK_UPDATE, [fd as u32, NO_PROGRAM, 0, 0], NO_FD) == -EBADF
        && info(fd, told.as_mut_ptr().cast(), 8) == 0
        && (told[0] >> 32) as u32 == id
}

fn remove(directory: i32, name: &CStr) -> i32 {
    // SAFETY: the kernel reads the name up to its NUL
    unsafe { syscall(nr::UNLINKAT, [directory as usize, name.as_ptr() as usize, 0, 0, 0, 0]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_split() {
        let both = |path: &str| {
            let mut path = path.as_bytes().to_vec();
            split(&mut path).map(|(directory, name)| (directory.to_owned(), name.to_owned()))
        };
        assert_eq!(both("/a/b/c\0/d"), Some((c"/a/b".into(), c"c".into())));
        assert_eq!(both("a//b\0"), Some((c"a/".into(), c"b".into())));
        for wrong in ["", "\0/", "/\0", "/a\0", "a\0", "a/b", "/a/b"] {
            assert_eq!(both(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_pin_stays() {
        let directory = std::env::temp_dir().join(format!("bpf-link-pin-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let (file, link) = (directory.join("file"), directory.join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let unpin = |path: &std::path::Path| {
            let mut path = format!("{}\0", path.display()).into_bytes();
            unpin(1, path.as_mut_ptr(), path.len() as u32)
        };
        assert!(unpin(&file) < 0 && file.exists());
        assert_eq!(unpin(&link), -ELOOP);
        assert!(unpin(&directory.join("none")) < 0);
        assert_eq!(super::unpin(1, core::ptr::null_mut(), 8), -EFAULT);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
