//! Files: encrypted into the home and queued, listed, fetched and opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use qpc_proto::{
    content::{Content, Kind as Said},
    error::Code,
    id::MessageId,
    v1,
};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncReadExt,
    time::{Instant, sleep, timeout_at},
};

use super::{refer, talk, target, usage};
use crate::{
    api::{CommandError, Direction, Outcome, Picture, Place, Saved},
    blob::{Checker, FORMAT, Opener},
    core::{Core, Line, internal},
    files::{self, Files, SaveError, SpoolError, Spooled},
    fresh,
    store::{
        attachment::{self, Attachment},
        conversation, upload,
    },
    transfer::{self, Progress, Stream, TransferError},
    transport::{CallError, Link, Refused},
};

/// Longest caption, in bytes: with name and preview it fits into one message, and into one page for another device.
pub(super) const CAPTION_MAX: usize = 4 * 1024;
/// How long a connection that was lost may take to come back, and a server to be less busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause after a refusal that passes, where the server names no longer one.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes that are read of what has come, at once.
const READ: usize = 256 * 1024;

/// Encrypts a file into the home, and queues its message.
pub(super) async fn send(core: &Arc<Core>, to: String, path: &str, caption: String) -> Result<Outcome, CommandError> {
    let files = files(core)?;
    if caption.len() > CAPTION_MAX {
        return Err(usage(format!("a caption has at most {CAPTION_MAX} bytes")));
    }
    let source = absolute(path)?;
    // Before the work; what counts is how it stands after it.
    let (me, asked, most) = (core.me.clone(), to.clone(), core.outbox_max);
    core.store.run(move |tx| talk::writable(tx, &me, &asked, most).map(drop)).await?;
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let spooling = tokio::task::spawn_blocking(move || files::spool(&files, &source, id));
    let spooled = spooling.await.map_err(|error| internal(&error))?.map_err(|error| not_spooled(path, &error))?;
    queue(core, to, (id, false), spooled, caption).await
}

fn not_spooled(what: &str, error: &SpoolError) -> CommandError {
    match error {
        SpoolError::Write(_) | SpoolError::Randomness(_) => internal(error),
        error => usage(format!("{what} is not sent: {error}")),
    }
}

/// Queues a file that lies in the home, with its message.
async fn queue(
    core: &Arc<Core>,
    to: String,
    (id, forwarded): (MessageId, bool),
    mut spooled: Spooled,
    caption: String,
) -> Result<Outcome, CommandError> {
    let told = v1::Attachment { caption, ..spooled.told.clone() };
    let content = Content { forwarded, ..Content::new(fresh::now_ms(), Said::Attachment(told.clone())) };
    let (name, digest) = (spooled.name.clone(), spooled.digest);
    talk::queue(core, to, id, content, move |tx, conversation| {
        attachment::put(tx, conversation.local, id, &told)?;
        upload::put(tx, id, &name, &digest, told.blob_size)?;
        spooled.keep();
        Ok(())
    })
    .await
}

/// Sends a file of a message on: fetched, and encrypted and sent anew, because who is in the other conversation may not read
/// what lies in this one.
pub(super) async fn forward(core: &Arc<Core>, file: MessageId, to: String) -> Result<Outcome, CommandError> {
    let files = files(core)?;
    let (me, asked, most) = (core.me.clone(), to.clone(), core.outbox_max);
    core.store.run(move |tx| talk::writable(tx, &me, &asked, most).map(drop)).await?;
    let (file, blob) = find(core, &file.to_string()).await?;
    let (local, named) = (file.conversation, file.id);
    let told = core.store.run(move |tx| attachment::told(tx, local, named.as_bytes())).await?;
    let told = told.ok_or_else(|| usage("the file is not there any more"))?;
    let opener = opener(&file)?;
    let Some(_fetching) = core.fetch(file.digest) else {
        return Err(CommandError::TryLater { message: "this file is being fetched already".into() });
    };
    let _turn = core.fetches.acquire().await.map_err(|error| internal(&error))?;
    fetch(core, &files, (&file, &blob), &opener).await?;
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let part = files.part(&file.digest);
    let sealing = tokio::task::spawn_blocking(move || {
        let sealed = files::seal_again(&files, &part, &opener, told, id);
        files::forget(&part);
        sealed
    });
    let spooled = sealing.await.map_err(|error| internal(&error))?;
    let spooled = spooled.map_err(|error| not_spooled(&file.file_name, &error))?;
    queue(core, to, (id, true), spooled, String::new()).await
}

fn opener(file: &Attachment) -> Result<Opener, CommandError> {
    let opener = (file.format == FORMAT).then(|| Opener::new(&file.key, file.size, file.blob_size)).flatten();
    opener.ok_or_else(|| {
        denied("it can't be opened: what was said of it is wrong, or of a later version of this program")
    })
}

