fn main() {
    use stateright::{Checker, Model};
    use wagres_model::{guards::Guards, protocol::{Promise, Protocol, state::Faults}};
    let a: Vec<u8> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let faults = Faults { all: a[0], crashes: a[1], restarts: a[2], freezes: a[3], cuts: a[4], answers: a[5], connections: a[6], hand_overs: a[7], failovers: a[8] };
    let mut guards = Guards::built();
    if a.get(9) == Some(&1) { guards = Guards::all(); }
    use Promise::*;
    let m = Protocol { guards, faults, messages: a.get(10).copied().unwrap_or(3).into(), inbound: a.get(11)==Some(&1), ratchets: a.get(12)==Some(&1), attempts: a.get(13).copied().unwrap_or(0), promises: vec![OneSender, NoStaleWrite, ShownOnce, InOrder, HandIsKnown, NoneForgotten, NotIdle, KeysOnce, CountedOnce, InboxComplete, InboxOnce] };
    let t = std::time::Instant::now();
    let sym = std::env::var("SYM").is_ok();
    let c = m.checker().threads(1);
    macro_rules! rep { ($c:expr) => {{ let c = $c.join(); println!("{} unique, {} total, {:?} depth {}", c.unique_state_count(), c.state_count(), t.elapsed(), c.max_depth());
    for (name, path) in c.discoveries() { println!("## {name}"); for (s, a) in path.into_vec() { if let Some(a) = a { print!("  {a}."); } else if std::env::var("V").is_ok() { println!("{s:?}"); } } } }} }
    if sym { rep!(c.symmetry().spawn_dfs()) } else { rep!(c.spawn_bfs()) }
}
