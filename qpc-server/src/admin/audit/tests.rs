//! What the audit log promises, tried on files.

use std::fs;

use serde_json::json;

use super::*;
use crate::clock::SystemClock;

fn log(directory: &Path) -> AuditLog {
    AuditLog::new(directory, Arc::new(SystemClock))
}

fn with_lines(directory: &Path, lines: usize) -> AuditLog {
    let log = log(directory);
    for n in 0..lines {
        log.note(7, &json!({ "request": "kick", "name": format!("person {n}") }), "done").unwrap();
    }
    log
}

fn check(directory: &Path) -> Audited {
    read_audit(directory, &mut |_| ()).unwrap()
}

fn lines(directory: &Path) -> Vec<String> {
    fs::read_to_string(directory.join(NAME)).unwrap().lines().map(str::to_owned).collect()
}

fn put(directory: &Path, lines: &[String]) {
    fs::write(directory.join(NAME), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn a_log_goes_on_where_an_earlier_process_ended_it() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(check(temp.path()), Audited::default());
    drop(with_lines(temp.path(), 3));
    let head = with_lines(temp.path(), 2).note(7, &json!({ "request": "drain" }), "begun").unwrap();
    let mut entries = Vec::new();
    let found = read_audit(temp.path(), &mut |entry| entries.push(entry)).unwrap();
    assert_eq!((found.entries, found.first, found.head, found.troubles), (6, Some(1), head, Vec::new()));
    let last = entries.last().unwrap();
    assert_eq!((last.seq, last.uid, last.outcome.as_str()), (6, 7, "begun"));
    assert_eq!(fs::metadata(temp.path().join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn any_byte_that_is_changed_is_found_and_its_line_named() {
    let temp = tempfile::tempdir().unwrap();
    drop(with_lines(temp.path(), 4));
    let good = fs::read(temp.path().join(NAME)).unwrap();
    let mut line = 1;
    for (at, byte) in good.iter().enumerate() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            fs::write(temp.path().join(NAME), &bad).unwrap();
            let troubles = check(temp.path()).troubles;
            let first = troubles.first().unwrap_or_else(|| panic!("byte {at} may be changed by {bit}"));
            assert!(first.line == line || first.line == line + 1, "byte {at}: line {} for {line}", first.line);
        }
        line += u64::from(*byte == b'\n');
    }
}

#[test]
fn a_line_that_is_removed_swapped_or_forged_is_found() {
    let temp = tempfile::tempdir().unwrap();
    drop(with_lines(temp.path(), 4));
    let good = lines(temp.path());
    let named = |lines: &[String]| {
        put(temp.path(), lines);
        check(temp.path()).troubles.iter().map(|trouble| trouble.line).collect::<Vec<_>>()
    };
    assert_eq!(named(&good), [0_u64; 0]);
    assert_eq!(named(&[&good[..1], &good[2..]].concat()), [2], "removed");
    assert_eq!(named(&good[1..]), [1], "the first removed");
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    assert_eq!(named(&swapped), [2, 3, 4]);
    let forged = good[3].replace("person 3", "person 9");
    assert_eq!(named(&[&good[..], &[forged]].concat()), [5]);
    // What is missing at the end shows in no file: the head that the server's logs have does not.
    assert_eq!(named(&good[..3]), [0_u64; 0]);
}

#[test]
fn a_line_that_a_crash_cut_off_is_removed_and_said_so() {
    let temp = tempfile::tempdir().unwrap();
    drop(with_lines(temp.path(), 2));
    let whole = fs::read(temp.path().join(NAME)).unwrap();
    fs::write(temp.path().join(NAME), &whole[..whole.len() - 9]).unwrap();
    assert_eq!(check(temp.path()).troubles[0].fault, LineFault::Torn);
    log(temp.path()).look();
    let mut actions = Vec::new();
    let found = read_audit(temp.path(), &mut |entry| actions.push(entry.action["request"].clone())).unwrap();
    assert_eq!((found.troubles, actions), (Vec::new(), vec![json!("kick"), json!("cut_torn_line")]));
}

#[test]
fn a_broken_chain_stays_named_and_the_log_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    drop(with_lines(temp.path(), 3));
    let mut bad = lines(temp.path());
    bad[1] = "nonsense".into();
    put(temp.path(), &bad);
    let log = log(temp.path());
    log.look();
    log.note(0, &json!({ "request": "drain" }), "done").unwrap();
    let found = check(temp.path());
    assert_eq!(found.troubles.iter().map(|trouble| trouble.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(found.head.seq, 4);
}

#[test]
fn a_log_that_cannot_be_written_says_so_and_goes_on_when_it_can() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join(NAME)).unwrap();
    let log = log(temp.path());
    log.look();
    let refused = log.note(0, &json!({ "request": "drain" }), "begun").unwrap_err();
    assert!(refused.to_string().contains("nothing is done without a trace"), "{refused}");
    fs::remove_dir(temp.path().join(NAME)).unwrap();
    assert_eq!(log.note(0, &json!({ "request": "drain" }), "begun").unwrap().seq, 1);
}

#[test]
fn a_long_file_is_put_aside_and_the_chain_goes_through() {
    let temp = tempfile::tempdir().unwrap();
    let log = log(temp.path()).with_longest(1000);
    for _ in 0..20 {
        log.note(0, &json!({ "request": "kick" }), "done").unwrap();
    }
    let found = check(temp.path());
    assert_eq!((found.first, found.troubles.clone()), (Some(1), Vec::new()));
    let mut files: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 2, "{files:?}");
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() < 1500));

    // The oldest may be removed: the next one says what it goes on from. One from the middle may not.
    fs::remove_file(temp.path().join("audit-1.log")).unwrap();
    let rest = check(temp.path());
    assert!(rest.first > Some(1) && rest.troubles.is_empty(), "{rest:?}");
    assert_eq!(rest.head, found.head);
    files.retain(|file| file.exists() && !file.ends_with(NAME));
    files.sort_by_key(|file| file.file_name().unwrap().len());
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(check(temp.path()).troubles.len(), 1);
}

/// A crash between the renaming and the first line of the new file.
#[test]
fn a_log_that_has_only_files_put_aside_goes_on_from_the_newest() {
    let temp = tempfile::tempdir().unwrap();
    drop(with_lines(temp.path(), 3));
    fs::rename(temp.path().join(NAME), temp.path().join("audit-1.log")).unwrap();
    let head = with_lines(temp.path(), 1).note(0, &json!({ "request": "kick" }), "done").unwrap();
    assert_eq!(head.seq, 6);
    assert_eq!(check(temp.path()).troubles, []);
}
