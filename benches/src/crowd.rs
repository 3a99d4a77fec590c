//! Accounts, and conversations between them. Their groups are real ones, because the server follows them, made by
//! their creators alone: the others' key packages are thrown away. Bodies are random bytes: the server does not look inside.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use qpc_client::wire::{Device, Dialer, Engine, EngineError, Invited, Wire};
use qpc_proto::{
    chain::ChainValue,
    id::{ConversationName, Counter, MessageId, Seq},
    suite::Suite,
    v1::{self, answer::Result as Outcome, request::Method},
};

use crate::{history::Sent, random::Random};

/// Registrations at once.
const TOGETHER: usize = 16;

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

/// Has a server hand out so many key packages of somebody, whose secrets nobody keeps.
///
/// # Errors
/// What went wrong.
pub async fn publish(person: &Person, count: usize) -> anyhow::Result<()> {
    let devices = vec![person.device.clone(); count];
    let key_packages = aside(move || Ok(invited(&devices)?.iter().map(Invited::key_package).collect())).await?;
    let publish = v1::PublishKeyPackages { key_packages, ..Default::default() };
    person.wire.call(Method::PublishKeyPackages(publish)).await.context("publishing key packages")?;
    Ok(())
}

/// Makes a direct conversation, and has the peer accept.
///
/// # Errors
/// What went wrong.
pub async fn direct(creator: &Person, peer: &Person, random: &mut Random) -> anyhow::Result<Room> {
    let (room, _) = asked(creator, peer, random).await?;
    let answer = v1::ContactAnswer::Accept.into();
    let accept = v1::AnswerContact { address: creator.device.address().to_string(), answer };
    peer.wire.call(Method::AnswerContact(accept)).await.context("accepting")?;
    Ok(room)
}

/// Makes a direct conversation, which the peer is asked to accept.
///
/// # Errors
/// What went wrong.
pub async fn asked(creator: &Person, peer: &Person, random: &mut Random) -> anyhow::Result<(Room, Engine)> {
    let address = peer.device.address().to_string();
    create(creator, v1::ConversationKind::Direct, &address, &[peer], random).await
}

/// Makes a group of people who have accepted its creator, and gives what makes its creator's commits.
///
/// # Errors
/// What went wrong.
pub async fn group(creator: &Person, members: &[&Person], random: &mut Random) -> anyhow::Result<(Room, Engine)> {
    create(creator, v1::ConversationKind::Group, "", members, random).await
}

async fn create(
    creator: &Person,
    kind: v1::ConversationKind,
    peer: &str,
    members: &[&Person],
    random: &mut Random,
) -> anyhow::Result<(Room, Engine)> {
    let (request, engine) = creation(creator, kind, peer, members, random).await?;
    let answer = creator.wire.call(Method::CreateConversation(request.clone())).await;
    Ok((made(creator, answer.context("creating a conversation")?, &request)?, engine))
}

/// What an answer says that was made.
///
/// # Errors
/// When it is another one.
pub fn made(creator: &Person, answer: Outcome, request: &v1::CreateConversation) -> anyhow::Result<Room> {
    let name = ConversationName::parse(request.conversation.as_ref())?;
    let id = MessageId::parse(&request.message_id)?;
    let Outcome::CreateConversation(made) = answer else { bail!("an answer of another kind") };
    let commit = Sent { conversation: name.clone(), device: creator.device.id(), counter: Counter(1), id };
    Ok(Room { name, commit, at: Seq(made.seq), chain: ChainValue::parse(&made.chain) })
}

/// The request that makes a conversation, and the creator's side of its group.
///
/// # Errors
/// What went wrong.
pub async fn creation(
    creator: &Person,
    kind: v1::ConversationKind,
    peer: &str,
    members: &[&Person],
    random: &mut Random,
) -> anyhow::Result<(v1::CreateConversation, Engine)> {
    let name = ConversationName { domain: creator.wire.domain().clone(), id: random.conversation_id() };
    let (creator, members, of) = (creator.device.clone(), devices(members), name.clone());
    let (founded, engine) = aside(move || {
        let mut engine = Engine::new(&creator)?;
        let mut founded = engine.found(&of, Suite::Classical, &invited(&members)?)?;
        // Alone, they begin with a commit all the same: every conversation here has a first entry.
        if founded.commit.is_none() {
            founded.commit = Some(engine.commit(&of, &[])?);
        }
        Ok((founded, engine))
    })
    .await?;
    let request = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: kind.into(),
        peer: peer.to_owned(),
        message_id: random.message_id().to_bytes(),
        commit: founded.commit,
        group_info: founded.group_info,
        again: false,
    };
    Ok((request, engine))
}

/// A commit that adds people.
///
/// # Errors
/// What went wrong.
pub async fn adding(
    mut engine: Engine,
    name: &ConversationName,
    members: &[&Person],
) -> anyhow::Result<(v1::CommitBundle, Engine)> {
    let (members, of) = (devices(members), name.clone());
    aside(move || Ok((engine.commit(&of, &invited(&members)?)?, engine))).await
}

fn devices(people: &[&Person]) -> Vec<Device> {
    people.iter().map(|person| person.device.clone()).collect()
}

/// Key packages, whose secrets nobody keeps.
fn invited(devices: &[Device]) -> Result<Vec<Invited>, EngineError> {
    devices.iter().map(|device| Engine::new(device)?.invited(Suite::Classical)).collect()
}

/// Does what keeps a thread busy on one of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, EngineError> + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
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
