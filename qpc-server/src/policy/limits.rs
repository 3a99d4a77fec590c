//! The server's own limits, all of them: what an operator may change, and the defaults.
//!
//! What is part of the protocol lies in `qpc_proto::limits`. Each limit has its row in
//! `docs/limits.md`: value, unit, who is charged, what happens, metric.

use std::time::Duration;

/// Every limit of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of QUIC connections.
    pub transport: TransportSettings,
    /// At the door.
    pub admission: AdmissionLimits,
    /// Within a connection.
    pub session: SessionLimits,
    /// Of groups whose changes are judged.
    pub groups: GroupLimits,
    /// Of blobs.
    pub blobs: BlobLimits,
    /// Of what is ephemeral.
    pub ephemerals: EphemeralLimits,
    /// Of other servers.
    pub federation: FederationLimits,
    /// How often.
    pub rates: Rates,
}

/// Settings of QUIC connections; the names are those of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSettings {
    /// As many connections as the server takes, handshakes included. More are refused with QUIC's `CONNECTION_REFUSED`.
    pub max_connections: usize,
    /// A connection that has been silent for this long is gone.
    pub max_idle_timeout: Duration,
    /// Streams that an authenticated client may have open; quinn reserves memory for each.
    pub max_concurrent_bidi_streams: u32,
    /// The protocol uses none.
    pub max_concurrent_uni_streams: u32,
    /// Bytes that a client may send ahead on one stream.
    pub stream_receive_window: u32,
    /// Bytes that an authenticated client may send ahead on its connection.
    pub receive_window: u32,
    /// Bytes that the server keeps for a client that does not acknowledge them.
    pub send_window: u32,
    /// How often the server pings; clients do, so it need not.
    pub keep_alive_interval: Option<Duration>,
    /// Whether to look for larger packets; costs handshakes and memory, helps bulk transfer.
    pub mtu_discovery: bool,
    /// Bytes of each of the socket's buffers; the kernel may give less.
    pub udp_buffer: usize,
    /// Packets of one connection in one system call; each connection keeps a buffer for so many.
    pub send_segments: usize,
    /// The same for one to which much is sent, as long as that lasts; it keeps the larger buffer until it ends.
    pub bulk_segments: usize,
    /// How long a client may keep the acknowledgement of a packet; what is lost is noticed later by as much.
    pub ack_delay: Duration,
    /// Packets after which it acknowledges at once.
    pub ack_packets: u32,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            max_connections: 25_000,
            max_idle_timeout: Duration::from_secs(300),
            max_concurrent_bidi_streams: 8,
            max_concurrent_uni_streams: 0,
            stream_receive_window: 64 * 1024,
            receive_window: 256 * 1024,
            send_window: 128 * 1024,
            keep_alive_interval: None,
            mtu_discovery: false,
            udp_buffer: 4 * 1024 * 1024,
            send_segments: 1,
            bulk_segments: 10,
            ack_delay: Duration::from_millis(200),
            ack_packets: 5,
        }
    }
}

/// Limits at the door: connections that have not proved themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Handshakes in progress above which addresses must be proved first (Retry).
    pub handshakes_retry: usize,
    /// Handshakes in progress above which connections are refused.
    pub handshakes_max: usize,
    /// Connections of one address prefix that are in their handshake or not authenticated.
    pub unauthenticated_per_prefix: u32,
    /// From the first packet to the end of the handshake and the beginning of a request.
    pub first_request: Duration,
    /// From there to being authenticated.
    pub authentication: Duration,
    /// Streams of a new connection.
    pub streams: u32,
    /// Bytes that a new connection may send ahead.
    pub receive_window: u32,
    /// Requests on a connection before it is authenticated; one more closes it.
    pub requests: u32,
    /// Connection attempts that wait to be judged; more are ignored.
    pub incoming: usize,
    /// Bytes that wait in all of them.
    pub incoming_buffer: u64,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            handshakes_retry: 256,
            handshakes_max: 1024,
            unauthenticated_per_prefix: 512,
            first_request: Duration::from_secs(5),
            authentication: Duration::from_secs(15),
            streams: 2,
            receive_window: 32 * 1024,
            requests: 32,
            incoming: 4096,
            incoming_buffer: 8 * 1024 * 1024,
        }
    }
}

