//! What is inside an MLS application message, checked: kinds, sizes, references.
//!
//! A kind of a later version is kept as [`Kind::Unknown`] and shown as such, never
//! dropped silently. Control characters are the display's concern, not this module's.

use prost::Message;

use crate::{
    id::MessageId,
    limits::{
        ACCOUNT_NAME_MAX, DOMAIN_MAX, EMOJI_MAX, FILE_NAME_MAX, GROUP_NAME_MAX, GROUP_PICTURE_MAX, GROUP_TOPIC_MAX,
        LINKS_KNOWN_MAX, MEDIA_TYPE_MAX, OWN_DEVICES_MAX, PREVIEW_MAX, TEXT_MAX,
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
    /// What it says or does.
    pub kind: Kind,
}

/// What a message says or does.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// Words.
    Text(String),
    /// New words for an earlier message of the same sender.
    Edit(MessageId, String),
    /// Takes back an earlier message of the same sender.
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
    /// The bytes to encrypt.
    ///
    /// # Errors
    /// [`ContentError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        self.kind.check()?;
        let kind = match &self.kind {
            Kind::Text(text) => Some(Wire::Text(v1::Text { text: text.clone() })),
            Kind::Edit(id, text) => Some(Wire::Edit(v1::Edit { message_id: id.to_bytes(), text: text.clone() })),
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
            Kind::Unknown => None,
        };
        let reply_to = self.reply_to.as_ref().map(MessageId::to_bytes).unwrap_or_default();
        Ok(v1::Content { version: VERSION, sent_ms: self.sent_ms, reply_to, kind }.encode_to_vec())
    }

    /// Reads decrypted bytes.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let wire = v1::Content::decode(bytes).map_err(|_| ContentError::Malformed)?;
        let id = |bytes: &[u8]| MessageId::parse(bytes).map_err(|_| ContentError::Reference);
        let kind = match wire.kind {
            Some(Wire::Text(text)) => Kind::Text(text.text),
            Some(Wire::Edit(edit)) => Kind::Edit(id(&edit.message_id)?, edit.text),
            Some(Wire::Delete(delete)) => Kind::Delete(id(&delete.message_id)?),
            Some(Wire::Reaction(reaction)) => {
                Kind::Reaction { to: id(&reaction.message_id)?, emoji: reaction.emoji, removed: reaction.removed }
            }
            Some(Wire::Receipt(receipt)) => Kind::Receipt(id(&receipt.message_id)?, receipt.kind()),
            Some(Wire::Attachment(attachment)) => Kind::Attachment(attachment),
            Some(Wire::GroupState(state)) => Kind::GroupState(state),
            Some(Wire::OwnDevices(told)) => Kind::OwnDevices(told),
            Some(Wire::GroupLinks(links)) => Kind::GroupLinks(links),
            None => Kind::Unknown,
        };
        kind.check()?;
        let reply_to = if wire.reply_to.is_empty() { None } else { Some(id(&wire.reply_to)?) };
        Ok(Self { sent_ms: wire.sent_ms, reply_to, kind })
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
            Self::Unknown => "unknown",
        }
    }

    fn check(&self) -> Result<(), ContentError> {
        let fits = match self {
            Self::Text(text) | Self::Edit(_, text) => text.len() <= TEXT_MAX,
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
            Self::Delete(_) | Self::Receipt(..) | Self::Unknown => true,
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
        Content { sent_ms: 5, reply_to: None, kind: Kind::Text(text.into()) }
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
        ] {
            let content = Content { sent_ms: 5, reply_to: Some(id), kind };
            assert!(Content::decode(&content.encode().unwrap()).unwrap() == content);
        }
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
    fn the_largest_description_of_a_group_is_one_message() {
        let state = |picture: usize| Content {
            sent_ms: 5,
            reply_to: None,
            kind: Kind::GroupState(v1::GroupState {
                name: "n".repeat(GROUP_NAME_MAX),
                topic: "t".repeat(GROUP_TOPIC_MAX),
                picture: vec![7; picture].into(),
            }),
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
