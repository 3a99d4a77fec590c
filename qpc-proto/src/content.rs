//! What is inside an MLS application message, checked: kinds, sizes, references.
//!
//! A kind of a later version is kept as [`Kind::Unknown`] and shown as such, never
//! dropped silently. Control characters are the display's concern, not this module's.

mod words;

use prost::Message;

pub use self::words::{Mention, Words};
use crate::{
    id::MessageId,
    limits::{
        ACCOUNT_NAME_MAX, DOMAIN_MAX, EMOJI_MAX, FILE_NAME_MAX, GROUP_NAME_MAX, GROUP_PICTURE_MAX, GROUP_TOPIC_MAX,
        LIFETIME_MAX_S, LINKS_KNOWN_MAX, MEDIA_TYPE_MAX, OWN_DEVICES_MAX, POLL_OPTION_MAX, POLL_OPTIONS_MAX,
        POLL_QUESTION_MAX, PREVIEW_MAX, TEXT_MAX,
    },
    v1::{self, content::Kind as Wire},
};

/// The version this crate writes.
pub const VERSION: u32 = 1;

/// Longest address, in bytes: `name@domain`.
const MAKER_MAX: usize = ACCOUNT_NAME_MAX + 1 + DOMAIN_MAX;

/// One decrypted message.
#[derive(Clone, PartialEq)]
pub struct Content {
    /// The sender's clock, milliseconds since 1970.
    pub sent_ms: u64,
    /// The message this one answers.
    pub reply_to: Option<MessageId>,
    /// It was said before, in another place perhaps.
    pub forwarded: bool,
    /// Seconds from when its hub has stored it until it disappears; 0: it stays.
    pub lifetime_s: u32,
    /// What it says or does.
    pub kind: Kind,
}

/// What a message says or does.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// Words.
    Text(Words),
    /// New words for an earlier message of the same sender.
    Edit(MessageId, Words),
    /// Takes back an earlier message.
    Delete(MessageId),
    /// An emoji on a message.
    Reaction {
        /// On which message.
        to: MessageId,
        /// Which.
        emoji: String,
        /// Taken back?
        removed: bool,
    },
    /// Everything up to a message was delivered or read.
    Receipt(MessageId, v1::ReceiptKind),
    /// A file.
    Attachment(v1::Attachment),
    /// A group's description of itself.
    GroupState(v1::GroupState),
    /// What a device tells the other devices of its account, in their personal conversation.
    OwnDevices(v1::OwnDevices),
    /// The links by which people may ask to be let into a group.
    GroupLinks(v1::GroupLinks),
    /// Keeps a message in view, or no longer.
    Pin {
        /// Which.
        id: MessageId,
        /// No longer?
        removed: bool,
    },
    /// A question with answers to choose from.
    Poll(v1::Poll),
    /// What the sender chooses of a poll's options, by their places from 0.
    Vote(MessageId, Vec<u32>),
    /// Ends a poll of the same sender.
    PollClose(MessageId),
    /// What is said from here on disappears after so many seconds; 0: it stays.
    Lifetime(u32),
    /// A kind of a later version.
    Unknown,
}

/// Bytes that are not a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the encoding of a content.
    #[error("the message's content is malformed")]
    Malformed,
    /// A text, emoji or name above its limit.
    #[error("the message's content is too long")]
    TooLong,
    /// A reference that is not a message id.
    #[error("the message refers to something that is not a message id")]
    Reference,
}

impl Content {
    /// Something that is said at this moment of the sender's clock, answers nothing and is no copy.
    #[must_use]
    pub const fn new(sent_ms: u64, kind: Kind) -> Self {
        Self { sent_ms, reply_to: None, forwarded: false, lifetime_s: 0, kind }
    }

