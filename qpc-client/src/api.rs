//! What can be asked of a client, and what it answers and tells: plain data, so that a
//! second program on the same home can ask through a local socket (D16), and `--json` can print it.

mod archive;
mod contact;
mod conversation;
mod details;
mod device;
mod ephemeral;
mod error;
mod event;
mod file;
mod group;
mod lifetime;
mod link;
mod message;
mod picture;
mod scheduled;
mod search;
mod status;
mod trace;
mod verification;

use serde::{Deserialize, Serialize};

pub use self::{
    archive::{
        ARCHIVE_FORMAT, Archive, ArchivedConversation, ArchivedFile, ArchivedMessage, ArchivedPoll, ArchivedReaction,
        ArchivedVote, Record, Records, Shelf, Unreadable,
    },
    contact::Contact,
    conversation::{Conversation, ConversationKind},
    details::{Details, Mention, Poll, PollOption, Quote, Reaction},
    device::Device,
    ephemeral::{Ephemeral, Reader, Tell, Told},
    error::CommandError,
    event::{Event, OutboxState},
    file::{Attached, Direction, File, FileState, Place, Saved, Transfer, shown_size},
    group::{GroupSuite, LeftOut, Member, Moved, Role},
    lifetime::{Lifetime, span},
    link::{GroupLink, LinkText, NewLink},
    message::{Message, Waiting},
    picture::{GroupPicture, Picture, PictureFormat},
    scheduled::Scheduled,
    search::{Found, Part, Search},
    status::{Alarm, Status, Whoami},
    trace::{Step, StepKind, Trace},
    verification::{Compared, SafetyNumber, Standing, Verification},
};

