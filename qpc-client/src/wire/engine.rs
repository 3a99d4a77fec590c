//! End-to-end encryption without a home: the client's own MLS code on a store in memory, for tools that
//! measure and test with real messages.
//!
//! Every account key is believed, and nothing outlives the process.

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    credential::VerifiedDevice,
    id::{ConversationName, DeviceId, MessageId},
    role::RoleTable,
    suite::Suite,
    v1,
};
use rusqlite::Connection;

use super::Device;
use crate::mls::{self, Invitee, Mls, Processed, Trust, Verdict};

/// An engine that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("MLS: {0}")]
pub struct EngineError(String);

impl EngineError {
    fn from_any(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What the others join a group by.
#[derive(Clone)]
pub struct Welcomed {
    welcome: Vec<u8>,
    /// Where the welcome carries none.
    tree: Option<Vec<u8>>,
}

/// Believes every account.
struct Anybody;

impl Trust for Anybody {
    fn judge(&self, _device: &VerifiedDevice) -> Verdict {
        Verdict::Trusted
    }
}

/// A key package, and whose it is.
pub struct Invited {
    address: Address,
    device: DeviceId,
    key_package: Vec<u8>,
}

impl Invited {
    /// As a server hands it out.
    #[must_use]
    pub fn key_package(&self) -> Bytes {
        Bytes::copy_from_slice(&self.key_package)
    }
}

/// A group that was made, as a server is shown it.
pub struct Founded {
    /// Of epoch 0, with the tree.
    pub group_info: Bytes,
    /// What adds the others, where there are some.
    pub commit: Option<v1::CommitBundle>,
}

fn invitees(others: &[Invited]) -> Vec<Invitee<'_>> {
    let invitees = others.iter().map(|other| Invitee {
        address: &other.address,
        device: other.device,
        key_package: &other.key_package,
    });
    invitees.collect()
}

/// The groups of one device.
pub struct Engine {
    store: Connection,
    device: mls::Device,
}

impl Engine {
    /// An engine without groups.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(device: &Device) -> Result<Self, EngineError> {
        let store = Connection::open_in_memory().map_err(EngineError::from_any)?;
        store.execute_batch(mls::SCHEMA).map_err(EngineError::from_any)?;
        Ok(Self { store, device: device.mls().map_err(EngineError::from_any)? })
    }

