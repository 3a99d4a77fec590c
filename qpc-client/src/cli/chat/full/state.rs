//! Everything that a full-screen chat shows, and what is to be done next: plain data, changed by keys and by news.
//!
//! Nothing here waits or draws. What takes the library is put into a queue, which whoever drives this works off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use qpc_client::api::{Conversation, Message, OutboxState, Transfer};

use super::{
    areas::Areas, complete::Cycle, editor::Editor, find::Find, list::List, look::Look, purpose::Purpose, window::Window,
};
use crate::cli::{
    chat::{
        console::Kept,
        deed::Deed,
        place::{self, Place},
    },
    terminal,
};

/// Things to do that wait, at most: what keys ask for beyond is not taken.
const ASKED_MAX: usize = 32;
/// People who are known to be writing, in all conversations.
const WRITING_MAX: usize = 64;
/// Conversations in which something that is half written is kept.
const DRAFTS_MAX: usize = 100;
/// Notes at once of which the last is enough.
const NOTES_MAX: usize = 2;
/// Lines of a page over the messages.
pub(super) const PAGE_LINES_MAX: usize = 1_000;

/// What the library, or the terminal, is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A line was typed.
    Line(String),
    /// Something is done to a message, by its id.
    Do { message: String, deed: Deed },
    /// A conversation of the list is opened.
    Open { conversation: String, title: String },
    /// The list is read anew.
    Refresh,
    /// Messages before this one.
    Older(i64),
    /// Messages after this one.
    Newer(i64),
    /// The newest messages, or the first unread ones.
    Reload { unread: bool },
    /// Everything up to here was seen.
    Seen(i64),
    /// The person is writing, or no more.
    Typing { to: String, typing: bool },
    /// Messages with these words are looked for, everywhere or in one conversation.
    Find { words: String, to: Option<String> },
    /// A conversation is opened at a message.
    GoTo { conversation: String, title: String, local: i64 },
    /// A file is fetched.
    Get(String),
    /// The small picture of a file is shown, or not any more.
    Preview(String),
    /// The mouse is taken, or left to the terminal.
    Mouse(bool),
    /// Everything is drawn anew.
    Redraw,
    /// The program is put aside.
    Suspend,
    /// The end.
    Leave,
}

/// What the keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    /// The words being typed.
    Input,
    /// The list.
    List,
    /// A message.
    Message,
}

/// A page over the messages: help, or what a command answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) lines: VecDeque<String>,
    /// Rows above what is shown.
    pub(super) top: usize,
}

/// The conversation that is open.
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) topic: String,
    /// Names of its people, as they are typed.
    pub(super) people: Vec<String>,
    pub(super) request: bool,
    pub(super) active: bool,
    pub(super) mark: &'static str,
    pub(super) window: Window,
}

impl Open {
    /// Does this belong here?
    fn has(&self, message: &Message) -> bool {
        self.place.conversation.as_ref() == Some(&message.conversation)
    }
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Connection {
    /// Nothing is known yet.
    Connecting,
    Online,
    /// Since when, as people read it, and why.
    Offline {
        since: String,
        why: Option<String>,
    },
}

/// A word to the person, until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) loud: bool,
}

/// A full-screen chat.
pub(super) struct View {
    pub(super) look: Look,
    /// Columns and rows.
    pub(super) size: (u16, u16),
    pub(super) focus: Focus,
    pub(super) list: List,
    pub(super) open: Option<Open>,
    pub(super) input: Editor,
    pub(super) purpose: Purpose,
    /// What was half written before the input got another purpose.
    pub(super) aside: String,
    pub(super) cycle: Option<Cycle>,
    pub(super) page: Option<Page>,
    /// Messages are being looked for.
    pub(super) find: Option<Find>,
    pub(super) said: Option<Said>,
    pub(super) connection: Connection,
    /// Messages of one's own that wait.
    pub(super) waiting: u64,
    pub(super) mouse: bool,
    /// Something is being done that takes a while.
    pub(super) busy: bool,
    /// A bell is to be rung, and for whom.
    pub(super) ring: Option<String>,
    /// Who is writing, and in which conversation.
    writing: BTreeSet<(String, String)>,
    asked: VecDeque<Asked>,
    drafts: BTreeMap<String, String>,
}

