//! A message as lines for people: who, when, what it answers, and what has become of it.
//!
//! Every piece that somebody else wrote is made safe and, where it could be long, cut: names of emoji and answers as well.

use qpc_client::api::{Details, Found, Message, Part, Poll, Quote};
use unicode_width::UnicodeWidthStr;

use super::{INDENT, Render, short};
use crate::cli::{table::cut, terminal};

/// Longest quote, in terminal columns.
const QUOTE_WIDTH: usize = 60;
/// Longest emoji, in terminal columns: what takes more is none.
const EMOJI_WIDTH: usize = 8;
/// Longest answer of a poll, in terminal columns.
const OPTION_WIDTH: usize = 60;
/// Digits of an id's end by which people name a message.
const ID_DIGITS: usize = 4;

/// Where a message is shown.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Among messages of other conversations: what to call its own.
    conversation: Option<String>,
    /// With the end of its id, by which it can be named.
    named: bool,
}

impl Render {
    /// A message in its own conversation.
    pub(in crate::cli) fn message(&self, message: &Message) -> String {
        self.spoken(message, Place::default())
    }

    /// The same with the end of its id, by which it can be named.
    pub(in crate::cli) fn message_named(&self, message: &Message) -> String {
        self.spoken(message, Place { named: true, ..Place::default() })
    }

    /// A message among those of other conversations.
    pub(in crate::cli) fn message_anywhere(&self, message: &Message) -> String {
        self.spoken(message, Place { conversation: self.elsewhere(message), named: false })
    }

    /// A message that was found, with the words around what was looked for.
    pub(in crate::cli) fn found(&self, found: &Found) -> String {
        let place = Place { conversation: self.elsewhere(&found.message), named: true };
        if found.excerpt.is_empty() {
            return self.spoken(&found.message, place);
        }
        let part = |part: &Part| {
            let safe = terminal::line(&part.text);
            if part.found { self.paint.loud(&safe) } else { safe.into_owned() }
        };
        self.worded(&found.message, place, &found.excerpt.iter().map(part).collect::<String>())
    }

    /// What to call a message's conversation among those of others.
    fn elsewhere(&self, message: &Message) -> Option<String> {
        if message.own {
            Some(format!("to {}", self.name(&message.title)))
        } else if message.title == message.sender {
            None
        } else {
            Some(format!("in {}", self.name(&message.title)))
        }
    }

    fn spoken(&self, message: &Message, place: Place) -> String {
        self.worded(message, place, &terminal::body(&message.body, INDENT))
    }

    fn worded(&self, message: &Message, place: Place, body: &str) -> String {
        let time = self.paint.dim(&self.clock.local(&message.time));
        let id = match place.named && message.kind != "notice" {
            true => format!(" {}", self.paint.dim(&named(&message.id))),
            false => String::new(),
        };
        let where_ = place.conversation.map(|place| format!(" {}", self.paint.dim(&place))).unwrap_or_default();
        let sender = if message.own { "you".to_owned() } else { self.name(&message.sender) };
        let calls = if message.details.mentioned { self.paint.loud(" [@you]") } else { String::new() };
        let sender = format!("{}{where_}{calls}", self.paint.bold(&sender));
        let details = &message.details;
        let said = match message.kind.as_str() {
            "text" => format!("{sender}: {}", self.said(body, details)),
            "attachment" if message.file.is_some() => {
                format!("{sender} [file {}]: {}", short(&message.id), self.said(body, details))
            }
            "notice" => return format!("{time}{where_} {}", self.paint.dim(&format!("* {body}"))),
            "lifetime" => format!("{sender} {}", self.paint.dim(body)),
            "deleted" => format!("{sender}: {}", self.paint.dim(&self.deleted(message))),
            "edit" if details.edits.is_some() => {
                format!("{sender} [edit of a message that is not here]: {body}")
            }
            kind => format!("{sender} [{}]: {}", terminal::line(kind), self.said(body, details)),
        };
        format!("{time}{id} {said}{}", self.below(details))
    }

