//! The end of a conversation of two whose other account is gone or begins anew: what was said in it before comes first.
//!
//! The inbox tells of it, and nothing holds the inbox back until other logs are read. So the conversation is over for the
//! person at once, and its log is followed anew: nobody appends to it any more, and what the server calls caught up after it
//! has told of the end is all there is. Until then the state is `Ending`, which a restart finds again.

use qpc_proto::id::ConversationName;

use super::{ApplyError, Batch, Open, change};
use crate::{
    api::Event,
    store::{
        conversation::{self, Conversation, State, Trusted},
        ending, message as messages, outbox,
    },
};

impl<'b> Batch<'b> {
    /// It is over, which is said once it is read to its end.
    pub(super) fn ends_when_read(&mut self, direct: &Conversation, text: &str) -> Result<(), ApplyError> {
        let to_be_read = match direct.state {
            State::Active => true,
            // If the server has it, the other one may have answered.
            State::Creating => !direct.is_joining(),
            State::Wanted | State::Awaiting | State::Ending | State::Ended => false,
        };
        let (true, Trusted::Yes) = (to_be_read, direct.trusted) else { return self.ends_unread(direct, text) };
        ending::put(self.tx, direct.local, text)?;
        conversation::set_state(self.tx, direct.local, State::Ending)?;
        // What was encrypted may be in the log.
        for id in outbox::unsealed(self.tx, direct.local)? {
            change::refuse(self.tx, id, text, &mut self.out)?;
        }
        self.out.follow = true;
        Ok(())
    }

    /// There is nothing in it that could be read here.
    fn ends_unread(&mut self, direct: &Conversation, text: &str) -> Result<(), ApplyError> {
        if let Some(name) = &direct.name {
            ending::put(self.tx, direct.local, text)?;
            change::end(self.tx, direct, &mut self.mls.group(name), &mut self.out)?;
            self.out.gone.push(name.clone());
            return Ok(());
        }
        let told = messages::notice(self.tx, direct.local, text)?;
        self.out.events.push(Event::Message(told));
        // What is wanted is asked of the server, and refused there; the other's that is awaited never comes.
        if direct.state == State::Awaiting {
            conversation::set_state(self.tx, direct.local, State::Ended)?;
            change::refuse_all(self.tx, direct, text, &mut self.out)?;
        }
        Ok(())
    }

    /// Everything that the server had of a log when it was asked has come.
    pub(super) fn caught_up(&mut self, name: &ConversationName) -> Result<(), ApplyError> {
        match self.open(name)?.filter(|log| log.conversation.state == State::Ending) {
            Some(mut log) => self.has_ended(&mut log),
            None => Ok(()),
        }
    }

    /// What can be read of it is read.
    pub(super) fn has_ended(&mut self, log: &mut Open<'b>) -> Result<(), ApplyError> {
        change::end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
        self.out.gone.push(log.name.clone());
        log.conversation.trusted = Trusted::Never;
        Ok(())
    }
}
