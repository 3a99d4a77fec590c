//! Changing the password, and deleting the account. Both need the password proved on the same
//! connection as the session, so that a stolen, unlocked device can do neither.

use opaque_ke::RegistrationRequest;
use qpc_proto::v1;

use super::{Accounts, FieldError, LoginStage, opaque::Suite, registration::password_record};
use crate::store::{Actor, ChangePasswordError, Refusal};

/// Why a password change did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangePasswordStartError {
    /// The old password was not proved on this connection.
    #[error("the password was not proved on this connection")]
    NotProved,
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// Why a password was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangePasswordFinishError {
    /// No change has begun on this connection, or the OPAQUE setup has changed since it did.
    #[error("no password change has begun on this connection")]
    NotStarted,
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The password that was proved here is not the account's any more, or the store refused.
    #[error(transparent)]
    Store(#[from] ChangePasswordError),
}

/// Why an account was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// The password was not proved on this connection.
    #[error("the password was not proved on this connection")]
    NotProved,
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Accounts {
    /// Answers the OPAQUE request of a new registration for the actor's account.
    ///
    /// # Errors
    /// [`ChangePasswordStartError`].
    pub async fn change_password_start(
        &self,
        actor: &Actor,
        stage: &mut LoginStage,
        request: v1::ChangePasswordStart,
    ) -> Result<v1::ChangePasswordStartAnswer, ChangePasswordStartError> {
        stage.password_change = None;
        stage.proved(actor.account()).ok_or(ChangePasswordStartError::NotProved)?;
        let blinded = RegistrationRequest::<Suite>::deserialize(&request.registration_request)
            .map_err(|_| FieldError::Malformed("registration_request"))?;
        let setup = self.setups.newest();
        let answer = setup
            .evaluate(&actor.address().name, blinded)
            .map_err(|_| FieldError::Malformed("registration_request"))?;
        stage.password_change = Some(setup.version);
        Ok(v1::ChangePasswordStartAnswer { registration_response: answer.into() })
    }

    /// Replaces the password's record and the wrapped account secret together. The proof of the old
    /// password is used up. It counts only as long as that is the account's: who registers the same password anew must
    /// not undo a change that somebody made meanwhile.
    ///
    /// # Errors
    /// [`ChangePasswordFinishError`].
    pub async fn change_password_finish(
        &self,
        actor: &Actor,
        stage: &mut LoginStage,
        request: v1::ChangePasswordFinish,
    ) -> Result<v1::ChangePasswordFinishAnswer, ChangePasswordFinishError> {
        let version = stage.password_change.take().ok_or(ChangePasswordFinishError::NotStarted)?;
        let proved = stage.proved(actor.account()).ok_or(ChangePasswordFinishError::NotStarted)?;
        let (was, older) = (proved.opaque_record.clone(), proved.setup_version != version);
        let stretched = (request.wrapped_account_secret, request.ksf_version);
        let password = password_record(&request.registration_record, version, stretched)?;
        let changed = self.setups.while_newest(version, || self.store.change_password(actor, was, password));
        changed.ok_or(ChangePasswordFinishError::NotStarted)?.await?;
        stage.proved = None;
        if older {
            self.meter.renewed.inc();
        }
        Ok(v1::ChangePasswordFinishAnswer {})
    }

    /// Deletes the actor's account.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_account(
        &self,
        actor: &Actor,
        stage: &mut LoginStage,
    ) -> Result<v1::DeleteAccountAnswer, DeleteError> {
        stage.proved(actor.account()).ok_or(DeleteError::NotProved)?;
        self.store.delete_account(actor, self.clock.unix_ms()).await?;
        stage.proved = None;
        Ok(v1::DeleteAccountAnswer {})
    }
}
