//! Changing the password, and deleting the account. Both need the password proved on the same
//! connection as the session, so that a stolen, unlocked device can do neither.

use opaque_ke::RegistrationRequest;
use qpc_proto::v1;

use super::{Accounts, FieldError, LoginStage, opaque::Suite};
use crate::store::{Actor, Refusal};

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
    /// No change has begun on this connection.
    #[error("no password change has begun on this connection")]
    NotStarted,
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
        stage.password_change = false;
        stage.proved(actor.account()).ok_or(ChangePasswordStartError::NotProved)?;
        let blinded = RegistrationRequest::<Suite>::deserialize(&request.registration_request)
            .map_err(|_| FieldError::Malformed("registration_request"))?;
        let answer = self
            .setup
            .evaluate(&actor.address().name, blinded)
            .map_err(|_| FieldError::Malformed("registration_request"))?;
        stage.password_change = true;
        Ok(v1::ChangePasswordStartAnswer { registration_response: answer.into() })
    }

    /// Replaces the password's record and the wrapped account secret together. The proof of the old
    /// password is used up.
    ///
    /// # Errors
    /// [`ChangePasswordFinishError`].
    pub async fn change_password_finish(
        &self,
        actor: &Actor,
        stage: &mut LoginStage,
        request: v1::ChangePasswordFinish,
    ) -> Result<v1::ChangePasswordFinishAnswer, ChangePasswordFinishError> {
        if !std::mem::take(&mut stage.password_change) || stage.proved(actor.account()).is_none() {
            return Err(ChangePasswordFinishError::NotStarted);
        }
        let password =
            self.password_record(&request.registration_record, request.wrapped_account_secret, request.ksf_version)?;
        self.store.change_password(actor, password).await?;
        stage.proved = None;
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
