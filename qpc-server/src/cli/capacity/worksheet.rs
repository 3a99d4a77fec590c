//! The worksheet itself: from so many people who do so much to what it takes. Pure; every answer within its bounds gives finite
//! numbers, and more of anything never takes less.

use serde::Serialize;

use super::measured::{self as of, at};
use crate::config::{PROFILES, Profile};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
const MB: f64 = 1e6;
const DAY_S: f64 = 86_400.0;
/// Days of a month.
const MONTH: f64 = 30.0;
/// Mbit/s are so many bytes a second.
const MBIT: f64 = 125_000.0;

/// What is asked for, each within the bounds of its question.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Asked {
    /// People connected at once.
    pub(super) users: f64,
    /// Messages that each of them sends in an hour.
    pub(super) messages_per_hour: f64,
    /// Bytes of an encrypted body.
    pub(super) message_bytes: f64,
    /// By everybody together.
    pub(super) uploads_per_day: f64,
    /// Of 1,000,000 bytes.
    pub(super) upload_mb: f64,
    /// How often each is fetched.
    pub(super) fetches_per_upload: f64,
    /// Days that bodies and attachments are kept.
    pub(super) retention_days: f64,
    /// What things cost in a month; 0 where it was not said.
    pub(super) prices: Prices,
}

/// Prices of a month, in whatever money.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Prices {
    /// One virtual core.
    pub(super) vcpu: Option<f64>,
    /// A GiB of memory.
    pub(super) gib_memory: Option<f64>,
    /// A GiB of disk.
    pub(super) gib_disk: Option<f64>,
    /// A GiB that goes out.
    pub(super) gib_traffic: Option<f64>,
}

/// What it takes. Bytes are bytes, money is that of the prices.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Needed {
    pub(super) messages_per_s: f64,
    pub(super) deliveries_per_s: f64,
    pub(super) storage_per_day_bytes: f64,
    pub(super) attachments_per_day_bytes: f64,
    pub(super) database_per_month_bytes: f64,
    pub(super) attachments_per_month_bytes: f64,
    /// Once nothing more comes together than goes.
    pub(super) disk_bytes: f64,
    pub(super) memory_bytes: f64,
    /// Of a machine that has so much, and no less than the profile is for.
    pub(super) machine_gib: f64,
    /// Percent of a core.
    pub(super) cpu_percent: f64,
    /// Cores of which half is used.
    pub(super) vcpus: f64,
    pub(super) network_in_mbit_per_s: f64,
    pub(super) network_out_mbit_per_s: f64,
    pub(super) traffic_out_per_month_gib: f64,
    /// Of what has a price.
    pub(super) cost_per_month: Option<f64>,
    /// The smallest that is for so many people and messages.
    pub(super) profile: Option<&'static str>,
    pub(super) old: Old,
}

/// The same by the formulas that are in use elsewhere.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Old {
    pub(super) storage_per_day_bytes: f64,
    pub(super) memory_bytes: f64,
    pub(super) vcpus: f64,
}

