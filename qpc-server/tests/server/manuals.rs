//! The manuals of operators: every command in their `sh` blocks is run, in order, in one directory.
//!
//! A block marked `sh server` starts a server, which runs until the manual ends. Ports are free ones.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::program::{Program, http};

/// The blocks of a manual: whether each starts a server, and its lines.
fn blocks(text: &str) -> Vec<(bool, Vec<&str>)> {
    let mut found: Vec<(bool, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some("sh") | Some("sh server") if !inside => {
                inside = true;
                found.push((line.ends_with("server"), Vec::new()));
            }
            Some(_) => inside = false,
            None if inside => found.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    found
}

/// A shell in a directory, with both programs on its path.
fn shell(dir: &Path, line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", line]).current_dir(dir).stdin(Stdio::null()).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.join("bin").display())).env("HOME", dir);
    command.env("QPC_SERVER__LISTEN", "127.0.0.1:0").env("QPC_METRICS__LISTEN", "127.0.0.1:0");
    command
}

fn follow(name: &str) {
    let temp = tempfile::tempdir().unwrap();
    let dir: PathBuf = temp.path().canonicalize().unwrap();
    fs::create_dir(dir.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_qpc-server"), dir.join("bin/qpc-server")).unwrap();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations").join(name);
    let text = fs::read_to_string(manual).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= 2, "{name}: the blocks were not found");
    let mut server: Option<Program> = None;
    for (starts, lines) in blocks {
        for line in lines {
            if starts {
                server = Some(Program::spawn(&mut shell(&dir, &format!("exec env {line} --json"))));
                continue;
            }
            // Where the server listens for metrics is what `health` asks.
            let metrics = server.as_ref().map_or("127.0.0.1:0".to_owned(), |server| server.metrics.to_string());
            let output = shell(&dir, line).env("QPC_METRICS__LISTEN", metrics).output().unwrap();
            assert!(output.status.success(), "{name}: {line}: {output:?}");
        }
    }
    let server = server.unwrap_or_else(|| panic!("{name}: no server was started"));
    assert!(http(server.metrics, "/readyz").starts_with("HTTP/1.1 200"), "{name}: it does not run to the end");
}

#[test]
fn configure() {
    follow("configure.md");
}

#[test]
fn backup_and_restore() {
    follow("backup-restore.md");
}

#[test]
fn scale() {
    follow("scale.md");
}
