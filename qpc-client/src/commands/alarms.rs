//! Alarms: listed, and acknowledged by a person.

use std::sync::Arc;

use super::{done, usage};
use crate::{
    api::{Alarm, CommandError, Outcome},
    core::Core,
    fresh,
    store::alarm,
};

/// All alarms.
pub(super) async fn list(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    let alarms = core.store.run(alarm::all).await?.into_iter().map(|alarm| Alarm {
        number: alarm.number,
        raised: fresh::rfc3339(alarm.raised_ms),
        acknowledged: alarm.acknowledged_ms.map(fresh::rfc3339),
        text: alarm.text,
    });
    Ok(Outcome::Alarms { alarms: alarms.collect() })
}

/// Acknowledges these, or none of them.
pub(super) async fn acknowledge(core: &Arc<Core>, numbers: Vec<u64>) -> Result<Outcome, CommandError> {
    core.store
        .run(move |tx| {
            for number in numbers {
                if !alarm::acknowledge(tx, number)? {
                    return Err(usage(format!("there is no open alarm {number}: see `alarms list`")));
                }
            }
            Ok(done())
        })
        .await
}
