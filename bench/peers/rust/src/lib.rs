//! What the peers in Rust share.
//!
//! ```text
//! PEER CGROUP PIN OBJECT  reads lines "OPERATION COUNT", answers each with the nanoseconds that one took
//! PEER walk | first       lists all links, or one, and ends
//! ```

use std::{collections::HashMap, fs::File, io, time::Instant};

/// Operations by their names in `twin.c`.
pub type Operations<'a> = HashMap<&'static str, Box<dyn FnMut() + 'a>>;

/// What a listing finds, if it is not cut short by a link that is being made.
const LINKS: usize = 10_000;

/// How often a listing may be cut short.
const ATTEMPTS: usize = 20;

/// Lists all links: `infos` reads those of up to so many and returns of how many.
pub fn walk(infos: fn(usize) -> usize) {
    assert!((0..ATTEMPTS).any(|_| infos(usize::MAX) >= LINKS), "fewer than {LINKS} links");
}

/// Lists links, if that is all that was asked for; otherwise returns the cgroup, and the paths for a pin and of programs.
pub fn arguments(infos: fn(usize) -> usize) -> Option<(File, String, String)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [cgroup, pin, object] => return Some((File::open(cgroup).unwrap(), pin.clone(), object.clone())),
        [first] if first == "first" => assert_eq!(infos(1), 1),
        _ => walk(infos),
    }
    None
}

/// Answers until the input ends.
pub fn serve(mut operations: Operations) {
    for line in io::stdin().lines().map_while(Result::ok) {
        let (operation, count) = line.split_once(' ').unwrap();
        let count: u32 = count.parse().unwrap();
        let Some(run) = operations.get_mut(operation) else {
            println!("none");
            continue;
        };
        let start = Instant::now();
        for _ in 0..count {
            run();
        }
        println!("{}", start.elapsed().as_nanos() as f64 / f64::from(count));
    }
}
