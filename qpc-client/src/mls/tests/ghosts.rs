//! Devices that an account did not sign, wherever they are tried (invariant 13).

use openmls::{
    key_packages::KeyPackage,
    prelude::{BasicCredential, CredentialWithKey, MlsMessageOut, tls_codec::Serialize as _},
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_traits::types::SignatureScheme;

use super::*;

/// A key package of a leaf with this certificate, signed by the key of `signer`.
pub(super) fn forge(mls: &Mls<'_>, certificate: Vec<u8>, signer: &str) -> KeyPackage {
    let key = secret(signer);
    let public = key.verifying_key().to_bytes().to_vec();
    let signer = SignatureKeyPair::from_raw(SignatureScheme::ED25519, key.to_bytes().to_vec(), public.clone());
    let credential =
        CredentialWithKey { credential: BasicCredential::new(certificate).into(), signature_key: public.into() };
    let bundle = KeyPackage::builder()
        .leaf_node_capabilities(config::capabilities())
        .key_package_lifetime(config::lifetime())
        .build(config::ciphersuite(Suite::Classical), &mls.provider, &signer, credential)
        .unwrap();
    bundle.into_key_package()
}

fn encoded(key_package: KeyPackage) -> Vec<u8> {
    MlsMessageOut::from(key_package).tls_serialize_detached().unwrap()
}

/// A certificate, the seed of the key that signs its leaf, and what is said of it.
pub(super) type Ghost = (Vec<u8>, &'static str, fn(&Refusal) -> bool);

/// Each way to present a device `ghost` of alice that alice has nothing to do with, and what is
/// said of it.
pub(super) fn ghosts() -> [Ghost; 4] {
    let (alice, server) = (secret("account of alice"), secret("account of the server"));
    [
        // Alice's account key is named, but did not sign.
        (
            certificate("alice", "ghost", &alice, &server),
            "ghost",
            |refusal| matches!(refusal, Refusal::Certificate { address: Some(address), .. } if address.name.as_str() == "alice"),
        ),
        // Another account key is passed off as alice's.
        (
            certificate("alice", "ghost", &server, &server),
            "ghost",
            |refusal| matches!(refusal, Refusal::AccountKeyChanged(device) if device.address().name.as_str() == "alice"),
        ),
        // Alice's own certificate, with another key.
        (
            certificate("alice", "ghost", &alice, &alice),
            "another key",
            |refusal| matches!(refusal, Refusal::ForeignKey(device) if device.address().name.as_str() == "alice"),
        ),
        // No certificate.
        (b"alice".to_vec(), "ghost", |refusal| matches!(refusal, Refusal::Certificate { address: None, .. })),
    ]
}

#[test]
fn a_ghost_in_a_key_package_is_refused() {
    let [alice, bob, server] = Person::many(["alice", "bob", "server"]);
    let name = group_of(&[&bob, &alice]);
    for (certificate, signer, expected) in ghosts() {
        let package = server.with(|mls| encoded(forge(mls, certificate.clone(), signer)));
        let ghost = Invitee { address: alice.address(), device: device_id("ghost"), key_package: &package };
        let refused = bob.on(&name, |group| group.add(std::slice::from_ref(&ghost)));
        let Err(CommitError::Refused(refusal)) = refused else { panic!("a ghost was let in: {refused:?}") };
        assert!(expected(&refusal), "{refusal}");
        let created = bob.with(|mls| {
            mls.create_group(
                &conversation(2),
                Suite::Classical,
                &RoleTable::owned_by(bob.address().clone()),
                None,
                std::slice::from_ref(&ghost),
            )
        });
        assert!(matches!(created, Err(CreateError::Commit(CommitError::Refused(_)))));
        assert!(!bob.on(&conversation(2), |group| group.exists().unwrap()));
    }
    assert_eq!(bob.sees(&name), ["bob", "alice"]);
}

#[test]
fn a_key_package_of_somebody_else_is_refused() {
    let [alice, bob, mallory] = Person::many(["alice", "bob", "mallory"]);
    let name = group_of(&[&bob]);
    let package = mallory.key_package();
    let swapped =
        Invitee { address: alice.address(), device: mallory.device.verified().device(), key_package: &package };
    let refused = bob.on(&name, |group| group.add(std::slice::from_ref(&swapped)));
    assert!(matches!(refused, Err(CommitError::Refused(Refusal::Another { .. }))), "{refused:?}");
}

#[test]
fn a_ghost_in_a_commit_is_refused_and_not_merged() {
    let [alice, bob, mallory] = Person::many(["alice", "bob", "mallory"]);
    let name = group_of(&[&mallory, &alice, &bob]);
    for (certificate, signer, expected) in ghosts() {
        let epoch = bob.on(&name, |group| group.epoch().unwrap());
        let commit = mallory.with(|mls| {
            let ghost = forge(mls, certificate.clone(), signer);
            rules::raw_commit(mls, &name, |builder| builder.propose_adds([ghost.clone()]))
        });
        let refused = bob.follows(&name, &commit);
        let Err(ProcessError::Refused(refusal)) = refused else { panic!("a ghost was let in: {refused:?}") };
        assert!(expected(&refusal), "{refusal}");
        assert_eq!(bob.on(&name, |group| group.epoch().unwrap()), epoch);
        mallory.on(&name, |group| group.discard_pending().unwrap());
    }
    assert_eq!(bob.sees(&name), ["mallory", "alice", "bob"]);
    assert!(bob.reads(&name, &alice.send(&name, "still us")).is_ok());
}

#[test]
fn a_ghost_in_a_welcome_is_refused() {
    for (n, (certificate, signer, expected)) in ghosts().into_iter().enumerate() {
        let [alice, bob, mallory] = Person::many(["alice", "bob", "mallory"]);
        // Bob knows alice's key.
        bob.pins.judge(alice.device.verified());
        let name = group_of(&[&mallory]);
        let package = bob.key_package();
        let welcome = mallory.with(|mls| {
            let ghost = forge(mls, certificate.clone(), signer);
            let (_, bob) = mls.check_invitee(Suite::Classical, &bob.invitee(&package)).unwrap();
            rules::raw_welcome(mls, &name, [ghost, bob])
        });
        let refused = bob.with(|mls| mls.join(&name, &welcome, None));
        let Err(JoinError::Refused(refusal)) = refused else { panic!("a ghost was let in: {n} {refused:?}") };
        assert!(expected(&refusal), "{refusal}");
        assert!(!bob.on(&name, |group| group.exists().unwrap()));
    }
}

#[test]
fn a_changed_account_key_is_refused_until_it_is_confirmed() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let reset = Person::with_account_key("alice", "alice's new phone", &secret("after the reset"));
    let name = group_of(&[&bob, &alice]);
    let package = reset.key_package();
    let add = |group: &mut Group<'_>| group.add(&[reset.invitee(&package)]);
    let refused = bob.on(&name, add);
    assert!(matches!(refused, Err(CommitError::Refused(Refusal::AccountKeyChanged(_)))), "{refused:?}");
    bob.pins.0.borrow_mut().insert(alice.address().clone(), *reset.device.verified().account_key());
    // The old devices are removed first, and their role with them.
    let refused = bob.on(&name, add);
    assert!(matches!(refused, Err(CommitError::NotAllowed(Violation::TwoKeys(_)))), "{refused:?}");
    commits(&bob, &[], &name, |group| group.remove(&[alice.address().clone()]));
    let (staged, _) = commits(&bob, &[], &name, add);
    reset.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
    assert!(bob.reads(&name, &reset.send(&name, "it is really me")).is_ok());
}

#[test]
fn a_device_needs_its_own_key() {
    let account = secret("account of alice");
    let certificate = certificate("alice", "alice", &account, &account);
    let key = |seed| Zeroizing::new(secret(seed).to_bytes());
    assert!(Device::new(&certificate, &key("alice")).is_ok());
    assert!(matches!(Device::new(&certificate, &key("bob")), Err(DeviceError::Key)));
    assert!(matches!(Device::new(b"noise", &key("alice")), Err(DeviceError::Certificate(_))));
}
