//! Accounts without sockets: registration, login, devices, tokens, password change and reset.

use std::{sync::Arc, time::Duration};

use qpc_proto::v1;
use qpc_server::{
    account::{
        Accounts, AuthenticateError, ChangePasswordStartError, DeleteError, EnrolError, LoginFinishError, LoginLimits,
        LoginMeter, LoginStage, LoginStartError, OpaqueSetups, Recognised, RegisterFinishError, RegisterStartError,
        RegistrationPolicy, StandingToken,
    },
    clock::SystemClock,
    registry::AsOf,
    rng::SystemRng,
    store::{Actor, Store, memory::MemoryStore},
};

use crate::person::{Device, Person, Registration, domain};

const TOKEN: &str = "the standing token";

struct House {
    accounts: Accounts,
    meter: LoginMeter,
}

/// A connection's TLS exporter output; another number is another connection.
fn binding(connection: u8) -> [u8; 32] {
    [connection; 32]
}

impl House {
    async fn new(policy: RegistrationPolicy, limits: LoginLimits) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let setup = OpaqueSetups::generate(&SystemRng, 0);
        let meter = LoginMeter::default();
        let accounts = Accounts::new(store, setup, domain(), policy, Arc::new(SystemClock), Arc::new(SystemRng))
            .with_limits(limits)
            .with_meter(meter.clone());
        accounts.prepare().await.unwrap();
        Self { accounts, meter }
    }

    async fn open() -> Self {
        Self::open_with(LoginLimits::default()).await
    }

    async fn open_with(limits: LoginLimits) -> Self {
        let policy = RegistrationPolicy { standing: vec![StandingToken::new(TOKEN)], open: false };
        Self::new(policy, limits).await
    }

    async fn try_register(&self, person: &Person, token: &str, device: &Device) -> Result<(), String> {
        let mut stage = self.accounts.stage(binding(0));
        let (start, registration) = person.register(token);
        let answer = self.accounts.register_start(&mut stage, start).await.map_err(|e| e.to_string())?;
        let finish = person.finish_registration(registration, &answer, device);
        let answer = self.accounts.register_finish(&mut stage, finish).await.map_err(|e| e.to_string())?;
        assert_eq!(answer.address, person.address().to_string());
        Ok(())
    }

    async fn register(&self, person: &Person) -> Device {
        let device = Device::new();
        self.try_register(person, TOKEN, &device).await.unwrap();
        device
    }

    /// Logs in on a connection, as far as it goes.
    async fn login(&self, person: &Person, connection: u8) -> Option<(LoginStage, v1::LoginFinishAnswer)> {
        let mut stage = self.accounts.stage(binding(connection));
        let (start, state) = person.login();
        let answer = self.accounts.login_start(&mut stage, start).await.unwrap();
        let finish = person.finish_login(state, &answer, &binding(connection))?;
        let answer = self.accounts.login_finish(&mut stage, finish).await.unwrap();
        Some((stage, answer))
    }

    async fn session(&self, person: &Person, device: &Device, stage: &LoginStage, connection: u8) -> Actor {
        let proof = person.authenticate(device, &binding(connection), stage.nonce());
        self.accounts.authenticate(stage, proof, AsOf::default()).await.unwrap().actor
    }
}

#[tokio::test]
async fn an_account_has_as_many_devices_as_the_operator_allows() {
    let house = House::open_with(LoginLimits { devices_per_account: 2, ..LoginLimits::default() }).await;
    let alice = Person::new("alice");
    house.register(&alice).await;
    let enrolment = || v1::EnrolDevice { device: Some(alice.certify(&Device::new())), device_name: "phone".into() };
    let (mut stage, _) = house.login(&alice, 1).await.unwrap();
    house.accounts.enrol_device(&mut stage, enrolment(), AsOf::default()).await.unwrap();
    let (mut stage, _) = house.login(&alice, 2).await.unwrap();
    let refused = house.accounts.enrol_device(&mut stage, enrolment(), AsOf::default()).await;
    assert_eq!(refused.unwrap_err(), EnrolError::TooMany);
}

