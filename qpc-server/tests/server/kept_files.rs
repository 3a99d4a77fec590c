//! Backups of a server whose attachments are objects: copied once, refused where they are not what was sent, gone when no backup
//! names them, and back in the hands of people after everything was lost. In buckets they are in `kept_in_buckets`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use qpc_proto::{
    id::{AccountId, ConversationId, ConversationName},
    limits::BLOB_PART,
};
use qpc_server::{
    backup::{self, Backups, Created, Keep, Kind, Of, Wish},
    blob_store::{
        BlobDigest, BlobStore, Budget, NewUpload, Place, Quota, Sweep, Upload,
        objects::{ObjectBlobs, ObjectPlace},
        sqlite::SqliteBlobs,
    },
    clock::Clock,
    rng::SystemRng,
    store::sqlite::DbKey,
};
use serde_json::Value;

use crate::{
    blobs::bytes,
    files::{files, walk},
    people::{Somebody, Town},
    program::{program, run},
};

const IN_DIRECTORY: (&str, &str) = ("QPC_BLOBS__BACKEND", "directory");

/// A server with its attachments in objects, and a place for backups.
pub(crate) struct Operator {
    pub(crate) town: Town,
    pub(crate) settings: Vec<(String, String)>,
    /// What says where backups go, where the settings do not.
    pub(crate) place: Vec<String>,
}

impl Operator {
    fn in_directories() -> Self {
        let town = Town::with(&[IN_DIRECTORY]);
        let place = vec!["--to".into(), town.path("backups").display().to_string()];
        Self { town, settings: vec![(IN_DIRECTORY.0.into(), IN_DIRECTORY.1.into())], place }
    }

    fn place(&self) -> PathBuf {
        self.town.path("backups")
    }

    fn command(&self, data: &str, arguments: &[&str]) -> Command {
        let mut command = program(&self.town.path(data));
        command.envs(self.settings.iter().cloned()).arg("backup").args(arguments).args(&self.place);
        command
    }

    pub(crate) fn tries(&self, data: &str, arguments: &[&str]) -> (i32, String, String) {
        run(&mut self.command(data, arguments))
    }

