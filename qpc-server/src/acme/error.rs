//! Why there is no certificate, in words that say what to do.

use std::{io, net::SocketAddr};

use instant_acme::{Error, Problem};

/// Longest text of the authority that is passed on, in characters.
const WORDS_MAX: usize = 400;
/// What the names of ACME's errors begin with (RFC 8555 section 6.7).
const ERRORS: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Nobody can be verified.
    #[error("the authority can't be verified: {0}; acme.ca_file names the root of one's own")]
    Roots(String),
    /// The address for the proof is taken or forbidden.
    #[error("can't listen on TCP {address} for the authority's request: {error}; {}", listen_remedy(error))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// It does not answer, or not as an authority does.
    #[error("the authority can't be asked: {0}; look at acme.directory, and whether this machine reaches it")]
    Exchange(String),
    /// It answers that it does not.
    #[error("the authority refuses: {said}{}", remedy(kind))]
    Refused {
        /// ACME's name for the reason, where there is one.
        kind: String,
        /// In its own words.
        said: String,
    },
    /// It wants another kind of proof.
    #[error("the authority offers no http-01 challenge, the only one that this server can answer")]
    NoChallenge,
    /// It was not done in time.
    #[error("the order took too long")]
    Late,
    /// Its certificate is none that could be shown.
    #[error("the authority's certificate can't be used: {0}; the order is made anew")]
    Unfit(String),
    /// No key or request could be made.
    #[error("no request for a certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What it gave could not be kept.
    #[error("it could not be kept: {0}")]
    Keep(String),
    /// A fault of this program, or of a library.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

impl AcmeError {
    /// Whether the authority no longer knows the account: another has to be made.
    #[must_use]
    pub fn forgets_account(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Self::Late,
            other => Self::Exchange(printable(&with_causes(&other))),
        }
    }
}

impl From<Problem> for AcmeError {
    fn from(problem: Problem) -> Self {
        let kind = problem.r#type.unwrap_or_default();
        let kind = printable(kind.strip_prefix(ERRORS).unwrap_or(&kind));
        let mut said: Vec<String> = problem.detail.into_iter().collect();
        said.extend(problem.subproblems.into_iter().filter_map(|sub| sub.detail));
        Self::Refused { said: format!("{} ({kind})", printable(&said.join("; "))), kind }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Text of others, cut and on one line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

fn remedy(kind: &str) -> &'static str {
    match kind {
        "rateLimited" => "; it is asked again later, and with each reload: do not reload often",
        "connection" | "dns" | "unauthorized" | "incorrectResponse" | "tls" => {
            "; each name has to lead to this machine, and its port 80 from outside to acme.http_listen"
        }
        "rejectedIdentifier" | "caa" => {
            "; it does not sign for this name: look at acme.names and at the name's CAA record"
        }
        "externalAccountRequired" => "; set acme.eab_key_id and acme.eab_key_file to what it gave you",
        "invalidContact" | "unsupportedContact" => "; correct acme.contact",
        "userActionRequired" => "; its terms have changed: read and accept them as it says",
        "accountDoesNotExist" => "; another account is made with the next order",
        _ => "",
    }
}

fn listen_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give the server CAP_NET_BIND_SERVICE, or set acme.http_listen to a port above 1024 to which port 80 is forwarded"
        }
        io::ErrorKind::AddrInUse => {
            "let the program that has it pass /.well-known/acme-challenge/ on, and set acme.http_listen to another port"
        }
        _ => "acme.http_listen takes another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_authority_says_is_one_short_line_with_what_to_do() {
        let problem = |kind: &str, detail: String| -> AcmeError {
            let text = serde_json::json!({ "type": kind, "detail": detail }).to_string();
            serde_json::from_str::<Problem>(&text).unwrap().into()
        };
        let refused = problem("urn:ietf:params:acme:error:dns", "no such\nname\u{1b}[31m".into());
        let text = refused.to_string();
        assert!(text.starts_with("the authority refuses: no such name [31m (dns); each name has to lead"), "{text}");
        assert!(!refused.forgets_account());
        assert!(problem("urn:ietf:params:acme:error:accountDoesNotExist", String::new()).forgets_account());
        assert!(problem("about:blank", "x".repeat(100_000)).to_string().len() < 500);
    }
}
