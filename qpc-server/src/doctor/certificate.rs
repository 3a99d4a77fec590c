//! The certificates: of this server, and that by which other servers know it.

use std::{path::Path, time::Duration};

use super::finding::{Finding, span};
use crate::{
    config::Config,
    data_dir::{AcmeFiles, CertificateError, DataDir, FederationFiles, ServerCertificate},
    federation,
    transport::{self, Identity, tls::Validity},
};

/// The one that clients are shown.
pub(super) const OWN: Kind = Kind {
    check: "certificate",
    renew: "renew it: a running server takes the new files within 10 seconds",
    files: "look at server.certificate_file and server.certificate_key_file, and run this as the server's user",
};
/// The one that an authority signs for clients.
pub(super) const SIGNED: Kind = Kind {
    check: "certificate",
    renew: "the server renews it when a third of its time is left; its log says what is in the way (look for `acme`), and each \
            reload has it try at once",
    files: "look at [acme], and run this as the server's user; a start without acme-certificate.pem orders another one",
};
/// The one that other servers are shown.
pub(super) const FEDERATION: Kind = Kind {
    check: "federation-certificate",
    renew: "`qpc-server federation issue` makes another one; a running server takes the new files",
    files: "look at federation.federation_cert, federation_key and federation_ca; `qpc-server federation issue` makes them",
};

/// Seconds before the end from which it is a warning, and from which it is bad.
const SOON: u64 = 14 * DAY;
const VERY_SOON: u64 = 3 * DAY;
const DAY: u64 = 86_400;
/// A certificate that signs itself ends in two thousand years.
const LONG: u64 = 36_500 * DAY;

/// Which certificate, and what is to be done about it.
pub(super) struct Kind {
    check: &'static str,
    renew: &'static str,
    files: &'static str,
}

/// What was found where a certificate should be.
#[derive(Debug)]
pub(super) enum Facts {
    /// None, and the first start makes one.
    None,
    /// None of the authority's yet, and one that signs itself is shown.
    Unsigned,
    /// The files can't be read.
    Unreadable(CertificateError),
    /// They are read.
    Read {
        /// Of the server, not of those who signed for it.
        fingerprint: String,
        /// When it is one; nothing where it is no certificate.
        validity: Option<Validity>,
        /// Why it can't be used, whatever the date.
        unfit: Option<String>,
        /// Why people may be refused all the same.
        doubt: Option<String>,
    },
}

impl Facts {
    /// What clients pin.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Read { fingerprint, .. } => Some(fingerprint),
            _ => None,
        }
    }
}

/// Which one clients are shown.
pub(super) fn own_kind(config: &Config) -> Kind {
    if config.acme.directory.is_some() { SIGNED } else { OWN }
}

/// Reads what clients are shown.
pub(super) fn own(config: &Config, data: &Path) -> Facts {
    let configured = config.server.certificate_file.as_deref().zip(config.server.certificate_key_file.as_deref());
    let read = match (configured, &config.acme.directory) {
        (_, Some(_)) => match AcmeFiles::of(data).certificate() {
            Some(read) => read,
            None => return Facts::Unsigned,
        },
        (Some((chain, key)), None) => ServerCertificate::from_files(chain, key),
        (None, None) => match DataDir::made_certificate(data) {
            Some(read) => read,
            None => return Facts::None,
        },
    };
    let certificate = match read {
        Ok(certificate) => certificate,
        Err(error) => return Facts::Unreadable(error),
    };
    let fingerprint = certificate.fingerprint();
    let validity = certificate.validity();
    let domain = &config.server.domain;
    // One that signs itself is pinned, whatever it names.
    let doubt = (configured.is_some() || config.acme.directory.is_some())
        .then_some(())
        .filter(|()| !certificate.is_for(domain))
        .map(|_| format!("it does not name {domain}: clients that connect by that name refuse it unless they pin it"));
    let ServerCertificate { chain, key } = certificate;
    let fits = transport::server_config(Identity { chain, key }, &config.edge_limits());
    Facts::Read { fingerprint, validity, unfit: fits.err().map(|error| error.to_string()), doubt }
}

