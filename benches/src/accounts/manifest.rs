//! What is kept of accounts and conversations, as JSON: whoever reads it can be these devices.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;
use qpc_client::{ServerAddress, wire::Device};
use qpc_proto::{
    address::Domain,
    id::{ConversationId, ConversationName},
};
use serde::{Deserialize, Serialize};

use super::ReadyRoom;
use crate::layout::{Layout, ordered};

const FILE: &str = "accounts.json";

/// See the module's text.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// What names begin with.
    pub(super) prefix: String,
    pub(super) domain: String,
    pub(super) users: Vec<User>,
    pub(super) rooms: Vec<Room>,
    /// The conversations that a layout uses, by its name.
    pub(super) layouts: BTreeMap<String, Vec<usize>>,
}

/// One account with one device.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    /// Its secret bytes, in hex.
    pub(super) device: String,
}

/// One conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Room {
    /// In hex.
    pub(super) id: String,
    pub(super) direct: bool,
    pub(super) members: Vec<u32>,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) counters: Vec<u64>,
}

impl Manifest {
    /// What a directory has; nothing, where there is none yet.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(FILE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Self { prefix: format!("u{:x}-", crate::random::unix_ms() & 0xff_ffff), ..Self::default() })
            }
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    pub(super) fn write(&self, root: &Path) -> anyhow::Result<()> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(root.join(FILE))?;
        Ok(serde_json::to_writer(std::io::BufWriter::new(file), self)?)
    }

    /// Is all of a layout there?
    pub(super) fn has(&self, layout: &Layout) -> bool {
        let enough = u32::try_from(self.users.len()).is_ok_and(|users| users >= layout.users);
        enough && self.layouts.contains_key(&layout.name)
    }

    /// The direct conversations, by their two.
    pub(super) fn directs(&self) -> HashMap<(u32, u32), usize> {
        let direct = |(at, room): (usize, &Room)| match room.members.as_slice() {
            [one, other] if room.direct => Some((ordered(*one, *other), at)),
            _ => None,
        };
        self.rooms.iter().enumerate().filter_map(direct).collect()
    }

    pub(super) fn names(&self, layout: &Layout) -> Vec<String> {
        let users = usize::try_from(layout.users).unwrap_or(usize::MAX);
        self.users.iter().take(users).map(|user| user.name.clone()).collect()
    }

    /// The users and conversations of a layout: those that it uses, and those that its users have besides.
    pub(super) fn give(
        &self,
        layout: &Layout,
        server: &ServerAddress,
    ) -> anyhow::Result<(Vec<Device>, Vec<ReadyRoom>)> {
        let users = usize::try_from(layout.users)?;
        let device = |user: &User| anyhow::Ok(Device::from_secret_bytes(&hex::decode(&user.device)?, server)?);
        let devices = self.users.iter().take(users).map(device).collect::<anyhow::Result<Vec<_>>>()?;
        let used = self.layouts.get(&layout.name).context("a layout that was not made")?;
        let mut is_used = vec![false; self.rooms.len()];
        for at in used {
            *is_used.get_mut(*at).context("a conversation that is not there")? = true;
        }
        if self.rooms.is_empty() {
            return Ok((devices, Vec::new()));
        }
        let domain = Domain::parse(&self.domain)?;
        let room = |(room, used): (&Room, bool)| {
            let id = ConversationId::parse(&hex::decode(&room.id)?)?;
            anyhow::Ok(ReadyRoom {
                name: ConversationName { domain: domain.clone(), id },
                members: room.members.clone(),
                epoch: room.epoch,
                seq: room.seq,
                counters: room.counters.clone(),
                used,
            })
        };
        let ours = |(room, used): &(&Room, bool)| *used || room.members.iter().all(|member| *member < layout.users);
        let rooms = self.rooms.iter().zip(is_used).filter(ours).map(room).collect::<anyhow::Result<Vec<_>>>()?;
        Ok((devices, rooms))
    }
}
