//! The certificate of an ACME authority, kept up to date: ordered where there is none, renewed before it ends, stored, and
//! from there shown as any changed file is. An order that fails changes nothing, and another one follows.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc};

use futures_util::FutureExt;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::info_span;

use super::CertificateSource;
use crate::{
    acme::{self, AcmeError, Plan, Settings, Signed},
    clock::Clock,
    data_dir::{AcmeFiles, DataDir, ServerCertificate},
    metrics::{AcmeMetrics, Metrics},
    policy::{Limits, limits::AcmeLimits},
    rng::{self, Rng},
    tasks::{ORDER, Tasks},
    transport::{self, Identity, tls::Validity},
};

/// Which authority is asked, and where what it gives is kept.
pub struct Acme {
    /// The authority, and what it is asked for.
    pub settings: Settings,
    /// In the data directory.
    pub files: AcmeFiles,
    /// How long and how often.
    pub limits: AcmeLimits,
}

/// Reads what is shown anew each time: what the authority has signed, and until then the server's own.
#[must_use]
pub fn source(root: &Path) -> CertificateSource {
    let (files, root) = (AcmeFiles::of(root), root.to_owned());
    Arc::new(move || {
        let kept = files.certificate().or_else(|| DataDir::made_certificate(&root));
        kept.ok_or("there is none")?.map_err(|error| error.to_string())
    })
}

/// What the task shares with the server.
pub(super) struct Surroundings {
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
    /// The operator asks to look now.
    pub(super) asked: Arc<Notify>,
    /// Who shows the certificate is to look at the files.
    pub(super) changed: Arc<Notify>,
}

/// Orders and renews for as long as the server runs.
pub(super) fn keep(tasks: &Tasks, acme: Acme, around: Surroundings) {
    let (stopping, asked) = (tasks.stopping().clone(), Arc::clone(&around.asked));
    let keeper = Keeper { acme: Arc::new(acme), around, tasks: tasks.clone() };
    tasks.share("acme", info_span!("acme"), async move {
        let mut plan = keeper.begin().await;
        let mut due = interval(keeper.acme.limits.look);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // All branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = due.tick() => {}
                () = asked.notified() => plan.look_again(),
            }
            if !plan.is_due(keeper.now_ms()) {
                continue;
            }
            // An order that is left in the middle is forgotten by the authority; the account and the certificate are each
            // stored by a thread that ends its work.
            tokio::select! {
                () = stopping.cancelled() => return,
                () = keeper.order(&mut plan) => {}
            }
        }
    });
}

struct Keeper {
    acme: Arc<Acme>,
    around: Surroundings,
    tasks: Tasks,
}

impl Keeper {
    fn now_ms(&self) -> u64 {
        self.around.clock.unix_ms()
    }

    fn chance(&self) -> u8 {
        let [chance] = rng::bytes(&*self.around.rng);
        chance
    }

    /// What follows from what an earlier start has kept.
    async fn begin(&self) -> Plan {
        let acme = Arc::clone(&self.acme);
        let kept = self.tasks.compute(move || kept(&acme)).await;
        match kept.unwrap_or_else(|| Err("it could not be read".into())) {
            Ok(validity) => Plan::renewing(validity, self.chance()),
            Err(why) => {
                tracing::warn!(
                    why,
                    "a certificate of the authority is ordered now; until it is there clients that rely on the authority refuse this server"
                );
                Plan::at_once()
            }
        }
    }