/// Reads what other servers are shown, where there is federation.
pub(super) fn federation(config: &Config, data: &Path, now: Duration) -> Option<Facts> {
    if !config.federation.enabled {
        return None;
    }
    let material = match FederationFiles::configured(&config.federation, data).read() {
        Ok(material) => material,
        Err(error) => return Some(Facts::Unreadable(error)),
    };
    let certificate = ServerCertificate { chain: material.chain.clone(), key: material.key.clone_key() };
    // An authority that ends takes every certificate with it.
    let of_authorities = material.authorities.iter().filter_map(Validity::of);
    let validity = certificate.validity().map(|own| of_authorities.fold(own, Validity::and));
    let proves = federation::proves(material, &config.server.domain, now, &config.edge_limits().federation);
    Some(Facts::Read { fingerprint: certificate.fingerprint(), validity, unfit: proves.err(), doubt: None })
}

pub(super) fn judge(kind: Kind, facts: &Facts, now: Duration) -> Finding {
    let Kind { check, renew, files } = kind;
    let (validity, unfit, doubt) = match facts {
        Facts::None => {
            return Finding::warning(check, "there is none yet", "the first start makes one that signs itself");
        }
        Facts::Unsigned => {
            let found = "the authority has signed none yet: clients are shown one that signs itself";
            return Finding::warning(check, found, renew);
        }
        Facts::Unreadable(error) => return Finding::bad(check, error.to_string(), files),
        Facts::Read { validity, unfit, doubt, .. } => (validity, unfit, doubt),
    };
    let Some(Validity { begins, ends }) = *validity else {
        return Finding::bad(check, "the file holds no certificate", files);
    };
    let now = now.as_secs();
    if now < begins {
        let found = format!("it counts from in {} on: is the clock right?", span(begins.saturating_sub(now)));
        return Finding::bad(check, found, "set the clock, or get another certificate");
    }
    if now >= ends {
        return Finding::bad(check, format!("it expired {} ago", span(now.saturating_sub(ends))), renew);
    }
    if let Some(problem) = unfit {
        return Finding::bad(check, problem.clone(), files);
    }
    let left = ends.saturating_sub(now);
    let shown = match left {
        LONG.. => "it lasts more than 100 years".to_owned(),
        _ => format!("it lasts {} more", span(left)),
    };
    match (left, doubt) {
        (0..=VERY_SOON, _) => Finding::bad(check, shown, renew),
        (0..=SOON, _) => Finding::warning(check, shown, renew),
        (_, Some(doubt)) => Finding::warning(check, format!("{shown}, but {doubt}"), files),
        (_, None) => Finding::ok(check, shown),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};

    use super::{super::Mark, *};

    /// 2027-03-01.
    const END: u64 = 1_803_859_200;

    /// A data directory, and a configuration with a certificate of that day and domain in it.
    fn configured(domain: &str, key: Option<KeyPair>) -> (tempfile::TempDir, Config) {
        let temp = tempfile::tempdir().unwrap();
        let signing = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![domain.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 3, 1));
        let made = params.self_signed(&signing).unwrap();
        let (certificate, key_file) = (temp.path().join("chain.pem"), temp.path().join("key.pem"));
        fs::write(&certificate, made.pem()).unwrap();
        fs::write(&key_file, key.unwrap_or(signing).serialize_pem()).unwrap();
        let mut config = Config::default();
        config.server.domain = "chat.example".into();
        config.server.certificate_file = Some(certificate);
        config.server.certificate_key_file = Some(key_file);
        (temp, config)
    }

    fn told(config: &Config, data: &Path, now: u64) -> (Mark, String) {
        let finding = judge(OWN, &own(config, data), Duration::from_secs(now));
        (finding.mark, finding.found)
    }

    #[test]
    fn an_end_that_comes_or_has_come_is_said() {
        let (temp, config) = configured("chat.example", None);
        let marks = [END, END - VERY_SOON, END - VERY_SOON - 1, END - SOON, END - SOON - 1]
            .map(|now| told(&config, temp.path(), now).0);
        assert_eq!(marks, [Mark::Bad, Mark::Bad, Mark::Warning, Mark::Warning, Mark::Ok]);
        assert_eq!(told(&config, temp.path(), END + 3 * DAY).1, "it expired 3 days ago");
        let (mark, early) = told(&config, temp.path(), 0);
        assert!(mark == Mark::Bad && early.contains("is the clock right?"), "{early}");
    }

    #[test]
    fn files_that_do_not_go_together_are_said() {
        let (temp, config) = configured("chat.example", Some(KeyPair::generate().unwrap()));
        let (mark, found) = told(&config, temp.path(), END - 90 * DAY);
        assert!(mark == Mark::Bad && found.contains("can't be used"), "{found}");
        let (temp, config) = configured("other.example", None);
        let (mark, found) = told(&config, temp.path(), END - 90 * DAY);
        assert!(mark == Mark::Warning && found.contains("does not name chat.example"), "{found}");
        fs::write(config.server.certificate_file.as_ref().unwrap(), "-----BEGIN nonsense").unwrap();
        assert_eq!(told(&config, temp.path(), 0).0, Mark::Bad);
        fs::remove_file(config.server.certificate_key_file.as_ref().unwrap()).unwrap();
        assert_eq!(told(&config, temp.path(), 0).0, Mark::Bad);
    }

    #[test]
    fn a_new_data_directory_has_none_yet_and_then_its_own() {
        let temp = tempfile::tempdir().unwrap();
        let config = Config::default();
        assert_eq!(told(&config, temp.path(), END).0, Mark::Warning);
        DataDir::open(temp.path()).unwrap().certificate(vec!["localhost".into()]).unwrap();
        assert_eq!(told(&config, temp.path(), END).0, Mark::Ok);
    }

    #[test]
    fn what_an_authority_signs_is_looked_at_where_it_is_kept() {
        let (temp, mut config) = configured("chat.example", None);
        let read = |path: Option<std::path::PathBuf>| fs::read_to_string(path.unwrap()).unwrap();
        let (chain, key) = (config.server.certificate_file.take(), config.server.certificate_key_file.take());
        config.acme.directory = Some("https://acme.example/directory".into());
        DataDir::open(temp.path()).unwrap().certificate(vec!["localhost".into()]).unwrap();
        let told = |now| {
            let finding = judge(own_kind(&config), &own(&config, temp.path()), Duration::from_secs(now));
            (finding.mark, finding.found, finding.remedy.unwrap_or_default())
        };
        let (mark, found, _) = told(END - 90 * DAY);
        assert!(mark == Mark::Warning && found.contains("signed none yet"), "{found}");
        fs::write(temp.path().join("acme-certificate.pem"), read(key) + &read(chain)).unwrap();
        assert_eq!(told(END - 90 * DAY).0, Mark::Ok);
        let (mark, _, remedy) = told(END - 13 * DAY);
        assert!(mark == Mark::Warning && remedy.contains("its log says what is in the way"), "{remedy}");
    }

    #[test]
    fn an_authority_that_ends_ends_the_federations_certificate() {
        let temp = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.domain = "chat.example".into();
        assert!(federation(&config, temp.path(), Duration::from_secs(END)).is_none());
        config.federation.enabled = true;
        let now = |seconds| Duration::from_secs(seconds);
        let told = |at| {
            let facts = federation(&config, temp.path(), now(at)).unwrap();
            let finding = judge(FEDERATION, &facts, now(at));
            (finding.mark, finding.found)
        };
        assert_eq!(told(END).0, Mark::Bad);

        let files = FederationFiles::of(temp.path());
        let key = KeyPair::generate().unwrap();
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (of_authority.not_before, of_authority.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 3, 1));
        let authority = CertifiedKey { cert: of_authority.self_signed(&key).unwrap(), signing_key: key };
        let issuer = rcgen::Issuer::from_params(&of_authority, &authority.signing_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["chat.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 3, 1));
        let made = params.signed_by(&key, &issuer).unwrap();
        fs::write(&files.certificate, made.der()).unwrap();
        fs::write(&files.key, key.serialize_der()).unwrap();
        fs::write(&files.authority, authority.cert.der()).unwrap();
        assert_eq!(told(END - 90 * DAY).0, Mark::Ok);
        assert_eq!(told(END - DAY).0, Mark::Bad);
        assert_eq!(told(END + DAY).1, "it expired 24 hours ago");
        fs::write(&files.key, KeyPair::generate().unwrap().serialize_der()).unwrap();
        let (mark, found) = told(END - 90 * DAY);
        assert!(mark == Mark::Bad && found.contains("federation_key"), "{found}");
    }
}
