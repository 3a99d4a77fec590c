//! What was done, in one line, for the person at a terminal.
//!
//! Scripts are told by the exit code, and programs by JSON; neither gets these words.

use qpc_client::api::Command;

use super::render::Render;

/// What to say when a command has succeeded that has no more to say by itself.
pub(super) fn words(command: &Command, render: &Render) -> Option<String> {
    let name = |who: &str| render.name(who);
    let names = |all: &[String]| all.iter().map(|who| name(who)).collect::<Vec<_>>().join(", ");
    Some(match command {
        Command::AcknowledgeAlarms { numbers } => match numbers.len() {
            1 => "acknowledged 1 alarm".to_owned(),
            n => format!("acknowledged {n} alarms"),
        },
        Command::Mute { to, removed: false } => format!("{} rings no bell any more", name(to)),
        Command::Mute { to, removed: true } => format!("{} rings again", name(to)),
        Command::Accept { who } => format!("accepted {}: you can write to each other", name(who)),
        Command::Decline { who } => format!("declined {}; they are not told", name(who)),
        Command::Block { who } => format!("blocked {}; they are not told", name(who)),
        Command::Unblock { who } => format!("unblocked {}", name(who)),
        Command::Unschedule { number } => format!("message {number} is not sent"),
        Command::TrustKey { who, .. } => format!("the new key of {} is accepted", name(who)),
        Command::Verify { who, .. } => format!("{} is verified: you both have the same", name(who)),
        Command::Unverify { who } => format!("{} is not marked as verified any more", name(who)),
        Command::GroupCreate { name: group, members, .. } if members.is_empty() => {
            format!("made the group {}, with you alone in it", name(group))
        }
        Command::GroupCreate { name: group, members, .. } => {
            format!("made the group {} with {}", name(group), names(members))
        }
        Command::GroupAdd { group, members } => format!("added {} to {}", names(members), name(group)),
        Command::GroupRemove { group, members } => format!("removed {} from {}", names(members), name(group)),
        Command::GroupDescribe { group, name: None, topic: None, picture: Some(picture) } if picture.0.is_empty() => {
            format!("took the picture of {} away", name(group))
        }
        Command::GroupDescribe { group, name: None, topic: None, .. } => format!("gave {} a picture", name(group)),
        Command::GroupDescribe { group, name: None, .. } => format!("said what {} is about", name(group)),
        Command::GroupDescribe { group, name: Some(title), .. } => {
            format!("{} is called {} now", name(group), name(title))
        }
        Command::GroupRole { group, member, role } => {
            format!("made {} {} in {}", name(member), role.name(), name(group))
        }
        Command::GroupUninvite { group, number } => format!("link {number} into {} has ended", name(group)),
        Command::GroupLeave { group } => format!("left {}", name(group)),
        Command::DeviceRevoke { device } => format!("revoked the device {}: it is cut off", name(device)),
        Command::PasswordChange { .. } => "the password is changed".to_owned(),
        Command::AccountDelete { .. } => "the account is deleted".to_owned(),
        // These print what they found, or are steps of something else.
        Command::Whoami
        | Command::Status
        | Command::Alarms
        | Command::Conversations
        | Command::Send { .. }
        | Command::Reply { .. }
        | Command::Edit { .. }
        | Command::Delete { .. }
        | Command::React { .. }
        | Command::Forward { .. }
        | Command::Pin { .. }
        | Command::Pins { .. }
        | Command::Poll { .. }
        | Command::Vote { .. }
        | Command::ClosePoll { .. }
        | Command::FileSend { .. }
        | Command::Files { .. }
        | Command::FileGet { .. }
        | Command::FilePreview { .. }
        | Command::Flush
        | Command::CatchUp
        | Command::Unshown { .. }
        | Command::MarkShown { .. }
        | Command::History { .. }
        | Command::Search(_)
        | Command::Lifetime { .. }
        | Command::Schedule { .. }
        | Command::Scheduled
        | Command::HistoryAfter { .. }
        | Command::Contacts
        | Command::SafetyNumber { .. }
        | Command::ChangedKeys { .. }
        | Command::Groups
        | Command::GroupMembers { .. }
        | Command::GroupMove { .. }
        | Command::GroupPicture { .. }
        | Command::GroupInvite { .. }
        | Command::GroupInvites { .. }
        | Command::GroupJoin { .. }
        | Command::Ephemeral(_)
        | Command::Archive(_)
        | Command::Trace { .. }
        | Command::Devices => return None,
    })
}
