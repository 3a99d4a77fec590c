//! Commands: each is done against the store, or over the connection where it needs the server.

mod account;
mod alarms;
mod archive;
mod changes;
mod claim;
mod contacts;
mod continuation;
mod emoji;
mod ephemeral;
mod files;
mod forward;
mod groups;
mod lifetime;
mod links;
mod mention;
mod poll;
mod problem;
mod refer;
mod scheduled;
mod search;
mod talk;
mod target;
mod trace;
mod verify;
mod wait;

use std::sync::Arc;

pub(crate) use self::{account::revoke_own, scheduled::send as send_scheduled};
use crate::{
    EventStream,
    api::{Command, CommandError, Outcome},
    core::Core,
    local::Host,
};

/// Does what a command says.
pub(crate) async fn execute(core: &Arc<Core>, command: Command) -> Result<Outcome, CommandError> {
    match command {
        Command::Whoami => Ok(Outcome::Whoami(account::whoami(core))),
        Command::Status => account::status(core).await,
        Command::Alarms => alarms::list(core).await,
        Command::AcknowledgeAlarms { numbers } => alarms::acknowledge(core, numbers).await,
        Command::Conversations => talk::conversations(core, false).await,
        Command::Send { to, text } => talk::send(core, to, text).await,
        Command::Reply { to, message, text } => talk::reply(core, to, message, text).await,
        Command::Edit { to, message, text } => changes::edit(core, to, message, text).await,
        Command::Delete { to, message } => changes::delete(core, to, message).await,
        Command::React { to, message, emoji, removed } => changes::react(core, to, message, (emoji, removed)).await,
        Command::Forward { from, message, to } => forward::forward(core, from, message, to).await,
        Command::Pin { to, message, removed } => changes::pin(core, to, message, removed).await,
        Command::Pins { to } => changes::pins(core, to).await,
        Command::Poll { to, question, options, several } => poll::ask(core, to, question, (options, several)).await,
        Command::Vote { to, message, choices } => changes::vote(core, to, message, choices).await,
        Command::ClosePoll { to, message } => changes::close_poll(core, to, message).await,
        Command::Schedule { to, text, message, at_ms } => scheduled::put(core, to, text, (message, at_ms)).await,
        Command::Scheduled => scheduled::list(core).await,
        Command::Unschedule { number } => scheduled::remove(core, number).await,
        Command::Lifetime { to, seconds } => lifetime::lifetime(core, to, seconds).await,
        Command::FileSend { to, path, caption } => files::send(core, to, &path, caption).await,
        Command::Files { to } => files::list(core, to).await,
        Command::FilePreview { to, message } => files::preview(core, to, message).await,
        Command::FileGet { id, place } => files::get(core, &id, place).await,
        Command::Flush => wait::flush(core).await,
        Command::CatchUp => wait::catch_up(core).await,
        Command::Unshown { limit, to } => talk::unshown(core, limit, to).await,
        Command::MarkShown { to, local } => talk::mark_shown(core, to, local).await,
        Command::History { to, limit, before } => talk::history(core, to, limit, before).await,
        Command::Search(asked) => search::search(core, asked).await,
        Command::HistoryAfter { to, after, limit } => talk::history_after(core, to, after, limit).await,
        Command::Mute { to, removed } => talk::mute(core, to, !removed).await,
        Command::Contacts => contacts::list(core).await,
        Command::Accept { who } => contacts::accept(core, who).await,
        Command::Decline { who } => contacts::decline(core, who).await,
        Command::Block { who } => contacts::block(core, who).await,
        Command::Unblock { who } => contacts::unblock(core, who).await,
        Command::GroupCreate { name, members, suite } => groups::create(core, name, members, suite).await,
        Command::GroupAdd { group, members } => groups::add(core, group, members).await,
        Command::GroupRemove { group, members } => groups::remove(core, group, members).await,
        Command::GroupDescribe { group, name, topic, picture } => {
            groups::describe(core, group, (name, topic, picture)).await
        }
        Command::GroupInvite { group, lifetime_s, uses } => links::invite(core, group, (lifetime_s, uses)).await,
        Command::GroupInvites { group } => links::list(core, group).await,
        Command::GroupUninvite { group, number } => links::uninvite(core, group, number).await,
        Command::GroupJoin { link } => links::join(core, link).await,
        Command::GroupPicture { group } => groups::picture(core, group).await,
        Command::GroupRole { group, member, role } => groups::set_role(core, group, member, role).await,
        Command::GroupLeave { group } => groups::leave(core, group).await,
        Command::GroupMove { group, force } => continuation::go_on_here(core, group, force).await,
        Command::Groups => talk::conversations(core, true).await,
        Command::GroupMembers { group } => groups::members(core, group).await,
        Command::Devices => account::devices(core).await,
        Command::DeviceRevoke { device } => account::revoke(core, device).await,
        Command::PasswordChange { old, new } => account::change_password(core, &old, &new).await,
        Command::AccountDelete { password } => account::delete(core, &password).await,
        Command::TrustKey { who, though_verified } => verify::trust_key(core, who, though_verified).await,
        Command::SafetyNumber { who } => verify::number(core, who).await,
        Command::Verify { who, compared } => verify::verify(core, who, compared).await,
        Command::Unverify { who } => verify::unverify(core, who).await,
        Command::ChangedKeys { to } => verify::changed(core, to).await,
        Command::Ephemeral(about) => ephemeral::execute(core, about).await,
        Command::Trace { message } => trace::trace(core, message).await,
        Command::Archive(about) => archive::execute(core, about).await,
    }
}

impl Host for Arc<Core> {
    async fn execute(&self, command: Command) -> Result<Outcome, CommandError> {
        execute(self, command).await
    }

    fn events(&self) -> EventStream {
        self.events.listen()
    }
}

fn done() -> Outcome {
    Outcome::Done { note: None }
}

fn noted(note: impl Into<String>) -> Outcome {
    Outcome::Done { note: Some(note.into()) }
}

fn usage(message: impl Into<String>) -> CommandError {
    CommandError::Usage { message: message.into() }
}
