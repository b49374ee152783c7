//! The same work as `twin.c` with libbpf-rs, which has no update with an expected program.

use libbpf_rs::{
    Link, ObjectBuilder, Program,
    query::{LinkInfoIter, LinkTypeInfo},
};
use peers::{Operations, arguments, serve, walk};
use std::{cell::RefCell, os::fd::AsRawFd};

fn infos(limit: usize) -> usize {
    LinkInfoIter::default().take(limit).count()
}

fn main() {
    let Some((cgroup, pin, object)) = arguments(infos) else { return };
    let object = ObjectBuilder::default().open_file(object).unwrap().load().unwrap();
    let first = object.progs_mut().next().unwrap();
    let programs: Vec<Program> = object.progs().collect();
    let attach = || first.attach_cgroup(cgroup.as_raw_fd()).unwrap();
    let link = RefCell::new(attach());
    let id = link.borrow().info().unwrap().id;
    let mut held = 0;
    serve(Operations::from([
        ("create_close", Box::new(|| drop(attach())) as Box<dyn FnMut()>),
        ("create", Box::new(|| attach().detach().unwrap())),
        (
            "update",
            Box::new(|| {
                held ^= 1;
                link.borrow_mut().update_prog(&programs[held]).unwrap();
            }),
        ),
        (
            "info",
            Box::new(|| {
                let info = link.borrow().info().unwrap();
                assert!(info.id == id && matches!(info.info, LinkTypeInfo::Cgroup(cgroup) if cgroup.cgroup_id != 0));
            }),
        ),
        (
            "pin",
            Box::new(|| {
                link.borrow_mut().pin(&pin).unwrap();
                link.borrow_mut().unpin().unwrap();
            }),
        ),
        ("open_pinned", Box::new(|| drop(Link::open(&pin).unwrap()))),
        ("walk", Box::new(|| walk(infos))),
    ]));
}
