//! Answers, decoded as far as a load looks at them: the rest of each frame is passed over.

use bytes::Bytes;
use prost::Message;

/// An answer on a stream of sends, or on a sync call.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    pub(super) error: Option<Error>,
    #[prost(message, optional, tag = "50")]
    pub(super) sent: Option<Sent>,
    #[prost(message, optional, tag = "80")]
    pub(super) entry: Option<Entry>,
    #[prost(message, optional, tag = "81")]
    pub(super) following: Option<Following>,
    #[prost(message, optional, tag = "82")]
    pub(super) caught_up: Option<CaughtUp>,
    #[prost(message, optional, tag = "83")]
    pub(super) not_followed: Option<CaughtUp>,
    #[prost(message, optional, tag = "84")]
    pub(super) go_away: Option<GoAway>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Error {
    #[prost(uint32, tag = "1")]
    pub(super) code: u32,
    #[prost(string, tag = "2")]
    pub(super) detail: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sent {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Name {
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) id: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(message, optional, tag = "1")]
    pub(super) conversation: Option<Name>,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) message_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Following {
    #[prost(message, optional, tag = "1")]
    pub(super) conversation: Option<Name>,
    #[prost(uint64, tag = "3")]
    pub(super) after_seq: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CaughtUp {
    #[prost(message, optional, tag = "1")]
    pub(super) conversation: Option<Name>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GoAway {
    #[prost(uint32, tag = "1")]
    pub(super) reconnect_after_ms: u32,
}

impl Entry {
    /// The conversation's id; nothing where there is none.
    pub(super) fn room(&self) -> &[u8] {
        self.conversation.as_ref().map(|name| name.id.as_ref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::v1::{self, answer::Result as Outcome};

    use super::*;

    fn lean(outcome: Outcome) -> Answer {
        Answer::decode(v1::Answer { result: Some(outcome) }.encode_to_vec().as_slice()).unwrap()
    }

    fn name() -> Option<v1::ConversationName> {
        Some(v1::ConversationName { domain: "chat.example".into(), id: Bytes::from_static(&[5; 16]) })
    }

    /// The fields that are looked at stand where the protocol has them.
    #[test]
    fn what_is_looked_at_is_what_was_sent() {
        let entry = v1::Entry {
            conversation: name(),
            seq: 7,
            message_id: Bytes::from_static(&[6; 16]),
            content: Some(v1::entry::Content::Body(Bytes::from_static(b"body"))),
            ..v1::Entry::default()
        };
        let read = lean(Outcome::Entry(entry)).entry.unwrap();
        assert_eq!((read.seq, &read.body[..], &read.message_id[..]), (7, &b"body"[..], &[6; 16][..]));
        assert_eq!(read.room(), [5; 16]);
        let sent = v1::SendAnswer { seq: 9, ..v1::SendAnswer::default() };
        assert_eq!(lean(Outcome::Send(sent)).sent.unwrap().seq, 9);
        let error = v1::Error { code: 3, detail: "why".into(), ..v1::Error::default() };
        assert_eq!(lean(Outcome::Error(error)).error, Some(Error { code: 3, detail: "why".into() }));
        let following = v1::Following { conversation: name(), after_seq: 4, ..v1::Following::default() };
        assert_eq!(lean(Outcome::Following(following)).following.unwrap().after_seq, 4);
        let caught_up = Outcome::CaughtUp(v1::CaughtUp { conversation: name() });
        assert!(lean(caught_up).caught_up.unwrap().conversation.is_some());
        assert!(lean(Outcome::NotFollowed(v1::NotFollowed { conversation: name() })).not_followed.is_some());
        let go_away = Outcome::GoAway(v1::GoAway { reconnect_after_ms: 8 });
        assert_eq!(lean(go_away).go_away.unwrap().reconnect_after_ms, 8);
    }
}
