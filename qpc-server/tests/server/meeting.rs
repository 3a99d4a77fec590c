//! How a client meets a server: whom it believes, what it remembers, and what it says when nobody answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use qpc_client::{
    Client, Options, Registration, SignInError, Trust,
    api::{Command, CommandError, Outcome, Password},
};

use qpc_proto::address::AccountName;
use qpc_server::store::Store;

use crate::net::{Net, PASSWORD, Person, TOKEN};

fn registration(name: &str) -> Registration {
    Registration {
        name: name.into(),
        password: Password(PASSWORD.into()),
        token: Some(TOKEN.into()),
        device_name: "first".into(),
    }
}

fn register(net: &Net, name: &str, options: Options) -> Result<Client, CommandError> {
    match net.block(Client::register(net.home(name), options, registration(name))) {
        Ok(client) => Ok(client),
        Err(SignInError::Refused(error)) => Err(error),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn an_unknown_server_is_shown_once_and_remembered() {
    let net = Net::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let first_use = |answer: bool| {
        let asked = Arc::clone(&asked);
        Trust::FirstUse(Arc::new(move |_, shown| {
            asked.fetch_add(1, Ordering::SeqCst);
            assert!(shown.to_string().starts_with("sha256:"));
            answer
        }))
    };
    let refused = register(&net, "alice", Options { trust: first_use(false), ..net.options() });
    assert!(matches!(refused, Err(CommandError::Denied { .. })), "{refused:?}");
    let alice = register(&net, "alice", Options { trust: first_use(true), ..net.options() }).unwrap();
    net.block(alice.execute(Command::CatchUp)).unwrap();
    net.block(alice.close());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // Known by now: nobody is asked, not even where nobody could answer.
    let alice = net.block(Client::open(net.home("alice"), Options { trust: Trust::System, ..net.options() })).unwrap();
    net.block(alice.execute(Command::CatchUp)).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    net.block(alice.close());

    // Another certificate on the same address is refused, in words that say what to do.
    net.stop_server();
    net.forget_certificate();
    net.start_server();
    let options = Options { trust: first_use(true), ..net.options() };
    let alice = net.block(Client::open(net.home("alice"), options)).unwrap();
    match net.block(alice.execute(Command::CatchUp)) {
        Err(CommandError::Denied { message }) => {
            assert!(message.contains("HAS CHANGED") && message.contains("known_servers"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a changed key is no first use");
}

#[test]
fn without_anybody_to_ask_an_unknown_server_is_refused_with_its_fingerprint() {
    let net = Net::start();
    match register(&net, "alice", Options { trust: Trust::System, ..net.options() }) {
        Err(CommandError::Denied { message }) => assert!(message.contains("--pin") && message.contains("sha256:")),
        other => panic!("{other:?}"),
    }
    assert!(!net.home("alice").has_account());
}

#[test]
fn a_port_where_nothing_listens_is_said_to_be_that() {
    let net = Net::start();
    let alice = net.person("alice");
    alice.disconnect();
    net.stop_server();
    alice.connect();
    match alice.attempt(Command::CatchUp) {
        Err(CommandError::Unreachable { message }) => assert!(message.contains("nothing listens"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(!alice.status().online);
}

#[test]
fn a_server_of_another_protocol_is_told_from_a_dead_one() {
    let net = Net::start();
    let stranger = net.block(async {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
    });
    let server = Some(stranger.local_addr().unwrap().to_string().parse().unwrap());
    let accepting = async {
        while let Some(incoming) = stranger.accept().await {
            drop(incoming.await);
        }
    };
    let registering = Client::register(net.home("alice"), Options { server, ..net.options() }, registration("alice"));
    let refused = net.block(async {
        tokio::select! {
            refused = registering => refused,
            () = accepting => unreachable!("the endpoint goes on"),
        }
    });
    assert!(
        matches!(&refused, Err(SignInError::Refused(CommandError::Unreachable { message })) if message.contains("qpc/1")),
        "{refused:?}"
    );
}

#[test]
fn a_wrong_password_and_a_taken_name_are_said_in_words() {
    let net = Net::start();
    let _alice = net.person("alice");
    let taken = net.block(Client::register(net.home("other"), net.options(), registration("alice")));
    assert!(
        matches!(&taken, Err(SignInError::Refused(CommandError::Usage { message })) if message.contains("registered"))
    );
    let login = qpc_client::Login { name: "alice".into(), password: Password("wrong".into()), device_name: "x".into() };
    let refused = net.block(Client::login(net.home("other"), net.options(), login));
    assert!(
        matches!(&refused, Err(SignInError::Refused(CommandError::Denied { message })) if message.contains("password"))
    );
    let occupied = net.block(async {
        let alice = net.home("alice");
        Client::register(alice, net.options(), registration("second")).await
    });
    assert!(matches!(occupied, Err(SignInError::Open(qpc_client::OpenError::Busy))), "{occupied:?}");
}

#[test]
fn a_registration_that_is_wished_away_ends_before_the_account_or_with_it() {
    let net = Net::start();
    let register = |unless: &mut (dyn Future<Output = ()> + Unpin)| {
        let made = Client::register_unless(net.home("guest"), net.options(), registration("guest"), unless);
        net.block(made).unwrap()
    };
    assert!(register(&mut std::future::ready(())).is_none());
    assert!(!net.home("guest").has_account());
    // Wished away at the moment when the server has the account, it is somebody's all the same.
    let (store, name) = (net.store(), AccountName::parse("guest").unwrap());
    let has_account = async {
        while store.login_record(&name).await.unwrap().account.is_none() {
            tokio::task::yield_now().await;
        }
    };
    let client = register(&mut std::pin::pin!(has_account)).expect("the account's owner");
    net.block(client.execute(Command::AccountDelete { password: Password(PASSWORD.into()) })).unwrap();
}

#[test]
fn logging_out_revokes_the_device_and_empties_the_home() {
    let net = Net::start();
    let alice = net.person("alice");
    let laptop = net.device("alice", "laptop");
    laptop.log_out();
    assert!(!net.home("laptop").has_account());
    assert!(matches!(alice.do_it(Command::Devices), Outcome::Devices { devices } if devices.len() == 1));
    // The home can be used again.
    let laptop = net.device("alice", "laptop");
    laptop.do_it(Command::CatchUp);
}

#[test]
fn a_deleted_account_is_gone() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let refused = alice.attempt(Command::AccountDelete { password: Password("wrong".into()) });
    assert!(matches!(refused, Err(CommandError::Denied { .. })), "{refused:?}");
    alice.do_it(Command::AccountDelete { password: Password(PASSWORD.into()) });
    bob.until("the end", |bob| bob.conversations().iter().all(|conversation| !conversation.active));
    // Below what was said before, which is read first.
    let told = |bob: &Person| bob.history("alice").last().is_some_and(|last| last.body.contains("deleted the account"));
    bob.until("what became of it", told);
    alice.log_out();
    assert!(!net.home("alice").has_account());
}
