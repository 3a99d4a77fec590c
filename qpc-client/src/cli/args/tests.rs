//! What can be typed, and what can not.

use super::*;

fn typed(line: &str) -> Result<Typed, clap::Error> {
    Typed::try_parse_from(std::iter::once("qpc-client").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_consistent_and_hides_nothing() {
    definition().debug_assert();
    fn visible(command: &clap::Command) -> bool {
        command.get_arguments().all(|a| !a.is_hide_set())
            && command.get_subcommands().all(|c| !c.is_hide_set() && visible(c))
    }
    assert!(visible(&definition()));
}

#[test]
fn every_form_of_the_documented_command_line_parses() {
    for line in [
        "",
        "--server localhost --home /h --auth-token t --pin sha256:00 --password-file f --json",
        "--server localhost:7000 --ca f.pem whoami",
        "register alice",
        "register alice --server localhost:7000 --pin sha256:00",
        "register alice --passphrase",
        "login alice",
        "login alice --passphrase-file f",
        "whoami",
        "status --json",
        "alarms list",
        "alarms acknowledge 1 2",
        "logout",
        "chat",
        "chat bob",
        "chat bob@chat.example",
        "conversations",
        "send bob hello",
        "send bob -",
        "send bob -5",
        "send bob --dashes",
        "send bob hello --reply-to last",
        "send bob - --reply-to 9e44",
        "edit bob mine hello",
        "edit bob mine -5",
        "delete bob 0199e1e0-0000-7000-8000-000000000002",
        "react bob last 👍",
        "react bob last 👍 --remove",
        "forward bob last friends",
        "pin friends last",
        "unpin friends 9e44",
        "pins friends --json",
        "poll friends When? Friday Saturday --several",
        "vote friends last 1 3",
        "vote friends last --none",
        "vote friends last --close",
        "history bob --ids",
        "listen",
        "listen --follow",
        "listen --follow --json",
        "listen --follow --changes --json",
        "history bob",
        "history bob --limit 5",
        "contacts list",
        "contacts accept bob",
        "contacts decline bob",
        "contacts block bob",
        "contacts unblock bob",
        "contacts trust bob",
        "group move crew",
        "group move crew --force --json",
        "verify bob",
        "verify bob@chat.example --json",
        "verify bob --confirm",
        "verify bob --confirm 12345 67890",
        "verify bob --confirm 1234567890 --json",
        "verify bob --scanned QPC-VERIFY:1:00",
        "verify bob --scanned -",
        "verify bob --undo",
        "verify bob --accept-new-key",
        "group create friends",
        "group create friends bob carol",
        "group create friends bob --suite post-quantum",
        "group create --suite auto friends bob",
        "group add friends bob carol",
        "group remove friends bob",
        "group role friends bob owner",
        "group leave friends",
        "group list",
        "group describe friends --name pals",
        "group describe friends --topic tea --picture f.png",
        "group describe friends --no-picture",
        "group invite friends",
        "group invite friends --expires 90m --uses 1000",
        "group invites friends",
        "group uninvite friends 2",
        "group join qpc://chat.example/join/x#y",
        "group join -",
        "group picture friends",
        "group picture friends -o f.png --force",
        "group members friends",
        "devices list",
        "devices revoke 0198",
        "password change",
        "account delete",
        "completions bash",
        "file send bob photo.jpg",
        "file send friends a b --caption tea --json",
        "file list friends",
        "file get 0198c1de",
        "file get 0198c1de -o photo.jpg",
        "man",
    ] {
        let parsed = typed(line);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn what_is_not_documented_is_refused_with_code_2() {
    for line in [
        "frobnicate",
        "register",
        "register a b",
        "send bob",
        "send bob two words",
        "history bob --limit 0",
        "group add friends",
        "group role friends bob king",
        "group create friends --suite quantum",
        "group describe friends",
        "group describe friends --picture f.png --no-picture",
        "group picture friends --force",
        "group invite friends --expires 7",
        "group invite friends --expires 0d",
        "group invite friends --expires 366d",
        "group invite friends --expires \u{e9}",
        "group invite friends --uses 0",
        "group invite friends --uses 1001",
        "group uninvite friends",
        "group join",
        "contacts",
        "alarms acknowledge",
        "alarms acknowledge all",
        "verify",
        "verify bob 12345",
        "verify bob --confirm --undo",
        "verify bob --undo --accept-new-key",
        "file",
        "file send bob",
        "listen --changes",
        "vote friends last",
        "vote friends last 1 --close",
        "poll friends When?",
        "react friends last",
        "pin friends",
        "file get",
        "file get 0198 photo.jpg",
        "completions tcsh",
        "--pin sha256:00 --ca f whoami",
        "register alice --password secret",
        "login alice secret",
    ] {
        let error = typed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn options_work_before_and_after_the_command_and_text_stays_text() {
    for line in ["--json send bob hi", "send --json bob hi", "send bob hi --json"] {
        let typed = typed(line).unwrap();
        assert!(typed.common.json, "{line}");
        assert!(matches!(typed.command, Some(Verb::Send { text, .. }) if text == "hi"));
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = definition().render_help().to_string();
    assert!(help.contains("Exit codes:") && help.contains("75"), "{help}");
}
