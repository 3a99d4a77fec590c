//! The command line as typed: one definition for parsing, help, completions and the man page.
//!
//! Values keep the form they were typed in except where one word has one meaning (numbers,
//! shells); [`settings`](super::settings) resolves the rest. Nothing is hidden.

mod ephemeral;
mod file;
mod group;
mod later;
mod message;
mod search;
mod span;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub(super) use self::{
    ephemeral::{Switch, TellWord},
    file::FileVerb,
    group::{Description, GroupVerb, RoleWord, SuiteWord},
    later::LaterVerb,
    message::{Ballot, Of},
    search::Search,
    span::seconds,
};
use super::exit::Exit;

/// End-to-end encrypted chat over QUIC.
///
/// Without COMMAND it chats, if both ends are a terminal. Otherwise it logs in with the home's
/// account, or, where there is none and a token is given, registers a throw-away account in a
/// temporary home, and prints what happens until it is stopped.
#[derive(Debug, Parser)]
#[command(name = "qpc-client", version, after_help = Exit::table(), subcommand_help_heading = "Commands")]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Option<Verb>,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// The server; port 7000 unless it says otherwise. Needed once: a home remembers its server.
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "QPC_SERVER")]
    pub(super) server: Option<String>,

    /// The directory of the account and its messages; one device of one account lives in it.
    /// Default: quicprochat in the XDG data directory.
    #[arg(long, global = true, value_name = "DIR", env = "QPC_HOME")]
    pub(super) home: Option<PathBuf>,

    /// What lets a new account in: an invite, or the server's standing token. QPC_AUTH_TOKEN_FILE
    /// names a file with it.
    #[arg(long, global = true, value_name = "TOKEN", env = "QPC_AUTH_TOKEN", hide_env_values = true)]
    pub(super) auth_token: Option<String>,

    /// Believe the certificate with this fingerprint and no other (the server prints it at start).
    ///
    /// For first use without a person at hand. Without --pin or --ca, `register` and `login` show the fingerprint of a
    /// certificate that no root of the system vouches for and ask on the terminal; where there is none they refuse it,
    /// and print the line with the --pin that accepts it. What was accepted, asked or pinned, is remembered in the home
    /// (known_servers), and a certificate that has changed is refused. A loopback server (127.0.0.1, ::1) is treated as
    /// any other; only a throw-away account (no COMMAND, no terminal) believes it unseen, for that run, where it is
    /// given by its address.
    #[arg(long, global = true, value_name = "sha256:HEX", conflicts_with = "ca")]
    pub(super) pin: Option<String>,

    /// Believe certificates that chain to one of this PEM file. The home remembers where the file is.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// Read the password from the first line of this file (two lines for `password change`: the
    /// old one and the new one).
    #[arg(long, global = true, value_name = "FILE", env = "QPC_PASSWORD_FILE")]
    pub(super) password_file: Option<PathBuf>,

    /// Read the passphrase of a home that is locked with one from the first line of this file.
    #[arg(long, global = true, value_name = "FILE", env = "QPC_PASSPHRASE_FILE")]
    pub(super) passphrase_file: Option<PathBuf>,

    /// Print one JSON object a line, errors too (those on standard error).
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Make an account, with this home as its first device.
    #[command(after_help = "Example: qpc-client --server chat.example.org --auth-token TOKEN register alice")]
    Register {
        /// The name to have: letters, digits, '.', '_' and '-'.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        lock: Lock,
    },
    /// Make this home a device of an account there is.
    #[command(after_help = "Example: qpc-client --server chat.example.org login alice")]
    Login {
        /// The account's name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        lock: Lock,
    },
    /// Show who this home belongs to, and the fingerprint of the account's key.
    #[command(after_help = "Example: qpc-client whoami")]
    Whoami,
    /// Show the connection, what waits to be sent, and open alarms.
    #[command(after_help = "Example: qpc-client status")]
    Status,
    /// What you have to know: a server that rewrites history, a changed key, a device nobody signed.
    Alarms {
        #[command(subcommand)]
        verb: AlarmsVerb,
    },
    /// Revoke this device and empty the home.
    #[command(after_help = "Example: qpc-client logout")]
    Logout,
    /// Chat: on the whole screen of a terminal, in lines elsewhere.
    #[command(
        after_help = "Example: qpc-client chat bob\nKeys: F1 lists them. QPC_CHAT_LINES=1 is --lines, QPC_NOTIFY=1 tells the desktop by whom something came."
    )]
    Chat {
        /// A name, name@domain, or a group's name; without it the conversations are listed.
        #[arg(value_name = "TO")]
        to: Option<String>,
        /// Lines both ways, as where there is no terminal: with TO, its last 20 messages first.
        #[arg(long)]
        lines: bool,
    },
    /// Have a conversation ring no bell and tell the desktop nothing, in this home.
    #[command(after_help = "Example: qpc-client mute friends")]
    Mute {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
    },
    /// Have it ring again.
    #[command(after_help = "Example: qpc-client unmute friends")]
    Unmute {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
    },
    /// List all conversations: unread counts, last message, members.
    #[command(after_help = "Example: qpc-client conversations")]
    Conversations,
    /// Send a message and wait until the server has stored it.
    #[command(after_help = "Example: qpc-client send bob 'see you at eight'")]
    Send {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
        /// The message; `-` sends each line of standard input as one.
        #[arg(value_name = "TEXT|-", allow_hyphen_values = true)]
        text: String,
        /// The message that it answers: `last`, `mine`, or the end of its id.
        #[arg(long, value_name = "MSG")]
        reply_to: Option<String>,
        /// Send it then: a time of the next 24 hours (18:30), a day, or a time of one (2026-11-30T18:30). It waits in this home, and
        /// goes as soon as some program has the home open after that.
        #[arg(long, value_name = "TIME", conflicts_with = "after")]
        at: Option<String>,
        /// Send it so much later: 30s, 5m, 2h, 1d, 1w.
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        after: Option<u32>,
    },
    /// What was written to be sent later.
    #[command(after_help = "Example: qpc-client later list")]
    Later {
        #[command(subcommand)]
        verb: LaterVerb,
    },
    /// Replace the words of a message of yours, or the caption of a file.
    #[command(after_help = "Example: qpc-client edit bob mine 'see you at eight'")]
    Edit {
        #[command(flatten)]
        of: Of,
        /// What it says from now on.
        #[arg(value_name = "TEXT", allow_hyphen_values = true)]
        text: String,
    },
    /// Delete a message for everybody: yours, or in a group that you own or administer anybody's.
    #[command(after_help = "Example: qpc-client delete bob 9e44")]
    Delete {
        #[command(flatten)]
        of: Of,
    },
    /// Put an emoji on a message, or take it away.
    #[command(after_help = "Example: qpc-client react friends last 👍")]
    React {
        #[command(flatten)]
        of: Of,
        /// One emoji.
        #[arg(value_name = "EMOJI")]
        emoji: String,
        /// Take it away.
        #[arg(long)]
        remove: bool,
    },
    /// Send a text or a file on to somebody else, marked as forwarded; who had said it is not told.
    #[command(after_help = "Example: qpc-client forward bob last friends")]
    Forward {
        /// Where it is: a name, name@domain, or a group's name.
        #[arg(value_name = "FROM")]
        from: String,
        /// Which: `last`, `mine`, or the end of its id, at least 4 digits (`history --ids` shows it).
        #[arg(value_name = "MSG")]
        message: String,
        /// To whom.
        #[arg(value_name = "TO")]
        to: String,
    },
    /// Keep a message in view of everybody; in a group owners and admins may.
    #[command(after_help = "Example: qpc-client pin friends last")]
    Pin(Of),
    /// Take a pin away.
    #[command(after_help = "Example: qpc-client unpin friends 9e44")]
    Unpin(Of),
    /// List the messages that are pinned in a conversation.
    #[command(after_help = "Example: qpc-client pins friends")]
    Pins {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
    },
    /// Ask a question with 2 to 20 answers to choose from.
    #[command(after_help = "Example: qpc-client poll friends 'When?' Friday Saturday --several")]
    Poll {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
        /// The question.
        #[arg(value_name = "QUESTION")]
        question: String,
        /// The answers.
        #[arg(value_name = "ANSWER", required = true)]
        options: Vec<String>,
        /// Several can be chosen.
        #[arg(long)]
        several: bool,
    },
    /// Choose in a poll; your last vote counts.
    #[command(after_help = "Example: qpc-client vote friends last 2")]
    Vote(Ballot),
    /// List who has a message of yours, and who has read it.
    #[command(after_help = "Example: qpc-client readers friends mine")]
    Readers(Of),
    /// Show the way of a message of yours: when it was encrypted, sent, stored, received by which device, and read.
    #[command(after_help = "Example: qpc-client trace 9e44")]
    Trace {
        /// Which: `last`, or the end of its id, at least 4 digits (`history --ids` shows it).
        #[arg(value_name = "MSG")]
        message: String,
    },
    /// Show what you tell others of what you do at the moment, or switch a part of it on or off.
    #[command(after_help = "Example: qpc-client tell presence on")]
    Tell {
        /// What.
        #[arg(value_name = "WHAT", requires = "switch")]
        what: Option<TellWord>,
        /// From now on, or no longer.
        #[arg(value_name = "SWITCH")]
        switch: Option<Switch>,
    },
    /// Print the messages that are waiting, and end.
    #[command(after_help = "Example: qpc-client listen --follow --json")]
    Listen {
        /// Go on printing messages as they arrive, until stopped.
        #[arg(long, short)]
        follow: bool,
        /// With --json, print a message once more when it is changed, as it is then, with `"event":"changed"`.
        #[arg(long, requires = "follow")]
        changes: bool,
        /// With --json, print also who is writing, who has received and read messages, and which contacts are there.
        #[arg(long, requires = "follow")]
        moments: bool,
    },
    /// Print the last messages of a conversation from the local store.
    #[command(after_help = "Example: qpc-client history bob -n 100 --ids")]
    History {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
        /// At most this many.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// With the end of each message's id, by which other commands name it.
        #[arg(long)]
        ids: bool,
    },
    /// Make messages disappear from everybody's homes so long after they are sent; without TIME, say how long they stay.
    ///
    /// It counts for what is said from then on, and is told to everybody in the conversation. In a group owners and admins may.
    /// Nothing is taken back from who has read, copied or saved it.
    #[command(after_help = "Example: qpc-client lifetime bob 1w")]
    Lifetime {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
        /// 30s, 5m, 2h, 1d, 1w, or off for messages that stay.
        #[arg(value_name = "TIME", value_parser = seconds)]
        time: Option<u32>,
    },
    /// Find messages in the local store, by their words, who said them, where and when.
    #[command(after_help = "Example: qpc-client search dinner --from bob --since 2026-11-01")]
    Search(Search),
    /// Write out what this home holds: a page to read, lines of JSON for programs and for `import`, and the files.
    ///
    /// It is not encrypted: keep it as you would keep the conversations. What can't be read or fetched any more is listed at the
    /// end, and all else is written.
    #[command(after_help = "Example: qpc-client export ~/chats --of bob --of friends")]
    Export {
        /// Where to: a directory that is empty, or not there yet.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Of this person or group alone; may be given several times.
        #[arg(long, value_name = "TO")]
        of: Vec<String>,
        /// Without the files.
        #[arg(long)]
        no_files: bool,
    },
    /// Take in what `export` wrote: messages that are not here, each in its place; nothing that is here changes.
    ///
    /// Import what you exported yourself: it is believed without proof. Conversations that this account is not in can be read.
    #[command(after_help = "Example: qpc-client import ~/chats")]
    Import {
        /// The directory, or the messages.jsonl in it.
        #[arg(value_name = "DIR")]
        from: PathBuf,
    },
    /// Files in conversations: encrypted before they leave, kept by the server as long as it keeps messages.
    File {
        #[command(subcommand)]
        verb: FileVerb,
    },
    /// People: who asked, who may write.
    Contacts {
        #[command(subcommand)]
        verb: ContactsVerb,
    },
    /// Show the safety number with a contact, as digits, words and a QR code; with an option, say what came of comparing it.
    ///
    /// Where both see the same, no server has put a key of its own between them. A contact who is marked as verified and
    /// whose key changes later is not written to until that key is compared or accepted, too.
    #[command(after_help = "Example: qpc-client verify bob --confirm")]
    Verify {
        /// A name, or name@domain.
        #[arg(value_name = "CONTACT")]
        who: String,
        #[command(flatten)]
        verdict: Verdict,
    },
    /// Groups and their members.
    Group {
        #[command(subcommand)]
        verb: GroupVerb,
    },
    /// The account's devices.
    Devices {
        #[command(subcommand)]
        verb: DevicesVerb,
    },
    /// The account's password.
    Password {
        #[command(subcommand)]
        verb: PasswordVerb,
    },
    /// The account itself.
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// Print the completions for a shell.
    #[command(
        after_help = "Example: qpc-client completions bash > ~/.local/share/bash-completion/completions/qpc-client"
    )]
    Completions {
        /// Which.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page (roff): `qpc-client man | man -l -`.
    #[command(after_help = "Example: qpc-client man > qpc-client.1")]
    Man,
}

