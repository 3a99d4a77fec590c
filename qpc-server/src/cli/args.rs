//! Arguments as they are typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

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
    #[command(alias = "healthcheck")]
    Health,
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