    /// Of a command that succeeds with a line of JSON.
    pub(crate) fn does(&self, data: &str, arguments: &[&str]) -> Value {
        let (code, out, err) = self.tries(data, &[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}: {err}");
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{out}: {error}"))
    }

    /// Objects of attachments in the place of backups.
    fn objects(&self) -> Vec<PathBuf> {
        let folder = self.place().join("objects");
        if !folder.exists() {
            return Vec::new();
        }
        // A write that was killed leaves a file of another name, which is no object.
        let is_object = |path: &PathBuf| !path.display().to_string().contains('#');
        let mut found: Vec<_> = walk(&folder).map(|(path, _)| path).filter(is_object).collect();
        found.sort();
        found
    }

    pub(crate) fn key(&self) -> String {
        self.town.path("data").join("db.key").display().to_string()
    }

    /// Has alice send bob a file, and gives what is in it.
    pub(crate) fn send(&self, name: &str, seed: u8, size: usize) -> Vec<u8> {
        let content = bytes(seed, size).to_vec();
        fs::write(self.town.path(name), &content).unwrap();
        let source = self.town.path(name).display().to_string();
        Somebody::of(&self.town, "alice").does(&["file", "send", "bob", &source]);
        content
    }

    /// Bob has all of these files, in this order.
    pub(crate) fn bob_fetches(&self, contents: &[&[u8]]) {
        let bob = Somebody::of(&self.town, "bob");
        bob.does(&["listen"]);
        let found = files(&bob, "alice");
        assert_eq!(found.len(), contents.len());
        for ((id, _), content) in found.iter().zip(contents) {
            let target = self.town.path(&format!("got-{id}"));
            bob.does(&["file", "get", id, "-o", target.to_str().unwrap()]);
            assert!(fs::read(&target).unwrap() == *content, "other bytes came than were sent");
            fs::remove_file(target).unwrap();
        }
    }

    /// What `db check --read-objects` says of a data directory.
    fn checks(&self, data: &str) -> String {
        let mut command = program(&self.town.path(data));
        let (code, out, err) = run(command.envs(self.settings.iter().cloned()).args(["db", "check", "--read-objects"]));
        assert_eq!(code, 0, "{err}");
        out
    }

    /// The data directory is lost, and the restored one is in its place.
    pub(crate) fn replace(&mut self, by: &str) {
        self.town.server.end();
        fs::remove_dir_all(self.town.path("data")).unwrap();
        fs::rename(self.town.path(by), self.town.path("data")).unwrap();
        self.town.restart();
    }
}

/// Which file it is, and when it was written.
fn written(path: &Path) -> (u64, i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (meta.ino(), meta.mtime(), meta.mtime_nsec())
}

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn attachments_in_a_directory_come_back_with_all_else() {
    let mut operator = Operator::in_directories();
    operator.town.friends();
    let first = operator.send("first", 1, 600_000);
    let full = operator.does("data", &["create", "--full"]);
    assert_eq!((&full["attachments"], &full["lost"]), (&1.into(), &0.into()), "{full}");
    let before: Vec<_> = operator.objects().into_iter().map(|path| (written(&path), path)).collect();
    assert_eq!(before.len(), 3, "three parts");
    let second = operator.send("second", 2, 300_000);
    let incremental = operator.does("data", &["create", "--incremental"]);
    assert_eq!(&incremental["attachments"], &2, "{incremental}");
    assert_eq!(operator.objects().len(), 5);
    assert!(before.iter().all(|(when, path)| written(path) == *when), "an object was copied twice");
    let verified = operator.does("data", &["verify"]);
    assert_eq!((&verified["blobs"], &verified["left_out"]), (&2.into(), &0.into()), "{verified}");
    assert!(!operator.town.path("data.verify.restoring").exists());
    // The older one names what it had.
    assert_eq!(operator.does("data", &["verify", full["name"].as_str().unwrap()])["blobs"], 1);

    let key = operator.key();
    let restored = operator.does("copy", &["restore", "latest", "--key-file", &key]);
    assert_eq!((&restored["blobs"], &restored["left_out"]), (&2.into(), &0.into()), "{restored}");
    assert!(operator.checks("copy").contains(" 2 blobs of "), "{}", operator.checks("copy"));
    // Elsewhere: not where some are, but where a restoration was interrupted.
    let elsewhere = operator.town.path("elsewhere");
    let at = elsewhere.display().to_string();
    let arguments = ["restore", "latest", "--key-file", &key, "--objects", &at];
    let stray = elsewhere.join("ab/cd/00112233445566778899aabbccddeeff");
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("0"), "somebody's").unwrap();
    let (code, _, err) = operator.tries("other", &arguments);
    assert_eq!((code, err.contains("has attachments already: nothing is overwritten")), (73, true), "{err}");
    assert!(stray.join("0").exists() && !operator.town.path("other").exists());
    fs::write(elsewhere.join("restoring"), "").unwrap();
    let (code, out, err) = operator.tries("other", &arguments);
    let told = out.contains(&format!("The bytes of attachments are in {at}, and its configuration has them elsewhere"));
    assert_eq!((code, told), (0, true), "{out} {err}");
    assert_eq!(walk(&elsewhere).count(), 5, "what was brought back, and nothing else");
    assert!(!operator.town.path("other/blobs").exists());

    operator.replace("copy");
    operator.bob_fetches(&[&first, &second]);
    // And it goes on: what is sent now is in the next backup.
    let third = operator.send("third", 3, 1_000);
    assert_eq!(operator.does("data", &["create"])["attachments"], 3);
    operator.bob_fetches(&[&first, &second, &third]);
}

