//! Pictures of groups: for everybody in the group and whoever comes later, and for nobody else.

use std::{fs, process::Stdio};

use qpc_client::api::{Command, CommandError, GroupPicture, Outcome, Picture, PictureFormat, Role};
use qpc_proto::limits::GROUP_PICTURE_MAX;

use crate::{
    net::{Net, Person, new_group},
    people::Town,
};

const GROUP: &str = "tea";

/// As large as one may be.
fn picture(last: u8) -> Picture {
    let mut bytes = b"\xff\xd8\xff\xe0".to_vec();
    bytes.resize(GROUP_PICTURE_MAX - 1, 0xa5);
    bytes.push(last);
    Picture(bytes)
}

fn describe(picture: Picture) -> Command {
    Command::GroupDescribe { group: GROUP.into(), name: None, topic: None, picture: Some(picture) }
}

fn has(person: &Person, wanted: &Picture) -> bool {
    let listed = person.conversations().iter().any(|one| one.title == GROUP && one.picture);
    match person.attempt(Command::GroupPicture { group: GROUP.into() }) {
        Ok(Outcome::Picture(GroupPicture { format: PictureFormat::Jpeg, picture, .. })) => listed && picture == *wanted,
        _ => false,
    }
}

#[test]
fn a_group_has_a_picture_that_everybody_is_sent() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group(GROUP, ["bob"]));
    bob.until("the group", |bob| bob.conversations().iter().any(|one| one.title == GROUP));
    let (first, second) = (picture(1), picture(2));
    let refused = bob.attempt(describe(first.clone()));
    assert!(matches!(&refused, Err(CommandError::Usage { message }) if message.contains("only owners")), "{refused:?}");
    alice.do_it(describe(first.clone()));
    assert!(has(&alice, &first));
    bob.until("the picture", |bob| has(bob, &first));
    let said = bob.history(GROUP).into_iter().filter(|one| one.kind == "group_state");
    assert_eq!(said.map(|one| one.body).collect::<Vec<_>>(), ["(changed the group's picture)"]);

    // Who comes later is sent it: another member, and a device that comes by itself, from whoever may.
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(Command::GroupAdd { group: GROUP.into(), members: vec!["carol".into()] });
    carol.until("the picture", |carol| has(carol, &first));
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "carol".into(), role: Role::Admin });
    carol.until("the role", |carol| carol.history(GROUP).iter().any(|one| one.body.contains("made carol")));
    bob.disconnect();
    alice.disconnect();
    let desk = net.device("bob", "desk");
    desk.until("the picture", |desk| has(desk, &first));

    carol.do_it(describe(second.clone()));
    alice.connect();
    alice.until("the second picture", |alice| has(alice, &second));
    carol.do_it(describe(Picture::default()));
    for person in [&alice, &desk] {
        person.until("no picture", |person| person.conversations().iter().all(|one| !one.picture));
        let none = person.attempt(Command::GroupPicture { group: GROUP.into() });
        assert!(matches!(&none, Err(CommandError::Usage { message }) if message.contains("no picture")), "{none:?}");
    }
    // It is none of the server's business.
    net.stop_server();
    for file in fs::read_dir(net.server_dir()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(64).any(|window| window == [0xa5; 64]));
    }
}

#[test]
fn the_programs_read_a_picture_from_a_file_and_write_it_to_one() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["group", "create", GROUP, "bob"]);
    let path = |name: &str, bytes: &[u8]| {
        let path = town.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut large = picture(1).0;
    let fits = path("fits.jpg", &large);
    large.push(0);
    let large = path("large.jpg", &large);
    let text = path("text.png", b"not a picture");
    for (file, why) in [(&large, "larger than a group's picture may be (48 KiB)"), (&text, "PNG, JPEG or WebP")] {
        let (code, _, stderr) = alice.tries(&["group", "describe", GROUP, "--picture", file]);
        assert!(code == 65 && stderr.contains(why) && stderr.contains(file), "{code} {stderr}");
    }
    let (code, _, stderr) = alice.tries(&["group", "describe", GROUP, "--picture", "/nowhere/at/all.png"]);
    assert!(code == 65 && stderr.contains("can't be read"), "{code} {stderr}");
    alice.does(&["group", "describe", GROUP, "--picture", &fits]);
    assert!(alice.does(&["group", "list"]).contains("#tea (picture)"));
    assert!(alice.does(&["group", "members", GROUP]).contains("the group has a picture"));
    assert!(alice.does(&["conversations", "--json"]).contains("\"picture\":true"));

    bob.does(&["listen"]);
    let out = town.path("out.jpg").to_str().unwrap().to_owned();
    let written: serde_json::Value =
        serde_json::from_str(&bob.does(&["group", "picture", GROUP, "-o", &out, "--json"])).unwrap();
    assert_eq!((&written["format"], &written["bytes"]), (&"image/jpeg".into(), &GROUP_PICTURE_MAX.into()));
    assert_eq!(fs::read(&out).unwrap(), picture(1).0);
    // What is there stays, whatever it is, until somebody says otherwise.
    fs::write(&out, "mine").unwrap();
    let (code, _, stderr) = bob.tries(&["group", "picture", GROUP, "-o", &out]);
    assert!(code == 2 && stderr.contains("--force"), "{code} {stderr}");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    bob.does(&["group", "picture", GROUP, "-o", &out, "--force"]);
    assert_eq!(fs::read(&out).unwrap(), picture(1).0);
    // To a pipe it goes as it is; to a terminal, or among JSON, it does not.
    let piped = bob.command(&["group", "picture", GROUP]).stderr(Stdio::inherit()).output().unwrap();
    assert_eq!(piped.stdout, picture(1).0);
    let (code, stdout, _) = bob.tries(&["group", "picture", GROUP, "--json"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    let terminal = bob.chats(&["group", "picture", GROUP]);
    terminal.sees("not written to a terminal");

    alice.does(&["group", "describe", GROUP, "--no-picture"]);
    bob.does(&["listen"]);
    let (code, _, stderr) = bob.tries(&["group", "picture", GROUP]);
    assert!(code == 2 && stderr.contains("has no picture"), "{code} {stderr}");
}
