//! Calls: a stream, a request, an answer; and streams of many requests whose answers come in order.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message;
use qpc_proto::{
    error::{CloseCode, Code},
    frame::{self, FrameDecoder},
    id::{ConversationName, Counter, Epoch},
    limits::FRAME_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, WriteError};

/// Bytes taken from a stream at once, at most.
const CHUNK_MAX: usize = 64 * 1024;

/// A call that gave no answer of its kind.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    /// The server said no. Nothing has changed there, unless the code is `INTERNAL`.
    #[error("the server refused: {0}")]
    Refused(Box<Refused>),
    /// The connection went. Whether the request took effect is unknown.
    #[error("the connection was lost: {0}")]
    Lost(Lost),
    /// No answer in time. Whether the request took effect is unknown.
    #[error("the server did not answer in time")]
    Timeout,
    /// The server's frame is not what the protocol says.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
}

impl CallError {
    /// The code, where the server said no.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refused) => refused.code,
            _ => None,
        }
    }

    /// Was the request refused for good, so that it had no effect and the same bytes will never have one?
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.code.is_none_or(|code| !code.retryable()))
    }
}

/// A refusal, read from the wire.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// `None` for a code of a later version, which is final.
    pub(crate) code: Option<Code>,
    pub(crate) number: u32,
    pub(crate) detail: String,
    pub(crate) retry_after: Duration,
    pub(crate) conversation: Option<ConversationName>,
    pub(crate) epoch: Epoch,
    pub(crate) counter: Counter,
}

impl Refused {
    pub(crate) fn parse(error: v1::Error) -> Self {
        Self {
            code: Code::from_wire(error.code),
            number: error.code,
            detail: error.detail,
            retry_after: Duration::from_millis(error.retry_after_ms.into()),
            conversation: ConversationName::parse(error.conversation.as_ref()).ok(),
            epoch: Epoch(error.epoch),
            counter: Counter(error.counter),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => f.write_str(code.meaning()),
            None => write!(f, "code {}, which this version does not know", self.number),
        }
    }
}

/// A connection that ended.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    /// What the server closed it with.
    pub(crate) close: Option<CloseCode>,
    pub(crate) text: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.close {
            Some(CloseCode::Revoked) => "this device was revoked, or the account deleted",
            Some(CloseCode::Suspended) => "the operator of the server has suspended the account",
            Some(CloseCode::Replaced) => "a newer connection of this device took its place",
            Some(CloseCode::ShuttingDown) => "the server stops for now",
            Some(CloseCode::TooSlow) => "the server did not wait longer",
            _ => &self.text,
        })
    }
}

impl From<ConnectionError> for CallError {
    fn from(error: ConnectionError) -> Self {
        let close = match &error {
            ConnectionError::ApplicationClosed(close) => CloseCode::from_wire(close.error_code.into_inner()),
            _ => None,
        };
        Self::Lost(Lost { close, text: error.to_string() })
    }
}

impl From<ReadError> for CallError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            error => Self::Lost(Lost { close: None, text: error.to_string() }),
        }
    }
}

impl From<WriteError> for CallError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            error => Self::Lost(Lost { close: None, text: error.to_string() }),
        }
    }
}

/// A request whose answer has a type of its own.
pub(crate) trait Ask {
    /// The answer.
    type Answer;
    /// The request as a frame carries it.
    fn method(self) -> Method;
    /// The answer, if it is that.
    fn answer(outcome: Outcome) -> Option<Self::Answer>;
}

macro_rules! asks {
    ($($request:ident => $answer:ident),+ $(,)?) => {
        $(impl Ask for v1::$request {
            type Answer = v1::$answer;

            fn method(self) -> Method {
                Method::$request(self)
            }

            fn answer(outcome: Outcome) -> Option<v1::$answer> {
                match outcome {
                    Outcome::$request(answer) => Some(answer),
                    _ => None,
                }
            }
        })+
    };
}

asks! {
    Hello => HelloAnswer,
    RegisterStart => RegisterStartAnswer,
    RegisterFinish => RegisterFinishAnswer,
    LoginStart => LoginStartAnswer,
    LoginFinish => LoginFinishAnswer,
    EnrolDevice => EnrolDeviceAnswer,
    Authenticate => AuthenticateAnswer,
    ChangePasswordStart => ChangePasswordStartAnswer,
    ChangePasswordFinish => ChangePasswordFinishAnswer,
    DeleteAccount => DeleteAccountAnswer,
    ListDevices => ListDevicesAnswer,
    RevokeDevice => RevokeDeviceAnswer,
    PublishKeyPackages => PublishKeyPackagesAnswer,
    ClaimKeyPackages => ClaimKeyPackagesAnswer,
    CountKeyPackages => CountKeyPackagesAnswer,
    CreateConversation => CreateConversationAnswer,
    SubmitCommit => SubmitCommitAnswer,
    Send => SendAnswer,
    ReadLog => LogPage,
    ListConversations => ListConversationsAnswer,
    ReadGroup => ReadGroupAnswer,
    SetLink => SetLinkAnswer,
    AskToJoin => AskToJoinAnswer,
    ListJoinRequests => ListJoinRequestsAnswer,
    Offer => OfferAnswer,
    AnswerContact => AnswerContactAnswer,
    ListContacts => ListContactsAnswer,
    BeginUpload => BeginUploadAnswer,
    UploadPart => UploadPartAnswer,
    FinishUpload => FinishUploadAnswer,
    ReadBlob => ReadBlobAnswer,
    ReleaseBlob => ReleaseBlobAnswer,
}

/// A request as a frame.
pub(crate) fn request_frame(method: Method) -> Bytes {
    frame::encode(&v1::Request { method: Some(method) })
}

/// Reads an answer to a request of type `A`.
pub(crate) fn read_answer<A: Ask>(outcome: Outcome) -> Result<A::Answer, CallError> {
    match outcome {
        Outcome::Error(error) => Err(CallError::Refused(Box::new(Refused::parse(error)))),
        outcome => A::answer(outcome).ok_or(CallError::Protocol("an answer of another kind")),
    }
}

/// The answers of a stream.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: RecvStream,
    decoder: FrameDecoder,
}

impl Frames {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, decoder: FrameDecoder::new(FRAME_MAX) }
    }

    /// The next answer that has arrived already, without waiting: what came in other packets too.
    pub(crate) fn ready(&mut self) -> Result<Option<Outcome>, CallError> {
        self.ready_frame()?.map(decode).transpose()
    }

    /// The same, as its bytes.
    pub(crate) fn ready_frame(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(CHUNK_MAX, true).now_or_never() {
                Some(Ok(Some(chunk))) => self.decoder.push(chunk.bytes),
                // The end, or what went wrong, is found by the next read that waits.
                _ => return Ok(None),
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Bytes>, CallError> {
        self.decoder.next_frame().map_err(|_| CallError::Protocol("a frame beyond its limit"))
    }

    /// The next answer; `None` at the end of the stream. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Outcome>, CallError> {
        self.next_frame().await?.map(decode).transpose()
    }

    /// The same, as its bytes. Cancel-safe.
    pub(crate) async fn next_frame(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(CHUNK_MAX, true).await? {
                Some(chunk) => self.decoder.push(chunk.bytes),
                None => return Ok(None),
            }
        }
    }
}

fn decode(frame: Bytes) -> Result<Outcome, CallError> {
    let answer = v1::Answer::decode(frame).map_err(|_| CallError::Protocol("a frame that is no answer"))?;
    answer.result.ok_or(CallError::Protocol("an answer of a later version"))
}

/// A stream of requests.
pub(crate) type Requests = SendStream;
