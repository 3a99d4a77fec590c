//! Tables that stand both in code and in `docs/` are the same.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{fs, path::PathBuf};

use qpc_proto::error::{CloseCode, Code};

fn document(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

#[test]
fn the_protocol_document_lists_every_error_code() {
    let text = document("protocol.md");
    for code in Code::ALL {
        let again = if code.retryable() { "yes" } else { "no" };
        let row = format!("| {} | `{}` | {again} | {} |", *code as u32, code.name(), code.meaning());
        assert!(text.contains(&row), "docs/protocol.md section 14 lacks this row:\n{row}");
    }
    let rows =
        text.lines().filter(|line| line.starts_with("| ") && line.contains("` | yes |") || line.contains("` | no |"));
    assert_eq!(rows.count(), Code::ALL.len(), "a row too many");
}

/// Code, name and meaning of every close code, as the source has them.
fn close_codes() -> Vec<(u64, String, String)> {
    let source = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/error.rs")).unwrap();
    let (_, block) = source.split_once("pub enum CloseCode {").unwrap();
    let (block, _) = block.split_once("\n}").unwrap();
    let (mut codes, mut meaning) = (Vec::new(), Vec::new());
    for line in block.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            meaning.push(text);
        } else if let Some((name, code)) = line.trim_end_matches(',').split_once(" = ") {
            codes.push((code.parse().unwrap(), name.to_owned(), meaning.join(" ")));
            meaning.clear();
        }
    }
    codes
}

#[test]
fn the_protocol_document_lists_every_close_code() {
    let codes = close_codes();
    let read: Vec<_> =
        (0..=255).filter_map(|code| Some((code, format!("{:?}", CloseCode::from_wire(code)?)))).collect();
    let named: Vec<_> = codes.iter().map(|(code, name, _)| (*code, name.clone())).collect();
    assert_eq!(read, named, "what is read is not what is defined");
    let text = document("protocol.md");
    let (_, section) = text.split_once("A connection is closed with one of these").unwrap();
    // Its table alone: others come after it.
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = table.filter(|line| line.starts_with("| ")).skip(1).collect();
    let wanted: Vec<_> = codes.iter().map(|(code, name, meaning)| format!("| {code} | {name} | {meaning} |")).collect();
    assert_eq!(rows, wanted, "docs/protocol.md section 14");
}
