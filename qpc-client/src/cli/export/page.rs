//! The page: one document that needs nothing but the files beside it, and in which nothing that somebody wrote is more than text.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use crate::cli::clock::Clock;
use qpc_client::api::{
    ArchivedConversation, ArchivedFile, ArchivedMessage, ArchivedPoll, Shelf, Unreadable, shown_size,
};

/// No script, nothing from elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; media-src 'self' file:";
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--own:#2a7a4b22;--dim:GrayText}\
body{font:16px/1.45 system-ui,sans-serif;max-width:50rem;margin:0 auto;padding:1rem}\
h2{margin-top:3rem;border-bottom:1px solid var(--line);position:sticky;top:0;background:Canvas;padding:.5rem 0}\
nav ul{columns:2;padding-left:1.2rem}\
.day{text-align:center;color:var(--dim);margin:1.2rem 0 .4rem}\
article{margin:.35rem 0;padding:.4rem .7rem;border:1px solid var(--line);border-radius:.6rem;width:fit-content;max-width:85%}\
article.own{margin-left:auto;background:var(--own)}\
article:target{outline:2px solid Highlight}\
header.m{font-size:.85rem;color:var(--dim)}header.m b{color:CanvasText}\
p{margin:.1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}\
.quote{border-left:3px solid var(--line);padding-left:.5rem;font-size:.9rem}\
.note{font-size:.85rem;color:var(--dim)}\
img,video{max-width:100%;max-height:24rem;display:block}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid var(--line);padding:.2rem .4rem;overflow-wrap:anywhere}";

/// Letters of a message that are quoted.
const QUOTE: usize = 80;

/// A page that is being written.
pub(super) struct Page<W> {
    out: W,
    clock: Clock,
    /// Is a conversation open?
    open: bool,
    day: String,
    /// Of the conversation: who said what, by id, to be quoted.
    said: HashMap<String, (String, String)>,
}

impl<W: Write> Page<W> {
    /// Begins with what there is.
    pub(super) fn begin(out: W, account: &str, (clock, shelves): (Clock, &[Shelf])) -> io::Result<Self> {
        let (day, time) = clock.parts(&clock.stamp());
        let mut page = Self { out, clock, open: false, day: String::new(), said: HashMap::new() };
        let account = text(account);
        write!(
            page.out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <title>{account}: conversations</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <h1>{account}</h1>\n<p class=\"note\">Exported {day} {time}</p>\n<nav><ul>\n",
        )?;
        for (nr, shelf) in shelves.iter().enumerate() {
            let (title, messages) = (text(&shelf.conversation.title), shelf.messages);
            writeln!(
                page.out,
                "<li><a href=\"#c{nr}\"><bdi>{title}</bdi></a> <span class=\"note\">{messages}</span></li>"
            )?;
        }
        page.out.write_all(b"</ul></nav>\n<main>\n")?;
        Ok(page)
    }

    /// The next conversation.
    pub(super) fn conversation(&mut self, nr: usize, told: &ArchivedConversation) -> io::Result<()> {
        self.close()?;
        self.open = true;
        self.day.clear();
        self.said.clear();
        writeln!(self.out, "<section id=\"c{nr}\">\n<h2><bdi>{}</bdi></h2>", text(&told.title))?;
        if !told.topic.is_empty() {
            writeln!(self.out, "<p dir=\"auto\">{}</p>", text(&told.topic))?;
        }
        if !told.members.is_empty() {
            writeln!(self.out, "<p class=\"note\">{}</p>", text(&told.members.join(", ")))?;
        }
        Ok(())
    }

