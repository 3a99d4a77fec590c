//! Accounts over the wire: what a client is answered, and what an attacker can't tell.

use std::sync::Arc;

use prost::Message;
use qpc_proto::{
    error::{CloseCode, Code},
    v1::{self, answer::Result as Outcome, request::Method},
};
use qpc_server::{
    admin::{AdminAnswer, AdminRequest},
    config::Period,
    store::{OperatorStore, memory::MemoryStore},
};
use tokio::time::timeout;

use crate::{
    house::{House, TOKEN},
    person::{Device, Person, Registration},
    wire::{PATIENCE, Wire},
};

fn code(error: &v1::Error) -> Code {
    Code::from_wire(error.code).unwrap()
}

#[tokio::test]
async fn a_person_registers_and_a_second_device_comes_by_password() {
    let house = House::start().await;
    let (alice, phone, wire) = house.newcomer("alice").await;

    let second = house.connect().await;
    let answer = second.login(&alice).await.unwrap();
    assert_eq!(answer.address, alice.address().to_string());
    let laptop = Device::new();
    let enrol = v1::EnrolDevice { device: Some(alice.certify(&laptop)), device_name: "laptop".into() };
    assert!(matches!(second.call(Method::EnrolDevice(enrol)).await, Outcome::EnrolDevice(_)));
    second.authenticate(&alice, &laptop).await.unwrap();

    let Outcome::ListDevices(list) = wire.call(Method::ListDevices(v1::ListDevices {})).await else { panic!() };
    let ids: Vec<_> = list.devices.iter().map(|device| (device.device_id.clone(), device.current)).collect();
    assert_eq!(ids, [(phone.id.to_bytes(), true), (laptop.id.to_bytes(), false)]);
}

/// A connection on which another device of somebody was enrolled, and has not proved itself.
async fn enrolled(house: &House, of: &Person) -> (Wire, Device) {
    let second = house.connect().await;
    second.login(of).await.unwrap();
    let laptop = Device::new();
    let enrol = v1::EnrolDevice { device: Some(of.certify(&laptop)), device_name: "laptop".into() };
    assert!(matches!(second.call(Method::EnrolDevice(enrol)).await, Outcome::EnrolDevice(_)));
    (second, laptop)
}

/// Invariant 12, where a device is authenticated without another look at the store.
#[tokio::test]
async fn a_device_revoked_between_its_enrolment_and_its_proof_is_refused() {
    let house = House::start().await;
    let (alice, _, wire) = house.newcomer("alice").await;
    let (second, laptop) = enrolled(&house, &alice).await;
    let revoke = v1::RevokeDevice { device_id: laptop.id.to_bytes() };
    assert!(matches!(wire.call(Method::RevokeDevice(revoke)).await, Outcome::RevokeDevice(_)));
    for _ in 0..2 {
        let refused = second.authenticate(&alice, &laptop).await;
        assert_eq!(refused.map_err(|error| code(&error)), Err(Code::Unauthenticated));
    }
}

/// Whoever does not prove who they are is answered as ever.
#[tokio::test]
async fn who_is_suspended_is_told_after_the_proof_alone() {
    let store = Arc::new(MemoryStore::new());
    let house = House::start_on(store.clone(), |_| ()).await;
    let (alice, phone, wire) = house.newcomer("alice").await;
    let halfway = house.connect().await;
    halfway.login(&alice).await.unwrap();
    store.set_suspended(&alice.address().name, true).await.unwrap();

    let wrong = Person { password: "a guess".into(), ..Person::new("alice") };
    assert_eq!(failed_login(&house, &wrong).await, failed_login(&house, &Person::new("nobody")).await);
    let told = house.connect().await.login(&alice).await.unwrap_err();
    assert_eq!(code(&told), Code::Suspended);
    assert!(Code::Suspended.retryable() && told.retry_after_ms >= 10_000, "{told:?}");
    let (stranger, other) = (Person::new("alice"), Device { id: phone.id, ..Device::new() });
    let refused = house.connect().await.authenticate(&stranger, &other).await;
    assert_eq!(refused.map_err(|error| code(&error)), Err(Code::Unauthenticated));
    let refused = house.connect().await.authenticate(&alice, &phone).await;
    assert_eq!(refused.map_err(|error| code(&error)), Err(Code::Suspended));
    // A session of before, and a login that was proved before, get no further either.
    let listed = wire.call(Method::ListDevices(v1::ListDevices {})).await;
    assert!(matches!(listed, Outcome::Error(error) if code(&error) == Code::Suspended));
    let laptop = Device::new();
    let enrol = v1::EnrolDevice { device: Some(alice.certify(&laptop)), device_name: "laptop".into() };
    let enrolled = halfway.call(Method::EnrolDevice(enrol)).await;
    assert!(matches!(enrolled, Outcome::Error(error) if code(&error) == Code::Suspended));

    store.set_suspended(&alice.address().name, false).await.unwrap();
    house.connect().await.authenticate(&alice, &phone).await.unwrap();
}

