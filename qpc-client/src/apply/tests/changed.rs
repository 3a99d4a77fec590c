//! Changes that others send, whatever they may do, and of what is not here.

use super::*;
use crate::{
    api::Message,
    store::{history, own_change},
};

/// Something of alice's in the log, which bob reads.
fn hears(
    log: &mut Ledger,
    (alice, bob): (&mut Desk, &mut Desk),
    counter: u64,
    content: &Content,
) -> (MessageId, Applied) {
    let (body, id) = alice.seal_content(&log.name, content);
    let entry = log.append(EntryKind::Message, Some(alice.me.identity.device), counter, id, &body);
    (id, bob.take([item(&entry)]).unwrap())
}

fn shown(bob: &mut Desk, log: &Ledger) -> Vec<Message> {
    let local = bob.conversation(&log.name).local;
    let all = bob.tx(|tx, _| messages::last(tx, local, 100, None).unwrap());
    all.into_iter().filter(|message| message.kind != "notice").collect()
}

/// Something that bob has said, and the server has stored.
fn says(bob: &mut Desk, log: &Ledger, said: &Said) -> MessageId {
    let (local, id) = (bob.conversation(&log.name).local, fresh::message_id().unwrap());
    bob.tx(|tx, me| {
        let (sender, body) = (me.address().to_string(), crate::words::describe(said));
        let new = messages::New {
            conversation: local,
            seq: Seq(9),
            id,
            sender: &sender,
            own: true,
            time_ms: 1,
            kind: said.name(),
            body: &body,
            shown: true,
        };
        messages::insert(tx, &new).unwrap();
        if let Said::Poll(poll) = said {
            crate::store::poll::put(tx, local, id, poll).unwrap();
        }
    });
    id
}

#[test]
fn what_somebody_may_not_do_has_no_effect_though_they_send_it() {
    let (mut log, mut alice, mut bob) = met();
    let text = says(&mut bob, &log, &Said::Text("mine".into()));
    let options = vec!["yes".to_owned(), "no".to_owned()];
    let poll = says(&mut bob, &log, &Said::Poll(v1::Poll { question: "tea?".into(), options, several: false }));
    let before = shown(&mut bob, &log);
    let deeds = [
        Said::Edit(text, "forged".into()),
        Said::Delete(text),
        Said::PollClose(poll),
        Said::Vote(poll, vec![0, 1]),
        Said::Vote(poll, vec![2]),
        Said::Vote(text, vec![0]),
        Said::Reaction { to: text, emoji: String::new(), removed: false },
        Said::Reaction { to: text, emoji: "👍".into(), removed: true },
    ];
    for (counter, deed) in (2..).zip(deeds) {
        let name = deed.name();
        let (_, applied) = hears(&mut log, (&mut alice, &mut bob), counter, &Content::new(2, deed));
        assert!(applied.events.iter().all(|event| !matches!(event, Event::Message(_) | Event::Changed(_))), "{name}");
    }
    assert_eq!(shown(&mut bob, &log), before);
    let reaction = Said::Reaction { to: text, emoji: "👍".into(), removed: false };
    let (_, applied) = hears(&mut log, (&mut alice, &mut bob), 10, &Content::new(2, reaction));
    assert!(matches!(&applied.events[..], [Event::Changed(now)] if now.details.reactions[0].count == 1));
}

#[test]
fn an_edit_of_nothing_stands_for_itself_and_other_changes_of_nothing_for_nothing() {
    let (mut log, mut alice, mut bob) = met();
    let nothing = fresh::message_id().unwrap();
    let deeds = [
        Said::Delete(nothing),
        Said::Reaction { to: nothing, emoji: "👍".into(), removed: false },
        Said::Pin { id: nothing, removed: false },
        Said::Vote(nothing, vec![0]),
        Said::PollClose(nothing),
    ];
    for (counter, deed) in (2..).zip(deeds) {
        let (_, applied) = hears(&mut log, (&mut alice, &mut bob), counter, &Content::new(2, deed));
        assert!(applied.events.iter().all(|event| !matches!(event, Event::Message(_) | Event::Changed(_))));
    }
    assert_eq!(shown(&mut bob, &log), []);
    hears(&mut log, (&mut alice, &mut bob), 7, &Content::new(2, Said::Edit(nothing, "other words".into())));
    let answer = Content { reply_to: Some(nothing), ..Content::new(2, Said::Text("yes".into())) };
    hears(&mut log, (&mut alice, &mut bob), 8, &answer);
    let [edit, answer] = shown(&mut bob, &log).try_into().unwrap();
    assert_eq!(
        (edit.kind.as_str(), edit.body.as_str(), edit.details.edits),
        ("edit", "other words", Some(nothing.to_string()))
    );
    let quote = answer.details.reply_to.unwrap();
    assert_eq!((quote.id, quote.sender, quote.body), (nothing.to_string(), None, None));
}

