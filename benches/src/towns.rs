//! Conversations over several servers: what is asked at one has to reach another before it is known there.

use std::time::Duration;

use anyhow::Context;
use qpc_client::wire::WireError;
use qpc_proto::{
    error::Code,
    id::ConversationName,
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::time::{Instant, sleep};

use crate::{
    crowd::{self, Person, Room},
    random::Random,
};

/// UDP sockets of the clients of one server.
pub const SOCKETS: usize = 4;
/// How long what is asked may take.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A conversation of two, whose hub is the first one's server; both can read it at their own.
///
/// # Errors
/// What went wrong.
pub async fn direct(creator: &Person, peer: &Person, random: &mut Random) -> anyhow::Result<Room> {
    known(creator, peer).await?;
    let (room, _) = crowd::asked(creator, peer, random).await?;
    let answer = v1::ContactAnswer::Accept.into();
    let accept = v1::AnswerContact { address: creator.device.address().to_string(), answer };
    patiently("accepting", peer, Method::AnswerContact(accept)).await?;
    readable(peer, &room.name).await?;
    Ok(room)
}

/// Has somebody of another server become known at one's own, who has key packages to be had.
///
/// # Errors
/// What went wrong.
pub async fn known(creator: &Person, peer: &Person) -> anyhow::Result<()> {
    let address = peer.device.address().to_string();
    let claim = Method::ClaimKeyPackages(v1::ClaimKeyPackages { address, suite: 0 });
    patiently("asking for key packages", creator, claim).await.map(drop)
}

/// Waits until somebody's own server has a conversation.
///
/// # Errors
/// What went wrong.
pub async fn readable(person: &Person, name: &ConversationName) -> anyhow::Result<()> {
    let read = v1::ReadLog { conversation: Some(name.to_wire()), after_seq: 0, limit: 1 };
    patiently("reading", person, Method::ReadLog(read)).await.map(drop)
}

/// Asks again as long as the answer may be another one when servers have heard from each other.
///
/// # Errors
/// What went wrong.
pub async fn patiently(what: &'static str, person: &Person, method: Method) -> anyhow::Result<Outcome> {
    let deadline = Instant::now().checked_add(KNOWN_WITHIN).context("the clock's end")?;
    let passes = |code: u32| {
        Code::from_wire(code).is_some_and(|code| code.retryable() || matches!(code, Code::NotFound | Code::NotContact))
    };
    loop {
        match person.wire.call(method.clone()).await {
            Err(WireError::Refused { code, .. }) if Instant::now() < deadline && passes(code) => {
                sleep(LOOK_AGAIN).await
            }
            answer => return answer.context(what),
        }
    }
}