    /// The bytes to encrypt.
    ///
    /// # Errors
    /// [`ContentError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        self.kind.check()?;
        let kind = match &self.kind {
            Kind::Text(words) => {
                Some(Wire::Text(v1::Text { text: words.text.clone(), mentions: words.mentions_to_wire() }))
            }
            Kind::Edit(id, words) => Some(Wire::Edit(v1::Edit {
                message_id: id.to_bytes(),
                text: words.text.clone(),
                mentions: words.mentions_to_wire(),
            })),
            Kind::Delete(id) => Some(Wire::Delete(v1::Delete { message_id: id.to_bytes() })),
            Kind::Reaction { to, emoji, removed } => Some(Wire::Reaction(v1::Reaction {
                message_id: to.to_bytes(),
                emoji: emoji.clone(),
                removed: *removed,
            })),
            Kind::Receipt(id, kind) => {
                Some(Wire::Receipt(v1::Receipt { message_id: id.to_bytes(), kind: (*kind).into() }))
            }
            Kind::Attachment(attachment) => Some(Wire::Attachment(attachment.clone())),
            Kind::GroupState(state) => Some(Wire::GroupState(state.clone())),
            Kind::OwnDevices(told) => Some(Wire::OwnDevices(told.clone())),
            Kind::GroupLinks(links) => Some(Wire::GroupLinks(links.clone())),
            Kind::Pin { id, removed } => Some(Wire::Pin(v1::Pin { message_id: id.to_bytes(), removed: *removed })),
            Kind::Poll(poll) => Some(Wire::Poll(poll.clone())),
            Kind::Vote(id, choices) => {
                Some(Wire::Vote(v1::Vote { message_id: id.to_bytes(), choices: choices.clone() }))
            }
            Kind::PollClose(id) => Some(Wire::PollClose(v1::PollClose { message_id: id.to_bytes() })),
            Kind::Lifetime(seconds) => Some(Wire::Lifetime(v1::Lifetime { seconds: *seconds })),
            Kind::Unknown => None,
        };
        let reply_to = self.reply_to.as_ref().map(MessageId::to_bytes).unwrap_or_default();
        let Self { sent_ms, forwarded, lifetime_s, .. } = *self;
        Ok(v1::Content { version: VERSION, sent_ms, reply_to, forwarded, lifetime_s, kind }.encode_to_vec())
    }

    /// Reads decrypted bytes.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let wire = v1::Content::decode(bytes).map_err(|_| ContentError::Malformed)?;
        let id = |bytes: &[u8]| MessageId::parse(bytes).map_err(|_| ContentError::Reference);
        let kind = match wire.kind {
            Some(Wire::Text(text)) => Kind::Text(Words::read(text.text, text.mentions)),
            Some(Wire::Edit(edit)) => Kind::Edit(id(&edit.message_id)?, Words::read(edit.text, edit.mentions)),
            Some(Wire::Delete(delete)) => Kind::Delete(id(&delete.message_id)?),
            Some(Wire::Reaction(reaction)) => {
                Kind::Reaction { to: id(&reaction.message_id)?, emoji: reaction.emoji, removed: reaction.removed }
            }
            Some(Wire::Receipt(receipt)) => Kind::Receipt(id(&receipt.message_id)?, receipt.kind()),
            Some(Wire::Attachment(attachment)) => Kind::Attachment(attachment),
            Some(Wire::GroupState(state)) => Kind::GroupState(state),
            Some(Wire::OwnDevices(told)) => Kind::OwnDevices(told),
            Some(Wire::GroupLinks(links)) => Kind::GroupLinks(links),
            Some(Wire::Pin(pin)) => Kind::Pin { id: id(&pin.message_id)?, removed: pin.removed },
            Some(Wire::Poll(poll)) => Kind::Poll(poll),
            Some(Wire::Vote(vote)) => Kind::Vote(id(&vote.message_id)?, vote.choices),
            Some(Wire::PollClose(close)) => Kind::PollClose(id(&close.message_id)?),
            Some(Wire::Lifetime(lifetime)) => Kind::Lifetime(lifetime.seconds),
            None => Kind::Unknown,
        };
        kind.check()?;
        let reply_to = if wire.reply_to.is_empty() { None } else { Some(id(&wire.reply_to)?) };
        // Above the longest there is it is the longest: what its sender wanted to disappear shall not stay.
        let lifetime_s = wire.lifetime_s.min(LIFETIME_MAX_S);
        Ok(Self { sent_ms: wire.sent_ms, reply_to, forwarded: wire.forwarded, lifetime_s, kind })
    }
}

