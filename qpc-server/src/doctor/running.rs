//! The server itself: whether it runs on this data directory, is ready, and is this release.

use std::{net::SocketAddr, path::Path};

use super::finding::Finding;
use crate::{
    admin::{self, AdminAnswer, AdminRequest, AskError},
    data_dir::DataDir,
    peers::PeerReport,
};

const CHECK: &str = "server";
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Whether there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It answers.
    Running,
    /// None runs on this data directory.
    #[default]
    Stopped,
    /// It can't be asked.
    Unknown(String),
}

/// What the running server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct House {
    pub(super) state: State,
    /// Its process, where that can be told.
    pub(super) process: Option<u32>,
    /// What `/readyz` says.
    pub(super) ready: Result<(), String>,
    /// Its release.
    pub(super) version: Option<String>,
    /// Other servers, where it federates.
    pub(super) peers: Option<Vec<PeerReport>>,
}

impl Default for House {
    fn default() -> Self {
        Self { state: State::Stopped, process: None, ready: Err("no server runs".into()), version: None, peers: None }
    }
}

/// Asks it, by its socket and its page. Nothing is asked of the page of another server that listens there.
pub(super) fn facts(data: &Path, metrics: Option<SocketAddr>) -> House {
    let (state, peers) = match admin::ask(&DataDir::admin_socket(data), &AdminRequest::FederationStatus) {
        Ok(AdminAnswer::Federation { peers }) => (State::Running, peers),
        Ok(_) => (State::Unknown("it answers something else: it may be of another release".into()), None),
        Err(AskError::NoServer) => return House::default(),
        Err(error) => (State::Unknown(error.to_string()), None),
    };
    let page = |path| match metrics {
        Some(address) => {
            admin::fetch(address, path).map_err(|error| format!("no answer from http://{address}{path}: {error}"))
        }
        None => Err("metrics.listen has no port that can be asked".to_owned()),
    };
    let ready = page("/readyz").and_then(|answer| match answer.status {
        200 => Ok(()),
        _ => Err(answer.body.trim().to_owned()),
    });
    let version = page("/metrics").ok().and_then(|answer| version(&answer.body).map(str::to_owned));
    House { state, process: DataDir::process(data), ready, version, peers }
}

/// The release that a page of metrics names.
fn version(page: &str) -> Option<&str> {
    page.lines().find_map(|line| line.strip_prefix("qpc_build_info{version=\"")?.split('"').next())
}

pub(super) fn judge(house: &House) -> Finding {
    match &house.state {
        State::Stopped => {
            return Finding::warning(CHECK, "none runs on this data directory", "start it: systemctl start qpc-server");
        }
        State::Unknown(why) => {
            return Finding::bad(CHECK, why.clone(), "run this as the server's user, with its configuration");
        }
        State::Running => {}
    }
    if let Err(reason) = &house.ready {
        let remedy = "look at its log, and at metrics.listen if nothing answers";
        return Finding::bad(CHECK, format!("it runs and is not ready: {reason}"), remedy);
    }
    match &house.version {
        Some(version) if version == OWN => Finding::ok(CHECK, format!("{version} runs and is ready")),
        Some(version) => Finding::warning(
            CHECK,
            format!("{version} runs and is ready, and this program is {OWN}"),
            "restart the server after an upgrade",
        ),
        None => Finding::warning(
            CHECK,
            "it runs and is ready, but its page of metrics is not there",
            "look at metrics.listen and at what else listens there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    #[test]
    fn a_server_is_judged_by_what_it_says() {
        let running = House { state: State::Running, ready: Ok(()), version: Some(OWN.into()), ..House::default() };
        let old = House { version: Some("0.0.9".into()), ..running.clone() };
        let slow = House { ready: Err("the store is too slow".into()), ..running.clone() };
        let hidden = House { state: State::Unknown("permission denied".into()), ..running.clone() };
        let marks = [running, old, slow, hidden, House::default()].map(|house| judge(&house).mark);
        assert_eq!(marks, [Mark::Ok, Mark::Warning, Mark::Bad, Mark::Bad, Mark::Warning]);
    }

    #[test]
    fn the_page_names_the_release() {
        let page = crate::metrics::Metrics::new().unwrap().text().unwrap();
        assert_eq!((version(&page), version("")), (Some(OWN), None));
    }
}