/// As with a revoked device: where one is authenticated without another look at the store, and where it is on its way.
#[tokio::test]
async fn who_is_suspended_between_enrolment_and_proof_is_refused_and_sessions_end() {
    let house = House::start().await;
    let (alice, _, wire) = house.newcomer("alice").await;
    let (second, laptop) = enrolled(&house, &alice).await;
    let suspend = AdminRequest::SuspendAccount { name: "alice".into(), dry_run: false };
    assert_eq!(house.admin(suspend).await, AdminAnswer::Done { sessions: 1 });
    assert_eq!(wire.close_code().await, Some(CloseCode::Suspended));
    for _ in 0..2 {
        let refused = second.authenticate(&alice, &laptop).await;
        assert_eq!(refused.map_err(|error| code(&error)), Err(Code::Suspended));
    }
    house.admin(AdminRequest::ResumeAccount { name: "alice".into() }).await;
    second.authenticate(&alice, &laptop).await.unwrap();
}

/// The last two calls of a login may be sent together, on the stream of those before.
#[tokio::test]
async fn enrolment_and_proof_are_answered_in_order_when_they_are_sent_together() {
    let house = House::start().await;
    let (alice, _, _wire) = house.newcomer("alice").await;
    let second = house.connect().await;
    second.login(&alice).await.unwrap();
    let laptop = Device::new();
    let enrol = v1::EnrolDevice { device: Some(alice.certify(&laptop)), device_name: "laptop".into() };
    let mut call = second.open().await;
    call.request(Method::EnrolDevice(enrol)).await;
    call.request(Method::Authenticate(alice.authenticate(&laptop, &second.binding, &second.nonce))).await;
    assert!(matches!(call.answer().await, Some(Outcome::EnrolDevice(_))));
    assert!(matches!(call.answer().await, Some(Outcome::Authenticate(_))));
    assert!(matches!(second.call(Method::ListDevices(v1::ListDevices {})).await, Outcome::ListDevices(_)));
}

/// The answers of a failed login, as bytes.
async fn failed_login(house: &House, person: &Person) -> (usize, Vec<u8>) {
    let wire = house.connect().await;
    let (start, state) = person.login();
    let Outcome::LoginStart(answer) = wire.call(Method::LoginStart(start)).await else { panic!("no answer") };
    assert!(person.finish_login(state, &answer, &wire.binding).is_none());
    let finish = v1::LoginFinish { ke3: vec![7; 64].into() };
    let Outcome::Error(error) = wire.call(Method::LoginFinish(finish)).await else { panic!("no refusal") };
    assert_eq!(code(&error), Code::LoginFailed);
    (answer.encoded_len(), error.encode_to_vec())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let house = House::start().await;
    let (alice, ..) = house.newcomer("alice").await;
    let wrong = Person { password: "a guess".into(), ..alice };
    assert_eq!(failed_login(&house, &wrong).await, failed_login(&house, &Person::new("nobody")).await);
    assert_eq!(house.running.metrics.login_failure.get(), 2);
    assert_eq!(house.running.metrics.login_success.get(), 0);
}

#[tokio::test]
async fn a_login_given_up_counts_as_failed() {
    let house = House::start().await;
    let wire = house.connect().await;
    let (start, _) = Person::new("nobody").login();
    assert!(matches!(wire.call(Method::LoginStart(start)).await, Outcome::LoginStart(_)));
    wire.connection.close(0u32.into(), b"");
    let failure = &house.running.metrics.login_failure;
    let counted = timeout(PATIENCE, async {
        while failure.get() == 0 {
            tokio::task::yield_now().await;
        }
    });
    counted.await.expect("the login to be counted");
}

/// A session may begin a login as well. It is there for long; the login's place is not.
#[tokio::test]
async fn a_login_that_a_session_begins_and_leaves_gives_its_place_back() {
    let house = House::start_with(|config| {
        config.limits.login_deadline = Period::seconds(3);
        config.limits.logins_max = 1;
    })
    .await;
    let (alice, _, session) = house.newcomer("alice").await;
    let begin = async |wire: &Wire| wire.call(Method::LoginStart(alice.login().0)).await;
    assert!(matches!(begin(&session).await, Outcome::LoginStart(_)));
    let Outcome::Error(error) = begin(&house.connect().await).await else { panic!("a second place") };
    assert_eq!(code(&error), Code::Busy);
    let failure = &house.running.metrics.login_failure;
    let given_back = timeout(PATIENCE, async {
        while failure.get() == 0 {
            tokio::task::yield_now().await;
        }
    });
    given_back.await.expect("the login to be counted as failed");
    assert!(matches!(begin(&house.connect().await).await, Outcome::LoginStart(_)));
    // The session itself goes on, without the login.
    let finish = v1::LoginFinish { ke3: vec![7; 64].into() };
    let Outcome::Error(error) = session.call(Method::LoginFinish(finish)).await else { panic!("no refusal") };
    assert_eq!(code(&error), Code::WrongState);
}

