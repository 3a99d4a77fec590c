//! What this home holds, read out as far as it can be read, and taken in.

use std::sync::Arc;

use prost::Message as _;
use qpc_proto::v1;
use rusqlite::Transaction;

use super::target;
use crate::{
    api::{Archive, ArchivedConversation, CommandError, Outcome, Record, Records, Shelf, Unreadable},
    apply,
    archive::{self as records, RecordError},
    core::Core,
    store::{
        Local, StoreError, archive,
        conversation::{self, State},
        history, lifetime,
    },
};

/// Messages in one answer, at most, and where a page of more bytes ends.
const PAGE_MAX: u32 = 200;
const PAGE_BYTES: usize = 1024 * 1024;

pub(super) async fn execute(core: &Arc<Core>, about: Archive) -> Result<Outcome, CommandError> {
    match about {
        Archive::Conversations { of } => conversations(core, of).await,
        Archive::Messages { number, after } => messages(core, number, after.unwrap_or(i64::MIN)).await,
        Archive::Import { records, last } => import(core, records, last).await,
    }
}

/// A part that can't be read is no reason to read no other one.
fn unless_damaged<T>(read: Result<T, StoreError>) -> Result<Result<T, StoreError>, CommandError> {
    match read {
        Err(error) if !archive::is_damage(&error) => Err(error.into()),
        read => Ok(read),
    }
}

async fn conversations(core: &Arc<Core>, of: Vec<String>) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let all = core.store.read_apart(move |tx| match of.as_slice() {
        [] => Ok::<_, CommandError>(archive::conversations(tx)?),
        of => of.iter().map(|to| Ok(target::existing(tx, &me, to)?.local)).collect(),
    });
    let (mut shelves, mut failed) = (Vec::new(), Vec::new());
    for local in all.await? {
        match unless_damaged(core.store.read_apart(move |tx| shelf(tx, local)).await)? {
            Ok(shelf) => shelves.push(filled(core, shelf, &mut failed).await),
            // Its messages may be there.
            Err(error) => {
                let title = core.store.read_apart(move |tx| archive::title(tx, local)).await;
                let title = title.unwrap_or_else(|_| format!("conversation {local}"));
                failed.push(Unreadable { which: title.clone(), why: error.to_string() });
                let conversation = ArchivedConversation { title, ..Default::default() };
                shelves.push(Shelf { number: local, conversation, messages: 0 });
            }
        }
    }
    Ok(Outcome::Shelves { shelves, failed })
}

fn shelf(tx: &Transaction<'_>, local: Local) -> Result<Shelf, StoreError> {
    let found = conversation::get(tx, local)?;
    let conversation = ArchivedConversation {
        conversation: found.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: super::talk::kind(found.kind),
        title: found.title,
        topic: found.topic,
        peer: found.peer.map(|peer| peer.to_string()),
        members: Vec::new(),
        lifetime_s: lifetime::of(tx, local)?,
    };
    Ok(Shelf { number: local, conversation, messages: 0 })
}

/// With how much there is, and who is in it, which its group alone tells.
async fn filled(core: &Arc<Core>, shelf: Shelf, failed: &mut Vec<Unreadable>) -> Shelf {
    let (me, local) = (core.me.clone(), shelf.number);
    // What stands in its way is told by the messages themselves.
    let messages = core.store.read_apart(move |tx| archive::count(tx, local)).await.unwrap_or_default();
    let members = core.store.read_apart(move |tx| {
        let conversation = conversation::get(tx, local)?;
        match (&conversation.name, conversation.state) {
            (Some(name), State::Active) => me.with_mls(tx, |mls| super::talk::members(&mut mls.group(name))),
            _ => Ok(Vec::new()),
        }
    });
    let members = members.await.unwrap_or_else(|error: CommandError| {
        let which = format!("the members of {}", shelf.conversation.title);
        failed.push(Unreadable { which, why: error.to_string() });
        Vec::new()
    });
    Shelf { conversation: ArchivedConversation { members, ..shelf.conversation }, messages, ..shelf }
}

