//! An order, from its names to a signed certificate.

use std::time::Duration;

use instant_acme::{Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderState, OrderStatus};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::{
    AcmeError, Settings,
    challenge::{Answers, Door},
};
use crate::policy::limits::AcmeLimits;

/// What came of an order.
pub struct Signed {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key, which never left this process.
    pub key: PrivateKeyDer<'static>,
    /// Both in PEM, the key first: for one file, so that they can't be of two orders.
    pub pem: Zeroizing<String>,
}

/// Orders a certificate, proves the names while a listener is open for it, and fetches what was signed.
///
/// # Errors
/// [`AcmeError`]; whoever calls bounds how long it takes.
pub async fn order(account: &Account, settings: &Settings, limits: &AcmeLimits) -> Result<Signed, AcmeError> {
    // First the listener: an order that can't be proved counts at the authority as one that failed.
    let door = Door::open(settings.http_listen, limits).await?;
    let names: Vec<Identifier> = settings.names.iter().map(|name| Identifier::Dns(name.as_str().to_owned())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let answers = Answers::default();
    tokio::select! {
        biased;
        proved = prove(&mut order, &answers, limits) => proved?,
        never = door.serve(answers.clone()) => match never {},
    }
    finish(&mut order, settings, limits).await
}

/// Puts the answer to each challenge on the listener, and waits until the authority has seen them.
async fn prove(order: &mut Order, answers: &Answers, limits: &AcmeLimits) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // The authority may remember a proof of before.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or(AcmeError::NoChallenge)?;
        answers.add(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await?;
    }
    let status = settled(order, limits, OrderStatus::Pending).await?;
    if status == OrderStatus::Invalid { Err(why_invalid(order).await?) } else { Ok(()) }
}

/// Asks for the state until it is no longer this one.
async fn settled(order: &mut Order, limits: &AcmeLimits, from: OrderStatus) -> Result<OrderStatus, AcmeError> {
    let mut pause: Duration = limits.poll_min;
    loop {
        let OrderState { status, error, .. } = order.refresh().await?;
        match error {
            Some(problem) => return Err(problem.clone().into()),
            None if *status != from => return Ok(*status),
            None => sleep(pause).await,
        }
        pause = pause.saturating_mul(2).min(limits.poll_max);
    }
}

/// What the authority has against the order, of which it says itself only that it is invalid.
async fn why_invalid(order: &mut Order) -> Result<AcmeError, AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        if let Some(problem) = authorization.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Ok(problem.into());
        }
    }
    Ok(AcmeError::Refused { kind: String::new(), said: "the order is invalid, without a reason".into() })
}

/// Has a new key signed for the names, which are proved.
async fn finish(order: &mut Order, settings: &Settings, limits: &AcmeLimits) -> Result<Signed, AcmeError> {
    // What every authority signs; Ed25519, as the server's own have it, none of the public ones does.
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(settings.names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&pair)?.der()).await?;
    let mut pause = limits.poll_min;
    let chain = loop {
        match order.certificate().await? {
            Some(chain) => break chain,
            None => sleep(pause).await,
        }
        pause = pause.saturating_mul(2).min(limits.poll_max);
    };
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let parsed = parsed.map_err(|error| AcmeError::Unfit(error.to_string()))?;
    let pem = Zeroizing::new(format!("{}{chain}", &*Zeroizing::new(pair.serialize_pem())));
    let key = PrivatePkcs8KeyDer::from(pair.serialize_der());
    Ok(Signed { chain: parsed, key: key.into(), pem })
}
