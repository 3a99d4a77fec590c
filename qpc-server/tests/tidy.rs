//! The house rules that a program can check: layers, file headers, sizes, limits that are
//! documented, invariants that are tested. It reads the sources as text and judges nothing else.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The layers of the server, outermost first: a module may use its own layer's
/// helpers by name below and everything further down, never what is above.
const LAYERS: [(&str, &[&str]); 6] = [
    (
        "composition",
        &[
            "main", "backup", "cli", "config", "server", "shutdown", "data_dir", "logging", "doctor", "notify",
            "why_slow",
        ],
    ),
    ("edge", &["transport", "session", "federation", "acme", "admin"]),
    ("domain", &["account", "delivery", "group", "blob"]),
    ("shared state", &["registry", "policy", "peers", "metrics", "tasks", "told", "turns", "field"]),
    ("ports", &["store", "blob_store", "clock", "remote", "rng"]),
    (
        "adapters",
        &[
            "store/sqlite",
            "store/memory",
            "blob_store/sqlite",
            "blob_store/objects",
            "blob_store/memory",
            "blob_store/reserve",
        ],
    ),
];

/// Lines after which a file holds a second concept.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file of the workspace, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    fn walk(directory: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "data" {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let key = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.insert(key, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root(), &root(), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if path.ends_with("mod.rs") {
            faults.push(format!("{path}: foo.rs stands beside foo/, there is no mod.rs"));
        }
        if !text.starts_with("//!") && !text.starts_with("#![no_main]") {
            faults.push(format!("{path}: a file opens with what it is"));
        }
        if text.lines().count() > LINES_MAX {
            faults.push(format!("{path}: {} lines; which second concept moved in?", text.lines().count()));
        }
        for mark in ["TODO", "FIXME", "HACK", "todo!(", "unimplemented!("] {
            if path != "qpc-server/tests/tidy.rs" && text.contains(mark) {
                faults.push(format!("{path}: {mark}"));
            }
        }
        // Cut in two, so that this file is judged like every other.
        if text.contains(concat!("#[ign", "ore]")) {
            faults.push(format!("{path}: a test ignored without a reason"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The layer of a server module such as `store/sqlite/writer` or `session`.
fn layer_of(module: &str) -> Option<usize> {
    let longest = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(index, (_, modules))| modules.iter().map(move |name| (index, *name)))
        .filter(|(_, name)| module == *name || module.starts_with(&format!("{name}/")))
        .max_by_key(|(_, name)| name.len());
    longest.map(|(index, _)| index)
}

/// The modules that a piece of code names after `crate::`, as paths of at most two parts.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let flat: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line.trim(), " "]).collect();
    for (at, marker) in flat.match_indices("crate::") {
        let path = &flat[at + marker.len()..];
        if let Some(group) = path.strip_prefix('{') {
            // `use crate::{a::b, c::{d, e}}`: the heads at depth one.
            let (mut depth, mut head) = (0, String::new());
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut head)),
                    other if depth == 0 && !other.is_whitespace() => head.push(other),
                    _ => {}
                }
            }
            found.push(head);
        } else {
            found.push(path.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect());
        }
    }
    found
        .into_iter()
        .map(|path| path.split("::").filter(|part| !part.is_empty()).take(2).collect::<Vec<_>>().join("/"))
        .filter(|path| !path.is_empty())
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(module) = path.strip_prefix("qpc-server/src/").and_then(|path| path.strip_suffix(".rs")) else {
            continue;
        };
        if module == "lib" || module.ends_with("/tests") {
            continue;
        }
        let Some(layer) = layer_of(module) else {
            faults.push(format!("{path}: in no layer; add the module to LAYERS and docs/architecture.md"));
            continue;
        };
        for used in uses(code(&text)) {
            let Some(used_layer) = layer_of(&used) else { continue };
            // The adapters implement the port above them; all else points down.
            let implements = LAYERS[layer].0 == "adapters" && LAYERS[used_layer].0 == "ports";
            if used_layer < layer && !implements {
                faults.push(format!("{path} ({}) uses crate::{used} ({})", LAYERS[layer].0, LAYERS[used_layer].0));
            }
            let names_backend = LAYERS[used_layer].0 == "adapters" && LAYERS[layer].0 != "composition";
            if names_backend
                && LAYERS[layer].0 != "adapters"
                && !module.starts_with("store")
                && !module.starts_with("blob_store")
            {
                faults.push(format!("{path}: only the composition names a backend, not crate::{used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_know_each_other_in_one_direction() {
    let manifest = |name: &str| {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        text.split("[dev-dependencies]").next().unwrap().to_owned()
    };
    for (of, never) in [
        ("qpc-proto", &["qpc-server", "qpc-client", "tokio", "quinn", "rusqlite", "getrandom"][..]),
        ("qpc-server", &["qpc-client"][..]),
        ("qpc-client", &["qpc-server", "dashmap", "prometheus"][..]),
    ] {
        for name in never {
            assert!(!manifest(of).contains(&format!("\n{name}")), "{of} depends on {name}");
        }
    }
}

#[test]
fn sql_stays_in_the_adapters_and_frames_at_the_edge() {
    for (path, text) in sources() {
        let Some(module) = path.strip_prefix("qpc-server/src/") else { continue };
        let text = code(&text);
        if !["store/sqlite", "blob_store/sqlite"].iter().any(|adapter| module.starts_with(adapter)) {
            assert!(!text.contains("rusqlite"), "{path} knows the storage engine");
        }
        if !module.starts_with("group/public") {
            assert!(!text.contains("openmls"), "{path} looks into MLS");
        }
        if ["account", "delivery", "group", "blob", "registry", "policy"].iter().any(|name| module.starts_with(name)) {
            assert!(!text.contains("quinn::"), "{path} knows sockets");
        }
    }
}

#[test]
fn only_authentication_makes_an_actor() {
    for (path, text) in sources() {
        let allowed = path.starts_with("qpc-server/src/account")
            || path.starts_with("qpc-server/src/store")
            // For whom another server speaks, which has proved its domain.
            || path == "qpc-server/src/group/guest.rs"
            || path.starts_with("benches/")
            || path.contains("/tests/");
        assert!(allowed || !code(&text).contains("Actor::authenticated("), "{path} makes an Actor");
    }
}

#[test]
fn every_limit_is_documented() {
    let table = document("limits.md");
    let limits = fs::read_to_string(root().join("qpc-proto/src/limits.rs")).unwrap();
    let wire = limits.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    // The server's own: the fields of its structs of limits, but those that hold the structs together.
    let limits = fs::read_to_string(root().join("qpc-server/src/policy/limits.rs")).unwrap();
    let own = limits.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let own = own.filter(|(_, kind)| !kind.ends_with("Limits,") && !kind.ends_with("Settings,") && *kind != "Rates,");
    let names = wire.chain(own.map(|(name, _)| name).filter(|name| !["per_minute", "burst"].contains(name)));
    let missing: Vec<&str> = names.filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/limits.md lacks {missing:?}");
}

/// The names of all functions in the parts of the sources that are tests.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in sources() {
        let whole = path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("conformance");
        let part = if whole { Some(text.as_str()) } else { text.split_once("#[cfg(test)]").map(|(_, tests)| tests) };
        let lines = part.unwrap_or_default().lines().map(str::trim_start);
        let names = lines.filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?.split(['(', '<']).next()
        });
        found.extend(names.map(str::to_owned));
    }
    found
}

