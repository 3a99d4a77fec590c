//! What a line typed in a chat means: words to say, or a command that begins with a slash.

use super::deed::{self, Deed};
use crate::cli::args::seconds;

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
    /// `/file PATH [CAPTION]`
    File {
        path: String,
        /// Empty for none.
        caption: String,
    },
    /// `/get ID [PATH]`
    Get { id: String, path: Option<String> },
    /// `/reply MSG TEXT` and its like.
    Do { message: String, deed: Deed },
    /// `/poll QUESTION | ANSWER | ANSWER`
    Poll { question: String, options: Vec<String>, several: bool },
    /// `/lifetime [TIME]`
    Lifetime(Option<u32>),
    /// `/pins`
    Pins,
    /// `/mute` and `/unmute`
    Mute { removed: bool },
    /// `/contacts`
    Contacts,
    /// `/status`
    Status,
    /// A command that is none, or one without what it needs; what to say about it.
    Wrong(String),
}

/// The commands: what is typed, and what it does.
pub(super) const COMMANDS: [(&str, &str); 32] = [
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
    ("/reply MSG TEXT", "answer a message: last, mine, or the digits beside it"),
    ("/edit MSG TEXT", "replace the words of a message of yours"),
    ("/delete MSG", "delete a message for everybody"),
    ("/react MSG EMOJI", "put an emoji on a message"),
    ("/unreact MSG EMOJI", "take it away"),
    ("/forward MSG NAME", "send a message on to somebody else"),
    ("/pin MSG", "keep a message in view of everybody"),
    ("/unpin MSG", "take the pin away"),
    ("/pins", "what is pinned here"),
    ("/poll Q | A | B", "ask a question with answers; +Q: several can be chosen"),
    ("/vote MSG NUMBER", "choose in a poll; also none, or close"),
    ("/lifetime [TIME]", "make messages disappear after 1h, 1d, 1w; off: they stay"),
    ("/file PATH [CAPTION]", "send a file; a path with spaces in \"quotes\""),
    ("/get ID [PATH]", "fetch a file, to here or to a path"),
    ("/mute", "no bell of this conversation any more, in this home"),
    ("/unmute", "a bell again"),
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
        ("file", rest) => match rest.as_deref().and_then(first) {
            Some((path, caption)) => Typed::File { path: path.to_owned(), caption: caption.to_owned() },
            None => Typed::Wrong("/file which file? Its path, one with spaces in \"quotes\", and a caption".to_owned()),
        },
        ("get", rest) => match rest
            .as_deref()
            .and_then(|rest| rest.split_once(char::is_whitespace).or(Some((rest, ""))))
        {
            Some((id, rest)) => match first(rest.trim()) {
                None if rest.is_empty() => Typed::Get { id: id.to_owned(), path: None },
                Some((path, "")) => Typed::Get { id: id.to_owned(), path: Some(path.to_owned()) },
                _ => Typed::Wrong("/get to where? One path, with spaces in \"quotes\"; or none, for here".to_owned()),
            },
            None => Typed::Wrong("/get which file? The id that stands beside it, or its beginning".to_owned()),
        },
        (name, rest) if deed::OF_MESSAGES.iter().any(|word| word.strip_prefix('/') == Some(name)) => {
            match deed::understand(name, rest.as_deref().unwrap_or_default()) {
                Ok((message, deed)) => Typed::Do { message, deed },
                Err(why) => Typed::Wrong(why),
            }
        }
        ("poll", rest) => match deed::poll(rest.as_deref().unwrap_or_default()) {
            Ok((question, options, several)) => Typed::Poll { question, options, several },
            Err(why) => Typed::Wrong(why),
        },
        ("lifetime", None) => Typed::Lifetime(None),
        ("lifetime", Some(time)) => seconds(&time).map_or_else(Typed::Wrong, |time| Typed::Lifetime(Some(time))),
        ("pins", None) => Typed::Pins,
        ("mute", None) => Typed::Mute { removed: false },
        ("unmute", None) => Typed::Mute { removed: true },
        ("contacts", None) => Typed::Contacts,
        ("status", None) => Typed::Status,
        (name, _) => {
            Typed::Wrong(format!("/{name} is no command; /help lists them. To say it, write two slashes: /{line}"))
        }
    }
}

/// The first word, which may be in quotes, and what comes behind it.
fn first(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_once(char::is_whitespace).unwrap_or((text, "")),
    };
    (!word.is_empty()).then(|| (word, rest.trim()))
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
        let file = |path: &str, caption: &str| Typed::File { path: path.to_owned(), caption: caption.to_owned() };
        assert_eq!(understand("/file photo.jpg"), file("photo.jpg", ""));
        assert_eq!(understand("/file photo.jpg  the garden "), file("photo.jpg", "the garden"));
        assert_eq!(understand("/file \"a photo.jpg\" the garden"), file("a photo.jpg", "the garden"));
        let get = |id: &str, path: Option<&str>| Typed::Get { id: id.to_owned(), path: path.map(str::to_owned) };
        assert_eq!(understand("/get 0198c1de"), get("0198c1de", None));
        assert_eq!(understand("/get 0198c1de a/b.jpg"), get("0198c1de", Some("a/b.jpg")));
        assert_eq!(understand("/get 0198c1de \"a b.jpg\""), get("0198c1de", Some("a b.jpg")));
        for wrong in ["/file", "/file \"", "/file \"a", "/file \"\" b", "/get", "/get 1 a b", "/get 1 \"a"] {
            assert!(matches!(understand(wrong), Typed::Wrong(_)), "{wrong}");
        }
        for wrong in ["/open", "/join", "/invite bob", "/history x", "/history 0", "/etc/hosts", "/quit now", "/"] {
            assert!(matches!(understand(wrong), Typed::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn the_help_lists_every_command_and_nothing_else() {
        for (usage, _) in COMMANDS {
            let word = usage.split(' ').next().unwrap();
            let wants = [" NAME", " LINK", " PATH", " ID"].iter().any(|what| usage.contains(what));
            let filled = match usage.split_once(" MSG") {
                Some((_, more)) => format!("{word} last{}", more.replace("NUMBER", "1")),
                None if word == "/poll" => (*usage).to_owned(),
                None if wants => format!("{word} x"),
                None => word.to_owned(),
            };
            assert!(!matches!(understand(&filled), Typed::Wrong(_) | Typed::Say(_)), "{usage}");
        }
    }
}
