//! `qpc-bench`: figures and fault tests against a real server in a process of its own.
//!
//! Everything stays on 127.0.0.1 and ends by itself; what failed makes the exit status non-zero.

use std::{io, io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use qpc_bench::{bed, direct, idle, report::Report, timing, torture};
use tokio::time::timeout;

/// Measures a qpc-server, or tries to make it lose something.
#[derive(Debug, Parser)]
#[command(name = "qpc-bench", version)]
struct Cli {
    /// The server's program [default: qpc-server beside this one].
    #[arg(long, global = true, value_name = "FILE")]
    server_program: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill -9 under load, again and again: is every acknowledged message there once, in order?
    Torture(TortureArgs),
    /// Is a known name told from an unknown one by a login's first answer?
    Timing {
        /// Pairs of a known and an unknown name.
        #[arg(long, default_value_t = 10_000)]
        pairs: usize,
        /// For the order of names.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Direct messages: what one costs the server, and how long it takes.
    Direct {
        /// Direct conversations; both sides send.
        #[arg(long, default_value_t = 100)]
        pairs: u32,
        /// Messages a second, over all pairs.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Seconds that are measured.
        #[arg(long, default_value_t = 20)]
        duration: u32,
        /// Milliseconds that a client gathers acknowledgements; 0 acknowledges each entry by itself.
        #[arg(long, default_value_t = 0)]
        acknowledge_ms: u64,
    },
    /// Authenticated connections that are silent: what each costs the server.
    Idle {
        /// Connections, each of an account of its own.
        #[arg(long, default_value_t = 2_000)]
        users: usize,
    },
}

#[derive(Debug, Args)]
struct TortureArgs {
    /// How often the server is killed.
    #[arg(long, default_value_t = 25)]
    cycles: u32,
    /// Clients that send.
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// For moments and messages; a new one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Control run, for a server with bugs planted: switch on the early acknowledgement, and fail unless it is found out.
    #[arg(long)]
    expect_violations: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nowhere is left to say that standard error is closed.
            _ = writeln!(io::stderr(), "qpc-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let longest = longest(&cli.command);
        timeout(longest, bench(&cli)).await.with_context(|| format!("it did not end within {longest:?}"))?
    });
    // What still runs is a client whose server is gone.
    runtime.shutdown_background();
    let report = report?;
    report.print(cli.json)?;
    Ok(report.passed())
}

async fn bench(cli: &Cli) -> anyhow::Result<Report> {
    let program = bed::program(cli.server_program.clone())?;
    match &cli.command {
        Command::Torture(args) => {
            let plan = torture::Plan {
                cycles: args.cycles,
                senders: args.senders,
                seed: args.seed.unwrap_or_else(qpc_bench::random::unix_ms),
                expect_violations: args.expect_violations,
            };
            torture::run(&program, &plan).await
        }
        Command::Timing { pairs, seed } => timing::run(&program, *pairs, *seed).await,
        Command::Direct { pairs, rate, duration, acknowledge_ms } => {
            let acknowledge = Duration::from_millis(*acknowledge_ms);
            let plan = direct::Plan { pairs: *pairs, rate: *rate, seconds: *duration, acknowledge };
            direct::run(&program, &plan).await
        }
        Command::Idle { users } => idle::run(&program, *users).await,
    }
}

/// After this long something is wrong.
fn longest(command: &Command) -> Duration {
    let seconds = match command {
        Command::Torture(args) => 120u64.saturating_add(u64::from(args.cycles).saturating_mul(10)),
        Command::Timing { pairs, .. } => 120u64.saturating_add(u64::try_from(*pairs).unwrap_or(u64::MAX) / 50),
        Command::Direct { duration, .. } => 180u64.saturating_add(u64::from(*duration)),
        Command::Idle { users } => 120u64.saturating_add(u64::try_from(*users).unwrap_or(u64::MAX) / 20),
    };
    Duration::from_secs(seconds)
}