impl View {
    pub(super) fn new(look: Look, size: (u16, u16)) -> Self {
        Self {
            look,
            size,
            focus: Focus::Input,
            list: List::default(),
            open: None,
            input: Editor::default(),
            purpose: Purpose::Say,
            aside: String::new(),
            cycle: None,
            page: None,
            find: None,
            said: None,
            connection: Connection::Connecting,
            waiting: 0,
            mouse: true,
            busy: false,
            ring: None,
            writing: BTreeSet::new(),
            asked: VecDeque::new(),
            drafts: BTreeMap::new(),
        }
    }

    /// Wants something done, if it is not wanted already; says whether it will be: too much at once is not.
    pub(super) fn ask(&mut self, asked: Asked) -> bool {
        // Everybody may say the same twice.
        if !matches!(asked, Asked::Line(_) | Asked::Do { .. }) && self.asked.contains(&asked) {
            return true;
        }
        // The end is always heard.
        let taken = self.asked.len() < ASKED_MAX || asked == Asked::Leave;
        if taken {
            self.asked.push_back(asked);
        }
        taken
    }

    /// The same, where it is no matter whether it will be.
    pub(super) fn want(&mut self, asked: Asked) {
        self.ask(asked);
    }

    /// Wants something done instead of others like it that wait.
    pub(super) fn ask_last(&mut self, asked: Asked, like: impl Fn(&Asked) -> bool) {
        self.asked.retain(|waiting| !like(waiting));
        self.ask(asked);
    }

