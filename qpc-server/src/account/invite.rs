//! What the operator hands out: invites, and the reset of a forgotten password.

use std::time::Duration;

use qpc_proto::address::AccountName;

use super::{Accounts, Token};
use crate::store::{AccountReset, NewInvite, ResetAccountError, StoreFault};

/// How long the token of a reset lets its owner register again.
const RESET_TOKEN_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Accounts {
    /// Makes an invite for `uses` registrations; `life` of `None` never ends.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn create_invite(&self, uses: u32, life: Option<Duration>) -> Result<Token, StoreFault> {
        let token = Token::random(&*self.rng);
        let expires_ms = life.map(|life| self.ms_from_now(life));
        self.store.create_invite(NewInvite { token: token.hash(), uses, expires_ms }).await?;
        Ok(token)
    }

    /// Whether an invite would still let somebody in.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn invite_is_valid(&self, token: &str) -> Result<bool, StoreFault> {
        let Some(token) = Token::parse(token.to_owned()) else { return Ok(false) };
        use crate::store::InviteError::{Fault, Invalid};
        // Any name would do: only a reset token is bound to one.
        match self.store.check_invite(token.hash(), &self.somebody, self.clock.unix_ms()).await {
            Ok(()) => Ok(true),
            Err(Invalid) => Ok(false),
            Err(Fault(fault)) => Err(fault),
        }
    }

    /// Ends the devices and memberships of an account whose owner has forgotten the password, and
    /// makes the one token that can register the name again, within seven days.
    ///
    /// # Errors
    /// [`ResetAccountError`].
    pub async fn reset_account(&self, name: AccountName) -> Result<Token, ResetAccountError> {
        let token = Token::random(&*self.rng);
        let reset = AccountReset {
            name,
            token: token.hash(),
            expires_ms: self.ms_from_now(RESET_TOKEN_LIFE),
            now_ms: self.clock.unix_ms(),
        };
        self.store.reset_account(reset).await?;
        Ok(token)
    }

    fn ms_from_now(&self, life: Duration) -> u64 {
        self.clock.unix_ms().saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
    }
}
