//! What was said before a device came: two of an account that have come at once, and nobody who was there before.

use super::*;
use crate::{
    driver::own::{At, Next, step},
    mls::Invitee,
    store::{
        attachment,
        due::{self, What},
        history, missed,
    },
};

/// Devices of alice's in her own conversation, the first of which has made it; and its log.
fn devices<const N: usize>() -> (Ledger, [Desk; N]) {
    let secret = AccountSecret::generate().unwrap();
    let mut desks = [(); N].map(|()| Desk::of_account("alice", &secret));
    let domain = desks[0].me.address().domain.clone();
    let name = ConversationName { domain, id: fresh::conversation_id().unwrap() };
    let (made, others) = desks.split_first_mut().unwrap();
    let packages: Vec<_> = others.iter_mut().map(|desk| (desk.me.identity.device, desk.key_package())).collect();
    let address = made.me.address().clone();
    let invited: Vec<_> = packages
        .iter()
        .map(|(device, key_package)| Invitee { address: &address, device: *device, key_package })
        .collect();
    let welcome = made.tx(|tx, me| {
        let roles = qpc_proto::role::RoleTable::owned_by(me.address().clone());
        me.with_mls(tx, |mls| {
            let made = mls.create_group(&name, Suite::Classical, &roles, None, &invited).unwrap();
            mls.group(&name).merge_pending().unwrap();
            made.staged.unwrap().welcome.unwrap()
        })
    });
    for desk in others {
        desk.tx(|tx, me| me.with_mls(tx, |mls| mls.join(&name, &welcome, None).map(drop).unwrap()));
    }
    for desk in &mut desks {
        desk.tx(|tx, me| {
            // The server's list was read.
            due::done(tx, What::Conversations, 1).unwrap();
            let personal = conversation::want_personal(tx, me.address()).unwrap();
            conversation::set_name(tx, personal.local, &name).unwrap();
            conversation::set_state(tx, personal.local, State::Active).unwrap();
        });
    }
    (Ledger::of(name), desks)
}

/// What devices have for each other goes into the log, and all of them read it. Gives it.
fn exchange(log: &mut Ledger, desks: &mut [Desk]) -> Vec<LogEntry> {
    let mut said = Vec::new();
    for desk in desks.iter_mut() {
        let device = desk.me.identity.device;
        let name = log.name.clone();
        let sealed = desk.tx(|tx, me| {
            let mut all = Vec::new();
            let mut counter = conversation::by_name(tx, &name).unwrap().unwrap().counter;
            for outgoing in outbox::next(tx, 100, |_, _| true).unwrap() {
                let encrypt = |mls: &Mls<'_>| mls.group(&name).encrypt(outgoing.id, &outgoing.content).unwrap().bytes;
                let body: bytes::Bytes = me.with_mls(tx, encrypt).into();
                counter = counter.next();
                let sealed = outbox::Sealed { counter, epoch: Epoch(1), body: body.clone() };
                outbox::seal(tx, outgoing.place, &sealed).unwrap();
                all.push((outgoing.id, counter, body));
            }
            all
        });
        said.extend(
            sealed
                .into_iter()
                .map(|(id, counter, body)| log.append(EntryKind::Message, Some(device), counter.0, id, &body)),
        );
    }
    for desk in desks {
        desk.take(said.iter().map(item)).unwrap();
    }
    said
}

/// Devices do what is due, and answer at once, until nobody has anything to say any more. Gives what was said.
fn talk(log: &mut Ledger, desks: &mut [Desk]) -> Vec<LogEntry> {
    let mut said = Vec::new();
    loop {
        let mut quiet = true;
        for desk in desks.iter_mut() {
            let next = desk.tx(|tx, me| {
                tx.execute("UPDATE history_asked SET begin_ms = 0", []).unwrap();
                step(tx, me, At::default()).unwrap()
            });
            quiet &= next == Next::Nothing;
        }
        said.extend(exchange(log, desks));
        if quiet {
            return said;
        }
    }
}

