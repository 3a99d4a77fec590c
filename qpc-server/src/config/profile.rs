//! Profiles: what to configure for so many people. The files of `config/profiles`, compiled in, so that a bare program can
//! write them; each value's reason stands beside it there.

use super::source;

/// One tier of `docs/sizing.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What it is called: `1k`.
    pub name: &'static str,
    /// People connected at once, at the most.
    pub users: u32,
    /// Cores of the machine that it is for.
    pub vcpus: u32,
    /// Memory of that machine, in MiB.
    pub memory_mib: u32,
    /// The file: the keys that are not as by default.
    pub text: &'static str,
}

/// All of them, the smallest first.
pub const PROFILES: [Profile; 5] = [
    Profile {
        name: "100",
        users: 100,
        vcpus: 1,
        memory_mib: 512,
        text: include_str!("../../../config/profiles/100.toml"),
    },
    Profile {
        name: "1k",
        users: 1_000,
        vcpus: 1,
        memory_mib: 1024,
        text: include_str!("../../../config/profiles/1k.toml"),
    },
    Profile {
        name: "5k",
        users: 5_000,
        vcpus: 1,
        memory_mib: 2048,
        text: include_str!("../../../config/profiles/5k.toml"),
    },
    Profile {
        name: "10k",
        users: 10_000,
        vcpus: 1,
        memory_mib: 4096,
        text: include_str!("../../../config/profiles/10k.toml"),
    },
    Profile {
        name: "20k",
        users: 20_000,
        vcpus: 2,
        memory_mib: 4096,
        text: include_str!("../../../config/profiles/20k.toml"),
    },
];

/// A name that no profile has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no profile `{typed}`: there are {}{}", names(), meant(*.near))]
pub struct UnknownProfile {
    typed: String,
    near: Option<&'static str>,
}

fn names() -> String {
    PROFILES.map(|profile| profile.name).join(", ")
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

impl Profile {
    /// The one of that name.
    ///
    /// # Errors
    /// [`UnknownProfile`], which lists them all and names what was probably meant: for a number, the smallest for so many.
    pub fn named(name: &str) -> Result<&'static Self, UnknownProfile> {
        if let Some(profile) = PROFILES.iter().find(|profile| profile.name.eq_ignore_ascii_case(name.trim())) {
            return Ok(profile);
        }
        let near = match people(name) {
            Some(users) => Self::for_users(f64::from(users)).map(|profile| profile.name),
            None => source::closest(name, PROFILES.iter().map(|profile| profile.name)),
        };
        Err(UnknownProfile { typed: name.to_owned(), near })
    }

    /// The smallest for so many people at once, if any is.
    #[must_use]
    pub fn for_users(users: f64) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| users <= f64::from(profile.users))
    }
}

/// A number of people: 1000, 1,000, 2k.
fn people(text: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase().replace([',', '_'], "");
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Config, *};

    #[test]
    fn each_says_for_how_many_it_is_and_fits_its_machine() {
        for profile in PROFILES {
            let config: Config = toml::from_str(profile.text).unwrap();
            assert_eq!(config.server.users_planned, profile.users, "{}", profile.name);
            // The rule of docs/sizing.md, and the share of the memory at which an operator is warned.
            let connections = u32::try_from(config.transport.max_connections).unwrap();
            let mib = 90.0 + f64::from(connections) * 57.0 / 1024.0;
            assert!(mib < 0.75 * f64::from(profile.memory_mib), "{}: {mib} MiB", profile.name);
            assert!(connections >= 2 * profile.users, "{}: fewer than two devices each", profile.name);
        }
        assert!(PROFILES.is_sorted_by(|a, b| a.users < b.users));
    }

    #[test]
    fn what_no_profile_is_called_is_answered_with_the_nearest() {
        assert_eq!(Profile::named("1K").unwrap().users, 1_000);
        let said = |name: &str| Profile::named(name).unwrap_err().to_string();
        assert_eq!(said("1000"), "no profile `1000`: there are 100, 1k, 5k, 10k, 20k; did you mean `1k`?");
        for (typed, near) in [("2k", "5k"), ("20,000", "20k"), ("0", "100"), ("10kk", "10k")] {
            assert!(said(typed).ends_with(&format!("did you mean `{near}`?")), "{}", said(typed));
        }
        for typed in ["large", "50k", "", "99999999999", "9999999k"] {
            assert!(said(typed).ends_with("10k, 20k"), "{}", said(typed));
        }
    }

    #[test]
    fn so_many_people_get_the_smallest_that_carries_them() {
        let of = |users: f64| Profile::for_users(users).map(|profile| profile.name);
        assert_eq!(
            [1.0, 100.0, 100.5, 1_000.0, 5_001.0].map(of),
            [Some("100"), Some("100"), Some("1k"), Some("1k"), Some("10k")]
        );
        assert_eq!((of(20_000.0), of(20_001.0)), (Some("20k"), None));
    }
}
