//! Key packages: so many are always with the server that others can add this device while it is away.

use std::{convert::Infallible, sync::Arc, time::Duration};

use qpc_proto::v1;
use tokio::time::sleep;

use super::session::End;
use crate::{
    apply::{Applied, ApplyError},
    core::Core,
    fresh,
    store::{StoreError, key_packages},
    transport::{CallError, Link},
};

/// One-time key packages made at a time.
const BATCH: usize = 20;
/// With fewer than these left another batch is made.
const REFILL_BELOW: u32 = 10;
/// Secrets of key packages are kept for this long, in seconds: the server may still hand them out.
const SECRETS_KEPT: u64 = 200 * 86_400;
/// Secrets that are kept however old they are: more than the server keeps packages of one device.
const SECRETS_KEPT_MIN: usize = 128;
/// Pause before the server is asked again after it refused.
const PAUSE: Duration = Duration::from_secs(5);

/// Keeps enough with the server until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link, unclaimed: u32) -> Result<Infallible, End> {
    let mut one_time = unclaimed;
    // A device that has none may be a new one, and then has no last resort either.
    let mut last_resort = unclaimed > 0 && !core.last_resort_used();
    // On the first connection of a home it is not known how many there are.
    if unclaimed < u32::MAX {
        warn_if_drained(core, unclaimed).await?;
    }
    loop {
        if (one_time < REFILL_BELOW || !last_resort)
            && let Err(error) = publish(core, link, !last_resort).await?
        {
            tracing::debug!(%error, "key packages were not taken");
            sleep(PAUSE).await;
            continue;
        }
        core.key_packages.notified().await;
        let count = link.call(v1::CountKeyPackages {}).await?;
        warn_if_drained(core, count.key_packages).await?;
        (one_time, last_resort) = (count.key_packages, count.last_resort && !core.last_resort_used());
    }
}

/// Raises the alarm where somebody takes key packages and does not use them.
async fn warn_if_drained(core: &Arc<Core>, left: u32) -> Result<(), End> {
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                if let Some(taken) = key_packages::drained(tx, left)? {
                    out.alarm(tx, drained(taken))?;
                }
                Ok::<_, StoreError>(out)
            },
            move |applied| {
                if applied.has_news() {
                    teller.tell(applied);
                }
            },
        )
        .await?;
    Ok(())
}

fn drained(taken: i64) -> String {
    format!(
        "Somebody takes the keys by which others add this device, and does not use them: {taken} within a day. Where none \
         are left, one and the same is given to everybody, which protects less. Who did it the operator can find out, \
         unless it is the server itself."
    )
}

/// Makes a batch and publishes it. The inner error may pass.
pub(crate) async fn publish(core: &Arc<Core>, link: &Link, last_resort: bool) -> Result<Result<(), CallError>, End> {
    let me = core.me.clone();
    let made = core
        .store
        .run(move |tx| {
            me.with_mls(tx, |mls| {
                let before = (fresh::now_ms() / 1000).saturating_sub(SECRETS_KEPT);
                mls.forget_key_packages(before, SECRETS_KEPT_MIN)?;
                Ok::<_, ApplyError>(mls.make_key_packages(BATCH, last_resort)?)
            })
        })
        .await?;
    let request = v1::PublishKeyPackages {
        key_packages: made.one_time.into_iter().map(Into::into).collect(),
        last_resort: made.last_resort.unwrap_or_default().into(),
    };
    match link.call(request).await {
        Ok(_) => {
            core.store.run(|tx| key_packages::published(tx, BATCH)).await?;
            if last_resort {
                core.set_last_resort_used(false);
            }
            Ok(Ok(()))
        }
        Err(error @ CallError::Refused(_)) => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}