    /// The next thing to do.
    pub(super) fn next(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// Does the person want to go?
    pub(super) fn leaves(&self) -> bool {
        self.asked.contains(&Asked::Leave)
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.said = Some(Said { text: text.into(), loud: false });
    }

    pub(super) fn areas(&self) -> Areas {
        Areas::of(self)
    }

    /// Rows of messages in view.
    pub(super) fn height(&self) -> usize {
        usize::from(self.areas().messages.height)
    }

    /// Lays messages out as they will be drawn, and asks for those that will be needed.
    pub(super) fn prepare(&mut self) {
        let areas = self.areas();
        let area = areas.messages;
        let hidden = self.page.is_some() && areas.short.is_empty();
        let height = usize::from(area.height);
        let Some(open) = &mut self.open else { return };
        // The first column shows what is selected.
        open.window.prepare(usize::from(area.width.saturating_sub(1)), &self.look);
        let (older, newer) = (open.window.wants_older(height), open.window.wants_newer(height));
        let (oldest, newest) = (open.window.oldest(), open.window.newest());
        let seen = newest.filter(|newest| open.window.follows() && height > 0 && open.place.through < *newest);
        let id = open.place.conversation.clone();
        if let Some(seen) = seen.filter(|_| !hidden)
            && self.ask(Asked::Seen(seen))
        {
            if let Some(open) = &mut self.open {
                open.place.through = seen;
            }
            if let Some(id) = id {
                self.list.read(&id);
            }
        }
        if let Some(oldest) = oldest.filter(|_| older) {
            self.ask(Asked::Older(oldest));
        }
        if let Some(newest) = newest.filter(|_| newer) {
            self.ask(Asked::Newer(newest));
        }
    }

    /// A conversation is open now. What is half written in the other one is kept.
    pub(super) fn opened(&mut self, opened: Open) {
        self.purpose_over();
        let draft = self.input.take();
        if let Some(before) = self.open.as_ref().map(|open| open.place.to.clone()) {
            self.drafts.remove(&before);
            if !draft.trim().is_empty() && self.drafts.len() < DRAFTS_MAX {
                self.drafts.insert(before, draft);
            }
        }
        if let Some(draft) = self.drafts.remove(&opened.place.to) {
            self.input.set(draft);
        }
        self.list.filter.clear();
        let place = opened.place.conversation.as_deref().unwrap_or_default();
        self.list.marked = self.list.place(place, &opened.place.title).unwrap_or(0);
        self.open = Some(opened);
        self.focus = Focus::Input;
        self.page = None;
        self.find = None;
        self.said = None;
        let area = self.areas().messages;
        if let Some(open) = &mut self.open {
            open.window.prepare(usize::from(area.width.saturating_sub(1)), &self.look);
            open.window.show_new(usize::from(area.height));
        }
    }

    /// A message of the open conversation is looked at.
    pub(super) fn goes_to(&mut self, local: i64) {
        let height = self.height();
        if let Some(open) = &mut self.open {
            open.window.show(local, height);
            self.focus = if open.window.selected().is_some() { Focus::Message } else { Focus::Input };
        }
    }

    /// The list was read anew.
    pub(super) fn listed(&mut self, conversations: &[Conversation]) {
        self.list.set(conversations, &self.look);
        let Some(open) = &mut self.open else { return };
        // One that began while its place was open has its name now.
        let begun = match open.place.conversation {
            None => place::find(conversations, &self.look.render, &open.place.title).ok(),
            Some(_) => None,
        };
        if let Some(begun) = begun.filter(|begun| begun.conversation.is_some()) {
            open.place = Place { through: open.place.through, ..begun };
            self.ask(Asked::Reload { unread: false });
        }
        let Some(open) = &mut self.open else { return };
        let known = conversations.iter().find(|one| Some(&one.conversation) == open.place.conversation.as_ref());
        if let Some(known) = known {
            open.request = known.request;
            open.active = known.active;
            open.topic.clone_from(&known.topic);
            open.mark = crate::cli::render::Render::mark(known.standing.as_ref());
            open.place.shown = self.look.render.title(known);
            if open.window.follows() {
                self.list.read(&known.conversation);
            }
        }
    }

    /// Something was said somewhere.
    pub(super) fn arrived(&mut self, message: Message) {
        let here = self.open.as_ref().filter(|open| open.has(&message));
        let begins = self.open.as_ref().is_some_and(|open| open.place.conversation.is_none());
        let is_here = here.is_some();
        let seen = here.is_some_and(|open| open.window.follows());
        let calls = message.details.mentioned;
        if !self.list.arrive(&message, seen, &self.look) || begins {
            self.ask(Asked::Refresh);
        }
        let muted = self.list.rows.iter().any(|row| row.conversation == message.conversation && row.muted);
        if !message.own && message.kind != "notice" && !muted && (!is_here || calls) {
            let who = self.look.render.name(&message.sender);
            self.ring = Some(who.clone());
            if !is_here {
                let place = if message.title == message.sender {
                    String::new()
                } else {
                    format!(" in {}", terminal::line(&message.title))
                };
                let verb = if calls { "calls you" } else { "has written" };
                self.say(format!("{who} {verb}{place}"));
            }
        }
        if let Some(open) = self.open.as_mut().filter(|_| is_here) {
            if message.own {
                open.window.nothing_new();
            }
            open.window.arrive(message);
        }
    }

    /// A message is another one now.
    pub(super) fn changed(&mut self, message: &Message) {
        if let Some(open) = self.open.as_mut().filter(|open| open.has(message)) {
            open.window.replace(message);
        }
    }

    /// A message has disappeared.
    pub(super) fn disappeared(&mut self, conversation: &str, id: &str) {
        if let Some(open) = self.open.as_mut().filter(|open| open.place.conversation.as_deref() == Some(conversation)) {
            open.window.remove(id);
        }
        self.ask(Asked::Refresh);
    }

    /// Somebody is writing, or no more. Of more than a few it is not known by whom.
    pub(super) fn writes(&mut self, conversation: String, address: String, typing: bool) {
        let who = (conversation, address);
        if !typing {
            self.writing.remove(&who);
        } else if self.writing.len() < WRITING_MAX {
            self.writing.insert(who);
        }
    }

    /// Who is writing in the conversation that is open, in words.
    pub(super) fn writing(&self) -> Option<String> {
        let open = self.open.as_ref()?.place.conversation.as_ref()?;
        let here = self.writing.iter().filter(|(conversation, _)| conversation == open);
        let names: Vec<String> = here.map(|(_, address)| self.look.render.name(address)).collect();
        match &names[..] {
            [] => None,
            [one] => Some(format!("{one} is writing …")),
            [one, other] => Some(format!("{one} and {other} are writing …")),
            many => Some(format!("{} are writing …", many.len())),
        }
    }

    /// The words of the open conversation are other ones than before: whoever is in it may know that something is being written.
    pub(super) fn writes_itself(&mut self) {
        let words =
            self.purpose == Purpose::Say && !self.input.text().is_empty() && !self.input.text().starts_with('/');
        if let Some(to) = self.open.as_ref().map(|open| open.place.to.clone()) {
            self.want(Asked::Typing { to, typing: words });
        }
    }

    /// Others have received or read something: the marks of what is looked at may be other ones.
    pub(super) fn received(&mut self, conversation: &str) {
        let looks = self
            .open
            .as_ref()
            .is_some_and(|open| open.place.conversation.as_deref() == Some(conversation) && open.window.follows());
        if looks {
            self.want(Asked::Reload { unread: false });
        }
    }

    /// What became of a message of one's own.
    pub(super) fn delivered(&mut self, id: &str, state: OutboxState) {
        if let Some(open) = &mut self.open {
            open.window.delivered(id, state);
        }
    }

    /// How far a file is.
    pub(super) fn transfer(&mut self, transfer: &Transfer) {
        if let Some(open) = &mut self.open {
            open.window.transfer(transfer);
        }
    }

    /// The connection came or went.
    pub(super) fn connected(&mut self, online: bool, problem: Option<String>, now: &str) {
        self.connection = if online {
            Connection::Online
        } else {
            let since = match &self.connection {
                Connection::Offline { since, .. } => since.clone(),
                Connection::Connecting | Connection::Online => {
                    terminal::line(&self.look.clock.minute(now)).into_owned()
                }
            };
            Connection::Offline { since, why: problem.map(|why| terminal::line(&why).into_owned()) }
        };
    }

    /// Shows what was printed: a word below, or where that is too little a page.
    pub(super) fn printed(&mut self, kept: Kept) {
        if kept.rang {
            self.ring = Some(String::new());
        }
        let mut lines = kept.lines;
        // Short notes that come one after the other are told by the last of them.
        let notes = lines.len() <= NOTES_MAX && lines.iter().all(|line| line.starts_with("-- "));
        if notes && !kept.rang && lines.len() > 1 {
            lines.drain(..lines.len().saturating_sub(1));
        }
        for line in &mut lines {
            // It is clean; once more costs nothing, and nothing else may come through.
            *line = terminal::line(line.strip_prefix("-- ").unwrap_or(line)).into_owned();
        }
        let room = usize::from(self.areas().said.width);
        match (lines.len(), &mut self.page) {
            (0, _) => {}
            (1, None) if lines.iter().all(|line| unicode_width::UnicodeWidthStr::width(line.as_str()) <= room) => {
                let text = lines.pop_front().unwrap_or_default();
                self.said = Some(Said { text, loud: kept.rang });
            }
            (_, Some(page)) => {
                page.lines.append(&mut lines);
                while page.lines.len() > PAGE_LINES_MAX {
                    page.lines.pop_front();
                }
            }
            (_, None) => self.page = Some(Page { title: String::new(), lines, top: 0 }),
        }
    }

    /// The input gets another purpose; what was half written waits.
    pub(super) fn begin(&mut self, purpose: Purpose, text: &str) {
        if self.purpose == Purpose::Say {
            self.aside = self.input.take();
        }
        self.purpose = purpose;
        self.input.set(text);
        self.focus = Focus::Input;
        self.cycle = None;
    }

    /// It is there to say something again.
    pub(super) fn purpose_over(&mut self) {
        if self.purpose != Purpose::Say {
            self.purpose = Purpose::Say;
            self.input.set(std::mem::take(&mut self.aside));
        }
        if let Some(open) = &mut self.open {
            open.window.select(None);
        }
    }
}