/// Fills it in.
pub(super) fn needed(asked: &Asked) -> Needed {
    let messages_per_s = asked.users * asked.messages_per_hour / 3_600.0;
    let deliveries_per_s = at(messages_per_s, |row| row.deliveries_per_s);
    let messages_per_day = messages_per_s * DAY_S;
    let uploaded_mb = asked.uploads_per_day * asked.upload_mb;

    let entries = messages_per_day * (asked.message_bytes + of::BESIDES_BODY.value);
    let attachments = uploaded_mb * MB * (1.0 + of::BLOB_PADDING.value / 100.0);
    // Bodies leave room in their pages that may not come back before the entries go.
    let entry_days = asked.retention_days.max(of::COMMITS_DAYS.value);
    let disk = entries * entry_days + attachments * asked.retention_days + of::LOG.value * MIB;

    let memory = of::MEMORY.value * MIB + asked.users * of::MEMORY_PER_USER.value * 1_024.0;

    let idle = asked.users / 10_000.0 * of::IDLE_CPU.value;
    let talk = at(messages_per_s, |row| row.cpu).max(idle);
    let ms_per_mb = of::BLOB_CPU_IN.value + asked.fetches_per_upload * of::BLOB_CPU_OUT.value;
    let cpu = talk + uploaded_mb * ms_per_mb / 1_000.0 / DAY_S * 100.0;

    // The rows hold bodies of the measured mean; others are longer or shorter in each message and each delivery.
    let longer = asked.message_bytes - of::BODY_MEAN.value;
    let blobs = attachments / DAY_S / MBIT;
    let network_in = at(messages_per_s, |row| row.network_in) + messages_per_s * longer / MBIT;
    let network_out = at(messages_per_s, |row| row.network_out) + deliveries_per_s * longer / MBIT;
    let (network_in, network_out) = (network_in + blobs, network_out + blobs * asked.fetches_per_upload);
    let traffic_out = network_out * MBIT * DAY_S * MONTH / GIB;

    let profile = profile(asked.users, messages_per_s);
    // Of a machine at least what the profile is for; of what no profile is for, what the largest is for.
    let least = profile.or(PROFILES.last());
    let vcpus = (cpu / of::USE.value).ceil().max(least.map_or(1.0, |profile| profile.vcpus.into()));
    let machine_gib = machine(memory / GIB, least.map_or(0.5, |profile| f64::from(profile.memory_mib) / 1_024.0));
    let prices = &asked.prices;
    let costs = [
        prices.vcpu.map(|price| price * vcpus),
        prices.gib_memory.map(|price| price * machine_gib),
        prices.gib_disk.map(|price| price * (disk / GIB).ceil()),
        prices.gib_traffic.map(|price| price * traffic_out),
    ];
    let cost_per_month = costs.iter().any(Option::is_some).then(|| costs.into_iter().flatten().sum());
    Needed {
        messages_per_s,
        deliveries_per_s,
        storage_per_day_bytes: entries + attachments,
        attachments_per_day_bytes: attachments,
        database_per_month_bytes: entries * MONTH,
        attachments_per_month_bytes: attachments * MONTH,
        disk_bytes: disk,
        memory_bytes: memory,
        machine_gib,
        cpu_percent: cpu,
        vcpus,
        network_in_mbit_per_s: network_in,
        network_out_mbit_per_s: network_out,
        traffic_out_per_month_gib: traffic_out,
        cost_per_month,
        profile: profile.map(|profile| profile.name),
        old: Old {
            storage_per_day_bytes: messages_per_day * asked.message_bytes + uploaded_mb * MB,
            memory_bytes: asked.users * 5_000.0 + 256.0 * MB,
            vcpus: (asked.users / 2_500.0).ceil(),
        },
    }
}

/// Memory that machines have: the least, doubled until this fits.
fn machine(gib: f64, least: f64) -> f64 {
    let mut size = least;
    while size < gib {
        size *= 2.0;
    }
    size
}