/// The small picture that came with a file.
pub(super) async fn preview(core: &Arc<Core>, to: String, message: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let preview = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        let message = refer::find(tx, &of, &message)?;
        Ok::<_, CommandError>(attachment::preview(tx, of.local, refer::id(&message)?)?)
    });
    Ok(Outcome::Preview { preview: Picture(preview.await?) })
}

/// The last files of a conversation.
pub(super) async fn list(core: &Arc<Core>, to: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let files = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        Ok::<_, CommandError>(attachment::last(tx, of.local)?)
    });
    Ok(Outcome::Files { files: files.await? })
}

/// Fetches a file, from where an earlier attempt ended, and opens it into its place.
pub(super) async fn get(core: &Arc<Core>, id: &str, place: Place) -> Result<Outcome, CommandError> {
    let files = files(core)?;
    let (Place::Directory(path) | Place::File(path)) = &place;
    let path = absolute(path)?;
    if matches!(place, Place::File(_)) && path.symlink_metadata().is_ok() {
        return Err(not_saved(&SaveError::Exists(path)));
    }
    let (file, blob) = find(core, id).await?;
    let opener = opener(&file)?;
    let Some(_fetching) = core.fetch(file.digest) else {
        return Err(CommandError::TryLater { message: "this file is being fetched already".into() });
    };
    let _turn = core.fetches.acquire().await.map_err(|error| internal(&error))?;
    fetch(core, &files, (&file, &blob), &opener).await?;
    let (part, told) = (files.part(&file.digest), file.file_name.clone());
    let saving = tokio::task::spawn_blocking(move || {
        let saved = files::save(&part, &opener, &place, &told);
        // What is damaged is of no use to the next attempt; what could not be put there is.
        if matches!(saved, Ok(_) | Err(SaveError::Damaged)) {
            files::forget(&part);
        }
        saved
    });
    let path = saving.await.map_err(|error| internal(&error))?.map_err(|error| not_saved(&error))?;
    let path = path.to_string_lossy().into_owned();
    Ok(Outcome::Saved(Saved { id: file.id.to_string(), path, size: file.size }))
}

fn files(core: &Core) -> Result<Files, CommandError> {
    core.files.clone().ok_or_else(|| usage("this home has no directory for files"))
}

fn absolute(path: &str) -> Result<PathBuf, CommandError> {
    let path = Path::new(path);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(usage("the path has to be an absolute one")) }
}

fn denied(message: impl Into<String>) -> CommandError {
    CommandError::Denied { message: message.into() }
}

fn not_saved(error: &SaveError) -> CommandError {
    match error {
        SaveError::Exists(_) | SaveError::Write { .. } => usage(error.to_string()),
        SaveError::Damaged => denied(error.to_string()),
        SaveError::Read(_) => internal(error),
    }
}

/// The file whose message's id begins so, and how requests name its blob.
async fn find(core: &Core, id: &str) -> Result<(Attachment, v1::Blob), CommandError> {
    let digits: String = id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(usage(format!("{id:?} is no file's id: `file list` shows them")));
    }
    let asked = id.to_owned();
    let found = core.store.run(move |tx| {
        let mut found = attachment::beginning(tx, &digits)?;
        let only = if found.len() > 1 { None } else { found.pop() };
        let Some(file) = only else {
            let ids: Vec<String> = found.iter().map(|file| MessageId::to_string(&file.id)).collect();
            return Err(usage(if ids.is_empty() {
                format!("there is no file {asked}: `file list` shows them")
            } else {
                format!("more than one file's id begins with {asked}: {}", ids.join(", "))
            }));
        };
        let conversation = conversation::get(tx, file.conversation)?;
        let named = conversation.name.as_ref().ok_or_else(|| usage("the file is not on the server yet"))?;
        let blob = v1::Blob { conversation: Some(named.to_wire()), digest: file.digest.to_vec().into() };
        Ok::<_, CommandError>((file, blob))
    });
    found.await
}

