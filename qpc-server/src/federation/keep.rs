//! Certificates over time: new files count without a restart, and a connection ends when its certificate does.

use std::sync::Arc;

use quinn::{Connection, Endpoint};
use tokio::time::{MissedTickBehavior, interval};

use super::{CertificateFault, Hall, Source, certificate::Keys};
use crate::{metrics::labels::PeerRefused, told::Told};

/// Looks at the files and at the certificates of all connections, until the server stops.
pub(super) async fn look(hall: Arc<Hall>, endpoint: Endpoint, source: Source) {
    let stopping = hall.tasks.stopping().clone();
    let mut due = interval(hall.limits.reload);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        // Both branches only wait.
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = due.tick() => {}
        }
        match reload(&hall, &source).await {
            Ok(None) => told.over(),
            Ok(Some(keys)) => {
                endpoint.set_server_config(Some(keys.server.clone()));
                hall.metrics.set_certificate_expires(keys.end());
                hall.keys.send_replace(Arc::new(keys));
                tracing::info!("the federation's certificates have changed: the new ones count from now on");
                told.over();
            }
            Err(problem) => {
                if told.is_news(&problem) {
                    tracing::warn!(problem, "the federation's new certificates can't be used: the old ones stay");
                }
            }
        }
        for (connection, fault) in outlived(&hall) {
            tracing::debug!(%fault, "a connection with a peer has outlived its certificate");
            hall.refuse(&connection, PeerRefused::Certificate);
        }
    }
}

/// What the files hold now, where it is something else than before.
async fn reload(hall: &Hall, source: &Source) -> Result<Option<Keys>, String> {
    let source = Arc::clone(source);
    // Files may lie on a disk that hangs.
    let Some(material) = hall.tasks.compute(move || source()).await else { return Ok(None) };
    let material = material?;
    if hall.keys.borrow().are_of(&material) {
        return Ok(None);
    }
    Keys::new(material, &hall.domain, hall.now(), &hall.limits).map(Some).map_err(|error| error.to_string())
}

/// Connections whose certificates prove their domain no longer: expired, or not of the CA that counts now.
fn outlived(hall: &Hall) -> Vec<(Connection, CertificateFault)> {
    let (keys, now) = (Arc::clone(&hall.keys.borrow()), hall.now());
    let links: Vec<_> = hall.links().iter().map(|((domain, _), link)| (domain.clone(), link.clone())).collect();
    links
        .into_iter()
        .filter_map(|(domain, link)| Some((link.clone(), keys.is_of(&link, &domain, now).err()?)))
        .collect()
}
