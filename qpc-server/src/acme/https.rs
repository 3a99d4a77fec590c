//! Requests to the authority: one connection for each, within a time and a size, and no task besides.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::http::{HeaderValue, Request, Response, Uri, header, uri::InvalidUri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore, version::TLS13};
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{AcmeError, Roots};
use crate::{policy::limits::AcmeLimits, transport::tls::provider};

/// Bytes of an answer's head.
const HEAD_MAX: usize = 32 * 1024;

type Fault = Box<dyn StdError + Send + Sync>;

/// Speaks HTTPS, by TLS 1.3 alone.
pub(super) struct Https {
    tls: TlsConnector,
    exchange: Duration,
    answer_bytes: usize,
}

impl Https {
    pub(super) fn new(roots: &Roots, limits: &AcmeLimits) -> Result<Self, AcmeError> {
        let wrong = |error: &dyn std::fmt::Display| AcmeError::Roots(error.to_string());
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| wrong(&error))?;
        let config = match roots {
            Roots::System => {
                let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| wrong(&error))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Roots::These(roots) => {
                let mut store = RootCertStore::empty();
                for root in roots {
                    store.add(root.clone()).map_err(|error| wrong(&error))?;
                }
                builder.with_root_certificates(store)
            }
        };
        let tls = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        Ok(Self { tls, exchange: limits.exchange, answer_bytes: limits.answer_bytes })
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answered = exchange(self.tls.clone(), request, self.answer_bytes);
        let answered = timeout(self.exchange, answered);
        Box::pin(async move {
            match answered.await {
                Ok(answered) => answered.map(BytesResponse::from).map_err(Error::Other),
                Err(_) => Err(Error::Other("it does not answer in time".into())),
            }
        })
    }
}

async fn exchange(
    tls: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
    answer_bytes: usize,
) -> Result<Response<Full<Bytes>>, Fault> {
    let uri = request.uri().clone();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or("not an https:// URL")?;
    // An IPv6 address is in brackets there, and in none where it is looked up.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
    let stream = tls.connect(ServerName::try_from(host.to_owned())?, stream).await?;
    let (mut sender, connection) = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await?;

    request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = path_of(&uri)?;
    let answered = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, answer_bytes).collect().await?;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    };
    // The connection ends once the sender is gone; what it ended with is the answer's own error.
    let (answered, _) = tokio::join!(answered, connection);
    answered
}

/// As a request to the server itself names it.
fn path_of(uri: &Uri) -> Result<Uri, InvalidUri> {
    uri.path_and_query().map_or("/", |path| path.as_str()).parse()
}
