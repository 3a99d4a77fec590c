//! Invites and conversations, for the operator.

use qpc_proto::{id::ConversationName, role::Role};

use super::{
    AdminAnswer, Operated,
    perform::malformed,
    rows::{ConversationRow, ConversationShown, InviteRow, Losses, MemberRow},
};
use crate::store::{ConversationKind, ConversationOverview, InviteInfo, InviteToken};

type Outcome = Result<AdminAnswer, AdminAnswer>;

/// Bytes of a hash that name an invite to people.
const SHOWN: usize = 4;

pub(super) async fn invites(operated: &Operated, after: Option<String>, limit: usize) -> Outcome {
    let after = after.map(|after| beginning(&after)).transpose()?.map(|bytes| {
        // The last hash that begins so.
        let mut hash = [u8::MAX; 32];
        hash.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        InviteToken(hash)
    });
    let found = operated.store.invites(after, limit).await?;
    let more = found.len() >= limit;
    let invites = found.into_iter().map(|invite| InviteRow {
        id: shown(&invite),
        uses: invite.uses,
        expires_ms: invite.expires_ms,
        name: invite.name.map(|name| name.as_str().to_owned()),
    });
    Ok(AdminAnswer::Invites { invites: invites.collect(), more })
}

pub(super) async fn revoke_invite(operated: &Operated, id: &str, dry_run: bool) -> Outcome {
    let invite = operated.store.end_invite(beginning(id)?, !dry_run).await?;
    Ok(match dry_run {
        true => AdminAnswer::Would(Losses { uses: invite.uses, ..Losses::default() }),
        false => AdminAnswer::Done { sessions: 0 },
    })
}

pub(super) async fn conversations(operated: &Operated, after: Option<String>, limit: usize) -> Outcome {
    let after = after.map(|after| name(&after)).transpose()?;
    let found = operated.store.conversations(after, limit).await?;
    let more = found.len() >= limit;
    Ok(AdminAnswer::Conversations { conversations: found.into_iter().map(row).collect(), more })
}

pub(super) async fn conversation(operated: &Operated, text: &str) -> Outcome {
    let found = operated.store.conversation(&name(text)?).await?;
    let members = found.members.into_iter().map(|(address, role)| MemberRow {
        account: address.to_string(),
        role: match role {
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
        .to_owned(),
    });
    let members_named = members.collect();
    let shown = ConversationShown { row: row(found.overview), bytes: found.bytes, members_named };
    Ok(AdminAnswer::Conversation(Box::new(shown)))
}

fn row(found: ConversationOverview) -> ConversationRow {
    ConversationRow {
        conversation: found.name.to_string(),
        kind: match found.kind {
            ConversationKind::Direct => "direct",
            ConversationKind::Group => "group",
            ConversationKind::Personal => "personal",
        }
        .to_owned(),
        created_ms: found.created_ms,
        epoch: found.epoch.0,
        members: found.members,
        entries: found.head.0.saturating_sub(found.floor.0),
    }
}

fn name(text: &str) -> Result<ConversationName, AdminAnswer> {
    text.parse().map_err(|error| malformed(format!("{text}: {error}; `admin conversations list` shows the names")))
}

fn shown(invite: &InviteInfo) -> String {
    hex::encode(invite.token.0.iter().take(SHOWN).copied().collect::<Vec<u8>>())
}

/// The bytes of an id as it is shown, or of more of the hash.
fn beginning(id: &str) -> Result<Vec<u8>, AdminAnswer> {
    match hex::decode(id) {
        Ok(bytes) if (SHOWN..=32).contains(&bytes.len()) => Ok(bytes),
        _ => Err(malformed(format!("{id} is no id of an invite, which has 8 digits: `admin invites list` shows them"))),
    }
}
