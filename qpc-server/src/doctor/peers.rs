//! Other servers: whether there are connections with them, and what waits for them.

use std::time::Duration;

use super::finding::{Finding, span};
use crate::peers::{LinkState, PeerReport};

const CHECK: &str = "peers";

/// Messages that wait for one peer, from which it is a warning, and from which it is bad.
const MANY: u64 = 1_000;
const TOO_MANY: u64 = 10_000;

/// The running server's own word on its peers; nothing where it can't be asked.
pub(super) fn judge(peers: &Option<Vec<PeerReport>>, now: Duration) -> Finding {
    let Some(peers) = peers else {
        let found = "federation is on in the configuration, and no running server tells of it";
        return Finding::warning(CHECK, found, "start the server, or restart it if federation was switched on since");
    };
    let dialled: Vec<_> = peers.iter().filter(|peer| peer.outgoing != LinkState::None).collect();
    let away: Vec<_> = dialled.iter().filter(|peer| peer.outgoing != LinkState::Connected).collect();
    let waiting = peers.iter().max_by_key(|peer| peer.waiting).filter(|peer| peer.waiting >= MANY);
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let remedy =
        "`qpc-server federation status` shows each; look at that server, its address and the certificates of both";
    let mut found = format!("{} of {} connected", dialled.len().saturating_sub(away.len()), dialled.len());
    for peer in &away {
        let since = span(now_ms.saturating_sub(peer.since_ms) / 1_000);
        let problem = peer.problem.as_deref().unwrap_or("connecting");
        found.push_str(&format!("; {} for {since} not: {problem}", peer.domain));
    }
    if let Some(peer) = waiting {
        found.push_str(&format!("; {} messages wait for {}", peer.waiting, peer.domain));
    }
    let too_many = waiting.is_some_and(|peer| peer.waiting >= TOO_MANY);
    match (away.is_empty(), waiting) {
        _ if too_many => Finding::bad(CHECK, found, remedy),
        (true, None) => Finding::ok(CHECK, found),
        // One that is away costs its own queue and nothing else.
        _ => Finding::warning(CHECK, found, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    fn peer(domain: &str, outgoing: LinkState, waiting: u64) -> PeerReport {
        PeerReport {
            domain: domain.into(),
            address: Some("10.0.1.2:7001".into()),
            outgoing,
            incoming: false,
            since_ms: 60_000,
            round_trip_us: None,
            failures: 0,
            problem: (outgoing == LinkState::Waiting).then(|| "no answer within 10s".into()),
            in_flight: 0,
            asked: Default::default(),
            waiting,
            waiting_since_ms: None,
            behind: 0,
        }
    }

    #[test]
    fn who_is_away_and_what_waits_is_said() {
        let now = Duration::from_secs(240);
        let told = |peers: Vec<PeerReport>| judge(&Some(peers), now);
        let good = || peer("b.example", LinkState::Connected, 999);
        assert_eq!(told(vec![good(), peer("c.example", LinkState::None, 0)]), Finding::ok(CHECK, "1 of 1 connected"));
        let away = told(vec![good(), peer("d.example", LinkState::Waiting, 0)]);
        assert_eq!(away.found, "1 of 2 connected; d.example for 3 minutes not: no answer within 10s");
        assert_eq!(away.mark, Mark::Warning);
        assert_eq!(told(vec![peer("d.example", LinkState::Connected, MANY)]).mark, Mark::Warning);
        assert_eq!(told(vec![peer("d.example", LinkState::Connected, TOO_MANY)]).mark, Mark::Bad);
        assert_eq!(judge(&None, now).mark, Mark::Warning);
    }
}
