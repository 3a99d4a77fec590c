//! Arguments as they are typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::{
    admin::args::{ADMIN, AdminCommand},
    capacity::{self, Question},
    exit::Exit,
    opaque::OpaqueCommand,
};
use crate::config::Period;

/// What the environment can say.
pub(super) const ENVIRONMENT: [(&str, &str); 7] = [
    ("QPC_SECTION__KEY", "sets section.key of the configuration, above the file"),
    ("QPC_CONFIG", "as --config"),
    ("QPC_AUTH_TOKEN", "short for QPC_SERVER__AUTH_TOKEN; QPC_AUTH_TOKEN_FILE: a file that holds it"),
    ("QPC_DB_KEY", "the database's key, outside production; QPC_DB_KEY_FILE: a file that holds it"),
    ("RUST_LOG", "what to log on standard error; stands above log.level"),
    ("NO_COLOR", "set and not empty: no colours"),
    ("NOTIFY_SOCKET", "where a supervisor such as systemd is told how it goes, with WATCHDOG_USEC how often"),
];

/// What stands below the help.
fn after() -> String {
    let exits: Vec<String> = Exit::ALL.iter().map(|exit| format!("{} {}", *exit as u8, exit.meaning())).collect();
    let environment: Vec<String> = ENVIRONMENT.iter().map(|(name, text)| format!("  {name:16}  {text}")).collect();
    format!(
        "Without a command it serves. Exit codes: {}.\n\nEnvironment:\n{}",
        exits.join("; "),
        environment.join("\n")
    )
}

/// A chat server: end-to-end encrypted conversations over QUIC, stored until they are read.
#[derive(Debug, Parser)]
#[command(name = "qpc-server", version, after_help = after(), args_conflicts_with_subcommands = false)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Which server is meant.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The configuration; by default qpc-server.toml in the data directory, where there is one.
    #[arg(long, global = true, value_name = "FILE", env = "QPC_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where everything is kept [default: data].
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

/// How to serve.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// UDP address for clients; port 0 takes a free one [default: 127.0.0.1:7000].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// TCP address for metrics and health; port 0 takes a free one [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics_listen: Option<SocketAddr>,
    /// Instead of text, print one line {"listen","metrics","fingerprint","invite"} when ready, with "federation" where
    /// that is on.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Look at accounts, sessions, invites and conversations, and change them; each action is noted in the audit log.
    #[command(subcommand, long_about = ADMIN)]
    Admin(AdminCommand),
    /// Invites: tokens that let somebody register.
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The database.
    #[command(subcommand)]
    Db(DbCommand),
    /// The secrets that passwords are checked with: make a new one, end an old one.
    #[command(subcommand)]
    Opaque(OpaqueCommand),
    /// Copies of everything a server keeps, made while it runs.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Other servers: certificates for them, and how the connections stand.
    #[command(subcommand)]
    Federation(FederationCommand),
    /// Ask the running server whether it is ready.
    #[command(alias = "healthcheck")]
    Health,
    /// Look at the machine, the files and the running server: what is wrong, and what to do.
    #[command(long_about = DOCTOR)]
    Doctor(DoctorArgs),
    /// Say in sentences where time goes on the running server, and what most likely makes it slow.
    #[command(long_about = WHY_SLOW)]
    WhySlow(WhySlowArgs),
    /// Print the completions for a shell.
    Completions {
        /// Which.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page (roff): `qpc-server man | man -l -`.
    Man,
    /// Make all that a new server needs: its configuration, keys, secrets and the first invite.
    #[command(long_about = INIT)]
    Init(InitArgs),
    /// Work out what so many people take: disk, memory, CPU, network, cost, and the profile to use.
    #[command(long_about = CAPACITY)]
    Capacity(CapacityArgs),
}

const WHY_SLOW: &str = "\
Say in sentences where time goes on the running server, and what most likely makes it slow.

It reads the server's page of metrics (metrics.listen) twice and compares. Times are as exact as the buckets they are counted in.";

