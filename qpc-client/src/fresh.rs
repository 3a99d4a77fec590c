//! What is new each time: the time and randomness, from the operating system.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qpc_proto::id::{ConversationId, DeviceId, MessageId};

/// The system's source of randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoRandomness;

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(simulated) = crate::simulation::clock_ms() {
        return simulated;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    #[cfg(feature = "simulation")]
    if crate::simulation::fill(&mut bytes) {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

pub(crate) fn message_id() -> Result<MessageId, NoRandomness> {
    Ok(MessageId::new(now_ms(), random()?))
}

pub(crate) fn conversation_id() -> Result<ConversationId, NoRandomness> {
    Ok(ConversationId::new(now_ms(), random()?))
}

pub(crate) fn device_id() -> Result<DeviceId, NoRandomness> {
    Ok(DeviceId::new(now_ms(), random()?))
}

/// A duration between zero and `most`, evenly: full jitter, so that many clients do not return at once.
pub(crate) fn jitter(most: Duration) -> Duration {
    let Ok(bytes) = random::<4>() else { return most };
    let part = u64::from(u32::from_be_bytes(bytes));
    let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let whole = u128::from(most_us).saturating_mul(u128::from(part)) >> 32;
    Duration::from_micros(u64::try_from(whole).unwrap_or(most_us))
}

/// A time as people's programs write it: RFC 3339, UTC, seconds.
pub(crate) fn rfc3339(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "1970-01-01T00:00:00Z".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_below_its_bound_and_differs() {
        let most = Duration::from_secs(10);
        let drawn: Vec<_> = (0..20).map(|_| jitter(most)).collect();
        assert!(drawn.iter().all(|d| *d <= most));
        assert!(drawn.iter().any(|d| *d != drawn[0]));
    }

    #[test]
    fn times_are_written_for_programs() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
