//! `wagres-bench queue`: no-op jobs a second through our worker and through each installed peer, and the cost of a job
//! for the database on either side.
//!
//! All jobs are inserted before the clock starts, and it stops when the last one is recorded as done. Lanes and fencing
//! are on; finished rows are kept.

use super::cost::{COUNTED, Cost};
use super::engine::{self, Lanes};
use super::figure::{self, Better, Figure};
use super::peers::{self, Peer, PeerArgs, Peers};
use super::server::{self, Server, ServerArgs};
use wagres::config::Config;

const NAME: &str = "no-op jobs drained";
/// Least ratio of our rate to the fastest peer's.
const BUDGET: f64 = 2.0;
/// P10: most bytes of WAL a job.
const WAL: f64 = 250.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs to drain; slow peers get fewer
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Drains of each queue, in turn; the medians are compared
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    lanes: Lanes,
    #[command(flatten)]
    peers: PeerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, config: &Config, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let peers = Peers::find(&args.peers)?;
    let figures =
        server::with(&args.server, given, async |server| measure(server, &args, config, &peers).await).await?;
    figure::print(&figures, json)
}

/// The runs of a peer, until one failed.
struct Outcome {
    peer: &'static Peer,
    runs: Vec<(f64, Cost)>,
    failed: Option<String>,
}

async fn measure(server: &Server, args: &Args, config: &Config, peers: &Peers) -> anyhow::Result<Vec<Figure>> {
    let mut ours = vec![];
    let mut others: Vec<Outcome> =
        peers.installed.iter().map(|peer| Outcome { peer, runs: vec![], failed: None }).collect();
    for round in 1..=args.rounds {
        tracing::info!(round, jobs = args.jobs, "measuring wagres");
        ours.push(drain(server, args, config).await?);
        for other in others.iter_mut().filter(|other| other.failed.is_none()) {
            match peers.drain(other.peer, server, args.jobs).await {
                Ok(run) => other.runs.push(run),
                Err(error) => other.failed = Some(format!("{error:#}")),
            }
        }
    }
    Ok(report(&ours, &others, peers))
}

async fn drain(server: &Server, args: &Args, config: &Config) -> anyhow::Result<(f64, Cost)> {
    let database = server.database().await?;
    engine::prepare(&database, args.lanes).await?;
    let jobs = engine::insert(&database, args.lanes, args.jobs).await?;
    database.settle().await?;
    let before = Cost::so_far(&database).await?;
    let rate = engine::drain(&database, config, jobs).await?;
    let after = Cost::so_far(&database).await?;
    database.pool.close().await;
    Ok((rate, after.since(before, engine::count(args.jobs))))
}

fn report(ours: &[(f64, Cost)], others: &[Outcome], peers: &Peers) -> Vec<Figure> {
    let Some((rate, cost)) = peers::median_run(ours) else { return vec![] };
    let own = || Figure::new("P1", NAME, rate, "jobs/s");
    let mut measured: Vec<_> =
        others.iter().filter_map(|other| Some((other.peer.name, peers::median_run(&other.runs)?))).collect();
    measured.sort_by(|(_, (one, _)), (_, (other, _))| other.total_cmp(one));

    let mut figures = vec![];
    for (place, (name, (theirs, _))) in measured.iter().enumerate() {
        let figure = own().beside(*name, *theirs, Better::More);
        figures.push(if place == 0 { figure.budget(BUDGET) } else { figure });
    }
    if measured.is_empty() {
        figures.push(own());
    }
    for other in others {
        figures.extend(other.failed.as_ref().map(|why| own().without(other.peer.name, why)));
    }
    figures.extend(peers.missing("P1", NAME));

    for (place, (name, unit)) in COUNTED.into_iter().enumerate() {
        let Some(own) = cost.0[place] else { continue };
        let own = || Figure::new("P10", name, own, unit);
        if unit == "bytes" {
            figures.push(own().beside("the budget", WAL, Better::Less).budget(1.0));
        }
        let theirs = measured.iter().filter_map(|(peer, (_, cost))| Some((*peer, cost.0[place]?)));
        let beside: Vec<_> = theirs.map(|(peer, theirs)| own().beside(peer, theirs, Better::Less)).collect();
        figures.extend(if beside.is_empty() { vec![own()] } else { beside });
    }
    figures
}