#[test]
fn a_change_that_came_before_its_message_is_done_when_that_is_told() {
    let (mut log, mut alice, mut bob) = met();
    let earlier = fresh::message_id().unwrap();
    // Another device of bob's has it, and this one waits to be told.
    bob.tx(|tx, _| history::ask(tx, &[1; 16]).unwrap());
    for (counter, deed) in (2..).zip([
        Said::Edit(earlier, "two".into()),
        Said::Reaction { to: earlier, emoji: "👍".into(), removed: false },
        Said::Edit(earlier, "three".into()),
    ]) {
        hears(&mut log, (&mut alice, &mut bob), counter, &Content::new(5, deed));
    }
    let local = bob.conversation(&log.name).local;
    let told = v1::HistoryMessage {
        conversation: log.name.to_string(),
        seq: 1,
        message_id: earlier.to_bytes(),
        sender: alice.me.address().to_string(),
        kind: "text".into(),
        body: "one".into(),
        ..Default::default()
    };
    let me = bob.me.address().to_string();
    assert!(bob.tx(|tx, _| history::take(tx, local, earlier, (false, &me), &told).unwrap()));
    let [now] = shown(&mut bob, &log).try_into().unwrap();
    assert_eq!((now.body.as_str(), now.details.reactions.len()), ("three", 1));
    // What is told of a message that never comes is forgotten with the question.
    let never = Said::Delete(fresh::message_id().unwrap());
    hears(&mut log, (&mut alice, &mut bob), 5, &Content::new(5, never));
    let waiting = |bob: &mut Desk| {
        bob.tx(|tx, _| tx.query_one("SELECT count(*) FROM orphan", [], |row| row.get::<_, i64>(0)).unwrap())
    };
    assert_eq!(waiting(&mut bob), 1);
    bob.tx(|tx, _| history::answered(tx, 0).unwrap());
    assert_eq!(waiting(&mut bob), 0);
}

#[test]
fn with_a_message_that_is_refused_go_its_changes() {
    let (log, _, mut bob) = met();
    let local = bob.conversation(&log.name).local;
    let text = says(&mut bob, &log, &Said::Text("mine".into()));
    let change = fresh::message_id().unwrap();
    let content = Content::new(3, Said::Edit(text, "other words".into())).encode().unwrap();
    let may = own_change::May { moderates: false, pins: true };
    let left = bob.tx(|tx, me| {
        let account = me.address().to_string();
        outbox::put(tx, local, text, b"the message").unwrap();
        outbox::put(tx, local, change, &content).unwrap();
        own_change::put(tx, local, change, (text, &content), (&account, may)).unwrap();
        let mut out = Applied::default();
        refuse(tx, text, "no", &mut out).unwrap();
        let refused = |event: &&Event| matches!(event, Event::Outbox { state: crate::api::OutboxState::Refused, .. });
        assert_eq!(out.events.iter().filter(refused).count(), 2);
        outbox::of_conversation(tx, local).unwrap()
    });
    assert_eq!(left, []);
    assert_eq!(shown(&mut bob, &log)[0].body, "mine");
}

#[test]
fn a_change_of_ones_own_that_the_log_passes_over_is_done_all_the_same() {
    let (mut log, mut alice, mut bob) = met();
    let text = says(&mut bob, &log, &Said::Text("mine".into()));
    let local = bob.conversation(&log.name).local;
    let change = fresh::message_id().unwrap();
    let content = Content::new(3, Said::Edit(text, "other words".into())).encode().unwrap();
    let may = own_change::May { moderates: false, pins: true };
    bob.tx(|tx, me| {
        let account = me.address().to_string();
        own_change::put(tx, local, change, (text, &content), (&account, may)).unwrap();
        own_change::stored(tx, change, log.seq.next()).unwrap();
    });
    assert_eq!(shown(&mut bob, &log)[0].body, "other words");
    hears(&mut log, (&mut alice, &mut bob), 2, &Content::new(2, Said::Text("hello".into())));
    assert!(!bob.tx(|tx, _| own_change::is_there(tx, change).unwrap()));
    assert_eq!(shown(&mut bob, &log).iter().find(|one| one.id == text.to_string()).unwrap().body, "other words");
}
