//! The account at the authority: found by what is kept of it, or made.

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AcmeError, Settings, https::Https};
use crate::policy::limits::AcmeLimits;

/// What is kept of an account: its name at the authority, and the key by which it is this server's. For a file.
pub struct KeptAccount(Zeroizing<String>);

impl KeptAccount {
    /// As it was kept.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// To be kept.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The authority by which the account was made: another one knows nothing of it.
    authority: String,
    credentials: AccountCredentials,
}

/// Enters the account that is kept, or makes one where there is none of this authority. One that was made is returned to be
/// kept before it is used: the authority counts how many are made.
///
/// # Errors
/// [`AcmeError`].
pub async fn enter(
    settings: &Settings,
    kept: Option<&KeptAccount>,
    limits: &AcmeLimits,
) -> Result<(Account, Option<KeptAccount>), AcmeError> {
    let http = Box::new(Https::new(&settings.roots, limits)?);
    let builder = Account::builder_with_http(http);
    // One that can't be read is as good as none.
    let kept = kept.and_then(|kept| serde_json::from_str::<Kept>(kept.expose()).ok());
    if let Some(Kept { credentials, .. }) = kept.filter(|kept| kept.authority == settings.directory) {
        return Ok((builder.from_credentials(credentials).await?, None));
    }
    let contact = settings.contact.as_ref().map(|mail| format!("mailto:{mail}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    // The configuration says so, or the server does not start.
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let binding = settings.binding.as_ref().map(|of| ExternalAccountKey::new(of.id.clone(), &of.key));
    let (account, credentials) = builder.create(&new, settings.directory.clone(), binding.as_ref()).await?;
    let kept = Kept { authority: settings.directory.clone(), credentials };
    let text = serde_json::to_string(&kept).map_err(|_| AcmeError::Internal("an account can't be written"))?;
    Ok((account, Some(KeptAccount(Zeroizing::new(text)))))
}