#[tokio::test]
async fn a_person_registers_comes_back_and_brings_a_second_device() {
    let house = House::open().await;
    let alice = Person::new("alice");
    let phone = house.register(&alice).await;
    let (mut stage, answer) = house.login(&alice, 1).await.unwrap();
    assert_eq!(answer.wrapped_account_secret.as_ref(), b"sealed under the export key");
    assert_eq!(answer.account_key.as_ref(), alice.account.verifying_key().as_bytes());

    let laptop = Device::new();
    let enrol = v1::EnrolDevice { device: Some(alice.certify(&laptop)), device_name: "laptop".into() };
    house.accounts.enrol_device(&mut stage, enrol, AsOf::default()).await.unwrap();
    let actor = house.session(&alice, &laptop, &stage, 1).await;
    let devices = house.accounts.list_devices(&actor).await.unwrap().devices;
    let seen: Vec<_> = devices.iter().map(|device| (device.name.as_str(), device.current)).collect();
    assert_eq!(seen, [("a device", false), ("laptop", true)]);

    let revoke = v1::RevokeDevice { device_id: phone.id.to_bytes() };
    house.accounts.revoke_device(&actor, revoke).await.unwrap();
    let stage = house.accounts.stage(binding(2));
    let proof = alice.authenticate(&phone, &binding(2), stage.nonce());
    assert_eq!(
        house.accounts.authenticate(&stage, proof, AsOf::default()).await.unwrap_err(),
        AuthenticateError::Refused
    );
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_alike() {
    let house = House::open().await;
    let alice = Person::new("alice");
    house.register(&alice).await;
    let wrong = Person { password: "a guess".into(), ..alice };
    let unknown = Person::new("nobody");
    let mut answers = Vec::new();
    for person in [&wrong, &unknown] {
        let mut stage = house.accounts.stage(binding(1));
        let (start, state) = person.login();
        let answer = house.accounts.login_start(&mut stage, start).await.unwrap();
        assert!(person.finish_login(state, &answer, &binding(1)).is_none());
        let forged = v1::LoginFinish { ke3: vec![7; 64].into() };
        let refused = house.accounts.login_finish(&mut stage, forged).await.unwrap_err();
        assert!(!stage.has_proved_password());
        answers.push((answer.ke2.len(), answer.ksf_version, refused));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], (320, qpc_proto::KSF_VERSION, LoginFinishError::Failed));
    assert_eq!((house.meter.succeeded.get(), house.meter.failed.get(), house.meter.pending.get()), (0, 2, 0));
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_same_key_material_every_time() {
    // The evaluated OPRF element begins KE2. It must not change from login to login where a known name's would not.
    let house = House::open().await;
    let unknown = Person::new("nobody");
    let (start, _) = unknown.login();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut stage = house.accounts.stage(binding(1));
        let answer = house.accounts.login_start(&mut stage, start.clone()).await.unwrap();
        seen.push(answer.ke2.slice(..32));
    }
    assert_eq!(seen[0], seen[1]);
}

/// Invariant 7: a login state is used at most once, and on its own connection.
#[tokio::test]
async fn a_login_state_is_used_once_and_on_its_connection() {
    let house = House::open().await;
    let alice = Person::new("alice");
    house.register(&alice).await;
    let accounts = &house.accounts;

    let begin = async |connection: u8| {
        let mut stage = accounts.stage(binding(connection));
        let (start, state) = alice.login();
        let answer = accounts.login_start(&mut stage, start).await.unwrap();
        (stage, alice.finish_login(state, &answer, &binding(connection)).unwrap())
    };
    let (mut stage, finish) = begin(1).await;
    let (mut other, _) = begin(2).await;
    assert_eq!(accounts.login_finish(&mut other, finish.clone()).await.unwrap_err(), LoginFinishError::Failed);
    let refused = accounts.login_finish(&mut accounts.stage(binding(1)), finish.clone()).await.unwrap_err();
    assert_eq!(refused, LoginFinishError::NotStarted);
    accounts.login_finish(&mut stage, finish.clone()).await.unwrap();
    assert_eq!(accounts.login_finish(&mut stage, finish).await.unwrap_err(), LoginFinishError::NotStarted);

    // A proof made for another connection's exporter is worth nothing.
    let mut stage = accounts.stage(binding(4));
    let (start, state) = alice.login();
    let answer = accounts.login_start(&mut stage, start).await.unwrap();
    assert!(alice.finish_login(state, &answer, &binding(5)).is_none());
    drop(stage);
    assert_eq!((house.meter.succeeded.get(), house.meter.failed.get()), (1, 2));
}

