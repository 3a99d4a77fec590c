//! Making a home: registration of a new account, or login as a new device of one.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use qpc_proto::{error::CloseCode, id::ConversationName, v1::AuthenticateAnswer};

use super::{Client, OpenError, core, off_runtime, read_home, transport};
use crate::{
    Home, Options, ServerAddress,
    api::{CommandError, Password},
    auth::{self, AuthError, LoggedIn},
    core::Core,
    driver::key_packages::publish_first,
    files::Files,
    home::LockedHome,
    identity::{AccountSecret, Identity},
    store::{
        Store, StoreError,
        conversation::{self, Kind, New, State},
        due::{self, What},
        identity,
    },
    transport::{Link, Transport},
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
    pub fn register(
        home: Home,
        options: Options,
        registration: Registration,
    ) -> BoxFuture<'static, Result<Self, SignInError>> {
        Self::enter(home, options, Way::Register(registration)).boxed()
    }

    /// As [`Self::register`]; gives `None` where `unless` happens before the server is reached. Whoever wants the
    /// account to end with the program stops it by this: an account that is being made already is made and known.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn register_unless(
        home: Home,
        options: Options,
        registration: Registration,
        unless: impl Future<Output = ()>,
    ) -> Result<Option<Self>, SignInError> {
        let meeting = tokio::select! {
            biased;
            () = unless => return Ok(None),
            meeting = meet(home, &options) => meeting?,
        };
        sign_in(meeting, &options, Way::Register(registration)).await.map(Some)
    }

    /// Makes this home a device of an account, and opens it.
    ///
    /// # Errors
    /// [`SignInError`].
    pub fn login(home: Home, options: Options, login: Login) -> BoxFuture<'static, Result<Self, SignInError>> {
        Self::enter(home, options, Way::Login(login)).boxed()
    }

    async fn enter(home: Home, options: Options, way: Way) -> Result<Self, SignInError> {
        let meeting = meet(home, &options).await?;
        sign_in(meeting, &options, way).await
    }
}

pub(super) enum Way {
    Register(Registration),
    Login(Login),
}

/// A locked home that nobody lives in, and a connection to its server to be.
struct Meeting {
    locked: LockedHome,
    server: ServerAddress,
    transport: Transport,
    link: Link,
}

async fn meet(home: Home, options: &Options) -> Result<Meeting, SignInError> {
    let locked = vacant(home).await?;
    let Some(server) = options.server.clone() else {
        let message = "say which server: --server HOST[:PORT], or QPC_SERVER".to_owned();
        return Err(CommandError::Usage { message }.into());
    };
    let transport = transport(&locked, server.clone(), options);
    let link = transport.connect().await.map_err(CommandError::from)?;
    Ok(Meeting { locked, server, transport, link })
}

async fn sign_in(meeting: Meeting, options: &Options, way: Way) -> Result<Client, SignInError> {
    let Meeting { locked, server, transport, link } = meeting;
    let signed_in = prove(&link, &server, options, &way).await?;
    let (locked, store, _) = read_home(locked).await?;
    let outside = (transport, Some(locked.files()));
    let (core, first) = enter(signed_in, store, (outside, link), options, &way).await?;
    Ok(Client::start(locked, core, first))
}

/// The same on a store that is open, without a home around it.
#[cfg(feature = "simulation")]
pub(super) async fn on(
    store: Store,
    transport: Transport,
    options: &Options,
    way: Way,
) -> Result<(Arc<Core>, Option<Link>), SignInError> {
    let link = transport.connect().await.map_err(CommandError::from)?;
    let signed_in = prove(&link, &transport.server, options, &way).await?;
    enter(signed_in, store, ((transport, None), link), options, &way).await
}

/// Who lives here from now on.
struct SignedIn {
    identity: Identity,
    /// What came of its first authentication, where there was one.
    authenticated: Option<Result<AuthenticateAnswer, AuthError>>,
    /// With what its password is to be registered anew, where the server asks for that.
    anew: Option<AccountSecret>,
}

async fn prove(link: &Link, server: &ServerAddress, options: &Options, way: &Way) -> Result<SignedIn, SignInError> {
    let signed_in = match way {
        Way::Register(registration) => {
            let made = auth::register(link, options.ksf, registration, server.to_string()).await;
            made.map(|identity| SignedIn { identity, authenticated: None, anew: None })
        }
        Way::Login(login) => auth::log_in(link, options.ksf, login, server.to_string()).await.map(|logged_in| {
            let LoggedIn { identity, authenticated, anew } = logged_in;
            SignedIn { identity, authenticated: Some(authenticated), anew }
        }),
    };
    Ok(signed_in.map_err(CommandError::from)?)
}

/// Moves in, and begins the first session.
async fn enter(
    SignedIn { identity, authenticated, anew }: SignedIn,
    store: Store,
    (outside, link): ((Transport, Option<Files>), Link),
    options: &Options,
    way: &Way,
) -> Result<(Arc<Core>, Option<Link>), SignInError> {
    let identity = move_in(&store, identity, matches!(way, Way::Login(_))).await?;
    let core = core(identity, store, outside, options)?;
    let first = begin(&core, link, authenticated).await;
    if let (Some(link), Some(secret), Way::Login(login)) = (&first, anew, way) {
        register_anew(&core, link, &secret, &login.password).await;
    }
    Ok((core, first))
}

/// The first session: once it has key packages with the server, others can write to this device. What
/// fails here is tried again by the driver.
async fn begin(
    core: &Arc<Core>,
    link: Link,
    authenticated: Option<Result<AuthenticateAnswer, AuthError>>,
) -> Option<Link> {
    let begun = async {
        let authenticated = match authenticated {
            Some(authenticated) => authenticated,
            None => auth::authenticate(&link, &core.me.identity).await,
        };
        authenticated.map_err(|error| error.to_string())?;
        publish_first(core, &link).await.map_err(|end| format!("{end:?}"))?.map_err(|error| error.to_string())
    };
    match begun.await {
        Ok(()) => Some(link),
        Err(error) => {
            tracing::debug!(error, "the first session did not begin well");
            link.close(CloseCode::Done);
            None
        }
    }
}

/// Registers the password anew, as the server asked for. The one of before works where this fails, and the next login is
/// asked again.
async fn register_anew(core: &Core, link: &Link, secret: &AccountSecret, password: &Password) {
    match auth::register_anew(link, core.ksf, core.me.address(), secret, password).await {
        Ok(()) => tracing::debug!("the password was registered anew"),
        Err(error) => tracing::debug!(%error, "the password was not registered anew"),
    }
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

/// Stores who lives here now, and the inbox. A device of an account that has others asks them for what was said before.
async fn move_in(store: &Store, identity: Identity, asks: bool) -> Result<Identity, StoreError> {
    store
        .run(move |tx| {
            identity::put(tx, &identity)?;
            let inbox = ConversationName::inbox(identity.address.domain.clone(), identity.device);
            let new =
                New { name: Some(inbox), kind: Kind::Inbox, peer: None, title: String::new(), state: State::Active };
            conversation::insert(tx, &new)?;
            if asks {
                due::put(tx, What::History)?;
            }
            Ok(identity)
        })
        .await
}
