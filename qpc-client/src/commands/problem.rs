//! What went wrong below, as a command says it: what happened and what to do.

use qpc_proto::error::Code;

use crate::{
    api::CommandError,
    auth::AuthError,
    core::internal,
    transport::{CallError, ConnectError, Refused},
};

impl From<ConnectError> for CommandError {
    fn from(error: ConnectError) -> Self {
        let message = error.to_string();
        match error {
            ConnectError::Greeting { error: CallError::Refused(refused), .. } => refused_for(&refused),
            ConnectError::Home(_) | ConnectError::Setup(_) => internal(&error),
            ConnectError::Roots { .. } => Self::Usage { message },
            error if error.needs_person() => Self::Denied { message },
            _ => Self::Unreachable { message },
        }
    }
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refused) => refused_for(&refused),
            CallError::Lost(_) | CallError::Timeout => Self::Unreachable { message: error.to_string() },
            CallError::Protocol(_) => internal(&error),
        }
    }
}

impl From<AuthError> for CommandError {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Call(error) => error.into(),
            AuthError::Name(_) => Self::Usage { message },
            AuthError::Password | AuthError::OtherServer { .. } | AuthError::Forged | AuthError::Seal(_) => {
                Self::Denied { message }
            }
            AuthError::Ksf | AuthError::Opaque(_) | AuthError::Randomness(_) => internal(&error),
        }
    }
}

fn refused_for(refused: &Refused) -> CommandError {
    tracing::debug!(code = refused.number, detail = refused.detail, "the server refused");
    let message = refused.to_string();
    match refused.code {
        Some(Code::RateLimited | Code::Busy | Code::StorageFull | Code::ShuttingDown) => {
            let seconds = refused.retry_after.as_millis().div_ceil(1000);
            let wait = if seconds == 0 { String::new() } else { format!(" Try again in {seconds} s.") };
            CommandError::TryLater { message: format!("{message}{wait}") }
        }
        Some(Code::Internal) => CommandError::Internal { message },
        Some(Code::TokenInvalid) => CommandError::Denied {
            message:
                "The invite or token is unknown, used up or expired; ask the server's operator for one (--auth-token)."
                    .into(),
        },
        Some(Code::Unauthenticated | Code::LoginFailed | Code::WrongState | Code::TooManyDevices) => {
            CommandError::Denied { message }
        }
        _ => CommandError::Usage { message },
    }
}