/// Something to do. Names of people are `name` or `name@domain`; those of groups are their titles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Who this home belongs to.
    Whoami,
    /// Connection, server, outbox, alarms.
    Status,
    /// All alarms, acknowledged ones too, oldest first.
    Alarms,
    /// Notes that a person knows of alarms: `status` shows them no more. They heal nothing.
    AcknowledgeAlarms {
        /// As in [`Alarm::number`].
        numbers: Vec<u64>,
    },
    /// All conversations, newest activity first.
    Conversations,
    /// Puts one message into the outbox; [`Event::Outbox`] tells what becomes of it. [`CommandError::TryLater`]
    /// where that is full.
    Send {
        /// A person or a group.
        to: String,
        /// What to say.
        text: String,
    },
    /// The same, as an answer to a message.
    Reply {
        /// A person or a group.
        to: String,
        /// Which, there: its id, the beginning or end of that, `last` or `mine`.
        message: String,
        /// What to say.
        text: String,
    },
    /// Replaces the words of a message of one's own, or the caption of a file.
    Edit {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
        /// What it says from now on.
        text: String,
    },
    /// Deletes a message for everybody: one's own, or in a group, for owners and admins, anybody's. One that has not left is
    /// taken out of the outbox.
    Delete {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
    },
    /// Puts an emoji on a message, or takes it away.
    React {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
        /// One emoji.
        emoji: String,
        /// Away?
        #[serde(default)]
        removed: bool,
    },
    /// Sends what a message says on to somebody else, marked as forwarded; a file is encrypted and sent anew.
    Forward {
        /// Where it is: a person or a group.
        from: String,
        /// As in [`Command::Reply`].
        message: String,
        /// A person or a group.
        to: String,
    },
    /// Keeps a message in view of everybody, or no longer; in a group owners and admins may.
    Pin {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
        /// No longer?
        #[serde(default)]
        removed: bool,
    },
    /// The messages that are pinned in a conversation.
    Pins {
        /// A person or a group.
        to: String,
    },
    /// Asks a question with answers to choose from.
    Poll {
        /// A person or a group.
        to: String,
        /// The question.
        question: String,
        /// 2 to 20 answers.
        options: Vec<String>,
        /// May several be chosen?
        #[serde(default)]
        several: bool,
    },
    /// Chooses in a poll; replaces what was chosen before.
    Vote {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
        /// The numbers of the options, from 1; none takes the vote back.
        choices: Vec<u32>,
    },
    /// Ends a poll of one's own.
    ClosePoll {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
    },
    /// Encrypts a file into the home, and queues it with the message that tells of it: from the answer on the file itself
    /// is not needed. [`Event::Transfer`] tells how far it is, [`Event::Outbox`] what becomes of the message.
    FileSend {
        /// A person or a group.
        to: String,
        /// The file, an absolute path.
        path: String,
        /// What to say of it; empty for nothing.
        caption: String,
    },
    /// The last files of a conversation, at most 1,000.
    Files {
        /// A person or a group.
        to: String,
    },
    /// Fetches a file. What has come stays in the home when that is cut off, and the same again goes on from there.
    FileGet {
        /// Of its message, or the beginning of it if that is enough.
        id: String,
        /// Where to, an absolute path: a directory, in which the file gets a name like the one that its sender gave it,
        /// or the file itself, which must not exist.
        place: Place,
    },
    /// The small picture that came with a file; [`Outcome::Preview`].
    FilePreview {
        /// A person or a group.
        to: String,
        /// As in [`Command::Reply`].
        message: String,
    },
    /// Waits until the outbox has nothing left that can be sent now; files on their way have their own events.
    Flush,
    /// Waits until everything stored on the server for this device has been handled.
    CatchUp,
    /// Messages nobody has been shown yet, oldest first, at most `limit`.
    Unshown {
        /// At most this many.
        limit: u32,
        /// Of one conversation alone.
        to: Option<String>,
    },
    /// Marks messages as shown, up to a local id as in [`Message::local`].
    MarkShown {
        /// Of one conversation alone.
        to: Option<String>,
        /// Up to and including this one.
        local: i64,
    },
    /// The last messages of a conversation, oldest first.
    History {
        /// A person or a group.
        to: String,
        /// At most this many, and at most 1,000: further ones come with `before`.
        limit: u32,
        /// Only messages that came to this home before this one, as in [`Message::local`].
        #[serde(default)]
        before: Option<i64>,
    },
    /// Says something when it is time, if somebody has this home open then, or as soon as somebody has after that.
    Schedule {
        /// A person or a group.
        to: String,
        /// The words.
        text: String,
        /// The message that it answers, as in [`Command::Reply`].
        #[serde(default)]
        message: Option<String>,
        /// When, milliseconds since 1970.
        at_ms: u64,
    },
    /// What waits for its time.
    Scheduled,
    /// Does not send it.
    Unschedule {
        /// As in [`Scheduled::number`].
        number: i64,
    },
    /// How long what is said in a conversation from here on stays before it disappears from all homes.
    Lifetime {
        /// A person or a group.
        to: String,
        /// Seconds, at most 366 days; 0 for ever; absent to ask how long.
        #[serde(default)]
        seconds: Option<u32>,
    },
    /// Messages by their words, and by who said them, where and when.
    Search(Search),
    /// The first messages of a conversation that came to this home after one, oldest first.
    HistoryAfter {
        /// A person or a group.
        to: String,
        /// As in [`Message::local`].
        after: i64,
        /// At most this many, and at most 1,000.
        limit: u32,
    },
    /// Has a conversation ring no bell any more, in this home alone; nobody is told.
    Mute {
        /// A person or a group.
        to: String,
        /// Has it ring again?
        #[serde(default)]
        removed: bool,
    },
    /// All contacts.
    Contacts,
    /// Accepts a request, so that they can write.
    Accept {
        /// Who.
        who: String,
    },
    /// Puts a request aside; they are not told.
    Decline {
        /// Who.
        who: String,
    },
    /// Has the server withhold what they send; they are not told.
    Block {
        /// Who.
        who: String,
    },
    /// Ends a block.
    Unblock {
        /// Who.
        who: String,
    },
    /// Makes a group.
    GroupCreate {
        /// Its title.
        name: String,
        /// Its first members.
        members: Vec<String>,
        /// How its keys are exchanged.
        #[serde(default)]
        suite: GroupSuite,
    },
    /// Adds members.
    GroupAdd {
        /// The group.
        group: String,
        /// Whom.
        members: Vec<String>,
    },
    /// Removes members.
    GroupRemove {
        /// The group.
        group: String,
        /// Whom.
        members: Vec<String>,
    },
    /// Says what a group is called or about, or gives it a picture; owners and admins may.
    GroupDescribe {
        /// The group.
        group: String,
        /// Its title from now on.
        name: Option<String>,
        /// What it is about from now on.
        topic: Option<String>,
        /// Its picture from now on; an empty one takes it away.
        #[serde(default)]
        picture: Option<Picture>,
    },
    /// A group's picture.
    GroupPicture {
        /// The group.
        group: String,
    },
    /// Makes a link by which people may ask to be let into a group; owners and admins may.
    GroupInvite {
        /// The group.
        group: String,
        /// How long it counts, in seconds; at most 365 days.
        lifetime_s: u64,
        /// How many may come in by it, 1 to 1,000.
        uses: u32,
    },
    /// A group's links that count.
    GroupInvites {
        /// The group.
        group: String,
    },
    /// Ends a link before its time.
    GroupUninvite {
        /// The group.
        group: String,
        /// As in [`GroupLink::number`].
        number: u32,
    },
    /// Asks by a link to be let into a group, and waits a while for that.
    GroupJoin {
        /// What [`Command::GroupInvite`] gave.
        link: LinkText,
    },
    /// Gives a member another role. An owner's role is for good.
    GroupRole {
        /// The group.
        group: String,
        /// Who.
        member: String,
        /// What they are from now on.
        role: Role,
    },
    /// Leaves a group. Its only owner may not while others are in it.
    GroupLeave {
        /// The group.
        group: String,
    },
    /// Continues a group whose server is gone on this account's own: makes a group that cites the other one, and adds all its
    /// members who can be reached. Told again after it was cut off it goes on where it was.
    GroupMove {
        /// The group.
        group: String,
        /// Even where its server can be reached.
        #[serde(default)]
        force: bool,
    },
    /// All groups.
    Groups,
    /// Who is in a group, by its MLS state and by the server's list.
    GroupMembers {
        /// The group.
        group: String,
    },
    /// The account's devices.
    Devices,
    /// Deletes a device: its connections are cut within a second.
    DeviceRevoke {
        /// Its id, or the beginning of it if that is enough.
        device: String,
    },
    /// Replaces the password.
    PasswordChange {
        /// The one in force.
        old: Password,
        /// The one to come.
        new: Password,
    },
    /// Deletes the account for good.
    AccountDelete {
        /// To prove it is its owner who asks.
        password: Password,
    },
    /// Accepts a contact's new account key unseen. [`CommandError::KeyChanged`] where a person had compared the earlier
    /// one, unless they say that they mean it.
    TrustKey {
        /// Who.
        who: String,
        /// Even then.
        #[serde(default)]
        though_verified: bool,
    },
    /// The safety number with a contact, and how things stand with their key.
    SafetyNumber {
        /// Who.
        who: String,
    },
    /// Marks a contact's key as compared, if it is the one of which the number or code is; accepts it where it is new.
    /// [`CommandError::KeyDiffers`] otherwise.
    Verify {
        /// Who.
        who: String,
        /// What they have.
        compared: Compared,
    },
    /// Takes the mark back.
    Unverify {
        /// Who.
        who: String,
    },
    /// The contacts who present another key than the known one, all or those of a conversation, from the home alone.
    ChangedKeys {
        /// A person or a group.
        to: Option<String>,
    },
    /// About what people do at this moment, and who has read what.
    Ephemeral(Ephemeral),
    /// What happened to a message of one's own, and when.
    Trace {
        /// Its id, the beginning or end of that, or `last`.
        message: String,
    },
    /// Writes out what this home holds, or takes such a thing in.
    Archive(Archive),
}