impl Kind {
    /// The word programs see.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Edit(..) => "edit",
            Self::Delete(_) => "delete",
            Self::Reaction { .. } => "reaction",
            Self::Receipt(..) => "receipt",
            Self::Attachment(_) => "attachment",
            Self::GroupState(_) => "group_state",
            Self::OwnDevices(_) => "own_devices",
            Self::GroupLinks(_) => "group_links",
            Self::Pin { .. } => "pin",
            Self::Poll(_) => "poll",
            Self::Vote(..) => "vote",
            Self::PollClose(_) => "poll_close",
            Self::Lifetime(_) => "lifetime",
            Self::Unknown => "unknown",
        }
    }

    fn check(&self) -> Result<(), ContentError> {
        let fits = match self {
            Self::Text(words) | Self::Edit(_, words) => words.fit(),
            Self::Reaction { emoji, .. } => emoji.len() <= EMOJI_MAX,
            Self::GroupState(state) => {
                state.name.len() <= GROUP_NAME_MAX
                    && state.topic.len() <= GROUP_TOPIC_MAX
                    && state.picture.len() <= GROUP_PICTURE_MAX
            }
            Self::Attachment(attachment) => {
                attachment.file_name.len() <= FILE_NAME_MAX
                    && attachment.media_type.len() <= MEDIA_TYPE_MAX
                    && attachment.caption.len() <= TEXT_MAX
                    && attachment.preview.len() <= PREVIEW_MAX
            }
            Self::OwnDevices(told) => told.encoded_len() <= OWN_DEVICES_MAX,
            Self::GroupLinks(links) => {
                links.links.len() <= LINKS_KNOWN_MAX && links.links.iter().all(|link| link.maker.len() <= MAKER_MAX)
            }
            Self::Poll(poll) => {
                poll.question.len() <= POLL_QUESTION_MAX
                    && poll.options.len() <= POLL_OPTIONS_MAX
                    && poll.options.iter().all(|option| option.len() <= POLL_OPTION_MAX)
            }
            Self::Vote(_, choices) => choices.len() <= POLL_OPTIONS_MAX,
            Self::Lifetime(seconds) => *seconds <= LIFETIME_MAX_S,
            Self::Delete(_) | Self::Receipt(..) | Self::Pin { .. } | Self::PollClose(_) | Self::Unknown => true,
        };
        if fits { Ok(()) } else { Err(ContentError::TooLong) }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({})", self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BODY_MAX;

    fn text(text: &str) -> Content {
        Content::new(5, Kind::Text(text.into()))
    }

    #[test]
    fn content_reads_back() {
        let id = MessageId::new(1, [2; 10]);
        for kind in [
            Kind::Text("hello".into()),
            Kind::Edit(id, "hallo".into()),
            Kind::Delete(id),
            Kind::Reaction { to: id, emoji: "👍".into(), removed: false },
            Kind::Receipt(id, v1::ReceiptKind::Read),
            Kind::GroupState(v1::GroupState { name: "team".into(), ..Default::default() }),
            Kind::OwnDevices(v1::OwnDevices { history_wanted: vec![7; 16].into(), ..Default::default() }),
            Kind::GroupLinks(v1::GroupLinks { links: vec![v1::GroupLink::default(); LINKS_KNOWN_MAX] }),
            Kind::Pin { id, removed: true },
            Kind::Poll(v1::Poll { question: "tea?".into(), options: vec!["yes".into(), "no".into()], several: true }),
            Kind::Vote(id, vec![0, 1]),
            Kind::PollClose(id),
            Kind::Lifetime(LIFETIME_MAX_S),
        ] {
            let content = Content { reply_to: Some(id), forwarded: true, lifetime_s: 60, ..Content::new(5, kind) };
            assert!(Content::decode(&content.encode().unwrap()).unwrap() == content);
        }
    }

    #[test]
    fn a_lifetime_beyond_the_longest_is_the_longest() {
        let wire =
            |lifetime_s| v1::Content { version: 1, sent_ms: 5, lifetime_s, ..Default::default() }.encode_to_vec();
        for (seconds, read) in
            [(LIFETIME_MAX_S, LIFETIME_MAX_S), (LIFETIME_MAX_S + 1, LIFETIME_MAX_S), (u32::MAX, LIFETIME_MAX_S)]
        {
            assert_eq!(Content::decode(&wire(seconds)).unwrap().lifetime_s, read);
        }
        assert_eq!(Content::new(5, Kind::Lifetime(LIFETIME_MAX_S + 1)).encode(), Err(ContentError::TooLong));
    }

    #[test]
    fn a_kind_of_a_later_version_is_shown_as_such() {
        // Field 99, a kind this version does not know.
        let mut bytes = v1::Content { version: 2, sent_ms: 5, ..Default::default() }.encode_to_vec();
        bytes.extend_from_slice(&[0x9a, 0x06, 0x01, 0x00]);
        assert!(Content::decode(&bytes).unwrap().kind == Kind::Unknown);
    }

    #[test]
    fn the_limit_itself_is_allowed_and_one_more_is_not() {
        assert!(text(&"x".repeat(TEXT_MAX)).encode().is_ok());
        assert_eq!(text(&"x".repeat(TEXT_MAX + 1)).encode(), Err(ContentError::TooLong));
    }

    #[test]
    fn a_poll_is_bounded_in_each_part() {
        let poll = |question: usize, options: usize, option: usize| {
            let options = vec!["o".repeat(option); options];
            Content::new(5, Kind::Poll(v1::Poll { question: "q".repeat(question), options, several: false })).encode()
        };
        assert!(poll(POLL_QUESTION_MAX, POLL_OPTIONS_MAX, POLL_OPTION_MAX).is_ok());
        for (question, options, option) in
            [(POLL_QUESTION_MAX + 1, 2, 1), (1, POLL_OPTIONS_MAX + 1, 1), (1, 2, POLL_OPTION_MAX + 1)]
        {
            assert_eq!(poll(question, options, option), Err(ContentError::TooLong));
        }
        let id = MessageId::new(1, [2; 10]);
        let many = u32::try_from(POLL_OPTIONS_MAX + 1).unwrap();
        assert_eq!(Content::new(5, Kind::Vote(id, (0..many).collect())).encode(), Err(ContentError::TooLong));
    }

    #[test]
    fn the_largest_description_of_a_group_is_one_message() {
        let state = |picture: usize| {
            Content::new(
                5,
                Kind::GroupState(v1::GroupState {
                    name: "n".repeat(GROUP_NAME_MAX),
                    topic: "t".repeat(GROUP_TOPIC_MAX),
                    picture: vec![7; picture].into(),
                }),
            )
        };
        // What MLS and the padding add is a few hundred bytes.
        assert!(state(GROUP_PICTURE_MAX).encode().unwrap().len() + 4 * 1024 < BODY_MAX);
        assert_eq!(state(GROUP_PICTURE_MAX + 1).encode(), Err(ContentError::TooLong));
    }

    #[test]
    fn debug_does_not_print_words() {
        assert_eq!(format!("{:?}", text("secret")), "Content(text)");
    }
}
