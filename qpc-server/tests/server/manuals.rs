//! The manuals of operators: every command in their `sh` blocks is run, in order, in one directory.
//!
//! A block marked `sh server` starts a server, which runs until the manual ends. Ports are free ones. Those of a server that is
//! installed already are in `beside`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::program::{Program, http};

/// The blocks of a manual: whether each starts a server, and its lines.
pub(crate) fn blocks(text: &str) -> Vec<(bool, Vec<&str>)> {
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
pub(crate) fn shell(dir: &Path, line: &str) -> Command {
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

/// The commands of a text: what stands in blocks, and between backticks in sentences, and begins with one of the programs.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside || line.starts_with("    ") {
            found.extend(parts(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).flat_map(parts));
        }
    }
    found
}

/// Those of one line of a shell: each side of a pipe, up to a comment or a file.
fn parts(line: &str) -> Vec<(String, Vec<String>)> {
    let line = line.split(" #").next().unwrap_or_default();
    line.split(['|', ';', '&', '<', '>']).filter_map(command).collect()
}

fn command(text: &str) -> Option<(String, Vec<String>)> {
    let mut words = words(text).into_iter().peekable();
    if words.next_if(|word| word == "sudo").is_some() && words.next_if(|word| word == "-u").is_some() {
        words.next();
    }
    while words.next_if(|word| word.starts_with("QPC_") && word.contains('=')).is_some() {}
    let program = words.next()?.rsplit('/').next()?.to_owned();
    // What is left out there is something.
    let arguments: Vec<_> = words.map(|word| word.replace('…', "x")).collect();
    let is_named = ["qpc-server", "qpc-client"].contains(&program.as_str());
    (is_named && !arguments.is_empty()).then_some((program, arguments))
}

/// Words, of which quoted ones may hold spaces.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in text.trim().chars() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => words.push(String::new()),
            (letter, _) => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(pages(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            all.push(path);
        }
    }
    all
}

/// Each is one that its program knows, with these options: asked for its help with them, it gives it.
#[test]
fn every_command_of_every_manual_is_one_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = pages(&root.join("docs"));
    all.push(root.join("README.md"));
    let mut count = 0;
    for page in all {
        for (program, arguments) in commands(&fs::read_to_string(&page).unwrap()) {
            let program = Path::new(env!("CARGO_BIN_EXE_qpc-server")).with_file_name(program);
            let asked = Command::new(&program).args(&arguments).arg("--help").env_clear().stdin(Stdio::null()).output();
            let asked = asked.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
            let said = String::from_utf8_lossy(&asked.stderr);
            assert!(asked.status.success(), "{}: {} {arguments:?}: {said}", page.display(), program.display());
            count += 1;
        }
    }
    assert!(count >= 100, "only {count} were found");
}

#[test]
fn commands_are_found_in_blocks_and_sentences() {
    let text = "Say `qpc-server doctor --deep` or `db check`.\n\n    sudo -u qpc qpc-server invite create   # one\n    \
                seq 3 | target/release/qpc-client --pin sha256:… send bob \"a b\" >file\n    cargo build -p qpc-server\n";
    let found: Vec<_> = commands(text).into_iter().map(|(program, arguments)| (program, arguments.join(" "))).collect();
    let expected = [
        ("qpc-server", "doctor --deep"),
        ("qpc-server", "invite create"),
        ("qpc-client", "--pin sha256:x send bob a b"),
    ];
    assert_eq!(found, expected.map(|(program, arguments)| (program.to_owned(), arguments.to_owned())));
}