#[test]
fn a_flipped_and_a_missing_object_are_refused_by_name() {
    let mut operator = Operator::in_directories();
    operator.town.friends();
    let first = operator.send("first", 1, 300_000);
    operator.send("second", 2, 1_000);
    let name = operator.does("data", &["create"])["name"].as_str().unwrap().to_owned();
    let verify = || operator.tries("data", &["verify"]);
    assert_eq!(verify().0, 0);
    let objects = operator.objects();
    assert_eq!(objects.len(), 3);
    let shown = |path: &Path| path.strip_prefix(operator.place()).unwrap().display().to_string();
    for object in &objects {
        let whole = fs::read(object).unwrap();
        flip(object);
        let (code, _, err) = verify();
        let folder = shown(object.parent().unwrap());
        assert_eq!((code, err.contains(&format!("{folder} is damaged"))), (65, true), "{folder}: {err}");
        fs::write(object, &whole[1..]).unwrap();
        let (code, _, err) = verify();
        assert_eq!((code, err.contains(&format!("{} is damaged", shown(object)))), (65, true), "{err}");
        fs::remove_file(object).unwrap();
        let (code, _, err) = verify();
        assert_eq!((code, err.contains(&format!("{} is missing", shown(object)))), (65, true), "{err}");
        fs::write(object, &whole).unwrap();
    }
    for (list, _) in walk(&operator.place().join(&name).join("objects")) {
        let whole = fs::read(&list).unwrap();
        flip(&list);
        let (code, _, err) = verify();
        assert_eq!((code, err.contains(&name) && err.contains("is damaged")), (65, true), "{err}");
        fs::remove_file(&list).unwrap();
        let (code, _, err) = verify();
        assert_eq!((code, err.contains(&name) && err.contains("is missing")), (65, true), "{err}");
        fs::write(&list, whole).unwrap();
    }
    assert_eq!(verify().0, 0);

    // Nothing comes back, or all but that one.
    let small = objects.iter().find(|path| fs::metadata(path).unwrap().len() < 10_000).unwrap().clone();
    flip(&small);
    let key = operator.key();
    let (code, _, err) = operator.tries("copy", &["restore", "latest", "--key-file", &key]);
    assert_eq!((code, err.contains("--leave-out-damaged")), (65, true), "{err}");
    assert!(!operator.town.path("copy").exists() && !operator.town.path("copy.restoring").exists());
    let rest = operator.does("copy", &["restore", "latest", "--key-file", &key, "--leave-out-damaged"]);
    assert_eq!((&rest["blobs"], &rest["left_out"]), (&1.into(), &1.into()), "{rest}");
    assert!(operator.checks("copy").contains(" 1 blobs of "), "{}", operator.checks("copy"));
    // What is removed from the place is copied again.
    fs::remove_dir_all(small.parent().unwrap()).unwrap();
    operator.does("data", &["create"]);
    assert_eq!((operator.objects(), verify().0), (objects, 0));
    // A server that has lost one itself has it in its backups.
    for (object, _) in walk(&operator.town.path("data").join("blobs")) {
        fs::remove_file(object).unwrap();
    }
    assert_eq!(operator.does("data", &["create"])["lost"], 0);
    fs::remove_dir_all(small.parent().unwrap()).unwrap();
    let (_, out, _) = operator.tries("data", &["create"]);
    assert!(out.contains("1 attachments are not in it, because the server lacks bytes of theirs"), "{out}");
    let verified = operator.does("data", &["verify"]);
    assert_eq!((&verified["blobs"], &verified["left_out"]), (&1.into(), &1.into()));
    let restored = operator.does("whole", &["restore", "latest", "--key-file", &key]);
    assert_eq!(restored["blobs"], 1);
    operator.replace("whole");
    let bob = Somebody::of(&operator.town, "bob");
    bob.does(&["listen"]);
    let (id, target) = (files(&bob, "alice")[0].0.clone(), operator.town.path("got"));
    bob.does(&["file", "get", &id, "-o", target.to_str().unwrap()]);
    assert!(fs::read(target).unwrap() == first);
    // The other one's bytes are nowhere, and who wants them is told.
    let id = files(&bob, "alice")[1].0.clone();
    let (code, _, err) = bob.tries(&["file", "get", &id, "-o", operator.town.path("none").to_str().unwrap()]);
    assert!(code != 0 && err.contains("not in its conversation any more"), "{code} {err}");
}

