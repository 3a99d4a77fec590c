//! `[transport]` and `[limits]`: the part of `policy::limits` that an operator may change, under the
//! names of the configuration. Defaults are the policy's own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::Period;
use crate::{
    account::LoginLimits,
    policy::limits::{self, AdmissionLimits, SessionLimits, TransportSettings},
};

/// `[transport]`: QUIC connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transport {
    /// Connections at once, handshakes included.
    pub max_connections: usize,
    /// A connection that is silent for this long is gone.
    pub max_idle_timeout: Period,
    /// Streams an authenticated client may have open.
    pub max_concurrent_bidi_streams: u32,
    /// The protocol uses none.
    pub max_concurrent_uni_streams: u32,
    /// Bytes a client may send ahead on a stream.
    pub stream_receive_window: u32,
    /// Bytes an authenticated client may send ahead on its connection.
    pub receive_window: u32,
    /// Bytes kept for a client that does not acknowledge them.
    pub send_window: u32,
    /// How often the server pings; 0s leaves it to the clients.
    pub keep_alive_interval: Period,
    /// Look for larger packets.
    pub mtu_discovery: bool,
    /// Bytes of each of the socket's buffers.
    pub udp_buffer: usize,
    /// Packets that one connection sends with one system call, and keeps a buffer for.
    pub send_segments: usize,
    /// The same for a connection to which much is sent.
    pub bulk_segments: usize,
    /// How long a client may keep the acknowledgement of a packet.
    pub ack_delay: Period,
    /// Packets after which it acknowledges at once.
    pub ack_packets: u32,
}

impl Default for Transport {
    fn default() -> Self {
        let of = TransportSettings::default();
        Self {
            max_connections: of.max_connections,
            max_idle_timeout: Period(of.max_idle_timeout),
            max_concurrent_bidi_streams: of.max_concurrent_bidi_streams,
            max_concurrent_uni_streams: of.max_concurrent_uni_streams,
            stream_receive_window: of.stream_receive_window,
            receive_window: of.receive_window,
            send_window: of.send_window,
            keep_alive_interval: Period(of.keep_alive_interval.unwrap_or_default()),
            mtu_discovery: of.mtu_discovery,
            udp_buffer: of.udp_buffer,
            send_segments: of.send_segments,
            bulk_segments: of.bulk_segments,
            ack_delay: Period(of.ack_delay),
            ack_packets: of.ack_packets,
        }
    }
}

impl From<&Transport> for TransportSettings {
    fn from(of: &Transport) -> Self {
        Self {
            max_connections: of.max_connections,
            max_idle_timeout: of.max_idle_timeout.0,
            max_concurrent_bidi_streams: of.max_concurrent_bidi_streams,
            max_concurrent_uni_streams: of.max_concurrent_uni_streams,
            stream_receive_window: of.stream_receive_window,
            receive_window: of.receive_window,
            send_window: of.send_window,
            keep_alive_interval: Some(of.keep_alive_interval.0).filter(|interval| *interval > Duration::ZERO),
            mtu_discovery: of.mtu_discovery,
            udp_buffer: of.udp_buffer,
            send_segments: of.send_segments,
            bulk_segments: of.bulk_segments,
            ack_delay: of.ack_delay.0,
            ack_packets: of.ack_packets,
        }
    }
}

/// A rate: so many a minute on average, and so many at once. A file or variable may set one of the two
/// alone: the other comes from the rate's own default, which lies below the file, not from [`Rate::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// A minute, on average.
    pub rate: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl From<limits::Rate> for Rate {
    fn from(of: limits::Rate) -> Self {
        Self { rate: of.per_minute, burst: of.burst }
    }
}

impl From<Rate> for limits::Rate {
    fn from(of: Rate) -> Self {
        Self { per_minute: of.rate, burst: of.burst }
    }
}