/// Limits within a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// From a frame's first byte to its last.
    pub frame: Duration,
    /// Bytes of requests that wait for their answers on one stream, beyond the request that reaches them; it is read
    /// no further until they are answered.
    pub pipeline_bytes: usize,
    /// Connections of one device; the oldest ends for one more.
    pub sessions_per_device: usize,
    /// Entries that wait for one device; with one more its session is behind.
    pub offers: usize,
    /// Logs that a session which is behind remembers one by one; above that it looks at all.
    pub behind_logs: usize,
    /// Entries in one page that a session reads from the store.
    pub page_entries: usize,
    /// Bytes of bodies after which such a page ends.
    pub page_bytes: usize,
    /// Frames that wait to be written to a client that does not read; it is not read from above that.
    pub outbound_frames: usize,
    /// Logs whose position one read of the store gives, when a client begins to follow many.
    pub lookups: usize,
    /// How often acknowledged positions are written down.
    pub cursor_flush: Duration,
    /// Acknowledged positions, of all devices, from which they are written down before it is time.
    pub cursors_early: usize,
    /// Acknowledged positions that wait, beside those that are being written; about 60 bytes each.
    pub cursors_noted: usize,
    /// How long a stopping server finishes what runs.
    pub drain: Duration,
    /// The shortest time after which clients are told to come back.
    pub reconnect_min: Duration,
    /// The longest.
    pub reconnect_max: Duration,
    /// Devices that have not been here for longer are not counted as having something undelivered.
    pub seen: Duration,
    /// How often the figures of undelivered entries are looked at.
    pub figures: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            frame: Duration::from_secs(30),
            pipeline_bytes: 256 * 1024,
            sessions_per_device: 4,
            offers: 64,
            behind_logs: 64,
            page_entries: 100,
            page_bytes: 64 * 1024,
            outbound_frames: 512,
            lookups: 64,
            cursor_flush: Duration::from_secs(30),
            cursors_early: 262_144,
            cursors_noted: 524_288,
            drain: Duration::from_secs(10),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(5),
            seen: Duration::from_secs(30 * 24 * 60 * 60),
            figures: Duration::from_secs(1),
        }
    }
}

/// Limits of what the server does for the groups that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimits {
    /// Changes that are judged, or wait to be; one more is refused.
    pub changes_waiting: usize,
    /// Changes that are judged at once, each on a thread.
    pub judged_at_once: usize,
    /// Leaves of groups that stay in memory, about 2 KiB each.
    pub leaves_kept: usize,
    /// Devices that wait for their turn to change one group; those beyond share the last turn.
    pub turns_waiting: usize,
    /// How long a turn waits for its device.
    pub turn: Duration,
    /// Groups whose races are remembered.
    pub contests_kept: usize,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            changes_waiting: 256,
            judged_at_once: 2,
            leaves_kept: 50_000,
            turns_waiting: 64,
            turn: Duration::from_secs(2),
            contests_kept: 1_024,
        }
    }
}

/// Limits of blobs. What is unfinished counts with its whole size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobLimits {
    /// Bytes of one: a file of 100 MiB fits, with what pads and seals it.
    pub max_size: u64,
    /// Bytes that an account may have put into conversations.
    pub account_bytes: u64,
    /// Blobs that it may have put there.
    pub account_blobs: u64,
    /// Bytes in one conversation.
    pub conversation_bytes: u64,
    /// Blobs in one conversation.
    pub conversation_blobs: u64,
    /// Unfinished uploads of an account.
    pub uploads: u64,
    /// An upload to which nothing was added for so long is gone.
    pub upload_expiry: Duration,
    /// A blob is kept so long after it came into a conversation; zero is for ever.
    pub kept: Duration,
    /// Uploads whose digests are worked out as parts come; of others the parts are read again.
    pub digests_kept: usize,
    /// Bytes of parts, or of ranges asked for, that wait on one stream beyond the one that reaches them; it is read no
    /// further until they are answered.
    pub pipeline_bytes: usize,
    /// Bytes that the server keeps for a client that reads a blob and does not acknowledge them.
    pub send_window: u32,
}

