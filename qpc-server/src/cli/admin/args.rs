//! Arguments of `qpc-server admin`, as they are typed.

use clap::{Args, Subcommand};

use crate::{
    admin::ADMIN_ROWS,
    cli::args::{InviteArgs, ResetArgs},
};

pub(in crate::cli) const ADMIN: &str = "\
Look at accounts, sessions, invites and conversations, and change them; each action is noted in the audit log.

The running server does it, asked through admin.sock in the data directory; where none runs, what needs only the database is \
done by this program itself. Whoever may open that directory may do all of this, so run it as the server's user. \
With --dry-run a command says what would go and changes nothing. Nothing that people wrote to each other can be read here.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminCommand {
    /// Accounts of this server.
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Devices of an account.
    #[command(subcommand)]
    Devices(DevicesCommand),
    /// Who is connected.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// End the connections of an account. Its clients come back by themselves: to keep them out, suspend the account.
    Kick(KickArgs),
    /// Invites and the tokens of resets.
    #[command(subcommand)]
    Invites(InvitesCommand),
    /// Conversations: their size and who is in them, never what is said.
    #[command(subcommand)]
    Conversations(ConversationsCommand),
    /// Limits and rates that are in force on the running server.
    Limits(OutputArgs),
    /// Files of an account, and how much it may have.
    Quotas(NameArgs),
    /// Show the level of logs of the running server, or set it until its next start or SIGHUP.
    LogLevel(LogLevelArgs),
    /// Stop the running server as SIGTERM does: tell clients to come back, finish what runs, end.
    Drain(DrainArgs),
    /// What was done through all of these.
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccountsCommand {
    /// Names, states, devices, and the day they were last here.
    List(ListArgs),
    /// One account with its devices, how many conversations it is in, and its files.
    Show(NameArgs),
    /// Keep an account out. What it has, and what others send it, stays; they see nothing of it.
    Suspend(DryNameArgs),
    /// Let a suspended account in again.
    Resume(NameArgs),
    /// Delete an account for good, as its owner could. Its name stays taken.
    Delete(DryNameArgs),
    /// For a forgotten password: as `account reset`.
    Reset(DryResetArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DevicesCommand {
    /// Ids, names, when they were enrolled and last here.
    List(NameArgs),
    /// Sign a device out for good, as its owner could.
    Revoke(RevokeDeviceArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SessionsCommand {
    /// Accounts, devices, where they come from, since when, and how far behind they are.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InvitesCommand {
    /// Make an invite and print its token: as `invite create`.
    Create(InviteArgs),
    /// Ids, uses that are left, and when they end. Tokens are not stored and can't be shown.
    List(ListArgs),
    /// End an invite.
    Revoke(RevokeInviteArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConversationsCommand {
    /// Kinds, hubs, members and entries of all that are stored here.
    List(ListArgs),
    /// One conversation with its members and their roles.
    Show(ConversationArgs),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Print its last lines. Reads the files themselves, whether a server runs or not.
    Show(AuditShowArgs),
    /// Check that no line was changed, removed from between or put there. Ends with 0 or 65.
    Verify(OutputArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OutputArgs {
    /// Print one line of JSON instead of text.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Go on after this one, as the last line of the page before says.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) after: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = ADMIN_ROWS as u64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ADMIN_ROWS as u64))]
    pub(in crate::cli) limit: u64,
    /// Print one line of JSON instead of text: the list under its own name (accounts [{"name","state","devices",
    /// "last_seen_ms"}], sessions [{"account","device","from","since_ms","syncs","queued","logs_behind"}] with "total",
    /// invites [{"id","uses","expires_ms","name"}], conversations [{"conversation","kind","created_ms","epoch","members",
    /// "entries"}]), and "more".
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NameArgs {
    /// The name, with or without this server's domain.
    pub(in crate::cli) name: String,
    /// Print one line of JSON instead of text: of an account {"address","state","devices":[{"device","name","enrolled_ms",
    /// "last_seen_ms","sessions"}],"conversations","blob_bytes","blob_bytes_max","blobs","blobs_max"}, of a change
    /// {"sessions"}.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DryNameArgs {
    /// The name, with or without this server's domain.
    pub(in crate::cli) name: String,
    /// Say what would go, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print one line instead of text: {"sessions"}, with --dry-run {"devices","sessions","memberships","uses"}.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DryResetArgs {
    #[command(flatten)]
    pub(in crate::cli) reset: ResetArgs,
    /// Say what would be lost, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeDeviceArgs {
    /// The account's name.
    pub(in crate::cli) name: String,
    /// The device's id, as `admin devices list` shows it.
    pub(in crate::cli) device: String,
    /// Say what would end, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print one line instead of text: {"sessions"}, with --dry-run {"devices","sessions","memberships","uses"}.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KickArgs {
    /// The account's name.
    pub(in crate::cli) name: String,
    /// Only the connections of this device.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) device: Option<String>,
    /// Print one line {"sessions"} instead of text.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeInviteArgs {
    /// Its id, as `admin invites list` shows it.
    pub(in crate::cli) id: String,
    /// Say what would end, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print one line instead of text: {"sessions"}, with --dry-run {"devices","sessions","memberships","uses"}.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConversationArgs {
    /// Its name, as `admin conversations list` shows it.
    pub(in crate::cli) conversation: String,
    /// Print one line {"conversation","kind","created_ms","epoch","members","entries","bytes","members_named":[{"account",
    /// "role"}]} instead of text.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogLevelArgs {
    /// error, warn, info, debug, trace, or directives such as info,qpc_server=debug.
    pub(in crate::cli) level: Option<String>,
    /// Print one line {"level"} instead of text.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DrainArgs {
    /// Say how many sessions would end, and change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print one line instead of text: {"sessions"}, with --dry-run {"devices","sessions","memberships","uses"}.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditShowArgs {
    /// How many lines, the newest of them.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(in crate::cli) last: u64,
    /// Print a line {"seq","at_ms","uid","action","outcome"} for each instead of text.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
