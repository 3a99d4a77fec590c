//! Arguments as they are typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use super::capacity::{self, Question};
use crate::config::Period;

const AFTER: &str = "\
Without a command it serves. Exit codes: 0 done; 2 wrong arguments; 65 the database is damaged; 67 no such account; \
69 not ready; 70 a fault of the program; 71 an address can't be listened on; 74 a file or the store failed; 75 the \
data directory is in use; 78 the configuration is wrong.

Every key of the configuration can be set in the environment: QPC_SECTION__KEY sets section.key. QPC_AUTH_TOKEN and \
QPC_DB_KEY (with _FILE: a file that holds it) are short names.";

/// A chat server: end-to-end encrypted conversations over QUIC, stored until they are read.
#[derive(Debug, Parser)]
#[command(name = "qpc-server", version, after_help = AFTER, args_conflicts_with_subcommands = false)]
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
    /// Other servers: certificates for them, and how the connections stand.
    #[command(subcommand)]
    Federation(FederationCommand),
    /// Ask the running server whether it is ready.
    Healthcheck,
    /// Make all that a new server needs: its configuration, keys, secrets and the first invite.
    #[command(long_about = INIT)]
    Init(InitArgs),
    /// Work out what so many people take: disk, memory, CPU, network, cost, and the profile to use.
    #[command(long_about = CAPACITY)]
    Capacity(CapacityArgs),
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
}