#[tokio::test]
async fn a_login_that_takes_too_long_fails() {
    let deadline = Duration::from_secs(2);
    let limits = LoginLimits { deadline, ..LoginLimits::default() };
    let house = House::new(RegistrationPolicy { standing: vec![], open: true }, limits).await;
    let alice = Person::new("alice");
    house.try_register(&alice, "", &Device::new()).await.unwrap();
    assert!(house.login(&alice, 1).await.is_some(), "in time");

    let mut stage = house.accounts.stage(binding(2));
    let (start, state) = alice.login();
    let answer = house.accounts.login_start(&mut stage, start).await.unwrap();
    let finish = alice.finish_login(state, &answer, &binding(2)).unwrap();
    let due = stage.login_due().unwrap();
    // Not late yet: nothing is given up.
    stage.forget_late_login();
    assert_eq!(stage.login_due(), Some(due));
    tokio::time::sleep_until(due).await;
    assert_eq!(house.accounts.login_finish(&mut stage, finish).await.unwrap_err(), LoginFinishError::Failed);
    assert_eq!((house.meter.succeeded.get(), house.meter.failed.get(), house.meter.pending.get()), (1, 1, 0));
}

#[tokio::test]
async fn logins_under_way_are_bounded_and_those_given_up_count_as_failed() {
    let limits = LoginLimits { states_max: 2, ..LoginLimits::default() };
    let house = House::new(RegistrationPolicy::default(), limits).await;
    let begin = async || {
        let mut stage = house.accounts.stage(binding(1));
        let outcome = house.accounts.login_start(&mut stage, Person::new("bob").login().0).await;
        (stage, outcome)
    };
    let (first, second) = (begin().await, begin().await);
    assert!(first.1.is_ok() && second.1.is_ok());
    assert_eq!(house.meter.pending.get(), 2);
    assert_eq!(begin().await.1.unwrap_err(), LoginStartError::Busy);
    drop(first);
    assert_eq!(house.meter.failed.get(), 1);
    assert!(begin().await.1.is_ok());
}

#[tokio::test]
async fn tokens_let_in_as_often_as_they_say() {
    let house = House::open().await;
    let invite = house.accounts.create_invite(2, Some(Duration::from_secs(60))).await.unwrap();
    let expired = house.accounts.create_invite(2, Some(Duration::ZERO)).await.unwrap();
    assert!(house.accounts.invite_is_valid(invite.expose()).await.unwrap());
    let enter = async |name: &str, token: &str| {
        house.try_register(&Person::new(name), token, &Device::new()).await.map_err(|error| error.to_string())
    };
    let refused = Err(RegisterStartError::Token.to_string());
    assert_eq!(enter("a", "").await, refused);
    assert_eq!(enter("a", "a guess").await, refused);
    assert_eq!(enter("a", &"x".repeat(200)).await, refused);
    assert_eq!(enter("a", expired.expose()).await, refused);
    assert_eq!(enter("a", invite.expose()).await, Ok(()));
    assert_eq!(enter("a", TOKEN).await, Err(RegisterFinishError::NameTaken.to_string()));
    assert_eq!(enter("A", TOKEN).await.unwrap_err(), RegisterFinishError::NameTaken.to_string());
    assert_eq!(enter("b", invite.expose()).await, Ok(()));
    assert_eq!(enter("c", invite.expose()).await, refused);
    assert!(!house.accounts.invite_is_valid(invite.expose()).await.unwrap());
    assert_eq!(enter("c", TOKEN).await, Ok(()));
    assert_eq!(enter("d", TOKEN).await, Ok(()));
}

#[tokio::test]
async fn two_can_not_use_up_the_same_invite_at_once() {
    let house = House::open().await;
    let invite = house.accounts.create_invite(1, None).await.unwrap();
    let (mut here, mut there) = (house.accounts.stage(binding(1)), house.accounts.stage(binding(2)));
    let (alice, bob) = (Person::new("alice"), Person::new("bob"));
    let (start, first) = alice.register(invite.expose());
    let answer = house.accounts.register_start(&mut here, start).await.unwrap();
    let first = alice.finish_registration(first, &answer, &Device::new());
    let (start, second) = bob.register(invite.expose());
    let answer = house.accounts.register_start(&mut there, start).await.unwrap();
    let second = bob.finish_registration(second, &answer, &Device::new());
    house.accounts.register_finish(&mut here, first).await.unwrap();
    let refused = house.accounts.register_finish(&mut there, second).await.unwrap_err();
    assert_eq!(refused, RegisterFinishError::Token);
}

