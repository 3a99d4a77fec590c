//! A group that says it continues another one, whose history this device has, in part, or has seen otherwise.

use qpc_proto::{
    address::Domain,
    continuation::Continued,
    role::{Role, RoleTable},
};

use super::*;
use crate::{
    mls::Invitee,
    store::continuation::{self, Fit},
};

/// Somebody's group with others, whom it welcomes: they are in it as far as MLS goes. Gives the welcome.
fn group(maker: &mut Desk, name: &ConversationName, roles: &RoleTable, others: &mut [&mut Desk]) -> Vec<u8> {
    let packages: Vec<_> = others
        .iter_mut()
        .map(|desk| (desk.me.address().clone(), desk.me.identity.device, desk.key_package()))
        .collect();
    let invited: Vec<_> = packages
        .iter()
        .map(|(address, device, key_package)| Invitee { address, device: *device, key_package })
        .collect();
    maker.tx(|tx, me| {
        me.pin_all(tx, others.iter().map(|desk| desk.me.device.verified())).unwrap();
        me.with_mls(tx, |mls| {
            let made = mls.create_group(name, Suite::Classical, roles, None, &invited).unwrap();
            mls.group(name).merge_pending().unwrap();
            made.staged.unwrap().welcome.unwrap()
        })
    })
}

fn name(domain: &str) -> ConversationName {
    ConversationName { domain: Domain::parse(domain).unwrap(), id: fresh::conversation_id().unwrap() }
}

/// Alice's group, with bob and carol in it, who has read its first three entries.
struct Scene {
    alice: Desk,
    bob: Desk,
    carol: Desk,
    stranger: Desk,
    old: Ledger,
    read: Vec<LogEntry>,
}

impl Scene {
    /// Beside alice, who owns it.
    fn led_by(admin: &str) -> Self {
        let [mut alice, mut bob, mut carol] = ["alice@a.example", "bob@b.example", "carol@c.example"].map(Desk::of);
        let mut old = Ledger::of(name("a.example"));
        let mut roles = RoleTable::owned_by(alice.me.address().clone());
        roles.set(Address::parse(admin).unwrap(), Role::Admin);
        let welcome = group(&mut alice, &old.name, &roles, &mut [&mut bob, &mut carol]);
        let title = "crew".to_owned();
        let state = State::Active;
        let new = New { name: Some(old.name.clone()), kind: Kind::Group, peer: None, title, state };
        carol.tx(|tx, me| {
            me.pin_all(tx, [alice.me.device.verified(), bob.me.device.verified()]).unwrap();
            me.with_mls(tx, |mls| mls.join(&old.name, &welcome, None).map(drop).unwrap());
            conversation::insert(tx, &new).unwrap();
        });
        let stranger = Desk::of("eve@b.example");
        let read = (1..=3).map(|counter| said(&mut old, &mut alice, counter, "ahoy")).collect::<Vec<_>>();
        carol.take(read.iter().map(item)).unwrap();
        Self { alice, bob, carol, stranger, old, read }
    }

    /// Somebody welcomes carol into a group that says what it continues; gives its name and what she is told.
    fn welcomed(&mut self, by: fn(&mut Self) -> &mut Desk, at: &str, says: &Continued) -> (ConversationName, Applied) {
        let new = name(at);
        let key_package = self.carol.key_package();
        let (address, device) = (self.carol.me.address().clone(), self.carol.me.identity.device);
        let by = by(self);
        let (from, of) = (by.me.address().to_string(), by.me.address().clone());
        let welcome = by.tx(|tx, me| {
            let roles = RoleTable::owned_by(of).continuing(Some(says.clone()));
            let invited = [Invitee { address: &address, device, key_package: &key_package }];
            me.with_mls(tx, |mls| {
                mls.create_group(&new, Suite::Classical, &roles, None, &invited).unwrap().staged.unwrap().welcome
            })
        });
        let notice = v1::WelcomeNotice {
            conversation: Some(new.to_wire()),
            kind: v1::ConversationKind::Group.into(),
            seq: 1,
            chain: vec![1; 32].into(),
            welcome: welcome.unwrap().into(),
            from,
            ..Default::default()
        };
        let body = prost::Message::encode_to_vec(&notice);
        let entry = self.carol.inbox.append(EntryKind::Welcome, None, 0, fresh::message_id().unwrap(), &body);
        let applied = self.carol.take([item(&entry)]).unwrap();
        (new, applied)
    }

    fn says(&self, seq: u64, chain: ChainValue) -> Continued {
        Continued { conversation: self.old.name.clone(), seq: Seq(seq), chain }
    }

    fn fit(&mut self, of: &ConversationName) -> Fit {
        let local = self.carol.conversation(of).local;
        self.carol.tx(|tx, _| continuation::of(tx, local).unwrap().unwrap().fit)
    }

