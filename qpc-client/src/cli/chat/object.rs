//! Lines of a program in `chat --json`: an object each, as the library's commands are, answered by an object.
//!
//! What else is written there, events, comes in between: an answer is known by its `ref`, whatever the program has put there.

use qpc_client::api::{Command, CommandError, Outcome};
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest `ref`, in bytes, as it is written.
const REF_MAX: usize = 256;
/// The field by which a program knows its answer.
const REF: &str = "ref";

/// A line, read.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the program knows its answer by.
    reference: Value,
    /// What it wants, or why that can't be understood.
    pub(super) command: Result<Command, CommandError>,
}

/// Reads a line that begins as an object does; `None` for one that does not.
pub(super) fn read(line: &str) -> Option<Asked> {
    if !line.trim_start().starts_with('{') {
        return None;
    }
    let wrong = |message: String| Err(CommandError::Usage { message });
    let mut object: Map<String, Value> = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => {
            return Some(Asked { reference: Value::Null, command: wrong(format!("not a JSON object: {error}")) });
        }
    };
    let reference = object.remove(REF).unwrap_or_default();
    if reference.to_string().len() > REF_MAX {
        let message = format!("a ref has at most {REF_MAX} bytes");
        return Some(Asked { reference: Value::Null, command: wrong(message) });
    }
    let command = serde_json::from_value(Value::Object(object)).or_else(|error| wrong(format!("no command: {error}")));
    Some(Asked { reference, command })
}

/// An answer, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(rename = "ref", skip_serializing_if = "Value::is_null")]
    reference: Value,
    #[serde(flatten)]
    answer: Answered,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answered {
    Done(Box<Outcome>),
    Failed(CommandError),
}

impl Answer {
    pub(super) fn new(reference: Value, outcome: Result<Outcome, CommandError>) -> Self {
        let answer = match outcome {
            Ok(outcome) => Answered::Done(Box::new(outcome)),
            Err(error) => Answered::Failed(error),
        };
        Self { reference, answer }
    }
}

impl Asked {
    /// The line's parts.
    pub(super) fn into_parts(self) -> (Value, Result<Command, CommandError>) {
        (self.reference, self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: &Answer) -> String {
        serde_json::to_string(answer).unwrap()
    }

    #[test]
    fn a_command_is_an_object_and_its_answer_has_its_ref() {
        let (reference, command) =
            read(r#" {"ref":7,"command":"send","to":"bob","text":"hello"}"#).unwrap().into_parts();
        assert!(matches!(command.unwrap(), Command::Send { to, text } if to == "bob" && text == "hello"));
        let answer = Answer::new(reference, Ok(Outcome::Queued { id: "0198".into() }));
        assert_eq!(written(&answer), r#"{"ref":7,"result":"queued","id":"0198"}"#);
        let answer = Answer::new(Value::Null, Err(CommandError::Usage { message: "no".into() }));
        assert_eq!(written(&answer), r#"{"error":"usage","message":"no"}"#);
    }

    #[test]
    fn what_is_no_command_is_answered_and_what_is_no_object_is_a_line() {
        assert!(read("hello").is_none() && read("/list").is_none() && read("").is_none());
        for wrong in ["{", "{}", r#"{"command":"fly"}"#, r#"{"command":"send","to":"bob"}"#, r#"{"command":1}"#] {
            assert!(read(wrong).unwrap().command.is_err(), "{wrong}");
        }
        let long = format!(r#"{{"ref":"{}","command":"status"}}"#, "x".repeat(REF_MAX));
        assert!(read(&long).unwrap().command.is_err());
    }
}