impl Default for BlobLimits {
    fn default() -> Self {
        Self {
            max_size: 105 * 1024 * 1024,
            account_bytes: 10 * 1024 * 1024 * 1024,
            account_blobs: 10_000,
            conversation_bytes: 20 * 1024 * 1024 * 1024,
            conversation_blobs: 20_000,
            uploads: 16,
            upload_expiry: Duration::from_secs(60 * 60),
            kept: Duration::from_secs(90 * 24 * 60 * 60),
            digests_kept: 1_024,
            pipeline_bytes: 512 * 1024,
            send_window: 1024 * 1024,
        }
    }
}

/// Limits of ephemeral events, which are dropped before anything else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EphemeralLimits {
    /// Are they handed on at all?
    pub enabled: bool,
    /// Events that wait for one session; the oldest goes for one more.
    pub waiting: usize,
    /// How long an event may wait.
    pub fresh: Duration,
    /// Conversations whose members are known without reading them, about 150 bytes each.
    pub audiences: usize,
    /// Events that wait until it is read who is in their conversations, of all sessions.
    pub lookups_waiting: usize,
    /// Bytes of datagrams of one connection that wait to be read, and the same to be sent.
    pub datagram_buffer: usize,
}

impl Default for EphemeralLimits {
    fn default() -> Self {
        Self {
            enabled: true,
            waiting: 32,
            fresh: Duration::from_secs(5),
            audiences: 65_536,
            lookups_waiting: 1_024,
            datagram_buffer: 8 * 1024,
        }
    }
}

/// Limits of what other servers may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationLimits {
    /// Connections of other servers that have not said who they are; more are refused.
    pub handshakes: usize,
    /// From a connection's first packet to the end of the hello, either way.
    pub handshake: Duration,
    /// Servers whose connections are taken, besides those in the configuration.
    pub strangers: usize,
    /// Streams that a peer may have open.
    pub streams: u32,
    /// Bytes that a peer may send ahead on one stream.
    pub stream_window: u32,
    /// The same on all streams of a connection.
    pub window: u32,
    /// From a frame's first byte to its last.
    pub frame: Duration,
    /// From a request to its answer.
    pub answer: Duration,
    /// Messages of one device that may wait for other domains.
    pub waiting_per_device: usize,
    /// Messages that may wait for one domain.
    pub waiting_per_domain: u64,
    /// Parts of files that may be on their way from or to one domain; more wait for a place.
    pub transfers: usize,
    /// From such a request to its answer, and for its place before.
    pub transfer: Duration,
    /// Bytes of one domain's files of which copies are kept; of others each part is asked for again.
    pub copied_bytes: u64,
    /// Files of one domain of which copies are kept.
    pub copied_blobs: u64,
    /// Files of one domain whose copies are not whole.
    pub copies_begun: u64,
    /// A connection that has been silent for this long is gone.
    pub idle: Duration,
    /// How often a silent connection is kept open.
    pub keep_alive: Duration,
    /// The shortest pause before a peer that can't be reached is tried again; it doubles each time.
    pub retry_min: Duration,
    /// The longest.
    pub retry_max: Duration,
    /// A peer that could not be reached and comes here is called so much later, however long the pause.
    pub call_back: Duration,
    /// A connection that has lasted so long begins with the shortest pause again when it ends.
    pub steady: Duration,
    /// How often certificate files are looked at, and the certificates of connections that are there.
    pub reload: Duration,
}

impl Default for FederationLimits {
    fn default() -> Self {
        Self {
            handshakes: 32,
            handshake: Duration::from_secs(10),
            strangers: 256,
            streams: 16,
            stream_window: 1024 * 1024,
            window: 4 * 1024 * 1024,
            frame: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            waiting_per_device: 1_000,
            waiting_per_domain: 200_000,
            transfers: 8,
            transfer: Duration::from_secs(60),
            copied_bytes: 10 * 1024 * 1024 * 1024,
            copied_blobs: 10_000,
            copies_begun: 256,
            idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            call_back: Duration::from_secs(1),
            steady: Duration::from_secs(60),
            reload: Duration::from_secs(10),
        }
    }
}

