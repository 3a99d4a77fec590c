//! `init`: a new server's configuration, keys, secrets and first invite.
//!
//! All is made in a directory beside its place and moved there in the end, so that a fault at any moment leaves nothing; what is
//! there already is never touched. The invite is printed and kept nowhere.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{self, Path, PathBuf},
    time::Duration,
};

use qpc_proto::address::Domain;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    args::{InitArgs, Place},
    certificate,
    client_lines::{program, quote, reachable},
    commands::with_accounts,
    exit::{Exit, Fault},
    federation::make_directory,
    print, serve,
};
use crate::{
    account::Token,
    clock::{Clock, SystemClock},
    config::{self, Config, Loaded, Overrides, Profile, Server},
    data_dir::{DataDir, DataDirError, Note},
    rng::{self, SystemRng},
    server::storage,
};

/// How long the first invite lasts; it is for one.
const INVITE_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The names of what is made.
const DATA: &str = "data";
const SECRETS: &str = "secrets";
/// What all is made in.
const STAGED: &str = ".qpc-init";
/// As the compose file of `docker/` names the secrets.
const TOKEN_FILE: &str = "qpc_auth_token";
const KEY_FILE: &str = "qpc_db_key";
/// Names shown of a directory that is not empty.
const SHOWN_MAX: usize = 5;

/// Every file that is made, below the directory, and what it is.
const FILES: [(&str, &str); 11] = [
    ("data/qpc-server.toml", "the configuration"),
    ("data/qpc.db", "the database, with the first invite"),
    ("data/qpc-blobs.db", "the database of attachments"),
    ("data/opaque-setup", "what passwords are checked with; keep a copy somewhere else: without it no password works"),
    ("data/server-cert.der", "a certificate that signs itself"),
    ("data/server-key.der", "its key"),
    ("data/hub-key", "the key by which groups know this server"),
    ("data/reset-key", "the key by which clients know a server that was started again"),
    ("data/domain", "what accounts end in"),
    ("secrets/qpc_auth_token", "lets anybody register who knows it, any number of times"),
    ("secrets/qpc_db_key", "the database's key; keep a copy somewhere else: without it nothing can be read"),
];

/// `init`.
pub(super) fn init(place: &Place, args: &InitArgs) -> Result<(), Fault> {
    let elsewhere = [("--data-dir", place.data_dir.is_some()), ("--config, or QPC_CONFIG,", place.config.is_some())];
    if let Some((option, _)) = elsewhere.into_iter().find(|(_, is_given)| *is_given) {
        let message = format!("{option} names what is there; what `init` makes is below --dir. Take it out");
        return Err(Fault::new(Exit::Usage, message));
    }
    let plan = Plan::of(args)?;
    if args.dry_run {
        return print(&plan.said(args.json));
    }
    let made = plan.carry_out()?;
    print(&if args.json { plan.json(&made) } else { plan.text(&made) })
}

/// What is to be made, and where.
struct Plan {
    profile: &'static Profile,
    domain: Domain,
    root: PathBuf,
    configuration: String,
}

/// What only making it brings to light.
struct Made {
    fingerprint: String,
    invite: Token,
    expires_ms: u64,
    listen: std::net::SocketAddr,
}

impl Plan {
    /// Judges what was typed and looks at what is there. Changes nothing.
    fn of(args: &InitArgs) -> Result<Self, Fault> {
        let usage = |message: String| Fault::new(Exit::Usage, message);
        let profile = Profile::named(&args.profile).map_err(|error| usage(format!("--profile: {error}")))?;
        let wrong = |why: &str| usage(format!("--domain {}: {why}; such as chat.example.org", args.domain));
        let domain = Domain::parse(&args.domain).map_err(|error| wrong(&error.to_string()))?;
        if domain.as_str() == Server::default().domain {
            return Err(wrong("a server for others needs a domain of its own"));
        }
        let root = path::absolute(&args.dir).map_err(|error| at(&args.dir, error))?;
        // Without `.` and the like, where it is there.
        let root = root.canonicalize().unwrap_or(root);
        if root.to_str().is_none() {
            return Err(usage(format!("--dir {}: not UTF-8, which a configuration file has to be", root.display())));
        }
        for name in [DATA, SECRETS, STAGED] {
            if let Some(what) = there(&root.join(name))? {
                return Err(Fault::new(Exit::Config, refusal(&root.join(name), &what)));
            }
        }
        let configuration = configuration(profile, &domain, &root);
        Ok(Self { profile, domain, root, configuration })
    }

