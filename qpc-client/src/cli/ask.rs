//! The commands that are one question and one answer.

use qpc_client::api::{Command, Ephemeral, GroupSuite, LinkText, Outcome, Role};

use super::{
    args::{
        AccountVerb, AlarmsVerb, ContactsVerb, DevicesVerb, GroupVerb, LaterVerb, Of, PasswordVerb, RoleWord,
        SuiteWord, Verb,
    },
    done,
    failure::Failure,
    hint, input,
    password::Source,
    picture,
    render::{self, Render},
    screen::Screen,
    seat::Seat,
    settings::Settings,
};

/// The question a typed command is; `None` where it is more than that. Asks for passwords.
///
/// # Errors
/// A [`Failure`] where a password is needed and there is none.
pub(super) async fn question(verb: &Verb, settings: &Settings) -> Result<Option<Command>, Failure> {
    let passwords = |count| Source::open(settings.password_file.as_deref(), count);
    Ok(Some(match verb.clone() {
        Verb::Whoami => Command::Whoami,
        Verb::Status => Command::Status,
        Verb::Alarms { verb: AlarmsVerb::List } => Command::Alarms,
        Verb::Alarms { verb: AlarmsVerb::Acknowledge { numbers } } => Command::AcknowledgeAlarms { numbers },
        Verb::Conversations => Command::Conversations,
        Verb::Later { verb: LaterVerb::List } => Command::Scheduled,
        Verb::Later { verb: LaterVerb::Cancel { number } } => Command::Unschedule { number },
        Verb::Lifetime { to, .. } => Command::Lifetime { to: to.clone(), seconds: None },
        Verb::Mute { to } => Command::Mute { to, removed: false },
        Verb::Unmute { to } => Command::Mute { to, removed: true },
        Verb::Contacts { verb } => match verb {
            ContactsVerb::List => Command::Contacts,
            ContactsVerb::Accept(who) => Command::Accept { who: who.who },
            ContactsVerb::Decline(who) => Command::Decline { who: who.who },
            ContactsVerb::Block(who) => Command::Block { who: who.who },
            ContactsVerb::Unblock(who) => Command::Unblock { who: who.who },
            ContactsVerb::Trust(who) => Command::TrustKey { who: who.who, though_verified: false },
        },
        Verb::Group { verb } => match verb {
            GroupVerb::Create { name, members, suite } => Command::GroupCreate {
                name,
                members,
                suite: match suite {
                    SuiteWord::Classical => GroupSuite::Classical,
                    SuiteWord::Auto => GroupSuite::Auto,
                    SuiteWord::PostQuantum => GroupSuite::PostQuantum,
                },
            },
            GroupVerb::Add(typed) => Command::GroupAdd { group: typed.group, members: typed.members },
            GroupVerb::Remove(typed) => Command::GroupRemove { group: typed.group, members: typed.members },
            GroupVerb::Describe { group, description } => picture::described(group, description)?,
            GroupVerb::Role { group, member, role } => Command::GroupRole {
                group,
                member,
                role: match role {
                    RoleWord::Member => Role::Member,
                    RoleWord::Admin => Role::Admin,
                    RoleWord::Owner => Role::Owner,
                },
            },
            GroupVerb::Leave(typed) => Command::GroupLeave { group: typed.group },
            GroupVerb::Move { group, force } => Command::GroupMove { group, force },
            GroupVerb::List => Command::Groups,
            GroupVerb::Members(typed) => Command::GroupMembers { group: typed.group },
            GroupVerb::Invite { group, expires, uses } => Command::GroupInvite { group, lifetime_s: expires, uses },
            GroupVerb::Invites(typed) => Command::GroupInvites { group: typed.group },
            GroupVerb::Uninvite { group, number } => Command::GroupUninvite { group, number },
            GroupVerb::Join { link } => {
                let link = if link == "-" { input::short_line("the link").await? } else { link };
                Command::GroupJoin { link: LinkText(link) }
            }
            GroupVerb::Picture { .. } => return Ok(None),
        },
        Verb::Devices { verb } => match verb {
            DevicesVerb::List => Command::Devices,
            DevicesVerb::Revoke { device } => Command::DeviceRevoke { device },
        },
        Verb::Password { verb: PasswordVerb::Change } => {
            let mut source = passwords(2).await?;
            let old = source.existing("The password in force: ").await?;
            Command::PasswordChange { old, new: source.new_one("The new password: ").await? }
        }
        Verb::Account { verb: AccountVerb::Delete } => Command::AccountDelete {
            password: passwords(1).await?.existing("The password, to delete the account for good: ").await?,
        },
        Verb::Pins { to } => Command::Pins { to },
        Verb::Trace { message } => Command::Trace { message },
        Verb::Readers(Of { to, message }) => Command::Ephemeral(Ephemeral::Readers { to, message }),
        Verb::Tell { what, switch } => {
            let change = what.zip(switch).map(|(what, switch)| (what.into(), switch.is_on()));
            Command::Ephemeral(Ephemeral::Tell { change })
        }
        Verb::Register { .. }
        | Verb::Login { .. }
        | Verb::Logout
        | Verb::Chat { .. }
        | Verb::Send { .. }
        | Verb::Edit { .. }
        | Verb::Delete { .. }
        | Verb::React { .. }
        | Verb::Forward { .. }
        | Verb::Pin(_)
        | Verb::Unpin(_)
        | Verb::Poll { .. }
        | Verb::Vote(_)
        | Verb::Listen { .. }
        | Verb::File { .. }
        | Verb::History { .. }
        | Verb::Search(_)
        | Verb::Export { .. }
        | Verb::Import { .. }
        | Verb::Verify { .. }
        | Verb::Completions { .. }
        | Verb::Man => return Ok(None),
    }))
}