/// Of certificates that an ACME authority signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeLimits {
    /// From a request to the authority to the end of its answer, the connection included.
    pub exchange: Duration,
    /// Bytes of an answer of the authority.
    pub answer_bytes: usize,
    /// From the first request of an order to its certificate.
    pub order: Duration,
    /// Between two looks at an order that the authority has not finished; it doubles up to `poll_max`.
    pub poll_min: Duration,
    /// The longest of those pauses.
    pub poll_max: Duration,
    /// Connections at once to the listener on which the authority looks for its proof.
    pub visitors: usize,
    /// How long each of them lasts.
    pub visit: Duration,
    /// After an order that failed; it doubles with each, and up to half of it is added at random.
    pub pause_min: Duration,
    /// The longest of those pauses.
    pub pause_max: Duration,
    /// How often it is looked whether an order is due.
    pub look: Duration,
}

impl Default for AcmeLimits {
    fn default() -> Self {
        Self {
            exchange: Duration::from_secs(30),
            answer_bytes: 256 * 1024,
            order: Duration::from_secs(10 * 60),
            poll_min: Duration::from_secs(1),
            poll_max: Duration::from_secs(16),
            visitors: 64,
            visit: Duration::from_secs(5),
            // Five orders fail in the first hour: what public authorities allow for one name.
            pause_min: Duration::from_secs(2 * 60),
            pause_max: Duration::from_secs(6 * 60 * 60),
            look: Duration::from_secs(10),
        }
    }
}

/// So many a minute on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_minute: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// How often who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Messages of an account: more are slowed down.
    pub message: Rate,
    /// Commits and proposals of an account: more are slowed down.
    pub change: Rate,
    /// Logins begun for one name.
    pub login_account: Rate,
    /// Logins begun from one address prefix.
    pub login_prefix: Rate,
    /// Registrations begun from one address prefix.
    pub registration: Rate,
    /// Claims of key packages by one account.
    pub claim_requester: Rate,
    /// Claims of the key packages of one account.
    pub claim_target: Rate,
    /// Everything that one other domain asks for.
    pub peer_request: Rate,
    /// Accounts of one other domain that are new here, or have other devices.
    pub peer_guest: Rate,
    /// Conversations made, contacts answered, links set and groups asked to be let into by one account.
    pub contact: Rate,
    /// Pages of logs and lists read by one account.
    pub lookup: Rate,
    /// Blobs that one account begins, finishes or releases.
    pub blob: Rate,
    /// Parts and ranges of blobs of an account: more are slowed down.
    pub transfer: Rate,
    /// Ephemeral events of a device: more are dropped.
    pub ephemeral: Rate,
    /// Everything else that one account asks for.
    pub request: Rate,
    /// Keys in one store of rates; where it is full of busy ones, others wait.
    pub keys_max: usize,
    /// How often recovered keys are forgotten.
    pub clean: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            message: Rate { per_minute: 6_000, burst: 1_000 },
            change: Rate { per_minute: 300, burst: 200 },
            login_account: Rate { per_minute: 6, burst: 20 },
            login_prefix: Rate { per_minute: 600, burst: 600 },
            registration: Rate { per_minute: 60, burst: 300 },
            claim_requester: Rate { per_minute: 60, burst: 200 },
            claim_target: Rate { per_minute: 60, burst: 200 },
            peer_request: Rate { per_minute: 30_000, burst: 2_000 },
            peer_guest: Rate { per_minute: 600, burst: 1_000 },
            contact: Rate { per_minute: 30, burst: 100 },
            lookup: Rate { per_minute: 1_200, burst: 400 },
            blob: Rate { per_minute: 600, burst: 200 },
            // At 256 KiB each, 1,000 a second are more than one server's thread carries.
            transfer: Rate { per_minute: 60_000, burst: 4_000 },
            ephemeral: Rate { per_minute: 240, burst: 120 },
            request: Rate { per_minute: 600, burst: 300 },
            keys_max: 200_000,
            clean: Duration::from_secs(10),
        }
    }
}
