//! What `group` takes.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::{Args, Subcommand};

use super::span::seconds;

/// What to do with groups.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum GroupVerb {
    /// Make a group; its members must have accepted your contact.
    #[command(after_help = "Example: qpc-client group create friends bob carol@b.example")]
    Create {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Its first members.
        #[arg(value_name = "MEMBER")]
        members: Vec<String>,
        /// How its keys are exchanged, for good. Post-quantum protects what is said from being recorded today and read
        /// with a quantum computer later, and makes what members read of a change of the group about ten times as long.
        /// `auto` takes it where every device of every member knows it.
        #[arg(long, value_name = "SUITE", env = "QPC_GROUP_SUITE", default_value = "classical")]
        suite: SuiteWord,
    },
    /// Add members.
    #[command(after_help = "Example: qpc-client group add friends carol")]
    Add(GroupMembers),
    /// Remove members.
    #[command(after_help = "Example: qpc-client group remove friends carol")]
    Remove(GroupMembers),
    /// Say what a group is called or about, or give it a picture; owners and admins may.
    #[command(after_help = "Example: qpc-client group describe friends --topic 'hikes on Sundays'")]
    Describe {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        #[command(flatten)]
        description: Description,
    },
    /// Make a link by which people may ask to be let into a group, and print it; owners and admins may.
    ///
    /// Whoever has the link and an account on this server comes in as a plain member, as soon as an owner or admin of the
    /// group is connected. It is shown once.
    #[command(after_help = "Example: qpc-client group invite friends --expires 2d --uses 5")]
    Invite {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        /// How long it counts, in minutes, hours, days or weeks (90m, 12h, 7d, 2w); at most 365 days.
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = lifetime)]
        expires: u64,
        /// How many may come in by it.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        uses: u32,
    },
    /// List a group's links that count: their numbers, uses left, and when they end.
    #[command(after_help = "Example: qpc-client group invites friends")]
    Invites(GroupName),
    /// End a link before its time: who waits by it is refused.
    #[command(after_help = "Example: qpc-client group uninvite friends 1")]
    Uninvite {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        /// Its number, as `group invites` lists it.
        #[arg(value_name = "NUMBER")]
        number: u32,
    },
    /// Ask by a link to be let into a group. Where nobody is connected who may let you in, the request waits.
    #[command(after_help = "Example: qpc-client group join 'qpc://…'")]
    Join {
        /// The link, in quotes; `-` reads it from standard input.
        #[arg(value_name = "LINK|-")]
        link: String,
    },
    /// Write a group's picture out: to FILE, or to standard output where that is no terminal.
    #[command(after_help = "Example: qpc-client group picture friends -o friends.png")]
    Picture {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        /// Where to; a file that exists is not touched without --force.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace FILE if it exists.
        #[arg(long, requires = "output")]
        force: bool,
    },
    /// Give a member another role; only an owner may, and an owner's role is for good.
    #[command(after_help = "Example: qpc-client group role friends carol admin")]
    Role {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        /// Who: a name or name@domain.
        #[arg(value_name = "MEMBER")]
        member: String,
        /// What they are from now on: an admin adds and removes members, an owner also gives roles.
        #[arg(value_name = "ROLE")]
        role: RoleWord,
    },
    /// Go on with a group whose server is gone for good: on your own server, in a new group with the same members.
    ///
    /// Owners and admins may; where none of them is left outside the server that is gone, any member. Who can't be reached
    /// is named, and can be added later. What was said before stays in the other group. Cut off, the same command goes on.
    #[command(after_help = "Example: qpc-client group move friends")]
    Move {
        /// The group's name.
        #[arg(value_name = "GROUP")]
        group: String,
        /// Even though its server can be reached.
        #[arg(long)]
        force: bool,
    },
    /// Leave a group. Its only owner makes somebody else an owner first.
    #[command(after_help = "Example: qpc-client group leave friends")]
    Leave(GroupName),
    /// List the groups.
    #[command(after_help = "Example: qpc-client group list")]
    List,
    /// List a group's members and their roles.
    #[command(after_help = "Example: qpc-client group members friends")]
    Members(GroupName),
}

/// What a group says of itself.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Description {
    /// What it is called from now on.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What it is about; an empty one takes it back.
    #[arg(long, value_name = "TEXT")]
    pub(crate) topic: Option<String>,
    /// Its picture: a PNG, JPEG or WebP of at most 48 KiB. All members see it, the server does not.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    /// Take the picture away.
    #[arg(long, conflicts_with = "picture")]
    pub(crate) no_picture: bool,
}

/// A group.
#[derive(Debug, Clone, Args)]
pub(crate) struct GroupName {
    /// The group's name.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
}

/// A role.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleWord {
    Member,
    Admin,
    Owner,
}

/// How the keys of a group are exchanged.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SuiteWord {
    Classical,
    Auto,
    PostQuantum,
}

/// A group and people.
#[derive(Debug, Clone, Args)]
pub(crate) struct GroupMembers {
    /// The group's name.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// Whom: names or name@domain.
    #[arg(value_name = "MEMBER", required = true)]
    pub(crate) members: Vec<String>,
}

/// The shortest and the longest time that a link counts, in seconds.
const LINK_S: RangeInclusive<u32> = 60..=365 * 24 * 60 * 60;

/// How long a link counts, in seconds.
fn lifetime(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        lifetime if LINK_S.contains(&lifetime) => Ok(lifetime.into()),
        _ => Err("a link counts for a minute to 365 days".to_owned()),
    }
}
