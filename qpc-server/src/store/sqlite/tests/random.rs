//! Random lives of a few people have the same outcomes in memory and in SQLCipher, restarts included.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use qpc_proto::{
    chain::EntryKind,
    id::{ConversationName, Counter, DeviceId, Epoch},
    limits::DEVICES_PER_ACCOUNT_MAX,
    suite::Suite,
};

use super::*;
use crate::store::{
    AccountReset, Actor, Admission, Append, Appended, CommitAppend, Consent, GroupState, InviteToken, Judged,
    NewKeyPackages, Retention,
    conformance::world::{World, bundle, inbox_of, state, wait},
    memory::tests::Memory,
};

const PEOPLE: usize = 4;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Something that somebody does; numbers pick people and conversations from those there are.
#[derive(Debug, Clone)]
enum Step {
    Direct(usize, usize),
    Group(usize, Vec<usize>),
    /// Off by so much from the right counter and epoch, which are at 1.
    Send(usize, usize, u64, u64, bool),
    SendAgain(usize),
    Commit(usize, usize, Option<usize>, Option<usize>, u64),
    Leave(usize, usize),
    Answer(usize, usize, Consent),
    Acknowledge(usize, usize, u64),
    /// Of several logs, after some entry each.
    Positions(usize, Vec<(usize, u64)>),
    Publish(usize, u8),
    Claim(usize, usize),
    NewDevice(usize),
    Delete(usize),
    Reset(usize),
    Later(u64),
    Retain(u64, u64),
    Restart,
}

/// Some of the people have key packages of one suite, some of the other.
fn suite_of(person: usize) -> Suite {
    if person.is_multiple_of(2) { Suite::Classical } else { Suite::PostQuantum }
}

fn step() -> impl Strategy<Value = Step> {
    let (who, log) = (0..PEOPLE, 0_usize..8);
    // Mostly right, at times one too low or too high.
    let off = || prop_oneof![8 => Just(1_u64), 1 => Just(0_u64), 1 => Just(2_u64)];
    let someone = || proptest::option::of(0..PEOPLE);
    let consent =
        prop_oneof![Just(Consent::Accept), Just(Consent::Decline), Just(Consent::Block), Just(Consent::Unblock)];
    prop_oneof![
        3 => (who.clone(), who.clone()).prop_map(|(one, other)| Step::Direct(one, other)),
        2 => (who.clone(), proptest::collection::vec(who.clone(), 0..3)).prop_map(|(one, many)| Step::Group(one, many)),
        24 => (who.clone(), log.clone(), off(), off(), proptest::bool::weighted(0.1))
            .prop_map(|(one, log, counter, epoch, large)| Step::Send(one, log, counter, epoch, large)),
        3 => any::<usize>().prop_map(Step::SendAgain),
        8 => (who.clone(), log.clone(), someone(), someone(), off())
            .prop_map(|(one, log, add, remove, epoch)| Step::Commit(one, log, add, remove, epoch)),
        2 => (who.clone(), log.clone()).prop_map(|(one, log)| Step::Leave(one, log)),
        10 => (who.clone(), who.clone(), consent).prop_map(|(one, other, consent)| Step::Answer(one, other, consent)),
        8 => (who.clone(), log.clone(), 0_u64..20).prop_map(|(one, log, seq)| Step::Acknowledge(one, log, seq)),
        4 => (who.clone(), proptest::collection::vec((log, 0_u64..20), 1..6))
            .prop_map(|(one, logs)| Step::Positions(one, logs)),
        2 => (who.clone(), 0_u8..4).prop_map(|(one, count)| Step::Publish(one, count)),
        2 => (who.clone(), who.clone()).prop_map(|(one, other)| Step::Claim(one, other)),
        2 => who.clone().prop_map(Step::NewDevice),
        1 => who.clone().prop_map(Step::Delete),
        1 => who.prop_map(Step::Reset),
        6 => (0_u64..5).prop_map(Step::Later),
        3 => (0_u64..20, 0_u64..40).prop_map(|(bodies, entries)| Step::Retain(bodies, entries)),
        2 => Just(Step::Restart),
    ]
}

