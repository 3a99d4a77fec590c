//! Bounds of the wire, which both sides know. Each has its row in `docs/limits.md`.
//!
//! What an operator may change lives in the server's own `limits` configuration; these
//! are part of the protocol.

/// Longest frame on a connection that is not authenticated, in bytes.
pub const FRAME_MAX_UNAUTHENTICATED: usize = 8 * 1024;
/// Longest frame, in bytes: a commit bundle for a large group fits.
pub const FRAME_MAX: usize = 2 * 1024 * 1024;
/// Longest body of a message or proposal, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Longest commit, welcome or group info, in bytes.
pub const HANDSHAKE_BODY_MAX: usize = 1024 * 1024;
/// Longest body of the one message that a stranger may place, in bytes.
pub const REQUEST_BODY_MAX: usize = 4 * 1024;

/// Longest account name, in bytes.
pub const ACCOUNT_NAME_MAX: usize = 64;
/// Longest domain, in bytes (RFC 1035 section 2.3.4).
pub const DOMAIN_MAX: usize = 253;
/// Longest name of a device or client program, in bytes.
pub const DEVICE_NAME_MAX: usize = 64;
/// Longest invite or registration token, in bytes.
pub const TOKEN_MAX: usize = 128;
/// Longest wrapped account secret, in bytes.
pub const WRAPPED_SECRET_MAX: usize = 256;

/// Devices one account may have enrolled.
pub const DEVICES_PER_ACCOUNT_MAX: usize = 16;
/// Longest key package, in bytes.
pub const KEY_PACKAGE_MAX: usize = 8 * 1024;
/// Key packages in one `PublishKeyPackages`.
pub const KEY_PACKAGES_PER_REQUEST_MAX: usize = 50;
/// Unclaimed one-time key packages stored for one device.
pub const KEY_PACKAGES_PER_DEVICE_MAX: usize = 100;

/// Members added or removed by one commit.
pub const MEMBERS_PER_COMMIT_MAX: usize = 100;
/// Members of one conversation.
pub const MEMBERS_MAX: usize = 1_000;
/// Cursors in one `Sync`, `Follow` or `Acknowledge`.
pub const CURSORS_PER_FRAME_MAX: usize = 256;
/// Logs that one sync call may follow.
pub const FOLLOWED_MAX: usize = 10_000;
/// Entries in one page of a log.
pub const LOG_PAGE_MAX: usize = 100;
/// Bytes of bodies with which a page of a log ends: with the greatest entry on top it still fits into a frame.
pub const LOG_PAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a group's tree in one page.
pub const TREE_PAGE_MAX: usize = 256 * 1024;
/// Longest tree of a group that a joining device reads, in bytes: `MEMBERS_MAX` accounts with a device each take
/// some 0.3 MB, with `DEVICES_PER_ACCOUNT_MAX` each some 5. In a group of the post-quantum suite a device takes 1.6 to
/// 2.9 KB, so that some 2,900 fit in any case.
pub const TREE_MAX: usize = 8 * 1024 * 1024;
/// Conversations or contacts in one page of a list.
pub const LIST_PAGE_MAX: usize = 100;
/// Links into one group that count at the same time.
pub const LINKS_MAX: usize = 16;
/// Links into one group that are known, withdrawn ones included.
pub const LINKS_KNOWN_MAX: usize = 64;
/// People who may come in by one link.
pub const LINK_USES_MAX: u32 = 1_000;
/// Longest life of a link, in days: a year and a day.
pub const LINK_DAYS_MAX: u64 = 366;
/// Requests to be let into one group that wait at the same time.
pub const JOIN_REQUESTS_MAX: usize = 100;
/// Groups that one account asks to be let into at the same time.
pub const JOINS_ASKED_MAX: usize = 16;
/// Requests that may wait for their answers on one stream.
pub const PIPELINE_MAX: usize = 64;

/// Bytes of each part of a blob but the last, and the longest range that is read at once.
pub const BLOB_PART: usize = 256 * 1024;
/// Largest blob that any server takes, in bytes: what a client reserves for one has this bound.
pub const BLOB_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Longest name of a file, in bytes.
pub const FILE_NAME_MAX: usize = 255;
/// Longest media type, in bytes (RFC 6838 section 4.2: two names of at most 127).
pub const MEDIA_TYPE_MAX: usize = 255;
/// Longest preview of an attachment, in bytes: with name and caption it fits into one message.
pub const PREVIEW_MAX: usize = 16 * 1024;

/// Longest text of a message, in bytes.
pub const TEXT_MAX: usize = 32 * 1024;
/// Longest of what a device tells the others of its account in one message, in bytes.
pub const OWN_DEVICES_MAX: usize = 48 * 1024;
/// People named in one text.
pub const MENTIONS_MAX: usize = 50;
/// Longest emoji of a reaction, in bytes.
pub const EMOJI_MAX: usize = 32;
/// Longest time after which messages disappear, in seconds.
pub const LIFETIME_MAX_S: u32 = 366 * 86_400;
/// Longest question of a poll, in bytes.
pub const POLL_QUESTION_MAX: usize = 1_024;
/// Options of one poll.
pub const POLL_OPTIONS_MAX: usize = 20;
/// Longest option of a poll, in bytes.
pub const POLL_OPTION_MAX: usize = 256;
/// Longest name of a group, in bytes.
pub const GROUP_NAME_MAX: usize = 128;
/// Longest text of what a group is about, in bytes.
pub const GROUP_TOPIC_MAX: usize = 1_024;
/// Longest picture of a group, in bytes: with name and topic it fits into one message.
pub const GROUP_PICTURE_MAX: usize = 48 * 1024;

/// Longest ephemeral event, in bytes of the encoded message: it fits into a datagram at the smallest MTU of QUIC (RFC 9000
/// section 14).
pub const EPHEMERAL_MAX: usize = 1_100;
/// Members of a conversation up to which ephemeral events are handed on in it: what each of them does at every moment
/// goes to all others.
pub const EPHEMERAL_MEMBERS_MAX: usize = 64;

/// Longest name and version of a server's program in a hello between servers, in bytes.
pub const PEER_PROGRAM_MAX: usize = 64;
