//! Who may read what the server keeps, and the secrets that the configuration names.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::finding::Finding;
use crate::{config::Config, data_dir::FederationFiles};

const CHECK: &str = "permissions";
/// Files of the data directory that are looked at: it holds few, objects in directories aside.
const FILES: usize = 1_000;
/// Bits that let anybody but the owner in.
const OTHERS: u32 = 0o077;
/// Bits that let anybody in who is not of the file's group.
const STRANGERS: u32 = 0o007;

/// One file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) owner: u32,
    /// Bits that it must not have.
    pub(super) never: u32,
}

/// The data directory with what is in it, and the secrets outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The data directory's owner, who runs the server.
    pub(super) owner: Option<u32>,
    pub(super) own: Vec<Entry>,
    /// A group may read these: that of who keeps certificates.
    pub(super) elsewhere: Vec<Entry>,
}

pub(super) fn facts(config: &Config) -> Facts {
    let data = &config.server.data_dir;
    let own = entry(data, OTHERS);
    let owner = own.as_ref().map(|entry| entry.owner);
    let inside = fs::read_dir(data).into_iter().flatten().filter_map(Result::ok).take(FILES);
    // Public by nature: what everybody is shown.
    let public = |path: &PathBuf| {
        path.extension().is_some_and(|is| is == "toml") || path == &FederationFiles::of(data).authority
    };
    let inside = inside.map(|found| found.path()).filter(|path| !public(path));
    let server = &config.server;
    let secrets = [
        &config.storage.key_file,
        &server.auth_token_file,
        &server.certificate_key_file,
        &config.blobs.s3_secret_key_file,
        &config.federation.federation_key,
        &config.acme.eab_key_file,
    ];
    Facts {
        owner,
        own: own.into_iter().chain(inside.filter_map(|path| entry(&path, OTHERS))).collect(),
        elsewhere: secrets.into_iter().flatten().filter_map(|path| entry(path, STRANGERS)).collect(),
    }
}

fn entry(path: &Path, never: u32) -> Option<Entry> {
    let found = fs::metadata(path).ok()?;
    Some(Entry { path: path.to_owned(), mode: found.mode() & 0o7777, owner: found.uid(), never })
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let open: Vec<_> = facts.own.iter().chain(&facts.elsewhere).filter(|entry| entry.mode & entry.never != 0).collect();
    if let [first, rest @ ..] = open.as_slice() {
        let (path, mode) = (first.path.display(), first.mode);
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        let wanted = if first.never == OTHERS { "u=rwX,go=" } else { "o=" };
        return Finding::bad(
            CHECK,
            format!("others may open {path} (mode {mode:o}){more}"),
            format!("chmod {wanted} {path}, and think of who may have read it"),
        );
    }
    let foreign = facts.own.iter().find(|entry| Some(entry.owner) != facts.owner);
    if let (Some(entry), Some(owner)) = (foreign, facts.owner) {
        let path = entry.path.display();
        return Finding::bad(
            CHECK,
            format!("{path} belongs to user {}, and the data directory to user {owner}", entry.owner),
            format!("chown {owner} {path}; run every command as the server's user"),
        );
    }
    Finding::ok(
        CHECK,
        format!("{} files of the server and {} secrets elsewhere are private", facts.own.len(), facts.elsewhere.len()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::Mark, *};

    #[test]
    fn what_others_may_open_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        drop(crate::data_dir::DataDir::open(&data).unwrap());
        let outside = temp.path().join("token");
        fs::write(&outside, "secret").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let mut config = Config::default();
        config.server.data_dir = data.clone();
        config.server.auth_token_file = Some(outside.clone());
        let told = || {
            let finding = judge(&facts(&config));
            (finding.mark, finding.found)
        };
        // A group may have what keeps certificates, and nobody else.
        set(&outside, 0o640);
        assert_eq!(told().0, Mark::Ok);
        set(&outside, 0o644);
        let (mark, found) = told();
        assert!(mark == Mark::Bad && found.contains("token (mode 644)"), "{found}");
        set(&outside, 0o600);
        set(&data.join("lock"), 0o640);
        set(&data, 0o750);
        let (mark, found) = told();
        assert!(mark == Mark::Bad && found.contains("data (mode 750), and 1 more"), "{found}");
        // The configuration may be read by all.
        set(&data, 0o700);
        set(&data.join("lock"), 0o600);
        fs::write(data.join("qpc-server.toml"), "").unwrap();
        set(&data.join("qpc-server.toml"), 0o644);
        assert_eq!(told().0, Mark::Ok);
    }

    #[test]
    fn a_file_of_another_user_is_named() {
        let of = |path: &str, owner| Entry { path: path.into(), mode: 0o600, owner, never: OTHERS };
        let facts = Facts { owner: Some(7), own: vec![of("data", 7), of("data/qpc.db-wal", 0)], elsewhere: Vec::new() };
        let finding = judge(&facts);
        assert_eq!((finding.mark, finding.remedy.unwrap().contains("chown 7 data/qpc.db-wal")), (Mark::Bad, true));
    }
}