/// How a new home is locked.
#[derive(Debug, Clone, Args)]
pub(super) struct Lock {
    /// Lock the home with a passphrase, which every later start asks for (or finds in
    /// --passphrase-file). Otherwise the key lies in the home, readable by you alone.
    #[arg(long)]
    pub(super) passphrase: bool,
}

/// What to do with alarms.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum AlarmsVerb {
    /// List all alarms with their numbers, those you have acknowledged too.
    #[command(after_help = "Example: qpc-client alarms list")]
    List,
    /// Say that you know: `status` shows them no more. What they stopped stays stopped.
    #[command(after_help = "Example: qpc-client alarms acknowledge 1 2")]
    Acknowledge {
        /// Their numbers.
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
    },
}

/// What to do with contacts.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum ContactsVerb {
    /// List all contacts and requests.
    #[command(after_help = "Example: qpc-client contacts list --json")]
    List,
    /// Accept a request: they may write from now on.
    #[command(after_help = "Example: qpc-client contacts accept bob")]
    Accept(Who),
    /// Put a request aside; they are not told.
    #[command(after_help = "Example: qpc-client contacts decline bob")]
    Decline(Who),
    /// Have the server withhold what they send; they are not told.
    #[command(after_help = "Example: qpc-client contacts block eve@evil.example")]
    Block(Who),
    /// End a block.
    #[command(after_help = "Example: qpc-client contacts unblock bob")]
    Unblock(Who),
    /// Believe a contact's new account key unseen; one whose earlier key you had compared wants `verify`.
    #[command(after_help = "Example: qpc-client contacts trust bob")]
    Trust(Who),
}

