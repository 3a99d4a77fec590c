//! This device's keys in its groups are renewed from time to time, so that ones that were stolen no longer serve, and long
//! before its leaf expires.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{change::change, session::End};
use crate::{core::Core, fresh, store::conversation, transport::Link};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys are renewed when they are this old, and up to as much older, so that not all groups change on one day. A leaf from
/// a key package expires after a year.
const AGE: Duration = DAY.saturating_mul(45);
/// Between two looks.
const LOOK: Duration = DAY;
/// Groups that are renewed at one look, at most.
const AT_ONCE: u32 = 20;

/// Renews until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        let oldest = AGE.saturating_add(fresh::jitter(AGE));
        let before = fresh::now_ms().saturating_sub(u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX));
        let due = core.store.run(move |tx| conversation::to_renew(tx, before, AT_ONCE)).await?;
        for local in due {
            if let Err(error) = change(core, link, local, Arc::new(|_, group| group.update())).await {
                tracing::debug!(%error, "keys were not renewed");
            }
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::{ConversationId, ConversationName};

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{Kind, New, State, Trusted},
            schema,
        },
    };

    #[test]
    fn the_oldest_keys_of_what_goes_on_are_renewed_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let insert = |number: u8, kind| {
            let id = ConversationId::new(1, [number; 10]);
            let name = Some(ConversationName { domain: "a.example".parse().unwrap(), id });
            let new = New { name, kind, peer: None, title: "title".into(), state: State::Active };
            conversation::insert(&tx, &new).unwrap()
        };
        let [old, older, new, ended, distrusted, unknown] =
            [1, 2, 3, 4, 5, 6].map(|number| insert(number, Kind::Group));
        let inbox = insert(7, Kind::Inbox);
        for (local, renewed) in [(old, 50), (older, 40), (new, 100), (ended, 10), (distrusted, 10), (inbox, 10)] {
            conversation::set_renewed(&tx, local, renewed).unwrap();
        }
        conversation::set_state(&tx, ended, State::Ended).unwrap();
        conversation::set_trusted(&tx, distrusted, Trusted::Never).unwrap();
        assert_eq!(conversation::to_renew(&tx, 100, 10).unwrap(), [older, old]);
        assert_eq!(conversation::to_renew(&tx, 100, 1).unwrap(), [older]);
        // One of a home that did not note it counts from the first look on.
        assert_eq!(conversation::to_renew(&tx, 101, 10).unwrap(), [older, old, new, unknown].as_slice());
    }
}