async fn messages(core: &Arc<Core>, local: Local, after: i64) -> Result<Outcome, CommandError> {
    let mut page = Records { messages: Vec::new(), failed: Vec::new(), next: None };
    let Some(places) = places(core, local, after, &mut page.failed).await? else { return Ok(Outcome::Records(page)) };
    let me = core.me.address().to_string();
    let together = places.clone();
    let all = core.store.read_apart(move |tx| {
        let (mut told, mut bytes) = (Vec::new(), 0_usize);
        for place in together {
            let one = history::one(tx, place)?;
            bytes = bytes.saturating_add(one.as_ref().map_or(0, v1::HistoryMessage::encoded_len));
            told.push((place, one));
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok::<_, StoreError>(told)
    });
    let told = match unless_damaged(all.await)? {
        Ok(told) => told,
        Err(_) => one_by_one(core, &places, &mut page.failed).await?,
    };
    page.next = told.last().map(|(place, _)| *place);
    let told = told.into_iter().filter_map(|(place, told)| Some((place, told?)));
    for (place, told) in told.filter(|(_, told)| !archive::is_notice(&told.kind)) {
        match records::message(told, &me) {
            Some(message) => page.messages.push(message),
            None => page.failed.push(unreadable(place, "its id is none")),
        }
    }
    Ok(Outcome::Records(page))
}

fn unreadable(place: i64, why: &str) -> Unreadable {
    Unreadable { which: format!("message {place}"), why: why.to_owned() }
}

/// What can be read of them.
async fn one_by_one(
    core: &Arc<Core>,
    places: &[i64],
    failed: &mut Vec<Unreadable>,
) -> Result<Vec<(i64, Option<v1::HistoryMessage>)>, CommandError> {
    let mut told = Vec::new();
    for place in places.iter().copied() {
        let one =
            unless_damaged(core.store.read_apart(move |tx| history::one(tx, place)).await)?.unwrap_or_else(|error| {
                failed.push(unreadable(place, &error.to_string()));
                None
            });
        told.push((place, one));
    }
    Ok(told)
}

/// Places of the next messages; `None` where there are no more. Where neither the index nor the table can be read it goes on
/// behind the part that can't be.
async fn places(
    core: &Arc<Core>,
    local: Local,
    after: i64,
    failed: &mut Vec<Unreadable>,
) -> Result<Option<Vec<i64>>, CommandError> {
    let find = |after: i64, how: (u32, bool)| core.store.read_apart(move |tx| archive::next(tx, local, after, how));
    let filled = |places: Vec<i64>| Some(places).filter(|places| !places.is_empty());
    for how in [(PAGE_MAX, false), (PAGE_MAX, true), (1, true)] {
        if let Ok(places) = unless_damaged(find(after, how).await)? {
            return Ok(filled(places));
        }
    }
    let mut step: i64 = 1;
    // The first place behind the damage: doubled until it is passed, then halved.
    let behind = loop {
        match unless_damaged(find(after.saturating_add(step), (1, true)).await)? {
            Ok(places) => break places,
            Err(error) if step > i64::MAX / 4 => {
                failed.push(Unreadable { which: "all further messages".to_owned(), why: error.to_string() });
                return Ok(None);
            }
            Err(_) => step = step.saturating_mul(2),
        }
    };
    let (mut unread, mut read, mut places) = (step / 2, step, behind);
    while read.saturating_sub(unread) > 1 {
        let middle = unread.saturating_add(read.saturating_sub(unread) / 2);
        match unless_damaged(find(after.saturating_add(middle), (1, true)).await)? {
            Ok(found) => (read, places) = (middle, found),
            Err(_) => unread = middle,
        }
    }
    failed.push(Unreadable {
        which: format!("what there may be after message {after}, at most {read} messages"),
        why: "that part of the home's database is damaged".to_owned(),
    });
    Ok(filled(places))
}

async fn import(core: &Arc<Core>, all: Vec<Record>, last: bool) -> Result<Outcome, CommandError> {
    let mut page = v1::HistoryPage { last, ..Default::default() };
    let mut failed = Vec::new();
    for record in all {
        let refused = |which: String| move |error: RecordError| Unreadable { which, why: error.to_string() };
        let taken = match record {
            Record::Conversation(told) => {
                let which = told.title.clone();
                records::to_conversation(told).map(|told| page.conversations.push(told)).map_err(refused(which))
            }
            Record::Message(told) => {
                let which = format!("message {}", told.id);
                records::to_message(*told).map(|told| page.messages.push(told)).map_err(refused(which))
            }
            Record::Export { .. } | Record::Failed(_) | Record::End { .. } => Ok(()),
        };
        failed.extend(taken.err());
    }
    let me = core.me.clone();
    let (messages, applied) = core.store.run(move |tx| apply::import(tx, &me, &page)).await?;
    core.tell(&applied);
    Ok(Outcome::Imported { messages, failed })
}
