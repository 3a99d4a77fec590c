//! Makes the accounts and conversations that a layout lacks, by the protocol.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use qpc_client::wire::{Device, Dialer, Wire, WireError};
use qpc_proto::{
    error::Code,
    id::ConversationName,
    limits::MEMBERS_PER_COMMIT_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::{sync::OnceCell, time::sleep};

use super::{
    manifest::{Manifest, Room, User},
    password,
};
use crate::{
    crowd::{self, Person},
    layout::{Layout, ordered},
    progress::Progress,
    random::{Random, unix_ms},
    report::note,
};

/// Registrations and conversations that are made at once.
const TOGETHER: usize = 32;
/// Attempts at what a server refuses for a while, and the pause between two.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_secs(5);

/// See the module's text.
pub(super) struct Builder<'b> {
    dialer: &'b Dialer,
    token: &'b str,
    manifest: &'b mut Manifest,
    people: Vec<OnceCell<Person>>,
    /// What ids and bodies begin from.
    random: Mutex<Random>,
    progress: Progress,
}

impl<'b> Builder<'b> {
    pub(super) fn new(dialer: &'b Dialer, token: &'b str, manifest: &'b mut Manifest) -> Self {
        let random = Mutex::new(Random::new(unix_ms()));
        Self { dialer, token, manifest, people: Vec::new(), random, progress: Progress::default() }
    }

