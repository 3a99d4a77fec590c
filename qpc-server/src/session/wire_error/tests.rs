//! Codes and what goes with them.

use std::time::Duration;

use qpc_proto::id::{Counter, Epoch};

use super::*;

#[test]
fn a_refusal_carries_what_its_code_promises() {
    let fields = |error: WireError| match error.into_result() {
        answer::Result::Error(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(fields(AppendError::WrongEpoch(Epoch(7)).into()).epoch, 7);
    assert_eq!(fields(AppendError::CounterGap(Counter(3)).into()).counter, 3);
    assert_eq!(fields(Wait(Duration::from_millis(250)).into()).retry_after_ms, 250);
    assert_eq!(fields(Wait(Duration::from_nanos(1)).into()).retry_after_ms, 1);
}

#[test]
fn the_engines_words_stay_at_home() {
    let error = WireError::from(StoreFault::Engine("table people of /var/lib".into()));
    assert_eq!(error.code(), Code::Internal);
    assert!(!error.0.detail.contains("people"));
}
