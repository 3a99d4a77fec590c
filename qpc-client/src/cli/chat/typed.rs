//! What a line typed in a chat means: words to say, or a command that begins with a slash.

/// A line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing.
    Nothing,
    /// To say this.
    Say(String),
    /// `/help`
    Help,
    /// `/quit`
    Quit,
    /// `/open NAME` or `/open NUMBER`
    Open(String),
    /// `/list`: back to all conversations.
    List,
    /// `/history [N]`
    History(u32),
    /// `/members`
    Members,
    /// `/invite`
    Invite,
    /// `/invites`
    Invites,
    /// `/join LINK`
    Join(String),
    /// `/accept [WHO]`
    Accept(Option<String>),
    /// `/decline [WHO]`
    Decline(Option<String>),
    /// `/block [WHO]`
    Block(Option<String>),
    /// `/unblock [WHO]`
    Unblock(Option<String>),
    /// `/verify [WHO]`
    Verify(Option<String>),
    /// `/contacts`
    Contacts,
    /// `/status`
    Status,
    /// A command that is none, or one without what it needs; what to say about it.
    Wrong(String),
}

/// The commands: what is typed, and what it does.
pub(super) const COMMANDS: [(&str, &str); 16] = [
    ("/open NAME", "talk to somebody or in a group; also the number in the list"),
    ("/list", "all conversations"),
    ("/history [N]", "the last N messages (20)"),
    ("/members", "who is in this conversation"),
    ("/invite", "a link into this group, for 10 people and 7 days"),
    ("/invites", "the links into this group that count"),
    ("/join LINK", "ask by a link to be let into a group"),
    ("/accept [WHO]", "accept a request (writing to them does, too)"),
    ("/decline [WHO]", "put a request aside; they are not told"),
    ("/block [WHO]", "get nothing from them any more; they are not told"),
    ("/unblock [WHO]", "end a block"),
    ("/verify [WHO]", "the safety number, to be compared outside this chat"),
    ("/contacts", "all contacts and requests"),
    ("/status", "the connection, what waits to be sent, alarms"),
    ("/help", "this"),
    ("/quit", "end (Ctrl-D, too)"),
];

/// Understands a line. A message that begins with a slash is written with two.
pub(super) fn understand(line: &str) -> Typed {
    let Some(command) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Typed::Nothing } else { Typed::Say(line.to_owned()) };
    };
    if command.starts_with('/') {
        return Typed::Say(command.to_owned());
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let who = (!rest.is_empty()).then(|| rest.to_owned());
    match (name, who) {
        ("help" | "?" | "h", None) => Typed::Help,
        ("quit" | "exit" | "q", None) => Typed::Quit,
        ("open" | "o", Some(to)) => Typed::Open(to),
        ("open" | "o", None) => Typed::Wrong("/open whom? A name, a group's name, or a number of /list".to_owned()),
        ("list" | "conversations", None) => Typed::List,
        ("history", None) => Typed::History(super::LAST),
        ("history", Some(number)) => match number.parse() {
            Ok(number @ 1..) => Typed::History(number),
            _ => Typed::Wrong("/history how many? A number".to_owned()),
        },
        ("members", None) => Typed::Members,
        ("invite", None) => Typed::Invite,
        ("invites", None) => Typed::Invites,
        ("join", Some(link)) => Typed::Join(link),
        ("join", None) => Typed::Wrong("/join by which link? Write it behind".to_owned()),
        ("accept", who) => Typed::Accept(who),
        ("decline", who) => Typed::Decline(who),
        ("block", who) => Typed::Block(who),
        ("unblock", who) => Typed::Unblock(who),
        ("verify", who) => Typed::Verify(who),
        ("contacts", None) => Typed::Contacts,
        ("status", None) => Typed::Status,
        (name, _) => {
            Typed::Wrong(format!("/{name} is no command; /help lists them. To say it, write two slashes: /{line}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_unless_it_begins_with_a_slash() {
        assert_eq!(understand("hello / there "), Typed::Say("hello / there ".to_owned()));
        assert_eq!(understand("//etc/hosts"), Typed::Say("/etc/hosts".to_owned()));
        assert_eq!(understand("   "), Typed::Nothing);
    }

    #[test]
    fn commands_take_what_they_need() {
        let text = |text: &str| text.to_owned();
        assert_eq!(understand("/open  bob "), Typed::Open(text("bob")));
        assert_eq!(understand("/open my group"), Typed::Open(text("my group")));
        assert_eq!(understand("/accept"), Typed::Accept(None));
        assert_eq!(understand("/verify bob"), Typed::Verify(Some(text("bob"))));
        assert_eq!(understand("/accept carol"), Typed::Accept(Some(text("carol"))));
        assert_eq!(understand("/history"), Typed::History(20));
        assert_eq!(understand("/history 5"), Typed::History(5));
        assert_eq!(understand("/join qpc://a/join/b#c"), Typed::Join(text("qpc://a/join/b#c")));
        for wrong in ["/open", "/join", "/invite bob", "/history x", "/history 0", "/etc/hosts", "/quit now", "/"] {
            assert!(matches!(understand(wrong), Typed::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn the_help_lists_every_command_and_nothing_else() {
        for (usage, _) in COMMANDS {
            let word = usage.split(' ').next().unwrap();
            let filled =
                if usage.contains(" NAME") || usage.contains(" LINK") { format!("{word} x") } else { word.to_owned() };
            assert!(!matches!(understand(&filled), Typed::Wrong(_) | Typed::Say(_)), "{usage}");
        }
    }
}
