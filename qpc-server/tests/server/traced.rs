//! The way of a message, as its sender is told.

use qpc_client::api::{Command, Outcome, StepKind, Trace};

use crate::net::{Net, Person};

impl Person {
    fn traces(&self, message: &str) -> Trace {
        match self.do_it(Command::Trace { message: message.into() }) {
            Outcome::Trace(trace) => trace,
            other => panic!("{other:?}"),
        }
    }
}

fn names(trace: &Trace) -> Vec<&'static str> {
    let name = |kind: &StepKind| match kind {
        StepKind::Written => "written",
        StepKind::Encrypted { .. } => "encrypted",
        StepKind::Sent { times: 1 } => "sent",
        StepKind::Sent { .. } => "sent again",
        StepKind::Stored { .. } => "stored",
        StepKind::Acknowledged => "acknowledged",
        StepKind::Returned => "returned",
        StepKind::Received { .. } => "received",
        StepKind::Read { .. } => "read",
    };
    trace.steps.iter().map(|step| name(&step.kind)).collect()
}

#[test]
fn each_step_of_a_message_is_told_with_the_devices_that_have_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.say(&bob, ["hello"]);
    bob.expects(["hello"]);
    let laptop = net.device("bob", "laptop");
    laptop.until("what was said before", |laptop| !laptop.history_if_any("alice").is_empty());
    net.stop_server();
    alice.say(&bob, ["tea?"]);
    assert_eq!(names(&alice.traces("last")), ["written"]);
    assert_eq!(alice.traces("last").unheard, Vec::<String>::new(), "nobody can have what is not stored");
    net.start_server();
    let both = |trace: &Trace| {
        let receives = |step: &&qpc_client::api::Step| matches!(step.kind, StepKind::Received { .. });
        trace.steps.iter().filter(receives).count() >= 2
    };
    alice.until("both devices of bob have it", |alice| both(&alice.traces("last")));
    bob.expects(["tea?"]);
    alice.until("it is read", |alice| names(&alice.traces("last")).contains(&"read"));
    let trace = alice.traces("last");
    let steps = names(&trace);
    assert_eq!(steps[..6], ["written", "encrypted", "sent", "stored", "acknowledged", "returned"], "{trace:?}");
    let devices: std::collections::BTreeSet<_> = trace
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Received { account, device } => {
                assert!(account.starts_with("bob@"));
                device.clone()
            }
            _ => None,
        })
        .collect();
    assert_eq!(devices.len(), 2, "{trace:?}");
    assert!(trace.unheard.is_empty());

    // By the end of its id; of others there is nothing to tell.
    let end = trace.id.chars().skip(trace.id.len() - 6).collect::<String>();
    assert_eq!(alice.traces(&end).id, trace.id);
    assert!(bob.attempt(Command::Trace { message: end }).is_err());
    assert!(alice.attempt(Command::Trace { message: "nonsense".into() }).is_err());
}
