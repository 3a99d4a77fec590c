//! Accounts and conversations for a load: made once, kept in a directory, used again.
//!
//! A directory holds a server's data and a manifest with the devices' keys. A run works on a copy, so that it finds
//! the same state each time. What is missing is made on a server without rates; the measured one is started
//! after that. At a server that somebody else started, its own limits hold while preparing, too.

mod build;
mod manifest;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use qpc_client::{ServerAddress, wire::Device};
use qpc_proto::id::ConversationName;
use tempfile::TempDir;

use self::{build::Builder, manifest::Manifest};
use crate::{
    bed::{Bed, Beds},
    layout::Layout,
    profile::Profile,
    report::note,
};

/// How passwords of these accounts are stretched.
pub const STRETCHING: &str = "Argon2id, 8 KiB, 1 pass";
/// UDP sockets while preparing.
const SOCKETS: usize = 8;

/// A conversation that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyRoom {
    /// Its name.
    pub name: ConversationName,
    /// Users, its creator first.
    pub members: Vec<u32>,
    /// Its epoch.
    pub epoch: u64,
    /// Where its log stands.
    pub seq: u64,
    /// The last counter of each member, in their order.
    pub counters: Vec<u64>,
    /// Whether the scenario talks in it; else it is there because two had to know each other.
    pub used: bool,
}

/// A server with the users and conversations of a layout.
pub struct Prepared {
    /// Where its data lies, unless somebody else started it.
    pub data: PathBuf,
    /// The users, by their numbers.
    pub users: Vec<Device>,
    /// Their names, by which they log in.
    pub names: Vec<String>,
    /// Their conversations.
    pub rooms: Vec<ReadyRoom>,
    // Goes with this.
    _copy: Option<TempDir>,
}

/// The password of an account.
#[must_use]
pub fn password(name: &str) -> String {
    format!("password of {name}")
}

/// Makes what a layout lacks, and gives it.
///
/// # Errors
/// What went wrong.
pub async fn prepare(beds: &Beds, kept: Option<&Path>, layout: &Layout) -> anyhow::Result<Prepared> {
    let scratch = tempfile::Builder::new().prefix("qpc-bench-accounts-").tempdir()?;
    let root = kept.unwrap_or(scratch.path());
    fs::create_dir_all(root)?;
    let mut manifest = Manifest::read(root)?;
    let data = root.join("data");
    if !manifest.has(layout) || beds.external.is_some() {
        let began = std::time::Instant::now();
        let mut bed = beds.open(Some(&data), Profile::Free).await?;
        let outcome = build(&bed, &mut manifest, layout).await;
        if bed.is_own() {
            bed.stop().await?;
        }
        // What was made before something failed is there, too.
        manifest.write(root)?;
        outcome?;
        note(&format!("prepared in {:.0} s: {}", began.elapsed().as_secs_f64(), layout.name));
    }
    let (data, copy) = match kept {
        Some(_) if beds.external.is_none() => {
            copy_tree(&data, &scratch.path().join("data")).context("copying the kept data")?;
            (scratch.path().join("data"), Some(scratch))
        }
        _ => (data, Some(scratch)),
    };
    let address: ServerAddress = match &beds.external {
        Some(external) => external.listen.parse()?,
        None => ServerAddress { host: "127.0.0.1".into(), port: 7000 },
    };
    let (users, rooms) = manifest.give(layout, &address)?;
    let names = manifest.names(layout);
    Ok(Prepared { data, users, names, rooms, _copy: copy })
}

async fn build(bed: &Bed, manifest: &mut Manifest, layout: &Layout) -> anyhow::Result<()> {
    let dialer = bed.dialer(SOCKETS)?;
    let outcome = Builder::new(&dialer, bed.token(), manifest).build(layout, !bed.is_own()).await;
    dialer.close().await;
    outcome
}

impl Prepared {
    /// The server that is measured.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn open(&self, beds: &Beds) -> anyhow::Result<Bed> {
        beds.open(Some(&self.data), beds.profile()).await
    }
}

/// Where conversations stand, in a file: place and counters of each, in their order.
const STANDS: &str = "stands.json";

impl Prepared {
    /// Keeps the data as it is now.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, root: &Path) -> anyhow::Result<()> {
        copy_tree(&self.data, &root.join("copying"))?;
        let stands: Vec<_> = self.rooms.iter().map(|room| (room.seq, &room.counters)).collect();
        fs::write(root.join(STANDS), serde_json::to_vec(&stands)?)?;
        // Last, so that what is there is whole.
        Ok(fs::rename(root.join("copying"), root.join("data"))?)
    }

    /// Takes data that was kept.
    ///
    /// # Errors
    /// The system's, or when it is of other conversations.
    pub fn restore(&mut self, root: &Path) -> anyhow::Result<()> {
        let stands: Vec<(u64, Vec<u64>)> = serde_json::from_slice(&fs::read(root.join(STANDS))?)?;
        anyhow::ensure!(stands.len() == self.rooms.len(), "what was filled is of other conversations");
        fs::remove_dir_all(&self.data)?;
        copy_tree(&root.join("data"), &self.data)?;
        for (room, (seq, counters)) in self.rooms.iter_mut().zip(stands) {
            (room.seq, room.counters) = (seq, counters);
        }
        Ok(())
    }
}

/// Copies files and folders; sockets and the like belong to what ran there.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
