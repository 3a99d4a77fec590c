//! Logs on their way to the domains that read them: one more reader with one cursor each (D11).
//!
//! For each peer of the configuration a task hands over what the peer lacks and raises its place with each answer. A wake-up
//! says what is new; messages that follow the peer's place go as they were told, all else is read from the store. What no
//! wake-up has told of a search finds, which is made on each connection and from time to time. A log that the peer does not
//! take is set aside for a while, and the others go on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use lru::LruCache;
use prost::Message;
use qpc_proto::{
    address::Domain,
    chain::{EntryContent, EntryKind, LogEntry},
    error::Code,
    id::{ConversationName, Seq},
    limits::{FRAME_MAX, LOG_PAGE_BYTES_MAX, LOG_PAGE_MAX},
    v1::{self, WelcomeNotice, peer_answer, peer_request},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Hall, House,
    circle::Reach,
    news::{NEWS_MAX, Run},
    restored::Heard,
};
use crate::{
    field,
    group::Groups,
    remote::RemoteError,
    session::WireError,
    store::{CopyBase, FeedPage, LogPlace, ReadError, Store, StoreFault},
};

/// Logs in one request.
const LOGS_MAX: usize = 64;
/// Bytes of entries in one request, after which it takes no more logs.
const BYTES_MAX: usize = 512 * 1024;
/// Bytes of a request beside what is counted: names, ids and chain values of a page of entries, and of so many logs.
const HEADERS: usize = 64 * 1024;
/// Logs of which it is known in memory how far the peer has come.
const PLACES_MAX: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();
/// How long a peer's place among messages may be in memory alone. What is forgotten with it the peer is handed once more.
const NOTED_AFTER: Duration = Duration::from_secs(1);
/// Logs whose places may be in memory alone.
const UNNOTED_MAX: usize = 1_024;
/// Logs that one search looks at in one go.
const SEARCH: usize = 256;
/// How often the store is searched for what no wake-up has told of.
const EVERY: Duration = Duration::from_secs(30);
/// The shortest time for which a log is set aside that the peer does not take; it doubles each time.
const ASIDE_MIN: Duration = Duration::from_secs(1);
/// The longest.
const ASIDE_MAX: Duration = Duration::from_secs(300);

/// Why a peer was not handed what it lacks.
pub(super) enum Stopped {
    Remote(RemoteError),
    Store(StoreFault),
}

impl From<RemoteError> for Stopped {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

impl From<StoreFault> for Stopped {
    fn from(fault: StoreFault) -> Self {
        Self::Store(fault)
    }
}

/// Hands a peer what it lacks until the server stops or it is a peer no more.
pub(super) async fn keep_pushing((hall, house, reach): (Arc<Hall>, House, Arc<Reach>)) {
    let peer = &reach.peer.domain;
    let mut pusher = Pusher {
        hall: &hall,
        store: &*house.store,
        groups: &house.groups,
        reach: &reach,
        heard: Heard::default(),
        restoring: false,
        peer,
        aside: BTreeMap::new(),
        gone_back: BTreeSet::new(),
        told: BTreeMap::new(),
        places: LruCache::new(PLACES_MAX),
        unnoted: Unnoted::default(),
    };
    push_until_stop(&mut pusher, &reach).await;
    if let Err(fault) = pusher.note_places().await {
        tracing::debug!(%peer, %fault, "how far a peer has come is found out anew");
    }
}

async fn push_until_stop(pusher: &mut Pusher<'_>, reach: &Reach) {
    let (hall, peer, stopping) = (pusher.hall, pusher.peer, &reach.stop);
    let mut searched: Option<Instant> = None;
    loop {
        let due = searched.map_or(Duration::ZERO, |at| EVERY.saturating_sub(at.elapsed()));
        let noted = pusher.unnoted.since.and_then(|since| since.checked_add(NOTED_AFTER));
        // All branches only wait.
        tokio::select! {
            () = stopping.cancelled() => return,
            () = reach.news.bell.notified() => {}
            () = sleep(due) => reach.news.of_all(),
            () = sleep_until(noted.unwrap_or_else(Instant::now)), if noted.is_some() => {}
        }
        if noted.is_some_and(|noted| noted <= Instant::now())
            && let Err(fault) = pusher.note_places().await
        {
            tracing::warn!(%peer, %fault, "how far a peer has come could not be noted");
        }
        if !hall.is_connected(peer) {
            // The next connection begins with a search.
            reach.news.forget();
            searched = Some(Instant::now());
            if let Ok(behind) = pusher.behind().await {
                hall.table.behind(peer, behind);
            }
            // What comes meanwhile need not be counted one by one.
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(hall.limits.retry_min) => continue,
            }
        }
        let told = reach.news.take();
        let handed = if told.all {
            searched = Some(Instant::now());
            pusher.search().await
        } else {
            let logs = told.logs.keys().cloned().collect();
            pusher.told = told.logs;
            pusher.hand_round(logs).await
        };
        pusher.told.clear();
        if handed.is_ok() {
            let aside = pusher.aside.values().filter(|(until, _)| *until > Instant::now()).count();
            hall.table.behind(peer, u64::try_from(aside).unwrap_or(u64::MAX));
        }
        if let Err(stopped) = handed {
            match stopped {
                Stopped::Remote(error) => tracing::debug!(%peer, %error, "what a peer lacks could not be handed over"),
                Stopped::Store(fault) => tracing::warn!(%peer, %fault, "what a peer lacks could not be read"),
            }
            // Whatever it was about is found again.
            reach.news.of_all();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(hall.limits.retry_min) => {}
            }
        }
    }
}

