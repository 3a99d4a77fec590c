//! Arguments as they are typed, and what they mean.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use qpc_bench::{
    bed::{self, Beds, External},
    cgroup::Cgroups,
    talk::Common,
    torture,
};

/// Measures a qpc-server, or tries to make it lose something.
#[derive(Debug, Parser)]
#[command(name = "qpc-bench", version)]
pub(super) struct Cli {
    /// The server's program [default: qpc-server beside this one].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) server_program: Option<PathBuf>,
    /// Write the result as one JSON object to a file; "-" is standard output, instead of the table.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the result as a page with plots, for a browser.
    #[arg(long, global = true, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) external: ExternalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// For all scenarios but torture and timing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct LoadArgs {
    /// Keep accounts, conversations and the server's data here, and use them again; a run works on a copy.
    #[arg(long, global = true, value_name = "DIR")]
    accounts: Option<PathBuf>,
    /// Keep all of the server's limits while measuring.
    #[arg(long, global = true)]
    all_limits: bool,
    /// A line of the server's configuration, such as "runtime.threads = 1".
    #[arg(long, global = true, value_name = "KEY = VALUE")]
    set: Vec<String>,
    /// The cores that the server may run on, such as "0" or "0,1"; `taskset` pins it.
    #[arg(long, global = true, value_name = "LIST")]
    server_cpus: Option<String>,
    /// The directory of a control group that the measured server joins before it starts; its limits are set by who
    /// made it. Given again for each hierarchy of version 1.
    #[arg(long, global = true, value_name = "DIR")]
    server_cgroup: Vec<PathBuf>,
    /// Milliseconds that a client gathers acknowledgements, once to twice this: as the real client does.
    #[arg(long, global = true, default_value_t = 3_500)]
    acknowledge_ms: u64,
    /// UDP sockets of the clients, each at a loopback address of its own.
    #[arg(long, global = true, default_value_t = 16)]
    sockets: usize,
    /// Of a hundred clients, so many run real MLS.
    #[arg(long, global = true, default_value_t = 10)]
    mls: u32,
    /// Encryptions and decryptions that they may do in a second, together.
    #[arg(long, global = true, default_value_t = 100)]
    mls_per_second: u32,
    /// Bytes of text in a message.
    #[arg(long, global = true, default_value_t = 40)]
    text: usize,
    /// For all that is random.
    #[arg(long, global = true, default_value_t = 1)]
    random: u64,
}

