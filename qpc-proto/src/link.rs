//! Links by which people come into a group: what a link carries, what whoever has it signs, and the text that is handed on.
//!
//! A link is an Ed25519 key. Its secret is in its text alone; the server and the group's members know the public half. So
//! nobody who was not given the link can ask by it, and a server that has none can't make up a request.

use std::fmt::{self, Write as _};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use prost::Message;
use zeroize::Zeroizing;

use crate::{
    address::{Address, Domain},
    id::{ConversationName, DeviceId},
    transcript, v1,
};

/// What a link's text begins with.
const SCHEME: &str = "qpc://";
/// Between its domain and the conversation's id.
const PATH: &str = "/join/";

/// A link's public key, which names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// Reads the 32 bytes of the wire; `None` where they are no Ed25519 public key.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).map(|_| Self(bytes))
    }

    /// The 32 bytes of the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes as a protobuf field wants them.
    #[must_use]
    pub fn to_bytes(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

/// A link as it is handed on: whoever has it may ask to be let into the conversation. The secret is overwritten when it
/// is dropped, and printed by [`InviteLink::text`] alone.
pub struct InviteLink {
    conversation: ConversationName,
    secret: SigningKey,
}

/// A text that is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no link into a group: one is {SCHEME}DOMAIN{PATH}ID#SECRET, in one piece")]
pub struct NotALink;

impl InviteLink {
    /// A link into a conversation, of 32 random bytes.
    #[must_use]
    pub fn new(conversation: ConversationName, seed: &[u8; 32]) -> Self {
        Self { conversation, secret: SigningKey::from_bytes(seed) }
    }

    /// Reads a link's text, with blanks around it or none.
    ///
    /// # Errors
    /// [`NotALink`].
    pub fn parse(text: &str) -> Result<Self, NotALink> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(NotALink)?;
        let (domain, rest) = rest.split_once(PATH).ok_or(NotALink)?;
        let (id, secret) = rest.split_once('#').ok_or(NotALink)?;
        let domain = Domain::parse(domain).map_err(|_| NotALink)?;
        let id = id.parse().map_err(|_| NotALink)?;
        Ok(Self { conversation: ConversationName { domain, id }, secret: secret_of(secret).ok_or(NotALink)? })
    }

    /// The text to hand on: a secret.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let begin = format!("{SCHEME}{}{PATH}{}#", self.conversation.domain, self.conversation.id);
        // As long as it becomes, so that no part of the secret stays behind where it grows.
        let mut text = Zeroizing::new(String::with_capacity(begin.len().saturating_add(64)));
        text.push_str(&begin);
        for byte in self.secret.as_bytes() {
            // A string takes whatever is written.
            write!(text, "{byte:02x}").ok();
        }
        text
    }

    /// Into what it leads.
    #[must_use]
    pub fn conversation(&self) -> &ConversationName {
        &self.conversation
    }

    /// The public half.
    #[must_use]
    pub fn key(&self) -> LinkKey {
        LinkKey(self.secret.verifying_key().to_bytes())
    }

    /// Asks to be let in, at a time in milliseconds since 1970.
    #[must_use]
    pub fn ask(&self, asker: &Asker<'_>, asked_ms: u64) -> v1::JoinRequest {
        let key = self.key();
        let signed = transcript::join_request(&self.conversation, &key, asker, asked_ms);
        v1::JoinRequest {
            conversation: Some(self.conversation.to_wire()),
            link_key: key.to_bytes(),
            address: asker.address.to_string(),
            account_key: bytes::Bytes::copy_from_slice(asker.account_key),
            device_id: asker.device.to_bytes(),
            asked_ms,
            signature: bytes::Bytes::copy_from_slice(&self.secret.sign(&signed).to_bytes()),
        }
    }
}

/// 64 hex digits of either case.
fn secret_of(text: &str) -> Option<SigningKey> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut seed = Zeroizing::new([0; 32]);
    if pairs.len() != seed.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in seed.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(SigningKey::from_bytes(&seed))
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The account.
    pub address: &'a Address,
    /// Its identity key: nobody else's is let in under its name.
    pub account_key: &'a [u8; 32],
    /// The device at which its owner is.
    pub device: DeviceId,
}

/// A request that nobody with the link has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRequestError {
    /// A field is not what the protocol says.
    #[error("the request to join is malformed")]
    Form,
    /// The link's key did not sign it.
    #[error("the request to join is not signed by its link")]
    Signature,
}

/// A request whose signature has been verified; there is no other way to get one. Whether the link counts is for the
/// caller to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    conversation: ConversationName,
    link: LinkKey,
    address: Address,
    account_key: [u8; 32],
    device: DeviceId,
    asked_ms: u64,
    signature: [u8; 64],
}

