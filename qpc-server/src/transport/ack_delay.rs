//! How long clients may gather acknowledgements of packets.
//!
//! A message to somebody who says nothing costs two packets where QUIC's default of 25 ms holds, the second being its
//! acknowledgement. The acknowledgement frequency extension (draft-ietf-quic-ack-frequency) lets the server ask for
//! fewer and later ones; a client without it is not asked. What is lost is noticed later by that time, unless packets
//! behind it arrive, which are acknowledged at once. The same time keeps a busy server from taking late
//! acknowledgements for lost packets, and from adding to its load by sending them again.
//!
//! quinn asks for no more than a round trip or 25 ms, but never for less than what the client's transport parameters
//! give as its least. So that least is raised here, between TLS and quinn, where the client has offered the extension.

use std::{any::Any, sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, ConnectionId, Side, VarInt,
    crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session, UnsupportedVersion},
};
use quinn_proto::{
    TransportError,
    coding::{Codec, UnexpectedEnd},
    transport_parameters::TransportParameters,
};

/// `max_ack_delay` of RFC 9000, section 18.2, in milliseconds.
const MAX_ACK_DELAY: u64 = 0x0b;
/// `min_ack_delay` of draft-ietf-quic-ack-frequency-07, in microseconds.
const MIN_ACK_DELAY: u64 = 0xff04_de1b;
/// QUIC allows less than this, in milliseconds.
const DELAY_MAX_MS: u64 = (1 << 14) - 1;

/// What clients are asked for: an acknowledgement after so many packets, or after this time.
pub(super) fn asked(packets: u32, delay: Duration) -> AckFrequencyConfig {
    let mut asked = AckFrequencyConfig::default();
    // The draft counts the packets that go without one.
    asked.ack_eliciting_threshold(VarInt::from_u32(packets.saturating_sub(1))).max_ack_delay(Some(delay));
    asked
}

/// TLS whose clients seem unable to acknowledge sooner than after this time.
pub(super) struct Patient<C> {
    pub(super) inner: Arc<C>,
    pub(super) delay: Duration,
}

impl<C: crypto::ServerConfig + 'static> crypto::ServerConfig for Patient<C> {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.inner.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        Box::new(PatientSession { inner: Arc::clone(&self.inner).start_session(version, params), delay: self.delay })
    }
}

struct PatientSession {
    inner: Box<dyn Session>,
    delay: Duration,
}

impl Session for PatientSession {
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.inner.transport_parameters()?.map(|offered| raised(&offered, self.delay).unwrap_or(offered)))
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

/// The parameters with their least acknowledgement delay raised to this one; `None` where the client has not offered
/// the extension or waits for as long by itself.
fn raised(offered: &TransportParameters, delay: Duration) -> Option<TransportParameters> {
    let mut bytes = Vec::new();
    offered.write(&mut bytes);
    let asked_us = u64::try_from(delay.as_micros()).ok()?;
    let asked_ms = u64::try_from(delay.as_millis()).ok()?.saturating_add(1).min(DELAY_MAX_MS);
    let (mut kept, mut least_us, mut most_ms) = (Vec::with_capacity(bytes.len()), None, 0);
    each_parameter(&bytes, |id, whole, mut value| {
        match id {
            MIN_ACK_DELAY => least_us = Some(VarInt::decode(&mut value)?.into_inner()),
            MAX_ACK_DELAY => most_ms = VarInt::decode(&mut value)?.into_inner(),
            _ => kept.extend_from_slice(whole),
        }
        Ok(())
    })
    .ok()?;
    if least_us? >= asked_us {
        return None;
    }
    for (id, value) in [(MIN_ACK_DELAY, asked_us), (MAX_ACK_DELAY, most_ms.max(asked_ms))] {
        let mut encoded = Vec::with_capacity(8);
        VarInt::from_u64(value).ok()?.encode(&mut encoded);
        VarInt::from_u64(id).ok()?.encode(&mut kept);
        VarInt::try_from(encoded.len()).ok()?.encode(&mut kept);
        kept.extend_from_slice(&encoded);
    }
    // The server's parameters may say more than a client's, so what is read as theirs is a client's as well.
    TransportParameters::read(Side::Server, &mut kept.as_slice()).ok()
}

