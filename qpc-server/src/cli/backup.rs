//! `backup`: making copies, looking at them, bringing them back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    args::{BackupCommand, BackupCreateArgs, BackupListArgs, BackupPlace, BackupRestoreArgs, BackupVerifyArgs, Place},
    exit::{Exit, Fault},
    print,
    progress::Progress,
    serve::load,
};
use crate::{
    backup::{self, BackupError, Backups, Damaged, Keep, Kind, Manifest, Objects, Of, Verified, Wish},
    blob_store::objects::ObjectPlace,
    clock::{Clock, SystemClock},
    config::Loaded,
    data_dir::DataDir,
    rng::SystemRng,
    server::storage,
    store::{
        Restored,
        sqlite::{DbKey, Dropped},
    },
};

pub(super) fn obey(place: &Place, command: &BackupCommand) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Exit::Internal, error))?;
    runtime.block_on(async {
        match command {
            BackupCommand::Create(args) => create(&loaded, args).await,
            BackupCommand::List(args) => list(&loaded, args).await,
            BackupCommand::Verify(args) => verify(&loaded, args).await,
            BackupCommand::Restore(args) => restore(place, &loaded, args).await,
            BackupCommand::Prune(args) => prune(&loaded, args).await,
        }
    })
}

/// Opens the place that is meant.
fn open(loaded: &Loaded, place: &BackupPlace) -> Result<Backups, Fault> {
    let place = match &place.directory {
        Some(directory) => Some(ObjectPlace::Directory(directory.clone())),
        None => storage::backups(&loaded.config.backup)?,
    };
    Ok(Backups::open(&place.ok_or(BackupError::Nowhere)?)?)
}

/// The key, and its text where it came from a file that was named.
fn key(loaded: &Loaded, file: Option<&PathBuf>) -> Result<(DbKey, Option<Zeroizing<String>>), Fault> {
    if let Some(file) = file {
        let text = fs::read_to_string(file)
            .map_err(|error| Fault::new(Exit::Io, format!("{}: {error}", file.display())))
            .map(Zeroizing::new)?;
        return Ok((DbKey::parse(&text).map_err(BackupError::Key)?, Some(text)));
    }
    let own = DataDir::key_file(&loaded.config.server.data_dir);
    if loaded.db_key.is_none() && loaded.config.storage.key_file.is_none() && !own.exists() {
        return Err(BackupError::NoKey.into());
    }
    Ok((storage::database_key(loaded)?, None))
}

fn keep(loaded: &Loaded) -> Keep {
    Keep { full: loaded.config.backup.keep_full.0, incremental: loaded.config.backup.keep_incremental.0 }
}

async fn create(loaded: &Loaded, args: &BackupCreateArgs) -> Result<(), Fault> {
    let backups = open(loaded, &args.place)?;
    let config = &loaded.config;
    let root = &config.server.data_dir;
    let key = storage::database_key(loaded)?;
    let objects = storage::objects(&config.blobs, root)?;
    let of = Of { root, key: &key, domain: &config.server.domain, objects: objects.as_ref() };
    let after_ms = u64::try_from(config.backup.full_every.0.as_millis()).unwrap_or(u64::MAX);
    let wish = match (args.full, args.incremental) {
        (true, _) => Wish::Kind(Kind::Full),
        (_, true) => Wish::Kind(Kind::Incremental),
        _ => Wish::Full { after_ms },
    };
    let mut progress = Progress::new("the backup");
    let made =
        backup::create(of, &backups, wish, (&SystemClock, &SystemRng), &mut |done, total| progress.tell(done, total))
            .await;
    progress.clear();
    let made = made?;
    let removed = match args.keep_all {
        true => Vec::new(),
        false => backup::prune(&backups, keep(loaded), SystemClock.unix_ms()).await?,
    };
    // All lists of attachments are read for it, so not more often than full backups go.
    let objects = match removed.iter().any(|name| name.kind == Kind::Full) {
        true => tidied(&backups, root).await?,
        false => None,
    };
    let removed: Vec<String> = removed.iter().map(ToString::to_string).collect();
    if args.json {
        let mut line = described(&made.manifest, made.name.kind);
        if let Some(object) = line.as_object_mut() {
            object.insert("removed".into(), removed.into());
            object.insert("lost".into(), made.lost.into());
        }
        return print(&format!("{line}\n"));
    }
    let (name, own) = (&made.name, megabytes(made.manifest.own_bytes()));
    let stands_on = made.manifest.base.as_ref().map(|base| format!(", on {}", base.name)).unwrap_or_default();
    let mut text = format!("{name} in {}: {own} MB{stands_on}\n", backups.shown());
    for name in removed {
        text.push_str(&format!("removed {name}\n"));
    }
    text.push_str(&objects.unwrap_or_default());
    if made.lost > 0 {
        text.push_str(&format!(
            "{} attachments are not in it, because the server lacks bytes of theirs: qpc-server db check names them.\n",
            made.lost
        ));
    }
    print(&text)
}

