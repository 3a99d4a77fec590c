//! Records of an export, from and to what devices of an account tell each other of what was said.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use qpc_proto::{
    address::Address,
    content::{Content, Kind as Said},
    id::{ConversationName, MessageId},
    limits::TEXT_MAX,
    v1,
};

use crate::{
    api::{
        ArchivedConversation, ArchivedFile, ArchivedMessage, ArchivedPoll, ArchivedReaction, ArchivedVote,
        ConversationKind, Mention,
    },
    fresh,
    store::archive,
};

/// Longest title that is taken in, in bytes. A topic is told by the group itself.
const TITLE_MAX: usize = 4096;
/// Longest word for a kind, in bytes: later versions may know more of them.
const KIND_MAX: usize = 32;

/// Why a record is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("its conversation is no id@domain")]
    Conversation,
    #[error("the other one is no name@domain")]
    Peer,
    #[error("its id is none")]
    Id,
    #[error("its sender is no name@domain")]
    Sender,
    #[error("it is of a kind that nobody sends")]
    Kind,
    #[error("it names somebody who is no name@domain")]
    Account,
    #[error("its text is too long")]
    Long,
    #[error("it was not sent yet")]
    NotSent,
    #[error("what it refers to is no id")]
    Refers,
    #[error("its file can't be right")]
    File,
    #[error("its poll can't be right")]
    Poll,
}

/// What is written out of a message; `None` where its id is none.
pub(crate) fn message(told: v1::HistoryMessage, me: &str) -> Option<ArchivedMessage> {
    let state = told.state.unwrap_or_default();
    let id = |bytes: &[u8]| MessageId::parse(bytes).map(|id| id.to_string()).ok();
    let some = |number: u64| (number > 0).then_some(number);
    let (mut file, mut poll) = (None, None);
    match Content::decode(&told.content).map(|content| content.kind) {
        Ok(Said::Attachment(told)) => file = Some(of_file(&told)),
        Ok(Said::Poll(told)) => {
            let votes = state.votes.into_iter().map(|vote| ArchivedVote {
                account: vote.account,
                choices: vote.choices.iter().map(|choice| choice.saturating_add(1)).collect(),
            });
            let (options, several) = (told.options, told.several);
            poll = Some(ArchivedPoll { options, several, closed: state.poll_closed, votes: votes.collect() });
        }
        _ => {}
    }
    Some(ArchivedMessage {
        conversation: told.conversation,
        seq: told.seq,
        id: id(&told.message_id)?,
        own: told.sender == me,
        sender: told.sender,
        time_ms: told.sent_ms,
        time: fresh::rfc3339(told.sent_ms),
        kind: told.kind,
        body: told.body,
        unread: told.unread,
        reply_to: id(&state.reply_to),
        forwarded: state.forwarded,
        edited_ms: some(state.edited_ms),
        deleted_by: Some(state.deleted_by).filter(|by| !by.is_empty()),
        expires_ms: some(state.expires_ms),
        pinned: state.pinned,
        mentions: state.mentions.iter().map(of_mention).collect(),
        reactions: state
            .reactions
            .into_iter()
            .map(|one| ArchivedReaction { emoji: one.emoji, accounts: one.accounts })
            .collect(),
        poll,
        file,
    })
}

fn of_mention(told: &v1::Mention) -> Mention {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Mention { address: told.address.clone(), start: number(told.start), length: number(told.length) }
}

fn of_file(told: &v1::Attachment) -> ArchivedFile {
    ArchivedFile {
        name: told.file_name.clone(),
        size: told.size,
        media_type: told.media_type.clone(),
        saved: None,
        digest: BASE64_STANDARD.encode(&told.digest),
        key: BASE64_STANDARD.encode(&told.key),
        preview: BASE64_STANDARD.encode(&told.preview),
        format: told.format,
        blob_size: told.blob_size,
    }
}