    /// A stream that no other conversation has.
    fn random(&self) -> Random {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    pub(super) async fn build(mut self, layout: &Layout, refresh: bool) -> anyhow::Result<()> {
        self.register(layout.users).await.context("registering")?;
        if !self.manifest.layouts.contains_key(&layout.name) {
            let directs: BTreeSet<_> = layout.directs.iter().map(|(one, other)| ordered(*one, *other)).collect();
            let wanted = directs.iter().copied().chain(layout.contacts()).collect();
            self.directs(&wanted).await.context("direct conversations")?;
            let groups = self.groups(&layout.groups).await.context("groups")?;
            let at = self.manifest.directs();
            let used = directs.iter().filter_map(|pair| at.get(pair).copied()).chain(groups).collect();
            self.manifest.layouts.insert(layout.name.clone(), used);
        }
        if refresh {
            self.refresh(layout.users).await.context("asking where conversations stand")?;
        }
        Ok(())
    }

    async fn register(&mut self, users: u32) -> anyhow::Result<()> {
        let there = u32::try_from(self.manifest.users.len())?;
        let (dialer, token, prefix) = (self.dialer, self.token, self.manifest.prefix.clone());
        let names = (there..users).map(|number| format!("{prefix}{number:06}"));
        let mut made = stream::iter(names)
            .map(|name| async move {
                let wire = dialer.connect().await?;
                let device = wire.register(&name, &password(&name), token).await?;
                wire.close();
                anyhow::Ok((name, device))
            })
            .buffered(TOGETHER);
        while let Some((name, device)) = made.try_next().await? {
            self.manifest.users.push(User { name, device: hex::encode(device.to_secret_bytes().as_slice()) });
            if self.manifest.users.len().is_multiple_of(100) {
                self.progress.show(&format!("registered {} of {users}", self.manifest.users.len()));
            }
        }
        self.people.resize_with(self.manifest.users.len(), OnceCell::new);
        Ok(())
    }

    /// Somebody, connected.
    async fn person(&self, user: u32) -> anyhow::Result<&Person> {
        let at = usize::try_from(user)?;
        let (cell, kept) = self.people.get(at).zip(self.manifest.users.get(at)).context("no such user")?;
        cell.get_or_try_init(|| async {
            let device = Device::from_secret_bytes(&hex::decode(&kept.device)?, self.dialer.server())?;
            let wire = self.dialer.connect().await?;
            wire.authenticate(&device).await?;
            Ok(Person { device, wire })
        })
        .await
    }

    async fn directs(&mut self, wanted: &BTreeSet<(u32, u32)>) -> anyhow::Result<()> {
        let there = self.manifest.directs();
        let missing: Vec<_> = wanted.iter().copied().filter(|pair| !there.contains_key(pair)).collect();
        let total = missing.len();
        let mut made = Vec::new();
        {
            let this = &*self;
            let mut making = stream::iter(missing).map(|pair| this.direct(pair)).buffered(TOGETHER);
            let mut progress = Progress::default();
            while let Some(room) = making.try_next().await? {
                made.push(room);
                if made.len().is_multiple_of(100) {
                    progress.show(&format!("direct conversations: {} of {total}", made.len()));
                }
            }
        }
        self.keep(made);
        Ok(())
    }

    async fn direct(&self, (one, other): (u32, u32)) -> anyhow::Result<(Room, String)> {
        let (creator, peer) = (self.person(one).await?, self.person(other).await?);
        let mut random = self.random();
        let address = peer.device.address().to_string();
        let (request, _) =
            crowd::creation(creator, v1::ConversationKind::Direct, &address, &[peer], &mut random).await?;
        let name = request.conversation.clone().context("a name")?;
        let seq = match patiently(&creator.wire, Method::CreateConversation(request)).await? {
            Outcome::CreateConversation(made) => made.seq,
            _ => bail!("an answer of another kind"),
        };
        let answer = v1::ContactAnswer::Accept.into();
        let accept = v1::AnswerContact { address: creator.device.address().to_string(), answer };
        patiently(&peer.wire, Method::AnswerContact(accept)).await?;
        let id = hex::encode(&name.id);
        let counters = vec![1, 0];
        Ok((Room { id, direct: true, members: vec![one, other], epoch: 1, seq, counters }, name.domain))
    }

    async fn groups(&mut self, wanted: &[Vec<u32>]) -> anyhow::Result<Vec<usize>> {
        let first = self.manifest.rooms.len();
        let mut made = Vec::new();
        {
            let this = &*self;
            let mut making = stream::iter(wanted).map(|members| this.group(members)).buffered(TOGETHER);
            let mut progress = Progress::default();
            while let Some(room) = making.try_next().await? {
                made.push(room);
                progress.show(&format!("groups: {} of {}", made.len(), wanted.len()));
            }
        }
        self.keep(made);
        Ok((first..self.manifest.rooms.len()).collect())
    }

    async fn group(&self, members: &[u32]) -> anyhow::Result<(Room, String)> {
        let (creator, others) = members.split_first().context("a group of nobody")?;
        let creator = self.person(*creator).await?;
        let mut people = Vec::new();
        for other in others {
            people.push(self.person(*other).await?);
        }
        let mut random = self.random();
        let (first, rest) = people.split_at(people.len().min(MEMBERS_PER_COMMIT_MAX));
        let (request, mut engine) =
            crowd::creation(creator, v1::ConversationKind::Group, "", first, &mut random).await?;
        let name = request.conversation.clone().context("a name")?;
        let group = ConversationName::parse(Some(&name))?;
        let mut seq = match patiently(&creator.wire, Method::CreateConversation(request)).await? {
            Outcome::CreateConversation(made) => made.seq,
            _ => bail!("an answer of another kind"),
        };
        let (mut epoch, mut counter) = (1_u64, 1_u64);
        for more in rest.chunks(MEMBERS_PER_COMMIT_MAX) {
            counter = counter.saturating_add(1);
            let (commit, used) = crowd::adding(engine, &group, more).await?;
            engine = used;
            let request = v1::SubmitCommit {
                conversation: Some(name.clone()),
                message_id: random.message_id().to_bytes(),
                counter,
                commit: Some(commit),
            };
            seq = match patiently(&creator.wire, Method::SubmitCommit(request)).await? {
                Outcome::SubmitCommit(made) => made.seq,
                _ => bail!("an answer of another kind"),
            };
            epoch = epoch.saturating_add(1);
        }
        let mut counters = vec![0; members.len()];
        if let Some(own) = counters.first_mut() {
            *own = counter;
        }
        let id = hex::encode(&name.id);
        Ok((Room { id, direct: false, members: members.to_vec(), epoch, seq, counters }, name.domain))
    }

    fn keep(&mut self, made: Vec<(Room, String)>) {
        for (room, domain) in made {
            self.manifest.domain = domain;
            self.manifest.rooms.push(room);
        }
    }

    /// Asks a server that others have used where its conversations stand.
    async fn refresh(&mut self, users: u32) -> anyhow::Result<()> {
        let by_id: std::collections::HashMap<String, usize> =
            self.manifest.rooms.iter().enumerate().map(|(at, room)| (room.id.clone(), at)).collect();
        for user in 0..users {
            let wire = self.person(user).await?.wire.clone();
            let mut after = Bytes::new();
            loop {
                let ask = v1::ListConversations { after_id: after.clone() };
                let page = match patiently(&wire, Method::ListConversations(ask)).await? {
                    Outcome::ListConversations(page) => page,
                    _ => bail!("an answer of another kind"),
                };
                for found in &page.conversations {
                    let Some(name) = &found.conversation else { continue };
                    after = name.id.clone();
                    let room = by_id.get(&hex::encode(&name.id)).and_then(|at| self.manifest.rooms.get_mut(*at));
                    let Some(room) = room else { continue };
                    (room.epoch, room.seq) = (found.epoch, found.head_seq);
                    let place = room.members.iter().position(|member| *member == user);
                    if let Some(counter) = place.and_then(|place| room.counters.get_mut(place)) {
                        *counter = found.counter;
                    }
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A call that waits where it is to wait, and is made again where its outcome is unknown.
async fn patiently(wire: &Wire, request: Method) -> anyhow::Result<Outcome> {
    for _ in 0..ATTEMPTS {
        match wire.call(request.clone()).await {
            Err(WireError::Refused { code, .. }) if code == Code::RateLimited as u32 => sleep(PAUSE).await,
            // Asked again, it gives the answer that did not come.
            Err(WireError::Unknown(why)) => note(&format!("asked again: {why}")),
            outcome => return Ok(outcome?),
        }
    }
    bail!("refused for {} seconds", PAUSE.as_secs().saturating_mul(ATTEMPTS.into()))
}