    /// What is left of a message that was deleted.
    pub(in crate::cli) fn deleted(&self, message: &Message) -> String {
        match &message.details.deleted_by {
            Some(who) if *who != message.sender => format!("(deleted by {})", self.name(who)),
            _ => "(deleted)".to_owned(),
        }
    }

    /// The words with what belongs to them.
    fn said(&self, body: &str, details: &Details) -> String {
        let quote = details.reply_to.as_ref().map(|quote| self.quote(quote)).unwrap_or_default();
        let forwarded = if details.forwarded { self.paint.dim("(forwarded) ") } else { String::new() };
        let mut marks = String::new();
        for (mark, there) in [(" (edited)", details.edited.is_some()), (" (pinned)", details.pinned)] {
            if there {
                marks.push_str(&self.paint.dim(mark));
            }
        }
        if let Some(when) = &details.disappears {
            marks.push_str(&self.paint.dim(&format!(" (until {})", self.clock.local(when))));
        }
        format!("{quote}{forwarded}{body}{marks}")
    }

    fn quote(&self, quote: &Quote) -> String {
        format!("{}\n{INDENT}", self.paint.dim(&format!("> {}", self.quoted(quote))))
    }

    /// The beginning of what a message answers, on one line.
    pub(in crate::cli) fn quoted(&self, quote: &Quote) -> String {
        match (&quote.sender, &quote.body) {
            (Some(sender), Some(body)) => {
                let sender = if quote.own { "you".to_owned() } else { self.name(sender) };
                cut(&format!("{sender}: {}", terminal::line(body)), QUOTE_WIDTH)
            }
            _ => "(a message that is not here)".to_owned(),
        }
    }

    /// Answers of a poll, and reactions.
    fn below(&self, details: &Details) -> String {
        let mut lines = details.poll.as_ref().map(|poll| self.poll(poll)).unwrap_or_default();
        if !details.reactions.is_empty() {
            let mut shown: Vec<String> = Vec::new();
            for one in &details.reactions {
                let emoji = emoji(&one.emoji);
                shown.push(if one.own { format!("[{emoji} {}]", one.count) } else { format!("{emoji} {}", one.count) });
            }
            if details.other_reactions > 0 {
                shown.push(format!("+{}", details.other_reactions));
            }
            lines.push(shown.join("  "));
        }
        lines.iter().map(|line| format!("\n{INDENT}{}", self.paint.dim(line))).collect()
    }

    /// The answers of a poll, and how it stands.
    pub(in crate::cli) fn poll(&self, poll: &Poll) -> Vec<String> {
        let mut lines: Vec<String> = (1_usize..)
            .zip(&poll.options)
            .map(|(number, option)| {
                let yours = if option.own { " (yours)" } else { "" };
                format!("{number}. {}: {}{yours}", cut(&terminal::line(&option.text), OPTION_WIDTH), option.votes)
            })
            .collect();
        let voters = match poll.voters {
            0 => "nobody has voted".to_owned(),
            1 => "1 has voted".to_owned(),
            many => format!("{many} have voted"),
        };
        let state = match (poll.closed, poll.several) {
            (true, _) => "closed",
            (false, true) => "several can be chosen",
            (false, false) => "one can be chosen",
        };
        lines.push(format!("{voters}; {state}"));
        lines
    }
}

/// The end of an id, as people name a message.
pub(in crate::cli) fn named(id: &str) -> String {
    format!("#{}", id.chars().skip(id.len().saturating_sub(ID_DIGITS)).collect::<String>())
}

/// An emoji, whatever its sender calls one.
pub(in crate::cli) fn emoji(sent: &str) -> String {
    let safe = terminal::line(sent);
    if safe.width() == 0 { "?".to_owned() } else { cut(&safe, EMOJI_WIDTH) }
}
