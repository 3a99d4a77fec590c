//! What a group costs in bytes, on the wire and in the store, of suite 3 and of the post-quantum one. With openmls 0.9.2 and
//! certificates of some 200 bytes, by members (one device each):
//!
//! | | 2 | 10 | 50 | post-quantum: 2 | 10 | 50 |
//! |---|---|---|---|---|---|---|
//! | commit that adds all the others | 1,027 | 4,738 | 22,888 | 5,768 | 31,995 | 147,313 |
//! | its welcome | 1,178 | 5,374 | 7,721 | 1,514 | 11,442 | 61,084 |
//! | its group info | 1,040 | 4,020 | 287 | 1,474 | 1,474 | 1,474 |
//! | the tree, which of suite 3 and up to 22 members is in both | 748 | 3,728 | 17,786 | 4,303 | 20,320 | 84,146 |
//! | commit that renews one's own keys | 659 | 1,420 | 4,770 | 4,118 | 17,146 | 66,432 |
//! | state in one device's store | 11,635 | 34,757 | 138,939 | 40,959 | 156,313 | 611,981 |
//!
//! A key package has 452 bytes, of the post-quantum suite 2,822; a message of up to 127 bytes 215 in both. Nobody but the one
//! who made the group has committed: a commit encrypts to each of the others.

use super::*;

#[test]
fn sizes_of_groups() {
    for (suite, size) in Suite::ALL.into_iter().flat_map(|suite| [2_usize, 10, 50].map(|size| (suite, size))) {
        let people: Vec<_> = (0..size).map(|n| Person::new(&format!("person{n}"))).collect();
        let packages: Vec<_> = people.iter().map(|person| person.key_package_of(suite)).collect();
        let (owner, name) = (&people[0], conversation(1));
        let roles = RoleTable::owned_by(owner.address().clone());
        let staged = owner.with(|mls| {
            let invitees: Vec<_> =
                people.iter().zip(&packages).skip(1).map(|(person, package)| person.invitee(package)).collect();
            mls.create_group(&name, suite, &roles, None, &invitees).unwrap().staged.unwrap()
        });
        owner.merges(&name);
        let reader = &people[1];
        let tree = external::shown(owner, &name).1;
        let beside = (!config::carries_tree(suite, size - 1, size)).then_some(tree.as_slice());
        reader.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), beside).unwrap());
        let update = owner.on(&name, |group| group.update().unwrap());
        owner.merges(&name);
        reader.follows(&name, &update.commit).unwrap();
        let message = owner.send(&name, "two hundred bytes would be no shorter");
        reader.reads(&name, &message).unwrap();
        let stored: i64 =
            reader.store.query_row("SELECT SUM(LENGTH(value)) FROM mls_values", [], |row| row.get(0)).unwrap();
        println!(
            "{}, {size:>3} members: key package {}, creating commit {}, welcome {}, group info {}, tree {}, update {}, message {}, stored {stored}",
            suite.name(),
            packages[0].len(),
            staged.commit.len(),
            staged.welcome.as_ref().unwrap().len(),
            staged.group_info.len(),
            tree.len(),
            update.commit.len(),
            message.len(),
        );
        assert!(packages[0].len() <= qpc_proto::limits::KEY_PACKAGE_MAX);
        assert!(staged.to_wire().encoded_len() <= qpc_proto::limits::FRAME_MAX / 4);
        assert!(message.len() < 512);
    }
}