/// What came of comparing a safety number.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(super) struct Verdict {
    /// Mark the contact as verified. With NUMBER (60 digits or 18 words, as they read them, blanks or not) it is compared
    /// here; without, the number is shown and you are asked.
    #[arg(long, value_name = "NUMBER", num_args = 0..)]
    pub(super) confirm: Option<Vec<String>>,
    /// Mark the contact as verified if this is what their QR code says; `-` reads it from standard input.
    #[arg(long, value_name = "TEXT")]
    pub(super) scanned: Option<String>,
    /// Take the mark back.
    #[arg(long)]
    pub(super) undo: bool,
    /// Believe a new key that you have not compared, even if you had compared the earlier one.
    #[arg(long)]
    pub(super) accept_new_key: bool,
}

/// A person.
#[derive(Debug, Clone, Args)]
pub(super) struct Who {
    /// A name, or name@domain.
    #[arg(value_name = "WHO")]
    pub(super) who: String,
}

/// What to do with devices.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum DevicesVerb {
    /// List the devices.
    #[command(after_help = "Example: qpc-client devices list")]
    List,
    /// Delete a device: its connections are cut within a second.
    #[command(after_help = "Example: qpc-client devices revoke 01a2")]
    Revoke {
        /// Its id, or the beginning of it if that is enough.
        #[arg(value_name = "DEVICE")]
        device: String,
    },
}

/// What to do with the password.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum PasswordVerb {
    /// Replace the password; asks for the old one and, twice, for the new one.
    #[command(after_help = "Example: qpc-client password change")]
    Change,
}

/// What to do with the account.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum AccountVerb {
    /// Delete the account for good; asks for the password.
    #[command(after_help = "Example: qpc-client account delete")]
    Delete,
}

/// The definition with what only text can say: for help, completions and the man page.
pub(super) fn definition() -> clap::Command {
    Typed::command()
}

#[cfg(test)]
mod tests;
