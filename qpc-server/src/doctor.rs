//! `qpc-server doctor`: looks at the machine, the files and the running server, and says of each what was found and what to do.
//!
//! Each check is a function from plain inputs to a [`Finding`], in the file of its subject; [`examine`] reads the inputs. It
//! changes nothing but a small file in the data directory, by which the disk is timed and which is removed again.

mod certificate;
mod clock;
mod configuration;
mod database;
mod disk;
mod finding;
mod kernel;
mod peers;
mod permissions;
mod reach;
mod running;

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use self::finding::{Finding, Mark};
pub(crate) use self::finding::{bytes, span};
use crate::{
    config::{Config, ConfigError, Loaded},
    data_dir::DataDir,
};

/// What is to be looked at besides what always is.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// Read the databases from end to end.
    pub deep: bool,
    /// Where this server should be reachable: `host:port`.
    pub reach: Option<String>,
    /// The configuration's `metrics.listen`, as a program on this machine reaches it.
    pub metrics: Option<std::net::SocketAddr>,
}

/// Looks at everything, and tells each finding as it is made. Blocks: the disk is timed, and with `deep` read.
///
/// Without a configuration that can be read only the kernel and the clock are looked at.
pub fn examine(loaded: Result<&Loaded, &ConfigError>, of: &Examination, told: &mut dyn FnMut(Finding)) {
    for finding in configuration::judge(&configuration::facts(loaded)) {
        told(finding);
    }
    let config = loaded.map_or_else(|_| Config::default(), |loaded| loaded.config.clone());
    let data = &config.server.data_dir;
    let house = loaded.ok().map(|_| running::facts(data, of.metrics));
    told(kernel::buffers(kernel::granted(config.transport.udp_buffer), config.transport.udp_buffer));
    told(kernel::open_files(&kernel::files(house.as_ref().and_then(|house| house.process))));
    told(clock::judge(&clock::facts(data)));
    let (Ok(loaded), Some(house)) = (loaded, house) else { return };

    told(running::judge(&house));
    examine_files(loaded, &house, of, told);
    let now = now();
    let own = certificate::own(&config, data);
    told(certificate::judge(certificate::own_kind(&config), &own, now));
    if let Some(facts) = certificate::federation(&config, data, now) {
        told(certificate::judge(certificate::FEDERATION, &facts, now));
        told(peers::judge(&house.peers, now));
    }
    if let Some(address) = &of.reach {
        told(reach::judge(address, reach::shake_hands(address), own.fingerprint()));
    }
}

/// What lies in the data directory, where there is one.
fn examine_files(loaded: &Loaded, house: &running::House, of: &Examination, told: &mut dyn FnMut(Finding)) {
    let config = &loaded.config;
    let data = &config.server.data_dir;
    if let Some(finding) = disk::missing(data) {
        told(finding);
        return;
    }
    told(permissions::judge(&permissions::facts(config)));
    told(disk::judge_syncs(disk::syncs(data)));
    for (directory, reserve) in disk::places(config) {
        told(disk::judge_space(&directory, disk::space(&directory), reserve));
    }
    told(if of.deep { database::deep(loaded) } else { database::quick(loaded, house) });
}

/// Since 1970, by the machine's clock.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The files of both databases that are written while the server runs.
fn stored(data: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    [DataDir::database(data), DataDir::blobs_database(data)].into_iter().flat_map(|path| {
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        [path, wal.into()]
    })
}
