//! The sessions of one account: mostly one, so one needs no list.

use std::{slice, sync::Arc};

use qpc_proto::id::DeviceId;

use super::Session;

/// In order of arrival.
#[derive(Default)]
pub(super) enum Sessions {
    #[default]
    None,
    One(Arc<Session>),
    Many(Vec<Arc<Session>>),
}

impl Sessions {
    pub(super) fn as_slice(&self) -> &[Arc<Session>] {
        match self {
            Self::None => &[],
            Self::One(session) => slice::from_ref(session),
            Self::Many(sessions) => sessions,
        }
    }

    pub(super) fn push(&mut self, session: Arc<Session>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(session),
            Self::One(first) => Self::Many(vec![first, session]),
            Self::Many(mut sessions) => {
                sessions.push(session);
                Self::Many(sessions)
            }
        };
    }

    pub(super) fn remove(&mut self, gone: &Arc<Session>) {
        *self = match std::mem::take(self) {
            Self::One(session) if Arc::ptr_eq(&session, gone) => Self::None,
            Self::Many(mut sessions) => {
                sessions.retain(|session| !Arc::ptr_eq(session, gone));
                Self::Many(sessions)
            }
            other => other,
        };
    }

    /// The device's oldest session, where it has `max` or more.
    pub(super) fn oldest_beyond(&self, device: DeviceId, max: usize) -> Option<Arc<Session>> {
        let mut of_device = self.as_slice().iter().filter(|session| session.device == device);
        let count = of_device.clone().count();
        if count >= max { of_device.nth(count.saturating_sub(max)).cloned() } else { None }
    }
}