/// A server that runs already, instead of one of its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "A server that runs already")]
pub(super) struct ExternalArgs {
    /// Its address.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    server: Option<String>,
    /// The fingerprint of its certificate.
    #[arg(long, global = true, value_name = "sha256:HEX")]
    pin: Option<String>,
    /// A token that lets all users register.
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Its metrics page.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    metrics: Option<String>,
    /// Its process, where it is on this machine.
    #[arg(long, global = true, value_name = "PID")]
    pid: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Kill -9 under load, again and again: is every acknowledged message there once, in order?
    Torture(TortureArgs),
    /// The same for servers of three domains, killed in turn and cut off from each other.
    TortureAcross(AcrossArgs),
    /// Messages between people of two servers against those between people of one.
    Across {
        /// Conversations of each kind; both sides send.
        #[arg(long, default_value_t = 50)]
        pairs: usize,
        /// Messages a second, over all.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Measurements of each kind, in turn.
        #[arg(long, default_value_t = 5)]
        runs: u32,
        /// Seconds of each.
        #[arg(long, default_value_t = 10)]
        duration: u32,
    },
    /// Three servers with conversations that are mostly their own, against one, as fast as they are answered.
    Nodes {
        /// Conversations of each kind; both sides send.
        #[arg(long, default_value_t = 60)]
        pairs: usize,
        /// Of ten conversations so many are with somebody of another server.
        #[arg(long, default_value_t = 1)]
        far: usize,
        /// Messages of each person that may be under way.
        #[arg(long, default_value_t = 8)]
        window: u64,
        /// Measurements of each kind, in turn.
        #[arg(long, default_value_t = 5)]
        runs: u32,
        /// Seconds of each.
        #[arg(long, default_value_t = 10)]
        duration: u32,
    },
    /// A server is away while messages for its people are queued, and comes back.
    Away {
        /// Conversations with its people that the healthy server orders, and as many that it orders itself.
        #[arg(long, default_value_t = 60)]
        pairs: usize,
        /// Messages that are queued for it.
        #[arg(long, default_value_t = 100_000)]
        queued: u32,
        /// How often the healthy server's own people are listened to while it is there, and while it is away; 0 leaves
        /// that out.
        #[arg(long, default_value_t = 5)]
        runs: u32,
        /// Seconds of each.
        #[arg(long, default_value_t = 10)]
        duration: u32,
    },
    /// Is a known name told from an unknown one by a login's first answer?
    Timing {
        /// Pairs of a known and an unknown name.
        #[arg(long, default_value_t = 10_000)]
        pairs: usize,
        /// For the order of names.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Authenticated connections that are silent: what each costs the server.
    Idle {
        /// Connections, each of an account of its own.
        #[arg(long, default_value_t = 2_000)]
        users: u32,
        /// Seconds that they are silent.
        #[arg(long, default_value_t = 30)]
        seconds: u32,
    },
    /// Full logins with a password, and reconnects with a device's key.
    Login {
        /// Accounts; each logs in once and reconnects once.
        #[arg(long, default_value_t = 2_000)]
        users: u32,
        /// So many at a time.
        #[arg(long, default_value_t = 16)]
        concurrency: usize,
    },
    /// Blobs: their cost and speed each way, memory, and whether messages wait for them.
    Blobs {
        /// Megabytes of a large one.
        #[arg(long, default_value_t = 100)]
        size: usize,
        /// Large ones each way, one after the other.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Uploads of 8 MiB at once.
        #[arg(long, default_value_t = 50)]
        uploads: u32,
        /// Transfers beside messages.
        #[arg(long, default_value_t = 4)]
        transfers: u32,
        /// Messages a second.
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Runs with transfers, and as many without.
        #[arg(long, default_value_t = 5)]
        runs: u32,
        /// Seconds of each.
        #[arg(long, default_value_t = 10)]
        duration: u32,
    },
    /// Changes of groups of one size: making one, adding and removing a member, and a message.
    Changes {
        /// Members of each group, at most 999.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=999))]
        members: u32,
        /// Groups of the post-quantum suite.
        #[arg(long)]
        post_quantum: bool,
    },
    /// Direct messages: what one costs the server, and how long it takes.
    Direct {
        /// Direct conversations; both sides send.
        #[arg(long, default_value_t = 100)]
        pairs: u32,
        /// Messages a second, over all pairs [default: as many as there can be].
        #[arg(long)]
        rate: Option<u32>,
        /// Without a rate: messages of each client without an answer.
        #[arg(long, default_value_t = 8)]
        window: usize,
        /// Seconds that are measured.
        #[arg(long, default_value_t = 20)]
        duration: u32,
    },
    /// One group in which a few talk: what one delivery costs the server.
    Fanout {
        /// Members of the group.
        #[arg(long, default_value_t = 500)]
        members: u32,
        /// Those who talk.
        #[arg(long, default_value_t = 4)]
        senders: u32,
        /// Messages a second, over all senders [default: as many as there can be].
        #[arg(long)]
        rate: Option<u32>,
        /// Without a rate: messages of each sender without an answer.
        #[arg(long, default_value_t = 4)]
        window: usize,
        /// Seconds that are measured.
        #[arg(long, default_value_t = 20)]
        duration: u32,
    },
    /// Users who do what people do: what so many cost, and how long their messages take.
    Ccu {
        /// Connected users.
        #[arg(long, default_value_t = 1_000)]
        users: u32,
        /// What they do.
        #[arg(long, value_enum, default_value = "seed")]
        profile: Profile,
        /// Seconds that are measured.
        #[arg(long, default_value_t = 60)]
        duration: u32,
        /// Files sent in a minute, of all users; otherwise as many as the profile has.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=6_000))]
        files_per_minute: Option<u32>,
        /// Whether they say that they are writing, and what they have read.
        #[arg(long, value_enum, default_value = "on")]
        ephemeral: Switch,
    },
    /// What stored messages cost: sending, catching up, reading history, starting again.
    History {
        /// Messages that are stored.
        #[arg(long, default_value_t = 10_000)]
        messages: u64,
        /// Direct conversations that they are in.
        #[arg(long, default_value_t = 1_000)]
        pairs: u32,
        /// Messages a second while sending is measured.
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Seconds for which it is measured.
        #[arg(long, default_value_t = 20)]
        duration: u32,
    },
    /// The server goes under its users, and comes again: until when are all back, and is anything lost?
    Storm {
        /// Connected users.
        #[arg(long, default_value_t = 1_000)]
        users: u32,
        /// Stop the server as an operator does, instead of killing it.
        #[arg(long)]
        stop: bool,
    },
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// The sizing tables' user model.
    Seed,
}

#[derive(Debug, Args)]
pub(super) struct TortureArgs {
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

#[derive(Debug, Args)]
pub(super) struct AcrossArgs {
    /// How often a server is killed; they take turns.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// How often two are cut off from each other, one way or both, for 1 to 60 s.
    #[arg(long, default_value_t = 50)]
    cuts: u32,
    /// The longest of these, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=60))]
    cut_seconds: u32,
    /// People at each server.
    #[arg(long, default_value_t = 2)]
    people: usize,
    /// For moments and messages; a new one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
}

impl AcrossArgs {
    pub(super) fn plan(&self) -> torture::across::Plan {
        torture::across::Plan {
            kills: self.kills,
            cuts: self.cuts,
            cut_seconds: self.cut_seconds,
            people: self.people,
            seed: self.seed.unwrap_or_else(qpc_bench::random::unix_ms),
        }
    }
}

impl TortureArgs {
    pub(super) fn plan(&self) -> torture::Plan {
        torture::Plan {
            cycles: self.cycles,
            senders: self.senders,
            seed: self.seed.unwrap_or_else(qpc_bench::random::unix_ms),
            expect_violations: self.expect_violations,
        }
    }
}

impl ExternalArgs {
    fn resolve(&self) -> anyhow::Result<Option<External>> {
        let Some(listen) = self.server.clone() else { return Ok(None) };
        let missing = "--server needs --pin, --token and --metrics";
        Ok(Some(External {
            listen,
            pin: self.pin.clone().context(missing)?,
            token: self.token.clone().context(missing)?,
            metrics: self.metrics.clone().context(missing)?,
            pid: self.pid,
        }))
    }
}

impl Cli {
    /// What every load scenario is told.
    pub(super) fn common(&self) -> anyhow::Result<Common> {
        let external = self.external.resolve()?;
        let program = match external {
            Some(_) => PathBuf::new(),
            None => bed::program(self.server_program.clone())?,
        };
        let of = &self.load;
        Ok(Common {
            beds: Beds {
                program,
                external,
                set: of.set.clone(),
                all_limits: of.all_limits,
                cpus: of.server_cpus.clone(),
                cgroups: Cgroups(of.server_cgroup.clone()),
            },
            accounts: of.accounts.clone(),
            acknowledge: Duration::from_millis(of.acknowledge_ms),
            sockets: of.sockets,
            mls_percent: of.mls,
            mls_per_second: of.mls_per_second,
            text: of.text,
            ephemeral: false,
            seed: of.random,
        })
    }