/// Has all of a blob in the home, over as many connections as it takes.
async fn fetch(
    core: &Core,
    files: &Files,
    (file, blob): (&Attachment, &v1::Blob),
    opener: &Opener,
) -> Result<(), CommandError> {
    let mut line = core.line.subscribe();
    let mut progress = Progress::new(&core.events, file.id.to_string(), Direction::Down, file.blob_size);
    let mut there = 0;
    let mut deadline: Option<Instant> = None;
    loop {
        line.borrow_and_update();
        let failed = match core.link().await {
            Ok(link) => {
                let mut came = there;
                let told = |done| {
                    came = done;
                    progress.tell(done);
                };
                let one = fetch_once(&link, files, (file, blob), opener, told).await;
                if came > there {
                    there = came;
                    deadline = None;
                }
                match one {
                    Ok(()) => return Ok(()),
                    Err(error) if there == 0 && is_away(&error) => return Err(outcome(error, &link)?.error),
                    Err(error) => outcome(error, &link)?,
                }
            }
            // Where there was none before, nobody waits for one.
            Err(error) if deadline.is_none() || matches!(*line.borrow(), Line::Down { parked: true, .. }) => {
                return Err(error);
            }
            Err(error) => Failed { error, passing: None },
        };
        let until = match deadline {
            Some(until) => until,
            None => Instant::now().checked_add(PATIENCE).unwrap_or_else(Instant::now),
        };
        deadline = Some(until);
        if Instant::now() >= until {
            return Err(kept(failed.error));
        }
        match failed.passing {
            Some(pause) => sleep(pause.max(PAUSE)).await,
            None => {
                if !matches!(timeout_at(until, line.changed()).await, Ok(Ok(()))) {
                    return Err(kept(failed.error));
                }
            }
        }
    }
}

/// An attempt that ended too early, though not for good.
struct Failed {
    error: CommandError,
    /// The connection is there, and after so long it may be better; otherwise another one is waited for.
    passing: Option<Duration>,
}

/// Whether whoever keeps the file can't be reached: where nothing has come of it, nobody waits.
fn is_away(error: &TransferError) -> bool {
    matches!(error, TransferError::Call(CallError::Refused(refused)) if refused.code == Some(Code::DomainUnreachable))
}

/// What an attempt that failed means.
fn outcome(error: TransferError, link: &Link) -> Result<Failed, CommandError> {
    match error {
        TransferError::Damaged => Err(denied(
            "what the server gave is not what the sender has sent: it was thrown away. Ask them to send the file again",
        )),
        TransferError::File(error) => {
            Err(CommandError::Internal { message: format!("the file can't be kept in the home: {error}") })
        }
        TransferError::Call(CallError::Refused(refused)) if !refused.code.is_some_and(Code::retryable) => {
            Err(denied(refusal(&refused)))
        }
        TransferError::Call(CallError::Refused(refused)) => {
            let message = match refused.code {
                Some(Code::DomainUnreachable) => {
                    "the server that orders its conversation, and keeps its files, can't be reached".to_owned()
                }
                _ => refused.to_string(),
            };
            let error = CommandError::TryLater { message };
            Ok(Failed { error, passing: Some(refused.retry_after) })
        }
        TransferError::Call(error) => {
            let passing = link.lost().is_none().then_some(PAUSE);
            Ok(Failed { error: CommandError::Unreachable { message: error.to_string() }, passing })
        }
    }
}

fn refusal(refused: &Refused) -> String {
    match refused.code {
        Some(Code::NotFound) => "the server has this file no more, or you are not in its conversation any more".into(),
        Some(Code::UnknownMethod) => "this server has no files".into(),
        _ => format!("the server refused it: {refused}"),
    }
}

/// Says what becomes of what has come.
fn kept(error: CommandError) -> CommandError {
    let keeping =
        |message| format!("{message}. What has come of the file is kept: the same command goes on from there");
    match error {
        CommandError::TryLater { message } => CommandError::TryLater { message: keeping(message) },
        CommandError::Unreachable { message } => CommandError::Unreachable { message: keeping(message) },
        error => error,
    }
}

async fn fetch_once(
    link: &Link,
    files: &Files,
    (file, blob): (&Attachment, &v1::Blob),
    opener: &Opener,
    told: impl FnMut(u64) + Send,
) -> Result<(), TransferError> {
    files.make_parts()?;
    let path = files.part(&file.digest);
    let mut options = OpenOptions::new();
    let mut part = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).await?;
    let (mut checker, from) = checked(&mut part, opener).await?;
    let mut stream = Stream::open(link).await?;
    let span = (from, file.blob_size);
    let came = transfer::download(&mut stream, blob, span, &mut checker, &mut part, told).await;
    let right = || checker.is_whole() && checker.digest() == file.digest;
    if matches!(came, Err(TransferError::Damaged)) || (came.is_ok() && !right()) {
        part.set_len(0).await?;
        return Err(TransferError::Damaged);
    }
    came
}

/// What has come before, checked once more; what is not right is forgotten. The file stands at its end then.
async fn checked<'o>(part: &mut File, opener: &'o Opener) -> Result<(Checker<'o>, u64), TransferError> {
    let mut checker = Checker::new(opener);
    let mut there: u64 = 0;
    let mut bytes = vec![0; READ];
    loop {
        let count = part.read(&mut bytes).await?;
        let right = bytes.get(..count).is_some_and(|read| checker.push(read));
        if !right {
            part.set_len(0).await?;
            tokio::io::AsyncSeekExt::rewind(part).await?;
            return Ok((Checker::new(opener), 0));
        }
        if count == 0 {
            return Ok((checker, there));
        }
        there = there.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
