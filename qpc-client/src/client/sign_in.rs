//! Making a home: registration of a new account, or login as a new device of one.

use qpc_proto::{error::CloseCode, id::ConversationName};
use tokio::time::timeout;

use super::{Client, OpenError, off_runtime, read_home, transport};
use crate::{
    Home, Options,
    api::{CommandError, Password},
    auth,
    home::LockedHome,
    identity::Identity,
    store::{
        Store, StoreError,
        conversation::{self, Kind, New, State},
        identity,
    },
};

/// What a registration needs.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The name without the domain.
    pub name: String,
    /// The password to be.
    pub password: Password,
    /// What lets in, unless the server is open.
    pub token: Option<String>,
    /// What to call this device; at most 64 bytes.
    pub device_name: String,
}

/// What a login needs.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name, with or without the domain.
    pub name: String,
    /// The password.
    pub password: Password,
    /// What to call this device; at most 64 bytes.
    pub device_name: String,
}

/// Why registration or login failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The home.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody lives here already.
    #[error("this home belongs to {0}")]
    Occupied(String),
    /// As a command fails.
    #[error(transparent)]
    Refused(#[from] CommandError),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl Client {
    /// Makes an account, with this home as its first device, and opens it.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn register(home: Home, options: Options, registration: Registration) -> Result<Self, SignInError> {
        sign_in(home, options, Way::Register(registration)).await
    }

    /// Makes this home a device of an account, and opens it.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn login(home: Home, options: Options, login: Login) -> Result<Self, SignInError> {
        sign_in(home, options, Way::Login(login)).await
    }
}

enum Way {
    Register(Registration),
    Login(Login),
}

async fn sign_in(home: Home, options: Options, way: Way) -> Result<Client, SignInError> {
    let locked = vacant(home).await?;
    let Some(server) = options.server.clone() else {
        let message = "say which server: --server HOST[:PORT], or QPC_SERVER".to_owned();
        return Err(CommandError::Usage { message }.into());
    };
    let transport = transport(&locked, server.clone(), &options);
    let link = transport.connect().await.map_err(CommandError::from)?;
    let identity = match &way {
        Way::Register(registration) => auth::register(&link, options.ksf, registration, server.to_string()).await,
        Way::Login(login) => auth::log_in(&link, options.ksf, login, server.to_string()).await,
    };
    let identity = identity.map_err(CommandError::from)?;
    link.close(CloseCode::Done);
    transport.endpoints.close().await;
    let (locked, store, _) = read_home(locked).await?;
    let identity = move_in(&store, identity).await?;
    let patience = options.timeout;
    let client = Client::start(locked, store, identity, options)?;
    // Until then nobody could write to the newcomer. One who can't wait is reachable from the next start on.
    let mut stocked = client.0.core.stocked.subscribe();
    if timeout(patience, stocked.wait_for(|stocked| *stocked)).await.is_err() {
        tracing::warn!("the server has not taken this device's key packages yet");
    }
    drop(stocked);
    Ok(client)
}

/// A locked home that nobody lives in.
async fn vacant(home: Home) -> Result<LockedHome, SignInError> {
    let locked = off_runtime(move || home.lock()).await?.map_err(OpenError::from)?;
    if !locked.home().has_account() {
        return Ok(locked);
    }
    match read_home(locked).await? {
        (_, _, Some(identity)) => Err(SignInError::Occupied(identity.address.to_string())),
        // A sign-in that was cut off before anybody moved in.
        (locked, _, None) => Ok(locked),
    }
}

/// Stores who lives here now, and the inbox.
async fn move_in(store: &Store, identity: Identity) -> Result<Identity, StoreError> {
    store
        .run(move |tx| {
            identity::put(tx, &identity)?;
            let inbox = ConversationName::inbox(identity.address.domain.clone(), identity.device);
            let new =
                New { name: Some(inbox), kind: Kind::Inbox, peer: None, title: String::new(), state: State::Active };
            conversation::insert(tx, &new)?;
            Ok(identity)
        })
        .await
}