pub(super) struct Pusher<'p> {
    pub(super) hall: &'p Hall,
    pub(super) store: &'p dyn Store,
    pub(super) groups: &'p Groups,
    pub(super) reach: &'p Reach,
    pub(super) heard: Heard,
    /// Whether this server was restored, and may be given something back still.
    pub(super) restoring: bool,
    pub(super) peer: &'p Domain,
    /// Logs that the peer does not take, until when, and for how long next time.
    aside: BTreeMap<ConversationName, (Instant, Duration)>,
    /// Logs in which it was gone back to where the peer's copy ends: once in each search, so that no peer can have the same
    /// entries all the time.
    gone_back: BTreeSet<ConversationName>,
    /// What wake-ups have told, until it is handed over.
    told: BTreeMap<ConversationName, Run>,
    /// How far it has come in logs of late.
    places: LruCache<ConversationName, Seq>,
    unnoted: Unnoted,
}

/// Places of a peer that the store does not know yet.
#[derive(Default)]
struct Unnoted {
    places: BTreeMap<ConversationName, Seq>,
    since: Option<Instant>,
}

impl Pusher<'_> {
    /// Of how many logs the peer lacks something, as far as a wake-up would name them.
    async fn behind(&mut self) -> Result<u64, StoreFault> {
        self.note_places().await?;
        let (mut after, mut logs) = (Some(LogPlace::default()), 0_usize);
        while let Some(place) = after.filter(|_| logs < NEWS_MAX) {
            let (behind, next) = self.store.feed(self.peer, place, SEARCH).await?;
            logs = logs.saturating_add(behind.len());
            after = next;
        }
        Ok(u64::try_from(logs).unwrap_or(u64::MAX))
    }

    /// Everything that the peer lacks.
    async fn search(&mut self) -> Result<(), Stopped> {
        self.gone_back.clear();
        self.hear_restore().await?;
        self.take_back().await?;
        self.note_places().await?;
        let mut after = Some(LogPlace::default());
        while let Some(place) = after {
            let (behind, next) = self.store.feed(self.peer, place, SEARCH).await?;
            self.round(behind.into_iter().map(|feed| feed.log).collect(), true).await?;
            after = next;
        }
        Ok(())
    }

    /// Logs that wake-ups have named. While a restore is under way, some may wait for what the peer has since.
    async fn hand_round(&mut self, logs: Vec<ConversationName>) -> Result<(), Stopped> {
        if self.restoring {
            self.take_back().await?;
        }
        self.round(logs, false).await
    }

    /// These logs: conversations first. Of inboxes some are read, then the conversations handed over that they have welcomes
    /// into, then they themselves: so a welcome comes after the conversation that it is for.
    async fn round(&mut self, logs: Vec<ConversationName>, searching: bool) -> Result<(), Stopped> {
        let (inboxes, logs): (VecDeque<_>, VecDeque<_>) = logs.into_iter().partition(|log| log.domain == *self.peer);
        self.conversations(logs, searching).await?;
        let mut inboxes = inboxes;
        while !inboxes.is_empty() {
            let some = self.some(&mut inboxes, |_| false).await?;
            let welcomed = some.iter().flat_map(|(_, page)| welcomed(page)).collect();
            self.conversations(welcomed, searching).await?;
            inboxes.extend(self.hand_over(some).await?);
        }
        Ok(())
    }

    async fn conversations(&mut self, mut logs: VecDeque<ConversationName>, searching: bool) -> Result<(), Stopped> {
        // What was read in part is read on with the group info that its last part has to bring.
        let mut in_part: BTreeSet<ConversationName> = BTreeSet::new();
        while !logs.is_empty() {
            let some = self.some(&mut logs, |log| searching || in_part.contains(log)).await?;
            let more = self.hand_over(some).await?;
            in_part.extend(more.iter().cloned());
            logs.extend(more);
        }
        Ok(())
    }

    /// Takes as many logs as go into one request, and reads what the peer lacks of each.
    async fn some(
        &mut self,
        logs: &mut VecDeque<ConversationName>,
        with_info: impl Fn(&ConversationName) -> bool,
    ) -> Result<Vec<(ConversationName, FeedPage)>, Stopped> {
        let (mut some, mut bytes) = (Vec::new(), 0_usize);
        while some.len() < LOGS_MAX && bytes < BYTES_MAX {
            let Some(log) = logs.pop_front() else { break };
            let Some(page) = self.page(&log, with_info(&log)).await? else { continue };
            let size = size(&page);
            if size > FRAME_MAX.saturating_sub(HEADERS) {
                // No request has room for it, and the others are not to wait for that.
                self.set_aside(log, Code::TooLarge as u32);
                continue;
            }
            if bytes > 0 && bytes.saturating_add(size) > BYTES_MAX {
                logs.push_front(log);
                break;
            }
            bytes = bytes.saturating_add(size);
            some.push((log, page));
        }
        Ok(some)
    }

    /// What a log has that the peer lacks, unless the log is set aside.
    async fn page(&mut self, log: &ConversationName, with_info: bool) -> Result<Option<FeedPage>, Stopped> {
        let told = self.told.remove(log);
        if self.aside.get(log).is_some_and(|(until, _)| *until > Instant::now()) {
            return Ok(None);
        }
        if let Some((run, after)) = told.filter(|_| !with_info).zip(self.places.get(log).copied())
            && let Some(page) = as_told(&run, after)
        {
            return Ok(Some(page).filter(|page| !page.entries.is_empty()));
        }
        if self.unnoted.places.contains_key(log) {
            // The store reads from the place that it knows.
            self.note_places().await?;
        }
        match self.store.feed_page(self.peer, log, with_info, (LOG_PAGE_MAX, LOG_PAGE_BYTES_MAX)).await {
            Ok(page) => Ok(Some(page).filter(|page| !page.entries.is_empty())),
            Err(ReadError::Fault(fault)) => Err(fault.into()),
            // Nobody of the peer's reads it any more.
            Err(_) => Ok(None),
        }
    }

    /// Pushes pages and raises the peer's places; gives the logs of which it lacks more.
    async fn hand_over(&mut self, pages: Vec<(ConversationName, FeedPage)>) -> Result<Vec<ConversationName>, Stopped> {
        if pages.is_empty() {
            return Ok(Vec::new());
        }
        let logs = pages.iter().map(|(log, page)| to_wire(log, page)).collect();
        let pushed = self.hall.push(self.peer, v1::PeerPush { logs }).await?;
        let (mut at_once, mut more) = (false, Vec::new());
        for ((log, page), pushed) in pages.into_iter().zip(pushed) {
            let last = page.entries.last().map_or(page.after, |entry| entry.seq);
            let seq = Seq(pushed.seq).min(last);
            if seq > page.after {
                self.unnoted.since.get_or_insert_with(Instant::now);
                self.unnoted.places.insert(log.clone(), seq);
                at_once |= !is_of_messages(&page);
            }
            if pushed.code != 0 || seq <= page.after {
                self.places.pop(&log);
                if self.goes_back(&log, pushed.ends_at).await? {
                    more.push(log);
                } else {
                    self.set_aside(log, pushed.code);
                }
            } else {
                self.places.put(log.clone(), seq);
                self.aside.remove(&log);
                if page.head > seq {
                    more.push(log);
                }
            }
        }
        if at_once || self.unnoted.places.len() >= UNNOTED_MAX {
            self.note_places().await?;
        }
        Ok(more)
    }

    /// Goes back to where the peer says that its copy ends, if there is a way on from there.
    async fn goes_back(&mut self, log: &ConversationName, ends_at: Option<u64>) -> Result<bool, StoreFault> {
        let Some(ends_at) = ends_at.filter(|_| !self.gone_back.contains(log)) else { return Ok(false) };
        if self.gone_back.len() >= NEWS_MAX {
            return Ok(false);
        }
        self.unnoted.places.remove(log);
        let goes_on = self.store.follower_lacks(self.peer, log, Seq(ends_at)).await?;
        if goes_on {
            tracing::debug!(peer = %self.peer, %log, ends_at, "a copy ends before what it was known to have");
            self.gone_back.insert(log.clone());
        }
        Ok(goes_on)
    }

    /// What was known of the peer's places is in doubt.
    pub(super) fn forget_places(&mut self) {
        self.unnoted = Unnoted::default();
        self.places.clear();
        self.aside.clear();
    }

    /// Notes in the store how far the peer has come.
    async fn note_places(&mut self) -> Result<(), StoreFault> {
        let Unnoted { places, .. } = std::mem::take(&mut self.unnoted);
        if places.is_empty() {
            return Ok(());
        }
        self.store.followers_have(self.peer, places.into_iter().collect()).await
    }

    fn set_aside(&mut self, log: ConversationName, code: u32) {
        let now = Instant::now();
        let pause = self.aside.get(&log).map_or(ASIDE_MIN, |(_, next)| *next);
        let code = Code::from_wire(code).map_or("none", Code::name);
        tracing::warn!(peer = %self.peer, code, ?pause, "a peer does not take a log; it is set aside for now");
        tracing::debug!(peer = %self.peer, %log, "which log that is");
        self.hall.metrics.set_aside(self.peer.as_str());
        let until = now.checked_add(pause).unwrap_or(now);
        if self.aside.len() >= NEWS_MAX {
            self.aside.retain(|_, (until, _)| *until > now);
        }
        self.aside.insert(log, (until, pause.saturating_mul(2).min(ASIDE_MAX)));
    }
}

