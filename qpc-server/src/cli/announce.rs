//! What a server says when it is ready.

use std::{net::SocketAddr, path::Path};

use serde::Serialize;

use super::client_lines::{self, lines};

/// What there is to say.
pub(super) struct Announcement<'a> {
    pub(super) listen: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) federation: Option<SocketAddr>,
    pub(super) fingerprint: &'a str,
    pub(super) invite: Option<&'a str>,
    pub(super) data_dir: &'a Path,
    pub(super) client: String,
    pub(super) open: bool,
}

/// One line for programs, its keys in the order of the command line's help.
pub(super) fn json(of: &Announcement<'_>) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        listen: SocketAddr,
        metrics: SocketAddr,
        fingerprint: &'a str,
        invite: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        federation: Option<SocketAddr>,
    }
    let Announcement { listen, metrics, federation, fingerprint, invite, .. } = *of;
    let line = Line { listen, metrics, fingerprint, invite, federation };
    Ok(format!("{}\n", serde_json::to_string(&line)?))
}

/// For people: where it is, and what to type next.
pub(super) fn text(of: &Announcement<'_>) -> String {
    let mut text = format!(
        "qpc-server {} is ready\n\n  clients      {} (UDP)\n  metrics      http://{}/metrics\n  data         {}\n  \
         fingerprint  {}\n",
        env!("CARGO_PKG_VERSION"),
        of.listen,
        of.metrics,
        client_lines::shown(of.data_dir),
        of.fingerprint,
    );
    if let Some(federation) = of.federation {
        text.push_str(&format!("  servers      {federation} (UDP)\n"));
    }
    if let Some(invite) = of.invite {
        text.push_str(&format!("  invite       {invite}\n"));
    }
    if of.invite.is_some() || of.open {
        let [alice, bob, to_bob, to_alice] = &lines(&of.client, of.listen, of.fingerprint, of.invite);
        text.push_str(&format!(
            "\nIn a second terminal, alice:\n\n  {alice}\n  {to_bob}\n\nIn a third terminal, bob:\n\n  {bob}\n  {to_alice}\n"
        ));
    }
    if !of.open {
        let server = client_lines::program("qpc-server");
        let data = client_lines::quote(&of.data_dir.to_string_lossy());
        text.push_str(&format!(
            "\nMore invites:\n\n  {server} --data-dir {data} invite create --uses 10 --expires 7d\n\n"
        ));
    }
    text.push_str("Ctrl-C stops the server.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_programs_keeps_its_order() {
        let of = Announcement {
            listen: "127.0.0.1:7000".parse().unwrap(),
            metrics: "[::1]:9090".parse().unwrap(),
            federation: None,
            fingerprint: "ab",
            invite: None,
            data_dir: Path::new("data"),
            client: String::new(),
            open: false,
        };
        let line = r#"{"listen":"127.0.0.1:7000","metrics":"[::1]:9090","fingerprint":"ab","invite":null}"#;
        assert_eq!(json(&of).unwrap(), format!("{line}\n"));
        let of = Announcement { federation: Some("10.0.1.1:7001".parse().unwrap()), ..of };
        let line = line.replace('}', r#","federation":"10.0.1.1:7001"}"#);
        assert_eq!(json(&of).unwrap(), format!("{line}\n"));
    }
}