    /// Makes it all, or nothing.
    fn carry_out(&self) -> Result<Made, Fault> {
        let mut staged = Staged::new(&self.root)?;
        let (data, secrets) = (staged.dir.join(DATA), staged.dir.join(SECRETS));
        make_directory(&data)?;
        make_directory(&secrets)?;
        let file = data.join(config::FILE_NAME);
        DataDir::put(&file, self.configuration.as_bytes())?;
        let (token, key) = (secrets.join(TOKEN_FILE), secrets.join(KEY_FILE));
        for path in [&token, &key] {
            let bytes = Zeroizing::new(rng::bytes::<32>(&SystemRng));
            DataDir::put(path, Zeroizing::new(hex::encode(*bytes)).as_bytes())?;
        }
        // As it will be read, but for where things lie until they are moved.
        let overrides = Overrides { file: Some(file), data_dir: Some(data), ..Overrides::default() };
        let variable = |name: &str, path: &Path| (name.to_owned(), path.to_string_lossy().into_owned());
        let loaded =
            Config::load(&overrides, [variable("QPC_AUTH_TOKEN_FILE", &token), variable("QPC_DB_KEY_FILE", &key)])?;
        serve::refuse_faults(loaded.check())?;
        let made = self.found(&loaded)?;
        staged.take_place(&[SECRETS, DATA])?;
        Ok(made)
    }

    /// Makes the keys and databases, and the first invite.
    fn found(&self, loaded: &Loaded) -> Result<Made, Fault> {
        let opened = storage::open(loaded)?;
        let dir = &opened.dir;
        let fingerprint = dir.certificate(certificate::own_names(&loaded.config))?.fingerprint();
        dir.hub_key(&SystemRng)?;
        dir.reset_key(&SystemRng)?;
        dir.note(Note::Domain, self.domain.as_str())?;
        let life_ms = u64::try_from(INVITE_LIFE.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = SystemClock.unix_ms().saturating_add(life_ms);
        let invite =
            with_accounts(loaded, opened, async |accounts| accounts.create_invite(1, Some(INVITE_LIFE)).await)??;
        Ok(Made { fingerprint, invite, expires_ms, listen: reachable(loaded.config.server.listen) })
    }

    fn data(&self) -> PathBuf {
        self.root.join(DATA)
    }

    /// What a dry run says.
    fn said(&self, json: bool) -> String {
        let files = FILES.map(|(file, _)| self.root.join(file));
        if json {
            let line = json!({
                "profile": self.profile.name,
                "domain": self.domain.as_str(),
                "data_dir": self.data(),
                "files": files,
                "configuration": self.configuration,
            });
            return format!("{line}\n");
        }
        let configuration = &self.configuration;
        format!("nothing is written. These would be, for their owner alone:\n\n{}\n{configuration}", self.listed())
    }

    /// The files, each with what it is.
    fn listed(&self) -> String {
        let file = |(name, what)| format!("  {}\n      {what}\n", self.root.join(name).display());
        FILES.map(file).concat()
    }

    /// What to type next.
    fn next(&self, made: &Made) -> [String; 3] {
        let data = quote(&self.data().to_string_lossy());
        let (server, client) = (program("qpc-server"), program("qpc-client"));
        let Made { fingerprint, invite, listen, .. } = made;
        [
            format!("{server} --data-dir {data}"),
            format!(
                "{client} --home ~/.qpc-admin --server {listen} --pin {fingerprint} --auth-token {} register admin",
                invite.expose()
            ),
            format!("{server} --data-dir {data} invite create --uses 10 --expires 7d"),
        ]
    }

    fn text(&self, made: &Made) -> String {
        let [start, register, invite] = self.next(made);
        format!(
            "a server for {} by profile {} ({} people at once; {} vCPU, {} MiB)\n\n{}\n  fingerprint  {}\n  invite       {} \
             (for one, within 7 days; not shown again)\n\nNext: start it, register the first account, invite the others:\n\n  \
             {start}\n  {register}\n  {invite}\n",
            self.domain.as_str(),
            self.profile.name,
            self.profile.users,
            self.profile.vcpus,
            self.profile.memory_mib,
            self.listed(),
            made.fingerprint,
            made.invite.expose(),
        )
    }

    fn json(&self, made: &Made) -> String {
        let line = json!({
            "profile": self.profile.name,
            "domain": self.domain.as_str(),
            "data_dir": self.data(),
            "files": FILES.map(|(file, _)| self.root.join(file)),
            "fingerprint": made.fingerprint,
            "invite": made.invite.expose(),
            "invite_expires_ms": made.expires_ms,
            "next": self.next(made),
        });
        format!("{line}\n")
    }
}

/// The profile's file with what this server is, in the sections where it belongs.
fn configuration(profile: &Profile, domain: &Domain, root: &Path) -> String {
    let path = |name: &str| toml::Value::String(root.join(name).to_string_lossy().into_owned()).to_string();
    let head = format!(
        "# The configuration of {domain}, made by `qpc-server init --profile {name}`: what is not as by default. Every key, with its\n\
         # default and what it does, is in config/qpc-server.toml and in what `qpc-server config default` prints.\n\
         #   qpc-server config check FILE             says what is wrong with a file\n\
         #   qpc-server --data-dir DIR config diff    shows what is not as by default\n#\n",
        domain = domain.as_str(),
        name = profile.name,
    );
    let server = format!(
        "[server]\n\
         # What comes after the @ of every account. Can't be changed once there are accounts.\n\
         domain = \"{domain}\"\n\
         # UDP, from everywhere, IPv6 and IPv4.\n\
         listen = \"[::]:7000\"\n\
         # Refuse what is only good for trying out.\n\
         production = true\n\
         # Where everything is kept.\n\
         data_dir = {data}\n\
         # Lets anybody register who knows what is in it, any number of times. Without this line nobody registers without an\n\
         # invite (`qpc-server invite create`).\n\
         auth_token_file = {token}\n\
         # Signs itself: clients pin its fingerprint. With files of a certificate authority that clients know they need no pin;\n\
         # renewed files are taken while the server runs.\n\
         certificate_file = {certificate}\n\
         certificate_key_file = {certificate_key}\n",
        domain = domain.as_str(),
        data = path(DATA),
        token = path("secrets/qpc_auth_token"),
        certificate = path("data/server-cert.der"),
        certificate_key = path("data/server-key.der"),
    );
    let storage = format!(
        "\n[storage]\n# The database's key. Keep a copy somewhere else: without it nothing can be read.\nkey_file = {}\n",
        path("secrets/qpc_db_key")
    );
    format!("{head}{}{storage}", profile.text.replacen("[server]\n", &server, 1))
}

/// What is made, until it stands in its place: gone when dropped before.
struct Staged<'r> {
    root: &'r Path,
    dir: PathBuf,
    made_root: bool,
    moved: Vec<PathBuf>,
    done: bool,
}

