//! A device that could follow its group is taken out and put in again by one commit of somebody else's: nothing is lost by it.

use super::*;
use crate::{mls::Invitee, store::returned};

/// Alice puts bob's device in anew: the commit, and the welcome in his inbox.
fn puts_in_anew(log: &mut Ledger, alice: &mut Desk, bob: &mut Desk, counter: u64) -> (Item, Item) {
    let (package, name, id) = (bob.key_package(), log.name.clone(), fresh::message_id().unwrap());
    let (address, device) = (bob.me.address().clone(), bob.me.identity.device);
    let staged = alice.tx(|tx, me| {
        me.with_mls(tx, |mls| {
            let invitee = Invitee { address: &address, device, key_package: &package };
            let staged = mls.group(&name).repair(&[invitee], &[]).unwrap();
            mls.group(&name).merge_pending().unwrap();
            staged
        })
    });
    let commit = log.append(EntryKind::Commit, Some(alice.me.identity.device), counter, id, &staged.commit);
    let notice = v1::WelcomeNotice {
        conversation: Some(name.to_wire()),
        kind: v1::ConversationKind::Direct.into(),
        seq: commit.seq.0,
        chain: commit.chain.to_bytes(),
        welcome: staged.welcome.unwrap().into(),
        from: alice.me.address().to_string(),
        contact_request: false,
        without_tree: false,
    };
    let body = prost::Message::encode_to_vec(&notice);
    (item(&commit), item(&bob.inbox.append(EntryKind::Welcome, None, 0, id, &body)))
}

#[test]
fn who_is_put_in_anew_goes_on_with_the_welcome_whichever_comes_first() {
    for welcome_first in [false, true] {
        let (mut log, mut alice, mut bob) = met();
        let local = bob.conversation(&log.name).local;
        bob.tx(|tx, _| outbox::put(tx, local, fresh::message_id().unwrap(), b"to be sent").unwrap());
        let before = said(&mut log, &mut alice, 2, "before");
        let (commit, welcome) = puts_in_anew(&mut log, &mut alice, &mut bob, 3);
        let entry = item(&before);
        let order = if welcome_first { [welcome, entry, commit] } else { [entry, commit, welcome] };
        for item in order {
            let applied = bob.take([item]).unwrap();
            assert!(alarms(&applied).is_empty(), "{:?}", alarms(&applied));
        }
        let conversation = bob.conversation(&log.name);
        assert_eq!((conversation.state, conversation.epoch, conversation.seq), (State::Active, Epoch(2), log.seq));
        assert_eq!(bob.tx(|tx, _| outbox::of_conversation(tx, local).unwrap()).len(), 1, "it is still to be sent");
        assert!(bob.tx(|tx, _| unjoined::all(tx).unwrap()).is_empty());
        let after = said(&mut log, &mut alice, 4, "after");
        bob.take([item(&after)]).unwrap();
        assert_eq!(bob.texts(&log.name), ["before", "after"]);
    }
}

#[test]
fn being_put_in_anew_uses_up_no_return() {
    let (mut log, mut alice, mut bob) = met();
    let local = bob.conversation(&log.name).local;
    for counter in 2..14 {
        let (commit, welcome) = puts_in_anew(&mut log, &mut alice, &mut bob, counter);
        bob.take([commit, welcome]).unwrap();
        assert_eq!(bob.conversation(&log.name).state, State::Active, "{counter}");
    }
    assert!(bob.tx(|tx, _| returned::may(tx, local, fresh::now_ms()).unwrap()));
}
