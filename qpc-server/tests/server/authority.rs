//! An ACME authority (RFC 8555) in this process, as strict as a real one: each request's signature, nonce and URL count, a name
//! is proved by what is fetched from the server's listener, and a certificate is for the key that signed its request. It can
//! be away, refuse, and lose what it knew.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    hmac,
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, Response, StatusCode},
    serve::Listener,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use qpc_server::rng::{self, SystemRng};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_cert::{
    der::{Decode, Encode, oid::AssociatedOid},
    ext::pkix::{SubjectAltName, name::GeneralName},
    request::{CertReq, ExtensionReq},
};

/// Longest body of a request.
const BODY_MAX: usize = 64 * 1024;

/// What goes otherwise than it should, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// A good nonce is called bad.
    BadNonce,
    /// A new order is one too many.
    RateLimited,
    /// The certificate is for another key.
    ForeignKey,
    /// The certificate has ended.
    Ended,
    /// The certificate comes with so much air that only a bound ends it.
    Endless,
    /// No answer comes.
    Silent,
}

/// What it knows.
#[derive(Default)]
struct Books {
    nonces: BTreeSet<String>,
    /// By URL: the public point and the thumbprint.
    accounts: BTreeMap<String, (Vec<u8>, String)>,
    orders: Vec<Order>,
    mishaps: VecDeque<Mishap>,
    away: bool,
    days: u64,
    binding: Option<(String, Vec<u8>)>,
    /// Where port 80 of every name is.
    looks_at: Option<SocketAddr>,
    issued: usize,
    contacts: Vec<Value>,
    /// What the listener said to requests for other tokens and other paths.
    strange: Vec<u16>,
    /// Whether the listener was there still when the order was finalized.
    open_at_the_end: Vec<bool>,
}

struct Order {
    names: Vec<String>,
    tokens: Vec<String>,
    proved: Vec<Option<Result<(), String>>>,
    chain: Option<String>,
}

/// The authority, until it is dropped.
pub(crate) struct Authority {
    pub(crate) directory: String,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) root_pem: String,
    shared: Arc<Shared>,
    _serving: JoinSet<io::Result<()>>,
}

struct Shared {
    base: String,
    root: CertifiedIssuer<'static, KeyPair>,
    books: Mutex<Books>,
}

/// A free TCP address of this machine.
pub(crate) fn free() -> SocketAddr {
    let [a, b, c] = rng::bytes(&SystemRng);
    let socket = StdListener::bind(SocketAddr::from(([127, a.max(1), b, c.clamp(1, 254)], 0))).unwrap();
    socket.local_addr().unwrap()
}

impl Authority {
    /// One for which port 80 of every name is there.
    pub(crate) async fn start(looks_at: SocketAddr) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let own = KeyPair::generate().unwrap();
        let shown = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![shown.der().clone()], PrivatePkcs8KeyDer::from(own.serialize_der()).into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let (der, pem) = (root.der().clone(), root.pem());
        let books = Books { days: 90, looks_at: Some(looks_at), ..Books::default() };
        let shared = Arc::new(Shared { base: base.clone(), root, books: Mutex::new(books) });
        let tls = TlsDoor { listener, tls: TlsAcceptor::from(Arc::new(tls)), shared: Arc::clone(&shared) };
        let of = Arc::clone(&shared);
        let router = Router::new().fallback(move |request| answer(Arc::clone(&of), request));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(tls, router).await });
        Self { directory: format!("{base}/directory"), root: der, root_pem: pem, shared, _serving: serving }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap()
    }

    pub(crate) fn next(&self, mishap: Mishap) {
        self.books().mishaps.push_back(mishap);
    }

    /// It takes connections and ends them, or does its work.
    pub(crate) fn set_away(&self, away: bool) {
        self.books().away = away;
    }

    /// How long what it signs from now on lasts.
    pub(crate) fn lasts(&self, days: u64) {
        self.books().days = days;
    }

    pub(crate) fn looks_at(&self, place: SocketAddr) {
        self.books().looks_at = Some(place);
    }

    /// New accounts have to be of somebody whom it knows.
    pub(crate) fn wants_binding(&self, id: &str, key: &[u8]) {
        self.books().binding = Some((id.into(), key.into()));
    }

    pub(crate) fn forget_accounts(&self) {
        self.books().accounts.clear();
    }

    pub(crate) fn accounts(&self) -> usize {
        self.books().accounts.len()
    }

    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.books().contacts.clone()
    }

    pub(crate) fn orders(&self) -> usize {
        self.books().orders.len()
    }

    pub(crate) fn issued(&self) -> usize {
        self.books().issued
    }

    pub(crate) fn mishaps_left(&self) -> usize {
        self.books().mishaps.len()
    }

    /// What the listener said to requests that were not for the proof.
    pub(crate) fn strange(&self) -> Vec<u16> {
        self.books().strange.clone()
    }

    pub(crate) fn open_at_the_end(&self) -> Vec<bool> {
        self.books().open_at_the_end.clone()
    }
}