impl<'r> Staged<'r> {
    fn new(root: &'r Path) -> Result<Self, Fault> {
        let made_root = !root.exists();
        make_directory(root)?;
        let dir = root.join(STAGED);
        // One at a time: what is there is another's.
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => Ok(Self { root, dir, made_root, moved: Vec::new(), done: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Fault::new(Exit::Config, refusal(&dir, "another init's")))
            }
            Err(error) => Err(at(&dir, error)),
        }
    }

    /// Moves these to their places, where at most an empty directory is, and has the system write it down.
    fn take_place(&mut self, names: &[&str]) -> Result<(), Fault> {
        for name in names {
            let to = self.root.join(name);
            fs::rename(self.dir.join(name), &to).map_err(|error| at(&to, error))?;
            self.moved.push(to);
        }
        File::open(self.root).and_then(|root| root.sync_all()).map_err(|error| at(self.root, error))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What can't be removed is named by the next try.
        fs::remove_dir_all(&self.dir).ok();
        if self.done {
            return;
        }
        for path in &self.moved {
            fs::remove_dir_all(path).ok();
        }
        if self.made_root {
            fs::remove_dir(self.root).ok();
        }
    }
}

/// What is at a place, unless nothing or an empty directory is.
fn there(path: &Path) -> Result<Option<String>, Fault> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory && path.exists() => {
            return Ok(Some("a file".into()));
        }
        Err(error) => return Err(at(path, error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(|error| at(path, error))?;
    if names.is_empty() {
        return Ok(None);
    }
    names.sort();
    let more = names.len().saturating_sub(SHOWN_MAX);
    names.truncate(SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(Some(format!("{}{more}", names.join(", "))))
}

fn refusal(path: &Path, what: &str) -> String {
    let place = path.display();
    if path.ends_with(STAGED) {
        return format!(
            "{place} is left of an init that was cut off, or another one is at work: remove it and try again"
        );
    }
    format!("{place} is there already ({what}), and nothing is overwritten: move it away, or take another --dir")
}

fn at(path: &Path, error: io::Error) -> Fault {
    DataDirError::Io { path: path.to_owned(), error }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_profile_and_who_the_server_is() {
        let domain = Domain::parse("chat.example.org").unwrap();
        for profile in config::PROFILES {
            let text = configuration(&profile, &domain, Path::new("/srv/a \"quoted\" place"));
            let config: Config = toml::from_str(&text).unwrap();
            assert_eq!(config.server.domain, "chat.example.org");
            assert_eq!(config.server.users_planned, profile.users);
            assert_eq!(config.server.data_dir, Path::new("/srv/a \"quoted\" place/data"));
            assert_eq!(config.storage.key_file.unwrap(), Path::new("/srv/a \"quoted\" place/secrets/qpc_db_key"));
            // Each of the profile's own lines, reasons among them.
            assert!(profile.text.lines().all(|line| text.lines().any(|written| written == line)), "{text}");
        }
    }

    #[test]
    fn what_was_half_made_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("new");
        let mut staged = Staged::new(&root).unwrap();
        make_directory(&staged.dir.join(SECRETS)).unwrap();
        // The second can't be moved: it is not there.
        assert!(staged.take_place(&[SECRETS, DATA]).is_err());
        assert!(root.join(SECRETS).exists());
        drop(staged);
        assert!(!root.exists());
        // A directory that was there stays, and two at once are not.
        let first = Staged::new(temp.path()).unwrap();
        let second = Staged::new(temp.path()).err().unwrap();
        assert!(second.message.contains("or another one is at work: remove it and try again"), "{}", second.message);
        assert!(first.dir.is_dir(), "the second has not taken it away");
        drop(first);
        assert_eq!(there(temp.path()).unwrap(), None);
    }
}
