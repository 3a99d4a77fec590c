//! The manuals of a server that is installed and runs: every command in their `sh` blocks is run, in order.
//!
//! The machine is a directory. Its paths and addresses stand for those of the manual, everybody is every user there, and
//! `systemctl` and `curl` are what this test does to its server. Ids in the manual stand for those that there are. What a comment says
//! is `refused` must be.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    files::files,
    manuals::{blocks, shell},
    people::{Somebody, Town},
    program::{http, program, run},
};

/// Whoever is somebody here is nobody else: the user is left out.
const SUDO: &str = "#!/bin/sh\n[ \"$1\" != -u ] || shift 2\nexec env \"$@\"\n";

/// A machine with a server that runs, and alice, bob and carol on it; bob has two devices.
struct Machine {
    town: Town,
    root: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let town = Town::found();
        let root = town.dir.path().canonicalize().unwrap();
        let bin = root.join("bin");
        fs::create_dir(&bin).unwrap();
        let server = Path::new(env!("CARGO_BIN_EXE_qpc-server"));
        symlink(server, bin.join("qpc-server")).unwrap();
        symlink(server.with_file_name("qpc-client"), bin.join("qpc-client")).unwrap();
        fs::write(root.join("photo.jpg"), "a garden").unwrap();
        fs::write(bin.join("sudo"), SUDO).unwrap();
        fs::set_permissions(bin.join("sudo"), fs::Permissions::from_mode(0o755)).unwrap();
        let configuration = format!("[server]\ndata_dir = {:?}\n", root.join("data").display().to_string());
        fs::write(root.join("qpc-server.toml"), configuration).unwrap();
        Self { town, root }
    }

    fn peopled() -> Self {
        let machine = Self::new();
        machine.town.friends();
        machine.town.newcomer("carol");
        machine.town.device("bob", "tablet");
        machine
    }

    /// What stands in a list of `admin`, at a place in it.
    fn listed(&self, arguments: &[&str], pointer: &str) -> String {
        let data = self.root.join("data");
        let (code, out, err) = run(program(&data).arg("admin").args(arguments).arg("--json"));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        let value: Value = serde_json::from_str(&out).unwrap();
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{pointer} of {value}")).to_owned()
    }

    /// A line of a manual as it is on this machine.
    fn here(&self, line: &str) -> String {
        let root = self.root.display();
        let mut line = line
            .replace("/var/lib/qpc", &format!("{root}/data"))
            .replace("/srv/backup/qpc", &format!("{root}/backups"))
            .replace("/etc/qpc/qpc-server.toml", &format!("{root}/qpc-server.toml"))
            .replace("127.0.0.1:9090", &self.town.server.metrics.to_string())
            .replace("chat.example:7000", &self.town.server.listen.to_string())
            // Homes are called as their people are.
            .replace("~/qpc-", &format!("{root}/"));
        if line.ends_with(" file get ID") {
            let id = files(&Somebody::of(&self.town, "bob"), "alice").pop().unwrap().0;
            line = line.replace(" ID", &format!(" {id}"));
        }
        let device = |number: u8| self.listed(&["devices", "list", "bob"], &format!("/devices/{number}/device"));
        for (words, what) in [
            ("devices revoke bob 0192f0c1-...", &(|| device(1)) as &dyn Fn() -> String),
            ("--device 0192f0c1-...", &|| device(0)),
            ("invites revoke 1f2e3d4c", &|| self.listed(&["invites", "list"], "/invites/0/id")),
            ("conversations show 0192f0c1-...@chat.example", &|| {
                self.listed(&["conversations", "list"], "/conversations/0/conversation")
            }),
        ] {
            if let Some(at) = line.find(words) {
                let kept = words.rsplit_once(' ').unwrap().0;
                line.replace_range(at..at + words.len(), &format!("{kept} {}", what()));
            }
        }
        line
    }

    fn does(&mut self, line: &str) {
        if let Some(("", action)) = line.strip_prefix("sudo ").unwrap_or(line).split_once("systemctl ") {
            return self.told(action);
        }
        let here = self.here(line);
        if let Some(path) = line.strip_prefix("curl -sf http://127.0.0.1:9090") {
            let page = http(self.town.server.metrics, path);
            return assert!(page.starts_with("HTTP/1.1 200"), "{line}: {page}");
        }
        let mut command: Command = shell(&self.root, &here);
        let output = command.env("QPC_METRICS__LISTEN", self.town.server.metrics.to_string()).output().unwrap();
        let refused = line.contains("# refused");
        // It finds what is wrong with the machine that runs this test.
        let judges = here.contains(" doctor") && output.status.code() == Some(1);
        assert!(output.status.success() != refused || judges, "{line}: {output:?}");
        if line.ends_with("admin drain") {
            self.told("restart qpc-server");
        }
    }

    /// As the supervisor does it.
    fn told(&mut self, action: &str) {
        match action {
            "stop qpc-server" => self.town.server.end(),
            "start qpc-server" | "restart qpc-server" => self.town.restart(),
            other => panic!("what is systemctl {other}?"),
        }
    }

    fn follows(&mut self, name: &str, lines: usize) {
        let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = fs::read_to_string(manual).unwrap();
        let blocks = blocks(&text);
        assert_eq!(blocks.iter().map(|(_, lines)| lines.len()).sum::<usize>(), lines, "{name}: lines in frames");
        for line in blocks.iter().flat_map(|(_, lines)| lines) {
            self.does(line);
        }
    }
}

#[test]
fn begin_and_administer() {
    let mut machine = Machine::peopled();
    machine.follows("README.md", 9);
    machine.follows("docs/operations/admin.md", 25);
}

#[test]
fn change_keys() {
    Machine::peopled().follows("docs/operations/key-rotation.md", 9);
}

#[test]
fn watch_and_find_what_is_wrong() {
    let mut machine = Machine::new();
    machine.follows("docs/operations/monitor.md", 4);
    machine.follows("docs/operations/incident-response.md", 2);
}

#[test]
fn secure_upgrade_and_federate() {
    let mut machine = Machine::new();
    machine.follows("docs/operations/security.md", 5);
    machine.follows("docs/operations/upgrade.md", 5);
    machine.follows("docs/federation.md", 4);
}
