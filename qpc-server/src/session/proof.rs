//! Calls about who the connection is: greeting, registration, login, devices, the password.
//!
//! They change what the connection has proved, so a stream runs them one at a time, and the
//! connection's stage is locked by each.

use std::sync::Arc;

use qpc_proto::{
    KSF_VERSION,
    limits::DEVICE_NAME_MAX,
    suite::Suite,
    v1::{self, answer::Result as Answer},
};

use super::{calls::Outcome, link::Link};
use crate::field;

/// The program and version that this server says it is.
const SERVER: &str = concat!("qpc-server/", env!("CARGO_PKG_VERSION"));

pub(super) async fn greet(link: Arc<Link>, hello: v1::Hello) -> Outcome {
    field::at_most(hello.client.len(), DEVICE_NAME_MAX, "client")?;
    let nonce = bytes::Bytes::copy_from_slice(link.stage().await?.nonce());
    link.set_greeted();
    Ok(Answer::Hello(v1::HelloAnswer {
        server: SERVER.to_owned(),
        domain: link.context.domain.as_str().to_owned(),
        nonce,
        ksf_version: KSF_VERSION,
        hub_key: bytes::Bytes::copy_from_slice(&link.context.hub_key),
        suites: Suite::ALL.iter().map(|suite| suite.number().into()).collect(),
        ephemerals: link.context.limits.ephemerals.enabled,
    }))
}

pub(super) async fn register_start(link: Arc<Link>, request: v1::RegisterStart) -> Outcome {
    let mut stage = link.stage().await?;
    Ok(Answer::RegisterStart(link.context.accounts.register_start(&mut stage, request).await?))
}

pub(super) async fn register_finish(link: Arc<Link>, request: v1::RegisterFinish) -> Outcome {
    let mut stage = link.stage().await?;
    Ok(Answer::RegisterFinish(link.context.accounts.register_finish(&mut stage, request).await?))
}

pub(super) async fn login_start(link: Arc<Link>, request: v1::LoginStart) -> Outcome {
    let mut stage = link.stage().await?;
    let answer = link.context.accounts.login_start(&mut stage, request).await?;
    link.expect_login_by(stage.login_due());
    Ok(Answer::LoginStart(answer))
}

pub(super) async fn login_finish(link: Arc<Link>, request: v1::LoginFinish) -> Outcome {
    let mut stage = link.stage().await?;
    Ok(Answer::LoginFinish(link.context.accounts.login_finish(&mut stage, request).await?))
}

pub(super) async fn enrol_device(link: Arc<Link>, request: v1::EnrolDevice) -> Outcome {
    let mut stage = link.stage().await?;
    let as_of = link.context.registry.as_of();
    Ok(Answer::EnrolDevice(link.context.accounts.enrol_device(&mut stage, request, as_of).await?))
}

/// The one way to become a session.
pub(super) async fn authenticate(link: Arc<Link>, request: v1::Authenticate) -> Outcome {
    let recognised = {
        let stage = link.stage().await?;
        let as_of = link.context.registry.as_of();
        link.context.accounts.authenticate(&stage, request, as_of).await?
    };
    Ok(Answer::Authenticate(link.become_session(recognised).await?))
}

pub(super) async fn change_password_start(link: Arc<Link>, request: v1::ChangePasswordStart) -> Outcome {
    let actor = link.proved()?.actor();
    let mut stage = link.stage().await?;
    Ok(Answer::ChangePasswordStart(link.context.accounts.change_password_start(actor, &mut stage, request).await?))
}

pub(super) async fn change_password_finish(link: Arc<Link>, request: v1::ChangePasswordFinish) -> Outcome {
    let actor = link.proved()?.actor();
    let mut stage = link.stage().await?;
    Ok(Answer::ChangePasswordFinish(link.context.accounts.change_password_finish(actor, &mut stage, request).await?))
}

pub(super) async fn delete_account(link: Arc<Link>) -> Outcome {
    let actor = link.proved()?.actor();
    let mut stage = link.stage().await?;
    link.expect_farewell(true);
    let outcome = link.context.accounts.delete_account(actor, &mut stage).await;
    link.expect_farewell(outcome.is_ok());
    link.context.groups.devices_gone();
    Ok(Answer::DeleteAccount(outcome?))
}

pub(super) async fn list_devices(link: Arc<Link>) -> Outcome {
    let actor = link.proved()?.actor();
    Ok(Answer::ListDevices(link.context.accounts.list_devices(actor).await?))
}

pub(super) async fn revoke_device(link: Arc<Link>, request: v1::RevokeDevice) -> Outcome {
    let actor = link.proved()?.actor();
    let own = request.device_id.as_ref() == actor.device().as_bytes().as_slice();
    link.expect_farewell(own);
    let outcome = link.context.accounts.revoke_device(actor, request).await;
    link.expect_farewell(own && outcome.is_ok());
    link.context.groups.devices_gone();
    Ok(Answer::RevokeDevice(outcome?))
}
