//! The conversations beside the messages: names, what nobody has read, the last words, the newest first.

use std::collections::BTreeSet;

use qpc_client::api::{Conversation, Message};

use super::look::Look;
use crate::cli::{render::Render, terminal};

/// Bytes of a filter, at most.
const FILTER_MAX: usize = 64;

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its id; empty until its first message.
    pub(super) conversation: String,
    /// The person's address, or the group's title.
    pub(super) title: String,
    /// As people see it, and type it.
    pub(super) shown: String,
    /// How things stand with its key.
    pub(super) mark: &'static str,
    pub(super) unread: u64,
    /// Somebody names this account in what is unread.
    pub(super) calls: bool,
    /// The last words, and when they were said.
    pub(super) last: String,
    pub(super) time: String,
    pub(super) muted: bool,
}

impl Row {
    fn of(conversation: &Conversation, look: &Look) -> Self {
        let last = conversation.last.as_ref();
        let said = match (conversation.request, conversation.active, last) {
            (true, ..) => "wants to talk to you".to_owned(),
            (_, false, _) => "(over)".to_owned(),
            (.., Some(last)) => words(last, look),
            (.., None) => String::new(),
        };
        Self {
            conversation: conversation.conversation.clone(),
            title: conversation.title.clone(),
            shown: look.render.title(conversation),
            mark: Render::mark(conversation.standing.as_ref()),
            unread: conversation.unread,
            calls: conversation.unread > 0 && last.is_some_and(|last| last.details.mentioned),
            last: said,
            time: last.map(|last| last.time.clone()).unwrap_or_default(),
            muted: conversation.muted,
        }
    }
}

impl Row {
    fn key(&self) -> (String, String) {
        (self.conversation.clone(), self.title.clone())
    }
}

/// The beginning of what was said, on one line.
fn words(message: &Message, look: &Look) -> String {
    /// More than any list is wide.
    const SIGNS: usize = 200;
    let body: String = message.body.chars().take(SIGNS).collect();
    let body = terminal::line(&body);
    match (message.kind.as_str(), message.own) {
        ("notice", _) => format!("* {body}"),
        (_, true) => format!("you: {body}"),
        _ if message.title == message.sender => body.into_owned(),
        _ => format!("{}: {body}", look.render.name(&message.sender)),
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub(super) rows: Vec<Row>,
    /// What the keys act upon, among those that fit the filter.
    pub(super) marked: usize,
    /// What a person types to find one.
    pub(super) filter: String,
    /// Conversations in which somebody called since they were read.
    called: BTreeSet<String>,
}

impl List {
    /// The list as the store has it.
    pub(super) fn set(&mut self, conversations: &[Conversation], look: &Look) {
        let marked = self.marked().map(Row::key);
        self.rows = conversations.iter().map(|one| Row::of(one, look)).collect();
        self.called.retain(|id| self.rows.iter().any(|row| row.conversation == *id && row.unread > 0));
        for row in &mut self.rows {
            row.calls |= self.called.contains(&row.conversation);
        }
        self.mark_again(marked);
    }

    /// What was marked is, wherever it stands now.
    fn mark_again(&mut self, marked: Option<(String, String)>) {
        let place = self.fitting().iter().position(|(_, row)| Some(row.key()) == marked);
        self.mark(place.unwrap_or(self.marked));
    }

    /// Those that fit the filter, with their numbers in the whole.
    pub(super) fn fitting(&self) -> Vec<(usize, &Row)> {
        let filter = self.filter.to_lowercase();
        self.rows.iter().enumerate().filter(|(_, row)| row.shown.to_lowercase().contains(&filter)).collect()
    }

    pub(super) fn mark(&mut self, at: usize) {
        self.marked = at.min(self.fitting().len().saturating_sub(1));
    }

    pub(super) fn marked(&self) -> Option<&Row> {
        self.fitting().get(self.marked).map(|(_, row)| *row)
    }

    /// Types into the filter.
    pub(super) fn filter(&mut self, c: Option<char>) {
        match c {
            Some(c) if self.filter.len() < FILTER_MAX && !terminal::harmful(c) => self.filter.push(c),
            Some(_) => {}
            None => drop(self.filter.pop()),
        }
        self.marked = 0;
    }

    /// Where a conversation stands.
    pub(super) fn place(&self, conversation: &str, title: &str) -> Option<usize> {
        self.rows
            .iter()
            .position(|row| row.conversation == conversation && (!conversation.is_empty() || row.title == title))
    }

    /// The one before or after another, or of those with something unread the next.
    pub(super) fn next(&self, of: Option<usize>, back: bool, unread: bool) -> Option<&Row> {
        let count = self.rows.len();
        let step = |at: usize| match (at, back) {
            (0, true) => count.saturating_sub(1),
            (at, true) => at.saturating_sub(1),
            (at, false) if at.saturating_add(1) >= count => 0,
            (at, false) => at.saturating_add(1),
        };
        let mut at = of.unwrap_or(if back { 0 } else { count.saturating_sub(1) });
        for _ in 0..count {
            at = step(at);
            let row = self.rows.get(at)?;
            if Some(at) != of && (!unread || row.unread > 0) {
                return Some(row);
            }
        }
        None
    }

    /// Something was said; says whether its conversation is in the list.
    pub(super) fn arrive(&mut self, message: &Message, seen: bool, look: &Look) -> bool {
        let Some(at) = self.place(&message.conversation, &message.title) else { return false };
        let marked = self.marked().map(Row::key);
        let mut row = self.rows.remove(at);
        row.last = words(message, look);
        row.time.clone_from(&message.time);
        if !message.own && !seen {
            row.unread = row.unread.saturating_add(1);
            if message.details.mentioned {
                row.calls = true;
                self.called.insert(row.conversation.clone());
            }
        }
        self.rows.insert(0, row);
        self.mark_again(marked);
        true
    }

    /// What it has was seen.
    pub(super) fn read(&mut self, conversation: &str) {
        self.called.remove(conversation);
        for row in self.rows.iter_mut().filter(|row| row.conversation == conversation) {
            row.unread = 0;
            row.calls = false;
        }
    }

    /// How many messages nobody has read, those of muted conversations apart.
    pub(super) fn unread(&self) -> u64 {
        self.rows.iter().filter(|row| !row.muted).fold(0, |sum, row| sum.saturating_add(row.unread))
    }
}
