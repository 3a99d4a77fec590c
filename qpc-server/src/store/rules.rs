//! Judgements without rows: what the verbs decide once they have looked.
//!
//! Pure functions, so that each can be read and tested by itself. None of them writes.

use qpc_proto::{
    chain::{Digest, EntryContent, EntryKind, LogEntry},
    id::{Counter, DeviceId, Epoch},
    limits::REQUEST_BODY_MAX,
    v1::ContactState,
};

use super::{
    AppendError, Appended, InviteError,
    tables::{AccountState, InviteRow, Say, Stance},
};
use qpc_proto::address::AccountName;

/// A device that was not here in this time before a backup is not awaited after its restore, in milliseconds.
pub(super) const SEEN_WITHIN_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What an append says of itself, besides its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) sender: DeviceId,
    pub(super) counter: Counter,
    pub(super) kind: EntryKind,
    pub(super) epoch: Epoch,
}

/// Where an entry was stored.
pub(super) fn appended(entry: &LogEntry) -> Appended {
    Appended { seq: entry.seq, chain: entry.chain, stored_ms: entry.stored_ms }
}

/// The digest of an entry's body, there or gone.
pub(super) fn digest(entry: &LogEntry) -> Digest {
    match &entry.content {
        EntryContent::Body(body) => Digest::of(body),
        EntryContent::Removed(digest) => *digest,
    }
}

/// An entry with the offered id is stored: is it the same one (invariant 2)?
pub(super) fn again(stored: &LogEntry, claim: &Claim, offered: &[u8]) -> Result<Appended, AppendError> {
    again_by_digest(stored, claim, Digest::of(offered))
}

/// The same by the digest of what was offered.
pub(super) fn again_by_digest(stored: &LogEntry, claim: &Claim, offered: Digest) -> Result<Appended, AppendError> {
    let same = stored.sender == Some(claim.sender)
        && stored.counter == claim.counter
        && stored.kind == claim.kind
        && digest(stored) == offered;
    if same { Ok(appended(stored)) } else { Err(AppendError::IdConflict) }
}

/// An entry with a new id: is it the next one of its device, in the group's epoch (invariants 6 and 11)?
pub(super) fn next(claim: &Claim, last: Counter, epoch: Epoch) -> Result<(), AppendError> {
    if claim.counter != Counter(0) && claim.counter <= last {
        // Used for another id, or its entry is past retention and can't be compared.
        return Err(AppendError::IdConflict);
    }
    // A report is about an epoch that has passed.
    let fits = if claim.kind == EntryKind::Report { claim.epoch < epoch } else { claim.epoch == epoch };
    if !fits {
        return Err(AppendError::WrongEpoch(epoch));
    }
    if claim.counter != last.next() {
        return Err(AppendError::CounterGap(last));
    }
    Ok(())
}

/// May somebody who was not accepted place this? One small message, ever.
pub(super) fn request(theirs: Stance, kind: EntryKind, length: usize) -> Result<(), AppendError> {
    if kind == EntryKind::Message && !theirs.request_used && length <= REQUEST_BODY_MAX {
        Ok(())
    } else {
        Err(AppendError::ContactPending)
    }
}

/// How a contact looks to its owner. What the peer declined or blocked does not show.
pub(super) fn contact_state(mine: Stance, theirs: Stance) -> ContactState {
    match (mine.blocked, mine.say, theirs.say) {
        (true, ..) => ContactState::Blocked,
        (_, Say::Pending, _) => ContactState::Pending,
        (_, Say::Declined, _) => ContactState::Declined,
        (_, Say::Accepted, Say::Pending | Say::Declined) => ContactState::Requested,
        (_, Say::Accepted | Say::Nothing, _) => ContactState::Accepted,
    }
}

/// Why a token does not let a name in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// The token is not valid, or not for this name.
    Token,
    /// The name is somebody's.
    Name,
}

impl From<NotAdmitted> for InviteError {
    fn from(_: NotAdmitted) -> Self {
        Self::Invalid
    }
}

