//! One request and one answer of every kind between servers: what does not stand here does not compile.

use std::collections::BTreeSet;

use qpc_proto::v1::{self, peer_answer::Result as Ans, peer_request::Method as Req};

/// Every request; the match below does not compile when one is missing.
pub(crate) fn requests() -> Vec<(&'static str, v1::PeerRequest)> {
    let hello =
        v1::PeerHello { domain: "a.example".into(), peer: "b.example".into(), server: "qpc-server/0.1.0".into() };
    let claim = v1::PeerClaimKeyPackages {
        requester: "alice@a.example".into(),
        claim: Some(v1::ClaimKeyPackages { address: "bob@b.example".into(), suite: 3 }),
    };
    let all = [Req::Hello(hello), Req::ClaimKeyPackages(claim)];
    named(all.into_iter().map(|method| {
        let name = match &method {
            Req::Hello(_) => "PeerHello",
            Req::ClaimKeyPackages(_) => "PeerClaimKeyPackages",
        };
        (name, v1::PeerRequest { method: Some(method) })
    }))
}

/// Every answer, likewise.
pub(crate) fn answers() -> Vec<(&'static str, v1::PeerAnswer)> {
    let error = v1::Error { code: 3, ..v1::Error::default() };
    let hello = v1::PeerHelloAnswer { domain: "b.example".into(), server: "qpc-server/0.1.0".into() };
    let package =
        v1::ClaimedKeyPackage { device_id: vec![7; 16].into(), key_package: b"key package".as_slice().into() };
    let claimed = v1::ClaimKeyPackagesAnswer { key_packages: vec![package], devices_without: vec![vec![8; 16].into()] };
    let device = v1::DeviceCertificate {
        address: "bob@b.example".into(),
        account_key: vec![1; 32].into(),
        device_id: vec![7; 16].into(),
        device_key: vec![2; 32].into(),
        signature: vec![3; 64].into(),
    };
    let claimed = v1::PeerClaimKeyPackagesAnswer { claimed: Some(claimed), devices: vec![device] };
    let all = [Ans::Error(error), Ans::Hello(hello), Ans::ClaimKeyPackages(claimed)];
    named(all.into_iter().map(|result| {
        let name = match &result {
            Ans::Error(_) => "Error, to a peer",
            Ans::Hello(_) => "PeerHelloAnswer",
            Ans::ClaimKeyPackages(_) => "PeerClaimKeyPackagesAnswer",
        };
        (name, v1::PeerAnswer { result: Some(result) })
    }))
}

fn named<T>(all: impl Iterator<Item = (&'static str, T)>) -> Vec<(&'static str, T)> {
    let all: Vec<_> = all.collect();
    assert_eq!(all.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), all.len());
    all
}