#[test]
fn a_killed_backup_of_objects_leaves_a_place_that_the_next_one_uses() {
    let operator = Operator::in_directories();
    operator.town.friends();
    operator.send("film", 1, 8_000_000);
    let mut child = operator.command("data", &["create"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !operator.place().join("objects").exists() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "nothing was copied");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(operator.tries("data", &["list", "--json"]).1, "", "it ended before it was killed");
    let made = operator.does("data", &["create"]);
    assert_eq!(made["attachments"], 1, "{made}");
    assert_eq!(operator.does("data", &["verify"])["blobs"], 1);
    assert_eq!(operator.objects().len(), walk(&operator.town.path("data").join("blobs")).count());
}

/// A clock that says what it is told to.
struct At(u64);

impl Clock for At {
    fn unix_ms(&self) -> u64 {
        self.0
    }
}

pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;
const BEGIN: u64 = 1_900_000_000_000;
pub(crate) const KEEP: Keep =
    Keep { full: Duration::from_secs(30 * 24 * 60 * 60), incremental: Duration::from_secs(7 * 24 * 60 * 60) };

/// A stopped server of which backups are made at any time.
struct Stopped {
    data: PathBuf,
    key: DbKey,
    objects: ObjectPlace,
    backups: Backups,
}

impl Stopped {
    fn of(operator: &mut Operator) -> Self {
        operator.town.server.end();
        let data = operator.town.path("data");
        let key = DbKey::parse(&fs::read_to_string(data.join("db.key")).unwrap()).unwrap();
        let objects = ObjectPlace::Directory(data.join("blobs"));
        let backups = Backups::open(&ObjectPlace::Directory(operator.place())).unwrap();
        Self { data, key, objects, backups }
    }

    async fn makes(&self, kind: Kind, at: u64, told: &mut dyn FnMut(u64, u64)) -> Created {
        let of = Of { root: &self.data, key: &self.key, domain: "localhost", objects: Some(&self.objects) };
        backup::create(of, &self.backups, Wish::Kind(kind), (&At(at), &SystemRng), told).await.unwrap()
    }

    /// Removes every attachment, as retention does.
    async fn removes_all(&self) {
        let path = self.data.join("qpc-blobs.db");
        let store = ObjectBlobs::open(&path, self.key.clone(), SqliteBlobs::options(), &self.objects).unwrap();
        let sweep = Sweep { uploads_before_ms: 0, blobs_before_ms: u64::MAX, now_ms: 0, batch: 100 };
        while store.sweep(sweep).await.unwrap() {}
        store.close().await.unwrap();
    }

    /// Somebody has begun to send something.
    async fn begins_an_upload(&self) {
        let path = self.data.join("qpc-blobs.db");
        let store = ObjectBlobs::open(&path, self.key.clone(), SqliteBlobs::options(), &self.objects).unwrap();
        let conversation =
            ConversationName { domain: "localhost".parse().unwrap(), id: ConversationId::new(0, [1; 10]) };
        let place = Place { conversation, digest: BlobDigest([1; 32]) };
        let upload = Upload { account: AccountId::new(0, [1; 10]), place };
        let ample = Budget { bytes: u64::MAX, blobs: u64::MAX };
        let quota = Quota { account: ample, conversation: ample, uploads: 1 };
        let new = NewUpload { upload: upload.clone(), size: 300_000, quota, readable_in: None, now_ms: BEGIN };
        store.begin(new).await.unwrap();
        store.put_part(upload, 1, bytes(9, 300_000 - BLOB_PART), BEGIN).await.unwrap();
        store.close().await.unwrap();
    }

    async fn collects(&self, at: u64) -> u64 {
        backup::prune(&self.backups, KEEP, at).await.unwrap();
        backup::collect(&self.backups, &self.data, at).await.unwrap()
    }
}

#[tokio::test]
async fn objects_go_when_no_backup_names_them() {
    let mut operator = Operator::in_directories();
    operator.town.friends();
    operator.send("first", 1, 300_000);
    let stopped = Stopped::of(&mut operator);
    let full = stopped.makes(Kind::Full, BEGIN, &mut |_, _| {}).await;
    assert_eq!(full.manifest.objects.as_ref().map(|objects| objects.count), Some(1));
    // It was sent, backed up and removed; and then it is named by what is old.
    stopped.removes_all().await;
    let late = stopped.makes(Kind::Incremental, BEGIN + 29 * DAY, &mut |_, _| {}).await;
    assert_eq!(late.manifest.objects.as_ref().map(|objects| objects.count), Some(0));
    stopped.makes(Kind::Full, BEGIN + 30 * DAY, &mut |_, _| {}).await;
    assert_eq!(stopped.collects(BEGIN + 31 * DAY).await, 0, "the incremental one stands on it");
    assert_eq!(operator.objects().len(), 2);
    // The incremental one is too old, and with it what it stands on; but somebody may be making one that names it.
    let late = BEGIN + 37 * DAY;
    let half = operator.place().join(backup::Name::new(late, Kind::Full).to_string());
    fs::create_dir(&half).unwrap();
    fs::write(half.join("secrets"), "half of it").unwrap();
    assert_eq!(stopped.collects(late + 1).await, 0);
    assert_eq!((stopped.backups.list().await.unwrap().len(), operator.objects().len()), (1, 2));
    let lock = fs::File::open(stopped.data.join("backup.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(stopped.collects(late + 2 * DAY).await, 0, "a backup is under way");
    assert!(!half.exists());
    drop(lock);
    assert_eq!(stopped.collects(late + 2 * DAY).await, 2);
    assert!(operator.objects().is_empty());
    assert_eq!(stopped.backups.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_removed_while_a_backup_is_made_is_left_out_of_it_and_so_is_what_is_unfinished() {
    let mut operator = Operator::in_directories();
    operator.town.friends();
    operator.send("first", 1, 300_000);
    let stopped = Stopped::of(&mut operator);
    stopped.begins_an_upload().await;
    assert!(operator.checks("data").contains(", 1 unfinished uploads"), "{}", operator.checks("data"));
    // Elsewhere, to see how large the databases are.
    let backups = Backups::open(&ObjectPlace::Directory(operator.town.path("sizes"))).unwrap();
    let first = Stopped { backups, ..Stopped::of(&mut operator) };
    let first = first.makes(Kind::Full, BEGIN, &mut |_, _| {}).await.manifest;
    let databases: u64 = first.files.iter().map(|file| file.bytes).sum();
    let mut removed = false;
    let made = stopped
        .makes(Kind::Full, BEGIN, &mut |done, _| {
            // The last chunk of the copied database, which names it.
            if done >= databases && !removed {
                removed = true;
                let remove = || tokio::runtime::Runtime::new().unwrap().block_on(stopped.removes_all());
                std::thread::scope(|threads| threads.spawn(remove).join().unwrap());
            }
        })
        .await;
    assert!(removed && made.lost == 0, "{}", made.lost);
    assert_eq!(made.manifest.objects.as_ref().map(|objects| objects.count), Some(0));
    let verified = operator.does("data", &["verify"]);
    assert_eq!((&verified["blobs"], &verified["left_out"]), (&0.into(), &1.into()), "{verified}");
    let key = operator.key();
    operator.does("copy", &["restore", "latest", "--key-file", &key]);
    assert!(
        operator.checks("copy").contains(" 0 blobs of 0 bytes, 0 unfinished uploads"),
        "{}",
        operator.checks("copy")
    );
}