#[derive(Debug, Args)]
pub(super) struct WhySlowArgs {
    /// How long to look: 30s, 5m. With 0s everything counts since the server began.
    #[arg(long = "for", default_value = "10s", value_name = "DURATION")]
    pub(super) over: Period,
    /// Print one line {"over_seconds","since_start","times","queues","limits_hit_per_minute","cpu","memory","connections",
    /// "cause"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

const DOCTOR: &str = "\
Look at the machine, the files and the running server: what is wrong, and what to do.

One line for each thing that is looked at, marked ok, warning or bad. Run it as the server's user, with its configuration; \
the server may be running or not. It changes nothing, but writes a small file into the data directory to time the disk, and \
removes it. Ends with 0 where nothing is bad, warnings or not, and with 1 where something is.";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Make a handshake with what answers at the address that clients use, and compare its certificate with this server's.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) reach: Option<String>,
    /// Verify every page and every hash chain of the database and every blob, as `db check` does.
    #[arg(long)]
    pub(super) deep: bool,
    /// Print one line {"check","mark","found","do"} for each.
    #[arg(long)]
    pub(super) json: bool,
}

const INIT: &str = "\
Make all that a new server needs: its configuration, keys, secrets and the first invite.

Below DIR it makes `data`, the data directory with qpc-server.toml, and `secrets` with the database's key and the token that \
lets anybody register who knows it, as files to be mounted into a container. Nothing that is there is changed: where one of \
the two is there and not empty, nothing is made. The first invite is printed once and kept nowhere.";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// For how many people at once: 100, 1k, 5k, 10k or 20k. `qpc-server capacity` finds the one to use.
    #[arg(long, value_name = "NAME")]
    pub(super) profile: String,
    /// What comes after the @ of every account: the server's host name. Can't be changed once there are accounts.
    #[arg(long)]
    pub(super) domain: String,
    /// Where to make `data` and `secrets`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one line {"profile","domain","data_dir","files","fingerprint","invite","invite_expires_ms","next"} instead
    /// of text.
    #[arg(long)]
    pub(super) json: bool,
}

const CAPACITY: &str = "\
Work out what so many people take: disk, memory, CPU, network, cost, and the profile to use.

It counts with what the load generator has measured (docs/sizing.md), and shows each figure with its source. On a terminal it \
asks for what it needs where no number is given; else the defaults count, which are the load that was measured.";

