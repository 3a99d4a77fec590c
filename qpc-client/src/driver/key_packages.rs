//! Key packages: so many are always with the server that others can add this device while it is away.

use std::{convert::Infallible, sync::Arc, time::Duration};

use qpc_proto::{suite::Suite, v1};
use tokio::time::sleep;

use super::session::End;
use crate::{
    apply::{Applied, ApplyError},
    core::Core,
    fresh,
    store::{StoreError, key_packages},
    transport::{CallError, Link},
};

/// How many one-time key packages of a suite the server is to have.
#[derive(Debug, Clone, Copy)]
struct Pool {
    suite: Suite,
    /// Made at a time.
    batch: usize,
    /// With fewer than these left another batch is made.
    refill_below: u32,
}

const CLASSICAL: Pool = Pool { suite: Suite::Classical, batch: 20, refill_below: 10 };
/// Each is six times as long, and groups that need one are rare.
const POST_QUANTUM: Pool = Pool { suite: Suite::PostQuantum, batch: 5, refill_below: 3 };
/// Secrets of key packages are kept for this long, in seconds: the server may still hand them out.
const SECRETS_KEPT: u64 = 200 * 86_400;
/// Secrets that are kept however old they are: more than the server keeps packages of one device.
const SECRETS_KEPT_MIN: usize = 256;
/// Pause before the server is asked again after it refused.
const PAUSE: Duration = Duration::from_secs(5);

/// The one-time key packages that the server has of this device.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stock {
    pub(crate) classical: u32,
    pub(crate) post_quantum: u32,
}

impl Stock {
    fn of(self, suite: Suite) -> u32 {
        match suite {
            Suite::Classical => self.classical,
            Suite::PostQuantum => self.post_quantum,
        }
    }

    fn set(&mut self, suite: Suite, number: u32) {
        match suite {
            Suite::Classical => self.classical = number,
            Suite::PostQuantum => self.post_quantum = number,
        }
    }

    fn all(self) -> u32 {
        self.classical.saturating_add(self.post_quantum)
    }
}

/// Of the suites that the server knows.
fn pools(link: &Link) -> impl Iterator<Item = Pool> + use<> {
    let post_quantum = link.post_quantum.then_some(POST_QUANTUM);
    [CLASSICAL].into_iter().chain(post_quantum)
}

/// Keeps enough with the server until the connection ends. `stock` is what it has; nothing where they were published
/// just before.
pub(super) async fn run(core: &Arc<Core>, link: &Link, stock: Option<Stock>) -> Result<Infallible, End> {
    let mut short = Vec::new();
    if let Some(stock) = stock {
        warn_if_drained(core, stock.all()).await?;
        for pool in pools(link) {
            let one_time = stock.of(pool.suite);
            // A device that has none may be a new one, and then has no last resort either.
            let last_resort = one_time > 0 && !core.last_resort_used(pool.suite);
            note(&mut short, pool, one_time, last_resort);
        }
    }
    loop {
        for (pool, last_resort) in std::mem::take(&mut short) {
            while let Err(error) = publish(core, link, pool, last_resort).await? {
                tracing::debug!(%error, suite = pool.suite.name(), "key packages were not taken");
                sleep(PAUSE).await;
            }
        }
        core.key_packages.notified().await;
        let mut stock = Stock::default();
        for pool in pools(link) {
            let count = link.call(v1::CountKeyPackages { suite: pool.suite.to_wire() }).await?;
            stock.set(pool.suite, count.key_packages);
            let last_resort = count.last_resort && !core.last_resort_used(pool.suite);
            note(&mut short, pool, count.key_packages, last_resort);
        }
        warn_if_drained(core, stock.all()).await?;
    }
}

/// Notes a pool that is to be filled, and whether it lacks one of last resort.
fn note(short: &mut Vec<(Pool, bool)>, pool: Pool, one_time: u32, last_resort: bool) {
    if one_time < pool.refill_below || !last_resort {
        short.push((pool, !last_resort));
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

/// Publishes the first ones of a device. The inner error may pass.
pub(crate) async fn publish_first(core: &Arc<Core>, link: &Link) -> Result<Result<(), CallError>, End> {
    for pool in pools(link) {
        if let Err(error) = publish(core, link, pool, true).await? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Makes a batch and publishes it. The inner error may pass.
async fn publish(core: &Arc<Core>, link: &Link, pool: Pool, last_resort: bool) -> Result<Result<(), CallError>, End> {
    let me = core.me.clone();
    let made = core
        .store
        .run(move |tx| {
            me.with_mls(tx, |mls| {
                let before = (fresh::now_ms() / 1000).saturating_sub(SECRETS_KEPT);
                mls.forget_key_packages(before, SECRETS_KEPT_MIN)?;
                Ok::<_, ApplyError>(mls.make_key_packages(pool.suite, pool.batch, last_resort)?)
            })
        })
        .await?;
    let request = v1::PublishKeyPackages {
        key_packages: made.one_time.into_iter().map(Into::into).collect(),
        last_resort: made.last_resort.unwrap_or_default().into(),
    };
    match link.call(request).await {
        Ok(_) => {
            core.store.run(move |tx| key_packages::published(tx, pool.batch)).await?;
            if last_resort {
                core.set_last_resort_used(pool.suite, false);
            }
            Ok(Ok(()))
        }
        Err(error @ CallError::Refused(_)) => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}
