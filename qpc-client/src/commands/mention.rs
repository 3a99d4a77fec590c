//! Whom a text names: `@name` and `@name@domain`, where such a member is.

use std::collections::BTreeSet;

use qpc_proto::{
    address::{Address, Domain},
    content::{Mention, Words},
    limits::MENTIONS_MAX,
};
use rusqlite::Transaction;

use crate::{api::CommandError, mls::GroupError, store::conversation::Conversation, trust::Me};

/// The people in a conversation, as far as this device is in it.
pub(super) fn members(tx: &Transaction<'_>, me: &Me, of: &Conversation) -> Result<BTreeSet<Address>, CommandError> {
    let mut members: BTreeSet<Address> = of.peer.iter().cloned().chain([me.address().clone()]).collect();
    let Some(name) = &of.name else { return Ok(members) };
    let found = me.with_mls(tx, |mls| mls.group(name).members());
    match found {
        Ok(devices) => members.extend(devices.iter().map(|member| member.device.address().clone())),
        Err(GroupError::NoGroup | GroupError::Removed) => {}
        Err(GroupError::Fault(fault)) => return Err(fault.into()),
    }
    Ok(members)
}

/// A text with the members that it names. A name alone is the one of the own domain, or the only one of that name.
pub(super) fn find(text: String, members: &BTreeSet<Address>, home: &Domain) -> Words {
    let mut mentions: Vec<Mention> = Vec::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let begins = c == '@' && !before.is_some_and(is_of_name);
        before = Some(c);
        if !begins || mentions.len() >= MENTIONS_MAX || mentions.last().is_some_and(|last| at < last.place.end) {
            continue;
        }
        let Some(rest) = at.checked_add(1).and_then(|from| text.get(from..)) else { continue };
        let length = rest.find(|c| !is_of_name(c) && c != '@').unwrap_or(rest.len());
        let mut named = rest.get(..length).unwrap_or_default();
        // What ends a sentence is of no name.
        while !named.is_empty() {
            if let Some(address) = member(named, members, home) {
                let end = at.saturating_add(1).saturating_add(named.len());
                mentions.push(Mention { address: address.clone(), place: at..end });
                break;
            }
            match named.strip_suffix(['.', '-', '_', '@']) {
                Some(shorter) => named = shorter,
                None => break,
            }
        }
    }
    Words { text, mentions }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn member<'m>(named: &str, members: &'m BTreeSet<Address>, home: &Domain) -> Option<&'m Address> {
    let address = Address::parse_at(&named.to_lowercase(), home).ok()?;
    if named.contains('@') {
        return members.get(&address);
    }
    members.get(&address).or_else(|| {
        let mut called = members.iter().filter(|member| member.name == address.name);
        called.next().filter(|_| called.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<(String, String)> {
        let all = ["alice@a.example", "bob@a.example", "bob@b.example", "carol@b.example", "eve.m@b.example"];
        let members = all.iter().map(|address| Address::parse(address).unwrap()).collect();
        let words = find(text.into(), &members, &Domain::parse("a.example").unwrap());
        let cut = |mention: &Mention| {
            (words.text.get(mention.place.clone()).unwrap().to_owned(), mention.address.to_string())
        };
        words.mentions.iter().map(cut).collect()
    }

    #[test]
    fn members_are_named_and_nobody_else() {
        let pair = |text: &str, address: &str| (text.to_owned(), address.to_owned());
        assert_eq!(named("@bob: hi"), [pair("@bob", "bob@a.example")], "the own domain's");
        assert_eq!(named("ö @bob@b.example."), [pair("@bob@b.example", "bob@b.example")]);
        assert_eq!(named("@carol, @alice..."), [pair("@carol", "carol@b.example"), pair("@alice", "alice@a.example")]);
        assert_eq!(named("(@Eve.m)"), [pair("@Eve.m", "eve.m@b.example")]);
        assert!(named("mail carol@alice, @dave, @, @@, @bobby, @carol@a.example").is_empty());
        assert_eq!(named(&"@bob ".repeat(MENTIONS_MAX + 1)).len(), MENTIONS_MAX);
    }
}
