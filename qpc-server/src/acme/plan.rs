//! When a certificate is ordered: pure, with the time and chance as arguments.

use std::time::Duration;

use crate::{policy::limits::AcmeLimits, transport::tls::Validity};

/// When the next order is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In milliseconds since 1970, as all times here.
    renew_ms: u64,
    /// When the certificate that is there ends; 0 where there is none.
    ends_ms: u64,
    /// Orders that failed since.
    failures: u32,
    /// Not before, after one that failed.
    again_ms: u64,
}

impl Plan {
    /// There is nothing yet that could be renewed: an order is due at once.
    #[must_use]
    pub fn at_once() -> Self {
        Self { renew_ms: 0, ends_ms: 0, failures: 0, again_ms: 0 }
    }

    /// Renews a certificate when a third of its life is left, or up to a thirtieth earlier: `chance` is of 256, so that servers
    /// which began together do not come together.
    #[must_use]
    pub fn renewing(of: Validity, chance: u8) -> Self {
        let ends_ms = of.ends.saturating_mul(1000);
        let life = ends_ms.saturating_sub(of.begins.saturating_mul(1000));
        let early = part(life / 30, chance);
        Self { renew_ms: ends_ms.saturating_sub(life / 3).saturating_sub(early), ends_ms, ..Self::at_once() }
    }

    /// The same for one that was signed just now: not before half of what is left of it, whatever it says of its begin. Else a
    /// wrong clock, here or there, would have one ordered after the other.
    #[must_use]
    pub fn signed(of: Validity, now_ms: u64, chance: u8) -> Self {
        let plan = Self::renewing(of, chance);
        let half = now_ms.saturating_add(plan.ends_ms.saturating_sub(now_ms) / 2);
        Self { renew_ms: plan.renew_ms.max(half), ..plan }
    }

    /// Whether an order is due now.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.renew_ms && now_ms >= self.again_ms
    }

    /// Notes that an order failed; says how long it is until the next one. The pause doubles, and is never longer than a
    /// tenth of what the certificate still lasts, so that one of a day has its chances as well.
    pub fn failed(&mut self, now_ms: u64, chance: u8, limits: &AcmeLimits) -> Duration {
        let doubled = limits.pause_min.saturating_mul(2_u32.saturating_pow(self.failures));
        let tenth = Duration::from_millis(self.ends_ms.saturating_sub(now_ms) / 10);
        let most = if now_ms >= self.ends_ms { limits.pause_max } else { limits.pause_max.min(tenth) };
        let pause = millis(doubled.min(most).max(limits.pause_min));
        let pause = pause.saturating_add(part(pause / 2, chance));
        self.failures = self.failures.saturating_add(1);
        self.again_ms = now_ms.saturating_add(pause);
        Duration::from_millis(pause)
    }

    /// The operator has put right what was wrong: an order that failed is not waited for any longer.
    pub fn look_again(&mut self) {
        self.again_ms = 0;
    }
}

/// So much of it as `chance` is of 256.
fn part(of: u64, chance: u8) -> u64 {
    (of / 256).saturating_mul(chance.into())
}

fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_when_a_third_is_left_or_a_little_earlier() {
        let of = Validity { begins: 100 * DAY, ends: 190 * DAY };
        let due = |chance, day: u64| Plan::renewing(of, chance).is_due(day * DAY * 1000);
        assert_eq!([due(0, 159), due(0, 160)], [false, true]);
        assert_eq!([due(255, 156), due(255, 158)], [false, true]);
        assert!(Plan::at_once().is_due(0));
    }

    #[test]
    fn one_that_looks_old_as_soon_as_it_is_signed_is_not_renewed_at_once() {
        let of = Validity { begins: 100 * DAY, ends: 190 * DAY };
        let due = |now: u64, then: u64| Plan::signed(of, now * DAY * 1000, 0).is_due(then * DAY * 1000);
        assert_eq!([due(170, 170), due(170, 179), due(170, 180)], [false, false, true]);
        assert_eq!([due(100, 159), due(100, 160)], [false, true]);
    }

    #[test]
    fn pauses_double_with_some_chance_up_to_a_bound() {
        let limits = AcmeLimits::default();
        let mut plan = Plan::at_once();
        let minutes = |plan: &mut Plan, chance| plan.failed(0, chance, &limits).as_secs() / 60;
        let pauses: Vec<u64> = (0..10).map(|_| minutes(&mut plan, 0)).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!(minutes(&mut plan, 255), 539);
        for _ in 0..100 {
            plan.failed(0, 0, &limits);
        }
        assert_eq!(minutes(&mut plan, 0), 360);
    }

    #[test]
    fn nothing_is_due_in_a_pause_until_somebody_asks() {
        let mut plan = Plan::at_once();
        plan.failed(1_000_000, 0, &AcmeLimits::default());
        assert_eq!([plan.is_due(1_119_999), plan.is_due(1_120_000)], [false, true]);
        plan.look_again();
        assert!(plan.is_due(1_000_001));
        let mut plan = Plan::renewing(Validity { begins: 0, ends: 90 * DAY }, 0);
        plan.look_again();
        assert!(!plan.is_due(DAY * 1000), "what is good stays, however often somebody asks");
    }

    #[test]
    fn one_that_lasts_a_day_is_not_waited_for_half_a_day() {
        let limits = AcmeLimits::default();
        let mut plan = Plan::renewing(Validity { begins: 0, ends: DAY }, 0);
        let now = 16 * 60 * 60 * 1000;
        let longest = (0..20).map(|_| plan.failed(now, 0, &limits)).max().unwrap();
        assert_eq!(longest, Duration::from_secs(48 * 60));
        assert_eq!(plan.failed(DAY * 1000 - 1, 0, &limits), limits.pause_min, "never in a hurry");
    }
}
