//! What a group costs in bytes, on the wire and in the store. With openmls 0.9.2, suite 3 and
//! certificates of some 200 bytes, by members (one device each):
//!
//! | | 2 | 10 | 50 |
//! |---|---|---|---|
//! | commit that adds all the others | 1,027 | 4,738 | 22,888 |
//! | its welcome | 1,178 | 5,374 | 25,518 |
//! | its group info, with the tree | 1,040 | 4,020 | 18,082 |
//! | commit that renews one's own keys | 659 | 1,420 | 4,770 |
//! | state in one device's store | 11,664 | 34,744 | 138,673 |
//!
//! A key package has 452 bytes, a message of up to 127 bytes 215.

use super::*;

#[test]
fn sizes_of_groups() {
    for size in [2_usize, 10, 50] {
        let people: Vec<_> = (0..size).map(|n| Person::new(&format!("person{n}"))).collect();
        let packages: Vec<_> = people.iter().map(Person::key_package).collect();
        let (owner, name) = (&people[0], conversation(1));
        let roles = RoleTable::owned_by(owner.address().clone());
        let staged = owner.with(|mls| {
            let invitees: Vec<_> =
                people.iter().zip(&packages).skip(1).map(|(person, package)| person.invitee(package)).collect();
            mls.create_group(&name, Suite::Classical, &roles, None, &invitees).unwrap().staged.unwrap()
        });
        owner.merges(&name);
        let reader = &people[1];
        reader.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
        let update = owner.on(&name, |group| group.update().unwrap());
        owner.merges(&name);
        reader.follows(&name, &update.commit).unwrap();
        let message = owner.send(&name, "two hundred bytes would be no shorter");
        reader.reads(&name, &message).unwrap();
        let stored: i64 =
            reader.store.query_row("SELECT SUM(LENGTH(value)) FROM mls_values", [], |row| row.get(0)).unwrap();
        println!(
            "{size:>3} members: key package {}, creating commit {}, welcome {}, group info {}, update {}, message {}, stored {stored}",
            packages[0].len(),
            staged.commit.len(),
            staged.welcome.as_ref().unwrap().len(),
            staged.group_info.len(),
            update.commit.len(),
            message.len(),
        );
        assert!(packages[0].len() <= qpc_proto::limits::KEY_PACKAGE_MAX);
        assert!(staged.to_wire().encoded_len() <= qpc_proto::limits::FRAME_MAX / 2);
        assert!(message.len() < 512);
    }
}
