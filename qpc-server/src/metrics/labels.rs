//! The values that labels can take: small fixed sets, known when the program is compiled.

use qpc_proto::error::{CloseCode, Code};

/// Something that names itself in a label.
pub trait Label: Copy + Sized + 'static {
    /// Every value, so that each is on the page from the start: a counter that appears with its first event
    /// hides that event from whoever looks at increases.
    const ALL: &'static [Self];

    /// The label's value: lower case, never derived from what a client sent.
    fn label(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn label(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

labels! {
    /// Whether a device has a sync call open.
    Presence {
        /// It has.
        Online = "online",
        /// It has none.
        Offline = "offline",
    }
}

labels! {
    /// Which way a datagram goes, or a blob.
    Direction {
        /// From a client.
        In = "in",
        /// To a client.
        Out = "out",
    }
}

labels! {
    /// The rates of the policy.
    Limit {
        /// Messages of an account: the sender is slowed down.
        Message = "message",
        /// Changes of groups by an account: it is slowed down.
        Change = "change",
        /// Logins begun for one account.
        LoginAccount = "login_account",
        /// Logins begun from one address prefix.
        LoginPrefix = "login_prefix",
        /// Registrations from one address prefix.
        Registration = "registration",
        /// Key packages claimed by one account.
        ClaimRequester = "claim_requester",
        /// Key packages claimed of one account.
        ClaimTarget = "claim_target",
        /// Everything that one other domain asks for.
        PeerRequest = "peer_request",
        /// Accounts of one other domain that are new here, or have other devices.
        PeerGuest = "peer_guest",
        /// Conversations and contact requests of one account.
        Contact = "contact",
        /// Reads and lists of one account.
        Lookup = "lookup",
        /// Blobs that one account begins, finishes or releases.
        Blob = "blob",
        /// Parts and ranges of blobs of an account: it is slowed down.
        Transfer = "transfer",
        /// Ephemeral events of a device: more are dropped.
        Ephemeral = "ephemeral",
        /// Everything else that one account asks for.
        Request = "request",
        /// A keyed store of the policy is full of other keys.
        Keys = "keys",
    }
}

labels! {
    /// Why an ephemeral event went no further.
    EphemeralDrop {
        /// This server hands none on.
        Off = "off",
        /// No event, or too long.
        Malformed = "malformed",
        /// More than the device's rate allows.
        Rate = "rate",
        /// The device is not in the conversation, or one of its two has not accepted the other, or has blocked them.
        Forbidden = "forbidden",
        /// The conversation has too many members.
        Crowd = "crowd",
        /// Too many wait until it is read who is in their conversations.
        Busy = "busy",
        /// A later one of the same device in the same conversation took its place before it left.
        Replaced = "replaced",
        /// Too many waited for one session.
        Full = "full",
        /// The session it was for is behind with what counts, or takes no more.
        Behind = "behind",
        /// It waited too long.
        Stale = "stale",
    }
}

labels! {
    /// Why a connection was refused at the door.
    Refused {
        /// Too many handshakes in progress.
        Handshakes = "handshakes",
        /// Asked to prove its address first.
        Retry = "retry",
        /// Too many unauthenticated connections from one address prefix.
        Prefix = "prefix",
        /// As many connections as the server takes.
        Full = "full",
        /// The handshake did not end in time.
        Slow = "slow",
        /// The handshake failed.
        Failed = "failed",
    }
}

labels! {
    /// Why a connection with another server was refused, by either of the two.
    PeerRefused {
        /// Too many connections have not said who they are.
        Handshakes = "handshakes",
        /// Asked to prove its address first.
        Retry = "retry",
        /// The handshake failed: another protocol, no certificate, or one of somebody else.
        Failed = "failed",
        /// The handshake or the hello did not end in time.
        Slow = "slow",
        /// The certificate is not one of a domain, or not of the domain that was meant.
        Certificate = "certificate",
        /// A domain that this server does not federate with.
        NotAllowed = "not_allowed",
        /// The peer did not keep to the protocol.
        Protocol = "protocol",
    }
}

labels! {
    /// What came of a request to another server.
    Asked {
        /// What was asked for.
        Answered = "answered",
        /// A refusal.
        Refused = "refused",
        /// Not sent: as many were under way as may be.
        Busy = "busy",
        /// Not sent, or lost: there is no connection.
        Unreachable = "unreachable",
        /// No answer in time.
        Slow = "slow",
        /// Something else than was asked for.
        Unfit = "unfit",
    }
}

labels! {
    /// Why something about a blob was refused.
    BlobRejection {
        /// A field, part or range that is none.
        Malformed = "malformed",
        /// By somebody who is not in the conversation, or of a blob that is not there.
        Stranger = "stranger",
        /// Larger than the server takes.
        Size = "size",
        /// The account has no room.
        AccountQuota = "account_quota",
        /// The conversation has none.
        ConversationQuota = "conversation_quota",
        /// Too many unfinished uploads.
        Uploads = "uploads",
        /// An upload that is not there, or not complete.
        Upload = "upload",
        /// Other bytes than the digest says.
        Digest = "digest",
    }
}

labels! {
    /// The server's queues.
    Queue {
        /// Verbs that wait for the store's writer.
        StoreWriter = "store_writer",
        /// Handshakes in progress.
        Handshakes = "handshakes",
        /// Login states that wait for their finish.
        Logins = "logins",
        /// Acknowledged cursors that wait to be written down.
        Cursors = "cursors",
    }
}

impl Label for CloseCode {
    const ALL: &'static [Self] = &[
        Self::Done,
        Self::ProtocolViolation,
        Self::TooSlow,
        Self::Revoked,
        Self::ShuttingDown,
        Self::Replaced,
        Self::Internal,
        Self::NotAllowed,
        Self::CertificateRefused,
        Self::Suspended,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ProtocolViolation => "protocol_violation",
            Self::TooSlow => "too_slow",
            Self::Revoked => "revoked",
            Self::ShuttingDown => "shutting_down",
            Self::Replaced => "replaced",
            Self::Internal => "internal",
            Self::NotAllowed => "not_allowed",
            Self::CertificateRefused => "certificate_refused",
            Self::Suspended => "suspended",
        }
    }
}

impl Label for Code {
    const ALL: &'static [Self] = Self::ALL;

    /// As documents and programs write it.
    fn label(self) -> &'static str {
        self.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_is_among_all() {
        let known = (0..).map_while(CloseCode::from_wire);
        assert_eq!(known.collect::<Vec<_>>(), <CloseCode as Label>::ALL);
    }
}
