//! Whatever comes in whatever order: who may change what, what is bounded, and that all devices end with the same.

use proptest::prelude::*;
use qpc_proto::{
    content::{Content, Kind as Said},
    id::{ConversationId, ConversationName, Seq},
    limits::EMOJI_MAX,
    v1,
};
use rusqlite::Connection;

use super::*;
use crate::{
    api,
    store::{
        attachment,
        conversation::{self, Kind, New, State},
        message,
        own_change::{self, May},
        pin::PINS_MAX,
        poll,
        reaction::{REACTIONS_MAX, REACTIONS_OF_ONE_MAX},
        schema,
    },
};

const ALICE: &str = "alice@a.example";
const BOB: &str = "bob@a.example";

fn id(number: u32) -> MessageId {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&number.to_be_bytes());
    MessageId::new(1_700_000_000_000, random)
}

/// What a device has, and how far it has read.
struct Device {
    account: &'static str,
    disk: Connection,
    conversation: Local,
    read: usize,
}

impl Device {
    fn new(account: &'static str) -> Self {
        let mut disk = Connection::open_in_memory().unwrap();
        schema::migrations().to_latest(&mut disk).unwrap();
        let tx = disk.transaction().unwrap();
        tx.execute("INSERT INTO identity VALUES (1, ?1, x'00', x'00', x'00', x'00', 'localhost')", [account]).unwrap();
        let name = ConversationName {
            domain: qpc_proto::address::Domain::parse("a.example").unwrap(),
            id: ConversationId::new(1, [1; 10]),
        };
        let new = New { name: Some(name), kind: Kind::Group, peer: None, title: "crew".into(), state: State::Active };
        let conversation = conversation::insert(&tx, &new).unwrap();
        tx.commit().unwrap();
        Self { account, disk, conversation, read: 0 }
    }

