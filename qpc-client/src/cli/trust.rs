//! First use of a server whose certificate no root vouches for: shown and asked on a terminal, as
//! ssh does; refused elsewhere, with the exact line that accepts it.
//!
//! The library calls this at most once, when it has seen the certificate and before anything is
//! sent. A certificate that *changed* is refused by the library and never gets here.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use qpc_client::{Fingerprint, FirstUse, ServerAddress, Trust};

use super::{failure::Failure, hint::quoted, settings::Belief};

/// How an unknown certificate is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Ask a person if there is one.
    Ask,
    /// Believe it where the address is a loopback address, else refuse: see [`loopback`].
    Loopback,
    /// Refuse: the home has known its server for long.
    Refuse,
}

/// What was refused, if something was.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused(Arc<Mutex<Option<(ServerAddress, Fingerprint)>>>);

impl Refused {
    /// The failure that says how to accept the certificate, if that is why it went wrong.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (server, fingerprint) = self.0.lock().ok()?.take()?;
        let line = again(std::env::args_os(), &fingerprint);
        let what = format!("the server is unknown: no root vouches for its certificate\n{fingerprint}");
        Some(Failure::denied(what).at(server.to_string()).next(format!(
            "compare the fingerprint with the one that the server printed; if they are equal, type\n{line}"
        )))
    }

    fn remember(&self, server: &ServerAddress, fingerprint: &Fingerprint) -> bool {
        if let Ok(mut refused) = self.0.lock() {
            *refused = Some((server.clone(), *fingerprint));
        }
        false
    }
}

/// What the library is told to trust.
pub(super) fn trust(belief: &Belief, unknown: Unknown, refused: &Refused) -> Trust {
    let refused = refused.clone();
    let judge: FirstUse = match (belief, unknown) {
        (Belief::Pin(fingerprint), _) => return Trust::Pin(*fingerprint),
        (Belief::Ca(file), _) => return Trust::Ca(file.clone()),
        (Belief::Known, Unknown::Refuse) => return Trust::System,
        (Belief::Known, Unknown::Ask) => Arc::new(move |server: &ServerAddress, fingerprint: &Fingerprint| {
            let person = io::stdin().is_terminal() && io::stderr().is_terminal();
            if person { ask(server, fingerprint) } else { refused.remember(server, fingerprint) }
        }),
        (Belief::Known, Unknown::Loopback) => Arc::new(move |server: &ServerAddress, fingerprint: &Fingerprint| {
            if !loopback(server) {
                return refused.remember(server, fingerprint);
            }
            say(&format!("{server} is unknown; believing it for this run because it is this machine: {fingerprint}"));
            true
        }),
    };
    Trust::FirstUse(judge)
}

/// Is this, without asking any resolver, this machine? Only another user of the same machine can
/// pretend to be the server there, and all it would get is the token and a throw-away account.
fn loopback(server: &ServerAddress) -> bool {
    server.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn ask(server: &ServerAddress, fingerprint: &Fingerprint) -> bool {
    say(&format!(
        "{server} is unknown: no root vouches for its certificate, whose fingerprint is\n  {fingerprint}\n\
         Compare it with the one that the server prints when it starts."
    ));
    loop {
        say_part("Trust it from now on? Type yes, no, or the fingerprint: ");
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        match answer.trim() {
            "yes" => return true,
            "no" => return false,
            typed => match typed.parse::<Fingerprint>() {
                Ok(typed) if typed == *fingerprint => return true,
                Ok(_) => {
                    say("That is another fingerprint: this is not the server you meant.");
                    return false;
                }
                Err(_) => {}
            },
        }
    }
}

fn say(text: &str) {
    say_part(&format!("{text}\n"));
}

fn say_part(text: &str) {
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// The command line that was typed, with the pin.
fn again(typed: impl IntoIterator<Item = OsString>, fingerprint: &Fingerprint) -> String {
    let mut words: Vec<String> = typed.into_iter().map(|word| quoted(&word.to_string_lossy())).collect();
    let place = words.len().min(1);
    words.splice(place..place, ["--pin".to_owned(), fingerprint.to_string()]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_loopback_address_is_this_machine() {
        for yes in ["127.0.0.1", "127.9.9.9:7001", "[::1]:7000"] {
            assert!(loopback(&server(yes)), "{yes}");
        }
        for no in ["localhost", "192.168.0.1", "127.0.0.1.example", "0.0.0.0"] {
            assert!(!loopback(&server(no)), "{no}");
        }
    }

    #[test]
    fn the_line_to_type_is_the_typed_one_with_the_pin() {
        let typed = ["qpc-client", "--home", "/my home", "register", "o'neil"].map(OsString::from);
        let fingerprint = Fingerprint([0xab; 32]);
        assert_eq!(
            again(typed, &fingerprint),
            format!("qpc-client --pin {fingerprint} --home '/my home' register 'o'\\''neil'")
        );
    }

    #[test]
    fn a_certificate_elsewhere_is_refused_and_the_refusal_says_how_to_accept_it() {
        let refused = Refused::default();
        let trust = trust(&Belief::Known, Unknown::Loopback, &refused);
        let judge = |server: &ServerAddress, fingerprint: &Fingerprint| match &trust {
            Trust::FirstUse(judge) => judge(server, fingerprint),
            other => unreachable!("{other:?}"),
        };
        assert!(judge(&server("127.0.0.1"), &Fingerprint([1; 32])));
        assert!(refused.failure().is_none());
        assert!(!judge(&server("chat.example"), &Fingerprint([2; 32])));
        let failure = refused.failure().unwrap();
        assert!(failure.next.unwrap().contains(&format!("--pin {}", Fingerprint([2; 32]))));
        assert_eq!(failure.place.as_deref(), Some("chat.example:7000"));
    }

    #[test]
    fn a_pin_asks_nobody() {
        let pin = Fingerprint([3; 32]);
        let trust = trust(&Belief::Pin(pin), Unknown::Ask, &Refused::default());
        assert!(matches!(trust, Trust::Pin(p) if p == pin));
    }
}
