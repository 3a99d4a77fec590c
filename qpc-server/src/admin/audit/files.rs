//! The files of an audit log, read and checked: nothing here writes, so it may be done while a server runs.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    NAME,
    chain::{self, AuditEntry, Head, LineFault, NOTHING},
};

/// Longest line that is read, in bytes: a request has 4096 at most.
const AUDIT_LINE_MAX: u64 = 64 * 1024;
/// So many of the lines that are wrong are named.
const TROUBLES_MAX: usize = 100;

/// A line that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The file it is in.
    pub file: PathBuf,
    /// Its line there, from 1 on.
    pub line: u64,
    /// What is wrong.
    pub fault: LineFault,
}

/// What was found in the files of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audited {
    /// Lines.
    pub entries: u64,
    /// The number of the first; nothing where there is none. Those before it were removed with their files.
    pub first: Option<u64>,
    /// The end of the chain.
    pub head: Head,
    /// What is wrong, in order; the first so many.
    pub troubles: Vec<Trouble>,
    /// Bytes in all.
    pub bytes: u64,
    /// Of them, those of a last line without an end.
    pub torn: u64,
}

/// Reads all files of a data directory's log in order, hands on each entry, and checks the chain through them.
///
/// # Errors
/// A file can't be read.
pub fn read_audit(directory: &Path, each: &mut dyn FnMut(AuditEntry)) -> io::Result<Audited> {
    let mut all = Audited::default();
    let current = directory.join(NAME);
    let files = asides(directory)?.into_iter().map(|(_, path)| path).chain(current.exists().then_some(current));
    for path in files {
        let before = all.first.is_some().then(|| all.head.clone());
        let found = read_file(&path, before, each)?;
        all.entries = all.entries.saturating_add(found.entries);
        all.first = all.first.or(found.first);
        if found.first.is_some() {
            all.head = found.head;
        }
        all.troubles.extend(found.troubles);
        all.bytes = all.bytes.saturating_add(found.bytes);
        if found.torn > 0 {
            all.troubles.push(Trouble { file: path, line: found.entries.saturating_add(1), fault: LineFault::Torn });
        }
    }
    all.troubles.truncate(TROUBLES_MAX);
    Ok(all)
}

/// Reads one file, whose chain goes on from `before`; where that is not known, from what its first line says of itself.
pub(super) fn read_file(path: &Path, before: Option<Head>, each: &mut dyn FnMut(AuditEntry)) -> io::Result<Audited> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut found = Audited::default();
    let mut head = before;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(AUDIT_LINE_MAX).read_until(b'\n', &mut line)?;
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        found.bytes = found.bytes.saturating_add(bytes);
        if bytes == 0 {
            break;
        }
        let whole = line.strip_suffix(b"\n");
        // A line that is longer than any is shown as wrong in pieces.
        let Some(text) = whole.or_else(|| (bytes == AUDIT_LINE_MAX).then_some(line.as_slice())) else {
            found.torn = bytes;
            break;
        };
        let from = head.take().unwrap_or_else(|| beginning(text));
        let (entry, next, judged) = chain::follow(&from, text);
        found.entries = found.entries.saturating_add(1);
        found.first = found.first.or(Some(next.seq));
        if let Err(fault) = judged
            && found.troubles.len() < TROUBLES_MAX
        {
            found.troubles.push(Trouble { file: path.to_owned(), line: found.entries, fault });
        }
        if let Some(entry) = entry {
            each(entry);
        }
        head = Some(next);
    }
    found.head = head.unwrap_or_default();
    Ok(found)
}

/// What the first line of the oldest file goes on from: nothing, or what it says where older files were removed.
fn beginning(line: &[u8]) -> Head {
    let Some((entry, ..)) = chain::take_apart(line) else { return Head::default() };
    let continues = entry.action.get("request").is_some_and(|request| request == "continues");
    let before = entry.action.get("before").and_then(serde_json::Value::as_str).filter(|_| continues);
    match before {
        Some(before) => Head { seq: entry.seq.saturating_sub(1), hash: before.to_owned() },
        None => Head { seq: 0, hash: NOTHING.to_owned() },
    }
}

/// The name of a file that was put aside.
pub(super) fn aside_name(first: u64) -> String {
    format!("audit-{first}.log")
}

/// The newest file that was put aside.
pub(super) fn newest_aside(directory: &Path) -> Option<PathBuf> {
    asides(directory).ok()?.pop().map(|(_, path)| path)
}

/// Files that were put aside, in order.
fn asides(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".log")?.parse::<u64>().ok());
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}
