//! Login by password: two messages on one connection prove it, without the server seeing it.
//!
//! A name that nobody has takes the same path: the store gives a decoy record, which is read
//! and parsed as any other, and OPAQUE answers with bytes of the same form. What tells the
//! two apart is known to nobody but this process until the proof fails, as a wrong one would.

use opaque_ke::{CredentialFinalization, CredentialRequest, ServerLogin, ServerLoginParameters, ServerRegistration};
use qpc_proto::{transcript, v1};
use tokio::{sync::TryAcquireError, time::Instant};

use super::{
    Accounts, FieldError, LoginStage, field,
    opaque::{Bridge, Suite, credential_id},
    stage::{PendingLogin, ProvedAccount},
};
use crate::store::StoreFault;

/// Why a login did not begin. None of these depends on whether the name is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginStartError {
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// As many logins are under way as the server allows.
    #[error("too many logins are under way")]
    Busy,
    /// The stored record or the setup is damaged.
    #[error("the password's record can't be used")]
    Record,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why a login did not prove a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginFinishError {
    /// No login has begun on this connection, or it was finished already.
    #[error("no login has begun on this connection")]
    NotStarted,
    /// Unknown name, wrong password, a proof that is no proof, or too late: one answer for all.
    #[error("the login failed")]
    Failed,
    /// The password is right, and the operator keeps the account out.
    #[error("the account is suspended")]
    Suspended,
}

impl Accounts {
    /// Answers the first message of a login. Replaces a login that had begun on this connection,
    /// which counts as failed.
    ///
    /// # Errors
    /// [`LoginStartError`].
    pub async fn login_start(
        &self,
        stage: &mut LoginStage,
        request: v1::LoginStart,
    ) -> Result<v1::LoginStartAnswer, LoginStartError> {
        let began = Instant::now();
        stage.login = None;
        let name = field::account_name(&request.name)?;
        let ke1 = CredentialRequest::<Suite>::deserialize(&request.ke1).map_err(|_| FieldError::Malformed("ke1"))?;
        let permit = self.logins.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => LoginStartError::Busy,
        })?;

        let record = self.store.login_record(&name).await?;
        // Parsed for the decoy as well, and only then put aside: the same work.
        let parsed = ServerRegistration::<Suite>::deserialize(&record.password.opaque_record).ok();
        // Both are looked for, whichever it will be.
        let nobodys = self.setups.of_nobody(&name, self.clock.unix_ms());
        let of_record = self.setups.of_version(record.password.setup_version);
        let (setup, password) = match (record.account, parsed, of_record) {
            (Some(_), Some(parsed), Some(setup)) => (setup, Some(parsed)),
            (Some(_), _, _) => return Err(LoginStartError::Record),
            (None, _, _) => (nobodys, None),
        };
        let context = transcript::opaque_context(&stage.binding, &self.domain);
        let parameters = ServerLoginParameters { context: Some(&context), ..Default::default() };
        let mut rng = Bridge(&*self.rng);
        let started = ServerLogin::start(&mut rng, setup.inner(), password, ke1, &credential_id(&name), parameters)
            .map_err(|_| FieldError::Malformed("ke1"))?;

        let answer = v1::LoginStartAnswer {
            ke2: started.message.serialize().to_vec().into(),
            ksf_version: record.password.ksf_version,
        };
        let due = began.checked_add(self.limits.deadline).unwrap_or(began);
        stage.login = Some(PendingLogin::new(started.state, name, record, permit, (began, due), self.meter.clone()));
        Ok(answer)
    }

    /// Judges the proof. The login is used up whatever comes of it (invariant 7).
    ///
    /// # Errors
    /// [`LoginFinishError`].
    pub async fn login_finish(
        &self,
        stage: &mut LoginStage,
        request: v1::LoginFinish,
    ) -> Result<v1::LoginFinishAnswer, LoginFinishError> {
        let pending = stage.login.take().ok_or(LoginFinishError::NotStarted)?;
        let in_time = !pending.is_late();
        let (state, name, record, tally) = pending.into_parts();
        let context = transcript::opaque_context(&stage.binding, &self.domain);
        let parameters = ServerLoginParameters { context: Some(&context), ..Default::default() };
        let proved = CredentialFinalization::<Suite>::deserialize(&request.ke3)
            .and_then(|ke3| state.finish(ke3, parameters))
            .is_ok();
        let Some(account) = record.account.filter(|_| proved && in_time) else {
            return Err(LoginFinishError::Failed);
        };
        tally.succeed();
        // Only now: whose account is suspended is for who has its password to know.
        if record.suspended {
            return Err(LoginFinishError::Suspended);
        }
        let address = self.address(&name);
        let answer = v1::LoginFinishAnswer {
            address: address.to_string(),
            account_key: record.account_key.to_vec().into(),
            wrapped_account_secret: record.password.wrapped_account_secret,
            register_anew: record.password.setup_version != self.setups.newest().version,
        };
        stage.proved = Some(ProvedAccount {
            account,
            address,
            account_key: record.account_key,
            opaque_record: record.password.opaque_record,
            setup_version: record.password.setup_version,
        });
        Ok(answer)
    }
}