    fn with<T>(&mut self, work: impl FnOnce(&Transaction<'_>, Local) -> Result<T, StoreError>) -> T {
        let tx = self.disk.transaction().unwrap();
        let done = work(&tx, self.conversation).unwrap();
        tx.commit().unwrap();
        done
    }

    /// Somebody says something.
    fn hears(&mut self, number: u32, sender: &str, said: &Said) {
        let own = sender == self.account;
        self.with(|tx, conversation| {
            let body = crate::words::describe(said);
            let new = message::New {
                conversation,
                seq: Seq(number.into()),
                id: id(number),
                sender,
                own,
                time_ms: 1,
                kind: said.name(),
                body: &body,
                shown: false,
            };
            message::insert(tx, &new)?;
            match said {
                Said::Poll(poll) => poll::put(tx, conversation, id(number), poll),
                Said::Attachment(file) => attachment::put(tx, conversation, id(number), file),
                _ => Ok(()),
            }
        });
    }

    fn does(&mut self, number: u32, who: &str, change: &Change) -> Effect {
        self.does_as(number, who, change, May { moderates: false, pins: true })
    }

    fn does_as(&mut self, number: u32, who: &str, change: &Change, may: May) -> Effect {
        let by = By { account: who, moderates: may.moderates, pins: may.pins, time_ms: 7, me: self.account };
        self.with(|tx, conversation| apply(tx, conversation, id(number), change, by))
    }

    fn shows(&mut self, number: u32) -> api::Message {
        self.with(|tx, conversation| message::by_id(tx, conversation, id(number))).unwrap()
    }
}

fn text(text: &str) -> Said {
    Said::Text(text.into())
}

fn react(emoji: &str) -> Change {
    Change::React { emoji: emoji.into(), removed: false }
}

fn file() -> Said {
    Said::Attachment(v1::Attachment {
        file_name: "plan.pdf".into(),
        size: 5,
        digest: vec![1; 32].into(),
        key: vec![2; 32].into(),
        preview: vec![3; 9].into(),
        caption: "first".into(),
        ..Default::default()
    })
}

fn tea(several: bool) -> Said {
    Said::Poll(v1::Poll { question: "tea?".into(), options: vec!["yes".into(), "no".into(), "later".into()], several })
}

#[test]
fn an_edit_is_the_senders_alone_and_the_last_one_counts() {
    let mut bob = Device::new(BOB);
    bob.hears(1, ALICE, &text("one"));
    assert_eq!(bob.does(1, BOB, &Change::Edit("forged".into())), Effect::None);
    assert_eq!(bob.shows(1).body, "one");
    assert!(bob.shows(1).details.edited.is_none());
    for words in ["two", "three"] {
        assert!(matches!(bob.does(1, ALICE, &Change::Edit(words.into())), Effect::Changed(_)));
    }
    let shown = bob.shows(1);
    assert_eq!((shown.body.as_str(), shown.details.edited.as_deref()), ("three", Some("1970-01-01T00:00:00.007Z")));
    bob.hears(2, ALICE, &file());
    bob.does(2, ALICE, &Change::Edit("second".into()));
    assert_eq!(bob.shows(2).body, "plan.pdf (5 bytes) - second");
    assert_eq!(bob.does(9, ALICE, &Change::Edit("of nothing".into())), Effect::NoTarget);
}

#[test]
fn a_change_is_for_messages_of_its_own_conversation() {
    let mut bob = Device::new(BOB);
    bob.hears(1, ALICE, &text("one"));
    bob.conversation = bob.with(|tx, _| {
        let new = New { name: None, kind: Kind::Group, peer: None, title: "other".into(), state: State::Active };
        conversation::insert(tx, &new)
    });
    for change in [Change::Edit("two".into()), Change::Delete, react("👍")] {
        assert_eq!(bob.does(1, ALICE, &change), Effect::NoTarget);
    }
}

#[test]
fn nothing_is_left_of_a_deleted_message_and_it_stays_deleted() {
    let mut bob = Device::new(BOB);
    let said = [text("one"), file(), tea(false)];
    for (number, said) in (1..).zip(&said) {
        bob.hears(number, ALICE, said);
        bob.does(number, BOB, &react("👍"));
        bob.does(number, BOB, &Change::Pin { removed: false });
        bob.does(number, BOB, &Change::Vote(vec![0]));
        bob.does(number, ALICE, &Change::Edit("other words".into()));
        assert_eq!(bob.does(number, BOB, &Change::Delete), Effect::None, "it is not theirs");
        assert!(matches!(bob.does(number, ALICE, &Change::Delete), Effect::Changed(_)));
        let shown = bob.shows(number);
        let left = api::Details { deleted_by: Some(ALICE.into()), ..Default::default() };
        assert_eq!(
            (shown.kind.as_str(), shown.body.as_str(), &shown.file, &*shown.details),
            ("deleted", "(deleted)", &None, &left)
        );
        for change in [Change::Edit("again".into()), react("👍"), Change::Pin { removed: false }, Change::Delete] {
            assert_eq!(bob.does(number, ALICE, &change), Effect::None);
        }
        assert_eq!(bob.shows(number), shown);
    }
    let rows = bob.with(|tx, _| {
        let sql = "SELECT (SELECT count(*) FROM attachment) + (SELECT count(*) FROM reaction) + (SELECT count(*) FROM pin) \
                   + (SELECT count(*) FROM poll) + (SELECT count(*) FROM vote)";
        Ok(tx.query_one(sql, [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(rows, 0);
}

#[test]
fn who_moderates_deletes_what_others_said_and_edits_none_of_it() {
    let mut bob = Device::new(BOB);
    bob.hears(1, ALICE, &text("one"));
    let moderator = May { moderates: true, pins: true };
    assert_eq!(bob.does_as(1, "carol@a.example", &Change::Edit("forged".into()), moderator), Effect::None);
    assert!(matches!(bob.does_as(1, "carol@a.example", &Change::Delete, moderator), Effect::Changed(_)));
    assert_eq!(bob.shows(1).details.deleted_by.as_deref(), Some("carol@a.example"));
}

#[test]
fn a_million_reactions_are_as_many_as_fit() {
    let mut bob = Device::new(BOB);
    bob.hears(1, ALICE, &text("one"));
    for number in 0..REACTIONS_OF_ONE_MAX * 2 {
        bob.does(1, "eve@a.example", &react(&format!("e{number}")));
    }
    let shown = bob.shows(1).details;
    assert_eq!(shown.reactions.len() as u64 + shown.other_reactions, u64::from(REACTIONS_OF_ONE_MAX));
    for number in 0..REACTIONS_MAX {
        bob.does(1, &format!("eve{number}@a.example"), &react("👍"));
    }
    let shown = bob.shows(1).details;
    assert_eq!(
        (shown.reactions[0].emoji.as_str(), shown.reactions[0].count),
        ("👍", u64::from(REACTIONS_MAX - REACTIONS_OF_ONE_MAX))
    );
    assert!(shown.reactions.len() <= 12 && shown.other_reactions > 0);
    // What one takes back makes room.
    bob.does(1, "eve1@a.example", &Change::React { emoji: "👍".into(), removed: true });
    assert!(matches!(bob.does(1, BOB, &react("👍")), Effect::Changed(_)));
    assert_eq!(bob.does(1, BOB, &react("❤️")), Effect::None);
    for wrong in [String::new(), "x".repeat(EMOJI_MAX + 1)] {
        assert_eq!(bob.does(1, ALICE, &react(&wrong)), Effect::None);
    }
}

#[test]
fn the_oldest_pin_goes_and_only_who_may_pins() {
    let mut bob = Device::new(BOB);
    for number in 0..=PINS_MAX {
        bob.hears(number, ALICE, &text("one"));
        let nobody = May { moderates: true, pins: false };
        assert_eq!(bob.does_as(number, ALICE, &Change::Pin { removed: false }, nobody), Effect::None);
        bob.does(number, ALICE, &Change::Pin { removed: false });
    }
    let pinned = bob.with(message::pinned);
    assert_eq!(pinned.len(), PINS_MAX as usize);
    assert_eq!(pinned[0].id, id(1).to_string());
    assert!(!bob.shows(0).details.pinned && bob.shows(1).details.pinned);
    bob.does(1, ALICE, &Change::Pin { removed: true });
    assert!(!bob.shows(1).details.pinned);
}

#[test]
fn the_last_vote_of_an_account_counts_until_the_poll_is_closed() {
    let mut bob = Device::new(BOB);
    bob.hears(1, ALICE, &tea(false));
    bob.hears(2, ALICE, &tea(true));
    for wrong in [vec![3], vec![0, 1], vec![0, 0]] {
        assert_eq!(bob.does(1, BOB, &Change::Vote(wrong.clone())), Effect::None, "{wrong:?}");
    }
    let votes = |bob: &mut Device, number| {
        let poll = bob.shows(number).details.poll.unwrap();
        (poll.voters, poll.options.iter().map(|option| (option.votes, option.own)).collect::<Vec<_>>())
    };
    bob.does(1, BOB, &Change::Vote(vec![0]));
    bob.does(1, ALICE, &Change::Vote(vec![2]));
    bob.does(1, BOB, &Change::Vote(vec![2]));
    assert_eq!(votes(&mut bob, 1), (2, vec![(0, false), (0, false), (2, true)]));
    bob.does(2, BOB, &Change::Vote(vec![0, 2]));
    bob.does(2, ALICE, &Change::Vote(vec![2]));
    bob.does(2, ALICE, &Change::Vote(vec![]));
    assert_eq!(votes(&mut bob, 2), (1, vec![(1, true), (0, false), (1, true)]));
    assert_eq!(bob.does(1, BOB, &Change::ClosePoll), Effect::None);
    assert!(matches!(bob.does(1, ALICE, &Change::ClosePoll), Effect::Changed(_)));
    assert_eq!(bob.does(1, BOB, &Change::Vote(vec![0])), Effect::None);
    assert_eq!(votes(&mut bob, 1).0, 2);
}

/// Something happens at a device.
#[derive(Debug, Clone)]
enum Step {
    /// It changes a message.
    Changes(usize, u32, What),
    /// The server takes the oldest change that it has not stored of a device, or refuses it.
    Stores(usize, bool),
    /// It reads an entry of the log.
    Reads(usize),
}

#[derive(Debug, Clone)]
enum What {
    Edit(u8),
    Delete,
    React(u8, bool),
    Pin(bool),
    Vote(u32),
    Close,
}

impl What {
    fn said(&self, to: MessageId) -> Said {
        match self {
            Self::Edit(words) => Said::Edit(to, format!("words {words}").into()),
            Self::Delete => Said::Delete(to),
            Self::React(emoji, removed) => Said::Reaction { to, emoji: format!("e{emoji}"), removed: *removed },
            Self::Pin(removed) => Said::Pin { id: to, removed: *removed },
            Self::Vote(choice) => Said::Vote(to, vec![*choice]),
            Self::Close => Said::PollClose(to),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        4 => (0u8..9).prop_map(What::Edit),
        1 => Just(What::Delete),
        4 => (0u8..3, any::<bool>()).prop_map(|(emoji, removed)| What::React(emoji, removed)),
        2 => any::<bool>().prop_map(What::Pin),
        3 => (0u32..4).prop_map(What::Vote),
        1 => Just(What::Close),
    ];
    prop_oneof![
        3 => (0usize..3, 1u32..5, what).prop_map(|(device, target, what)| Step::Changes(device, target, what)),
        3 => (0usize..3, prop::bool::weighted(0.9)).prop_map(|(device, taken)| Step::Stores(device, taken)),
        4 => (0usize..3).prop_map(Step::Reads),
    ]
}

/// A log, and who reads and writes it.
struct World {
    devices: [Device; 3],
    /// Who has written what, with the device and the change's id.
    log: Vec<(usize, MessageId, Content)>,
    /// Of each device what the server has not stored.
    outboxes: [Vec<(MessageId, Content)>; 3],
    next: u32,
}

impl World {
    fn new() -> Self {
        let mut devices = [Device::new(ALICE), Device::new(ALICE), Device::new(BOB)];
        for device in &mut devices {
            for (number, (sender, said)) in
                (1..).zip([(ALICE, text("one")), (BOB, text("two")), (ALICE, file()), (BOB, tea(false))])
            {
                device.hears(number, sender, &said);
            }
        }
        Self { devices, log: Vec::new(), outboxes: Default::default(), next: 100 }
    }

    const MAY: May = May { moderates: false, pins: true };

    fn takes(&mut self, step: Step) {
        match step {
            Step::Changes(device, target, what) => {
                self.next = self.next.checked_add(1).unwrap();
                let change = id(self.next);
                let content = Content::new(self.next.into(), what.said(id(target)));
                let encoded = content.encode().unwrap();
                let account = self.devices[device].account;
                self.devices[device].with(|tx, conversation| {
                    own_change::put(tx, conversation, change, (id(target), &encoded), (account, Self::MAY))
                });
                self.outboxes[device].push((change, content));
            }
            Step::Stores(device, taken) if !self.outboxes[device].is_empty() => {
                let (change, content) = self.outboxes[device].remove(0);
                if taken {
                    self.log.push((device, change, content));
                } else {
                    self.devices[device].with(|tx, _| own_change::take(tx, change).map(drop));
                }
            }
            Step::Reads(device) if self.devices[device].read < self.log.len() => {
                let reader = &mut self.devices[device];
                let (writer, change, content) = self.log[reader.read].clone();
                reader.read = reader.read.checked_add(1).unwrap();
                if writer == device {
                    reader.with(|tx, _| {
                        let own = own_change::take(tx, change)?.unwrap();
                        own_change::apply(tx, &own, Some(Self::MAY)).map(drop)
                    });
                } else {
                    let (target, change) = Change::of(&content.kind).unwrap();
                    let account = self.devices[writer].account;
                    let reader = &mut self.devices[device];
                    let by = By { account, moderates: false, pins: true, time_ms: content.sent_ms, me: reader.account };
                    reader.with(|tx, conversation| apply(tx, conversation, target, &change, by).map(drop));
                }
            }
            _ => {}
        }
    }

    /// What everybody sees alike.
    fn state(&mut self, device: usize) -> Vec<api::Message> {
        let all = (1..5).map(|number| {
            let mut shown = self.devices[device].shows(number);
            (shown.own, shown.details.mentioned) = (false, false);
            shown.details.reactions.iter_mut().for_each(|reaction| reaction.own = false);
            shown.details.poll.iter_mut().flat_map(|poll| &mut poll.options).for_each(|option| option.own = false);
            shown
        });
        all.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn two_people_and_three_devices_end_with_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.takes(step);
            // Whatever is looked at meanwhile: it changes nothing.
            (0..3).for_each(|device| drop(world.state(device)));
        }
        for device in 0..3 {
            while !world.outboxes[device].is_empty() {
                world.takes(Step::Stores(device, true));
            }
        }
        for device in 0..3 {
            while world.devices[device].read < world.log.len() {
                world.takes(Step::Reads(device));
            }
        }
        let first = world.state(0);
        prop_assert_eq!(&first, &world.state(1));
        prop_assert_eq!(&first, &world.state(2));
        for device in &mut world.devices {
            let left = device.with(|tx, _| Ok(tx.query_one("SELECT count(*) FROM own_change", [], |row| row.get::<_, i64>(0))?));
            prop_assert_eq!(left, 0);
        }
    }
}

#[test]
fn ones_own_change_is_seen_at_once_and_a_refused_one_leaves_no_trace() {
    let mut world = World::new();
    world.takes(Step::Changes(0, 1, What::Edit(1)));
    assert_eq!(world.devices[0].shows(1).body, "words 1");
    let take_back = |world: &mut World| {
        world.takes(Step::Changes(0, 1, What::Delete));
        assert_eq!(world.devices[0].shows(1).kind, "deleted");
        world.takes(Step::Stores(0, false));
        world.takes(Step::Stores(0, false));
    };
    take_back(&mut world);
    let shown = world.devices[0].shows(1);
    assert_eq!((shown.body.as_str(), *shown.details), ("one", api::Details::default()));
}

#[test]
fn somebody_elses_change_in_between_counts_in_the_order_of_the_log() {
    // Alice's two devices edit at the same time; the second one's is stored first.
    let mut world = World::new();
    world.takes(Step::Changes(0, 1, What::Edit(1)));
    world.takes(Step::Changes(1, 1, What::Edit(2)));
    world.takes(Step::Stores(1, true));
    world.takes(Step::Reads(0));
    assert_eq!(world.devices[0].shows(1).body, "words 1", "one's own is on top");
    world.takes(Step::Stores(0, true));
    for device in [1, 1, 0, 2, 2] {
        world.takes(Step::Reads(device));
    }
    for device in 0..3 {
        assert_eq!(world.devices[device].shows(1).body, "words 1");
    }
}