/// Gives each parameter's id, all its bytes, and its value.
fn each_parameter(
    mut bytes: &[u8],
    mut take: impl FnMut(u64, &[u8], &[u8]) -> Result<(), UnexpectedEnd>,
) -> Result<(), UnexpectedEnd> {
    while !bytes.is_empty() {
        let start = bytes;
        let id = VarInt::decode(&mut bytes)?.into_inner();
        let length = usize::try_from(VarInt::decode(&mut bytes)?.into_inner()).map_err(|_| UnexpectedEnd)?;
        let (value, rest) = bytes.split_at_checked(length).ok_or(UnexpectedEnd)?;
        let whole = start.get(..start.len().saturating_sub(rest.len())).ok_or(UnexpectedEnd)?;
        take(id, whole, value)?;
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INITIAL_MAX_DATA: u64 = 0x04;

    fn written(parameters: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, value) in parameters {
            let mut encoded = Vec::new();
            VarInt::from_u64(*value).unwrap().encode(&mut encoded);
            VarInt::from_u64(*id).unwrap().encode(&mut bytes);
            VarInt::try_from(encoded.len()).unwrap().encode(&mut bytes);
            bytes.extend(encoded);
        }
        bytes
    }

    fn offered(parameters: &[(u64, u64)]) -> TransportParameters {
        TransportParameters::read(Side::Server, &mut written(parameters).as_slice()).unwrap()
    }

    fn values(parameters: &TransportParameters) -> Vec<(u64, u64)> {
        let (mut bytes, mut found) = (Vec::new(), Vec::new());
        parameters.write(&mut bytes);
        each_parameter(&bytes, |id, _, mut value| {
            found.push((id, VarInt::decode(&mut value)?.into_inner()));
            Ok(())
        })
        .unwrap();
        found.sort_unstable();
        found
    }

    const DELAY: Duration = Duration::from_millis(200);

    #[test]
    fn the_least_delay_is_raised_and_all_else_stays() {
        let before = offered(&[(INITIAL_MAX_DATA, 70_000), (MIN_ACK_DELAY, 1_000)]);
        let after = raised(&before, DELAY).unwrap();
        assert_eq!(values(&after), [(INITIAL_MAX_DATA, 70_000), (MAX_ACK_DELAY, 201), (MIN_ACK_DELAY, 200_000)]);
    }

    #[test]
    fn who_offers_nothing_or_waits_longer_is_left_alone() {
        assert!(raised(&offered(&[(INITIAL_MAX_DATA, 70_000)]), DELAY).is_none());
        assert!(raised(&offered(&[(MAX_ACK_DELAY, 300), (MIN_ACK_DELAY, 200_000)]), DELAY).is_none());
        assert!(raised(&offered(&[(MAX_ACK_DELAY, 300), (MIN_ACK_DELAY, 199_999)]), DELAY).is_some());
    }

    proptest! {
        #[test]
        fn what_is_raised_is_as_asked_and_valid(least in 0u64..1_000_000, most in 1_000u64..16_384, delay in 1u64..1_000) {
            let before = offered(&[(MAX_ACK_DELAY, most), (MIN_ACK_DELAY, least)]);
            let after = raised(&before, Duration::from_millis(delay)).unwrap_or(before);
            let found = values(&after);
            let of = |id| found.iter().find(|(found, _)| *found == id).map(|(_, value)| *value);
            prop_assert_eq!(of(MIN_ACK_DELAY), Some(least.max(delay * 1_000)));
            prop_assert_eq!(of(MAX_ACK_DELAY), Some(most.max(delay + 1)).filter(|_| least < delay * 1_000).or(Some(most)));
        }
    }
}