#[derive(Debug, Args)]
pub(super) struct CapacityArgs {
    /// People connected at the same time [default: 1000].
    #[arg(long, value_name = "N", value_parser = number(&capacity::USERS), allow_negative_numbers = true)]
    pub(super) users: Option<f64>,
    /// Messages that each of them sends in an hour [default: 240].
    #[arg(long, value_name = "N", value_parser = number(&capacity::MESSAGES), allow_negative_numbers = true)]
    pub(super) messages_per_hour: Option<f64>,
    /// Bytes of a message, encrypted; a short one has 215 [default: 400].
    #[arg(long, value_name = "N", value_parser = number(&capacity::BYTES), allow_negative_numbers = true)]
    pub(super) message_bytes: Option<f64>,
    /// Attachments that all of them together send in a day [default: 1000].
    #[arg(long, value_name = "N", value_parser = number(&capacity::UPLOADS), allow_negative_numbers = true)]
    pub(super) uploads_per_day: Option<f64>,
    /// Size of an attachment, in MB [default: 1].
    #[arg(long, value_name = "N", value_parser = number(&capacity::UPLOAD_MB), allow_negative_numbers = true)]
    pub(super) upload_mb: Option<f64>,
    /// How often each attachment is fetched [default: 2].
    #[arg(long, value_name = "N", value_parser = number(&capacity::FETCHES), allow_negative_numbers = true)]
    pub(super) fetches_per_upload: Option<f64>,
    /// Days that messages and attachments are kept [default: 90].
    #[arg(long, value_name = "N", value_parser = number(&capacity::DAYS), allow_negative_numbers = true)]
    pub(super) retention_days: Option<f64>,
    /// What a virtual core costs in a month.
    #[arg(long, value_name = "PRICE", value_parser = number(&capacity::PRICE), allow_negative_numbers = true)]
    pub(super) price_vcpu: Option<f64>,
    /// What a GiB of memory costs in a month.
    #[arg(long, value_name = "PRICE", value_parser = number(&capacity::PRICE), allow_negative_numbers = true)]
    pub(super) price_gib_memory: Option<f64>,
    /// What a GiB of disk costs in a month.
    #[arg(long, value_name = "PRICE", value_parser = number(&capacity::PRICE), allow_negative_numbers = true)]
    pub(super) price_gib_disk: Option<f64>,
    /// What a GiB of outgoing traffic costs.
    #[arg(long, value_name = "PRICE", value_parser = number(&capacity::PRICE), allow_negative_numbers = true)]
    pub(super) price_gib_traffic: Option<f64>,
    /// Print one line {"asked","needed","constants","rows"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Reads what a question of the worksheet takes.
fn number(question: &'static Question) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| question.parse(text)
}

#[derive(Debug, Subcommand)]
pub(super) enum FederationCommand {
    /// Make a small certificate authority in the data directory, for a federation that has none.
    #[command(long_about = INIT_CA)]
    InitCa,
    /// Make a certificate and key for the server of a domain, signed by the authority in the data directory.
    #[command(long_about = ISSUE)]
    Issue(IssueArgs),
    /// Ask the running server how its connections with other servers stand.
    Status(StatusArgs),
}

const INIT_CA: &str = "\
Make a small certificate authority in the data directory, for a federation that has none.

One of the servers is its home: federation-ca.der goes to every server, federation-ca-key.der stays where it is. Whoever \
has that key can make certificates for every domain of the federation: keep it, and keep a copy of it, like a database's key.";

const ISSUE: &str = "\
Make a certificate and key for the server of a domain, signed by the authority in the data directory.

For this server's own domain they go into the data directory, where the server looks for them. For another one they go, \
with a copy of the authority's certificate, into a new directory named after the domain: copy its three files into the \
data directory of that server, over a way that nobody else reads. A running server takes new files by itself.";

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// The domain, as it stands after the @ of that server's accounts.
    pub(super) domain: String,
    /// Days that the certificate lasts.
    #[arg(long, default_value_t = 365, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub(super) days: u64,
    /// Where to put the files.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one line {"peers":[{"domain","address","outgoing","incoming","since_ms","round_trip_us","failures",
    /// "problem"}]} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum InviteCommand {
    /// Make an invite and print its token.
    Create(InviteArgs),
}

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    /// How many may register with it.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) uses: u32,
    /// How long it lasts: 30m, 12h, 7d. Without it, until it is used up.
    #[arg(long, value_name = "DURATION")]
    pub(super) expires: Option<Period>,
    /// Print {"invite","uses","expires_ms"} instead of the token alone.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// For a forgotten password: end the account's devices and memberships, and print the token that can
    /// register its name again.
    #[command(long_about = RESET)]
    Reset(ResetArgs),
}

const RESET: &str = "\
For a forgotten password: end the account's devices and memberships, and print the token that can register its name \
again.

Nobody can recover the old password or what it protected. Lost are the account's identity key, every device, its place \
in every conversation, and the history that only its devices had. Everybody it shared a conversation with is told that \
the key has changed when the name is registered again, and should compare fingerprints.";

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// The name, without the domain.
    pub(super) name: String,
    /// Print {"token"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is wrong with a file, with line and column. Ends with 0 or 78.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the annotated file: every key with its default and what it does, nothing switched on.
    Default,
    /// Show the effective values as a file, secrets redacted.
    Show(ShowArgs),
    /// Show which effective values are not the defaults, or not those of another file.
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// One value a line, with where it comes from: the default, a place in the file, a variable of the environment.
    #[arg(long)]
    pub(super) effective: bool,
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The file to compare with, instead of the defaults.
    pub(super) file: Option<PathBuf>,
    /// Print one line {"key","before","after","restart"} for each.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// With blobs in a directory or bucket: read all of them and compare their digests, not only that they are there with
    /// their sizes. Those in the database are always read.
    #[arg(long)]
    pub(super) read_objects: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Verify every page and every hash chain, and that every blob is there and what it should be; change nothing. The
    /// server may be running. Ends with 0 or 65.
    Check(CheckArgs),
    /// Give the databases another key: a random one, or that of a file. No server may run.
    #[command(long_about = CHANGE_KEY)]
    ChangeKey(ChangeKeyArgs),
}

const CHANGE_KEY: &str = "\
Give the databases another key: a random one, or that of a file. No server may run.

Every page is encrypted anew, so it takes as long as writing the databases, and needs as much room as the larger of them. The new key takes \
the place of the old one in its file. Interrupted at any moment, the command goes on when it is given again.