    /// After this long something is wrong.
    pub(super) fn longest(&self) -> Duration {
        let users = |users: u32| 300_u64.saturating_add(u64::from(users) / 10);
        let seconds = match &self.command {
            Command::Torture(args) => 120_u64.saturating_add(u64::from(args.cycles).saturating_mul(10)),
            Command::TortureAcross(args) => {
                let harm =
                    u64::from(args.kills).saturating_mul(15).saturating_add(u64::from(args.cuts).saturating_mul(65));
                600_u64.saturating_add(harm)
            }
            Command::Across { pairs, runs, duration, .. } | Command::Nodes { pairs, runs, duration, .. } => {
                let each = u64::from(*duration).saturating_add(30);
                users(u32::try_from(*pairs).unwrap_or(u32::MAX))
                    .saturating_add(u64::from(*runs).saturating_mul(2).saturating_mul(each))
            }
            Command::Away { pairs, queued, runs, duration } => {
                let each = u64::from(*duration).saturating_add(60);
                let talking =
                    u64::from(*runs).saturating_mul(2).saturating_mul(each).saturating_add(u64::from(*queued) / 200);
                users(u32::try_from(*pairs).unwrap_or(u32::MAX)).saturating_add(talking).saturating_add(600)
            }
            Command::Timing { pairs, .. } => 120_u64.saturating_add(u64::try_from(*pairs).unwrap_or(u64::MAX) / 50),
            Command::Idle { users: of, seconds } => users(*of).saturating_add((*seconds).into()),
            Command::Login { users: of, .. } => users(*of),
            Command::Blobs { uploads, runs, duration, .. } => {
                let talking =
                    u64::from(*runs).saturating_mul(2).saturating_mul(u64::from(*duration).saturating_add(30));
                users(*uploads).saturating_add(600).saturating_add(talking)
            }
            Command::Changes { members, .. } => users(*members).saturating_add(600),
            Command::Direct { pairs, duration, .. } => users(*pairs).saturating_add((*duration).into()),
            Command::Ccu { users: of, duration, .. } => users(*of).saturating_add((*duration).into()),
            // Filling takes some 50 microseconds for each message, on a busy machine.
            Command::History { messages, pairs, duration, .. } => {
                users(*pairs).saturating_add(messages / 2_000).saturating_add((*duration).into())
            }
            Command::Storm { users: of, .. } => users(*of).saturating_add(300),
            Command::Fanout { members, duration, .. } => users(*members).saturating_add((*duration).into()),
        };
        Duration::from_secs(seconds)
    }
}