struct TlsDoor {
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
}

impl Listener for TlsDoor {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            if self.shared.books.lock().unwrap().away {
                continue;
            }
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A refusal: status, ACME's name for it, and words.
type Refusal = (u16, &'static str, String);

fn no<T>(status: u16, kind: &'static str, words: impl Into<String>) -> Result<T, Refusal> {
    Err((status, kind, words.into()))
}

/// What is answered: status, `Location`, body.
type Answer = (u16, Option<String>, String);

async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.unwrap();
    let path = head.uri.path().to_owned();
    let done = match (&head.method, path.as_str()) {
        (&Method::GET, "/directory") => Ok((200, None, shared.directory())),
        (&Method::HEAD, "/nonce") => Ok((200, None, String::new())),
        (&Method::POST, _) => match shared.signed(&path, &head.headers, &body) {
            Ok((account, payload)) => shared.perform(&path, account, &payload).await,
            Err(refusal) => Err(refusal),
        },
        _ => no(405, "malformed", "no such method"),
    };
    let mut answer = Response::builder().header("Replay-Nonce", shared.nonce());
    let (status, location, body) = done.unwrap_or_else(|(status, kind, words)| {
        let problem = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": words });
        (status, None, problem.to_string())
    });
    if let Some(location) = location {
        answer = answer.header("Location", location);
    }
    answer.status(StatusCode::from_u16(status).unwrap()).body(body.into()).unwrap()
}

fn field<'v>(of: &'v Value, name: &str) -> Result<&'v str, Refusal> {
    of[name].as_str().ok_or_else(|| (400, "malformed", format!("no {name}")))
}

fn decoded(of: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    BASE64.decode(field(of, name)?).map_err(|_| (400, "malformed", format!("{name} is not base64")))
}

fn parsed(bytes: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| (400, "malformed", "no JSON".into()))
}

/// A key's public point and its thumbprint (RFC 7638).
fn key_of(jwk: &Value) -> Result<(Vec<u8>, String), Refusal> {
    let (x, y) = (field(jwk, "x")?, field(jwk, "y")?);
    if (field(jwk, "kty")?, field(jwk, "crv")?) != ("EC", "P-256") {
        return no(400, "badPublicKey", "not P-256");
    }
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let point = [vec![4], decoded(jwk, "x")?, decoded(jwk, "y")?].concat();
    Ok((point, BASE64.encode(Sha256::digest(canonical))))
}

impl Shared {
    fn directory(&self) -> String {
        let url = |path: &str| format!("{}/{path}", self.base);
        let meta = json!({ "termsOfService": url("terms") });
        json!({
            "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
            "revokeCert": url("revoke"), "keyChange": url("key"), "meta": meta,
        })
        .to_string()
    }