/// A password on its way; never printed.
#[derive(Clone, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// What a command gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done {
        /// What to tell the person beyond that, if anything.
        note: Option<String>,
    },
    /// Of [`Command::Whoami`].
    Whoami(Whoami),
    /// Of [`Command::Status`].
    Status(Status),
    /// Of [`Command::Alarms`].
    Alarms {
        /// Oldest first.
        alarms: Vec<Alarm>,
    },
    /// Of [`Command::Conversations`] and [`Command::Groups`].
    Conversations {
        /// Newest activity first.
        conversations: Vec<Conversation>,
    },
    /// Of [`Command::Send`], [`Command::FileSend`], and what changes messages: it is in the outbox, durable. Of one that was
    /// taken out of the outbox, its own id.
    Queued {
        /// Its id.
        id: String,
    },
    /// Of [`Command::Files`].
    Files {
        /// Oldest first.
        files: Vec<File>,
    },
    /// Of [`Command::FileGet`].
    Saved(Saved),
    /// Of [`Command::Flush`].
    Flushed {
        /// Messages that wait for something other than the connection.
        waiting: Vec<Waiting>,
    },
    /// Of [`Command::Unshown`], [`Command::History`], [`Command::HistoryAfter`] and [`Command::Pins`].
    Messages {
        /// Oldest first.
        messages: Vec<Message>,
    },
    /// Of [`Command::Schedule`] and [`Command::Scheduled`].
    Scheduled {
        /// In the order of their times.
        scheduled: Vec<Scheduled>,
    },
    /// Of [`Command::Lifetime`], where it asks.
    Lifetime(Lifetime),
    /// Of [`Command::Search`].
    Found {
        /// Newest first.
        found: Vec<Found>,
    },
    /// Of [`Command::Contacts`] and [`Command::ChangedKeys`].
    Contacts {
        /// In order of address.
        contacts: Vec<Contact>,
    },
    /// Of [`Command::SafetyNumber`].
    SafetyNumber(SafetyNumber),
    /// Of [`Command::GroupMembers`].
    Members {
        /// In order of address.
        members: Vec<Member>,
        /// Has the group a picture?
        #[serde(default)]
        picture: bool,
    },
    /// Of [`Command::GroupInvite`].
    Link(NewLink),
    /// Of [`Command::GroupInvites`].
    Links {
        /// In order of their numbers.
        links: Vec<GroupLink>,
    },
    /// Of [`Command::GroupJoin`].
    Joining {
        /// `id@domain` of the conversation.
        conversation: String,
        /// The group's title, where it is known by now.
        title: Option<String>,
        /// Is this account in it? Otherwise it will be as soon as somebody is there who may let it in.
        joined: bool,
    },
    /// Of [`Command::GroupMove`].
    Moved(Moved),
    /// Of [`Command::GroupPicture`].
    Picture(GroupPicture),
    /// Of [`Ephemeral::Readers`].
    Readers {
        /// In order of address.
        readers: Vec<Reader>,
    },
    /// Of [`Ephemeral::Tell`].
    Told(Told),
    /// Of [`Command::FilePreview`]: as its sender sent it, or nothing. It was looked into by nobody.
    Preview {
        /// A JPEG, if it is what it should be.
        preview: Picture,
    },
    /// Of [`Command::Trace`].
    Trace(Trace),
    /// Of [`Archive::Conversations`].
    Shelves {
        /// In the order in which they came to this home.
        shelves: Vec<Shelf>,
        /// What could not be read.
        failed: Vec<Unreadable>,
    },
    /// Of [`Archive::Messages`].
    Records(Records),
    /// Of [`Archive::Import`].
    Imported {
        /// Messages that were not here.
        messages: u64,
        /// What can't be taken in.
        failed: Vec<Unreadable>,
    },
    /// Of [`Command::Devices`].
    Devices {
        /// In order of enrolment.
        devices: Vec<Device>,
    },
}
