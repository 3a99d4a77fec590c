//! The codes that a server answers with: one table of code, name, meaning, and whether
//! the caller may send the same request again.
//!
//! `docs/protocol.md` carries the same table; a test keeps the two equal.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal, $retry:ident, $meaning:literal;)+) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Code {
            $(#[doc = $meaning] $name = $code,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Reads a code from the wire; `None` for one of a later version.
            #[must_use]
            pub const fn from_wire(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The name, as documents and programs use it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// May the caller send the same bytes again, later?
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retry,)+ }
            }
        }
    };
}

codes! {
    Malformed = 1, "MALFORMED", false, "The frame or a field of it is not what the protocol says.";
    FrameTooLong = 2, "FRAME_TOO_LONG", false, "The frame is longer than this connection may send.";
    UnknownMethod = 3, "UNKNOWN_METHOD", false, "This server does not know the method.";
    Unauthenticated = 4, "UNAUTHENTICATED", false, "The method needs a login, or the proof was wrong.";
    WrongState = 5, "WRONG_STATE", false, "The method does not fit what went before on this connection.";
    TooLarge = 6, "TOO_LARGE", false, "A list or body is longer than its limit.";
    RateLimited = 7, "RATE_LIMITED", true, "Too many of these; wait as long as the answer says.";
    Busy = 8, "BUSY", true, "The server sheds load; wait as long as the answer says.";
    StorageFull = 9, "STORAGE_FULL", true, "The server can't store anything until its operator makes room.";
    Internal = 10, "INTERNAL", true, "A fault of the server; whether the request took effect is unknown.";
    ShuttingDown = 11, "SHUTTING_DOWN", true, "The server is about to stop; reconnect as it says.";
    LoginFailed = 20, "LOGIN_FAILED", false, "Unknown name or wrong password.";
    TokenInvalid = 21, "TOKEN_INVALID", false, "The invite or token is unknown, used up or expired.";
    NameTaken = 22, "NAME_TAKEN", false, "The name is registered.";
    DeviceInvalid = 23, "DEVICE_INVALID", false, "The device's certificate does not fit the account.";
    TooManyDevices = 24, "TOO_MANY_DEVICES", false, "The account has as many devices as it may; revoke one first.";
    Suspended = 25, "SUSPENDED", true, "The operator of the server has suspended the account; what it has stays, and waits until it is resumed.";
    NotFound = 30, "NOT_FOUND", false, "No such object, or none the caller may know of.";
    ConversationExists = 31, "CONVERSATION_EXISTS", false, "The two have a direct conversation; the answer names it.";
    WrongEpoch = 32, "WRONG_EPOCH", false, "The group is in another epoch; catch up and make the message anew.";
    CounterGap = 33, "COUNTER_GAP", false, "The counter is not the next one; the answer names the last.";
    IdConflict = 34, "ID_CONFLICT", false, "The counter or id was used for another message.";
    ContactPending = 35, "CONTACT_PENDING", false, "The other person has not accepted yet; the message may be sent when they have.";
    NotContact = 36, "NOT_CONTACT", false, "Only people who have accepted the caller's contact can be added.";
    Forbidden = 37, "FORBIDDEN", false, "The caller's role does not allow this.";
    ReadOnly = 38, "READ_ONLY", true, "The server was restored from a backup, and waits for what the conversation's members have; wait as long as the answer says.";
    NotAwaited = 39, "NOT_AWAITED", false, "The server waits for no entries of this conversation from this device.";
    HandshakeMalformed = 40, "HANDSHAKE_MALFORMED", false, "A commit, proposal, report, welcome or group info is not a message of this group and epoch.";
    HandshakeInvalid = 41, "HANDSHAKE_INVALID", false, "The commit or proposal does not verify: its signature, tree, path or proposals.";
    HandshakeSender = 42, "HANDSHAKE_SENDER", false, "The commit or proposal was made by another device than the one that sends it.";
    LeafUnsigned = 43, "LEAF_UNSIGNED", false, "A device in the change was not signed by the account that it claims to be of.";
    LeafForeign = 44, "LEAF_FOREIGN", false, "A device's certificate comes with another key, or takes another device's place.";
    DeviceNotEnrolled = 45, "DEVICE_NOT_ENROLLED", false, "A device to be added is not one of its account's at this server.";
    AddForbidden = 46, "ADD_FORBIDDEN", false, "Only admins and owners add people.";
    RemoveForbidden = 47, "REMOVE_FORBIDDEN", false, "A member removes only people with a lesser role, and plain members nobody.";
    PromoteForbidden = 48, "PROMOTE_FORBIDDEN", false, "Only owners change roles, and no owner loses theirs.";
    JoinForbidden = 49, "JOIN_FORBIDDEN", false, "Only another device of a member joins a group by itself.";
    TwoAccountKeys = 50, "TWO_ACCOUNT_KEYS", false, "An account is in the group with another key; its old devices are removed first.";
    SettingsForbidden = 51, "SETTINGS_FORBIDDEN", false, "The group's settings are not changed so: the role table is malformed, or something else than roles differs.";
    ProposalForbidden = 52, "PROPOSAL_FORBIDDEN", false, "A kind of proposal that is not accepted, or not a second time.";
    MembershipDiffers = 53, "MEMBERSHIP_DIFFERS", false, "The accounts said to be added or removed are not those of the commit.";
    WelcomeDiffers = 54, "WELCOME_DIFFERS", false, "The welcome is not for exactly the devices that the commit adds.";
    GroupInfoDiffers = 55, "GROUP_INFO_DIFFERS", false, "The group info is not that of the group which the commit makes.";
    NotFollowed = 56, "NOT_FOLLOWED", false, "This server does not know how the group stands; it has to be made anew.";
    CommitReserved = 57, "COMMIT_RESERVED", false, "Others may change the group first; the answer names the epoch in which it is this device's turn.";
    ChainDiffers = 58, "CHAIN_DIFFERS", false, "The offered entries do not carry on the log that the server has.";
    LinkUnknown = 64, "LINK_UNKNOWN", false, "No such link into a group, or nobody has asked by it.";
    LinkExpired = 65, "LINK_EXPIRED", false, "The link's time is over.";
    LinkUsedUp = 66, "LINK_USED_UP", false, "As many people have come in by the link as may.";
    LinkWithdrawn = 67, "LINK_WITHDRAWN", false, "The link was withdrawn by somebody of its group.";
    AlreadyMember = 68, "ALREADY_MEMBER", false, "The account is a member already.";
    JoinRequestsFull = 69, "JOIN_REQUESTS_FULL", false, "As many requests wait for this group, or of this account, as may.";
    BlobTooLarge = 80, "BLOB_TOO_LARGE", false, "The blob is larger than this server takes.";
    BlobQuotaAccount = 81, "BLOB_QUOTA_ACCOUNT", false, "The account has stored as many blobs, or bytes in them, as it may.";
    BlobQuotaConversation = 82, "BLOB_QUOTA_CONVERSATION", false, "As many blobs, or bytes in them, belong to the conversation as may.";
    TooManyUploads = 83, "TOO_MANY_UPLOADS", false, "As many uploads of the account are unfinished as may be; finish or release one first.";
    UploadUnknown = 84, "UPLOAD_UNKNOWN", false, "There is no such upload, or it has expired; begin it again.";
    PartInvalid = 85, "PART_INVALID", false, "The part's number or size does not fit the blob.";
    PartsMissing = 86, "PARTS_MISSING", false, "The upload can't be finished: not all of its parts are stored.";
    DigestDiffers = 87, "DIGEST_DIFFERS", false, "The bytes that came are not those of the digest; the upload was thrown away.";
    RangeInvalid = 88, "RANGE_INVALID", false, "The range begins at or after the end of the blob, or is empty or too long.";
    DomainUnknown = 96, "DOMAIN_UNKNOWN", false, "This server exchanges nothing with the server of that domain.";
    DomainUnreachable = 97, "DOMAIN_UNREACHABLE", true, "The server of that domain can't be reached now, or does not answer as it should.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Codes of a closed connection (QUIC application error codes, RFC 9000 section 20.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// Done; nothing is wrong.
    Done = 0,
    /// The peer broke the protocol.
    ProtocolViolation = 1,
    /// A deadline before authentication passed.
    TooSlow = 2,
    /// The device was revoked or the account deleted; the client must not reconnect by itself.
    Revoked = 3,
    /// The server stops; reconnect after the `GoAway` delay.
    ShuttingDown = 4,
    /// A newer connection of the same device took its place.
    Replaced = 5,
    /// A fault of the server in this session.
    Internal = 6,
    /// Between servers: the peer is not one that this server federates with.
    NotAllowed = 7,
    /// Between servers: the certificate is not, or is no longer, one of the domain that the peer claims to be.
    CertificateRefused = 8,
    /// The operator has suspended the account; reconnect at long intervals.
    Suspended = 9,
}

impl CloseCode {
    /// Reads the code of a closed connection; `None` for one of a later version.
    #[must_use]
    pub const fn from_wire(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::ProtocolViolation,
            2 => Self::TooSlow,
            3 => Self::Revoked,
            4 => Self::ShuttingDown,
            5 => Self::Replaced,
            6 => Self::Internal,
            7 => Self::NotAllowed,
            8 => Self::CertificateRefused,
            9 => Self::Suspended,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_are_all_different() {
        for &code in Code::ALL {
            assert_eq!(Code::from_wire(code as u32), Some(code));
        }
        assert_eq!(Code::from_wire(0), None);
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