Backups that were made before can be restored with the old key alone: keep it as long as they are kept.";

#[derive(Debug, Args)]
pub(super) struct ChangeKeyArgs {
    /// A file with the new key: 64 hexadecimal digits, or a passphrase.
    #[arg(long, value_name = "FILE")]
    pub(super) new_key_file: Option<PathBuf>,
}

const CREATE: &str = "\
Make a backup of the server of this data directory, whether it runs or not. A running one goes on serving.

A backup is a folder in the place that --to or the configuration names. Everything in it is encrypted with keys that come \
from the database's key, which is in no backup: keep a copy of it elsewhere, or nobody can ever restore one. Attachments that \
are kept in a directory or a bucket are copied as clients have encrypted them, once for all backups there. Without --full \
or --incremental it is full where the newest full one is older than backup.full_every, and otherwise has what changed since \
that one.

It may be interrupted: what is there then is no backup, and goes away by itself after a day.";

const RESTORE: &str = "\
Bring back a backup into --data-dir, which must not exist or be empty. Everything is checked first, and the directory is \
there whole or not at all.

The database's key is needed: --key-file FILE puts it into the new directory as db.key; QPC_DB_KEY_FILE and storage.key_file \
serve as for the server. One-time key packages and invites are dropped, because they may have been used since: clients \
upload new ones, and you make new invites.

What was stored after the backup comes back from the clients that have seen it. Until the devices that may have some of it have \
been here, conversations can be read and not written, for as long as --read-only says at most.";

#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Make one.
    #[command(long_about = CREATE)]
    Create(BackupCreateArgs),
    /// Show those that are there.
    List(BackupListArgs),
    /// Restore one into a scratch directory, check every chain and digest in it, and remove that again. Ends with 0 or 65.
    Verify(BackupVerifyArgs),
    /// Bring one back into an empty data directory.
    #[command(long_about = RESTORE)]
    Restore(BackupRestoreArgs),
    /// Remove those that are older than backup.keep_full and backup.keep_incremental say, and what was never finished.
    Prune(BackupListArgs),
}

/// Where backups are.
#[derive(Debug, Args)]
pub(super) struct BackupPlace {
    /// The directory with the backups, instead of what the configuration says.
    #[arg(long = "to", visible_alias = "from", value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct BackupCreateArgs {
    #[command(flatten)]
    pub(super) place: BackupPlace,
    /// With everything in it.
    #[arg(long, conflicts_with = "incremental")]
    pub(super) full: bool,
    /// With what has changed since the newest full one.
    #[arg(long)]
    pub(super) incremental: bool,
    /// Remove nothing afterwards.
    #[arg(long)]
    pub(super) keep_all: bool,
    /// Print one line {"name","kind","base","bytes","own_bytes","attachments","removed","lost"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BackupListArgs {
    #[command(flatten)]
    pub(super) place: BackupPlace,
    /// Print a line of JSON for each instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BackupVerifyArgs {
    /// Its name, or "latest".
    #[arg(default_value = "latest")]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) place: BackupPlace,
    /// A file with the database's key.
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// A directory that does not exist yet, on a disk with room for everything; made and removed again [default: beside the
    /// data directory].
    #[arg(long, value_name = "DIR")]
    pub(super) scratch: Option<PathBuf>,
    /// Print one line {"name","logs","entries","blobs","left_out"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BackupRestoreArgs {
    /// Its name, or "latest".
    pub(super) name: String,
    #[command(flatten)]
    pub(super) place: BackupPlace,
    /// A file with the database's key, which goes into the new directory as db.key.
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// The directory for the bytes of attachments, if they are not in the database: it must have none yet [default: where
    /// [blobs] says, or else blobs in the new directory].
    #[arg(long, value_name = "DIR")]
    pub(super) objects: Option<PathBuf>,
    /// Leave out attachments whose bytes are missing or damaged in the place of backups, instead of bringing back nothing.
    #[arg(long)]
    pub(super) leave_out_damaged: bool,
    /// How long conversations wait, at most, for what their members have: until then they are read-only.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(super) read_only: Period,
    /// Print one line {"name","logs","entries","blobs","left_out","key_packages","invites",
    /// "awaited_conversations","awaited_devices","awaited_domains"} instead of text.
    #[arg(long)]
    pub(super) json: bool,
}