impl JoinRequest {
    /// Verifies a request.
    ///
    /// # Errors
    /// [`JoinRequestError`].
    pub fn verify(wire: &v1::JoinRequest) -> Result<Self, JoinRequestError> {
        let form = JoinRequestError::Form;
        let conversation = ConversationName::parse(wire.conversation.as_ref()).map_err(|_| form)?;
        let link = LinkKey::parse(&wire.link_key).ok_or(form)?;
        let address = Address::parse(&wire.address).ok().filter(|address| address.to_string() == wire.address);
        let address = address.ok_or(form)?;
        let account_key: [u8; 32] = wire.account_key.as_ref().try_into().map_err(|_| form)?;
        let device = DeviceId::parse(&wire.device_id).map_err(|_| form)?;
        let signature: [u8; 64] = wire.signature.as_ref().try_into().map_err(|_| form)?;
        let asker = Asker { address: &address, account_key: &account_key, device };
        let signed = transcript::join_request(&conversation, &link, &asker, wire.asked_ms);
        VerifyingKey::from_bytes(link.as_bytes())
            .map_err(|_| form)?
            .verify_strict(&signed, &Signature::from_bytes(&signature))
            .map_err(|_| JoinRequestError::Signature)?;
        Ok(Self { conversation, link, address, account_key, device, asked_ms: wire.asked_ms, signature })
    }

    /// Verifies an encoded one: what the server keeps, and what a commit carries that answers it.
    ///
    /// # Errors
    /// [`JoinRequestError`].
    pub fn verify_encoded(bytes: &[u8]) -> Result<Self, JoinRequestError> {
        Self::verify(&v1::JoinRequest::decode(bytes).map_err(|_| JoinRequestError::Form)?)
    }

    /// Its encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        v1::JoinRequest {
            conversation: Some(self.conversation.to_wire()),
            link_key: self.link.to_bytes(),
            address: self.address.to_string(),
            account_key: bytes::Bytes::copy_from_slice(&self.account_key),
            device_id: self.device.to_bytes(),
            asked_ms: self.asked_ms,
            signature: bytes::Bytes::copy_from_slice(&self.signature),
        }
        .encode_to_vec()
    }

    /// Into what.
    #[must_use]
    pub fn conversation(&self) -> &ConversationName {
        &self.conversation
    }

    /// By which link.
    #[must_use]
    pub fn link(&self) -> LinkKey {
        self.link
    }

    /// Who.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// With which account key.
    #[must_use]
    pub fn account_key(&self) -> &[u8; 32] {
        &self.account_key
    }

    /// At which device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// When, by the asker's clock.
    #[must_use]
    pub fn asked_ms(&self) -> u64 {
        self.asked_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConversationId;

    fn name() -> ConversationName {
        ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(5, [1; 10]) }
    }

    fn asked() -> v1::JoinRequest {
        let bob = Address::parse("bob@chat.example").unwrap();
        let asker = Asker { address: &bob, account_key: &[7; 32], device: DeviceId::new(1, [3; 10]) };
        InviteLink::new(name(), &[9; 32]).ask(&asker, 77)
    }

    #[test]
    fn a_link_reads_back_and_leads_where_it_did() {
        let link = InviteLink::new(name(), &[0xab; 32]);
        let text = link.text().to_string();
        assert_eq!(text, format!("qpc://chat.example/join/{}#{}", name().id, "ab".repeat(32)));
        for text in [text.clone(), format!("  {text}\n"), text.replace(&"ab".repeat(32), &"AB".repeat(32))] {
            let read = InviteLink::parse(&text).unwrap();
            assert!(read.conversation() == &name() && read.key() == link.key());
        }
    }

    #[test]
    fn what_is_no_link_is_refused() {
        let text = InviteLink::new(name(), &[0xab; 32]).text().to_string();
        for wrong in [
            "",
            "qpc://chat.example",
            text.strip_prefix('q').unwrap(),
            text.strip_suffix('b').unwrap(),
            &format!("{text}0"),
            &text.replace("ab", "zz"),
            &text.replace("chat.example", "chat example"),
            &text.replace("qpc", "https"),
            &text.replace('#', "?"),
        ] {
            assert!(InviteLink::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_what_whoever_has_the_link_has_signed() {
        let request = JoinRequest::verify(&asked()).unwrap();
        assert_eq!(request.address().to_string(), "bob@chat.example");
        assert_eq!(JoinRequest::verify_encoded(&request.encode()).as_ref(), Ok(&request));
        assert_eq!(request.encode(), asked().encode_to_vec());
    }

    #[test]
    fn nothing_in_a_request_can_be_another_than_was_signed() {
        let signature = Err(JoinRequestError::Signature);
        let mut other = asked();
        other.address = "carol@chat.example".into();
        assert_eq!(JoinRequest::verify(&other), signature);
        other = asked();
        other.account_key = vec![8; 32].into();
        assert_eq!(JoinRequest::verify(&other), signature);
        other = asked();
        other.device_id = DeviceId::new(2, [3; 10]).to_bytes();
        assert_eq!(JoinRequest::verify(&other), signature);
        other = asked();
        other.asked_ms = 78;
        assert_eq!(JoinRequest::verify(&other), signature);
        other = asked();
        other.conversation = Some(ConversationName { id: ConversationId::new(6, [1; 10]), ..name() }.to_wire());
        assert_eq!(JoinRequest::verify(&other), signature);
        other = asked();
        other.link_key = InviteLink::new(name(), &[8; 32]).key().to_bytes();
        assert_eq!(JoinRequest::verify(&other), signature);
        let form = Err(JoinRequestError::Form);
        other = asked();
        other.address = "Bob@chat.example".into();
        assert_eq!(JoinRequest::verify(&other), form);
        other = asked();
        other.link_key = vec![0; 32].into();
        assert_eq!(JoinRequest::verify(&other), form, "a key under which anything is signed");
        assert_eq!(JoinRequest::verify_encoded(b"noise"), form);
    }
}
