//! What the library answers and tells, as lines for people.
//!
//! Every piece of text that a person or a server wrote goes through [`terminal`] here, once.

mod ephemeral;
mod message;
mod qr;
mod verification;

pub(super) use self::message::{emoji, named};

use qpc_client::api::{
    Alarm, Contact, Conversation, ConversationKind, Device, Event, File, GroupLink, Lifetime, Member, Moved,
    OutboxState, Outcome, Scheduled, Status, Waiting, Whoami, shown_size, span,
};

use super::{
    clock::Clock,
    hint,
    screen::{Paint, Screen},
    table::{Table, cut},
    terminal,
};

/// Longest piece of a last message in a list, in terminal columns.
const LAST_WIDTH: usize = 40;
/// Longest piece of a message that waits for its time, in terminal columns.
const LATER_WIDTH: usize = 60;
/// What stands before each further line of a message.
const INDENT: &str = "      ";
/// Longest list of members in a list, in terminal columns.
const MEMBERS_WIDTH: usize = 40;

/// Longest name or type of a file in a list, in terminal columns.
const NAME_WIDTH: usize = 40;
/// Characters of an id that people are shown.
const SHORT_ID: usize = 13;

/// How things are shown to this person.
#[derive(Debug, Clone)]
pub(super) struct Render {
    clock: Clock,
    paint: Paint,
    /// `@domain` of the account, which is left away.
    home: String,
}

impl Render {
    /// For the person whose address this is (empty if it is not known).
    pub(super) fn new(screen: &Screen, address: &str) -> Self {
        let home = address.split_once('@').map(|(_, domain)| format!("@{domain}")).unwrap_or_default();
        Self { clock: screen.clock.clone(), paint: screen.paint, home }
    }

    /// The same for what goes to standard error.
    pub(super) fn noting(mut self, screen: &Screen) -> Self {
        self.paint = screen.notes;
        self
    }

    /// An address without the person's own domain, or a title, safe to show.
    pub(super) fn name(&self, address: &str) -> String {
        let short = address.strip_suffix(&self.home).filter(|_| !self.home.is_empty()).unwrap_or(address);
        terminal::line(short).into_owned()
    }

    fn names(&self, addresses: &[String]) -> String {
        addresses.iter().map(|a| self.name(a)).collect::<Vec<_>>().join(", ")
    }

    /// All lines of what a command gave.
    pub(super) fn outcome(&self, outcome: &Outcome) -> Vec<String> {
        match outcome {
            Outcome::Done { note } => note.iter().map(|note| terminal::body(note, "  ").into_owned()).collect(),
            Outcome::Whoami(whoami) => self.whoami(whoami),
            Outcome::Status(status) => self.status(status),
            Outcome::Alarms { alarms } => alarms.iter().map(|alarm| self.numbered(alarm)).collect(),
            Outcome::Conversations { conversations } => self.conversations(conversations),
            Outcome::Queued { .. } => Vec::new(),
            Outcome::Flushed { waiting } => waiting.iter().map(|waiting| self.waiting(waiting)).collect(),
            Outcome::Messages { messages } => messages.iter().map(|message| self.message(message)).collect(),
            Outcome::Lifetime(lifetime) => vec![self.lifetime(lifetime)],
            Outcome::Scheduled { scheduled } => scheduled.iter().map(|one| self.scheduled(one)).collect(),
            Outcome::Found { found } => found.iter().map(|found| self.found(found)).collect(),
            Outcome::Contacts { contacts } => self.contacts(contacts),
            Outcome::SafetyNumber(number) => self.safety_number(number),
            Outcome::Members { members, picture } => self.members(members, *picture),
            Outcome::Devices { devices } => self.devices(devices),
            Outcome::Link(link) => vec![terminal::line(&link.link.0).into_owned()],
            Outcome::Links { links } => self.links(links),
            Outcome::Joining { title: Some(title), joined: true, .. } => {
                vec![format!("you are in {}", self.name(title))]
            }
            Outcome::Joining { joined: true, .. } => vec!["you are in the group".to_owned()],
            Outcome::Joining { .. } => vec![
                "nobody is connected who may let you in: you will be in as soon as somebody is, and be told".to_owned(),
            ],
            Outcome::Files { files } => self.files(files),
            Outcome::Saved(saved) => vec![terminal::line(&saved.path).into_owned()],
            Outcome::Moved(moved) => self.moved(moved),
            Outcome::Readers { readers } => self.readers(readers),
            Outcome::Told(told) => self.told(*told),
            Outcome::Trace(trace) => self.trace(trace),
            // What is read out and taken in has commands of its own.
            Outcome::Preview { .. } | Outcome::Shelves { .. } | Outcome::Records(_) | Outcome::Imported { .. } => {
                Vec::new()
            }
            // The bytes go where `picture` writes them.
            Outcome::Picture(picture) => vec![format!("{} of {}", picture.format.name(), self.name(&picture.group))],
        }
    }

