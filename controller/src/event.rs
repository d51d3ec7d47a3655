//! Events, with CDI's reasons (cdi.md §2.5).

use kube::runtime::events::EventType;

/// Longest note that the API server takes.
const LONGEST: usize = 1024;

/// An event to be told of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) note: String,
}

impl Event {
    pub(crate) fn normal(reason: &str, note: &str) -> Self {
        Self::new(false, reason, note)
    }

    pub(crate) fn warning(reason: &str, note: &str) -> Self {
        Self::new(true, reason, note)
    }

    fn new(warning: bool, reason: &str, note: &str) -> Self {
        let note = note[..note.floor_char_boundary(LONGEST)].to_owned();
        Self { warning, reason: reason.to_owned(), note }
    }

    /// As the recorder takes it.
    pub(crate) fn recorded(&self) -> kube::runtime::events::Event {
        kube::runtime::events::Event {
            type_: if self.warning { EventType::Warning } else { EventType::Normal },
            reason: self.reason.clone(),
            note: Some(self.note.clone()),
            action: self.reason.clone(),
            secondary: None,
        }
    }
}
