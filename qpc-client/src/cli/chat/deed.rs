//! What is done to a message in a chat, as typed: `/reply MSG TEXT` and its like, in the conversation that is open.

use qpc_client::api::Command;

/// The commands that name a message first.
pub(super) const OF_MESSAGES: [&str; 9] =
    ["/reply", "/edit", "/delete", "/react", "/unreact", "/forward", "/pin", "/unpin", "/vote"];

/// Something to do to a message, or a question to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Reply(String),
    Edit(String),
    Delete,
    React { emoji: String, removed: bool },
    Forward(String),
    Pin { removed: bool },
    Vote(Vec<u32>),
    ClosePoll,
}

/// Understands what stands behind a command; gives what is missing where it is not all there.
pub(super) fn understand(name: &str, rest: &str) -> Result<(String, Deed), String> {
    let (message, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let more = more.trim();
    if message.is_empty() {
        return Err(format!("/{name} which message? last, mine, or the digits that stand beside it"));
    }
    let words = |what: &str| if more.is_empty() { Err(format!("/{name} {what}")) } else { Ok(more.to_owned()) };
    let nothing =
        |deed| if more.is_empty() { Ok(deed) } else { Err(format!("/{name} takes a message and nothing more")) };
    let deed = match name {
        "reply" => Deed::Reply(words("with what? Write it behind the message")?),
        "edit" => Deed::Edit(words("to what? Write the new words behind the message")?),
        "delete" => nothing(Deed::Delete)?,
        "react" => Deed::React { emoji: words("with what? One emoji")?, removed: false },
        "unreact" => Deed::React { emoji: words("with what? The emoji to take away")?, removed: true },
        "forward" => Deed::Forward(words("to whom? A name, or a group's name")?),
        "pin" => nothing(Deed::Pin { removed: false })?,
        "unpin" => nothing(Deed::Pin { removed: true })?,
        _ => match more {
            "" => return Err("/vote for what? The numbers of the answers, or none, or close".to_owned()),
            "none" => Deed::Vote(Vec::new()),
            "close" => Deed::ClosePoll,
            numbers => {
                let numbers: Result<Vec<u32>, _> = numbers.split_whitespace().map(str::parse).collect();
                Deed::Vote(numbers.map_err(|_| "/vote for what? The numbers of the answers".to_owned())?)
            }
        },
    };
    Ok((message.to_owned(), deed))
}

impl Deed {
    /// The same for the library.
    pub(super) fn command(self, to: String, message: String) -> Command {
        match self {
            Self::Reply(text) => Command::Reply { to, message, text },
            Self::Edit(text) => Command::Edit { to, message, text },
            Self::Delete => Command::Delete { to, message },
            Self::React { emoji, removed } => Command::React { to, message, emoji, removed },
            Self::Forward(whom) => Command::Forward { from: to, message, to: whom },
            Self::Pin { removed } => Command::Pin { to, message, removed },
            Self::Vote(choices) => Command::Vote { to, message, choices },
            Self::ClosePoll => Command::ClosePoll { to, message },
        }
    }

    /// What to call it where it is refused later.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Reply(text) => text.clone(),
            Self::Edit(text) => format!("(other words) {text}"),
            Self::Delete => "(deleting a message)".to_owned(),
            Self::React { emoji, .. } => format!("(reacting) {emoji}"),
            Self::Forward(whom) => format!("(forwarding to {whom})"),
            Self::Pin { .. } => "(pinning)".to_owned(),
            Self::Vote(_) | Self::ClosePoll => "(voting)".to_owned(),
        }
    }
}

/// Understands a poll: `QUESTION | ANSWER | ANSWER`, several of which can be chosen where it begins with a `+`.
pub(super) fn poll(typed: &str) -> Result<(String, Vec<String>, bool), String> {
    let several = typed.starts_with('+');
    let mut parts = typed.strip_prefix('+').unwrap_or(typed).split('|').map(|part| part.trim().to_owned());
    let question = parts.next().unwrap_or_default();
    let options: Vec<String> = parts.collect();
    if question.is_empty() || options.len() < 2 {
        return Err("/poll what? Write it so: /poll When? | Friday | Saturday".to_owned());
    }
    Ok((question, options, several))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_name_a_message_and_what_they_need() {
        let ok = |name, rest: &str| understand(name, rest).unwrap();
        assert_eq!(ok("reply", "last  see you "), ("last".into(), Deed::Reply("see you".into())));
        assert_eq!(ok("edit", "9e44 a b"), ("9e44".into(), Deed::Edit("a b".into())));
        assert_eq!(ok("react", "mine 👍"), ("mine".into(), Deed::React { emoji: "👍".into(), removed: false }));
        assert_eq!(ok("vote", "last 1 3"), ("last".into(), Deed::Vote(vec![1, 3])));
        assert_eq!(ok("vote", "last none"), ("last".into(), Deed::Vote(vec![])));
        assert_eq!(ok("vote", "last close"), ("last".into(), Deed::ClosePoll));
        assert_eq!(ok("forward", "last my group"), ("last".into(), Deed::Forward("my group".into())));
        for word in OF_MESSAGES {
            let name = word.trim_start_matches('/');
            assert!(understand(name, "").unwrap_err().contains("which message"), "{name}");
        }
        for (name, rest) in [("reply", "last"), ("delete", "last now"), ("vote", "last x"), ("pin", "last x")] {
            assert!(understand(name, rest).is_err(), "{name} {rest}");
        }
    }

    #[test]
    fn a_poll_has_a_question_and_answers() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(poll("When? | Friday|Saturday ").unwrap(), ("When?".into(), words(&["Friday", "Saturday"]), false));
        assert!(poll("+ When? | a | b").unwrap().2);
        for wrong in ["", "When?", "When? | a", "| a | b"] {
            assert!(poll(wrong).is_err(), "{wrong}");
        }
    }
}