    fn scheduled(&self, one: &Scheduled) -> String {
        let (time, to) = (self.clock.local(&one.at), self.name(&one.to));
        let text = cut(&terminal::line(&one.text), LATER_WIDTH);
        let problem = one.problem.as_deref().map(|problem| {
            let problem = format!("not sent: {}", terminal::body(problem, INDENT));
            format!("\n{INDENT}{}", self.paint.loud(&problem))
        });
        format!("{} {} to {to}: {text}{}", one.number, self.paint.dim(&time), problem.unwrap_or_default())
    }

    fn lifetime(&self, lifetime: &Lifetime) -> String {
        let title = self.name(&lifetime.title);
        match lifetime.seconds {
            0 => format!("messages stay in the conversation with {title}"),
            seconds => format!("messages of {title} disappear {} after they are sent", span(seconds)),
        }
    }

    fn moved(&self, moved: &Moved) -> Vec<String> {
        let (title, place) = (self.name(&moved.title), terminal::line(&moved.continued_in));
        let mut lines = vec![format!("{title} goes on in {place} with {}", self.names(&moved.members))];
        for left_out in &moved.left_out {
            lines.push(format!("left out: {} ({})", self.name(&left_out.address), terminal::line(&left_out.reason)));
        }
        if !moved.left_out.is_empty() {
            lines.push(format!("`qpc-client group add {} MEMBER` adds them later", terminal::line(&moved.title)));
        }
        lines.extend(moved.note.iter().map(|note| terminal::body(note, "  ").into_owned()));
        lines
    }

    fn pairs(&self, pairs: &[(&str, String)]) -> Vec<String> {
        pairs.iter().map(|(label, value)| format!("{label:<12} {value}")).collect()
    }

    fn whoami(&self, whoami: &Whoami) -> Vec<String> {
        self.pairs(&[
            ("account", self.paint.bold(&terminal::line(&whoami.address))),
            ("account key", terminal::line(&whoami.account_key).into_owned()),
            ("device", terminal::line(&whoami.device).into_owned()),
            ("server", terminal::line(&whoami.server).into_owned()),
        ])
    }

    fn status(&self, status: &Status) -> Vec<String> {
        let mut lines = self.whoami(&status.whoami);
        let or_unknown = |text: &Option<String>| terminal::line(text.as_deref().unwrap_or("unknown")).into_owned();
        let connection = if status.online {
            format!("online, {}", or_unknown(&status.key_exchange))
        } else {
            let problem = status.problem.as_deref().unwrap_or("not connected yet");
            format!("{}: {}", self.paint.loud("offline"), terminal::body(problem, &" ".repeat(13)))
        };
        let outbox = match status.outbox {
            0 => "empty".to_owned(),
            1 => "1 message waits".to_owned(),
            n => format!("{n} messages wait"),
        };
        lines.extend(self.pairs(&[
            ("connection", connection),
            ("certificate", or_unknown(&status.fingerprint)),
            ("outbox", outbox),
        ]));
        lines.extend(status.alarms.iter().map(|alarm| self.alarm(alarm)));
        if !status.alarms.is_empty() {
            let list = format!("done with an alarm? {} alarms list, then: alarms acknowledge NUMBER", hint::program());
            lines.push(self.paint.dim(&list));
        }
        lines
    }

    /// An alarm in the list of all.
    fn numbered(&self, alarm: &Alarm) -> String {
        let head = format!("{}  {}", alarm.number, self.clock.local(&alarm.raised));
        match &alarm.acknowledged {
            None => format!("{head}  {}", self.alarm(&alarm.text)),
            Some(known) => {
                let text = terminal::body(&alarm.text, "  ");
                self.paint.dim(&format!("{head}  acknowledged {}: {text}", self.clock.local(known)))
            }
        }
    }

    /// Something that must not be missed.
    pub(super) fn alarm(&self, text: &str) -> String {
        self.paint.loud(&format!("ALARM: {}", terminal::body(text, "  ")))
    }

