//! `[acme]`: a certificate that an authority signs; the section with its defaults, and what it must be as a whole.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use axum::http::Uri;
use qpc_proto::address::Domain;
use serde::{Deserialize, Serialize};

use super::{Fault, Loaded, Secret};
use crate::acme::Binding;

/// Most names in one certificate.
const NAMES_MAX: usize = 25;

/// `[acme]`: a certificate that an authority signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The URL of the authority's directory. With it the server gets its certificate there.
    pub directory: Option<String>,
    /// The authority's terms are read and agreed to.
    pub accept_terms: bool,
    /// A mail address to which it may write.
    pub contact: Option<String>,
    /// What the certificate is for; by default the domain of `[server]`.
    pub names: Vec<String>,
    /// TCP address for the authority's request, which comes to port 80 of each name.
    pub http_listen: SocketAddr,
    /// The root by which the authority itself is verified (PEM, or DER of one), in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name of an account that one has with the authority already.
    pub eab_key_id: Option<String>,
    /// Its key, in base64.
    pub eab_key: Option<Secret>,
    /// A file with that key.
    pub eab_key_file: Option<PathBuf>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: None,
            accept_terms: false,
            contact: None,
            names: Vec::new(),
            http_listen: SocketAddr::from(([0, 0, 0, 0], 80)),
            ca_file: None,
            eab_key_id: None,
            eab_key: None,
            eab_key_file: None,
        }
    }
}

impl Acme {
    /// What the certificate is for, on a server of this domain.
    #[must_use]
    pub fn names_or(&self, domain: &str) -> Vec<String> {
        if self.names.is_empty() { vec![domain.to_owned()] } else { self.names.clone() }
    }
}

/// Whether an authority can sign for it after a proof by HTTP.
fn is_provable(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_err() && Domain::parse(name).is_ok_and(|parsed| parsed.as_str() == name)
}

fn is_mail(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | '?' | '%');
    let parts =
        |(local, domain): (&str, &str)| !local.is_empty() && !local.contains(':') && Domain::parse(domain).is_ok();
    text.chars().all(plain) && text.rsplit_once('@').is_some_and(parts)
}

fn is_https(text: &str) -> bool {
    text.parse::<Uri>()
        .is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()))
}

impl Loaded {
    /// What is wrong in `[acme]`, where it is switched on.
    pub(super) fn check_acme(&self) -> Vec<Fault> {
        let of = &self.config.acme;
        let Some(directory) = &of.directory else { return Vec::new() };
        let mut faults = Vec::new();
        let mut must = |holds: bool, key: &'static str, message: String| {
            if !holds {
                faults.push(self.fault_or_at(key, "acme.directory", message));
            }
        };
        must(
            is_https(directory),
            "acme.directory",
            "not an https:// URL, such as https://acme-v02.api.letsencrypt.org/directory".into(),
        );
        must(
            of.accept_terms,
            "acme.accept_terms",
            "is false, and acme.directory is set: read the authority's terms, and set it to true to agree to them"
                .into(),
        );
        must(
            self.config.server.certificate_file.is_none(),
            "server.certificate_file",
            "is set, and acme.directory as well: take certificate_file and certificate_key_file out, or acme.directory"
                .into(),
        );
        let contact = of.contact.as_ref();
        must(
            contact.is_none_or(|mail| is_mail(mail)),
            "acme.contact",
            "not a mail address, such as admin@example.org".into(),
        );
        must(
            of.eab_key_id.is_some() == of.eab_key.is_some(),
            if of.eab_key_id.is_some() { "acme.eab_key_id" } else { "acme.eab_key" },
            "eab_key_id and eab_key (or eab_key_file) go together: set both, or neither".into(),
        );
        let key = of.eab_key.as_ref();
        let wrong = key.and_then(|key| Binding::parse(String::new(), key.expose()).err());
        let at = if of.eab_key_file.is_some() { "acme.eab_key_file" } else { "acme.eab_key" };
        must(wrong.is_none(), at, wrong.map(|wrong| wrong.to_string()).unwrap_or_default());

        let names = of.names_or(&self.config.server.domain);
        let key = if of.names.is_empty() { "server.domain" } else { "acme.names" };
        let mut seen = BTreeSet::new();
        for name in &names {
            let remedy = "write host names in lower case that lead to this machine, without `*` and no addresses";
            must(is_provable(name), key, format!("{name}: the authority can't sign for it; {remedy}"));
            must(seen.insert(name), key, format!("{name}: named twice: keep one of the two"));
        }
        must(names.len() <= NAMES_MAX, key, "more than 25".into());
        faults
    }
}
