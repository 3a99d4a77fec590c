//! `qpc-bench`: figures and fault tests against a real server in a process of its own.
//!
//! Everything stays on loopback unless a server is named, and ends by itself; what failed makes the exit status non-zero.

mod args;

use std::{io, io::Write as _, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use qpc_bench::{
    across, away, bed, blobs, ccu, changes, direct, fanout, idle, login, nodes, page,
    report::Report,
    stored,
    storm::{self, Ending},
    talk::Common,
    timing, torture,
};
use qpc_proto::suite::Suite;
use tokio::time::timeout;

use self::args::{Cli, Command, Profile, Switch};

/// How long threads have to end after a bench.
const LAST_WORK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nowhere is left to say that standard error is closed.
            _ = writeln!(io::stderr(), "qpc-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let longest = cli.longest();
        timeout(longest, bench(cli)).await.with_context(|| format!("it did not end within {longest:?}"))?
    });
    // What still runs is a client whose server is gone. Its threads have used OpenSSL, which frees what is theirs as the
    // process ends and as they end; where both are at it, the process aborts with "double free".
    runtime.shutdown_timeout(LAST_WORK);
    let report = report?;
    if let Some(path) = &cli.json {
        report.write_json(path).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &cli.report {
        page::write(&report, path).with_context(|| path.display().to_string())?;
    }
    // One reader of standard output at a time.
    if cli.json.as_deref() != Some(std::path::Path::new("-")) {
        report.print()?;
    }
    Ok(report.passed())
}

async fn bench(cli: &Cli) -> anyhow::Result<Report> {
    match &cli.command {
        Command::Torture(args) => torture::run(&bed::program(cli.server_program.clone())?, &args.plan()).await,
        Command::TortureAcross(args) => {
            torture::across::run(&bed::program(cli.server_program.clone())?, &args.plan()).await
        }
        Command::Across { pairs, rate, runs, duration } => {
            let (pairs, rate, runs) = (*pairs, *rate, *runs);
            let plan = across::Plan { pairs, rate, seconds: *duration, runs, seed: 1 };
            across::run(&bed::program(cli.server_program.clone())?, &plan).await
        }
        Command::Nodes { pairs, far, window, runs, duration } => {
            let (pairs, far, window, runs) = (*pairs, *far, *window, *runs);
            let plan = nodes::Plan { pairs, far, window, seconds: *duration, runs, seed: 1 };
            nodes::run(&bed::program(cli.server_program.clone())?, &plan).await
        }
        Command::Away { pairs, queued, runs, duration } => {
            let (pairs, queued, runs) = (*pairs, *queued, *runs);
            let plan = away::Plan { pairs, queued, runs, seconds: *duration, seed: 1 };
            away::run(&bed::program(cli.server_program.clone())?, &plan).await
        }
        Command::Timing { pairs, seed } => timing::run(&bed::program(cli.server_program.clone())?, *pairs, *seed).await,
        Command::Idle { users, seconds } => idle::run(&cli.common()?, *users, qpc_bench::talk::seconds(*seconds)).await,
        Command::Login { users, concurrency } => login::run(&cli.common()?, *users, *concurrency).await,
        Command::Direct { pairs, rate, window, duration } => {
            let plan = direct::Plan { pairs: *pairs, rate: *rate, window: *window, seconds: *duration };
            direct::run(&cli.common()?, &plan).await
        }
        Command::Fanout { members, senders, rate, window, duration } => {
            let (members, senders) = (*members, *senders);
            let plan = fanout::Plan { members, senders, rate: *rate, window: *window, seconds: *duration };
            fanout::run(&cli.common()?, &plan).await
        }
        Command::Blobs { size, rounds, uploads, transfers, rate, runs, duration } => {
            let plan = blobs::Plan {
                size: size.saturating_mul(1_000_000),
                rounds: *rounds,
                uploads: *uploads,
                transfers: *transfers,
                rate: *rate,
                runs: *runs,
                seconds: *duration,
            };
            blobs::run(&cli.common()?, &plan).await
        }
        Command::Changes { members, post_quantum } => {
            let suite = if *post_quantum { Suite::PostQuantum } else { Suite::Classical };
            changes::run(&cli.common()?, *members, suite).await
        }
        Command::Ccu { users, profile: Profile::Seed, duration, files_per_minute, ephemeral } => {
            let common = Common { ephemeral: *ephemeral == Switch::On, ..cli.common()? };
            ccu::run(&common, *users, *duration, *files_per_minute).await
        }
        Command::History { messages, pairs, rate, duration } => {
            let (messages, pairs) = (*messages, *pairs);
            stored::run(&cli.common()?, &stored::Plan { messages, pairs, rate: *rate, seconds: *duration }).await
        }
        Command::Storm { users, stop } => {
            let ending = if *stop { Ending::Stopped } else { Ending::Killed };
            storm::run(&cli.common()?, *users, ending).await
        }
    }
}
