//! What others sent, altered on the way: it is refused, whatever byte it is, nothing panics and nothing is left of it.

use proptest::prelude::*;

use super::{external::shown, *};

/// A group of alice, bob and dave; what carol and bob's tablet could be shown of it, and what bob could be sent.
struct Scene {
    name: ConversationName,
    bob: Person,
    carol: Person,
    tablet: Person,
    welcome: Vec<u8>,
    commit: Vec<u8>,
    message: Vec<u8>,
    leave: Vec<u8>,
    info: Vec<u8>,
    tree: Vec<u8>,
}

fn scene() -> Scene {
    let [alice, bob, carol, dave] = Person::many(["alice", "bob", "carol", "dave"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&alice, &bob, &dave]);
    let (info, tree) = shown(&alice, &name);
    let message = alice.send(&name, "a message");
    let leave = dave.on(&name, |group| group.leave().unwrap()).bytes;
    let package = carol.key_package();
    let staged = alice.on(&name, |group| group.add(&[carol.invitee(&package)]).unwrap());
    Scene {
        welcome: staged.welcome.unwrap(),
        commit: staged.commit,
        name,
        bob,
        carol,
        tablet,
        message,
        leave,
        info,
        tree,
    }
}

thread_local! {
    static SCENE: Scene = scene();
}

/// Other bytes than these: some of them are turned, and the end may be missing.
fn altered(bytes: &[u8], turned: &[(prop::sample::Index, u8)], kept: Option<prop::sample::Index>) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    for (at, by) in turned {
        let at = at.index(altered.len());
        altered[at] ^= by;
    }
    if let Some(kept) = kept {
        altered.truncate(kept.index(altered.len()));
    }
    altered
}

fn refused<T, E>(who: &Person, what: &str, operation: impl Fn(&Mls<'_>) -> Result<T, E>) {
    let before = who.rows(None);
    let result = who.with(operation);
    assert!(result.is_err(), "{what} was taken");
    assert_eq!(who.rows(None), before, "{what}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_altered_on_the_way_is_refused_and_leaves_nothing(
        turned in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..3),
        kept in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        SCENE.with(|scene| {
            let Scene { name, bob, carol, tablet, welcome, commit, message, leave, info, tree } = scene;
            let altered = |bytes: &[u8]| Some(altered(bytes, &turned, kept)).filter(|other| other != bytes);
            if let Some(welcome) = altered(welcome) {
                refused(carol, "welcome", |mls| mls.join(name, &welcome, None));
            }
            if let Some(info) = altered(info) {
                refused(tablet, "group info", |mls| mls.join_by_commit(name, Coming::First, &info, tree));
            }
            if let Some(tree) = altered(tree) {
                refused(tablet, "tree", |mls| mls.join_by_commit(name, Coming::First, info, &tree));
            }
            for (kind, body) in [(EntryKind::Commit, commit), (EntryKind::Proposal, leave), (EntryKind::Message, message)] {
                if let Some(body) = altered(body) {
                    refused(bob, "an entry", |mls| mls.group(name).process(kind, &body));
                }
            }
        });
    }
}

#[test]
fn unaltered_it_is_all_taken() {
    let Scene { name, bob, carol, tablet, welcome, commit, message, leave, info, tree } = scene();
    tablet.with(|mls| mls.join_by_commit(&name, Coming::First, &info, &tree)).unwrap();
    bob.process(&name, EntryKind::Message, &message).unwrap();
    bob.process(&name, EntryKind::Proposal, &leave).unwrap();
    bob.process(&name, EntryKind::Commit, &commit).unwrap();
    carol.with(|mls| mls.join(&name, &welcome, None)).unwrap();
}