/// Asks, and prints the answer.
///
/// # Errors
/// A [`Failure`] as the library or the output has it.
pub(super) async fn ask(seat: &Seat, screen: &Screen, command: Command) -> Result<(), Failure> {
    let groups = matches!(command, Command::Groups);
    let asked = command.clone();
    let outcome = seat.execute(command).await?;
    if screen.json {
        return Ok(objects(screen, &outcome)?);
    }
    if let Some(nothing) = render::nothing(&outcome) {
        let none = || format!("no groups yet; make one with: {} group create NAME MEMBER", hint::program());
        screen.note(&if groups { none() } else { nothing });
        return Ok(());
    }
    let render = Render::new(screen, &seat.address().await);
    let lines = render.outcome(&outcome);
    if let Outcome::Done { note } = outcome {
        // That it was done is a note, not data.
        lines.iter().for_each(|line| screen.note(line));
        if let (None, Some(words)) = (note, done::words(&asked, &render)) {
            screen.done(&words);
        }
        return Ok(());
    }
    Ok(lines.iter().try_for_each(|line| screen.data(line))?)
}

/// An outcome as JSON: an object a line, one for each thing of a list.
fn objects(screen: &Screen, outcome: &Outcome) -> std::io::Result<()> {
    match outcome {
        Outcome::Conversations { conversations } => conversations.iter().try_for_each(|c| screen.object(c)),
        Outcome::Messages { messages } => messages.iter().try_for_each(|m| screen.object(m)),
        Outcome::Found { found } => found.iter().try_for_each(|found| screen.object(found)),
        Outcome::Lifetime(lifetime) => screen.object(lifetime),
        Outcome::Scheduled { scheduled } => scheduled.iter().try_for_each(|one| screen.object(one)),
        Outcome::Alarms { alarms } => alarms.iter().try_for_each(|a| screen.object(a)),
        Outcome::Contacts { contacts } => contacts.iter().try_for_each(|c| screen.object(c)),
        Outcome::Members { members, .. } => members.iter().try_for_each(|m| screen.object(m)),
        Outcome::Devices { devices } => devices.iter().try_for_each(|d| screen.object(d)),
        Outcome::Flushed { waiting } => waiting.iter().try_for_each(|w| screen.object(w)),
        Outcome::SafetyNumber(number) => screen.object(number),
        Outcome::Whoami(whoami) => screen.object(whoami),
        Outcome::Status(status) => screen.object(status),
        Outcome::Link(link) => screen.object(link),
        Outcome::Links { links } => links.iter().try_for_each(|link| screen.object(link)),
        Outcome::Picture(picture) => screen.object(picture),
        Outcome::Files { files } => files.iter().try_for_each(|file| screen.object(file)),
        Outcome::Saved(saved) => screen.object(saved),
        Outcome::Moved(moved) => screen.object(moved),
        Outcome::Readers { readers } => readers.iter().try_for_each(|reader| screen.object(reader)),
        Outcome::Told(told) => screen.object(told),
        Outcome::Trace(trace) => screen.object(trace),
        Outcome::Shelves { shelves, .. } => shelves.iter().try_for_each(|shelf| screen.object(shelf)),
        Outcome::Records(records) => screen.object(records),
        Outcome::Done { .. }
        | Outcome::Queued { .. }
        | Outcome::Joining { .. }
        | Outcome::Preview { .. }
        | Outcome::Imported { .. } => screen.object(outcome),
    }
}
