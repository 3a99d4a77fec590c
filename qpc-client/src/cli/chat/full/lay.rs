//! A message as rows of a screen: who and when, what it answers, its words, and what has become of it.
//!
//! Everything that somebody else wrote is made safe here, as the line mode does it.

use qpc_client::api::{Attached, Message, Transfer, shown_size};
use ratatui::{
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{
    look::Look,
    thumb::Thumb,
    wrap::{Piece, wrap},
};
use crate::cli::{
    render::{emoji, named},
    table::cut,
    terminal,
};

/// What further rows of a message are indented by: the width of a time and a blank.
const INDENT: usize = 6;
/// Longest name of a sender or a file, in columns.
const NAME_WIDTH: usize = 30;
/// Columns of a bar that shows how far a file has come.
const BAR: usize = 10;

/// What is known of a message of one's own on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In the outbox.
    Waiting,
    /// Its own server has it, and sends it on to the one that orders the conversation.
    Queued,
    /// The server that orders the conversation has it.
    Sent,
    /// It has come to some of the others.
    Delivered,
    /// So many of them have read it.
    Read(u64),
    /// It will never be sent.
    Refused,
}

impl Delivery {
    /// As the store has it.
    pub(super) const fn of(message: &Message) -> Self {
        match message.details.read_by {
            _ if message.seq == 0 => Self::Waiting,
            0 if message.details.delivered_to > 0 => Self::Delivered,
            0 => Self::Sent,
            readers => Self::Read(readers),
        }
    }

    fn piece(self, look: &Look) -> Piece {
        match self {
            Self::Waiting => Piece::new(" …", look.theme.dim()),
            Self::Queued => Piece::new(" ·", look.theme.dim()),
            Self::Sent => Piece::new(" ✓", look.theme.good()),
            Self::Delivered => Piece::new(" ✓✓", look.theme.good()),
            Self::Read(1) => Piece::new(" ✓✓ read", look.theme.good()),
            Self::Read(readers) => Piece::new(format!(" ✓✓ read by {readers}"), look.theme.good()),
            Self::Refused => Piece::new(" ✗ not sent", look.theme.loud()),
        }
    }
}

/// A message and what stands around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// The message is the first of its day here.
    pub(super) day: bool,
    /// The first that nobody had seen when the conversation was opened.
    pub(super) new: bool,
    pub(super) delivery: Delivery,
    /// Of its file.
    pub(super) transfer: Option<&'a Transfer>,
    /// The small picture of it that a person wants to see.
    pub(super) thumb: Option<&'a Thumb>,
}

/// The rows of a message in so many columns.
pub(super) fn lay(message: &Message, around: Around<'_>, look: &Look, width: usize) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    if around.day {
        rows.push(rule(&look.clock.day_in_words(&message.time), width, look.theme.dim()));
    }
    if around.new {
        rows.push(rule("new", width, look.theme.fresh()));
    }
    let time = Piece::new(format!("{} ", fitting(&look.clock.minute(&message.time), INDENT - 1)), look.theme.dim());
    if message.kind == "notice" {
        let body = format!("* {}", terminal::body(&message.body, ""));
        rows.extend(wrap(&[time, Piece::new(body, look.theme.dim())], width, INDENT));
        return rows;
    }
    let mut pieces = vec![time];
    let sender = if message.own { "you".to_owned() } else { cut(&look.render.name(&message.sender), NAME_WIDTH) };
    let style = if message.own { look.theme.bold() } else { look.theme.name(&message.sender) };
    pieces.push(Piece::new(format!("{sender}: "), style));
    let details = &message.details;
    if let Some(quote) = &details.reply_to {
        pieces.push(Piece::new(format!("> {}\n", look.render.quoted(quote)), look.theme.quote()));
    }
    if details.forwarded {
        pieces.push(Piece::new("(forwarded) ", look.theme.dim()));
    }
    words(message, look, &mut pieces);
    for (mark, there) in [(" (edited)", details.edited.is_some()), (" (pinned)", details.pinned)] {
        if there {
            pieces.push(Piece::new(mark, look.theme.dim()));
        }
    }
    if let Some(when) = &details.disappears {
        pieces.push(Piece::new(format!(" (until {})", look.clock.local(when)), look.theme.dim()));
    }
    if message.own {
        pieces.push(around.delivery.piece(look));
    }
    rows.extend(wrap(&pieces, width, INDENT));
    let room = width.saturating_sub(INDENT);
    for mut row in around.thumb.into_iter().flat_map(|thumb| thumb.rows(look.depth, room)) {
        row.spans.insert(0, Span::raw(" ".repeat(INDENT)));
        rows.push(row);
    }
    for below in below(message, around.transfer, look) {
        let begin = Piece::new(" ".repeat(INDENT), Style::new());
        rows.extend(wrap(&[&[begin], below.as_slice()].concat(), width, INDENT.saturating_add(2)));
    }
    rows
}

