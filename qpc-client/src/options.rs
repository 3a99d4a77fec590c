//! How a client reaches and judges its server.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

/// Messages that may wait to be sent, unless somebody says otherwise.
const OUTBOX_MAX: u64 = 100_000;

/// How a client reaches and judges its server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is; `None` for where the home was registered.
    pub server: Option<ServerAddress>,
    /// What makes the server's certificate believable.
    pub trust: Trust,
    /// For tests and benches alone: cheaper key stretching. A password stretched otherwise than
    /// at its registration is a wrong password.
    pub ksf: KsfParams,
    /// Messages that may wait to be sent; with so many, sending fails until some have gone.
    pub outbox_max: u64,
    /// Name and version of the program, for the server's traces.
    pub program: String,
    /// Have what is ephemeral in datagrams; otherwise it comes and goes on a stream.
    pub datagrams: bool,
    /// Longest wait for the server's answer to one call, and for a connection.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: None,
            trust: Trust::System,
            ksf: KsfParams::default(),
            outbox_max: OUTBOX_MAX,
            program: concat!("qpc-client/", env!("CARGO_PKG_VERSION")).into(),
            datagrams: true,
            timeout: Duration::from_secs(15),
        }
    }
}

/// A server as people write it: a host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Host name, or an IPv4 or IPv6 address without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// Text that names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no server: write HOST, HOST:PORT or [IPV6]:PORT")]
pub struct ServerAddressError(String);

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        let wrong = || ServerAddressError(text.to_owned());
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) })
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong());
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
            None => qpc_proto::DEFAULT_PORT,
        };
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is sha256: and 64 hex digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:").ok_or(FingerprintError)?.as_bytes();
        let mut bytes = [0; 32];
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(FingerprintError);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let nibble = |digit: &u8| char::from(*digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
            *byte = nibble(high).ok_or(FingerprintError)? << 4 | nibble(low).ok_or(FingerprintError)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Asked, off the runtime's threads, whether to trust a certificate that no root vouches for;
/// it should show the fingerprint to a person.
pub type FirstUse = Arc<dyn Fn(&ServerAddress, &Fingerprint) -> bool + Send + Sync>;

/// What makes a server's certificate believable.
#[derive(Clone)]
pub enum Trust {
    /// This certificate and no other.
    Pin(Fingerprint),
    /// Whatever chains to a certificate of this PEM file.
    Ca(PathBuf),
    /// What this home knows, or what the system's roots vouch for.
    System,
    /// As [`Trust::System`]; a certificate that neither vouches for is shown once and remembered
    /// if the answer is yes, as ssh does.
    FirstUse(FirstUse),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(fingerprint) => f.debug_tuple("Pin").field(fingerprint).finish(),
            Self::Ca(path) => f.debug_tuple("Ca").field(path).finish(),
            Self::System => f.write_str("System"),
            Self::FirstUse(_) => f.write_str("FirstUse"),
        }
    }
}

/// Cost of Argon2id; the default is what [`qpc_proto::KSF_VERSION`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KsfParams {
    /// KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for KsfParams {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl KsfParams {
    /// As cheap as Argon2 can be: for tests and benches alone.
    #[must_use]
    pub const fn weak() -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_as_people_write_them() {
        for (text, shown) in [
            ("chat.example", "chat.example:7000"),
            ("Chat.Example:7443", "chat.example:7443"),
            ("127.0.0.1:7001", "127.0.0.1:7001"),
            ("::1", "[::1]:7000"),
            ("[::1]:7001", "[::1]:7001"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
        for bad in ["", ":7000", "a b", "host:0", "host:70000", "[::1", "[::1]7000", "https://host"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn fingerprints_read_back() {
        let fingerprint = Fingerprint([0xab; 32]);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        let short = fingerprint.to_string().chars().take(70).collect::<String>();
        for bad in ["", "sha256:", "sha256:zz", &short, &format!("{fingerprint}0")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError));
        }
    }
}