/// One run on one backend.
struct Life {
    world: Option<World>,
    people: Vec<Actor>,
    talks: Vec<ConversationName>,
    sent: Vec<(usize, Append)>,
    counters: HashMap<(DeviceId, ConversationName), u64>,
    epochs: HashMap<ConversationName, u64>,
    names: u32,
}

impl Life {
    fn begin(backend: &dyn Backend) -> Self {
        let world = World::new(backend);
        let people: Vec<_> = (0..PEOPLE).map(|n| world.person(&format!("person{n}"))).collect();
        let (sent, counters, epochs) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut life = Self { world: Some(world), people, talks: Vec::new(), sent, counters, epochs, names: 0 };
        // Some are friends already, and three of them have a group.
        for (one, other) in [(0, 1), (0, 2), (1, 3)] {
            assert!(life.take(&Step::Direct(one, other), backend).starts_with("Ok"));
            assert!(life.take(&Step::Answer(other, one, Consent::Accept), backend).starts_with("Ok"));
        }
        assert!(life.take(&Step::Group(0, vec![1, 2]), backend).starts_with("Ok"));
        // A restart would lose it on one side.
        life.world().told();
        life
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    /// A conversation, or somebody's inbox where there is none.
    fn talk(&self, who: usize, number: usize) -> ConversationName {
        // The latest first, so that what is new is used.
        let number = number % (self.talks.len() + 1);
        self.talks.iter().rev().nth(number).cloned().unwrap_or_else(|| inbox_of(&self.people[who]))
    }

    fn counter(&self, who: usize, talk: &ConversationName) -> u64 {
        self.counters.get(&(self.people[who].device(), talk.clone())).copied().unwrap_or_default()
    }

    fn note<E>(&mut self, who: usize, talk: &ConversationName, counter: u64, outcome: &Result<Appended, E>) {
        if outcome.is_ok() {
            self.counters.insert((self.people[who].device(), talk.clone()), counter);
        }
    }

    /// Takes a step; gives its outcome as text.
    fn take(&mut self, step: &Step, backend: &dyn Backend) -> String {
        match step {
            Step::Direct(one, other) => {
                let new = self.world().new_direct(&self.people[*other]);
                let name = new.conversation.clone();
                let outcome = wait(self.world().store.create_conversation(&self.people[*one], new));
                self.created(*one, name, &outcome);
                format!("{outcome:?}")
            }
            Step::Group(one, many) => {
                let many: Vec<_> = many.iter().map(|n| &self.people[*n]).collect();
                let new = self.world().new_group(&many);
                let name = new.conversation.clone();
                let outcome = wait(self.world().store.create_conversation(&self.people[*one], new));
                self.created(*one, name, &outcome);
                format!("{outcome:?}")
            }
            Step::Send(one, log, counter, epoch, large) => {
                let message = self.message(*one, *log, *counter, *epoch, *large);
                self.send(*one, message)
            }
            Step::SendAgain(number) => match self.sent.len() {
                0 => String::new(),
                sent => {
                    let (who, message) = self.sent[number % sent].clone();
                    // Refused then, it may be taken now: at today's time.
                    let message = Append { now_ms: self.world().now_ms.get(), ..message };
                    format!("{:?}", self.world().append(&self.people[who], &message))
                }
            },
            Step::Commit(one, log, add, remove, off) => self.commit(*one, *log, *add, *remove, *off),
            Step::Leave(one, log) => {
                let message = self.message(*one, *log, 1, 1, false);
                self.send(
                    *one,
                    Append {
                        group: self.proposal(*one, &message.conversation),
                        kind: EntryKind::Proposal,
                        leave: true,
                        ..message
                    },
                )
            }
            Step::Answer(one, other, consent) => {
                format!("{:?}", self.world().answer(&self.people[*one], &self.people[*other], *consent))
            }
            Step::Acknowledge(one, log, seq) => {
                let log = self.talk(*one, *log);
                self.world().acknowledge(&self.people[*one], &log, *seq);
                String::new()
            }
            Step::Positions(one, logs) => {
                let logs: Vec<_> = logs.iter().map(|(log, after)| (self.talk(*one, *log), *after)).collect();
                let cursors: Vec<_> = logs.iter().map(|(log, after)| (log, *after)).collect();
                let positions = self.world().positions(&self.people[*one], &cursors).unwrap();
                // The place is the backend's own affair.
                let stand = positions.iter().map(|at| at.map(|at| (at.after, at.chain.to_bytes(), at.head)));
                format!("{:?}", stand.collect::<Vec<_>>())
            }
            Step::Publish(one, count) => {
                let packages = NewKeyPackages {
                    suite: suite_of(*one),
                    one_time: (0..*count).map(|n| Bytes::from(vec![n])).collect(),
                    last_resort: (*count == 3).then(|| "last".into()),
                };
                format!("{:?}", wait(self.world().store.publish_key_packages(&self.people[*one], packages)))
            }
            Step::Claim(one, other) => {
                let target = self.people[*other].address();
                format!(
                    "{:?}",
                    wait(self.world().store.claim_key_packages(&self.people[*one], target, suite_of(*other)))
                )
            }
            Step::NewDevice(one) => {
                let before = self.people[*one].clone();
                let device = self.world().new_device();
                let id = device.id;
                let enrolled = wait(self.world().store.enrol_device(before.account(), device, DEVICES_PER_ACCOUNT_MAX));
                if enrolled.is_err() {
                    return format!("{enrolled:?}");
                }
                let actor = Actor::authenticated(before.account(), id, before.address().clone());
                let revoked = wait(self.world().store.revoke_device(&actor, before.device()));
                self.people[*one] = actor;
                format!("{revoked:?}")
            }
            Step::Delete(one) => {
                let now_ms = self.world().now_ms.get();
                let deleted = wait(self.world().store.delete_account(&self.people[*one], now_ms));
                self.names += 1;
                self.people[*one] = self.world().person(&format!("another{}", self.names));
                format!("{deleted:?}")
            }
            Step::Reset(one) => {
                let address = self.people[*one].address().clone();
                let now_ms = self.world().now_ms.get();
                let token = InviteToken([7; 32]);
                let name = address.name.clone();
                let reset = AccountReset { name, token, expires_ms: u64::MAX, now_ms };
                let outcome = wait(self.world().store.reset_account(reset));
                let new = self.world().new_account(address.name.as_str(), Admission::Token(token));
                self.people[*one] = self.world().register(new).unwrap();
                format!("{outcome:?}")
            }
            Step::Later(hours) => {
                let now_ms = &self.world().now_ms;
                now_ms.set(now_ms.get() + hours * HOUR_MS);
                String::new()
            }
            Step::Retain(bodies, entries) => {
                let ago = |hours: u64| self.world().now_ms.get() - hours * HOUR_MS;
                let retention =
                    Retention { bodies_before_ms: ago(*bodies), entries_before_ms: ago(*bodies + *entries), batch: 4 };
                // How many steps it takes is the backend's own affair.
                while wait(self.world().store.retention_step(retention)).unwrap() {}
                String::new()
            }
            Step::Restart => {
                if backend.persistent() {
                    self.world = self.world.take().unwrap().reopened(backend);
                }
                String::new()
            }
        }
    }

    fn created<E>(&mut self, who: usize, name: ConversationName, outcome: &Result<Appended, E>) {
        if let Ok(at) = outcome {
            self.epochs.insert(name.clone(), at.seq.0);
            self.note(who, &name, at.seq.0, outcome);
            self.talks.push(name);
        }
    }

    fn message(&self, who: usize, log: usize, counter: u64, epoch: u64, large: bool) -> Append {
        let talk = self.talk(who, log);
        let counter = Counter((self.counter(who, &talk) + counter).max(1) - if counter == 0 { 1 } else { 0 });
        let epoch = Epoch((self.epochs.get(&talk).copied().unwrap_or_default() + epoch).saturating_sub(1));
        let body = vec![1; if large { 5000 } else { 10 }];
        self.world().numbered(&talk, counter, epoch, &body)
    }

    fn proposal(&self, who: usize, talk: &ConversationName) -> Option<Judged<GroupState>> {
        Some(Judged { basis: self.world().version(&self.people[who], talk), change: state("proposed", None) })
    }

    fn send(&mut self, who: usize, message: Append) -> String {
        let outcome = self.world().append(&self.people[who], &message);
        self.note(who, &message.conversation, message.counter.0, &outcome);
        self.sent.push((who, message));
        format!("{outcome:?}")
    }

    fn commit(&mut self, who: usize, log: usize, add: Option<usize>, remove: Option<usize>, off: u64) -> String {
        let talk = self.talk(who, log);
        let people = |n: Option<usize>| n.map(|n| &self.people[n]).into_iter().collect::<Vec<_>>();
        let epoch = (self.epochs.get(&talk).copied().unwrap_or_default() + off).saturating_sub(1);
        let counter = self.counter(who, &talk) + 1;
        let mut bundle = bundle(epoch, &people(add), &people(remove));
        bundle.judged.as_mut().unwrap().basis.proposals = self.world().version(&self.people[who], &talk).proposals;
        let commit = CommitAppend {
            conversation: talk.clone(),
            id: self.world().message_id(),
            counter: Counter(counter),
            bundle,
            now_ms: self.world().now_ms.get(),
        };
        let outcome = self.world().commit(&self.people[who], &commit);
        self.note(who, &talk, counter, &outcome);
        if outcome.is_ok() {
            self.epochs.insert(talk, epoch + 1);
        }
        format!("{outcome:?}")
    }

    /// Everything that everybody can see.
    fn view(&self) -> String {
        use std::fmt::Write;
        let (world, mut text) = (self.world(), String::new());
        for actor in &self.people {
            let conversations = wait(world.store.list_conversations(actor, None, 100));
            let contacts = wait(world.store.list_contacts(actor, None, 100));
            let devices = wait(world.store.list_devices(actor));
            writeln!(text, "{conversations:?} {contacts:?} {devices:?}").unwrap();
            for log in self.talks.iter().cloned().chain([inbox_of(actor)]) {
                match world.page(actor, &log, 0) {
                    Ok(page) => {
                        crate::store::conformance::world::verify(&page);
                        writeln!(text, "{log} {:?} {:?} {:?}", page.head, page.floor, page.floor_chain).unwrap();
                        for entry in page.entries {
                            writeln!(
                                text,
                                "{:?}",
                                entry.to_wire().content.map(|content| match content {
                                    qpc_proto::v1::entry::Content::Body(body) => (true, body),
                                    qpc_proto::v1::entry::Content::RemovedBodyDigest(digest) => (false, digest),
                                })
                            )
                            .unwrap();
                        }
                    }
                    Err(error) => writeln!(text, "{log} {error}").unwrap(),
                }
            }
        }
        let figures = wait(world.store.figures(0, 0)).unwrap();
        writeln!(text, "{figures:?}").unwrap();
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_backends_are_the_same_backend(steps in proptest::collection::vec(step(), 20..80)) {
        let folder = Folder::new();
        let (mut plain, mut stored) = (Life::begin(&Memory), Life::begin(&folder));
        for step in &steps {
            let (one, other) = (plain.take(step, &Memory), stored.take(step, &folder));
            prop_assert_eq!(one, other, "after {:?}", step);
            // What the sinks were told is the same as well.
            let told = |life: &Life| {
                let told = life.world().told();
                told.iter().map(|told| (told.entry.chain, told.audience.clone(), told.withheld_from)).collect::<Vec<_>>()
            };
            prop_assert_eq!(told(&plain), told(&stored), "told after {:?}", step);
        }
        let (one, other) = (plain.view(), stored.view());
        prop_assert_eq!(one.lines().count(), other.lines().count());
        for (one, other) in one.lines().zip(other.lines()) {
            prop_assert_eq!(one, other);
        }
    }
}
