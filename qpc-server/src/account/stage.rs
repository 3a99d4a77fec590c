//! What one connection has proved so far on its way to a session.
//!
//! Everything here dies with the connection: nonces, login states and proofs can't be
//! carried to another one.

use bytes::Bytes;
use opaque_ke::ServerLogin;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge};
use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, DeviceId},
    transcript::EXPORTER_LEN,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::opaque::Suite;
use crate::{
    registry::AsOf,
    store::{Admission, DeviceRecord, LoginRecord},
};

/// The metrics that logins are counted in.
#[derive(Clone)]
pub struct LoginMeter {
    /// Passwords proved.
    pub succeeded: IntCounter,
    /// Logins that began and did not prove the password, those given up included.
    pub failed: IntCounter,
    /// Logins under way.
    pub pending: IntGauge,
    /// From the first message of a login to its proof.
    pub seconds: Histogram,
    /// Passwords registered anew that were of an older OPAQUE setup.
    pub renewed: IntCounter,
}

impl Default for LoginMeter {
    /// Metrics under the names of [`crate::metrics::Metrics`], in no registry yet.
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "constant names and buckets, which a test constructs")]
        Self {
            succeeded: IntCounter::new("qpc_auth_login_success_total", "Logins that proved the password.")
                .expect("a valid name"),
            failed: IntCounter::new("qpc_auth_login_failure_total", "Logins that began and never proved the password.")
                .expect("a valid name"),
            pending: IntGauge::new("qpc_auth_login_pending", "Logins under way.").expect("a valid name"),
            seconds: Histogram::with_opts(
                HistogramOpts::new("qpc_login_seconds", "From a login's first message to its proof.")
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0]),
            )
            .expect("valid buckets"),
            renewed: IntCounter::new(
                "qpc_opaque_renewed_total",
                "Passwords that went over to the newest OPAQUE setup.",
            )
            .expect("a valid name"),
        }
    }
}

/// What one connection has proved so far. See the module's text.
pub struct LoginStage {
    pub(super) binding: [u8; EXPORTER_LEN],
    pub(super) nonce: [u8; 32],
    pub(super) registration: Option<PendingRegistration>,
    pub(super) login: Option<PendingLogin>,
    pub(super) proved: Option<ProvedAccount>,
    pub(super) enrolled: Option<EnrolledDevice>,
    /// The setup that the new password is being registered with.
    pub(super) password_change: Option<u32>,
}

impl LoginStage {
    pub(super) fn new(binding: [u8; EXPORTER_LEN], nonce: [u8; 32]) -> Self {
        Self { binding, nonce, registration: None, login: None, proved: None, enrolled: None, password_change: None }
    }

    /// For `HelloAnswer`; fresh for this connection.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// Whether the password of an account was proved on this connection.
    #[must_use]
    pub fn has_proved_password(&self) -> bool {
        self.proved.is_some()
    }

    /// When the login that is under way, if there is one, will have taken too long.
    #[must_use]
    pub fn login_due(&self) -> Option<Instant> {
        self.login.as_ref().map(PendingLogin::due)
    }

    /// Gives up a login that has taken too long: it counts as failed, and its place is free.
    pub fn forget_late_login(&mut self) {
        self.login.take_if(|login| login.is_late());
    }

    /// The account whose password was proved, if it is this one.
    pub(super) fn proved(&self, account: AccountId) -> Option<&ProvedAccount> {
        self.proved.as_ref().filter(|proved| proved.account == account)
    }
}

/// A registration whose first half is done.
pub(super) struct PendingRegistration {
    pub(super) name: AccountName,
    pub(super) admission: Admission,
    /// Of the setup that it began with.
    pub(super) setup_version: u32,
}

/// An account whose password was proved.
pub(super) struct ProvedAccount {
    pub(super) account: AccountId,
    pub(super) address: Address,
    pub(super) account_key: [u8; 32],
    /// What the password was proved by: it may be another one's meanwhile.
    pub(super) opaque_record: Bytes,
    /// Of the setup that this was made with.
    pub(super) setup_version: u32,
}

/// A device that was enrolled here, as it was written: authenticating it reads nothing.
pub(super) struct EnrolledDevice {
    pub(super) id: DeviceId,
    pub(super) record: DeviceRecord,
    /// Since before it was written.
    pub(super) as_of: AsOf,
}

/// A login whose first half is done. Dropped without [`Self::succeed`], it counts as failed.
pub(super) struct PendingLogin {
    pub(super) state: ServerLogin<Suite>,
    pub(super) name: AccountName,
    pub(super) record: LoginRecord,
    /// When it will have taken too long.
    due: Instant,
    tally: Tally,
}

impl PendingLogin {
    pub(super) fn new(
        state: ServerLogin<Suite>,
        name: AccountName,
        record: LoginRecord,
        permit: OwnedSemaphorePermit,
        (began, due): (Instant, Instant),
        meter: LoginMeter,
    ) -> Self {
        meter.pending.inc();
        Self { state, name, record, due, tally: Tally { meter, began, proved: false, _permit: permit } }
    }

    fn due(&self) -> Instant {
        self.due
    }

    /// Whether it has taken too long.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Takes the login apart: to judge it, its parts; to count it, the tally.
    pub(super) fn into_parts(self) -> (ServerLogin<Suite>, AccountName, LoginRecord, Tally) {
        (self.state, self.name, self.record, self.tally)
    }
}

/// Counts one login exactly once, whatever becomes of it, and holds its place among those under way.
pub(super) struct Tally {
    meter: LoginMeter,
    began: Instant,
    proved: bool,
    _permit: OwnedSemaphorePermit,
}

impl Tally {
    pub(super) fn succeed(mut self) {
        self.proved = true;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.meter.pending.dec();
        if self.proved {
            self.meter.succeeded.inc();
            self.meter.seconds.observe(self.began.elapsed().as_secs_f64());
        } else {
            self.meter.failed.inc();
        }
    }
}