/// What it says, with those who are named in it.
fn words(message: &Message, look: &Look, pieces: &mut Vec<Piece>) {
    let details = &message.details;
    match message.kind.as_str() {
        "deleted" => {
            pieces.push(Piece::new(look.render.deleted(message), look.theme.dim()));
            return;
        }
        "lifetime" => {
            pieces.push(Piece::new(terminal::body(&message.body, "").into_owned(), look.theme.dim()));
            return;
        }
        "edit" if details.edits.is_some() => {
            pieces.push(Piece::new("[edit of a message that is not here] ", look.theme.dim()));
        }
        "attachment" => {
            if let Some(file) = &message.file {
                pieces.push(Piece::new(file_words(file), look.theme.bold()));
                let caption = caption(message, file);
                if !caption.is_empty() {
                    pieces.push(Piece::new(format!(" {}", terminal::body(caption, "")), Style::new()));
                }
                return;
            }
        }
        "text" | "poll" => {}
        kind => pieces.push(Piece::new(format!("[{}] ", cut(&terminal::line(kind), NAME_WIDTH)), look.theme.dim())),
    }
    let mut mentions: Vec<_> = details.mentions.iter().collect();
    mentions.sort_by_key(|mention| mention.start);
    let mut at = 0;
    let clean = |text: &str| terminal::body(text, "").into_owned();
    for mention in mentions {
        let end = mention.start.saturating_add(mention.length);
        let (Some(before), Some(name)) = (message.body.get(at..mention.start), message.body.get(mention.start..end))
        else {
            continue;
        };
        pieces.push(Piece::new(clean(before), Style::new()));
        pieces.push(Piece::new(clean(name), look.theme.mention(mention.address == look.me)));
        at = end;
    }
    pieces.push(Piece::new(clean(message.body.get(at..).unwrap_or_default()), Style::new()));
}

fn file_words(file: &Attached) -> String {
    format!("[file {} · {}]", cut(&terminal::line(&file.name), NAME_WIDTH), shown_size(file.size))
}

/// What is said of a file: the body begins with its name and size, which are shown already.
fn caption<'a>(message: &'a Message, file: &Attached) -> &'a str {
    let what = format!("{} ({})", file.name, shown_size(file.size));
    let rest = message.body.strip_prefix(what.as_str()).unwrap_or(&message.body);
    rest.strip_prefix(" - ").unwrap_or(rest)
}

/// What stands below the words: how far the file is, the answers of a poll, reactions.
fn below(message: &Message, transfer: Option<&Transfer>, look: &Look) -> Vec<Vec<Piece>> {
    let mut rows = Vec::new();
    if let Some(transfer) = transfer {
        rows.push(vec![Piece::new(bar(transfer), look.theme.dim())]);
    }
    for row in message.details.poll.iter().flat_map(|poll| look.render.poll(poll)) {
        rows.push(vec![Piece::new(row, look.theme.dim())]);
    }
    let mut shown = Vec::new();
    for one in &message.details.reactions {
        let style = if one.own { look.theme.bold() } else { Style::new() };
        let text = if one.own {
            format!("[{} {}]", emoji(&one.emoji), one.count)
        } else {
            format!("{} {}", emoji(&one.emoji), one.count)
        };
        shown.push(Piece::new(text, style));
        shown.push(Piece::new("  ", Style::new()));
    }
    if message.details.other_reactions > 0 {
        shown.push(Piece::new(format!("+{}", message.details.other_reactions), look.theme.dim()));
    }
    if !shown.is_empty() {
        rows.push(shown);
    }
    rows
}

fn bar(transfer: &Transfer) -> String {
    let share = |of: u64| transfer.done.saturating_mul(of).checked_div(transfer.total).unwrap_or(of).min(of);
    let full = usize::try_from(share(BAR as u64)).unwrap_or(BAR);
    format!("{}{} {}%", "█".repeat(full), "░".repeat(BAR.saturating_sub(full)), share(100))
}

/// A text in the middle of a line across.
fn rule(text: &str, width: usize, style: Style) -> Line<'static> {
    let text = cut(&terminal::line(text), width.saturating_sub(4));
    let left = width.saturating_sub(text.width().saturating_add(2)) / 2;
    let right = width.saturating_sub(text.width().saturating_add(2)).saturating_sub(left);
    Line::from(Span::styled(format!("{} {text} {}", "─".repeat(left), "─".repeat(right)), style))
}

/// A text in exactly so many columns.
fn fitting(text: &str, width: usize) -> String {
    crate::cli::table::pad(&cut(&terminal::line(text), width), width)
}

/// What is called by these digits, for the status line: `#9e44 bob`.
pub(super) fn called(message: &Message, look: &Look) -> String {
    let who = if message.own { "you".to_owned() } else { look.render.name(&message.sender) };
    format!("{} {}", named(&message.id), cut(&who, NAME_WIDTH))
}