    fn successor(&mut self) -> Option<ConversationName> {
        let old = self.old.name.clone();
        self.carol.tx(|tx, _| continuation::successor(tx, &old).unwrap()).and_then(|found| found.name)
    }
}

fn told(applied: &Applied) -> String {
    let said = applied.events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.body.clone()),
        _ => None,
    });
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_group_continues_another_whose_end_this_device_has_seen() {
    for seq in [3, 2] {
        let mut scene = Scene::led_by("bob@b.example");
        let chain = scene.read[usize::try_from(seq).unwrap() - 1].chain;
        let says = scene.says(seq, chain);
        let (new, applied) = scene.welcomed(|scene| &mut scene.bob, "b.example", &says);
        assert!(alarms(&applied).is_empty(), "{:?}", alarms(&applied));
        assert_eq!((scene.fit(&new), scene.successor()), (Fit::Same, Some(new.clone())));
        assert_eq!(scene.carol.conversation(&new).title, "crew", "until somebody says what it is called");
        assert!(told(&applied).contains("This group continues crew"), "{}", told(&applied));
        assert!(told(&applied).contains("was continued in crew"), "{}", told(&applied));
    }
}

#[test]
fn a_false_history_raises_the_alarm_and_continues_nothing() {
    for seq in [3, 2] {
        let mut scene = Scene::led_by("bob@b.example");
        let says = scene.says(seq, ChainValue([9; 32]));
        let (new, applied) = scene.welcomed(|scene| &mut scene.bob, "b.example", &says);
        assert!(alarms(&applied)[0].contains("names another history"), "{:?}", alarms(&applied));
        assert_eq!((scene.fit(&new), scene.successor()), (Fit::Differs, None));
        assert_eq!(told(&applied).lines().count(), 1, "nothing but who added her: {}", told(&applied));
    }
}

#[test]
fn an_end_that_this_device_has_not_come_to_is_compared_when_it_has() {
    for honest in [true, false] {
        let mut scene = Scene::led_by("bob@b.example");
        let Scene { old, alice, .. } = &mut scene;
        let more: Vec<_> = (4..=6).map(|counter| said(old, alice, counter, "still here")).collect();
        let chain = if honest { more[1].chain } else { ChainValue([9; 32]) };
        let says = scene.says(5, chain);
        let (new, applied) = scene.welcomed(|scene| &mut scene.bob, "b.example", &says);
        assert!(told(&applied).contains("had 2 entries of it more than this device"), "{}", told(&applied));
        assert_eq!((scene.fit(&new), scene.successor()), (Fit::Ahead, Some(new.clone())));
        assert!(alarms(&scene.carol.take([item(&more[0])]).unwrap()).is_empty());
        assert_eq!(scene.fit(&new), Fit::Ahead);
        // The one in question is not the last of what comes.
        let applied = scene.carol.take([item(&more[1]), item(&more[2])]).unwrap();
        assert_eq!(alarms(&applied).len(), usize::from(!honest));
        let expected = if honest { (Fit::Same, Some(new.clone())) } else { (Fit::Differs, None) };
        assert_eq!((scene.fit(&new), scene.successor()), expected);
    }
}

#[test]
fn what_is_not_kept_any_more_is_said_not_to_be_compared() {
    let mut scene = Scene::led_by("bob@b.example");
    scene.carol.tx(|tx, _| tx.execute("DELETE FROM entry", []).unwrap());
    let says = scene.says(2, ChainValue([9; 32]));
    let (new, applied) = scene.welcomed(|scene| &mut scene.bob, "b.example", &says);
    assert!(alarms(&applied).is_empty() && told(&applied).contains("could not be compared"), "{}", told(&applied));
    assert_eq!(scene.fit(&new), Fit::Unknown);
}

#[test]
fn nobody_continues_a_group_who_may_not() {
    // Bob is a plain member, and there is an admin of another domain than the one that is gone.
    let mut scene = Scene::led_by("carol@c.example");
    let says = scene.says(3, scene.old.chain);
    let bys: [fn(&mut Scene) -> &mut Desk; 2] = [|scene| &mut scene.bob, |scene| &mut scene.stranger];
    for by in bys {
        let (new, applied) = scene.welcomed(by, "b.example", &says);
        assert_eq!((scene.fit(&new), scene.successor()), (Fit::Foreign, None));
        assert!(told(&applied).contains("they are two"), "{}", told(&applied));
    }
    // Nor at the server that orders it already.
    let mut scene = Scene::led_by("bob@b.example");
    let says = scene.says(3, scene.old.chain);
    let (new, _) = scene.welcomed(|scene| &mut scene.bob, "a.example", &says);
    assert_eq!((scene.fit(&new), scene.successor()), (Fit::Foreign, None));
}
