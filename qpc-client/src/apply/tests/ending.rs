//! An account is gone or begins anew: what it had said before is read, whatever the inbox says first.

use qpc_proto::v1::AccountEvent;

use super::*;
use crate::api::OutboxState;

/// Bob's inbox tells of what became of alice's account.
fn told(bob: &mut Desk, alice: &Desk, event: AccountEvent) -> Item {
    let notice = v1::AccountNotice {
        address: alice.me.address().to_string(),
        event: event.into(),
        account_key: bytes::Bytes::new(),
    };
    let body = prost::Message::encode_to_vec(&notice);
    item(&bob.inbox.append(EntryKind::Account, None, 0, fresh::message_id().unwrap(), &body))
}

fn all(desk: &mut Desk, local: i64) -> Vec<String> {
    desk.tx(|tx, _| messages::last(tx, local, 100, None).unwrap()).into_iter().map(|message| message.body).collect()
}

fn refused(applied: &Applied) -> Vec<(&str, &str)> {
    let refused = applied.events.iter().filter_map(|event| match event {
        Event::Outbox { id, state: OutboxState::Refused, reason } => Some((id.as_str(), reason.as_deref()?)),
        _ => None,
    });
    refused.collect()
}

#[test]
fn what_an_account_said_before_it_was_deleted_is_read_even_after_a_restart() {
    let (mut log, mut alice, mut bob) = met();
    let one = said(&mut log, &mut alice, 2, "one");
    let end = told(&mut bob, &alice, AccountEvent::Deleted);
    assert!(bob.take([end]).unwrap().follow, "the log is asked for anew");
    let local = bob.conversation(&log.name).local;
    assert_eq!(bob.conversation(&log.name).state, State::Ending);

    bob.reopen();
    let followed = bob.tx(|tx, _| conversation::followed(tx).unwrap());
    assert!(followed.iter().any(|followed| followed.local == local));
    bob.take([item(&one)]).unwrap();
    assert_eq!(bob.conversation(&log.name).state, State::Ending);
    let applied = bob.take([Item::CaughtUp(log.name.clone())]).unwrap();
    assert_eq!(applied.gone, [log.name.clone()]);
    assert_eq!(all(&mut bob, local), ["one", "alice@a.example has deleted the account."]);
    assert_eq!(bob.conversation(&log.name).state, State::Ended);
    assert!(!bob.tx(|tx, me| me.with_mls(tx, |mls| mls.group(&log.name).exists().unwrap())));
}

#[test]
fn what_the_deleted_account_can_not_have_got_is_refused_and_what_it_may_have_got_once_that_is_known() {
    let (mut log, alice, mut bob) = met();
    let local = bob.conversation(&log.name).local;
    let [(taken, taken_id), (lost, lost_id)] = ["taken", "lost"].map(|text| bob.seal(&log.name, text));
    let never = fresh::message_id().unwrap();
    bob.tx(|tx, _| {
        for (counter, (id, body)) in [(taken_id, &taken), (lost_id, &lost)].into_iter().enumerate() {
            outbox::put(tx, local, id, b"content").unwrap();
            let place = outbox::by_id(tx, id).unwrap().unwrap().place;
            let counter = Counter(u64::try_from(counter).unwrap() + 1);
            outbox::seal(tx, place, &outbox::Sealed { counter, epoch: Epoch(1), body: body.clone().into() }).unwrap();
        }
        outbox::put(tx, local, never, b"content").unwrap();
    });
    let reason = "alice@a.example has deleted the account.";
    let end = told(&mut bob, &alice, AccountEvent::Deleted);
    let applied = bob.take([end]).unwrap();
    assert_eq!(refused(&applied), [(never.to_string().as_str(), reason)]);
    assert!(bob.tx(|tx, _| outbox::next(tx, 10, |_, _| true).unwrap()).is_empty(), "nothing is sent any more");

    let own = log.append(EntryKind::Message, Some(bob.me.identity.device), 1, taken_id, &taken);
    let applied = bob.take([item(&own), Item::CaughtUp(log.name.clone())]).unwrap();
    let sent = |event: &Event| matches!(event, Event::Outbox { id, state: OutboxState::Sent, .. } if *id == taken_id.to_string());
    assert!(applied.events.iter().any(sent), "{:?}", applied.events);
    assert_eq!(refused(&applied), [(lost_id.to_string().as_str(), reason)]);
    assert!(alarms(&applied).is_empty());
}

#[test]
fn whoever_begins_anew_is_written_to_in_another_conversation_while_the_earlier_one_is_read() {
    let (mut log, mut alice, mut bob) = met();
    let one = said(&mut log, &mut alice, 2, "one");
    let reset = told(&mut bob, &alice, AccountEvent::Reset);
    bob.take([reset]).unwrap();
    let earlier = bob.conversation(&log.name);
    let anew = bob.tx(|tx, _| conversation::want_direct(tx, alice.me.address()).unwrap());
    assert_ne!(anew.local, earlier.local);
    bob.take([item(&one), Item::CaughtUp(log.name.clone())]).unwrap();
    assert_eq!(all(&mut bob, earlier.local), ["one", "alice@a.example begins anew: this conversation has ended."]);
}

#[test]
fn a_conversation_that_is_over_is_not_come_back_to() {
    let (mut log, mut alice, mut bob) = met();
    let end = told(&mut bob, &alice, AccountEvent::Deleted);
    bob.take([end]).unwrap();
    said(&mut log, &mut alice, 2, "too old");
    bob.tx(|tx, _| conversation::want_direct(tx, alice.me.address()).unwrap());
    let floor = Item::Following { log: log.name.clone(), head: Seq(2), after: log.seq, chain: log.chain };
    let applied = bob.take([floor]).unwrap();
    assert_eq!((bob.conversation(&log.name).state, applied.elsewhere), (State::Ended, false));
    assert!(bob.tx(|tx, _| unjoined::all(tx).unwrap()).is_empty());
}

#[test]
fn a_conversation_that_is_over_and_can_not_be_read_on_has_ended() {
    let (mut log, mut alice, mut bob) = met();
    let mut forged = said(&mut log, &mut alice, 2, "one");
    forged.chain = ChainValue([9; 32]);
    let end = told(&mut bob, &alice, AccountEvent::Deleted);
    bob.take([end]).unwrap();
    let applied = bob.take([item(&forged)]).unwrap();
    assert!(alarms(&applied)[0].contains("rewritten"), "{:?}", alarms(&applied));
    let conversation = bob.conversation(&log.name);
    assert_eq!(conversation.state, State::Ended);
    assert_eq!(all(&mut bob, conversation.local), ["alice@a.example has deleted the account."]);
}