/// Removes the objects that no backup names any more, and says so. A list that can't be read is no reason to fail: what it
/// names is kept with all else.
async fn tidied(backups: &Backups, root: &Path) -> Result<Option<String>, Fault> {
    match backup::collect(backups, root, SystemClock.unix_ms()).await {
        Ok(0) => Ok(None),
        Ok(removed) => Ok(Some(format!("removed {removed} objects of attachments that no backup names any more\n"))),
        Err(error @ (BackupError::Missing { .. } | BackupError::Damaged { .. })) => {
            Ok(Some(format!("objects of attachments that no backup may name any more are kept: {error}\n")))
        }
        Err(error) => Err(error.into()),
    }
}

fn described(manifest: &Manifest, kind: Kind) -> serde_json::Value {
    serde_json::json!({
        "name": manifest.name,
        "kind": kind.to_string(),
        "base": manifest.base.as_ref().map(|base| &base.name),
        "bytes": manifest.bytes(),
        "own_bytes": manifest.own_bytes(),
        "attachments": manifest.objects.as_ref().map(|objects| objects.count),
    })
}

/// In tenths, of a million bytes.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

async fn list(loaded: &Loaded, args: &BackupListArgs) -> Result<(), Fault> {
    let backups = open(loaded, &args.place)?;
    let found = backups.list().await?;
    if args.json {
        let lines = found.iter().map(|(name, manifest)| format!("{}\n", described(manifest, name.kind)));
        return print(&lines.collect::<String>());
    }
    if found.is_empty() {
        return print(&format!("no backups in {}\n", backups.shown()));
    }
    let line = |(name, manifest): &(backup::Name, Manifest)| {
        let base = manifest.base.as_ref().map(|base| format!("  on {}", base.name)).unwrap_or_default();
        format!("{:<28} {:>10} MB{base}\n", name.to_string(), megabytes(manifest.own_bytes()))
    };
    print(&found.iter().map(line).collect::<String>())
}

async fn verify(loaded: &Loaded, args: &BackupVerifyArgs) -> Result<(), Fault> {
    let backups = open(loaded, &args.place)?;
    let (key, _) = key(loaded, args.key_file.as_ref())?;
    let name = backups.find(&args.name).await?;
    let scratch = match &args.scratch {
        Some(scratch) if scratch.exists() => return Err(BackupError::Exists(scratch.clone()).into()),
        Some(scratch) => scratch.clone(),
        None => {
            let mut beside = loaded.config.server.data_dir.clone().into_os_string();
            beside.push(".verify");
            beside.into()
        }
    };
    let mut progress = Progress::new("the backup");
    let outcome = backup::verify(&backups, &name, &key, &scratch, &mut |done, total| progress.tell(done, total)).await;
    progress.clear();
    let found = outcome?;
    if args.json {
        return print(&format!("{}\n", counted(&found)));
    }
    print(&format!("{name} is sound: {}\n", sentence(&found)))
}

