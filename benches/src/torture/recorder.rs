//! What all clients did and saw, in one order: in memory for the check, in a file for whoever looks into it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use qpc_proto::{
    chain::ChainValue,
    id::{MessageId, Seq},
};
use tokio::sync::Notify;

use crate::history::{Event, Sent};

/// Takes down events as they happen.
#[derive(Debug)]
pub struct Recorder {
    book: Mutex<Book>,
    acknowledged: Notify,
}

#[derive(Debug)]
struct Book {
    file: BufWriter<File>,
    events: Vec<Event>,
    chains: HashMap<MessageId, ChainValue>,
    alarms: Vec<String>,
    acknowledged: u64,
    readers: u64,
}

/// All that was taken down.
#[derive(Debug)]
pub struct Record {
    /// In order.
    pub events: Vec<Event>,
    /// The chain values of the acknowledgements.
    pub chains: HashMap<MessageId, ChainValue>,
    /// What a client saw at once to be wrong.
    pub alarms: Vec<String>,
    /// Messages acknowledged.
    pub acknowledged: u64,
}

impl Recorder {
    /// Begins a file.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> io::Result<Self> {
        let book = Book {
            file: BufWriter::new(File::create(path)?),
            events: Vec::new(),
            chains: HashMap::new(),
            alarms: Vec::new(),
            acknowledged: 0,
            readers: 0,
        };
        Ok(Self { book: Mutex::new(book), acknowledged: Notify::new() })
    }

    /// A message is about to be sent for the first time.
    pub fn invoked(&self, sent: &Sent) {
        self.book().put(Event::Invoked(sent.clone()));
    }

    /// The server has acknowledged it.
    pub fn acknowledged(&self, sent: &Sent, seq: Seq, chain: Option<ChainValue>) {
        let mut book = self.book();
        book.acknowledged = book.acknowledged.saturating_add(1);
        book.put(Event::Acknowledged(sent.clone(), seq));
        match chain {
            Some(chain) => drop(book.chains.insert(sent.id, chain)),
            None => book.alarms.push(format!("message {} was acknowledged without a chain value", sent.id)),
        }
        drop(book);
        self.acknowledged.notify_waiters();
    }

    /// Its own server keeps it for another one.
    pub fn kept(&self, sent: &Sent) {
        let mut book = self.book();
        book.acknowledged = book.acknowledged.saturating_add(1);
        book.put(Event::Kept(sent.clone()));
        drop(book);
        self.acknowledged.notify_waiters();
    }

    /// Waits for the next acknowledgement.
    pub async fn next_acknowledgement(&self) {
        self.acknowledged.notified().await;
    }

    /// It was pushed to a reader.
    pub fn delivered(&self, reader: u64, sent: Sent, seq: Seq) {
        self.book().put(Event::Delivered { reader, sent, seq });
    }

    /// A client has seen what no correct server shows.
    pub fn alarm(&self, what: String) {
        let mut book = self.book();
        book.line(&format!("ALARM {what}"));
        book.alarms.push(what);
    }

    /// A number that no other reader has.
    pub fn reader(&self) -> u64 {
        let mut book = self.book();
        book.readers = book.readers.saturating_add(1);
        book.readers
    }

    /// Messages acknowledged so far.
    pub fn count(&self) -> u64 {
        self.book().acknowledged
    }

    /// Everything, once nobody records any more.
    ///
    /// # Errors
    /// Where the file could not be written.
    pub fn finish(&self) -> io::Result<Record> {
        let mut book = self.book();
        book.file.flush()?;
        Ok(Record {
            events: std::mem::take(&mut book.events),
            chains: std::mem::take(&mut book.chains),
            alarms: std::mem::take(&mut book.alarms),
            acknowledged: book.acknowledged,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn put(&mut self, event: Event) {
        let line = match &event {
            Event::Invoked(sent) => format!("invoked {}", words(sent)),
            Event::Acknowledged(sent, seq) => format!("acknowledged {} at {seq}", words(sent)),
            Event::Kept(sent) => format!("kept {}", words(sent)),
            Event::Delivered { reader, sent, seq } => format!("delivered {} at {seq} to reader {reader}", words(sent)),
        };
        self.line(&line);
        self.events.push(event);
    }

    fn line(&mut self, line: &str) {
        if let Err(error) = writeln!(self.file, "{} {line}", crate::random::unix_ms()) {
            self.alarms.push(format!("the history could not be written: {error}"));
        }
    }
}

fn words(sent: &Sent) -> String {
    let Sent { conversation, device, counter, id } = sent;
    format!("{id} conversation {conversation} device {device} counter {counter}")
}