    /// A key package, with which another engine adds this one to a group of the suite.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn invited(&mut self, suite: Suite) -> Result<Invited, EngineError> {
        let made = self.with(|mls| mls.make_key_packages(suite, 1, false).map_err(EngineError::from_any))?;
        let key_package = made.one_time.into_iter().next().ok_or_else(|| EngineError("no key package".into()))?;
        let verified = self.device.verified();
        Ok(Invited { address: verified.address().clone(), device: verified.device(), key_package })
    }

    /// Makes the classical group of a conversation, with others in it. Gives the welcome that lets them join.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn create(&mut self, conversation: &ConversationName, others: &[Invited]) -> Result<Welcomed, EngineError> {
        let founded = self.found(conversation, Suite::Classical, others)?;
        let commit = founded.commit.ok_or_else(|| EngineError("a group of one".into()))?;
        let tree = if mls::has_tree(&commit.group_info) {
            None
        } else {
            Some(self.with(|mls| mls.group(conversation).ratchet_tree().map_err(EngineError::from_any))?)
        };
        Ok(Welcomed { welcome: commit.welcome.to_vec(), tree })
    }

    /// Makes the group of a conversation, with others in it, and gives what a server is shown.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn found(
        &mut self,
        conversation: &ConversationName,
        suite: Suite,
        others: &[Invited],
    ) -> Result<Founded, EngineError> {
        let roles = RoleTable::owned_by(self.device.verified().address().clone());
        self.with(|mls| {
            let made = mls
                .create_group(conversation, suite, &roles, None, &invitees(others))
                .map_err(EngineError::from_any)?;
            if made.staged.is_some() {
                mls.group(conversation).merge_pending().map_err(EngineError::from_any)?;
            }
            let commit = made.staged.map(|staged| staged.to_wire());
            Ok(Founded { group_info: made.group_info.into(), commit })
        })
    }

    /// Makes a commit that adds others, or renews this device's keys where there are none, and applies it: a server
    /// that is shown it must take it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn commit(
        &mut self,
        conversation: &ConversationName,
        others: &[Invited],
    ) -> Result<v1::CommitBundle, EngineError> {
        self.with(|mls| {
            let mut group = mls.group(conversation);
            let staged = if others.is_empty() { group.update() } else { group.add(&invitees(others)) };
            let staged = staged.map_err(EngineError::from_any)?;
            group.merge_pending().map_err(EngineError::from_any)?;
            Ok(staged.to_wire())
        })
    }

    /// Makes a commit that removes somebody with all devices, and applies it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn remove(
        &mut self,
        conversation: &ConversationName,
        account: &Address,
    ) -> Result<v1::CommitBundle, EngineError> {
        self.with(|mls| {
            let mut group = mls.group(conversation);
            let staged = group.remove(std::slice::from_ref(account)).map_err(EngineError::from_any)?;
            group.merge_pending().map_err(EngineError::from_any)?;
            Ok(staged.to_wire())
        })
    }

    /// The epoch that a group is in.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn epoch(&mut self, conversation: &ConversationName) -> Result<u64, EngineError> {
        self.with(|mls| mls.group(conversation).epoch().map(|epoch| epoch.0).map_err(EngineError::from_any))
    }

    /// Joins by what the group's maker gave.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn join(&mut self, conversation: &ConversationName, given: &Welcomed) -> Result<(), EngineError> {
        self.join_with(conversation, &given.welcome, given.tree.as_deref())
    }

    /// Joins by the welcome and the tree that came beside it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn join_with(
        &mut self,
        conversation: &ConversationName,
        welcome: &[u8],
        tree: Option<&[u8]>,
    ) -> Result<(), EngineError> {
        self.with(|mls| mls.join(conversation, welcome, tree).map(drop).map_err(EngineError::from_any))
    }

    /// Encrypts a message.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn encrypt(
        &mut self,
        conversation: &ConversationName,
        id: MessageId,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, EngineError> {
        self.with(|mls| {
            mls.group(conversation)
                .encrypt(id, plaintext)
                .map(|encrypted| encrypted.bytes)
                .map_err(EngineError::from_any)
        })
    }

    /// Decrypts a message of another: who encrypted it, under which id, and what it says.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn decrypt(
        &mut self,
        conversation: &ConversationName,
        body: &[u8],
    ) -> Result<(DeviceId, MessageId, Vec<u8>), EngineError> {
        let processed =
            self.with(|mls| mls.group(conversation).process(EntryKind::Message, body).map_err(EngineError::from_any))?;
        match processed {
            Processed::Message { sender, id, plaintext } => Ok((sender.device(), id, plaintext.to_vec())),
            _ => Err(EngineError("not another's message".into())),
        }
    }

    /// One transaction.
    fn with<T>(&mut self, operation: impl FnOnce(&Mls<'_>) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let transaction = self.store.transaction().map_err(EngineError::from_any)?;
        let result = operation(&Mls::new(&transaction, &self.device, &Anybody))?;
        transaction.commit().map_err(EngineError::from_any)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::ConversationId;

    use super::*;
    use crate::identity::{AccountSecret, Identity};

    fn engine(name: &str) -> (Engine, DeviceId) {
        let address = Address::parse(&format!("{name}@chat.example")).unwrap();
        let secret = AccountSecret::generate().unwrap();
        let device = Device::of(Identity::certified(&secret, address, "chat.example:7000".into()).unwrap());
        (Engine::new(&device).unwrap(), device.id())
    }

    #[test]
    fn what_one_encrypts_the_others_read_and_an_altered_body_nobody() {
        let ((mut alice, id), (mut bob, _), (mut carol, _)) = (engine("alice"), engine("bob"), engine("carol"));
        let domain = "chat.example".parse().unwrap();
        let name = ConversationName { domain, id: ConversationId::new(3, [1; 10]) };
        let invited = [bob.invited(Suite::Classical).unwrap(), carol.invited(Suite::Classical).unwrap()];
        let welcome = alice.create(&name, &invited).unwrap();
        bob.join(&name, &welcome).unwrap();
        carol.join(&name, &welcome).unwrap();
        let message = MessageId::new(7, [2; 10]);
        let body = alice.encrypt(&name, message, b"hello").unwrap();
        assert_eq!(bob.decrypt(&name, &body).unwrap(), (id, message, b"hello".to_vec()));
        let mut altered = body.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(carol.decrypt(&name, &altered).is_err());
        assert_eq!(carol.decrypt(&name, &body).unwrap().2, b"hello");
    }

    #[test]
    fn a_group_whose_tree_is_too_long_for_its_welcomes_is_joined_by_it_beside_them() {
        let (mut owner, _) = engine("owner");
        let mut others: Vec<_> = (0..30).map(|number| engine(&format!("member{number}")).0).collect();
        let name = ConversationName { domain: "chat.example".parse().unwrap(), id: ConversationId::new(3, [1; 10]) };
        let invited: Vec<_> = others.iter_mut().map(|other| other.invited(Suite::Classical).unwrap()).collect();
        let given = owner.create(&name, &invited).unwrap();
        assert!(given.tree.is_some());
        let last = others.last_mut().unwrap();
        last.join(&name, &given).unwrap();
        assert_eq!(last.epoch(&name).unwrap(), owner.epoch(&name).unwrap());
    }
}
