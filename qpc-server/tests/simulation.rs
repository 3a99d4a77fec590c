//! Whole nets in one thread, by seeds: the real clients and the real server, with their MLS, over the real QUIC, on a
//! network, a clock and stores that are simulated. Devices and the server crash between any two steps, answers are lost,
//! datagrams overtake each other, people change groups at once. In the end nothing may be lost, doubled, out of order or
//! unreadable, and no group stuck.
//!
//!     cargo test -p qpc-server --features simulation --test simulation                 200 seeds
//!     QPC_SEEDS=1000..2000 cargo test ... -- nothing_is_lost                           others
//!     QPC_SEEDS=17 QPC_DIARY=1 cargo test ... -- nothing_is_lost --nocapture           one, and what happens in it
//!     QPC_SEEDS=17 QPC_DIARY=1 RUST_LOG=qpc_client=debug cargo test ...                and what the clients say
//!
//! With `QPC_SEEDS_FILE` seeds that were done are noted there, and not done again. `make torture` runs 20,000.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "what runs in a town ends with its runtime")]

#[path = "simulation/chance.rs"]
mod chance;
#[path = "simulation/device.rs"]
mod device;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/town.rs"]
mod town;
#[path = "simulation/verdict.rs"]
mod verdict;

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Mutex,
    thread,
};

use qpc_client::simulation::{self, Bug};
use qpc_server::store::planted;
use tokio::{runtime::Builder, task::LocalSet};

use crate::{
    ledger::{Ledger, Sum, Tally},
    town::Town,
};

/// Seeds of a plain run.
const SEEDS: Range<u64> = 0..200;

/// A bug on purpose.
#[derive(Debug, Clone, Copy)]
enum Planted {
    Nothing,
    Client(Bug),
    TwoCommits,
}

/// What became of a seed.
struct Life {
    wrong: Vec<String>,
    tally: Tally,
    diary: Vec<String>,
}

/// Lives through one seed.
fn live(seed: u64, bug: Planted) -> Life {
    planted::accept_two_commits(matches!(bug, Planted::TwoCommits));
    let client_bug = match bug {
        Planted::Client(bug) => Some(bug),
        Planted::Nothing | Planted::TwoCommits => None,
    };
    if town::is_told() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).without_time().with_test_writer().try_init());
    }
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        simulation::begin(seed, client_bug);
        let town = Rc::new(Town::found().await);
        town.live().await;
        let mut wrong: Vec<String> = town.settle().await.err().into_iter().collect();
        town.probe().await;
        wrong.extend(town.quiet().await.err());
        wrong.extend(town.never_catch_up().await);
        let views = verdict::views(&town).await;
        if town::is_told() {
            views.iter().for_each(verdict::View::tell);
        }
        let names = town.names().await;
        let witness = simulation::end();
        let sayings = town.sayings.lock().unwrap().clone();
        wrong.extend(verdict::judge(&views, &sayings, &names, &witness));
        let tally = Tally::of(&town, &witness);
        Life { wrong, tally, diary: town.diary.take() }
    })
}

fn live_or_panic(seed: u64, bug: Planted) -> (Vec<String>, Tally) {
    match catch_unwind(AssertUnwindSafe(|| live(seed, bug))) {
        Ok(life) => (life.wrong, life.tally),
        Err(panic) => {
            drop(simulation::end());
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (vec![format!("a panic: {}", text.unwrap_or_default())], Tally::default())
        }
    }
}

/// Runs seeds on all cores, until `enough` says so, and gives the first that went wrong to `told`.
fn run(
    seeds: impl Iterator<Item = u64> + Send,
    bug: Planted,
    enough: impl Fn(&Sum) -> bool + Sync,
    told: impl Fn(u64, &[String], &Tally) + Sync,
) -> Sum {
    let (seeds, sum) = (Mutex::new(seeds), Mutex::new(Sum::default()));
    let work = || {
        loop {
            if enough(&sum.lock().unwrap()) {
                return;
            }
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            let (wrong, tally) = live_or_panic(seed, bug);
            told(seed, &wrong, &tally);
            sum.lock().unwrap().add(seed, !wrong.is_empty(), &tally);
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        // The end of a scope waits for the work alone. What a thread has of the cryptography it lets go of after that, and a
        // process that exits meanwhile has freed it.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    sum.into_inner().unwrap()
}

/// `QPC_SEEDS`: one, or from one to below another.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("QPC_SEEDS") else { return SEEDS };
    match text.split_once("..") {
        Some((start, end)) => start.parse().unwrap()..end.parse().unwrap(),
        None => {
            let seed: u64 = text.parse().unwrap();
            seed..seed + 1
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_unreadable_in_any_of_the_seeds() {
    let seeds = seeds();
    let mut ledger = Ledger::open();
    let (done, before) = (ledger.done(), ledger.sum());
    let ledger = Mutex::new(ledger);
    let sum = run(
        seeds.clone().filter(|seed| !done.contains(seed)),
        Planted::Nothing,
        |_| false,
        |seed, wrong, tally| {
            ledger.lock().unwrap().note(seed, wrong, tally);
            if !wrong.is_empty() {
                println!("seed {seed}: {}", wrong.join("\n    "));
            }
        },
    );
    let sum = before.and(sum);
    println!("{sum}");
    assert!(sum.wrong.is_empty(), "{} of {seeds:?} went wrong: {:?}", sum.wrong.len(), sum.wrong);
}

/// A simulation that finds nothing proves nothing.
#[test]
fn each_planted_bug_is_found() {
    for bug in [Planted::TwoCommits, Planted::Client(Bug::AppliesBeforeTheAnswer), Planted::Client(Bug::EncryptsAnew)] {
        let first = Mutex::new(None);
        let sum = run(
            SEEDS,
            bug,
            |sum| !sum.wrong.is_empty(),
            |seed, wrong, _| {
                if let Some(wrong) = wrong.first() {
                    first.lock().unwrap().get_or_insert_with(|| format!("seed {seed}: {wrong}"));
                }
            },
        );
        let first = first.into_inner().unwrap();
        assert!(first.is_some(), "{bug:?} was not found in {} seeds", sum.seeds);
        println!("{bug:?} was found in {} seeds; {}", sum.seeds, first.unwrap());
    }
}

/// So that what a seed has shown can be looked at again.
#[test]
fn a_seed_is_the_same_story_each_time() {
    for seed in [3, 5] {
        let [one, other] = [(); 2].map(|()| live(seed, Planted::Nothing));
        assert_eq!(one.diary, other.diary, "seed {seed}");
        assert_eq!(one.tally, other.tally, "seed {seed}");
    }
}
