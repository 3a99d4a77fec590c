//! Whom or what a person means by a name.
//!
//! A name with `@` is a person's, or a conversation's id. One without is the person of that name at the home server, unless
//! nothing was ever said to them and a group has that title: then the person has to say which.

use std::collections::BTreeSet;

use qpc_proto::{address::Address, id::ConversationName};
use rusqlite::Transaction;

use super::usage;
use crate::{
    api::CommandError,
    store::{
        continuation,
        conversation::{self, Conversation, Kind, State},
    },
    trust::Me,
};

/// What a name stands for.
pub(super) enum Target {
    Person(Address),
    Conversation(Box<Conversation>),
}

/// Reads a name.
pub(super) fn read(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Target, CommandError> {
    if let Ok(name) = text.parse::<ConversationName>()
        && let Some(found) = conversation::by_name(tx, &name)?
    {
        return Ok(Target::Conversation(Box::new(found)));
    }
    let person = Address::parse_at(text, &me.address().domain);
    if let (true, Ok(person)) = (text.contains('@'), &person) {
        return Ok(Target::Person(person.clone()));
    }
    if let Ok(person) = &person
        && conversation::direct_with(tx, person)?.is_some()
    {
        return Ok(Target::Person(person.clone()));
    }
    let mut groups = conversation::by_title(tx, text)?;
    if groups.iter().any(|group| group.state != State::Ended) {
        groups.retain(|group| group.state != State::Ended);
    }
    groups.retain(|group| group.kind == Kind::Group);
    // What was continued is often called as its continuation is, and whoever writes means that one.
    let mut groups = groups.into_iter().map(|group| continuation::latest(tx, group)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(group.local));
    match (groups.len(), person) {
        (0, Ok(person)) => Ok(Target::Person(person)),
        (0, Err(_)) => Err(usage(format!("{text:?} is neither a person's name nor a group's"))),
        (1, Err(_)) => groups.pop().map(|group| Target::Conversation(Box::new(group))).ok_or_else(|| usage("no group")),
        // One that is being made, too: what is written waits until it is.
        (1, Ok(_)) if groups.iter().all(|group| group.state != State::Ended) => {
            groups.pop().map(|group| Target::Conversation(Box::new(group))).ok_or_else(|| usage("no group"))
        }
        (_, Ok(person)) if groups.len() == 1 => Ok(Target::Person(person)),
        _ => {
            let ids = groups.iter().filter_map(|group| group.name.as_ref()).map(ToString::to_string);
            Err(usage(format!(
                "more than one group is called {text:?}; use one of these ids: {}",
                ids.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// A person's address.
pub(super) fn person(me: &Me, text: &str) -> Result<Address, CommandError> {
    let address = Address::parse_at(text, &me.address().domain).map_err(|error| usage(format!("{text:?}: {error}")))?;
    if address == *me.address() { Err(usage("that is you")) } else { Ok(address) }
}

/// A conversation that exists, with a person or of a group.
pub(super) fn existing(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Conversation, CommandError> {
    match read(tx, me, text)? {
        Target::Conversation(conversation) => Ok(*conversation),
        Target::Person(person) if person == *me.address() => {
            conversation::personal(tx)?.ok_or_else(|| usage("you have noted nothing yet"))
        }
        Target::Person(person) => match conversation::direct_with(tx, &person)? {
            Some(found) => Ok(found),
            // One that has ended is still there to be read, with a person or of a group.
            None => conversation::by_title(tx, &person.to_string())?
                .into_iter()
                .chain(conversation::by_title(tx, text)?)
                .next()
                .ok_or_else(|| usage(format!("there is no conversation with {person} yet"))),
        },
    }
}

/// A group that goes on.
pub(super) fn group(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Conversation, CommandError> {
    match read(tx, me, text)? {
        Target::Conversation(found) if found.kind == Kind::Group && found.state == State::Active => Ok(*found),
        Target::Conversation(found) if found.kind == Kind::Group && found.is_joining() => {
            Err(usage(format!("this device is about to come into the group {text:?}: try again in a moment")))
        }
        Target::Conversation(found) if found.kind == Kind::Group => {
            Err(usage(format!("you are no longer in the group {text:?}")))
        }
        _ => Err(usage(format!("there is no group {text:?}"))),
    }
}
