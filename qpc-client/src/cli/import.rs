//! `import`: what `export` wrote, taken into this home. What is here already stays as it is.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use qpc_client::api::{ARCHIVE_FORMAT, Archive, Command, Outcome, Record, Unreadable};
use tokio::fs::File;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::{export::RECORDS, failure::Failure, screen::Screen, seat::Seat};

/// Longest line, in bytes: a text at its limit, however it is escaped, with all that may have become of it.
const LINE_MAX: usize = 384 * 1024;
/// Bytes of lines that are handed over together.
const PAGE_BYTES: usize = 64 * 1024;
/// Lines that can't be used and are told of one by one.
const SHOWN: usize = 5;

/// Imports.
///
/// # Errors
/// A [`Failure`] where the file is no export, and one at the end where a part of it could not be taken in.
pub(super) async fn import(seat: &mut Seat, screen: &Screen, from: PathBuf) -> Result<(), Failure> {
    let path = if from.is_dir() { from.join(RECORDS) } else { from };
    let shown = path.display().to_string();
    let file = File::open(&path).await.map_err(|error| Failure::data(error.to_string()).at(&shown))?;
    let total = file.metadata().await.map_or(0, |told| told.len()).max(1);
    let mut lines = FramedRead::new(file, LinesCodec::new_with_max_length(LINE_MAX));
    let mut taking = Taking::default();
    let (mut number, mut read): (u64, u64) = (0, 0);
    while let Some(line) = lines.next().await {
        number = number.saturating_add(1);
        let line = match line {
            Ok(line) => line,
            Err(LinesCodecError::MaxLineLengthExceeded) => {
                taking.fail(number, "the line is too long");
                continue;
            }
            Err(LinesCodecError::Io(error)) => return Err(Failure::data(error.to_string()).at(&shown)),
        };
        read = read.saturating_add(u64::try_from(line.len()).unwrap_or_default()).saturating_add(1);
        match serde_json::from_str::<Record>(&line) {
            Ok(record) => taking.record(&path, (number, record), line.len())?,
            Err(_) if number == 1 => return Err(no_export(&path)),
            Err(_) if line.trim().is_empty() => {}
            Err(error) => taking.fail(number, &format!("no record: {error}")),
        }
        if taking.bytes >= PAGE_BYTES {
            taking.hand_over(seat, false).await?;
            let percent = read.saturating_mul(100).checked_div(total).unwrap_or_default();
            screen.progress(&format!("{percent} %"));
        }
    }
    if number == 0 {
        return Err(no_export(&path));
    }
    taking.hand_over(seat, true).await?;
    screen.progress("");
    taking.finish(screen, &path)
}

fn no_export(path: &Path) -> Failure {
    Failure::data("this is no export of this program")
        .at(path.display().to_string())
        .next(format!("name the directory that `qpc-client export` made, or the {RECORDS} in it"))
}

/// What is on its way into the home.
#[derive(Default)]
struct Taking {
    records: Vec<Record>,
    bytes: usize,
    told: u64,
    new: u64,
    whole: bool,
    failed: u64,
    first: Vec<String>,
}

impl Taking {
    fn fail(&mut self, line: u64, why: &str) {
        self.note(format!("line {line}: {why}"));
    }

    fn note(&mut self, what: String) {
        self.failed = self.failed.saturating_add(1);
        if self.first.len() < SHOWN {
            self.first.push(what);
        }
    }

    fn record(&mut self, path: &Path, (line, record): (u64, Record), bytes: usize) -> Result<(), Failure> {
        match (line, record) {
            (1, Record::Export { format: ARCHIVE_FORMAT, .. }) => Ok(()),
            (1, Record::Export { format, .. }) => {
                Err(Failure::data(format!("the export is of form {format}, and this version reads {ARCHIVE_FORMAT}"))
                    .at(path.display().to_string())
                    .next("import it with a later version"))
            }
            (1, _) => Err(no_export(path)),
            (_, Record::End { .. }) => {
                self.whole = true;
                Ok(())
            }
            (_, Record::Export { .. } | Record::Failed(_)) => Ok(()),
            (_, record) => {
                self.told = self.told.saturating_add(u64::from(matches!(record, Record::Message(_))));
                self.bytes = self.bytes.saturating_add(bytes);
                self.records.push(record);
                Ok(())
            }
        }
    }

    async fn hand_over(&mut self, seat: &mut Seat, last: bool) -> Result<(), Failure> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        match seat.insist(Command::Archive(Archive::Import { records, last })).await? {
            Outcome::Imported { messages, failed } => {
                self.new = self.new.saturating_add(messages);
                failed.into_iter().for_each(|Unreadable { which, why }| self.note(format!("{which}: {why}")));
                Ok(())
            }
            _ => Err(Failure::internal("the home gave an answer of another kind")),
        }
    }

    fn finish(self, screen: &Screen, path: &Path) -> Result<(), Failure> {
        let known = self.told.saturating_sub(self.new);
        if screen.json {
            screen.object(&serde_json::json!({ "imported": self.new, "not_new": known, "failed": self.failed }))?;
        } else {
            screen.data(&format!(
                "{} messages are new here; {known} were known, or are none that can be taken in",
                self.new
            ))?;
        }
        if !self.whole {
            screen.note("the export ends before its end: it was cut off when it was made or copied");
        }
        if self.failed == 0 {
            return Ok(());
        }
        let first = self.first.iter().map(|one| format!("\n{one}")).collect::<String>();
        Err(Failure::data(format!("{} records could not be taken in{first}", self.failed))
            .at(path.display().to_string())
            .next("all others are here"))
    }
}