/// What looks like the name of a test in a text: lower case, in backticks, several words.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let word = |name: &&str| name.contains('_') && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    quoted.filter(word).collect()
}

#[test]
fn every_bound_of_the_server_is_documented_and_every_documented_one_exists() {
    let limits = document("limits.md");
    let (_, table) = limits.split_once("## Of the server").unwrap();
    let (table, _) = table.split_once("## Of the client").unwrap();
    let upper = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    // A limit and its value stand in the first three cells; further on are codes.
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let cells = rows.flat_map(|line| line.trim_start_matches("| ").split(" | ").take(3));
    let documented: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(upper).collect();
    let sources = sources();
    let server = sources.iter().filter(|(path, _)| path.starts_with("qpc-server/src/"));
    let consts: BTreeSet<&str> = server
        .flat_map(|(_, text)| code(text).lines())
        .filter_map(|line| line.trim_start_matches("pub(super) ").strip_prefix("const ")?.split(':').next())
        .collect();
    let stale: Vec<_> = documented.difference(&consts).collect();
    assert!(stale.is_empty(), "docs/limits.md names what is not there: {stale:?}");
    let missing: Vec<_> = consts.iter().filter(|name| name.ends_with("_MAX") && !documented.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/limits.md lacks {missing:?}");
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let architecture = document("architecture.md");
    let (_, section) = architecture.split_once("## Invariants").expect("docs/architecture.md has a section Invariants");
    let (mut number, mut held) = (0, BTreeMap::<usize, Vec<&str>>::new());
    for line in section.lines().take_while(|line| !line.starts_with("## ") && !line.starts_with("Deliberately")) {
        if let Some(next) = line.split_once(". ").and_then(|(number, _)| number.parse().ok()) {
            assert_eq!(next, number + 1, "invariants are numbered one by one");
            number = next;
            held.insert(number, Vec::new());
        } else if number > 0 {
            held.entry(number).or_default().extend(named(line));
        }
    }
    assert!(number >= 13);
    let tests = tests();
    for (number, names) in held {
        assert!(!names.is_empty(), "docs/architecture.md names no test of invariant {number}");
        let missing: Vec<_> = names.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(missing.is_empty(), "docs/architecture.md, invariant {number}: no such test {missing:?}");
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let model = document("threat-model.md");
    let rows: Vec<&str> = model.lines().filter(|line| line.starts_with("| ")).collect();
    let held: Vec<&str> = rows.iter().filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next()).collect();
    let names: Vec<&str> = held.iter().flat_map(|cell| named(cell)).collect();
    assert!(names.len() > 20, "the table was not found");
    let tests = tests();
    let missing: Vec<_> = names.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/threat-model.md: no such test {missing:?}");
}

#[test]
fn what_to_do_when_something_is_wrong_names_metrics_that_exist() {
    let sources = sources();
    let metrics: String = sources
        .iter()
        .filter(|(path, _)| path.starts_with("qpc-server/src/metrics"))
        .map(|(_, text)| text.as_str())
        .collect();
    for name in ["operations/install.md", "operations/incident-response.md"] {
        let text = document(name);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("qpc_")).collect();
        let missing: Vec<_> = named.iter().filter(|metric| !metrics.contains(&format!("\"{metric}\""))).collect();
        assert!(missing.is_empty(), "docs/{name}: no such metric {missing:?}");
        assert!(name.ends_with("install.md") || named.len() > 10, "docs/{name}: the metrics were not found");
    }
}
