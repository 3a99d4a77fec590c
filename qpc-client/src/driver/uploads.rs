//! Files to the server, each by the parts that are missing there; then the message that tells of one is let go. And off the
//! server again, where the message was refused.
//!
//! The message waits in the outbox, and those that are written later do not wait for it: it goes behind all others once its
//! file is there. What passes is tried again, with growing pauses; what does not is told, and the message refused.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use qpc_proto::{error::Code, id::MessageId};
use tokio::time::{Instant, sleep_until};

use super::{releases, session::End};
use crate::{
    api::{Direction, Event, OutboxState},
    apply::{self, Applied, ApplyError},
    core::Core,
    files::{self, Files},
    fresh,
    store::{
        StoreError, attachment, message, outbox, release,
        upload::{self, Upload},
    },
    transfer::{self, Progress, Stream, TransferError},
    transport::{CallError, Link, Refused},
};

/// Files that are sent at once.
const AT_ONCE_MAX: usize = 2;
/// First and longest pause before another attempt.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Sends until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    let Some(files) = &core.files else { return std::future::pending().await };
    let mut sending = FuturesUnordered::new();
    let mut under_way: Vec<MessageId> = Vec::new();
    let mut held: HashMap<MessageId, Held> = HashMap::new();
    // What is of no use there goes first: it may take the room that the next file needs.
    let mut releasing = FuturesUnordered::new();
    let mut rest: Option<Instant> = None;
    loop {
        clear(core, files).await?;
        if releasing.is_empty() && rest.is_none_or(|rest| rest <= Instant::now()) {
            rest = None;
            let mut due = core.store.run(release::due).await?;
            // One that is on its way still would come behind.
            due.retain(|release| !under_way.contains(&release.id));
            if !due.is_empty() {
                releasing.push(releases::run(core, link, due));
            }
        }
        let ready = core.store.run(upload::ready).await?;
        held.retain(|id, _| ready.iter().any(|upload| upload.id == *id));
        for upload in ready {
            let waits = held.get(&upload.id).is_some_and(|held| held.until > Instant::now());
            let room = releasing.is_empty() && under_way.len() < AT_ONCE_MAX;
            if room && !waits && !under_way.contains(&upload.id) {
                under_way.push(upload.id);
                sending.push(async move {
                    let outcome = send(core, link, files, &upload).await;
                    (upload, outcome)
                });
            }
        }
        let tries = held.iter().filter(|(id, _)| !under_way.contains(id)).map(|(_, held)| held.until);
        let next = tries.chain(rest).min();
        tokio::select! {
            biased;
            Some(rests) = releasing.next() => {
                rest = rests?.and_then(|rests| Instant::now().checked_add(rests));
            }
            Some((upload, outcome)) = sending.next() => {
                under_way.retain(|id| *id != upload.id);
                match outcome {
                    Ok(()) => arrived(core, &upload).await?,
                    Err(error) => {
                        if let Some(lost) = link.lost() {
                            return Err(lost.into());
                        }
                        failed(core, upload, error, &mut held).await?;
                    }
                }
            }
            // Whatever it was that one waited for may have come.
            () = core.uploads.notified() => held.values_mut().for_each(Held::look_again),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// One that is not tried before some time.
struct Held {
    until: Instant,
    failures: u32,
    /// Why, where a person was told.
    told: Option<String>,
}

impl Held {
    fn look_again(&mut self) {
        if self.told.is_some() {
            self.until = Instant::now();
        }
    }
}

async fn send(core: &Core, link: &Link, files: &Files, upload: &Upload) -> Result<(), TransferError> {
    let mut spool = tokio::fs::File::open(files.spool(&upload.spool)).await?;
    let mut stream = Stream::open(link).await?;
    let mut progress = Progress::new(&core.events, upload.id.to_string(), Direction::Up, upload.blob_size);
    let told = |done| progress.tell(done);
    transfer::upload(&mut stream, &upload.blob(), upload.blob_size, &mut spool, told).await
}

/// Removes the copies that are not needed any more, and then what is known of them.
async fn clear(core: &Core, files: &Files) -> Result<(), StoreError> {
    let spent = core.store.run(upload::spent).await?;
    if spent.is_empty() {
        return Ok(());
    }
    for spool in &spent {
        files::forget(&files.spool(spool));
    }
    core.store.run(move |tx| spent.iter().try_for_each(|spool| upload::remove(tx, spool))).await
}

/// Lets go of the message.
async fn arrived(core: &Arc<Core>, upload: &Upload) -> Result<(), StoreError> {
    let (id, teller) = (upload.id, Arc::clone(core));
    core.store
        .run_and(
            move |tx| {
                upload::set_over(tx, id)?;
                // It may be refused by now, with its conversation.
                match outbox::by_id(tx, id)? {
                    Some(outgoing) => outbox::put_last(tx, &outgoing),
                    None => Ok(()),
                }
            },
            move |()| {
                teller.outbox.notify_one();
                teller.progressed();
            },
        )
        .await
}

/// What becomes of one that was not sent.
enum Fate {
    /// Again, after so long at least.
    Again(Duration),
    /// Again, and people are told why not now.
    Waits(Duration, &'static str),
    /// Never.
    Refused(String),
}

async fn failed(
    core: &Arc<Core>,
    upload: Upload,
    error: TransferError,
    held: &mut HashMap<MessageId, Held>,
) -> Result<(), ApplyError> {
    tracing::debug!(%error, "a file was not sent");
    let (least, reason) = match fate(&error) {
        Fate::Again(least) => (least, None),
        Fate::Waits(least, reason) => (least, Some(reason.to_owned())),
        Fate::Refused(reason) => return refuse(core, upload, reason).await,
    };
    let known = held.entry(upload.id).or_insert_with(|| Held { until: Instant::now(), failures: 0, told: None });
    known.failures = known.failures.saturating_add(1);
    let grown = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(known.failures.saturating_sub(1).min(8))).min(PAUSE_MAX);
    let pause = least.max(grown).saturating_add(fresh::jitter(grown));
    known.until = Instant::now().checked_add(pause).unwrap_or_else(Instant::now);
    if reason.is_some() && known.told != reason {
        known.told.clone_from(&reason);
        core.events.tell(Event::Outbox { id: upload.id.to_string(), state: OutboxState::Waiting, reason });
    }
    Ok(())
}

fn fate(error: &TransferError) -> Fate {
    match error {
        TransferError::Call(CallError::Refused(refused)) => refusal(refused),
        TransferError::Call(_) => Fate::Again(Duration::ZERO),
        TransferError::File(error) => {
            Fate::Refused(format!("its encrypted copy in the home can't be read ({error}). Send it again"))
        }
        TransferError::Damaged => Fate::Refused("its encrypted copy in the home is damaged. Send it again".to_owned()),
    }
}

fn refusal(refused: &Refused) -> Fate {
    let after = refused.retry_after;
    let never = |what: &str| Fate::Refused(what.to_owned());
    match refused.code {
        Some(Code::StorageFull) => Fate::Waits(after, "the server's storage is full; the file is kept here"),
        Some(Code::TooManyUploads) => {
            Fate::Waits(after, "as many files of your account are on their way as may be; this one is next")
        }
        Some(Code::ContactPending) => Fate::Waits(after, "they have not accepted your request yet"),
        Some(Code::DomainUnreachable) => Fate::Waits(
            after,
            "the server that orders this conversation, and keeps its files, can't be reached; the file is kept here",
        ),
        // It has expired, or parts of it have: begun again.
        Some(Code::UploadUnknown | Code::PartsMissing) => Fate::Again(after),
        Some(code) if code.retryable() => Fate::Again(after),
        Some(Code::BlobTooLarge) => never("it is larger than this server takes. Send it in parts, or ask the operator"),
        Some(Code::BlobQuotaAccount) => {
            never("you have as many files on the server as an account may. Older ones go with time; ask the operator")
        }
        Some(Code::BlobQuotaConversation) => {
            never("this conversation has as many files as it may. Older ones go with time; ask the operator")
        }
        Some(Code::DomainUnknown) => {
            never("your server exchanges nothing with the one that orders this conversation; ask the operator")
        }
        Some(Code::DigestDiffers) => never("its bytes were altered in the home or on the way. Send it again"),
        Some(Code::NotFound) => never("you are not in this conversation any more, says the server"),
        Some(Code::UnknownMethod) => never("this server takes no files"),
        _ => Fate::Refused(format!("the server refused it: {refused}")),
    }
}

/// Tells that a file was not sent, and never will be.
async fn refuse(core: &Arc<Core>, upload: Upload, reason: String) -> Result<(), ApplyError> {
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                if upload::is_wanted(tx, upload.id)? {
                    let file = attachment::told(tx, upload.conversation, upload.id.as_bytes())?;
                    let name = file.map_or_else(|| "A file".to_owned(), |file| file.file_name);
                    let told = message::notice(tx, upload.conversation, &format!("{name} was not sent: {reason}."))?;
                    out.events.push(Event::Message(told));
                    apply::refuse(tx, upload.id, &reason, &mut out)?;
                }
                Ok::<_, ApplyError>(out)
            },
            move |out| teller.tell(out),
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32) -> TransferError {
        let error = qpc_proto::v1::Error { code, ..Default::default() };
        TransferError::Call(CallError::Refused(Box::new(Refused::parse(error))))
    }

    #[test]
    fn what_passes_is_waited_out_and_what_does_not_is_told() {
        for code in [Code::Busy, Code::RateLimited, Code::Internal, Code::ShuttingDown, Code::UploadUnknown] {
            assert!(matches!(fate(&refused(code as u32)), Fate::Again(_)), "{code:?}");
        }
        for code in [Code::StorageFull, Code::TooManyUploads, Code::ContactPending, Code::DomainUnreachable] {
            assert!(matches!(fate(&refused(code as u32)), Fate::Waits(..)), "{code:?}");
        }
        for code in [
            Code::BlobTooLarge,
            Code::BlobQuotaAccount,
            Code::BlobQuotaConversation,
            Code::DigestDiffers,
            Code::DomainUnknown,
            Code::NotFound,
            Code::UnknownMethod,
            Code::Malformed,
        ] {
            assert!(matches!(fate(&refused(code as u32)), Fate::Refused(_)), "{code:?}");
        }
        assert!(matches!(fate(&refused(9_999)), Fate::Refused(_)), "of a later version");
        assert!(matches!(fate(&TransferError::Call(CallError::Timeout)), Fate::Again(_)));
    }
}