/// May a name be registered with this invite, or with none where the operator lets everybody in?
///
/// A bad token is said before a taken name, so that names can't be tried out without an invite.
pub(super) fn admit(
    name: &AccountName,
    state: Option<AccountState>,
    invite: Option<Option<&InviteRow>>,
    now_ms: u64,
) -> Result<(), NotAdmitted> {
    let bound = match invite {
        None => false,
        Some(None) => return Err(NotAdmitted::Token),
        Some(Some(invite)) => {
            let over = invite.uses == 0 || invite.expires_ms.is_some_and(|end| end <= now_ms);
            if over || invite.name.as_ref().is_some_and(|of| of != name) {
                return Err(NotAdmitted::Token);
            }
            invite.name.is_some()
        }
    };
    match (state, bound) {
        (None, false) | (Some(AccountState::Reset), true) => Ok(()),
        (None, true) => Err(NotAdmitted::Token),
        (Some(_), _) => Err(NotAdmitted::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::InviteToken;

    #[test]
    fn counters_go_up_by_one_in_the_current_epoch() {
        let claim =
            |counter, epoch| Claim { sender: DeviceId::new(1, [1; 10]), counter, kind: EntryKind::Message, epoch };
        let judge = |counter, epoch| next(&claim(Counter(counter), Epoch(epoch)), Counter(4), Epoch(2));
        assert_eq!(judge(5, 2), Ok(()));
        assert_eq!(judge(6, 2), Err(AppendError::CounterGap(Counter(4))));
        assert_eq!(judge(0, 2), Err(AppendError::CounterGap(Counter(4))));
        assert_eq!(judge(4, 2), Err(AppendError::IdConflict));
        assert_eq!(judge(5, 1), Err(AppendError::WrongEpoch(Epoch(2))));
        assert_eq!(judge(6, 3), Err(AppendError::WrongEpoch(Epoch(2))));
    }

    #[test]
    fn a_stranger_places_one_small_message() {
        let fresh = Stance { say: Say::Pending, ..Stance::default() };
        assert_eq!(request(fresh, EntryKind::Message, REQUEST_BODY_MAX), Ok(()));
        assert_eq!(request(fresh, EntryKind::Message, REQUEST_BODY_MAX + 1), Err(AppendError::ContactPending));
        assert_eq!(request(fresh, EntryKind::Commit, 1), Err(AppendError::ContactPending));
        let used = Stance { request_used: true, ..fresh };
        assert_eq!(request(used, EntryKind::Message, 1), Err(AppendError::ContactPending));
    }

    #[test]
    fn what_the_peer_decided_against_us_does_not_show() {
        let mine = Stance { say: Say::Accepted, ..Stance::default() };
        for blocked in [false, true] {
            for (say, shown) in [
                (Say::Pending, ContactState::Requested),
                (Say::Declined, ContactState::Requested),
                (Say::Accepted, ContactState::Accepted),
            ] {
                assert_eq!(contact_state(mine, Stance { say, blocked, request_used: true }), shown);
            }
        }
    }

    #[test]
    fn a_reset_name_takes_its_own_token_alone() {
        let name = AccountName::parse("alice").unwrap();
        let other = AccountName::parse("bob").unwrap();
        let invite = |name: Option<&AccountName>| InviteRow {
            token: InviteToken([1; 32]),
            uses: 1,
            expires_ms: Some(10),
            name: name.cloned(),
        };
        let (plain, bound, foreign) = (invite(None), invite(Some(&name)), invite(Some(&other)));
        let reset = Some(AccountState::Reset);
        assert_eq!(admit(&name, reset, Some(Some(&bound)), 9), Ok(()));
        assert_eq!(admit(&name, reset, Some(Some(&bound)), 10), Err(NotAdmitted::Token));
        assert_eq!(admit(&name, reset, Some(Some(&foreign)), 9), Err(NotAdmitted::Token));
        assert_eq!(admit(&name, reset, Some(Some(&plain)), 9), Err(NotAdmitted::Name));
        assert_eq!(admit(&name, reset, None, 9), Err(NotAdmitted::Name));
        assert_eq!(admit(&name, None, Some(Some(&plain)), 9), Ok(()));
        assert_eq!(admit(&name, None, Some(None), 9), Err(NotAdmitted::Token));
        assert_eq!(admit(&name, Some(AccountState::Deleted), Some(Some(&plain)), 9), Err(NotAdmitted::Name));
    }
}
