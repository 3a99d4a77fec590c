//! Many who change one group at once, over and over: every epoch has one commit, everybody ends in the same state, and
//! nobody loses for ever.
//!
//! `QPC_RACES="MEMBERS EPOCHS"` makes it longer: `make torture` asks for 50 members and 1,000 epochs.

use std::time::Instant;

use futures_util::future::join_all;
use qpc_proto::{
    error::Code,
    id::{ConversationId, ConversationName},
    role::RoleTable,
    v1::{self, answer::Result as Answer, request::Method},
};
use qpc_server::{
    clock::{Clock, SystemClock},
    policy::limits::Rate,
    rng::{self, SystemRng},
};

use crate::{
    edge::{Guest, House, message_id},
    hand::{Hand, Plan},
    person::domain,
    wire::{Call, soon},
};

const MEMBERS: usize = 8;
const EPOCHS: u64 = 50;
/// What the server's turns promise.
const REFUSED_IN_A_ROW_MAX: u32 = 4;
const EPOCHS_WAITED_MAX: u64 = 100;

/// Somebody who changes the group whenever they can.
struct Contender {
    guest: Guest,
    hand: Hand,
    counter: u64,
    log: Call,
    /// Refusals in a row, now and at most; and the most epochs between two changes of theirs.
    refused: u32,
    refused_max: u32,
    waited_max: u64,
    changes: u64,
}

impl Contender {
    /// Takes the next entry of the log.
    async fn reads(&mut self) {
        let entry = loop {
            match soon(self.log.answer()).await.expect("the log goes on") {
                Answer::Entry(entry) => break entry,
                Answer::Following(_) | Answer::CaughtUp(_) => {}
                other => panic!("{other:?}"),
            }
        };
        let own = entry.sender_device == self.guest.device.id.to_bytes();
        let Some(v1::entry::Content::Body(body)) = entry.content else { panic!("a body") };
        if own {
            assert!(entry.epoch < self.hand.epoch(), "what it has merged");
        } else {
            assert_eq!(entry.epoch, self.hand.epoch(), "one commit for each epoch");
            self.hand.follow(&body);
        }
    }

    async fn reads_until(&mut self, epoch: u64) {
        while self.hand.epoch() < epoch {
            self.reads().await;
        }
    }

    /// Changes the group until it is in this epoch.
    async fn contends(mut self, name: &ConversationName, last: u64) -> Self {
        let mut changed_at = self.hand.epoch();
        while self.hand.epoch() < last {
            let bundle = self.hand.commit(Plan::default());
            let request = v1::SubmitCommit {
                conversation: Some(name.to_wire()),
                message_id: message_id(),
                counter: self.counter + 1,
                commit: Some(bundle),
            };
            match self.guest.wire.call(Method::SubmitCommit(request)).await {
                Answer::SubmitCommit(_) => {
                    self.hand.merge();
                    self.counter += 1;
                    self.changes += 1;
                    self.waited_max = self.waited_max.max(self.hand.epoch() - changed_at);
                    (self.refused, changed_at) = (0, self.hand.epoch());
                }
                Answer::Error(error) => {
                    self.hand.discard();
                    self.refused += 1;
                    self.refused_max = self.refused_max.max(self.refused);
                    match Code::from_wire(error.code) {
                        Some(Code::WrongEpoch | Code::CommitReserved) => self.reads_until(error.epoch.min(last)).await,
                        code => panic!("{code:?}: {}", error.detail),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        self
    }
}

async fn contenders(house: &House, members: usize) -> (ConversationName, Vec<Contender>) {
    let mut guests = Vec::new();
    for number in 0..members {
        guests.push(house.register(&format!("member-{number}")).await);
    }
    let (owner, others) = guests.split_first().unwrap();
    for other in others {
        house.befriends(owner, other).await;
    }
    let id = ConversationId::new(SystemClock.unix_ms(), rng::bytes(&SystemRng));
    let name = ConversationName { domain: domain(), id };
    let mut hands: Vec<Hand> = guests.iter().map(Guest::hand).collect();
    let (first, rest) = hands.split_first_mut().unwrap();
    let group_info = first.found(&name, &RoleTable::owned_by(owner.person.address()));
    let commit = first.adding(&rest.iter().collect::<Vec<_>>());
    let welcome = commit.welcome.clone();
    let create = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: v1::ConversationKind::Group.into(),
        message_id: message_id(),
        commit: Some(commit),
        group_info,
        ..Default::default()
    };
    let answer = owner.wire.call(Method::CreateConversation(create)).await;
    assert!(matches!(answer, Answer::CreateConversation(_)), "{answer:?}");
    first.merge();
    rest.iter_mut().for_each(|hand| hand.join(&welcome));
    let mut all = Vec::new();
    for (number, (guest, hand)) in guests.into_iter().zip(hands).enumerate() {
        let cursor = v1::Cursor { conversation: Some(name.to_wire()), seq: 1 };
        let log = guest.sync(vec![cursor]).await;
        let counter = u64::from(number == 0);
        all.push(Contender { guest, hand, counter, log, refused: 0, refused_max: 0, waited_max: 0, changes: 0 });
    }
    (name, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_change_a_group_at_once_all_get_their_turn() {
    let size = std::env::var("QPC_RACES").unwrap_or_default();
    let mut size = size.split_whitespace().map(|number| number.parse::<u64>().expect("QPC_RACES=\"MEMBERS EPOCHS\""));
    let members = size.next().map_or(MEMBERS, |members| usize::try_from(members).unwrap());
    let epochs = size.next().unwrap_or(EPOCHS);
    let house = House::with(|limits| {
        let often = Rate { per_minute: 6_000_000, burst: 100_000 };
        let rates = &mut limits.rates;
        (rates.change, rates.contact, rates.request, rates.lookup) = (often, often, often, often);
    })
    .await;
    let (name, contenders) = contenders(&house, members).await;
    let began = Instant::now();
    let mut ended = join_all(contenders.into_iter().map(|one| one.contends(&name, 1 + epochs))).await;
    for one in &mut ended {
        assert_eq!(one.hand.epoch(), 1 + epochs);
    }
    let authenticator = ended[0].hand.authenticator();
    assert!(ended.iter_mut().all(|one| one.hand.authenticator() == authenticator));
    assert_eq!(ended.iter().map(|one| one.changes).sum::<u64>(), epochs, "one commit for each epoch");
    let most = |figure: fn(&Contender) -> u64| ended.iter().map(figure).max().unwrap();
    let least = ended.iter().map(|one| one.changes).min().unwrap();
    let (refused, waited) = (most(|one| one.refused_max.into()), most(|one| one.waited_max));
    println!(
        "{members} members, {epochs} epochs in {:.1} s: refused in a row at most {refused}, epochs waited at most {waited}, \
         changes of each {least} to {}, turns given {}",
        began.elapsed().as_secs_f64(),
        most(|one| one.changes),
        house.context.metrics.group_turns.get()
    );
    assert!(refused <= REFUSED_IN_A_ROW_MAX.into() && waited <= EPOCHS_WAITED_MAX);
    house.assert_sound();
}
