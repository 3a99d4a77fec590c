//! The configuration itself.

use super::finding::Finding;
use crate::config::{ConfigError, Loaded};

const CHECK: &str = "configuration";

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The file, where there is one.
    pub(super) file: Option<String>,
    /// What is wrong, each with its place.
    pub(super) faults: Vec<String>,
    /// Whether it is one of production.
    pub(super) production: bool,
}

pub(super) fn facts(loaded: Result<&Loaded, &ConfigError>) -> Facts {
    match loaded {
        Ok(loaded) => Facts {
            file: loaded.file.as_ref().map(|file| file.display().to_string()),
            faults: loaded.check().iter().map(ToString::to_string).collect(),
            production: loaded.config.server.production,
        },
        Err(error) => Facts { file: None, faults: vec![error.to_string()], production: false },
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let remedy = "correct it: the server does not start with it, nor take it on SIGHUP";
    let wrong: Vec<_> = facts.faults.iter().map(|fault| Finding::bad(CHECK, fault.clone(), remedy)).collect();
    if !wrong.is_empty() {
        return wrong;
    }
    let from =
        facts.file.as_deref().map_or_else(|| "good; no file, the defaults".into(), |file| format!("good, from {file}"));
    vec![match facts.production {
        true => Finding::ok(CHECK, from),
        false => Finding::ok(CHECK, format!("{from}; server.production is off")),
    }]
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    #[test]
    fn each_fault_has_a_line() {
        let facts = |faults: &[&str]| Facts {
            file: Some("qpc-server.toml".into()),
            faults: faults.iter().map(ToString::to_string).collect(),
            production: true,
        };
        let marks = |faults| judge(&facts(faults)).iter().map(|finding| finding.mark).collect::<Vec<_>>();
        assert_eq!(marks(&["a", "b"]), [Mark::Bad, Mark::Bad]);
        assert_eq!(judge(&facts(&[])), [Finding::ok(CHECK, "good, from qpc-server.toml")]);
    }
}