impl Hall {
    async fn push(&self, domain: &Domain, push: v1::PeerPush) -> Result<Vec<v1::PeerPushed>, RemoteError> {
        let asked = push.logs.len();
        let read = |answer| match answer {
            peer_answer::Result::Push(answer) if answer.logs.len() == asked => Some(answer.logs),
            _ => None,
        };
        self.ask(domain, peer_request::Method::Push(push), read).await
    }
}

/// Conversations that welcomes in an inbox are for.
fn welcomed(page: &FeedPage) -> impl Iterator<Item = ConversationName> + '_ {
    page.entries.iter().filter_map(|entry| match &entry.content {
        EntryContent::Body(body) if entry.kind == EntryKind::Welcome => {
            let welcome = WelcomeNotice::decode(body.clone()).ok()?;
            ConversationName::parse(welcome.conversation.as_ref()).ok()
        }
        _ => None,
    })
}

/// Messages as they were told, where they go on from what the peer has; none of them, where it has all.
fn as_told(run: &Run, after: Seq) -> Option<FeedPage> {
    let head = run.last()?.seq;
    let entries: Vec<_> = run.iter().filter(|entry| entry.seq > after).map(|entry| LogEntry::clone(entry)).collect();
    let follows = entries.first().is_none_or(|first| after.next() == first.seq);
    let fits = entries.iter().map(LogEntry::body_len).sum::<usize>() <= LOG_PAGE_BYTES_MAX;
    (follows && fits).then(|| FeedPage { base: None, entries, after, head, group_info: bytes::Bytes::new() })
}