async fn restore(place: &Place, loaded: &Loaded, args: &BackupRestoreArgs) -> Result<(), Fault> {
    let backups = open(loaded, &args.place)?;
    let (key, text) = key(loaded, args.key_file.as_ref())?;
    let name = backups.find(&args.name).await?;
    let target = &loaded.config.server.data_dir;
    let text = text.as_ref().map(|text| text.as_str());
    let at_ms = SystemClock.unix_ms();
    let wait_ms = u64::try_from(args.read_only.0.as_millis()).unwrap_or(u64::MAX);
    let incarnation = Restored { at_ms, until_ms: at_ms.saturating_add(wait_ms) };
    let mut progress = Progress::new("the backup");
    let objects = objects(loaded, args)?;
    let damaged = if args.leave_out_damaged { Damaged::LeftOut } else { Damaged::Refused };
    let whereto = (&objects, damaged);
    let outcome = backup::restore(&backups, &name, (&key, text), target, whereto, incarnation, &mut |done, total| {
        progress.tell(done, total);
    })
    .await;
    progress.clear();
    let restored = outcome?;
    let Dropped { key_packages, invites, awaited } = restored.dropped;
    if args.json {
        let mut line = counted(&restored.verified);
        if let Some(object) = line.as_object_mut() {
            object.insert("key_packages".into(), key_packages.into());
            object.insert("invites".into(), invites.into());
            object.insert("awaited_conversations".into(), awaited.conversations.into());
            object.insert("awaited_devices".into(), awaited.devices.into());
            object.insert("awaited_domains".into(), awaited.domains.into());
        }
        return print(&format!("{line}\n"));
    }
    let mut after = String::new();
    if text.is_none() {
        after.push_str(
            "The database's key is not in that directory: start the server with the one that you used here.\n",
        );
    }
    if awaited.conversations > 0 {
        let domains = match awaited.domains {
            0 => String::new(),
            count => format!(" and the servers of {count} other domains"),
        };
        after.push_str(&format!(
            "{} conversations are read-only until the {} devices{domains} that may have more of them have been here, for {} \
             at most.\n",
            awaited.conversations, awaited.devices, args.read_only
        ));
    }
    // A configuration came back with it, and names files as they were where it was made.
    let there = match &objects {
        Objects::Inside(path) => ObjectPlace::Directory(target.join(path)),
        Objects::At(place) => place.clone(),
    };
    match load(place, None, None) {
        Err(fault) => after.push_str(&format!(
            "Its configuration does not fit here yet:\n  {}\n",
            fault.message.replace('\n', "\n  ")
        )),
        Ok(now) if restored.verified.manifest.objects.is_some() => {
            let wanted = storage::objects(&now.config.blobs, target)?.map(|place| place.shown());
            if wanted != Some(there.shown()) {
                after.push_str(&format!(
                    "The bytes of attachments are in {}, and its configuration has them elsewhere: set [blobs] before you start it.\n",
                    there.shown()
                ));
            }
        }
        Ok(_) => {}
    }
    if restored.verified.left_out > 0 {
        after.push_str(&format!(
            "{} attachments were left out: removed while the backup was made, or damaged.\n",
            restored.verified.left_out
        ));
    }
    if restored.verified.blobs.is_none() {
        after.push_str(
            "The bytes of attachments were not in it: bring them back as well, then run qpc-server db check.\n",
        );
    }
    let target = target.display();
    print(&format!(
        "{name} is in {target}: {}\n\
         Dropped, because they may have been used since: {key_packages} one-time key packages, {invites} invites.\n{after}\
         Start the server: qpc-server --data-dir {target}\n",
        sentence(&restored.verified)
    ))
}

/// Where the bytes of attachments go: where they are told to, where the configuration has them, or into the data directory.
fn objects(loaded: &Loaded, args: &BackupRestoreArgs) -> Result<Objects, Fault> {
    let root = &loaded.config.server.data_dir;
    let place = match &args.objects {
        Some(directory) => Some(ObjectPlace::Directory(directory.clone())),
        None => storage::objects(&loaded.config.blobs, root)?,
    };
    let place = place.unwrap_or_else(|| ObjectPlace::Directory(DataDir::objects(root)));
    Ok(match &place {
        ObjectPlace::Directory(directory) => match directory.strip_prefix(root) {
            Ok(inside) => Objects::Inside(inside.to_owned()),
            Err(_) => Objects::At(place),
        },
        ObjectPlace::S3(_) => Objects::At(place),
    })
}

async fn prune(loaded: &Loaded, args: &BackupListArgs) -> Result<(), Fault> {
    let backups = open(loaded, &args.place)?;
    let removed = backup::prune(&backups, keep(loaded), SystemClock.unix_ms()).await?;
    let objects = tidied(&backups, &loaded.config.server.data_dir).await?;
    if args.json {
        return print(
            &removed
                .iter()
                .map(|name| format!("{}\n", serde_json::json!({ "removed": name.to_string() })))
                .collect::<String>(),
        );
    }
    if removed.is_empty() && objects.is_none() {
        return print("nothing is old enough to be removed\n");
    }
    let removed = removed.iter().map(|name| format!("removed {name}\n")).collect::<String>();
    print(&format!("{removed}{}", objects.unwrap_or_default()))
}

fn counted(found: &Verified) -> serde_json::Value {
    let Verified { manifest, logs, entries, blobs, left_out } = found;
    serde_json::json!({
        "name": manifest.name, "logs": logs, "entries": entries, "blobs": blobs, "left_out": left_out
    })
}

fn sentence(found: &Verified) -> String {
    let blobs = match (found.blobs, found.left_out) {
        (None, _) => String::new(),
        (Some(blobs), 0) => format!(", {blobs} attachments"),
        (Some(blobs), left_out) => format!(", {blobs} attachments, and not {left_out} of which it has no bytes"),
    };
    format!("{} entries in {} logs{blobs}", found.entries, found.logs)
}
