//! Who is connected, for the operator: shown, and sent away.

use qpc_proto::address::Address;

use super::{
    AdminAnswer, Operated,
    accounts::{device_id, extent, own_name},
    perform::live,
    rows::SessionRow,
};
use crate::registry::Seen;

type Outcome = Result<AdminAnswer, AdminAnswer>;

pub(super) fn list(operated: &Operated, after: Option<String>, limit: usize) -> Outcome {
    let domain = operated.accounts.domain();
    let after = after.map(|after| own_name(operated, &after)).transpose()?;
    let after = after.map(|name| Address { name, domain: domain.clone() }.to_string());
    let now_ms = operated.clock.unix_ms();
    let seen = live(operated)?.registry.seen();
    let total = seen.len();
    let mut rows: Vec<SessionRow> = seen.into_iter().map(|seen| row(seen, now_ms)).collect();
    rows.retain(|row| after.as_ref().is_none_or(|after| row.account > *after));
    rows.sort_unstable_by(|one, other| {
        (&one.account, &one.device, one.since_ms).cmp(&(&other.account, &other.device, other.since_ms))
    });
    // An account is shown whole, so that the next page begins with the next one.
    let last = rows.get(limit.saturating_sub(1)).map(|row| row.account.clone());
    let all = rows.len();
    if let Some(last) = last {
        rows.retain(|row| row.account <= last);
    }
    let more = rows.len() < all;
    Ok(AdminAnswer::Sessions { sessions: rows, total, more })
}

pub(super) async fn kick(operated: &Operated, name: &str, device: Option<String>) -> Outcome {
    let live = live(operated)?;
    let device = device.map(|device| device_id(&device)).transpose()?;
    let extent = extent(operated, name).await?;
    if device.is_some_and(|device| !extent.account.devices.iter().any(|known| known.id == device)) {
        return Err(AdminAnswer::NotFound);
    }
    Ok(AdminAnswer::Done { sessions: live.registry.kick(extent.account.id, device) })
}

fn row(Seen { account, device, peer, sync }: Seen, now_ms: u64) -> SessionRow {
    let named = peer.as_ref().and_then(|peer| peer.account.as_ref()).map(Address::to_string);
    let lasted = |peer: &crate::registry::Peer| u64::try_from(peer.lasted.as_millis()).unwrap_or(u64::MAX);
    SessionRow {
        account: named.unwrap_or_else(|| account.to_string()),
        device: device.to_string(),
        since_ms: peer.as_ref().map(|peer| now_ms.saturating_sub(lasted(peer))),
        from: peer.map(|peer| peer.from.to_string()),
        syncs: sync.is_some(),
        queued: sync.map_or(0, |lag| lag.offers),
        logs_behind: sync.map_or(Some(0), |lag| lag.behind),
    }
}