/// Whether only messages are in it: no group, nobody who comes or goes, nothing of an inbox.
fn is_of_messages(page: &FeedPage) -> bool {
    page.base.is_none() && page.entries.iter().all(|entry| matches!(entry.kind, EntryKind::Message | EntryKind::Report))
}

/// About so many bytes of a request.
fn size(page: &FeedPage) -> usize {
    let base = page.base.as_ref().map_or(0, |base| base.group_info.len().saturating_add(base.tree.len()));
    let bodies = page.entries.iter().map(LogEntry::body_len).sum::<usize>();
    base.saturating_add(bodies).saturating_add(page.group_info.len())
}

fn to_wire(log: &ConversationName, page: &FeedPage) -> v1::PeerLog {
    let base = |base: &CopyBase| v1::PeerBase {
        kind: base.kind.to_wire().into(),
        seq: base.seq.0,
        chain: base.chain.to_bytes(),
        group_info: base.group_info.clone(),
        tree: base.tree.clone(),
        tree_size: base.tree_size,
    };
    v1::PeerLog {
        log: Some(log.to_wire()),
        base: page.base.as_ref().map(base),
        entries: page.entries.iter().map(LogEntry::to_wire).collect(),
        group_info: page.group_info.clone(),
    }
}

/// Takes what a hub pushes: each log by itself, so that one that breaks a rule costs the others nothing.
pub(super) async fn answer(
    house: &House,
    (own, peer): (&Domain, &Domain),
    push: v1::PeerPush,
) -> Result<peer_answer::Result, WireError> {
    field::at_most(push.logs.len(), LOGS_MAX, "logs")?;
    let names: BTreeSet<_> = push.logs.iter().map(|log| log.log.clone().map(|name| (name.domain, name.id))).collect();
    if names.len() != push.logs.len() {
        return Err(field::FieldError::Malformed("logs").into());
    }
    let logs = join_all(push.logs.into_iter().map(|log| one(house, (own, peer), log))).await;
    Ok(peer_answer::Result::Push(v1::PeerPushAnswer { logs }))
}