    /// Its next message.
    pub(super) fn message(&mut self, told: &ArchivedMessage) -> io::Result<()> {
        let (day, time) = self.clock.parts(&told.time);
        if day != self.day {
            writeln!(self.out, "<div class=\"day\">{}</div>", text(&day))?;
            self.day = day;
        }
        let own = if told.own { " class=\"own\"" } else { "" };
        writeln!(self.out, "<article id=\"m-{}\"{own}>", text(&told.id))?;
        write!(
            self.out,
            "<header class=\"m\"><b><bdi>{}</bdi></b> <time datetime=\"{}\">{}</time>",
            text(&told.sender),
            text(&told.time),
            text(&time)
        )?;
        for (is, word) in [(told.forwarded, "forwarded"), (told.edited_ms.is_some(), "edited"), (told.pinned, "pinned")]
        {
            if is {
                write!(self.out, " · {word}")?;
            }
        }
        writeln!(self.out, "</header>")?;
        if let Some(target) = &told.reply_to {
            let unknown = (String::new(), "a message that is not here".to_owned());
            let (who, words) = self.said.get(target).unwrap_or(&unknown);
            let (target, who, words) = (text(target), text(who), text(words));
            writeln!(
                self.out,
                "<p class=\"quote\"><a href=\"#m-{target}\"><bdi>{who}</bdi></a> <bdi>{words}</bdi></p>"
            )?;
        }
        if let Some(file) = &told.file {
            self.file(file)?;
        }
        if !told.body.is_empty() {
            writeln!(self.out, "<p dir=\"auto\">{}</p>", text(&told.body))?;
        }
        if let Some(poll) = &told.poll {
            self.poll(poll)?;
        }
        if !told.reactions.is_empty() {
            let all = told.reactions.iter().map(|one| format!("{} {}", one.emoji, one.accounts.len()));
            let who = told.reactions.iter().map(|one| format!("{} {}", one.emoji, one.accounts.join(", ")));
            let (all, who) = (all.collect::<Vec<_>>().join("  "), who.collect::<Vec<_>>().join("; "));
            writeln!(self.out, "<p class=\"note\" title=\"{}\">{}</p>", text(&who), text(&all))?;
        }
        let words = told.body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTE).collect();
        self.said.insert(told.id.clone(), (told.sender.clone(), words));
        writeln!(self.out, "</article>")
    }

    fn file(&mut self, file: &ArchivedFile) -> io::Result<()> {
        let (name, size) = (text(&file.name), shown_size(file.size));
        let Some(saved) = &file.saved else {
            if !file.preview.is_empty() {
                writeln!(self.out, "<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", text(&file.preview))?;
            }
            return writeln!(self.out, "<p class=\"note\"><bdi>{name}</bdi>, {size}: not here</p>");
        };
        let link = link(saved);
        match file.media_type.split_once('/') {
            Some(("image", "png" | "jpeg" | "gif" | "webp")) => {
                writeln!(self.out, "<a href=\"{link}\"><img loading=\"lazy\" alt=\"{name}\" src=\"{link}\"></a>")?;
            }
            Some(("video", _)) => writeln!(self.out, "<video controls preload=\"none\" src=\"{link}\"></video>")?,
            Some(("audio", _)) => writeln!(self.out, "<audio controls preload=\"none\" src=\"{link}\"></audio>")?,
            _ => {}
        }
        writeln!(self.out, "<p class=\"note\"><a href=\"{link}\" download><bdi>{name}</bdi></a>, {size}</p>")
    }

    fn poll(&mut self, poll: &ArchivedPoll) -> io::Result<()> {
        writeln!(self.out, "<ol>")?;
        for (nr, option) in (1_u32..).zip(&poll.options) {
            let who: Vec<_> =
                poll.votes.iter().filter(|vote| vote.choices.contains(&nr)).map(|vote| vote.account.as_str()).collect();
            let (option, count, who) = (text(option), who.len(), text(&who.join(", ")));
            writeln!(self.out, "<li title=\"{who}\"><bdi>{option}</bdi> <span class=\"note\">{count}</span></li>")?;
        }
        writeln!(self.out, "</ol>{}", if poll.closed { "<p class=\"note\">closed</p>" } else { "" })
    }

    fn close(&mut self) -> io::Result<()> {
        if self.open { writeln!(self.out, "</section>") } else { Ok(()) }
    }

    /// Ends with what could not be exported.
    pub(super) fn end(mut self, failed: &[Unreadable]) -> io::Result<W> {
        self.close()?;
        if !failed.is_empty() {
            writeln!(self.out, "<section id=\"failed\"><h2>Could not be exported</h2><table>")?;
            for one in failed {
                writeln!(self.out, "<tr><td><bdi>{}</bdi></td><td>{}</td></tr>", text(&one.which), text(&one.why))?;
            }
            writeln!(self.out, "</table></section>")?;
        }
        writeln!(self.out, "</main>\n</body>\n</html>")?;
        Ok(self.out)
    }
}