#[tokio::test]
async fn an_open_server_asks_for_no_token() {
    let house = House::new(RegistrationPolicy { standing: vec![], open: true }, LoginLimits::default()).await;
    for (name, token) in [("alice", ""), ("bob", "a token from long ago")] {
        house.try_register(&Person::new(name), token, &Device::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_registration_needs_a_device_that_its_own_account_signed() {
    let house = House::open().await;
    let (alice, mallory) = (Person::new("alice"), Person::new("mallory"));
    let try_with = async |certificate: Option<v1::DeviceCertificate>| {
        let mut stage = house.accounts.stage(binding(1));
        let (start, registration) = alice.register(TOKEN);
        let answer = house.accounts.register_start(&mut stage, start).await.unwrap();
        let finish = alice.finish_registration(registration, &answer, &Device::new());
        house.accounts.register_finish(&mut stage, v1::RegisterFinish { device: certificate, ..finish }).await
    };
    let mut forged = alice.certify(&Device::new());
    forged.signature = mallory.certify(&Device::new()).signature;
    for certificate in [None, Some(forged), Some(mallory.certify(&Device::new()))] {
        assert_eq!(try_with(certificate).await.unwrap_err(), RegisterFinishError::Device);
    }
    assert!(try_with(Some(alice.certify(&Device::new()))).await.is_ok());
    let finish = v1::RegisterFinish::default();
    let refused = house.accounts.register_finish(&mut house.accounts.stage(binding(1)), finish).await.unwrap_err();
    assert_eq!(refused, RegisterFinishError::NotStarted);
}

#[tokio::test]
async fn a_device_is_enrolled_only_by_the_accounts_own_key_and_password() {
    let house = House::open().await;
    let alice = Person::new("alice");
    house.register(&alice).await;
    let enrolment =
        |person: &Person| v1::EnrolDevice { device: Some(person.certify(&Device::new())), device_name: "phone".into() };
    let mut stage = house.accounts.stage(binding(1));
    assert_eq!(
        house.accounts.enrol_device(&mut stage, enrolment(&alice), AsOf::default()).await.unwrap_err(),
        EnrolError::NotProved
    );
    let (mut stage, _) = house.login(&alice, 1).await.unwrap();
    let other_key = Person { account: Person::new("x").account, ..alice.clone() };
    assert_eq!(
        house.accounts.enrol_device(&mut stage, enrolment(&other_key), AsOf::default()).await.unwrap_err(),
        EnrolError::Device
    );
    let other_name = Person { name: "bob".into(), ..alice.clone() };
    assert_eq!(
        house.accounts.enrol_device(&mut stage, enrolment(&other_name), AsOf::default()).await.unwrap_err(),
        EnrolError::Device
    );
    assert!(house.accounts.enrol_device(&mut stage, enrolment(&alice), AsOf::default()).await.is_ok());
}

#[tokio::test]
async fn a_device_proves_itself_on_this_connection_alone() {
    let house = House::open().await;
    let alice = Person::new("alice");
    let device = house.register(&alice).await;
    let stage = house.accounts.stage(binding(1));
    let good = alice.authenticate(&device, &binding(1), stage.nonce());
    let stranger = Device::new();
    for bad in [
        alice.authenticate(&device, &binding(2), stage.nonce()),
        alice.authenticate(&device, &binding(1), &[0; 32]),
        alice.authenticate(&stranger, &binding(1), stage.nonce()),
        alice.authenticate(&Device { key: stranger.key.clone(), ..device.clone() }, &binding(1), stage.nonce()),
        v1::Authenticate { signature: bytes::Bytes::new(), ..good.clone() },
    ] {
        assert_eq!(
            house.accounts.authenticate(&stage, bad, AsOf::default()).await.unwrap_err(),
            AuthenticateError::Refused
        );
    }
    let unknown_binding = v1::Authenticate { binding: 2, ..good.clone() };
    let refused = house.accounts.authenticate(&stage, unknown_binding, AsOf::default()).await.unwrap_err();
    assert!(matches!(refused, AuthenticateError::Field(_)));
    let Recognised { actor, answer, .. } =
        house.accounts.authenticate(&stage, good.clone(), AsOf::default()).await.unwrap();
    assert_eq!((actor.device(), answer.address), (device.id, alice.address().to_string()));
    // The same proof on the next connection of the same client, where the nonce is another.
    let next = house.accounts.stage(binding(1));
    assert_eq!(
        house.accounts.authenticate(&next, good, AsOf::default()).await.unwrap_err(),
        AuthenticateError::Refused
    );
}

#[tokio::test]
async fn a_password_change_needs_the_old_one_and_replaces_it() {
    let house = House::open().await;
    let alice = Person::new("alice");
    let device = house.register(&alice).await;
    let mut stage = house.accounts.stage(binding(1));
    let actor = house.session(&alice, &device, &stage, 1).await;
    let changed = Person { password: "a better one".into(), ..alice.clone() };
    let (request, _) = Registration::begin(&changed.password);
    let start = v1::ChangePasswordStart { registration_request: request };
    let refused = house.accounts.change_password_start(&actor, &mut stage, start).await.unwrap_err();
    assert_eq!(refused, ChangePasswordStartError::NotProved);

    let (mut stage, _) = house.login(&alice, 1).await.unwrap();
    let (request, registration) = Registration::begin(&changed.password);
    let start = v1::ChangePasswordStart { registration_request: request };
    let answer = house.accounts.change_password_start(&actor, &mut stage, start).await.unwrap();
    let finish = v1::ChangePasswordFinish {
        registration_record: registration.finish(&changed.password, &answer.registration_response),
        wrapped_account_secret: b"sealed anew".to_vec().into(),
        ksf_version: qpc_proto::KSF_VERSION,
    };
    house.accounts.change_password_finish(&actor, &mut stage, finish.clone()).await.unwrap();
    assert!(house.accounts.change_password_finish(&actor, &mut stage, finish).await.is_err());

    assert!(house.login(&alice, 2).await.is_none());
    let (_, answer) = house.login(&changed, 3).await.unwrap();
    assert_eq!(answer.wrapped_account_secret.as_ref(), b"sealed anew");
}

#[tokio::test]
async fn the_proof_of_one_account_is_worth_nothing_for_another() {
    let house = House::open().await;
    let (alice, bob) = (Person::new("alice"), Person::new("bob"));
    let device = house.register(&alice).await;
    house.register(&bob).await;
    let (mut stage, _) = house.login(&bob, 1).await.unwrap();
    let actor = house.session(&alice, &device, &stage, 1).await;
    assert_eq!(house.accounts.delete_account(&actor, &mut stage).await.unwrap_err(), DeleteError::NotProved);
    let (mut stage, _) = house.login(&alice, 2).await.unwrap();
    house.accounts.delete_account(&actor, &mut stage).await.unwrap();
    assert!(house.login(&alice, 3).await.is_none());
    let again = house.try_register(&Person::new("alice"), TOKEN, &Device::new()).await;
    assert_eq!(again, Err(RegisterFinishError::NameTaken.to_string()));
}

#[tokio::test]
async fn a_reset_name_is_for_its_token_alone() {
    let house = House::open().await;
    let alice = Person::new("alice");
    let device = house.register(&alice).await;
    assert!(house.accounts.reset_account("nobody".parse().unwrap()).await.is_err());
    let token = house.accounts.reset_account("alice".parse().unwrap()).await.unwrap();

    assert!(house.login(&alice, 1).await.is_none());
    let stage = house.accounts.stage(binding(1));
    let proof = alice.authenticate(&device, &binding(1), stage.nonce());
    assert_eq!(
        house.accounts.authenticate(&stage, proof, AsOf::default()).await.unwrap_err(),
        AuthenticateError::Refused
    );
    let invite = house.accounts.create_invite(1, None).await.unwrap();
    let again = Person::new("alice");
    assert!(house.try_register(&again, TOKEN, &Device::new()).await.is_err());
    assert!(house.try_register(&again, invite.expose(), &Device::new()).await.is_err());
    assert!(house.try_register(&Person::new("bob"), token.expose(), &Device::new()).await.is_err());
    house.try_register(&again, token.expose(), &Device::new()).await.unwrap();
    assert!(house.login(&again, 2).await.is_some());
}
