//! Copies of conversations that other domains order: followed entry by entry with the chain and the group's own rules, and
//! stored for this domain's people (D11).

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{AccountId, ConversationName, DeviceId, Seq},
    limits::{HANDSHAKE_BODY_MAX, LOG_PAGE_MAX, TREE_MAX},
    v1,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Abroad, ChangeError, Groups,
    public::{Crypto, Followed, Refused},
    shelf::Known,
};
use crate::{
    field::{self, FieldError},
    remote::RemoteError,
    rng,
    store::{
        ConversationKind, CopiedEntry, CopyAppend, CopyChange, CopyError, CopyFrom, CopyPlace, GroupState,
        GroupVersion, Met, StoreFault,
    },
};

/// How long somebody who has changed a conversation elsewhere waits for the copy to show it.
const SHOWN: Duration = Duration::from_secs(5);

/// Why entries were not taken into a copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyRefused {
    /// They are not what a hub hands out.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no copy, and nothing it could begin with.
    #[error("there is no copy of this conversation")]
    Unknown,
    /// They don't follow the copy's last entry, which is given.
    #[error("the copy ends with entry {0}")]
    Gap(Seq),
    /// A chain value is not what the entries make.
    #[error("the chain breaks at entry {0}")]
    Chain(Seq),
    /// An entry breaks a rule of the group.
    #[error("entry {0}: {1}")]
    Rules(Seq, Refused),
    /// The group itself.
    #[error(transparent)]
    Group(#[from] ChangeError),
    /// The tree could not be had.
    #[error(transparent)]
    Tree(#[from] RemoteError),
    /// The store.
    #[error(transparent)]
    Store(#[from] CopyError),
}

impl CopyRefused {
    /// Where the copy ends, if that is all that is wrong.
    #[must_use]
    pub const fn ends_at(&self) -> Option<Seq> {
        match self {
            Self::Unknown => Some(Seq(0)),
            Self::Gap(head) => Some(*head),
            _ => None,
        }
    }
}

impl From<StoreFault> for CopyRefused {
    fn from(fault: StoreFault) -> Self {
        Self::Store(CopyError::Fault(fault))
    }
}

/// What a copy is made of next.
struct Handed {
    name: ConversationName,
    base: Option<v1::PeerBase>,
    entries: Vec<LogEntry>,
    group_info: Bytes,
}

impl Groups {
    /// Takes what a hub hands out of one of its conversations; gives how far the copy has come.
    ///
    /// # Errors
    /// [`CopyRefused`].
    pub async fn copy(&self, hub: &Domain, log: v1::PeerLog) -> Result<Seq, CopyRefused> {
        let abroad = self.abroad.as_ref().ok_or(RemoteError::Unknown)?;
        let mut handed = read(hub, log)?;
        let name = handed.name.clone();
        let _turn = self.follower.turns.take(&name).await;
        let place = match self.follower.shelf.place(&name) {
            Some(place) => Some(place),
            None => self.store.copy_place(&name).await?,
        };
        let first = handed.entries.first().map_or(Seq(0), |entry| entry.seq);
        let last = handed.entries.last().map_or(Seq(0), |entry| entry.seq);
        let head = match place {
            Some(place) if place.head >= last => place.head,
            Some(place) if first <= place.head.next() => {
                handed.entries.retain(|entry| entry.seq > place.head);
                self.go_on(handed, place).await?
            }
            place => match handed.base.take().filter(|base| Seq(base.seq) == first) {
                Some(base) => self.begin(abroad, hub, handed, base).await?,
                None => return Err(place.map_or(CopyRefused::Unknown, |place| CopyRefused::Gap(place.head))),
            },
        };
        self.copied.notify_waiters();
        Ok(head)
    }

    /// Appends to the copy that is there.
    async fn go_on(&self, handed: Handed, place: CopyPlace) -> Result<Seq, CopyRefused> {
        let (name, own) = (handed.name.clone(), Some(self.domain.clone()));
        let (version, steps, group) = self.follow(&name, place, handed.entries, own).await?;
        let from = CopyFrom::Place(place.head, version);
        self.append((name, place.kind), from, (steps, group), handed.group_info).await
    }

    /// Judges entries that follow a place of a log, by its group as it is stored; gives the version that the judgement stands
    /// on. What counts of its people are those of a domain, or all.
    pub(super) async fn follow(
        &self,
        name: &ConversationName,
        place: CopyPlace,
        entries: Vec<LogEntry>,
        own: Option<Domain>,
    ) -> Result<(GroupVersion, Steps, Followed), CopyRefused> {
        let known = match self.follower.shelf.take(name) {
            // Only with what is pushed a copy goes on; the transaction compares both.
            Some(known) if known.place == Some(place) => known,
            known => {
                let stored = self.store.hub_group(name, known.as_ref().map(|known| known.version)).await?;
                self.follower.matching(name, known, stored.ok_or(CopyRefused::Unknown)?).await?
            }
        };
        let (Known { version, mut group, .. }, chain) = (known, place.chain);
        let changes = entries.iter().any(|entry| matches!(entry.kind, EntryKind::Commit | EntryKind::Proposal));
        let follow = move |crypto: Option<&Crypto>| {
            let mut steps = Steps::new(own, version);
            steps.go_on(crypto, &mut group, chain, entries)?;
            Ok::<_, CopyRefused>((steps, group))
        };
        // Of messages only the header is looked at, and that takes no thread of its own.
        let (steps, group) = match changes {
            true => self.follower.judge(move |crypto| follow(Some(crypto))).await??,
            false => follow(None)?,
        };
        Ok((version, steps, group))
    }

    /// Begins a copy with the group that the first entry has made.
    async fn begin(
        &self,
        abroad: &Abroad,
        hub: &Domain,
        handed: Handed,
        base: v1::PeerBase,
    ) -> Result<Seq, CopyRefused> {
        let Handed { name, entries, .. } = handed;
        let kind = match base.kind() {
            v1::ConversationKind::Direct => ConversationKind::Direct,
            v1::ConversationKind::Group => ConversationKind::Group,
            _ => return Err(FieldError::Malformed("kind").into()),
        };
        let chain = ChainValue::parse(&base.chain).ok_or(FieldError::Malformed("chain"))?;
        field::at_most(base.group_info.len(), HANDSHAKE_BODY_MAX, "group_info")?;
        let tree = whole_tree(abroad, hub, &name, &base).await?;
        let (own, group_info, of) = (self.domain.clone(), base.group_info.clone(), name.clone());
        let begun = self.follower.judge(move |crypto| {
            let group = Followed::begin(crypto, &of, &group_info, &tree)
                .map_err(|refused| CopyRefused::Rules(Seq(base.seq), refused))?;
            let version = GroupVersion { epoch: group.epoch(), proposals: 0 };
            let mut steps = Steps::new(Some(own), version);
            steps.begin(&group, chain, entries, Bytes::from(tree))?;
            Ok::<_, CopyRefused>((steps, group))
        });
        let (steps, group) = begun.await??;
        let met = match kind {
            ConversationKind::Direct => Some(self.met(abroad, hub, &group)?),
            _ => None,
        };
        let (after, continues) = (Seq(base.seq.saturating_sub(1)), group.continues().cloned());
        let from = CopyFrom::Base { kind, after, chain, met, continues };
        self.append((name, kind), from, (steps, group), base.group_info).await
    }

    /// The one of the hub's domain, in a conversation of two.
    fn met(&self, abroad: &Abroad, hub: &Domain, group: &Followed) -> Result<Met, CopyRefused> {
        let accounts = group.accounts();
        let mut theirs = accounts.iter().filter(|(address, _)| address.domain == *hub);
        match (theirs.next(), theirs.next(), accounts.len()) {
            (Some((address, (account_key, _))), None, 1..=2) => {
                let id = AccountId::new(self.clock.unix_ms(), rng::bytes(&*abroad.rng));
                Ok(Met { id, address: address.clone(), account_key: *account_key })
            }
            _ => Err(FieldError::Malformed("kind").into()),
        }
    }

    async fn append(
        &self,
        (name, kind): (ConversationName, ConversationKind),
        from: CopyFrom,
        (steps, group): (Steps, Followed),
        group_info: Bytes,
    ) -> Result<Seq, CopyRefused> {
        let (version, entries, change) = steps.done(&group);
        let chain = entries.last().map(|copied| copied.entry.chain);
        let append = CopyAppend { log: name.clone(), from, entries, change, group_info, now_ms: self.clock.unix_ms() };
        // What was not stored has changed the group in memory: it is read anew.
        let head = self.store.copy(append).await?;
        let place = chain.map(|chain| CopyPlace { head, chain, kind });
        self.follower.shelf.put(name, Known { version, group, place });
        Ok(head)
    }

    /// Waits until a copy shows an entry, for so long as somebody waits for it; says whether it does.
    pub(super) async fn shown(&self, name: &ConversationName, seq: Seq) -> bool {
        let deadline = Instant::now().checked_add(SHOWN);
        loop {
            let news = self.copied.notified();
            match self.store.copy_place(name).await {
                Ok(Some(place)) if place.head >= seq => return true,
                Err(_) => return false,
                Ok(_) => {}
            }
            let Some(deadline) = deadline else { return false };
            if timeout_at(deadline, news).await.is_err() {
                return false;
            }
        }
    }

    /// Takes what another domain's inbox holds for a device of here; gives how far it was read.
    ///
    /// # Errors
    /// [`CopyRefused`].
    pub async fn take_notices(&self, peer: &Domain, log: v1::PeerLog) -> Result<Seq, CopyRefused> {
        let inbox = field::conversation(log.log.as_ref())?;
        let device = DeviceId::parse(inbox.id.as_bytes()).map_err(|_| FieldError::Malformed("log"))?;
        field::at_most(log.entries.len(), LOG_PAGE_MAX, "entries")?;
        let mut entries = Vec::with_capacity(log.entries.len());
        for entry in log.entries {
            let entry = LogEntry::parse(entry).map_err(|_| FieldError::Malformed("entries"))?;
            if entry.conversation != inbox || entries.last().is_some_and(|last: &LogEntry| last.seq >= entry.seq) {
                return Err(FieldError::Malformed("entries").into());
            }
            entries.push(entry);
        }
        let (read, passed_over) = self.store.take_notices(peer, device, entries, self.clock.unix_ms()).await?;
        if passed_over > 0 {
            tracing::debug!(%peer, passed_over, "what a peer had for a device was not its to say");
        }
        Ok(read)
    }
}

/// What was pushed, in its form.
fn read(hub: &Domain, log: v1::PeerLog) -> Result<Handed, FieldError> {
    let name = field::conversation(log.log.as_ref())?;
    // Byte by byte: a domain in capitals is another one.
    if log.log.as_ref().is_none_or(|name| name.domain != hub.as_str()) {
        return Err(FieldError::Malformed("log"));
    }
    field::at_most(log.entries.len(), LOG_PAGE_MAX, "entries")?;
    field::at_most(log.group_info.len(), HANDSHAKE_BODY_MAX, "group_info")?;
    let entries = in_a_row(&name, log.entries)?;
    if entries.is_empty() {
        return Err(FieldError::Malformed("entries"));
    }
    Ok(Handed { name, base: log.base, entries, group_info: log.group_info })
}

/// Entries of a log, one after the other.
pub(super) fn in_a_row(name: &ConversationName, wire: Vec<v1::Entry>) -> Result<Vec<LogEntry>, FieldError> {
    let mut entries: Vec<LogEntry> = Vec::with_capacity(wire.len());
    for entry in wire {
        let entry = LogEntry::parse(entry).map_err(|_| FieldError::Malformed("entries"))?;
        let follows = entries.last().is_none_or(|last| last.seq.next() == entry.seq);
        if entry.conversation != *name || entry.seq == Seq(0) || !follows || entry.body_len() > HANDSHAKE_BODY_MAX {
            return Err(FieldError::Malformed("entries"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The tree of a base, the rest of which is asked for where it did not fit.
async fn whole_tree(
    abroad: &Abroad,
    hub: &Domain,
    name: &ConversationName,
    base: &v1::PeerBase,
) -> Result<Vec<u8>, CopyRefused> {
    let size = usize::try_from(base.tree_size).unwrap_or(usize::MAX);
    field::at_most(size, TREE_MAX, "tree")?;
    let mut tree = base.tree.to_vec();
    while tree.len() < size {
        let part = abroad.remote.read_tree(hub, name, tree.len()).await?;
        if part.is_empty() {
            return Err(RemoteError::Unfit.into());
        }
        tree.extend_from_slice(&part);
    }
    if tree.len() == size { Ok(tree) } else { Err(FieldError::Malformed("tree").into()) }
}

/// Entries that were followed, and what they do.
pub(super) struct Steps {
    /// Whose people count; `None` for all.
    own: Option<Domain>,
    version: GroupVersion,
    copied: Vec<CopiedEntry>,
    /// The group's state, once something has changed it.
    state: Option<GroupState>,
    added: Vec<(Address, [u8; 32], Seq)>,
    ended: Vec<(Address, Seq)>,
    trees: Vec<(Seq, Bytes)>,
}

impl Steps {
    fn new(own: Option<Domain>, version: GroupVersion) -> Self {
        let (added, ended, trees) = (Vec::new(), Vec::new(), Vec::new());
        Self { own, version, copied: Vec::new(), state: None, added, ended, trees }
    }

    fn concerns(&self, address: &Address) -> bool {
        self.own.as_ref().is_none_or(|own| address.domain == *own)
    }

    /// The first entry of a copy, which has made the group.
    fn begin(
        &mut self,
        group: &Followed,
        chain: ChainValue,
        entries: Vec<LogEntry>,
        tree: Bytes,
    ) -> Result<(), CopyRefused> {
        let mut entries = entries.into_iter();
        let (Some(entry), None) = (entries.next(), entries.next()) else {
            return Err(FieldError::Malformed("entries").into());
        };
        let seq = entry.seq;
        let made = entry.kind == EntryKind::Commit && entry.epoch.next() == group.epoch();
        let sender = entry.sender.and_then(|device| group.owner(device)).filter(|_| made).cloned();
        let sender = sender.ok_or(CopyRefused::Rules(seq, Refused::Sender))?;
        follows(chain, &entry)?;
        for (address, (key, _)) in group.accounts() {
            if self.concerns(&address) {
                self.added.push((address, key, seq));
            }
        }
        if self.added.is_empty() {
            // Of no concern to anybody here.
            return Err(CopyRefused::Unknown);
        }
        self.state = Some(group.state().map_err(|error| CopyRefused::Rules(seq, error.into()))?);
        self.trees.push((seq, tree));
        self.push(entry, Some(sender));
        Ok(())
    }

    /// Entries after those that a copy has. Without cryptography there is nothing among them that changes the group.
    fn go_on(
        &mut self,
        crypto: Option<&Crypto>,
        group: &mut Followed,
        mut chain: ChainValue,
        entries: Vec<LogEntry>,
    ) -> Result<(), CopyRefused> {
        for entry in entries {
            follows(chain, &entry)?;
            chain = entry.chain;
            let seq = entry.seq;
            let sender = self.step(crypto, group, &entry).map_err(|refused| CopyRefused::Rules(seq, refused))?;
            self.push(entry, sender);
        }
        Ok(())
    }

    /// Follows one entry; gives whose device sent it.
    fn step(
        &mut self,
        crypto: Option<&Crypto>,
        group: &mut Followed,
        entry: &LogEntry,
    ) -> Result<Option<Address>, Refused> {
        let epoch = group.epoch();
        match (entry.kind, &entry.content, crypto) {
            (EntryKind::Message, ..) if entry.epoch == epoch => sender(group, entry).map(Some),
            (EntryKind::Report, ..) if entry.epoch < epoch => sender(group, entry).map(Some),
            (EntryKind::Proposal, EntryContent::Body(body), Some(crypto)) if entry.epoch == epoch => {
                let address = entry.sender.map(|_| sender(group, entry)).transpose()?;
                let proposed = group.follow_proposal(crypto, body, entry.sender)?;
                self.put_state(proposed.state);
                self.version.proposals = self.version.proposals.saturating_add(1);
                let left = proposed.left.filter(|address| self.concerns(address));
                self.ended.extend(left.map(|address| (address, entry.seq)));
                Ok(address)
            }
            (EntryKind::Commit, EntryContent::Body(body), Some(crypto)) if entry.epoch == epoch => {
                let device = entry.sender.ok_or(Refused::Sender)?;
                let (committer, change) = group.follow_commit(crypto, body, device)?;
                self.version = GroupVersion { epoch: group.epoch(), proposals: 0 };
                self.put_state(change.state);
                let own: BTreeMap<_, _> = change
                    .added
                    .into_iter()
                    .filter(|device| self.concerns(&device.address))
                    .map(|device| (device.address, device.account_key))
                    .collect();
                if !own.is_empty() {
                    // Those who are welcomed without it ask for it.
                    self.trees.push((entry.seq, group.tree()?.into()));
                }
                self.added.extend(own.into_iter().map(|(address, key)| (address, key, entry.seq)));
                let gone: Vec<_> = change.removed.into_iter().filter(|address| self.concerns(address)).collect();
                self.ended.extend(gone.into_iter().map(|address| (address, entry.seq)));
                Ok(Some(committer))
            }
            _ => Err(Refused::Malformed("entries")),
        }
    }

    /// Whose tree is unchanged keeps the one that it has.
    fn put_state(&mut self, state: GroupState) {
        let before = self.state.take().and_then(|before| before.tree);
        self.state = Some(GroupState { tree: state.tree.or(before), core: state.core });
    }

    fn push(&mut self, entry: LogEntry, sender: Option<Address>) {
        let own = sender.as_ref().is_some_and(|sender| Some(&sender.domain) == self.own.as_ref());
        self.copied.push(CopiedEntry { entry, sender, own });
    }

    /// What is stored of all this, with the group as it is now.
    pub(super) fn done(self, group: &Followed) -> (GroupVersion, Vec<CopiedEntry>, Option<CopyChange>) {
        let Self { version, copied, state, added, ended, trees, .. } = self;
        let change = state.map(|state| {
            let members = group.accounts().into_iter().map(|(address, (_, role))| (address, role)).collect();
            CopyChange { version, state, added, ended, members, trees }
        });
        (version, copied, change)
    }
}

/// Whose device has sent an entry: one that is in the group.
fn sender(group: &Followed, entry: &LogEntry) -> Result<Address, Refused> {
    entry.sender.and_then(|device| group.owner(device)).cloned().ok_or(Refused::Sender)
}

/// Does an entry carry the chain on?
fn follows(chain: ChainValue, entry: &LogEntry) -> Result<(), CopyRefused> {
    if chain.after(&entry.header()) == entry.chain { Ok(()) } else { Err(CopyRefused::Chain(entry.seq)) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use qpc_proto::id::ConversationId;

    use super::*;
    use crate::{group::guests::Guests, remote::scripted::Scripted, rng::SystemRng, turns::Turns};

    /// The tree that comes of a first part, those that are asked for, and a size; and from where they were asked for.
    fn whole(first: &'static str, rest: &[&'static str], size: u64) -> (Result<Vec<u8>, String>, Vec<usize>) {
        let left: Vec<_> = rest.iter().rev().map(|part| Bytes::from_static(part.as_bytes())).collect();
        let asked = Arc::<Mutex<Vec<usize>>>::default();
        let (left, offsets) = (Mutex::new(left), Arc::clone(&asked));
        let tree = move |offset| {
            offsets.lock().unwrap().push(offset);
            left.lock().unwrap().pop().ok_or(RemoteError::Unreachable)
        };
        let hub = Arc::new(Scripted { tree: Box::new(tree), ..Scripted::default() });
        let (turns, guests) = (Turns::default(), Guests::default());
        let abroad = Abroad { remote: hub, rng: Arc::new(SystemRng), waiting: (0, 0), turns, guests };
        let domain = Domain::parse("a.example").unwrap();
        let name = ConversationName { domain: domain.clone(), id: ConversationId::new(1, [1; 10]) };
        let base = v1::PeerBase { tree: first.into(), tree_size: size, ..v1::PeerBase::default() };
        let tree = whole_tree(&abroad, &domain, &name, &base).now_or_never().unwrap();
        let asked = asked.lock().unwrap().clone();
        (tree.map_err(|refused| refused.to_string()), asked)
    }

    #[test]
    fn a_tree_that_did_not_fit_is_asked_for_until_it_is_whole() {
        assert_eq!(whole("tree", &[], 4), (Ok(b"tree".to_vec()), vec![]));
        assert_eq!(whole("a l", &["ong ", "tree"], 11), (Ok(b"a long tree".to_vec()), vec![3, 7]));
        assert_eq!(whole("", &["tree"], 4), (Ok(b"tree".to_vec()), vec![0]));
        for (first, rest, size, why) in [
            ("tree", &[][..], 3, "more than it says"),
            ("tr", &["eeee"], 4, "more than it says, later"),
            ("tr", &[""], 4, "no more comes"),
            ("tr", &[], 4, "the hub has gone"),
        ] {
            assert!(whole(first, rest, size).0.is_err(), "{why}");
        }
        let most = u64::try_from(TREE_MAX).unwrap();
        assert_eq!(whole("", &[], most + 1), (Err("tree is too long".into()), vec![]));
        assert_eq!(whole("", &[], most).1, [0], "at the limit it is asked for");
    }
}
