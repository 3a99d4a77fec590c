//! `export`: what this home holds, as lines of JSON and as a page for a browser, with the files that messages tell of.
//!
//! What can't be read or fetched is told at the end, and in a list beside the rest, which is written all the same.

mod page;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use qpc_client::api::{
    ARCHIVE_FORMAT, Archive, ArchivedMessage, Command, CommandError, Outcome, Place, Record, Records, Shelf, Unreadable,
};

use self::page::Page;
use super::{clock::Clock, failure::Failure, file, screen::Screen, seat::Seat};

/// The records.
pub(super) const RECORDS: &str = "messages.jsonl";
/// The page.
const PAGE: &str = "index.html";
/// Where files go.
const FILES: &str = "files";
/// What could not be exported.
const FAILED: &str = "failed.txt";
/// Failures that are shown on the terminal.
const SHOWN: usize = 5;

/// What to export.
#[derive(Debug, Clone)]
pub(super) struct What {
    /// A directory that is empty or not there yet.
    pub(super) directory: PathBuf,
    /// People or groups; none for all.
    pub(super) of: Vec<String>,
    /// With the files?
    pub(super) files: bool,
}

/// Exports.
///
/// # Errors
/// A [`Failure`] where nothing could be written, and where something could not be read.
pub(super) async fn export(seat: &mut Seat, screen: &Screen, what: What) -> Result<(), Failure> {
    let Outcome::Shelves { shelves, failed } =
        seat.insist(Command::Archive(Archive::Conversations { of: what.of })).await?
    else {
        return Err(Failure::internal("the home gave an answer of another kind"));
    };
    let account = seat.address().await;
    let time = screen.clock.stamp();
    let begun = (screen.clock.clone(), time.as_str(), shelves.as_slice());
    let mut out = Out::create(&what.directory, &account, begun, what.files)?;
    for one in failed {
        out.fail(one)?;
    }
    let all: u64 = shelves.iter().map(|shelf| shelf.messages).sum();
    for (nr, shelf) in shelves.iter().enumerate() {
        out.write(&Record::Conversation(shelf.conversation.clone()))?;
        out.page.conversation(nr, &shelf.conversation)?;
        let mut after = None;
        loop {
            let asked = Archive::Messages { number: shelf.number, after };
            let Outcome::Records(records) = seat.insist(Command::Archive(asked)).await? else {
                return Err(Failure::internal("the home gave an answer of another kind"));
            };
            let Records { messages, failed, next } = records;
            for message in messages {
                screen.progress(&format!("{} of {all} messages", out.messages));
                out.message(seat, message, &shelf.conversation.title).await?;
            }
            for one in failed {
                out.fail(Unreadable { which: format!("{}: {}", shelf.conversation.title, one.which), ..one })?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    screen.progress("");
    out.finish(screen)
}

/// What is written.
struct Out {
    directory: PathBuf,
    records: BufWriter<File>,
    page: Page<BufWriter<File>>,
    files: bool,
    /// Why no further file is asked for, once the server could not be reached.
    offline: Option<String>,
    messages: u64,
    saved: u64,
    failed: Vec<Unreadable>,
}

impl Out {
    fn create(
        directory: &Path,
        account: &str,
        (clock, time, shelves): (Clock, &str, &[Shelf]),
        files: bool,
    ) -> Result<Self, Failure> {
        empty(directory)?;
        let page = Page::begin(new_file(&directory.join(PAGE))?, account, (clock, shelves))?;
        let records = new_file(&directory.join(RECORDS))?;
        let directory = directory.to_owned();
        let mut out =
            Self { directory, records, page, files, offline: None, messages: 0, saved: 0, failed: Vec::new() };
        out.write(&Record::Export { format: ARCHIVE_FORMAT, account: account.to_owned(), time: time.to_owned() })?;
        Ok(out)
    }

    fn write(&mut self, record: &Record) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.records, record).map_err(io::Error::from)?;
        Ok(self.records.write_all(b"\n")?)
    }

    fn fail(&mut self, one: Unreadable) -> Result<(), Failure> {
        self.write(&Record::Failed(one.clone()))?;
        self.failed.push(one);
        Ok(())
    }

    async fn message(&mut self, seat: &Seat, mut message: ArchivedMessage, title: &str) -> Result<(), Failure> {
        if self.files
            && let Some(name) = message.file.as_ref().map(|file| file.name.clone())
        {
            match self.fetch(seat, &message.id).await {
                Ok(saved) => message.file.iter_mut().for_each(|file| file.saved = Some(saved.clone())),
                Err(why) => self.fail(Unreadable { which: format!("{title}: the file {name}"), why })?,
            }
        }
        self.page.message(&message)?;
        self.messages = self.messages.saturating_add(1);
        self.write(&Record::Message(Box::new(message)))
    }

    /// Where it lies from the export's own place.
    async fn fetch(&mut self, seat: &Seat, id: &str) -> Result<String, String> {
        if let Some(why) = &self.offline {
            return Err(why.clone());
        }
        let files = self.directory.join(FILES);
        make(&files).map_err(|error| error.to_string())?;
        let place = Place::Directory(file::absolute(&files).map_err(|failure| failure.to_string())?);
        match seat.execute(Command::FileGet { id: id.to_owned(), place }).await {
            Ok(Outcome::Saved(saved)) => {
                self.saved = self.saved.saturating_add(1);
                let name = Path::new(&saved.path).file_name().map(|name| name.to_string_lossy().into_owned());
                Ok(format!("{FILES}/{}", name.unwrap_or_default()))
            }
            Ok(_) => Err("an answer of another kind".to_owned()),
            Err(error) => {
                if matches!(error, CommandError::Unreachable { .. }) {
                    self.offline = Some(error.to_string());
                }
                Err(error.to_string())
            }
        }
    }

    fn finish(mut self, screen: &Screen) -> Result<(), Failure> {
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let (messages, files, failed) = (self.messages, self.saved, count(self.failed.len()));
        self.write(&Record::End { messages, files, failed })?;
        self.records.flush()?;
        self.records.get_ref().sync_all()?;
        let mut page = self.page.end(&self.failed)?;
        page.flush()?;
        page.get_ref().sync_all()?;
        let shown = self.directory.display().to_string();
        if screen.json {
            screen.object(&Record::End { messages, files, failed })?;
        } else {
            screen.data(&format!(
                "{messages} messages and {files} files are in {shown}: {PAGE} to read, {RECORDS} for programs"
            ))?;
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut list = new_file(&self.directory.join(FAILED))?;
        for one in &self.failed {
            writeln!(list, "{}: {}", one.which, one.why)?;
        }
        list.flush()?;
        let first = self.failed.iter().take(SHOWN).map(|one| format!("\n{}: {}", one.which, one.why));
        let what = format!("{failed} things could not be exported{}", first.collect::<String>());
        Err(Failure::data(what)
            .at(self.directory.join(FAILED).display().to_string())
            .next("all else is there; files that a server does not keep any more can be had from whoever sent them"))
    }
}

/// Makes a directory that is this person's alone, if it is not there.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Sees to it that a directory is there and holds nothing.
fn empty(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display().to_string();
    make(directory).map_err(|error| Failure::data(format!("the directory can't be made: {error}")).at(&shown))?;
    match fs::read_dir(directory).map_err(|error| Failure::data(error.to_string()).at(&shown))?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::usage("the directory is not empty").at(shown).next("name one that is, or a new one")),
    }
}

fn new_file(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(BufWriter::new(file.map_err(|error| Failure::data(error.to_string()).at(path.display().to_string()))?))
}
