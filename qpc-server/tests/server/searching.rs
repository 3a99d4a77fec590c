//! Looking for messages: what others do to them, and what a new device is told, is found as it is now.

use qpc_client::api::{Command, Found, Outcome, Search};

use crate::net::{Net, Person};

fn find(who: &Person, search: Search) -> Vec<Found> {
    match who.do_it(Command::Search(Search { limit: 100, ..search })) {
        Outcome::Found { found } => found,
        other => panic!("{other:?}"),
    }
}

fn bodies(who: &Person, words: &str) -> Vec<String> {
    let found = find(who, Search { words: words.into(), ..Search::default() });
    found.into_iter().map(|found| found.message.body).collect()
}

#[test]
fn what_became_of_messages_is_found_and_what_they_were_is_not() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.say(&bob, ["apple pie at eight"]);
    bob.expects(["apple pie at eight"]);
    bob.say(&alice, ["cherry cake", "plum cake"]);
    alice.expects(["cherry cake", "plum cake"]);
    assert_eq!(bodies(&alice, "cake"), ["plum cake", "cherry cake"]);
    let from = |who: &str| Search { words: "pie".into(), from: Some(who.into()), ..Search::default() };
    assert_eq!((find(&alice, from("me")).len(), find(&bob, from("alice")).len()), (1, 1));
    assert_eq!(find(&alice, from("bob")).len(), 0);

    let message = |text: &str| {
        let found = find(&bob, Search { words: text.into(), ..Search::default() });
        (String::from("alice"), found[0].message.id.clone())
    };
    let (to, id) = message("cherry");
    bob.do_it(Command::Edit { to, message: id, text: "banana bread".into() });
    let (to, id) = message("plum");
    bob.do_it(Command::Delete { to, message: id });
    alice.until("the changes", |alice| bodies(alice, "cake").is_empty());
    for person in [&alice, &bob] {
        assert_eq!(bodies(person, "banana"), ["banana bread"], "{}", person.name);
        assert_eq!(bodies(person, "cherry"), Vec::<String>::new(), "{}", person.name);
    }

    let laptop = net.device("alice", "laptop");
    laptop.until("what was said before", |laptop| !bodies(laptop, "banana").is_empty());
    assert_eq!(bodies(&laptop, "pie"), ["apple pie at eight"]);
    assert_eq!(bodies(&laptop, "plum"), Vec::<String>::new());
}