/// As text of a document or of a quoted attribute. What a document must not hold is replaced.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// As a link to a file beside the document.
fn link(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use qpc_client::api::{ArchivedReaction, ArchivedVote};

    use super::*;

    /// What somebody may write, to be more than text.
    const HOSTILE: &str = "\"><script>alert(1)</script>'&\u{1b}[2J\u{202e}";

    fn page(messages: &[ArchivedMessage]) -> String {
        let told = ArchivedConversation {
            title: HOSTILE.into(),
            topic: HOSTILE.into(),
            members: vec![HOSTILE.into()],
            ..Default::default()
        };
        let shelf = Shelf { number: 1, conversation: told.clone(), messages: 1 };
        let clock = Clock::fixed("2026-11-29T12:00:00Z");
        let mut page = Page::begin(Vec::new(), HOSTILE, (clock, &[shelf])).unwrap();
        page.conversation(0, &told).unwrap();
        messages.iter().for_each(|message| page.message(message).unwrap());
        let failed = [Unreadable { which: HOSTILE.into(), why: HOSTILE.into() }];
        String::from_utf8(page.end(&failed).unwrap()).unwrap()
    }

    #[test]
    fn nothing_that_somebody_wrote_is_more_than_text() {
        let file = |media_type: &str, saved: Option<&str>| {
            Some(ArchivedFile {
                name: HOSTILE.into(),
                media_type: media_type.into(),
                saved: saved.map(str::to_owned),
                preview: HOSTILE.into(),
                ..Default::default()
            })
        };
        let message = || ArchivedMessage {
            id: HOSTILE.into(),
            sender: HOSTILE.into(),
            body: HOSTILE.into(),
            time: HOSTILE.into(),
            reply_to: Some(HOSTILE.into()),
            reactions: vec![ArchivedReaction { emoji: HOSTILE.into(), accounts: vec![HOSTILE.into()] }],
            poll: Some(ArchivedPoll {
                options: vec![HOSTILE.into()],
                several: false,
                closed: true,
                votes: vec![ArchivedVote { account: HOSTILE.into(), choices: vec![1] }],
            }),
            ..Default::default()
        };
        let page = page(&[
            message(),
            ArchivedMessage { file: file("image/svg+xml", Some(HOSTILE)), ..message() },
            ArchivedMessage { file: file("image/png", Some(HOSTILE)), ..message() },
            ArchivedMessage { file: file("video/mp4", Some(HOSTILE)), ..message() },
            ArchivedMessage { file: file("audio/ogg", Some(HOSTILE)), ..message() },
            ArchivedMessage { file: file(HOSTILE, None), ..message() },
        ]);
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains("\"><s"));
        // Each `<` begins an element of ours, and each quote is one of ours: they come in pairs in every element.
        for element in page.split('<').skip(1) {
            let element = element.split_once('>').unwrap().0;
            assert!(
                element.starts_with('/') || element.starts_with('!') || element.matches('"').count() % 2 == 0,
                "{element}"
            );
        }
        // A drawing that is a program is no picture.
        assert_eq!(page.matches("<img").count(), 2);
    }

    #[test]
    fn a_message_is_quoted_and_found_where_it_is_answered() {
        let said = |id: &str, body: &str, reply_to: Option<&str>| ArchivedMessage {
            id: id.into(),
            sender: "bob@a.example".into(),
            time: "2026-11-29T09:05:00Z".into(),
            body: body.into(),
            reply_to: reply_to.map(str::to_owned),
            ..Default::default()
        };
        let page = page(&[said("1", "shall\nwe?", None), said("2", "yes", Some("1")), said("3", "no", Some("0"))]);
        assert!(page.contains("<a href=\"#m-1\"><bdi>bob@a.example</bdi></a> <bdi>shall we?</bdi>"), "{page}");
        assert!(page.contains("a message that is not here"));
        assert_eq!(page.matches("<div class=\"day\">2026-11-29</div>").count(), 1);
        assert!(page.contains(">09:05</time>"));
    }

    #[test]
    fn a_link_to_a_file_has_no_character_that_means_something_else() {
        assert_eq!(link("files/a b#1?.png"), "files/a%20b%231%3F.png");
        assert_eq!(link("files/ä\"'<"), "files/%C3%A4%22%27%3C");
    }
}
