//! The lines that a person types next, to be pasted as they are into any shell.

use std::{env, net::SocketAddr, path::PathBuf};

/// How a shell finds one of the two programs: by its name if it is on the path, else by where it lies
/// beside this one.
pub(super) fn program(name: &str) -> String {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name))).filter(|path| path.is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).any(|dir| dir.join(name).is_file());
    match beside {
        Some(beside) if !on_path => quote(&beside.to_string_lossy()),
        _ => name.to_owned(),
    }
}

/// Where clients on this machine reach a server that listens on all addresses.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// The lines for two people on this machine, each with a home of their own.
pub(super) fn lines(client: &str, listen: SocketAddr, fingerprint: &str, invite: Option<&str>) -> [String; 4] {
    let server = reachable(listen);
    let token = invite.map(|invite| format!(" --auth-token {invite}")).unwrap_or_default();
    let home = |name: &str| format!("{client} --home ~/.qpc-{name}");
    let register = |name: &str| format!("{} --server {server} --pin {fingerprint}{token} register {name}", home(name));
    let chat = |name: &str, with: &str| format!("{} chat {with}", home(name));
    [register("alice"), register("bob"), chat("alice", "bob"), chat("bob", "alice")]
}

/// A word that a shell takes as it is.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The path as a person would write it: from here where it lies below.
pub(super) fn shown(path: &std::path::Path) -> String {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::new());
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_pasted() {
        let lines = lines("qpc-client", "0.0.0.0:7000".parse().unwrap(), "sha256:ab", Some("tok"));
        assert_eq!(
            lines[0],
            "qpc-client --home ~/.qpc-alice --server 127.0.0.1:7000 --pin sha256:ab --auth-token tok register alice"
        );
        assert_eq!(lines[3], "qpc-client --home ~/.qpc-bob chat alice");
        assert_eq!(quote("/opt/qpc/qpc-client"), "/opt/qpc/qpc-client");
        assert_eq!(quote("/my dir/it's"), r"'/my dir/it'\''s'");
        assert_eq!(reachable("[::]:7".parse().unwrap()).to_string(), "127.0.0.1:7");
    }
}
