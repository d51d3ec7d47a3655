//! One operation at a time on one thing: who comes second is told so and comes again.
//!
//! The kubelet and the CSI sidecars repeat a call whose answer was late; waiting here would let such calls pile up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;

/// What is being worked on: a key is held by any number of sharers, or by one owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<Mutex<HashMap<String, Holder>>>);

#[derive(Debug)]
enum Holder {
    Owner,
    Sharers(usize),
}

/// Lets go of a key when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    busy: Busy,
    key: String,
}

impl Busy {
    /// Takes `key` alone.
    pub(crate) fn own(&self, key: &str) -> Result<Hold, Error> {
        let mut held = self.lock();
        if held.contains_key(key) {
            return Err(Error::Busy(key.to_owned()));
        }
        held.insert(key.to_owned(), Holder::Owner);
        Ok(self.hold(key))
    }

    /// Takes `key` together with others who share it.
    pub(crate) fn share(&self, key: &str) -> Result<Hold, Error> {
        match self.lock().entry(key.to_owned()).or_insert(Holder::Sharers(0)) {
            Holder::Owner => Err(Error::Busy(key.to_owned())),
            Holder::Sharers(count) => {
                *count += 1;
                Ok(self.hold(key))
            }
        }
    }

    fn hold(&self, key: &str) -> Hold {
        Hold { busy: self.clone(), key: key.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.busy.lock();
        if let Some(Holder::Sharers(count)) = held.get_mut(&self.key)
            && *count > 1
        {
            *count -= 1;
        } else {
            held.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_keeps_all_others_away_and_sharers_keep_owners_away() {
        let busy = Busy::default();
        let owner = busy.own("a").unwrap();
        assert!(busy.own("a").is_err() && busy.share("a").is_err() && busy.own("b").is_ok());
        drop(owner);
        let (one, two) = (busy.share("a").unwrap(), busy.share("a").unwrap());
        drop(one);
        assert!(busy.own("a").is_err());
        drop(two);
        assert!(busy.own("a").is_ok());
    }
}
