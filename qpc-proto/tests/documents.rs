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

#[test]
fn the_protocol_document_lists_every_close_code() {
    let text = document("protocol.md");
    let mut code = 0;
    while let Some(close) = CloseCode::from_wire(code) {
        assert!(text.contains(&format!("| {code} | {close:?} |")), "docs/protocol.md section 14 lacks {close:?}");
        code += 1;
    }
}