    /// What there is to say about an event beside messages; `None` for what only programs want.
    pub(super) fn event(&self, event: &Event) -> Option<String> {
        let because = |reason: &Option<String>| {
            reason.as_ref().map(|reason| format!(": {}", terminal::body(reason, "  "))).unwrap_or_default()
        };
        match event {
            Event::Message(_)
            | Event::Transfer(_)
            | Event::Read { .. }
            | Event::Disappeared { .. }
            | Event::Typing { .. }
            | Event::Receipt { .. }
            | Event::Presence { .. }
            | Event::History { complete: false, .. }
            | Event::Outbox { state: OutboxState::Sent | OutboxState::Queued, .. } => None,
            Event::Changed(message) if message.own => None,
            Event::Changed(message) => Some(format!("changed: {}", self.message_anywhere(message))),
            Event::History { messages, complete: true } => Some(self.history(*messages)),
            Event::Outbox { state: OutboxState::Waiting, reason, .. } => {
                Some(format!("a message waits{}", because(reason)))
            }
            Event::Outbox { state: OutboxState::Refused, reason, .. } => {
                Some(self.paint.loud(&format!("a message was not sent{}", because(reason))))
            }
            Event::Online { online: true, .. } => Some("connected".to_owned()),
            Event::Online { online: false, problem } => Some(format!("not connected{}", because(problem))),
            Event::Alarm { text } => Some(self.alarm(text)),
            Event::Verification { address, standing } => Some(self.standing_event(address, standing)),
            Event::Contact { address, state } => {
                let who = self.name(address);
                let text = self.contact(&who, state);
                Some(match state.as_str() {
                    "pending" => format!("{text}: {} contacts accept {who} (or decline, block)", hint::program()),
                    _ => text,
                })
            }
        }
    }

    /// That what was said before this device came is here.
    pub(super) fn history(&self, messages: u64) -> String {
        match messages {
            0 => "your other devices have nothing that is not here".to_owned(),
            1 => "one earlier message has come from your other devices".to_owned(),
            many => format!("{many} earlier messages have come from your other devices"),
        }
    }

    /// That a contact's state is now this one.
    pub(super) fn contact(&self, who: &str, state: &str) -> String {
        match state {
            "requested" => format!("{who} is asked whether they want to talk to you"),
            "pending" => format!("{who} asks to talk to you"),
            "accepted" => format!("{who} and you can write to each other"),
            state => format!("{who}: {}", terminal::line(state)),
        }
    }

    /// A conversation's title in a list: groups are marked, so that none passes for a person.
    pub(super) fn title(&self, conversation: &Conversation) -> String {
        match conversation.kind {
            ConversationKind::Direct => self.name(&conversation.title),
            ConversationKind::Personal => "(you)".to_owned(),
            ConversationKind::Group => format!("#{}", terminal::line(&conversation.title)),
        }
    }

    /// The list of conversations, numbered from 1.
    pub(super) fn conversations(&self, conversations: &[Conversation]) -> Vec<String> {
        let mut table = Table::new(&["", "WITH", "UNREAD", "LAST", "MEMBERS"]);
        for (number, conversation) in (1_usize..).zip(conversations) {
            let unread = match conversation.unread {
                0 => String::new(),
                n => n.to_string(),
            };
            let last = match (&conversation.last, conversation.request, conversation.active) {
                (_, true, _) => "wants to talk to you: accept, decline or block".to_owned(),
                (_, _, false) => "(you are not in it any more)".to_owned(),
                (Some(last), ..) => {
                    let sender = if last.own { "you".to_owned() } else { self.name(&last.sender) };
                    let said = match last.kind.as_str() {
                        "notice" => format!("* {}", last.body),
                        _ => format!("{sender}: {}", last.body),
                    };
                    let said = cut(&terminal::line(&said), LAST_WIDTH);
                    format!("{} {said}", self.clock.local(&last.time))
                }
                (None, ..) => String::new(),
            };
            let members = cut(&self.names(&conversation.members), MEMBERS_WIDTH);
            let suite = if conversation.post_quantum { " (post-quantum)" } else { "" };
            let picture = if conversation.picture { " (picture)" } else { "" };
            let moved = match (&conversation.continued_in, &conversation.continues) {
                (Some(_), None) => " (continued)",
                (Some(_), Some(_)) => " (the second)",
                (None, _) => "",
            };
            let mark = Self::mark(conversation.standing.as_ref());
            let muted = if conversation.muted { " (muted)" } else { "" };
            let title = format!("{}{mark}{suite}{picture}{moved}{muted}", self.title(conversation));
            table.row([number.to_string(), title, unread, last, members]);
        }
        self.headed(table)
    }

