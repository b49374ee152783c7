//! The same work as `twin.c` with aya, which has neither the update of a cgroup's link nor the part of an info that
//! depends on the type.

use aya::{
    Ebpf,
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType,
        links::{FdLink, PinnedLink},
        loaded_links,
    },
};
use peers::{Operations, arguments, serve, walk};

fn infos(limit: usize) -> usize {
    loaded_links().flatten().take(limit).count()
}

fn main() {
    let Some((cgroup, pin, object)) = arguments(infos) else { return };
    let mut object = Ebpf::load_file(object).unwrap();
    let program: &mut CgroupSkb = object.program_mut("first").unwrap().try_into().unwrap();
    program.load().unwrap();
    let mut attach = || {
        let id = program.attach(&cgroup, CgroupSkbAttachType::Egress, CgroupAttachMode::Single).unwrap();
        FdLink::try_from(program.take_link(id).unwrap()).unwrap()
    };
    let link = attach();
    let id = link.info().unwrap().id();
    let mut spare = Some(attach()); // pinning takes a link and gives it back
    serve(Operations::from([
        ("create_close", Box::new(|| drop(attach())) as Box<dyn FnMut()>),
        ("info", Box::new(|| assert_eq!(link.info().unwrap().id(), id))),
        ("pin", Box::new(|| spare = spare.take().map(|link| link.pin(&pin).unwrap().unpin().unwrap()))),
        ("open_pinned", Box::new(|| drop(PinnedLink::from_pin(&pin).unwrap()))),
        ("walk", Box::new(|| walk(infos))),
    ]));
}
