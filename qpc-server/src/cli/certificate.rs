//! Which certificate a server shows: the operator's files, what an authority has signed, or one that signs itself.

use super::exit::{Exit, Fault};
use crate::{
    acme::{Binding, Roots, Settings},
    config::Config,
    data_dir::{AcmeFiles, DataDir, DataDirError, ServerCertificate, certificates},
    policy::limits::AcmeLimits,
    server::{self, acme::Acme},
};
use qpc_proto::address::Domain;

/// What is shown from the start on. Where an authority has not signed one yet, or what is kept of it can't be read, one that
/// signs itself: an authority that is away keeps no server from starting.
pub(super) fn shown(config: &Config, dir: &DataDir) -> Result<ServerCertificate, Fault> {
    let kept = |root| AcmeFiles::of(root).certificate().and_then(Result::ok);
    match (&config.server.certificate_file, &config.server.certificate_key_file) {
        (Some(chain), Some(key)) => {
            ServerCertificate::from_files(chain, key).map_err(|error| DataDirError::Certificate(error).into())
        }
        _ => match config.acme.directory.as_ref().and_then(|_| kept(dir.path())) {
            Some(signed) => Ok(signed),
            None => Ok(dir.certificate(own_names(config))?),
        },
    }
}

/// Reads the operator's certificate, or an authority's, anew each time. The server's own never changes.
pub(super) fn source(config: &Config, dir: &DataDir) -> Option<server::CertificateSource> {
    if config.acme.directory.is_some() {
        return Some(server::acme::source(dir.path()));
    }
    let files = config.server.certificate_file.clone().zip(config.server.certificate_key_file.clone());
    files.map(|(chain, key)| -> server::CertificateSource {
        std::sync::Arc::new(move || ServerCertificate::from_files(&chain, &key).map_err(|error| error.to_string()))
    })
}

/// Which authority is to sign one, if one is.
pub(super) fn acme(config: &Config, dir: &DataDir) -> Result<Option<Acme>, Fault> {
    let of = &config.acme;
    let Some(directory) = of.directory.clone() else { return Ok(None) };
    let wrong = |key: &str, error: &dyn std::fmt::Display| Fault::new(Exit::Config, format!("{key}: {error}"));
    let names = of.names_or(&config.server.domain);
    let names: Result<_, _> = names.iter().map(|name| Domain::parse(name)).collect();
    let roots = match &of.ca_file {
        Some(file) => Roots::These(certificates(file).map_err(|error| wrong("acme.ca_file", &error))?),
        None => Roots::System,
    };
    let binding = of.eab_key_id.clone().zip(of.eab_key.as_ref());
    let binding = binding.map(|(id, key)| Binding::parse(id, key.expose())).transpose();
    let settings = Settings {
        directory,
        contact: of.contact.clone(),
        names: names.map_err(|error| wrong("acme.names", &error))?,
        http_listen: of.http_listen,
        roots,
        binding: binding.map_err(|error| wrong("acme.eab_key", &error))?,
    };
    Ok(Some(Acme { settings, files: AcmeFiles::of(dir.path()), limits: AcmeLimits::default() }))
}

/// What a certificate that signs itself is for.
pub(super) fn own_names(config: &Config) -> Vec<String> {
    let listen = config.server.listen.ip();
    let mut names = vec![config.server.domain.clone()];
    let reachable = (!listen.is_unspecified()).then(|| listen.to_string());
    for name in ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).chain(reachable) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
