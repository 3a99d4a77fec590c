//! One line of the audit log, and how lines hang together: pure, so that what writes and what checks can't differ.
//!
//! A line is a JSON object that ends in its hash: `{"seq":1,…,"outcome":"done","hash":"<64 hexadecimal digits>"}`. The
//! hash is BLAKE3 of the 64 digits of the line before, then of this line's own bytes without `,"hash":"…"`. Before the
//! first line stand 64 zeros.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands before the first line.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Between a line's own bytes and its hash.
const SEAM: &str = ",\"hash\":\"";
/// After the hash.
const END: &str = "\"}";

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Its number: one more than that of the line before.
    pub seq: u64,
    /// When, in milliseconds since 1970, by the server's clock.
    pub at_ms: u64,
    /// The user of the system who asked, as the kernel says.
    pub uid: u32,
    /// The request as it came: its name and its arguments, which are no secrets.
    pub action: Value,
    /// `begun` before something is changed; `done`, `not_found` or `failed: …` after it.
    pub outcome: String,
}

/// The end of a chain: what a copy elsewhere has to have of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last line's number; 0 where there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: NOTHING.to_owned() }
    }
}

/// Why a line is not the next one of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is no line of an audit log.
    #[error("this is no line of an audit log")]
    Form,
    /// The hash is another one: it or a line before it was changed, or something between them is missing.
    #[error("the hash does not follow from the line before and this one: one of them was changed, added or removed")]
    Hash,
    /// The numbers have a gap, or go back.
    #[error("line {found} stands where line {expected} should be")]
    Seq {
        /// The number that should be there.
        expected: u64,
        /// The number that is.
        found: u64,
    },
    /// It has no end.
    #[error("the line has no end: a crash cut it off, and the next start of the server removes it")]
    Torn,
}

fn hash(before: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(body.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// The line of an entry, with its end, and the head that it makes.
pub(super) fn seal(before: &str, entry: &AuditEntry) -> Result<(String, Head), serde_json::Error> {
    let body = serde_json::to_string(entry)?;
    let hash = hash(before, &body);
    let open = body.strip_suffix('}').unwrap_or(&body);
    let line = format!("{open}{SEAM}{hash}{END}\n");
    Ok((line, Head { seq: entry.seq, hash }))
}

/// Takes a line apart, without its end: what it says, its own bytes, and the hash that it states.
pub(super) fn take_apart(line: &[u8]) -> Option<(AuditEntry, String, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (open, hash) = line.strip_suffix(END)?.rsplit_once(SEAM)?;
    let exact = hash.len() == NOTHING.len() && hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let body = format!("{open}}}");
    let entry = serde_json::from_str(&body).ok()?;
    exact.then_some((entry, body, hash))
}

/// Judges the line after a head. Where it states a hash, that is the head to go on from, whatever was wrong.
pub(super) fn follow(before: &Head, line: &[u8]) -> (Option<AuditEntry>, Head, Result<(), LineFault>) {
    let Some((entry, body, stated)) = take_apart(line) else {
        let next = Head { seq: before.seq.saturating_add(1), hash: before.hash.clone() };
        return (None, next, Err(LineFault::Form));
    };
    let next = Head { seq: entry.seq, hash: stated.to_owned() };
    let expected = before.seq.saturating_add(1);
    let judged = if hash(&before.hash, &body) != stated {
        Err(LineFault::Hash)
    } else if entry.seq != expected {
        Err(LineFault::Seq { expected, found: entry.seq })
    } else {
        Ok(())
    };
    (Some(entry), next, judged)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(actions: &[String]) -> Vec<String> {
        let mut head = Head::default();
        let mut lines = Vec::new();
        for action in actions {
            let entry = AuditEntry {
                seq: head.seq + 1,
                at_ms: 1_700_000_000_000,
                uid: 0,
                action: serde_json::json!({ "request": action }),
                outcome: "done".into(),
            };
            let (line, next) = seal(&head.hash, &entry).unwrap();
            lines.push(line);
            head = next;
        }
        lines
    }

    fn holds(lines: &[String]) -> bool {
        let mut head = Head::default();
        lines.iter().all(|line| {
            let (_, next, judged) = follow(&head, line.trim_end_matches('\n').as_bytes());
            head = next;
            judged.is_ok()
        })
    }

    /// The documented way to check it: `printf '%s%s' "$before" "$body" | b3sum`.
    #[test]
    fn the_hash_is_of_the_one_before_and_of_the_lines_own_bytes() {
        let lines = chain(&["accounts".into(), "sessions".into()]);
        let body = r#"{"seq":1,"at_ms":1700000000000,"uid":0,"action":{"request":"accounts"},"outcome":"done"}"#;
        let first = blake3::hash(format!("{}{body}", "0".repeat(64)).as_bytes()).to_hex();
        let open = body.strip_suffix('}').unwrap();
        assert_eq!(lines[0], format!("{open},\"hash\":\"{first}\"}}\n"));
        let second = r#"{"seq":2,"at_ms":1700000000000,"uid":0,"action":{"request":"sessions"},"outcome":"done"}"#;
        let second = blake3::hash(format!("{first}{second}").as_bytes()).to_hex();
        assert!(lines[1].ends_with(&format!("\"{second}\"}}\n")));
    }

    proptest! {
        #[test]
        fn a_chain_holds_and_does_not_where_lines_are_removed_swapped_or_repeated(
            actions in proptest::collection::vec(".{0,40}", 3..12), at in 0_usize..100
        ) {
            let lines = chain(&actions);
            prop_assert!(holds(&lines));
            let at = at % (lines.len() - 1);
            let mut removed = lines.clone();
            removed.remove(at);
            prop_assert!(!holds(&removed));
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            prop_assert!(!holds(&swapped));
            let mut repeated = lines.clone();
            repeated.insert(at, lines[at].clone());
            prop_assert!(!holds(&repeated));
        }
    }
}
