//! The files that a configuration names: whether they are there and can be read, for who checks it before a start.

use std::{fs, io::ErrorKind, path::Path};

use super::{BlobBackend, Fault, Loaded, hint, is_credential};

impl Loaded {
    /// What is wrong with the files that it names. Looks at them as they are now: a start reads them itself. A credential of a
    /// unit that does not run is nowhere, and no fault.
    #[must_use]
    pub fn check_files(&self) -> Vec<Fault> {
        let config = &self.config;
        let (server, federation) = (&config.server, &config.federation);
        let bucket = config.blobs.backend == BlobBackend::S3;
        let files = [
            ("server.certificate_file", &server.certificate_file, true),
            ("server.certificate_key_file", &server.certificate_key_file, true),
            ("storage.key_file", &config.storage.key_file, true),
            ("blobs.s3_secret_key_file", &config.blobs.s3_secret_key_file, bucket),
            ("backup.s3_secret_key_file", &config.backup.s3_secret_key_file, !config.backup.s3_bucket.is_empty()),
            ("acme.ca_file", &config.acme.ca_file, config.acme.directory.is_some()),
            ("federation.federation_cert", &federation.federation_cert, federation.enabled),
            ("federation.federation_key", &federation.federation_key, federation.enabled),
            ("federation.federation_ca", &federation.federation_ca, federation.enabled),
        ];
        let read = |path: &Path| fs::read(path).map(|bytes| drop(zeroize::Zeroizing::new(bytes)));
        let wanted = files.into_iter().filter(|(_, _, wanted)| *wanted);
        let named = wanted.filter_map(|(key, file, _)| file.as_ref().map(|file| (key, file)));
        let mut faults: Vec<Fault> = named
            .filter_map(|(key, file)| Some((key, file, read(file).err()?)))
            .filter(|(_, file, error)| error.kind() != ErrorKind::NotFound || !is_credential(file))
            .map(|(key, file, error)| {
                self.fault(key, key, format!("{}: {error}{}", file.display(), hint(file, &error)))
            })
            .collect();
        if server.data_dir.exists() && !server.data_dir.is_dir() {
            let message =
                format!("{} is a file: name a directory, which is made where there is none", server.data_dir.display());
            faults.push(self.fault("server.data_dir", "server.data_dir", message));
        }
        faults
    }
}