#[tokio::test]
async fn tokens_and_names_are_judged() {
    let house = House::start().await;
    house.newcomer("alice").await;
    let invite = house.running.accounts.create_invite(1, None).await.unwrap();
    let enter = async |name: &str, token: &str| {
        let wire = house.connect().await;
        wire.register(&Person::new(name), token, &Device::new()).await.map_err(|error| code(&error))
    };
    assert_eq!(enter("bob", "").await, Err(Code::TokenInvalid));
    assert_eq!(enter("bob", "a guess").await, Err(Code::TokenInvalid));
    assert_eq!(enter("alice", TOKEN).await, Err(Code::NameTaken));
    assert_eq!(enter("bad name", TOKEN).await, Err(Code::Malformed));
    assert_eq!(enter("bob", invite.expose()).await, Ok(()));
    assert_eq!(enter("carol", invite.expose()).await, Err(Code::TokenInvalid));
    assert_eq!(enter("carol", TOKEN).await, Ok(()));
}

#[tokio::test]
async fn a_password_is_changed_on_a_session_that_proves_the_old_one() {
    let house = House::start().await;
    let (alice, _, wire) = house.newcomer("alice").await;
    let changed = Person { password: "a better one".into(), ..alice.clone() };
    let (request, registration) = Registration::begin(&changed.password);
    let start = Method::ChangePasswordStart(v1::ChangePasswordStart { registration_request: request });
    let Outcome::Error(error) = wire.call(start.clone()).await else { panic!("no refusal") };
    assert_eq!(code(&error), Code::WrongState);

    wire.login(&alice).await.unwrap();
    let Outcome::ChangePasswordStart(answer) = wire.call(start).await else { panic!("no answer") };
    let finish = v1::ChangePasswordFinish {
        registration_record: registration.finish(&changed.password, &answer.registration_response),
        wrapped_account_secret: b"sealed anew".to_vec().into(),
        ksf_version: qpc_proto::KSF_VERSION,
    };
    let done = wire.call(Method::ChangePasswordFinish(finish)).await;
    assert!(matches!(done, Outcome::ChangePasswordFinish(_)));
    assert_eq!(house.connect().await.login(&alice).await.map_err(|error| code(&error)), Err(Code::LoginFailed));
    let answer = house.connect().await.login(&changed).await.unwrap();
    assert_eq!(answer.wrapped_account_secret.as_ref(), b"sealed anew");
}

/// Invariant 12, of a whole account: nothing outlives its deletion.
#[tokio::test]
async fn a_deleted_account_is_gone_with_its_sessions() {
    let house = House::start().await;
    let (alice, device, wire) = house.newcomer("alice").await;
    let other = house.connect().await;
    other.authenticate(&alice, &device).await.unwrap();
    let delete = || Method::DeleteAccount(v1::DeleteAccount {});
    let Outcome::Error(error) = wire.call(delete()).await else { panic!("no refusal") };
    assert_eq!(code(&error), Code::WrongState);
    wire.login(&alice).await.unwrap();
    // The answer may be cut off with the session.
    let mut call = wire.open().await;
    call.request(delete()).await;
    let end = timeout(PATIENCE, other.connection.closed()).await.expect("the other session to end");
    assert_eq!(close_code(&end), Some(CloseCode::Revoked));
    let again = house.connect().await;
    assert_eq!(again.authenticate(&alice, &device).await.map_err(|e| code(&e)), Err(Code::Unauthenticated));
    assert_eq!(again.login(&alice).await.map_err(|error| code(&error)), Err(Code::LoginFailed));
}

fn close_code(end: &quinn::ConnectionError) -> Option<CloseCode> {
    match end {
        quinn::ConnectionError::ApplicationClosed(close) => CloseCode::from_wire(close.error_code.into_inner()),
        _ => None,
    }
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_closes() {
    let house = House::start_with(|config| config.server.drain = Period::seconds(1)).await;
    let (_, _, wire): (_, _, Wire) = house.newcomer("alice").await;
    let House { running, .. } = house;
    let (drained, end) = tokio::join!(running.drain(), timeout(PATIENCE, wire.connection.closed()));
    assert_eq!(drained, Ok(()));
    assert_eq!(close_code(&end.expect("the connection to end")), Some(CloseCode::ShuttingDown));
}