/// Something that this device has of a group that is over.
fn has(desk: &mut Desk, log: &Ledger, texts: &[(u64, &str)]) {
    desk.tx(|tx, _| {
        let known = conversation::by_name(tx, &log.name).unwrap();
        let local = known.map_or_else(
            || {
                let title = "friends".to_owned();
                let name = Some(log.name.clone());
                let new = New { name, kind: Kind::Group, peer: None, title, state: State::Ended };
                conversation::insert(tx, &new).unwrap()
            },
            |known| known.local,
        );
        for (seq, text) in texts {
            let new = messages::New {
                conversation: local,
                seq: Seq(*seq),
                id: MessageId::new(*seq, [7; 10]),
                sender: "bob@a.example",
                own: false,
                time_ms: *seq,
                kind: "text",
                body: text,
                shown: true,
            };
            messages::insert(tx, &new).unwrap();
        }
    });
}

fn friends() -> Ledger {
    let domain = Address::parse("alice@a.example").unwrap().domain;
    Ledger::of(ConversationName { domain, id: fresh::conversation_id().unwrap() })
}

/// A device that has just come asks for what was said before.
fn asks(desk: &mut Desk) {
    desk.tx(|tx, _| due::put(tx, What::History).unwrap());
}

fn is_whole(desk: &mut Desk) -> bool {
    desk.tx(|tx, _| history::is_whole(tx).unwrap())
}

#[test]
fn of_two_that_come_at_once_neither_takes_the_other_for_one_that_knows() {
    let (mut log, mut desks) = devices::<3>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one"), (2, "two")]);
    has(&mut desks[1], &group, &[(3, "three")]);
    let (first, others) = desks.split_first_mut().unwrap();
    others.iter_mut().for_each(asks);
    // The first is away: the other two tell each other what they have.
    let said = talk(&mut log, others);
    assert_eq!(others[1].texts(&group.name), ["three"]);
    assert!(others.iter_mut().all(|desk| !is_whole(desk)), "nobody knew");
    // It is back, and both are told everything.
    first.take(said.iter().map(item)).unwrap();
    talk(&mut log, &mut desks);
    for desk in &mut desks[1..] {
        assert_eq!(desk.texts(&group.name), ["one", "two", "three"]);
        assert!(is_whole(desk));
    }
}

#[test]
fn whoever_is_told_tells_those_who_asked_it_meanwhile() {
    let (mut log, mut desks) = devices::<3>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one")]);
    let (first, others) = desks.split_first_mut().unwrap();
    others.iter_mut().for_each(asks);
    let said = talk(&mut log, others);
    // The first answers one of them and is gone before the other's turn comes.
    first.take(said.iter().map(item)).unwrap();
    first.tx(|tx, me| {
        tx.execute("UPDATE history_asked SET begin_ms = 0", []).unwrap();
        step(tx, me, At::default()).unwrap();
        tx.execute("DELETE FROM history_asked", []).unwrap();
    });
    let said = exchange(&mut log, std::slice::from_mut(first));
    others.iter_mut().for_each(|desk| drop(desk.take(said.iter().map(item)).unwrap()));
    talk(&mut log, others);
    for desk in others {
        assert_eq!(desk.texts(&group.name), ["one"]);
        assert!(is_whole(desk));
    }
}

#[test]
fn where_nobody_knows_more_each_has_what_there_is_and_it_is_told_once() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one"), (2, "two")]);
    has(&mut desks[1], &group, &[(2, "two")]);
    desks.iter_mut().for_each(asks);
    talk(&mut log, &mut desks);
    assert!(desks.iter_mut().all(|desk| desk.texts(&group.name) == ["one", "two"]));
    // One asks again: the other has nothing that is new.
    asks(&mut desks[0]);
    assert_eq!(talk(&mut log, &mut desks).len(), 1, "the question");
    let other = desks[1].me.identity.device;
    desks[0].tx(|tx, _| {
        assert!(history::all_in_part(tx, &[other]).unwrap());
        assert!(!history::all_in_part(tx, &[other, DeviceId::new(1, [1; 10])]).unwrap(), "that one may know more");
        history::answered(tx, 0).unwrap();
    });
    talk(&mut log, &mut desks);
    assert!(desks.iter_mut().all(is_whole));
}