    fn nonce(&self) -> String {
        let nonce = BASE64.encode(rng::bytes::<16>(&SystemRng));
        self.books.lock().unwrap().nonces.insert(nonce.clone());
        nonce
    }

    fn mishap(&self, wanted: Mishap) -> bool {
        let mut books = self.books.lock().unwrap();
        let is = books.mishaps.front() == Some(&wanted);
        if is {
            books.mishaps.pop_front();
        }
        is
    }

    /// Who has signed a request, and what it says: the account's URL, or the key of who wants one.
    fn signed(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Result<String, Value>, Vec<u8>), Refusal> {
        if headers.get("content-type").is_none_or(|kind| kind != "application/jose+json") {
            return no(415, "malformed", "not application/jose+json");
        }
        let jws = parsed(body)?;
        let header = parsed(&decoded(&jws, "protected")?)?;
        if field(&header, "alg")? != "ES256" || field(&header, "url")? != format!("{}{path}", self.base) {
            return no(400, "malformed", "another algorithm, or another URL");
        }
        if !self.books.lock().unwrap().nonces.remove(field(&header, "nonce")?) || self.mishap(Mishap::BadNonce) {
            return no(400, "badNonce", "that nonce is not one of mine");
        }
        let (point, who) = match header["kid"].as_str() {
            None if path == "/account" => (key_of(&header["jwk"])?.0, Err(header["jwk"].clone())),
            None => return no(400, "malformed", "no account"),
            Some(account) => match self.books.lock().unwrap().accounts.get(account) {
                Some((point, _)) => (point.clone(), Ok(account.to_owned())),
                None => return no(400, "accountDoesNotExist", "no such account"),
            },
        };
        let text = format!("{}.{}", field(&jws, "protected")?, field(&jws, "payload")?);
        let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(text.as_bytes(), &decoded(&jws, "signature")?)
            .is_ok();
        if verified { Ok((who, decoded(&jws, "payload")?)) } else { no(403, "unauthorized", "not signed by that key") }
    }

