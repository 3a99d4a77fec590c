//! The worksheet of `capacity` with the built program: by options, by questions on a terminal, for programs.

use serde_json::Value;

use crate::{init::server, program::run, terminal::Terminal};

fn capacity(arguments: &[&str]) -> (i32, String, String) {
    run(server().arg("capacity").args(arguments))
}

fn line(text: &str, begin: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn options_give_the_worksheet_with_the_old_formulas_and_the_source_of_each_constant() {
    let (code, text, stderr) = capacity(&[
        "--users=10000",
        "--messages-per-hour=240",
        "--message-bytes=400",
        "--uploads-per-day=8640",
        "--upload-mb=10",
        "--retention-days=90",
        "--price-vcpu=10",
        "--price-gib-memory=3",
        "--price-gib-disk=0.1",
        "--price-gib-traffic=0.01",
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    // 57.6 million messages a day of 577 bytes and 88.128 GB of files; 23.04 and 86.4 GB.
    assert_eq!(line(&text, "storage a day"), "storage a day 113 GiB 101.9 GiB");
    assert_eq!(line(&text, "memory"), "memory 646.6 MiB 291.8 MiB");
    assert_eq!(line(&text, "vCPU"), "vCPU, half used 1 4");
    assert_eq!(line(&text, "profile"), "profile 10k -");
    assert!(line(&text, "cost a month").starts_with("cost a month 1,"), "{text}");
    assert!(text.contains("\nqpc-server init --profile 10k --domain DOMAIN\n"), "{text}");
    let (_, constants) = text.split_once("Counted with").unwrap();
    let sourced = constants.lines().filter(|line| line.starts_with("  ") && line.contains("   ") && line.contains('('));
    assert!(sourced.filter(|line| line.contains("docs/") || line.contains("config/")).count() >= 11, "{constants}");
}

#[test]
fn programs_get_numbers_and_the_defaults_where_nothing_is_said() {
    let (code, text, _) = capacity(&["--json"]);
    assert_eq!(code, 0);
    let sheet: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&sheet["asked"]["users"], &sheet["needed"]["profile"]), (&1000.0.into(), &"1k".into()));
    assert_eq!(sheet["needed"]["cost_per_month"], Value::Null);
    assert_eq!(sheet["needed"]["old"]["memory_bytes"], 261_000_000.0);
    assert!(
        sheet["constants"].as_array().unwrap().iter().all(|one| one["source"].is_string() && one["date"].is_string())
    );
    // What nobody has measured has no profile.
    let (_, text, _) = capacity(&["--users", "20001"]);
    assert_eq!(line(&text, "profile"), "profile none -");
    assert!(text.contains("docs/operations/scale.md"), "{text}");
}

#[test]
fn numbers_that_can_not_be_are_refused_with_their_bounds() {
    for (argument, said) in [
        ("--users=0", "not from 1 to 1,000,000"),
        ("--users=1000001", "not from 1 to 1,000,000"),
        ("--users=-5", "not from 1 to 1,000,000"),
        ("--messages-per-hour=many", "not a number"),
        ("--upload-mb=inf", "not from 0 to 17,179"),
        ("--retention-days=0", "not from 1 to 36,500"),
        ("--price-vcpu=NaN", "not from 0 to 1,000,000"),
    ] {
        let (code, out, message) = capacity(&[argument]);
        assert_eq!((code, out.as_str()), (2, ""));
        let option = argument.split('=').next().unwrap();
        assert!(message.contains(option) && message.contains(said), "{message}");
    }
}

#[test]
fn on_a_terminal_it_asks_for_what_it_needs() {
    let mut command = server();
    command.arg("capacity");
    let mut asked = Terminal::open(command);
    asked.sees("People connected at the same time [1,000]: ");
    asked.types("a lot\r");
    asked.sees("a lot: not a number");
    asked.sees("People connected at the same time [1,000]: ");
    asked.types("5000\r");
    for question in
        ["Messages that each", "Bytes of a message", "Attachments that all", "MB of an", "How often each", "Days that"]
    {
        asked.sees(question);
        asked.types("\r");
    }
    asked.sees("init --profile 5k");
    asked.ends();
}