#[test]
fn whoever_comes_back_reads_what_was_missed_before_it_answers() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one")]);
    let (first, others) = desks.split_first_mut().unwrap();
    others.iter_mut().for_each(asks);
    let said = talk(&mut log, others);
    first.take(said.iter().map(item)).unwrap();
    let reading = At { first: true, joining: true, reading: true };
    assert!(matches!(first.tx(|tx, me| step(tx, me, reading).unwrap()), Next::Later(_)));
    assert!(exchange(&mut log, &mut desks).is_empty());
    has(&mut desks[0], &group, &[(2, "two")]);
    talk(&mut log, &mut desks);
    assert_eq!(desks[1].texts(&group.name), ["one", "two"]);
}

#[test]
fn what_a_device_was_not_given_its_others_tell_and_it_stands_in_its_place() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one"), (2, "hidden"), (3, "three"), (4, "four"), (5, "five"), (6, "six")]);
    has(&mut desks[1], &group, &[(1, "one")]);
    let local = desks[1].conversation(&group.name).local;
    desks[1].tx(|tx, _| {
        missed::begins(tx, local, Seq(2)).unwrap();
        messages::notice(tx, local, "something is missing").unwrap();
        // It is asked for once the place is known at which it ends.
        assert_eq!(due::get(tx, What::History).unwrap(), None);
        missed::begins(tx, local, Seq(3)).unwrap();
        assert!(missed::ends(tx, local, Seq(5)).unwrap());
        assert!(!missed::ends(tx, local, Seq(9)).unwrap(), "it has ended");
    });
    has(&mut desks[1], &group, &[(6, "six")]);
    talk(&mut log, &mut desks);
    // What it heard and does not show is not missing.
    assert_eq!(desks[1].texts(&group.name), ["one", "three", "four", "five", "six"]);
    assert!(is_whole(&mut desks[1]));
    let all = desks[1].tx(|tx, _| messages::last(tx, local, 10, None).unwrap());
    assert_eq!((all[1].kind.as_str(), all.len()), ("notice", 6));
    // A second time there is nothing that it has missed.
    has(&mut desks[0], &group, &[(7, "seven")]);
    desks[1].tx(|tx, _| {
        missed::begins(tx, local, Seq(6)).unwrap();
        assert!(!missed::ends(tx, local, Seq(6)).unwrap(), "nothing is between");
        missed::begins(tx, local, Seq(6)).unwrap();
        assert!(missed::ends(tx, local, Seq(7)).unwrap());
    });
    talk(&mut log, &mut desks);
    assert_eq!(desks[1].texts(&group.name), ["one", "three", "four", "five", "six", "seven"]);
}

#[test]
fn what_was_told_stands_before_the_first_words_of_the_client() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one"), (2, "two"), (3, "three")]);
    has(&mut desks[1], &group, &[]);
    let local = desks[1].conversation(&group.name).local;
    desks[1].tx(|tx, _| drop(messages::notice(tx, local, "This device has joined.").unwrap()));
    has(&mut desks[1], &group, &[(3, "three")]);
    asks(&mut desks[1]);
    talk(&mut log, &mut desks);
    let all = desks[1].tx(|tx, _| messages::last(tx, local, 10, None).unwrap());
    let bodies: Vec<_> = all.iter().map(|one| one.body.as_str()).collect();
    assert_eq!(bodies, ["one", "two", "This device has joined.", "three"]);
}

