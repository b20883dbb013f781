//! Who reaches into the guest's memory behind KVM's back.
//!
//! KVM logs what the guest writes. What a debugger writes it does not see, so a migration would
//! leave that behind: one of the two at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Machine;

/// What somebody needs the memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look and to change it.
    Debugger,
    /// To send it.
    Migration,
}

/// Who has it.
#[derive(Debug, Default)]
pub struct Claims(Mutex<Option<Purpose>>);

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Option<Purpose>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One's claim, given up when this is dropped.
#[derive(Debug)]
pub struct Claim<'a>(&'a Claims);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Machine {
    /// Claims the memory.
    ///
    /// # Errors
    /// What somebody else needs it for.
    pub fn claim(&self, purpose: Purpose) -> Result<Claim<'_>, Purpose> {
        let mut claimed = self.claims.lock();
        match *claimed {
            Some(other) => Err(other),
            None => {
                *claimed = Some(purpose);
                Ok(Claim(&self.claims))
            }
        }
    }

    /// Whether a debugger is attached.
    pub fn is_debugged(&self) -> bool {
        *self.claims.lock() == Some(Purpose::Debugger)
    }
}