/// A conversation as another device would tell of it.
pub(crate) fn to_conversation(record: ArchivedConversation) -> Result<v1::HistoryConversation, RecordError> {
    record.conversation.parse::<ConversationName>().map_err(|_| RecordError::Conversation)?;
    // What somebody noted for themselves is theirs alone where this account knows it; otherwise it is like a group.
    let kind = match record.kind {
        ConversationKind::Direct => v1::ConversationKind::Direct,
        ConversationKind::Group | ConversationKind::Personal => v1::ConversationKind::Group,
    };
    let peer = record.peer.map(|peer| Address::parse(&peer).map(|peer| peer.to_string())).transpose();
    if record.title.len() > TITLE_MAX {
        return Err(RecordError::Long);
    }
    Ok(v1::HistoryConversation {
        conversation: record.conversation,
        kind: kind.into(),
        title: record.title,
        peer: peer.map_err(|_| RecordError::Peer)?.unwrap_or_default(),
        lifetime_s: record.lifetime_s,
    })
}

/// A message as another device would tell of it.
pub(crate) fn to_message(record: ArchivedMessage) -> Result<v1::HistoryMessage, RecordError> {
    let id = |text: &str| text.parse::<MessageId>().map(|id| Bytes::copy_from_slice(id.as_bytes()));
    record.conversation.parse::<ConversationName>().map_err(|_| RecordError::Conversation)?;
    Address::parse(&record.sender).map_err(|_| RecordError::Sender)?;
    if record.seq == 0 {
        return Err(RecordError::NotSent);
    }
    // What this program has to say itself comes from no file.
    if record.kind.len() > KIND_MAX || archive::is_notice(&record.kind) {
        return Err(RecordError::Kind);
    }
    let reacted = record.reactions.iter().flat_map(|one| &one.accounts);
    let voted = record.poll.iter().flat_map(|poll| &poll.votes).map(|vote| &vote.account);
    let named = record.deleted_by.iter().chain(reacted).chain(voted);
    if named.into_iter().any(|account| Address::parse(account).is_err()) {
        return Err(RecordError::Account);
    }
    if record.body.len() > TEXT_MAX {
        return Err(RecordError::Long);
    }
    let reply_to = record.reply_to.map(|target| id(&target)).transpose().map_err(|_| RecordError::Refers)?;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mentions = record.mentions.into_iter().map(|mention| v1::Mention {
        address: mention.address,
        start: number(mention.start),
        length: number(mention.length),
    });
    let mut state = v1::MessageState {
        edited_ms: record.edited_ms.unwrap_or_default(),
        deleted_by: record.deleted_by.unwrap_or_default(),
        reply_to: reply_to.unwrap_or_default(),
        forwarded: record.forwarded,
        mentions: mentions.collect(),
        reactions: record
            .reactions
            .into_iter()
            .map(|one| v1::EmojiState { emoji: one.emoji, accounts: one.accounts })
            .collect(),
        pinned: record.pinned,
        expires_ms: record.expires_ms.unwrap_or_default(),
        ..Default::default()
    };
    let mut content = Vec::new();
    if let Some(file) = record.file {
        let told = Said::Attachment(to_file(file)?);
        content = Content::new(record.time_ms, told).encode().map_err(|_| RecordError::File)?;
    } else if let Some(poll) = record.poll {
        state.poll_closed = poll.closed;
        state.votes = poll.votes.into_iter().map(to_vote).collect::<Option<_>>().ok_or(RecordError::Poll)?;
        let told = v1::Poll { question: record.body.clone(), options: poll.options, several: poll.several };
        content = Content::new(record.time_ms, Said::Poll(told)).encode().map_err(|_| RecordError::Poll)?;
    }
    Ok(v1::HistoryMessage {
        conversation: record.conversation,
        seq: record.seq,
        message_id: id(&record.id).map_err(|_| RecordError::Id)?,
        sender: record.sender,
        sent_ms: record.time_ms,
        kind: record.kind,
        body: record.body,
        unread: record.unread,
        content: content.into(),
        state: (state != v1::MessageState::default()).then_some(state),
    })
}