    fn contacts(&self, contacts: &[Contact]) -> Vec<String> {
        let mut table = Table::new(&["WHO", "STATE", "VERIFIED", "ACCOUNT KEY"]);
        for contact in contacts {
            let key = contact.account_key.as_deref().unwrap_or("not known yet");
            let (who, state) = (self.name(&contact.address), contact_state(&contact.state).to_owned());
            table.row([who, state, self.verified(&contact.standing), key.to_owned()]);
        }
        let mut lines = self.headed(table);
        lines.extend(contacts.iter().filter_map(|contact| self.contact_alarm(contact)));
        lines
    }

    fn members(&self, members: &[Member], picture: bool) -> Vec<String> {
        let mut table = Table::new(&["WHO", "ROLE", "DEVICES", "VERIFIED"]);
        for member in members {
            let verified = member.standing.as_ref().map(|standing| self.verified(standing)).unwrap_or_default();
            table.row([self.name(&member.address), member.role.clone(), member.devices.to_string(), verified]);
        }
        let mut lines = self.headed(table);
        for member in members.iter().filter(|member| member.disputed) {
            let who = self.name(&member.address);
            lines.push(self.alarm(&format!("the group and the server disagree on whether {who} is a member")));
        }
        let alarm = |member: &Member| self.key_alarm(&member.address, member.standing.as_ref()?);
        lines.extend(members.iter().filter_map(alarm));
        if picture {
            lines.push(self.paint.dim("the group has a picture"));
        }
        lines
    }

    fn devices(&self, devices: &[Device]) -> Vec<String> {
        let mut table = Table::new(&["DEVICE", "NAME", "ENROLLED", "LAST SEEN", ""]);
        for device in devices {
            let this = if device.current { "this one" } else { "" };
            let enrolled = self.clock.local(&device.enrolled);
            table.row([device.device.as_str(), &device.name, &enrolled, &device.last_seen, this]);
        }
        self.headed(table)
    }

    fn links(&self, links: &[GroupLink]) -> Vec<String> {
        let mut table = Table::new(&["NUMBER", "USES LEFT", "ENDS", "MADE BY"]);
        for link in links {
            let left = format!("{} of {}", link.uses_left, link.uses);
            table.row([link.number.to_string(), left, self.clock.local(&link.expires), self.name(&link.maker)]);
        }
        self.headed(table)
    }

    fn files(&self, files: &[File]) -> Vec<String> {
        let mut table = Table::new(&["ID", "NAME", "SIZE", "TYPE", "FROM", "WHEN", "STATE"]);
        for file in files {
            let from = if file.own { "you".to_owned() } else { self.name(&file.sender) };
            let (name, media) = (cut(&terminal::line(&file.name), NAME_WIDTH), terminal::line(&file.media_type));
            let (when, state) = (self.clock.local(&file.time), file.state.name().to_owned());
            table.row([short(&file.id), name, shown_size(file.size), cut(&media, NAME_WIDTH), from, when, state]);
        }
        self.headed(table)
    }

    fn headed(&self, table: Table) -> Vec<String> {
        let mut lines = table.lines();
        if let Some(heading) = lines.first_mut() {
            *heading = self.paint.dim(heading);
        }
        lines
    }

    /// Messages that can't be sent yet.
    pub(super) fn waiting(&self, waiting: &Waiting) -> String {
        let (to, reason) = (self.name(&waiting.to), terminal::line(&waiting.reason));
        match waiting.messages {
            1 => format!("1 message to {to} waits: {reason}"),
            n => format!("{n} messages to {to} wait: {reason}"),
        }
    }
}

/// As much of a file's id as people need: when it was sent, to the millisecond.
fn short(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

/// A contact's state in words; unknown ones as they are.
pub(super) fn contact_state(state: &str) -> &str {
    match state {
        "requested" => "has not answered yet",
        "pending" => "asks to talk to you",
        other => other,
    }
}

/// What a list says when it is empty, and what to do about it.
pub(super) fn nothing(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Conversations { conversations } if conversations.is_empty() => {
            let me = hint::program();
            format!("no conversations yet; begin one with: {me} send NAME TEXT, or {me} chat NAME")
        }
        Outcome::Alarms { alarms } if alarms.is_empty() => "no alarms".to_owned(),
        Outcome::Contacts { contacts } if contacts.is_empty() => "no contacts yet".to_owned(),
        Outcome::Messages { messages } if messages.is_empty() => "no messages".to_owned(),
        Outcome::Readers { readers } if readers.is_empty() => "nobody has said so".to_owned(),
        Outcome::Files { files } if files.is_empty() => "no files".to_owned(),
        Outcome::Scheduled { scheduled } if scheduled.is_empty() => "nothing waits for its time".to_owned(),
        Outcome::Links { links } if links.is_empty() => "no links into this group".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