/// The smallest profile for so many people whose messages were measured as well.
fn profile(users: f64, messages_per_s: f64) -> Option<&'static Profile> {
    let measured = of::ROWS.iter().find(|row| messages_per_s <= row.messages_per_s)?;
    Profile::for_users(users.max(measured.users))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The load that was measured, without attachments.
    fn people(users: f64) -> Asked {
        Asked {
            users,
            messages_per_hour: 240.0,
            message_bytes: 400.0,
            uploads_per_day: 0.0,
            upload_mb: 0.0,
            fetches_per_upload: 2.0,
            retention_days: 90.0,
            prices: Prices::default(),
        }
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= wanted.abs() * 1e-9, "{found}, not {wanted}");
    }

    #[test]
    fn messages_alone_by_hand() {
        let of = needed(&people(1_000.0));
        // 1,000 x 240 x 24 = 5,760,000 messages a day, of 400 + 177 bytes.
        near(of.storage_per_day_bytes, 5_760_000.0 * 577.0);
        near(of.database_per_month_bytes, 5_760_000.0 * 577.0 * 30.0);
        near(of.disk_bytes, 5_760_000.0 * 577.0 * 180.0 + 64.0 * 1_048_576.0);
        near(of.memory_bytes, 90.0 * 1_048_576.0 + 1_000.0 * 57.0 * 1_024.0);
        // 66.667 a second, on the line from 6.8 (1.1 %) to 66.8 (7.9 %).
        near(of.cpu_percent, 1.1 + (200.0 / 3.0 - 6.8) / 60.0 * 6.8);
        assert_eq!((of.vcpus, of.machine_gib, of.profile), (1.0, 1.0, Some("1k")));
        // 1,000 x 240 x 24 x 400; 1,000 x 5 KB + 256 MB; 1,000 / 2,500.
        near(of.old.storage_per_day_bytes, 2_304_000_000.0);
        near(of.old.memory_bytes, 261_000_000.0);
        near(of.old.vcpus, 1.0);
        assert_eq!(of.cost_per_month, None);
    }

    #[test]
    fn attachments_and_prices_by_hand() {
        let prices = Prices { vcpu: Some(10.0), gib_memory: Some(3.0), gib_disk: Some(0.1), gib_traffic: None };
        let asked = Asked {
            messages_per_hour: 0.0,
            uploads_per_day: 8_640.0,
            upload_mb: 10.0,
            retention_days: 10.0,
            prices,
            ..people(10_000.0)
        };
        let of = needed(&asked);
        // 86,400 MB a day, 2 % more of ciphertext.
        near(of.attachments_per_day_bytes, 88_128_000_000.0);
        near(of.storage_per_day_bytes, 88_128_000_000.0);
        near(of.database_per_month_bytes, 0.0);
        near(of.disk_bytes, 881_280_000_000.0 + 67_108_864.0);
        // 1.1 % idle, and one MB a second: 7.1 + 2 x 2.9 ms = 1.29 %.
        near(of.cpu_percent, 1.1 + 1.29);
        // 1.02 MB/s in, twice that out.
        near(of.network_in_mbit_per_s, 8.16);
        near(of.network_out_mbit_per_s, 16.32);
        near(of.traffic_out_per_month_gib, 2.04e6 * 86_400.0 * 30.0 / 1_073_741_824.0);
        // 646.6 MiB of memory fit into the 4 GiB of the profile's machine; 820.9 GiB of disk.
        near(of.cost_per_month.unwrap(), 10.0 + 12.0 + 82.1);
        assert_eq!(of.profile, Some("10k"));
        near(of.old.storage_per_day_bytes, 86_400_000_000.0);
    }

    #[test]
    fn the_tiers_of_the_table_come_out_as_the_profiles() {
        let of = |users: f64| needed(&people(users)).profile;
        let tiers = [100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0];
        assert_eq!(tiers.map(of), [Some("100"), Some("1k"), Some("5k"), Some("10k"), Some("20k")]);
        assert_eq!(of(20_001.0), None);
        // Few who talk much need what many who talk little do.
        assert_eq!(needed(&Asked { messages_per_hour: 10_000.0, ..people(100.0) }).profile, Some("5k"));
        assert_eq!(needed(&people(20_000.0)).vcpus, 2.0);
    }

    fn asked() -> impl Strategy<Value = Asked> {
        // As many small ones as large ones: the profiles are for the small.
        let power = |range: std::ops::Range<f64>| range.prop_map(|exponent| 10_f64.powf(exponent));
        let messages = (power(-2.0..4.0), 0.0..65_536.0);
        let attachments = (power(-2.0..8.0), power(-2.0..4.0), 0.0..1_000.0);
        let numbers = (messages, attachments, 1.0..36_500.0).prop_map(|(m, a, days)| (m.0, m.1, a.0, a.1, a.2, days));
        (power(0.0..6.0), numbers).prop_map(|(users, (hour, bytes, uploads, mb, fetches, days))| Asked {
            users,
            messages_per_hour: hour,
            message_bytes: bytes,
            uploads_per_day: uploads,
            upload_mb: mb,
            fetches_per_upload: fetches,
            retention_days: days,
            prices: Prices { vcpu: Some(1e6), gib_memory: Some(1e6), gib_disk: Some(1e6), gib_traffic: Some(1e6) },
        })
    }

    fn figures(of: &Needed) -> Vec<f64> {
        vec![
            of.storage_per_day_bytes,
            of.database_per_month_bytes,
            of.attachments_per_month_bytes,
            of.disk_bytes,
            of.memory_bytes,
            of.machine_gib,
            of.cpu_percent,
            of.vcpus,
            of.network_in_mbit_per_s,
            of.network_out_mbit_per_s,
            of.traffic_out_per_month_gib,
            of.cost_per_month.unwrap(),
            of.old.storage_per_day_bytes,
            of.old.memory_bytes,
            of.old.vcpus,
        ]
    }

    proptest! {
        #[test]
        fn more_people_never_need_less(asked in asked(), more in 1.0..100.0) {
            let (few, many) = (needed(&asked), needed(&Asked { users: asked.users * more, ..asked }));
            for (few, many) in figures(&few).into_iter().zip(figures(&many)) {
                prop_assert!(few.is_finite() && many.is_finite() && few >= 0.0);
                prop_assert!(many >= few * (1.0 - 1e-12), "{few} for fewer, {many} for more");
            }
            let rank = |name: Option<&str>| name.and_then(|name| Profile::named(name).ok()).map_or(u32::MAX, |p| p.users);
            prop_assert!(rank(many.profile) >= rank(few.profile));
        }
    }
}