#[test]
fn a_file_of_before_this_device_came_can_be_fetched_by_it() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    let text = "t".repeat(20_000);
    has(&mut desks[0], &group, &[(1, "one"), (2, &text)]);
    let file = |preview: usize| v1::Attachment {
        file_name: "photo.jpg".into(),
        media_type: "image/jpeg".into(),
        size: 5,
        digest: vec![1; 32].into(),
        key: vec![2; 32].into(),
        preview: vec![3; preview].into(),
        format: 1,
        blob_size: 272,
        ..Default::default()
    };
    let (name, long) = (group.name.clone(), file(qpc_proto::limits::PREVIEW_MAX));
    desks[0].tx(|tx, _| {
        let local = conversation::by_name(tx, &name).unwrap().unwrap().local;
        for seq in [1, 2] {
            attachment::put(tx, local, MessageId::new(seq, [7; 10]), &long).unwrap();
        }
    });
    asks(&mut desks[1]);
    talk(&mut log, &mut desks);
    desks[1].tx(|tx, _| {
        let local = conversation::by_name(tx, &name).unwrap().unwrap().local;
        let told = |seq| attachment::told(tx, local, MessageId::new(seq, [7; 10]).as_bytes()).unwrap().unwrap();
        assert!(told(1) == long);
        assert!(told(2) == file(0), "beside a long text there is no room for a preview");
    });
}

#[test]
fn what_was_said_before_a_device_came_in_is_asked_for_again_if_it_had_asked_before() {
    let (mut log, mut desks) = devices::<2>();
    let group = friends();
    has(&mut desks[0], &group, &[(1, "one"), (2, "two"), (3, "three")]);
    has(&mut desks[1], &group, &[]);
    let local = desks[1].conversation(&group.name).local;
    let comes_in = |desk: &mut Desk| {
        desk.tx(|tx, _| {
            missed::begins_before_joining(tx, local).unwrap();
            conversation::set_position(tx, local, Seq(3), &ChainValue::genesis(&group.name)).unwrap();
            missed::ends(tx, local, Seq(3)).unwrap()
        })
    };
    desks[1].tx(|tx, _| due::put(tx, What::History).unwrap());
    assert!(!comes_in(&mut desks[1]), "it is still to ask, for everything");
    desks[1].tx(|tx, _| due::done(tx, What::History, due::get(tx, What::History).unwrap().unwrap()).unwrap());
    // It was told before the others had anything of this conversation.
    has(&mut desks[1], &group, &[(4, "four")]);
    assert!(comes_in(&mut desks[1]));
    talk(&mut log, &mut desks);
    assert_eq!(desks[1].texts(&group.name), ["one", "two", "three", "four"]);
    assert!(is_whole(&mut desks[1]));
}

#[test]
fn who_has_no_other_device_forgets_what_was_missed() {
    let mut desk = Desk::of("alice");
    let group = friends();
    has(&mut desk, &group, &[(1, "one")]);
    let local = desk.conversation(&group.name).local;
    desk.tx(|tx, _| {
        missed::begins(tx, local, Seq(1)).unwrap();
        assert!(!missed::ends(tx, local, Seq(5)).unwrap());
        assert!(!missed::has(tx, local, Seq(3)).unwrap());
        let rows: i64 = tx.query_one("SELECT count(*) FROM missed", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    });
}

#[test]
fn what_is_told_or_imported_and_disappears_is_looked_for() {
    let mut desk = Desk::of("alice");
    let group = friends();
    has(&mut desk, &group, &[]);
    let told = |nr: u64, expires_ms: u64| v1::HistoryMessage {
        conversation: group.name.to_string(),
        seq: nr,
        message_id: MessageId::new(nr, [7; 10]).as_bytes().to_vec().into(),
        sender: "bob@a.example".into(),
        kind: "text".into(),
        state: Some(v1::MessageState { expires_ms, ..Default::default() }),
        ..Default::default()
    };
    let mut takes = |told| {
        let page = v1::HistoryPage { messages: vec![told], last: true, ..Default::default() };
        let (new, applied) = desk.tx(|tx, me| import(tx, me, &page).unwrap());
        (new, applied.expiring)
    };
    let soon = fresh::now_ms() + 60_000;
    assert_eq!(takes(told(1, 0)), (1, false));
    assert_eq!(takes(told(2, soon)), (1, true));
    assert_eq!(takes(told(2, soon)), (0, false), "it is here already");
    assert_eq!(takes(told(3, 1)), (0, false), "it has disappeared meanwhile");
}