    /// One order, whatever comes of it.
    async fn order(&self, plan: &mut Plan) {
        let AcmeMetrics { issued, failed } = &self.around.metrics.acme;
        let limits = &self.acme.limits;
        let attempt = AssertUnwindSafe(timeout(limits.order, self.attempt())).catch_unwind();
        let done = match attempt.await {
            Ok(done) => done.unwrap_or(Err(AcmeError::Late)),
            // The old certificate is none the worse for it, and neither is anybody's session.
            Err(_) => {
                self.around.metrics.panicked(ORDER);
                tracing::error!("an order at the authority panicked");
                Err(AcmeError::Internal("an order panicked"))
            }
        };
        match done {
            Ok(validity) => {
                issued.inc();
                *plan = Plan::signed(validity, self.now_ms(), self.chance());
                tracing::info!(ends = validity.ends, "the authority has signed a certificate");
                self.around.changed.notify_one();
            }
            Err(error) => {
                failed.inc();
                let pause = plan.failed(self.now_ms(), self.chance(), limits);
                tracing::warn!(%error, again_seconds = pause.as_secs(), "no certificate was ordered: the old one stays");
                if error.forgets_account() {
                    self.forget_account().await;
                }
            }
        }
    }

    /// From the account to a certificate that is kept; says how long it counts.
    async fn attempt(&self) -> Result<Validity, AcmeError> {
        let limits = &self.acme.limits;
        let acme = Arc::clone(&self.acme);
        let kept = self.keep_on_disk(move || acme.files.account()).await?;
        let (account, new) = acme::enter(&self.acme.settings, kept.as_ref(), limits).await?;
        if let Some(new) = new {
            let acme = Arc::clone(&self.acme);
            self.keep_on_disk(move || acme.files.put_account(&new)).await?;
            tracing::info!("the authority has made an account");
        }
        let signed = acme::order(&account, &self.acme.settings, limits).await?;
        let validity = self.tried(&signed)?;
        let acme = Arc::clone(&self.acme);
        self.keep_on_disk(move || acme.files.put_certificate(&acme.settings.directory, &signed)).await?;
        Ok(validity)
    }

    /// Tries a certificate before it takes the old one's place.
    fn tried(&self, signed: &Signed) -> Result<Validity, AcmeError> {
        let unfit = |why: &str| AcmeError::Unfit(why.to_owned());
        let certificate = ServerCertificate { chain: signed.chain.clone(), key: signed.key.clone_key() };
        let validity = certificate.validity().ok_or_else(|| unfit("it is none"))?;
        if let Some(name) = self.acme.settings.names.iter().find(|name| !certificate.is_for(name.as_str())) {
            return Err(AcmeError::Unfit(format!("it is not for {name}")));
        }
        // One that counts from a little later on is one of a clock that is a little ahead.
        if validity.ends.saturating_mul(1000) <= self.now_ms() {
            return Err(unfit("it has ended already: is the clock right?"));
        }
        let identity = Identity { chain: certificate.chain, key: certificate.key };
        transport::server_config(identity, &self.around.limits).map_err(|error| AcmeError::Unfit(error.to_string()))?;
        Ok(validity)
    }

    async fn forget_account(&self) {
        let acme = Arc::clone(&self.acme);
        if let Err(error) = self.keep_on_disk(move || acme.files.forget_account()).await {
            tracing::warn!(%error, "an account that the authority does not know can't be forgotten");
        }
    }

    /// Off the runtime's threads: a disk may hang.
    async fn keep_on_disk<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, AcmeError> {
        let done = self.tasks.compute(work).await.ok_or(AcmeError::Internal("a file could not be kept"))?;
        done.map_err(|error| AcmeError::Keep(error.to_string()))
    }
}

/// How long the certificate that is kept counts, where it is this authority's and for all names; else why not.
fn kept(acme: &Acme) -> Result<Validity, String> {
    let Settings { directory, names, .. } = &acme.settings;
    let certificate = acme.files.certificate().ok_or("there is none yet")?.map_err(|error| error.to_string())?;
    if acme.files.authority().as_ref() != Some(directory) {
        return Err("that which is there is of another authority".into());
    }
    if let Some(name) = names.iter().find(|name| !certificate.is_for(name.as_str())) {
        return Err(format!("that which is there is not for {name}"));
    }
    certificate.validity().ok_or_else(|| "that which is there is none".into())
}
