//! Accounts, and conversations between them. Bodies, commits and welcomes are random bytes of the sizes of
//! real ones: the server does not look inside.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use qpc_client::wire::{Device, Dialer, Wire};
use qpc_proto::{
    chain::ChainValue,
    id::{ConversationName, Counter, MessageId, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};

use crate::{history::Sent, random::Random};

/// Registrations at once.
const TOGETHER: usize = 16;
/// Sizes of a commit, a welcome and a group info of a small group, in bytes.
const COMMIT: usize = 900;
const WELCOME: usize = 1_400;
const GROUP_INFO: usize = 700;

/// Somebody with one device, on a connection of their own.
#[derive(Clone)]
pub struct Person {
    /// The device.
    pub device: Device,
    /// The connection, authenticated.
    pub wire: Wire,
}

/// A conversation that was made.
#[derive(Debug, Clone)]
pub struct Room {
    /// Its name.
    pub name: ConversationName,
    /// Its first entry, the commit that made it, which its creator sent.
    pub commit: Sent,
    /// Where that stands.
    pub at: Seq,
    /// The chain value there, if the server gave one.
    pub chain: Option<ChainValue>,
}

/// Registers so many people.
///
/// # Errors
/// The first that fails.
pub async fn people(dialer: &Dialer, token: &str, prefix: &str, count: usize) -> anyhow::Result<Vec<Person>> {
    stream::iter(0..count)
        .map(|number| async move { person(dialer, token, &format!("{prefix}{number:05}")).await })
        .buffered(TOGETHER)
        .try_collect()
        .await
}

/// Registers one and authenticates.
///
/// # Errors
/// What went wrong.
pub async fn person(dialer: &Dialer, token: &str, name: &str) -> anyhow::Result<Person> {
    let wire = dialer.connect().await?;
    let device = wire.register(name, &format!("password of {name}"), token).await.context("registering")?;
    wire.authenticate(&device).await.context("authenticating")?;
    Ok(Person { device, wire })
}

/// Makes a direct conversation, and has the peer accept.
///
/// # Errors
/// What went wrong.
pub async fn direct(creator: &Person, peer: &Person, random: &mut Random) -> anyhow::Result<Room> {
    let address = peer.device.address().to_string();
    let room = create(creator, v1::ConversationKind::Direct, &address, &[peer], random).await?;
    let answer = v1::ContactAnswer::Accept.into();
    let accept = v1::AnswerContact { address: creator.device.address().to_string(), answer };
    peer.wire.call(Method::AnswerContact(accept)).await.context("accepting")?;
    Ok(room)
}

/// Makes a group of people who have accepted its creator.
///
/// # Errors
/// What went wrong.
pub async fn group(creator: &Person, members: &[&Person], random: &mut Random) -> anyhow::Result<Room> {
    create(creator, v1::ConversationKind::Group, "", members, random).await
}

async fn create(
    creator: &Person,
    kind: v1::ConversationKind,
    peer: &str,
    members: &[&Person],
    random: &mut Random,
) -> anyhow::Result<Room> {
    let request = creation(creator, kind, peer, members, random);
    let name = ConversationName::parse(request.conversation.as_ref())?;
    let id = MessageId::parse(&request.message_id)?;
    match creator.wire.call(Method::CreateConversation(request)).await.context("creating a conversation")? {
        Outcome::CreateConversation(made) => {
            let commit = Sent { conversation: name.clone(), device: creator.device.id(), counter: Counter(1), id };
            Ok(Room { name, commit, at: Seq(made.seq), chain: ChainValue::parse(&made.chain) })
        }
        _ => bail!("an answer of another kind"),
    }
}

/// The request that makes a conversation.
#[must_use]
pub fn creation(
    creator: &Person,
    kind: v1::ConversationKind,
    peer: &str,
    members: &[&Person],
    random: &mut Random,
) -> v1::CreateConversation {
    let name = ConversationName { domain: creator.wire.domain().clone(), id: random.conversation_id() };
    let id = random.message_id();
    v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: kind.into(),
        peer: peer.to_owned(),
        message_id: id.to_bytes(),
        commit: Some(adding(random, id, 0, members)),
        group_info: Bytes::new(),
    }
}

/// A commit that adds people.
#[must_use]
pub fn adding(random: &mut Random, id: MessageId, epoch: u64, members: &[&Person]) -> v1::CommitBundle {
    let role = v1::Role::Member.into();
    let added = members.iter().map(|member| v1::Member { address: member.device.address().to_string(), role });
    v1::CommitBundle {
        welcome: if members.is_empty() { Bytes::new() } else { body(random, None, WELCOME) },
        welcome_devices: members.iter().map(|member| member.device.id().to_bytes()).collect(),
        added: added.collect(),
        ..commit(random, id, epoch)
    }
}

/// A commit that changes nothing but the epoch.
#[must_use]
pub fn commit(random: &mut Random, id: MessageId, epoch: u64) -> v1::CommitBundle {
    v1::CommitBundle {
        epoch,
        commit: body(random, Some(id), COMMIT),
        group_info: body(random, None, GROUP_INFO),
        ..Default::default()
    }
}

/// Random bytes, which begin with an id where one is given.
#[must_use]
pub fn body(random: &mut Random, id: Option<MessageId>, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    if let Some((id, begin)) = id.as_ref().zip(bytes.first_chunk_mut()) {
        *begin = *id.as_bytes();
    }
    bytes.into()
}

/// Everything up to here.
#[must_use]
pub fn cursor(conversation: &ConversationName, seq: Seq) -> v1::Cursor {
    v1::Cursor { conversation: Some(conversation.to_wire()), seq: seq.0 }
}