fn to_vote(vote: ArchivedVote) -> Option<v1::VoteState> {
    let choices = vote.choices.iter().map(|number| number.checked_sub(1)).collect::<Option<_>>()?;
    Some(v1::VoteState { account: vote.account, choices })
}

fn to_file(file: ArchivedFile) -> Result<v1::Attachment, RecordError> {
    let bytes = |text: &str| BASE64_STANDARD.decode(text).map(Bytes::from).map_err(|_| RecordError::File);
    let (digest, key) = (bytes(&file.digest)?, bytes(&file.key)?);
    if digest.len() != 32 || key.len() != 32 {
        return Err(RecordError::File);
    }
    Ok(v1::Attachment {
        file_name: file.name,
        media_type: file.media_type,
        size: file.size,
        digest,
        key,
        preview: bytes(&file.preview)?,
        caption: String::new(),
        format: file.format,
        blob_size: file.blob_size,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    const CONVERSATION: &str = "01a22999-2001-7558-9998-e48544b1eae7@a.example";
    const ID: &str = "01a22999-1f8d-7cd0-ace2-f24f2eb76a5f";

    fn id() -> Bytes {
        Bytes::copy_from_slice(ID.parse::<MessageId>().unwrap().as_bytes())
    }

    fn record() -> ArchivedMessage {
        ArchivedMessage {
            conversation: CONVERSATION.into(),
            seq: 1,
            id: ID.into(),
            sender: "bob@a.example".into(),
            kind: "text".into(),
            ..Default::default()
        }
    }

    prop_compose! {
        fn state()(
            edited_ms in 0_u64..9, deleted in any::<bool>(), answers in any::<bool>(), forwarded in any::<bool>(),
            pinned in any::<bool>(), expires_ms in 0_u64..9, emoji in vec("\\PC{1,4}", 0..3), mention in option::of(0_u32..9),
        ) -> v1::MessageState {
            v1::MessageState {
                edited_ms,
                deleted_by: if deleted { "carol@a.example".into() } else { String::new() },
                reply_to: if answers { id() } else { Bytes::new() },
                forwarded,
                mentions: mention.map(|start| v1::Mention { address: "al@a.example".into(), start, length: 1 }).into_iter().collect(),
                reactions: emoji.into_iter().map(|emoji| v1::EmojiState { emoji, accounts: vec!["al@a.example".into()] }).collect(),
                pinned,
                expires_ms,
                ..Default::default()
            }
        }
    }

    prop_compose! {
        fn told()(
            seq in 1_u64..9_000, sent_ms in 0_u64..2_000_000_000_000, body in "\\PC{0,40}", unread in any::<bool>(),
            state in state(), beside in 0_u8..3, votes in vec((0_u32..2, "[a-z]{1,5}"), 0..3), bytes in vec(any::<u8>(), 0..20),
        ) -> v1::HistoryMessage {
            let mut state = state;
            let content = match beside {
                1 => Some(Said::Attachment(v1::Attachment {
                    file_name: "a.jpg".into(),
                    media_type: "image/jpeg".into(),
                    size: seq,
                    digest: vec![1; 32].into(),
                    key: vec![2; 32].into(),
                    preview: bytes.into(),
                    caption: String::new(),
                    format: 1,
                    blob_size: 272,
                })),
                2 => {
                    let vote = |(choice, who)| v1::VoteState { account: format!("{who}@a.example"), choices: vec![choice] };
                    state.votes = votes.into_iter().map(vote).collect();
                    state.poll_closed = unread;
                    let options = vec!["yes".into(), "no".into()];
                    Some(Said::Poll(v1::Poll { question: body.clone(), options, several: state.pinned }))
                }
                _ => None,
            };
            v1::HistoryMessage {
                conversation: CONVERSATION.into(),
                seq,
                message_id: id(),
                sender: "bob@a.example".into(),
                sent_ms,
                kind: "text".into(),
                body,
                unread,
                content: content.map(|said| Content::new(sent_ms, said).encode().unwrap()).unwrap_or_default().into(),
                state: (state != v1::MessageState::default()).then_some(state),
            }
        }
    }

    proptest! {
        #[test]
        fn a_record_says_all_that_there_is_to_a_message(told in told()) {
            // A poll without a question is none.
            prop_assume!(!told.body.is_empty());
            let record = message(told.clone(), "al@a.example").unwrap();
            let line = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(to_message(serde_json::from_str(&line).unwrap()), Ok(told));
        }
    }

    #[test]
    fn what_can_not_be_right_is_not_taken_in() {
        assert!(to_message(record()).is_ok());
        let file = || Some(ArchivedFile { digest: "AAAA".into(), ..Default::default() });
        let by = |account: &str| ArchivedReaction { emoji: "👍".into(), accounts: vec![account.into()] };
        let poll = |account: &str, choices| {
            let votes = vec![ArchivedVote { account: account.into(), choices }];
            Some(ArchivedPoll { options: vec!["a".into(), "b".into()], several: false, closed: false, votes })
        };
        for (wrong, why) in [
            (ArchivedMessage { conversation: "tea".into(), ..record() }, RecordError::Conversation),
            (ArchivedMessage { id: "1".into(), ..record() }, RecordError::Id),
            (ArchivedMessage { sender: "bob".into(), ..record() }, RecordError::Sender),
            (ArchivedMessage { seq: 0, ..record() }, RecordError::NotSent),
            (ArchivedMessage { body: "x".repeat(TEXT_MAX + 1), ..record() }, RecordError::Long),
            (ArchivedMessage { kind: "notice".into(), ..record() }, RecordError::Kind),
            (ArchivedMessage { kind: "x".repeat(KIND_MAX + 1), ..record() }, RecordError::Kind),
            (ArchivedMessage { deleted_by: Some("eve".into()), ..record() }, RecordError::Account),
            (ArchivedMessage { reactions: vec![by("eve")], ..record() }, RecordError::Account),
            (ArchivedMessage { poll: poll("eve", vec![1]), body: "?".into(), ..record() }, RecordError::Account),
            (ArchivedMessage { reply_to: Some("1".into()), ..record() }, RecordError::Refers),
            (ArchivedMessage { file: file(), ..record() }, RecordError::File),
            (ArchivedMessage { poll: poll("al@a.example", vec![0]), body: "?".into(), ..record() }, RecordError::Poll),
        ] {
            assert_eq!(to_message(wrong), Err(why));
        }
        for right in [
            ArchivedMessage { body: "x".repeat(TEXT_MAX), ..record() },
            ArchivedMessage { kind: "x".repeat(KIND_MAX), ..record() },
            ArchivedMessage { reactions: vec![by("al@a.example")], ..record() },
            ArchivedMessage { poll: poll("al@a.example", vec![1]), body: "?".into(), ..record() },
        ] {
            assert!(to_message(right).is_ok());
        }
        let conversation = |title: usize, peer: &str| ArchivedConversation {
            conversation: CONVERSATION.into(),
            title: "x".repeat(title),
            peer: Some(peer.into()),
            ..Default::default()
        };
        assert!(to_conversation(conversation(TITLE_MAX, "bob@a.example")).is_ok());
        assert_eq!(to_conversation(conversation(TITLE_MAX + 1, "bob@a.example")), Err(RecordError::Long));
        assert_eq!(to_conversation(conversation(1, "bob")), Err(RecordError::Peer));
        assert_eq!(to_conversation(ArchivedConversation::default()), Err(RecordError::Conversation));
    }
}