macro_rules! limits {
    ($($(#[$doc:meta])* $rate:ident,)+) => {
        /// `[limits]`: how many and how often. The rates are called as in `qpc_rate_limit_hit_total`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            /// Handshakes in progress above which addresses have to be proved first.
            pub handshakes_retry: usize,
            /// Handshakes in progress above which connections are refused.
            pub handshakes_max: usize,
            /// Connections of one address prefix (/64 for IPv6) that are not authenticated.
            pub unauthenticated_per_prefix: u32,
            /// From a connection's first packet to its first request.
            pub handshake_deadline: Period,
            /// From there to being authenticated; also from a login's first message to its last.
            pub login_deadline: Period,
            /// Logins under way on the whole server.
            pub logins_max: usize,
            /// Devices of one account.
            pub devices_per_account: usize,
            /// Connections of one device at once.
            pub sessions_per_device: usize,
            /// Entries that wait for one device before it is "behind" and reads from the store.
            pub offers_per_device: usize,
            /// Accounts or prefixes that one rate remembers.
            pub rate_keys_max: usize,
            $($(#[$doc])* pub $rate: Rate,)+
        }

        impl Limits {
            /// Takes the rates of others, and leaves all else.
            pub fn take_rates(&mut self, of: &Self) {
                $(self.$rate = of.$rate;)+
            }

            fn rates(&self) -> limits::Rates {
                limits::Rates { $($rate: self.$rate.into(),)+ keys_max: self.rate_keys_max, ..limits::Rates::default() }
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                let limits::Limits { admission, session, rates, .. } = limits::Limits::default();
                Self {
                    handshakes_retry: admission.handshakes_retry,
                    handshakes_max: admission.handshakes_max,
                    unauthenticated_per_prefix: admission.unauthenticated_per_prefix,
                    handshake_deadline: Period(admission.first_request),
                    login_deadline: Period(admission.authentication),
                    logins_max: LoginLimits::default().states_max,
                    devices_per_account: LoginLimits::default().devices_per_account,
                    sessions_per_device: session.sessions_per_device,
                    offers_per_device: session.offers,
                    rate_keys_max: rates.keys_max,
                    $($rate: rates.$rate.into(),)+
                }
            }
        }
    };
}

limits! {
    /// Messages of an account: more are slowed down, not refused.
    message,
    /// Commits and proposals of an account: more are slowed down, not refused.
    change,
    /// Logins begun for one name.
    login_account,
    /// Logins begun from one address prefix.
    login_prefix,
    /// Registrations begun from one address prefix.
    registration,
    /// Key packages claimed by one account.
    claim_requester,
    /// Key packages of one account claimed.
    claim_target,
    /// Everything that the server of one other domain asks for.
    peer_request,
    /// Accounts of one other domain that are new here, or have other devices.
    peer_guest,
    /// Conversations made, contacts answered, links set and groups asked to be let into by one account.
    contact,
    /// Pages of logs and lists read by one account.
    lookup,
    /// Blobs that one account begins, finishes or releases.
    blob,
    /// Parts and ranges of attachments of one account: more are slowed down, not refused.
    transfer,
    /// Ephemeral events (typing, receipts, presence) of one device: more are dropped.
    ephemeral,
    /// Everything else one account asks for.
    request,
}

impl super::Config {
    /// The limits as the edge takes them.
    #[must_use]
    pub fn edge_limits(&self) -> limits::Limits {
        let of = &self.limits;
        limits::Limits {
            transport: (&self.transport).into(),
            admission: AdmissionLimits {
                handshakes_retry: of.handshakes_retry,
                handshakes_max: of.handshakes_max,
                unauthenticated_per_prefix: of.unauthenticated_per_prefix,
                first_request: of.handshake_deadline.0,
                authentication: of.login_deadline.0,
                ..AdmissionLimits::default()
            },
            session: SessionLimits {
                sessions_per_device: of.sessions_per_device,
                offers: of.offers_per_device,
                drain: self.server.drain.0,
                seen: Period::days(self.metrics.seen_days).0,
                ..SessionLimits::default()
            },
            rates: of.rates(),
            groups: limits::GroupLimits::default(),
            ephemerals: limits::EphemeralLimits {
                enabled: self.ephemeral.enabled,
                ..limits::EphemeralLimits::default()
            },
            blobs: limits::BlobLimits { kept: Period::days(self.retention.blobs_days).0, ..(&self.blobs).into() },
            federation: limits::FederationLimits {
                reload: self.federation.reload.0,
                copied_bytes: self.federation.copied_bytes,
                ..limits::FederationLimits::default()
            },
        }
    }

    /// The limits as the accounts take them.
    #[must_use]
    pub fn login_limits(&self) -> LoginLimits {
        LoginLimits {
            deadline: self.limits.login_deadline.0,
            states_max: self.limits.logins_max,
            devices_per_account: self.limits.devices_per_account,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_defaults_are_the_edges_own() {
        assert_eq!(Config::default().edge_limits(), limits::Limits::default());
        assert_eq!(Config::default().login_limits(), LoginLimits::default());
    }
}