async fn one(house: &House, (own, peer): (&Domain, &Domain), log: v1::PeerLog) -> v1::PeerPushed {
    let domain = log.log.as_ref().map(|name| name.domain.clone()).unwrap_or_default();
    let taken = if domain == own.as_str() {
        house.groups.take_notices(peer, log).await
    } else {
        // Of any other domain than the peer's nothing is taken.
        house.groups.copy(peer, log).await
    };
    match taken {
        Ok(seq) => v1::PeerPushed { seq: seq.0, ..v1::PeerPushed::default() },
        Err(refused) => {
            let ends_at = refused.ends_at().map(|seq| seq.0);
            tracing::debug!(%peer, %refused, "what a peer pushes is not taken");
            let code = WireError::from(refused).code();
            tracing::warn!(%peer, %code, "what a peer pushes is not taken");
            v1::PeerPushed { seq: 0, code: code as u32, ends_at }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::news::tests::entry, *};

    fn run(seqs: &[u64], length: usize) -> Run {
        seqs.iter().map(|seq| entry(1, *seq, EntryKind::Message, length)).collect()
    }

    /// The places of what is handed over as it was told, unless the store is read.
    fn handed(run: &Run, after: u64) -> Option<Vec<u64>> {
        let page = as_told(run, Seq(after))?;
        assert_eq!((page.after, page.head), (Seq(after), run.last().unwrap().seq));
        assert!(is_of_messages(&page) && page.group_info.is_empty());
        Some(page.entries.iter().map(|entry| entry.seq.0).collect())
    }

    #[test]
    fn what_was_told_is_handed_over_where_it_goes_on_from_what_a_peer_has() {
        let told = run(&[5, 6, 7], 10);
        assert_eq!(handed(&told, 4), Some(vec![5, 6, 7]));
        assert_eq!(handed(&told, 6), Some(vec![7]), "the store has given some of it since");
        assert_eq!(handed(&told, 7), Some(vec![]), "and all of it");
        assert_eq!(handed(&told, 3), None, "something is missing");
        assert_eq!(handed(&run(&[], 0), 3), None);
        assert!(as_told(&run(&[1, 2], LOG_PAGE_BYTES_MAX / 2), Seq(0)).is_some());
        assert!(as_told(&run(&[1, 2], LOG_PAGE_BYTES_MAX / 2 + 1), Seq(0)).is_none(), "more than a page");
    }

    #[test]
    fn a_place_may_wait_to_be_noted_where_nothing_begins_or_ends() {
        let page = |kinds: &[EntryKind], base: bool| FeedPage {
            base: base.then(|| CopyBase {
                kind: crate::store::ConversationKind::Group,
                seq: Seq(1),
                chain: qpc_proto::chain::ChainValue([0; 32]),
                group_info: bytes::Bytes::new(),
                tree: bytes::Bytes::new(),
                tree_size: 0,
            }),
            entries: kinds.iter().map(|kind| LogEntry::clone(&entry(1, 1, *kind, 1))).collect(),
            after: Seq(0),
            head: Seq(1),
            group_info: bytes::Bytes::new(),
        };
        use EntryKind::{Commit, Message, Proposal, Report, Welcome};
        assert!(is_of_messages(&page(&[Message, Report], false)));
        assert!(!is_of_messages(&page(&[Message], true)));
        for kind in [Commit, Proposal, Welcome] {
            assert!(!is_of_messages(&page(&[Message, kind], false)), "{kind:?}");
        }
    }
}