    async fn perform(&self, path: &str, who: Result<String, Value>, payload: &[u8]) -> Result<Answer, Refusal> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |text: &str| text.parse::<usize>().map_err(|_| (404, "malformed", "no such thing".to_owned()));
        match (parts.as_slice(), who) {
            (["account"], Err(jwk)) => self.new_account(&jwk, &parsed(payload)?),
            (["order"], Ok(_)) => self.new_order(&parsed(payload)?),
            (["order", order], Ok(_)) => Ok((200, None, self.order(number(order)?))),
            (["authz", order, at], Ok(_)) => Ok((200, None, self.authorization(number(order)?, number(at)?))),
            (["challenge", order, at], Ok(account)) => self.prove(number(order)?, number(at)?, &account).await,
            (["finalize", order], Ok(_)) => self.finalize(number(order)?, &parsed(payload)?).await,
            (["certificate", order], Ok(_)) => {
                if self.mishap(Mishap::Silent) {
                    std::future::pending::<()>().await;
                }
                let air = if self.mishap(Mishap::Endless) { "\n".repeat(300 * 1024) } else { String::new() };
                let chain = self.books.lock().unwrap().orders[number(order)?].chain.clone();
                chain.map(|chain| (200, None, air + &chain)).ok_or((404, "malformed", "there is none".into()))
            }
            _ => no(404, "malformed", "no such thing"),
        }
    }

    fn new_account(&self, jwk: &Value, payload: &Value) -> Result<Answer, Refusal> {
        if payload["termsOfServiceAgreed"] != json!(true) {
            return no(403, "userActionRequired", "the terms were not agreed to");
        }
        let mut books = self.books.lock().unwrap();
        if let Some((id, key)) = &books.binding {
            let bound = &payload["externalAccountBinding"];
            if bound.is_null() {
                return no(403, "externalAccountRequired", "whose account is it?");
            }
            let header = parsed(&decoded(bound, "protected")?)?;
            let expected = json!({ "alg": "HS256", "kid": id, "url": format!("{}/account", self.base) });
            let text = format!("{}.{}", field(bound, "protected")?, field(bound, "payload")?);
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let signed = hmac::verify(&key, text.as_bytes(), &decoded(bound, "signature")?).is_ok();
            if header != expected || parsed(&decoded(bound, "payload")?)? != *jwk || !signed {
                return no(403, "unauthorized", "it is bound to nobody");
            }
        }
        let url = format!("{}/account/{}", self.base, hex::encode(rng::bytes::<4>(&SystemRng)));
        books.accounts.insert(url.clone(), key_of(jwk)?);
        books.contacts.push(payload["contact"].clone());
        Ok((201, Some(url), json!({ "status": "valid" }).to_string()))
    }

    fn new_order(&self, payload: &Value) -> Result<Answer, Refusal> {
        if self.mishap(Mishap::RateLimited) {
            return no(429, "rateLimited", "too many certificates already");
        }
        let named = payload["identifiers"].as_array().into_iter().flatten();
        let names: Vec<String> = named.map(|one| field(one, "value").map(str::to_owned)).collect::<Result<_, _>>()?;
        let token = |_: &String| BASE64.encode(rng::bytes::<24>(&SystemRng));
        let order = Order {
            tokens: names.iter().map(token).collect(),
            proved: names.iter().map(|_| None).collect(),
            names,
            chain: None,
        };
        let number = {
            let mut books = self.books.lock().unwrap();
            books.orders.push(order);
            books.orders.len() - 1
        };
        Ok((201, Some(format!("{}/order/{number}", self.base)), self.order(number)))
    }

    fn order(&self, number: usize) -> String {
        let books = self.books.lock().unwrap();
        let order = &books.orders[number];
        let url = |path: String| format!("{}/{path}/{number}", self.base);
        let status = match &order.chain {
            Some(_) => "valid",
            None if order.proved.iter().any(|proved| matches!(proved, Some(Err(_)))) => "invalid",
            None if order.proved.iter().all(Option::is_some) => "ready",
            None => "pending",
        };
        let authorizations: Vec<_> = (0..order.names.len()).map(|at| format!("{}/{at}", url("authz".into()))).collect();
        let certificate = order.chain.as_ref().map(|_| url("certificate".into()));
        json!({ "status": status, "authorizations": authorizations, "finalize": url("finalize".into()), "certificate": certificate })
            .to_string()
    }

    fn authorization(&self, number: usize, at: usize) -> String {
        let books = self.books.lock().unwrap();
        let order = &books.orders[number];
        let (status, error) = match &order.proved[at] {
            None => ("pending", Value::Null),
            Some(Ok(())) => ("valid", Value::Null),
            Some(Err(words)) => {
                ("invalid", json!({ "type": "urn:ietf:params:acme:error:connection", "detail": words }))
            }
        };
        let url = format!("{}/challenge/{number}/{at}", self.base);
        let challenge =
            json!({ "type": "http-01", "url": url, "token": order.tokens[at], "status": status, "error": error });
        let other = json!({ "type": "dns-01", "url": format!("{url}/dns"), "token": "other", "status": "pending" });
        let identifier = json!({ "type": "dns", "value": order.names[at] });
        json!({ "status": status, "identifier": identifier, "challenges": [other, challenge] }).to_string()
    }

    /// Fetches the proof, as everybody on the net could.
    async fn prove(&self, number: usize, at: usize, account: &str) -> Result<Answer, Refusal> {
        let (place, token, name, thumbprint) = {
            let books = self.books.lock().unwrap();
            let order = &books.orders[number];
            let (_, thumbprint) = &books.accounts[account];
            (books.looks_at.unwrap(), order.tokens[at].clone(), order.names[at].clone(), thumbprint.clone())
        };
        let path = |token: &str| format!("/.well-known/acme-challenge/{token}");
        let proved = match fetch(place, &name, "GET", &path(&token)).await {
            Ok((200, body)) if body == format!("{token}.{thumbprint}") => Ok(()),
            Ok((status, body)) => Err(format!("{status} {body:?} is no proof")),
            Err(error) => Err(format!("http://{name}: {error}")),
        };
        let mut strange = Vec::new();
        let prefix: String = token.chars().take(5).collect();
        let others = [path("another"), path(""), path(&prefix), path(&format!("../{token}")), format!("/{token}")];
        for (method, path) in others.map(|path| ("GET", path)).into_iter().chain([("POST", path(&token))]) {
            strange.extend(fetch(place, &name, method, &path).await.map(|(status, _)| status));
        }
        let status = if proved.is_ok() { "valid" } else { "processing" };
        let mut books = self.books.lock().unwrap();
        books.strange.extend(strange);
        books.orders[number].proved[at] = Some(proved);
        let url = format!("{}/challenge/{number}/{at}", self.base);
        Ok((200, None, json!({ "type": "http-01", "url": url, "token": token, "status": status }).to_string()))
    }

    async fn finalize(&self, number: usize, payload: &Value) -> Result<Answer, Refusal> {
        let place = self.books.lock().unwrap().looks_at.unwrap();
        let open = TcpStream::connect(place).await.is_ok();
        let bad = |words: &str| (400, "badCSR", words.to_owned());
        let request = CertReq::from_der(&decoded(payload, "csr")?).map_err(|_| bad("no request"))?;
        let point = request.info.public_key.subject_public_key.raw_bytes().to_vec();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point)
            .verify(&request.info.to_der().unwrap(), request.signature.raw_bytes())
            .map_err(|_| bad("not signed by its key"))?;
        let mut names = names_of(&request);
        let foreign = self.mishap(Mishap::ForeignKey);
        let ended = self.mishap(Mishap::Ended);
        {
            let mut books = self.books.lock().unwrap();
            books.open_at_the_end.push(open);
            let days = books.days;
            let order = &mut books.orders[number];
            let mut wanted = order.names.clone();
            names.sort();
            wanted.sort();
            if !order.proved.iter().all(|proved| matches!(proved, Some(Ok(())))) {
                return no(403, "orderNotReady", "not proved");
            }
            if names != wanted {
                return Err(bad("other names than ordered"));
            }
            let mut params = CertificateParams::new(names).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            let day = Duration::from_secs(86_400);
            params.not_before = epoch + now - day / 24;
            params.not_after =
                if ended { epoch + now - day / 48 } else { epoch + now + day * u32::try_from(days).unwrap() };
            let key = Requested(if foreign { KeyPair::generate().unwrap().public_key_raw().into() } else { point });
            let signed = params.signed_by(&key, &self.root).unwrap();
            order.chain = Some(format!("{}{}", signed.pem(), self.root.pem()));
            books.issued += 1;
        }
        Ok((200, None, self.order(number)))
    }
}

/// The names that a request for a certificate asks for.
fn names_of(request: &CertReq) -> Vec<String> {
    let attributes = request.info.attributes.iter().filter(|one| one.oid == ExtensionReq::OID);
    let asked = attributes.flat_map(|one| one.values.iter()).map(|any| any.to_der().unwrap());
    let extensions = asked.flat_map(|der| ExtensionReq::from_der(&der).unwrap().0);
    let names = extensions.filter(|one| one.extn_id == SubjectAltName::OID);
    let names = names.flat_map(|one| SubjectAltName::from_der(one.extn_value.as_bytes()).unwrap().0);
    names.map(|name| if let GeneralName::DnsName(name) = name { name.to_string() } else { "no name".into() }).collect()
}

/// The key of a request.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A request by plain HTTP: status and body.
pub(crate) async fn fetch(place: SocketAddr, name: &str, method: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(place).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {name}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::Error::other("no answer"))
}
