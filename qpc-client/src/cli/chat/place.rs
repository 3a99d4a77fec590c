//! Which conversation a person means.
//!
//! Groups are written `#title`, so that none passes for a person, whatever its title is.

use qpc_client::api::{Conversation, ConversationKind};
use qpc_proto::address::{AccountName, Address};

use crate::cli::render::Render;

/// The conversation that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As the library is asked for it: by its id, which no other has, if it has one yet.
    pub(super) to: String,
    /// The person's address, or the group's title.
    pub(super) title: String,
    /// As people see it.
    pub(super) shown: String,
    pub(super) kind: ConversationKind,
    /// `None` until its first message.
    pub(super) conversation: Option<String>,
    /// Messages up to here have been printed.
    pub(super) through: i64,
    /// It was told that this is somebody's request.
    pub(super) told_request: bool,
}

impl Place {
    /// Of a conversation of the list.
    pub(super) fn of(conversation: &Conversation, render: &Render) -> Self {
        let id = &conversation.conversation;
        // To a person whose conversation has ended one writes in another.
        let anew = conversation.kind == ConversationKind::Direct && !conversation.active;
        Self {
            to: if id.is_empty() || anew { conversation.title.clone() } else { id.clone() },
            title: conversation.title.clone(),
            shown: render.title(conversation),
            kind: conversation.kind,
            conversation: (!id.is_empty()).then(|| id.clone()),
            through: i64::MIN,
            told_request: false,
        }
    }
}

/// The conversation with a person, or of a group; one with a new person where there is none.
///
/// # Errors
/// What to say where it can be neither.
pub(super) fn find(list: &[Conversation], render: &Render, to: &str) -> Result<Place, String> {
    let title = to.strip_prefix('#');
    let is_person = |c: &&Conversation| {
        title.is_none()
            && c.kind != ConversationKind::Group
            && (c.title.eq_ignore_ascii_case(to) || render.name(&c.title).eq_ignore_ascii_case(to))
    };
    let is_group = |c: &&Conversation| c.kind == ConversationKind::Group && c.title == title.unwrap_or(to);
    // One that was left, ended with a reset or goes on elsewhere, only where there is no other.
    let best = |is: &dyn Fn(&&Conversation) -> bool| {
        let all = || list.iter().filter(is);
        all()
            .find(|c| c.active && c.continued_in.is_none())
            .or_else(|| all().find(|c| c.active))
            .or_else(|| all().next())
    };
    if let Some(found) = best(&is_person).or_else(|| best(&is_group)) {
        return Ok(Place::of(found, render));
    }
    if AccountName::parse(to).is_err() && Address::parse(to).is_err() {
        return Err(format!("there is no group or person {to:?} here"));
    }
    let to = to.to_lowercase();
    let shown = render.name(&to);
    Ok(Place {
        title: to.clone(),
        to,
        shown,
        kind: ConversationKind::Direct,
        conversation: None,
        through: i64::MIN,
        told_request: false,
    })
}

/// As [`find`]; a number is one of the list, unless it is somebody's name.
///
/// # Errors
/// As [`find`].
pub(super) fn find_or_number(list: &[Conversation], render: &Render, to: &str) -> Result<Place, String> {
    let found = find(list, render, to);
    if found.as_ref().is_ok_and(|place| place.conversation.is_some()) {
        return found;
    }
    let numbered = to.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).and_then(|n| list.get(n));
    numbered.map_or(found, |conversation| Ok(Place::of(conversation, render)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::Screen;

    fn conversation(id: &str, title: &str, kind: ConversationKind, active: bool) -> Conversation {
        Conversation {
            topic: String::new(),
            conversation: id.to_owned(),
            title: title.to_owned(),
            kind,
            members: Vec::new(),
            unread: 0,
            last: None,
            standing: None,
            request: false,
            active,
            post_quantum: false,
            picture: false,
            lifetime_s: 0,
            muted: false,
            continues: None,
            continued_in: None,
        }
    }

    fn list() -> Vec<Conversation> {
        use ConversationKind::{Direct, Group};
        vec![
            conversation("1", "bob@localhost", Group, true),
            conversation("2", "bob@localhost", Direct, false),
            conversation("3", "bob@localhost", Direct, true),
            conversation("4", "friends", Group, true),
        ]
    }

    fn found(to: &str) -> Option<String> {
        let render = Render::new(&Screen::new(false), "alice@localhost");
        find_or_number(&list(), &render, to).unwrap().conversation
    }

    #[test]
    fn a_group_does_not_pass_for_a_person() {
        assert_eq!(found("bob").as_deref(), Some("3"));
        assert_eq!(found("Bob@localhost").as_deref(), Some("3"));
        assert_eq!(found("#bob@localhost").as_deref(), Some("1"));
    }

    #[test]
    fn what_has_ended_between_two_begins_anew_and_a_group_does_not() {
        let render = Render::new(&Screen::new(false), "alice@localhost");
        let ended = |kind| vec![conversation("2", "bob@localhost", kind, false)];
        assert_eq!(find(&ended(ConversationKind::Direct), &render, "bob").unwrap().to, "bob@localhost");
        assert_eq!(find(&ended(ConversationKind::Group), &render, "#bob@localhost").unwrap().to, "2");
    }

    #[test]
    fn groups_numbers_and_new_people_are_found() {
        assert_eq!(found("friends").as_deref(), Some("4"));
        assert_eq!(found("#friends").as_deref(), Some("4"));
        assert_eq!(found("2").as_deref(), Some("2"));
        assert_eq!(found("9"), None);
        assert_eq!(found("carol"), None);
        let render = Render::new(&Screen::new(false), "alice@localhost");
        assert!(find(&list(), &render, "no such group").is_err());
        assert!(find(&list(), &render, "#carol").is_err());
    }
}
